//! Ways out of the sandbox. Each is first shown to work without it, on real victims, then to fail inside.

#[path = "common/environments.rs"]
mod environments;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::{Child, Command};

use environments::Environment;
use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};

/// Name, and a program that prints ESCAPED if it gets out. `sys`, `os`, `socket` and `call` (a raw system call by its
/// numbers on x86_64 and aarch64) are there; so are the victims: `tcp`, `udp` (ports), `home` (a directory that all may
/// write, with the file `secret`), `victim` (a process of this user), `name` (of an abstract socket).
const ESCAPES: &[(&str, &str)] = &[
    ("tcp connect", "socket.create_connection(('127.0.0.1', tcp)); ok()"),
    ("tcp listen", "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); ok()"),
    ("tcp over ipv6", "socket.socket(socket.AF_INET6); ok()"),
    ("udp send", "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', udp)); ok()"),
    ("udp bind", "socket.socket(type=socket.SOCK_DGRAM).bind(('127.0.0.1', 0)); ok()"),
    ("unix socket", "socket.socket(socket.AF_UNIX).connect(home + '/stream'); ok()"),
    ("unix socket bound outside", "socket.socket(socket.AF_UNIX).bind(home + '/new'); ok()"),
    ("abstract socket", "socket.socket(socket.AF_UNIX).connect('\\0' + name); ok()"),
    (
        "datagram over a pair",
        "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b'x', home + '/datagram'); ok()",
    ),
    ("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); ok()"),
    ("read a system file", "open('/etc/passwd').read(); ok()"),
    ("read a process", "open('/proc/self/status').read(); ok()"),
    ("read the parent's maps", "open('/proc/%d/status' % os.getppid()).read(); ok()"),
    ("list the root", "os.listdir('/').index('proc'); ok()"),
    ("list processes", "os.listdir('/proc'); ok()"),
    ("list devices", "os.listdir('/sys'); ok()"),
    ("list a foreign directory", "os.listdir(home); ok()"),
    ("read a foreign file", "open(home + '/secret').read(); ok()"),
    ("read through a link", "os.symlink(home + '/secret', 'link'); open('link').read(); ok()"),
    ("read through a hard link", "os.link(home + '/secret', home + '/link2'); open(home + '/link2').read(); ok()"),
    (
        "read through a descriptor of a directory",
        "d = os.open(home, os.O_PATH); os.open('secret', os.O_RDONLY, dir_fd=d); ok()",
    ),
    ("write a foreign file", "open(home + '/secret', 'w').write('secret'); ok()"),
    ("append to a foreign file", "open(home + '/secret', 'a').write('x'); ok()"),
    ("truncate a foreign file", "os.truncate(home + '/secret', 3); ok()"),
    ("make a foreign file", "open(home + '/made', 'w').write('x'); ok()"),
    (
        "make a file in shared memory",
        "open('/dev/shm/gradus-%d' % os.getpid(), 'w').close(); os.remove('/dev/shm/gradus-%d' % os.getpid()); ok()",
    ),
    ("make a foreign directory", "os.mkdir(home + '/d'); ok()"),
    ("make a foreign fifo", "os.mkfifo(home + '/fifo'); ok()"),
    ("remove a foreign file", "os.remove(home + '/victim1'); ok()"),
    ("move a foreign file", "os.rename(home + '/victim2', home + '/moved'); ok()"),
    ("change a mode", "os.chmod(home + '/secret', 0o666); ok()"),
    ("change an owner", "os.chown(home + '/secret', os.getuid(), os.getgid()); ok()"),
    ("change times", "os.utime(home + '/secret', (1, 1)); ok()"),
    ("signal a process", "os.kill(victim, 0); ok()"),
    ("signal the parent", "os.kill(os.getppid(), 0); ok()"),
    ("signal the group", "os.kill(0, 0); ok()"),
    ("signal everyone", "os.kill(-1, 0); ok()"),
    ("signal a thread", "call(234, 131, victim, victim, 0); ok()"),
    ("a new session", "os.fork() or (os.setsid(), ok())"),
    ("a new group", "os.fork() or (os.setpgid(0, 0), ok())"),
    ("a descriptor of a process", "call(434, 434, victim, 0); ok()"),
    ("trace a process", "call(101, 117, 0x4206, victim, 0, 0); ok()"),
    (
        "read a process's memory",
        "b = ctypes.create_string_buffer(64); v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8); call(310, 270, os.getpid(), v, 1, v, 1, 0); ok()",
    ),
    ("limits of a process", "import resource; resource.prlimit(victim, resource.RLIMIT_NOFILE); ok()"),
    ("priority of a process", "os.setpriority(os.PRIO_PROCESS, victim, 7); ok()"),
    ("processors of a process", "os.sched_setaffinity(victim, os.sched_getaffinity(0)); ok()"),
    ("a user namespace", "call(272, 97, 0x10000000); ok()"),
    ("a network namespace", "call(272, 97, 0x40000000 | 0x10000000); ok()"),
    ("a clone in a namespace", "(call(56, 220, 0x10000000 | 17, 0, 0, 0, 0), ok())"),
    ("mount", "call(165, 40, b'none', home.encode() + b'/mount', b'tmpfs', 0, 0); ok()"),
    ("chroot", "os.chroot(home); ok()"),
    ("io_uring", "call(425, 425, 4, ctypes.create_string_buffer(120)); ok()"),
    ("keys", "call(248, 217, b'user', b'gradus', b'x', 1, -1); ok()"),
    ("bpf", "call(321, 280, 0, (ctypes.c_uint32 * 32)(2, 4, 4, 1), 128); ok()"),
    ("shared memory", "i = call(29, 194, 0, 4096, 0o1600); call(31, 195, i, 0, 0); ok()"),
    ("message queue", "i = call(68, 186, 0, 0o1600); call(71, 187, i, 0, 0); ok()"),
    ("semaphores", "i = call(64, 190, 0, 1, 0o1600); call(66, 191, i, 0, 0); ok()"),
    ("files in memory", "os.memfd_create('x'); ok()"),
    ("watching files", "call(294, 26, 0); ok()"),
    ("another user", "os.setuid(12345); ok()"),
    ("a shell", "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'], check=True); ok()"),
    ("becoming another program", "os.execv('/bin/echo', ['echo', 'ESCAPED'])"),
    (
        "a copied program",
        "import shutil; shutil.copyfile('/bin/true', 'true'); os.chmod('true', 0o755); os.execv('./true', ['true']) if os.fork() == 0 else (os.wait()[1] == 0 and ok())",
    ),
    (
        "a program in memory",
        "f = os.memfd_create('x'); os.write(f, open('/bin/true', 'rb').read()); os.execve(f, ['true'], {}) if os.fork() == 0 else (os.wait()[1] == 0 and ok())",
    ),
    ("a personality", "call(135, 92, 0x0040000); ok()"),
    ("a subreaper", "call(157, 167, 36, 1, 0, 0, 0); ok()"),
    ("the parent's environment", "open('/proc/%d/environ' % os.getppid(), 'rb').read(); ok()"),
];

