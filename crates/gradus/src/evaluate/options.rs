//! Options of choice questions in an order of their own.

use crate::prompt::lists_options;
use crate::question::{Kind, Question};
use crate::stats::draw;

/// Puts the options into an order keyed by the question's id and moves the references along, so that every run has the
/// same order and no position of the right answer can be learned by heart. Says whether it did: a question stays as it
/// is if it is no choice question, its options stand in its text, a reference is no single letter, or an option speaks
/// of the others.
pub fn shuffle(question: &mut Question) -> bool {
    let n = question.options.len();
    let index = |letter: &str| {
        let mut letters = letter.trim().chars();
        let first = letters.next().filter(|_| letters.next().is_none())?;
        (0..n.min(26)).find(|at| first.to_ascii_uppercase() as u32 == 'A' as u32 + *at as u32)
    };
    let right: Option<Vec<usize>> = question.references.iter().map(|letter| index(letter)).collect();
    let fixed = question.kind != Kind::Choice
        || n < 2
        || lists_options(&question.text)
        || question.options.iter().any(|option| speaks_of_others(option));
    let Some(right) = right.filter(|_| !fixed) else { return false };
    let mut order: Vec<usize> = (0..n).collect();
    let id = question.id.number().to_le_bytes();
    order.sort_by_key(|at| draw(0, "options", &[&id[..], &(*at as u64).to_le_bytes()].concat()));
    let letter = |at: usize| char::from(b'A' + at as u8).to_string();
    let place = |old: usize| order.iter().position(|at| *at == old).expect("a permutation holds every index");
    question.references = right.into_iter().map(|old| letter(place(old))).collect();
    question.options = order.iter().map(|at| question.options[*at].clone()).collect();
    true
}

/// `All of the above`, `Both A and B`, `A or C`, `(i) and (B)`: true only in the order given.
fn speaks_of_others(option: &str) -> bool {
    let lower = option.to_lowercase();
    if ["above", "below", "preceding", "of these", "other options", "previous option"].iter().any(|w| lower.contains(w))
    {
        return true;
    }
    let words: Vec<&str> = option.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_letter = |word: &str| word.len() == 1 && ('A'..='P').any(|letter| word.starts_with(letter));
    words.windows(3).any(|three| {
        is_letter(three[0]) && is_letter(three[2]) && ["and", "or", "nor"].contains(&three[1].to_lowercase().as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::evaluate::figures::tests::question;
    use crate::question::QuestionId;

    fn choice(text: &str, options: &[&str], right: &str) -> Question {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let id = QuestionId::of(Kind::Choice, text, &options);
        Question { id, text: text.into(), options, ..question(right, Kind::Choice) }
    }

    #[test]
    fn the_reference_moves_with_its_option_and_every_run_has_the_same_order() {
        let mut places = BTreeSet::new();
        for at in 0..60 {
            let one = choice(&format!("Which is right? {at}"), &["red", "green", "blue", "grey"], "C");
            let mut moved = one.clone();
            assert!(shuffle(&mut moved));
            let right = usize::from(moved.references[0].as_bytes()[0] - b'A');
            assert_eq!(moved.options[right], "blue");
            assert_eq!(moved.id, one.id, "it is the same question");
            let mut again = one.clone();
            shuffle(&mut again);
            assert_eq!(again, moved);
            places.insert(right);
        }
        assert_eq!(places.len(), 4, "the right answer stands everywhere");
    }

    #[track_caller]
    fn stays(question: &Question) {
        let mut same = question.clone();
        assert!(!shuffle(&mut same) && same == *question, "{same:?}");
    }

    #[test]
    fn a_question_whose_order_matters_stays_as_it_is() {
        for (text, options, right) in [
            ("Which?", ["one", "two", "All of the above"], "C"),
            ("Which?", ["one", "two", "Both A and B"], "C"),
            ("Which?\nA) one\nB) two\nC) three", ["one", "two", "three"], "C"),
            ("Which?", ["one", "two", "three"], "A, B"),
            ("Which?", ["one", "two", "three"], "D"),
        ] {
            let question = choice(text, &options, right);
            stays(&question);
        }
        stays(&question("1", Kind::Math));
    }
}
