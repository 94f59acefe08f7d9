//! The bank that ships with Gradus.

/// JSONL in the format of any bank.
pub(crate) const QUICKSTART: &[u8] = include_bytes!("../bank/quickstart.jsonl");
