//! The tables of a run directory: one struct per row, Parquet on disk.
//!
//! A column added at the end is no new version; a column that changes its meaning is. Every table is derived
//! from ledger, config and bank, and can be deleted. Same ledger, config and seed: byte-identical files.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBuilder, ListBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Float64Type, Int64Type};
use serde::Serialize;

/// Version of the tables, kept in each file's metadata under `gradus.tables`.
pub const VERSION: &str = "1";

/// Why a table could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Creating, renaming or opening the file failed.
    #[error("table {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a Parquet file, or a damaged one.
    #[error("table {path}: {source}")]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What the Parquet reader or writer said.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet file with other columns than expected.
    #[error("table {path}: {message}")]
    Shape {
        /// Which file.
        path: PathBuf,
        /// What was expected, what was found.
        message: String,
    },
}

/// A row of one of the tables.
pub trait Row: Sized {
    /// Name of the table: the file's stem.
    const TABLE: &'static str;
    /// One field per column, in order.
    fn fields() -> Vec<Field>;
    /// The columns of these rows.
    fn columns(rows: &[Self]) -> Vec<ArrayRef>;
    /// One row out of the columns; the columns stand in the order of [`Self::fields`].
    fn read(columns: &[ArrayRef], row: usize) -> Self;
    /// About how many bytes of text it holds.
    fn weight(&self) -> usize;
}

/// A value that can stand in a column.
pub trait Cell: Sized {
    /// Name, type and nullability of a column of it.
    fn field(name: &str) -> Field;
    /// A column of these values.
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
    /// The value at a row; the column's type was checked when the file was opened.
    fn read(column: &ArrayRef, row: usize) -> Self;
    /// About how many bytes it holds.
    fn weight(&self) -> usize {
        8
    }
}

impl Cell for String {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::Utf8, false)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = StringBuilder::new();
        values.for_each(|value| builder.append_value(value));
        Arc::new(builder.finish())
    }
    fn read(column: &ArrayRef, row: usize) -> Self {
        column.as_string::<i32>().value(row).to_owned()
    }
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Cell for Option<String> {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::Utf8, true)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = StringBuilder::new();
        values.for_each(|value| builder.append_option(value.as_deref()));
        Arc::new(builder.finish())
    }
    fn read(column: &ArrayRef, row: usize) -> Self {
        column.is_valid(row).then(|| column.as_string::<i32>().value(row).to_owned())
    }
    fn weight(&self) -> usize {
        self.as_ref().map_or(1, String::len)
    }
}

impl Cell for Vec<String> {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), false)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for value in values {
            for item in value {
                builder.values().append_value(item);
            }
            builder.append(true);
        }
        Arc::new(builder.finish())
    }
    fn read(column: &ArrayRef, row: usize) -> Self {
        column.as_list::<i32>().value(row).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    }
    fn weight(&self) -> usize {
        self.iter().map(String::len).sum()
    }
}

/// Numbers as cells, with and without null.
macro_rules! numbers {
    ($($number:ty as $arrow:ty,)*) => {$(
        impl Cell for $number {
            fn field(name: &str) -> Field {
                Field::new(name, <$arrow>::DATA_TYPE, false)
            }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                let mut builder = PrimitiveBuilder::<$arrow>::new();
                values.for_each(|value| builder.append_value(*value));
                Arc::new(builder.finish())
            }
            fn read(column: &ArrayRef, row: usize) -> Self {
                column.as_primitive::<$arrow>().value(row)
            }
        }

        impl Cell for Option<$number> {
            fn field(name: &str) -> Field {
                Field::new(name, <$arrow>::DATA_TYPE, true)
            }
            fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
                let mut builder = PrimitiveBuilder::<$arrow>::new();
                values.for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish())
            }
            fn read(column: &ArrayRef, row: usize) -> Self {
                column.is_valid(row).then(|| column.as_primitive::<$arrow>().value(row))
            }
        }
    )*};
}

numbers! {
    i64 as Int64Type,
    f64 as Float64Type,
}

impl Cell for bool {
    fn field(name: &str) -> Field {
        Field::new(name, DataType::Boolean, false)
    }
    fn column<'a>(values: impl Iterator<Item = &'a Self>) -> ArrayRef {
        let mut builder = BooleanBuilder::new();
        values.for_each(|value| builder.append_value(*value));
        Arc::new(builder.finish())
    }
    fn read(column: &ArrayRef, row: usize) -> Self {
        column.as_boolean().value(row)
    }
}

