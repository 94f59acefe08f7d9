//! Tests that are forked from a warm interpreter: they see and do what they would in one that is started for them, and
//! do not reach the interpreter that they come from.

#[path = "common/paths.rs"]
mod paths;
#[path = "common/mod.rs"]
mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gradus_sandbox::{Limits, Outcome, Policy, Program, Sandbox, Status, StdinCase, Tests, join_completion};

/// One at a time: some of these tests look at the children of this process.
static ALONE: Mutex<()> = Mutex::new(());

/// Set in a process that was started again; see `a_program_ends_with_the_process_that_runs_it`.
const AGAIN: &str = "GRADUS_TEST_AGAIN";

fn policy() -> Policy {
    Policy { slots: 1, ..Policy::default() }
}

fn run(sandbox: &Sandbox, source: &str) -> Outcome {
    let cases = vec![StdinCase { input: "one\ntwo\n".into(), output: "right".into() }];
    let program = Program { language: "python".into(), source: source.into() };
    let limits = Limits { wall_ms: 10_000, cpu_ms: 5_000, ..Limits::default() };
    sandbox.run(&program, &Tests::stdin(cases), &limits)
}

#[test]
fn programs_see_the_same_world() {
    const WORLD: &str = r"
print(sorted(globals()), [type(value).__name__ for value in globals().values()], __file__, __name__, __annotations__)
import sys, builtins
print(sys.argv, sys.flags, sys.getrecursionlimit(), len(sys.path), sys.path[0][-2:], sys.dont_write_bytecode)
print(len(dir(builtins)), exit is sys.exit, hash('a'), sys.gettrace(), sys.getprofile(), sys.excepthook.__name__)
def depth(n=0):
    try:
        return depth(n + 1)
    except RecursionError:
        return n
print(depth(), sys._getframe().f_back.f_code.co_name)
import __main__
print(__main__.__dict__ is globals())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    print(stream.encoding, stream.errors, stream.line_buffering, stream.seekable(), stream.isatty(), stream.fileno(), stream.name, stream.mode)
import gc, signal, os, resource, threading, random, stat
print(gc.isenabled(), gc.get_threshold(), [signal.getsignal(n) for n in range(1, 32)], signal.pthread_sigmask(0, []))
print(sorted(os.environ.items()), os.getcwd() == sys.path[0], os.getpgrp() == os.getpid(), os.umask(0), os.listdir('.') == ['main.py'] or sorted(os.listdir('.')) == ['main.py', 'start.pyc'])
print([resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK)])
print(threading.current_thread().name, threading.active_count(), [name for name in ('numpy', 'site') if name in sys.modules])
open_ones = []
for number in range(64):
    try:
        open_ones.append((number, stat.S_IFMT(os.fstat(number).st_mode), os.get_inheritable(number)))
    except OSError:
        pass
print(open_ones)
print(repr(sys.stdin.read()), sys.stdin.tell())
";
    let _alone = ALONE.lock();
    let sandboxes = paths::both(policy());
    // Twice, so that it is not the first test of the server.
    for _ in 0..2 {
        for part in [&WORLD[..WORLD.find("import gc").unwrap()], WORLD] {
            let [warm, plain] = sandboxes.each_ref().map(|sandbox| run(sandbox, part).tests.remove(0));
            assert_eq!(warm.stdout, plain.stdout, "{}\n{}", warm.stderr, plain.stderr);
            assert_eq!((warm.status, warm.stderr), (Status::WrongOutput, String::new()));
        }
    }
    let draw = || run(&sandboxes[0], "import random\nprint(random.random())").tests.remove(0).stdout;
    assert_ne!(draw(), draw());
    let ppid = |sandbox| run(sandbox, "import os\nprint(os.getppid())").tests.remove(0).stdout;
    assert_eq!(ppid(&sandboxes[0]), format!("{}\n", std::process::id()));
    assert_eq!(ppid(&sandboxes[1]), ppid(&sandboxes[0]));
}

