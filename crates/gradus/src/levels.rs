//! What several runs know together: the levels of questions for students, and how far two students find the same
//! questions hard.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::json;

use crate::config::Config;
use crate::level::Level;
use crate::tables::{LevelRow, StudentLevelRow, TableError, TableReader};

/// A student with one way of grading it: name and hash of the settings.
pub type Student = (String, String);

/// Levels by question, student and settings.
#[derive(Debug, Default)]
pub struct Levels {
    rows: BTreeMap<(String, Student), StudentLevelRow>,
    n_conflicts: u64,
}

/// How far two students find the same questions hard.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    /// The students.
    pub students: [Student; 2],
    /// Questions that have a level for both.
    pub n_both: u64,
    /// Hard for the first, and for the second.
    pub n_hard: [u64; 2],
    /// Hard for both.
    pub n_hard_for_both: u64,
}

impl Overlap {
    /// Hard for both, among those that are hard for either; none if there are none.
    pub fn jaccard(&self) -> Option<f64> {
        let either = self.n_hard[0] + self.n_hard[1] - self.n_hard_for_both;
        (either > 0).then(|| self.n_hard_for_both as f64 / either as f64)
    }

    /// How many would be hard for both if one student's difficulty said nothing about the other's.
    pub fn expected(&self) -> f64 {
        if self.n_both == 0 { 0.0 } else { self.n_hard[0] as f64 * self.n_hard[1] as f64 / self.n_both as f64 }
    }

    /// Agreement on what is hard beyond chance (Cohen's kappa, 1960); none if chance alone explains everything.
    pub fn kappa(&self) -> Option<f64> {
        if self.n_both == 0 {
            return None;
        }
        let n = self.n_both as f64;
        let [one, other] = self.n_hard.map(|hard| hard as f64 / n);
        let both = self.n_hard_for_both as f64 / n;
        let agree = both + (1.0 - one - other + both);
        let chance = one * other + (1.0 - one) * (1.0 - other);
        (chance < 1.0).then(|| (agree - chance) / (1.0 - chance))
    }
}

/// Hash over what a level depends on beside question and student: probe, judging, grader, scoring, languages, the models
/// that judge, and the prompts (by their own hash).
pub fn settings(config: &Config, prompts: &str) -> String {
    let student = config.student.as_ref().map(|student| json!({ "system": student.system, "extra": student.extra }));
    let model = |model: &Option<crate::config::ModelConfig>| model.as_ref().map(|model| model.model.clone());
    let settings = json!({
        "probe": config.probe, "judging": config.judging, "grade": config.grade, "scoring": config.scoring,
        "code": config.code, "student": student,
        "judge": model(&config.judge), "prm": model(&config.prm), "prompts": prompts,
    });
    blake3::hash(settings.to_string().as_bytes()).to_hex()[..16].to_owned()
}

impl Levels {
    /// Adds the levels of a run. Those that are there already stay; where they differ, that is counted.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn add_run(&mut self, name: &str, config: &Config, tables: &Path) -> Result<u64, TableError> {
        let mut known: HashMap<String, String> = HashMap::new();
        let mut n = 0;
        for row in TableReader::<LevelRow>::open(tables)? {
            let row = row?;
            let settings = known.entry(row.prompts.clone()).or_insert_with(|| settings(config, &row.prompts)).clone();
            n += 1;
            self.add(StudentLevelRow {
                question_id: row.question_id,
                student: row.student,
                settings,
                grader: row.grader,
                level: row.level,
                score: row.score,
                pass_rate: row.pass_rate,
                pass_rate_low: row.pass_rate_low,
                pass_rate_high: row.pass_rate_high,
                n_attempts: row.n_attempts,
                n_countable: row.n_countable,
                n_correct: row.n_correct,
                run: name.to_owned(),
            });
        }
        Ok(n)
    }

    /// Adds the levels of a file that was written before.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn add_file(&mut self, path: &Path) -> Result<u64, TableError> {
        let mut n = 0;
        for row in TableReader::<StudentLevelRow>::open_at(path.to_owned())? {
            self.add(row?);
            n += 1;
        }
        Ok(n)
    }

    fn add(&mut self, row: StudentLevelRow) {
        let key = (row.question_id.clone(), (row.student.clone(), row.settings.clone()));
        match self.rows.get_mut(&key) {
            // A level is better than none.
            Some(known) if known.level == "ungraded" && row.level != "ungraded" => *known = row,
            Some(known) => self.n_conflicts += u64::from(known.level != row.level && row.level != "ungraded"),
            None => drop(self.rows.insert(key, row)),
        }
    }

    /// Every level, by question, student and settings.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &StudentLevelRow> {
        self.rows.values()
    }

    /// Levels left out, because another one was there under the same settings.
    pub fn n_conflicts(&self) -> u64 {
        self.n_conflicts
    }

    /// For each student, questions by level in the order of [`Level::ALL`], and ungraded ones.
    pub fn distributions(&self) -> BTreeMap<Student, ([u64; Level::COUNT], u64)> {
        let mut distributions: BTreeMap<Student, ([u64; Level::COUNT], u64)> = BTreeMap::new();
        for ((_, student), row) in &self.rows {
            let (levels, ungraded) = distributions.entry(student.clone()).or_default();
            match index(&row.level) {
                Some(index) => levels[index] += 1,
                None => *ungraded += 1,
            }
        }
        distributions
    }

    /// Every pair of students; hard is a level from `hard` on (1 to 5: 1 is all that is not easy).
    pub fn overlaps(&self, hard: usize) -> Vec<Overlap> {
        let mut by_student: BTreeMap<&Student, HashMap<&str, bool>> = BTreeMap::new();
        for ((question, student), row) in &self.rows {
            if let Some(index) = index(&row.level) {
                by_student.entry(student).or_default().insert(question, index >= hard);
            }
        }
        let students: Vec<_> = by_student.into_iter().collect();
        let mut overlaps = Vec::new();
        for (i, (one, levels)) in students.iter().enumerate() {
            for (other, others) in &students[i + 1..] {
                let mut overlap = Overlap {
                    students: [(*one).clone(), (*other).clone()],
                    n_both: 0,
                    n_hard: [0, 0],
                    n_hard_for_both: 0,
                };
                for (question, hard) in levels {
                    let Some(too) = others.get(question) else { continue };
                    overlap.n_both += 1;
                    overlap.n_hard[0] += u64::from(*hard);
                    overlap.n_hard[1] += u64::from(*too);
                    overlap.n_hard_for_both += u64::from(*hard && *too);
                }
                overlaps.push(overlap);
            }
        }
        overlaps
    }
}

