//! Which chains of thought are kept? Among the candidates of a question, by a rule, for one student.
//!
//! One formula serves every rule (arXiv 2505.10937; the shape is the paper's, the exponentials are ours): the chance of
//! a candidate is in proportion to w_cd * w_match, if it stands within the ranges. [`rule`] says what a rule's name
//! means, [`pass`] takes the questions of a run one after the other out of its tables, [`limits`] finds what no
//! question knows by itself, [`compare`] holds rules side by side.

pub mod compare;
pub mod limits;
pub mod pass;
pub mod rule;

pub use rule::{Match, Order, Rule};

use crate::config::{DrawBy, Fit, ProcessRule, RvScore};
use crate::level::Level;
use crate::stats::draw;

/// What is known of a chain of thought; none where nobody said it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Known {
    /// Reasoning Verbosity by the judge, 0..9.
    pub rv: Option<f64>,
    /// The same fused with the length, 0..9.
    pub s_rv: Option<f64>,
    /// Cognitive Difficulty, 0..9.
    pub cd: Option<f64>,
    /// Whether the process is sound.
    pub sound: Option<bool>,
    /// Mean negative log-likelihood under the student, nats.
    pub mean_nll: Option<f64>,
    /// Rank-Surprisal Ratio under the student.
    pub rsr: Option<f64>,
    /// Local Naturalness under the student, nats.
    pub naturalness: Option<f64>,
}

/// A chain of thought that may be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its length, in one unit for all candidates of a selection.
    pub length: u64,
    /// What is known of it.
    pub known: Known,
}

/// What is known of a question.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Of {
    /// Its level.
    pub level: Option<Level>,
    /// The greatest length of a chain of thought.
    pub max_length: Option<f64>,
}

/// Why a candidate cannot be drawn, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Out {
    /// Nobody could say whether its process is right.
    ProcessUnknown,
    /// Its process is wrong.
    ProcessFlawed,
    /// A score that the rule goes by is not there.
    NoScores,
    /// Its Cognitive Difficulty is out of range.
    CdRange,
    /// Its Reasoning Verbosity is out of range.
    RvRange,
    /// It is longer than the student's own attempts allow.
    OverLength,
}

impl Out {
    /// Its word in tables.
    pub fn code(self) -> &'static str {
        match self {
            Self::ProcessUnknown => "process_unknown",
            Self::ProcessFlawed => "process_flawed",
            Self::NoScores => "no_scores",
            Self::CdRange => "cd_range",
            Self::RvRange => "rv_range",
            Self::OverLength => "over_length_budget",
        }
    }

    /// The same as a sentence about all candidates of a question.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ProcessUnknown => "nobody could say of a chain of thought whether its process is right",
            Self::ProcessFlawed => "no chain of thought has a right process",
            Self::NoScores => "no chain of thought has the scores that the rule goes by",
            Self::CdRange => "no chain of thought has a Cognitive Difficulty in range",
            Self::RvRange => "no chain of thought has a Reasoning Verbosity in range",
            Self::OverLength => "every chain of thought is longer than the student's own attempts allow",
        }
    }
}

/// What selection says of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Selected {
    /// Its place among those that can be drawn, from 0, and the chance with which it is drawn first; or why it cannot.
    pub drawn: Result<(u32, f64), Out>,
    /// Whether it is kept.
    pub kept: bool,
    /// Reasoning Verbosity that the rule looked at.
    pub rv: Option<f64>,
    /// Weight for its Cognitive Difficulty, 0..=1; none if the rule has none.
    pub w_cd: Option<f64>,
    /// Weight for its Reasoning Verbosity, 0..=1; none if the rule has none.
    pub w_match: Option<f64>,
    /// Its fit to the student, if the rule goes by one.
    pub fit: Option<f64>,
}

