//! Ratings that came with imported chains of thought, read back from `ratings.jsonl`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::{ImportError, Rating};
use crate::ingest::cell::Cell;
use crate::ingest::rows::{BankFile, Columns, Record, Row, Rows};
use crate::ingest::{Bad, MAX_ROW, hash};

/// The ratings of a file, by chain of thought. Of each, some 60 bytes stay in memory.
///
/// A file names a chain of thought by the number that it was recorded with; a run knows it by its place among the
/// recorded answers. [`RecordedRatings::place`] brings the two together.
#[derive(Debug, Default, PartialEq)]
pub struct RecordedRatings {
    /// By hash over question id, teacher and sample.
    ratings: HashMap<u64, Packed>,
    /// Keys of `ratings`, by hash over teacher's position, question id and place under that id.
    places: HashMap<u64, u64>,
    /// Recorded answers under an id, by hash over teacher's position and question id.
    answers: HashMap<u64, u32>,
    judges: Vec<String>,
    repeated: u64,
    bad: u64,
    first_bad: Option<String>,
}

/// What a source says of a chain of thought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordedRating<'a> {
    /// Reasoning verbosity, 0 to 10.
    pub rv: Option<f64>,
    /// Cognitive difficulty, 0 to 10.
    pub cd: Option<f64>,
    /// Who rated the verbosity.
    pub rv_judge: Option<&'a str>,
    /// Who rated the difficulty.
    pub cd_judge: Option<&'a str>,
    /// Whether the source holds it right. No verdict.
    pub correctness: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Packed {
    rv: Option<f64>,
    cd: Option<f64>,
    rv_judge: Option<u16>,
    cd_judge: Option<u16>,
    correctness: Option<bool>,
}

impl RecordedRatings {
    /// Reads a file: JSONL, perhaps compressed, CSV or Parquet. A broken row is skipped and counted; of two about the
    /// same chain of thought, the first stands.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let file = BankFile::find(Path::new(""), path, None)?;
        let mut rows = Rows::open(&file, MAX_ROW, |_| true)?;
        let mut read = Self::default();
        let mut judges: HashMap<String, u16> = HashMap::new();
        while let Some(Row { line, record, .. }) = rows.next()? {
            let row = record.and_then(Record::columns).and_then(|columns| key_and_rating(&columns));
            match row {
                Ok((key, rating)) if !read.ratings.contains_key(&key) => {
                    let mut number = |judge: Option<String>| {
                        let judge = judge?;
                        if let Some(&number) = judges.get(&judge) {
                            return Some(number);
                        }
                        let number = u16::try_from(read.judges.len()).ok()?;
                        read.judges.push(judge.clone());
                        judges.insert(judge, number);
                        Some(number)
                    };
                    let level = |level: Option<serde_json::Number>| level.and_then(|level| level.as_f64());
                    let packed = Packed {
                        rv: level(rating.rv),
                        cd: level(rating.cd),
                        rv_judge: number(rating.rv_judge),
                        cd_judge: number(rating.cd_judge),
                        correctness: rating.correctness,
                    };
                    read.ratings.insert(key, packed);
                }
                Ok(_) => read.repeated += 1,
                Err(bad) => {
                    read.bad += 1;
                    let (file, detail) = (&file.name, bad.reason.detail);
                    let field = bad.field.map(|field| format!("`{field}`: ")).unwrap_or_default();
                    read.first_bad.get_or_insert_with(|| format!("{file}:{line}: {field}{detail}"));
                }
            }
        }
        Ok(read)
    }

    /// Tells which answers of a recorded teacher the ratings are about: `samples` are the numbers of its answers by
    /// question id, in the order in which a run takes them. Of two answers with one number, the first is meant.
    pub fn place<'s>(
        &mut self,
        teacher: u16,
        model: &str,
        samples: impl Iterator<Item = (&'s str, impl Iterator<Item = u64>)>,
    ) {
        for (id, samples) in samples {
            let mut last = None;
            for (sample, place) in samples.zip(0_u32..) {
                self.answers.insert(answers(teacher, id), place + 1);
                let key = key(id, model, sample);
                if last != Some(sample) && self.ratings.contains_key(&key) {
                    self.places.insert(self::place(teacher, id, place), key);
                }
                last = Some(sample);
            }
        }
    }

    /// What the source says of a recorded teacher's answer to a question, by the ids that its answers stand under and
    /// the answer's number among all of them. Nothing of a teacher that was not [placed](Self::place).
    pub fn of(&self, source_ids: &[String], teacher: u16, number: u32) -> Option<RecordedRating<'_>> {
        let mut left = number;
        for (at, id) in source_ids.iter().enumerate() {
            if source_ids[..at].contains(id) {
                continue;
            }
            let n = self.answers.get(&answers(teacher, id)).copied().unwrap_or(0);
            if left < n {
                return self.rating(*self.places.get(&place(teacher, id, left))?);
            }
            left -= n;
        }
        None
    }

    fn rating(&self, key: u64) -> Option<RecordedRating<'_>> {
        let packed = self.ratings.get(&key)?;
        let judge = |number: Option<u16>| number.map(|number| self.judges[usize::from(number)].as_str());
        Some(RecordedRating {
            rv: packed.rv,
            cd: packed.cd,
            rv_judge: judge(packed.rv_judge),
            cd_judge: judge(packed.cd_judge),
            correctness: packed.correctness,
        })
    }

    /// How many chains of thought are rated.
    pub fn len(&self) -> usize {
        self.ratings.len()
    }

    /// How many of them were found to be about an answer of a recorded teacher.
    pub fn n_placed(&self) -> usize {
        self.places.values().collect::<HashSet<_>>().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.ratings.is_empty()
    }

    /// Rows about a chain of thought that an earlier row rates.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Rows that are no rating, and where the first stands with what is wrong.
    pub fn bad(&self) -> (u64, Option<&str>) {
        (self.bad, self.first_bad.as_deref())
    }
}

fn key(question_id: &str, teacher: &str, sample: u64) -> u64 {
    hash([question_id, teacher, &sample.to_string()])
}

fn place(teacher: u16, question_id: &str, place: u32) -> u64 {
    hash([teacher.to_string().as_str(), question_id, &place.to_string()])
}

fn answers(teacher: u16, question_id: &str) -> u64 {
    hash([teacher.to_string().as_str(), question_id])
}

fn key_and_rating(columns: &Columns<'_>) -> Result<(u64, Rating), Bad> {
    let at = |name: &str| columns.at(name);
    let text = |name: &str, wanted: &str| {
        let cell = at(name)?.filter(|cell| !cell.is_nothing());
        let found = cell.as_ref().map_or("nothing", Cell::type_name);
        let text = cell.as_ref().and_then(Cell::scalar).map(str::to_owned);
        text.ok_or_else(|| Bad::field(name, "wrong_type", format!("expected {wanted}, found {found}")))
    };
    let sample = text("sample", "a number from 0")?;
    let sample: u64 = sample
        .trim()
        .parse()
        .map_err(|_| Bad::field("sample", "wrong_type", format!("expected a number from 0, found `{sample}`")))?;
    let key = key(&text("question_id", "a text")?, &text("model", "a text")?, sample);
    let mut rating = Rating::read(&at)?;
    if rating.is_empty() {
        return Err(Bad::row("no_rating", "there is no `rv`, `cd` or `correctness` in range"));
    }
    for (judge, name) in [(&mut rating.rv_judge, "rv_judge"), (&mut rating.cd_judge, "cd_judge")] {
        if let Some(Cell::Text(named)) = at(name)? {
            *judge = Some(named);
        }
    }
    Ok((key, rating))
}
