//! gradus init: a config to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::error::CommandError;

/// Write a commented config to begin with
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File to write
    #[arg(default_value = "gradus.yaml")]
    path: PathBuf,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
}

const TEMPLATE: &str = include_str!("../gradus.yaml");

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let path = args.path.display();
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(&args.path).and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            CommandError::usage(format!("{path} exists")).hint("name another file, or pass --force to replace it")
        } else {
            CommandError::failure(format!("cannot write {path}: {error}"))
        }
    })?;
    eprintln!("wrote {path}: it runs as it stands; set `bank`, `student` and `teacher` in it");
    eprintln!("next: gradus doctor --config {path}, then gradus run --config {path}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::config::Config;

    #[test]
    fn the_template_spells_out_the_defaults() {
        let config = Config::read(TEMPLATE, &[]).unwrap();
        let plain = Config::read(
            "bank: builtin\nlimit: 20\nstudent: {model: smollm2, context: 1024}\nteacher: {model: smollm2, context: 1024}",
            &[],
        )
        .unwrap();
        assert_eq!(config.to_yaml(), plain.to_yaml());
    }

    #[test]
    fn the_template_speaks_of_every_top_level_key() {
        let schema = Config::schema();
        let keys = schema["properties"].as_object().expect("a config is a map");
        assert!(keys.len() > 10);
        for key in keys.keys() {
            let explained = TEMPLATE
                .lines()
                .filter_map(|line| line.strip_prefix("# ").unwrap_or(line).strip_prefix(key.as_str()))
                .any(|rest| rest.starts_with(':'));
            assert!(explained, "`{key}` is missing");
        }
    }
}
