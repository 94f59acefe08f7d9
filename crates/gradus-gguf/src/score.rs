//! Scores of steps: how likely two labels are where a step ends.

use gradus_model::score::label::{log_sum, says, share};
use gradus_model::{Fault, FaultKind, Model, Score, ScoreForm, Scores, StepScore, Usage};

use crate::engine::{Engine, fault};

impl Engine {
    /// What [`Model::score`] answers, before it is written down.
    pub(crate) async fn step_scores(&self, request: &Score) -> Result<Scores, Fault> {
        request.check()?;
        if let Some(field) = request.extra.keys().next() {
            return Err(bad(format!("the embedded engine knows no field `{field}`")));
        }
        let (tokens, places, [positive, negative]) = match &request.form {
            ScoreForm::Pooling { .. } => {
                return Err(bad("the embedded engine runs no model with a classifying head".to_owned()));
            }
            ScoreForm::ChatLabels { positive, negative, .. } => {
                let tokens = self.tokenizer().encode_prompt(&self.render(&request.turns())?);
                let last = tokens.len().checked_sub(1).ok_or_else(|| bad("the prompt is empty".to_owned()))?;
                (tokens, vec![last], [positive, negative])
            }
            ScoreForm::PromptLogprobs { positive, negative, .. } => {
                let (tokens, places) = self.marked(request)?;
                (tokens, places, [positive, negative])
            }
        };
        let (positive, negative) = (self.spellings(positive, negative)?, self.spellings(negative, positive)?);
        let n_tokens = tokens.len() as u64;
        let watched = [positive.as_slice(), &negative].concat();
        let rows = self.watch(tokens, places, watched).await?;
        let score = |row: &Vec<f32>| {
            let (right, wrong) = row.split_at(positive.len());
            let sum = |logprobs: &[f32]| {
                log_sum(logprobs.iter().map(|&logprob| f64::from(logprob))).expect("a label has a spelling")
            };
            StepScore::Known(share(sum(right), sum(wrong)))
        };
        Ok(Scores {
            steps: rows.iter().map(score).collect(),
            whole: None,
            usage: Usage { prompt: Some(n_tokens), completion: Some(0), ..Usage::default() },
            cost_usd: None,
            model: Some(self.identity().name.clone()),
        })
    }

    /// The prompt up to its last mark, and which tokens end one.
    fn marked(&self, request: &Score) -> Result<(Vec<u32>, Vec<usize>), Fault> {
        let (prompt, ends) = request.prompt();
        let mut tokens = self.tokenizer().encode_prompt(&prompt);
        // A mark of beginning stands ahead of the text and is no part of it.
        let n_ahead = tokens.len() - self.tokenizer().encode(&prompt).len();
        let mut places = Vec::with_capacity(ends.len());
        let mut at = 0;
        for (place, &token) in tokens.iter().enumerate().skip(n_ahead) {
            at += self.tokenizer().piece(token).len();
            if ends.get(places.len()) == Some(&at) {
                places.push(place);
            }
        }
        if places.len() != ends.len() {
            return Err(bad(format!("the tokeniser of `{}` does not end a token at each mark", self.identity().name)));
        }
        // What follows the last mark changes nothing there.
        tokens.truncate(places.last().map_or(0, |last| last + 1));
        Ok((tokens, places))
    }

    /// The tokens that say a label.
    fn spellings(&self, label: &str, other: &str) -> Result<Vec<u32>, Fault> {
        let tokenizer = self.tokenizer();
        let is_spelling = |token: &u32| {
            !tokenizer.is_control(*token)
                && std::str::from_utf8(tokenizer.piece(*token)).is_ok_and(|piece| says(piece, label, other))
        };
        let found: Vec<u32> = (0..tokenizer.n_tokens() as u32).filter(is_spelling).collect();
        if found.is_empty() {
            return Err(bad(format!("`{}` has no token for the label `{label}`", self.identity().name)));
        }
        Ok(found)
    }
}

fn bad(message: String) -> Fault {
    fault(FaultKind::BadRequest, message)
}
