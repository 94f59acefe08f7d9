//! What is a chain of thought like? Ratings by a judge, whether its process is right, how well it fits the student.
//!
//! arXiv 2505.10937 scores every verified chain of thought for Reasoning Verbosity and Cognitive Difficulty, 0..9. How
//! the judge samples, how a length becomes a verbosity and how the two are fused is open there: all of it stands in
//! the config ([`crate::config::Annotate`]). Distilling is composed here, so a chain of thought is rated as soon as its
//! question has enough of them. What all ratings come to is [`summary`]'s.

pub mod summary;

use std::path::Path;
use std::sync::Arc;

use crate::attempt::{Key, Source};
use crate::config::{self, AnnotatePrompts, Annotated, Calls, Score};
use crate::distil::{self, Distil, Distilled};
use crate::import::ratings::RecordedRatings;
use crate::judge::Judged;
use crate::marks;
use crate::measured::{self, Measured, Measurer};
use crate::prompt::as_written;
use crate::question::Question;
use crate::stats::is_drawn;
use crate::words::{self, Heard, Speaking, TemplateError};
use crate::work::{Answered, Next, Rated, Reason, Slot, Step, Work};

/// What is found out about chains of thought, and from whom.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotate {
    /// What is asked for.
    pub settings: config::Annotate,
    /// Right chains of thought without which a question is not kept: those of others are not rated.
    pub min_correct: u32,
    /// Who rates: the judge, and perhaps the second one.
    pub raters: Vec<Rater>,
    /// Ratings that came with the chains of thought. A score that stands there is not asked for.
    pub recorded: Vec<Arc<RecordedRatings>>,
    /// Who measures how well they fit the student, if anybody does.
    pub measurer: Option<Measurer>,
}

impl Annotate {
    /// Whether there is anybody or anything that rates.
    pub fn rates(&self) -> bool {
        !(self.raters.is_empty() && self.recorded.is_empty())
    }

    /// What a file says of a chain of thought: a rating of each score that it knows, and by whom.
    fn recorded(&self, question: &Question, judged: &Judged) -> Vec<Rating> {
        let Source::Teacher(teacher) = judged.source else { return Vec::new() };
        let of = |ratings: &Arc<RecordedRatings>| {
            let found = ratings.of(&question.source_ids, teacher, judged.number)?;
            let rating = |what: Score, value: Option<f64>, judge: Option<&str>| {
                // Some sources rate up to 10.
                let value = value
                    .filter(|_| self.settings.scores.is_empty() || self.settings.scores.contains(&what))?
                    .min(MAX_SCORE);
                Some(Rating {
                    role: "recorded",
                    judge: judge.unwrap_or("recorded").to_owned(),
                    what: what.name(),
                    calls: "recorded",
                    repeat: 0,
                    value: Ok(Some(value)),
                    n_tries: 0,
                    key: None,
                })
            };
            let both = [rating(Score::Rv, found.rv, found.rv_judge), rating(Score::Cd, found.cd, found.cd_judge)];
            Some(both.into_iter().flatten().collect::<Vec<_>>())
        };
        self.recorded.iter().find_map(of).unwrap_or_default()
    }
}

/// Top of both scales (arXiv 2505.10937).
const MAX_SCORE: f64 = 9.0;

/// A judge of chains of thought.
#[derive(Debug, Clone, PartialEq)]
pub struct Rater {
    /// Whether it is the second one.
    pub second: bool,
    /// The model.
    pub speaking: Speaking,
    /// In which words.
    pub templates: Templates,
}

/// The words for each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templates {
    /// For the scores, in the order of [`Score::ALL`].
    pub scores: [Arc<str>; 3],
    /// For all of them at once.
    pub joint: Arc<str>,
    /// For the process.
    pub process: Arc<str>,
}

