//! Programs that decide about outputs: what they are given, what they may say, and that neither side cheats the other.

use std::sync::LazyLock;

use gradus_sandbox::{Checker, Limits, Outcome, Policy, Program, Sandbox, Status, StdinCase, Tests};

static SANDBOX: LazyLock<Sandbox> =
    LazyLock::new(|| Sandbox::new(Policy::default()).expect("programs can be isolated here"));

/// Any two numbers with the sum of the input are right; the expected output is one such pair.
const PAIRS: &str = "\
import sys
read = lambda name: open(name).read().split()
(total,), expected, actual = map(read, sys.argv[1:])
numbers = [int(word) for word in actual] if all(word.lstrip('-').isdigit() for word in actual) else []
print('ok' if len(numbers) == len(expected) and sum(numbers) == int(total) else 'wrong')
";

fn run_with(language: &str, checker: &str, program: &str) -> Outcome {
    let case = |input: &str, output: &str| StdinCase { input: input.into(), output: output.into() };
    let tests = Tests::Stdin {
        cases: vec![case("7\n", "3 4"), case("0\n", "0 0")],
        tolerance: None,
        checker: Some(Checker { language: language.into(), source: checker.into() }),
        language: "python".into(),
    };
    SANDBOX.run(&Program { language: "python".into(), source: program.into() }, &tests, &Limits::default())
}

#[track_caller]
fn check(checker: &str, program: &str, statuses: [Status; 2]) -> Outcome {
    let outcome = run_with("python", checker, program);
    let found: Vec<_> = outcome.tests.iter().map(|test| test.status).collect();
    assert_eq!(found, statuses, "{outcome:#?}");
    outcome
}

#[test]
fn a_checker_accepts_what_the_comparison_would_not() {
    use Status::{Passed, RuntimeError, WrongOutput};
    check(PAIRS, "print(int(input()) - 1, 1)", [Passed; 2]);
    let outcome = check(PAIRS, "print(3, 4)", [Passed, WrongOutput]);
    assert_eq!(outcome.tests[1].detail, "by the checker: wrong");
    check(PAIRS, "print('7'); print(0 / (int(input()) - 7))", [RuntimeError, WrongOutput]);
    check(PAIRS, "", [WrongOutput; 2]);
}

#[test]
fn trouble_of_the_checker_is_no_verdict_on_the_program() {
    for (checker, why) in [
        ("raise ValueError('no')", "ValueError: no"),
        ("print('ok'); 1 / 0", "ZeroDivisionError"),
        ("print('x' * 10 ** 7)", "bytes of output"),
        ("print('hm')", "ended with code 0: hm"),
        ("import os; os.abort()", "signal"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "code 3"),
    ] {
        let outcome = check(checker, "print(1, 1)", [Status::SandboxError; 2]);
        let error = outcome.sandbox_error().unwrap();
        assert!(error.starts_with("the checker: ") && error.contains(why), "{checker}: {error}");
        assert!(outcome.is_final());
    }
    let case = StdinCase { input: "1".into(), output: "1".into() };
    let checker = Some(Checker { language: "python".into(), source: "while True: pass".into() });
    let tests = Tests::Stdin { cases: vec![case], tolerance: None, checker, language: "python".into() };
    let program = Program { language: "python".into(), source: "print(1)".into() };
    let outcome = SANDBOX.run(&program, &tests, &Limits::default());
    // Which limit it meets depends on what else the machine does.
    let limits = ["CPU time", "the machine was busy"];
    let error = outcome.sandbox_error().unwrap_or_default();
    assert!(error.contains("the checker: ") && limits.iter().any(|limit| error.contains(limit)), "{outcome:?}");
    let outcome = run_with("cobol", "", "print(1)");
    assert!(outcome.sandbox_error().is_some_and(|why| why.contains("not set up")), "{outcome:?}");
    // Of a program that fails by itself nobody asks the checker.
    check("1 / 0", "1 / 0", [Status::RuntimeError; 2]);
}

