//! How far did a wrong attempt get? Its steps are scored by a process reward model, or by any model in words.
//!
//! arXiv 2504.11919 scores wrong trajectories with a "PRM-Grader" in 0..1; which model, what a step is and how step
//! scores become one number is open in the paper: all of it stands in the config ([`crate::config::Scoring`]).
//! Composed by [`crate::grade`]: a question that is easy asks for no score.

use std::path::Path;
use std::sync::Arc;

use gradus_model::{Completion, Identity, Sampling, ScoreForm, StepScore};
use serde_json::{Map, Value};

use crate::attempt::{Key, Source};
use crate::config::{self, Aggregate, Part, ScoredForm, Scoring as Settings, UndecidedStep};
use crate::judge::{Judged, find};
use crate::marks;
use crate::question::Question;
use crate::steps;
use crate::words::{self, Speaking, TemplateError};
use crate::work::{Answered, Next, Outcome, Reason, Scoring, Slot, Step, Task, Work};

/// Who scores wrong attempts, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Scorer {
    /// `prm` or `judge`: whose settings these are.
    pub role: &'static str,
    /// Which model.
    pub model: Identity,
    /// Further fields of the request body.
    pub extra: Map<String, Value>,
    /// How it is asked.
    pub how: How,
    /// What is a step, and how steps become one number.
    pub settings: Settings,
}

/// How a model is asked for scores.
#[derive(Debug, Clone, PartialEq)]
pub enum How {
    /// For probabilities.
    Wire(ScoreForm),
    /// In words.
    Words(Words),
}

/// How a model is asked for scores in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// For one rating of the whole attempt, in place of a mark for each step.
    pub rating: bool,
    /// System prompt.
    pub system: Option<String>,
    /// The words, with places for the question and the attempt.
    pub template: Arc<str>,
    /// How to sample.
    pub sampling: Sampling,
}

impl Words {
    /// The built-in words, or those of the file that the config names.
    ///
    /// # Errors
    /// If the file cannot be read, or has no place for question or attempt.
    pub fn load(config: &Settings, rating: bool, system: Option<String>, base: &Path) -> Result<Self, TemplateError> {
        let (built_in, place) = if rating {
            (include_str!("prompts/rating.txt"), "attempt")
        } else {
            (include_str!("prompts/steps.txt"), "steps")
        };
        let template = words::load("scoring.prompt", built_in, config.prompt.as_deref(), base, &["question", place])?;
        Ok(Self { rating, system, template, sampling: (&config.sampling).into() })
    }

    fn content(&self, question: &Question, steps: &[String]) -> String {
        let numbered: Vec<String> =
            steps.iter().zip(1..).map(|(step, number)| format!("[Step {number}]\n{step}")).collect();
        words::fill(
            self.template.trim_end(),
            &[
                ("n", &steps.len().to_string()),
                ("question", question.text.trim()),
                ("reference", &words::reference(question)),
                ("steps", &numbered.join("\n\n")),
                ("attempt", &steps.join("\n\n")),
            ],
        )
    }

    fn schema(&self, n_steps: usize) -> (&'static str, Value) {
        if self.rating { ("rating", marks::rating_schema()) } else { ("marks", marks::marks_schema(n_steps)) }
    }

    fn read(&self, reply: &str, n_steps: usize) -> Result<Said, String> {
        if self.rating {
            marks::read_rating(reply).map(|rating| Said::Whole(StepScore::Known(rating)))
        } else {
            marks::read_marks(reply, n_steps).map(Said::Steps)
        }
    }
}

/// A wrong attempt with what was said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Key of the attempt.
    pub attempt: Key,
    /// Its number, from 0.
    pub number: u32,
    /// Its steps, as they were scored; one, the whole, where it was scored as a whole.
    pub steps: Vec<ScoredStep>,
    /// Whether it was scored as a whole.
    pub whole: bool,
    /// Its score, or why it has none.
    pub result: Result<Bounds, Reason>,
}

/// A step with its score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredStep {
    /// What was scored.
    pub text: String,
    /// What came of it; none if it is undecided.
    pub score: Option<Bounds>,
    /// Key of the scoring in the ledger.
    pub key: Key,
}

/// A score that is known between two bounds, which mostly are one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// At least, 0..=1.
    pub low: f64,
    /// At most, 0..=1.
    pub high: f64,
}

