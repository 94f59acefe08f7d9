//! Asks an endpoint for the scores of steps: `/pooling`, labels over chat, log-probabilities of the prompt.

use serde_json::json;

use super::{Failure, OpenAi};
use crate::limit::Outcome;
use crate::{Fault, Raw, Score, ScoreForm, Scores, Wire};

/// Tokens named at each position of a prompt. Two labels that a model was trained on are its first two; more
/// make the answer larger, by about 60 bytes each for every token of the prompt.
const PROMPT_LOGPROBS: u32 = 10;

impl OpenAi {
    /// One try: the bytes, and what they say.
    pub(super) async fn scores(&self, request: &Score) -> Result<(Raw, Scores), Fault> {
        request.check()?;
        let estimate = (request.question.len() + request.steps.iter().map(String::len).sum::<usize>()) as u64 / 4;
        let permit = self.permit(estimate).await?;
        match self.ask_scores(request).await {
            Ok((raw, scores)) => {
                let usage = scores.usage;
                let tokens = usage.prompt.map(|prompt| prompt + usage.completion.unwrap_or(0));
                permit.settle(Outcome::Answered, tokens);
                Ok((raw, scores))
            }
            Err(failure) => {
                permit.settle(failure.outcome, None);
                Err(failure.fault)
            }
        }
    }

    async fn ask_scores(&self, request: &Score) -> Result<(Raw, Scores), Failure> {
        let (path, wire, body) = self.score_body(request);
        let idle = self.idle_timeout();
        let answered = self.post(&path, &request.request_id, body, idle).await;
        let (body, _, cut) = answered.map_err(|mut failure| {
            if failure.fault.status == Some(404) {
                let route = path.trim_start_matches("../");
                failure.fault.message += &format!(" (asked at `/{route}`: has this server that route?)");
            }
            failure
        })?;
        let raw = Raw { wire, body };
        match (raw.read_scores(&request.form, request.steps.len()), cut) {
            (Ok(scores), _) => Ok((raw, scores)),
            (Err(_), Some(cut)) => Err(Failure { fault: self.scrubbed(cut.fault.with_body(raw.body)), ..cut }),
            (Err(fault), None) => Err(Failure::of(self.scrubbed(Fault { status: Some(200), ..fault }))),
        }
    }

    /// Where to, how the answer is to be read, and what to send.
    fn score_body(&self, request: &Score) -> (String, Wire, Vec<u8>) {
        let model = &self.config.model;
        let (path, wire, mut body) = match &request.form {
            ScoreForm::Pooling { .. } => {
                let body = json!({
                    "model": model, "messages": request.turns(), "task": "token_classify", "encoding_format": "float",
                });
                (format!("{}pooling", self.root()), Wire::PoolingJson, body)
            }
            ScoreForm::ChatLabels { top, .. } => {
                let mut body = json!({
                    "model": model, "messages": request.turns(), "temperature": 0.0, "top_p": 1.0, "stream": false,
                    "logprobs": true, "top_logprobs": top,
                });
                body[self.config.max_tokens_field.as_str()] = 1.into();
                ("chat/completions".to_owned(), Wire::ChatJson, body)
            }
            ScoreForm::PromptLogprobs { .. } => {
                let body = json!({
                    "model": model, "prompt": request.prompt().0, "max_tokens": 1, "temperature": 0.0,
                    "stream": false, "prompt_logprobs": PROMPT_LOGPROBS, "return_token_ids": true,
                });
                ("completions".to_owned(), Wire::CompletionJson, body)
            }
        };
        let object = body.as_object_mut().expect("each form makes an object");
        super::merge(object, &request.extra);
        (path, wire, serde_json::to_vec(&body).expect("JSON values serialise"))
    }
}