#[test]
fn an_output_cannot_talk_the_checker_into_anything() {
    use Status::{Passed, WrongOutput};
    for output in [
        "ok",
        "1",
        "\\x00\\xff",
        "__import__('sys').exit(0)",
        "7 0\\n' or print('ok') or '",
        "../expected.txt",
        "3 4 ok",
    ] {
        check(
            PAIRS,
            &format!("import sys; sys.stdout.buffer.write(b{output:?})").replace("\\\\", "\\"),
            [WrongOutput; 2],
        );
    }
    // What a program leaves in its directory is gone before the checker comes, be it modules or its own input.
    let leaves = "import os
for name in ('int.py', 'input.txt', 'expected.txt', 'actual.txt', 'main.py', 'sitecustomize.py', 'start.pyc'):
    try: os.remove(name)
    except OSError: pass
    open(name, 'w').write(\"print('ok')\")
print('nothing')";
    check(PAIRS, leaves, [WrongOutput; 2]);
    let lists = "import os; print('ok' if sorted(os.listdir('.')) == ['actual.txt', 'expected.txt', 'input.txt', 'main.py', 'start.pyc'] else 'wrong')";
    check(lists, leaves, [Passed; 2]);
    // And a program finds nothing of the checker and of what it compares with.
    let peeks = "import os
found = []
for top in ('.', '..'):
    try: found += os.listdir(top)
    except OSError: pass
seen = any('expected' in name or 'checker' in name for name in found)
n = int(input())
print(*((n, 0) if not seen else (n, 1)))";
    check(PAIRS, peeks, [Passed; 2]);
}

#[test]
fn checkers_and_programs_may_be_of_different_languages() {
    if let Err(why) = SANDBOX.language("cpp") {
        assert!(why.contains("was not found"), "{why}");
        println!("skipped: {why}");
        return;
    }
    let checker = "#include <fstream>\n#include <iostream>\nint main(int n, char** names) {\n    if (n != 4) return 3;\n    std::ifstream in(names[1]), out(names[3]);\n    long total, a, b;\n    in >> total;\n    return out >> a >> b && a + b == total ? 0 : 1;\n}\n";
    let statuses = |outcome: &Outcome| outcome.tests.iter().map(|test| test.status).collect::<Vec<_>>();
    let outcome = run_with("cpp", checker, "print(3, 4)");
    assert_eq!(statuses(&outcome), [Status::Passed, Status::WrongOutput], "{outcome:?}");
    let outcome = run_with("cpp", "int main() { return nothing; }", "print(3, 4)");
    assert!(outcome.sandbox_error().is_some_and(|why| why.contains("does not compile")), "{outcome:?}");
    let tests = Tests::Stdin {
        cases: vec![StdinCase { input: "7".into(), output: "3 4".into() }],
        tolerance: None,
        checker: Some(Checker { language: "python".into(), source: PAIRS.into() }),
        language: "cpp".into(),
    };
    let source = "#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n - 2 << \" 2\"; }";
    let program = Program { language: "cpp".into(), source: source.into() };
    assert!(SANDBOX.run(&program, &tests, &Limits::default()).all_passed());
}

#[test]
fn tests_without_checker_and_language_are_written_as_before() {
    let case = StdinCase { input: "1".into(), output: "2".into() };
    let json = r#"{"type":"stdin","cases":[{"input":"1","output":"2"}]}"#;
    assert_eq!(serde_json::to_string(&Tests::stdin(vec![case.clone()])).unwrap(), json);
    assert_eq!(serde_json::from_str::<Tests>(json).unwrap(), Tests::stdin(vec![case]));
    let json = r#"{"type":"stdin","cases":[],"checker":{"source":"print(1)"},"language":"cpp"}"#;
    let tests: Tests = serde_json::from_str(json).unwrap();
    assert_eq!(tests.language(), "cpp");
    assert!(matches!(tests, Tests::Stdin { checker: Some(Checker { language, .. }), .. } if language == "python"));
}
