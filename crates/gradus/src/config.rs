//! The configuration of a run: one struct, one schema, YAML in.
//!
//! Every setting that the papers leave open stands here by name, with our default and a word on whether it
//! is a guess. Secrets are named by environment variable, never written.

mod annotate;
mod code;
mod export;
mod hygiene;
mod judging;
mod lint;
mod measure;
mod model;
mod pairs;
mod preset;
mod read;
mod scoring;
mod select;
mod training;

use std::path::PathBuf;

use gradus_model::name::ModelName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::question::Kind;

pub use annotate::{Annotate, AnnotatePrompts, Annotated, Calls, Score};
pub use code::{Code, LanguageConfig, MemoryLimit};
pub use export::{Export, Format, Order, Rl, Think};
pub use hygiene::{Action, Contamination, ContaminationMode, Families, Hygiene};
pub use judging::{AnswerJudge, Judging};
pub use lint::{Lint, OverLength};
pub use measure::Measure;
pub use model::{ModelConfig, Price};
pub use pairs::{Beta, ChosenFrom, Pairs, RejectedBy, Stepwise, UndecidedLabel};
pub use preset::Preset;
pub use read::ConfigError;
use read::{OneOrMany, one_or_many};
pub use scoring::{Aggregate, Part, PrmForm, ScoredBy, ScoredForm, Scoring, SplitBy, StepSplit, UndecidedStep};
pub use select::{
    AbilityConfig, CandidateSet, DrawBy, Fit, FoundOut, LengthBudget, ProcessRule, RvScore, Select, SelectBy,
};
pub use training::Training;

/// A whole configuration. Every key may be left out but `bank`, `student` and, to distil, `teacher`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// A named set of settings below those of this file.
    pub preset: Option<Preset>,
    /// Seed of every draw.
    pub seed: u64,
    /// Files of questions.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<BankConfig>")]
    pub bank: Vec<BankConfig>,
    /// File of corrections: questions excluded, references replaced.
    pub overrides: Option<PathBuf>,
    /// Keep only the first so many questions of the bank.
    pub limit: Option<u64>,
    /// Keep questions that have neither an answer nor tests (their attempts are undecided).
    pub keep_unverifiable: bool,
    /// What keeps the bank clean.
    pub hygiene: Hygiene,
    /// The model to be taught.
    pub student: Option<ModelConfig>,
    /// The models that write chains of thought: one or a list.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<ModelConfig>")]
    pub teacher: Vec<ModelConfig>,
    /// The model that judges in words: wrong attempts (graders `generative` and `judge`), answers that no rule decides
    /// (`judging.judge`), and chains of thought (`annotate`).
    pub judge: Option<ModelConfig>,
    /// Another judge of chains of thought: its ratings are compared with those of `judge`, and decide nothing.
    pub second_judge: Option<ModelConfig>,
    /// The model that measures how well chains of thought fit the student (`annotate.student_fit`), where the student
    /// itself cannot: a recording, or a server without log-probabilities. The student if absent.
    pub measurer: Option<ModelConfig>,
    /// The process reward model; falls back to the judge as generative grader.
    pub prm: Option<ModelConfig>,
    /// Prompt templates that replace the built-in ones.
    pub prompts: Prompts,
    /// How the student is probed.
    pub probe: Probe,
    /// How answers are judged.
    pub judging: Judging,
    /// What programs may be written in.
    pub code: Code,
    /// How attempts become a level.
    pub grade: Grade,
    /// How a model scores wrong attempts, for the graders that ask one.
    pub scoring: Scoring,
    /// Which questions are drawn.
    pub sample: Sample,
    /// How chains of thought are asked for.
    pub distil: Distil,
    /// How the student measures chains of thought, where it is asked to.
    pub measure: Measure,
    /// What is found out about chains of thought.
    pub annotate: Annotate,
    /// Which chains of thought are kept.
    pub select: Select,
    /// What is written.
    pub export: Export,
    /// How the outside world is asked.
    pub driver: Driver,
    /// What all models together may use, over all sessions of a run directory.
    pub budget: Budget,
    /// Lists of prices for models that name none.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<PricesConfig>")]
    pub prices: Vec<PricesConfig>,
}

