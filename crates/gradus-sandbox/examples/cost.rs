//! Prints what isolation costs: CPU per run by the kernel's accounting of children, against a plain start of the same
//! interpreter on the same work.
//!
//! `cargo run --release -p gradus-sandbox --example cost [RUNS]`

use std::process::{Command, Stdio};

use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};

const FUNCTION: &str = "def double(x):\n    return x * 2\n";
const ASSERTS: &str = "assert double(1) == 2\nassert double('a') == 'aa'\nassert double([1]) == [1, 1]\n";

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(500);
    let sandbox = |warm| {
        Sandbox::new(Policy { slots: 1, warm, ..Policy::default() })
            .unwrap_or_else(|error| panic!("{error}: {}", error.hint))
    };
    let started = sandbox(false);
    // One each: what its server and the processes between used is known when it goes.
    let (forked_stdin, forked_function) = (sandbox(true), sandbox(true));
    for layer in forked_stdin.layers() {
        println!("{} {}: {}", if layer.active { "+" } else { "-" }, layer.name, layer.detail);
    }
    let (python, version) = started.interpreter("python").expect("there is a Python");
    println!("{} {version}, {runs} runs each, interleaved", python.display());
    let program = |source: &str| Program { language: "python".into(), source: source.into() };
    let whole = program(&format!("{FUNCTION}{ASSERTS}"));
    let apart = program(FUNCTION);
    let stdin = Tests::stdin(vec![StdinCase { input: String::new(), output: String::new() }]);
    let function =
        Tests::Function { language: "python".into(), entry_point: "double".into(), test_code: ASSERTS.into() };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("main.py");
    std::fs::write(&file, &whole.source).expect("the directory can be written");

    let bare = || {
        let status = Command::new(python).args(["-I", "-S"]).arg(&file).stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let run = |sandbox: &Sandbox, program: &Program, tests: &Tests| {
        sandbox.run(program, tests, &Limits::default()).all_passed()
    };
    let kinds: [(&str, &dyn Fn() -> bool); 5] = [
        ("plain fork and exec", &bare),
        ("stdin test, started", &|| run(&started, &whole, &stdin)),
        ("function test, started", &|| run(&started, &apart, &function)),
        ("stdin test, forked", &|| run(&forked_stdin, &whole, &stdin)),
        ("function test, forked", &|| run(&forked_function, &apart, &function)),
    ];
    let mut costs = [[0.0; 2]; 5];
    for _ in 0..runs {
        for ((name, work), cost) in kinds.iter().zip(&mut costs) {
            add(cost, cpu_ms(|| assert!(work(), "{name}")));
        }
    }
    let names = kinds.map(|(name, _)| name);
    add(&mut costs[3], cpu_ms(|| drop(forked_stdin)));
    add(&mut costs[4], cpu_ms(|| drop(forked_function)));
    let plain: f64 = costs[0].iter().sum();
    for (name, [own, children]) in names.iter().zip(costs) {
        let (cost, share) = ((own + children) / f64::from(runs), (own + children) / plain);
        println!(
            "{name:<22} {cost:6.2} ms CPU per run ({:.2} of it here), {share:.3} x, {:.1} times faster",
            own / f64::from(runs),
            1.0 / share
        );
    }
}

fn add(sum: &mut [f64; 2], more: [f64; 2]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

/// CPU of this process, and of its children reaped meanwhile, while `work` runs, in milliseconds.
fn cpu_ms(work: impl FnOnce()) -> [f64; 2] {
    let used = || {
        [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].map(|who| {
            // SAFETY: an all-zero rusage is valid, and the call only writes to it.
            let usage = unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(who, &raw mut usage);
                usage
            };
            let ms = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
            ms(usage.ru_utime) + ms(usage.ru_stime)
        })
    };
    let before = used();
    work();
    let after = used();
    [after[0] - before[0], after[1] - before[1]]
}
