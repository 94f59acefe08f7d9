//! Selection over the tables of a run: one question after the other, nothing asked, nothing but tables read.
//!
//! `annotations` has one row per row of `cots`, in the same order; both are read side by side, and a row is taken only if
//! the ids of chain of thought and question are the same on both sides, so no score comes to a sibling. Same tables,
//! settings and seed: the same bytes.

use std::collections::HashMap;
use std::iter::Peekable;
use std::path::Path;

use super::limits::{Unit, characters, levels, of_student};
use super::{Candidate, Known, Of, Out, Rule, Selected, select};
use crate::ability::{Ability, Unidentified, measure};
use crate::config::{AbilityConfig, CandidateSet, Config, Select};
use crate::level::Level;
use crate::stats::draw;
use crate::tables::{
    AnnotationHead, AnnotationRow, CotHead, CotText, Row, SampleRow, SelectionRow, TableError, TableReader,
    TableWriter, path,
};
use crate::verdict::Outcome;
use crate::work::Reason;

/// Why nothing could be selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Two tables do not belong together.
    #[error("table `{table}` has no row for `{id}` where the other tables put it; delete `tables/`, it is rebuilt")]
    OutOfStep {
        /// The table in which it was looked for.
        table: &'static str,
        /// Id of a question, an attempt or a chain of thought.
        id: String,
    },
    /// The ability cannot be told from what there is.
    #[error("`select.ability: measured` is not identifiable: {0}")]
    Unidentified(#[from] Unidentified),
    /// The rule has no ability to go by.
    #[error("`select.by: {0}` needs `select.ability`, which has no default")]
    NoAbility(&'static str),
    /// A limit in tokens where nobody counted.
    #[error("`select.max_tokens` needs counts of tokens, and the chains of thought are counted in characters")]
    NoTokens,
    /// The student has nothing to go by.
    #[error("`select.length_budget: student` needs correct attempts of the student counted in {}, and there is none", .0.name())]
    NoLengths(Unit),
}

/// Why a drawn question was not asked to the end: only the drive knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// It left before it had chains of thought, and stands among the dropped.
    Gone,
    /// Some of its work was never asked.
    NotAsked,
    /// Its budget was used up.
    OutOfBudget,
}

/// A chain of thought as selection sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cot {
    /// Its row without the text.
    pub head: CotHead,
    /// What is known of it.
    pub known: Known,
    /// Its length in the unit of the pass.
    pub length: u64,
    /// Position in `cots`, from 0.
    pub at: u64,
}

impl Cot {
    /// Whether it is right and was written to its end.
    pub fn is_sound(&self) -> bool {
        self.head.verdict == Outcome::Correct.name() && self.head.finish != "length"
    }

    /// Why it is no candidate.
    fn not_among(&self, candidates: CandidateSet) -> Option<&'static str> {
        let correct = self.head.verdict == Outcome::Correct.name();
        match candidates {
            CandidateSet::Labelled => None,
            CandidateSet::Verified if !correct => Some("not_correct"),
            CandidateSet::Verified | CandidateSet::All => (self.head.finish == "length").then_some("truncated"),
        }
    }
}

/// A question with what selection made of its chains of thought.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// The question.
    pub question_id: String,
    /// Its level, where the pass knows it.
    pub level: Option<Level>,
    /// Its chains of thought, in the order of `cots`.
    pub cots: Vec<ChosenCot>,
    /// Why none of them is kept.
    pub dropped: Option<Reason>,
}

/// A chain of thought with what selection made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChosenCot {
    /// The chain of thought.
    pub cot: Cot,
    /// What the rule says, if it was a candidate.
    pub selected: Option<Selected>,
    /// Whether it is kept.
    pub kept: bool,
    /// Why, or why not.
    pub reason: &'static str,
}

/// What a selection came to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Made {
    /// Chains of thought that were kept.
    pub n_kept: u64,
    /// What the student can follow, if that was measured.
    pub ability: Option<Ability>,
}

/// A selection with everything that is to be known before the first question.
pub struct Pass<'a> {
    tables: &'a Path,
    config: &'a Select,
    rule: Rule,
    seed: u64,
    min_correct: usize,
    unit: Unit,
    annotated: bool,
    levels: HashMap<String, Level>,
    limits: Option<[f64; Level::COUNT]>,
    /// Up to this place in the keyed order of questions the whole selection is within its limits.
    until: Option<(u64, u64)>,
    /// What the student can follow, if that was measured.
    pub ability: Option<Ability>,
}