#[test]
fn programs_end_alike() {
    const ENDS: &[&str] = &[
        "print('right')",
        "import sys\nprint('right')\nsys.exit()",
        "print('right')\nexit(None)",
        "print('right')\nexit(True)",
        "print('right')\nexit(256)",
        "print('right')\nexit(-1)",
        "print('right')\nexit('words')",
        "print('right')\nraise SystemExit",
        "print('right')\nraise KeyboardInterrupt",
        "print('right')\nraise ValueError('no')",
        "import sys\ndef hook(*a): print('right')\nsys.excepthook = hook\nraise ValueError",
        "import sys\ndef hook(*a): 1 / 0\nsys.excepthook = hook\nraise ValueError",
        "import atexit\natexit.register(print, 'right')",
        "import atexit\n@atexit.register\ndef _(): 1 / 0\nprint('right')",
        "class A:\n    def __del__(self): print('right')\na = A()",
        "import sys\nclass A:\n    def __del__(self): print('right', name)\nname = ''\na = A()\na.a = a",
        "class A:\n    def __del__(self): 1 / 0\na = A()\nprint('right')",
        "def f():\n    try: yield\n    finally: print('right')\ng = f()\nnext(g)",
        "out = open(1, 'w')\nout.write('right')",
        "out = open(1, 'w', closefd=False)\nout.write('right')\nraise SystemExit",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint('right')",
        "import sys, io\nsys.stdout = io.StringIO()\nprint('wrong')\nsys.stdout = sys.__stdout__\nprint('right')",
        "import sys\nclass Out:\n    def write(self, text): sys.__stdout__.write(text)\n    def flush(self): pass\nsys.stdout = Out()\nprint('right')",
        "import sys\nprint('right')\nsys.stdout.close()",
        "import os\nprint('right', flush=True)\nos.close(1)",
        "import os\nprint('wrong')\nos._exit(0)",
        "import os\nprint('right', flush=True)\nos._exit(0)",
        "import os\nprint('right')\nchild = os.fork()\nif child: os.waitpid(child, 0)",
        "import threading, time\ndef f(): time.sleep(0.2); print('right')\nthreading.Thread(target=f).start()",
        "import threading, time\ndef f(): time.sleep(0.2); print('wrong')\nthreading.Thread(target=f, daemon=True).start()\nprint('right')",
        "from concurrent.futures import ThreadPoolExecutor as P\nimport time\np = P(2)\np.submit(lambda: (time.sleep(0.1), print('right')))",
        "import ctypes\nctypes.CDLL(None).puts(b'right')",
        "import os, sys\nos.write(1, b'right')\nsys.stdout = None",
        "import sys\nsys.setrecursionlimit(10**6)\nimport threading\nthreading.stack_size(2**26)\nt = threading.Thread(target=lambda: print('right'))\nt.start(); t.join()",
        "import gc\ngc.disable()\nclass A:\n    def __del__(self): print('right')\nfor _ in range(3000):\n    a = A()\n    a.a = a\n    break",
        "x = [[i] for i in range(100000)]\nclass A:\n    def __del__(self): print('right')\na = A()\na.a = a\ny = [[i] for i in range(100000)]",
        "import __main__, pickle\nclass A: pass\nprint('right' if type(pickle.loads(pickle.dumps(A()))) is A else 'wrong')",
        "import dataclasses, typing\n@dataclasses.dataclass\nclass A:\n    a: 'int'\nprint('right' if typing.get_type_hints(A) == {'a': int} else 'wrong')",
        "open('helper.py', 'w').write('x = 1')\nimport helper\nprint('right')",
        "import multiprocessing\ndef f(): print('right')\nif __name__ == '__main__':\n    p = multiprocessing.get_context('fork').Process(target=f)\n    p.start(); p.join()",
        "def f(:",
        "print('right'",
        "\0",
        "# -*- coding: latin-1 -*-\nprint('right')",
        "import os, signal\nsignal.alarm(1)\nimport time\ntime.sleep(5)",
        "import os\nos.abort()",
    ];
    let _alone = ALONE.lock();
    let sandboxes = paths::both(policy());
    let mut right = 0;
    for source in ENDS {
        let outcomes = sandboxes.each_ref().map(|sandbox| run(sandbox, source).tests.remove(0));
        let [warm, plain] = outcomes.each_ref().map(|test| (test.status, &test.stdout, &test.detail));
        assert_eq!(warm, plain, "{source}\nforked: {}\nstarted: {}", outcomes[0].stderr, outcomes[1].stderr);
        right += usize::from(warm.0 == Status::Passed);
    }
    assert!(right >= 25, "{right}");
}

