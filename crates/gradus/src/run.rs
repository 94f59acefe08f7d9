//! The stages in their order: asks for what is missing, then derives every table from the ledger.
//!
//! Between `sample` and `select` no stage sees more than one question. What was asked for is read back out of
//! the ledger, so a table depends on bank, config, seed and ledger, and on nothing else.

mod plan;
mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use crate::ability::Ability;
use crate::annotate::{self, Annotate, AnnotatedQuestion, Rating, summary};
use crate::assess::{KnownLevel, known_levels};
use crate::attempt::Source;
use crate::config::{Config, Cuts, Shortage};
use crate::derive::{Derived, derive, finish_name};
use crate::distil::Distilled;
use crate::driver::{DriveError, Driven, Driver, Ended, Event, Failures, Observer, World};
use crate::edges::{self, Measured};
use crate::grade::{self, GradedQuestion};
use crate::judge::Judged;
use crate::ledger::{LedgerError, Reader};
use crate::lengths::{self, SizeError};
use crate::level::Level;
use crate::measured::{Measured as Fitted, Measurer};
use crate::question::{Question, QuestionId};
use crate::sample::{Candidate, Candidates, Drawn, Sampled, TooFew, histogram, not_drawn, sample, shares};
use crate::score::{Bounds, Scored, Scorer};
use crate::select::pass::{Pass, SelectError, Unfinished};
use crate::tables::{
    AttemptRow, CotRow, DroppedRow, LevelRow, QuestionRow, RatingRow, SampleRow, ScoreRow, StudentFitRow, TableError,
    TableWriter, VerdictRow, clear, each,
};
use crate::verdict::Verdict;
use crate::work::{Answered, Next, Reason};

pub use plan::{Plan, Resolved};
use rows::{level_row, verdict_row};
pub use rows::{question, question_row, questions};

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Until {
    /// Read the bank.
    Ingest,
    /// Ask the student, judge, grade.
    Grade,
    /// Draw questions.
    Sample,
    /// Ask the teachers, judge.
    Distil,
    /// Find out what chains of thought are like.
    Annotate,
    /// Keep chains of thought.
    Select,
}

/// Which part of a run an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Asking the student.
    Probe,
    /// Asking the teachers.
    Distil,
}