/// Declares a row type and how it stands on disk.
macro_rules! table {
    ($(#[$about:meta])* $name:ident in $table:literal { $($(#[$doc:meta])* $column:ident: $cell:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$doc])* pub $column: $cell,)*
        }

        impl Row for $name {
            const TABLE: &'static str = $table;

            fn fields() -> Vec<Field> {
                vec![$(<$cell as Cell>::field(stringify!($column)),)*]
            }

            fn columns(rows: &[Self]) -> Vec<ArrayRef> {
                vec![$(<$cell as Cell>::column(rows.iter().map(|row| &row.$column)),)*]
            }

            fn read(columns: &[ArrayRef], row: usize) -> Self {
                let mut columns = columns.iter();
                Self { $($column: <$cell as Cell>::read(columns.next().expect("one column per field"), row),)* }
            }

            fn weight(&self) -> usize {
                0 $(+ self.$column.weight())*
            }
        }
    };
}

table! {
    /// A question that entered.
    QuestionRow in "questions" {
        /// Content id, 16 hex digits.
        question_id: String,
        /// Every id under which a source knows it.
        source_ids: Vec<String>,
        /// `math`, `choice`, `text` or `code`.
        kind: String,
        /// What is asked.
        question: String,
        /// Accepted answers.
        references: Vec<String>,
        /// Allowed distance as JSON, e.g. `{"relative":0.05}`.
        tolerance: Option<String>,
        /// Unit tests as JSON.
        tests: Option<String>,
        /// Code that stands before a completion.
        starter: String,
        /// Texts of the options A, B, C ...
        options: Vec<String>,
        /// The bank's own level.
        bank_level: Option<String>,
        /// Subject.
        subject: Option<String>,
        /// Name of the source.
        source: String,
        /// Licence of the row.
        license: Option<String>,
    }
}

table! {
    /// An attempt of the student.
    AttemptRow in "attempts" {
        /// First 16 hex digits of the attempt's key in the ledger.
        attempt_id: String,
        /// The question asked.
        question_id: String,
        /// Model name.
        model: String,
        /// Number of the attempt, from 0.
        attempt: i64,
        /// The thinking part.
        reasoning: Option<String>,
        /// The part after the thinking.
        answer: Option<String>,
        /// `stop`, `length`, `content_filter` or the server's own word.
        finish: String,
        /// Tokens read, as the server counts them.
        prompt_tokens: Option<i64>,
        /// Tokens written, as the server counts them.
        completion_tokens: Option<i64>,
        /// US dollars, by the server or by the configured price.
        cost_usd: Option<f64>,
    }
}

table! {
    /// The verdict on an attempt of the student or a teacher.
    VerdictRow in "verdicts" {
        /// The attempt judged (also the id of a CoT).
        attempt_id: String,
        /// Its question.
        question_id: String,
        /// `student` or `teacher`.
        role: String,
        /// Model name.
        model: String,
        /// `correct`, `incorrect`, `no_answer` or `undecided`.
        verdict: String,
        /// Which rule decided.
        method: String,
        /// Version of that rule's code.
        version: String,
        /// The final answer that was looked at.
        extracted: Option<String>,
        /// One sentence for a person.
        explanation: String,
        /// Tests passed, for code.
        tests_passed: Option<i64>,
        /// Tests there are, for code.
        tests_total: Option<i64>,
        /// What the judge said of the answer, where it was asked: `correct`, `incorrect` or `undecided`.
        llm_verdict: Option<String>,
        /// Why it said so, in its own words, or why it could not tell.
        llm_reason: Option<String>,
    }
}

