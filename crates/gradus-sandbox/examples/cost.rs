//! Prints what isolation costs: CPU per run by the kernel's accounting of children, against a plain start of the same
//! interpreter on the same work.
//!
//! `cargo run --release -p gradus-sandbox --example cost [RUNS]`

use std::process::{Command, Stdio};

use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};

const FUNCTION: &str = "def double(x):\n    return x * 2\n";
const ASSERTS: &str = "assert double(1) == 2\nassert double('a') == 'aa'\nassert double([1]) == [1, 1]\n";

fn main() {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(50);
    let sandbox = Sandbox::new(Policy::default()).unwrap_or_else(|error| panic!("{error}: {}", error.hint));
    let (python, version) = sandbox.interpreter("python").expect("there is a Python");
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

    let mut costs = [0.0; 3];
    for _ in 0..runs {
        costs[0] += cpu_ms(|| {
            let status = Command::new(python).args(["-I", "-S"]).arg(&file).stdin(Stdio::null()).status();
            assert!(status.is_ok_and(|status| status.success()));
        });
        costs[1] += cpu_ms(|| assert!(sandbox.run(&whole, &stdin, &Limits::default()).all_passed()));
        costs[2] += cpu_ms(|| assert!(sandbox.run(&apart, &function, &Limits::default()).all_passed()));
    }
    for (name, cost) in ["plain fork and exec", "stdin test", "function test"].iter().zip(costs) {
        println!("{name:<20} {:6.2} ms CPU per run, {:.2} x", cost / f64::from(runs), cost / costs[0]);
    }
}

/// CPU of this process and its reaped children while `work` runs, in milliseconds.
fn cpu_ms(work: impl FnOnce()) -> f64 {
    let used = || {
        [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
            .iter()
            .map(|who| {
                // SAFETY: an all-zero rusage is valid, and the call only writes to it.
                let usage = unsafe {
                    let mut usage: libc::rusage = std::mem::zeroed();
                    libc::getrusage(*who, &raw mut usage);
                    usage
                };
                let ms = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
                ms(usage.ru_utime) + ms(usage.ru_stime)
            })
            .sum::<f64>()
    };
    let before = used();
    work();
    used() - before
}