impl<'a> Pass<'a> {
    /// Makes ready: measures the ability, the student's lengths and how far limits of the whole reach, as far as the
    /// settings of this rule, which may be another than the config's, ask for it.
    ///
    /// # Errors
    /// If a table cannot be read, or what the settings ask for is not in them.
    pub fn new(tables: &'a Path, config: &Config, select: &'a Select) -> Result<Self, SelectError> {
        let rule = Rule::of(select, None);
        let labelled = select.candidates == CandidateSet::Labelled;
        let weighs = rule.needs_ability() && !labelled;
        let ability = match select.ability {
            Some(AbilityConfig::Found(_)) if weighs => Some(measure(tables, &config.sample, config.seed)??),
            None if weighs => return Err(SelectError::NoAbility(select.by.name())),
            _ => None,
        };
        let rule = Rule::of(select, ability.as_ref().map(|ability| ability.estimate));
        let annotated = path::<AnnotationRow>(tables).exists();
        let unit = unit(tables, annotated)?;
        if select.max_tokens.is_some() && unit == Unit::Characters {
            return Err(SelectError::NoTokens);
        }
        let by_level = select.rv_target_by_level.is_some() || select.length_budget.is_some();
        let levels = if by_level { levels(tables)? } else { HashMap::new() };
        let limits = select.length_budget.map(|_| of_student(select, tables, &levels, unit)).transpose()?;
        let mut pass = Self {
            tables,
            config: select,
            rule,
            seed: config.seed,
            min_correct: config.distil.min_correct.max(1) as usize,
            unit,
            annotated,
            levels,
            limits,
            until: None,
            ability,
        };
        if select.max_rows.is_some() || select.max_tokens.is_some() {
            pass.until = Some(pass.within()?);
        }
        Ok(pass)
    }

