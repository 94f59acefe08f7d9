//! Which questions are worth a teacher's time? Drawn level by level from a wanted distribution.
//!
//! P_eval and P_C are those of arXiv 2504.11919 (method): the student's own distribution over easy and 1..5,
//! or a curriculum w_i / sum w over 1..5. The weights are open in the paper. Draws are keyed by seed and
//! question, so the same question is drawn whatever else stands in the bank.

use std::collections::{BTreeMap, HashMap};

use crate::assess::KnownLevel;
use crate::config::{Sample, SampleBy, Shortage, Stratum};
use crate::level::Level;
use crate::question::{Question, QuestionId};
use crate::stats::draw;
use crate::work::Reason;

/// A graded question that may be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The question.
    pub id: QuestionId,
    /// The level by which it is drawn.
    pub level: Level,
    /// Number of its stratum; questions of one level are drawn evenly from all strata.
    pub stratum: u32,
}

/// What makes candidates of graded questions.
#[derive(Debug, Clone)]
pub struct Candidates {
    levels_from: Option<BTreeMap<String, KnownLevel>>,
    strata: HashMap<Vec<Option<String>>, u32>,
}

impl Candidates {
    /// With the levels of another run, by question id, if they replace the student's own.
    pub fn new(levels_from: Option<BTreeMap<String, KnownLevel>>) -> Self {
        Self { levels_from, strata: HashMap::new() }
    }

    /// Whether a candidate depends on anything but the question's level.
    pub fn look_at_questions(&self, config: &Sample) -> bool {
        self.levels_from.is_some() || config.by == SampleBy::Static || !config.strata.is_empty()
    }

    /// The candidate that a question is, or why it is none.
    ///
    /// # Errors
    /// With `by: static`, if the bank's level is no number from 1 to 5; with `levels_from`, if it has no level there.
    pub fn of(&mut self, config: &Sample, question: &Question, level: Level) -> Result<Candidate, Reason> {
        let level = match &self.levels_from {
            _ if config.by == SampleBy::Static => bank_level(question.level.as_deref()).ok_or_else(|| {
                let found = question.level.as_deref().unwrap_or("none");
                Reason::new(
                    "no_bank_level",
                    format!("`sample.by: static` wants a level from 1 to 5, the bank says {found}"),
                )
            })?,
            None => level,
            Some(levels) => levels
                .get(&question.id.to_string())
                .map(|known| known.level)
                .ok_or_else(|| Reason::new("no_level_there", "the run of `sample.levels_from` gave it no level"))?,
        };
        let key = config.strata.iter().map(|stratum| match stratum {
            Stratum::Subject => question.subject.clone(),
            Stratum::Source => Some(question.source.clone()),
        });
        let next = self.strata.len() as u32;
        let stratum = *self.strata.entry(key.collect()).or_insert(next);
        Ok(Candidate { id: question.id, level, stratum })
    }
}

/// The bank's own level: the number in its words, if that is 1 to 5.
pub(crate) fn bank_level(text: Option<&str>) -> Option<Level> {
    let digits: String = text?.chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|level| (1..=5).contains(level)).map(Level::Hard)
}

/// How many questions each level has in another run.
pub fn histogram(levels: &BTreeMap<String, KnownLevel>) -> [f64; Level::COUNT] {
    let mut counts = [0.0; Level::COUNT];
    for known in levels.values() {
        counts[known.level.index()] += 1.0;
    }
    counts
}

/// A drawn question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The question.
    pub id: QuestionId,
    /// Its level.
    pub level: Level,
    /// The level whose place it takes.
    pub drawn_for: Level,
    /// Position of its draw within its level, from 0.
    pub rank: u32,
}

/// Why no sample could be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("level {level} has {available} questions, {wanted} are wanted")]
pub struct TooFew {
    /// Which level.
    pub level: Level,
    /// How many it has.
    pub available: u64,
    /// How many are wanted of it.
    pub wanted: u64,
}

/// A sample, and what was wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// In the order of the questions given.
    pub drawn: Vec<Drawn>,
    /// Questions wanted per level, in the order of [`Level::ALL`]; none for `random`.
    pub wanted: Option<[u64; Level::COUNT]>,
}

