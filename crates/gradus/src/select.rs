//! Which chains of thought are kept? Among the sound ones of a question, by a rule.

use crate::attempt::Key;
use crate::config::{Select, SelectBy};
use crate::stats::draw;

/// A chain of thought that may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its key.
    pub key: Key,
    /// Its length, in one unit for all candidates of a question: tokens, or characters where a server told no tokens.
    pub length: u64,
}

/// What selection says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected {
    /// Position among the candidates of its question, from 0.
    pub rank: u32,
    /// Chance with which the rule draws it first.
    pub probability: f64,
    /// Whether it is kept.
    pub kept: bool,
}

/// Ranks the candidates of one question; one result per candidate, in their order.
pub fn select(config: &Select, seed: u64, candidates: &[Candidate]) -> Vec<Selected> {
    let keyed = |at: usize| draw(seed, "select", &candidates[at].key.0);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    match config.by {
        SelectBy::Random => order.sort_by_key(|&at| keyed(at)),
        SelectBy::Shortest => order.sort_by_key(|&at| (candidates[at].length, keyed(at))),
        SelectBy::Longest => {
            order.sort_by_key(|&at| (std::cmp::Reverse(candidates[at].length), keyed(at)));
        }
    }
    let mut selected = vec![Selected { rank: 0, probability: 0.0, kept: false }; candidates.len()];
    for (rank, &at) in order.iter().enumerate() {
        let probability = match config.by {
            SelectBy::Random => 1.0 / candidates.len() as f64,
            SelectBy::Shortest | SelectBy::Longest => f64::from(u8::from(rank == 0)),
        };
        selected[at] = Selected { rank: rank as u32, probability, kept: rank < config.per_question as usize };
    }
    selected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_keeps_what_it_says() {
        let candidates: Vec<_> =
            (0..5).map(|n| Candidate { key: Key([n; 32]), length: u64::from((n * 3) % 5) }).collect();
        for (by, kept) in [(SelectBy::Shortest, vec![0, 2]), (SelectBy::Longest, vec![1, 3])] {
            let selected = select(&Select { by, per_question: 2 }, 7, &candidates);
            assert_eq!((0..5).filter(|&at| selected[at].kept).collect::<Vec<_>>(), kept, "{by:?}");
        }
        let random = |seed| select(&Select { by: SelectBy::Random, per_question: 1 }, seed, &candidates);
        assert_eq!(random(1), random(1));
        let kept = |seed: u64| random(seed).iter().position(|selected| selected.kept);
        assert!((0..40).any(|seed| kept(seed) != kept(0)), "the draw depends on the seed");
    }
}