    /// The same with the level of every question.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn with_levels(mut self) -> Result<Self, SelectError> {
        self.levels = levels(self.tables)?;
        Ok(self)
    }

    /// What its lengths are counted in.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Takes every drawn question in order. `unfinished` is what the tables do not say of some.
    ///
    /// # Errors
    /// If a table cannot be read or does not fit the others, or `take` says so.
    pub fn each(
        &self,
        unfinished: &HashMap<String, Unfinished>,
        mut take: impl FnMut(Chosen) -> Result<(), SelectError>,
    ) -> Result<(), SelectError> {
        let mut reader = Reader::open(self.tables, self.annotated, self.unit)?;
        let mut at = 0;
        while let Some((question_id, cots)) = reader.question()? {
            let place = (draw(self.seed, "select.question", question_id.as_bytes()), at);
            let over = self.until.is_some_and(|until| place > until);
            at += 1;
            let unfinished = unfinished.get(&question_id).copied();
            if unfinished != Some(Unfinished::Gone) {
                take(self.choose(question_id, cots, over, unfinished))?;
            }
        }
        Ok(())
    }

    fn choose(&self, question_id: String, cots: Vec<Cot>, over: bool, unfinished: Option<Unfinished>) -> Chosen {
        let level = self.levels.get(&question_id).copied();
        let limit = level.zip(self.limits).map(|(level, limits)| limits[level.index()]);
        let of = Of { level, max_length: limit };
        let among: Vec<Option<&str>> = cots.iter().map(|cot| cot.not_among(self.config.candidates)).collect();
        let candidates: Vec<Candidate<'_>> = cots
            .iter()
            .zip(&among)
            .filter(|(_, not)| not.is_none())
            .map(|(cot, _)| Candidate { id: &cot.head.cot_id, length: cot.length, known: cot.known })
            .collect();
        let labelled = self.config.candidates == CandidateSet::Labelled;
        let selected = if labelled { Vec::new() } else { select(&self.rule, self.seed, of, &candidates) };
        let dropped = self.dropped(&cots, candidates.len(), &selected, over, unfinished);
        let mut selected = selected.into_iter();
        let cots = cots
            .into_iter()
            .zip(among)
            .map(|(cot, not)| {
                let selected = if not.is_none() { selected.next() } else { None };
                let wanted = not.is_none() && (labelled || selected.is_some_and(|selected| selected.kept));
                let reason = match (not, &dropped, selected.map(|selected| selected.drawn)) {
                    (Some(not), ..) => not,
                    (None, Some(_), _) if wanted && over => SELECTION_BUDGET,
                    (None, Some(reason), _) if reason.code == TOO_FEW => TOO_FEW,
                    // What was never asked, or could not be paid: too few as well.
                    (None, Some(reason), _) if reason.code == QUESTION_BUDGET || reason.is_not_asked() => TOO_FEW,
                    (.., Some(Err(out))) => out.code(),
                    _ if labelled => "labelled",
                    _ if wanted => "selected",
                    _ => "sibling_preferred",
                };
                ChosenCot { cot, selected, kept: wanted && dropped.is_none(), reason }
            })
            .collect();
        Chosen { question_id, level, cots, dropped }
    }

    /// Why a question leaves, if it does.
    fn dropped(
        &self,
        cots: &[Cot],
        n_candidates: usize,
        selected: &[Selected],
        over: bool,
        unfinished: Option<Unfinished>,
    ) -> Option<Reason> {
        let verified = self.config.candidates == CandidateSet::Verified;
        let least = if verified { self.min_correct } else { 1 };
        if n_candidates < least {
            let (what, n) = if verified { ("right and whole", cots.len()) } else { ("to choose from", cots.len()) };
            let detail = format!("{n_candidates} of {n} chains of thought are {what}, {least} wanted");
            let code = match (unfinished, n_candidates) {
                (Some(Unfinished::NotAsked), _) => Reason::NOT_ASKED,
                (Some(Unfinished::OutOfBudget), _) => QUESTION_BUDGET,
                (_, 0) if verified => "no_correct_cot",
                (_, 0) => "no_cot",
                _ => TOO_FEW,
            };
            return Some(Reason::new(code, detail));
        }
        let outs: Option<Vec<Out>> = selected.iter().map(|selected| selected.drawn.err()).collect();
        if let Some(out) = outs.and_then(|outs| outs.into_iter().max()) {
            return Some(Reason::new(out.code(), out.sentence()));
        }
        over.then(|| Reason::new(SELECTION_BUDGET, "the whole selection had its rows or tokens without it"))
    }

    /// The last place in the keyed order of questions at which the selection is within its limits.
    fn within(&self) -> Result<(u64, u64), SelectError> {
        let mut sizes = Vec::new();
        let mut at = 0;
        self.each(&HashMap::new(), |chosen| {
            let kept = chosen.cots.iter().filter(|one| one.kept);
            let (n_rows, length) = kept.fold((0_u64, 0_u64), |(n, sum), one| (n + 1, sum + one.cot.length));
            if n_rows > 0 {
                let place = (draw(self.seed, "select.question", chosen.question_id.as_bytes()), at);
                sizes.push((place, n_rows, length));
            }
            at += 1;
            Ok(())
        })?;
        sizes.sort_unstable();
        let (mut rows, mut tokens, mut until) = (0, 0, (0, 0));
        for (place, n_rows, length) in sizes {
            (rows, tokens) = (rows + n_rows, tokens + length);
            if self.config.max_rows.is_some_and(|most| rows > most)
                || self.config.max_tokens.is_some_and(|most| tokens > most)
            {
                return Ok(until);
            }
            until = place;
        }
        Ok((u64::MAX, u64::MAX))
    }

    /// Writes the table `selection`; `drop` hears of every question that leaves, with the stage at which it does.
    ///
    /// # Errors
    /// If a table cannot be read or written, or two of them do not belong together.
    pub fn write(
        &self,
        unfinished: &HashMap<String, Unfinished>,
        mut drop: impl FnMut(String, &str, &Reason) -> Result<(), TableError>,
    ) -> Result<Made, SelectError> {
        let mut table = TableWriter::create(self.tables)?;
        let mut n_kept = 0;
        self.each(unfinished, |chosen| {
            for one in chosen.cots {
                n_kept += u64::from(one.kept);
                table.push(row(one))?;
            }
            if let Some(reason) = &chosen.dropped {
                let asked = !(reason.is_not_asked() || reason.code == QUESTION_BUDGET);
                drop(chosen.question_id, if asked { "select" } else { "distil" }, reason)?;
            }
            Ok(())
        })?;
        table.finish()?;
        Ok(Made { n_kept, ability: self.ability.clone() })
    }
}

const TOO_FEW: &str = "too_few_correct_cots";
const QUESTION_BUDGET: &str = "question_budget";
const SELECTION_BUDGET: &str = "selection_budget";

fn row(one: ChosenCot) -> SelectionRow {
    let ChosenCot { cot, selected, kept, reason } = one;
    let drawn = selected.and_then(|selected| selected.drawn.ok());
    SelectionRow {
        cot_id: cot.head.cot_id,
        question_id: cot.head.question_id,
        selected: kept,
        rank: drawn.map(|(rank, _)| i64::from(rank)),
        probability: drawn.map(|(_, probability)| probability),
        reason: reason.to_owned(),
        s_rv: selected.and_then(|selected| selected.rv),
        cd: selected.and(cot.known.cd),
        w_cd: selected.and_then(|selected| selected.w_cd),
        w_match: selected.and_then(|selected| selected.w_match),
        fit: selected.and_then(|selected| selected.fit),
    }
}

