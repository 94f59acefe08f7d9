//! From a model's name in the config to a model that can be asked. Keys come from the environment, by name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gradus::config::ModelConfig;
use gradus::ingest::missing_hint;
use gradus_model::name::ModelName;
use gradus_model::openai::{OpenAi, OpenAiConfig, Secret};
use gradus_model::pool::Pool;
use gradus_model::replay::{Replay, ReplayError};
use gradus_model::{FaultKind, Info, Model};

use crate::error::{CommandError, Kind};
use crate::hub;

/// Name of the default model on the hub: what a trainer loads.
pub(crate) const SMOLLM2: &str = "HuggingFaceTB/SmolLM2-135M-Instruct";

/// The environment as far as models need it; read once, at the edge.
#[derive(Debug, Clone)]
pub(crate) struct Env {
    /// Folder that relative files of the config start at.
    pub(crate) base: PathBuf,
    /// Where fetched models lie.
    pub(crate) cache: PathBuf,
}

impl Env {
    /// Reads `GRADUS_CACHE`, `XDG_CACHE_HOME` and `HOME`.
    pub(crate) fn read(base: PathBuf) -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("GRADUS_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("gradus")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/gradus")))
            .unwrap_or_else(|| PathBuf::from(".gradus-cache"));
        Self { base, cache }
    }
}

/// A model, opened.
pub(crate) struct Opened {
    /// Asks it.
    pub(crate) model: Arc<dyn Model>,
    /// What its server says of it.
    pub(crate) info: Info,
    /// What a user should know, a sentence each.
    pub(crate) notes: Vec<String>,
}

/// Opens the model of a role and asks its server about it.
pub(crate) async fn open(role: &str, config: &ModelConfig, env: &Env) -> Result<Opened, CommandError> {
    let (model, notes) = connect(role, config, env).await?;
    let info = inquire(role, config, &*model).await?;
    Ok(Opened { model, info, notes })
}

/// Asks the server of a model about it.
pub(crate) async fn inquire(role: &str, config: &ModelConfig, model: &dyn Model) -> Result<Info, CommandError> {
    let name = name_of(role, config)?;
    let mut info = model.info().await.map_err(|fault| {
        let (kind, hint) = match fault.kind {
            FaultKind::Auth => {
                (Kind::Usage, "set `api_key_env` to the name of the variable that holds the key, and the variable")
            }
            FaultKind::ModelNotFound => (Kind::Usage, "name a model that the server lists at /v1/models"),
            FaultKind::Quota => (Kind::Quota, "top up, or use another key"),
            _ => (Kind::Failure, "is the server up, and the URL right? `gradus doctor` looks closer"),
        };
        CommandError::new(kind, format!("`{role}` ({name}): {}", fault.message)).hint(hint)
    })?;
    info.context = config.context.or(info.context);
    if let ModelName::OpenAi { model: Some(model), .. } = &name
        && !info.served.is_empty()
        && !info.served.contains(model)
        && info.server != "gradus-mock"
    {
        return Err(CommandError::usage(format!("`{role}`: the server of {name} does not list `{model}`"))
            .hint(format!("it lists {}", info.served.join(", "))));
    }
    Ok(info)
}

fn name_of(role: &str, config: &ModelConfig) -> Result<ModelName, CommandError> {
    config.model.parse().map_err(|error| CommandError::usage(format!("`{role}`: {error}")))
}

/// Opens the model of a role, with notes for the user. A server is asked only for the name of the model that it
/// serves, if the config does not tell it.
pub(crate) async fn connect(
    role: &str,
    config: &ModelConfig,
    env: &Env,
) -> Result<(Arc<dyn Model>, Vec<String>), CommandError> {
    let name = name_of(role, config)?;
    let mut notes = Vec::new();
    let model: Arc<dyn Model> = match &name {
        ModelName::OpenAi { url, model } => endpoint(role, config, url, model.as_deref()).await?,
        ModelName::Replay { file, model } => {
            let path = env.base.join(file);
            let replay = Replay::open(&path, model).map_err(|error| {
                let hint = match &error {
                    ReplayError::Io { .. } => missing_hint(&env.base, &path),
                    ReplayError::Row { .. } => "mend that line, or name another file".to_owned(),
                    ReplayError::UnknownModel { .. } => "name a model of the recording behind the `#`".to_owned(),
                };
                CommandError::usage(format!("`{role}`: {error}")).hint(hint)
            })?;
            if replay.duplicates() > 0 {
                notes.push(format!(
                    "{} recorded answers of `{model}` stand twice under one question and sample; numbered in file order",
                    replay.duplicates()
                ));
            }
            Arc::new(replay)
        }
        ModelName::Gguf { path } | ModelName::Dir { path } => embedded(role, &env.base.join(path), None, config, env)?,
        ModelName::SmolLm2 => embedded(role, &hub::smollm2(env)?, Some(SMOLLM2), config, env)?,
        ModelName::Hf { repo, file } => {
            let file = format!("{repo}/{file}").parse().map_err(CommandError::usage)?;
            embedded(role, &hub::fetch(&file).await?, Some(repo), config, env)?
        }
    };
    Ok((model, notes))
}

