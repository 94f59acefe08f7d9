//! Sends the tiny requests of [`crate::capability`].

use serde_json::Value;

use super::{Failure, OpenAi};
use crate::capability::{self, Capabilities, Probe, Support};
use crate::limit::Outcome;
use crate::{Fault, FaultKind};

impl OpenAi {
    /// One request after another, each believed only as far as its answer goes.
    pub(super) async fn probe_all(&self) -> Result<Capabilities, Fault> {
        let reasoning = self.probe(Probe::Thinking, capability::read_thinking).await?;
        let logprobs = self.probe(Probe::Logprobs, capability::read_logprobs).await?;
        let several = self.probe(Probe::Several, capability::read_several).await?;
        let json_schema = self.probe(Probe::JsonSchema, capability::read_json_schema).await?;
        let (prompt_logprobs, ranks) = match self.ask_probe(Probe::PromptLogprobs).await? {
            Ok(body) => capability::read_prompt_logprobs(&body),
            Err(support) => (support.clone(), support),
        };
        let echo = self.probe(Probe::Echo, capability::read_echo).await?;
        let pooling = self.probe(Probe::Pooling, capability::read_pooling).await?;
        Ok(Capabilities { logprobs, prompt_logprobs, ranks, echo, several, json_schema, reasoning, pooling })
    }

    async fn probe(&self, probe: Probe, read: fn(&Value) -> Support) -> Result<Support, Fault> {
        Ok(self.ask_probe(probe).await?.map_or_else(|support| support, |body| read(&body)))
    }

    /// The answer to a probe; or what its absence means; or a fault that means nothing.
    async fn ask_probe(&self, probe: Probe) -> Result<Result<Value, Support>, Fault> {
        let body = probe.body(&self.config.model, &self.config.max_tokens_field);
        let body = serde_json::to_vec(&body).expect("JSON values serialise");
        let permit = self.permit(64).await?;
        let answered = self.post(&probe.path(self.root()), "gradus-doctor", body, self.idle_timeout()).await;
        permit.settle(answered.as_ref().map_or_else(|failure| failure.outcome, |_| Outcome::Answered), None);
        let body = match answered {
            Ok((body, _, None)) => body,
            Ok((_, _, Some(Failure { fault, .. }))) => return Err(fault),
            Err(Failure { fault, .. }) => return capability::refused(fault).map(Err),
        };
        let value: Value = match serde_json::from_slice(body.trim_ascii()) {
            Ok(value) => value,
            Err(error) => {
                let message = format!("{}: expected JSON, found something else: {error}", self.url());
                return Err(Fault::new(FaultKind::Transient, message).with_body(body));
            }
        };
        match crate::read::error_in_value(&value) {
            Some(said) => capability::refused(said.inside_success()).map(Err),
            None => Ok(Ok(value)),
        }
    }
}
