//! The configuration of a run: one struct, one schema, YAML in.
//!
//! Every setting that the papers leave open stands here by name, with our default and a word on whether it
//! is a guess. Secrets are named by environment variable, never written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::question::Kind;

mod hygiene;
pub use hygiene::{Action, Contamination, ContaminationMode, Families, Hygiene};

/// A whole configuration. Every key may be left out but `bank`, `student` and, to distil, `teacher`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
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
    /// The model that judges.
    pub judge: Option<ModelConfig>,
    /// The process reward model; falls back to the judge as generative grader.
    pub prm: Option<ModelConfig>,
    /// Prompt templates that replace the built-in ones.
    pub prompts: Prompts,
    /// How the student is probed.
    pub probe: Probe,
    /// How answers are judged.
    pub judging: Judging,
    /// How attempts become a level.
    pub grade: Grade,
    /// Which questions are drawn.
    pub sample: Sample,
    /// How chains of thought are asked for.
    pub distil: Distil,
    /// Which chains of thought are kept.
    pub select: Select,
    /// What is written.
    pub export: Export,
    /// How the outside world is asked.
    pub driver: Driver,
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

/// A model, by name or with settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[schemars(with = "ModelShape")]
pub struct ModelConfig {
    /// `openai:URL#MODEL`, `replay:FILE#MODEL`, `gguf:PATH`, `hf:OWNER/REPO/FILE`, `smollm2`.
    pub model: String,
    /// Further URLs of the same model: replicas, asked in turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<String>,
    /// Name of the environment variable that holds the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// Mark of the weights, part of every key: change it when the model behind the name changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Prices per million tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Most requests at once; the server's slots or 256 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Most requests per minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Most tokens per minute, prompt and completion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// Longest context in tokens, where the server does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Ask for server-sent events (default), which keeps proxies alive and lets cut answers be seen.
    pub stream: bool,
    /// Seconds without a byte after which a request counts as dead.
    pub idle_timeout_s: u64,
    /// System prompt; none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Further fields of the request body, for example `chat_template_kwargs`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// The shape of [`ModelConfig`] with its settings.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ModelSettings {
    model: String,
    replicas: Vec<String>,
    api_key_env: Option<String>,
    revision: Option<String>,
    price: Option<Price>,
    concurrency: Option<u32>,
    requests_per_minute: Option<u32>,
    tokens_per_minute: Option<u32>,
    context: Option<u32>,
    stream: bool,
    idle_timeout_s: u64,
    system: Option<String>,
    extra: Map<String, Value>,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            model: String::new(),
            replicas: Vec::new(),
            api_key_env: None,
            revision: None,
            price: None,
            concurrency: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            context: None,
            stream: true,
            idle_timeout_s: 300,
            system: None,
            extra: Map::new(),
        }
    }
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "only its schema is used")]
enum ModelShape {
    Name(String),
    Settings(ModelSettings),
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// US dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens read from the provider's cache; `input` if absent.
    pub cached_input: Option<f64>,
    /// Tokens written.
    pub output: f64,
    /// Day on which these prices held, `YYYY-MM-DD`.
    pub as_of: Option<String>,
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
}

impl Default for Probe {
    fn default() -> Self {
        Self { attempts: 1, sampling: SamplingConfig::default(), longer_max_tokens: None }
    }
}

/// How answers are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Judging {
    /// Limits of each test of a code question.
    pub cpu_ms: u64,
    /// Wall time of each test in milliseconds.
    pub wall_ms: u64,
    /// Memory of each test in bytes.
    pub memory_bytes: u64,
}

impl Default for Judging {
    fn default() -> Self {
        Self { cpu_ms: 10_000, wall_ms: 30_000, memory_bytes: 1 << 30 }
    }
}

/// How attempts become a level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Grade {
    /// What decides between easy and not, and gives the score of the others.
    pub grader: Grader,
    /// Least pass rate of an easy question, for `pass_rate`. A guess.
    pub tau: f64,
    /// Cut points of the score: below the first is level 5, from the last on level 1. A guess.
    pub edges: [f64; 4],
    /// What a truncated attempt counts.
    pub on_truncated: OnTruncated,
}

