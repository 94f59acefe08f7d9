//! Code questions for reinforcement learning in the form of open-r1 and PrimeIntellect: tests in `verification_info`.

use gradus_sandbox::Tests;
use serde_json::{Value, json};

use super::layout::{Column, Layout, Rl, Shape};
use super::rl::Task;

/// `{"prompt":[…],"verification_info":{"language":…,"test_cases":[…]},…}`.
pub(super) struct CodeRl;

const TEST_CASE: Shape = Shape::Fields(&[("input", Shape::Text), ("output", Shape::Text), ("type", Shape::Text)]);

const VERIFICATION_INFO: Shape = Shape::Fields(&[("language", Shape::Text), ("test_cases", Shape::List(&TEST_CASE))]);

impl Layout for CodeRl {
    fn name(&self) -> &'static str {
        "code_rl"
    }

    fn about(&self) -> &'static str {
        "`prompt` and `verification_info` (`language`, `test_cases` with `input`, `output` and `type`) as open-r1's \
         rewards for code read it; one row per code question"
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            ("prompt", Shape::MESSAGES),
            ("verification_info", VERIFICATION_INFO),
            ("question_id", Shape::Text),
            ("source_id", Shape::Text),
            ("subject", Shape::Text),
            ("source", Shape::Text),
            ("license", Shape::Text),
            ("student", Shape::Text),
            ("level", Shape::Text),
            ("pass_rate", Shape::Float),
        ]
    }
}

impl Rl for CodeRl {
    fn is_for(&self, task: &Task) -> bool {
        task.tests.is_some()
    }

    fn fill(&self, task: &Task, _: u64) -> Option<Vec<Value>> {
        let (question, level) = (&task.question, &task.level);
        let Some(Tests::Stdin { cases, tolerance: None, checker: None, language }) = &task.tests else { return None };
        let case = |case: &gradus_sandbox::StdinCase| json!({"input": case.input, "output": case.output, "type": "stdin_stdout"});
        let cases: Vec<Value> = cases.iter().map(case).collect();
        Some(vec![
            json!(task.messages()),
            json!({"language": language, "test_cases": cases}),
            question.question_id.as_str().into(),
            question.source_ids.first().cloned().into(),
            question.subject.clone().into(),
            question.source.as_str().into(),
            question.license.clone().into(),
            level.student.as_str().into(),
            level.level.as_str().into(),
            level.pass_rate.into(),
        ])
    }
}
