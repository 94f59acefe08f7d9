//! From reference and answer to a verdict.

use crate::extract::{self, Expect};
use crate::literal::{self, Told};
use crate::math::{self, Decision};
use crate::{Answer, Extracted, Form, Kind, Outcome, Proof, Reference, Verdict, choice, text};

/// Compares an answer with its reference.
pub fn verify(reference: &Reference, answer: &Answer<'_>) -> Verdict {
    let golds: Vec<String> = reference.values.iter().map(|v| unwrap_reference(v, reference.kind)).collect();
    let Some(extracted) = find(reference, &golds, answer) else {
        return Verdict {
            outcome: Outcome::NoAnswer,
            extracted: None,
            method: "none".into(),
            proof: None,
            witness: None,
            explanation: "The response holds no final answer.".into(),
        };
    };
    let mut best: Option<Judged> = None;
    for gold in &golds {
        let judged = one(reference, gold, &extracted.text);
        let rank = |o: Outcome| match o {
            Outcome::Correct => 0,
            Outcome::Undecided => 1,
            _ => 2,
        };
        let better = best.as_ref().is_none_or(|b| rank(judged.outcome) < rank(b.outcome));
        if better {
            best = Some(judged);
        }
        if best.as_ref().is_some_and(|b| b.outcome == Outcome::Correct) {
            break;
        }
    }
    let Some(judged) = best else {
        return Verdict {
            outcome: Outcome::Undecided,
            extracted: Some(extracted),
            method: "none".into(),
            proof: None,
            witness: None,
            explanation: "The reference holds no accepted answer.".into(),
        };
    };
    Verdict {
        outcome: judged.outcome,
        extracted: Some(extracted),
        method: judged.method,
        proof: judged.proof,
        witness: judged.witness,
        explanation: judged.explanation,
    }
}

struct Judged {
    outcome: Outcome,
    method: String,
    proof: Option<Proof>,
    witness: Option<String>,
    explanation: String,
}

/// The final answer: the text itself, or what the rules find in a response.
fn find(reference: &Reference, golds: &[String], answer: &Answer<'_>) -> Option<Extracted> {
    let text = answer.text;
    if answer.form == Form::Bare {
        let trimmed = text.trim();
        if blank(trimmed) {
            return None;
        }
        let start = text.find(trimmed).unwrap_or(0);
        let (inner, offset) = unbox(trimmed);
        let span = start + offset..start + offset + inner.len();
        return Some(Extracted { text: inner.to_owned(), span, rule: "bare" });
    }
    let expect = match reference.kind {
        Kind::Choice => Expect::Letter,
        Kind::Text => Expect::Words,
        Kind::Math => {
            if golds.iter().all(|g| option_letter(g)) {
                Expect::Letter
            } else if golds.iter().all(|g| words_only(g)) {
                Expect::Words
            } else {
                Expect::Math
            }
        }
    };
    extract::find(text, expect).filter(|found| !blank(&found.text))
}

/// Whether nothing is said: a gap that was never filled in, such as `___` or `...`.
fn blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || "_.?-*#\\$…–—".contains(c))
}

/// A reference that is an option letter, and not the name of a variable in lower case.
fn option_letter(gold: &str) -> bool {
    let plain = gold.trim().trim_matches('$');
    choice::marked_letter(plain).is_some() && plain.chars().any(|c| c.is_ascii_uppercase())
}

fn words_only(gold: &str) -> bool {
    !math::is_math(gold) && !gold.contains(|c: char| c.is_ascii_digit())
}

/// A whole answer inside one box.
fn unbox(text: &str) -> (&str, usize) {
    let trimmed = text.trim_matches('$').trim();
    for command in ["\\boxed{", "\\fbox{", "$\\boxed{"] {
        if let Some(rest) = trimmed.strip_prefix(command)
            && let Some(inner) = rest.strip_suffix('}')
        {
            let mut depth = 0i64;
            let mut escaped = false;
            let closed_early = inner.bytes().any(|b| {
                if escaped {
                    escaped = false;
                    return false;
                }
                match b {
                    b'\\' => escaped = true,
                    b'{' => depth += 1,
                    b'}' => depth -= 1,
                    _ => {}
                }
                depth < 0
            });
            if !closed_early {
                let offset = text.find(inner).unwrap_or(0);
                return (inner, offset);
            }
        }
    }
    (text, 0)
}

/// The answer inside a reference that is a whole solution.
fn unwrap_reference(gold: &str, kind: Kind) -> String {
    if kind == Kind::Choice
        && choice::letter(gold).is_none()
        && choice::letters(gold).is_none()
        && let Some(found) = extract::find(gold, Expect::Letter)
    {
        return found.text;
    }
    let boxed = gold.contains("\\boxed") || gold.contains("\\fbox");
    let prose = ["answer is ", "####", "答案"].iter().any(|p| gold.contains(p));
    if (boxed || prose)
        && let Some(found) = extract::find(gold, Expect::Math)
        && (boxed || !matches!(found.rule, "last_number" | "last_formula" | "whole"))
    {
        return found.text;
    }
    gold.trim().to_owned()
}