impl Bounds {
    /// Those of a step's score; none if it is undecided.
    pub fn of(score: StepScore) -> Option<Self> {
        match score {
            StepScore::Known(score) => Some(Self { low: score, high: score }),
            StepScore::Bounded { low, high } => Some(Self { low, high }),
            StepScore::Undecided => None,
        }
    }

    /// The middle of the bounds.
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.low, self.high)
    }
}

/// What was said of an attempt.
enum Said {
    Steps(Vec<StepScore>),
    Whole(StepScore),
}

impl Scorer {
    /// The scorer of a config, whose model turned out to be this one.
    pub fn new(
        config: &Settings,
        scored_by: &config::ScoredBy<'_>,
        model: Identity,
        base: &Path,
    ) -> Result<Self, TemplateError> {
        let system = scored_by.model.system.clone();
        let wire = match scored_by.form {
            ScoredForm::Steps(form) => config.wire(form, system.clone()),
            ScoredForm::Rating => None,
        };
        let how = match wire {
            Some(form) => How::Wire(form),
            None => How::Words(Words::load(config, scored_by.form == ScoredForm::Rating, system, base)?),
        };
        let extra = scored_by.model.extra.clone();
        Ok(Self { role: scored_by.role, model, extra, how, settings: config.clone() })
    }

    /// What it is asked for, as a name for tables and report.
    pub fn form(&self) -> &'static str {
        match &self.how {
            How::Wire(ScoreForm::Pooling { .. }) => "pooling",
            How::Wire(ScoreForm::ChatLabels { .. }) => "chat_labels",
            How::Wire(ScoreForm::PromptLogprobs { .. }) => "prompt_logprobs",
            How::Words(words) if words.rating => "rating",
            How::Words(_) => "generative",
        }
    }

    /// How steps become one number; none if the whole attempt is rated.
    pub fn aggregate(&self) -> Option<Aggregate> {
        (!matches!(&self.how, How::Words(words) if words.rating)).then_some(self.settings.aggregate)
    }

    fn steps(&self, completion: &Completion) -> Vec<String> {
        steps_of(&self.settings, completion.reasoning.as_deref(), completion.answer.as_deref())
    }
}

/// The steps of an attempt, without the blanks around them.
pub(crate) fn steps_of(config: &Settings, reasoning: Option<&str>, answer: Option<&str>) -> Vec<String> {
    let parts = match config.part {
        Part::All => [reasoning, answer],
        Part::Answer => [answer, None],
    };
    let parts: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.trim().is_empty()).collect();
    let text = parts.join("\n\n");
    let spans = steps::split(&config.steps, &text);
    spans.into_iter().map(|span| text[span].trim().to_owned()).filter(|step| !step.is_empty()).collect()
}

/// What an attempt still needs to be scored, or its score, or why it has none.
pub fn next(config: &Scorer, question: &Question, judged: &Judged, answers: &[Answered]) -> Next<Scored> {
    let mut scored = Scored {
        attempt: judged.key,
        number: judged.number,
        steps: Vec::new(),
        whole: false,
        result: Err(Reason::new("nothing_to_score", "the attempt holds no text")),
    };
    let Ok((completion, _)) = &judged.result else { return Next::Done(scored) };
    let steps = config.steps(completion);
    if steps.is_empty() {
        return Next::Done(scored);
    }
    let said = match &config.how {
        How::Wire(form) => by_wire(config, form, question, &steps, judged.number, answers),
        How::Words(words) => by_words(config, words, question, &steps, judged.number, answers),
    };
    match said {
        Next::Ask(work) => return Next::Ask(work),
        Next::Drop(reason) => scored.result = Err(reason),
        Next::Done((Said::Steps(scores), keys)) => {
            scored.result = aggregate(&config.settings, &scores).ok_or_else(|| {
                let n_undecided = scores.iter().filter(|score| **score == StepScore::Undecided).count();
                Reason::new("undecided", format!("{n_undecided} of {} steps could not be decided", scores.len()))
            });
            let keys = keys.iter().cycle();
            let steps = steps.into_iter().zip(scores).zip(keys);
            scored.steps =
                steps.map(|((text, score), key)| ScoredStep { text, score: Bounds::of(score), key: *key }).collect();
        }
        Next::Done((Said::Whole(score), keys)) => {
            scored.result = Bounds::of(score)
                .ok_or_else(|| Reason::new("undecided", "the attempt as a whole could not be decided"));
            scored.whole = true;
            scored.steps = vec![ScoredStep { text: steps.join("\n\n"), score: Bounds::of(score), key: keys[0] }];
        }
    }
    Next::Done(scored)
}

