//! Limits hold, deadlines are kept, and nothing is left over.
//!
//! `GRADUS_RUNS` and `GRADUS_LOOPS` set how many runs and loops there are: see docs/results.md.

#[path = "common/environments.rs"]
mod environments;
#[path = "common/paths.rs"]
mod paths;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use environments::Environment;
use gradus_sandbox::{Limits, Outcome, Policy, Program, Sandbox, Status, StdinCase, Tests};

/// One at a time: these tests count the process's descriptors, children and time.
static ALONE: Mutex<()> = Mutex::new(());

const LIMITS: Limits = Limits {
    cpu_ms: 1_000,
    wall_ms: 15_000,
    memory_bytes: 256 << 20,
    output_bytes: 1 << 16,
    file_bytes: 1 << 20,
    processes: 16,
};

fn stdin(sandbox: &Sandbox, source: &str, limits: &Limits) -> Outcome {
    let cases = vec![StdinCase { input: "1\n".into(), output: "1".into() }];
    sandbox.run(&python(source), &Tests::stdin(cases), limits)
}

fn function(sandbox: &Sandbox, source: &str, limits: &Limits) -> Outcome {
    let test_code = "assert f(0) == 0\nassert f(1) == 1\nassert f(2) == 2\n".into();
    sandbox.run(
        &python(source),
        &Tests::Function { language: "python".into(), entry_point: "f".into(), test_code },
        limits,
    )
}

fn python(source: &str) -> Program {
    Program { language: "python".into(), source: source.into() }
}

/// A number from the environment, or the usual one.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("the variable is a number"))
}

fn sandboxes(slots: usize) -> [Sandbox; 2] {
    paths::both(Policy { slots, ..Policy::default() })
}

#[test]
fn each_limit_has_its_status() {
    let _alone = ALONE.lock();
    let sandboxes = sandboxes(1);
    let check = |source: &str, status: Status| {
        let outcome = paths::same(&sandboxes, |sandbox| stdin(sandbox, source, &LIMITS));
        assert_eq!(outcome.tests[0].status, status, "{source}: {outcome:?}");
    };
    check("print(input())", Status::Passed);
    check("print(2)", Status::WrongOutput);
    check("1 / 0", Status::RuntimeError);
    check("print(1); exit(3)", Status::RuntimeError);
    check("print(1); exit()", Status::Passed);
    check("sys.exit()", Status::RuntimeError);
    check("if __name__ == '__main__': print(1)", Status::Passed);
    check("import os; os.abort()", Status::RuntimeError);
    check("def f(: pass", Status::RuntimeError);
    check("while True: pass", Status::Time);
    let outcome = paths::same(&sandboxes, |sandbox| {
        stdin(sandbox, "import time; time.sleep(60)", &Limits { wall_ms: 500, ..LIMITS })
    });
    assert_eq!(outcome.tests[0].status, Status::Time);
    check("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", Status::Time);
    check("x = bytearray(3 << 30)", Status::Memory);
    check("x = []\nwhile True: x.append(' ' * 1000000)", Status::Memory);
    check("while True: print('x' * 1000)", Status::OutputLimit);
    check("import sys\nwhile True: sys.stderr.write('x' * 1000)", Status::OutputLimit);
    check("open('big', 'wb').write(bytes(2 << 20))", Status::RuntimeError);
    check("import threading\nthreading.Thread(target=lambda: print(input())).start()", Status::Passed);
    check("import asyncio\nasync def f(): print(input())\nasyncio.run(f())", Status::Passed);
    check("import tempfile\nf = tempfile.TemporaryFile()\nf.write(b'1')\nprint(1)", Status::Passed);
}