async fn endpoint(
    role: &str,
    config: &ModelConfig,
    url: &str,
    model: Option<&str>,
) -> Result<Arc<dyn Model>, CommandError> {
    let key = match &config.api_key_env {
        None => None,
        Some(name) => match std::env::var(name) {
            Ok(value) if !value.trim().is_empty() => Some(Secret::new(value.trim())),
            _ => {
                return Err(CommandError::usage(format!("`{role}`: the environment variable `{name}` is not set"))
                    .hint(format!("export {name}=...")));
            }
        },
    };
    let mut endpoints = Vec::new();
    for url in std::iter::once(url).chain(config.replicas.iter().map(String::as_str)) {
        let mut endpoint = OpenAiConfig::new(url, model.unwrap_or_default());
        endpoint.revision = config.revision.clone().unwrap_or_default();
        endpoint.key.clone_from(&key);
        endpoint.stream = config.stream;
        endpoint.idle_timeout = Some(Duration::from_secs(config.idle_timeout_s));
        endpoint.limits.requests_per_minute = config.requests_per_minute;
        endpoint.limits.tokens_per_minute = config.tokens_per_minute;
        if let Some(ceiling) = config.concurrency {
            endpoint.limits.ceiling = ceiling.max(1) as usize;
            endpoint.limits.start = endpoint.limits.start.min(endpoint.limits.ceiling);
        }
        endpoints.push(OpenAi::connect(endpoint).await.map_err(|fault| {
            CommandError::new(
                if fault.kind == FaultKind::Auth { Kind::Usage } else { Kind::Failure },
                format!("`{role}`: {}", fault.message),
            )
            .hint("is the server up, and the URL right?")
        })?);
    }
    if endpoints.len() == 1 {
        return Ok(Arc::new(endpoints.remove(0)));
    }
    Ok(Arc::new(Pool::new(endpoints).map_err(|error| CommandError::usage(format!("`{role}`: {error}")))?))
}

#[cfg(feature = "embedded")]
fn embedded(
    role: &str,
    path: &std::path::Path,
    name: Option<&str>,
    config: &ModelConfig,
    env: &Env,
) -> Result<Arc<dyn Model>, CommandError> {
    let mut settings =
        gradus_gguf::EngineConfig { name: name.map(str::to_owned), ..gradus_gguf::EngineConfig::default() };
    if let Some(concurrency) = config.concurrency {
        settings.n_sequences = concurrency.max(1) as usize;
    }
    if let Some(context) = config.context {
        settings.n_context = context as usize;
    }
    let engine = gradus_gguf::Engine::load(path, &settings).map_err(|error| {
        let hint = match &error {
            gradus_gguf::Error::Io { .. } => missing_hint(&env.base, path),
            gradus_gguf::Error::Malformed { .. } => "fetch or convert it again; a cut download looks like this".into(),
            gradus_gguf::Error::Folder { .. } => {
                "name a folder as `save_pretrained` writes it, with config.json, safetensors and tokenizer.json".into()
            }
            gradus_gguf::Error::Unsupported { .. } => {
                "serve it with another engine, and name it `openai:URL#MODEL`".into()
            }
            gradus_gguf::Error::Threads(_) => "end some other program, and try again".into(),
        };
        CommandError::usage(format!("`{role}`: {error}")).hint(hint)
    })?;
    Ok(Arc::new(engine))
}

#[cfg(not(feature = "embedded"))]
fn embedded(
    role: &str,
    _: &std::path::Path,
    _: Option<&str>,
    config: &ModelConfig,
    _: &Env,
) -> Result<Arc<dyn Model>, CommandError> {
    Err(CommandError::usage(format!("`{role}`: `{}` needs the embedded engine, which this binary lacks", config.model))
        .hint("build with the default features"))
}
