//! How does a GGUF file talk? Its chat template and tokenizer, without its weights.

use std::path::Path;

use gradus_model::chat::{Chat, ChatError};
use gradus_template::Template;
use serde_json::Value;

use crate::Error;
use crate::gguf::Gguf;
use crate::tokenizer::Tokenizer;

/// Chat template and tokenizer of a GGUF file.
#[derive(Debug)]
pub struct GgufChat {
    name: String,
    template: Option<Template>,
    tokenizer: Tokenizer,
    ends: Vec<String>,
}

impl GgufChat {
    /// Reads the header of a file. The name is the one in the file, else the file's.
    ///
    /// # Errors
    /// If the file is unreadable, broken, or has a tokenizer of a kind that is not supported.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let gguf = Gguf::open(path)?;
        let tokenizer = Tokenizer::load(&gguf)?;
        let template = template(&gguf, &tokenizer)?;
        let ends = tokenizer.ends();
        Ok(Self { name: name(&gguf), template, tokenizer, ends })
    }

    /// The same under another name.
    pub fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

impl Chat for GgufChat {
    fn name(&self) -> &str {
        &self.name
    }

    fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String, ChatError> {
        let Some(template) = &self.template else {
            return Err(ChatError(format!("the file of `{}` has no chat template", self.name)));
        };
        let rendered = template.render(messages, add_generation_prompt);
        rendered.map_err(|error| ChatError(format!("the chat template of `{}`: {error:#}", self.name)))
    }

    fn n_tokens(&self, text: &str) -> Result<usize, ChatError> {
        Ok(self.tokenizer.encode(text).len())
    }

    fn ends(&self) -> &[String] {
        &self.ends
    }
}

/// What a model is called: as its file says, else as the file is called.
pub(crate) fn name(gguf: &Gguf) -> String {
    let stem = gguf.path().file_stem().unwrap_or_default().to_string_lossy();
    gguf.string("general.name").filter(|name| !name.is_empty()).unwrap_or(&stem).to_owned()
}

/// The template in a file's metadata, if it has one.
pub(crate) fn template(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<Template>, Error> {
    let Some(source) = gguf.string("tokenizer.chat_template") else { return Ok(None) };
    let (beginning, end) = tokenizer.marks();
    let template = Template::new(source, beginning, end);
    template.map(Some).map_err(|error| gguf.bad(format!("its chat template: {error}")))
}
