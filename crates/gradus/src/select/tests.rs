//! Rules on candidates made by hand.

use proptest::prelude::*;

use super::*;
use crate::config::{AbilityConfig, Select, SelectBy};

/// A candidate of this length, verbosity and difficulty.
fn candidate(id: &str, length: u64, rv: f64, cd: f64) -> Candidate<'_> {
    Candidate { id, length, known: Known { rv: Some(rv), s_rv: Some(rv), cd: Some(cd), ..Known::default() } }
}

fn rule(yaml: &str) -> Rule {
    let select: Select = serde_saphyr::from_str(yaml).unwrap();
    Rule::of(&select, None)
}

fn kept(yaml: &str, candidates: &[Candidate<'_>]) -> Vec<String> {
    let selected = select(&rule(yaml), 7, Of::default(), candidates);
    selected.iter().zip(candidates).filter(|(one, _)| one.kept).map(|(_, candidate)| candidate.id.to_owned()).collect()
}

#[test]
fn among_equals_every_rule_takes_the_one_that_chance_takes() {
    let ids: Vec<String> = (0..8).map(|at| format!("c{at}")).collect();
    let candidates: Vec<_> = ids.iter().map(|id| candidate(id, 70, 3.0, 3.0)).collect();
    let by_chance = kept("{by: random}", &candidates);
    for by in ["shortest", "longest", "omnithought, ability: 5", "easydistill-2.0"] {
        assert_eq!(kept(&format!("{{by: {by}}}"), &candidates), by_chance, "{by}");
    }
}

/// The chance of each candidate to be drawn first; 0 for those that cannot.
fn chances(yaml: &str, of: Of, candidates: &[Candidate<'_>]) -> Vec<f64> {
    let selected = select(&rule(yaml), 7, of, candidates);
    selected.iter().map(|one| one.drawn.map_or(0.0, |(_, chance)| chance)).collect()
}

fn close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} is not {wanted:?}");
}

#[test]
fn each_rule_keeps_what_it_says() {
    let candidates = [
        candidate("a", 500, 3.0, 4.0),
        candidate("b", 100, 8.0, 2.0),
        candidate("c", 900, 5.0, 8.0),
        candidate("d", 300, 6.0, 5.0),
    ];
    for (yaml, wanted) in [
        ("by: shortest", "b"),
        ("by: longest", "c"),
        ("by: easydistill-1.0", "a"),
        // Bins 0, 3, 6 with targets 2, 6, 10: distances 3, 6, 5, 0.
        ("by: easydistill-2.0", "d"),
        // Mismatches 1, 6, 3, 1; beyond 4: 0, 0, 4, 1.
        ("{by: omnithought, ability: 4, draw: argmax}", "a"),
        ("{by: omnithought, ability: 8, beta: 5, gamma: 0, rv: [5, 5], draw: argmax}", "c"),
        ("{by: cd_only, ability: 9, cd: [8, 9]}", "c"),
        ("{by: rv_only, rv: [7, 9]}", "b"),
    ] {
        assert_eq!(kept(yaml, &candidates), [wanted], "{yaml}");
    }
    assert_eq!(kept("{by: shortest, per_question: 2}", &candidates), ["b", "d"]);
    assert_eq!(kept("{by: omnithought-ablation-7b, per_question: 9}", &candidates), ["a"]);
}

/// Worked by hand: w_cd is 1, 1, e^(-0.5 * 2); w_match is e^-1, e^0, e^-3; the last is out of range.
#[test]
fn the_chance_is_the_papers_shape_with_our_exponentials() {
    let candidates = [
        candidate("a", 1, 3.0, 4.0),
        candidate("b", 1, 2.0, 2.0),
        candidate("c", 1, 3.0, 6.0),
        candidate("d", 1, 8.0, 8.0),
    ];
    let weights = [(-1.0_f64).exp(), 1.0, (-4.0_f64).exp()];
    let sum: f64 = weights.iter().sum();
    let yaml = "{by: omnithought, ability: 4, rv: [0, 7]}";
    close(&chances(yaml, Of::default(), &candidates), &[weights[0] / sum, weights[1] / sum, weights[2] / sum, 0.0]);
    let selected = select(&rule(yaml), 7, Of::default(), &candidates);
    assert_eq!(selected[3].drawn, Err(Out::RvRange));
    close(&[selected[2].w_cd.unwrap(), selected[2].w_match.unwrap()], &[(-1.0_f64).exp(), (-3.0_f64).exp()]);
}

#[test]
fn a_target_for_the_level_takes_the_place_of_the_mismatch() {
    let candidates = [candidate("a", 1, 2.0, 9.0), candidate("b", 1, 4.0, 9.0)];
    let of = |level| Of { level: Some(level), max_length: None };
    let yaml = "rv_target_by_level: [2, 2, 3, 4, 5, 4]";
    let (near, far) = (1.0 / (1.0 + (-2.0_f64).exp()), (-2.0_f64).exp() / (1.0 + (-2.0_f64).exp()));
    close(&chances(yaml, of(Level::Easy), &candidates), &[near, far]);
    close(&chances(yaml, of(Level::Hard(5)), &candidates), &[far, near]);
}

