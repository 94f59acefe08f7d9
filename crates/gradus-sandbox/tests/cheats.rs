//! Programs that want to pass without being right. Each first fools a naive runner (program, tests and exit code in one
//! process), then must not pass here.

#[path = "common/environments.rs"]
mod environments;
#[path = "common/paths.rs"]
mod paths;

use std::sync::LazyLock;

use environments::Environment;
use gradus_sandbox::{Limits, Outcome, Policy, Program, Sandbox, Status, StdinCase, Tests};

static SANDBOXES: LazyLock<[Sandbox; 2]> = LazyLock::new(|| paths::both(Policy::default()));

const TESTS: &str = "import math\nassert double(2) == 4\nassert sorted([double(1), double(0)]) == [0, 2]\nassert abs(double(1.5) - 3.0) < 1e-9\nassert math.isclose(double(0.5), 1.0)\nassert len(str(double(50))) == 3\nassert double('ab') == 'abab' and isinstance(double('ab'), str)\n";

/// Name, and a program without a right `double`.
const CHEATS: &[(&str, &str)] = &[
    ("exit", "import sys\nsys.exit(0)"),
    ("exit in a call", "import sys\ndef double(x): sys.exit(0)"),
    ("quick exit", "import os\nos._exit(0)"),
    ("quick exit in a call", "import os\ndef double(x): os._exit(0)"),
    ("raise SystemExit", "def double(x): raise SystemExit(0)"),
    ("claims", "print('passed')\nprint('done')\nimport os\nos._exit(0)"),
    ("exit at the end", "import atexit, os\natexit.register(os._exit, 0)\ndef double(x): return None"),
    ("exit for an exception", "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef double(x): return None"),
    (
        "a thread that exits",
        "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.1), os._exit(0))).start()\ndef double(x): time.sleep(0.5)",
    ),
    (
        "equal to all",
        "class Any:\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0\n    def __float__(self): return 1.0\n    def __lt__(self, other): return True\n    def __str__(self): return '100'\n    __class__ = str\ndef double(x): return 1.0 if x == 0.5 else Any()\nimport builtins\nbuiltins.sorted = lambda x: Any()",
    ),
    (
        "a number equal to all",
        "class N(float):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0.0\n    def __str__(self): return '100'\n    __class__ = str\ndef double(x): return 1.0 if x == 0.5 else N(7)\nimport builtins\nbuiltins.sorted = lambda x: N(0)",
    ),
    (
        "a text equal to all",
        "class S(str):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0.0\n    __hash__ = str.__hash__\nimport math\nmath.isclose = lambda *a: True\ndef double(x): return S('123')\nimport builtins\nbuiltins.sorted = lambda x: S('')",
    ),
    (
        "patched built-ins",
        "import builtins\nclass Any:\n    def __eq__(self, other): return True\n    def __lt__(self, other): return True\nbuiltins.sorted = builtins.abs = builtins.len = builtins.str = lambda *a: Any()\nbuiltins.isinstance = lambda *a: True\nimport math\nmath.isclose = lambda *a: True\nclass R(Any):\n    def __sub__(self, o): return self\ndef double(x): return R()",
    ),
    (
        "a patched module",
        "import sys, types, os\nm = types.ModuleType('math')\nclass Q:\n    def __getattr__(self, name): os._exit(0)\nsys.modules['math'] = Q()\ndef double(x): return {2: 4, 1: 2, 0: 0, 1.5: 3.0}[x]",
    ),
    (
        "patched import",
        "import builtins, os\nbuiltins.__import__ = lambda *a, **k: os._exit(0)\ndef double(x): return 1",
    ),
    (
        "tracing",
        "import sys, os\ndef trace(frame, event, arg):\n    if event == 'exception': os._exit(0)\n    return trace\nsys.settrace(trace)\nsys._getframe().f_trace = trace\ndef double(x): raise ValueError",
    ),
    (
        "frames",
        "import sys\ndef double(x):\n    frame = sys._getframe()\n    while frame:\n        for names in (frame.f_globals, frame.f_locals):\n            for key in ('sorted', 'abs', 'len', 'isinstance', 'str'):\n                names[key] = lambda *a: T('x')\n            if 'math' in names: names['math'].isclose = lambda *a: True\n        frame = frame.f_back\n    return T('x')\nclass T(str):\n    def __eq__(self, other): return True\n    def __lt__(self, other): return True\n    def __sub__(self, other): return T('x')",
    ),
    (
        "a signal that exits",
        "import signal, os, time\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\ndef double(x): time.sleep(0.5)",
    ),
    ("another program", "import os\ndef double(x): os.execv('/bin/true', ['true'])"),
    ("a child that goes on", "import os, time\nif os.fork() == 0:\n    time.sleep(30)\nelse:\n    os._exit(0)"),
    (
        "writing to every descriptor",
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'plan 1\\ntest passed\\ndone\\n')\n    except OSError: pass\nos._exit(0)",
    ),
    (
        "reading every descriptor",
        "import os\nfound = b''\nfor fd in range(3, 64):\n    try:\n        os.set_blocking(fd, False)\n        found += os.read(fd, 100000)\n    except OSError: pass\nos._exit(0)",
    ),
    ("recursion", "import sys, os\ndef double(x):\n    try: return double(x)\n    except RecursionError: os._exit(0)"),
    (
        "the runner's own module",
        "import __main__, sys, os\nfor name in list(vars(__main__)):\n    if name in ('judge', 'compare', 'encode', 'reply', 'steps'): setattr(__main__, name, lambda *a: None)\nos._exit(0)",
    ),
    (
        "searching memory",
        "import gc, os\ndef double(x):\n    for thing in gc.get_objects():\n        if isinstance(thing, dict) and 'report' in thing: thing['report'] = print\n    os._exit(0)",
    ),
];