/// One file of questions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BankConfig {
    /// JSONL, Parquet or CSV, perhaps with `.zst` or `.gz`; `builtin` is the bank shipped with Gradus.
    pub path: PathBuf,
    /// Name of the source; the file's stem if absent.
    pub source: Option<String>,
    /// Licence of the rows.
    pub license: Option<String>,
    /// Kind of every row that names none.
    pub kind: Option<Kind>,
    /// Which column holds what, where the names are not the usual ones.
    pub fields: Fields,
    /// The bank's levels run from 1, the hardest, to 5: they are turned, because here 5 is the hardest.
    pub level1_is_hardest: bool,
}

/// Names of the columns of a bank. An absent name means the usual ones are tried.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// Id (`id`, `question_id`, `task_id`, `problem_id`, `uuid`).
    pub id: Option<String>,
    /// What is asked (`question`, `problem`, `prompt`, `text`, `instruction`).
    pub question: Option<String>,
    /// Accepted answer or list of them (`answer`, `reference`, `gold`, `ground_truth`, `final_answer`, `solution`).
    pub answer: Option<String>,
    /// Kind (`kind`).
    pub kind: Option<String>,
    /// Unit tests (`tests`, or the columns of HumanEval, MBPP, APPS).
    pub tests: Option<String>,
    /// Options of a choice question (`options`, `choices`).
    pub options: Option<String>,
    /// The bank's own level (`level`, `difficulty`).
    pub level: Option<String>,
    /// Subject (`subject`, `type`, `topic`).
    pub subject: Option<String>,
    /// Source (`source`, `data_source`).
    pub source: Option<String>,
    /// Tolerance, as a share of the reference (`tolerance`).
    pub tolerance: Option<String>,
}

/// Files of prompt templates per kind; `{question}` is replaced by the question. `builtin:brief` is a short wording
/// for very small models.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prompts {
    /// For math questions.
    pub math: Option<PathBuf>,
    /// For choice questions.
    pub choice: Option<PathBuf>,
    /// For short-text questions.
    pub text: Option<PathBuf>,
    /// For code questions.
    pub code: Option<PathBuf>,
}

/// Settings of a generation; every one is sent explicitly, because servers have defaults of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus, 0..=1.
    pub top_p: f64,
    /// Highest-ranked tokens kept; not sent if absent.
    pub top_k: Option<u32>,
    /// Least probability relative to the best token; not sent if absent.
    pub min_p: Option<f64>,
    /// Most tokens to write; clamped to what the server's context leaves.
    pub max_tokens: u32,
    /// Texts that end a generation.
    pub stop: Vec<String>,
}

/// Temperature and nucleus as the field reports reasoning models (DeepSeek-R1's report: 0.6, 0.95, 32,768 tokens).
impl Default for SamplingConfig {
    fn default() -> Self {
        Self { temperature: 0.6, top_p: 0.95, top_k: None, min_p: None, max_tokens: 32_768, stop: Vec::new() }
    }
}

/// How the student is probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Probe {
    /// Attempts per question. The paper's number is not known; 1 is the plain reading of its text.
    pub attempts: u32,
    /// How to sample.
    pub sampling: SamplingConfig,
    /// Ask a truncated attempt once more with this limit (with `on_truncated: retry_longer`).
    pub longer_max_tokens: Option<u32>,
    /// Stop asking before `attempts` once more of them would say little; all are asked if absent.
    pub adaptive: Option<Adaptive>,
}

impl Default for Probe {
    fn default() -> Self {
        Self { attempts: 1, sampling: SamplingConfig::default(), longer_max_tokens: None, adaptive: None }
    }
}

/// When a question has been asked often enough. It also has once its level cannot change any more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// Attempts that every question gets, if `attempts` allows.
    pub min_attempts: u32,
    /// Width of the pass rate's 95 % credible interval (0..1) that is narrow enough; only for the grader `pass_rate`.
    pub max_width: f64,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { min_attempts: 4, max_width: 0.4 }
    }
}

/// How attempts become a level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grade {
    /// What decides between easy and not, and gives the score of the others.
    pub grader: Grader,
    /// When a question is easy, for the graders that score wrong attempts (`prm`, `generative`, `tests`, `judge`).
    pub easy: Easy,
    /// Least pass rate of an easy question, for `pass_rate`. A guess.
    pub tau: f64,
    /// Where the cut points between the levels come from.
    pub cuts: Cuts,
    /// Cut points of the score: below the first is level 5, from the last on level 1. A guess. With `cuts: calibrated`,
    /// cut points of the pass rate that a score stands for.
    pub edges: [f64; 4],
    /// What a truncated attempt counts.
    pub on_truncated: OnTruncated,
}

