//! What can this endpoint do? Found out with a few tiny requests, and believed only if the answer holds what was
//! asked for: many servers skip fields that they do not know, and answer 200.

use serde_json::{Value, json};

use crate::{Fault, FaultKind};

/// What an endpoint was seen to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Log-probabilities of the tokens that it writes, with the likeliest others (`logprobs`, `top_logprobs`).
    pub logprobs: Support,
    /// Log-probabilities of the prompt (`prompt_logprobs`).
    pub prompt_logprobs: Support,
    /// The ranks of the prompt's tokens, beside their log-probabilities.
    pub ranks: Support,
    /// The prompt repeated with its log-probabilities (`echo` with `logprobs`).
    pub echo: Support,
    /// Several answers to one request (`n`).
    pub several: Support,
    /// Answers that fit a JSON schema (`response_format`).
    pub json_schema: Support,
    /// The thinking part of an answer, apart from the rest.
    pub reasoning: Support,
    /// Scores of steps at marks (`/pooling`).
    pub pooling: Support,
}

/// Whether something is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    /// Done; how.
    Yes(String),
    /// Not seen, which need not mean that it cannot be; why.
    Unseen(String),
    /// The server says no, in these words.
    Refused(String),
    /// The server answered 200 and left it out; what came instead.
    Ignored(String),
}

impl Support {
    /// Whether it is done.
    pub fn is_yes(&self) -> bool {
        matches!(self, Support::Yes(_))
    }
}

impl std::fmt::Display for Support {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Support::Yes(how) => write!(f, "yes, {how}"),
            Support::Unseen(why) => write!(f, "not seen: {why}"),
            Support::Refused(words) => write!(f, "no: {words}"),
            Support::Ignored(instead) => write!(f, "no, ignored without a word: {instead}"),
        }
    }
}

impl Capabilities {
    /// Requests that finding out takes.
    pub const N_REQUESTS: usize = 7;

    /// Each capability with its name, as a user reads it.
    pub fn list(&self) -> [(&'static str, &Support); 8] {
        [
            ("log-probabilities", &self.logprobs),
            ("prompt log-probabilities", &self.prompt_logprobs),
            ("ranks in the prompt", &self.ranks),
            ("echo of the prompt", &self.echo),
            ("n answers at once", &self.several),
            ("JSON schema", &self.json_schema),
            ("thinking apart", &self.reasoning),
            ("step scores", &self.pooling),
        ]
    }

    /// What both of two replicas do: the worse of each.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        Capabilities {
            logprobs: self.logprobs.max(other.logprobs),
            prompt_logprobs: self.prompt_logprobs.max(other.prompt_logprobs),
            ranks: self.ranks.max(other.ranks),
            echo: self.echo.max(other.echo),
            several: self.several.max(other.several),
            json_schema: self.json_schema.max(other.json_schema),
            reasoning: self.reasoning.max(other.reasoning),
            pooling: self.pooling.max(other.pooling),
        }
    }
}

/// A tiny request, and how its answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    Thinking,
    Logprobs,
    Several,
    JsonSchema,
    PromptLogprobs,
    Echo,
    Pooling,
}

/// A prompt of some tokens in any tokeniser.
const PROMPT: &str = "The capital of France is Paris.";
/// No model answers with this of its own accord.
const WORDS: [&str; 2] = ["kobalt", "zinnober"];

impl Probe {
    /// The route: `root` leads to the server's.
    pub(crate) fn path(self, root: &str) -> String {
        match self {
            Probe::Pooling => format!("{root}pooling"),
            Probe::PromptLogprobs | Probe::Echo => "completions".to_owned(),
            _ => "chat/completions".to_owned(),
        }
    }

    /// The body, for a model and the name of its field that limits the tokens written.
    pub(crate) fn body(self, model: &str, max_tokens: &str) -> Value {
        let chat = |content: &str, n_tokens: u32| {
            let messages = json!([{ "role": "user", "content": content }]);
            let mut body = json!({ "model": model, "messages": messages, "temperature": 0.0, "stream": false });
            body[max_tokens] = n_tokens.into();
            body
        };
        let completion =
            || json!({ "model": model, "prompt": PROMPT, "max_tokens": 1, "temperature": 0.0, "stream": false });
        match self {
            Probe::Thinking => chat("How much is 17 + 25? Think first.", 48),
            Probe::Logprobs => {
                let mut body = chat("Say yes.", 2);
                body["logprobs"] = true.into();
                body["top_logprobs"] = 5.into();
                body
            }
            Probe::Several => {
                let mut body = chat("Name a colour.", 2);
                body["n"] = 2.into();
                body["temperature"] = 1.0.into();
                body
            }
            Probe::JsonSchema => {
                let mut body = chat("Name a colour.", 48);
                let schema = json!({
                    "type": "object", "properties": { "colour": { "type": "string", "enum": WORDS } },
                    "required": ["colour"], "additionalProperties": false,
                });
                let named = json!({ "name": "colour", "schema": schema, "strict": true });
                body["response_format"] = json!({ "type": "json_schema", "json_schema": named });
                body
            }
            Probe::PromptLogprobs => {
                let mut body = completion();
                body["prompt_logprobs"] = 2.into();
                body
            }
            Probe::Echo => {
                let mut body = completion();
                body["echo"] = true.into();
                body["logprobs"] = 2.into();
                body
            }
            Probe::Pooling => json!({
                "model": model, "task": "token_classify", "encoding_format": "float",
                "messages": [
                    { "role": "user", "content": "How much is 2 + 2?" },
                    { "role": "assistant", "content": "Two and two.<extra_0>It is 4.<extra_0>" },
                ],
            }),
        }
    }
}

