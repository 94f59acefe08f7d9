//! The environments in which the sandbox must hold. A test starts its own program again in another one.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use gradus_sandbox::Sandbox;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Set in the process that was started again.
const AGAIN: &str = "GRADUS_TEST_ENVIRONMENT";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// Whoever runs the tests: root in a virtual machine, for example.
    ThisUser,
    /// A user without capabilities.
    Unprivileged,
    /// The same, and nobody may make or enter namespaces, as in a container with its usual settings.
    WithoutNamespaces,
    /// Root as containers have it: fourteen capabilities, and no namespaces.
    RootInContainer,
}

impl Environment {
    /// Runs `inside` in this environment; `test` is the name of the test that asks for it.
    pub(crate) fn run(self, test: &str, inside: impl FnOnce()) {
        // SAFETY: takes no argument, cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        match (self, is_root) {
            (Self::ThisUser, _) => return inside(),
            _ if std::env::var_os(AGAIN).is_some() => {
                if self != Self::Unprivileged {
                    forbid_namespaces();
                }
                return inside();
            }
            (Self::RootInContainer, false) => return println!("not arranged: {self:?} needs root"),
            _ => {}
        }
        // Another user may not reach the directory of the build.
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = place.path().join("test");
        std::fs::copy(std::env::current_exe().expect("a test has a program"), &program).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(&program);
        command.args(["--exact", test, "--nocapture"]).env(AGAIN, "1").current_dir("/");
        if is_root {
            // SAFETY: only async-signal-safe system calls.
            unsafe { command.pre_exec(move || self.give_up_privileges()) };
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines().filter(|line| !line.starts_with("test ")).for_each(|line| println!("{line}"));
        assert!(output.status.success(), "{self:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("1 passed"), "{self:?}: {test} is not the name of the test");
    }

    fn give_up_privileges(self) -> std::io::Result<()> {
        // SAFETY: only integers, and an empty list.
        let done = unsafe {
            if self == Self::RootInContainer {
                // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
                // sys_chroot, mknod, audit_write, setfcap: what the common container engines leave.
                const KEPT: u64 = 0xa804_25fb;
                (0..64).all(|capability| {
                    KEPT >> capability & 1 == 1
                        || libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) < 1
                        || libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
                })
            } else {
                // Users of their own, so that two environments at once do not meet.
                let id = 65_530 + u32::from(self == Self::WithoutNamespaces);
                libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(id) == 0 && libc::setuid(id) == 0
            }
        };
        if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    }

    /// That this is the environment which it should be; prints what holds in it.
    pub(crate) fn check(self, sandbox: &Sandbox) {
        let active: Vec<_> = sandbox.layers().iter().filter(|layer| layer.active).map(|layer| layer.name).collect();
        println!("{self:?}: {}", active.join(", "));
        let has = |name| active.contains(&name);
        match self {
            Self::ThisUser => {}
            Self::Unprivileged => assert!(!has("own uid")),
            Self::WithoutNamespaces => assert!(!has("own uid") && !has("network namespace") && !has("user namespace")),
            Self::RootInContainer => assert!(has("own uid") && !has("network namespace") && !has("mount namespace")),
        }
    }
}

/// Makes the calls fail with which namespaces are made and entered.
fn forbid_namespaces() {
    let arch = || std::env::consts::ARCH.try_into().unwrap();
    let namespaces = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u32;
    // Any of the flags: one rule each.
    let flags = (0..32).map(|bit| 1_u64 << bit).filter(|flag| u64::from(namespaces) & flag != 0).map(|flag| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    });
    let mut forbidden: BTreeMap<_, _> =
        [libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount].map(|call| (call, Vec::new())).into();
    forbidden.insert(libc::SYS_clone, flags.collect());
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for (rules, error) in [(forbidden, libc::EPERM), (unknown, libc::ENOSYS)] {
        let deny = SeccompAction::Errno(error as u32);
        let program: BpfProgram =
            SeccompFilter::new(rules, SeccompAction::Allow, deny, arch()).unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
    }
}
