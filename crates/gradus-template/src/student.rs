//! Which files say how a student is talked to? Those of a folder as the hub has it and as training writes it.

use std::path::{Path, PathBuf};

use gradus_model::chat::{Chat, ChatError};
use serde_json::Value;

use crate::{Error, Template, Tokenizer};

const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
const TEMPLATE_JSON: &str = "chat_template.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const CONFIG: &str = "config.json";

/// The files that are looked at; all but the first may be missing.
pub const FILES: [&str; 7] =
    [TOKENIZER, TOKENIZER_CONFIG, TEMPLATE, TEMPLATE_JSON, SPECIAL_TOKENS, GENERATION_CONFIG, CONFIG];

/// Chat template and tokenizer of a student.
#[derive(Debug)]
pub struct StudentFiles {
    name: String,
    template: Option<Template>,
    tokenizer: Tokenizer,
    ends: Vec<String>,
    beginning: Option<String>,
}

impl StudentFiles {
    /// Reads a folder's files. Its name is the student's, unless it is called otherwise.
    ///
    /// # Errors
    /// If there is no `tokenizer.json`, or a file holds something else than it should. A folder without template is
    /// no error: that is said when a conversation is to be rendered.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        if !folder.is_dir() {
            let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
            return Err(Error::Io { path: folder.to_owned(), error });
        }
        let path = folder.join(TOKENIZER);
        if !path.exists() {
            return Err(Error::Missing { folder: folder.to_owned(), file: TOKENIZER });
        }
        let tokenizer = Tokenizer::open(&path)?;
        let tokenizer_config = read(folder, TOKENIZER_CONFIG)?;
        let special_tokens = read(folder, SPECIAL_TOKENS)?;
        let special = |key: &str| special_token(&tokenizer_config, key).or_else(|| special_token(&special_tokens, key));
        let (beginning, end) = (special("bos_token"), special("eos_token"));
        let mut ends: Vec<String> = end.iter().cloned().collect();
        for file in [GENERATION_CONFIG, CONFIG] {
            let ids = match &read(folder, file)?["eos_token_id"] {
                Value::Array(ids) => ids.clone(),
                id => vec![id.clone()],
            };
            let ids = ids.iter().filter_map(|id| u32::try_from(id.as_u64()?).ok());
            ends.extend(ids.filter_map(|id| tokenizer.text(id)));
        }
        let mut seen = std::collections::HashSet::new();
        ends.retain(|end| !end.is_empty() && seen.insert(end.clone()));
        let template = match source(folder, &tokenizer_config)? {
            Some((path, source)) => {
                let marks = (beginning.as_deref().unwrap_or_default(), end.as_deref().unwrap_or_default());
                let template = Template::new(&source, marks.0, marks.1);
                Some(
                    template
                        .map_err(|error| Error::Malformed { path, problem: format!("chat template: {error:#}") })?,
                )
            }
            None => None,
        };
        let absolute = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, template, tokenizer, ends, beginning })
    }

    /// The same under another name.
    pub fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Turns text into tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The text of the token that begins a text (`bos_token`), if there is one.
    pub fn beginning(&self) -> Option<&str> {
        self.beginning.as_deref()
    }

    /// Template, tokenizer and texts of the ends, for one who goes on with them.
    pub fn into_parts(self) -> (Option<Template>, Tokenizer, Vec<String>) {
        (self.template, self.tokenizer, self.ends)
    }
}

impl Chat for StudentFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String, ChatError> {
        let Some(template) = &self.template else {
            return Err(ChatError(format!(
                "`{}` has no chat template: neither {TEMPLATE} nor `chat_template` in {TOKENIZER_CONFIG}",
                self.name
            )));
        };
        let rendered = template.render(messages, add_generation_prompt);
        rendered.map_err(|error| ChatError(format!("the chat template of `{}`: {error:#}", self.name)))
    }

    fn n_tokens(&self, text: &str) -> Result<usize, ChatError> {
        self.tokenizer.encode(text).map(|tokens| tokens.len()).map_err(ChatError)
    }

    fn ends(&self) -> &[String] {
        &self.ends
    }
}

/// A JSON file of a folder; null if it is not there.
fn read(folder: &Path, file: &str) -> Result<Value, Error> {
    let path = folder.join(file);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(Error::Io { path, error }),
    };
    serde_json::from_slice(&bytes).map_err(|error| Error::Malformed { path, problem: error.to_string() })
}

/// The text of a special token, which stands alone or in an object.
fn special_token(config: &Value, key: &str) -> Option<String> {
    let token = &config[key];
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

/// The template and the file it is from. A file of its own goes before the tokenizer's, as in `transformers`.
fn source(folder: &Path, tokenizer_config: &Value) -> Result<Option<(PathBuf, String)>, Error> {
    let path = folder.join(TEMPLATE);
    match std::fs::read_to_string(&path) {
        Ok(source) => return Ok(Some((path, source))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::Io { path, error }),
    }
    let own = read(folder, TEMPLATE_JSON)?;
    for (file, config) in [(TOKENIZER_CONFIG, tokenizer_config), (TEMPLATE_JSON, &own)] {
        let path = folder.join(file);
        match &config["chat_template"] {
            Value::Null => {}
            Value::String(source) => return Ok(Some((path, source.clone()))),
            // Several, each with a name: conversations without tools take the one called `default`.
            Value::Array(named) => {
                let default = named.iter().find(|template| template["name"] == "default");
                let Some(source) = default.and_then(|template| template["template"].as_str()) else {
                    let problem = "none of its chat templates is called `default`".to_owned();
                    return Err(Error::Malformed { path, problem });
                };
                return Ok(Some((path, source.to_owned())));
            }
            _ => {
                let problem = "`chat_template` is neither a text nor a list of named ones".to_owned();
                return Err(Error::Malformed { path, problem });
            }
        }
    }
    Ok(None)
}
