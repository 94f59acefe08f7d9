//! How a model scores a wrong attempt: which form its server speaks, what is a step, how steps become one number.

use std::path::PathBuf;

use gradus_model::ScoreForm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Config, ConfigError, Grader, ModelConfig, SamplingConfig};

/// How a model scores wrong attempts, for the graders `prm`, `generative` and `judge`. The paper names no model, no
/// aggregation and no prompt: every default here is ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// How `prm` is asked.
    pub form: PrmForm,
    /// Text after each step, for `pooling` (`<extra_0>` if absent) and `prompt_logprobs` (`ки` if absent).
    pub mark: Option<String>,
    /// Label of a right step, for `chat_labels` and `prompt_logprobs`.
    pub positive: String,
    /// Label of a wrong step, for the same.
    pub negative: String,
    /// Which class means that a step is right, from 0, for `pooling`.
    pub class: usize,
    /// How many of the likeliest tokens are asked for, for `chat_labels`; most servers allow 20 at most.
    pub top: u32,
    /// What of an attempt is scored.
    pub part: Part,
    /// What is a step.
    pub steps: StepSplit,
    /// How the scores of the steps become one number.
    pub aggregate: Aggregate,
    /// A step with a lower score is bad, for `first_bad_fraction`. A guess, the middle.
    pub bad_below: f64,
    /// What becomes of an attempt when a step of it could not be decided.
    pub undecided_step: UndecidedStep,
    /// File with the words in which a model is asked to mark steps (`{question}`, `{steps}`) or to rate an attempt
    /// (`{question}`, `{attempt}`); both may use `{reference}`. The built-in one if absent.
    pub prompt: Option<PathBuf>,
    /// Ask for a JSON schema (`response_format`), where the server has it.
    pub structured: bool,
    /// Most replies asked for until one can be read.
    pub tries: u32,
    /// How to sample where the model answers in words.
    pub sampling: SamplingConfig,
}

impl Default for Scoring {
    fn default() -> Self {
        Self {
            form: PrmForm::Pooling,
            mark: None,
            positive: "+".into(),
            negative: "-".into(),
            class: 1,
            top: 20,
            part: Part::All,
            steps: StepSplit::default(),
            aggregate: Aggregate::Mean,
            bad_below: 0.5,
            undecided_step: UndecidedStep::Exclude,
            prompt: None,
            structured: false,
            tries: 3,
            sampling: SamplingConfig { max_tokens: 4_096, ..SamplingConfig::default() },
        }
    }
}

/// How a process reward model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrmForm {
    /// Class probabilities at a mark after each step, by `POST /pooling` (vLLM, Qwen2.5-Math-PRM).
    Pooling,
    /// One label after each step, one chat completion per step with log-probabilities (RLHFlow).
    ChatLabels,
    /// Log-probabilities of the prompt at a mark after each step (Math-Shepherd).
    PromptLogprobs,
    /// Words: the model is asked to mark every step. Any chat model.
    Generative,
}

/// What of an attempt is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The thinking, if there is any, and what follows it.
    All,
    /// What follows the thinking: for reasoning students, whose thinking is longer than most contexts.
    Answer,
}

/// What is a step. Formulas set apart and code fences are never split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StepSplit {
    /// Where a step begins.
    pub by: SplitBy,
    /// A piece with fewer words and signs joins its neighbour.
    pub fragment: u32,
    /// Most steps; where there are more, neighbours are joined in even groups.
    pub max_steps: u32,
}

impl Default for StepSplit {
    fn default() -> Self {
        Self { by: SplitBy::Paragraphs, fragment: 8, max_steps: 100 }
    }
}

/// Where a step begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// After a blank line.
    Paragraphs,
    /// At every line with something on it.
    Lines,
    /// At every sentence and every line with something on it.
    Sentences,
    /// At `Step 2:` and `## ...`; after a blank line where there are fewer than two of them.
    Heads,
}

