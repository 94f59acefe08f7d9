//! The section on chains of thought: how scores and lengths are spread, what goes with what, how far judges agree.

use serde_json::{Value, json};

use super::charts::{Bar, CurvePoint, curve, histogram};
use super::format::{count, decimal, percent, share};
use crate::ability::Ability;
use crate::agreement::{Agreement, AnswerAgreement, Correlation, CotFigures, Interval, Quantiles, Spread};
use crate::metrics::Share;

pub(super) const TEMPLATE: &str = include_str!("cots.html");

/// Stands where there is nothing to tell.
const NOTHING: &str = "–";

pub(super) fn figures(cots: &CotFigures, ability: Option<&Ability>) -> Value {
    let unit = cots.length_unit.replace('_', " ");
    let ratings = cots.ratings.iter().map(|rated| {
        let reasons = rated.reasons.iter().map(|(reason, n)| format!("{} {}", count(*n), reason.replace('_', " ")));
        json!({
            "what": score(&rated.what), "role": rated.role.replace('_', " "), "judge": rated.judge,
            "calls": rated.calls, "n": count(rated.missing.n), "missing": share(&rated.missing),
            "reasons": reasons.collect::<Vec<_>>().join(", "), "tries": count(rated.n_tries),
        })
    });
    let lengths = [("all sound ones", &cots.sound), ("those kept", &cots.selected)];
    let lengths = lengths.into_iter().filter_map(|(name, spread)| Some(length(name, spread, &spread.length?)));
    json!({
        "n": count(cots.n), "n_sound": count(cots.sound.n), "n_selected": count(cots.selected.n), "unit": unit,
        "lengths": lengths.collect::<Vec<_>>(),
        "ratings": ratings.collect::<Vec<_>>(),
        "agreement": cots.agreement.iter().map(agreement).collect::<Vec<_>>(),
        "correlations": cots.correlations.iter().map(correlation).collect::<Vec<_>>(),
        "process": cots.process.as_ref().map(|process| json!({
            "rows": process.by_verdict.iter()
                .map(|(label, counts)| json!({"label": label, "cells": counts.map(count)})).collect::<Vec<_>>(),
            "flawed_if_correct": of_some(&process.flawed_if_correct),
            "sound_if_incorrect": of_some(&process.sound_if_incorrect),
        })),
        "has_rv": rated(&cots.sound.rv), "has_cd": rated(&cots.sound.cd), "has_pass": !cots.pass_by_cd.is_empty(),
        "ability": ability.map(|ability| json!({
            "estimate": decimal(ability.estimate, 1), "low": decimal(ability.low, 1), "high": decimal(ability.high, 1),
            "slope": decimal(ability.slope, 2), "n": count(ability.n_questions), "beyond": ability.beyond_scale,
        })),
        "has_kept_rv": rated(&cots.selected.rv), "has_kept_cd": rated(&cots.selected.cd),
        "has_s_rv": rated(&cots.sound.s_rv), "has_kept_s_rv": rated(&cots.selected.s_rv),
    })
}

/// Drawn of numbers alone.
pub(super) fn charts(cots: &CotFigures, ability: Option<&Ability>) -> Value {
    // A bin holds one unit of Cognitive Difficulty: it stands at its middle, 9 at its own place.
    let place = |cd: u32| (f64::from(cd) + 0.5).min(9.0);
    let bins = || ability.iter().flat_map(|ability| &ability.curve);
    let solved = bins().map(|bin| {
        let note = format!("CD {}: {} of {} questions", bin.cd, percent(bin.pass_rate), count(bin.n));
        CurvePoint { x: place(bin.cd), value: bin.pass_rate, low: bin.pass_rate, high: bin.pass_rate, note }
    });
    let fitted: Vec<(f64, f64)> = bins().map(|bin| (place(bin.cd), bin.fitted)).collect();
    let points = cots.pass_by_cd.iter().filter_map(|bin| {
        let (value, low, high) = (bin.pass.value?, bin.pass.low?, bin.pass.high?);
        let note = format!("CD {}: {} over {} questions", bin.cd, percent(value), count(bin.n));
        Some(CurvePoint { x: f64::from(bin.cd), value, low, high, note })
    });
    json!({
        "rv": histogram("Chains of thought per Reasoning Verbosity", &bars(&cots.sound.rv, "a")),
        "kept_rv": histogram("Kept ones per Reasoning Verbosity", &bars(&cots.selected.rv, "b")),
        "s_rv": histogram("Chains of thought per fused Reasoning Verbosity", &bars(&cots.sound.s_rv, "a")),
        "kept_s_rv": histogram("Kept ones per fused Reasoning Verbosity", &bars(&cots.selected.s_rv, "b")),
        "cd": histogram("Chains of thought per Cognitive Difficulty", &bars(&cots.sound.cd, "a")),
        "kept_cd": histogram("Kept ones per Cognitive Difficulty", &bars(&cots.selected.cd, "b")),
        "ability": curve("What the student solves, by Cognitive Difficulty", 9, &solved.collect::<Vec<_>>(), &fitted),
        "pass": curve("Pass rate by Cognitive Difficulty", 9, &points.collect::<Vec<_>>(), &[]),
    })
}

