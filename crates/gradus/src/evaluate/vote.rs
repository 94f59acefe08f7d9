//! Which answer did most attempts at a question give?

use gradus_verify::{Answer, Form};

use crate::judge::{Judged, reference};
use crate::question::{Kind, Question};
use crate::verdict::Outcome;

/// What the majority says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Vote {
    /// An answer was found in no attempt.
    Nobody,
    /// A leading answer could not be told right or wrong.
    Undecided,
    /// One answer leads, or several do.
    Led {
        /// Share of the leading answers that are correct: with a tie, the chance that one drawn among them is.
        share: f64,
        /// Whether several lead.
        tied: bool,
    },
}

/// Answers that are equal by the rules that judge.
struct Camp<'a> {
    first: &'a str,
    correct: bool,
    wrong: bool,
    n: u32,
}

/// The majority among the final answers of the attempts, equal ones counted together: the correct ones, and those that
/// the verifier finds equal to the first of their kind. Attempts without an answer have no vote. None for code: programs
/// are not compared.
pub(super) fn vote(question: &Question, attempts: &[Judged]) -> Option<Vote> {
    if question.kind == Kind::Code {
        return None;
    }
    let mut camps: Vec<Camp<'_>> = Vec::new();
    for (_, verdict) in attempts.iter().filter_map(|judged| judged.result.as_ref().ok()) {
        let Some(extracted) = verdict.extracted.as_deref().filter(|_| verdict.outcome != Outcome::NoAnswer) else {
            continue;
        };
        let correct = verdict.outcome == Outcome::Correct;
        let joins = |camp: &Camp<'_>| {
            camp.correct == correct && (correct || camp.first == extracted || equal(question, camp.first, extracted))
        };
        let at = camps.iter().position(joins).unwrap_or_else(|| {
            camps.push(Camp { first: extracted, correct, wrong: false, n: 0 });
            camps.len() - 1
        });
        camps[at].n += 1;
        camps[at].wrong |= verdict.outcome == Outcome::Incorrect;
    }
    let Some(most) = camps.iter().map(|camp| camp.n).max() else { return Some(Vote::Nobody) };
    let leading: Vec<&Camp<'_>> = camps.iter().filter(|camp| camp.n == most).collect();
    if leading.iter().any(|camp| !camp.correct && !camp.wrong) {
        return Some(Vote::Undecided);
    }
    let n_correct = leading.iter().filter(|camp| camp.correct).count();
    Some(Vote::Led { share: n_correct as f64 / leading.len() as f64, tied: leading.len() > 1 })
}

fn equal(question: &Question, first: &str, other: &str) -> bool {
    let reference = reference(question, vec![first.to_owned()]);
    let verdict = gradus_verify::verify(&reference, &Answer { text: other, form: Form::Bare });
    verdict.outcome == gradus_verify::Outcome::Correct
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::figures::tests::{attempt, question};

    #[track_caller]
    fn check(answers: &[(&str, Outcome)], wanted: Vote) {
        let attempts: Vec<Judged> = answers
            .iter()
            .zip(0..)
            .map(|((text, outcome), number)| attempt(number, *outcome, Some(*text).filter(|text| !text.is_empty()), 1))
            .collect();
        assert_eq!(vote(&question("1/2", Kind::Math), &attempts), Some(wanted), "{answers:?}");
    }

    #[test]
    fn equal_answers_vote_together_however_they_are_written() {
        use Outcome::{Correct, Incorrect, NoAnswer, Undecided};
        let led = |share, tied| Vote::Led { share, tied };
        check(&[("0.5", Correct), ("3", Incorrect), (r"\frac12", Correct)], led(1.0, false));
        // Three against two: `2/3` and `\frac{4}{6}` are one answer.
        let wrong = [("2/3", Incorrect), (r"\frac{4}{6}", Incorrect), ("2/3", Incorrect)];
        check(&[&wrong[..], &[("0.5", Correct), ("1/2", Correct)]].concat(), led(0.0, false));
        check(&[("0.5", Correct), ("3", Incorrect)], led(0.5, true));
        check(&[("0.5", Correct), ("3", Incorrect), ("4", Incorrect)], led(1.0 / 3.0, true));
        check(&[("", NoAnswer), ("", NoAnswer), ("0.5", Correct)], led(1.0, false));
        check(&[("", NoAnswer)], Vote::Nobody);
        check(&[("a strange thing", Undecided), ("a strange thing", Undecided), ("0.5", Correct)], Vote::Undecided);
        check(&[("a strange thing", Undecided), ("0.5", Correct), ("1/2", Correct)], led(1.0, false));
    }

    #[test]
    fn programs_have_no_majority() {
        assert_eq!(vote(&question("", Kind::Code), &[]), None);
    }
}
