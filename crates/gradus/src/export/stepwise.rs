//! Attempts step by step with a label for each step, for process reward models.

use gradus_model::Speaker;
use serde_json::{Value, json};

use super::Prompt;
use super::layout::{Column, Layout, Shape};
use crate::config::{self, UndecidedLabel};
use crate::tables::{LevelRow, QuestionRow, ScoreRow};

/// `{"prompt":"…","completions":["…"],"labels":[…]}`.
pub(super) struct Stepwise;

impl Layout for Stepwise {
    fn name(&self) -> &'static str {
        "stepwise"
    }

    fn about(&self) -> &'static str {
        "`prompt`, its solution step by step in `completions`, and in `labels` whether each step is right, for axolotl's \
         `stepwise_supervised`"
    }

    fn columns(&self) -> Vec<Column> {
        vec![
            ("prompt", Shape::Text),
            ("completions", Shape::TEXTS),
            ("labels", Shape::List(&Shape::Bool)),
            ("scores", Shape::List(&Shape::Float)),
            ("question_id", Shape::Text),
            ("source_id", Shape::Text),
            ("kind", Shape::Text),
            ("subject", Shape::Text),
            ("source", Shape::Text),
            ("license", Shape::Text),
            ("student", Shape::Text),
            ("level", Shape::Text),
            ("pass_rate", Shape::Float),
            ("role", Shape::Text),
            ("model", Shape::Text),
            ("attempt_id", Shape::Text),
            ("attempt", Shape::Int),
            ("verdict", Shape::Text),
            ("finish", Shape::Text),
            ("scorer", Shape::Text),
            ("form", Shape::Text),
            ("prompt_hash", Shape::Text),
        ]
    }
}

/// The question that steps answer.
pub(super) struct Of<'a> {
    pub(super) question: &'a QuestionRow,
    pub(super) level: Option<&'a LevelRow>,
    pub(super) prompt: &'a Prompt,
}

/// Who wrote the steps, and what was decided about the whole.
pub(super) struct By<'a> {
    /// `student` or `teacher`.
    pub(super) role: &'static str,
    pub(super) model: &'a str,
    pub(super) attempt_id: &'a str,
    pub(super) attempt: i64,
    pub(super) verdict: &'a str,
    pub(super) finish: &'a str,
}

/// Steps with their labels.
pub(super) struct Labelled {
    steps: Vec<String>,
    labels: Vec<bool>,
    /// None if nobody scored them.
    scores: Option<Vec<f64>>,
    scorer: Option<String>,
    form: Option<String>,
}

impl Labelled {
    /// Steps of an attempt that a model scored, or in a fixed word why they have no labels: `scored_as_a_whole`,
    /// `undecided`.
    pub(super) fn by_scores(config: &config::Stepwise, scores: &[ScoreRow]) -> Result<Self, &'static str> {
        if scores.iter().any(|score| score.step.is_none()) {
            return Err("scored_as_a_whole");
        }
        let mut scores: Vec<&ScoreRow> = scores.iter().collect();
        scores.sort_by_key(|score| score.step);
        let decided: Vec<(&ScoreRow, f64)> = scores
            .iter()
            .map_while(|score| score.score.filter(|_| !score.undecided).map(|number| (*score, number)))
            .collect();
        if decided.is_empty() || (decided.len() < scores.len() && config.undecided == UndecidedLabel::Drop) {
            return Err("undecided");
        }
        let first = decided[0].0;
        Ok(Self {
            steps: decided.iter().map(|(score, _)| score.text.clone()).collect(),
            labels: decided.iter().map(|(_, number)| *number >= config.threshold).collect(),
            scores: Some(decided.iter().map(|(_, number)| *number).collect()),
            scorer: Some(first.model.clone()),
            form: Some(first.form.clone()),
        })
    }

    /// Steps that are all right, because what they lead to is; `empty` if there are none.
    pub(super) fn all_right(steps: Vec<String>) -> Result<Self, &'static str> {
        if steps.is_empty() {
            return Err("empty");
        }
        Ok(Self { labels: vec![true; steps.len()], steps, scores: None, scorer: None, form: None })
    }

    /// The row.
    pub(super) fn row(self, of: &Of<'_>, by: &By<'_>) -> Vec<Value> {
        let Of { question, level, prompt } = of;
        let asked = prompt.messages.iter().filter(|message| message.role != Speaker::System);
        let asked: Vec<&str> = asked.map(|message| message.content.as_str()).collect();
        vec![
            asked.join("\n\n").into(),
            self.steps.into(),
            self.labels.into(),
            json!(self.scores),
            question.question_id.as_str().into(),
            question.source_ids.first().cloned().into(),
            question.kind.as_str().into(),
            question.subject.clone().into(),
            question.source.as_str().into(),
            question.license.clone().into(),
            level.map(|level| level.student.clone()).into(),
            level.map(|level| level.level.clone()).into(),
            level.and_then(|level| level.pass_rate).into(),
            by.role.into(),
            by.model.into(),
            by.attempt_id.into(),
            by.attempt.into(),
            by.verdict.into(),
            by.finish.into(),
            self.scorer.into(),
            self.form.into(),
            prompt.hash.as_str().into(),
        ]
    }
}
