//! Does what was distilled reach the student? Each row as the student's own chat template renders it.
//!
//! Some templates delete the thinking part of an answer, some ask for an answer in another way than they write one
//! down; a trainer says nothing of either. So every row is rendered and looked at. One row is in memory at a time.

mod checks;
mod row;

use std::collections::{BTreeMap, BTreeSet};

use gradus_model::Message;
use gradus_model::chat::{Chat, ChatError};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::{Lint, OverLength};
pub use checks::{CHECKS_VERSION, Checks, Example, Tokens};
pub use row::Row;

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// The thinking part is not in the rendered text.
    ThinkingLost,
    /// The answer is not in the rendered text.
    AnswerLost,
    /// The prompt that asks for the answer is not the beginning of the whole text.
    PromptNotPrefix,
    /// The text does not end with an end-of-sequence token, white space aside.
    NoEos,
    /// It has more tokens than allowed.
    TooLong,
    /// The template or the tokenizer refuses it.
    TemplateError,
}

impl Flaw {
    /// Every flaw there is.
    pub const ALL: [Self; 6] =
        [Self::ThinkingLost, Self::AnswerLost, Self::PromptNotPrefix, Self::NoEos, Self::TooLong, Self::TemplateError];

    /// Its name in `CHECKS.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ThinkingLost => "thinking_lost",
            Self::AnswerLost => "answer_lost",
            Self::PromptNotPrefix => "prompt_not_prefix",
            Self::NoEos => "no_eos",
            Self::TooLong => "too_long",
            Self::TemplateError => "template_error",
        }
    }
}

/// What was found about one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What is wrong with it; empty if nothing is.
    pub flaws: BTreeSet<Flaw>,
    /// What the template or the tokenizer said, if it refused.
    pub refused: Option<ChatError>,
    /// Tokens of the whole text; none if it could not be rendered.
    pub n_tokens: Option<u64>,
    /// Whether it is to be left out.
    pub is_dropped: bool,
}

/// Looks at rows one after another, and counts.
pub struct Linter<'a> {
    chat: &'a dyn Chat,
    config: &'a Lint,
    /// What was found about a conversation of our own, before any row.
    own: Checked,
    n_rows: u64,
    n_flawed: u64,
    n_dropped: u64,
    flaws: BTreeMap<Flaw, u64>,
    /// Rows by their number of tokens.
    lengths: BTreeMap<u64, u64>,
    /// The most tokens of a row that is not left out.
    longest: u64,
    examples: Vec<Example>,
}

/// Rows that are told one by one.
const N_EXAMPLES: usize = 5;

impl<'a> Linter<'a> {
    /// Begins with a conversation of our own, so that the template's verdict does not wait for a row.
    pub fn new(chat: &'a dyn Chat, config: &'a Lint) -> Self {
        let messages = [
            json!({"role": "user", "content": "How many legs have two spiders?"}),
            json!({"role": "assistant",
                "content": "<think>\nA spider has eight; twice eight is 16.\n</think>\n\nThey have sixteen legs."}),
        ];
        Self {
            chat,
            config,
            own: checked(look(chat, &messages, 1), &Lint::default()),
            n_rows: 0,
            n_flawed: 0,
            n_dropped: 0,
            flaws: Flaw::ALL.map(|flaw| (flaw, 0)).into(),
            lengths: BTreeMap::new(),
            longest: 0,
            examples: Vec::new(),
        }
    }

    /// Looks at an exported row: what was asked, and the content of the assistant's message.
    pub fn check(&mut self, prompt: &[Message], content: &str) -> Checked {
        self.check_row(&Row::after_prompt(messages(prompt, content)))
    }

    /// Looks at a row of any form.
    pub fn check_row(&mut self, row: &Row) -> Checked {
        let looked = match row {
            Row::Messages { messages, n_prompt } => look(self.chat, messages, *n_prompt),
            Row::Text { prompt, completion } => look_at_text(self.chat, prompt, completion),
        };
        let checked = checked(looked, self.config);
        self.n_rows += 1;
        self.n_flawed += u64::from(!checked.flaws.is_empty());
        self.n_dropped += u64::from(checked.is_dropped);
        for flaw in &checked.flaws {
            *self.flaws.entry(*flaw).or_default() += 1;
        }
        if let Some(n_tokens) = checked.n_tokens {
            *self.lengths.entry(n_tokens).or_default() += 1;
            if !checked.is_dropped {
                self.longest = self.longest.max(n_tokens);
            }
        }
        if !checked.flaws.is_empty() && self.examples.len() < N_EXAMPLES {
            self.examples.push(Example::new(self.n_rows, &checked));
        }
        checked
    }

