//! Ratings against each other: how much could be read, and how far kinds of ratings agree.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Agreement, FEWEST, Interval, Pair, RatingCount, category, finite, places};
use crate::metrics::{Share, number};
use crate::stats::{PairSums, quadratic_kappa, resampled, spearman_by_question};
use crate::tables::{RatingRow, TableError, each};

/// What was rated, and how far the ratings agree, from the table `ratings`.
pub(super) fn compare(tables: &Path, seed: u64) -> Result<(Vec<RatingCount>, Vec<Agreement>), TableError> {
    let mut counts = Vec::new();
    let (kinds, ratings) = ratings(tables, &mut counts)?;
    let agreement = agreement(seed, &kinds, &ratings);
    Ok((counts, agreement))
}

/// A kind of rating, in the order in which kinds are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    what: usize,
    role: usize,
    judge: String,
    calls: usize,
}

const WHATS: [&str; 4] = ["rv", "rv_fit", "cd", "process"];
const ROLES: [&str; 3] = ["judge", "second_judge", "recorded"];
const CALLS: [&str; 3] = ["separate", "joint", "recorded"];

/// A readable rating.
#[derive(Debug, Clone, Copy)]
struct Rating {
    question: u64,
    cot: u64,
    kind: usize,
    repeat: i64,
    value: f64,
}

/// Kinds in their order, and the readable ratings by question, chain of thought, kind and repeat.
fn ratings(tables: &Path, counts: &mut Vec<RatingCount>) -> Result<(Vec<Kind>, Vec<Rating>), TableError> {
    struct Count {
        kind: Kind,
        n: u64,
        n_missing: u64,
        reasons: BTreeMap<String, u64>,
        n_tries: u64,
    }
    let mut kinds: Vec<Count> = Vec::new();
    let mut ratings = Vec::new();
    each::<RatingRow>(tables, |row| {
        let at = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        let (Some(what), Some(role), Some(calls)) =
            (at(&WHATS, &row.what), at(&ROLES, &row.role), at(&CALLS, &row.calls))
        else {
            return;
        };
        let is = |count: &Count| {
            let kind = &count.kind;
            (kind.what, kind.role, kind.calls) == (what, role, calls) && kind.judge == row.judge
        };
        let place = kinds.iter().position(is).unwrap_or_else(|| {
            let kind = Kind { what, role, judge: row.judge.clone(), calls };
            kinds.push(Count { kind, n: 0, n_missing: 0, reasons: BTreeMap::new(), n_tries: 0 });
            kinds.len() - 1
        });
        let count = &mut kinds[place];
        count.n += 1;
        count.n_tries += row.n_tries.max(0) as u64;
        let (question, cot) = (number(&row.question_id), number(&row.cot_id));
        if let Some(value) = finite(row.value) {
            ratings.push(Rating { question, cot, kind: place, repeat: row.repeat, value });
        } else {
            count.n_missing += 1;
            // The word alone: what follows it differs each time, and may name a server.
            let reason = row.reason.as_deref().unwrap_or("unknown");
            let code = reason.split_once(": ").map_or(reason, |(code, _)| code);
            *count.reasons.entry(code.to_owned()).or_default() += 1;
        }
    })?;
    let mut order: Vec<usize> = (0..kinds.len()).collect();
    order.sort_by(|one, other| kinds[*one].kind.cmp(&kinds[*other].kind));
    let mut rank = vec![0; kinds.len()];
    order.iter().enumerate().for_each(|(at, place)| rank[*place] = at);
    for rating in &mut ratings {
        rating.kind = rank[rating.kind];
    }
    ratings.sort_unstable_by_key(|rating| (rating.question, rating.cot, rating.kind, rating.repeat));
    kinds.sort_by(|one, other| one.kind.cmp(&other.kind));
    *counts = kinds
        .iter()
        .map(|count| RatingCount {
            role: ROLES[count.kind.role].to_owned(),
            judge: count.kind.judge.clone(),
            what: WHATS[count.kind.what].to_owned(),
            calls: CALLS[count.kind.calls].to_owned(),
            missing: Share::of(count.n_missing, count.n),
            reasons: count.reasons.clone(),
            n_tries: count.n_tries,
        })
        .collect();
    Ok((kinds.into_iter().map(|count| count.kind).collect(), ratings))
}

