//! Recorded scores of steps, in the shapes in which they are handed around.
//!
//! - `scores`: one per step, a number in 0..=1, `null` for undecided, or `[low, high]`;
//! - `labels`: one per step, `true`/`false` or `"+"`/`"-"`;
//! - `ratings`: one per step, 1, 0 or -1 as in PRM800K; 1 and 0 count as right, as they do where process reward
//!   models are trained on them;
//! - `score`: the whole answer's, in 0..=1; or `meta.rm_score`, the whole answer's as a logit, a number or a list
//!   of one.
//!
//! Beside each of the first three, `steps` may hold the steps themselves; scores are then given for these alone.

use serde::Deserialize;
use serde_json::Value;

use crate::score::read::one_own;
use crate::{Score, ScoreForm, Scores, StepScore, Usage};

/// The fields of a row that hold scores.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ScoreRow {
    #[serde(default)]
    steps: Option<Value>,
    #[serde(default)]
    scores: Option<Value>,
    #[serde(default)]
    labels: Option<Value>,
    #[serde(default)]
    ratings: Option<Value>,
    #[serde(default)]
    score: Option<Value>,
}

/// What was recorded of one answer.
#[derive(Debug)]
pub(super) struct RecordedScores {
    steps: Option<Vec<String>>,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Steps(Vec<StepScore>),
    Whole(StepScore),
}

impl ScoreRow {
    /// The scores of the row, if it has any; else why they are none.
    pub(super) fn read(self, rm_score: Option<Value>) -> Result<Option<RecordedScores>, String> {
        let bad = |what: &str, value: &Value| format!("expected {what}, found {value}");
        let label = |value: &Value| match value {
            Value::Bool(right) => Ok(*right),
            Value::String(label) if matches!(label.as_str(), "+" | "-") => Ok(label == "+"),
            value => Err(bad("true, false, \"+\" or \"-\" in `labels`", value)),
        };
        let rating = |value: &Value| match value.as_i64() {
            Some(rating @ -1..=1) => Ok(rating >= 0),
            _ => Err(bad("1, 0 or -1 in `ratings`", value)),
        };
        let known = |right: bool| StepScore::Known(f64::from(u8::from(right)));
        type One<'a> = &'a dyn Fn(&Value) -> Result<StepScore, String>;
        let fields: [(&str, &Option<Value>, One); 3] = [
            ("scores", &self.scores, &|value| one_own(value).map_err(|fault| fault.message)),
            ("labels", &self.labels, &|value| label(value).map(known)),
            ("ratings", &self.ratings, &|value| rating(value).map(known)),
        ];
        let given = fields.into_iter().find_map(|(name, list, one)| Some((name, list.as_ref()?, one)));
        if let Some((name, list, one)) = given {
            let list = list.as_array().ok_or_else(|| bad(&format!("a list in `{name}`"), list))?;
            let scores: Vec<StepScore> = list.iter().map(one).collect::<Result<_, _>>()?;
            let texts = |steps: &Value| serde_json::from_value::<Vec<String>>(steps.clone()).ok();
            let steps = match &self.steps {
                None => None,
                Some(steps) => Some(texts(steps).ok_or_else(|| bad("a list of texts in `steps`", steps))?),
            };
            if let Some(steps) = steps.as_ref().filter(|steps| steps.len() != scores.len()) {
                return Err(format!("{} steps have {} scores", steps.len(), scores.len()));
            }
            return Ok(Some(RecordedScores { steps, said: Said::Steps(scores) }));
        }
        if let Some(score) = &self.score {
            let score = one_own(score).map_err(|fault| fault.message)?;
            return Ok(Some(RecordedScores { steps: None, said: Said::Whole(score) }));
        }
        let logit = rm_score.as_ref().and_then(|value| value.as_array().map_or(Some(value), |list| list.first()));
        match logit {
            None | Some(Value::Null) => Ok(None),
            Some(logit) => {
                let logit = logit.as_f64().ok_or_else(|| bad("a number in `meta.rm_score`", logit))?;
                let said = Said::Whole(StepScore::Known(1.0 / (1.0 + (-logit).exp())));
                Ok(Some(RecordedScores { steps: None, said }))
            }
        }
    }
}

impl RecordedScores {
    /// What these say to a request; else why nothing.
    pub(super) fn answer(&self, request: &Score, model: &str) -> Result<Scores, String> {
        let model = Some(model.to_owned());
        let none = Scores { steps: Vec::new(), whole: None, usage: Usage::default(), cost_usd: None, model };
        let scores = match &self.said {
            Said::Whole(whole) => return Ok(Scores { whole: Some(*whole), ..none }),
            Said::Steps(scores) => scores,
        };
        let n_wanted = request.steps.len();
        let last_only = matches!(request.form, ScoreForm::ChatLabels { .. });
        if n_wanted > scores.len() || n_wanted < scores.len() && !last_only {
            return Err(format!("{n_wanted} steps are wanted, {} are recorded", scores.len()));
        }
        let mut both = self.steps.iter().flatten().zip(&request.steps);
        if let Some(at) = both.position(|(recorded, wanted)| recorded.trim() != wanted.trim()) {
            return Err(format!("step {} is another one in the recording", at + 1));
        }
        let wanted = if last_only { &scores[n_wanted - 1..n_wanted] } else { scores };
        Ok(Scores { steps: wanted.to_vec(), ..none })
    }
}
