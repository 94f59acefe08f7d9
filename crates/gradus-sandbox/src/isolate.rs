//! The layers between a program and the machine: what they are, whether they hold here, and how a child puts them on.
//!
//! Everything that allocates, opens or compiles happens in the parent. Between `fork` and `exec` the child only makes
//! system calls (`Confinement::enter`).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
    path_beneath_rules,
};
use seccompiler::BpfProgram;

use crate::cgroup::Entered;
use crate::namespaces::Namespaces;
use crate::{Limits, seccomp};

/// One layer of isolation, for `gradus doctor` and the run's manifest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Layer {
    /// Its name.
    pub name: &'static str,
    /// Whether programs run under it.
    pub active: bool,
    /// What it holds back; if it is not active, why not.
    pub detail: String,
}

/// How a language's memory is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// By address space: exact, but runtimes that reserve much more than they use break.
    AddressSpace,
    /// By what can be written to.
    Data,
}

impl Memory {
    fn resource(self) -> u32 {
        match self {
            Self::AddressSpace => libc::RLIMIT_AS,
            Self::Data => libc::RLIMIT_DATA,
        }
    }
}

/// Version of Landlock that the kernel speaks; 0 is none.
pub(crate) fn landlock_abi() -> i64 {
    const VERSION: u32 = 1;
    // SAFETY: with a null attribute and the version flag the call reads and writes no memory.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) };
    abi.max(0)
}

/// Whether this process may take on another user's id.
pub(crate) fn is_root() -> bool {
    // SAFETY: takes no argument, cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Whether this process may do all that own users for programs take: hand directories over, work in them all the same,
/// change users, and kill what another user runs. Containers sometimes leave root without.
pub(crate) fn may_change_users() -> bool {
    const CHOWN: u64 = 1;
    const DAC_OVERRIDE: u64 = 1 << 1;
    const FOWNER: u64 = 1 << 3;
    const KILL: u64 = 1 << 5;
    const SETGID: u64 = 1 << 6;
    const SETUID: u64 = 1 << 7;
    const NEEDED: u64 = CHOWN | DAC_OVERRIDE | FOWNER | KILL | SETGID | SETUID;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & NEEDED == NEEDED)
}

/// Makes orphans of programs children of this process, so that they can be reaped.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: plain integers; changes only who becomes the parent of orphans.
    let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A ruleset that lets a program read `readable`, execute `executable`, and do as it likes in `scratch`.
/// No TCP port can be bound or reached, no signal and no abstract socket leaves.
pub(crate) fn ruleset(readable: &[PathBuf], executable: &[PathBuf], scratch: &Path) -> Result<OwnedFd, String> {
    let abi = ABI::V7;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let scratch_access = AccessFs::from_all(abi)
        & !AccessFs::Execute
        & !AccessFs::IoctlDev
        & !AccessFs::MakeSock
        & !AccessFs::MakeChar
        & !AccessFs::MakeBlock;
    let build = || -> Result<Option<OwnedFd>, landlock::RulesetError> {
        let created = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(AccessNet::from_all(abi))?
            .scope(Scope::from_all(abi))?
            .create()?
            .add_rules(path_beneath_rules(readable, read))?
            .add_rules(path_beneath_rules(executable, AccessFs::ReadFile | AccessFs::Execute))?
            .add_rules(path_beneath_rules(["/dev/null", "/dev/zero"], device))?
            .add_rules(path_beneath_rules(["/dev/urandom", "/dev/random"], AccessFs::ReadFile))?
            .add_rules(path_beneath_rules([scratch], scratch_access))?;
        Ok(created.into())
    };
    build().map_err(|error| error.to_string())?.ok_or_else(|| "this kernel has no Landlock".to_string())
}

/// The seccomp programs, with their pointers laid out for the kernel.
pub(crate) struct Filters(Vec<BpfProgram>);

impl Filters {
    pub(crate) fn new() -> Result<Self, String> {
        seccomp::programs().map(Self)
    }
}

/// All that a child does to itself before it becomes the program.
pub(crate) struct Confinement {
    /// Landlock ruleset.
    pub(crate) ruleset: Option<Arc<OwnedFd>>,
    /// System call filters.
    pub(crate) filters: Option<Arc<Filters>>,
    /// User and group to become; needs root.
    pub(crate) uid: Option<u32>,
    /// Control group to enter.
    pub(crate) cgroup: Option<Entered>,
    /// Namespaces to enter.
    pub(crate) namespaces: Option<Arc<Namespaces>>,
    /// Whether the mount namespace is among them: it holds what the interpreter needs, and no other tool.
    pub(crate) own_files: bool,
    /// Resource limits.
    pub(crate) rlimits: Vec<(u32, u64, u64)>,
    /// Descriptors that the program inherits besides 0, 1 and 2.
    pub(crate) keep: [RawFd; 2],
    /// Killed when the thread that started it ends; without this only what it was told to notice ends it.
    pub(crate) ends_with_thread: bool,
}

