//! One process group from start to the last reaped descendant, under a deadline that the host keeps.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::isolate::Confinement;
use crate::server::Server;
use crate::starvation::Watch;

/// What to start.
pub(crate) struct Job<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<OsString>,
    pub(crate) directory: &'a Path,
    /// Bytes on standard input.
    pub(crate) stdin: &'a [u8],
    /// Where Python finds further modules.
    pub(crate) packages: &'a [PathBuf],
    /// Environment variables besides those that all programs have.
    pub(crate) environment: Vec<(String, String)>,
    /// The descriptor on which the program reports; read to its end.
    pub(crate) report: Option<(OwnedFd, OwnedFd)>,
    pub(crate) confinement: Confinement,
    /// Forked from this server, which is asked for that much, instead of started anew.
    pub(crate) server: Option<(&'a mut Server, &'static str)>,
    pub(crate) wall: Duration,
    /// Bytes taken from each stream before the program is stopped.
    pub(crate) output_bytes: usize,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) report: Vec<u8>,
    /// A stream held more than it may.
    pub(crate) overflow: bool,
    /// The host stopped it: its wall time was up.
    pub(crate) overdue: bool,
    /// Its control group ran out of memory.
    pub(crate) out_of_memory: bool,
    /// Share of the wall time that the program was ready to run but had no processor, 0 to 1; only known if overdue.
    pub(crate) starved: f64,
    pub(crate) cpu_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) memory_bytes: u64,
}

/// Exit of the group's leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

/// Runs `job` to its end. When this returns, nothing of it runs any more and nothing is left to reap.
pub(crate) fn run(job: Job<'_>) -> io::Result<Ended> {
    let stdin = anonymous_file(job.stdin)?;
    let cgroup = job.confinement.cgroup.clone();
    // A server lives on in its group.
    let all_end = job.server.is_none();
    let (stdout, stdout_there) = pipe()?;
    let (stderr, stderr_there) = pipe()?;
    let start = Instant::now();
    let group = if let Some((server, request)) = job.server {
        let mut given = vec![stdin.as_raw_fd(), stdout_there.as_raw_fd(), stderr_there.as_raw_fd()];
        given.extend(job.confinement.keep.iter().filter(|descriptor| **descriptor >= 0));
        server.fork(request, &given, &job.confinement.rlimits)?
    } else {
        let mut command = command(job.program, job.args, job.directory, job.packages, job.confinement);
        command.envs(job.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(stdin).stdout(stdout_there).stderr(stderr_there);
        Group::of(command.spawn()?.id())
    };

    let mut streams = vec![Stream::new(stdout, job.output_bytes), Stream::new(stderr, job.output_bytes)];
    if let Some((read, write)) = job.report {
        drop(write);
        streams.push(Stream::new(read, REPORT_BYTES));
    }
    let ended = pidfd(group.leader);
    let mut watch = Watch::new(group.leader, start, job.wall);
    let (mut overdue, mut starved) = (false, 0.0);
    loop {
        let left = job.wall.saturating_sub(start.elapsed());
        if left.is_zero() {
            overdue = true;
            starved = watch.look();
            break;
        }
        watch.tick();
        let left = left.min(watch.pause());
        // Without a pidfd the end is looked for every few milliseconds.
        let nap = if ended.is_some() { left } else { left.min(Duration::from_millis(5)) };
        if wait(&mut streams, ended.as_ref(), nap) || (ended.is_none() && group.has_ended()) {
            break;
        }
        if streams.iter().any(|stream| stream.overflow) {
            break;
        }
    }
    let wall_ms = start.elapsed().as_millis() as u64;
    if let (Some(entered), true) = (&cgroup, all_end) {
        entered.group.kill();
    }
    let (exit, usage) = group.stop();
    // Every writer is dead: what is left in the pipes is all there will be.
    for stream in &mut streams {
        while stream.read() {}
    }
    let overflow = streams.iter().any(|stream| stream.overflow);
    let report = if streams.len() == 3 { streams.remove(2).bytes } else { Vec::new() };
    let stderr = streams.remove(1).bytes;
    let stdout = streams.remove(0).bytes;
    Ok(Ended {
        exit,
        stdout,
        stderr,
        report,
        overflow,
        overdue,
        out_of_memory: cgroup.is_some_and(|entered| entered.out_of_memory()),
        starved,
        cpu_ms: usage.cpu_ms,
        wall_ms,
        memory_bytes: usage.memory_bytes,
    })
}

/// A program in a fixed world, under `confinement`. Its streams are still to be set.
pub(crate) fn command(
    program: &Path,
    args: Vec<OsString>,
    directory: &Path,
    packages: &[PathBuf],
    confinement: Confinement,
) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(directory).env_clear().envs(ENVIRONMENT.iter().copied());
    if let Ok(packages) = std::env::join_paths(packages)
        && !packages.is_empty()
    {
        command.env("PYTHONPATH", packages);
    }
    // SAFETY: `enter` only makes async-signal-safe system calls on memory that the closure owns.
    unsafe { command.pre_exec(move || confinement.enter()) };
    command
}

/// Same input, same output.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("HOME", "."),
    ("TMPDIR", "."),
    ("TZ", "UTC"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUTF8", "1"),
    // Long answers are printed as one number; graders of such tests raise the limit to this too.
    ("PYTHONINTMAXSTRDIGITS", "50000"),
];

/// A report is written by our own code, but about programs that may print much.
const REPORT_BYTES: usize = 16 << 20;