#[test]
fn function_tests_share_the_fate_of_their_run() {
    let _alone = ALONE.lock();
    let sandboxes = sandboxes(1);
    let check = |source: &str, statuses: [Status; 3]| {
        let outcome = paths::same(&sandboxes, |sandbox| function(sandbox, source, &LIMITS));
        assert_eq!(outcome.total, 3);
        assert_eq!(outcome.tests.iter().map(|test| test.status).collect::<Vec<_>>(), statuses, "{source}: {outcome:?}");
    };
    use Status::{Failed, Memory, OutputLimit, Passed, RuntimeError, Time};
    check("def f(x): return x", [Passed; 3]);
    check("def f(x): return x % 2", [Passed, Passed, Failed]);
    check("def f(x): return x if x != 1 else 1 / 0", [Passed, RuntimeError, Passed]);
    check("def g(x): return x", [RuntimeError; 3]);
    check("def f(x)", [RuntimeError; 3]);
    check("def f(x):\n    while x == 1: pass\n    return x", [Passed, Time, Time]);
    check("def f(x): return x if x != 1 else bytearray(3 << 30)", [Passed, Memory, Passed]);
    check("import os\ndef f(x): return x if x != 1 else os._exit(0)", [Passed, RuntimeError, RuntimeError]);
    check("def f(x):\n    while x == 1: print('x' * 1000)\n    return x", [Passed, OutputLimit, OutputLimit]);
}

#[test]
fn what_is_wrong_with_the_tests_is_no_verdict_on_the_program() {
    let _alone = ALONE.lock();
    let sandboxes = sandboxes(1);
    let run = |language: &str, tests: Tests| {
        let program = Program { language: language.into(), source: "def f(x): return x".into() };
        let outcome = paths::same(&sandboxes, |sandbox| sandbox.run(&program, &tests, &LIMITS));
        outcome.sandbox_error().map(str::to_owned)
    };
    let function = |test_code: &str| Tests::Function {
        language: "python".into(),
        entry_point: "f".into(),
        test_code: test_code.into(),
    };
    assert!(run("python", function("assert f(1) ==")).is_some_and(|why| why.contains("does not compile")));
    assert!(run("python", function("")).is_some_and(|why| why.contains("no test")));
    assert!(run("python", Tests::stdin(vec![])).is_some());
    assert_eq!(run("cobol", function("assert f(1) == 1")).as_deref(), Some("language cobol is not set up"));
    for needs in
        ["import nowhere", "from math import nothing", "def check(candidate):\n    import nowhere\n    assert True"]
    {
        let why = run("python", function(&format!("{needs}\nassert f(1) == 1")));
        assert!(why.is_some_and(|why| why.contains("cannot import")), "{needs}");
    }
    assert_eq!(run("python", function("import math\nassert f(1) == 1")), None);
}

#[test]
fn fail_fast_stops_at_the_first_failure() {
    let _alone = ALONE.lock();
    let sandboxes = paths::both(Policy { fail_fast: true, ..Policy::default() });
    let case = |output: &str| StdinCase { input: String::new(), output: output.into() };
    let tests = Tests::stdin(vec![case("1"), case("2"), case("1")]);
    let outcome = paths::same(&sandboxes, |sandbox| sandbox.run(&python("print(1)"), &tests, &LIMITS));
    assert_eq!((outcome.tests.len(), outcome.passed(), outcome.total), (2, 1, 3));
    let outcome = paths::same(&sandboxes, |sandbox| function(sandbox, "def f(x): return 0", &LIMITS));
    assert_eq!((outcome.tests.len(), outcome.passed(), outcome.total), (2, 1, 3));
}