impl Default for Grade {
    fn default() -> Self {
        Self {
            grader: Grader::FirstCorrect,
            easy: Easy::FirstCorrect,
            tau: 0.9,
            cuts: Cuts::Fixed,
            edges: [0.2, 0.4, 0.6, 0.8],
            on_truncated: OnTruncated::Wrong,
        }
    }
}

/// Where the cut points between levels come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cuts {
    /// `edges`, as they stand.
    Fixed,
    /// The bank's scores: each level gets a fifth of the questions that are not easy, as far as ties allow.
    Quantile,
    /// The scores at which the measured pass rate of this student crosses `edges`. Fitted on half of the questions.
    Calibrated,
}

/// What gives a question its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grader {
    /// Easy if the first attempt is correct; otherwise by the share of tests passed (code) or the pass rate.
    FirstCorrect,
    /// Easy if the pass rate reaches `tau`; otherwise by the pass rate.
    PassRate,
    /// The wrong attempts' steps are scored by `prm`, in the form `scoring.form`; by the judge, as `generative`, if
    /// no `prm` is set.
    Prm,
    /// The wrong attempts' steps are marked in words by `judge`; by `prm`, as a chat model, if no judge is set.
    Generative,
    /// By the share of unit tests that the wrong attempts pass: for code.
    Tests,
    /// The wrong attempts are rated as a whole, in words, by `judge`.
    Judge,
}

/// When a question is easy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Easy {
    /// If the first attempt that counts is correct.
    FirstCorrect,
    /// If the pass rate reaches `tau`.
    PassRate,
}

impl Grader {
    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstCorrect => "first_correct",
            Self::PassRate => "pass_rate",
            Self::Prm => "prm",
            Self::Generative => "generative",
            Self::Tests => "tests",
            Self::Judge => "judge",
        }
    }
}

/// What a truncated attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnTruncated {
    /// Wrong (with reasoning students the common case; its share is reported).
    Wrong,
    /// Not counted.
    Ungraded,
    /// Asked once more with `probe.longer_max_tokens`; wrong if truncated again.
    RetryLonger,
}

/// Which questions are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Which distribution over levels.
    pub by: SampleBy,
    /// How many questions; all graded ones if absent.
    pub size: Option<u64>,
    /// Instead of `size`: as many questions as come to so many tokens, if chains of thought are as long as the student's
    /// attempts at their level.
    pub tokens: Option<u64>,
    /// The same in US dollars, at the first teacher's price of tokens written.
    pub usd: Option<f64>,
    /// Weights w_1..w_5 of the curriculum P_C. The paper's are not known: a guess, falling with difficulty.
    pub weights: [f64; 5],
    /// Shares of easy and levels 1..5, for `by: shares`; they need not sum to one.
    pub shares: [f64; 6],
    /// What to do when a level has fewer questions than wanted.
    pub shortage: Shortage,
    /// Draw evenly from the subjects or sources of each level, in their shares of it.
    pub strata: Vec<Stratum>,
    /// Directory of a run whose distribution over levels is P_eval: the same student on another bank (the paper's
    /// DB_eval), or another student.
    pub shares_from: Option<PathBuf>,
    /// Directory of a run whose levels replace the student's own: another student's, on the same questions.
    pub levels_from: Option<PathBuf>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            by: SampleBy::PEval,
            size: None,
            tokens: None,
            usd: None,
            weights: [5.0, 4.0, 3.0, 2.0, 1.0],
            shares: [1.0; 6],
            shortage: Shortage::SpillNearest,
            strata: Vec::new(),
            shares_from: None,
            levels_from: None,
        }
    }
}

/// Distribution over levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleBy {
    /// The student's own distribution over easy and 1..5 (arXiv 2504.11919, P_eval).
    PEval,
    /// The curriculum w_i / sum w over 1..5 (arXiv 2504.11919, P_C).
    PC,
    /// Given shares.
    Shares,
    /// Baseline: every graded question alike.
    Random,
    /// Baseline: the curriculum `weights` over the bank's own levels 1 to 5, which no student has seen.
    Static,
    /// Baseline: easy and every level alike.
    Uniform,
    /// Baseline: level 5; for a size beyond it, the hardest there are.
    HardOnly,
    /// Baseline: easy questions; for a size beyond them, the easiest there are.
    EasyOnly,
}

