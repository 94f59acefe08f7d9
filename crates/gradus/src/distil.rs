//! Chains of thought from the teachers: asked again until enough are right or the tries run out.

use crate::attempt::{Key, Source};
use crate::further::{self, Further};
use crate::judge::{self, Judge, Judged, find};
use crate::prompt::Asker;
use crate::question::Question;
use crate::work::{Answered, Next, Slot, Step};

/// How chains of thought are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Distil {
    /// Whom to ask, and how: one per teacher, in the config's order.
    pub askers: Vec<Asker>,
    /// Correct ones wanted per question and teacher.
    pub correct: u32,
    /// Most attempts per question and teacher.
    pub tries: u32,
    /// How far an attempt that was cut off is gone on with, if at all.
    pub further: Option<Further>,
    /// How attempts are judged.
    pub judge: Judge,
}

/// All chains of thought for a question: the right, the wrong and the failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// By teacher, then by number.
    pub cots: Vec<Judged>,
    /// Keys of the generations that each was joined from.
    pub parts: Vec<Vec<Key>>,
}

/// What a question still needs, or its chains of thought. Decided from the longest prefix of settled attempts
/// of each teacher; attempts behind it are not looked at.
pub fn next(config: &Distil, question: &Question, answers: &[Answered]) -> Next<Distilled> {
    let mut missing = Vec::new();
    let (mut cots, mut parts) = (Vec::new(), Vec::new());
    for (asker, teacher) in config.askers.iter().zip(0..) {
        let source = Source::Teacher(teacher);
        let mut n_sound = 0;
        for attempt in 0..config.tries {
            if n_sound >= config.correct {
                break;
            }
            let slot = Slot { source, attempt, step: Step::Generate };
            let Some(answered) = find(answers, slot) else {
                // As many at once as are still wanted: none of them is asked for nothing. Later ones may have come.
                let end = config.tries.min(attempt + config.correct - n_sound);
                let wanted = asker.ask(question, source, attempt..end).into_iter();
                missing.extend(wanted.filter(|work| find(answers, work.slot).is_none()));
                break;
            };
            let whole = match further::next(config.further.as_ref(), asker, question, answered, answers) {
                Next::Done(whole) => whole,
                Next::Ask(work) => {
                    missing.extend(work);
                    break;
                }
                Next::Drop(reason) => return Next::Drop(reason),
            };
            match judge::next(&config.judge, question, slot, &whole.answered, answers) {
                Next::Done(judged) => {
                    n_sound += u32::from(judged.is_sound());
                    cots.push(judged);
                    parts.push(whole.parts);
                }
                Next::Ask(work) => {
                    missing.extend(work);
                    break;
                }
                Next::Drop(reason) => return Next::Drop(reason),
            }
        }
    }
    if !missing.is_empty() {
        return Next::Ask(missing);
    }
    let failure = cots.iter().find_map(|judged| judged.result.as_ref().err());
    match failure {
        Some(reason) if cots.iter().all(|judged| judged.result.is_err()) => Next::Drop(reason.clone()),
        _ => Next::Done(Distilled { cots, parts }),
    }
}