/// Place of a level by its name; none if it is none.
fn index(level: &str) -> Option<usize> {
    Level::ALL.iter().position(|known| known.to_string() == level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(question: &str, student: &str, level: &str) -> StudentLevelRow {
        StudentLevelRow {
            question_id: question.into(),
            student: student.into(),
            settings: "s".into(),
            grader: "first_correct".into(),
            level: level.into(),
            score: None,
            pass_rate: None,
            pass_rate_low: None,
            pass_rate_high: None,
            n_attempts: 1,
            n_countable: 1,
            n_correct: 0,
            run: "r".into(),
        }
    }

    #[test]
    fn the_first_level_stands_and_a_level_is_better_than_none() {
        let mut levels = Levels::default();
        for (student, level) in [("a", "ungraded"), ("a", "3"), ("a", "4"), ("a", "ungraded"), ("b", "easy")] {
            levels.add(row("q", student, level));
        }
        let kept: Vec<_> = levels.rows().map(|row| (row.student.as_str(), row.level.as_str())).collect();
        assert_eq!((kept, levels.n_conflicts()), (vec![("a", "3"), ("b", "easy")], 1));
        let student = ("a".to_owned(), "s".to_owned());
        assert_eq!(levels.distributions()[&student], ([0, 0, 0, 1, 0, 0], 0));
    }

    #[test]
    fn overlaps_compare_questions_that_both_have() {
        let mut levels = Levels::default();
        for (question, one, other) in [("q", "5", "5"), ("r", "5", "easy"), ("s", "easy", "easy"), ("t", "1", "4")] {
            levels.add(row(question, "a", one));
            levels.add(row(question, "b", other));
        }
        levels.add(row("u", "a", "5"));
        levels.add(row("v", "b", "ungraded"));
        let overlap = &levels.overlaps(1)[0];
        assert_eq!((overlap.n_both, overlap.n_hard, overlap.n_hard_for_both), (4, [3, 2], 2));
        assert_eq!((overlap.jaccard(), overlap.expected(), overlap.kappa()), (Some(2.0 / 3.0), 1.5, Some(0.5)));
        assert_eq!((levels.overlaps(5)[0].n_hard, levels.overlaps(5)[0].n_hard_for_both), ([2, 1], 1));
    }

    #[test]
    fn settings_that_make_another_level_make_another_hash() {
        let of = |yaml: &str| settings(&Config::read(yaml, &[]).unwrap(), "p");
        assert_eq!(of("seed: 1"), of("seed: 2\ndriver: {in_flight: 4}"));
        for yaml in [
            "probe: {attempts: 4}",
            "grade: {tau: .5}",
            "scoring: {aggregate: min}",
            "judge: x",
            "student: {model: m, system: s}",
        ] {
            assert_ne!(of(""), of(yaml), "{yaml}");
        }
        assert_ne!(settings(&Config::default(), "p"), settings(&Config::default(), "q"));
    }
}