/// A file without a name that holds `bytes`, read from its start.
pub(crate) fn anonymous_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::io::{Seek, Write};
    // SAFETY: the name is a terminated string; the returned descriptor is owned by no one else.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"input".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    let mut file = std::fs::File::from(file);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

/// A pipe whose ends close on exec: (read, write).
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((read.into(), write.into()))
}

/// The process group of one program. Dropped, it is killed and reaped.
pub(crate) struct Group {
    leader: libc::pid_t,
    reaped: bool,
}

#[derive(Default)]
struct Usage {
    cpu_ms: u64,
    memory_bytes: u64,
}

impl Group {
    /// The group that is named after `leader`, a child of this process.
    pub(crate) fn of(leader: u32) -> Self {
        Self { leader: leader.cast_signed(), reaped: false }
    }

    pub(crate) fn leader(&self) -> libc::pid_t {
        self.leader
    }

    fn has_ended(&self) -> bool {
        // SAFETY: an all-zero siginfo_t is valid, and the call only writes to it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let done = libc::waitid(
                libc::P_PID,
                self.leader.cast_unsigned(),
                &raw mut info,
                libc::WEXITED | libc::WNOHANG | libc::WNOWAIT,
            );
            done == 0 && info.si_pid() == self.leader
        }
    }

    /// Kills all members and reaps them. The leader is not reaped before the kill, so the group's number is still its own.
    fn stop(mut self) -> (Exit, Usage) {
        let mut usage = Usage::default();
        // SAFETY: the group's leader is an unreaped child of this process, so the number names this group and no other.
        unsafe { libc::kill(-self.leader, libc::SIGKILL) };
        let status = usage.reap(self.leader).map_or(0, |(_, status)| status);
        self.reaped = true;
        // Orphans have become our children (see `become_subreaper`); all have been killed, so this ends.
        while usage.reap(-self.leader).is_some() {}
        let exit = if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        };
        (exit, usage)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            let group = Self { leader: self.leader, reaped: true };
            group.stop();
        }
    }
}

impl Usage {
    /// Waits for one process and adds what it used.
    fn reap(&mut self, whom: libc::pid_t) -> Option<(libc::pid_t, i32)> {
        loop {
            let mut status = 0;
            // SAFETY: an all-zero rusage is valid, and the call only writes to it and to `status`.
            let (pid, used) = unsafe {
                let mut used: libc::rusage = std::mem::zeroed();
                (libc::wait4(whom, &raw mut status, libc::__WALL, &raw mut used), used)
            };
            if pid > 0 {
                let ms = |time: libc::timeval| time.tv_sec.cast_unsigned() * 1000 + time.tv_usec.cast_unsigned() / 1000;
                self.cpu_ms += ms(used.ru_utime) + ms(used.ru_stime);
                self.memory_bytes = self.memory_bytes.max(used.ru_maxrss.cast_unsigned() * 1024);
                return Some((pid, status));
            }
            if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return None;
            }
        }
    }
}

/// One stream of the program, read without blocking, up to a limit.
pub(crate) struct Stream {
    descriptor: Option<OwnedFd>,
    pub(crate) bytes: Vec<u8>,
    limit: usize,
    overflow: bool,
}

impl Stream {
    pub(crate) fn new(descriptor: OwnedFd, limit: usize) -> Self {
        // SAFETY: changes a flag of a descriptor that we own.
        unsafe {
            let flags = libc::fcntl(descriptor.as_raw_fd(), libc::F_GETFL);
            libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK);
        }
        Self { descriptor: Some(descriptor), bytes: Vec::new(), limit, overflow: false }
    }

    /// Takes what is there. False once nothing is: empty for now, at its end, or over its limit.
    pub(crate) fn read(&mut self) -> bool {
        let Some(descriptor) = &self.descriptor else { return false };
        let mut buffer = [0_u8; 1 << 14];
        // SAFETY: the buffer is ours and as long as we say.
        let n = unsafe { libc::read(descriptor.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match n {
            0 => self.descriptor = None,
            1.. => {
                let take = n.cast_unsigned().min(self.limit - self.bytes.len());
                self.bytes.extend_from_slice(&buffer[..take]);
                self.overflow |= take < n.cast_unsigned();
            }
            _ => match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => return true,
                io::ErrorKind::WouldBlock => return false,
                _ => self.descriptor = None,
            },
        }
        n > 0 && !self.overflow
    }
}

/// Waits for output or the end. True at the end.
fn wait(streams: &mut [Stream], ended: Option<&OwnedFd>, nap: Duration) -> bool {
    let number = |descriptor: Option<&OwnedFd>| descriptor.map_or(-1, AsRawFd::as_raw_fd);
    let watch = |descriptor: RawFd| libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let mut watched: Vec<_> =
        streams.iter().map(|stream| watch(number(stream.descriptor.as_ref()))).chain([watch(number(ended))]).collect();
    let milliseconds = nap.as_millis().clamp(1, 60_000) as i32;
    // SAFETY: the array is ours and as long as we say; negative descriptors are skipped.
    unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, milliseconds) };
    for (stream, watched) in streams.iter_mut().zip(&watched) {
        if watched.revents != 0 {
            stream.read();
        }
    }
    watched.last().is_some_and(|watched| watched.revents != 0)
}

/// A descriptor that becomes readable when the process ends.
fn pidfd(pid: libc::pid_t) -> Option<OwnedFd> {
    // SAFETY: plain integers; a descriptor that comes back is owned by no one else.
    unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, pid, 0) as RawFd;
        (descriptor >= 0).then(|| OwnedFd::from_raw_fd(descriptor))
    }
}