#[test]
fn what_is_not_known_is_never_a_number() {
    let nothing = Candidate { id: "n", length: 1, known: Known::default() };
    let half = Candidate { known: Known { cd: Some(3.0), ..Known::default() }, id: "h", ..nothing };
    let candidates = [nothing, half, candidate("a", 9, 3.0, 3.0)];
    let outs = |yaml: &str| {
        let selected = select(&rule(yaml), 7, Of::default(), &candidates);
        selected.iter().map(|one| one.drawn.err()).collect::<Vec<_>>()
    };
    assert_eq!(outs("{by: omnithought, ability: 4}"), [Some(Out::NoScores), Some(Out::NoScores), None]);
    assert_eq!(outs("{by: cd_only, ability: 4}"), [Some(Out::NoScores), None, None]);
    assert_eq!(outs("by: student_fit"), [Some(Out::NoScores); 3]);
    assert_eq!(outs("by: random"), [None; 3]);
    assert_eq!(outs("process: require"), [Some(Out::ProcessUnknown); 3]);
}

#[test]
fn the_best_fit_is_lowest_or_highest_as_its_measure_has_it() {
    let fits = |id, rsr, naturalness, nll| Candidate {
        id,
        length: 1,
        known: Known { rsr: Some(rsr), naturalness: Some(naturalness), mean_nll: Some(nll), ..Known::default() },
    };
    let candidates = [fits("a", 2.0, -1.0, 0.9), fits("b", 3.0, -0.5, 0.8), fits("c", 4.0, -2.0, 0.7)];
    for (fit, wanted) in [("rsr", "a"), ("naturalness", "b"), ("nll", "c")] {
        assert_eq!(kept(&format!("{{by: student_fit, fit: {fit}}}"), &candidates), [wanted]);
    }
}

#[test]
fn flawed_and_overlong_ones_are_out() {
    let of = Of { level: None, max_length: Some(100.0) };
    let mut candidates = [candidate("a", 100, 3.0, 3.0), candidate("b", 101, 3.0, 3.0), candidate("c", 1, 3.0, 3.0)];
    for (candidate, sound) in candidates.iter_mut().zip([true, true, false]) {
        candidate.known.sound = Some(sound);
    }
    let selected = select(&rule("process: require"), 7, of, &candidates);
    let outs: Vec<_> = selected.iter().map(|one| one.drawn.err()).collect();
    assert_eq!(outs, [None, Some(Out::OverLength), Some(Out::ProcessFlawed)]);
}

/// Over many seeds the first one drawn is each candidate as often as its chance says.
#[test]
fn draws_come_as_often_as_the_reported_chance() {
    let candidates = [candidate("a", 1, 4.0, 4.0), candidate("b", 1, 3.0, 4.0), candidate("c", 1, 5.0, 6.0)];
    let rule = rule("{by: omnithought, ability: 4, gamma: 0.5}");
    let n = 20_000;
    let mut counts = [0.0; 3];
    let mut chances = [0.0; 3];
    for seed in 0..n {
        for (at, one) in select(&rule, seed, Of::default(), &candidates).iter().enumerate() {
            counts[at] += f64::from(u8::from(one.kept));
            chances[at] = one.drawn.unwrap().1;
        }
    }
    for (count, chance) in counts.iter().zip(chances) {
        // Five standard deviations of a share.
        let tolerance = 5.0 * (chance * (1.0 - chance) / n as f64).sqrt();
        assert!((count / n as f64 - chance).abs() < tolerance, "{count} of {n} is not {chance}");
    }
}

proptest! {
    #[test]
    fn what_comes_of_two_does_not_depend_on_a_third(seed: u64, scores in prop::collection::vec((0.0..9.0, 0.0..9.0), 3..8)) {
        let ids: Vec<String> = (0..scores.len()).map(|at| format!("{at:016x}")).collect();
        let all: Vec<_> = ids.iter().zip(&scores).map(|(id, (rv, cd))| candidate(id, 1, *rv, *cd)).collect();
        let select_by = Select {
            by: SelectBy::Omnithought,
            ability: Some(AbilityConfig::Given(4.0)),
            per_question: 2,
            ..Select::default()
        };
        let rule = Rule::of(&select_by, None);
        let ranks = |candidates: &[Candidate<'_>]| -> Vec<u32> {
            select(&rule, seed, Of::default(), candidates).iter().map(|one| one.drawn.unwrap().0).collect()
        };
        let (with, without) = (ranks(&all), ranks(&all[..all.len() - 1]));
        for one in 0..without.len() {
            for other in 0..without.len() {
                prop_assert_eq!(with[one] < with[other], without[one] < without[other]);
            }
        }
        let total: f64 = select(&rule, seed, Of::default(), &all).iter().map(|one| one.drawn.unwrap().1).sum();
        prop_assert!((total - 1.0).abs() < 1e-9);
    }
}

#[test]
fn weights_too_small_for_a_number_are_still_told_apart() {
    let candidates = [candidate("a", 1, 0.0, 9.0), candidate("b", 1, 0.0, 8.0)];
    let found = chances("{by: omnithought, ability: 0, gamma: 2000}", Of::default(), &candidates);
    assert!(found[1] > 0.99 && (found[0] + found[1] - 1.0).abs() < 1e-12, "{found:?}");
}