impl Templates {
    /// The built-in words, each replaced by the file that the config names for it.
    ///
    /// # Errors
    /// If a file cannot be read, or has no place for question or chain of thought.
    pub fn load(config: &AnnotatePrompts, base: &Path) -> Result<Self, TemplateError> {
        let load = |setting, built_in, file: &Option<_>| {
            words::load(setting, built_in, Option::as_deref(file), base, &["question", "cot"])
        };
        Ok(Self {
            scores: [
                load("annotate.prompts.rv", include_str!("prompts/rv.txt"), &config.rv)?,
                load("annotate.prompts.rv_fit", include_str!("prompts/rv_fit.txt"), &config.rv_fit)?,
                load("annotate.prompts.cd", include_str!("prompts/cd.txt"), &config.cd)?,
            ],
            joint: load("annotate.prompts.joint", include_str!("prompts/joint.txt"), &config.joint)?,
            process: load("annotate.prompts.process", include_str!("prompts/process.txt"), &config.process)?,
        })
    }

    /// The words that these settings use, with a name for each.
    pub fn used(&self, config: &config::Annotate) -> Vec<(&'static str, &str)> {
        let separate = Score::ALL.into_iter().zip(&self.scores).filter(|(score, _)| config.scores.contains(score));
        let separate = separate.map(|(score, template)| (score.name(), &**template));
        let compares = config.compare_calls > 0.0;
        let mut used: Vec<_> =
            separate.filter(|_| compares || config.calls == Calls::Separate).filter(|_| config.ratings > 0).collect();
        let joint = !config.scores.is_empty() && config.ratings > 0 && (compares || config.calls == Calls::Joint);
        used.extend(joint.then_some(("joint", &*self.joint)));
        used.extend(config.process.then_some(("process", &*self.process)));
        used
    }
}

impl Rater {
    /// A judge of a config.
    pub fn new(config: &config::Annotate, second: bool, model: Speaking, templates: Templates) -> Self {
        let speaking = Speaking {
            sampling: (&config.sampling).into(),
            structured: config.structured,
            tries: config.tries,
            ..model
        };
        Self { second, speaking, templates }
    }

    /// Its role in config and tables.
    pub fn role(&self) -> &'static str {
        if self.second { "second_judge" } else { "judge" }
    }
}

/// A question's chains of thought with what was found out about each.
#[derive(Debug, Clone, PartialEq)]
pub struct AnnotatedQuestion {
    /// The chains of thought.
    pub distilled: Distilled,
    /// One for each of them, in the same order.
    pub notes: Vec<Notes>,
}

/// What was found out about a chain of thought.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notes {
    /// Every rating, also those that came to nothing.
    pub ratings: Vec<Rating>,
    /// How well it fits the student, if that was measured.
    pub measured: Option<Measured>,
}

/// One rating.
#[derive(Debug, Clone, PartialEq)]
pub struct Rating {
    /// `judge`, `second_judge` or `recorded`.
    pub role: &'static str,
    /// Model name of the judge.
    pub judge: String,
    /// `rv`, `rv_fit`, `cd` or `process`.
    pub what: &'static str,
    /// How it was asked for: `separate`, `joint` or `recorded`.
    pub calls: &'static str,
    /// Which one of its kind, from 0.
    pub repeat: u8,
    /// 0..=9, or for the process 1 (sound), 0 (flawed) or nothing (unclear); or why there is none.
    pub value: Result<Option<f64>, Reason>,
    /// Replies asked for until one could be read.
    pub n_tries: u32,
    /// Key of the reply in the ledger.
    pub key: Option<Key>,
}

/// What a question still needs, or its chains of thought with all that was found out about them.
pub fn next(distil: &Distil, config: &Annotate, question: &Question, answers: &[Answered]) -> Next<AnnotatedQuestion> {
    let distilled = match distil::next(distil, question, answers) {
        Next::Done(distilled) => distilled,
        Next::Ask(work) => return Next::Ask(work),
        Next::Drop(reason) => return Next::Drop(reason),
    };
    let n_sound = distilled.cots.iter().filter(|judged| judged.is_sound()).count();
    let all = config.settings.of == Annotated::All;
    let is_kept = n_sound >= config.min_correct.max(1) as usize;
    let (mut notes, mut missing) = (Vec::new(), Vec::new());
    for judged in &distilled.cots {
        let mut found = Notes::default();
        if judged.result.is_ok() && (all || (is_kept && judged.is_sound())) {
            found.ratings = config.recorded(question, judged);
            for rater in &config.raters {
                let has = |score: &Score| {
                    found.ratings.iter().any(|known| known.role == "recorded" && known.what == score.name())
                };
                let mut wanted = config.settings.clone();
                // Nothing that came along is paid for.
                wanted.scores.retain(|score| rater.second || !has(score));
                rate(&wanted, rater, question, judged, answers, &mut found.ratings, &mut missing);
            }
            match config.measurer.as_ref().map(|measurer| measured::next(measurer, question, judged, answers)) {
                Some(Next::Done(measured)) => found.measured = Some(measured),
                Some(Next::Ask(work)) => missing.extend(work),
                Some(Next::Drop(_)) => unreachable!("measuring drops nothing"),
                None => {}
            }
        }
        notes.push(found);
    }
    if missing.is_empty() { Next::Done(AnnotatedQuestion { distilled, notes }) } else { Next::Ask(missing) }
}