impl SampleBy {
    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::PEval => "p_eval",
            Self::PC => "p_c",
            Self::Shares => "shares",
            Self::Random => "random",
            Self::Static => "static",
            Self::Uniform => "uniform",
            Self::HardOnly => "hard_only",
            Self::EasyOnly => "easy_only",
        }
    }
}

/// What questions of a level are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stratum {
    /// The question's subject.
    Subject,
    /// Its source.
    Source,
}

/// What to do when a level has fewer questions than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// Stop with an error.
    Stop,
    /// Take them from the nearest level that has some left, the harder one first; from levels without a share last.
    SpillNearest,
    /// Take fewer: no question is repeated.
    RepeatNot,
}

/// How chains of thought are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Distil {
    /// Correct chains of thought wanted per question and teacher.
    pub correct: u32,
    /// Most attempts per question and teacher.
    pub tries: u32,
    /// Fewest correct chains of thought over all teachers for a question to be kept (OmniThought: 2).
    pub min_correct: u32,
    /// Most US dollars that all teachers may use for one question.
    pub max_usd_per_question: Option<f64>,
    /// Most tokens that all teachers may use for one question, read and written.
    pub max_tokens_per_question: Option<u64>,
    /// What becomes of a chain of thought that was cut off at `sampling.max_tokens`.
    pub on_truncated: CutOff,
    /// Most times that one is gone on with.
    pub max_rounds: u32,
    /// Most tokens of one over all rounds, the first included; no limit but that of the rounds if absent.
    pub max_total_tokens: Option<u32>,
    /// How to sample.
    pub sampling: SamplingConfig,
}

impl Default for Distil {
    fn default() -> Self {
        Self {
            correct: 1,
            tries: 4,
            min_correct: 1,
            max_usd_per_question: None,
            max_tokens_per_question: None,
            on_truncated: CutOff::Keep,
            max_rounds: 3,
            max_total_tokens: None,
            sampling: SamplingConfig::default(),
        }
    }
}

/// What becomes of a chain of thought that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// It stays as it came, and is not learned from.
    Keep,
    /// The teacher goes on where it stopped. Only with an endpoint that knows `continue_final_message`.
    Continue,
}

/// How the outside world is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Driver {
    /// Pieces of work in flight at once.
    pub in_flight: u32,
    /// Most tries per piece of work.
    pub max_tries: u32,
    /// Seconds after which no further try of a piece of work is begun.
    pub give_up_after_s: u64,
}

impl Default for Driver {
    fn default() -> Self {
        Self { in_flight: 256, max_tries: 8, give_up_after_s: 1_800 }
    }
}

/// What all models together may use. What the ledger of the run directory holds counts, whoever asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Most US dollars; every model then needs a price.
    pub max_usd: Option<f64>,
    /// Most tokens, read and written.
    pub max_tokens: Option<u64>,
}

/// A list of prices by model name: JSON as `model_prices_and_context_window.json` has it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PricesConfig {
    /// The file.
    pub path: PathBuf,
    /// Day on which these prices held, `YYYY-MM-DD`.
    pub as_of: Option<String>,
}

