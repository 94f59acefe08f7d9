//! One way to name a model, in config and in flags.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A model as the user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelName {
    /// `openai:URL#MODEL`, or a bare URL.
    OpenAi {
        /// Base URL of the endpoint.
        url: String,
        /// Name in requests; `None` asks the endpoint for the only one that it serves.
        model: Option<String>,
    },
    /// `replay:FILE#MODEL`: recorded answers.
    Replay {
        /// The recording.
        file: PathBuf,
        /// Name in the recording.
        model: String,
    },
    /// `gguf:PATH`: the embedded engine with a file.
    Gguf {
        /// The file.
        path: PathBuf,
    },
    /// `dir:PATH`: the embedded engine with a folder of safetensors as training writes it.
    Dir {
        /// The folder.
        path: PathBuf,
    },
    /// `hf:OWNER/REPO/FILE.gguf`: the embedded engine with a file that is fetched first.
    Hf {
        /// `OWNER/REPO`.
        repo: String,
        /// The file, with folders inside the repository.
        file: String,
    },
    /// `smollm2`: the default model of the embedded engine.
    SmolLm2,
}

/// A name that is none, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` names no model: {why}; \
     accepted are openai:URL#MODEL, replay:FILE#MODEL, gguf:PATH, dir:PATH, hf:OWNER/REPO/FILE.gguf, smollm2, and a bare http(s):// URL"
)]
pub struct BadModelName {
    /// What was given, passwords left out.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

impl FromStr for ModelName {
    type Err = BadModelName;

    fn from_str(name: &str) -> Result<Self, BadModelName> {
        let name = name.trim();
        let bad = |why: &str| BadModelName { name: without_password(name), why: why.to_owned() };
        if name == "smollm2" {
            return Ok(ModelName::SmolLm2);
        }
        let Some((kind, rest)) = name.split_once(':') else {
            let near = strsim::jaro_winkler(&name.to_lowercase(), "smollm2") > 0.85;
            return Err(bad(match (name, near) {
                ("", _) => "it is empty",
                (_, true) => "did you mean `smollm2`?",
                _ => "it says neither a kind nor a URL",
            }));
        };
        match kind {
            "http" | "https" => openai(name).map_err(bad),
            "openai" => openai(rest).map_err(bad),
            "replay" => match rest.rsplit_once('#') {
                None => Err(bad("the `#MODEL` after the recording's file is missing")),
                Some(("", _)) => Err(bad("the recording's file is missing")),
                Some((_, "")) => Err(bad("the model after `#` is missing")),
                Some((file, model)) => Ok(ModelName::Replay { file: file.into(), model: model.to_owned() }),
            },
            "gguf" if rest.is_empty() => Err(bad("the file is missing")),
            "gguf" => Ok(ModelName::Gguf { path: rest.into() }),
            "dir" if rest.is_empty() => Err(bad("the folder is missing")),
            "dir" => Ok(ModelName::Dir { path: rest.into() }),
            "hf" => {
                let mut parts = rest.splitn(3, '/');
                let (Some(owner), Some(repo), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
                    return Err(bad("expected an owner, a repository and a file, with `/` between"));
                };
                if [owner, repo, file].into_iter().any(|part| part.is_empty() || part.split('/').any(|dir| dir == ".."))
                {
                    return Err(bad("a part of it is empty or `..`"));
                }
                if !file.to_lowercase().ends_with(".gguf") {
                    return Err(bad("the file does not end in `.gguf`"));
                }
                Ok(ModelName::Hf { repo: format!("{owner}/{repo}"), file: file.to_owned() })
            }
            "smollm2" => Err(bad("`smollm2` takes nothing after it")),
            _ => Err(bad(&format!("`{kind}:` is no kind of model"))),
        }
    }
}

fn openai(rest: &str) -> Result<ModelName, &'static str> {
    let (url, model) = match rest.rsplit_once('#') {
        Some((_, "")) => return Err("the model after `#` is missing"),
        Some((url, model)) => (url, Some(model.to_owned())),
        None => (rest, None),
    };
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match host {
        None => Err("its URL does not begin with http:// or https://"),
        Some("") => Err("its URL has no host"),
        Some(_) => Ok(ModelName::OpenAi { url: url.to_owned(), model }),
    }
}

fn without_password(name: &str) -> String {
    let Some((scheme, rest)) = name.split_once("://") else { return name.to_owned() };
    let authority = rest.split(['/', '#', '?']).next().unwrap_or("");
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => name.to_owned(),
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            ModelName::OpenAi { url, model: Some(model) } => write!(f, "openai:{}#{model}", without_password(url)),
            ModelName::OpenAi { url, model: None } => f.write_str(&without_password(url)),
            ModelName::Replay { file, model } => write!(f, "replay:{}#{model}", file.display()),
            ModelName::Gguf { path } => write!(f, "gguf:{}", path.display()),
            ModelName::Dir { path } => write!(f, "dir:{}", path.display()),
            ModelName::Hf { repo, file } => write!(f, "hf:{repo}/{file}"),
            ModelName::SmolLm2 => f.write_str("smollm2"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for name in [
            "openai:http://localhost:8000/v1#Qwen/Qwen2.5-7B-Instruct",
            "openai:https://openrouter.ai/api/v1#deepseek/r1:free",
            "http://localhost:8000/v1",
            "replay:a#b/recordings.jsonl.zst#openai/o1-mini-2024-09-12",
            "gguf:models/a#b.gguf",
            "dir:out/student-sft/checkpoint-12",
            "hf:owner/repo/sub/file.gguf",
            "smollm2",
        ] {
            assert_eq!(name.parse::<ModelName>().expect(name).to_string(), name);
        }
        let replay = "replay:a#b.jsonl#m".parse::<ModelName>().expect("a replay");
        assert_eq!(replay, ModelName::Replay { file: "a#b.jsonl".into(), model: "m".into() });
        let bare = "https://host#m".parse::<ModelName>().expect("a URL");
        assert_eq!(bare, ModelName::OpenAi { url: "https://host".into(), model: Some("m".into()) });
    }

    #[test]
    fn what_is_wrong_is_said_with_the_accepted_forms() {
        for (name, why) in [
            ("", "it is empty"),
            ("smolm2", "did you mean `smollm2`?"),
            ("gpt-4o", "it says neither a kind nor a URL"),
            ("openai:localhost:8000#m", "does not begin with http"),
            ("openai:http://#m", "no host"),
            ("http://host/v1#", "the model after `#` is missing"),
            ("replay:file.jsonl", "the `#MODEL`"),
            ("replay:#m", "file is missing"),
            ("replay:f#", "the model after `#` is missing"),
            ("gguf:", "the file is missing"),
            ("dir:", "the folder is missing"),
            ("hf:owner/repo", "with `/` between"),
            ("hf:owner/repo/file.bin", "`.gguf`"),
            ("hf:owner/../file.gguf", "empty or `..`"),
            ("ollama:m", "`ollama:` is no kind of model"),
        ] {
            let error = name.parse::<ModelName>().expect_err(name).to_string();
            assert!(error.contains(why) && error.contains("replay:FILE#MODEL"), "{error}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let name = "openai:http://me:secret@host/v1#m@1".parse::<ModelName>().expect("a URL with a password");
        assert_eq!(name.to_string(), "openai:http://host/v1#m@1");
        let error = "openai:ftp://me:secret@host#m".parse::<ModelName>().expect_err("no HTTP").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