/// Adds the ratings of a chain of thought that are there, and the work that is missing.
fn rate(
    config: &config::Annotate,
    rater: &Rater,
    question: &Question,
    judged: &Judged,
    answers: &[Answered],
    ratings: &mut Vec<Rating>,
    missing: &mut Vec<Work>,
) {
    let Ok((completion, _)) = &judged.result else { return };
    let cot = as_written(completion);
    let mut call = |calls: Calls, what: Rated, repeat: u8| {
        let template = match what {
            Rated::Score(score) => &rater.templates.scores[score as usize],
            Rated::Joint => &rater.templates.joint,
            Rated::Process => &rater.templates.process,
        };
        let names: Vec<&'static str> = match what {
            Rated::Score(score) => vec![score.name()],
            Rated::Joint => Score::ALL.map(Score::name).to_vec(),
            Rated::Process => vec!["process"],
        };
        let slot =
            Slot { source: judged.source, attempt: judged.number, step: Step::JudgeAnswer { longer: false, n_try: 0 } };
        let heard = rater.speaking.hear(
            answers,
            |n_try| Slot { step: Step::Rate { second: rater.second, what, repeat, n_try }, ..slot },
            || {
                let places = [
                    ("question", &*words::question(question)),
                    ("reference", &*words::reference(question)),
                    ("cot", cot.trim()),
                ];
                words::fill(template.trim_end(), &places)
            },
            || match what {
                Rated::Process => ("process", marks::process_schema()),
                _ => ("scores", marks::scores_schema(&names)),
            },
            |reply| match what {
                Rated::Process => {
                    marks::read_process(reply).map(|sound| vec![sound.map(|sound| f64::from(u8::from(sound)))])
                }
                _ => marks::read_scores(reply, &names).map(|scores| scores.into_iter().map(Some).collect()),
            },
        );
        match heard {
            Next::Ask(work) => missing.extend(work),
            Next::Drop(_) => unreachable!("asking in words drops nothing"),
            Next::Done(Heard { said, key, n_tries }) => ratings.extend(
                names.iter().enumerate().filter(|(_, name)| **name == "process" || is_wanted(config, name)).map(
                    |(at, &what)| Rating {
                        role: rater.role(),
                        judge: rater.speaking.model.name.clone(),
                        what,
                        calls: calls.name(),
                        repeat,
                        value: said.as_ref().map(|values: &Vec<Option<f64>>| values[at]).map_err(Reason::clone),
                        n_tries,
                        key,
                    },
                ),
            ),
        }
    };
    let mut score = |calls: Calls, repeat: u8| match calls {
        Calls::Joint => call(calls, Rated::Joint, repeat),
        Calls::Separate => config.scores.iter().for_each(|score| call(calls, Rated::Score(*score), repeat)),
    };
    if !config.scores.is_empty() {
        let n_ratings = u8::try_from(config.ratings).expect("a config is checked when it is read");
        (0..n_ratings).for_each(|repeat| score(config.calls, repeat));
        if n_ratings > 0 && is_drawn(config.compare_calls, "annotate.calls", &judged.key.0) {
            score(config.calls.other(), 0);
        }
    }
    if config.process {
        call(Calls::Separate, Rated::Process, 0);
    }
}

fn is_wanted(config: &config::Annotate, name: &str) -> bool {
    config.scores.iter().any(|score| score.name() == name)
}
