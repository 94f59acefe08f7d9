//! Who gave the levels, and how much could not be graded.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{DropCount, Share};
use crate::config::{Cuts, Grade};
use crate::edges::{Measured, is_fitted, of_bank};
use crate::level::Level;
use crate::question::QuestionId;
use crate::tables::{LevelRow, ScoreRow, TableError, each};

/// Who gave the levels, and how much could not be graded.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Grading {
    /// Name of the grader.
    pub grader: String,
    /// Questions without a level, by reason, of all that were probed.
    pub ungraded: Vec<ReasonShare>,
    /// What a model said of wrong attempts; none if the grader asks no model.
    pub scoring: Option<Scoring>,
    /// The cut points between the levels 5 to 1.
    #[serde(default)]
    pub edges: [f64; 4],
    /// With `grade.cuts: calibrated`: of the half of the questions that it was not fitted on, by level 1 to 5, how many
    /// there are and their mean pass rate.
    #[serde(default)]
    pub held_out: Vec<(u64, Option<f64>)>,
}

/// How often something is so for a reason.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ReasonShare {
    /// A fixed word, e.g. `too_long`.
    pub reason: String,
    /// How often.
    pub share: Share,
}

/// What a model said of wrong attempts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Scoring {
    /// Model name.
    pub model: String,
    /// In which form it was asked.
    pub form: String,
    /// How steps became one number; none if whole attempts were rated.
    pub aggregate: Option<String>,
    /// Wrong attempts that have a score.
    pub n_scored: u64,
    /// Wrong attempts without one, by reason, of all that were to be scored.
    pub unscored: Vec<ReasonShare>,
    /// Steps (or whole attempts) that were looked at.
    pub n_steps: u64,
    /// Of these, those known only between bounds.
    pub bounded: Share,
    /// Of these, those that could not be decided.
    pub undecided: Share,
}

/// Counts the tables of levels and scores. `drops` are all that left, by stage and reason.
pub(super) fn count(tables: &Path, config: &Grade, drops: &[DropCount]) -> Result<Option<Grading>, TableError> {
    let mut grading: Option<Grading> = None;
    let mut n_probed = 0;
    let mut n_scored = 0;
    let mut measured = Vec::new();
    let mut held_out = [(0_u64, 0.0); 5];
    each::<LevelRow>(tables, |row| {
        if config.cuts != Cuts::Fixed
            && let (Some(score), Some(pass_rate), Some(id)) =
                (row.score, row.pass_rate, QuestionId::parse(&row.question_id))
        {
            measured.push((id, Measured { score, pass_rate, n: row.n_countable as f64 }));
            if let (false, Some(Level::Hard(level))) = (is_fitted(id), Level::parse(&row.level)) {
                let (n, sum) = &mut held_out[usize::from(level) - 1];
                *n += 1;
                *sum += pass_rate;
            }
        }
        n_probed += 1;
        n_scored += row.n_scored.max(0) as u64;
        grading.get_or_insert_with(|| Grading {
            scoring: row.scorer.clone().zip(row.form.clone()).map(|(model, form)| Scoring {
                model,
                form,
                aggregate: row.aggregate.clone(),
                ..Scoring::default()
            }),
            grader: row.grader.clone(),
            ungraded: Vec::new(),
            edges: [0.0; 4],
            held_out: Vec::new(),
        });
    })?;
    let Some(mut grading) = grading else { return Ok(None) };
    grading.edges = of_bank(config, &measured);
    if config.cuts == Cuts::Calibrated {
        grading.held_out = held_out.map(|(n, sum)| (n, (n > 0).then(|| sum / n as f64))).to_vec();
    }
    let of = |kind: &str, n: u64| {
        let left = drops.iter().filter(|drop| drop.stage == "grade" && drop.item_kind == kind);
        left.map(|drop| ReasonShare { reason: drop.reason.clone(), share: Share::of(drop.count.min(n), n) })
            .collect::<Vec<_>>()
    };
    grading.ungraded = of("question", n_probed);
    if let Some(scoring) = &mut grading.scoring {
        let n_unscored: u64 = of("attempt", u64::MAX).iter().map(|left| left.share.count).sum();
        scoring.n_scored = n_scored;
        scoring.unscored = of("attempt", n_scored + n_unscored);
        let (mut n_bounded, mut n_undecided) = (0, 0);
        each::<ScoreRow>(tables, |row| {
            scoring.n_steps += 1;
            n_bounded += u64::from(row.low.zip(row.high).is_some_and(|(low, high)| low < high));
            n_undecided += u64::from(row.undecided);
        })?;
        scoring.bounded = Share::of(n_bounded, scoring.n_steps);
        scoring.undecided = Share::of(n_undecided, scoring.n_steps);
    }
    Ok(Some(grading))
}
