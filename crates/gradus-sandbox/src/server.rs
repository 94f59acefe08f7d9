//! The fast path: an interpreter that is started once per slot and forks a process per test (`server.py`).
//!
//! The server is under all layers before it reads its first request, and every process that it forks is born under
//! them. A test's process is orphaned on purpose: this process, a subreaper, becomes its parent, and can make it a
//! group of its own, wait for it and kill it, just as if it had started it. Then it gets its one request, on a socket
//! of its own. Programs and tests never pass through the server.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::isolate::Confinement;
use crate::process::{self, Group, Stream};
use crate::python;

/// Processes that are made at a time.
const BATCH: usize = 8;

/// Processes of the programs' user that a server accounts for, at most: itself, those that wait, and the one between.
pub(crate) const PROCESSES: u64 = 2 + BATCH as u64;

/// Batches that one server makes before it is replaced. Nothing is known that would wear it out.
const BATCHES: u32 = 200;

/// A server that says nothing for this long is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A warm interpreter, waiting for requests.
pub(crate) struct Server {
    control: UnixStream,
    lifeline: Lifeline,
    batches: u32,
    waiting: Vec<Waiting>,
    /// Address space that the warm modules take, which a program's limit does not count.
    warm_bytes: u64,
    /// Its own output: nothing, unless it fails.
    errors: OwnedFd,
    _output: OwnedFd,
    /// Ended with the rest, and with all that it has forked and not handed over.
    group: Group,
}

/// A process that waits for its request.
struct Waiting {
    group: Group,
    socket: UnixStream,
}

/// Ends the test that runs if this process ends, however it ends: the kernel kills the group that owns the reading end
/// when the last writing end is closed.
struct Lifeline {
    read: OwnedFd,
    _write: OwnedFd,
}

impl Server {
    /// Starts the server `code` (a compiled module, already in `directory` under the name `file`).
    pub(crate) fn start(
        program: &Path,
        file: &str,
        directory: &Path,
        packages: &[PathBuf],
        mut confinement: Confinement,
    ) -> io::Result<Self> {
        let (control, there) = UnixStream::pair()?;
        let lifeline = Lifeline::new()?;
        let kept = [there.as_raw_fd(), lifeline.read.as_raw_fd()];
        confinement.keep = kept;
        confinement.ends_with_thread = false;
        // What the interpreter asks of its streams when it starts must also hold of those that tests get.
        let (output, output_there) = process::pipe()?;
        let (errors, errors_there) = process::pipe()?;
        let args = python::FLAGS.iter().map(|flag| (*flag).into());
        let args = args.chain([file.into()]).chain(kept.map(|descriptor| descriptor.to_string().into())).collect();
        let mut command = process::command(program, args, directory, packages, confinement);
        command.stdin(process::anonymous_file(b"")?).stdout(Stdio::from(output_there)).stderr(errors_there);
        let group = Group::of(command.spawn()?.id());
        drop((command, there));
        control.set_read_timeout(Some(PATIENCE))?;
        let mut server =
            Self { control, lifeline, batches: 0, waiting: Vec::new(), warm_bytes: 0, errors, _output: output, group };
        let cold = server.await_sign(b'0')?;
        server.control.write_all(b"1")?;
        server.warm_bytes = server.await_sign(b'1')?.saturating_sub(cold);
        Ok(server)
    }

    /// Has a process do `request` with `streams` as its first descriptors, under `rlimits`.
    pub(crate) fn fork(&mut self, request: &str, streams: &[RawFd], rlimits: &[(u32, u64, u64)]) -> io::Result<Group> {
        if self.waiting.is_empty() {
            self.refill()?;
        }
        let Waiting { group, socket } = self.waiting.pop().expect("it was just filled");
        let mut request = request.to_owned();
        for &(resource, soft, hard) in rlimits {
            let more = match resource {
                libc::RLIMIT_AS => self.warm_bytes,
                // The server and those that wait are processes of the same user.
                libc::RLIMIT_NPROC => 1 + self.waiting.len() as u64,
                _ => 0,
            };
            // Signed, as the interpreter wants it: unlimited is -1.
            let [soft, hard] = [soft, hard].map(|limit| limit.saturating_add(more).cast_signed());
            write!(request, " {resource}:{soft}:{hard}").expect("text can always be written to");
        }
        self.lifeline.hold(group.leader())?;
        send(&socket, request.as_bytes(), streams)?;
        Ok(group)
    }