#[test]
fn a_test_leaves_nothing_to_the_next() {
    let _alone = ALONE.lock();
    let sandboxes = paths::both(policy());
    let [sandbox, _] = &sandboxes;
    let spoil = "import builtins, sys, os, math, re, gc, random, typing, collections
builtins.print = builtins.len = lambda *a: 7
math.sqrt = collections.Counter = typing.List = None
re.compile = None
os.environ['LEFT'] = '1'
sys.modules['heapq'] = None
sys.path.insert(0, '/left')
sys.setrecursionlimit(99)
gc.disable()
random.seed(1)
os.umask(0)
os.chdir('/usr/lib')
open('/dev/null').close()
if os.fork() == 0: os._exit(0)
os.set_blocking(0, False); os.set_blocking(1, False)
sys.stdout.write('right')
";
    let look = "import builtins, sys, os, math, re, gc, typing, collections, heapq
assert len('ab') == 2 and math.sqrt(4) == 2 and collections.Counter('a') and typing.List and re.compile('a')
assert 'LEFT' not in os.environ and '/left' not in sys.path and sys.getrecursionlimit() == 1000 and gc.isenabled()
assert os.umask(0) == 0o77 and os.getcwd() == sys.path[0] and os.get_blocking(0) and os.get_blocking(1)
print('right')
";
    for _ in 0..10 {
        let outcome = run(sandbox, spoil);
        assert!(outcome.all_passed(), "{outcome:?}");
        let outcome = run(sandbox, look);
        assert!(outcome.all_passed(), "{outcome:?}");
    }
}

/// Children of this process that have not ended, with the time when they started.
fn children() -> BTreeSet<(u64, i32)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let listed = tasks.flat_map(|task| {
        let listed = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<i32>>()
    });
    let started = |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<_> = stat.rsplit(") ").next()?.split(' ').collect();
        (fields[0] != "Z").then_some((fields[19].parse().ok()?, pid))
    };
    listed.filter_map(started).collect()
}

/// The oldest child: the server, if nothing else was started.
fn server() -> i32 {
    children().first().expect("there is a server").1
}

fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_program_does_not_reach_the_interpreter_it_comes_from() {
    let _alone = ALONE.lock();
    let sandbox = Sandbox::new(policy()).unwrap();
    if !sandbox.layers().iter().any(|layer| layer.name == "warm start" && layer.active) {
        println!("skipped: no warm start here");
        return;
    }
    let server = server();
    let attack = format!(
        "import os, fcntl, signal, resource, ctypes
libc = ctypes.CDLL(None)
others = [{server}] + [os.getpid() + n for n in range(-16, 17) if n]
for pid in others:
    for work in (
        lambda: os.kill(pid, 9), lambda: os.kill(-pid, 9), lambda: os.killpg(pid, 9), lambda: os.kill(-1, 9),
        lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)),
        lambda: open('/proc/%d/mem' % pid, 'r+b').read(1), lambda: open('/proc/%d/fd/3' % pid, 'wb').write(b'x'),
        lambda: os.sched_setaffinity(pid, []), lambda: os.setpgid(pid, pid), lambda: os.waitpid(pid, 0),
        lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 9),
    ):
        try:
            work()
        except (OSError, ValueError, PermissionError): pass
        else:
            print('REACHED', pid, work.__code__.co_firstlineno)
    # A signal from the kernel, for a descriptor that becomes ready.
    read, write = os.pipe()
    for command, argument in ((10, 9), (8, pid), (8, -pid), (4, os.O_ASYNC)):
        if libc.fcntl(read, command, argument) == 0 and command != 4: print('REACHED', pid, command)
    os.write(write, b'x')
    os.close(read)
    os.close(write)
for number in range(3, 64):
    try: os.write(number, b'!!!!!')
    except OSError: pass
print('right')
"
    );
    for _ in 0..3 {
        let outcome = run(&sandbox, &attack);
        assert!(!outcome.tests[0].stdout.contains("REACHED"), "{outcome:?}");
        assert!(outcome.all_passed(), "{outcome:?}");
        assert_eq!(self::server(), server, "the server was replaced");
    }
}

