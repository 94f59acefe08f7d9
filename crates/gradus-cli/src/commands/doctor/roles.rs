//! The models of a config: rightly named, with a key, reachable, serving what is asked of them.

use std::time::Duration;

use gradus::config::{Config, ModelConfig};
use gradus_model::Info;
use gradus_model::name::ModelName;

use super::{Check, State};
use crate::models::{self, Env};

/// Longest time that an endpoint may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(30);

const SECTION: &str = "models";

pub(super) async fn checks(config: &Config, env: &Env) -> Vec<Check> {
    let mut roles: Vec<(String, &ModelConfig)> = Vec::new();
    roles.extend(config.student.iter().map(|model| ("student".to_owned(), model)));
    let teachers = config.teacher.iter().enumerate();
    roles.extend(teachers.map(|(at, model)| (format!("teacher[{at}]"), model)));
    roles.extend(config.judge.iter().map(|model| ("judge".to_owned(), model)));
    roles.extend(config.prm.iter().map(|model| ("prm".to_owned(), model)));

    let mut checks = Vec::new();
    if config.student.is_none() {
        let check = Check::new(SECTION, "student", State::Problem, "the config names no student");
        checks.push(check.hint("set `student` to the model that is to be taught"));
    }
    for (i, (role, model)) in roles.iter().enumerate() {
        // A model with a role already is loaded and asked once.
        checks.push(match roles[..i].iter().find(|(_, earlier)| earlier == model) {
            Some((earlier, _)) => Check::new(SECTION, role, State::Ok, format!("the same as `{earlier}`")),
            None => check(role, model, env).await,
        });
    }
    checks
}

async fn check(role: &str, config: &ModelConfig, env: &Env) -> Check {
    let name: ModelName = match config.model.parse() {
        Ok(name) => name,
        Err(error) => return Check::new(SECTION, role, State::Problem, error.to_string()),
    };
    let mut said = name.to_string();
    if let Some(variable) = &config.api_key_env {
        let is_set = std::env::var(variable).is_ok_and(|value| !value.trim().is_empty());
        if !is_set {
            let detail = format!("{said}: the environment variable `{variable}` is not set");
            return Check::new(SECTION, role, State::Problem, detail).hint(format!("export {variable}=..."));
        }
        said += &format!(", key from {variable}");
    }
    if super::is_fetched_later(&name, &env.cache) {
        return Check::new(SECTION, role, State::Warning, format!("{said}: fetched when it is first used"));
    }
    let opened = match tokio::time::timeout(PATIENCE, models::open(role, config, env)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            let mut check = Check::new(SECTION, role, State::Problem, error.message);
            // The hint that leads here leads nowhere.
            check.hints = error.hints.into_iter().filter(|hint| !hint.contains("gradus doctor")).collect();
            if check.hints.is_empty() {
                check.hints.push("is the server up, and the name right?".to_owned());
            }
            return check;
        }
        Err(_) => {
            let detail = format!("{said}: no word from it in {} s", PATIENCE.as_secs());
            return Check::new(SECTION, role, State::Problem, detail).hint("is the server up, and the URL right?");
        }
    };
    let Info { server, served, context, slots, .. } = &opened.info;
    if !server.is_empty() {
        said += &format!(", {server}");
    }
    if let ModelName::OpenAi { .. } = name {
        let model = &opened.model.identity().name;
        said += &if served.contains(model) { format!(", serves `{model}`") } else { format!(", asked for `{model}`") };
    }
    if let Some(slots) = slots {
        said += &format!(", {slots} at once");
    }
    for note in &opened.notes {
        said += &format!("; {note}");
    }
    match context {
        Some(context) => Check::new(SECTION, role, State::Ok, format!("{said}; context of {context} tokens")),
        None if matches!(name, ModelName::Replay { .. }) => Check::new(SECTION, role, State::Ok, said),
        None => Check::new(SECTION, role, State::Warning, format!("{said}; context unknown"))
            .hint("set `context`, so that `max_tokens` is clamped to what it leaves"),
    }
}
