//! What would a run ask for now, how many tokens, and at what price? Nothing is asked.
//!
//! The stages are pure, so they are asked themselves: the least is what they need first, given what the ledger holds;
//! the most is what they need if every answer runs into its limit. No rule of a stage is repeated here.

use std::collections::{BTreeMap, HashMap, HashSet};

use gradus_model::{Completion, Finish, Identity, ScoreForm, Usage};
use serde::Serialize;

use crate::annotate::{self, Annotate};
use crate::attempt::Source;
use crate::config::{Calls, Config, Cuts, Price};
use crate::derive::{Derived, derive, missing};
use crate::distil;
use crate::driver::{Failures, answer};
use crate::grade::{self, GradedQuestion};
use crate::judge::AnswerJudge;
use crate::ledger::{AttemptStats, LedgerError, Reader};
use crate::question::{Question, QuestionId};
use crate::run::{Phase, Plan, RunError, Until, of_run};
use crate::sample::{Candidates, TooFew, histogram, sample};
use crate::score::{How, Scorer};
use crate::words::Speaking;
use crate::work::{Answered, Next, Outcome, Reason, Step, Task, Work};

/// Bytes of a token where neither a tokenizer nor a recorded answer tells: a guess, for English.
const BYTES_PER_TOKEN: f64 = 3.5;

/// What a stage would ask one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// `probe`, `grade` (the scoring of wrong attempts), `judge` (of the student's answers), `distil` or `annotate` (of
    /// chains of thought: what judges and the student make of them).
    pub stage: &'static str,
    /// Model name.
    pub model: String,
    /// Questions that the stage sees.
    pub n_questions: u64,
    /// Whether that is only the most, because the levels are not known yet.
    pub assumed: bool,
    /// Requests: the least and the most. Without further tries after faults.
    pub requests: [u64; 2],
    /// Tokens read: the least and the most.
    pub prompt_tokens: [u64; 2],
    /// Tokens written: at the mean length of the model's recorded answers (0 if there is none), and if each
    /// answer runs into its limit.
    pub completion_tokens: [u64; 2],
    /// Mean length of the model's recorded answers, in tokens.
    pub mean_completion: Option<f64>,
    /// US dollars: the least and the most; none if no price is configured.
    pub cost_usd: Option<[f64; 2]>,
}

/// Why nothing could be estimated.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError<E> {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A level has too few questions.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// The run that the sample borrows from cannot be read.
    #[error(transparent)]
    Borrowed(#[from] RunError),
    /// The questions cannot be read.
    #[error("{0}")]
    Questions(E),
}

/// Counts the tokens of a text for a model; none if nobody knows.
pub type CountTokens<'a> = &'a dyn Fn(&Identity, &str) -> Option<usize>;