/// How the scores of the steps become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// Their mean.
    Mean,
    /// The lowest.
    Min,
    /// Their product.
    Product,
    /// That of the last step.
    Last,
    /// The share of the steps that come before the first bad one.
    FirstBadFraction,
}

impl Aggregate {
    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Product => "product",
            Self::Last => "last",
            Self::FirstBadFraction => "first_bad_fraction",
        }
    }
}

/// What becomes of an attempt when a step of it could not be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UndecidedStep {
    /// The other steps count. An attempt without a decided step has no score, and with `last` none without the last.
    Exclude,
    /// The attempt has no score.
    Attempt,
}

/// Who scores wrong attempts, and in which form.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredBy<'a> {
    /// `prm` or `judge`: whose settings these are.
    pub role: &'static str,
    /// The model.
    pub model: &'a ModelConfig,
    /// What it is asked for.
    pub form: ScoredForm,
}

/// What a scoring model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoredForm {
    /// Probabilities of the steps.
    Steps(PrmForm),
    /// A rating of the whole attempt, in words.
    Rating,
}

impl Config {
    /// Who scores wrong attempts; nobody if the grader asks no model.
    ///
    /// # Errors
    /// If the grader needs a model that is not set.
    pub fn scored_by(&self) -> Result<Option<ScoredBy<'_>>, ConfigError> {
        let prm =
            self.prm.as_ref().map(|model| ScoredBy { role: "prm", model, form: ScoredForm::Steps(self.scoring.form) });
        let words = |role, model| ScoredBy { role, model, form: ScoredForm::Steps(PrmForm::Generative) };
        let judge = self.judge.as_ref().map(|model| words("judge", model));
        let (found, wanted) = match self.grade.grader {
            Grader::FirstCorrect | Grader::PassRate | Grader::Tests => return Ok(None),
            Grader::Prm => (prm.or(judge), "`prm` or `judge`"),
            Grader::Generative => {
                (judge.or_else(|| self.prm.as_ref().map(|model| words("prm", model))), "`judge` or `prm`")
            }
            Grader::Judge => (judge.map(|judge| ScoredBy { form: ScoredForm::Rating, ..judge }), "`judge`"),
        };
        found.map(Some).ok_or_else(|| ConfigError {
            message: format!("`grade.grader: {}` needs a model, and no {wanted} is set", self.grade.grader.name()),
            hint: Some(
                "set one, for example `judge: openai:URL#MODEL`, or take a grader without a model, such as `pass_rate`"
                    .into(),
            ),
        })
    }
}

impl Scoring {
    /// How a process reward model is asked on the wire; none if it answers in words.
    pub fn wire(&self, form: PrmForm, system: Option<String>) -> Option<ScoreForm> {
        let mark = |usual: &str| self.mark.clone().unwrap_or_else(|| usual.to_owned());
        let (positive, negative) = (self.positive.clone(), self.negative.clone());
        match form {
            PrmForm::Pooling => Some(ScoreForm::Pooling { mark: mark("<extra_0>"), system, positive: self.class }),
            PrmForm::ChatLabels => Some(ScoreForm::ChatLabels { positive, negative, top: self.top }),
            PrmForm::PromptLogprobs => Some(ScoreForm::PromptLogprobs { mark: mark("ки"), positive, negative }),
            PrmForm::Generative => None,
        }
    }

    /// What is wrong with these settings: a path, what is wanted, what is found.
    pub(super) fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        if self.tries == 0 {
            return Some(("scoring.tries", "at least 1", "0".into()));
        }
        if self.steps.max_steps == 0 {
            return Some(("scoring.steps.max_steps", "at least 1", "0".into()));
        }
        if !(self.bad_below > 0.0 && self.bad_below <= 1.0) {
            return Some(("scoring.bad_below", "above 0 and at most 1", self.bad_below.to_string()));
        }
        if let Some(Err(fault)) = self.wire(self.form, None).map(|form| form.check()) {
            return Some(("scoring", "settings that this form can work with", fault));
        }
        None
    }
}
