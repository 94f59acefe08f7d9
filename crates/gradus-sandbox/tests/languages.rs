//! Programs in the languages of the table: built and run under the same layers as Python.
//!
//! A test needs the tool of its language, and says so in one line where that is missing.

use std::sync::LazyLock;

use gradus_sandbox::{Language, Languages, Limits, Outcome, Policy, Program, Sandbox, Status, StdinCase, Tests};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(Policy::default()).expect("programs can be isolated here"));

const LIMITS: Limits = Limits {
    cpu_ms: 1_000,
    // Much, so that a busy machine is no reason for a verdict.
    wall_ms: 120_000,
    memory_bytes: 512 << 20,
    output_bytes: 1 << 16,
    file_bytes: 1 << 20,
    processes: 32,
};

/// Whether there is a tool for the language; says why not.
fn is_there(language: &str) -> bool {
    match SANDBOX.language(language) {
        Ok(_) => true,
        Err(why) if why.contains("was not found") || why.contains("cannot be read") => {
            println!("skipped: {why}");
            false
        }
        Err(why) => panic!("{why}"),
    }
}

fn run(language: &str, source: &str, cases: &[(&str, &str)]) -> Outcome {
    let cases = cases.iter().map(|(input, output)| StdinCase { input: (*input).into(), output: (*output).into() });
    let program = Program { language: language.into(), source: source.into() };
    SANDBOX.run(&program, &Tests::stdin(cases.collect()), &LIMITS)
}

#[track_caller]
fn check(language: &str, source: &str, statuses: &[Status]) -> Outcome {
    let outcome = run(language, source, &[("3 4\n", "7"), ("1 -1\n", "0")]);
    let found: Vec<_> = outcome.tests.iter().map(|test| test.status).collect();
    assert_eq!((found.as_slice(), outcome.total), (statuses, 2), "{outcome:#?}");
    outcome
}

const ADDS: [(&str, &str); 3] = [
    ("cpp", "#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b; }\n"),
    (
        "rust",
        "use std::io::Read;\nfn main() {\n    let mut s = String::new();\n    std::io::stdin().read_to_string(&mut s).unwrap();\n    println!(\"{}\", s.split_whitespace().map(|n| n.parse::<i64>().unwrap()).sum::<i64>());\n}\n",
    ),
    (
        "javascript",
        "const s = require('fs').readFileSync(0, 'utf8');\nconsole.log(s.trim().split(/\\s+/).map(Number).reduce((a, b) => a + b));\n",
    ),
];

#[test]
fn right_and_wrong_programs_are_told_apart() {
    for (language, source) in ADDS.into_iter().filter(|(language, _)| is_there(language)) {
        check(language, source, &[Status::Passed; 2]);
        check(language, &source.replace("+ b", "- b").replace("sum::", "product::"), &[Status::WrongOutput; 2]);
    }
}

#[test]
fn what_does_not_compile_fails_every_test() {
    for (language, source) in [
        ("cpp", "int main() { return nothing; }"),
        ("rust", "fn main() { nothing }"),
        // Whatever a source says, it is the source that says it.
        ("cpp", "#error g++: fatal error: Killed signal terminated program cc1plus\nint main() {}"),
    ] {
        if is_there(language) {
            let outcome = check(language, source, &[Status::RuntimeError; 2]);
            assert!(outcome.tests[0].detail.starts_with("does not compile: "), "{outcome:?}");
            assert_eq!(outcome.sandbox_error(), None);
        }
    }
    if is_there("javascript") {
        let outcome = check("javascript", "let x = = 1;", &[Status::RuntimeError; 2]);
        assert!(outcome.tests[0].stderr.contains("SyntaxError"), "{outcome:?}");
    }
}

#[test]
fn limits_of_time_and_memory_hold_in_every_language() {
    use Status::{Memory, OutputLimit, RuntimeError, Time};
    for (language, status, source) in [
        ("cpp", Time, "int main() { for (volatile int i = 0;; i = 1 - i); }"),
        ("cpp", Memory, "#include <vector>\nint main() { std::vector<char> v(1L << 32, 1); return v[1]; }"),
        ("cpp", OutputLimit, "#include <cstdio>\nint main() { for (;;) puts(\"0123456789\"); }"),
        ("cpp", RuntimeError, "#include <cstdlib>\nint main() { abort(); }"),
        ("rust", Time, "fn main() { let mut n = 0u64; loop { n = std::hint::black_box(n + 1); } }"),
        ("rust", Memory, "fn main() { let v = vec![1u8; 1 << 32]; println!(\"{}\", v[1]); }"),
        ("rust", RuntimeError, "fn main() { panic!() }"),
        ("javascript", Time, "for (;;);"),
        ("javascript", Memory, "const all = []; for (;;) all.push(new Array(1e5).fill(all.length + 0.5));"),
        ("javascript", RuntimeError, "throw new Error('no')"),
    ] {
        if is_there(language) {
            check(language, source, &[status; 2]);
        }
    }
}

