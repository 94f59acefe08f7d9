//! Any two texts, cut at the first line end: the verdict is the same twice, and nothing differs from itself.
#![no_main]

use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: &str| {
    let (gold, pred) = texts.split_once('\n').unwrap_or((texts, texts));
    for kind in [Kind::Math, Kind::Choice, Kind::Text] {
        let reference = Reference { kind, values: vec![gold.into()], tolerance: None, options: vec![pred.into()] };
        for form in [Form::Bare, Form::Text] {
            let answer = Answer { text: pred, form };
            assert_eq!(verify(&reference, &answer), verify(&reference, &answer));
        }
    }
    // A reference that announces its answer stands for the announced part.
    if !["box", "answer is", "####", "答案"].iter().any(|phrase| gold.contains(phrase)) {
        let reference = Reference { kind: Kind::Math, values: vec![gold.into()], tolerance: None, options: Vec::new() };
        let itself = verify(&reference, &Answer { text: gold, form: Form::Bare });
        assert_ne!(itself.outcome, Outcome::Incorrect);
    }
});
