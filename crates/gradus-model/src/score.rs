//! How good is each step of an answer? What a process reward model is asked, and what it says.
//!
//! Three forms on the wire ([`ScoreForm`]), one normal form of the answer ([`Scores`]). A score that was not
//! said is never made up: it is bounded by what was said, or undecided.

pub mod label;
pub(crate) mod read;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::{Fault, FaultKind, Message, Raw, Speaker, Usage, Wire};

/// How a process reward model is asked, on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(tag = "form", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScoreForm {
    /// `POST /pooling` with a conversation, `mark` after each step; the answer holds one row of class
    /// probabilities per mark (vLLM with Qwen2.5-Math-PRM, whose mark is `<extra_0>` and whose class 1 is
    /// "right").
    Pooling {
        /// Stands after each step.
        mark: String,
        /// Instructions ahead of the question; `None` leaves them to the model's template.
        system: Option<String>,
        /// Which class means that the step is right, from 0.
        positive: usize,
    },
    /// A chat completion of one token with log-probabilities, one call per step: scores the **last** of the
    /// steps; the earlier ones are turns before it, each answered by `positive` (RLHFlow). The first turn is
    /// the question, a blank and the first step.
    ChatLabels {
        /// Label of a right step, such as `+`.
        positive: String,
        /// Label of a wrong step, such as `-`.
        negative: String,
        /// How many of the likeliest tokens to ask for (`top_logprobs`); most servers allow 20 at most.
        top: u32,
    },
    /// A completion with log-probabilities of the prompt, `mark` after each step; the two labels are compared
    /// where the mark has just been read (Math-Shepherd, whose mark is `ки`).
    PromptLogprobs {
        /// Stands after each step.
        mark: String,
        /// Label of a right step, such as `+`.
        positive: String,
        /// Label of a wrong step, such as `-`.
        negative: String,
    },
}

/// One scoring to ask for.
#[derive(Debug, Clone)]
pub struct Score {
    /// How to ask.
    pub form: ScoreForm,
    /// The question that is answered.
    pub question: String,
    /// The steps of the answer, at least one. [`ScoreForm::ChatLabels`] scores the last one only.
    pub steps: Vec<String>,
    /// Further fields of the request body, as the user's config gives them.
    pub extra: Map<String, Value>,
    /// Id of the attempt in the ledger; sent as `X-Request-Id`.
    pub request_id: String,
    /// Whose answer is scored: every source id of the question. Only replay looks at it.
    pub source_ids: Arc<[String]>,
    /// Which attempt at that question is scored, from 0. Only replay looks at it.
    pub attempt: u32,
}

/// How good one step is: the probability that it is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepScore {
    /// In 0..=1.
    Known(f64),
    /// Between these, in 0..=1: one label was not among the returned ones, and so is at most as likely as the
    /// least likely that was.
    Bounded {
        /// At least.
        low: f64,
        /// At most.
        high: f64,
    },
    /// Neither label was among the returned ones, or the recording has none.
    Undecided,
}

/// What a process reward model says.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// One per step; for [`ScoreForm::ChatLabels`] that of the last step alone. Empty if only `whole` is there.
    pub steps: Vec<StepScore>,
    /// Score of the answer as a whole, in a recording that has no scores of steps. Not a probability where the
    /// recording has a logit: its logistic function, which keeps the order.
    pub whole: Option<StepScore>,
    /// Token counts.
    pub usage: Usage,
    /// Cost as the server reports it, in US dollars.
    pub cost_usd: Option<f64>,
    /// Model name in the response.
    pub model: Option<String>,
}

impl Raw {
    /// Reads an answer to a scoring of `n_steps` steps.
    ///
    /// # Errors
    /// A [`Fault`] that carries the body: an error inside a 200, something that is no such answer, another
    /// number of scores than of steps, or numbers that are no probabilities.
    pub fn read_scores(&self, form: &ScoreForm, n_steps: usize) -> Result<Scores, Fault> {
        read::scores(self, form, n_steps).map_err(|fault| fault.with_body(self.body.clone()))
    }
}

impl Scores {
    /// Scores as this crate writes them itself: [`Wire::ScoresJson`].
    ///
    /// `{"object": "gradus.step_scores", "model", "scores": [0.9, null, [0.2, 1.0]], "usage"}`, or `whole` in
    /// place of `scores`: a number is a score, `null` undecided, two numbers are bounds.
    pub fn to_raw(&self) -> Raw {
        let one = |score: &StepScore| match *score {
            StepScore::Known(score) => json!(score),
            StepScore::Bounded { low, high } => json!([low, high]),
            StepScore::Undecided => Value::Null,
        };
        let mut body = json!({ "object": "gradus.step_scores", "model": self.model });
        match &self.whole {
            Some(whole) => body["whole"] = one(whole),
            None => body["scores"] = self.steps.iter().map(one).collect(),
        }
        if let Some(prompt) = self.usage.prompt {
            body["usage"] = json!({ "prompt_tokens": prompt, "completion_tokens": self.usage.completion.unwrap_or(0) });
        }
        Raw { wire: Wire::ScoresJson, body: body.to_string().into() }
    }
}

