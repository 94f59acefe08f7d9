//! What a kept chain of thought cost, beside what it would have cost without grading: a random sample of the same
//! size, or the whole bank. These two are estimates from what the teachers were seen to need at each level.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::number;
use crate::level::Level;

/// What the run cost against what other ways would have cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// What the teachers needed at each level at which they were asked, easy first.
    pub levels: Vec<TeacherEffort>,
    /// Questions of the bank at levels where no teacher was asked: taken as the nearest level (the harder of two), or
    /// as the mean of all if they have no level.
    pub n_assumed: u64,
    /// This run, then a random sample of as many questions, then the whole bank.
    pub ways: Vec<Way>,
}

/// What teachers needed at a level, as measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TeacherEffort {
    /// `easy`, `1` to `5`.
    pub level: String,
    /// Questions that a teacher was asked.
    pub n_questions: u64,
    /// Attempts of all teachers at them.
    pub n_tries: u64,
    /// Chains of thought that were kept of them.
    pub n_kept: u64,
    /// Attempts for each that is kept; none if none is.
    pub tries_per_kept: Option<f64>,
}

/// A way to come by chains of thought.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Way {
    /// `this_run`, `random` or `whole_bank`.
    pub name: String,
    /// Whether its figures are estimated.
    pub estimated: bool,
    /// Questions that a teacher is asked.
    pub n_questions: f64,
    /// Attempts of the teachers.
    pub n_tries: f64,
    /// Chains of thought kept.
    pub n_kept: f64,
    /// Tokens written: of all roles in this run, of the teachers alone in the others; none if no server counted.
    pub completion_tokens: Option<f64>,
    /// US dollars, of the same roles; none if nothing has a price.
    pub usd: Option<f64>,
    /// Tokens written for each that is kept.
    pub tokens_per_kept: Option<f64>,
    /// US dollars for each that is kept.
    pub usd_per_kept: Option<f64>,
}

/// Sums over the questions of a level that teachers were asked.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    questions: f64,
    tries: f64,
    kept: f64,
    tokens: f64,
    usd: f64,
}

impl Sums {
    fn add(&mut self, other: Self, weight: f64) {
        self.questions += weight * other.questions;
        self.tries += weight * other.tries;
        self.kept += weight * other.kept;
        self.tokens += weight * other.tokens;
        self.usd += weight * other.usd;
    }
}

/// Counts what teachers needed while the tables go by.
#[derive(Debug, Default)]
pub(super) struct Efforts {
    /// Level of each drawn question, and whether a teacher was asked.
    drawn: HashMap<u64, (u8, bool)>,
    levels: [Sums; Level::COUNT],
    has_tokens: bool,
    has_usd: bool,
}

impl Efforts {
    pub(super) fn drawn(&mut self, question_id: &str, level: Level) {
        self.drawn.insert(number(question_id), (level.index() as u8, false));
    }

    pub(super) fn tried(&mut self, question_id: &str, completion_tokens: Option<i64>, usd: Option<f64>) {
        let Some((level, asked)) = self.drawn.get_mut(&number(question_id)) else { return };
        let sums = &mut self.levels[usize::from(*level)];
        sums.questions += f64::from(u8::from(!*asked));
        *asked = true;
        sums.tries += 1.0;
        sums.tokens += completion_tokens.unwrap_or(0) as f64;
        sums.usd += usd.unwrap_or(0.0);
        self.has_tokens |= completion_tokens.is_some();
        self.has_usd |= usd.is_some();
    }

    pub(super) fn kept(&mut self, question_id: &str) {
        if let Some((level, _)) = self.drawn.get(&number(question_id)) {
            self.levels[usize::from(*level)].kept += 1.0;
        }
    }

