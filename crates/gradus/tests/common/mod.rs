//! Questions, completions and outcomes of tests, plain but for what a test is about.

use gradus::question::{Kind, Question};
use gradus_model::{Completion, Finish, Usage};
use gradus_sandbox::{Status, TestOutcome};

/// A question that nothing but its text is known of.
pub(crate) fn question(kind: Kind, text: &str) -> Question {
    Question { source: "test".to_owned(), ..Question::bare(kind, text) }
}

pub(crate) fn completion(answer: Option<String>, finish: Finish) -> Completion {
    Completion { reasoning: None, answer, finish, usage: Usage::default(), cost_usd: None, model: None }
}

pub(crate) fn test_outcome(status: Status) -> TestOutcome {
    TestOutcome {
        status,
        detail: format!("because of {status:?}"),
        cpu_ms: 1,
        wall_ms: 1,
        memory_bytes: 1,
        stdout: String::new(),
        stderr: String::new(),
        in_process: false,
    }
}
