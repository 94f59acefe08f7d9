//! The world as it is: models behind their endpoints, and the sandbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gradus::attempt::Source;
use gradus::config::Price;
use gradus::driver::{Asked, Performed, World};
use gradus::work::{Task, Work};
use gradus_model::{Fault, FaultKind, Generate, Measure, Model, Raw, Score, Usage};
use gradus_sandbox::Sandbox;

/// Tokens kept free beside the prompt when the limit is clamped to the context: the template's own.
const TEMPLATE_TOKENS: usize = 64;

/// The name that a model's answers come under. A server that changes it has changed the model.
pub(crate) struct Returned(Mutex<Option<String>>);

impl Returned {
    /// Begins with the name in recorded answers; `None` takes the first that comes.
    pub(crate) fn new(recorded: Option<String>) -> Self {
        Self(Mutex::new(recorded))
    }

    /// What is wrong with this name, if it is not the one that answers came under so far.
    fn differs(&self, name: &str) -> Option<String> {
        let mut known = self.0.lock().expect("no holder panics");
        let known = known.get_or_insert_with(|| name.to_owned());
        (known != name).then(|| {
            format!(
                "answers came from `{known}` so far and come from `{name}` now: answers of two models would be mixed; \
                 `--accept-model-change` goes on"
            )
        })
    }
}

/// A model with what the run needs to know of it.
#[derive(Clone)]
pub(crate) struct Role {
    /// Asks it.
    pub(crate) model: Arc<dyn Model>,
    /// Longest context in tokens.
    pub(crate) context: Option<u32>,
    /// Its price.
    pub(crate) price: Option<Price>,
    /// Under which name its answers come; none if that does not matter.
    pub(crate) returned: Option<Arc<Returned>>,
    /// Why it cannot be asked, if it is not there.
    pub(crate) absent: Option<String>,
}

impl Role {
    /// Refuses an answer that comes under another name than those before.
    fn check_name(&self, name: Option<&str>, raw: &Raw) -> Result<(), Fault> {
        let changed = name.and_then(|name| self.returned.as_ref()?.differs(name));
        changed.map_or(Ok(()), |message| {
            Err(Fault {
                kind: FaultKind::ModelNotFound,
                message,
                body: Some(raw.body.clone()),
                status: None,
                retry_after: None,
            })
        })
    }
}

/// Models and sandbox of a run.
pub(crate) struct LiveWorld {
    /// By whose attempts they are: two roles of one model can have different prices.
    pub(crate) roles: HashMap<Source, Role>,
    /// There if the bank has code questions.
    pub(crate) sandbox: Option<Arc<Sandbox>>,
}

impl LiveWorld {
    /// Who is asked. One who is not there ends the run.
    fn role(&self, asked: &Asked) -> Result<&Role, Fault> {
        let role = &self.roles[&asked.work.slot.asked()];
        match &role.absent {
            None => Ok(role),
            Some(why) => Err(Fault {
                kind: FaultKind::ModelNotFound,
                message: why.clone(),
                body: None,
                status: None,
                retry_after: None,
            }),
        }
    }
}

#[async_trait]
impl World for LiveWorld {
    async fn perform(&self, asked: &Asked) -> Result<Performed, Fault> {
        match &asked.work.task {
            Task::Generate(generation) => {
                let role = self.role(asked)?;
                let mut sampling = generation.sampling.clone();
                if let Some(context) = role.context {
                    let n_prompt: usize = generation
                        .messages
                        .iter()
                        // No tokenizer at hand: a token has seldom fewer than two bytes.
                        .map(|message| role.model.n_tokens(&message.content).unwrap_or(message.content.len() / 2))
                        .sum();
                    let left = (context as usize).saturating_sub(n_prompt + TEMPLATE_TOKENS).max(1);
                    sampling.max_tokens = sampling.max_tokens.min(left as u32);
                }
                let request = Generate {
                    messages: generation.messages.clone(),
                    sampling,
                    seed: asked.keys.attempt.seed(),
                    extra: generation.extra.clone(),
                    request_id: asked.keys.attempt.short(),
                    source_ids: asked.source_ids.clone(),
                    attempt: asked.work.slot.attempt,
                };
                let (raw, completion) = role.model.answer(&request).await?;
                role.check_name(completion.model.as_deref(), &raw)?;
                let completion = match generation.goes_on_from() {
                    Some(_) => generation.read(&raw)?,
                    None => completion,
                };
                Ok(Performed::Answered(raw, completion))
            }
            Task::Score(scoring) => {
                let role = self.role(asked)?;
                let request = Score {
                    request_id: asked.keys.attempt.short(),
                    source_ids: asked.source_ids.clone(),
                    attempt: asked.work.slot.attempt,
                    ..scoring.request()
                };
                let raw = role.model.score(&request).await?;
                let scores = raw.read_scores(&scoring.form, scoring.steps.len())?;
                role.check_name(scores.model.as_deref(), &raw)?;
                Ok(Performed::Scored(raw, scores))
            }
            Task::Measure(measuring) => {
                let role = self.role(asked)?;
                let request = Measure { request_id: asked.keys.attempt.short(), ..measuring.request() };
                let raw = role.model.measure(&request).await?;
                let scores = raw.read_tokens(measuring.n_steps())?;
                role.check_name(scores.model.as_deref(), &raw)?;
                Ok(Performed::Measured(raw, scores))
            }
            Task::Execute(execution) => {
                let sandbox = self.sandbox.clone().expect("a bank with code questions comes with a sandbox");
                let execution = execution.clone();
                let run = move || sandbox.run(&execution.program, &execution.tests, &execution.limits);
                let outcome = tokio::task::spawn_blocking(run).await.map_err(|error| broken(error.to_string()))?;
                // Trouble of the sandbox says nothing about the program: it is tried again, not written down. That of a
                // checker would come again.
                match outcome.sandbox_error() {
                    Some(error) if !outcome.is_final() => Err(broken(error.to_owned())),
                    _ => Ok(Performed::Executed(outcome)),
                }
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the command is where the clock is read")]
    fn now_ms(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as i64)
    }

    fn wind_down(&self) {
        self.roles.values().for_each(|role| role.model.wind_down());
    }

    fn cost(&self, work: &Work, usage: &Usage) -> Option<f64> {
        if matches!(work.task, Task::Execute(_)) {
            return None;
        }
        let price = self.roles.get(&work.slot.asked())?.price.as_ref()?;
        let cached = usage.cached.unwrap_or(0).min(usage.prompt?);
        let fresh = usage.prompt? - cached;
        let output = match work.task {
            // A scoring writes nothing, or one token that some servers do not count.
            Task::Score(_) | Task::Measure(_) => usage.completion.unwrap_or(0),
            Task::Generate(_) | Task::Execute(_) => usage.completion?,
        };
        let sum = fresh as f64 * price.input
            + cached as f64 * price.cached_input.unwrap_or(price.input)
            + output as f64 * price.output;
        Some(sum / 1e6)
    }
}

fn broken(message: String) -> Fault {
    Fault {
        kind: FaultKind::Transient,
        message: format!("sandbox: {message}"),
        status: None,
        retry_after: None,
        body: None,
    }
}
