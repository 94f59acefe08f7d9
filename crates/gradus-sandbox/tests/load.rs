//! A wall limit that is hit while the machine was busy says nothing about the program. Real load: threads that spin on
//! the one processor that the program may use.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use gradus_sandbox::{Limits, Policy, Program, Sandbox, Status, StdinCase, TestOutcome, Tests};

/// One at a time: each makes the first processor busy.
static ALONE: Mutex<()> = Mutex::new(());

const LIMITS: Limits = Limits {
    cpu_ms: 20_000,
    wall_ms: 1_000,
    memory_bytes: 256 << 20,
    output_bytes: 1 << 16,
    file_bytes: 1 << 20,
    processes: 16,
};

/// Needs 0.4 s of processor time.
const WORKS: &str = "import time\nwhile time.process_time() < 0.4: pass\nprint(1)";
const LOOPS: &str = "while True: pass";
const SLEEPS: &str = "import time\ntime.sleep(60)";
/// Is in its own way.
const CROWDS: &str = "import os\nfor _ in range(3): os.fork()\nwhile True: pass";

/// Runs `source` on one processor that `others` threads use too, at a priority raised by `raised`.
fn beside(others: usize, raised: i32, source: &str, limits: &Limits) -> TestOutcome {
    let _alone = ALONE.lock();
    // Started, not forked: a warm interpreter stays on the processors that it began with.
    let policy = Policy { slots: 1, warm: false, ..Policy::default() };
    let sandbox = Sandbox::new(policy).expect("programs can be isolated here");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(|| {
                pin();
                // SAFETY: only integers; 0 is the calling thread.
                unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -raised) };
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let run = scope.spawn(|| {
            pin();
            let program = Program { language: "python".into(), source: source.into() };
            let cases = vec![StdinCase { input: String::new(), output: "1".into() }];
            sandbox.run(&program, &Tests::stdin(cases), limits)
        });
        let outcome = run.join();
        over.store(true, Ordering::Relaxed);
        outcome.expect("the sandbox does not panic").tests.remove(0)
    })
}

/// Keeps the calling thread, and what it starts, on the first processor that it may use.
fn pin() {
    // SAFETY: an all-zero set is valid and empty; the calls read and write it alone.
    unsafe {
        let size = size_of::<libc::cpu_set_t>();
        let (mut may, mut one): (libc::cpu_set_t, libc::cpu_set_t) = (std::mem::zeroed(), std::mem::zeroed());
        assert_eq!(libc::sched_getaffinity(0, size, &raw mut may), 0);
        let first = (0..libc::CPU_SETSIZE as usize).find(|cpu| libc::CPU_ISSET(*cpu, &may)).expect("there is one");
        libc::CPU_SET(first, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size, &raw const one), 0);
    }
}

#[test]
fn a_program_that_got_no_processor_is_undecided() {
    let outcome = beside(12, 0, WORKS, &LIMITS);
    assert_eq!(outcome.status, Status::SandboxError, "{outcome:?}");
    assert!(outcome.detail.contains("busy"), "{outcome:?}");
    assert_eq!(beside(12, 0, LOOPS, &LIMITS).status, Status::SandboxError);
    // Threads of higher priority; without root their priority stays as it is.
    assert_eq!(beside(12, 10, WORKS, &LIMITS).status, Status::SandboxError);
}

#[test]
fn a_program_that_sleeps_is_late_on_a_busy_machine_too() {
    // Time enough for the interpreter to start.
    assert_eq!(beside(12, 0, SLEEPS, &Limits { wall_ms: 5_000, ..LIMITS }).status, Status::Time);
}

#[test]
fn a_program_that_makes_itself_late_is_late() {
    for source in [CROWDS, LOOPS] {
        // Other work on this machine may be in the way too: then it is tried again.
        let alone =
            (0..5).map(|_| beside(0, 0, source, &LIMITS)).find(|outcome| outcome.cpu_ms > outcome.wall_ms * 6 / 10);
        match alone {
            Some(outcome) => assert_eq!(outcome.status, Status::Time, "{outcome:?}"),
            None => println!("not tested: other work has the processor"),
        }
    }
}