#[test]
fn a_server_that_dies_costs_a_second_attempt_and_no_verdict() {
    let _alone = ALONE.lock();
    let sandbox = Sandbox::new(policy()).unwrap();
    for _ in 0..5 {
        std::thread::scope(|scope| {
            let right = scope.spawn(|| run(&sandbox, "import time\ntime.sleep(1)\nprint('right')"));
            std::thread::sleep(Duration::from_millis(400));
            if let Some((_, server)) = children().first() {
                kill(*server);
            }
            let outcome = right.join().unwrap();
            assert!(outcome.all_passed(), "{outcome:?}");
        });
        assert!(run(&sandbox, "print('right')").all_passed());
    }
    // Between tests.
    let sandbox = Sandbox::new(policy()).unwrap();
    kill(server());
    assert!(run(&sandbox, "print('right')").all_passed());
    drop(sandbox);
}

#[test]
fn a_server_is_replaced_after_its_share_of_tests() {
    let _alone = ALONE.lock();
    let sandbox = Sandbox::new(policy()).unwrap();
    if !sandbox.layers().iter().any(|layer| layer.name == "warm start" && layer.active) {
        println!("skipped: no warm start here");
        return;
    }
    let first = server();
    for _ in 0..200 * 8 + 8 {
        assert!(run(&sandbox, "print('right')").all_passed());
    }
    assert_ne!(server(), first);
}

#[test]
fn a_program_ends_with_the_process_that_runs_it() {
    const SOURCE: &str = "import os, time\nprint(os.getpid(), flush=True)\nopen('pid', 'w').write(str(os.getpid()))\nos.rename('pid', 'ready')\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)";
    let name = "a_program_ends_with_the_process_that_runs_it";
    if let Some(scratch) = std::env::var_os(AGAIN) {
        let sandbox = Sandbox::new(Policy { scratch: Some(scratch.into()), ..policy() }).unwrap();
        let program = Program { language: "python".into(), source: SOURCE.into() };
        let cases = vec![StdinCase { input: String::new(), output: String::new() }];
        sandbox.run(&program, &Tests::stdin(cases), &Limits::default());
        return;
    }
    let _alone = ALONE.lock();
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut host = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(AGAIN, scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let found = || {
        let base = fs::read_dir(scratch.path()).ok()?.next()?.ok()?.path();
        let pid =
            fs::read_dir(base).ok()?.flatten().find_map(|slot| fs::read_to_string(slot.path().join("ready")).ok())?;
        pid.parse::<i32>().ok()
    };
    let program = loop {
        if let Some(pid) = found() {
            break pid;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the program did not start");
        std::thread::sleep(Duration::from_millis(20));
    };
    std::thread::sleep(Duration::from_millis(100));
    let alive = || {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let groups = pids.filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit(") ").next()?.split(' ').map(str::to_owned);
            let (state, group) = (fields.next()?, fields.nth(1)?);
            (state != "Z" && group == program.to_string()).then_some(())
        });
        groups.count()
    };
    assert_eq!(alive(), 2);
    host.kill().unwrap();
    host.wait().unwrap();
    let start = Instant::now();
    while alive() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "the program outlives the process that runs it");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn solutions_known_to_be_right_get_the_same_verdicts() {
    let _alone = ALONE.lock();
    let sandboxes = paths::both(policy());
    for file in ["questions/humaneval.jsonl.zst", "questions/mbpp.jsonl.zst"] {
        let Some(rows) = rows::rows(file) else { continue };
        let every = if std::env::var_os("GRADUS_ALL").is_some() { 1 } else { 10 };
        let (mut passed, mut n) = (0, 0);
        for row in rows.iter().step_by(every) {
            let solution = row["meta"]["canonical_solution"].as_str().expect("the row has a solution");
            let source = if file.contains("humaneval") {
                join_completion(row["question"].as_str().unwrap(), solution)
            } else {
                solution.to_owned()
            };
            let tests: Tests = serde_json::from_value(row["tests"].clone()).expect("the data has tests of this form");
            let program = Program { language: "python".into(), source };
            let outcome = paths::same(&sandboxes, |sandbox| sandbox.run(&program, &tests, &Limits::default()));
            passed += usize::from(outcome.all_passed());
            n += 1;
        }
        println!("{file}: {passed} of {n} pass on both paths, no verdict differs");
    }
}
