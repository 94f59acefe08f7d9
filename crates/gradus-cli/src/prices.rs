//! Prices of the models in a config: from the lists that it names, and whether a budget in dollars can be kept.

use std::path::Path;

use gradus::config::{Config, ModelConfig};
use gradus::ingest::missing_hint;
use gradus_model::name::ModelName;
use gradus_model::price::Prices;

use crate::error::CommandError;

/// Gives every model without a price the one that the first list has for its name.
pub(crate) fn fill(config: &mut Config, base: &Path) -> Result<(), CommandError> {
    let mut lists = Vec::new();
    for list in &config.prices {
        let path = base.join(&list.path);
        let json = std::fs::read(&path).map_err(|error| {
            CommandError::usage(format!("prices {}: {error}", path.display())).hint(missing_hint(base, &path))
        })?;
        let prices = Prices::from_litellm(&json, list.as_of.as_deref()).map_err(|error| {
            CommandError::usage(format!("prices {}: {error}", path.display())).hint(
                "prices in it are US dollars per token; `price: {input, output}` at a model takes them per million",
            )
        })?;
        lists.push(prices);
    }
    let others = [&mut config.student, &mut config.judge, &mut config.prm].into_iter().flatten();
    for model in others.chain(&mut config.teacher).filter(|model| model.price.is_none()) {
        let price = listed_name(model).and_then(|name| lists.iter().find_map(|list| list.of(&name)));
        model.price = price.map(Into::into);
    }
    Ok(())
}

/// The name under which a list may have a model.
fn listed_name(model: &ModelConfig) -> Option<String> {
    match model.model.parse().ok()? {
        ModelName::OpenAi { model, .. } => model,
        ModelName::Replay { model, .. } => Some(model),
        ModelName::Hf { repo, .. } => Some(repo),
        ModelName::Gguf { .. } | ModelName::Dir { .. } | ModelName::SmolLm2 => None,
    }
}

/// Refuses a budget in dollars for a model that has no price.
pub(crate) fn check(config: &Config, role: &str, model: &ModelConfig) -> Result<(), CommandError> {
    let limits = [
        ("budget.max_usd", config.budget.max_usd),
        ("distil.max_usd_per_question", config.distil.max_usd_per_question.filter(|_| role.starts_with("teacher"))),
    ];
    let Some((limit, _)) = limits.into_iter().find(|(_, dollars)| dollars.is_some()) else { return Ok(()) };
    if model.price.is_some() {
        return Ok(());
    }
    let listed = if config.prices.is_empty() { "" } else { ", and no list under `prices` has one" };
    Err(CommandError::usage(format!("`{limit}` is set, but `{role}` ({}) has no price{listed}", model.model)).hint(
        "add `price: {input, output}` in US dollars per million tokens (0 for a model of your own), or name a list under \
         `prices`; a limit in tokens needs no price",
    ))
}
