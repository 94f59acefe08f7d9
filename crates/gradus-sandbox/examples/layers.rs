//! Prints the layers of isolation that hold here, and what namespaces cost: CPU per run by the kernel's accounting of
//! children. A namespace of processes, which the sandbox does not use, is tried on a plain start of the interpreter. `MEGABYTES` in use by this process make its forks dearer, as in a long run.
//!
//! `cargo run --release -p gradus-sandbox --example layers [RUNS [MEGABYTES]]`

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};

fn main() {
    let number = |at, usual| std::env::args().nth(at).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (runs, megabytes): (u32, usize) = (number(1, 50) as u32, number(2, 0));
    let in_use = vec![1_u8; megabytes << 20];
    let mut making = [Duration::ZERO; 2];
    let sandbox = |namespaces, python| {
        Sandbox::new(Policy { namespaces, python, slots: 1, ..Policy::default() })
            .unwrap_or_else(|error| panic!("{error}: {}", error.hint))
    };
    // The one that is found without namespaces, for both: a mount namespace also shows those in closed directories.
    let chosen = sandbox(false, None).interpreter("python").map(|(path, _)| path.to_path_buf()).ok();
    let [with, without] = [true, false].map(|namespaces| {
        let start = Instant::now();
        let sandbox = sandbox(namespaces, chosen.clone());
        making[usize::from(!namespaces)] = start.elapsed();
        sandbox
    });
    for layer in with.layers() {
        println!("{} {}: {}", if layer.active { "+" } else { "-" }, layer.name, layer.detail);
    }
    let (python, version) = with.interpreter("python").expect("there is a Python");
    println!("{} {version}, {runs} runs each, interleaved, {} MB in use", python.display(), in_use.len() >> 20);

    let program = Program { language: "python".into(), source: "print(input())".into() };
    let case = StdinCase { input: "x".into(), output: "x".into() };
    let tests = Tests::stdin(vec![case]);
    let plain = || {
        let mut command = Command::new(python);
        command.args(["-I", "-S", "-c", "print(1)"]).stdin(Stdio::null()).stdout(Stdio::null());
        // As in the sandbox, this makes it a fork and an exec.
        // SAFETY: does nothing.
        unsafe { command.pre_exec(|| Ok(())) };
        command
    };
    let apart = || {
        let mut command = plain();
        // SAFETY: only async-signal-safe system calls.
        unsafe { command.pre_exec(process_namespace) };
        command
    };
    let succeeds = |mut command: Command| assert!(command.status().is_ok_and(|status| status.success()));
    let passes = |sandbox: &Sandbox| assert!(sandbox.run(&program, &tests, &Limits::default()).all_passed());
    let mut costs = [(0.0, Duration::ZERO); 4];
    let mut measure = |at: usize, work: &dyn Fn()| {
        let (before, start) = (cpu_ms(), Instant::now());
        work();
        costs[at].0 += cpu_ms() - before;
        costs[at].1 += start.elapsed();
    };
    for _ in 0..runs {
        measure(0, &|| succeeds(plain()));
        measure(1, &|| succeeds(apart()));
        measure(2, &|| passes(&without));
        measure(3, &|| passes(&with));
    }
    let names =
        ["plain fork and exec", "  in a process namespace", "stdin test, no namespaces", "stdin test, namespaces"];
    for (at, name) in names.iter().enumerate() {
        let (cpu, wall) = (costs[at].0 / f64::from(runs), costs[at].1.as_secs_f64() * 1e3 / f64::from(runs));
        let ratio = costs[at].0 / costs[at / 2 * 2].0;
        println!("{name:<26} {cpu:6.2} ms CPU, {wall:6.2} ms wall per run, {ratio:.3} x");
    }
    println!("making a sandbox: {:.0?} with namespaces, {:.0?} without", making[0], making[1]);
}

/// Goes on in a child that is the first process of its own namespace; the process itself waits for it.
fn process_namespace() -> std::io::Result<()> {
    // SAFETY: only async-signal-safe system calls on a local.
    unsafe {
        // Only root can without a user namespace.
        if libc::unshare(libc::CLONE_NEWPID) != 0 && libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let child = libc::fork();
        if child < 0 {
            return Err(std::io::Error::last_os_error());
        }
        if child > 0 {
            // Its end of the channel for errors of exec would keep the caller waiting.
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0);
            let mut status = 0;
            libc::waitpid(child, &raw mut status, 0);
            libc::_exit(libc::WEXITSTATUS(status));
        }
    }
    Ok(())
}

/// CPU of this process and its reaped children so far, in milliseconds.
fn cpu_ms() -> f64 {
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
        .sum()
}