impl ScoreForm {
    /// Whether its settings can work at all.
    ///
    /// # Errors
    /// What is wrong: an empty mark or label, or two labels that differ in blanks only.
    pub fn check(&self) -> Result<(), String> {
        let bare = |text: &str| label::bare(text).to_owned();
        let (mark, labels) = match self {
            ScoreForm::Pooling { mark, .. } => (Some(mark), None),
            ScoreForm::ChatLabels { top: 0, .. } => return Err("`top` is 0: no label would be returned".to_owned()),
            ScoreForm::ChatLabels { positive, negative, .. } => (None, Some((positive, negative))),
            ScoreForm::PromptLogprobs { mark, positive, negative } => (Some(mark), Some((positive, negative))),
        };
        if mark.is_some_and(|mark| bare(mark).is_empty()) {
            return Err("the mark is empty".to_owned());
        }
        match labels {
            Some((positive, negative)) if bare(positive).is_empty() || bare(negative).is_empty() => {
                Err("a label is empty".to_owned())
            }
            Some((positive, negative)) if bare(positive) == bare(negative) => {
                Err(format!("both labels are `{}`", bare(positive)))
            }
            _ => Ok(()),
        }
    }
}

impl Score {
    /// The conversation that is sent: for [`ScoreForm::Pooling`] the answer with its marks, for
    /// [`ScoreForm::ChatLabels`] a turn for each step, the earlier ones called right.
    pub fn turns(&self) -> Vec<Message> {
        let say = |role, content: &str| Message { role, content: content.to_owned() };
        match &self.form {
            ScoreForm::Pooling { mark, system, .. } => {
                let answer: String = self.steps.iter().flat_map(|step| [step.as_str(), mark]).collect();
                let system = system.iter().map(|system| say(Speaker::System, system));
                system.chain([say(Speaker::User, &self.question), say(Speaker::Assistant, &answer)]).collect()
            }
            ScoreForm::ChatLabels { positive, .. } => {
                let mut turns = Vec::with_capacity(2 * self.steps.len());
                for (at, step) in self.steps.iter().enumerate() {
                    if at == 0 {
                        turns.push(say(Speaker::User, &format!("{} {step}", self.question)));
                    } else {
                        turns.extend([say(Speaker::Assistant, positive), say(Speaker::User, step)]);
                    }
                }
                turns
            }
            ScoreForm::PromptLogprobs { .. } => vec![say(Speaker::User, &self.prompt().0)],
        }
    }

    /// The text whose log-probabilities are asked for in [`ScoreForm::PromptLogprobs`], and the byte where each
    /// mark ends. A line end follows each mark, the last one too: what a model thinks at a mark is told with the
    /// token behind it.
    pub fn prompt(&self) -> (String, Vec<usize>) {
        let ScoreForm::PromptLogprobs { mark, .. } = &self.form else {
            return (self.question.clone(), Vec::new());
        };
        let mut prompt = format!("{} ", self.question);
        let mut ends = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            prompt.extend([step, " ", mark]);
            ends.push(prompt.len());
            prompt.push('\n');
        }
        (prompt, ends)
    }

    /// Whether this can be asked at all: what would make scores fall on the wrong steps is refused beforehand.
    ///
    /// # Errors
    /// A `BadRequest`: settings that cannot work, no steps, or a step that holds the mark itself.
    pub fn check(&self) -> Result<(), Fault> {
        let bad = |why: String| Fault::new(FaultKind::BadRequest, format!("these steps cannot be scored: {why}"));
        self.form.check().map_err(bad)?;
        if self.steps.is_empty() {
            return Err(bad("there are none".to_owned()));
        }
        if let ScoreForm::Pooling { mark, .. } | ScoreForm::PromptLogprobs { mark, .. } = &self.form {
            let mark = label::bare(mark);
            if matches!(self.form, ScoreForm::Pooling { .. }) && self.question.contains(mark) {
                return Err(bad(format!("the question holds the mark `{mark}` itself")));
            }
            if let Some(at) = self.steps.iter().position(|step| step.contains(mark)) {
                return Err(bad(format!("step {} holds the mark `{mark}` itself", at + 1)));
            }
        }
        Ok(())
    }
}