/// Shares of the levels, easy first; they need not sum to one. `available` is this bank's distribution,
/// `shares_from` that of another run.
pub fn shares(
    config: &Sample,
    available: &[u64; Level::COUNT],
    shares_from: Option<&[f64; Level::COUNT]>,
) -> [f64; Level::COUNT] {
    let curriculum = || std::array::from_fn(|level| if level == 0 { 0.0 } else { config.weights[level - 1] });
    match config.by {
        SampleBy::PEval => shares_from.copied().unwrap_or_else(|| available.map(|n| n as f64)),
        SampleBy::Random => available.map(|n| n as f64),
        SampleBy::PC | SampleBy::Static => curriculum(),
        SampleBy::Shares => config.shares,
        SampleBy::Uniform => [1.0; Level::COUNT],
        SampleBy::HardOnly => [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        SampleBy::EasyOnly => [1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    }
}

/// Draws from graded questions; `shares_from` is the distribution of another run, for `p_eval`.
///
/// # Errors
/// With `shortage: stop`, if a level has too few.
pub fn sample(
    config: &Sample,
    seed: u64,
    graded: &[Candidate],
    shares_from: Option<&[f64; Level::COUNT]>,
) -> Result<Sampled, TooFew> {
    let size = config.size.unwrap_or(u64::MAX);
    let mut available = [0u64; Level::COUNT];
    for candidate in graded {
        available[candidate.level.index()] += 1;
    }
    let order = order(config, seed, graded);
    // Ranks within each level.
    let mut n_ranked = [0u32; Level::COUNT];
    let mut ranks = vec![0u32; graded.len()];
    for &at in &order {
        let level = graded[at].level.index();
        ranks[at] = n_ranked[level];
        n_ranked[level] += 1;
    }
    if config.by == SampleBy::Random {
        let mut drawn_at: Vec<usize> = order.into_iter().take(usize::try_from(size).unwrap_or(usize::MAX)).collect();
        drawn_at.sort_unstable();
        let drawn = drawn_at
            .into_iter()
            .map(|at| {
                let Candidate { id, level, .. } = graded[at];
                Drawn { id, level, drawn_for: level, rank: ranks[at] }
            })
            .collect();
        return Ok(Sampled { drawn, wanted: None });
    }
    let shares = shares(config, &available, shares_from);
    let size = match config.size {
        Some(size) => size,
        // As many as the shares allow: all questions of the levels that are wanted at all.
        None => {
            Level::ALL.iter().filter(|level| shares[level.index()] > 0.0).map(|level| available[level.index()]).sum()
        }
    };
    let wanted = largest_remainder(&shares, size);
    let taken = take(config.shortage, &shares, &wanted, &available)?;

    // Questions of a level serve the levels in order, its own first.
    let mut drawn = Vec::new();
    for (at, &Candidate { id, level, .. }) in graded.iter().enumerate() {
        let rank = u64::from(ranks[at]);
        let own = level.index();
        let mut end = taken[own][own];
        let mut drawn_for = (rank < end).then_some(level);
        for other in Level::ALL.into_iter().filter(|other| *other != level) {
            if drawn_for.is_none() && rank < end + taken[own][other.index()] {
                drawn_for = Some(other);
            }
            end += taken[own][other.index()];
        }
        drawn.extend(drawn_for.map(|drawn_for| Drawn { id, level, drawn_for, rank: ranks[at] }));
    }
    Ok(Sampled { drawn, wanted: Some(wanted) })
}

/// The order in which questions are drawn, by keyed draw; with strata, each stratum's share of any beginning of a level
/// is its share of the level.
fn order(config: &Sample, seed: u64, graded: &[Candidate]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..graded.len()).collect();
    order.sort_by_key(|&at| (draw(seed, "sample", &graded[at].id.number().to_le_bytes()), graded[at].id));
    if config.strata.is_empty() {
        return order;
    }
    // Without levels a stratum is one of the whole bank.
    let key = |candidate: &Candidate| {
        let level = if config.by == SampleBy::Random { 0 } else { candidate.level.index() };
        (level, candidate.stratum)
    };
    let mut sizes: HashMap<(usize, u32), u32> = HashMap::new();
    for candidate in graded {
        *sizes.entry(key(candidate)).or_default() += 1;
    }
    // The n-th of a stratum of m stands at (n + 1/2) / m of the way; ties keep the keyed order.
    let mut seen: HashMap<(usize, u32), u32> = HashMap::new();
    let mut placed: Vec<(f64, usize)> = order
        .into_iter()
        .map(|at| {
            let key = key(&graded[at]);
            let n = seen.entry(key).or_default();
            *n += 1;
            ((f64::from(*n) - 0.5) / f64::from(sizes[&key]), at)
        })
        .collect();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    placed.into_iter().map(|(_, at)| at).collect()
}

/// Integer counts that sum to `size` and follow the shares: largest remainder, ties to the harder level.
fn largest_remainder(shares: &[f64; Level::COUNT], size: u64) -> [u64; Level::COUNT] {
    let sum: f64 = shares.iter().sum();
    if sum <= 0.0 {
        return [0; Level::COUNT];
    }
    let exact = shares.map(|share| share / sum * size as f64);
    let mut counts = exact.map(|share| share.floor() as u64);
    let mut order: Vec<usize> = (0..Level::COUNT).filter(|&level| shares[level] > 0.0).collect();
    order.sort_by(|&a, &b| (exact[b].fract()).total_cmp(&exact[a].fract()).then(b.cmp(&a)));
    let left = size - counts.iter().sum::<u64>().min(size);
    for &level in order.iter().cycle().take(left as usize) {
        counts[level] += 1;
    }
    counts
}

/// How many of each level serve each level: `taken[own][served]`.
fn take(
    shortage: Shortage,
    shares: &[f64; Level::COUNT],
    wanted: &[u64; Level::COUNT],
    available: &[u64; Level::COUNT],
) -> Result<[[u64; Level::COUNT]; Level::COUNT], TooFew> {
    let mut taken = [[0; Level::COUNT]; Level::COUNT];
    let mut left = *available;
    for level in 0..Level::COUNT {
        taken[level][level] = wanted[level].min(left[level]);
        left[level] -= taken[level][level];
    }
    for level in 0..Level::COUNT {
        let mut lacking = wanted[level] - taken[level][level];
        if lacking == 0 {
            continue;
        }
        match shortage {
            Shortage::Stop => {
                return Err(TooFew { level: Level::ALL[level], available: available[level], wanted: wanted[level] });
            }
            Shortage::RepeatNot => {}
            Shortage::SpillNearest => {
                let mut others: Vec<usize> = (0..Level::COUNT).filter(|&other| other != level).collect();
                // A level that is not wanted at all helps out last.
                others.sort_by_key(|&other| (shares[other] <= 0.0, other.abs_diff(level), std::cmp::Reverse(other)));
                for other in others {
                    let n = lacking.min(left[other]);
                    taken[other][level] += n;
                    left[other] -= n;
                    lacking -= n;
                }
            }
        }
    }
    Ok(taken)
}

/// Why a graded question was not drawn.
pub fn not_drawn(level: Level) -> Reason {
    Reason::new("not_sampled", format!("level {level} had its share without it"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::question::Kind;

    fn bank(levels: &[u8]) -> Vec<Candidate> {
        let candidate = |(n, &level): (usize, &u8)| Candidate {
            id: QuestionId::of(Kind::Math, &n.to_string(), &[]),
            level: Level::ALL[usize::from(level) % 6],
            stratum: 0,
        };
        levels.iter().enumerate().map(candidate).collect()
    }

    fn sample(config: &Sample, seed: u64, graded: &[Candidate]) -> Result<Sampled, TooFew> {
        super::sample(config, seed, graded, None)
    }

    #[test]
    fn baselines_look_at_no_distribution() {
        let graded = bank(&[0, 0, 0, 0, 1, 2, 3, 4, 4, 5, 5]);
        let levels = |by, size| -> Vec<String> {
            let drawn = sample(&Sample { by, size, ..Sample::default() }, 0, &graded).unwrap().drawn;
            let mut levels: Vec<String> = drawn.iter().map(|drawn| drawn.level.to_string()).collect();
            levels.sort();
            levels
        };
        assert_eq!(levels(SampleBy::HardOnly, None), ["5", "5"]);
        assert_eq!(levels(SampleBy::HardOnly, Some(5)), ["3", "4", "4", "5", "5"]);
        assert_eq!(levels(SampleBy::EasyOnly, None), ["easy"; 4]);
        assert_eq!(levels(SampleBy::Uniform, Some(6)), ["1", "2", "3", "4", "5", "easy"]);
    }

    #[test]
    fn another_runs_distribution_takes_the_place_of_ones_own() {
        let graded = bank(&[0, 0, 0, 0, 0, 0, 0, 0, 5, 5]);
        let config = Sample { size: Some(2), ..Sample::default() };
        let there = [0.0, 0.0, 0.0, 0.0, 0.0, 7.0];
        let drawn = super::sample(&config, 0, &graded, Some(&there)).unwrap().drawn;
        assert!(drawn.iter().all(|drawn| drawn.level == Level::Hard(5)));
    }

    #[test]
    fn strata_share_every_level_as_they_share_the_bank() {
        let graded: Vec<Candidate> = bank(&[3; 120])
            .into_iter()
            .enumerate()
            .map(|(n, candidate)| Candidate { stratum: u32::from(n % 4 == 0), ..candidate })
            .collect();
        let config = Sample { strata: vec![Stratum::Subject], ..Sample::default() };
        for size in [4, 20, 60] {
            for by in [SampleBy::PEval, SampleBy::Random] {
                let drawn = sample(&Sample { by, size: Some(size), ..config.clone() }, 7, &graded).unwrap().drawn;
                let ids: std::collections::HashSet<_> = drawn.iter().map(|drawn| drawn.id).collect();
                let n = graded.iter().filter(|one| one.stratum == 1 && ids.contains(&one.id)).count() as u64;
                assert_eq!(n, size / 4, "{size}");
            }
        }
    }

    #[test]
    fn the_banks_level_is_the_number_in_it() {
        let of = |text| bank_level(Some(text));
        assert_eq!(
            (of("Level 5"), of("3"), of("hard"), of("9")),
            (Some(Level::Hard(5)), Some(Level::Hard(3)), None, None)
        );
        assert_eq!(bank_level(None), None);
    }

    #[test]
    fn the_curriculum_has_no_easy_questions() {
        let graded = bank(&(0..60).collect::<Vec<_>>());
        let config = Sample { by: SampleBy::PC, size: Some(15), ..Sample::default() };
        let sampled = sample(&config, 1, &graded).unwrap();
        assert_eq!(sampled.wanted, Some([0, 5, 4, 3, 2, 1]));
        assert_eq!(sampled.drawn.len(), 15);
        assert!(sampled.drawn.iter().all(|drawn| drawn.level != Level::Easy));
    }

    #[test]
    fn easy_questions_stand_in_for_the_curriculum_only_when_nothing_else_is_left() {
        // As after one attempt per question: solved or not, and no level between.
        let graded = bank(&[0, 0, 0, 0, 0, 0, 5, 5, 5]);
        let config = Sample { by: SampleBy::PC, ..Sample::default() };
        let drawn = sample(&config, 0, &graded).unwrap().drawn;
        assert_eq!(drawn.len(), 3);
        assert!(drawn.iter().all(|drawn| drawn.level == Level::Hard(5)));
        let drawn = sample(&Sample { size: Some(5), ..config }, 0, &graded).unwrap().drawn;
        assert_eq!(drawn.iter().filter(|drawn| drawn.level == Level::Easy).count(), 2);
    }

    #[test]
    fn a_level_with_too_few_stops_spills_or_stays_short() {
        let graded = bank(&[5, 5, 4, 4, 4, 4, 0, 0, 0, 0]);
        let by = |shortage| Sample {
            by: SampleBy::Shares,
            shares: [0., 0., 0., 0., 0., 1.],
            size: Some(4),
            shortage,
            ..Sample::default()
        };
        assert!(sample(&by(Shortage::Stop), 0, &graded).is_err());
        assert_eq!(sample(&by(Shortage::RepeatNot), 0, &graded).unwrap().drawn.len(), 2);
        let spilt = sample(&by(Shortage::SpillNearest), 0, &graded).unwrap().drawn;
        assert_eq!(spilt.iter().filter(|drawn| drawn.level == Level::Hard(4)).count(), 2);
        assert!(spilt.iter().all(|drawn| drawn.drawn_for == Level::Hard(5)));
    }

    proptest! {
        #[test]
        fn counts_follow_the_shares(levels in prop::collection::vec(0u8..6, 1..200), size in 1u64..300, seed: u64) {
            let graded = bank(&levels);
            for by in [
                SampleBy::PEval,
                SampleBy::PC,
                SampleBy::Shares,
                SampleBy::Random,
                SampleBy::Uniform,
                SampleBy::HardOnly,
                SampleBy::EasyOnly,
            ] {
                let config = Sample { by, size: Some(size), ..Sample::default() };
                let sampled = sample(&config, seed, &graded).unwrap();
                prop_assert_eq!(sampled.drawn.len() as u64, size.min(levels.len() as u64));
                if let Some(wanted) = sampled.wanted {
                    prop_assert_eq!(wanted.iter().sum::<u64>(), size);
                }
            }
        }

        #[test]
        fn a_question_is_drawn_whatever_else_is_in_the_bank(n in 20usize..80, seed: u64) {
            // Half of the bank removed: whoever was in the first half of the order within its level stays.
            let graded = bank(&vec![3; n]);
            let config = Sample { size: Some(10), ..Sample::default() };
            let ids = |graded: &[Candidate]| sample(&config, seed, graded).unwrap().drawn.iter().map(|d| d.id).collect::<std::collections::HashSet<_>>();
            let all = ids(&graded);
            let half = ids(&graded[..n / 2]);
            for id in graded[..n / 2].iter().map(|one| one.id).filter(|id| all.contains(id)) {
                prop_assert!(half.contains(&id));
            }
        }
    }
}
