//! Puts the default model into the cache and prints where it is.
//!
//! `cargo run -p gradus-gguf --example fetch`

use std::path::PathBuf;
use std::process::ExitCode;

use gradus_gguf::fetch::{CacheVariables, fetch_smollm2};

fn main() -> ExitCode {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let variables = CacheVariables {
        gradus_cache: variable("GRADUS_CACHE"),
        xdg_cache_home: variable("XDG_CACHE_HOME"),
        home: variable("HOME"),
    };
    match fetch_smollm2(&variables.directory()) {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
