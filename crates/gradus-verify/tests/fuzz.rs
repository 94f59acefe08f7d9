//! A random driver on the stable toolchain: notation in random order, and the crate's own rows with
//! parts cut, doubled, exchanged and spliced. `GRADUS_FUZZ_ROUNDS` makes it run longer,
//! `GRADUS_FUZZ_SEED` elsewhere. Targets for `cargo fuzz` stand in `fuzz/` at the root.

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, Verdict, extract, verify};

/// Scraps of notation, also put into mutated rows.
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

/// Xorshift (Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn new(stream: u64) -> Self {
        let seed = std::env::var("GRADUS_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1u64);
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    /// Where a text can be cut.
    fn cut(&mut self, text: &str) -> usize {
        let at = self.below(text.len() + 1);
        (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
    }

    fn part<'a>(&mut self, text: &'a str) -> &'a str {
        let (a, b) = (self.cut(text), self.cut(text));
        &text[a.min(b)..a.max(b)]
    }

    fn mutated(&mut self, corpus: &[&str]) -> String {
        let mut text = self.pick(corpus).to_owned();
        for _ in 0..=self.below(4) {
            let at = self.cut(&text);
            match self.below(6) {
                0 => text.insert_str(at, self.pick(PIECES)),
                1 => {
                    let part = self.part(&text).to_owned();
                    text = text.replacen(&part, "", 1);
                }
                2 => {
                    let part = self.part(&text).to_owned();
                    text.insert_str(at, &part.repeat(1 + self.below(3)));
                }
                3 => {
                    let other = self.pick(corpus);
                    let part = self.part(other);
                    text.insert_str(at, part);
                }
                4 => {
                    text.truncate(at);
                    let other = self.pick(corpus);
                    let from = self.cut(other);
                    text.push_str(&other[from..]);
                }
                _ => {
                    let part = self.part(&text).to_owned();
                    let other = self.pick(PIECES);
                    text = text.replacen(&part, other, 1);
                }
            }
            let end = (0..=text.len().min(4000)).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
        }
        text
    }
}

fn rounds(usual: usize) -> usize {
    std::env::var("GRADUS_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(usual)
}

fn judge(gold: &str, pred: &str, kind: Kind, form: Form) -> Verdict {
    let reference = Reference { kind, values: vec![gold.into()], tolerance: None, options: vec![pred.into()] };
    verify(&reference, &Answer { text: pred, form })
}

/// What must hold for any two texts.
fn check(gold: &str, pred: &str) {
    for kind in [Kind::Math, Kind::Choice, Kind::Text] {
        for form in [Form::Bare, Form::Text] {
            let verdict = judge(gold, pred, kind, form);
            if let Some(found) = &verdict.extracted {
                assert_eq!(&pred[found.span.clone()], found.text, "the span points into {pred:?}");
            }
            let decided = matches!(verdict.outcome, Outcome::Correct | Outcome::Incorrect);
            assert_eq!(decided, verdict.proof.is_some(), "{gold:?} against {pred:?}: {verdict:?}");
            assert_eq!(verdict, judge(gold, pred, kind, form), "the verdict on {pred:?} changes");
        }
        extract(pred, kind);
    }
    // A reference that announces its answer stands for the announced part.
    if ["box", "answer is", "####", "答案"].iter().any(|phrase| gold.contains(phrase)) {
        return;
    }
    let itself = judge(gold, gold, Kind::Math, Form::Bare).outcome;
    assert_ne!(itself, Outcome::Incorrect, "{gold:?} differs from itself");
}

#[test]
fn random_notation_gets_a_verdict() {
    let mut dice = Dice::new(1);
    for _ in 0..rounds(3_000) {
        let mut text = || (0..=dice.below(14)).map(|_| dice.pick(PIECES)).collect::<String>();
        let (gold, pred) = (text(), text());
        check(&gold, &pred);
    }
}

#[test]
fn mutated_rows_get_a_verdict() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let files: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let rows = files.iter().flat_map(|file| file.lines()).filter(|line| !line.starts_with('#'));
    let corpus: Vec<&str> = rows.flat_map(|row| row.split('|').take(2)).map(str::trim).collect();
    assert!(corpus.len() > 500, "the case files are complete");
    let mut dice = Dice::new(2);
    for _ in 0..rounds(3_000) {
        let gold = dice.mutated(&corpus);
        let pred = dice.mutated(&corpus);
        check(&gold, &pred);
    }
}
