//! A question of the bank: what is asked and how an answer is checked.

use std::fmt;
use std::sync::Arc;

use gradus_sandbox::Tests;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Content id of a question: the first 16 hex digits of a hash over its kind, normalised text and options.
///
/// The same question has the same id in every bank and every run; its reference is not part of it, so that
/// a corrected reference does not orphan recorded answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(u64);

impl Question {
    /// A question of which nothing is known but its text, which is its id in the bank too.
    pub fn bare(kind: Kind, text: &str) -> Self {
        Self {
            id: QuestionId::of(kind, text, &[]),
            source_ids: [text.to_owned()].into(),
            kind,
            text: text.to_owned(),
            references: Vec::new(),
            tolerance: None,
            tests: None,
            starter: String::new(),
            options: Vec::new(),
            level: None,
            subject: None,
            source: String::new(),
            license: None,
        }
    }
}

impl QuestionId {
    /// Id of the question with this kind, text and options.
    pub fn of(kind: Kind, text: &str, options: &[String]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(kind.name().as_bytes());
        for part in std::iter::once(text).chain(options.iter().map(String::as_str)) {
            let part = normalise(part);
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let bytes = hasher.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes");
        Self(u64::from_be_bytes(bytes))
    }

    /// The id as a number, for keyed draws.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Reads 16 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text in NFKC with every run of white space as one blank and none at the ends: equal texts are duplicates.
pub fn normalise(text: &str) -> String {
    let mut normal = String::with_capacity(text.len());
    for c in text.nfkc() {
        if !c.is_whitespace() {
            normal.push(c);
        } else if !normal.ends_with(' ') {
            normal.push(' ');
        }
    }
    normal.trim().to_owned()
}

/// How an answer is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Mathematical equivalence with a reference.
    Math,
    /// The letter of an option.
    Choice,
    /// A short text.
    Text,
    /// Unit tests in the sandbox.
    Code,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Math, Self::Choice, Self::Text, Self::Code];

    /// Its name in tables, config and report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Math => "math",
            Self::Choice => "choice",
            Self::Text => "text",
            Self::Code => "code",
        }
    }
}

/// How far a number may lie from the reference, where the bank says so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// Share of the reference's magnitude.
    Relative(f64),
    /// Absolute distance in the reference's unit.
    Absolute(f64),
}

/// One question. Either `references` or `tests` is there, unless the bank keeps unverifiable ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Content id.
    pub id: QuestionId,
    /// Every id under which a source knows it; the first is the one it came with first. Never empty.
    pub source_ids: Arc<[String]>,
    /// How an answer is checked.
    pub kind: Kind,
    /// What is asked.
    pub text: String,
    /// Accepted answers, for math, choice and text. For choice, letters.
    pub references: Vec<String>,
    /// Allowed distance of numbers.
    pub tolerance: Option<Tolerance>,
    /// Unit tests, for code.
    pub tests: Option<Arc<Tests>>,
    /// Code that stands before a completion (signature and doc string), for code; may be empty.
    pub starter: String,
    /// Texts of the options A, B, C ..., for choice, where the bank lists them apart from the text.
    pub options: Vec<String>,
    /// The bank's own level, as it stands there; no statement about any student.
    pub level: Option<String>,
    /// Subject, as it stands in the bank.
    pub subject: Option<String>,
    /// Name of the source.
    pub source: String,
    /// Licence of the row, if the bank or the config names one.
    pub license: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_differ_in_white_space_alone_have_one_id() {
        let of = |text: &str| QuestionId::of(Kind::Math, text, &[]);
        assert_eq!(of("What is  2+2?\n"), of("What is 2+2?"));
        assert_ne!(of("What is 2+2?"), of("What is 2+3?"));
        assert_ne!(of("What is 2+2?"), QuestionId::of(Kind::Text, "What is 2+2?", &[]));
        assert_ne!(
            QuestionId::of(Kind::Choice, "Pick", &["a".into(), "b".into()]),
            QuestionId::of(Kind::Choice, "Pick", &["a b".into()])
        );
    }

    #[test]
    fn ids_survive_printing() {
        let id = QuestionId::of(Kind::Code, "f", &[]);
        assert_eq!(QuestionId::parse(&id.to_string()), Some(id));
        assert_eq!(QuestionId::parse("xyz"), None);
    }
}
