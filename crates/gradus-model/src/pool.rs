//! One model on many endpoints.
//!
//! A request goes to the endpoint with the fewest requests outstanding; among equals, prompts that begin
//! alike go to the same one, where their beginning may still be in its prefix cache. Endpoints that are
//! down are used only if all are.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::capability::Capabilities;
use crate::openai::OpenAi;
use crate::{Completion, Fault, FaultKind, Generate, Identity, Info, Measure, Model, Raw, Score};

/// Bytes of a prompt that decide where it goes: enough to tell questions apart behind a long instruction.
const PREFIX: usize = 4096;

/// Replicas of one model.
#[derive(Debug)]
pub struct Pool {
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    model: OpenAi,
    outstanding: AtomicUsize,
}

/// Why endpoints make no pool.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BadPool {
    /// There is no endpoint.
    #[error("expected at least one endpoint, found none")]
    Empty,
    /// Two endpoints stand for different models.
    #[error("expected replicas of one model, found `{0}` and `{1}`")]
    Differ(String, String),
}

impl Pool {
    /// A pool of endpoints that serve the same model.
    ///
    /// # Errors
    /// [`BadPool`] if there is none, or their identities differ.
    pub fn new(models: Vec<OpenAi>) -> Result<Self, BadPool> {
        let first = models.first().ok_or(BadPool::Empty)?.identity();
        let shown = |identity: &Identity| format!("{} {}", identity.name, identity.revision).trim_end().to_owned();
        if let Some(other) = models.iter().map(OpenAi::identity).find(|other| *other != first) {
            return Err(BadPool::Differ(shown(first), shown(other)));
        }
        let replicas = models.into_iter().map(|model| Replica { model, outstanding: AtomicUsize::new(0) });
        Ok(Pool { replicas: replicas.collect() })
    }

    fn choose<'a>(&self, prompt: impl Iterator<Item = &'a str>) -> &Replica {
        let prefix = prefix_hash(prompt);
        // Every replica draws for the prompt; the same one wins as long as it is there (rendezvous hashing).
        let drawn = |at: usize| blake3::hash(&[prefix.to_le_bytes(), (at as u64).to_le_bytes()].concat());
        let best = self.replicas.iter().enumerate().min_by_key(|(at, replica)| {
            let outstanding = replica.outstanding.load(Ordering::Relaxed);
            (replica.model.limiter().is_down(), outstanding, *drawn(*at).as_bytes())
        });
        best.expect("a pool has at least one replica").1
    }
}

fn prefix_hash<'a>(prompt: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    let mut left = PREFIX;
    for text in prompt {
        let taken = text.len().min(left);
        hasher.update(&text.as_bytes()[..taken]);
        left -= taken;
    }
    u64::from_le_bytes(hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// Counts a request as outstanding for as long as it lives.
struct Outstanding<'a>(&'a AtomicUsize);

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Model for Pool {
    fn identity(&self) -> &Identity {
        self.replicas[0].model.identity()
    }

    /// What all replicas that answer say together: the shortest context, all slots.
    ///
    /// Different fingerprints are given as one, joined with ` | `.
    async fn info(&self) -> Result<Info, Fault> {
        let answers = futures::future::join_all(self.replicas.iter().map(|replica| replica.model.info())).await;
        let mut fault = Fault::new(FaultKind::Transient, "no replica answered");
        let mut all: Option<Info> = None;
        for answer in answers {
            match (answer, &mut all) {
                (Err(error), _) => fault = error,
                (Ok(info), None) => all = Some(info),
                (Ok(info), Some(all)) => join(all, info),
            }
        }
        all.ok_or(fault)
    }

    async fn generate(&self, request: &Generate) -> Result<Raw, Fault> {
        self.answer(request).await.map(|(raw, _)| raw)
    }

    async fn answer(&self, request: &Generate) -> Result<(Raw, Completion), Fault> {
        let replica = self.choose(request.messages.iter().map(|message| message.content.as_str()));
        replica.outstanding.fetch_add(1, Ordering::Relaxed);
        let _outstanding = Outstanding(&replica.outstanding);
        replica.model.answer(request).await
    }

    /// All steps of an answer go to one replica.
    async fn score(&self, request: &Score) -> Result<Raw, Fault> {
        let replica =
            self.choose(std::iter::once(request.question.as_str()).chain(request.steps.first().map(String::as_str)));
        replica.outstanding.fetch_add(1, Ordering::Relaxed);
        let _outstanding = Outstanding(&replica.outstanding);
        replica.model.score(request).await
    }

    async fn measure(&self, request: &Measure) -> Result<Raw, Fault> {
        let replica = self.choose(request.messages.iter().map(|message| message.content.as_str()));
        replica.outstanding.fetch_add(1, Ordering::Relaxed);
        let _outstanding = Outstanding(&replica.outstanding);
        replica.model.measure(request).await
    }

    fn wind_down(&self) {
        self.replicas.iter().for_each(|replica| replica.model.wind_down());
    }

    /// What all replicas do.
    async fn capabilities(&self) -> Result<Capabilities, Fault> {
        let all = futures::future::try_join_all(self.replicas.iter().map(|replica| replica.model.capabilities()));
        let all = all.await?.into_iter().reduce(Capabilities::both);
        Ok(all.expect("a pool has at least one replica"))
    }
}

fn join(all: &mut Info, info: Info) {
    all.context = [all.context, info.context].into_iter().flatten().min();
    all.slots = match (all.slots, info.slots) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    all.served.retain(|name| info.served.contains(name));
    match (&mut all.fingerprint, info.fingerprint) {
        (Some(known), Some(other)) if !known.split(" | ").any(|part| part == other) => {
            known.push_str(" | ");
            known.push_str(&other);
        }
        (known @ None, other) => *known = other,
        _ => {}
    }
}
