//! Hostile input: no panic, no hang, a verdict within bounds of time and memory. The limits themselves
//! are counted, so the verdicts are the same on every machine; the bounds only guard them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};

/// CPU time of one verdict; checks of the dev profile slow it down.
const BOUND: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
/// Bytes held at once for one verdict.
const MEMORY: usize = 64 << 20;

/// The system's allocator, counting what each thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.get().wrapping_add(layout.size());
        HELD.set(held);
        PEAK.set(PEAK.get().max(held));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(layout.size()));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// CPU time of this thread where the system tells it, else wall time.
fn clock(start: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn run(gold: &str, pred: &str, form: Form) -> Outcome {
    let reference = Reference { kind: Kind::Math, values: vec![gold.into()], tolerance: None, options: Vec::new() };
    let start = Instant::now();
    let before = clock(start);
    let held = HELD.get();
    PEAK.set(held);
    let verdict = verify(&reference, &Answer { text: pred, form });
    let took = clock(start).saturating_sub(before);
    let memory = PEAK.get() - held;
    let short = |text: &str| text.chars().take(60).collect::<String>();
    if std::env::var_os("GRADUS_SLOW").is_some() && (took > BOUND / 4 || memory > MEMORY / 4) {
        println!("{took:?}, {} kB for {:?} against {:?} {form:?}", memory >> 10, short(pred), short(gold));
        return verdict.outcome;
    }
    assert!(took < BOUND, "{took:?} for {:?} against {:?}", short(pred), short(gold));
    assert!(memory < MEMORY, "{memory} bytes for {:?} against {:?}", short(pred), short(gold));
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
        ("prose of a megabyte", "So we get that the value of x plus 12 is 30. ".repeat(n / 45)),
        ("formulas of a megabyte", r"We have $\frac{1}{2} + x = 3$. ".repeat(n / 31)),
        ("list of a megabyte", "12, ".repeat(n / 4)),
        ("braced towers", r"10^{10^{10^{10^{10^{10}}}}}".into()),
        ("tower of arrows", r"3 \uparrow\uparrow\uparrow 5".into()),
        ("tower as exponent", "2^{-9^{9^{9^9}}}".into()),
        ("tower of roots", r"\sqrt[9^{9^9}]{9^{9^9}}".into()),
        ("tower of a sum", "(1+9^{9^{9}})^{9^{9^{9}}} - 9^{9^{9^9}}".into()),
        ("factorial tower", "9!!!!!!!!!!!!!!!!!!!!".into()),
        ("factorial of millions", "3000000!".into()),
        ("quotient of factorials", r"\frac{1000000!}{999999!}".into()),
        ("sum of factorials", r"\sum_{k=1}^{2000} k!".into()),
        ("modulus of a tower", r"9^{9^{9^9}} \mod 1000007".into()),
        (
            "macros that double",
            (0..40)
                .map(|k| {
                    let letter = |k: u8| char::from(b'a' + k % 26);
                    format!(r"\newcommand{{\m{0}}}{{\m{1}\m{1}}}", letter(k), letter(k + 1))
                })
                .collect::<Vec<_>>()
                .concat()
                + r"\ma",
        ),
        ("definitions", r"\def\x{\x\x}".repeat(2000) + r"\x"),
        ("doubling by signs", (0..40).map(|k| format!(r"(x_{{{k}}} \pm {k})")).collect::<Vec<_>>().concat()),
        ("doubling by powers", "((((((x+y)^9+z)^9+x)^9+y)^9+z)^9+1)^9".into()),
        (
            "doubling by nesting",
            (0..60).fold("x".to_owned(), |inner, k| {
                format!(r"\frac{{{inner}}}{{{inner}+{k}}}").chars().take(30_000).collect()
            }),
        ),
        ("huge binomials", r"\sum_{k=0}^{10000}\binom{10000}{k}".into()),
        ("huge exponent of a decimal", "1.0000001^{1000000000}".into()),
        ("huge modulus", format!(r"{}\mod {}", "9".repeat(9000), "7".repeat(9000))),
        ("cases", format!(r"\begin{{cases}}{}\end{{cases}}", r"x & x<1\\".repeat(3000))),
        ("integral of a tower", r"\int_0^{9^{9^9}} x^{9^9} dx".into()),
        ("limit of a tower", r"\lim_{n\to\infty} n^{n^{n^n}}".into()),
        ("derivatives", r"\frac{d}{dx}".repeat(60) + r"\sin(e^{x^2})"),
        ("nested tuples", "(1,".repeat(200) + "1" + &")".repeat(200)),
        ("nested sets", r"\{1,".repeat(200) + "1" + &r"\}".repeat(200)),
        ("surrogates", "𝟙𝟚𝟛".repeat(80_000)),
        ("right to left", "\u{202e}1\u{202c}".repeat(100_000)),
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
                        | "right to left"
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
