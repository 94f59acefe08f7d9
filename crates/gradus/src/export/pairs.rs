//! Preference pairs: of the chains of thought of one question, one to prefer and one to reject.

use std::cmp::Ordering;

use serde_json::Value;

use super::asked::Asked;
use super::join::Cot;
use super::layout::{Column, Shape};
use crate::config::{Beta, ChosenFrom, Pairs, RejectedBy};
use crate::level::Level;
use crate::stats::draw;

/// Greatest distance of two chains of thought: two scores of 0..=9 each.
const MAX_DISTANCE: f64 = 18.0;

/// Two chains of thought by their places in the group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) chosen: usize,
    pub(super) rejected: usize,
    /// What makes the second one worse.
    pub(super) by: RejectedBy,
}

/// The pairs of a question, or in a fixed word why it has none: `hardest`, `no_chosen`, `too_long`, `no_sibling`,
/// `no_rejected`. What is too long takes part in none.
///
/// What makes a chain of thought worse is tried in the order of `rejected_by`: the next way only fills up what the ways
/// before it left. Among equals a keyed draw decides. None is preferred in one pair and rejected in another.
pub(super) fn choose(config: &Pairs, seed: u64, asked: &Asked) -> Result<Vec<Pair>, &'static str> {
    let level = asked.group.level.as_ref().and_then(|level| Level::parse(&level.level));
    if config.skip_hardest && matches!(level, Some(Level::Hard(level)) if level >= config.hardest_from) {
        return Err("hardest");
    }
    let key = |at: usize| draw(seed, "pairs", asked.cot(at).row.cot_id.as_bytes());
    let said: Vec<usize> = asked.places().filter(|&at| !asked.is_empty(at) && !asked.is_too_long(at)).collect();
    let sound: Vec<usize> = said.iter().copied().filter(|&at| asked.cot(at).is_sound()).collect();
    let is_kept = |at: usize| config.chosen_from == ChosenFrom::Selected && asked.cot(at).selection.selected;
    let mut chosen: Vec<usize> = match config.chosen_from {
        ChosenFrom::Selected => sound.iter().copied().filter(|&at| is_kept(at)).collect(),
        ChosenFrom::Correct => sound.clone(),
    };
    chosen.sort_by_key(|&at| (if is_kept(at) { asked.cot(at).selection.rank } else { None }, key(at)));
    let too_long = || asked.places().filter(|&at| asked.is_too_long(at));
    if chosen.is_empty() {
        let may_be = |at: usize| {
            asked.cot(at).is_sound() && (config.chosen_from == ChosenFrom::Correct || asked.cot(at).selection.selected)
        };
        return Err(if too_long().any(may_be) { "too_long" } else { "no_chosen" });
    }
    if said.len() == 1 {
        return Err(if too_long().next().is_some() { "too_long" } else { "no_sibling" });
    }
    let mut pairs: Vec<Pair> = Vec::new();
    for &by in &config.rejected_by {
        // For each that is preferred, those to reject, the best of them first.
        let candidates = |chosen: usize| -> Vec<usize> {
            let siblings = match by {
                RejectedBy::Verdict => &said,
                RejectedBy::RvCd | RejectedBy::Length => &sound,
            };
            let of_kept = by == RejectedBy::Verdict;
            let siblings = siblings.iter().filter(|&&at| at != chosen && (of_kept || !is_kept(at)));
            let mut worse: Vec<(f64, usize)> =
                siblings.filter_map(|&at| Some((worse_by(by, config, asked, chosen, at)?, at))).collect();
            worse.sort_by(|(much, at), (other, than)| match other.total_cmp(much) {
                Ordering::Equal => key(*at).cmp(&key(*than)),
                order => order,
            });
            worse.into_iter().map(|(_, at)| at).collect()
        };
        let candidates: Vec<(usize, Vec<usize>)> = chosen.iter().map(|&at| (at, candidates(at))).collect();
        let longest = candidates.iter().map(|(_, worse)| worse.len()).max().unwrap_or(0);
        // Each that is preferred gets its first partner before one gets a second.
        for round in 0..longest {
            for (chosen, worse) in &candidates {
                let Some(&rejected) = worse.get(round) else { continue };
                let pair = Pair { chosen: *chosen, rejected, by };
                if pairs.len() < config.per_question as usize && goes_with(&pairs, pair, asked) {
                    pairs.push(pair);
                }
            }
        }
    }
    if pairs.is_empty() { Err("no_rejected") } else { Ok(pairs) }
}

/// Whether a pair contradicts and repeats none of those before it, and differs in its texts.
fn goes_with(pairs: &[Pair], pair: Pair, asked: &Asked) -> bool {
    let clashes = |other: &Pair| {
        other.chosen == pair.rejected
            || other.rejected == pair.chosen
            || (other.chosen, other.rejected) == (pair.chosen, pair.rejected)
    };
    !pairs.iter().any(clashes) && asked.reply(pair.chosen).content != asked.reply(pair.rejected).content
}

/// By how much one is worse than the preferred one; none if it is not, or not by enough.
fn worse_by(by: RejectedBy, config: &Pairs, asked: &Asked, chosen: usize, at: usize) -> Option<f64> {
    let (chosen_cot, cot) = (asked.cot(chosen), asked.cot(at));
    match by {
        RejectedBy::Verdict => {
            let is_wrong = cot.row.verdict == "incorrect" && (!cot.is_cut_off() || config.truncated_as_rejected);
            is_wrong.then_some(0.0)
        }
        RejectedBy::RvCd => distance(chosen_cot, cot).filter(|distance| *distance >= config.min_distance),
        RejectedBy::Length => {
            let [one, other] = lengths(asked, chosen, at);
            let ratio = one.max(other) as f64 / one.min(other).max(1) as f64;
            (ratio >= config.length_ratio).then_some(ratio)
        }
    }
}