impl Phase {
    /// Its name in progress and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Distil => "distil",
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Ran {
    /// Questions that entered.
    pub n_questions: u64,
    /// How many of them the last run in this directory did not have, and how many it had beside; none before the
    /// second run.
    pub since_last: Option<(u64, u64)>,
    /// Questions by level, in the order of [`Level::ALL`].
    pub levels: [u64; Level::COUNT],
    /// Questions that were drawn; none if the run did not come so far.
    pub sampled: Option<Sampled>,
    /// Sound chains of thought.
    pub n_sound: u64,
    /// Chains of thought that a judge rated.
    pub n_rated: u64,
    /// Chains of thought that were kept.
    pub n_selected: u64,
    /// What the student can follow, if that was measured.
    pub ability: Option<Ability>,
    /// Why the chains of thought that are there could not be selected from; all other tables are whole.
    pub refused: Option<SelectError>,
    /// Work that was asked for in vain.
    pub failures: Failures,
    /// Drops by stage and reason.
    pub dropped: HashMap<(String, String), u64>,
    /// Why it ended early, and in which phase. Tables were derived then only if the budget was the reason.
    pub ended: Option<(Phase, Ended)>,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A table could not be written or read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The ledger could not be written or read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A level has too few questions.
    #[error(transparent)]
    TooFew(#[from] TooFew),
    /// No question entered.
    #[error("the bank holds no usable question")]
    NoQuestions,
    /// There is nobody to write chains of thought.
    #[error("no `teacher` is set")]
    NoTeacher,
    /// The run that `sample.levels_from` or `sample.shares_from` names has no levels.
    #[error("{} has no levels: `gradus grade --run-dir` makes them", .0.display())]
    NoLevels(PathBuf),
    /// Tokens or dollars do not tell the size of the sample.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// Nothing could be selected.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The bank could not be read.
    #[error("{0}")]
    Questions(String),
}

impl From<DriveError<TableError>> for RunError {
    fn from(error: DriveError<TableError>) -> Self {
        match error {
            DriveError::Ledger(error) => error.into(),
            DriveError::Questions(error) => error.into(),
        }
    }
}

/// Receives the events of a run.
pub type RunObserver<'a> = &'a (dyn Fn(Phase, Event<'_>) + Send + Sync);

/// A run in a directory.
pub struct Run<'a, W> {
    /// Folder of the tables.
    pub tables: PathBuf,
    /// Folder of the tables of the last run, which tell what is new; it may be the same.
    pub last: PathBuf,
    /// Settings.
    pub config: &'a Config,
    /// Resolved stages.
    pub plan: &'a Plan,
    /// Asks the world.
    pub driver: Driver<W>,
    /// Runs the driver.
    pub runtime: &'a Runtime,
    /// Hears of progress.
    pub observer: RunObserver<'a>,
}

/// Writers of the tables that more than one stage adds to.
struct Shared {
    /// Open until every verdict is there.
    verdicts: Option<TableWriter<VerdictRow>>,
    dropped: TableWriter<DroppedRow>,
    counts: HashMap<(String, String), u64>,
}

impl Shared {
    /// A verdict; where the judge was asked for it in vain, that stands in `dropped` too.
    fn judged(&mut self, judged: &Judged, verdict: &Verdict, id: &str, by: (&str, &str)) -> Result<(), TableError> {
        if let Some(Err(reason)) = &verdict.heard {
            self.drop(judged.key.short(), "verdict", "judge", reason)?;
        }
        let row = verdict_row(judged, verdict, id, by.0, by.1);
        self.verdicts.as_mut().expect("teachers are judged last, and then it is closed").push(row)
    }

    /// Completes the table of verdicts, which selection may read.
    fn close_verdicts(&mut self) -> Result<(), TableError> {
        self.verdicts.take().map_or(Ok(()), |verdicts| verdicts.finish().map(drop))
    }

    fn drop(&mut self, item: String, kind: &str, stage: &str, reason: &Reason) -> Result<(), TableError> {
        *self.counts.entry((stage.to_owned(), reason.code.to_owned())).or_default() += 1;
        self.dropped.push(DroppedRow {
            item,
            item_kind: kind.to_owned(),
            stage: stage.to_owned(),
            reason: reason.code.to_owned(),
            detail: reason.detail.clone(),
        })
    }
}

/// Why drawn questions leave where nothing can be selected.
const SELECTION_REFUSED: &str = "selection_refused";

impl<W: World> Run<'_, W> {
    /// Runs every stage up to `until`. Questions come in bank order; `rows` are what ingest left out.
    pub fn run<E: std::fmt::Display>(
        mut self,
        questions: impl Iterator<Item = Result<Question, E>>,
        rows: Vec<DroppedRow>,
        until: Until,
    ) -> Result<Ran, RunError> {
        let mut ran = Ran::default();
        let last = self.last_questions();
        clear(&self.tables)?;
        let now = self.write_questions(questions)?;
        ran.n_questions = now.len() as u64;
        ran.since_last = last.map(|last| (now.difference(&last).count() as u64, last.difference(&now).count() as u64));
        drop(now);
        if ran.n_questions == 0 {
            return Err(RunError::NoQuestions);
        }
        let mut shared = Shared {
            verdicts: Some(TableWriter::create(&self.tables)?),
            dropped: TableWriter::create(&self.tables)?,
            counts: HashMap::new(),
        };
        for row in rows {
            *shared.counts.entry((row.stage.clone(), row.reason.clone())).or_default() += 1;
            shared.dropped.push(row)?;
        }
        self.stages(until, &mut ran, &mut shared)?;
        if ran.ended.as_ref().is_some_and(|(_, ended)| !matches!(ended, Ended::Budget(_))) {
            // Half a table would look like a whole one.
            return Ok(ran);
        }
        shared.close_verdicts()?;
        shared.dropped.finish()?;
        ran.dropped = shared.counts;
        Ok(ran)
    }

    fn stages(&mut self, until: Until, ran: &mut Ran, shared: &mut Shared) -> Result<(), RunError> {
        if until < Until::Grade {
            return Ok(());
        }
        let (plan, observer) = (self.plan, self.observer);
        let probing: Observer<'_> = &|event| observer(Phase::Probe, event);
        probing(Event::Begins(ran.n_questions));
        let mut probed = self.driver.drive_on(
            self.runtime,
            questions(&self.tables)?,
            |question, answers| {
                let next = grade::next(&plan.probe, &plan.grade, question, answers);
                if let Next::Done(graded) = &next {
                    announce(&graded.probed.attempts, probing);
                }
                next
            },
            probing,
        )?;
        if let Some(ended) = probed.ended.take() {
            let goes_on = matches!(ended, Ended::Budget(_));
            ran.ended = Some((Phase::Probe, ended));
            if !goes_on {
                return Ok(());
            }
        }
        let graded = self.write_levels(&probed, ran, shared)?;
        ran.failures = probed.failures;
        if until < Until::Sample {
            return Ok(());
        }
        let drawn = self.write_sample(&graded, ran, shared)?;
        if until < Until::Distil {
            return Ok(());
        }
        if plan.distil.askers.is_empty() {
            return Err(RunError::NoTeacher);
        }
        if ran.ended.is_some() {
            // The sample of a partial probe is not that of the whole one: nobody is asked about it.
            return self.write_kept(&Driven::default(), &drawn, until, ran, shared);
        }
        let sampled = questions(&self.tables)?
            .filter(|question| question.as_ref().map_or(true, |question| drawn.contains_key(&question.id)));
        let annotate = self.annotate(until);
        let distilling: Observer<'_> = &|event| observer(Phase::Distil, event);
        distilling(Event::Begins(drawn.len() as u64));
        let mut distilled = self.driver.drive_on(
            self.runtime,
            sampled,
            |question, answers| {
                let next = annotate::next(&plan.distil, &annotate, question, answers);
                if let Next::Done(annotated) = &next {
                    announce(&annotated.distilled.cots, distilling);
                }
                next
            },
            distilling,
        )?;
        if let Some(ended) = distilled.ended.take() {
            let goes_on = matches!(ended, Ended::Budget(_));
            ran.ended = Some((Phase::Distil, ended));
            if !goes_on {
                return Ok(());
            }
        }
        self.write_kept(&distilled, &drawn, until, ran, shared)?;
        ran.failures.extend(distilled.failures);
        Ok(())
    }

    /// The questions of the last run; none if its table is not there or not whole.
    fn last_questions(&self) -> Option<HashSet<QuestionId>> {
        let mut last = HashSet::new();
        let there = each::<QuestionRow>(&self.last, |row| last.extend(QuestionId::parse(&row.question_id)));
        there.is_ok_and(|there| there).then_some(last)
    }

    fn write_questions<E: std::fmt::Display>(
        &self,
        questions: impl Iterator<Item = Result<Question, E>>,
    ) -> Result<HashSet<QuestionId>, RunError> {
        let mut writer = TableWriter::create(&self.tables)?;
        let mut ids = HashSet::new();
        for question in questions {
            let question = question.map_err(|error| RunError::Questions(error.to_string()))?;
            ids.insert(question.id);
            writer.push(question_row(&question))?;
        }
        writer.finish()?;
        Ok(ids)
    }

    /// Student's attempts, verdicts, scores and levels, from the ledger. Gives back the graded questions in bank order.
    fn write_levels(
        &self,
        probed: &Driven,
        ran: &mut Ran,
        shared: &mut Shared,
    ) -> Result<Vec<(QuestionId, Level)>, RunError> {
        let reader = self.driver.ledger.reader()?;
        reader.pin()?;
        let mut attempts = TableWriter::<AttemptRow>::create(&self.tables)?;
        let mut levels = TableWriter::<LevelRow>::create(&self.tables)?;
        let scorer = self.plan.grade.scorer.as_ref();
        let mut scores = scorer.map(|_| TableWriter::<ScoreRow>::create(&self.tables)).transpose()?;
        let student = &self.plan.probe.asker.model.name;
        let prompts = self.plan.probe.asker.prompts.hash();
        let mut levelled = Vec::new();
        let next =
            |question: &Question, answers: &[_]| grade::next(&self.plan.probe, &self.plan.grade, question, answers);
        let edges = self.edges(next, &reader, &probed.failures)?;
        for question in questions(&self.tables)? {
            let question = question?;
            let id = question.id.to_string();
            let GradedQuestion { probed, scored, mut graded } =
                match derive(&question, next, &reader, &probed.failures)? {
                    Derived::Done(graded) => graded,
                    Derived::Drop(reason) => {
                        shared.drop(id, "question", "probe", &reason)?;
                        continue;
                    }
                };
            graded.cut(&edges);
            for judged in &probed.attempts {
                let attempt_id = judged.key.short();
                let (completion, verdict) = match &judged.result {
                    Ok(result) => result,
                    Err(reason) => {
                        shared.drop(attempt_id, "attempt", "probe", reason)?;
                        continue;
                    }
                };
                attempts.push(AttemptRow {
                    attempt_id,
                    question_id: id.clone(),
                    model: student.clone(),
                    attempt: i64::from(judged.number),
                    reasoning: completion.reasoning.clone(),
                    answer: completion.answer.clone(),
                    finish: finish_name(&completion.finish).to_owned(),
                    prompt_tokens: completion.usage.prompt.map(|n| n as i64),
                    completion_tokens: completion.usage.completion.map(|n| n as i64),
                    cost_usd: reader.cost(&judged.key)?,
                })?;
                shared.judged(judged, verdict, &id, ("student", student))?;
            }
            if let (Some(scorer), Some(scores)) = (scorer, &mut scores) {
                self.write_scores(scorer, &scored, &id, scores, shared)?;
            }
            levels.push(level_row(&graded, &scored, &id, student, &prompts, &self.plan.grade))?;
            match &graded.level {
                Ok(level) => {
                    ran.levels[level.index()] += 1;
                    levelled.push((question.id, *level));
                }
                Err(reason) => shared.drop(id, "question", "grade", reason)?,
            }
        }
        attempts.finish()?;
        levels.finish()?;
        scores.map(TableWriter::finish).transpose()?;
        Ok(levelled)
    }

    /// The scores of a question's wrong attempts; those without one stand in `dropped`.
    fn write_scores(
        &self,
        scorer: &Scorer,
        scored: &[Scored],
        id: &str,
        scores: &mut TableWriter<ScoreRow>,
        shared: &mut Shared,
    ) -> Result<(), RunError> {
        for one in scored {
            if let Err(reason) = &one.result {
                shared.drop(one.attempt.short(), "attempt", "grade", reason)?;
            }
            for (step, number) in one.steps.iter().zip(1..) {
                let bounds = step.score;
                scores.push(ScoreRow {
                    attempt_id: one.attempt.short(),
                    question_id: id.to_owned(),
                    grader: self.config.grade.grader.name().to_owned(),
                    model: scorer.model.name.clone(),
                    form: scorer.form().to_owned(),
                    step: (!one.whole).then_some(number),
                    text: step.text.clone(),
                    score: bounds.map(|bounds| bounds.middle()),
                    low: bounds.map(|bounds| bounds.low),
                    high: bounds.map(|bounds| bounds.high),
                    undecided: bounds.is_none(),
                    aggregate: (!one.whole).then(|| scorer.settings.aggregate.name().to_owned()),
                    attempt_score: one.result.as_ref().ok().map(Bounds::middle),
                    score_id: step.key.short(),
                })?;
            }
        }
        Ok(())
    }

    /// The cut points between levels; those that depend on the bank take a pass of their own over it.
    fn edges(
        &self,
        next: impl Fn(&Question, &[Answered]) -> Next<GradedQuestion>,
        reader: &Reader,
        failures: &Failures,
    ) -> Result<[f64; 4], RunError> {
        let config = &self.config.grade;
        let mut measured = Vec::new();
        if config.cuts == Cuts::Fixed {
            return Ok(config.edges);
        }
        for question in questions(&self.tables)? {
            let question = question?;
            if let Derived::Done(GradedQuestion { graded, .. }) = derive(&question, &next, reader, failures)?
                && let (Some(score), Some((pass_rate, ..))) = (graded.score, graded.pass_rate())
            {
                measured.push((question.id, Measured { score, pass_rate, n: f64::from(graded.n_countable) }));
            }
        }
        Ok(edges::of_bank(config, &measured))
    }

    fn write_sample(
        &self,
        graded: &[(QuestionId, Level)],
        ran: &mut Ran,
        shared: &mut Shared,
    ) -> Result<HashMap<QuestionId, Drawn>, RunError> {
        let mut config = self.config.sample.clone();
        if ran.ended.is_some() && config.shortage == Shortage::Stop {
            // A level may have too few only because the rest was not asked yet.
            config.shortage = Shortage::RepeatNot;
        }
        let there = config.shares_from.as_deref().map(of_run).transpose()?;
        let candidates = self.candidates(graded, shared)?;
        let shares_from = there.as_ref().map(histogram);
        let mut available = [0; Level::COUNT];
        for candidate in &candidates {
            available[candidate.level.index()] += 1;
        }
        config.size = lengths::size(self.config, &self.tables, &shares(&config, &available, shares_from.as_ref()))?;
        let sampled = sample(&config, self.plan.seed, &candidates, shares_from.as_ref())?;
        let mut table = TableWriter::create(&self.tables)?;
        for drawn in &sampled.drawn {
            table.push(SampleRow {
                question_id: drawn.id.to_string(),
                level: drawn.level.to_string(),
                drawn_for: drawn.drawn_for.to_string(),
                rank: i64::from(drawn.rank),
            })?;
        }
        table.finish()?;
        let drawn: HashMap<_, _> = sampled.drawn.iter().map(|drawn| (drawn.id, *drawn)).collect();
        for candidate in candidates.iter().filter(|candidate| !drawn.contains_key(&candidate.id)) {
            shared.drop(candidate.id.to_string(), "question", "sample", &not_drawn(candidate.level))?;
        }
        ran.sampled = Some(sampled);
        Ok(drawn)
    }

    /// The graded questions as the sample sees them, in the same order.
    fn candidates(&self, graded: &[(QuestionId, Level)], shared: &mut Shared) -> Result<Vec<Candidate>, RunError> {
        let config = &self.config.sample;
        let levels_from = config.levels_from.as_deref().map(of_run).transpose()?;
        let mut makes = Candidates::new(levels_from);
        if !makes.look_at_questions(config) {
            return Ok(graded.iter().map(|&(id, level)| Candidate { id, level, stratum: 0 }).collect());
        }
        let mut candidates = Vec::new();
        let mut graded = graded.iter().peekable();
        // Both stand in bank order.
        for question in questions(&self.tables)? {
            let question = question?;
            let Some((_, level)) = graded.next_if(|(id, _)| *id == question.id) else { continue };
            match makes.of(config, &question, *level) {
                Ok(candidate) => candidates.push(candidate),
                Err(reason) => shared.drop(question.id.to_string(), "question", "sample", &reason)?,
            }
        }
        Ok(candidates)
    }

    /// Chains of thought, and which are kept.
    fn write_kept(
        &self,
        distilled: &Driven,
        drawn: &HashMap<QuestionId, Drawn>,
        until: Until,
        ran: &mut Ran,
        shared: &mut Shared,
    ) -> Result<(), RunError> {
        let unfinished = self.write_cots(distilled, drawn, until, ran, shared)?;
        if until < Until::Select {
            return Ok(());
        }
        shared.close_verdicts()?;
        let pass = match Pass::new(&self.tables, self.config, &self.config.select) {
            Ok(pass) => pass,
            Err(error @ (SelectError::Table(_) | SelectError::OutOfStep { .. })) => return Err(error.into()),
            // All that was paid for is there, and can be looked at.
            Err(refused) => {
                let reason = Reason::new(SELECTION_REFUSED, refused.to_string());
                for question in questions(&self.tables)? {
                    let id = question?.id;
                    let is_gone = |id: &str| unfinished.get(id) == Some(&Unfinished::Gone);
                    if drawn.contains_key(&id) && !is_gone(&id.to_string()) {
                        shared.drop(id.to_string(), "question", "select", &reason)?;
                    }
                }
                ran.refused = Some(refused);
                return Ok(());
            }
        };
        let made = pass.write(&unfinished, |id, stage, reason| shared.drop(id, "question", stage, reason))?;
        ran.n_selected = made.n_kept;
        ran.ability = made.ability;
        Ok(())
    }

    /// Chains of thought and their verdicts, from the ledger. Gives back which questions were not asked to the end.
    fn write_cots(
        &self,
        distilled: &Driven,
        drawn: &HashMap<QuestionId, Drawn>,
        until: Until,
        ran: &mut Ran,
        shared: &mut Shared,
    ) -> Result<HashMap<String, Unfinished>, RunError> {
        let reader = self.driver.ledger.reader()?;
        reader.pin()?;
        let mut cots = TableWriter::<CotRow>::create(&self.tables)?;
        let annotate = self.annotate(until);
        let measurer = annotate.measurer.as_ref();
        let mut fits = measurer.map(|_| TableWriter::<StudentFitRow>::create(&self.tables)).transpose()?;
        let mut ratings = annotate.rates().then(|| TableWriter::<RatingRow>::create(&self.tables)).transpose()?;
        let mut unfinished = HashMap::new();
        for question in questions(&self.tables)? {
            let question = question?;
            if !drawn.contains_key(&question.id) {
                continue;
            }
            let id = question.id.to_string();
            let next =
                |question: &Question, answers: &[_]| annotate::next(&self.plan.distil, &annotate, question, answers);
            let AnnotatedQuestion { distilled, notes } = match derive(&question, next, &reader, &distilled.failures)? {
                Derived::Done(annotated) => annotated,
                Derived::Drop(reason) => {
                    shared.drop(id.clone(), "question", "distil", &reason)?;
                    unfinished.insert(id, Unfinished::Gone);
                    continue;
                }
            };
            self.write_question_cots(&distilled, &id, &reader, &mut cots, shared)?;
            if let Some(ratings) = &mut ratings {
                for (judged, notes) in distilled.cots.iter().zip(&notes) {
                    ran.n_rated += u64::from(notes.ratings.iter().any(|rating| rating.value.is_ok()));
                    for rating in &notes.ratings {
                        Self::write_rating(rating, judged, &id, ratings, shared)?;
                    }
                }
            }
            if let (Some(measurer), Some(fits)) = (measurer, &mut fits) {
                for measured in notes.iter().filter_map(|notes| notes.measured.as_ref()) {
                    write_fit(measurer, measured, &id, fits, shared)?;
                }
            }
            ran.n_sound += distilled.cots.iter().filter(|judged| judged.is_sound()).count() as u64;
            unfinished.extend(distilled.unfinished().map(|why| (id, why)));
        }
        cots.finish()?;
        ratings.map(TableWriter::finish).transpose()?;
        fits.map(TableWriter::finish).transpose()?;
        if until >= Until::Annotate {
            summary::write(&self.tables, &self.config.annotate)?;
        }
        Ok(unfinished)
    }

    /// What is found out about chains of thought in a run that goes so far: nothing before its stage.
    fn annotate(&self, until: Until) -> Annotate {
        if until >= Until::Annotate { self.plan.annotate.clone() } else { Annotate::default() }
    }

    /// A rating; one that came to nothing stands in `dropped` too.
    fn write_rating(
        rating: &Rating,
        judged: &Judged,
        id: &str,
        ratings: &mut TableWriter<RatingRow>,
        shared: &mut Shared,
    ) -> Result<(), RunError> {
        let reason = match &rating.value {
            Ok(Some(_)) => None,
            Ok(None) => Some("the judge cannot tell".to_owned()),
            Err(reason) => {
                shared.drop(judged.key.short(), "rating", "annotate", reason)?;
                Some(format!("{}: {}", reason.code, reason.detail))
            }
        };
        ratings.push(RatingRow {
            cot_id: judged.key.short(),
            question_id: id.to_owned(),
            judge: rating.judge.clone(),
            role: rating.role.to_owned(),
            what: rating.what.to_owned(),
            calls: rating.calls.to_owned(),
            repeat: i64::from(rating.repeat),
            value: rating.value.as_ref().ok().copied().flatten(),
            reason,
            n_tries: i64::from(rating.n_tries),
            rating_id: rating.key.map(|key| key.short()),
        })?;
        Ok(())
    }

    fn write_question_cots(
        &self,
        distilled: &Distilled,
        id: &str,
        reader: &Reader,
        cots: &mut TableWriter<CotRow>,
        shared: &mut Shared,
    ) -> Result<(), RunError> {
        for (judged, parts) in distilled.cots.iter().zip(&distilled.parts) {
            let teacher = self.teacher(judged.source);
            let cot_id = judged.key.short();
            let (completion, verdict) = match &judged.result {
                Ok(result) => result,
                Err(reason) => {
                    shared.drop(cot_id, "cot", "distil", reason)?;
                    continue;
                }
            };
            let costs: Vec<Option<f64>> = parts.iter().map(|key| reader.cost(key)).collect::<Result<_, _>>()?;
            let cost_usd = costs.into_iter().sum();
            cots.push(CotRow {
                cot_id,
                question_id: id.to_owned(),
                teacher: teacher.to_owned(),
                attempt: i64::from(judged.number),
                verdict: verdict.outcome.name().to_owned(),
                reasoning: completion.reasoning.clone(),
                answer: completion.answer.clone(),
                finish: finish_name(&completion.finish).to_owned(),
                prompt_tokens: completion.usage.prompt.map(|n| n as i64),
                completion_tokens: completion.usage.completion.map(|n| n as i64),
                cost_usd,
                n_parts: parts.len() as i64,
            })?;
            shared.judged(judged, verdict, id, ("teacher", teacher))?;
        }
        Ok(())
    }

    fn teacher(&self, source: Source) -> &str {
        match source {
            Source::Student => &self.plan.probe.asker.model.name,
            Source::Teacher(at) => &self.plan.distil.askers[usize::from(at)].model.name,
            Source::Grader | Source::Judge | Source::SecondJudge | Source::Measurer => {
                unreachable!("who scores, judges or measures writes no chain of thought")
            }
        }
    }
}

/// The levels of another run.
///
/// # Errors
/// If it has none, or they cannot be read.
pub(crate) fn of_run(folder: &Path) -> Result<BTreeMap<String, KnownLevel>, RunError> {
    known_levels(&folder.join("tables"))?.ok_or_else(|| RunError::NoLevels(folder.to_owned()))
}

/// How well a chain of thought fits the student; one that could not be measured stands in `dropped` too.
fn write_fit(
    measurer: &Measurer,
    measured: &Fitted,
    id: &str,
    fits: &mut TableWriter<StudentFitRow>,
    shared: &mut Shared,
) -> Result<(), TableError> {
    let fit = measured.result.as_ref().ok();
    if let Err(reason) = &measured.result {
        shared.drop(measured.cot.short(), "measurement", "annotate", reason)?;
    }
    fits.push(StudentFitRow {
        cot_id: measured.cot.short(),
        question_id: id.to_owned(),
        model: measurer.model.name.clone(),
        n_tokens: fit.map(|fit| fit.n_tokens as i64),
        mean_nll: fit.map(|fit| fit.mean_nll),
        rsr: fit.and_then(|fit| fit.rsr),
        naturalness: fit.and_then(|fit| fit.naturalness),
        reason: measured.result.as_ref().err().map(|reason| format!("{}: {}", reason.code, reason.detail)),
        measurement_id: measured.key.map(|key| key.short()),
    })
}

/// Tells the verdicts on a settled question's attempts.
fn announce(judged: &[Judged], observer: Observer<'_>) {
    judged.iter().filter_map(Judged::outcome).for_each(|outcome| observer(Event::Judged(outcome)));
}