/// What was said, and the keys of the work that said it: one for all steps, or one for each.
type Heard = Next<(Said, Vec<Key>)>;

fn by_wire(
    config: &Scorer,
    form: &ScoreForm,
    question: &Question,
    steps: &[String],
    attempt: u32,
    answers: &[Answered],
) -> Heard {
    let whole = Scoring {
        model: config.model.clone(),
        form: form.clone(),
        question: question.text.trim().to_owned(),
        steps: steps.to_vec(),
        extra: config.extra.clone(),
    };
    if let Err(fault) = whole.request().check() {
        return Next::Drop(Reason::new("holds_mark", fault.message));
    }
    // A form that scores one step at a time is asked for every step, each behind those before it.
    let lengths: Vec<usize> = match form {
        ScoreForm::ChatLabels { .. } => (1..=steps.len()).collect(),
        ScoreForm::Pooling { .. } | ScoreForm::PromptLogprobs { .. } => vec![steps.len()],
    };
    let slot = |part| Slot { source: Source::Grader, attempt, step: Step::Score { part, n_try: 0 } };
    let mut missing = Vec::new();
    let mut scores = Vec::new();
    let mut keys = Vec::new();
    let mut failed = None;
    let mut as_whole = None;
    for (length, part) in lengths.into_iter().zip(0..) {
        let Some(answered) = find(answers, slot(part)) else {
            let scoring = Scoring { steps: steps[..length].to_vec(), ..whole.clone() };
            missing.push(Work { slot: slot(part), task: Task::Score(Arc::new(scoring)) });
            continue;
        };
        match &answered.outcome {
            Outcome::Scored(said) => match said.whole {
                Some(score) => as_whole = as_whole.or(Some((score, answered.key))),
                None => scores.extend(&said.steps),
            },
            Outcome::Failed(reason) => failed = failed.or(Some(reason)),
            Outcome::Completed(_) | Outcome::Measured(_) | Outcome::Executed(_) => {
                unreachable!("a scoring is answered by scores")
            }
        }
        keys.push(answered.key);
    }
    if !missing.is_empty() {
        return Next::Ask(missing);
    }
    match (failed, as_whole) {
        (Some(reason), _) => Next::Drop(without_score(reason)),
        (None, Some((score, key))) => Next::Done((Said::Whole(score), vec![key])),
        (None, None) => Next::Done((Said::Steps(scores), keys)),
    }
}

fn by_words(
    config: &Scorer,
    words: &Words,
    question: &Question,
    steps: &[String],
    attempt: u32,
    answers: &[Answered],
) -> Heard {
    let speaking = Speaking {
        model: config.model.clone(),
        system: words.system.clone(),
        extra: config.extra.clone(),
        sampling: words.sampling.clone(),
        structured: config.settings.structured,
        tries: config.settings.tries,
    };
    let heard = speaking.hear(
        answers,
        |n_try| Slot { source: Source::Grader, attempt, step: Step::Score { part: 0, n_try } },
        || words.content(question, steps),
        || words.schema(steps.len()),
        |reply| words.read(reply, steps.len()),
    );
    match heard {
        Next::Ask(work) => Next::Ask(work),
        Next::Drop(reason) => Next::Drop(reason),
        Next::Done(words::Heard { said: Ok(said), key, .. }) => Next::Done((said, key.into_iter().collect())),
        Next::Done(words::Heard { said: Err(reason), .. }) => Next::Drop(without_score(&reason)),
    }
}

/// Why an attempt has no score, given why its scoring failed.
fn without_score(reason: &Reason) -> Reason {
    match reason.code {
        "context_too_long" => Reason::new("too_long", reason.detail.clone()),
        _ => reason.clone(),
    }
}

