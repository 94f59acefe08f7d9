//! What is a row of training data? Messages or texts, in the shapes that trainers read.

use serde_json::{Value, json};

/// A row of training data.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// A conversation.
    Messages {
        /// Objects with `role` and `content`.
        messages: Vec<Value>,
        /// How many of them ask, and are not learned.
        n_prompt: usize,
    },
    /// Two texts that no chat template touches.
    Text {
        /// What asks.
        prompt: String,
        /// What is learned.
        completion: String,
    },
}

impl Row {
    /// A conversation of which the last message of an assistant, and what follows it, is learned.
    pub(super) fn after_prompt(messages: Vec<Value>) -> Self {
        let last = messages.iter().rposition(|message| message["role"] == "assistant");
        Self::Messages { n_prompt: last.unwrap_or(messages.len()), messages }
    }

    /// Reads a row: `messages`; `prompt` and `completion`, both lists of messages or both texts; or `conversations`
    /// of `from` and `value`.
    ///
    /// # Errors
    /// What was expected, if it is none of these.
    pub fn read(row: &Value) -> Result<Self, String> {
        if let Some(messages) = row.get("messages") {
            return Ok(Self::after_prompt(list("messages", messages)?)).and_then(Self::with_answer);
        }
        if let Some(turns) = row.get("conversations") {
            return Ok(Self::after_prompt(list("conversations", turns)?)).and_then(Self::with_answer);
        }
        match (row.get("prompt"), row.get("completion")) {
            (Some(Value::String(prompt)), Some(Value::String(completion))) => {
                Ok(Self::Text { prompt: prompt.clone(), completion: completion.clone() })
            }
            (Some(prompt), Some(completion)) => {
                let mut messages = list("prompt", prompt)?;
                let n_prompt = messages.len();
                messages.extend(list("completion", completion)?);
                Self::Messages { messages, n_prompt }.with_answer()
            }
            _ => Err("it has neither `messages`, nor `prompt` and `completion`, nor `conversations`".to_owned()),
        }
    }

    fn with_answer(self) -> Result<Self, String> {
        match &self {
            Self::Messages { messages, n_prompt }
                if !messages[*n_prompt..].iter().any(|message| message["role"] == "assistant") =>
            {
                Err("it has no message of an assistant to learn".to_owned())
            }
            _ => Ok(self),
        }
    }
}

/// Messages of a column, those of ShareGPT under the usual names.
fn list(column: &str, messages: &Value) -> Result<Vec<Value>, String> {
    let wanted = || format!("`{column}` is no list of objects with `role` and `content`");
    let message = |message: &Value| -> Option<Value> {
        if message.get("role")?.is_string() && message.get("content").is_some() {
            return Some(message.clone());
        }
        None
    };
    let turn = |turn: &Value| -> Option<Value> {
        let role = match turn.get("from")?.as_str()? {
            "human" => "user",
            "gpt" => "assistant",
            role => role,
        };
        Some(json!({"role": role, "content": turn.get("value")?}))
    };
    let messages = messages.as_array().ok_or_else(wanted)?;
    messages.iter().map(|one| message(one).or_else(|| turn(one))).collect::<Option<_>>().ok_or_else(wanted)
}

/// Where the thinking part of a content begins and ends.
const TAGS: (&str, &str) = ("<think>", "</think>");
/// Keys that hold the thinking part where it stands apart.
const KEYS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// Thinking part and answer of an assistant's message; each empty if there is none.
pub(super) fn parts(message: &Value) -> (String, String) {
    let content = text(&message["content"]);
    let apart = KEYS.iter().filter_map(|key| message[key].as_str()).find(|text| !text.trim().is_empty());
    if let Some(thinking) = apart {
        return (thinking.to_owned(), content);
    }
    match content.rsplit_once(TAGS.1) {
        Some((thinking, answer)) => {
            let thinking = thinking.trim_start();
            (thinking.strip_prefix(TAGS.0).unwrap_or(thinking).to_owned(), answer.to_owned())
        }
        None => (String::new(), content),
    }
}

/// The text of a content: a string, or a list of parts with `text`.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}