fn run(source: &str, tests: &Tests) -> Outcome {
    let program = Program { language: "python".into(), source: source.into() };
    let limits = Limits { cpu_ms: 2_000, wall_ms: 6_000, ..Limits::default() };
    paths::same(&SANDBOXES, |sandbox| sandbox.run(&program, tests, &limits))
}

fn function_tests(test_code: &str) -> Tests {
    Tests::Function { language: "python".into(), entry_point: "double".into(), test_code: test_code.into() }
}

#[test]
fn no_cheat_passes() {
    no_cheat_passes_in(Environment::ThisUser, "no_cheat_passes");
}

#[test]
fn no_cheat_passes_without_privileges() {
    no_cheat_passes_in(Environment::Unprivileged, "no_cheat_passes_without_privileges");
}

#[test]
fn no_cheat_passes_without_privileges_or_namespaces() {
    no_cheat_passes_in(Environment::WithoutNamespaces, "no_cheat_passes_without_privileges_or_namespaces");
}

fn no_cheat_passes_in(environment: Environment, test: &str) {
    environment.run(test, || {
        environment.check(&SANDBOXES[0]);
        cheat_at_tests();
    });
}

fn cheat_at_tests() {
    let naive = Sandbox::new(Policy { unsafe_no_sandbox: true, ..Policy::default() }).unwrap();
    let tests = function_tests(TESTS);
    assert!(run("def double(x): return x * 2", &tests).all_passed());
    for (name, cheat) in CHEATS {
        // The naive runner takes an exit code of 0, with the right (here: any) output, for a pass.
        let program = Program { language: "python".into(), source: format!("{cheat}\n{TESTS}") };
        let case = StdinCase { input: String::new(), output: String::new() };
        let fooled = naive.run(&program, &Tests::stdin(vec![case]), &Limits::default());
        let status = fooled.tests[0].status;
        assert!(
            matches!(status, Status::Passed | Status::WrongOutput),
            "{name} does not even fool a naive runner: {fooled:?}"
        );
        let outcome = run(cheat, &tests);
        assert!(!outcome.all_passed(), "{name}: {outcome:?}");
        assert_eq!(outcome.sandbox_error(), None, "{name}");
        assert_eq!(outcome.total, 6, "{name}");
    }
    println!("{} cheats fool a naive runner, 0 pass here", CHEATS.len());
}

#[test]
fn cheats_pass_no_test_that_their_answers_do_not() {
    for (name, cheat) in CHEATS
        .iter()
        .filter(|(name, _)| name.contains("equal to all") || name.contains("built-ins") || *name == "frames")
    {
        let outcome = run(
            cheat,
            &function_tests(
                "assert double(2) == 4\nassert sorted([double(1), double(0)]) == [0, 2]\nassert double('ab') == 'abab'\n",
            ),
        );
        assert_eq!(outcome.passed(), 0, "{name}: {outcome:?}");
    }
}

#[test]
fn expected_outputs_are_nowhere_in_the_child() {
    let source = "import os\nfound = []\nfor root, _, files in os.walk('.'):\n    for file in files:\n        if file != 'main.py': found.append(open(os.path.join(root, file), 'rb').read())\nfor fd in range(3, 64):\n    try: found.append(os.read(fd, 1000))\n    except OSError: pass\nprint(''.join(map(str, found)) + str(os.environ))";
    let case = StdinCase { input: "x".into(), output: "needle".into() };
    let outcome = run(source, &Tests::stdin(vec![case]));
    assert_eq!(outcome.tests[0].status, Status::WrongOutput);
    assert!(!outcome.tests[0].stdout.contains("needle"));
}

#[test]
fn tests_with_live_objects_run_beside_the_program_and_say_so() {
    let tests = Tests::Function { language: "python".into(), entry_point: "apply".into(), test_code: "def check(candidate):\n    assert candidate(lambda x: x + 1, 2) == 3\n    assert candidate(lambda x: x * x, 4) == 16\n".into() };
    let right = run("def apply(f, x): return f(x)", &tests);
    assert!(right.all_passed() && right.total == 2 && right.tests.iter().all(|test| test.in_process), "{right:?}");
    for cheat in [
        "def apply(f, x): return 3",
        "import os\ndef apply(f, x): os._exit(0)",
        "import sys\ndef apply(f, x): sys.exit(0)",
        "def apply(f, x): f = 1; return f(1)",
        "import builtins\nbuiltins.compile = builtins.exec = lambda *a: None\ndef apply(f, x): return 0",
    ] {
        let outcome = run(cheat, &tests);
        assert!(
            !outcome.all_passed() && outcome.total == 2 && outcome.sandbox_error().is_none(),
            "{cheat}: {outcome:?}"
        );
    }
}
