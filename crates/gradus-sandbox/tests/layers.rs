//! What holds is found out and said; where too little holds, the sandbox refuses.
//!
//! A kernel without a layer is arranged by a filter over this very process, which is started again for it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use gradus_sandbox::{Limits, Policy, Program, Sandbox, Status, StdinCase, Tests};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Set in the process that was started again.
const AGAIN: &str = "GRADUS_TEST_AGAIN";

/// Runs `inside` in a process of its own, in which the system call `denied` (with `argument` first, if given) fails.
fn without(test: &str, denied: i64, argument: Option<u64>, inside: impl FnOnce()) {
    if std::env::var_os(AGAIN).is_none() {
        let this = std::env::current_exe().expect("a test has a program");
        let output = Command::new(this).args(["--exact", test, "--nocapture"]).env(AGAIN, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let condition = |value| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap();
    let rules = argument.map(|value| SeccompRule::new(vec![condition(value)]).unwrap()).into_iter().collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let (allow, deny) = (SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32));
    let filter = SeccompFilter::new(BTreeMap::from([(denied, rules)]), allow, deny, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
    inside();
}

fn layer(sandbox: &Sandbox, name: &str) -> (bool, String) {
    let layer = sandbox.layers().iter().find(|layer| layer.name == name).expect("the layer is listed");
    (layer.active, layer.detail.clone())
}

fn works(sandbox: &Sandbox) -> bool {
    let program = Program { language: "python".into(), source: "print(input())".into() };
    let cases = vec![StdinCase { input: "x".into(), output: "x".into() }];
    sandbox.run(&program, &Tests::stdin(cases), &Limits::default()).all_passed()
}

/// Whether a program prints True.
fn prints(sandbox: &Sandbox, source: &str) -> bool {
    let program = Program { language: "python".into(), source: source.into() };
    let cases = vec![StdinCase { input: String::new(), output: "True".into() }];
    sandbox.run(&program, &Tests::stdin(cases), &Limits::default()).all_passed()
}

#[test]
fn without_filters_it_refuses_and_says_what_to_do() {
    let name = "without_filters_it_refuses_and_says_what_to_do";
    without(name, libc::SYS_prctl, Some(libc::PR_SET_SECCOMP as u64), || {
        let error = Sandbox::new(Policy::default()).err().expect("no filter can be installed");
        assert!(error.missing.contains("seccomp") && error.missing.contains("network"), "{error}");
        assert!(error.hint.contains("--unsafe-no-sandbox"), "{}", error.hint);
        let sandbox = Sandbox::new(Policy { unsafe_no_sandbox: true, ..Policy::default() }).unwrap();
        assert!(!layer(&sandbox, "seccomp").0 && !layer(&sandbox, "network").0);
        assert!(works(&sandbox));
    });
}

#[test]
fn without_landlock_it_runs_and_says_so() {
    without("without_landlock_it_runs_and_says_so", libc::SYS_landlock_create_ruleset, None, || {
        let sandbox = Sandbox::new(Policy::default()).unwrap();
        let (active, detail) = layer(&sandbox, "landlock");
        assert!(!active && detail.contains("can read"), "{detail}");
        assert!(layer(&sandbox, "seccomp").0);
        assert!(works(&sandbox));
        let (hidden, why) = layer(&sandbox, "mount namespace");
        assert_eq!(prints(&sandbox, "print(open('/etc/passwd').read(0) == '')"), !hidden, "{why}");
    });
}

#[test]
fn namespaces_can_be_switched_off() {
    let off = Sandbox::new(Policy { namespaces: false, ..Policy::default() }).unwrap();
    let on = Sandbox::new(Policy::default()).unwrap();
    let named = |sandbox: &Sandbox| prints(sandbox, "import os; print(os.uname().nodename == 'sandbox')");
    for name in ["user namespace", "mount namespace", "network namespace", "ipc namespace"] {
        assert_eq!(layer(&off, name), (false, "switched off".into()), "{name}");
    }
    let (active, why) = layer(&on, "ipc namespace");
    if !active {
        println!("no namespaces here: {why}");
    }
    assert_eq!((named(&off), named(&on)), (false, active));
}

#[test]
fn without_pidfd_it_runs() {
    without("without_pidfd_it_runs", libc::SYS_pidfd_open, None, || {
        assert!(works(&Sandbox::new(Policy::default()).unwrap()));
    });
}

/// `GRADUS_TEST_CGROUP` makes it an error that there are none.
#[test]
fn with_control_groups_memory_and_processes_are_counted_together() {
    let sandbox = Sandbox::new(Policy { slots: 1, ..Policy::default() }).unwrap();
    let (active, why) = layer(&sandbox, "cgroup");
    if !active {
        assert!(std::env::var_os("GRADUS_TEST_CGROUP").is_none(), "{why}");
        return println!("no control groups here, so not tested: {why}");
    }
    let run = |source: &str, limits: &Limits| {
        let program = Program { language: "python".into(), source: source.into() };
        let cases = vec![StdinCase { input: String::new(), output: "12".into() }];
        sandbox.run(&program, &Tests::stdin(cases), limits).tests.remove(0)
    };
    let limits = Limits { memory_bytes: 128 << 20, processes: 12, ..Limits::default() };
    // Each of them keeps to the limit.
    let together = "import os, time\nfor _ in range(5):\n    if os.fork() == 0:\n        x = bytearray(b'x') * (80 << 20)\n        time.sleep(20)\n        os._exit(0)\nos.wait()";
    for _ in 0..2 {
        let outcome = run(together, &limits);
        assert_eq!(outcome.status, Status::Memory, "{outcome:?}");
        assert!(outcome.detail.contains("together"), "{outcome:?}");
    }
    let processes = "import os, time\nn = 1\ntry:\n    while n < 50:\n        if os.fork() == 0:\n            time.sleep(5)\n            os._exit(0)\n        n += 1\nexcept OSError: pass\nprint(n)";
    for _ in 0..2 {
        let outcome = run(processes, &limits);
        assert_eq!(outcome.status, Status::Passed, "{outcome:?}");
    }
    let groups = || {
        let line = format!("gradus-{}-", std::process::id());
        let found = Command::new("find").args(["/sys/fs/cgroup", "-name", &format!("{line}*")]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    println!("{} groups of this process", groups());
    drop(sandbox);
    assert_eq!(groups(), 0);
}

#[test]
fn a_strict_umask_keeps_no_program_from_running() {
    if std::env::var_os(AGAIN).is_none() {
        let mut command = Command::new(std::env::current_exe().expect("a test has a program"));
        command.args(["--exact", "a_strict_umask_keeps_no_program_from_running", "--nocapture"]).env(AGAIN, "1");
        // SAFETY: one system call that takes an integer.
        unsafe {
            command.pre_exec(|| {
                libc::umask(0o077);
                Ok(())
            })
        };
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    for namespaces in [true, false] {
        assert!(works(&Sandbox::new(Policy { namespaces, ..Policy::default() }).unwrap()), "namespaces: {namespaces}");
    }
}

#[test]
fn an_interpreter_that_cannot_run_is_named() {
    let sandbox = Sandbox::new(Policy { python: Some("/bin/true".into()), ..Policy::default() }).unwrap();
    assert!(sandbox.interpreter("python").is_err());
    assert!(!works(&sandbox));
}

#[test]
fn packages_can_be_imported() {
    let packages = tempfile::tempdir().unwrap();
    std::fs::set_permissions(packages.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::write(packages.path().join("extra.py"), "VALUE = 7\n").unwrap();
    let program = Program { language: "python".into(), source: "import extra\ndef f(): return extra.VALUE".into() };
    let tests =
        Tests::Function { language: "python".into(), entry_point: "f".into(), test_code: "assert f() == 7".into() };
    let run = |policy| Sandbox::new(policy).unwrap().run(&program, &tests, &Limits::default()).all_passed();
    assert!(run(Policy { packages: vec![packages.path().into()], ..Policy::default() }));
    assert!(!run(Policy::default()));
}