/// Ranks the candidates of one question; one result per candidate, in their order. What becomes of one depends on
/// nothing but rule, seed, its id and the weights.
pub fn select(rule: &Rule, seed: u64, of: Of, candidates: &[Candidate<'_>]) -> Vec<Selected> {
    // The logarithm of what the chance is in proportion to: no weight is too small to be told from another.
    let mut weights = vec![f64::NEG_INFINITY; candidates.len()];
    let mut selected: Vec<Selected> = candidates
        .iter()
        .zip(&mut weights)
        .map(|(candidate, weight)| {
            let seen = Seen::of(rule, of, candidate);
            let drawn = if let Some(out) = seen.out(rule, of) {
                Err(out)
            } else {
                *weight = seen.weight(rule);
                Ok((0, 0.0))
            };
            Selected {
                drawn,
                kept: false,
                rv: seen.rv,
                w_cd: seen.excess.map(|excess| (-rule.beta * excess).exp()),
                w_match: seen.distance.map(|distance| (-rule.gamma * distance).exp()),
                fit: seen.fit,
            }
        })
        .collect();
    let keyed: Vec<u64> = candidates.iter().map(|candidate| draw(seed, "select", candidate.id.as_bytes())).collect();
    let mut order: Vec<usize> = (0..candidates.len()).filter(|&at| selected[at].drawn.is_ok()).collect();
    match rule.draw {
        // A weighted draw without replacement, each candidate by a key of its own: Efraimidis and Spirakis 2006,
        // u^(1/w), here as its logarithm's, ln w - ln(-ln u), which has the same order.
        DrawBy::Keyed => {
            let key = |at: usize| weights[at] - (-unit(keyed[at]).ln()).ln();
            order.sort_by(|&one, &other| key(other).total_cmp(&key(one)));
        }
        DrawBy::Argmax => {
            order.sort_by(|&one, &other| {
                // Among equals chance decides, as in a draw.
                weights[other].total_cmp(&weights[one]).then_with(|| keyed[other].cmp(&keyed[one]))
            });
        }
    }
    let best = order.iter().map(|&at| weights[at]).fold(f64::NEG_INFINITY, f64::max);
    let share = |at: usize| match rule.draw {
        DrawBy::Keyed => (weights[at] - best).exp(),
        DrawBy::Argmax => f64::from(u8::from(weights[at] == best)),
    };
    let sum: f64 = order.iter().map(|&at| share(at)).sum();
    for (rank, &at) in (0..).zip(&order) {
        selected[at].drawn = Ok((rank, share(at) / sum));
        selected[at].kept = rank < rule.per_question;
    }
    selected
}

/// A number above 0 and below 1.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// A candidate as a rule sees it.
struct Seen {
    length: u64,
    sound: Option<bool>,
    rv: Option<f64>,
    cd: Option<f64>,
    /// Cognitive Difficulty beyond the ability, if the rule weighs it.
    excess: Option<f64>,
    /// Distance of the Reasoning Verbosity from what is wanted, if the rule weighs it.
    distance: Option<f64>,
    fit: Option<f64>,
}

impl Seen {
    fn of(rule: &Rule, of: Of, candidate: &Candidate<'_>) -> Self {
        let known = candidate.known;
        let whole = |score: f64| if rule.whole { score.round() } else { score };
        let rv = match rule.rv_score {
            RvScore::Fused => known.s_rv,
            RvScore::Judge => known.rv,
        };
        let (rv, cd) = (rv.map(whole), known.cd.map(whole));
        let wanted = match &rule.matched {
            Match::None => None,
            Match::Difficulty => cd,
            Match::Level(targets) => of.level.map(|level| targets[level.index()]),
            Match::Bins(bins) => {
                cd.and_then(|cd| bins.iter().rev().find(|(least, _)| cd >= *least)).map(|(_, target)| *target)
            }
        };
        Self {
            length: candidate.length,
            sound: known.sound,
            rv,
            cd,
            excess: cd.zip(rule.ability.filter(|_| rule.weighs_cd)).map(|(cd, ability)| (cd - ability).max(0.0)),
            distance: rv.zip(wanted).map(|(rv, wanted)| (rv - wanted).abs()),
            fit: match rule.order {
                Order::Fit(Fit::Rsr) => known.rsr,
                Order::Fit(Fit::Naturalness) => known.naturalness,
                Order::Fit(Fit::Nll) => known.mean_nll,
                Order::Weights | Order::Shortest | Order::Longest => None,
            },
        }
    }

    fn out(&self, rule: &Rule, of: Of) -> Option<Out> {
        let beyond = |range: Option<[f64; 2]>, score: Option<f64>| {
            range.zip(score).is_some_and(|([low, high], score)| !(low..=high).contains(&score))
        };
        let lacks = (rule.needs_cd() && self.cd.is_none())
            || (rule.needs_rv() && self.rv.is_none())
            || (matches!(rule.order, Order::Fit(_)) && self.fit.is_none());
        let required = rule.process == ProcessRule::Require;
        [
            (required && self.sound.is_none(), Out::ProcessUnknown),
            (required && self.sound == Some(false), Out::ProcessFlawed),
            (lacks, Out::NoScores),
            (beyond(rule.cd, self.cd), Out::CdRange),
            (beyond(rule.rv, self.rv), Out::RvRange),
            (of.max_length.is_some_and(|most| self.length as f64 > most), Out::OverLength),
        ]
        .into_iter()
        .find_map(|(is_out, why)| is_out.then_some(why))
    }

    fn weight(&self, rule: &Rule) -> f64 {
        match rule.order {
            Order::Weights => {
                -rule.beta * self.excess.unwrap_or_default() - rule.gamma * self.distance.unwrap_or_default()
            }
            Order::Shortest => -(self.length as f64),
            Order::Longest => self.length as f64,
            Order::Fit(Fit::Naturalness) => self.fit.unwrap_or_default(),
            Order::Fit(Fit::Rsr | Fit::Nll) => -self.fit.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