/// Estimates each stage that asks a model, up to `until`. There is no `reader` before the first run.
///
/// If the ledger has every attempt of the student, questions are graded and drawn as the run would. If not, who
/// reaches the teachers is unknown: as many as `sample.size` allows, with the needs of the bank's average question.
///
/// # Errors
/// If ledger or questions cannot be read, or no sample can be drawn.
pub fn estimate<E, I: Iterator<Item = Result<Question, E>>>(
    config: &Config,
    plan: &Plan,
    until: Until,
    questions: impl Fn() -> I,
    reader: Option<&Reader>,
    count: CountTokens<'_>,
) -> Result<Vec<Estimate>, EstimateError<E>> {
    let means = means(reader)?;
    let mut probing = Tally::new(&means, count);
    let levels_from = config.sample.levels_from.as_deref().map(of_run).transpose()?;
    let shares_from = config.sample.shares_from.as_deref().map(of_run).transpose()?.as_ref().map(histogram);
    let mut candidates = Candidates::new(levels_from);
    probing.unwritten = Unwritten::of(plan, &means);
    let mut graded = Vec::new();
    let mut n_questions = 0;
    // Cut points taken from the bank, and sizes from lengths, are known when the run has been.
    let sized = config.sample.tokens.is_none() && config.sample.usd.is_none();
    let mut complete = config.grade.cuts == Cuts::Fixed && sized;
    for question in questions() {
        let question = question.map_err(EstimateError::Questions)?;
        n_questions += 1;
        let next = |question: &Question, answers: &[Answered]| grade::next(&plan.probe, &plan.grade, question, answers);
        let settled = probing.add(&question, next, reader)?;
        probing.add_unwritten_verdicts(plan.probe.judge.model.as_ref(), &question);
        complete &= settled;
        if let (true, Some(reader)) = (settled, reader)
            && let Derived::Done(GradedQuestion { graded: known, .. }) =
                derive(&question, next, reader, &Failures::default())?
            && let Ok(level) = known.level
        {
            graded.extend(candidates.of(&config.sample, &question, level));
        }
    }
    let student = (&plan.probe.asker.model, config.student.as_ref().and_then(|model| model.price.as_ref()));
    let mut estimates = probing.estimates(Phase::Probe.name(), n_questions, false, &[student]);
    if let Some(scorer) = &plan.grade.scorer {
        let price = config.scored_by().ok().flatten().and_then(|scored_by| scored_by.model.price.as_ref());
        estimates.extend(probing.estimates(GRADE, n_questions, false, &[(&scorer.model, price)]));
    }
    let judge_price = config.judge.as_ref().and_then(|model| model.price.as_ref());
    if let Some(judge) = &plan.probe.judge.model {
        estimates.extend(probing.estimates(JUDGE, n_questions, false, &[(&judge.speaking.model, judge_price)]));
    }
    if until < Until::Distil {
        return Ok(estimates);
    }
    let sampled = complete.then(|| sample(&config.sample, plan.seed, &graded, shares_from.as_ref())).transpose()?;
    let drawn: Option<HashSet<QuestionId>> =
        sampled.map(|sampled| sampled.drawn.iter().map(|drawn| drawn.id).collect());
    let mut distilling = Tally::new(&means, count);
    for question in questions() {
        let question = question.map_err(EstimateError::Questions)?;
        if drawn.as_ref().is_none_or(|drawn| drawn.contains(&question.id)) {
            let next = |question: &Question, answers: &[_]| distil::next(&plan.distil, question, answers);
            if distilling.add(&question, next, reader)? {
                let next = |question: &Question, answers: &[_]| {
                    annotate::next(&plan.distil, &plan.annotate, question, answers)
                };
                distilling.add(&question, next, reader)?;
            } else {
                distilling.add_unwritten_verdicts(plan.distil.judge.model.as_ref(), &question);
                distilling.add_unwritten_ratings(plan, &question);
            }
        }
    }
    let n_drawn = match &drawn {
        Some(drawn) => drawn.len() as u64,
        None => config.sample.size.unwrap_or(n_questions).min(n_questions),
    };
    if drawn.is_none() {
        distilling.scale(n_drawn as f64 / n_questions.max(1) as f64);
    }
    let teachers: Vec<_> = plan
        .distil
        .askers
        .iter()
        .map(|asker| &asker.model)
        .zip(config.teacher.iter().map(|m| m.price.as_ref()))
        .collect();
    estimates.extend(distilling.estimates(Phase::Distil.name(), n_drawn, drawn.is_none(), &teachers));
    let price = |role: &str| {
        let second = config.second_judge.as_ref().and_then(|model| model.price.as_ref());
        if role == "judge" { judge_price } else { second }
    };
    let mut judges: Vec<_> = plan.judges().map(|(role, speaking, _)| (&speaking.model, price(role))).collect();
    let measurer = config.measurer.as_ref().or(config.student.as_ref()).and_then(|model| model.price.as_ref());
    judges.extend(plan.annotate.measurer.iter().map(|one| (&one.model, measurer)));
    if !judges.is_empty() {
        estimates.extend(distilling.estimates(ANNOTATE, n_drawn, drawn.is_none(), &judges));
    }
    Ok(estimates)
}