#[test]
fn printed_numbers_may_be_off_by_the_tolerance_of_their_tests() {
    let _alone = ALONE.lock();
    let sandboxes = sandboxes(1);
    let check = |tests: &str, passed: bool| {
        let tests: Tests = serde_json::from_str(tests).unwrap();
        let outcome = paths::same(&sandboxes, |sandbox| sandbox.run(&python("print('x', 1 / 3)"), &tests, &LIMITS));
        assert_eq!(outcome.all_passed(), passed, "{tests:?}");
    };
    let exact = r#"{"type":"stdin","cases":[{"input":"","output":"x 0.333"}]}"#;
    check(exact, false);
    check(&exact.replace("]}", r#"],"tolerance":{"relative":0.01}}"#), true);
    check(&exact.replace("]}", r#"],"tolerance":{"absolute":1e-6}}"#), false);
    // What was recorded before there were tolerances keeps its key.
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Tests>(exact).unwrap()).unwrap(), exact);
}

#[test]
fn bombs_are_stopped_and_nothing_survives() {
    bombs_are_stopped_in(Environment::ThisUser, "bombs_are_stopped_and_nothing_survives");
}

#[test]
fn bombs_are_stopped_without_privileges() {
    bombs_are_stopped_in(Environment::Unprivileged, "bombs_are_stopped_without_privileges");
}

#[test]
fn bombs_are_stopped_without_privileges_or_namespaces() {
    bombs_are_stopped_in(Environment::WithoutNamespaces, "bombs_are_stopped_without_privileges_or_namespaces");
}

fn bombs_are_stopped_in(environment: Environment, test: &str) {
    let _alone = ALONE.lock();
    environment.run(test, || {
        environment.check(&sandboxes(1)[0]);
        set_off_bombs();
        println!("{} bombs, nothing left of any", BOMBS.len());
    });
}

const BOMBS: &[&str] = &[
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "import os, time\nfor _ in range(200):\n    if os.fork() == 0: time.sleep(60); os._exit(0)",
    "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        if os.fork() == 0: time.sleep(60)\n        os._exit(0)\nprint(1)",
    "import threading, time\nfor _ in range(1000): threading.Thread(target=time.sleep, args=(60,)).start()",
    "import os\nfor i in range(300):\n    os.mkdir('d'); os.chdir('d')",
    "import os\nfor i in range(300): os.mkdir('d%d' % i, 0)",
];

fn set_off_bombs() {
    for bomb in BOMBS {
        for sandbox in sandboxes(1) {
            let start = Instant::now();
            let outcome = stdin(&sandbox, bomb, &Limits { cpu_ms: 300, wall_ms: 2_000, ..LIMITS });
            assert_eq!(outcome.sandbox_error(), None, "{bomb}: {outcome:?}");
            assert!(start.elapsed() < Duration::from_secs(16), "{bomb}: {:?}", start.elapsed());
            assert!(stdin(&sandbox, "print(input())", &LIMITS).all_passed(), "after {bomb}");
            // Warm interpreters are children too, until their sandbox goes.
            drop(sandbox);
            assert_eq!(children(), BTreeSet::new(), "{bomb}");
        }
    }
}

#[test]
fn the_limit_on_processes_is_the_programs_own() {
    processes_are_counted_in(Environment::ThisUser, "the_limit_on_processes_is_the_programs_own");
}

#[test]
fn the_limit_on_processes_is_the_programs_own_without_privileges() {
    let test = "the_limit_on_processes_is_the_programs_own_without_privileges";
    processes_are_counted_in(Environment::Unprivileged, test);
}

fn processes_are_counted_in(environment: Environment, test: &str) {
    let _alone = ALONE.lock();
    environment.run(test, || {
        let [sandbox, started] = sandboxes(1);
        if !sandbox.layers().iter().any(|layer| layer.active && ["own uid", "user namespace"].contains(&layer.name)) {
            return println!("not tested: {environment:?} has neither own users nor user namespaces here");
        }
        let source = "import os, time\nn = 1\ntry:\n    while n < 200:\n        if os.fork() == 0:\n            time.sleep(5)\n            os._exit(0)\n        n += 1\nexcept OSError: pass\nprint(n)";
        for sandbox in [sandbox, started] {
            let outcome = stdin(&sandbox, source, &LIMITS);
            assert_eq!(outcome.tests[0].stdout.trim().parse(), Ok(LIMITS.processes), "{outcome:?}");
        }
    });
}

#[test]
fn loops_end_when_their_time_is_up() {
    let _alone = ALONE.lock();
    let (slots, programs) = (8, number("GRADUS_LOOPS", 64));
    for (path, sandbox) in ["forked", "started"].iter().zip(sandboxes(slots)) {
        let limits = Limits { wall_ms: 500, ..LIMITS };
        let start = Instant::now();
        std::thread::scope(|scope| {
            for index in 0..programs {
                let sandbox = &sandbox;
                let source = ["while True: pass", "import time\ntime.sleep(60)"][index % 2];
                scope.spawn(move || {
                    let test = &stdin(sandbox, source, &limits).tests[0];
                    // Eight loops on fewer processors: the machine was busy, or the time was up.
                    assert!(matches!(test.status, Status::Time | Status::SandboxError), "{test:?}");
                });
            }
        });
        let allowed = (programs.div_ceil(slots) as u64) * (limits.wall_ms + 1_000);
        let took = start.elapsed();
        println!("{path}: {programs} loops in {slots} slots: {took:?} of {allowed} ms");
        assert!(took < Duration::from_millis(allowed), "{took:?} of {allowed} ms");
        drop(sandbox);
    }
    assert_eq!(children(), BTreeSet::new());
}

#[test]
fn many_runs_leave_nothing_behind() {
    let _alone = ALONE.lock();
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    // What the process opens once, and keeps, is open after this.
    drop(sandboxes(1));
    let at_first = descriptors();
    for path in ["forked", "started"] {
        let policy = Policy { slots: 2, scratch: Some(scratch.path().into()), ..Policy::default() };
        let [warm, plain] = paths::both(policy);
        let (sandbox, other) = if path == "forked" { (warm, plain) } else { (plain, warm) };
        drop(other);
        let some = |n: usize| {
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..n {
                            let source = "import os\nopen('x', 'w').write('x')\nos.fork()\nprint(1) if os.path.exists('x') else 0";
                            assert_ne!(stdin(&sandbox, source, &LIMITS).tests[0].status, Status::SandboxError);
                            assert!(function(&sandbox, "def f(x): return x", &LIMITS).all_passed());
                        }
                    });
                }
            });
        };
        some(3);
        let (before, most_children) = (descriptors(), if path == "forked" { 2 * (1 + 8) } else { 0 });
        // Two threads, each of which runs both kinds of tests.
        let runs = number("GRADUS_RUNS", 240).next_multiple_of(40);
        for tenth in 1..=10 {
            some(runs / 40);
            let (now, children) = (descriptors(), children());
            // One more for each process that waits for its test.
            assert!(
                now.abs_diff(before) <= most_children,
                "{path}: {before} and {now} after {} runs",
                runs / 10 * tenth
            );
            assert!(children.len() <= most_children, "{path}: {children:?} after {} runs", runs / 10 * tenth);
            assert_eq!(zombies(&children), 0, "{path}: after {} runs", runs / 10 * tenth);
        }
        let base = fs::read_dir(scratch.path()).unwrap().next().unwrap().unwrap().path();
        for slot in fs::read_dir(base).unwrap() {
            assert_eq!(fs::read_dir(slot.unwrap().path()).unwrap().count(), 0);
        }
        println!(
            "{path}: {runs} runs: {before} descriptors before, {} after, {} children",
            descriptors(),
            children().len()
        );
        drop(sandbox);
        assert_eq!(children(), BTreeSet::new(), "{path}");
        assert_eq!(descriptors(), at_first, "{path}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

/// How many of these processes have ended and were not reaped.
fn zombies(processes: &BTreeSet<String>) -> usize {
    let ended = |process: &&String| {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.rsplit(") ").next().is_some_and(|state| state.starts_with('Z'))
    };
    processes.iter().filter(ended).count()
}

/// Children of this process, the unreaped among them.
fn children() -> BTreeSet<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks
        .flat_map(|task| {
            fs::read_to_string(task.unwrap().path().join("children"))
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}
