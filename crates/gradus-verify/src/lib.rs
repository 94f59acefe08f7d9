//! Is this answer right? Pure: no IO, no async, no unsafe, no model, no clock.
//!
//! ```
//! use gradus_verify::{Answer, Form, Kind, Outcome, Reference, verify};
//!
//! let reference = Reference {
//!     kind: Kind::Math,
//!     values: vec![r"\frac{\sqrt{2}}{2}".into()],
//!     tolerance: None,
//!     options: Vec::new(),
//! };
//! let answer = Answer { text: r"Hence $\sin 45^\circ = \boxed{1/\sqrt{2}}$.", form: Form::Text };
//! let verdict = verify(&reference, &answer);
//! assert_eq!(verdict.outcome, Outcome::Correct);
//! assert_eq!(verdict.extracted.unwrap().text, r"1/\sqrt{2}");
//!
//! let wrong = verify(&reference, &Answer { text: "0.7071", form: Form::Bare });
//! assert_eq!(wrong.outcome, Outcome::Incorrect, "an approximation of an exact answer");
//! ```
//!
//! A verdict takes three steps. *Extraction* finds the final answer in a response (the part behind
//! the thinking; boxes, announced answers, the last formula, the last number). *Reading* turns
//! LaTeX, ASCII or Unicode notation into one tree, with few alternative readings where notation is
//! ambiguous. *Deciding* compares two trees: fractions exactly, rational functions over a prime
//! field, everything else by rigorous enclosures, first in double and then in multiple precision;
//! lists, sets, tuples, intervals, matrices, equations, inequalities and quantities by what they
//! mean. What cannot be decided is [`Outcome::Undecided`], never a guess.
//!
//! Conventions, where mathematics alone does not decide:
//! - A decimal reference of three or more significant digits accepts what rounds to it, one of two is
//!   undecided there; an exact reference accepts no approximation, but a fraction accepts its
//!   rounding to four or more digits.
//! - A unit may be missing on one side; units that conflict make a difference, known ones convert.
//!   `5 %` is `0.05` and, with the sign left out, `5`.
//! - Expressions are equal if they are where both are defined, but for isolated points. Letters
//!   under logarithms are positive. Odd roots of negative numbers are real or principal.
//! - `y = f` may be answered by `f`; lists have no order, tuples have; a list counts repetitions, a
//!   set does not; items with names of their own belong to their names.
//! - Words beside formulas may be left out, but not contradict: `maximum 5` and `minimum 5` are left
//!   undecided.
//!
//! Limits are counted (bytes, depth, nodes, bits, steps), never timed: the same input gets the same
//! verdict on every machine and thread.
#![forbid(unsafe_code)]

mod choice;
mod decide;
mod extract;
mod literal;
mod math;
mod text;

use std::ops::Range;

pub use decide::verify;
pub use extract::extract;

/// As what kind of mathematics a text reads, for example `fraction` or `interval`; `None` if it does not.
pub fn read_as(text: &str) -> Option<&'static str> {
    math::kind_of(text)
}

/// Version of the rules; a verdict names it, so that old verdicts can be told from new ones.
pub const VERSION: &str = "1";

/// How an answer is to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mathematics: equivalence of numbers, expressions, sets, relations, quantities.
    Math,
    /// A letter among given options.
    Choice,
    /// A short text.
    Text,
}

/// How far a number may lie from the reference, where the bank says so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Share of the reference's magnitude, for example 0.05 (as SciBench grades).
    Relative(f64),
    /// Absolute distance, in the reference's own unit.
    Absolute(f64),
}

/// What a right answer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// How to compare.
    pub kind: Kind,
    /// Accepted answers; matching one of them is enough. Never empty.
    pub values: Vec<String>,
    /// Allowed distance of numbers; `None` means equality at the reference's own precision.
    pub tolerance: Option<Tolerance>,
    /// Texts of the options in order A, B, C ... for `Kind::Choice`; empty if unknown.
    pub options: Vec<String>,
}

/// In which form an answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A final answer as it stands.
    Bare,
    /// A full response, from which the final answer has to be extracted.
    Text,
}

/// What a model answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The answer, or the full response.
    pub text: &'a str,
    /// Which of the two it is.
    pub form: Form,
}

/// The four verdicts. Undecided is never counted as wrong, and never as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Equivalent to an accepted answer.
    Correct,
    /// Shown to differ from every accepted answer.
    Incorrect,
    /// The response holds no final answer.
    NoAnswer,
    /// Could not tell.
    Undecided,
}

/// How sure a decision is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Decided by exact arithmetic or by identical normal forms.
    Exact,
    /// Decided by rigorous bounds.
    Certified,
    /// Agreement to so many bits (or an identity test of that error exponent).
    Probabilistic {
        /// Chance of error is at most 2^-bits under the stated model.
        bits: u32,
    },
}

/// The final answer found in a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// The answer as it stands in the response.
    pub text: String,
    /// Its byte range in the response.
    pub span: Range<usize>,
    /// Which rule found it, for example `boxed` or `last_number`.
    pub rule: &'static str,
}

/// The result of one verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Correct, incorrect, no answer or undecided.
    pub outcome: Outcome,
    /// The final answer, if one was found.
    pub extracted: Option<Extracted>,
    /// How it was decided: the kinds of both sides and the comparison, for example `rational=rational`.
    pub method: String,
    /// How sure the decision is; `None` if there was nothing to decide.
    pub proof: Option<Proof>,
    /// What shows the difference, for an incorrect answer.
    pub witness: Option<String>,
    /// One sentence a person can read.
    pub explanation: String,
}
