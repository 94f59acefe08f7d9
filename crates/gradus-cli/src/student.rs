//! How is the student talked to? Its chat template and tokenizer, from a folder, a GGUF file, or the hub.

use std::path::{Path, PathBuf};

use gradus::config::Config;
use gradus::ingest::missing_hint;
use gradus_model::chat::Chat;
use gradus_model::name::ModelName;
use gradus_template::StudentFiles;

use crate::error::CommandError;
use crate::hub;
use crate::models::{Env, SMOLLM2};

/// What kinds of names there are, for hints.
const ACCEPTED: &str = "name a folder with `tokenizer.json` and the chat template, a GGUF file, or `hf:OWNER/NAME`";

/// Makes a relative path of the config one that holds from here.
pub(crate) fn make_absolute(files: &mut String, base: &Path) {
    if !files.starts_with(hub::PREFIX) {
        *files = base.join(&*files).to_string_lossy().into_owned();
    }
}

/// The files that a config names, else the student's own where it runs in this process; none if it does not.
pub(crate) fn of_config(config: &Config, base: &Path) -> Result<Option<Box<dyn Chat>>, CommandError> {
    match &config.export.lint.student_files {
        Some(files) => open(files).map(Some).map_err(|mut error| {
            error.message = format!("`export.lint.student_files`: {}", error.message);
            error
        }),
        None => Ok(own(config, &Env::read(base.to_owned()))),
    }
}

/// The files behind a name.
pub(crate) fn open(name: &str) -> Result<Box<dyn Chat>, CommandError> {
    if let Some(rest) = name.strip_prefix(hub::PREFIX) {
        if let Ok(ModelName::Hf { repo, file }) = name.parse() {
            let file = format!("{repo}/{file}").parse().map_err(CommandError::usage)?;
            return gguf(&crate::session::runtime()?.block_on(hub::fetch(&file))?, Some(&repo));
        }
        return folder(&hub::student_files(rest)?, Some(rest));
    }
    let path = PathBuf::from(name);
    if path.is_dir() {
        folder(&path, None)
    } else if path.is_file() {
        gguf(&path, None)
    } else {
        Err(CommandError::usage(format!("{}: there is no such file or folder", path.display()))
            .hint(missing_hint(Path::new(""), &path))
            .hint(ACCEPTED))
    }
}

/// The file that the student itself runs from, if it is here: nothing is fetched for this.
fn own(config: &Config, env: &Env) -> Option<Box<dyn Chat>> {
    let (path, name) = match config.student.as_ref()?.model.parse().ok()? {
        ModelName::Gguf { path } => (env.base.join(path), None),
        ModelName::SmolLm2 => (hub::cached_smollm2(env)?, Some(SMOLLM2.to_owned())),
        ModelName::Hf { repo, file } => (hub::cached(&format!("{repo}/{file}").parse().ok()?)?, Some(repo)),
        ModelName::Dir { path } => return folder(&env.base.join(path), None).ok(),
        ModelName::OpenAi { .. } | ModelName::Replay { .. } => return None,
    };
    gguf(&path, name.as_deref()).ok()
}

fn folder(path: &Path, name: Option<&str>) -> Result<Box<dyn Chat>, CommandError> {
    let files = StudentFiles::open(path).map_err(|error| CommandError::usage(error).hint(ACCEPTED))?;
    Ok(Box::new(match name {
        Some(name) => files.called(name),
        None => files,
    }))
}

#[cfg(feature = "embedded")]
fn gguf(path: &Path, name: Option<&str>) -> Result<Box<dyn Chat>, CommandError> {
    let chat = gradus_gguf::GgufChat::open(path).map_err(|error| CommandError::usage(error).hint(ACCEPTED))?;
    Ok(Box::new(match name {
        Some(name) => chat.called(name),
        None => chat,
    }))
}

#[cfg(not(feature = "embedded"))]
fn gguf(path: &Path, _: Option<&str>) -> Result<Box<dyn Chat>, CommandError> {
    let message = format!("{}: GGUF files need the embedded engine, which this binary lacks", path.display());
    Err(CommandError::usage(message).hint("build with the default features, or name a folder"))
}