impl Default for Grade {
    fn default() -> Self {
        Self { grader: Grader::FirstCorrect, tau: 0.9, edges: [0.2, 0.4, 0.6, 0.8], on_truncated: OnTruncated::Wrong }
    }
}

/// What gives a question its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grader {
    /// Easy if the first attempt is correct; otherwise by the share of tests passed (code) or the pass rate.
    FirstCorrect,
    /// Easy if the pass rate reaches `tau`; otherwise by the pass rate.
    PassRate,
}

impl Grader {
    /// Its name in tables and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstCorrect => "first_correct",
            Self::PassRate => "pass_rate",
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
    /// Weights w_1..w_5 of the curriculum P_C. The paper's are not known: a guess, falling with difficulty.
    pub weights: [f64; 5],
    /// Shares of easy and levels 1..5, for `by: shares`; they need not sum to one.
    pub shares: [f64; 6],
    /// What to do when a level has fewer questions than wanted.
    pub shortage: Shortage,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            by: SampleBy::PEval,
            size: None,
            weights: [5.0, 4.0, 3.0, 2.0, 1.0],
            shares: [1.0; 6],
            shortage: Shortage::SpillNearest,
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
    /// How to sample.
    pub sampling: SamplingConfig,
}

impl Default for Distil {
    fn default() -> Self {
        Self { correct: 1, tries: 4, min_correct: 1, sampling: SamplingConfig::default() }
    }
}

/// Which chains of thought are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// By which rule.
    pub by: SelectBy,
    /// Most chains of thought per question.
    pub per_question: u32,
}

impl Default for Select {
    fn default() -> Self {
        Self { by: SelectBy::Random, per_question: 1 }
    }
}

/// Rule of selection among the correct chains of thought of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// Keyed draw, all alike.
    Random,
    /// Fewest tokens first.
    Shortest,
    /// Most tokens first.
    Longest,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// Formats to write.
    pub formats: Vec<Format>,
    /// What to do with a response that has no thinking part.
    pub think: Think,
}

impl Default for Export {
    fn default() -> Self {
        Self { formats: vec![Format::Trl, Format::Messages], think: Think::Keep }
    }
}

/// Export format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// TRL prompt and completion: loss on the completion alone.
    Trl,
    /// Chat messages: loss on all tokens unless the trainer masks.
    Messages,
}

/// What to do with a response that has no thinking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Think {
    /// Export it as it is.
    Keep,
    /// Put what stands before the final answer into a thinking block.
    Wrap,
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

impl<'de> Deserialize<'de> for ModelConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ModelConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a model string such as `openai:URL#MODEL`, or a map with `model:`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ModelConfig, E> {
                Ok(ModelConfig::named(name))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ModelConfig, A::Error> {
                let settings = ModelSettings::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                if settings.model.is_empty() {
                    return Err(serde::de::Error::missing_field("model"));
                }
                Ok(ModelConfig::from(settings))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl ModelConfig {
    /// A model without further settings.
    pub fn named(name: &str) -> Self {
        Self::from(ModelSettings { model: name.to_owned(), ..ModelSettings::default() })
    }
}

impl From<ModelSettings> for ModelConfig {
    fn from(settings: ModelSettings) -> Self {
        let ModelSettings {
            model,
            replicas,
            api_key_env,
            revision,
            price,
            concurrency,
            requests_per_minute,
            tokens_per_minute,
            context,
            stream,
            idle_timeout_s,
            system,
            extra,
        } = settings;
        Self {
            model,
            replicas,
            api_key_env,
            revision,
            price,
            concurrency,
            requests_per_minute,
            tokens_per_minute,
            context,
            stream,
            idle_timeout_s,
            system,
            extra,
        }
    }
}

/// A bank may be given as its path alone.
fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromScalarOrMap,
{
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: FromScalarOrMap> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string, a map, or a list of them")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::from_text(text)])
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut many = Vec::new();
            while let Some(Item(one)) = seq.next_element()? {
                many.push(one);
            }
            Ok(many)
        }
    }

