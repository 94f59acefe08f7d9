//! Hostile input: no panic, no hang, a verdict within a generous wall bound. The limits themselves
//! are counted, so the verdicts are the same on every machine; the clock only guards the test.

use std::time::{Duration, Instant};

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};

/// Far above the goal of 50 ms in release, for slow and busy machines.
const BOUND: Duration = Duration::from_secs(5);

fn run(gold: &str, pred: &str, form: Form) -> Outcome {
    let reference = Reference { kind: Kind::Math, values: vec![gold.into()], tolerance: None, options: Vec::new() };
    let start = Instant::now();
    let verdict = verify(&reference, &Answer { text: pred, form });
    let took = start.elapsed();
    let short = |text: &str| text.chars().take(60).collect::<String>();
    if std::env::var_os("GRADUS_SLOW").is_some() && took > Duration::from_millis(20) {
        println!("{took:?} for {:?} against {:?} {form:?}", short(pred), short(gold));
        return verdict.outcome;
    }
    assert!(took < BOUND, "{took:?} for {:?} against {:?}", short(pred), short(gold));
    verdict.outcome
}

fn hostile() -> Vec<(&'static str, String)> {
    let n = 1_000_000;
    vec![
        ("braces", "{".repeat(n) + "1" + &"}".repeat(n)),
        ("open braces", "{".repeat(n)),
        ("closed braces", "}".repeat(n)),
        ("parentheses", "(".repeat(n) + "1" + &")".repeat(n)),
        ("some parentheses", "(".repeat(9000) + "1" + &")".repeat(9000)),
        ("mixed brackets", "([{".repeat(3000) + "1"),
        ("boxes", r"\boxed{".repeat(50_000) + "1" + &"}".repeat(50_000)),
        ("open boxes", r"\boxed{".repeat(50_000)),
        ("neighbouring boxes", r"\boxed{1}".repeat(50_000)),
        ("digits", "9".repeat(n)),
        ("some digits", "9".repeat(30_000)),
        ("minus signs", "-".repeat(30_000) + "1"),
        ("factorials", "3".to_owned() + &"!".repeat(30_000)),
        ("percents", "3".to_owned() + &"%".repeat(30_000)),
        ("tower", "9^".repeat(5000) + "9"),
        ("braced tower", "2^{".repeat(300) + "2" + &"}".repeat(300)),
        ("small tower", "9^{9^{9^{9^9}}}".into()),
        ("fractions", r"\frac{1}{".repeat(2000) + "1" + &"}".repeat(2000)),
        ("shallow fractions", r"\frac{1}{1+".repeat(60) + "x" + &"}".repeat(60)),
        ("roots", r"\sqrt{2+".repeat(60) + "2" + &"}".repeat(60)),
        ("sines", r"\sin".repeat(5000) + " x"),
        ("big factorial", "(10^{10})!".into()),
        ("factorial of a factorial", "(100!)!".into()),
        ("binomial", r"\binom{10^9}{5\cdot10^8}".into()),
        ("middling binomial", r"\binom{4000}{1999}".into()),
        ("sum", r"\sum_{k=1}^{10^{12}}\frac1k".into()),
        ("middling sum", r"\sum_{k=1}^{2900}\frac{1}{k^3+1}".into()),
        ("nested sums", r"\sum_{a=1}^{99}\sum_{b=1}^{99}\sum_{c=1}^{99}\sum_{d=1}^{99} \frac{abc}{d}".into()),
        ("product of sums", r"\prod_{k=1}^{900}\sum_{j=1}^{900}(k+j^2)".into()),
        ("long sum", "1+".repeat(15_000) + "1"),
        ("long product", "x".repeat(2) + &r"\cdot x".repeat(5000)),
        ("variables", (0..3000).map(|k| format!("x_{{{k}}}+")).collect::<Vec<_>>().concat() + "1"),
        ("list", "1,".repeat(15_000) + "1"),
        ("set", format!(r"\{{{}1\}}", "1,".repeat(350))),
        ("signs", r"\pm 1".repeat(3000)),
        ("tuple of signs", format!("({})", vec![r"\pm 1"; 60].join(","))),
        ("unions", r"[0,1]\cup".repeat(3000) + "[0,1]"),
        ("some unions", (0..58).map(|k| format!(r"[{k},{k}.5]\cup")).collect::<Vec<_>>().concat() + "[99,100]"),
        ("relations", "x<".repeat(3000) + "1"),
        ("bars", "|".repeat(20_000)),
        ("dollars", "$".repeat(n)),
        ("dollars and digits", "$1 ".repeat(300_000)),
        ("backslashes", "\\".repeat(n)),
        ("text in text", r"\text{".repeat(20_000) + "1"),
        ("matrix", format!(r"\begin{{pmatrix}}{}\end{{pmatrix}}", r"1&2\\".repeat(5000))),
        (
            "determinant",
            format!(
                r"\begin{{vmatrix}}{}\end{{vmatrix}}",
                (0..12)
                    .map(|r| (0..12).map(|c| format!("{}", (r * 7 + c * c) % 11 + 1)).collect::<Vec<_>>().join("&"))
                    .collect::<Vec<_>>()
                    .join(r"\\")
            ),
        ),
        ("integrals", r"\int".repeat(3000) + " x dx"),
        ("environments", r"\begin{matrix}".repeat(3000)),
        ("answers", "the answer is ".repeat(80_000)),
        ("answers with numbers", "the answer is 5. ".repeat(60_000)),
        ("thoughts", "<think>".repeat(100_000)),
        ("json", "{\"answer\": \"".repeat(50_000)),
        ("letters", "abcdefghij".repeat(100_000)),
        ("cjk", "答案是".repeat(100_000)),
        ("combining", "a\u{301}".repeat(200_000)),
        ("spaces", " ".repeat(n) + "1"),
        ("polynomial", "(x+1)^{5000}".into()),
        ("deep polynomial", "((((x+1)^{99}+1)^{99}+1)^{99}+1)^{99}".into()),
        ("wide powers", (1..400).map(|k| format!("x^{{{k}}}+")).collect::<Vec<_>>().concat() + "1"),
        ("scientific", "1e999999".into()),
        ("tiny", "1e-999999".into()),
        ("logarithm", r"\log_{2}(3^{100000})".into()),
        ("functions", "f(".repeat(3000) + "x"),
        ("some functions", "f(".repeat(40) + "x" + &")".repeat(40)),
        ("radical soup", (2..60).map(|k| format!(r"\sqrt{{{k}}}+")).collect::<Vec<_>>().concat() + "1"),
        ("exponential soup", (2..40).map(|k| format!(r"e^{{{k}x}}\sin({k}x)+")).collect::<Vec<_>>().concat() + "1"),
        ("repeating", format!(r"0.\overline{{{}}}", "7".repeat(3000))),
        ("based", format!("{}_{{7}}", "6".repeat(5000))),
        ("ellipses", r"\ldots".repeat(5000)),
        ("equations", "x=".repeat(3000) + "1"),
        ("set builder", r"\{x|".repeat(3000)),
        ("ratios", "1:".repeat(3000) + "1"),
        ("mods", r"7\mod".repeat(3000) + "3"),
        ("choose", r"{5\choose".repeat(500) + "2"),
        ("html", "<sup>".repeat(20_000)),
        ("decimals", "1.".repeat(20_000)),
        ("commas", ",".repeat(n)),
        ("nul", "\0".repeat(n)),
    ]
}