const PREAMBLE: &str = r"
import sys, os, socket, ctypes, platform
def ok():
    print('ESCAPED', flush=True)
libc = ctypes.CDLL(None, use_errno=True)
def call(x86, arm, *args):
    n = libc.syscall(ctypes.c_long(arm if platform.machine() == 'aarch64' else x86), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if n < 0:
        raise OSError(ctypes.get_errno(), 'call')
    return n
";

/// What programs try to reach.
struct Victims {
    home: tempfile::TempDir,
    tcp: TcpListener,
    udp: UdpSocket,
    name: String,
    process: Child,
    _sockets: (UnixListener, UnixListener, UnixDatagram),
}

impl Victims {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let name = format!("gradus-test-{}", std::process::id());
        let open = UnixListener::bind(home.path().join("stream")).unwrap();
        let datagram = UnixDatagram::bind(home.path().join("datagram")).unwrap();
        for socket in ["stream", "datagram"] {
            fs::set_permissions(home.path().join(socket), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self {
            tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
            udp: UdpSocket::bind("127.0.0.1:0").unwrap(),
            name,
            process: Command::new("sleep").arg("600").spawn().unwrap(),
            _sockets: (open, hidden, datagram),
            home,
        }
    }

    /// Puts everything back, and writes down where it is.
    fn preamble(&self) -> String {
        let home = self.home.path();
        for file in ["secret", "victim1", "victim2"] {
            let path = home.join(file);
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        }
        for file in ["link2", "made", "fifo", "moved", "new"] {
            let _ = fs::remove_file(home.join(file));
        }
        let _ = fs::remove_dir(home.join("d"));
        fs::create_dir_all(home.join("mount")).unwrap();
        format!(
            "{PREAMBLE}tcp, udp, home, victim, name = {}, {}, {:?}, {}, {:?}\n",
            self.tcp.local_addr().unwrap().port(),
            self.udp.local_addr().unwrap().port(),
            home.to_str().unwrap(),
            self.process.id(),
            self.name
        )
    }
}

impl Drop for Victims {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn escapes(sandbox: &Sandbox, source: &str) -> (bool, String) {
    let tests = Tests::stdin(vec![StdinCase { input: String::new(), output: "nothing".into() }]);
    let program = Program { language: "python".into(), source: source.into() };
    let outcome = sandbox.run(&program, &tests, &Limits { wall_ms: 10_000, ..Limits::default() });
    let test = &outcome.tests[0];
    assert_ne!(test.status, gradus_sandbox::Status::SandboxError, "{test:?}");
    (test.stdout.contains("ESCAPED"), format!("{} {}", test.detail, test.stderr))
}

/// One that forks programs from a warm interpreter, one that starts them.
fn both_paths() -> [Sandbox; 2] {
    [true, false].map(|warm| Sandbox::new(Policy { warm, ..Policy::default() }).unwrap())
}

#[test]
fn no_escape_works() {
    no_escape_works_in(Environment::ThisUser, "no_escape_works");
}

#[test]
fn no_escape_works_without_privileges() {
    no_escape_works_in(Environment::Unprivileged, "no_escape_works_without_privileges");
}

#[test]
fn no_escape_works_without_privileges_or_namespaces() {
    no_escape_works_in(Environment::WithoutNamespaces, "no_escape_works_without_privileges_or_namespaces");
}

#[test]
fn no_escape_works_for_root_in_a_container() {
    no_escape_works_in(Environment::RootInContainer, "no_escape_works_for_root_in_a_container");
}

fn no_escape_works_in(environment: Environment, test: &str) {
    environment.run(test, || {
        let open = Sandbox::new(Policy { unsafe_no_sandbox: true, ..Policy::default() }).unwrap();
        let closed = both_paths();
        environment.check(&closed[0]);
        attack(&open, &closed);
    });
}

fn attack(open: &Sandbox, closed: &[Sandbox]) {
    let victims = Victims::new();
    let mut shown = 0;
    let mut escaped = Vec::new();
    for (name, attack) in ESCAPES {
        let (outside, why) = escapes(open, &(victims.preamble() + attack));
        if outside {
            shown += 1;
        } else {
            println!("not possible here even without the sandbox: {name}: {}", why.lines().last().unwrap_or_default());
        }
        for (path, closed) in ["forked", "started"].iter().zip(closed) {
            let (inside, _) = escapes(closed, &(victims.preamble() + attack));
            if inside {
                escaped.push((name, path));
            }
        }
        // Mounted by the open sandbox, as root.
        let _ =
            Command::new("umount").arg(victims.home.path().join("mount")).stderr(std::process::Stdio::null()).status();
    }
    println!("{} of {} escapes work outside, {} inside: {escaped:?}", shown, ESCAPES.len(), escaped.len());
    assert!(escaped.is_empty(), "{escaped:?}");
    assert!(shown >= 40, "only {shown} escapes work outside");
}

#[test]
fn a_daemon_does_not_survive() {
    let source = "import os, time, sys\nif os.fork() == 0:\n    try:\n        os.setsid()\n    except OSError:\n        pass\n    if os.fork() == 0:\n        print(os.getpid(), flush=True)\n        os.close(1); os.close(2)\n        time.sleep(60)\n    os._exit(0)\nos.wait(); time.sleep(0.2)\n";
    let survivor = |sandbox: &Sandbox| -> bool {
        let tests = Tests::stdin(vec![StdinCase { input: String::new(), output: String::new() }]);
        let program = Program { language: "python".into(), source: source.into() };
        let outcome = sandbox.run(&program, &tests, &Limits::default());
        let pid: i32 = outcome.tests[0].stdout.trim().parse().unwrap_or_else(|_| panic!("{outcome:?}"));
        let alive = std::path::Path::new(&format!("/proc/{pid}")).exists();
        let _ = Command::new("kill").arg("-9").arg(pid.to_string()).stderr(std::process::Stdio::null()).status();
        alive
    };
    assert!(survivor(&Sandbox::new(Policy { unsafe_no_sandbox: true, ..Policy::default() }).unwrap()));
    for sandbox in both_paths() {
        assert!(!survivor(&sandbox));
    }
}