    /// Whether a row is to be left out for its length, without counting it as one that was looked at. One that the
    /// template or the tokenizer refuses has none.
    pub fn is_too_long(&self, prompt: &[Message], content: &str) -> bool {
        let Lint { max_length: Some(most), over_length: OverLength::Drop, .. } = self.config else { return false };
        let whole = self.chat.render(&messages(prompt, content), false);
        whole.and_then(|whole| self.chat.n_tokens(&whole)).is_ok_and(|n_tokens| n_tokens as u64 > *most)
    }

    /// What was found about all rows.
    pub fn finish(self) -> Checks {
        Checks::new(self)
    }
}

/// A row as a conversation.
fn messages(prompt: &[Message], content: &str) -> Vec<Value> {
    let prompt = prompt.iter().map(|message| json!(message));
    prompt.chain([json!({"role": "assistant", "content": content})]).collect()
}

/// What rendering told: flaws and tokens.
type Looked = Result<(BTreeSet<Flaw>, u64), ChatError>;

fn checked(looked: Looked, config: &Lint) -> Checked {
    match looked {
        Ok((mut flaws, n_tokens)) => {
            let is_long = config.max_length.is_some_and(|most| n_tokens > most);
            if is_long {
                flaws.insert(Flaw::TooLong);
            }
            let is_dropped = is_long && config.over_length == OverLength::Drop;
            Checked { flaws, refused: None, n_tokens: Some(n_tokens), is_dropped }
        }
        Err(error) => {
            let flaws = BTreeSet::from([Flaw::TemplateError]);
            Checked { flaws, refused: Some(error), n_tokens: None, is_dropped: false }
        }
    }
}

/// Looks at a conversation whose first `n_prompt` messages are not learned.
fn look(chat: &dyn Chat, messages: &[Value], n_prompt: usize) -> Looked {
    let whole = chat.render(messages, false)?;
    let mut flaws = BTreeSet::new();
    // Some templates fail without messages; then nothing is masked either.
    let mut learned_at = 0;
    if n_prompt > 0 {
        let prompt = chat.render(&messages[..n_prompt], true)?;
        learned_at = prompt.len();
        if !whole.starts_with(&prompt) {
            flaws.insert(Flaw::PromptNotPrefix);
            // What follows the asking part without the words that ask for an answer, which differ.
            let asking = chat.render(&messages[..n_prompt], false).unwrap_or_default();
            learned_at = common_prefix(&whole, &asking);
        }
    }
    for (at, message) in messages.iter().enumerate().filter(|(_, message)| message["role"] == "assistant") {
        // A short answer may stand in the question too.
        let place = if at < n_prompt { &whole[..] } else { &whole[learned_at..] };
        let (thinking, answer) = row::parts(message);
        if !place.contains(thinking.trim()) {
            flaws.insert(Flaw::ThinkingLost);
        }
        if !place.contains(answer.trim()) {
            flaws.insert(Flaw::AnswerLost);
        }
    }
    measure(chat, &whole, flaws)
}

/// Looks at a row that is rendered already: no template touches it.
fn look_at_text(chat: &dyn Chat, prompt: &str, completion: &str) -> Looked {
    measure(chat, &format!("{prompt}{completion}"), BTreeSet::new())
}

fn measure(chat: &dyn Chat, whole: &str, mut flaws: BTreeSet<Flaw>) -> Looked {
    if !chat.ends().iter().any(|end| whole.trim_end().ends_with(end.as_str())) {
        flaws.insert(Flaw::NoEos);
    }
    Ok((flaws, chat.n_tokens(whole)? as u64))
}

/// Bytes that two texts begin with alike, in whole characters.
fn common_prefix(one: &str, other: &str) -> usize {
    let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    same.map_or(one.len().min(other.len()), |((at, _), _)| at)
}

#[cfg(test)]
mod tests;