    struct Item<T>(T);
    impl<'de, T: FromScalarOrMap> Deserialize<'de> for Item<T> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor<T>(std::marker::PhantomData<T>);
            impl<'de, T: FromScalarOrMap> serde::de::Visitor<'de> for Visitor<T> {
                type Value = Item<T>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a string or a map")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Item<T>, E> {
                    Ok(Item(T::from_text(text)))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Item<T>, A::Error> {
                    T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Item)
                }
            }
            deserializer.deserialize_any(Visitor(std::marker::PhantomData))
        }
    }
    deserializer.deserialize_any(Visitor(std::marker::PhantomData))
}

/// What may stand in a config as a string or as a map.
trait FromScalarOrMap: for<'de> Deserialize<'de> {
    fn from_text(text: &str) -> Self;
}

impl FromScalarOrMap for BankConfig {
    fn from_text(text: &str) -> Self {
        Self { path: text.into(), ..Self::default() }
    }
}

impl FromScalarOrMap for ModelConfig {
    fn from_text(text: &str) -> Self {
        Self::named(text)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What was expected, what was found, where.
    pub message: String,
    /// What to do, if that can be told.
    pub hint: Option<String>,
}

impl Config {
    /// Reads YAML (or JSON), then applies `key.path=value` overrides, whose values are YAML too.
    ///
    /// # Errors
    /// Names the line or the path, and suggests the key that was probably meant.
    pub fn read(yaml: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        if overrides.is_empty() && !yaml.trim().is_empty() {
            let config: Self = serde_saphyr::from_str(yaml).map_err(|error| explain(&error.to_string()))?;
            return config.checked();
        }
        let mut tree: Value = if yaml.trim().is_empty() { Value::Object(Map::new()) } else { parse_value(yaml)? };
        for item in overrides {
            let (path, value) = item.split_once('=').ok_or_else(|| ConfigError {
                message: format!("override `{item}` has no `=`"),
                hint: Some("write it as `key.path=value`, for example `probe.attempts=4`".into()),
            })?;
            set(&mut tree, path.trim(), parse_value(value)?)?;
        }
        let config: Self = serde_path_to_error::deserialize(&tree).map_err(|error| {
            let path = error.path().to_string();
            let mut explained = explain(&error.inner().to_string());
            let of_override = |item: &&String| {
                item.split_once('=')
                    .is_some_and(|(key, _)| path.starts_with(key.trim()) || key.trim().starts_with(&path))
            };
            if let Some(item) = overrides.iter().rev().find(of_override) {
                explained.message = format!("override `{item}`: {}", explained.message);
            } else if path != "." {
                explained.message = format!("at `{path}`: {}", explained.message);
            }
            explained
        })?;
        config.checked()
    }

    /// The JSON Schema of a configuration.
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// As YAML, every default spelled out: what a run directory keeps.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("a config holds only maps, lists, strings and finite numbers")
    }

