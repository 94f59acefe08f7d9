//! The rows of `tests/cases/*.txt`, each checked both as it stands and, where the verdict does not
//! depend on which side is the reference, with the sides exchanged.

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, Verdict, verify};

fn judge(gold: &str, pred: &str) -> Verdict {
    let reference = Reference { kind: Kind::Math, values: vec![gold.into()], tolerance: None, options: Vec::new() };
    verify(&reference, &Answer { text: pred, form: Form::Bare })
}

fn rows() -> Vec<(String, String, String, Outcome, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the cases are there").flatten().map(|e| e.path()).collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(&path).expect("a case file is readable");
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [gold, pred, verdict, why] = cells.as_slice() else {
                panic!("{name}:{}: four cells are expected, {} found", number + 1, cells.len());
            };
            let outcome = match *verdict {
                "correct" => Outcome::Correct,
                "incorrect" => Outcome::Incorrect,
                "undecided" => Outcome::Undecided,
                "none" => Outcome::NoAnswer,
                other => panic!("{name}:{}: no verdict is called {other}", number + 1),
            };
            out.push((format!("{name}:{}", number + 1), (*gold).into(), (*pred).into(), outcome, (*why).into()));
        }
    }
    out
}

#[test]
fn every_row_gets_its_verdict() {
    let rows = rows();
    assert!(rows.len() > 250, "the case files are complete");
    let mut wrong = Vec::new();
    for (place, gold, pred, expected, why) in &rows {
        let verdict = judge(gold, pred);
        if verdict.outcome != *expected {
            wrong.push(format!(
                "{place} ({why}): {gold} against {pred}: {:?}, expected {expected:?}; {} ({})",
                verdict.outcome, verdict.explanation, verdict.method
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn different_is_different_from_both_sides() {
    for (place, gold, pred, expected, _) in rows() {
        if expected == Outcome::Incorrect {
            let verdict = judge(&pred, &gold);
            // What rounds to a reference need not be a reference of its own.
            let decimal = gold.contains('.') || pred.contains('.');
            assert!(
                verdict.outcome != Outcome::Correct || decimal,
                "{place}: {pred} against {gold} is {:?}",
                verdict.outcome
            );
        }
    }
}

#[test]
fn every_side_equals_itself() {
    for (place, gold, pred, expected, _) in rows() {
        let sides = if expected == Outcome::NoAnswer { vec![gold] } else { vec![gold, pred] };
        for side in sides {
            let verdict = judge(&side, &side);
            assert_eq!(verdict.outcome, Outcome::Correct, "{place}: {side}: {}", verdict.explanation);
        }
    }
}

#[test]
fn tolerance_of_the_reference_widens_what_is_accepted() {
    use gradus_verify::Tolerance;
    let check = |tolerance: Tolerance, pred: &str| {
        let reference = Reference {
            kind: Kind::Math,
            values: vec!["9.81".into()],
            tolerance: Some(tolerance),
            options: Vec::new(),
        };
        verify(&reference, &Answer { text: pred, form: Form::Bare }).outcome
    };
    assert_eq!(check(Tolerance::Relative(0.05), "10"), Outcome::Correct);
    assert_eq!(check(Tolerance::Relative(0.05), "10.4"), Outcome::Incorrect);
    assert_eq!(check(Tolerance::Absolute(0.2), "10"), Outcome::Correct);
    assert_eq!(check(Tolerance::Absolute(0.1), "10"), Outcome::Incorrect);
    assert_eq!(check(Tolerance::Relative(0.05), r"\sqrt{96}"), Outcome::Correct);
}

#[test]
fn any_accepted_value_is_enough() {
    let reference = Reference {
        kind: Kind::Math,
        values: vec!["7".into(), r"\frac{1}{2}".into()],
        tolerance: None,
        options: Vec::new(),
    };
    let check = |text: &str| verify(&reference, &Answer { text, form: Form::Bare }).outcome;
    assert_eq!(check("0.5"), Outcome::Correct);
    assert_eq!(check("7"), Outcome::Correct);
    assert_eq!(check("8"), Outcome::Incorrect);
}

#[test]
fn a_choice_may_be_named_by_its_text() {
    let reference = Reference {
        kind: Kind::Choice,
        values: vec!["B".into()],
        tolerance: None,
        options: vec!["12".into(), r"\frac{1}{2}".into(), "red".into()],
    };
    let check = |text: &str, form: Form| verify(&reference, &Answer { text, form }).outcome;
    for text in ["B", "(b)", r"\textbf{(B)}", "B. one half", "0.5"] {
        assert_eq!(check(text, Form::Bare), Outcome::Correct, "{text}");
    }
    assert_eq!(check("red", Form::Bare), Outcome::Incorrect);
    assert_eq!(check("The answer is (B).", Form::Text), Outcome::Correct);
    assert_eq!(check("It is not A, so the answer is C.", Form::Text), Outcome::Incorrect);
}

#[test]
fn texts_that_are_numbers_or_values_are_compared_as_such() {
    let check = |gold: &str, pred: &str, expected| {
        let reference = Reference { kind: Kind::Text, values: vec![gold.into()], tolerance: None, options: Vec::new() };
        let verdict = verify(&reference, &Answer { text: pred, form: Form::Bare });
        assert_eq!(verdict.outcome, expected, "{gold} against {pred}");
    };
    check("8.5", "8.50", Outcome::Correct);
    check("8.5", "8.6", Outcome::Incorrect);
    check("ab", "ba", Outcome::Incorrect);
    check("[1, 2]", "[1,2]", Outcome::Correct);
    check("[1, 2]", "[2, 1]", Outcome::Incorrect);
    check("'aB'", "'ab'", Outcome::Incorrect);
    check("{1: 2, 3: 4}", "{3: 4, 1: 2}", Outcome::Undecided);
}