/// One number of the scores of all steps; none if too little is decided. Every aggregate rises with each score, so the
/// lower bounds give the lower bound, and the upper ones the upper.
pub fn aggregate(config: &Settings, scores: &[StepScore]) -> Option<Bounds> {
    let known: Vec<Option<Bounds>> = scores.iter().copied().map(Bounds::of).collect();
    let strict = config.undecided_step == UndecidedStep::Attempt;
    if strict && known.contains(&None) || config.aggregate == Aggregate::Last && known.last()?.is_none() {
        return None;
    }
    let (low, high): (Vec<f64>, Vec<f64>) = known.into_iter().flatten().map(|known| (known.low, known.high)).unzip();
    Some(Bounds { low: one_number(config, &low)?, high: one_number(config, &high)? })
}

fn one_number(config: &Settings, scores: &[f64]) -> Option<f64> {
    let n = scores.len() as f64;
    let number = match config.aggregate {
        Aggregate::Mean => scores.iter().sum::<f64>() / n,
        Aggregate::Min => scores.iter().copied().fold(1.0, f64::min),
        Aggregate::Product => scores.iter().product(),
        Aggregate::Last => *scores.last()?,
        Aggregate::FirstBadFraction => {
            let first = scores.iter().position(|score| *score < config.bad_below).unwrap_or(scores.len());
            first as f64 / n
        }
    };
    (!scores.is_empty()).then(|| number.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGGREGATES: [Aggregate; 5] =
        [Aggregate::Mean, Aggregate::Min, Aggregate::Product, Aggregate::Last, Aggregate::FirstBadFraction];

    fn with(aggregate: Aggregate) -> Settings {
        Settings { aggregate, ..Settings::default() }
    }

    fn known(scores: &[f64]) -> Vec<StepScore> {
        scores.iter().copied().map(StepScore::Known).collect()
    }

    #[test]
    fn aggregates_are_what_their_names_say() {
        let scores = known(&[0.5, 0.75, 0.25, 1.0]);
        for (by, want) in AGGREGATES.into_iter().zip([0.625, 0.25, 0.09375, 1.0, 0.5]) {
            assert_eq!(aggregate(&with(by), &scores), Some(Bounds { low: want, high: want }), "{}", by.name());
            assert_eq!(aggregate(&with(by), &[]), None);
        }
        assert_eq!(aggregate(&with(Aggregate::FirstBadFraction), &known(&[0.9, 0.5])).unwrap().low, 1.0);
    }

    #[test]
    fn an_undecided_step_is_never_a_half() {
        use StepScore::{Known, Undecided};
        let scores = [Known(0.25), Undecided, Known(0.75)];
        for by in AGGREGATES {
            let without = aggregate(&with(by), &known(&[0.25, 0.75]));
            assert_eq!(aggregate(&with(by), &scores), without);
            let strict = Settings { undecided_step: UndecidedStep::Attempt, ..with(by) };
            assert_eq!(aggregate(&strict, &scores), None);
            assert_eq!(aggregate(&with(by), &[Undecided; 3]), None);
        }
        assert_eq!(aggregate(&with(Aggregate::Last), &[Known(0.25), Undecided]), None);
    }

    fn scores() -> impl Strategy<Value = Vec<StepScore>> {
        let step = prop_oneof![
            (0.0..=1.0).prop_map(StepScore::Known),
            (0.0..=1.0, 0.0..=1.0).prop_map(|(a, b): (f64, f64)| StepScore::Bounded { low: a.min(b), high: a.max(b) }),
            Just(StepScore::Undecided),
        ];
        proptest::collection::vec(step, 0..12)
    }

    proptest! {
        #[test]
        fn bounds_hold_every_score_that_may_be_meant(scores in scores(), shares in proptest::collection::vec(0.0..=1.0, 12)) {
            for by in AGGREGATES {
                let Some(bounds) = aggregate(&with(by), &scores) else { continue };
                prop_assert!(0.0 <= bounds.low && bounds.low <= bounds.high && bounds.high <= 1.0);
                let meant: Vec<StepScore> = scores.iter().zip(&shares).map(|(score, share): (_, &f64)| match *score {
                    StepScore::Bounded { low, high } => StepScore::Known(low + share * (high - low)),
                    other => other,
                }).collect();
                let meant = aggregate(&with(by), &meant).unwrap();
                prop_assert!(bounds.low <= meant.low + 1e-12 && meant.high <= bounds.high + 1e-12, "{}", by.name());
            }
        }
    }
}