    fn checked(self) -> Result<Self, ConfigError> {
        let wrong = |path: &str, wanted: &str, found: String| {
            Err(ConfigError { message: format!("`{path}` must be {wanted}, and is {found}"), hint: None })
        };
        if let Some((path, wanted, found)) = self.hygiene.fault() {
            return wrong(path, wanted, found);
        }
        if self.probe.attempts == 0 {
            return wrong("probe.attempts", "at least 1", "0".into());
        }
        if self.distil.tries < self.distil.correct {
            let found = format!("{} with `distil.correct` {}", self.distil.tries, self.distil.correct);
            return wrong("distil.tries", "at least `distil.correct`", found);
        }
        if !(self.grade.tau > 0.0 && self.grade.tau <= 1.0) {
            return wrong("grade.tau", "above 0 and at most 1", self.grade.tau.to_string());
        }
        if !self.grade.edges.windows(2).all(|pair| pair[0] < pair[1]) {
            return wrong("grade.edges", "four rising numbers", format!("{:?}", self.grade.edges));
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
        for (path, sampling) in [("probe", &self.probe.sampling), ("distil", &self.distil.sampling)] {
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
        if self.select.per_question == 0 {
            return wrong("select.per_question", "at least 1", "0".into());
        }
        Ok(self)
    }
}

fn parse_value(yaml: &str) -> Result<Value, ConfigError> {
    serde_saphyr::from_str(yaml).map_err(|error| explain(&error.to_string()))
}

/// Puts a value at a dotted path, making maps on the way.
fn set(tree: &mut Value, path: &str, value: Value) -> Result<(), ConfigError> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    // A model given by its name alone becomes a map when one of its settings is overridden.
    if let Value::String(name) = tree {
        *tree =
            Value::Object(BTreeMap::from([("model".to_owned(), Value::String(name.clone()))]).into_iter().collect());
    }
    let map = match tree {
        Value::Object(map) => map,
        Value::Null => {
            *tree = Value::Object(Map::new());
            tree.as_object_mut().expect("made an object just now")
        }
        _ => {
            return Err(ConfigError {
                message: format!("override of `{path}`: what stands there is not a map"),
                hint: None,
            });
        }
    };
    match rest {
        None => {
            map.insert(head.to_owned(), value);
            Ok(())
        }
        Some(rest) => set(map.entry(head.to_owned()).or_insert(Value::Null), rest, value),
    }
}

/// A parser's message in plain words, with the key or value that was probably meant.
fn explain(message: &str) -> ConfigError {
    let unknown = message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"));
    let hint = unknown.and_then(|(_, rest)| {
        let (unknown, rest) = rest.split_once('`')?;
        let known = rest.lines().next()?.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (best, likeness) =
            known.map(|known| (known, strsim::jaro_winkler(unknown, known))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (likeness > 0.7).then(|| format!("did you mean `{best}`?"))
    });
    // The lines after the first show the place once more.
    let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let mut plain = message.to_owned();
    for (terse, words) in [
        ("u16", "a whole number from 0 on"),
        ("u32", "a whole number from 0 on"),
        ("u64", "a whole number from 0 on"),
        ("f64", "a number"),
    ] {
        for terse in [format!("expected {terse}"), format!("invalid {terse}")] {
            plain = plain.replace(&terse, &format!("expected {words}"));
        }
    }
    ConfigError { message: plain.replace("expected mapping start", "expected a map of settings"), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_banks_are_named_by_string_or_map_or_list() {
        let config =
            Config::read("bank: a.jsonl\nstudent: smollm2\nteacher: [gguf:x, {model: smollm2, stream: false}]", &[])
                .unwrap();
        assert_eq!(config.bank[0].path, PathBuf::from("a.jsonl"));
        assert_eq!(config.student.unwrap().model, "smollm2");
        assert_eq!(config.teacher.len(), 2);
        assert!(config.teacher[0].stream && !config.teacher[1].stream);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_right_one() {
        let error = Config::read("seed: 1\nprobe:\n  atempts: 4\n", &[]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `attempts`?"), "{error}");
        assert!(error.message.contains('3'), "{error}");
        let error = Config::read("", &["probe.atempts=4".into()]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `attempts`?"), "{error}");
    }

    #[test]
    fn overrides_reach_any_depth() {
        let set = ["student.concurrency=7".to_owned(), "grade.edges=[.1, .2, .3, .4]".to_owned()];
        let config = Config::read("student: smollm2", &set).unwrap();
        let student = config.student.unwrap();
        assert_eq!((student.model.as_str(), student.concurrency), ("smollm2", Some(7)));
        assert_eq!(config.grade.edges, [0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn nonsense_values_are_refused() {
        for yaml in [
            "probe: {attempts: 0}",
            "grade: {edges: [.5, .4, .6, .7]}",
            "distil: {correct: 3, tries: 2}",
            "sample: {weights: [0, 0, 0, 0, 0]}",
        ] {
            assert!(Config::read(yaml, &[]).is_err(), "{yaml}");
        }
    }

    #[test]
    fn the_frozen_copy_reads_back_as_the_same_config() {
        let config = Config::read("bank: a.jsonl\nstudent: {model: smollm2, extra: {a: {b: 1}}}\nteacher: smollm2\nsample: {by: p_c, size: 10}", &[]).unwrap();
        assert_eq!(Config::read(&config.to_yaml(), &[]).unwrap(), config);
    }
}
