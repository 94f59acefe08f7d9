//! Several rules on the chains of thought of one run, side by side. Reads tables and writes none.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;

use super::Out;
use super::pass::{Pass, SelectError};
use crate::config::{CandidateSet, Config, Select, SelectBy};
use crate::stats::{Spread, jaccard};

/// Where a chain of thought of a question without a level is counted.
pub const UNGRADED: &str = "ungraded";

/// Rules side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// One per rule, in the order given.
    pub rules: Vec<Column>,
    /// Jaccard similarity of what each two keep, 0..=1: one row per rule, one number per rule; none where one of the two
    /// cannot be applied, or both keep nothing.
    pub overlap: Vec<Vec<Option<f64>>>,
}

/// What one rule keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Column {
    /// The rule's name.
    pub rule: String,
    /// Why it cannot be applied; all that follows is then empty.
    pub not_applied: Option<String>,
    /// What a user should know of what it does here.
    pub note: Option<String>,
    /// Chains of thought.
    pub rows: u64,
    /// Questions that have one.
    pub questions: u64,
    /// Sum of their lengths.
    pub length_sum: u64,
    /// `tokens` or `characters`.
    pub length_unit: String,
    /// Their lengths.
    pub length: Option<Spread>,
    /// Their Reasoning Verbosity, fused.
    pub rv: Option<Spread>,
    /// Their Cognitive Difficulty.
    pub cd: Option<Spread>,
    /// How many are of a question at each level.
    pub levels: BTreeMap<String, u64>,
    /// How many are of each teacher.
    pub teachers: BTreeMap<String, u64>,
    /// Questions of which none is kept, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// Applies each rule to the tables of a run; all other settings are the config's.
///
/// # Errors
/// If a table cannot be read. A rule that cannot be applied says so in its column.
pub fn compare(tables: &Path, config: &Config, rules: &[SelectBy]) -> Result<Compared, SelectError> {
    let mut columns = Vec::new();
    let mut kept = Vec::new();
    for &by in rules {
        let select = Select { by, ..config.select.clone() };
        let (column, at) = match column(tables, config, &select) {
            Ok((column, at)) => (column, Some(at)),
            Err(SelectError::Table(error)) => return Err(error.into()),
            Err(error @ SelectError::OutOfStep { .. }) => return Err(error),
            Err(why) => {
                (Column { rule: by.name().to_owned(), not_applied: Some(why.to_string()), ..Column::default() }, None)
            }
        };
        let at = at.filter(|_| column.not_applied.is_none());
        columns.push(column);
        kept.push(at);
    }
    let overlap = |one: &Option<Vec<u64>>, other: &Option<Vec<u64>>| {
        let (one, other) = (one.as_ref()?, other.as_ref()?);
        jaccard(n_common(one, other), one.len() as u64, other.len() as u64)
    };
    let overlap = kept.iter().map(|one| kept.iter().map(|other| overlap(one, other)).collect()).collect();
    Ok(Compared { rules: columns, overlap })
}

/// What a rule keeps, with its positions in `cots`.
fn column(tables: &Path, config: &Config, select: &Select) -> Result<(Column, Vec<u64>), SelectError> {
    let pass = Pass::new(tables, config, select)?.with_levels()?;
    let mut column =
        Column { rule: select.by.name().to_owned(), length_unit: pass.unit().name().to_owned(), ..Column::default() };
    if select.by == SelectBy::RvOnly && select.rv.is_none() && select.rv_target_by_level.is_none() {
        column.note = Some(
            "without `select.rv` or `select.rv_target_by_level` every verbosity is alike to it: it draws as `random`"
                .into(),
        );
    }
    let (mut at, mut lengths, mut rvs, mut cds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut n_candidates = 0_u64;
    let mut n_without_scores = 0_u64;
    pass.each(&HashMap::new(), |chosen| {
        column.questions += u64::from(chosen.cots.iter().any(|one| one.kept));
        if let Some(reason) = &chosen.dropped {
            *column.dropped.entry(reason.code.to_owned()).or_default() += 1;
        }
        for one in &chosen.cots {
            if let Some(selected) = &one.selected {
                n_candidates += 1;
                n_without_scores += u64::from(selected.drawn == Err(Out::NoScores));
            }
            if !one.kept {
                continue;
            }
            at.push(one.cot.at);
            lengths.push(one.cot.length as f64);
            column.length_sum += one.cot.length;
            rvs.extend(one.cot.known.s_rv);
            cds.extend(one.cot.known.cd);
            let level = chosen.level.map_or_else(|| UNGRADED.to_owned(), |level| level.to_string());
            *column.levels.entry(level).or_default() += 1;
            *column.teachers.entry(one.cot.head.teacher.clone()).or_default() += 1;
        }
        Ok(())
    })?;
    if n_candidates > 0 && n_candidates == n_without_scores && select.candidates != CandidateSet::Labelled {
        column.not_applied = Some("no chain of thought has the scores that it goes by".into());
        column.dropped.clear();
    }
    column.rows = at.len() as u64;
    column.length = Spread::of(&mut lengths);
    column.rv = Spread::of(&mut rvs);
    column.cd = Spread::of(&mut cds);
    Ok((column, at))
}

/// How many numbers stand in both of two rising lists.
fn n_common(one: &[u64], other: &[u64]) -> u64 {
    let mut other = other.iter().peekable();
    let is_there = |at: &&u64| {
        while other.next_if(|there| there < at).is_some() {}
        other.peek() == Some(at)
    };
    one.iter().filter(is_there).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_both_is_counted_once() {
        assert_eq!(n_common(&[1, 3, 5, 9], &[0, 3, 4, 5, 10]), 2);
        assert_eq!(n_common(&[], &[1]), 0);
        assert_eq!(n_common(&[7], &[7]), 1);
    }
}