table! {
    /// The level of a question for the student.
    LevelRow in "levels" {
        /// The question.
        question_id: String,
        /// Model name of the student.
        student: String,
        /// Hash over the prompt templates with which the student was asked.
        prompts: String,
        /// `first_correct`, `pass_rate`, `prm`, `generative`, `tests` or `judge`.
        grader: String,
        /// `easy`, `1` to `5` (5 = hardest), or `ungraded`.
        level: String,
        /// Why it is ungraded.
        reason: Option<String>,
        /// Score behind the level, 0..1; lower is harder.
        score: Option<f64>,
        /// Correct among countable attempts, 0..1.
        pass_rate: Option<f64>,
        /// Lower end of the 95 % interval of the pass rate (Wilson).
        pass_rate_low: Option<f64>,
        /// Upper end of it.
        pass_rate_high: Option<f64>,
        /// Attempts asked.
        n_attempts: i64,
        /// Attempts that count.
        n_countable: i64,
        /// Correct ones.
        n_correct: i64,
        /// Truncated ones.
        n_truncated: i64,
        /// Undecided ones.
        n_undecided: i64,
        /// Model that scored the wrong attempts, where the grader asks one.
        scorer: Option<String>,
        /// In which form it was asked.
        form: Option<String>,
        /// How the scores of steps became one number.
        aggregate: Option<String>,
        /// Wrong attempts that have a score.
        n_scored: i64,
    }
}

table! {
    /// What a model said of a step of a wrong attempt, or of the whole attempt.
    ScoreRow in "scores" {
        /// The attempt.
        attempt_id: String,
        /// Its question.
        question_id: String,
        /// `prm`, `generative` or `judge`.
        grader: String,
        /// Model name of the scorer.
        model: String,
        /// `pooling`, `chat_labels`, `prompt_logprobs`, `generative` or `rating`.
        form: String,
        /// Number of the step, from 1; none where the whole attempt was scored.
        step: Option<i64>,
        /// What was scored.
        text: String,
        /// Its score, 0..1, the middle of the bounds; none if it is undecided.
        score: Option<f64>,
        /// At least.
        low: Option<f64>,
        /// At most.
        high: Option<f64>,
        /// It could not be told.
        undecided: bool,
        /// How the scores of the steps become one number.
        aggregate: Option<String>,
        /// That number for the attempt, the same in each of its rows; none if too little is decided.
        attempt_score: Option<f64>,
        /// First 16 hex digits of the scoring's key in the ledger.
        score_id: String,
    }
}

table! {
    /// A question that was drawn.
    SampleRow in "sample" {
        /// The question.
        question_id: String,
        /// Its level.
        level: String,
        /// Level it stands in for, where another level had too few.
        drawn_for: String,
        /// Position of its keyed draw within its level, from 0.
        rank: i64,
    }
}

table! {
    /// A chain of thought: an attempt of a teacher, right or wrong.
    CotRow in "cots" {
        /// First 16 hex digits of the attempt's key in the ledger.
        cot_id: String,
        /// The question asked.
        question_id: String,
        /// Model name of the teacher.
        teacher: String,
        /// Number of the attempt, from 0.
        attempt: i64,
        /// `correct`, `incorrect`, `no_answer` or `undecided`.
        verdict: String,
        /// The thinking part.
        reasoning: Option<String>,
        /// The part after the thinking.
        answer: Option<String>,
        /// `stop`, `length`, `content_filter` or the server's own word.
        finish: String,
        /// Tokens read, as the server counts them.
        prompt_tokens: Option<i64>,
        /// Tokens written, as the server counts them.
        completion_tokens: Option<i64>,
        /// US dollars, by the server or by the configured price.
        cost_usd: Option<f64>,
        /// Generations that it was joined from: 1, or more if it was cut off and gone on with.
        n_parts: i64,
    }
}

table! {
    /// What is known of a chain of thought beside its verdict: one row per row of `cots`, in the same order.
    AnnotationRow in "annotations" {
        /// The chain of thought.
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Model name of its teacher.
        teacher: String,
        /// Number of the attempt at this question by this teacher, from 0.
        attempt: i64,
        /// Its length in `length_unit`.
        length: i64,
        /// `tokens` as the teachers' servers count them, or `characters`; one unit in a table.
        length_unit: String,
        /// Model whose ratings stand here, or `recorded`; none if nobody rated it.
        judge: Option<String>,
        /// Reasoning Verbosity by the judge, 0..9: the mean of the readable ratings.
        rv: Option<f64>,
        /// Standard deviation of those ratings; none with fewer than two.
        rv_spread: Option<f64>,
        /// Readable ratings behind it.
        n_rv: i64,
        /// How well the verbosity fits the question, 0..9.
        rv_fit: Option<f64>,
        /// Standard deviation of those ratings.
        rv_fit_spread: Option<f64>,
        /// Readable ratings behind it.
        n_rv_fit: i64,
        /// Cognitive Difficulty, 0..9.
        cd: Option<f64>,
        /// Standard deviation of those ratings.
        cd_spread: Option<f64>,
        /// Readable ratings behind it.
        n_cd: i64,
        /// Length among those of its domain and level, 0..9.
        rv_len: Option<f64>,
        /// Reasoning Verbosity fused of `rv` and `rv_len`, 0..9.
        s_rv: Option<f64>,
        /// Whether the process is right: `sound`, `flawed` or `undecided`; none if nobody was asked.
        process: Option<String>,
        /// Mean negative log-likelihood per token under the student, nats.
        mean_nll: Option<f64>,
        /// Rank-Surprisal Ratio under the student; lower fits better.
        rsr: Option<f64>,
        /// Local Naturalness under the student: mean log-probability per token in short windows; higher fits better.
        naturalness: Option<f64>,
        /// Tokens of it in the student's tokenizer.
        n_student_tokens: Option<i64>,
    }
}

