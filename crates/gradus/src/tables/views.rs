//! Some columns of a table, for passes that need not read its texts. A view reads and never writes.

use arrow::array::ArrayRef;
use arrow::datatypes::Field;
use serde::Serialize;

use super::{Cell, Row};

table! {
    /// A chain of thought without its text.
    CotHead in "cots" {
        /// As in [`super::CotRow`].
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Model name of the teacher.
        teacher: String,
        /// Its verdict.
        verdict: String,
        /// How it ended.
        finish: String,
        /// Tokens written, as the server counts them.
        completion_tokens: Option<i64>,
    }
}

table! {
    /// The text of a chain of thought.
    CotText in "cots" {
        /// The thinking part.
        reasoning: Option<String>,
        /// The part after the thinking.
        answer: Option<String>,
    }
}

table! {
    /// What selection goes by.
    AnnotationHead in "annotations" {
        /// The chain of thought.
        cot_id: String,
        /// Its question.
        question_id: String,
        /// Its length in `length_unit`.
        length: i64,
        /// `tokens`, `student_tokens` or `characters`; one unit in a table.
        length_unit: String,
        /// Reasoning Verbosity by the judge, 0..9.
        rv: Option<f64>,
        /// Cognitive Difficulty, 0..9.
        cd: Option<f64>,
        /// Reasoning Verbosity fused of rating and length, 0..9.
        s_rv: Option<f64>,
        /// `sound`, `flawed` or `undecided`.
        process: Option<String>,
        /// Mean negative log-likelihood per token under the student, nats.
        mean_nll: Option<f64>,
        /// Rank-Surprisal Ratio under the student.
        rsr: Option<f64>,
        /// Local Naturalness under the student.
        naturalness: Option<f64>,
    }
}

table! {
    /// How long an attempt of the student is.
    AttemptHead in "attempts" {
        /// As in [`super::AttemptRow`].
        attempt_id: String,
        /// The question asked.
        question_id: String,
        /// How it ended.
        finish: String,
        /// Tokens written, as the server counts them.
        completion_tokens: Option<i64>,
    }
}

table! {
    /// The text of an attempt of the student.
    AttemptText in "attempts" {
        /// The thinking part.
        reasoning: Option<String>,
        /// The part after the thinking.
        answer: Option<String>,
    }
}

table! {
    /// A verdict without its grounds.
    VerdictHead in "verdicts" {
        /// The attempt judged.
        attempt_id: String,
        /// Its question.
        question_id: String,
        /// `student` or `teacher`.
        role: String,
        /// The verdict.
        verdict: String,
    }
}
