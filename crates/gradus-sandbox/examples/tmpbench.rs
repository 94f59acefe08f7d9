//! tmp
use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};
fn usage(who: i32) -> libc::rusage {
    unsafe {
        let mut u = std::mem::zeroed();
        libc::getrusage(who, &raw mut u);
        u
    }
}
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let sandbox = Sandbox::new(Policy { slots: 1, warm: true, ..Policy::default() }).unwrap();
    let program = Program { language: "python".into(), source: "def double(x):\n    return x * 2\nassert double(1) == 2\nassert double('a') == 'aa'\nassert double([1]) == [1, 1]\n".into() };
    let function = Tests::Function {
        language: "python".into(),
        entry_point: "double".into(),
        test_code: "assert double(1) == 2\nassert double('a') == 'aa'\nassert double([1]) == [1, 1]\n".into(),
    };
    let stdin =
        Tests::Stdin { cases: vec![StdinCase { input: String::new(), output: String::new() }], tolerance: None };
    let tests = if std::env::args().nth(2).is_some() { function } else { stdin };
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    let show = |b: libc::rusage, a: libc::rusage| {
        println!(
            "{:.3} ms user {:.3} sys {:.3} minflt {}",
            (ms(a.ru_utime) + ms(a.ru_stime) - ms(b.ru_utime) - ms(b.ru_stime)) / n as f64,
            (ms(a.ru_utime) - ms(b.ru_utime)) / n as f64,
            (ms(a.ru_stime) - ms(b.ru_stime)) / n as f64,
            (a.ru_minflt - b.ru_minflt) as usize / n
        )
    };
    let (b0, b1) = (usage(libc::RUSAGE_SELF), usage(libc::RUSAGE_CHILDREN));
    for _ in 0..n {
        assert!(sandbox.run(&program, &tests, &Limits::default()).all_passed());
    }
    show(b0, usage(libc::RUSAGE_SELF));
    show(b1, usage(libc::RUSAGE_CHILDREN));
    let b1 = usage(libc::RUSAGE_CHILDREN);
    drop(sandbox);
    show(b1, usage(libc::RUSAGE_CHILDREN));
}