table! {
    /// How well a chain of thought fits the student, by the student's own log-probabilities.
    StudentFitRow in "student_fit" {
        /// The chain of thought.
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Model name of who measured.
        model: String,
        /// Tokens of it in that model's tokenizer.
        n_tokens: Option<i64>,
        /// Mean negative log-likelihood per token, nats.
        mean_nll: Option<f64>,
        /// Rank-Surprisal Ratio; lower fits better.
        rsr: Option<f64>,
        /// Local Naturalness, nats per token; higher fits better.
        naturalness: Option<f64>,
        /// Why there are no numbers.
        reason: Option<String>,
        /// First 16 hex digits of the key of the measurement in the ledger.
        measurement_id: Option<String>,
    }
}

table! {
    /// One rating of a chain of thought by a judge.
    RatingRow in "ratings" {
        /// The chain of thought.
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Model name of the judge.
        judge: String,
        /// `judge`, `second_judge` or `recorded`.
        role: String,
        /// `rv`, `rv_fit`, `cd` or `process`.
        what: String,
        /// `separate`, `joint` or `recorded`: how it was asked for.
        calls: String,
        /// Which of the ratings of this kind, from 0.
        repeat: i64,
        /// The rating: 0..9; for `process` 1 (sound) or 0 (flawed). None if no reply could be read, or it is undecided.
        value: Option<f64>,
        /// Why there is none.
        reason: Option<String>,
        /// Replies asked for until one could be read.
        n_tries: i64,
        /// First 16 hex digits of the key of the reply in the ledger; none for a recorded rating.
        rating_id: Option<String>,
    }
}

table! {
    /// What selection made of a chain of thought.
    SelectionRow in "selection" {
        /// The chain of thought.
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Whether it is kept.
        selected: bool,
        /// Position among the candidates of its question, from 0; none for those that were no candidate.
        rank: Option<i64>,
        /// Chance with which the rule draws it first.
        probability: Option<f64>,
        /// Why it is kept, or why not.
        reason: String,
        /// Reasoning Verbosity that the rule looked at, 0..9; none if nobody rated it, or it was no candidate.
        s_rv: Option<f64>,
        /// Cognitive Difficulty, 0..9.
        cd: Option<f64>,
        /// Weight for the Cognitive Difficulty, 0..=1; none if the rule has none.
        w_cd: Option<f64>,
        /// Weight for the Reasoning Verbosity, 0..=1; none if the rule has none.
        w_match: Option<f64>,
        /// Fit to the student, if the rule goes by one.
        fit: Option<f64>,
    }
}

table! {
    /// An item that left.
    DroppedRow in "dropped" {
        /// Id of a question or a CoT, or `file:line` of a row that never became a question.
        item: String,
        /// `row`, `question`, `attempt` or `cot`.
        item_kind: String,
        /// Stage at which it left.
        stage: String,
        /// A fixed word.
        reason: String,
        /// A sentence.
        detail: String,
    }
}