fn one(reference: &Reference, gold: &str, pred: &str) -> Judged {
    match reference.kind {
        Kind::Choice => by_choice(reference, gold, pred),
        Kind::Text => by_text(gold, pred),
        Kind::Math => {
            if option_letter(gold)
                && let (Some(g), Some(p)) = (choice::marked_letter(gold), choice::marked_letter(pred))
            {
                return judged_letters(&g.to_string(), &p.to_string());
            }
            by_math(reference, gold, pred)
        }
    }
}

fn letters(gold: &str, pred: &str) -> Option<Judged> {
    let (g, p) = (choice::letter(gold)?, choice::letter(pred)?);
    Some(judged_letters(&g.to_string(), &p.to_string()))
}

fn judged_letters(g: &str, p: &str) -> Judged {
    let same = g == p;
    Judged {
        outcome: if same { Outcome::Correct } else { Outcome::Incorrect },
        method: "choice=choice".into(),
        proof: Some(Proof::Exact),
        witness: (!same).then(|| format!("{p} is not {g}")),
        explanation: if same {
            format!("Both choose option {g}.")
        } else {
            format!("The answer chooses {p}, the reference {g}.")
        },
    }
}

fn by_choice(reference: &Reference, gold: &str, pred: &str) -> Judged {
    if let Some(judged) = letters(gold, pred) {
        return judged;
    }
    if let (Some(g), Some(p)) = (choice::letters(gold), choice::letters(pred)) {
        return judged_letters(&g.iter().collect::<String>(), &p.iter().collect::<String>());
    }
    // The text of an option instead of its letter.
    if let Some(g) = choice::letter(gold) {
        let hits: Vec<char> = reference
            .options
            .iter()
            .enumerate()
            .filter(|(_, option)| {
                text::same(option, pred) == Some(true) || math::compare(option, pred, None).decision.is_equal()
            })
            .map(|(k, _)| char::from(b'A' + (k as u8).min(25)))
            .collect();
        if let [p] = hits.as_slice() {
            return judged_letters(&g.to_string(), &p.to_string());
        }
    }
    let math = by_math(reference, gold, pred);
    if math.outcome == Outcome::Correct {
        return math;
    }
    Judged {
        outcome: Outcome::Undecided,
        explanation: "No option letter could be read in the answer.".into(),
        witness: None,
        proof: None,
        ..math
    }
}

fn by_text(gold: &str, pred: &str) -> Judged {
    let value = literal::compare(gold, pred);
    let same = match value {
        Some(Told::Same) => Some(true),
        Some(Told::Other) => Some(false),
        Some(Told::Unclear) => None,
        None => text::same(gold, pred),
    };
    let (outcome, explanation) = match same {
        None if value.is_some() => {
            (Outcome::Undecided, "The reference is a program's value; whether the answer is the same cannot be told.")
        }
        Some(true) => (Outcome::Correct, "The texts say the same."),
        // `8.5` and `8.50`; letters would be multiplied, which no word allows.
        Some(false)
            if !(gold.contains(char::is_alphabetic) || pred.contains(char::is_alphabetic))
                && value.is_none()
                && math::compare(gold, pred, None).decision.is_equal() =>
        {
            (Outcome::Correct, "The texts are equal numbers.")
        }
        Some(false) => (Outcome::Incorrect, "The texts differ."),
        None => {
            if math::compare(gold, pred, None).decision.is_equal() {
                (Outcome::Correct, "The texts read as equal formulas.")
            } else {
                (Outcome::Undecided, "The texts differ in wording; whether in meaning cannot be told.")
            }
        }
    };
    Judged {
        outcome,
        method: "text=text".into(),
        proof: (outcome != Outcome::Undecided).then_some(Proof::Exact),
        witness: None,
        explanation: explanation.into(),
    }
}

fn by_math(reference: &Reference, gold: &str, pred: &str) -> Judged {
    let math::Comparison { decision, method } = math::compare(gold, pred, reference.tolerance);
    match decision {
        Decision::Equal(proof) => Judged {
            outcome: Outcome::Correct,
            explanation: format!("The answer is equivalent to the reference ({}).", proof_words(proof)),
            method,
            proof: Some(proof),
            witness: None,
        },
        Decision::Different(witness) => Judged {
            outcome: Outcome::Incorrect,
            explanation: format!("The answer differs from the reference: {witness}."),
            method,
            proof: Some(Proof::Certified),
            witness: Some(witness),
        },
        Decision::Unknown(reason) => Judged {
            outcome: Outcome::Undecided,
            explanation: format!("Cannot tell whether they are equivalent: {reason}."),
            method,
            proof: None,
            witness: None,
        },
    }
}

fn proof_words(proof: Proof) -> String {
    match proof {
        Proof::Exact => "exact".into(),
        Proof::Certified => "by rigorous bounds".into(),
        Proof::Probabilistic { bits } => format!("agreement to {bits} bits"),
    }
}
