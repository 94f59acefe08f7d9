//! How does a conversation look to a model? Its chat template and tokenizer, without its weights.
//!
//! Only the trait stands here; who reads a folder or a file implements it.

use serde_json::Value;

/// Chat template and tokenizer of a model: what its trainer sees.
pub trait Chat: Send + Sync {
    /// What the model is called in reports.
    fn name(&self) -> &str;

    /// A conversation as one text. Messages are objects with `role` and `content`; some templates know further keys,
    /// such as `reasoning_content`.
    ///
    /// # Errors
    /// If there is no template, or it refuses the conversation.
    fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String, ChatError>;

    /// Tokens of a text. Special tokens that stand in it count as one; none are added.
    ///
    /// # Errors
    /// If the tokenizer has no token for a part of it.
    fn n_tokens(&self, text: &str) -> Result<usize, ChatError>;

    /// Texts of the tokens that end an answer.
    fn ends(&self) -> &[String];
}

/// Why a template or a tokenizer refuses something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChatError(pub String);
