//! TRL's rows for GRPO and RLOO: a prompt, and columns that reward functions are given.

use serde_json::{Value, json};

use super::layout::{Column, Layout, Rl, Shape};
use super::rl::Task;

/// `{"prompt":[…],"solution":…,"answer":…,…}`.
pub(super) struct TrlGrpo;

impl Layout for TrlGrpo {
    fn name(&self) -> &'static str {
        "trl_grpo"
    }

    fn about(&self) -> &'static str {
        "`prompt`, and what TRL's GRPOTrainer hands to reward functions: `solution` (the answer in a box), `answer` as it \
         stands, all accepted `answers`, `tests` of code as JSON; one row per question"
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            ("prompt", Shape::MESSAGES),
            ("solution", Shape::Text),
            ("answer", Shape::Text),
            ("answers", Shape::TEXTS),
            ("options", Shape::TEXTS),
            ("tolerance", Shape::Float),
            ("tests", Shape::Text),
            ("question_id", Shape::Text),
            ("source_id", Shape::Text),
            ("kind", Shape::Text),
            ("subject", Shape::Text),
            ("source", Shape::Text),
            ("license", Shape::Text),
            ("student", Shape::Text),
            ("level", Shape::Text),
            ("pass_rate", Shape::Float),
        ]
    }
}

impl Rl for TrlGrpo {
    fn fill(&self, task: &Task, _: u64) -> Option<Vec<Value>> {
        let (question, level) = (&task.question, &task.level);
        Some(vec![
            json!(task.messages()),
            // A reward function that reads LaTeX finds a bare answer only in a box or between dollars.
            task.answer().map(|answer| format!("\\boxed{{{answer}}}")).into(),
            task.answer().into(),
            json!(question.references),
            json!(question.options),
            task.tolerance().into(),
            question.tests.clone().into(),
            question.question_id.as_str().into(),
            question.source_ids.first().cloned().into(),
            question.kind.as_str().into(),
            question.subject.clone().into(),
            question.source.as_str().into(),
            question.license.clone().into(),
            level.student.as_str().into(),
            level.level.as_str().into(),
            level.pass_rate.into(),
        ])
    }
}
