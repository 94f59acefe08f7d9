//! What all ratings of a chain of thought come to: the table `annotations`, from other tables alone.
//!
//! Two passes: a length says something only beside the lengths of others ([`Lengths`]).

use std::collections::HashMap;
use std::path::Path;

use crate::config::Annotate;
use crate::tables::{
    AnnotationRow, CotRow, LevelRow, QuestionRow, RatingRow, Row, StudentFitRow, TableError, TableReader, TableWriter,
    path,
};
use crate::verdict::Outcome;

/// Lengths that a group must have before its own quantiles are believed; else the next larger group's count. A guess.
const LEAST_LENGTHS: usize = 20;

/// Writes the table `annotations` of a folder of tables: one row per row of `cots`, in the same order.
///
/// # Errors
/// If a table cannot be read or written.
pub fn write(tables: &Path, config: &Annotate) -> Result<(), TableError> {
    let mut groups = Groups::open(tables)?;
    let mut lengths = Lengths::default();
    for cot in TableReader::<CotRow>::open(tables)? {
        let cot = cot?;
        let group = groups.of(&cot.question_id)?;
        lengths.add(group, &cot);
    }
    let scale = lengths.scale();
    let mut groups = Groups::open(tables)?;
    let mut ratings = opened::<RatingRow>(tables)?.map(Iterator::peekable);
    let mut fits = opened::<StudentFitRow>(tables)?.map(Iterator::peekable);
    let mut writer = TableWriter::<AnnotationRow>::create(tables)?;
    for cot in TableReader::<CotRow>::open(tables)? {
        let cot = cot?;
        let group = groups.of(&cot.question_id)?;
        let mut own = Vec::new();
        if let Some(ratings) = &mut ratings {
            let is_own = |row: &Result<RatingRow, TableError>| {
                row.as_ref().map_or(true, |row| is_of(&cot, &row.cot_id, &row.question_id))
            };
            while let Some(row) = ratings.next_if(is_own) {
                own.push(row?);
            }
        }
        let is_own = |row: &Result<StudentFitRow, TableError>| {
            row.as_ref().map_or(true, |row| is_of(&cot, &row.cot_id, &row.question_id))
        };
        let fit = fits.as_mut().and_then(|fits| fits.next_if(is_own)).transpose()?;
        writer.push(summarise(config, &scale, group, cot, &own, fit))?;
    }
    writer.finish().map(drop)
}

/// Whether a row with these ids is about this chain of thought.
fn is_of(cot: &CotRow, cot_id: &str, question_id: &str) -> bool {
    cot.cot_id == cot_id && cot.question_id == question_id
}

/// A table that may not be there.
fn opened<R: Row>(tables: &Path) -> Result<Option<TableReader<R>>, TableError> {
    path::<R>(tables).exists().then(|| TableReader::open(tables)).transpose()
}

/// Which lengths a chain of thought is compared with: those of its domain (the kind of question) and level.
type Group = (String, String);

/// Groups of the questions, read alongside their chains of thought: all tables stand in the bank's order.
struct Groups {
    questions: TableReader<QuestionRow>,
    levels: Option<std::iter::Peekable<TableReader<LevelRow>>>,
    last: Option<(String, Group)>,
}

impl Groups {
    fn open(tables: &Path) -> Result<Self, TableError> {
        let levels = opened::<LevelRow>(tables)?.map(Iterator::peekable);
        Ok(Self { questions: TableReader::open(tables)?, levels, last: None })
    }

    fn of(&mut self, question_id: &str) -> Result<Group, TableError> {
        while self.last.as_ref().is_none_or(|(id, _)| id != question_id) {
            let Some(question) = self.questions.next().transpose()? else {
                let path = path::<QuestionRow>(Path::new(""));
                let message = format!("no question {question_id}; delete the tables, they are rebuilt");
                return Err(TableError::Shape { path, message });
            };
            let mut level = None;
            if let Some(levels) = &mut self.levels {
                let id = &question.question_id;
                let is_own =
                    |row: &Result<LevelRow, TableError>| row.as_ref().map_or(true, |row| row.question_id == *id);
                level = levels.next_if(is_own).transpose()?.map(|row| row.level);
            }
            self.last = Some((question.question_id, (question.kind, level.unwrap_or_default())));
        }
        Ok(self.last.as_ref().expect("it was read just now").1.clone())
    }
}