#[test]
fn hostile_answers_get_a_verdict_in_time() {
    for (name, text) in hostile() {
        for gold in ["1", "x^2+1", r"\{1,2\}", "x=5"] {
            for form in [Form::Bare, Form::Text] {
                let outcome = run(gold, &text, form);
                let harmless = matches!(
                    name,
                    "braces"
                        | "parentheses"
                        | "some parentheses"
                        | "boxes"
                        | "neighbouring boxes"
                        | "minus signs"
                        | "spaces"
                        | "text in text"
                        | "fractions"
                        | "answers with numbers"
                        | "nul"
                        | "mixed brackets"
                        | "middling binomial"
                        | "dollars and digits"
                        | "list"
                        | "set"
                );
                assert!(harmless || outcome != Outcome::Correct, "{name} is not {gold}");
            }
        }
    }
}

#[test]
fn hostile_references_get_a_verdict_in_time() {
    for (name, text) in hostile() {
        run(&text, "1", Form::Bare);
        let itself = run(&text, &text, Form::Bare);
        assert_ne!(itself, Outcome::Incorrect, "{name} differs from itself");
    }
}

#[test]
fn huge_numbers_are_told_apart_without_writing_them_out() {
    for (gold, pred) in [
        ("10^{1000000}", "10^{1000001}"),
        ("7", "(10^{10})!"),
        (r"\binom{10^9}{5\cdot 10^8}", "1"),
        (r"\frac{1}{2^{60}}", r"\frac{1}{2^{61}}"),
        (r"\frac{1}{99!}", r"\frac{1}{100!}"),
        ("0.0000001", "0.0000002"),
        ("1", "1+10^{-50}"),
        (r"\sqrt{2}", r"\sqrt{2+10^{-60}}"),
    ] {
        assert_eq!(run(gold, pred, Form::Bare), Outcome::Incorrect, "{gold} against {pred}");
        assert_eq!(run(pred, gold, Form::Bare), Outcome::Incorrect, "{pred} against {gold}");
    }
}

