//! What will the trainer see? A student's own chat template and tokenizer, from the files that stand beside its weights.
//!
//! [`StudentFiles::open`] reads a folder as the hub has it and as training writes it; no weights are touched. Other
//! kinds of files bring a [`Template`] of their own and implement [`gradus_model::chat::Chat`] with it.

mod student;
mod template;
mod tokenizer;

use std::path::PathBuf;

pub use crate::student::{FILES, StudentFiles};
pub use crate::template::Template;
pub use crate::tokenizer::{Token, Tokenizer};

/// Why a student's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refuses.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// A file is there and does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that is needed is not there.
    #[error("{} has no {file}", folder.display())]
    Missing {
        /// Which folder.
        folder: PathBuf,
        /// Which file.
        file: &'static str,
    },
}
