//! Is the bank clean? Questions that nearly repeat each other, families that differ in numbers alone, and questions
//! that stand in a benchmark.
//!
//! Everything here is pure, and the same for the same questions in the same order. Exact duplicates are joined by
//! `ingest`, by their ids.

pub mod benchmark;
pub mod indel;
pub mod near;
pub mod text;

use std::borrow::Cow;

use crate::question::Question;

/// What is compared of a question: its text, and its options.
fn whole(question: &Question) -> Cow<'_, str> {
    if question.options.is_empty() {
        return Cow::Borrowed(&question.text);
    }
    let parts: Vec<&str> = std::iter::once(&question.text).chain(&question.options).map(String::as_str).collect();
    Cow::Owned(parts.join("\n"))
}