/// A random driver on the stable toolchain: fragments of notation in random order.
#[test]
fn random_input_never_panics() {
    const PIECES: &[&str] = &[
        r"\frac",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        r"\{",
        r"\}",
        "1",
        "23",
        "0.5",
        "x",
        "y",
        "e",
        "i",
        r"\pi",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        r"\sqrt",
        r"\sin",
        "sin",
        r"\log",
        "=",
        "<",
        r"\le",
        ",",
        ";",
        " ",
        r"\text{cm}",
        r"\text{",
        "%",
        r"\%",
        "$",
        r"\\",
        "&",
        r"\begin{pmatrix}",
        r"\end{pmatrix}",
        r"\boxed{",
        r"\cup",
        r"\infty",
        r"\pm",
        "|",
        "!",
        "'",
        r"\circ",
        r"\int",
        r"\sum_{k=1}^{3}",
        r"\lim_{x\to 0}",
        "dx",
        ":",
        r"\left",
        r"\right",
        "and",
        "or",
        "the answer is",
        "####",
        "\n",
        "。",
        "答案",
        "π",
        "²",
        "½",
        "…",
        "\u{c}rac",
        "1,000",
        r"\overline{",
        "E",
        "(A)",
        "²",
        "<think>",
        "</think>",
        "mod",
        r"\binom",
        "^\\circ",
        "1/2",
        "{,}",
        r"\,",
        "f(x)",
        "\u{301}",
        "é",
        "\0",
        "\\",
        r"\mathbb{R}",
        r"\in",
        r"\forall",
        "e10",
        ".",
        "..",
        "...",
        "∞",
        "0",
        "00",
    ];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let rounds = std::env::var("GRADUS_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    for _ in 0..rounds {
        let mut text = || {
            let length = next() % 14 + 1;
            (0..length).map(|_| PIECES[next() as usize % PIECES.len()]).collect::<String>()
        };
        let (gold, pred) = (text(), text());
        run(&gold, &pred, Form::Bare);
        run(&gold, &pred, Form::Text);
        // A reference that announces its answer stands for the announced part.
        if ["boxed", "answer is", "####", "答案"].iter().any(|phrase| gold.contains(phrase)) {
            continue;
        }
        let itself = run(&gold, &gold, Form::Bare);
        assert_ne!(itself, Outcome::Incorrect, "{gold:?} differs from itself");
    }
}
