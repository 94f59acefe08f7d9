//! A model as a configuration names it: by its name alone, or with settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model, by name or with settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[schemars(with = "ModelShape")]
pub struct ModelConfig {
    /// `openai:URL#MODEL`, `replay:FILE#MODEL`, `gguf:PATH`, `dir:PATH` (a folder of safetensors as training writes
    /// it), `hf:OWNER/REPO/FILE`, `smollm2`.
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

impl From<&Price> for gradus_model::price::Price {
    fn from(price: &Price) -> Self {
        let Price { input, cached_input, output, as_of } = price.clone();
        Self { input, cached_input, output, as_of }
    }
}

impl From<&gradus_model::price::Price> for Price {
    fn from(price: &gradus_model::price::Price) -> Self {
        let gradus_model::price::Price { input, cached_input, output, as_of } = price.clone();
        Self { input, cached_input, output, as_of }
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
