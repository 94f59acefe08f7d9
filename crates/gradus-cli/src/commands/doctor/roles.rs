//! The models of a config: rightly named, with a key, reachable, serving what is asked of them.

use std::time::Duration;

use gradus::config::{Config, ModelConfig};
use gradus_model::Info;
use gradus_model::capability::{Capabilities, Support};
use gradus_model::name::ModelName;

use super::{Check, State};
use crate::models::{self, Env, Opened};

/// Longest time that an endpoint may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time for the tiny requests of a probe.
const PROBE_PATIENCE: Duration = Duration::from_mins(3);

const SECTION: &str = "models";

pub(super) async fn checks(config: &Config, env: &Env, probe: bool) -> Vec<Check> {
    let mut roles: Vec<(String, &ModelConfig)> = Vec::new();
    roles.extend(config.student.iter().map(|model| ("student".to_owned(), model)));
    let teachers = config.teacher.iter().enumerate();
    roles.extend(teachers.map(|(at, model)| (format!("teacher[{at}]"), model)));
    let others = [
        ("judge", &config.judge),
        ("second_judge", &config.second_judge),
        ("prm", &config.prm),
        ("measurer", &config.measurer),
    ];
    roles.extend(others.into_iter().filter_map(|(role, model)| Some((role.to_owned(), model.as_ref()?))));

    let mut checks = Vec::new();
    if config.student.is_none() {
        let check = Check::new(SECTION, "student", State::Problem, "the config names no student");
        checks.push(check.hint("set `student` to the model that is to be taught"));
    }
    for (i, (role, model)) in roles.iter().enumerate() {
        // A model with a role already is loaded and asked once.
        if let Some((earlier, _)) = roles[..i].iter().find(|(_, earlier)| earlier == model) {
            checks.push(Check::new(SECTION, role, State::Ok, format!("the same as `{earlier}`")));
            continue;
        }
        let (check, opened) = check(role, model, env).await;
        checks.push(check);
        if let Some(opened) = opened.filter(|_| probe) {
            checks.extend(capabilities(role, &opened).await);
        }
    }
    for file in config.annotate.recorded.iter().map(|file| env.base.join(file)).filter(|file| !file.exists()) {
        let check = Check::new(
            SECTION,
            "annotate.recorded",
            State::Problem,
            format!("{}: there is no such file", file.display()),
        );
        checks.push(check.hint("relative paths start at the folder of the config"));
    }
    checks
}

async fn check(role: &str, config: &ModelConfig, env: &Env) -> (Check, Option<Opened>) {
    let name: ModelName = match config.model.parse() {
        Ok(name) => name,
        Err(error) => return (Check::new(SECTION, role, State::Problem, error.to_string()), None),
    };
    let mut said = name.to_string();
    if let Some(variable) = &config.api_key_env {
        let is_set = std::env::var(variable).is_ok_and(|value| !value.trim().is_empty());
        if !is_set {
            let detail = format!("{said}: the environment variable `{variable}` is not set");
            let check = Check::new(SECTION, role, State::Problem, detail);
            return (check.hint(format!("export {variable}=...")), None);
        }
        said += &format!(", key from {variable}");
    }
    if super::is_fetched_later(&name, &env.cache) {
        return (Check::new(SECTION, role, State::Warning, format!("{said}: fetched when it is first used")), None);
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
            return (check, None);
        }
        Err(_) => {
            let detail = format!("{said}: no word from it in {} s", PATIENCE.as_secs());
            let check = Check::new(SECTION, role, State::Problem, detail);
            return (check.hint("is the server up, and the URL right?"), None);
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
    let check = match context {
        Some(context) => Check::new(SECTION, role, State::Ok, format!("{said}; context of {context} tokens")),
        None if matches!(name, ModelName::Replay { .. }) => Check::new(SECTION, role, State::Ok, said),
        None => Check::new(SECTION, role, State::Warning, format!("{said}; context unknown"))
            .hint("set `context`, so that `max_tokens` is clamped to what it leaves"),
    };
    (check, Some(opened))
}

/// What the endpoint was seen to do. Nothing for a recording, which can only repeat itself.
async fn capabilities(role: &str, opened: &Opened) -> Vec<Check> {
    if opened.info.server == "replay" {
        return Vec::new();
    }
    match tokio::time::timeout(PROBE_PATIENCE, opened.model.capabilities()).await {
        Ok(Ok(seen)) => {
            let check = |(name, support): (&str, &Support)| {
                let state = if support.is_yes() { State::Ok } else { State::Warning };
                Check::new(SECTION, format!("{role}, {name}"), state, support.to_string())
            };
            seen.list().into_iter().map(check).collect()
        }
        Ok(Err(fault)) => {
            let check = Check::new(SECTION, format!("{role}, probe"), State::Problem, fault.message);
            vec![check.hint("what it can do is not known; try again when it is less busy")]
        }
        Err(_) => {
            let detail = format!(
                "it took more than {} s over {} tiny requests",
                PROBE_PATIENCE.as_secs(),
                Capabilities::N_REQUESTS
            );
            vec![Check::new(SECTION, format!("{role}, probe"), State::Problem, detail)]
        }
    }
}
