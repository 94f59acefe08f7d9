//! Chains of thought from the teachers: asked again until enough are right, or the tries or the question's budget run
//! out.

use gradus_model::Usage;
use gradus_model::price::Price;

use crate::attempt::{Key, Source};
use crate::budget::{self, Spend};
use crate::further::{self, Further};
use crate::judge::{self, Judge, Judged, find};
use crate::prompt::Asker;
use crate::question::Question;
use crate::select::pass::Unfinished;
use crate::work::{Answered, Next, Outcome, Reason, Slot, Step, Work};

/// How chains of thought are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Distil {
    /// Whom to ask, and how: one per teacher, in the config's order.
    pub askers: Vec<Asker>,
    /// Correct ones wanted per question and teacher.
    pub correct: u32,
    /// Most attempts per question and teacher.
    pub tries: u32,
    /// What may be used for one question.
    pub allowance: Allowance,
    /// How far an attempt that was cut off is gone on with, if at all.
    pub further: Option<Further>,
    /// How attempts are judged.
    pub judge: Judge,
}

/// What all teachers together may use for one question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Allowance {
    /// Most US dollars.
    pub max_usd: Option<f64>,
    /// Most tokens, read and written.
    pub max_tokens: Option<u64>,
    /// The teachers' prices, in the config's order.
    pub prices: Vec<Option<Price>>,
}

impl Allowance {
    fn is_unlimited(&self) -> bool {
        self.max_usd.is_none() && self.max_tokens.is_none()
    }

    fn allows_another(&self, committed: Spend) -> bool {
        committed.is_below(self.max_usd, self.max_tokens)
    }

    fn spend(&self, teacher: u16, usage: &Usage, told_usd: Option<f64>) -> Spend {
        let price = self.prices.get(usize::from(teacher)).and_then(Option::as_ref);
        let usd = told_usd.or_else(|| price?.cost(usage)).unwrap_or(0.0);
        Spend { usd, tokens: budget::tokens(usage).unwrap_or(0) }
    }

    /// What an answer used; the worst case of what was asked if its server did not count.
    fn used(&self, teacher: u16, work: &Work, outcome: &Outcome) -> Spend {
        match outcome {
            Outcome::Completed(completion) if budget::tokens(&completion.usage).is_some() => {
                self.spend(teacher, &completion.usage, completion.cost_usd)
            }
            Outcome::Completed(_) => self.worst_case(teacher, work),
            _ => Spend::default(),
        }
    }

    fn worst_case(&self, teacher: u16, work: &Work) -> Spend {
        work.task.worst_case().map_or_else(Spend::default, |usage| self.spend(teacher, &usage, None))
    }
}

/// All chains of thought for a question: the right, the wrong and the failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Distilled {
    /// By teacher, then by number.
    pub cots: Vec<Judged>,
    /// The question's budget was used up before enough of them were right.
    pub out_of_budget: bool,
    /// Keys of the generations that each was joined from.
    pub parts: Vec<Vec<Key>>,
}

impl Distilled {
    /// Why it was not asked to the end, if it was not.
    pub fn unfinished(&self) -> Option<Unfinished> {
        if self.cots.iter().filter_map(|judged| judged.result.as_ref().err()).any(Reason::is_not_asked) {
            return Some(Unfinished::NotAsked);
        }
        self.out_of_budget.then_some(Unfinished::OutOfBudget)
    }
}

/// What a question still needs, or its chains of thought. Decided from the longest prefix of settled attempts
/// of each teacher; attempts behind it are not looked at. Under a budget for each question the teachers are asked one
/// after the other, so that the order of replies does not decide which of them still may.
pub fn next(config: &Distil, question: &Question, answers: &[Answered]) -> Next<Distilled> {
    let mut missing = Vec::new();
    let (mut cots, mut parts) = (Vec::new(), Vec::new());
    let allowance = &config.allowance;
    let mut spent = Spend::default();
    let mut out_of_budget = false;
    for (asker, teacher) in config.askers.iter().zip(0..) {
        if out_of_budget || !(missing.is_empty() || allowance.is_unlimited()) {
            break;
        }
        let source = Source::Teacher(teacher);
        let mut n_sound = 0;
        for attempt in 0..config.tries {
            if n_sound >= config.correct {
                break;
            }
            if !allowance.allows_another(spent) {
                out_of_budget = true;
                break;
            }
            let slot = Slot { source, attempt, step: Step::Generate };
            let Some(answered) = find(answers, slot) else {
                // As many at once as are still wanted: none of them is asked for nothing. Later ones may have come.
                let end = config.tries.min(attempt + config.correct - n_sound);
                let mut committed = spent;
                let wanted = asker.ask(question, source, attempt..end).into_iter().take_while(|work| {
                    let allowed = allowance.allows_another(committed);
                    committed = committed.plus(allowance.worst_case(teacher, work));
                    allowed
                });
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
            if !allowance.is_unlimited() {
                let asked = asker.ask(question, source, attempt..attempt + 1);
                spent = asked
                    .iter()
                    .fold(spent, |sum, work| sum.plus(allowance.used(teacher, work, &whole.answered.outcome)));
            }
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
        _ => Next::Done(Distilled { cots, out_of_budget, parts }),
    }
}