impl Config {
    /// Whether the values make sense together.
    fn checked(self) -> Result<Self, ConfigError> {
        if let Err((name, why)) = self.code.table() {
            return Err(ConfigError { message: format!("`code.languages.{name}`: {why}"), hint: None });
        }
        let wrong = |path: &str, wanted: &str, found: String| {
            Err(ConfigError { message: format!("`{path}` must be {wanted}, and is {found}"), hint: None })
        };
        if let Some((path, wanted, found)) = self.hygiene.fault() {
            return wrong(path, wanted, found);
        }
        if let Some((path, wanted, found)) = self.export.fault() {
            return wrong(path, wanted, found);
        }
        if self.probe.attempts == 0 {
            return wrong("probe.attempts", "at least 1", "0".into());
        }
        if let Some(adaptive) = &self.probe.adaptive {
            if adaptive.min_attempts == 0 {
                return wrong("probe.adaptive.min_attempts", "at least 1", "0".into());
            }
            if !(0.0..=1.0).contains(&adaptive.max_width) {
                return wrong("probe.adaptive.max_width", "from 0 to 1", adaptive.max_width.to_string());
            }
        }
        let sizes = [self.sample.size.is_some(), self.sample.tokens.is_some(), self.sample.usd.is_some()];
        if sizes.into_iter().filter(|given| *given).count() > 1 {
            return wrong("sample", "given one of `size`, `tokens` and `usd`", "given several".into());
        }
        if self.sample.usd.is_some_and(|usd| !(usd.is_finite() && usd >= 0.0)) {
            return wrong("sample.usd", "a number from 0 on", format!("{:?}", self.sample.usd));
        }
        if self.distil.tries < self.distil.correct {
            let found = format!("{} with `distil.correct` {}", self.distil.tries, self.distil.correct);
            return wrong("distil.tries", "at least `distil.correct`", found);
        }
        self.check_continuation()?;
        if !(self.grade.tau > 0.0 && self.grade.tau <= 1.0) {
            return wrong("grade.tau", "above 0 and at most 1", self.grade.tau.to_string());
        }
        if !self.grade.edges.windows(2).all(|pair| pair[0] < pair[1]) {
            return wrong("grade.edges", "four rising numbers", format!("{:?}", self.grade.edges));
        }
        if self.grade.cuts == Cuts::Calibrated && self.probe.attempts < 2 {
            return wrong(
                "probe.attempts",
                "at least 2 for `grade.cuts: calibrated`: a pass rate of one attempt is 0 or 1",
                "1".into(),
            );
        }
        if self.grade.on_truncated == OnTruncated::RetryLonger
            && self.probe.longer_max_tokens.is_none_or(|longer| longer <= self.probe.sampling.max_tokens)
        {
            let found = format!("{:?}", self.probe.longer_max_tokens);
            return wrong(
                "probe.longer_max_tokens",
                "above `probe.sampling.max_tokens` for `on_truncated: retry_longer`",
                found,
            );
        }
        for (path, weights) in
            [("sample.weights", &self.sample.weights[..]), ("sample.shares", &self.sample.shares[..])]
        {
            if !(weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().sum::<f64>() > 0.0) {
                return wrong(path, "non-negative numbers, not all zero", format!("{weights:?}"));
            }
        }
        let faults = [self.scoring.fault(), self.annotate.fault(), self.measure.fault(), self.select.fault()];
        if let Some((path, wanted, found)) = faults.into_iter().flatten().next() {
            return wrong(path, wanted, found);
        }
        if self.judging.tries == 0 {
            return wrong("judging.tries", "at least 1", "0".into());
        }
        if !(0.0..=1.0).contains(&self.judging.check_share) {
            return wrong("judging.check_share", "from 0 to 1", self.judging.check_share.to_string());
        }
        self.check_judges()?;
        for (path, sampling) in [
            ("probe", &self.probe.sampling),
            ("distil", &self.distil.sampling),
            ("scoring", &self.scoring.sampling),
            ("judging", &self.judging.sampling),
            ("annotate", &self.annotate.sampling),
        ] {
            if !(0.0..=1.0).contains(&sampling.top_p) || sampling.top_p == 0.0 {
                return wrong(&format!("{path}.sampling.top_p"), "above 0 and at most 1", sampling.top_p.to_string());
            }
            if !(sampling.temperature >= 0.0 && sampling.temperature.is_finite()) {
                let found = sampling.temperature.to_string();
                return wrong(&format!("{path}.sampling.temperature"), "a number from 0 on", found);
            }
            if sampling.max_tokens == 0 {
                return wrong(&format!("{path}.sampling.max_tokens"), "at least 1", "0".into());
            }
        }
        if self.driver.in_flight == 0 || self.driver.max_tries == 0 {
            return wrong("driver.in_flight and driver.max_tries", "at least 1", "0".into());
        }
        for (path, dollars) in
            [("budget.max_usd", self.budget.max_usd), ("distil.max_usd_per_question", self.distil.max_usd_per_question)]
        {
            if dollars.is_some_and(|dollars| !(dollars.is_finite() && dollars >= 0.0)) {
                return wrong(path, "a number from 0 on", format!("{dollars:?}"));
            }
        }
        for (path, as_of) in self.days() {
            if !is_day(as_of) {
                return wrong(&path, "a day as `YYYY-MM-DD`", as_of.to_owned());
            }
        }
        for (path, model) in self.models() {
            let prices =
                model.price.iter().flat_map(|price| [Some(price.input), price.cached_input, Some(price.output)]);
            if let Some(odd) = prices.flatten().find(|price| !(price.is_finite() && *price >= 0.0)) {
                return wrong(&format!("{path}.price"), "numbers from 0 on", odd.to_string());
            }
        }
        self.check_select()?;
        if self.export.lint.max_length == Some(0) {
            return wrong("export.lint.max_length", "at least 1", "0".into());
        }
        let rl = &self.export.rl;
        if !(0.0 <= rl.min_pass_rate && rl.min_pass_rate <= rl.max_pass_rate && rl.max_pass_rate <= 1.0) {
            let found = format!("{} to {}", rl.min_pass_rate, rl.max_pass_rate);
            return wrong("export.rl.min_pass_rate and export.rl.max_pass_rate", "a window within 0 to 1", found);
        }
        Ok(self)
    }

