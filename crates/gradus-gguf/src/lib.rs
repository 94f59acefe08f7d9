//! Runs a model inside this process, behind the same [`gradus_model::Model`] as any endpoint.
//!
//! [`Engine::load`] reads a GGUF file of the Llama family (`llama`, `qwen2`, `qwen3`), or a folder of safetensors as
//! training writes it; [`fetch`] gets the default model. Weights
//! are held in 8 bits and multiplied by kernels made for this (`kernel.rs`); nothing but Rust is needed to build
//! them. One thread works on all requests at once. A request's answer depends on the request alone: neither on
//! what else is asked at the same time, nor on the number of threads, nor on the instruction set.

mod batch;
mod chat;
mod dequant;
mod engine;
pub mod fetch;
mod folder;
mod gguf;
mod kernel;
mod matrix;
mod measure;
mod merges;
mod safetensors;
mod sample;
mod score;
mod structured;
mod tokenizer;
mod transformer;

use std::path::PathBuf;

pub use crate::chat::GgufChat;
pub use crate::engine::{Engine, EngineConfig, Measured, TokenScore};
pub use crate::kernel::Isa;
pub use crate::matrix::Precision;
pub use crate::tokenizer::Tokenizer;

/// Why a model cannot be loaded.
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
    /// The file is cut, mutated, or no GGUF at all.
    #[error("{} is not a usable GGUF file: {problem}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Something is missing or wrong in a folder as training writes it.
    #[error("{} is not usable as a model: {problem}", path.display())]
    Folder {
        /// Which folder, or which file in it.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file is fine and this engine is not made for it.
    #[error("{} needs what the embedded engine does not support: {what}", path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What it needs.
        what: String,
    },
    /// Threads cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(String),
}
