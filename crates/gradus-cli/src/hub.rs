//! Files that are fetched: models and banks. Nothing is fetched that the config or the command line does not name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gradus::config::{BankConfig, Config};
use gradus_model::fetch::{HubFile, HubVariables, fetch_folder, fetch_hub};

use crate::error::CommandError;
use crate::models::Env;
use crate::session;

/// What a name on the hub begins with.
pub(crate) const PREFIX: &str = "hf:";

#[cfg(feature = "embedded")]
pub(crate) fn smollm2(env: &Env) -> Result<PathBuf, CommandError> {
    gradus_gguf::fetch::fetch_smollm2(&env.cache).map_err(CommandError::failure)
}

#[cfg(not(feature = "embedded"))]
#[expect(clippy::unnecessary_wraps, reason = "with the engine it is fetched, which can fail")]
pub(crate) fn smollm2(env: &Env) -> Result<PathBuf, CommandError> {
    Ok(env.cache.join("smollm2.gguf"))
}

/// The default model if it is in the cache.
#[cfg(feature = "embedded")]
pub(crate) fn cached_smollm2(env: &Env) -> Option<PathBuf> {
    gradus_gguf::fetch::cached_smollm2(&env.cache)
}

#[cfg(not(feature = "embedded"))]
pub(crate) fn cached_smollm2(_: &Env) -> Option<PathBuf> {
    None
}

/// A file of the hub, from the cache of its own client or over the network.
pub(crate) async fn fetch(file: &HubFile) -> Result<PathBuf, CommandError> {
    fetch_hub(file, &variables()).await.map_err(CommandError::failure)
}

/// A file of the hub if it is in the cache.
pub(crate) fn cached(file: &HubFile) -> Option<PathBuf> {
    let variables = HubVariables { hf_hub_offline: true, ..variables() };
    session::runtime().ok()?.block_on(fetch_hub(file, &variables)).ok()
}

/// The folder with a model's files that say how it is talked to; no weights.
pub(crate) fn student_files(repository: &str) -> Result<PathBuf, CommandError> {
    let variables = variables();
    let fetched = fetch_folder(repository, &gradus_template::FILES, &variables);
    session::runtime()?.block_on(fetched).map_err(CommandError::failure)
}

fn variables() -> HubVariables {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    HubVariables {
        hf_home: variable("HF_HOME").map(PathBuf::from),
        home: variable("HOME").map(PathBuf::from),
        hf_token: variable("HF_TOKEN"),
        hf_endpoint: variable("HF_ENDPOINT"),
        hf_hub_offline: variable("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str())),
    }
}

/// Where the banks of a config lie that are on the hub; each is fetched unless it is in the cache.
pub(crate) fn banks(config: &Config) -> Result<HashMap<PathBuf, PathBuf>, CommandError> {
    let against = config.hygiene.decontaminate.iter().flat_map(|rule| &rule.against);
    let named = config.bank.iter().chain(against).map(|bank: &BankConfig| &bank.path);
    let mut places = HashMap::new();
    for path in named {
        let Some(name) = on_hub(path) else { continue };
        if !places.contains_key(path) {
            let file = HubFile::dataset(name).map_err(|error| {
                CommandError::usage(error).hint("a bank on the hub is named `hf:OWNER/NAME/FILE`, a file of a dataset")
            })?;
            places.insert(path.clone(), session::runtime()?.block_on(fetch(&file))?);
        }
    }
    Ok(places)
}

fn on_hub(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}
