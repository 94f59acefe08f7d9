//! What holds is found out and said; where too little holds, the sandbox refuses.
//!
//! A kernel without a layer is arranged by a filter over this very process, which is started again for it.

use std::collections::BTreeMap;
use std::process::Command;

use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};
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
    });
}

#[test]
fn without_pidfd_it_runs() {
    without("without_pidfd_it_runs", libc::SYS_pidfd_open, None, || {
        assert!(works(&Sandbox::new(Policy::default()).unwrap()));
    });
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
