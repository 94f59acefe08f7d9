//! What was decided about one attempt.

use crate::work::Reason;

/// The four verdicts. Undecided is never counted as wrong, and never as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The answer is right.
    Correct,
    /// The answer is wrong.
    Incorrect,
    /// There is no final answer.
    NoAnswer,
    /// Could not tell: equivalence unknown, sandbox broken, no rule for this kind.
    Undecided,
}

impl Outcome {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Correct, Self::Incorrect, Self::NoAnswer, Self::Undecided];

    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Correct => "correct",
            Self::Incorrect => "incorrect",
            Self::NoAnswer => "no_answer",
            Self::Undecided => "undecided",
        }
    }
}

/// The verdict on one attempt, with what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What was decided.
    pub outcome: Outcome,
    /// Which rule decided, for example `verify:rational=rational` or `sandbox`.
    pub method: String,
    /// Version of that rule's code.
    pub version: &'static str,
    /// The final answer (or the code) that was looked at.
    pub extracted: Option<String>,
    /// One sentence for a person.
    pub explanation: String,
    /// Tests passed and tests there are, for code.
    pub tests: Option<(u32, u32)>,
    /// What the judge said of it, where it was asked: its word, or why it has none.
    pub heard: Option<Result<Outcome, Reason>>,
}