/// Whether the ledger holds all that the stages up to `until` ask for, but for work that is `not_recorded`: recordings are
/// asked for it in every run, in vain. Not where cut points or the size of the sample are known only when the run has
/// been: that is for the run to see.
///
/// # Errors
/// As [`estimate`].
pub fn is_answered<E, I: Iterator<Item = Result<Question, E>>>(
    config: &Config,
    plan: &Plan,
    until: Until,
    questions: impl Fn() -> I,
    reader: &Reader,
    not_recorded: impl Fn(&Question, &Work) -> bool,
) -> Result<bool, EstimateError<E>> {
    let sized = config.sample.tokens.is_none() && config.sample.usd.is_none();
    if until >= Until::Sample && !(config.grade.cuts == Cuts::Fixed && sized) {
        return Ok(false);
    }
    let levels_from = config.sample.levels_from.as_deref().map(of_run).transpose()?;
    let shares_from = config.sample.shares_from.as_deref().map(of_run).transpose()?.as_ref().map(histogram);
    let mut candidates = Candidates::new(levels_from);
    let mut graded = Vec::new();
    for question in questions() {
        let question = question.map_err(EstimateError::Questions)?;
        let next = |question: &Question, answers: &[Answered]| grade::next(&plan.probe, &plan.grade, question, answers);
        let Some(derived) = answered(&question, next, reader, &not_recorded)? else { return Ok(false) };
        if let Derived::Done(GradedQuestion { graded: known, .. }) = derived
            && let Ok(level) = known.level
        {
            graded.extend(candidates.of(&config.sample, &question, level));
        }
    }
    if until < Until::Distil {
        return Ok(true);
    }
    let Ok(sampled) = sample(&config.sample, plan.seed, &graded, shares_from.as_ref()) else { return Ok(false) };
    let drawn: HashSet<QuestionId> = sampled.drawn.iter().map(|drawn| drawn.id).collect();
    let annotate = if until >= Until::Annotate { &plan.annotate } else { &Annotate::default() };
    for question in questions() {
        let question = question.map_err(EstimateError::Questions)?;
        let next = |question: &Question, answers: &[_]| annotate::next(&plan.distil, annotate, question, answers);
        if drawn.contains(&question.id) && answered(&question, next, reader, &not_recorded)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What becomes of a question if nobody is asked; nothing if somebody still has something to say.
fn answered<Row>(
    question: &Question,
    next: impl Fn(&Question, &[Answered]) -> Next<Row>,
    reader: &Reader,
    not_recorded: impl Fn(&Question, &Work) -> bool,
) -> Result<Option<Derived<Row>>, LedgerError> {
    let mut answers = Vec::new();
    loop {
        let work = missing(question, &next, Some(reader), &mut answers)?;
        if work.iter().any(|work| matches!(work.task, Task::Execute(_)) || !not_recorded(question, work)) {
            return Ok(None);
        }
        let is_settled = work.is_empty();
        for work in work {
            let outcome = Outcome::Failed(Reason::new("not_recorded", ""));
            answer(&mut answers, Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
        }
        match next(question, &answers) {
            Next::Done(row) => return Ok(Some(Derived::Done(row))),
            Next::Drop(reason) => return Ok(Some(Derived::Drop(reason))),
            Next::Ask(_) => assert!(!is_settled, "a stage asks only for what it has not got yet"),
        }
    }
}

/// The scoring of wrong attempts among the stages.
const GRADE: &str = "grade";
/// What a judge says of the student's answers.
const JUDGE: &str = "judge";
/// The rating of chains of thought, and what judges say of their answers.
const ANNOTATE: &str = "annotate";

/// Mean tokens read and written, by model and whether it scored.
type Means = HashMap<(bool, Identity), [f64; 2]>;

fn means(reader: Option<&Reader>) -> Result<Means, LedgerError> {
    let Some(reader) = reader else { return Ok(Means::new()) };
    let counted = |row: &AttemptStats| {
        row.kind == "generation" && row.prompt_tokens > 0 && row.completion_tokens > 0
            || row.kind == "scoring" && row.prompt_tokens > 0
    };
    let mean = |row: AttemptStats| {
        let mean = |tokens: u64| tokens as f64 / row.settled as f64;
        let means = [mean(row.prompt_tokens), mean(row.completion_tokens)];
        ((row.kind == "scoring", Identity { name: row.model, revision: row.revision }), means)
    };
    Ok(reader.stats()?.attempts.into_iter().filter(counted).map(mean).collect())
}

/// Sums of one model; the least and the most.
#[derive(Debug, Default)]
struct Sums {
    requests: [f64; 2],
    prompt_tokens: [f64; 2],
    completion_tokens: [f64; 2],
}

struct Tally<'a> {
    means: &'a Means,
    count: CountTokens<'a>,
    /// What is scored before it is there.
    unwritten: Unwritten,
    /// By whether they score, name and revision.
    models: BTreeMap<(bool, String, String), Sums>,
    /// Answers to the last question that are not there yet: how many at most, and how many tokens they may have.
    to_come: [f64; 2],
}

/// How many parts of a text stand in the request that goes on with it.
fn n_parts_ahead(work: &Work) -> u32 {
    if let Step::Further { part } = work.slot.step { part } else { 0 }
}

impl<'a> Tally<'a> {
    fn new(means: &'a Means, count: CountTokens<'a>) -> Self {
        Self { means, count, unwritten: Unwritten::default(), models: BTreeMap::new(), to_come: [0.0; 2] }
    }

    /// Adds what a question still needs; says whether that is nothing.
    fn add<Row>(
        &mut self,
        question: &Question,
        next: impl Fn(&Question, &[Answered]) -> Next<Row>,
        reader: Option<&Reader>,
    ) -> Result<bool, LedgerError> {
        let mut answers = Vec::new();
        let mut assumed: HashSet<u32> = HashSet::new();
        let mut to_come: HashSet<(Source, u32)> = HashSet::new();
        let mut n_rounds = 0;
        self.to_come = [0.0; 2];
        loop {
            let work = missing(question, &next, reader, &mut answers)?;
            if work.is_empty() {
                return Ok(n_rounds == 0);
            }
            for work in work {
                let scores = work.kind() == "scoring";
                self.add_request(&work, n_rounds == 0, scores && assumed.contains(&work.slot.attempt));
                let outcome = match &work.task {
                    Task::Generate(_) if scores => Outcome::Completed(truncated("")),
                    Task::Generate(generation) => {
                        assumed.insert(work.slot.attempt);
                        let mean = self.means.get(&(false, generation.model.clone())).map(|mean| mean[1]);
                        let is_new = to_come.insert((work.slot.source, work.slot.attempt));
                        self.to_come[0] += f64::from(u8::from(is_new));
                        self.to_come[1] += mean.unwrap_or(f64::from(generation.sampling.max_tokens));
                        // What grows in no round is not gone on with.
                        Outcome::Completed(truncated(&SOME_ATTEMPT.repeat(n_parts_ahead(&work) as usize + 1)))
                    }
                    // A program that fails leaves most to do; after the last score there is nothing left.
                    Task::Execute(_) => Outcome::Executed(gradus_sandbox::Outcome { tests: Vec::new(), total: 1 }),
                    Task::Score(_) | Task::Measure(_) => Outcome::Failed(Reason::new("not_asked", "")),
                };
                answer(&mut answers, Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
            }
            n_rounds += 1;
        }
    }

    /// Adds a request to a model, or as many as an attempt that is not there yet (`assumed`) may need. The run of a
    /// program costs nothing.
    fn add_request(&mut self, work: &Work, first_round: bool, assumed: bool) {
        let scores = work.kind() == "scoring";
        let (identity, texts, most): (_, Vec<&str>, _) = match &work.task {
            Task::Generate(generation) => (
                &generation.model,
                generation.messages.iter().map(|message| message.content.as_str()).collect(),
                generation.sampling.max_tokens,
            ),
            Task::Score(scoring) => (
                &scoring.model,
                std::iter::once(&scoring.question).chain(&scoring.steps).map(String::as_str).collect(),
                1,
            ),
            Task::Measure(measuring) => {
                let asked = measuring.messages.iter().map(|message| message.content.as_str());
                (&measuring.model, asked.chain([measuring.completion.as_str()]).collect(), 1)
            }
            Task::Execute(_) => return,
        };
        let n_readings = if let Task::Measure(measuring) = &work.task {
            readings(measuring.local.as_ref().map(|local| local.context))
        } else {
            1.0
        };
        let mean = self.means.get(&(scores, identity.clone()));
        let unwritten = if assumed { self.unwritten } else { Unwritten::default() };
        // What was read before holds every reading.
        let unread = || n_readings * (self.prompt_tokens(identity, &texts) + unwritten.tokens);
        let prompt = mean.map_or_else(unread, |mean| mean[0]);
        let prompt = prompt + f64::from(n_parts_ahead(work)) * f64::from(most);
        let sums = self.models.entry((scores, identity.name.clone(), identity.revision.clone())).or_default();
        sums.requests[1] += unwritten.requests;
        sums.prompt_tokens[1] += unwritten.requests * prompt;
        sums.completion_tokens[1] += unwritten.requests * f64::from(most);
        if first_round {
            sums.requests[0] += 1.0;
            sums.prompt_tokens[0] += prompt;
            sums.completion_tokens[0] += mean.map_or(0.0, |mean| mean[1]);
        }
    }

    /// Adds the most that a judge of answers can be asked about those to this question that are not there yet: each
    /// as often as it may be asked for a reply that can be read.
    fn add_unwritten_verdicts(&mut self, judge: Option<&AnswerJudge>, question: &Question) {
        let Some(judge) = judge.filter(|_| AnswerJudge::has_say(question)) else { return };
        let [n_answers, tokens] = self.to_come;
        let identity = &judge.speaking.model;
        let words = self.prompt_tokens(identity, &[&question.text, &judge.template]);
        let sums = self.models.entry((true, identity.name.clone(), identity.revision.clone())).or_default();
        let tries = f64::from(judge.speaking.tries);
        sums.requests[1] += tries * n_answers;
        sums.prompt_tokens[1] += tries * (n_answers * words + tokens);
        sums.completion_tokens[1] += tries * n_answers * f64::from(judge.speaking.sampling.max_tokens);
    }

    /// Adds the most that ratings and measurements of a question's chains of thought can need before those are written:
    /// as many as are wanted of every teacher, each as long as its teacher's mean answer, or its limit.
    fn add_unwritten_ratings(&mut self, plan: &Plan, question: &Question) {
        let Annotate { settings, raters, measurer, .. } = &plan.annotate;
        let per_rating = if settings.calls == Calls::Joint { 1 } else { settings.scores.len() as u32 };
        let n_ratings = if settings.scores.is_empty() { 0 } else { settings.ratings };
        let n_calls = f64::from(per_rating * n_ratings + u32::from(settings.process));
        // Chains of thought, and tokens in all of them.
        let mut to_come = [0.0, 0.0];
        for asker in &plan.distil.askers {
            let mean = self.means.get(&(false, asker.model.clone())).map(|mean| mean[1]);
            let n_cots = f64::from(plan.distil.correct);
            to_come[0] += n_cots;
            to_come[1] += n_cots * mean.unwrap_or(f64::from(asker.sampling.max_tokens));
        }
        let [n_cots, n_tokens] = to_come;
        let mut add = |model: &Identity, [requests, read, written]: [f64; 3]| {
            let sums = self.models.entry((true, model.name.clone(), model.revision.clone())).or_default();
            sums.requests[1] += requests;
            sums.prompt_tokens[1] += read;
            sums.completion_tokens[1] += written;
        };
        for rater in raters {
            let Speaking { model, sampling, tries, .. } = &rater.speaking;
            let words = tokens(self.count, model, &[&question.text, &rater.templates.joint]);
            let n_calls = n_calls * f64::from(*tries);
            let requests = n_calls * n_cots;
            add(model, [requests, n_calls * (n_cots * words + n_tokens), requests * f64::from(sampling.max_tokens)]);
        }
        if let Some(measurer) = measurer {
            let n_readings = readings(measurer.settings.local.then_some(measurer.settings.local_context));
            let words = tokens(self.count, &measurer.model, &[&question.text]);
            // One request each, which reads the text several times.
            add(&measurer.model, [n_cots, n_readings * (n_cots * words + n_tokens), n_cots]);
        }
    }

    fn prompt_tokens(&self, model: &Identity, texts: &[&str]) -> f64 {
        tokens(self.count, model, texts)
    }

    /// Takes a share of everything.
    fn scale(&mut self, share: f64) {
        for sums in self.models.values_mut() {
            for range in [&mut sums.requests, &mut sums.prompt_tokens, &mut sums.completion_tokens] {
                *range = range.map(|sum| sum * share);
            }
        }
    }

    /// One estimate per model, in the order given; a model that plays a role twice has one.
    fn estimates(
        &mut self,
        stage: &'static str,
        n_questions: u64,
        assumed: bool,
        models: &[(&Identity, Option<&Price>)],
    ) -> Vec<Estimate> {
        let mut estimates: Vec<Estimate> = Vec::new();
        for (identity, price) in models {
            let scores = [GRADE, JUDGE, ANNOTATE].contains(&stage);
            let sums = self.models.remove(&(scores, identity.name.clone(), identity.revision.clone()));
            if sums.is_none() && estimates.iter().any(|estimate| estimate.model == identity.name) {
                continue;
            }
            let sums = sums.unwrap_or_default();
            let cost = |at: usize| {
                price.map(|price| {
                    (sums.prompt_tokens[at] * price.input + sums.completion_tokens[at] * price.output) / 1e6
                })
            };
            let whole = |range: [f64; 2]| range.map(|sum| sum.round() as u64);
            estimates.push(Estimate {
                stage,
                model: identity.name.clone(),
                n_questions,
                assumed,
                requests: whole(sums.requests),
                prompt_tokens: whole(sums.prompt_tokens),
                completion_tokens: whole(sums.completion_tokens),
                mean_completion: self.means.get(&(scores, (*identity).clone())).map(|mean| mean[1]),
                cost_usd: cost(0).zip(cost(1)).map(|(least, most)| [least, most]),
            });
        }
        estimates
    }
}

/// Tokens of texts, as far as anybody knows.
fn tokens(count: CountTokens<'_>, model: &Identity, texts: &[&str]) -> f64 {
    let tokens = |text: &&str| match count(model, text) {
        Some(n_tokens) => n_tokens as f64,
        None => text.len() as f64 / BYTES_PER_TOKEN,
    };
    texts.iter().map(tokens).sum()
}

/// How often a measurement reads a text: once, and with so many steps of context once more for each step and its context.
fn readings(local_context: Option<u32>) -> f64 {
    1.0 + local_context.map_or(0.0, |context| f64::from(context) + 1.0)
}

/// Stands for an attempt that is not there yet, where it would be scored.
const SOME_ATTEMPT: &str = "An attempt that is not written yet.";

/// What the scoring of an attempt that is not there yet may need at most.
#[derive(Debug, Clone, Copy)]
struct Unwritten {
    /// Requests.
    requests: f64,
    /// Tokens of the attempt in each of them.
    tokens: f64,
}

impl Default for Unwritten {
    fn default() -> Self {
        Self { requests: 1.0, tokens: 0.0 }
    }
}

impl Unwritten {
    fn of(plan: &Plan, means: &Means) -> Self {
        let student = &plan.probe.asker;
        let mean = means.get(&(false, student.model.clone())).map(|mean| mean[1]);
        let tokens = mean.unwrap_or(f64::from(student.sampling.max_tokens));
        match &plan.grade.scorer {
            // Each step is asked for behind those before it: half of the attempt on average.
            Some(Scorer { how: How::Wire(ScoreForm::ChatLabels { .. }), settings, .. }) => {
                Self { requests: f64::from(settings.steps.max_steps), tokens: tokens / 2.0 }
            }
            _ => Self { tokens, ..Self::default() },
        }
    }
}

/// The answer after which a stage asks for most: one that was cut off.
fn truncated(text: &str) -> Completion {
    Completion {
        reasoning: None,
        answer: Some(text.to_owned()),
        finish: Finish::Length,
        usage: Usage::default(),
        cost_usd: None,
        model: None,
    }
}