/// What the section on verdicts says of the judge of answers.
pub(super) fn answer_judge(found: &AnswerAgreement) -> Value {
    let [correct, incorrect, open] = found.open.map(count);
    let rows = ["correct", "incorrect"].iter().zip(found.table);
    json!({
        "asked": count(found.n_asked), "open": count(found.n_open),
        "opened": format!("{correct} correct, {incorrect} incorrect, and could not tell of {open}"),
        "agreed": share(&found.agreed), "kappa": interval(&found.kappa, 2),
        "table": rows.map(|(name, counts)| json!({"name": name, "cells": counts.map(count)})).collect::<Vec<_>>(),
    })
}

fn rated(counts: &[u64; 10]) -> bool {
    counts.iter().any(|n| *n > 0)
}

/// A share, where there is anything to have it.
fn of_some(figure: &Share) -> Option<String> {
    (figure.n > 0).then(|| share(figure))
}

fn bars(counts: &[u64; 10], class: &'static str) -> Vec<Bar> {
    let bar = |(at, n): (usize, &u64)| Bar {
        label: at.to_string(),
        value: *n as f64,
        note: count(*n),
        sub: String::new(),
        class,
    };
    counts.iter().enumerate().map(bar).collect()
}

fn length(name: &str, spread: &Spread, at: &Quantiles) -> Value {
    let cells = [at.min, at.q05, at.q25, at.median, at.q75, at.q95, at.max];
    json!({"name": name, "n": count(spread.n), "cells": cells.map(|length| count(length.max(0.0).round() as u64))})
}

fn agreement(found: &Agreement) -> Value {
    let of_share = |figure: &Interval| match (figure.value, figure.low.zip(figure.high)) {
        (Some(value), Some((low, high))) => format!("{} [{}, {}]", percent(value), percent(low), percent(high)),
        (Some(value), None) => percent(value),
        (None, _) => NOTHING.to_owned(),
    };
    json!({
        "between": match found.between.as_str() {
            "repeats" => "the same judge twice",
            "judges" => "two judges, means",
            "calls" => "asked apart and at once, means",
            _ => "judge and recorded rating, means",
        },
        "what": score(&found.what), "one": found.one, "other": (found.one != found.other).then_some(&found.other),
        "n": format!("{} of {} CoTs, {} questions", count(found.n_pairs), count(found.n_cots), count(found.n_questions)),
        "kappa": interval(&found.kappa, 2), "spearman": interval(&found.spearman, 2),
        "difference": interval(&found.mean_difference, 2),
        "within_one": of_share(&found.within_one), "equal": of_share(&found.equal),
    })
}

fn correlation(found: &Correlation) -> Value {
    json!({
        "x": score(&found.x), "y": score(&found.y),
        "over": match found.over.as_str() {
            "cots" => "all chains of thought",
            "within_question" => "within a question",
            _ => "questions",
        },
        "n": count(found.n), "n_questions": count(found.n_questions), "spearman": interval(&found.spearman, 2),
    })
}

fn interval(figure: &Interval, digits: usize) -> String {
    match (figure.value, figure.low.zip(figure.high)) {
        (Some(value), Some((low, high))) => {
            format!("{} [{}, {}]", decimal(value, digits), decimal(low, digits), decimal(high, digits))
        }
        (Some(value), None) => decimal(value, digits),
        (None, _) => NOTHING.to_owned(),
    }
}

/// What a score is called on the page.
fn score(name: &str) -> &str {
    match name {
        "rv" => "Reasoning Verbosity",
        "s_rv" => "fused Reasoning Verbosity",
        "rv_fit" => "fit of the verbosity",
        "cd" => "Cognitive Difficulty",
        "rsr" => "Rank-Surprisal Ratio",
        "naturalness" => "Local Naturalness",
        "pass_rate" => "pass rate of the student",
        name => name,
    }
}