/// The lengths of all chains of thought, in every unit.
#[derive(Default)]
struct Lengths {
    groups: HashMap<Group, u32>,
    /// Group, whether it is sound, tokens by the teacher's server, characters.
    all: Vec<(u32, bool, Option<u32>, u32)>,
}

impl Lengths {
    fn add(&mut self, group: Group, cot: &CotRow) {
        let next = self.groups.len() as u32;
        let group = *self.groups.entry(group).or_insert(next);
        let tokens = cot.completion_tokens.map(|tokens| u32::try_from(tokens).unwrap_or(0));
        self.all.push((group, is_sound(cot), tokens, u32::try_from(characters(cot)).unwrap_or(u32::MAX)));
    }

    /// The 5 % and 95 % quantiles of the sound ones' lengths (of all, where none is sound), by group, kind and over all.
    fn scale(self) -> Scale {
        let counted = self.all.iter().all(|(_, _, tokens, _)| tokens.is_some());
        let any_sound = self.all.iter().any(|(_, sound, ..)| *sound);
        let mut by_group: HashMap<u32, Vec<u32>> = HashMap::new();
        for (group, sound, tokens, characters) in &self.all {
            if *sound || !any_sound {
                let length = if counted { tokens.unwrap_or(0) } else { *characters };
                by_group.entry(*group).or_default().push(length);
            }
        }
        let mut by_kind: HashMap<String, Vec<u32>> = HashMap::new();
        let mut all = Vec::new();
        let mut ends = HashMap::new();
        for (group, at) in &self.groups {
            let lengths = by_group.remove(at).unwrap_or_default();
            by_kind.entry(group.0.clone()).or_default().extend(&lengths);
            all.extend(&lengths);
            if lengths.len() >= LEAST_LENGTHS {
                ends.insert(group.clone(), quantiles(lengths));
            }
        }
        let of_kind = by_kind
            .into_iter()
            .filter(|(_, lengths)| lengths.len() >= LEAST_LENGTHS)
            .map(|(kind, lengths)| (kind, quantiles(lengths)))
            .collect();
        Scale { counted, ends, of_kind, of_all: quantiles(all) }
    }
}

/// What a length means.
struct Scale {
    /// Every server counted tokens; else lengths are in characters.
    counted: bool,
    ends: HashMap<Group, (f64, f64)>,
    of_kind: HashMap<String, (f64, f64)>,
    of_all: (f64, f64),
}

impl Scale {
    /// `9 clip((n - q05) / (q95 - q05), 0, 1)`, 0..9 (the form is ours: arXiv 2505.10937 leaves it open); none where all
    /// lengths are alike.
    fn rv_len(&self, group: &Group, length: f64) -> Option<f64> {
        let (low, high) = *self.ends.get(group).or_else(|| self.of_kind.get(&group.0)).unwrap_or(&self.of_all);
        (high > low).then(|| 9.0 * ((length - low) / (high - low)).clamp(0.0, 1.0))
    }
}

/// The 5 % and 95 % quantiles, between neighbours by straight lines; zeros of nothing.
fn quantiles(mut lengths: Vec<u32>) -> (f64, f64) {
    lengths.sort_unstable();
    let quantile = |share: f64| {
        let at = share * lengths.len().saturating_sub(1) as f64;
        let value = |at: f64| lengths.get(at as usize).copied().map_or(0.0, f64::from);
        let (low, high) = (value(at.floor()), value(at.ceil()));
        low + (high - low) * at.fract()
    };
    (quantile(0.05), quantile(0.95))
}

fn is_sound(cot: &CotRow) -> bool {
    cot.verdict == Outcome::Correct.name() && cot.finish != "length"
}

