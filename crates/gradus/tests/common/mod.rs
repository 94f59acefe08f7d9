//! Questions, completions and outcomes of tests, plain but for what a test is about.

use std::sync::Arc;

use gradus::question::{Kind, Question, QuestionId};
use gradus_model::{Completion, Finish, Usage};
use gradus_sandbox::{Status, TestOutcome};

/// A question that nothing but its text is known of.
pub(crate) fn question(kind: Kind, text: &str) -> Question {
    Question {
        id: QuestionId::of(kind, text, &[]),
        source_ids: Arc::new([text.to_owned()]),
        kind,
        text: text.to_owned(),
        references: Vec::new(),
        tolerance: None,
        tests: None,
        starter: String::new(),
        options: Vec::new(),
        level: None,
        subject: None,
        source: "test".to_owned(),
        license: None,
    }
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
