//! How exported rows are checked against the student's own chat template and tokenizer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How rows are checked against the student's own chat template and tokenizer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lint {
    /// Folder with the student's `tokenizer.json` and chat template, a GGUF file, or `hf:OWNER/NAME` on the hub. If
    /// absent, the student's own file where it runs in this process; else nothing is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub student_files: Option<String>,
    /// Longest row in tokens of the student; no limit if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// What becomes of a longer one. None is ever cut.
    pub over_length: OverLength,
}

/// What becomes of a row that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OverLength {
    /// It is exported, and counted.
    #[default]
    Flag,
    /// It is left out, and counted.
    Drop,
}