fn characters(cot: &CotRow) -> usize {
    let count = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
    count(&cot.reasoning) + count(&cot.answer)
}

/// The readable ratings of one score: mean, standard deviation (of a sample), number.
#[derive(Default)]
struct Summary {
    mean: Option<f64>,
    spread: Option<f64>,
    n: i64,
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        if values.is_empty() {
            return Self::default();
        }
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            mean: Some(mean),
            spread: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            n: values.len() as i64,
        }
    }
}

fn summarise(
    config: &Annotate,
    scale: &Scale,
    group: Group,
    cot: CotRow,
    ratings: &[RatingRow],
    fit: Option<StudentFitRow>,
) -> AnnotationRow {
    // Ratings that came with the chain of thought go before those of the judge.
    let of = |what: &str| {
        let by = |role: &str, calls: &str| -> Vec<&RatingRow> {
            let own = ratings.iter().filter(|row| row.what == what && row.role == role && row.calls == calls);
            own.filter(|row| row.value.is_some()).collect()
        };
        let recorded = by("recorded", "recorded");
        let counted = if recorded.is_empty() { by("judge", config.calls.name()) } else { recorded };
        let judge = counted.first().map(|row| row.judge.as_str());
        (Summary::of(&counted.iter().filter_map(|row| row.value).collect::<Vec<_>>()), judge)
    };
    let ((rv, by_rv), (rv_fit, by_fit), (cd, by_cd)) = (of("rv"), of("rv_fit"), of("cd"));
    let process = ratings.iter().find(|row| row.what == "process" && row.role == "judge");
    // Both scores count in a distance: it is the same judge only where both are by the same.
    let judge = match (by_rv, by_cd) {
        (Some(rv), Some(cd)) if rv != cd => Some(format!("{rv}, {cd}")),
        (one, other) => one.or(other).or(by_fit).or(process.map(|row| row.judge.as_str())).map(str::to_owned),
    };
    let process = process.map(|row| match row.value {
        Some(1.0) => "sound",
        Some(_) => "flawed",
        None => "undecided",
    });
    let length = match cot.completion_tokens.filter(|_| scale.counted) {
        Some(tokens) => tokens,
        None => characters(&cot) as i64,
    };
    let rv_len = scale.rv_len(&group, length as f64);
    // Where all lengths are alike they say nothing.
    let s_rv = rv.mean.map(|rv| rv_len.map_or(rv, |rv_len| config.lambda * rv + (1.0 - config.lambda) * rv_len));
    AnnotationRow {
        cot_id: cot.cot_id,
        question_id: cot.question_id,
        teacher: cot.teacher,
        attempt: cot.attempt,
        length,
        length_unit: if scale.counted { "tokens" } else { "characters" }.to_owned(),
        judge,
        rv: rv.mean,
        rv_spread: rv.spread,
        n_rv: rv.n,
        rv_fit: rv_fit.mean,
        rv_fit_spread: rv_fit.spread,
        n_rv_fit: rv_fit.n,
        cd: cd.mean,
        cd_spread: cd.spread,
        n_cd: cd.n,
        rv_len,
        s_rv,
        process: process.map(str::to_owned),
        mean_nll: fit.as_ref().and_then(|fit| fit.mean_nll),
        rsr: fit.as_ref().and_then(|fit| fit.rsr),
        naturalness: fit.as_ref().and_then(|fit| fit.naturalness),
        n_student_tokens: fit.and_then(|fit| fit.n_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::{Kind, Question};
    use crate::run::question_row;

    fn cot(question_id: &str, at: u32, tokens: Option<i64>) -> CotRow {
        CotRow {
            cot_id: format!("{question_id}-{at}"),
            question_id: question_id.to_owned(),
            teacher: "t".into(),
            attempt: i64::from(at),
            verdict: "correct".into(),
            reasoning: None,
            answer: Some("x".repeat(7)),
            finish: "stop".into(),
            prompt_tokens: None,
            completion_tokens: tokens,
            cost_usd: None,
            n_parts: 1,
        }
    }

    fn rating(cot: &CotRow, role: &str, what: &str, calls: &str, value: Option<f64>) -> RatingRow {
        RatingRow {
            cot_id: cot.cot_id.clone(),
            question_id: cot.question_id.clone(),
            judge: format!("the {role}"),
            role: role.into(),
            what: what.into(),
            calls: calls.into(),
            repeat: 0,
            value,
            reason: None,
            n_tries: 1,
            rating_id: None,
        }
    }

    fn table<R: Row>(folder: &Path, rows: impl IntoIterator<Item = R>) {
        let mut writer = TableWriter::create(folder).unwrap();
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap();
    }

    /// One question with these chains of thought and ratings, summed up.
    fn summed(cots: &[CotRow], ratings: &[RatingRow]) -> Vec<AnnotationRow> {
        let folder = tempfile::tempdir().unwrap();
        let question = QuestionRow { question_id: "q".into(), ..question_row(&Question::bare(Kind::Math, "1 + 1?")) };
        table(folder.path(), [question]);
        table(folder.path(), cots.iter().cloned());
        table(folder.path(), ratings.iter().cloned());
        write(folder.path(), &Annotate::default()).unwrap();
        TableReader::open(folder.path()).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn scores_are_those_of_a_table_by_hand() {
        // 100, 200 .. 2,500 tokens: the quantiles lie at 220 and 2,380.
        let cots: Vec<CotRow> = (0..25).map(|at| cot("q", at, Some(100 * i64::from(at + 1)))).collect();
        let of = |what, value| rating(&cots[12], "judge", what, "separate", value);
        let mut ratings: Vec<RatingRow> = [4.0, 5.0, 6.0].into_iter().map(|value| of("rv", Some(value))).collect();
        ratings.extend([of("cd", Some(7.0)), of("cd", None)]);
        // Neither the other judge nor the other way of asking counts.
        ratings.push(rating(&cots[12], "judge", "rv", "joint", Some(0.0)));
        ratings.push(rating(&cots[12], "second_judge", "rv", "separate", Some(0.0)));
        ratings.push(of("process", Some(0.0)));
        let rows = summed(&cots, &ratings);
        let row = &rows[12];
        let close = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs() < 1e-9;
        assert_eq!((row.length, row.length_unit.as_str()), (1_300, "tokens"));
        assert!(close(row.rv_len, 4.5) && close(row.s_rv, 4.75), "{row:?}");
        assert_eq!((row.rv, row.rv_spread, row.n_rv), (Some(5.0), Some(1.0), 3));
        assert_eq!((row.cd, row.cd_spread, row.n_cd), (Some(7.0), None, 1));
        assert_eq!((row.process.as_deref(), row.judge.as_deref()), (Some("flawed"), Some("the judge")));
        assert_eq!((rows[0].rv_len, rows[24].rv_len), (Some(0.0), Some(9.0)), "held within the scale");
        assert_eq!((rows[11].rv, rows[11].s_rv, rows[11].judge.as_deref()), (None, None, None), "no sibling's");
    }

    #[test]
    fn what_came_along_goes_before_the_judge() {
        let cots = [cot("q", 0, None), cot("q", 1, None)];
        let ratings = [
            rating(&cots[0], "recorded", "rv", "recorded", Some(3.0)),
            rating(&cots[0], "judge", "rv", "separate", Some(8.0)),
        ];
        let rows = summed(&cots, &ratings);
        assert_eq!((rows[0].rv, rows[0].n_rv, rows[0].judge.as_deref()), (Some(3.0), 1, Some("the recorded")));
        let of_both = [ratings[0].clone(), rating(&cots[0], "judge", "cd", "separate", Some(8.0))];
        assert_eq!(summed(&cots, &of_both)[0].judge.as_deref(), Some("the recorded, the judge"));
        // Both have seven characters, which says nothing of either.
        assert_eq!((rows[0].length, rows[0].length_unit.as_str(), rows[0].rv_len), (7, "characters", None));
        assert_eq!(rows[0].s_rv, Some(3.0));
    }
}
