//! Which tokens is a text? As `tokenizer.json` says.

use std::path::Path;

use tokenizers::DecoderWrapper;

use crate::Error;

/// The tokenizer of a `tokenizer.json`.
#[derive(Debug)]
pub struct Tokenizer(tokenizers::Tokenizer);

/// A token of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// How the file writes it.
    pub text: String,
    /// Added to those that were learned: its text stands for itself.
    pub is_added: bool,
    /// A mark that never belongs to a text.
    pub is_special: bool,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// If it cannot be read, or describes no tokenizer.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| Error::Io { path: path.to_owned(), error })?;
        let malformed =
            |error: tokenizers::Error| Error::Malformed { path: path.to_owned(), problem: error.to_string() };
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes).map_err(malformed)?;
        // Training may have left its limit in the file: texts would be cut and counted short.
        tokenizer.with_truncation(None).map_err(malformed)?;
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }

    /// The tokens of a text; special tokens written out in it become such tokens, and none are added.
    ///
    /// # Errors
    /// If there is no token for a part of it, which only some kinds of tokenizers know.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.0.encode_fast(text, false).map_err(|error| format!("the tokenizer: {error}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// How the file writes a token.
    pub fn text(&self, id: u32) -> Option<String> {
        self.0.id_to_token(id)
    }

    /// The number of the token that the file writes so.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.0.token_to_id(text)
    }

    /// Every token, by number. Numbers may be left out.
    pub fn vocabulary(&self) -> Vec<Token> {
        let added = self.0.get_added_tokens_decoder();
        let mut tokens: Vec<Token> = (self.0.get_vocab(true).into_iter())
            .map(|(text, id)| {
                let added = added.get(&id);
                Token { id, text, is_added: added.is_some(), is_special: added.is_some_and(|token| token.special) }
            })
            .collect();
        tokens.sort_by_key(|token| token.id);
        tokens
    }

    /// Whether learned tokens are written as GPT-2 does: a printable character for each byte.
    pub fn is_byte_level(&self) -> bool {
        matches!(self.0.get_decoder(), Some(DecoderWrapper::ByteLevel(_)))
    }
}