    /// `available` are the questions of the bank by level, `n_entered` all of them; `tokens` and `usd` what the whole
    /// run used. None if no teacher was asked.
    pub(super) fn compare(
        &self,
        available: &[u64; Level::COUNT],
        n_entered: u64,
        tokens: Option<f64>,
        usd: Option<f64>,
    ) -> Option<Compared> {
        let mut all = Sums::default();
        self.levels.iter().for_each(|level| all.add(*level, 1.0));
        if all.questions == 0.0 {
            return None;
        }
        let mut bank = Sums::default();
        let mut n_assumed = n_entered.saturating_sub(available.iter().sum());
        bank.add(all, n_assumed as f64 / all.questions);
        for (level, n) in available.iter().enumerate() {
            let asked = |at: &usize| self.levels[*at].questions > 0.0;
            // The nearest level that was measured; of two, the harder.
            let nearest = (0..Level::COUNT).filter(asked).min_by_key(|at| (at.abs_diff(level), Level::COUNT - at));
            let nearest = nearest.expect("a teacher was asked at some level");
            n_assumed += if nearest == level { 0 } else { *n };
            let like = self.levels[nearest];
            bank.add(like, *n as f64 / like.questions);
        }
        let mut random = Sums::default();
        random.add(bank, all.questions / n_entered.max(1) as f64);
        let estimate = |name: &str, sums: Sums| {
            let known = |known: bool, value: f64| known.then_some(value);
            Way::new(name, true, sums, known(self.has_tokens, sums.tokens), known(self.has_usd, sums.usd))
        };
        let ways = vec![
            Way::new("this_run", false, all, tokens, usd),
            estimate("random", random),
            estimate("whole_bank", bank),
        ];
        let levels = Level::ALL.iter().zip(&self.levels).filter(|(_, sums)| sums.questions > 0.0);
        let levels = levels.map(|(level, sums)| TeacherEffort {
            level: level.to_string(),
            n_questions: sums.questions as u64,
            n_tries: sums.tries as u64,
            n_kept: sums.kept as u64,
            tries_per_kept: (sums.kept > 0.0).then(|| sums.tries / sums.kept),
        });
        Some(Compared { levels: levels.collect(), n_assumed, ways })
    }
}

impl Way {
    fn new(name: &str, estimated: bool, sums: Sums, tokens: Option<f64>, usd: Option<f64>) -> Self {
        let each = |total: Option<f64>| total.filter(|_| sums.kept > 0.0).map(|total| total / sums.kept);
        Self {
            name: name.to_owned(),
            estimated,
            n_questions: sums.questions,
            n_tries: sums.tries,
            n_kept: sums.kept,
            completion_tokens: tokens,
            usd,
            tokens_per_kept: each(tokens),
            usd_per_kept: each(usd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two easy questions that need one try, one of level 3 that needs four and of which nothing is kept the second time.
    fn efforts() -> Efforts {
        let mut efforts = Efforts::default();
        let three = Level::parse("3").unwrap();
        for (id, level, n_tries, kept) in
            [("a", Level::Easy, 1, true), ("b", Level::Easy, 1, true), ("c", three, 4, true), ("d", three, 4, false)]
        {
            efforts.drawn(id, level);
            (0..n_tries).for_each(|_| efforts.tried(id, Some(100), Some(0.01)));
            if kept {
                efforts.kept(id);
            }
        }
        efforts.drawn("never asked", three);
        efforts
    }

    #[test]
    fn other_ways_are_priced_by_what_teachers_needed_at_each_level() {
        // 10 easy, 20 of level 3, 5 of level 5 (as level 3), 1 without a level (as the mean of all four).
        let compared = efforts().compare(&[10, 0, 0, 20, 0, 5], 36, Some(9_000.0), Some(1.5)).unwrap();
        let [run, random, whole] = &compared.ways[..] else { panic!("{compared:?}") };
        assert_eq!((run.n_questions, run.n_tries, run.n_kept, run.usd_per_kept), (4.0, 10.0, 3.0, Some(0.5)));
        let tries = 10.0 * 1.0 + 25.0 * 4.0 + 2.5;
        let kept = 10.0 * 1.0 + 25.0 * 0.5 + 0.75;
        assert_eq!((whole.n_tries, whole.n_kept), (tries, kept));
        assert!((whole.usd.unwrap() - tries * 0.01).abs() < 1e-9);
        assert!((random.n_questions - 4.0).abs() < 1e-9 && (random.n_tries - tries / 9.0).abs() < 1e-9);
        assert!((random.tokens_per_kept.unwrap() - 100.0 * tries / kept).abs() < 1e-6);
        assert!(!run.estimated && random.estimated && whole.estimated);
        assert_eq!(compared.n_assumed, 6);
        assert_eq!(compared.levels[1].tries_per_kept, Some(8.0));
    }

    #[test]
    fn without_a_teacher_there_is_nothing_to_compare() {
        assert_eq!(Efforts::default().compare(&[1; Level::COUNT], 6, None, None), None);
    }
}