    /// Has processes made that wait for a request each.
    fn refill(&mut self) -> io::Result<()> {
        self.batches += 1;
        let pairs: Vec<_> = (0..BATCH).map(|_| UnixStream::pair()).collect::<Result<_, _>>()?;
        let theirs: Vec<_> = pairs.iter().map(|(_, theirs)| theirs.as_raw_fd()).collect();
        send(&self.control, b"+", &theirs)?;
        let mut reply = [0; 4 * BATCH + 1];
        self.control.read_exact(&mut reply)?;
        for ((socket, _), pid) in pairs.into_iter().zip(reply.chunks_exact(4)) {
            let pid = i32::from_le_bytes(pid.try_into().expect("chunks of four bytes"));
            // SAFETY: plain integers. The kernel refuses unless this is a child of ours that is no other program yet.
            if pid <= 0 || unsafe { libc::setpgid(pid, pid) } != 0 {
                return Err(io::Error::last_os_error());
            }
            self.waiting.push(Waiting { group: Group::of(pid.cast_unsigned()), socket });
        }
        Ok(())
    }

    /// Whether it still waits for requests.
    pub(crate) fn is_alive(&self) -> bool {
        let mut control = libc::pollfd { fd: self.control.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one element, ours. Between requests the server neither speaks nor hangs up.
        unsafe { libc::poll(&raw mut control, 1, 0) == 0 }
    }

    /// Whether it has done its share.
    pub(crate) fn is_worn(&self) -> bool {
        self.batches >= BATCHES && self.waiting.is_empty()
    }

    /// Waits until the server says `sign`, and looks how much address space it has then, in bytes.
    fn await_sign(&mut self, sign: u8) -> io::Result<u64> {
        let mut said = [0];
        if self.control.read_exact(&mut said).is_err() || said[0] != sign {
            let mut errors = Stream::new(self.errors.try_clone()?, 1 << 14);
            while errors.read() {}
            let why = String::from_utf8_lossy(&errors.bytes);
            let last = why.lines().last().unwrap_or("it says nothing");
            return Err(io::Error::other(format!("the warm interpreter does not start: {last}")));
        }
        let pages = std::fs::read_to_string(format!("/proc/{}/statm", self.group.leader()))?;
        let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
        // SAFETY: takes a constant, cannot fail.
        Ok(pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned())
    }
}

impl Lifeline {
    fn new() -> io::Result<Self> {
        let (read, write) = process::pipe()?;
        // SAFETY: changes flags of a descriptor that we own.
        let done = unsafe {
            libc::fcntl(read.as_raw_fd(), F_SETSIG, libc::SIGKILL) == 0
                && libc::fcntl(read.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC) == 0
        };
        if done { Ok(Self { read, _write: write }) } else { Err(io::Error::last_os_error()) }
    }

    /// Ties the group to it, in place of the one before.
    fn hold(&self, group: libc::pid_t) -> io::Result<()> {
        // SAFETY: plain integers; a negative number names a group, which is an unreaped child's own.
        let done = unsafe { libc::fcntl(self.read.as_raw_fd(), libc::F_SETOWN, -group) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Which signal an asynchronous descriptor sends. The C library has it, its Rust interface does not.
const F_SETSIG: i32 = 10;

/// Sends bytes and copies of descriptors, at most `MOST` of them.
fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    const MOST: usize = 8;
    assert!(descriptors.len() <= MOST, "no request has more descriptors");
    let size = mem::size_of_val(descriptors) as u32;
    // Of a type that is aligned like the header.
    let mut ancillary = [0_u64; 8];
    // SAFETY: `ancillary` is aligned and longer than a header and eight descriptors, all of it is initialised, and the
    // message points at memory that outlives the call.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = ancillary.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).copy_from_nonoverlapping(descriptors.as_ptr().cast(), size as usize);
        if libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