impl Confinement {
    /// Applied between `fork` and `exec`: only system calls, no allocation, no lock.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // SAFETY: every call takes integers, or pointers into memory that `self` owns and that outlives the call;
        // all are async-signal-safe system calls, made in the child alone.
        unsafe {
            if let Some(entered) = &self.cgroup {
                entered.group.enter()?;
            }
            check(libc::setpgid(0, 0))?;
            libc::umask(0o077);
            for (resource, soft, hard) in &self.rlimits {
                let limit = libc::rlimit { rlim_cur: *soft, rlim_max: *hard };
                check(libc::setrlimit(*resource, &raw const limit))?;
            }
            // Close on exec, not now: the parent learns through such a descriptor if exec fails.
            if libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) != 0 {
                for descriptor in 3..1024 {
                    libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
                }
            }
            for descriptor in self.keep {
                if descriptor >= 0 {
                    check(libc::fcntl(descriptor, libc::F_SETFD, 0))?;
                }
            }
            if let Some(namespaces) = &self.namespaces {
                namespaces.enter_as_root(self.own_files)?;
            }
            if let Some(uid) = self.uid {
                // Not the library's functions, which want all threads to agree.
                check(libc::syscall(libc::SYS_setgroups, 0, 0) as i32)?;
                check(libc::syscall(libc::SYS_setresgid, uid, uid, uid) as i32)?;
                check(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as i32)?;
            }
            if let Some(namespaces) = &self.namespaces {
                namespaces.enter_as_user(self.own_files)?;
            }
            if self.ends_with_thread {
                // After the change of user, which clears it.
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))?;
            }
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
            if let Some(ruleset) = &self.ruleset {
                check(libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) as i32)?;
            }
            if let Some(filters) = &self.filters {
                for program in &filters.0 {
                    let program =
                        libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
                    check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0))?;
                }
            }
        }
        Ok(())
    }
}

/// The error of a system call that answers 0 if all is well.
pub(crate) fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Resource limits for one process under `limits`, as (resource, soft, hard). `processes` counts all that its user has.
pub(crate) fn rlimits(limits: &Limits, memory: Memory, processes: u64) -> Vec<(u32, u64, u64)> {
    let cpu_s = limits.cpu_ms.div_ceil(1000).max(1);
    let mut rlimits = vec![
        // The soft limit is a signal of its own, which says that it was the time.
        (libc::RLIMIT_CPU, cpu_s, cpu_s + 1),
    ];
    rlimits.extend(
        [
            (memory.resource(), limits.memory_bytes),
            (libc::RLIMIT_FSIZE, limits.file_bytes),
            (libc::RLIMIT_NPROC, processes),
            (libc::RLIMIT_NOFILE, 64),
            (libc::RLIMIT_CORE, 0),
            (libc::RLIMIT_MEMLOCK, 0),
        ]
        .map(|(resource, value)| (resource, value, value)),
    );
    rlimits
}

/// Tasks (threads too) that run as this process's user now. Without an own user per program the process limit counts them.
pub(crate) fn tasks_of_this_user() -> u64 {
    // SAFETY: takes no argument, cannot fail.
    let own = unsafe { libc::getuid() };
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter(|entry| {
            std::os::unix::fs::MetadataExt::uid(&match entry.metadata() {
                Ok(metadata) => metadata,
                Err(_) => return false,
            }) == own
        })
        .map(|entry| std::fs::read_dir(entry.path().join("task")).map_or(1, |tasks| tasks.count() as u64))
        .sum()
}

/// The dynamic loader that an ELF program names; it must be executable too.
pub(crate) fn loader(program: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::FileExt;
    let file = File::open(program).ok()?;
    let mut header = [0_u8; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    if &header[..6] != b"\x7fELF\x02\x01" {
        return None;
    }
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let half = |bytes: &[u8], at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let (offset, size, count) = (word(&header, 32), half(&header, 54), half(&header, 56));
    for index in 0..count {
        let mut entry = [0_u8; 56];
        file.read_exact_at(&mut entry, offset + index * size).ok()?;
        const INTERPRETER: u32 = 3;
        if u32::from_le_bytes(entry[..4].try_into().expect("four bytes")) == INTERPRETER {
            let mut path = vec![0_u8; word(&entry, 32).min(4096) as usize];
            file.read_exact_at(&mut path, word(&entry, 8)).ok()?;
            path.pop_if(|byte| *byte == 0);
            return std::fs::canonicalize(String::from_utf8(path).ok()?).ok();
        }
    }
    None
}

impl Confinement {
    /// Counts another part of the memory than the limits were made for.
    pub(crate) fn limit_memory_by(&mut self, memory: Memory) {
        for (resource, ..) in &mut self.rlimits {
            if [libc::RLIMIT_AS, libc::RLIMIT_DATA].contains(resource) {
                *resource = memory.resource();
            }
        }
    }

    /// No layer at all: what probes start from.
    pub(crate) fn none() -> Self {
        Self {
            ruleset: None,
            filters: None,
            uid: None,
            cgroup: None,
            namespaces: None,
            own_files: true,
            rlimits: Vec::new(),
            keep: [-1, -1],
            ends_with_thread: true,
        }
    }
}

/// Whether a child can put `confinement` on. It never becomes a program: it ends, or says which error came.
pub(crate) fn try_in_child(confinement: &Confinement) -> Result<(), String> {
    try_in_child_and(confinement, || Ok(()))
}

/// The same, and whether it can do `then` with it on, which only makes async-signal-safe system calls.
pub(crate) fn try_in_child_and(confinement: &Confinement, then: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    // SAFETY: the child only calls `enter` and `then` (async-signal-safe system calls) and `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = match confinement.enter().and_then(|()| then()) {
            Ok(()) => 0,
            Err(error) => error.raw_os_error().unwrap_or(255),
        };
        // SAFETY: ends the child at once, without handlers or destructors.
        unsafe { libc::_exit(code) }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error().to_string());
    }
    let mut status = 0;
    loop {
        // SAFETY: waits for the child made above, and writes to `status` only.
        let reaped = unsafe { libc::waitpid(pid, &raw mut status, 0) };
        if reaped == pid {
            break;
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return Err("the trial process was lost".into());
        }
    }
    match (libc::WIFEXITED(status), libc::WEXITSTATUS(status)) {
        (true, 0) => Ok(()),
        (true, code) => Err(io::Error::from_raw_os_error(code).to_string()),
        (false, _) => Err(format!("the trial process ended by signal {}", libc::WTERMSIG(status))),
    }
}