    /// Every model with the place where it is named.
    pub fn models(&self) -> impl Iterator<Item = (String, &ModelConfig)> {
        let one = |role: &str, model| Option::map(model, |model| (role.to_owned(), model));
        let teachers = self.teacher.iter().enumerate().map(|(at, model)| (format!("teacher[{at}]"), model));
        let others = [
            ("judge", self.judge.as_ref()),
            ("second_judge", self.second_judge.as_ref()),
            ("measurer", self.measurer.as_ref()),
            ("prm", self.prm.as_ref()),
        ];
        one("student", self.student.as_ref())
            .into_iter()
            .chain(teachers)
            .chain(others.into_iter().filter_map(move |(role, model)| one(role, model)))
    }

    /// Every day with the place where it is named.
    fn days(&self) -> impl Iterator<Item = (String, &str)> {
        let of_models = self
            .models()
            .filter_map(|(path, model)| Some((format!("{path}.price.as_of"), model.price.as_ref()?.as_of.as_deref()?)));
        let of_lists = self.prices.iter().filter_map(|prices| prices.as_of.as_deref());
        of_models.chain(of_lists.map(|as_of| ("prices.as_of".to_owned(), as_of)))
    }

    /// Whether what was cut off can be gone on with.
    fn check_continuation(&self) -> Result<(), ConfigError> {
        if self.distil.on_truncated == CutOff::Keep {
            return Ok(());
        }
        let wrong = |message: String, hint: &str| Err(ConfigError { message, hint: Some(hint.to_owned()) });
        if self.distil.max_rounds == 0 {
            let message = "`distil.max_rounds` must be at least 1 for `distil.on_truncated: continue`, and is 0";
            return wrong(message.into(), "`distil.on_truncated: keep` goes on with nothing");
        }
        let cannot = |teacher: &&ModelConfig| !matches!(teacher.model.parse(), Ok(ModelName::OpenAi { .. }));
        match self.teacher.iter().find(cannot) {
            Some(teacher) => wrong(
                format!(
                    "`distil.on_truncated: continue` needs teachers behind `openai:URL#MODEL`, and `{}` is none",
                    teacher.model
                ),
                "`distil.on_truncated: keep`, or a server that knows `continue_final_message` (vLLM, SGLang)",
            ),
            None => Ok(()),
        }
    }
}

/// Whether this is a day as `YYYY-MM-DD`; months of 31 days are believed.
fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let within = |text: &str, n_digits: usize, least: u32, most: u32| {
        text.len() == n_digits
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse().is_ok_and(|number: u32| (least..=most).contains(&number))
    };
    within(year, 4, 0, 9999) && within(month, 2, 1, 12) && within(day, 2, 1, 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_values_are_refused() {
        for yaml in [
            "probe: {attempts: 0}",
            "probe: {adaptive: {min_attempts: 0}}",
            "probe: {attempts: 4, adaptive: {max_width: 1.5}}",
            "grade: {edges: [.5, .4, .6, .7]}",
            "grade: {cuts: calibrated}",
            "distil: {correct: 3, tries: 2}",
            "teacher: smollm2\ndistil: {on_truncated: continue}",
            "distil: {on_truncated: continue, max_rounds: 0}",
            "sample: {weights: [0, 0, 0, 0, 0]}",
            "sample: {size: 3, tokens: 1000}",
            "sample: {usd: -1}",
            "budget: {max_usd: -1}",
            "distil: {max_usd_per_question: .nan}",
            "prices: {path: p.json, as_of: today}",
            "student: {model: smollm2, price: {input: -1, output: 0}}",
            "export: {rl: {min_pass_rate: 0.9, max_pass_rate: 0.1}}",
            "export: {lint: {max_length: 0}}",
        ] {
            assert!(Config::read(yaml, &[]).is_err(), "{yaml}");
        }
    }
}