table! {
    /// A question of a bank that `gradus bank` writes; its columns are those that a bank is read by.
    BankRow in "bank" {
        /// First source id.
        id: String,
        /// Every source id.
        source_ids: Vec<String>,
        /// `math`, `choice`, `text` or `code`.
        kind: String,
        /// What is asked.
        question: String,
        /// Accepted answers.
        answer: Vec<String>,
        /// Allowed distance as JSON.
        tolerance: Option<String>,
        /// Unit tests as JSON.
        tests: Option<String>,
        /// Code that stands before a completion.
        starter: Option<String>,
        /// Texts of the options A, B, C ...
        options: Vec<String>,
        /// The bank's own level.
        level: Option<String>,
        /// Subject.
        subject: Option<String>,
        /// Name of the source.
        source: String,
        /// Licence of the row.
        license: Option<String>,
    }
}

table! {
    /// The level of a question for one student by one way of grading: what several runs know together.
    StudentLevelRow in "student_levels" {
        /// The question.
        question_id: String,
        /// Model name of the student.
        student: String,
        /// Hash over all that a level depends on beside question and student: prompts, probe, judging, grader.
        settings: String,
        /// Name of the grader.
        grader: String,
        /// `easy`, `1` to `5` (5 = hardest), or `ungraded`.
        level: String,
        /// Score behind the level, 0..1; lower is harder.
        score: Option<f64>,
        /// Correct among countable attempts, 0..1.
        pass_rate: Option<f64>,
        /// Lower end of the 95 % interval of the pass rate (Wilson).
        pass_rate_low: Option<f64>,
        /// Upper end of it.
        pass_rate_high: Option<f64>,
        /// Attempts asked.
        n_attempts: i64,
        /// Attempts that count.
        n_countable: i64,
        /// Correct ones.
        n_correct: i64,
        /// The run that it comes from, as it was named.
        run: String,
    }
}

table! {
    /// Something that hygiene found about a question.
    HygieneRow in "hygiene" {
        /// The question.
        question_id: String,
        /// Its first source id.
        source_id: String,
        /// `near_duplicate`, `contradiction`, `family` or `contaminated`.
        finding: String,
        /// The question that it repeats, contradicts or resembles; of a family, its first member.
        other: String,
        /// First source id of that one.
        other_source_id: String,
        /// The benchmark in which that one stands, for `contaminated`.
        bank: Option<String>,
        /// By which rule it was found.
        rule: String,
        /// Jaccard similarity, Indel similarity or share that is common, 0..1; none for a family.
        score: Option<f64>,
        /// What matched, for `contaminated`.
        span: Option<String>,
        /// Whether the question left for it.
        dropped: bool,
    }
}

mod file;
mod views;

pub use file::{TableReader, TableWriter, clear, each, path, replace};
pub use views::{AnnotationHead, AttemptHead, AttemptText, CotHead, CotText, VerdictHead};

#[cfg(test)]
mod tests {
    use super::*;

    fn row(n: i64) -> CotRow {
        CotRow {
            cot_id: format!("{n:016x}"),
            question_id: "q".into(),
            teacher: "t".into(),
            attempt: n,
            verdict: "correct".into(),
            reasoning: (n % 2 == 0).then(|| "so\u{2028}".repeat(n as usize % 7)),
            answer: Some("a".into()),
            finish: "stop".into(),
            prompt_tokens: None,
            completion_tokens: Some(n),
            cost_usd: Some(0.5),
            n_parts: 1,
        }
    }

    #[test]
    fn rows_come_back_and_files_are_identical() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for folder in &folders {
            let mut writer = TableWriter::create(folder.path()).unwrap();
            (0..3000).for_each(|n| writer.push(row(n)).unwrap());
            assert_eq!(writer.finish().unwrap(), 3000);
        }
        let rows: Vec<CotRow> = TableReader::open(folders[0].path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows, (0..3000).map(row).collect::<Vec<_>>());
        let bytes = |folder: &tempfile::TempDir| std::fs::read(path::<CotRow>(folder.path())).unwrap();
        assert_eq!(bytes(&folders[0]), bytes(&folders[1]));
    }

    #[test]
    fn a_table_without_rows_has_its_columns() {
        let folder = tempfile::tempdir().unwrap();
        TableWriter::<SampleRow>::create(folder.path()).unwrap().finish().unwrap();
        assert_eq!(TableReader::<SampleRow>::open(folder.path()).unwrap().count(), 0);
        std::fs::copy(path::<SampleRow>(folder.path()), path::<LevelRow>(folder.path())).unwrap();
        assert!(matches!(TableReader::<LevelRow>::open(folder.path()), Err(TableError::Shape { .. })));
    }
}
