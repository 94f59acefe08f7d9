//! verl's rows for reinforcement learning: a prompt, and what the reward function compares with.

use gradus_sandbox::Tests;
use serde_json::{Value, json};

use super::layout::{Column, Layout, Rl, Shape};
use super::rl::Task;

/// `{"data_source":…,"prompt":[…],"ability":…,"reward_model":{…},"extra_info":{…}}`.
pub(super) struct Verl;

const REWARD_MODEL: [Column; 2] = [("style", Shape::Text), ("ground_truth", Shape::Text)];

const EXTRA_INFO: [Column; 15] = [
    ("split", Shape::Text),
    ("index", Shape::Int),
    ("question", Shape::Text),
    ("answer", Shape::Text),
    ("question_id", Shape::Text),
    ("source_id", Shape::Text),
    ("kind", Shape::Text),
    ("options", Shape::TEXTS),
    ("tolerance", Shape::Float),
    ("subject", Shape::Text),
    ("source", Shape::Text),
    ("license", Shape::Text),
    ("student", Shape::Text),
    ("level", Shape::Text),
    ("pass_rate", Shape::Float),
];

impl Layout for Verl {
    fn name(&self) -> &'static str {
        "verl"
    }

    fn about(&self) -> &'static str {
        "`data_source`, `prompt`, `ability`, `reward_model` and `extra_info`, one row per question, for verl's \
         reinforcement learning; `data_source` chooses the reward function"
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            ("data_source", Shape::Text),
            ("prompt", Shape::MESSAGES),
            ("ability", Shape::Text),
            ("reward_model", Shape::Fields(&REWARD_MODEL)),
            ("extra_info", Shape::Fields(&EXTRA_INFO)),
        ]
    }
}

impl Rl for Verl {
    fn fill(&self, task: &Task, index: u64) -> Option<Vec<Value>> {
        let (question, level) = (&task.question, &task.level);
        // Names that verl knows a reward function for: a boxed answer compared, and programs run on pairs.
        let (data_source, ability, ground_truth) = match &task.tests {
            Some(tests) => ("taco", "code", pairs(tests)?),
            None => ("lighteval/MATH", if question.kind == "math" { "math" } else { "qa" }, task.answer()?.to_owned()),
        };
        Some(vec![
            task.data_source.unwrap_or(data_source).into(),
            json!(task.messages()),
            ability.into(),
            json!({"style": "rule", "ground_truth": ground_truth}),
            json!({
                "split": "train", "index": index, "question": question.question, "answer": task.answer(),
                "question_id": question.question_id, "source_id": question.source_ids.first(), "kind": question.kind,
                "options": (!question.options.is_empty()).then_some(&question.options), "tolerance": task.tolerance(),
                "subject": question.subject, "source": question.source, "license": question.license,
                "student": level.student, "level": level.level, "pass_rate": level.pass_rate,
            }),
        ])
    }
}

/// Tests as verl's runners of programs read them; none if they are no pairs of input and output, or not for Python.
fn pairs(tests: &Tests) -> Option<String> {
    let Tests::Stdin { cases, tolerance: None, checker: None, language } = tests else { return None };
    if language != "python" {
        return None;
    }
    let inputs: Vec<&str> = cases.iter().map(|case| case.input.as_str()).collect();
    let outputs: Vec<&str> = cases.iter().map(|case| case.output.as_str()).collect();
    Some(json!({"inputs": inputs, "outputs": outputs}).to_string())
}