/// What two kinds of ratings, the first one told earlier, are compared for.
fn between(one: &Kind, other: &Kind) -> Option<&'static str> {
    if one.what != other.what {
        return None;
    }
    match (ROLES[one.role], ROLES[other.role]) {
        ("judge", "second_judge") if one.calls == other.calls => Some("judges"),
        ("judge" | "second_judge", "recorded") => Some("recorded"),
        _ if one.role == other.role && one.judge == other.judge && one.calls != other.calls => Some("calls"),
        _ => None,
    }
}

/// Pairs of one comparison, in the order of their questions.
#[derive(Default)]
struct Pairs {
    pairs: Vec<Pair>,
    n_cots: u64,
}

fn agreement(seed: u64, kinds: &[Kind], ratings: &[Rating]) -> Vec<Agreement> {
    let mut compared: BTreeMap<(usize, usize), Pairs> = BTreeMap::new();
    for of_cot in ratings.chunk_by(|one, other| one.cot == other.cot) {
        let mut means: Vec<(usize, f64)> = Vec::new();
        for of_kind in of_cot.chunk_by(|one, other| one.kind == other.kind) {
            let kind = of_kind[0].kind;
            means.push((kind, of_kind.iter().map(|rating| rating.value).sum::<f64>() / of_kind.len() as f64));
            if of_kind.len() > 1 {
                let repeats = compared.entry((kind, kind)).or_default();
                repeats.n_cots += 1;
                for (at, other) in of_kind.iter().enumerate() {
                    repeats.pairs.extend(of_kind[..at].iter().map(|one| (one.question, (one.value, other.value))));
                }
            }
        }
        for (at, (other, other_mean)) in means.iter().enumerate() {
            for (one, one_mean) in &means[..at] {
                if between(&kinds[*one], &kinds[*other]).is_some() {
                    let pairs = compared.entry((*one, *other)).or_default();
                    pairs.n_cots += 1;
                    pairs.pairs.push((of_cot[0].question, (*one_mean, *other_mean)));
                }
            }
        }
    }
    let name = |kind: &Kind| match (ROLES[kind.role], CALLS[kind.calls]) {
        ("recorded", _) => "recorded".to_owned(),
        (_, calls) => format!("{}, {calls}", kind.judge),
    };
    let mut found: Vec<Agreement> = compared
        .into_iter()
        .map(|((one, other), pairs)| Agreement {
            between: between(&kinds[one], &kinds[other]).unwrap_or("repeats").to_owned(),
            what: WHATS[kinds[one].what].to_owned(),
            one: name(&kinds[one]),
            other: name(&kinds[other]),
            ..figures(seed, &pairs, WHATS[kinds[one].what] == "process")
        })
        .collect();
    let order = ["repeats", "judges", "calls", "recorded"];
    found.sort_by_key(|agreement| order.iter().position(|between| *between == agreement.between));
    found
}

fn figures(seed: u64, Pairs { pairs, n_cots }: &Pairs, is_process: bool) -> Agreement {
    let (places, n_questions) = places(pairs);
    let mut sums = vec![[0.0; 9]; n_questions as usize];
    for ((_, (one, other)), place) in pairs.iter().zip(&places) {
        let mut rounded = PairSums::default();
        rounded.add(category(*one) as f64, category(*other) as f64);
        let PairSums { n, a, b, aa, bb, dd } = rounded;
        let difference = (one - other).abs();
        let mark = |holds: bool| f64::from(u8::from(holds));
        // Means of three ratings differ by 1 up to their last digit.
        let pair = [n, a, b, aa, bb, dd, difference, mark(difference <= 1.0 + 1e-9), mark(dd == 0.0)];
        sums[*place].iter_mut().zip(pair).for_each(|(sum, value)| *sum += value);
    }
    let enough = pairs.len() >= FEWEST;
    let of_sums = |figure: &dyn Fn(&[f64; 9]) -> Option<f64>| -> Interval {
        enough.then(|| resampled(seed, &sums, figure)).flatten().into()
    };
    let mean = |at: usize| of_sums(&move |sums| (sums[0] > 0.0).then(|| sums[at] / sums[0]));
    let values: Vec<(f64, f64)> = pairs.iter().map(|pair| pair.1).collect();
    Agreement {
        n_pairs: pairs.len() as u64,
        n_cots: *n_cots,
        n_questions,
        kappa: of_sums(&|&[n, a, b, aa, bb, dd, ..]| quadratic_kappa(&PairSums { n, a, b, aa, bb, dd })),
        spearman: enough.then(|| spearman_by_question(seed, &values, &places)).flatten().into(),
        mean_difference: mean(6),
        within_one: if is_process { Interval::default() } else { mean(7) },
        equal: mean(8),
        ..Agreement::default()
    }
}
