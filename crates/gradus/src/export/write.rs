//! From the tables into the files of every format: what is read once is written to all that want it.

use std::path::Path;

use super::asked::Asked;
use super::attempts::Attempts;
use super::join::{CUT_OFF, Graded, Join, is_correct};
use super::kto::Kto;
use super::layout::{self, Layout, Of, Turns};
use super::rl::Task;
use super::shards::{FormatWriter, Limits, Written};
use super::stepwise::{self, By, Labelled, Stepwise};
use super::tally::Tally;
use super::{ExportError, ExportFacts, pairs, rl, row};
use crate::config::{Export, Order};
use crate::level::Level;
use crate::lint::Linter;
use crate::score::steps_of;
use crate::tables::{LevelRow, QuestionRow, Row, ScoreRow, SelectionRow, path};

/// The formats that are written, by what their rows are.
#[derive(Default)]
pub(super) struct Writers {
    sft: Vec<(&'static dyn layout::Sft, FormatWriter)>,
    pairs: Vec<(&'static dyn layout::Pairs, FormatWriter)>,
    labels: Option<(&'static Kto, FormatWriter)>,
    steps: Option<(&'static Stepwise, FormatWriter)>,
    questions: Vec<(&'static dyn layout::Rl, FormatWriter)>,
}

impl Writers {
    /// Begins every configured format, each once, in a folder of its own.
    pub(super) fn create(config: &Export, folder: &Path, limits: Limits) -> Result<Self, ExportError> {
        let mut writers = Self::default();
        for (at, format) in config.formats.iter().enumerate() {
            if config.formats[..at].contains(format) {
                continue;
            }
            let of = layout::of(*format);
            let writer = FormatWriter::create(of.layout().columns(), &folder.join(of.layout().name()), limits)?;
            match of {
                Of::Sft(layout) => writers.sft.push((layout, writer)),
                Of::Pairs(layout) => writers.pairs.push((layout, writer)),
                Of::Labels(layout) => writers.labels = Some((layout, writer)),
                Of::Steps(layout) => writers.steps = Some((layout, writer)),
                Of::Questions(layout) => writers.questions.push((layout, writer)),
            }
        }
        Ok(writers)
    }

    /// Writes the rows of every format.
    pub(super) fn write(
        &mut self,
        tables: &Path,
        config: &Export,
        facts: &ExportFacts<'_>,
    ) -> Result<Tally, ExportError> {
        let mut tally = Tally { has_cots: self.has_cots(), ..Tally::default() };
        if tally.has_cots {
            self.write_cots(tables, config, facts, &mut tally)?;
        }
        if let Some((_, writer)) = &mut self.steps {
            write_steps(tables, config, facts, writer, &mut tally)?;
        }
        if !self.questions.is_empty() {
            self.write_questions(tables, config, facts, &mut tally)?;
        }
        Ok(tally)
    }

    /// Completes the files of every format.
    pub(super) fn finish(self) -> Result<Vec<(Of, Written)>, ExportError> {
        let sft = self.sft.into_iter().map(|(layout, writer)| (Of::Sft(layout), writer));
        let pairs = self.pairs.into_iter().map(|(layout, writer)| (Of::Pairs(layout), writer));
        let labels = self.labels.into_iter().map(|(layout, writer)| (Of::Labels(layout), writer));
        let steps = self.steps.into_iter().map(|(layout, writer)| (Of::Steps(layout), writer));
        let questions = self.questions.into_iter().map(|(layout, writer)| (Of::Questions(layout), writer));
        let all = sft.chain(pairs).chain(labels).chain(steps).chain(questions);
        all.map(|(of, writer)| Ok((of, writer.finish()?))).collect()
    }

    fn has_cots(&self) -> bool {
        !self.sft.is_empty() || !self.pairs.is_empty() || self.labels.is_some()
    }

    /// The formats of chains of thought, question by question.
    fn write_cots(
        &mut self,
        tables: &Path,
        config: &Export,
        facts: &ExportFacts<'_>,
        tally: &mut Tally,
    ) -> Result<(), ExportError> {
        let mut linter = facts.chat.map(|chat| Linter::new(chat, &config.lint));
        for part in Part::all(config.order) {
            self.write_part(part, tables, config, facts, linter.as_mut(), tally)?;
        }
        tally.checks = linter.map(Linter::finish);
        Ok(())
    }

    /// Those of a part of the questions.
    fn write_part(
        &mut self,
        part: Part,
        tables: &Path,
        config: &Export,
        facts: &ExportFacts<'_>,
        mut linter: Option<&mut Linter<'_>>,
        tally: &mut Tally,
    ) -> Result<(), ExportError> {
        let mut join = Join::open(tables)?;
        while let Some(group) = join.next()? {
            if !part.has(group.level.as_ref()) {
                continue;
            }
            let mut asked = Asked::new(group, config.think, facts);
            if let Some(linter) = linter.as_ref().filter(|_| !self.pairs.is_empty() || self.labels.is_some()) {
                asked.mark_too_long(|prompt, content| linter.is_too_long(prompt, content));
            }
            for at in asked.places().filter(|&at| asked.cot(at).selection.selected) {
                let check = |linter: &mut Linter<'_>| linter.check(&asked.prompt.messages, &asked.reply(at).content);
                if linter.as_mut().is_some_and(|linter| check(linter).is_dropped) {
                    continue;
                }
                tally.count(&asked, at);
                self.write_selected(&asked, at, facts, tally)?;
            }
            if !self.pairs.is_empty() {
                self.write_pairs(&asked, config, facts, tally)?;
            }
            if let Some((layout, writer)) = &mut self.labels {
                for at in asked.places() {
                    match Kto::fill(&asked, at) {
                        Ok(values) => {
                            tally.count_length(&asked, at);
                            writer.push(values)?;
                        }
                        Err(reason) => tally.leave_out(layout.name(), "chains of thought", reason),
                    }
                }
            }
        }
        Ok(())
    }

    /// A selected chain of thought, in every format that has one a row.
    fn write_selected(
        &mut self,
        asked: &Asked,
        at: usize,
        facts: &ExportFacts<'_>,
        tally: &mut Tally,
    ) -> Result<(), ExportError> {
        let turns = Turns { prompt: &asked.prompt.messages, completion: asked.reply(at), render: facts.render };
        let provenance = row::values(asked, asked.cot(at));
        for (layout, writer) in &mut self.sft {
            match layout.fill(&turns) {
                Ok(own) => writer.push(own.into_iter().chain(provenance.iter().cloned()).collect())?,
                Err(unfit) => tally.leave_out_unfit(layout.name(), "chains of thought", unfit),
            }
        }
        Ok(())
    }

    /// The preference pairs of a question.
    fn write_pairs(
        &mut self,
        asked: &Asked,
        config: &Export,
        facts: &ExportFacts<'_>,
        tally: &mut Tally,
    ) -> Result<(), ExportError> {
        let found = pairs::choose(&config.pairs, facts.run.seed, asked);
        if let Err(reason) = found {
            self.pairs.iter().for_each(|(layout, _)| tally.leave_out(layout.name(), "questions", reason));
        }
        for pair in found.unwrap_or_default() {
            tally.count_length(asked, pair.chosen);
            tally.count_length(asked, pair.rejected);
            let provenance = pairs::values(&config.pairs, asked, pair);
            for (layout, writer) in &mut self.pairs {
                match layout.fill(asked, &pair) {
                    Ok(own) => writer.push(own.into_iter().chain(provenance.iter().cloned()).collect())?,
                    Err(unfit) => tally.leave_out_unfit(layout.name(), "pairs", unfit),
                }
            }
        }
        Ok(())
    }

    /// The questions whose pass rate lies in the window, in every format for them.
    fn write_questions(
        &mut self,
        tables: &Path,
        config: &Export,
        facts: &ExportFacts<'_>,
        tally: &mut Tally,
    ) -> Result<(), ExportError> {
        for part in Part::all(config.order) {
            let mut graded = Graded::open(tables)?;
            while let Some((question, level)) = graded.next()? {
                if !part.has(level.as_ref()) {
                    continue;
                }
                let Some((level, pass_rate)) = level.and_then(|level| level.pass_rate.map(|rate| (level, rate))) else {
                    tally.taken.n_without_rate += 1;
                    continue;
                };
                if !rl::is_within(&config.rl, pass_rate) {
                    tally.taken.n_outside += 1;
                    continue;
                }
                if question.references.is_empty() && question.tests.is_none() {
                    tally.taken.n_unverifiable += 1;
                    continue;
                }
                let prompt = (facts.prompt)(&question);
                let tests = question.tests.as_deref().map(serde_json::from_str).transpose().map_err(|_| {
                    ExportError::OutOfStep { table: QuestionRow::TABLE, id: question.question_id.clone() }
                })?;
                if !tally.has_cots {
                    tally.count_source(&question);
                }
                let task =
                    Task { question, level, prompt: &prompt, tests, data_source: config.rl.data_source.as_deref() };
                for (layout, writer) in &mut self.questions {
                    if !layout.is_for(&task) {
                        tally.leave_out(layout.name(), "questions", "not_code");
                        continue;
                    }
                    match layout.fill(&task, writer.n_rows()) {
                        Some(values) => writer.push(values)?,
                        None => *tally.taken.n_inexpressible.entry(layout.name().to_owned()).or_default() += 1,
                    }
                }
            }
        }
        tally.taken.rows =
            self.questions.iter().map(|(layout, writer)| (layout.name().to_owned(), writer.n_rows())).collect();
        Ok(())
    }
}

/// The questions of which rows are written in one pass over the tables. Rows by level take a pass for each level, so
/// that none waits in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Level(Level),
    Ungraded,
}

impl Part {
    /// The parts in their order.
    fn all(order: Order) -> Vec<Self> {
        match order {
            Order::Bank => vec![Self::All],
            Order::Level => Level::ALL.into_iter().map(Self::Level).chain([Self::Ungraded]).collect(),
        }
    }

    fn has(self, level: Option<&LevelRow>) -> bool {
        let level = || level.and_then(|level| Level::parse(&level.level));
        match self {
            Self::All => true,
            Self::Level(wanted) => level() == Some(wanted),
            Self::Ungraded => level().is_none(),
        }
    }
}

/// The rows of steps: scored wrong attempts of the student, then what is right, if that is wanted.
fn write_steps(
    tables: &Path,
    config: &Export,
    facts: &ExportFacts<'_>,
    writer: &mut FormatWriter,
    tally: &mut Tally,
) -> Result<(), ExportError> {
    let is_scored = path::<ScoreRow>(tables).exists();
    tally.without_scores = !is_scored;
    let mut take = |of: &stepwise::Of<'_>, by: &By<'_>, labelled: Result<Labelled, &'static str>| match labelled {
        Ok(labelled) => {
            if !tally.has_cots {
                tally.count_source(of.question);
            }
            writer.push(labelled.row(of, by))
        }
        Err(reason) => {
            let unit = if by.role == "student" { "attempts" } else { "chains of thought" };
            tally.leave_out(Stepwise.name(), unit, reason);
            Ok(())
        }
    };
    if is_scored || config.stepwise.correct {
        let mut attempts = Attempts::open(tables)?;
        while let Some(attempted) = attempts.next()? {
            let prompt = (facts.prompt)(&attempted.question);
            let of = stepwise::Of { question: &attempted.question, level: attempted.level.as_ref(), prompt: &prompt };
            for attempt in &attempted.attempts {
                let row = &attempt.row;
                let verdict = attempt.verdict.verdict.as_str();
                let by = By {
                    role: "student",
                    model: &row.model,
                    attempt_id: &row.attempt_id,
                    attempt: row.attempt,
                    verdict,
                    finish: &row.finish,
                };
                let is_sound = is_correct(verdict) == Some(true) && row.finish != CUT_OFF;
                if !attempt.scores.is_empty() {
                    take(&of, &by, Labelled::by_scores(&config.stepwise, &attempt.scores))?;
                } else if config.stepwise.correct && is_sound {
                    let steps = steps_of(facts.scoring, row.reasoning.as_deref(), row.answer.as_deref());
                    take(&of, &by, Labelled::all_right(steps))?;
                }
            }
        }
    }
    if config.stepwise.correct && path::<SelectionRow>(tables).exists() {
        let mut join = Join::open(tables)?;
        while let Some(group) = join.next()? {
            let prompt = (facts.prompt)(&group.question);
            let of = stepwise::Of { question: &group.question, level: group.level.as_ref(), prompt: &prompt };
            for cot in group.cots.iter().filter(|cot| cot.selection.selected && cot.is_sound()) {
                let row = &cot.row;
                let by = By {
                    role: "teacher",
                    model: &row.teacher,
                    attempt_id: &row.cot_id,
                    attempt: row.attempt,
                    verdict: &row.verdict,
                    finish: &row.finish,
                };
                let steps = steps_of(facts.scoring, row.reasoning.as_deref(), row.answer.as_deref());
                take(&of, &by, Labelled::all_right(steps))?;
            }
        }
    }
    Ok(())
}