/// How far two lie apart in fused Reasoning Verbosity and Cognitive Difficulty, 0..=18; none unless the same judge
/// rated both.
fn distance(one: &Cot, other: &Cot) -> Option<f64> {
    let (one, other) = (one.annotation.as_ref()?, other.annotation.as_ref()?);
    if one.judge != other.judge {
        return None;
    }
    Some((one.s_rv? - other.s_rv?).abs() + (one.cd? - other.cd?).abs())
}

/// The lengths of two in one unit: as annotated, else in tokens of the teacher's server, else in characters.
fn lengths(asked: &Asked, one: usize, other: usize) -> [u64; 2] {
    let annotations = [one, other].map(|at| asked.cot(at).annotation.as_ref());
    let tokens = [one, other].map(|at| asked.cot(at).row.completion_tokens);
    match (annotations, tokens) {
        ([Some(one), Some(other)], _) if one.length_unit == other.length_unit => {
            [one.length.max(0) as u64, other.length.max(0) as u64]
        }
        // Servers of different teachers count in different tokens.
        (_, [Some(n), Some(m)]) if asked.cot(one).row.teacher == asked.cot(other).row.teacher => {
            [n.max(0) as u64, m.max(0) as u64]
        }
        _ => [one, other].map(|at| asked.reply(at).content.chars().count() as u64),
    }
}

/// DPO's beta for a pair, as [`Beta`] says.
fn beta(config: Beta, distance: Option<f64>) -> f64 {
    config.base * (1.0 + config.slope * distance.unwrap_or(0.0) / MAX_DISTANCE)
}

/// Name, type and meaning of the columns that follow a format's own.
pub(super) const COLUMNS: [(&str, Shape, &str); 29] = [
    ("pair_reason", Shape::Text, "what makes the rejected one worse: verdict, rv_cd or length"),
    ("distance", Shape::Float, "how far the two lie apart in verbosity and difficulty, 0 to 18"),
    ("beta", Shape::Float, "DPO's beta for this pair, if asked for"),
    ("question_id", Shape::Text, "content id of the question"),
    ("source_id", Shape::Text, "id under which its source knows it"),
    ("kind", Shape::Text, "how its answer is checked: math, choice, text or code"),
    ("subject", Shape::Text, "subject, as the source names it"),
    ("source", Shape::Text, "name of the source"),
    ("license", Shape::Text, "licence of the question"),
    ("student", Shape::Text, "the model that was probed"),
    ("level", Shape::Text, "difficulty for that student: easy, 1 to 5 (hardest)"),
    ("pass_rate", Shape::Float, "share of the student's attempts that were correct"),
    ("chosen_cot_id", Shape::Text, "id of the preferred chain of thought"),
    ("chosen_teacher", Shape::Text, "the model that wrote it"),
    ("chosen_attempt", Shape::Int, "number of that teacher's attempt, from 0"),
    ("chosen_verdict", Shape::Text, "what was decided about it"),
    ("chosen_finish", Shape::Text, "why the teacher stopped"),
    ("chosen_s_rv", Shape::Float, "its fused Reasoning Verbosity, 0 to 9"),
    ("chosen_cd", Shape::Float, "its Cognitive Difficulty, 0 to 9"),
    ("chosen_tokens", Shape::Int, "tokens the teacher wrote, as its server counts them"),
    ("rejected_cot_id", Shape::Text, "the same of the rejected one"),
    ("rejected_teacher", Shape::Text, ""),
    ("rejected_attempt", Shape::Int, ""),
    ("rejected_verdict", Shape::Text, ""),
    ("rejected_finish", Shape::Text, ""),
    ("rejected_s_rv", Shape::Float, ""),
    ("rejected_cd", Shape::Float, ""),
    ("rejected_tokens", Shape::Int, ""),
    ("prompt_hash", Shape::Text, "hash of the prompt template"),
];

/// These columns, then [`COLUMNS`].
pub(super) fn after(own: &[Column]) -> Vec<Column> {
    own.iter().copied().chain(COLUMNS.iter().map(|(name, shape, _)| (*name, *shape))).collect()
}

/// The values of [`COLUMNS`] for a pair.
pub(super) fn values(config: &Pairs, asked: &Asked, pair: Pair) -> Vec<Value> {
    let (question, level) = (&asked.group.question, asked.group.level.as_ref());
    let distance = distance(asked.cot(pair.chosen), asked.cot(pair.rejected));
    let mut values: Vec<Value> = vec![
        pair.by.name().into(),
        distance.into(),
        config.beta.map(|config| beta(config, distance)).into(),
        question.question_id.as_str().into(),
        question.source_ids.first().cloned().into(),
        question.kind.as_str().into(),
        question.subject.clone().into(),
        question.source.as_str().into(),
        question.license.clone().into(),
        level.map(|level| level.student.clone()).into(),
        level.map(|level| level.level.clone()).into(),
        level.and_then(|level| level.pass_rate).into(),
    ];
    for at in [pair.chosen, pair.rejected] {
        let Cot { row, annotation, .. } = asked.cot(at);
        let of_one: [Value; 8] = [
            row.cot_id.as_str().into(),
            row.teacher.as_str().into(),
            row.attempt.into(),
            row.verdict.as_str().into(),
            row.finish.as_str().into(),
            annotation.as_ref().and_then(|annotation| annotation.s_rv).into(),
            annotation.as_ref().and_then(|annotation| annotation.cd).into(),
            row.completion_tokens.into(),
        ];
        values.extend(of_one);
    }
    values.push(asked.prompt.hash.as_str().into());
    values
}
