//! How likely each token of a text is, and each step of it after few others.

use gradus_model::measure::{self, StepSum, first_sign};
use gradus_model::{Fault, FaultKind, Measure, TokenScores, Usage};

use crate::engine::{Engine, Measured, TokenScore, fault};

impl Engine {
    /// What `Model::measure` answers, before it is written down.
    pub(crate) async fn token_scores(&self, request: &Measure) -> Result<TokenScores, Fault> {
        request.check()?;
        if let Some(field) = request.extra.keys().next() {
            return Err(bad(format!("the embedded engine knows no field `{field}`")));
        }
        let rendered = self.render(&request.messages)?;
        let prompt = self.tokenizer().encode_prompt(&rendered);
        if prompt.is_empty() {
            return Err(bad("the prompt is empty".to_owned()));
        }
        let opened = request.n_opened(&rendered);
        let (tokens, starts) = self.tokens_of(&request.completion, opened)?;
        let n_prompt = prompt.len();
        let mut n_read = n_prompt + tokens.len();
        if n_read > self.n_context() {
            return Err(self.too_long(n_read));
        }
        // Read once, and then known to all that go on from it.
        self.watch(prompt.clone(), vec![n_prompt - 1], Vec::new()).await?;
        let whole = self.measured([prompt.as_slice(), &tokens].concat(), n_prompt)?;
        let mut windows = Vec::new();
        for window in request.local.iter().flat_map(|local| local.windows(&starts)) {
            if window.step.is_empty() {
                windows.push(None);
                continue;
            }
            let seen = [prompt.as_slice(), &tokens[window.begin..window.step.end]].concat();
            n_read += seen.len();
            windows.push(Some(self.measured(seen, n_prompt + window.step.start - window.begin)?));
        }
        let whole = self.finite(&whole.await.map_err(|_| self.gone())?)?;
        let mut steps = Vec::with_capacity(windows.len());
        for window in windows {
            let tokens = match window {
                Some(window) => self.finite(&window.await.map_err(|_| self.gone())?)?,
                None => Vec::new(),
            };
            let logprob = tokens.iter().map(|token| f64::from(token.logprob)).sum();
            steps.push(StepSum { logprob, n_tokens: tokens.len() as u32 });
        }
        Ok(TokenScores {
            tokens: whole,
            local: request.local.is_some().then_some(steps),
            usage: Usage { prompt: Some(n_read as u64), completion: Some(0), ..Usage::default() },
            cost_usd: None,
            model: Some(self.name().to_owned()),
        })
    }

    /// The tokens of a text from a byte on, and the byte of the text where the first sign of each stands.
    fn tokens_of(&self, text: &str, from: usize) -> Result<(Vec<u32>, Vec<usize>), Fault> {
        let tokens = self.tokenizer().encode(&text[from..]);
        let mut at = from;
        let mut starts = Vec::with_capacity(tokens.len());
        for &token in &tokens {
            let piece = self.tokenizer().piece(token);
            starts.push(first_sign(at, piece));
            at += piece.len();
        }
        if at != text.len() || tokens.is_empty() {
            return Err(bad(format!("the vocabulary of `{}` has no tokens for all of the text", self.name())));
        }
        Ok((tokens, starts))
    }

    /// Scores as they are handed out, if all of them are numbers.
    fn finite(&self, scores: &[TokenScore]) -> Result<Vec<measure::TokenScore>, Fault> {
        let score = |score: &TokenScore| {
            let Measured { logprob, rank, .. } = score.measured.filter(|measured| measured.logprob.is_finite())?;
            // Rounding puts certain tokens a little above zero.
            Some(measure::TokenScore { logprob: logprob.min(0.0), rank })
        };
        scores.iter().map(score).collect::<Option<_>>().ok_or_else(|| self.broken())
    }
}

fn bad(message: String) -> Fault {
    fault(FaultKind::BadRequest, message)
}
