//! The system calls a program may make: an allow-list, compiled once to BPF.
//!
//! Left out on purpose: sockets (but for a private stream pair, which `asyncio` wants), signals to anyone, new sessions
//! and groups, namespaces, tracing and the memory of others, changes of owner, mode and times (Landlock does not guard
//! those), System V and POSIX queues, io_uring, BPF, keys, mounts. Anything not listed answers `EPERM`; `clone3`
//! answers `ENOSYS`, on which libraries fall back to `clone`, whose flags a filter can see.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// The filters, in the order in which they are installed; the strictest answer wins.
pub(crate) fn programs() -> Result<Vec<BpfProgram>, String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = |rules, mismatch, matched| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, mismatch, matched, arch)?.try_into()
    };
    let not_there = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let allowed = allowed().map_err(|error| error.to_string())?;
    Ok(vec![
        filter(not_there, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))
            .map_err(|error| error.to_string())?,
        filter(allowed, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
            .map_err(|error| error.to_string())?,
    ])
}

fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = FILES
        .iter()
        .chain(MEMORY)
        .chain(PROCESSES)
        .chain(TIME)
        .chain(WAITING)
        .chain(LEGACY)
        .map(|call| (*call, Vec::new()))
        .collect();
    let equal = |index, value: u64| SeccompCondition::new(index, Len::Dword, Op::Eq, value);
    let masked = |index, mask: u64, value: u64| SeccompCondition::new(index, Len::Qword, Op::MaskedEq(mask), value);

    let namespaces = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u32;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![masked(0, u64::from(namespaces), 0)?])?]);
    // Limits of the caller alone: another process of this user may be the one that judges it.
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![equal(0, 0)?])?]);
    // The type's low bits are the kind, the rest flags. A datagram socket could address sockets outside; the other
    // kinds know their peer only. (Rust's library starts other programs with the help of a pair of packet sockets.)
    let pair = |kind: i32| SeccompRule::new(vec![equal(0, libc::AF_UNIX as u64)?, masked(1, 0xf, kind as u64)?]);
    rules.insert(libc::SYS_socketpair, vec![pair(libc::SOCK_STREAM)?, pair(libc::SOCK_SEQPACKET)?]);
    let one_of = |index, values: &[u64]| {
        values.iter().map(|value| SeccompRule::new(vec![equal(index, *value)?])).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_ioctl, one_of(1, IOCTLS)?);
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTLS)?);
    rules.insert(libc::SYS_prctl, one_of(0, PRCTLS)?);
    Ok(rules)
}

/// TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what a C library asks of its own descriptors.
const IOCTLS: &[u64] = &[0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451];

/// Copies, flags, locks and pipe sizes, by number as the machines share them. Not F_SETOWN and F_SETSIG, which have the
/// kernel send any signal to another process.
const FCNTLS: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032];

/// PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA.
const PRCTLS: &[u64] = &[15, 16, 23, 0x5356_4d41];

#[rustfmt::skip]
const FILES: &[i64] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64,
    libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_lseek, libc::SYS_close,
    libc::SYS_close_range, libc::SYS_dup, libc::SYS_dup3, libc::SYS_openat, libc::SYS_fstat,
    libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_faccessat,
    libc::SYS_faccessat2, libc::SYS_readlinkat, libc::SYS_getdents64, libc::SYS_mkdirat, libc::SYS_unlinkat,
    libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_truncate,
    libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_fadvise64, libc::SYS_fsync, libc::SYS_fdatasync,
    libc::SYS_flock, libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_getcwd, libc::SYS_umask, libc::SYS_pipe2,
    libc::SYS_sendfile, libc::SYS_copy_file_range,
];

#[rustfmt::skip]
const MEMORY: &[i64] = &[
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk,
    libc::SYS_msync, libc::SYS_mincore, libc::SYS_membarrier,
];

#[rustfmt::skip]
const PROCESSES: &[i64] = &[
    libc::SYS_execve, libc::SYS_exit, libc::SYS_exit_group, libc::SYS_wait4, libc::SYS_waitid, libc::SYS_clone3,
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid,
    libc::SYS_getegid, libc::SYS_getgroups, libc::SYS_getresuid, libc::SYS_getresgid, libc::SYS_getpgid,
    libc::SYS_getsid, libc::SYS_capget, libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_rt_sigsuspend, libc::SYS_sigaltstack,
    libc::SYS_futex, libc::SYS_set_tid_address, libc::SYS_set_robust_list, libc::SYS_get_robust_list,
    libc::SYS_rseq, libc::SYS_restart_syscall, libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrandom,
    libc::SYS_getrusage, libc::SYS_getcpu, libc::SYS_getpriority, libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity, libc::SYS_sched_getparam, libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max, libc::SYS_sched_get_priority_min,
];

#[rustfmt::skip]
const TIME: &[i64] = &[
    libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_clock_nanosleep, libc::SYS_nanosleep,
    libc::SYS_gettimeofday, libc::SYS_times, libc::SYS_getitimer, libc::SYS_setitimer,
];

#[rustfmt::skip]
const WAITING: &[i64] = &[
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg,
    libc::SYS_recvmsg, libc::SYS_shutdown, libc::SYS_getsockopt, libc::SYS_setsockopt, libc::SYS_getsockname,
    libc::SYS_getpeername,
];

/// Older names of the same calls, which only this machine type has.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const LEGACY: &[i64] = &[
    libc::SYS_open, libc::SYS_creat, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink,
    libc::SYS_mkdir, libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_link, libc::SYS_symlink,
    libc::SYS_getdents, libc::SYS_dup2, libc::SYS_pipe, libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_create,
    libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_alarm, libc::SYS_time, libc::SYS_fork, libc::SYS_vfork,
    libc::SYS_getpgrp, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[i64] = &[];