/// What the lengths of all chains of thought can be told in.
fn unit(tables: &Path, annotated: bool) -> Result<Unit, SelectError> {
    if annotated {
        let first = TableReader::<AnnotationHead>::view(tables)?.next().transpose()?;
        let characters = first.is_some_and(|row| row.length_unit == Unit::Characters.name());
        return Ok(if characters { Unit::Characters } else { Unit::Tokens });
    }
    for head in TableReader::<CotHead>::view(tables)? {
        if head?.completion_tokens.is_none() {
            return Ok(Unit::Characters);
        }
    }
    Ok(Unit::Tokens)
}

/// The chains of thought of one question after the other.
pub(crate) struct Reader {
    cots: Peekable<TableReader<CotHead>>,
    annotations: Option<TableReader<AnnotationHead>>,
    texts: Option<TableReader<CotText>>,
    sample: Option<TableReader<SampleRow>>,
    at: u64,
}

impl Reader {
    /// Opens the tables in a folder; texts are read only if nothing else tells their length.
    fn open(tables: &Path, annotated: bool, unit: Unit) -> Result<Self, SelectError> {
        let count = !annotated && unit == Unit::Characters;
        let sampled = path::<SampleRow>(tables).exists();
        Ok(Self {
            cots: TableReader::view(tables)?.peekable(),
            annotations: annotated.then(|| TableReader::view(tables)).transpose()?,
            texts: count.then(|| TableReader::view(tables)).transpose()?,
            sample: sampled.then(|| TableReader::open(tables)).transpose()?,
            at: 0,
        })
    }

    /// Opens them for the scores alone.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub(crate) fn of_scores(tables: &Path) -> Result<Self, SelectError> {
        Self::open(tables, path::<AnnotationRow>(tables).exists(), Unit::Tokens)
    }

    /// The next question that was drawn, with its chains of thought, if it has any.
    pub(crate) fn question(&mut self) -> Result<Option<(String, Vec<Cot>)>, SelectError> {
        let id = match &mut self.sample {
            Some(sample) => sample.next().transpose()?.map(|row| row.question_id),
            None => self.peek()?,
        };
        let Some(id) = id else {
            // Both stand in the bank's order: what is left belongs to no drawn question.
            return match self.peek()? {
                Some(id) => Err(SelectError::OutOfStep { table: SampleRow::TABLE, id }),
                None => Ok(None),
            };
        };
        let mut cots = Vec::new();
        while let Some(head) =
            self.cots.next_if(|row| row.as_ref().map_or(true, |row| row.question_id == id)).transpose()?
        {
            cots.push(self.cot(head)?);
        }
        Ok(Some((id, cots)))
    }

    fn peek(&mut self) -> Result<Option<String>, SelectError> {
        self.cots.next_if(Result::is_err).transpose()?;
        Ok(self.cots.peek().and_then(|row| row.as_ref().ok()).map(|row| row.question_id.clone()))
    }

    fn cot(&mut self, head: CotHead) -> Result<Cot, SelectError> {
        let tokens = head.completion_tokens.unwrap_or_default().max(0) as u64;
        let text = self.texts.as_mut().and_then(Iterator::next).transpose()?;
        let length = text.map_or(tokens, |text| characters(text.reasoning.as_deref(), text.answer.as_deref()));
        let at = self.at;
        self.at += 1;
        let Some(annotations) = &mut self.annotations else {
            return Ok(Cot { head, known: Known::default(), length, at });
        };
        let row = annotations
            .next()
            .transpose()?
            .filter(|row| row.cot_id == head.cot_id && row.question_id == head.question_id)
            .ok_or_else(|| SelectError::OutOfStep { table: AnnotationRow::TABLE, id: head.cot_id.clone() })?;
        let known = Known {
            rv: row.rv,
            s_rv: row.s_rv,
            cd: row.cd,
            sound: row.process.as_deref().and_then(|process| match process {
                "sound" => Some(true),
                "flawed" => Some(false),
                _ => None,
            }),
            mean_nll: row.mean_nll,
            rsr: row.rsr,
            naturalness: row.naturalness,
        };
        Ok(Cot { head, known, length: row.length.max(0) as u64, at })
    }
}

#[cfg(test)]
mod tests;