/// What a fault says about a capability; else the fault, if it says nothing about it. A process reward model has no
/// chat, and a chat model no scores: a missing route is an answer.
pub(crate) fn refused(fault: Fault) -> Result<Support, Fault> {
    match (fault.kind, fault.status) {
        (FaultKind::BadRequest, _) | (_, Some(404 | 405 | 501)) => Ok(Support::Refused(fault.message)),
        // Perhaps it broke over the field, perhaps by accident.
        (_, Some(500)) => Ok(Support::Unseen(fault.message)),
        _ => Err(fault),
    }
}

pub(crate) fn read_thinking(body: &Value) -> Support {
    let message = &body["choices"][0]["message"];
    let has = |key: &&str| match &message[*key] {
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if let Some(key) = ["reasoning", "reasoning_content", "reasoning_details", "thinking"].iter().find(|key| has(key)) {
        return Support::Yes(format!("in the field `{key}`"));
    }
    let content = match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    if content.contains("<think>") || content.contains("</think>") || content.contains("<|begin_of_thought|>") {
        Support::Yes("as tags inside the content".to_owned())
    } else if content.contains("\"type\":\"thinking\"") {
        Support::Yes("as parts of the content".to_owned())
    } else {
        Support::Unseen("none in a reply of 48 tokens; perhaps this model does not think".to_owned())
    }
}

const THINKING: &str = "the model was still thinking when the tiny request ended";

/// Whether the answer proper had not begun when the tokens ran out.
fn is_cut_while_thinking(body: &Value) -> bool {
    let choice = &body["choices"][0];
    let content = choice["message"]["content"].as_str().unwrap_or_default().trim();
    let in_tags = content.starts_with("<think>") && !content.contains("</think>");
    let in_field = content.is_empty() && matches!(read_thinking(body), Support::Yes(_));
    choice["finish_reason"] == "length" && (in_tags || in_field)
}

pub(crate) fn read_logprobs(body: &Value) -> Support {
    let first = &body["choices"][0]["logprobs"]["content"][0];
    if first["logprob"].as_f64().is_none() {
        if is_cut_while_thinking(body) {
            return Support::Unseen(THINKING.to_owned());
        }
        return Support::Ignored("an answer without log-probabilities".to_owned());
    }
    let top = first["top_logprobs"].as_array().map_or(0, Vec::len);
    match top {
        0 => Support::Ignored("log-probabilities of the written tokens alone, none of the likeliest others".to_owned()),
        n => Support::Yes(format!("with {n} of the 5 likeliest tokens asked for")),
    }
}

pub(crate) fn read_several(body: &Value) -> Support {
    match body["choices"].as_array().map_or(0, Vec::len) {
        2 => Support::Yes("2 of 2".to_owned()),
        n => Support::Ignored(format!("{n} of 2 answers")),
    }
}

pub(crate) fn read_json_schema(body: &Value) -> Support {
    let content = body["choices"][0]["message"]["content"].as_str().unwrap_or_default();
    let object: Option<Value> = serde_json::from_str(content.trim()).ok();
    let fits = |object: &Value| {
        let colour = object["colour"].as_str().is_some_and(|colour| WORDS.contains(&colour));
        colour && object.as_object().is_some_and(|object| object.len() == 1)
    };
    if object.as_ref().is_some_and(fits) {
        Support::Yes("the answer fits".to_owned())
    } else if is_cut_while_thinking(body) {
        Support::Unseen(THINKING.to_owned())
    } else {
        Support::Ignored(format!(
            "the answer `{}`",
            crate::fault::excerpt(content).chars().take(60).collect::<String>()
        ))
    }
}

/// The log-probabilities of the prompt, and their ranks.
pub(crate) fn read_prompt_logprobs(body: &Value) -> (Support, Support) {
    let at_choice = &body["choices"][0]["prompt_logprobs"];
    let list = at_choice.as_array().or_else(|| body["prompt_logprobs"].as_array());
    let places: Vec<&Value> = list.into_iter().flatten().filter(|place| place.is_object()).collect();
    let has = |place: &Value, key: &str| {
        let tokens = place.as_object().into_iter().flatten();
        let mut tokens = tokens.map(|(_, token)| token[key].is_number()).peekable();
        tokens.peek().is_some() && tokens.all(|has| has)
    };
    if places.is_empty() || !places.iter().all(|place| has(place, "logprob")) {
        let ignored = || Support::Ignored("an answer without `prompt_logprobs`".to_owned());
        return (ignored(), ignored());
    }
    let ranks = if places.iter().all(|place| has(place, "rank")) {
        Support::Yes(format!("for {} tokens", places.len()))
    } else {
        Support::Ignored("log-probabilities without ranks".to_owned())
    };
    (Support::Yes(format!("for {} tokens", places.len())), ranks)
}

pub(crate) fn read_echo(body: &Value) -> Support {
    let choice = &body["choices"][0];
    let repeated = choice["text"].as_str().is_some_and(|text| text.trim_start().starts_with(PROMPT));
    let measured = choice["logprobs"]["token_logprobs"].as_array();
    let n_measured = measured.into_iter().flatten().filter(|logprob| logprob.is_number()).count();
    match (repeated, n_measured) {
        (true, 2..) => Support::Yes(format!("with {n_measured} log-probabilities")),
        (true, _) => Support::Ignored("the prompt is repeated, without log-probabilities".to_owned()),
        (false, _) => Support::Ignored("an answer without the prompt".to_owned()),
    }
}

pub(crate) fn read_pooling(body: &Value) -> Support {
    let Some(rows) = body["data"][0]["data"].as_array() else {
        return Support::Ignored("an answer without rows".to_owned());
    };
    let classes = |row: &Value| row.as_array().map(Vec::len);
    match rows.first().and_then(classes) {
        Some(n) if rows.len() == 2 => Support::Yes(format!("{n} classes at each of two `<extra_0>`")),
        _ => Support::Unseen(format!(
            "{} rows for two steps that end in `<extra_0>`; this model knows another mark, or none",
            rows.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: fn(&Value) -> Support, body: &str) -> Support {
        reader(&serde_json::from_str(body).expect("JSON"))
    }

    #[test]
    fn llama_cpp_ignores_prompt_logprobs_and_echo() {
        // Logprobs as chat has them, of the written token alone.
        let body = r#"{"choices":[{"text":"\n","index":0,"logprobs":{"content":[{"id":198,"token":"\n","bytes":[10],
            "logprob":-0.95,"top_logprobs":[]}]},"finish_reason":"length"}],"object":"text_completion"}"#;
        assert!(matches!(read(read_echo, body), Support::Ignored(_)));
        assert!(matches!(read(|body| read_prompt_logprobs(body).0, body), Support::Ignored(_)));
    }

    #[test]
    fn vllm_repeats_the_prompt_and_measures_it() {
        let body = format!(
            r#"{{"choices":[{{"text":"{PROMPT} It","logprobs":{{"tokens":["The"," capital"," of"],
                "token_logprobs":[null,-8.8,-1.5],"top_logprobs":[null,{{}},{{}}]}}}}]}}"#
        );
        assert_eq!(read(read_echo, &body), Support::Yes("with 2 log-probabilities".to_owned()));
        let body = r#"{"choices":[{"prompt_logprobs":[null,{"9":{"logprob":-1.0,"decoded_token":"x"}}]}]}"#;
        let (logprobs, ranks) = read_prompt_logprobs(&serde_json::from_str(body).expect("JSON"));
        assert!(logprobs.is_yes() && matches!(ranks, Support::Ignored(_)), "{logprobs} {ranks}");
    }

    #[test]
    fn a_model_that_still_thinks_has_not_ignored_the_schema() {
        let answer = |message: &str, finish: &str| {
            format!(r#"{{"choices":[{{"message":{message},"finish_reason":"{finish}"}}]}}"#)
        };
        for message in [r#"{"content":null,"reasoning":"Hm"}"#, r#"{"content":"<think>\nHm"}"#] {
            let support = read(read_json_schema, &answer(message, "length"));
            assert_eq!(support, Support::Unseen(THINKING.to_owned()), "{message}");
            assert!(matches!(read(read_logprobs, &answer(message, "length")), Support::Unseen(_)), "{message}");
        }
        let fits = answer(r#"{"content":" {\"colour\": \"kobalt\"}\n"}"#, "stop");
        assert!(read(read_json_schema, &fits).is_yes());
        for content in ["Blue.", "{}", r#"{\"colour\": \"blue\"}"#, r#"{\"colour\": \"kobalt\", \"x\": 1}"#, ""] {
            let other = answer(&format!(r#"{{"content":"{content}"}}"#), "stop");
            assert!(matches!(read(read_json_schema, &other), Support::Ignored(_)), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(
            body in r#"(\{|\}|\[|\]|,|:|"choices"|"message"|"content"|"logprobs"|"prompt_logprobs"|"data"|"1"|null|0\.5|"<think>"){0,30}"#
        ) {
            if let Ok(body) = serde_json::from_str::<Value>(&body) {
                let _ = (read_thinking(&body), read_logprobs(&body), read_several(&body), read_json_schema(&body));
                let _ = (read_prompt_logprobs(&body), read_echo(&body), read_pooling(&body));
            }
        }
    }
}