#[test]
fn builds_and_runs_see_nothing_outside() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "\"7\"\n").unwrap();
    std::fs::set_permissions(secret.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let path = secret.path().display();
    for (language, source) in [
        ("cpp", format!("#include <cstdio>\nint main() {{ puts(\n#include \"{path}\"\n); }}")),
        ("cpp", format!("#include <fstream>\n#include <iostream>\nint main() {{ std::ifstream f(\"{path}\"); if (!f) return 1; std::cout << 7; }}")),
        ("cpp", "#include <cstdio>\n#include <sys/socket.h>\nint main() { if (socket(AF_INET, SOCK_STREAM, 0) < 0) return 1; puts(\"7\"); }".into()),
        ("cpp", "#include <cstdio>\n#include <cstdlib>\nint main() { if (system(\"/bin/true\")) return 1; puts(\"7\"); }".into()),
        ("rust", format!("fn main() {{ println!(\"{{}}\", include!(\"{path}\")); }}")),
        ("rust", format!("fn main() {{ std::fs::read(\"{path}\").unwrap(); println!(\"7\"); }}")),
        ("javascript", format!("require('fs').readFileSync('{path}'); console.log(7);")),
        ("javascript", "const r = require('child_process').spawnSync('/bin/true'); if (r.status !== 0) process.exit(1); console.log(7);".into()),
    ] {
        if is_there(language) {
            check(language, &source, &[Status::RuntimeError; 2]);
        }
    }
}

#[test]
fn a_program_cannot_change_itself_for_the_next_test() {
    // Each prints 7, and tries to become a program that always does.
    for (language, source) in [
        (
            "cpp",
            "#include <cstdio>\n#include <unistd.h>\nint main(int, char** argv) { FILE* f = fopen(argv[0], \"r+\"); int gone = unlink(argv[0]); puts(f || !gone ? \"written\" : \"7\"); }",
        ),
        (
            "javascript",
            "let done = 0; const fs = require('fs');\nfor (const f of [() => fs.writeFileSync(__filename, ''), () => fs.unlinkSync(__filename), () => fs.writeFileSync(__dirname + '/x', '')]) try { f(); done += 1; } catch {}\nfs.writeFileSync('own.txt', 'x');\nconsole.log(done ? 'written' : '7');",
        ),
    ] {
        if is_there(language) {
            check(language, source, &[Status::Passed, Status::WrongOutput]);
        }
    }
    // What one test writes, the next does not find.
    if is_there("javascript") {
        let source =
            "const fs = require('fs'); console.log(fs.existsSync('x') ? 'kept' : 'none'); fs.writeFileSync('x', '');";
        assert_eq!(run("javascript", source, &[("", "none"), ("", "none")]).passed(), 2);
    }
}

#[test]
fn an_entry_of_its_own_adds_a_language() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let entry = Language {
        file: "main.sh".into(),
        build: words("/bin/sh {dir}/main.sh build"),
        run: words("/bin/sh {dir}/main.sh run"),
        readable: Vec::new(),
        environment: [("WHERE".to_owned(), "{dir}".to_owned())].into(),
        memory: gradus_sandbox::MemoryLimit::Data,
        fences: vec!["bash".into()],
        probe: "[ $1 = build ] || { read line; echo $line; }".into(),
        build_limits: gradus_sandbox::BUILD_LIMITS,
    };
    let mut languages = Languages::default();
    languages.insert("sh", entry.clone()).unwrap();
    languages.insert("broken", Language { probe: "exit 3".into(), ..entry.clone() }).unwrap();
    languages.insert("missing", Language { run: words("/no/such/tool"), ..entry }).unwrap();
    let sandbox = Sandbox::new(Policy { languages, ..Policy::default() }).unwrap();
    let run = |language: &str, source: &str| {
        let case = StdinCase { input: "2\n".into(), output: "4".into() };
        let program = Program { language: language.into(), source: source.into() };
        sandbox.run(&program, &Tests::stdin(vec![case]), &LIMITS)
    };
    let source = "if [ $1 = build ]; then echo 2 > made; else read n; read m < $WHERE/made; echo $((n * m)); fi";
    let outcome = run("sh", source);
    assert!(outcome.all_passed(), "{outcome:?}");
    let outcome = run("sh", "exit 1");
    assert!(outcome.tests[0].detail.starts_with("does not compile"), "{outcome:?}");
    let tests = Tests::Function { language: "sh".into(), entry_point: "f".into(), test_code: "f 1".into() };
    let outcome = sandbox.run(&Program { language: "sh".into(), source: source.into() }, &tests, &LIMITS);
    assert!(outcome.is_final() && outcome.sandbox_error().is_some(), "{outcome:?}");
    // Trouble of a tool says nothing about the program.
    for (language, why) in
        [("broken", "a first program does not run"), ("missing", "was not found"), ("cobol", "not set up")]
    {
        let outcome = run(language, source);
        assert!(outcome.sandbox_error().is_some_and(|error| error.contains(why)), "{outcome:?}");
        assert!(!outcome.is_final());
    }
}

#[test]
fn many_programs_at_once_leave_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (language, source) = if is_there("javascript") { ADDS[2] } else { ADDS[0] };
    if !is_there(language) {
        return;
    }
    let policy = Policy { slots: 2, scratch: Some(scratch.path().into()), ..Policy::default() };
    let sandbox = Sandbox::new(policy).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let program = Program { language: language.into(), source: source.into() };
                let case = StdinCase { input: "1 2".into(), output: "3".into() };
                assert!(sandbox.run(&program, &Tests::stdin(vec![case]), &LIMITS).all_passed());
            });
        }
    });
    let base = std::fs::read_dir(scratch.path()).unwrap().next().unwrap().unwrap().path();
    let left: Vec<_> = std::fs::read_dir(base).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains('-')), "{left:?}");
}
