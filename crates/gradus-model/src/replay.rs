//! A model that answers from a recording: real runs without a model.
//!
//! A recording is JSONL, perhaps compressed (`.zst`, `.gz`), one answer a row:
//! `{question_id, model, sample?, reasoning?, response, finish?, format?, meta?}`, or the scores of one ([`scores`]).
//! Only the chosen model's rows stay in memory.

mod scores;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::zeroeval;
use crate::{Fault, FaultKind, Generate, Identity, Info, Model, Raw, Score, Wire};

use scores::{RecordedScores, ScoreRow};

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read or decompressed.
    #[error("cannot read the recording {}: {source}", file.display())]
    Io {
        /// The recording.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A row is no recorded answer.
    #[error("line {line} of {} is no recorded answer ({{question_id, model, response or scores, ..}}): {found}", file.display())]
    Row {
        /// The recording.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// What was found.
        found: String,
    },
    /// The recording holds no such model.
    #[error(
        "{} holds no answers of `{model}`, but of {n_models} other models{}",
        file.display(),
        if near.is_empty() { String::new() } else { format!("; nearest: {}", near.join(", ")) }
    )]
    UnknownModel {
        /// The recording.
        file: PathBuf,
        /// The name that was asked for.
        model: String,
        /// Names that look like it, nearest first.
        near: Vec<String>,
        /// How many models the recording holds.
        n_models: usize,
    },
}

/// One row, as far as it is needed.
#[derive(Deserialize)]
struct Row {
    #[serde(alias = "id")]
    question_id: String,
    #[serde(default, alias = "attempt")]
    sample: Option<u64>,
    response: Option<String>,
    #[serde(default)]
    reasoning: Option<Value>,
    #[serde(default)]
    finish: Option<Value>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    meta: Option<Meta>,
    #[serde(flatten)]
    scores: ScoreRow,
}

#[derive(Deserialize)]
struct Meta {
    /// Tokens of reasoning that the model's provider counted but did not show.
    #[serde(default)]
    thinking_tokens: Option<Value>,
    /// What a reward model said of the whole answer.
    #[serde(default)]
    rm_score: Option<Value>,
}

#[derive(Deserialize)]
struct ModelOnly<'a> {
    #[serde(borrow)]
    model: std::borrow::Cow<'a, str>,
}

/// An answer of the chosen model.
#[derive(Debug)]
struct Recorded {
    sample: u64,
    /// The thinking, where it was recorded apart: the response is then not looked through for marks.
    reasoning: Option<String>,
    response: String,
    finish: Option<Finished>,
    format: Format,
    thinking_tokens: Option<u64>,
    scores: Option<RecordedScores>,
}

/// How an answer came to its end, as the row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finished {
    Stop,
    /// At the token limit, or given up on the way.
    Cut,
    ContentFilter,
}

impl Finished {
    /// Reads a finish reason; none of a word that says nothing of these three.
    fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "stop" | "eos" | "end_turn" => Some(Self::Stop),
            "length" | "max_tokens" | "abort" | "error" | "cancelled" => Some(Self::Cut),
            "content_filter" => Some(Self::ContentFilter),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Cut => "length",
            Self::ContentFilter => "content_filter",
        }
    }
}

/// How a response was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// As the model wrote it.
    Plain,
    /// As the model wrote it, with its thinking.
    LongCot,
    /// JSON-like text with `reasoning` and `answer`.
    ZeroEval,
}

/// The recorded answers of one model.
#[derive(Debug)]
pub struct Replay {
    identity: Identity,
    file: PathBuf,
    /// Answers by question, each list in the order of (sample, place in the file).
    answers: BTreeMap<String, Vec<Recorded>>,
    /// Scores of answers that the recording does not hold, with the sample's number, by question.
    scores: BTreeMap<String, Vec<(u64, RecordedScores)>>,
    duplicates: usize,
    /// The model closes its thinking with `</think>` somewhere in the recording.
    closes_thinking: bool,
}

impl Replay {
    /// Reads a recording and keeps the answers of one model.
    ///
    /// # Errors
    /// [`ReplayError`]: the file cannot be read, a row is no recorded answer, or the model is not in it.
    pub fn open(file: &Path, model: &str) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Io { file: file.to_owned(), source };
        let mut hashed = Hashed { inner: File::open(file).map_err(failed)?, hasher: blake3::Hasher::new() };
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut answers: BTreeMap<String, Vec<Recorded>> = BTreeMap::new();
        let mut scores: BTreeMap<String, Vec<(u64, RecordedScores)>> = BTreeMap::new();
        {
            let mut lines = decompressed(file, &mut hashed).map_err(failed)?;
            let mut line = Vec::new();
            let mut number = 0;
            loop {
                line.clear();
                // Only `\n` ends a row; texts hold other line ends.
                if lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                    break;
                }
                number += 1;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let bad = |found: String| ReplayError::Row { file: file.to_owned(), line: number, found };
                let unreadable = |error: serde_json::Error| bad(error.to_string());
                let name = serde_json::from_slice::<ModelOnly>(&line).map_err(unreadable)?.model;
                if !names.contains(name.as_ref()) {
                    names.insert(name.clone().into_owned());
                }
                if name == model {
                    let mut row: Row = serde_json::from_slice(&line).map_err(unreadable)?;
                    let whole = row.meta.as_mut().and_then(|meta| meta.rm_score.take());
                    let said = match std::mem::take(&mut row.scores).read(whole) {
                        // Beside an answer, such a field may mean something else.
                        Err(_) if row.response.is_some() => None,
                        said => said.map_err(bad)?,
                    };
                    match said {
                        Some(said) if row.response.is_none() => {
                            let sample = row.sample.unwrap_or(0);
                            scores.entry(row.question_id).or_default().push((sample, said));
                        }
                        said => {
                            let (question_id, recorded) = row.recorded(said);
                            answers.entry(question_id).or_default().push(recorded);
                        }
                    }
                }
            }
        }
        if answers.is_empty() && scores.is_empty() {
            let near = near(model, names.iter());
            return Err(ReplayError::UnknownModel {
                file: file.to_owned(),
                model: model.to_owned(),
                near,
                n_models: names.len(),
            });
        }
        let mut duplicates = 0;
        let mut closes_thinking = false;
        for list in answers.values_mut() {
            list.sort_by_key(|recorded| recorded.sample);
            let samples: HashSet<u64> = list.iter().map(|recorded| recorded.sample).collect();
            duplicates += list.len() - samples.len();
            list.shrink_to_fit();
            closes_thinking |= list.iter().any(|recorded| recorded.response.contains(CLOSE));
        }
        let hash = hashed.finish().map_err(failed)?;
        let identity = Identity { name: model.to_owned(), revision: format!("replay:{}", &hash.to_hex()[..16]) };
        Ok(Replay { identity, file: file.to_owned(), answers, scores, duplicates, closes_thinking })
    }

    /// Rows whose (question, model, sample) another row above has too; they are further attempts.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// How many questions have an answer.
    pub fn n_questions(&self) -> usize {
        self.answers.len()
    }

    /// The questions that have an answer, in the order of their ids.
    pub fn question_ids(&self) -> impl Iterator<Item = &str> {
        self.answers.keys().map(String::as_str)
    }

    /// The numbers that the answers to each question were recorded with, in the order in which attempts get them.
    pub fn samples(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = u64>)> {
        self.answers.iter().map(|(id, list)| (id.as_str(), list.iter().map(|recorded| recorded.sample)))
    }

    /// How many answers a question has under any of its ids.
    pub fn n_attempts(&self, source_ids: &[String]) -> usize {
        self.lists(source_ids).map(<[Recorded]>::len).sum()
    }

    /// Whether it holds an answer of that number to a question under any of its ids, or scores of one.
    pub fn holds(&self, source_ids: &[String], attempt: u32) -> bool {
        let scores = || source_ids.iter().filter_map(|id| self.scores.get(id)).flatten();
        self.n_attempts(source_ids) > attempt as usize || scores().any(|(sample, _)| *sample == u64::from(attempt))
    }

    fn lists(&self, source_ids: &[String]) -> impl Iterator<Item = &[Recorded]> {
        let known = source_ids.iter().enumerate().filter(|(at, id)| !source_ids[..*at].contains(id));
        known.filter_map(|(_, id)| self.answers.get(id)).map(Vec::as_slice)
    }

    fn body(&self, recorded: &Recorded) -> Vec<u8> {
        let text = recorded.response.as_str();
        let mut message = Message { role: "assistant", content: Some(text), reasoning: recorded.reasoning.as_deref() };
        let mut finish_reason = "stop";
        let mut gradus_raw = None;
        let parts;
        match recorded.format {
            _ if recorded.reasoning.is_some() => {}
            Format::ZeroEval => {
                parts = zeroeval::split(text);
                if parts.cut {
                    finish_reason = "length";
                }
                if parts.reasoning.is_some() || parts.answer.as_deref() != Some(text) {
                    message.reasoning = parts.reasoning.as_deref();
                    message.content = parts.answer.as_deref();
                    gradus_raw = Some(text);
                }
            }
            // This model marks the end of its thinking, and this answer has no mark: it was cut while thinking.
            Format::LongCot if self.closes_thinking && !text.contains(CLOSE) => {
                message.reasoning = Some(text);
                message.content = None;
                finish_reason = "length";
            }
            Format::LongCot | Format::Plain => {}
        }
        if let Some(finish) = recorded.finish {
            finish_reason = finish.word();
        } else if text.trim().is_empty() && recorded.reasoning.is_none() {
            // Recorded like that: an empty answer, not a broken server.
            finish_reason = "empty";
        }
        let usage = recorded
            .thinking_tokens
            .map(|reasoning_tokens| Usage { completion_tokens_details: Details { reasoning_tokens } });
        let choices = [Choice { index: 0, message, finish_reason }];
        let body = Body { object: "chat.completion", model: &self.identity.name, choices, usage, gradus_raw };
        serde_json::to_vec(&body).expect("strings and numbers serialise")
    }
}

/// End of thinking in the recordings that show it.
const CLOSE: &str = "</think>";

/// A chat completion, as [`Raw::read`] reads it.
#[derive(Serialize)]
struct Body<'a> {
    object: &'static str,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// The response as it was recorded, if it was taken apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    gradus_raw: Option<&'a str>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<&'a str>,
}

#[derive(Serialize)]
struct Usage {
    completion_tokens_details: Details,
}

#[derive(Serialize)]
struct Details {
    reasoning_tokens: u64,
}

impl Row {
    fn recorded(self, scores: Option<RecordedScores>) -> (String, Recorded) {
        let format = match self.format.as_deref() {
            Some("zeroeval-json") => Format::ZeroEval,
            Some("long-cot") => Format::LongCot,
            _ => Format::Plain,
        };
        // Recordings of others may use these names for something else.
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let thinking_tokens = self.meta.and_then(|meta| meta.thinking_tokens?.as_u64());
        let recorded = Recorded {
            sample: self.sample.unwrap_or(0),
            reasoning: text(self.reasoning).filter(|reasoning| !reasoning.trim().is_empty()),
            response: self.response.unwrap_or_default(),
            finish: text(self.finish).and_then(|word| Finished::parse(&word)),
            format,
            thinking_tokens,
            scores,
        };
        (self.question_id, recorded)
    }
}

#[async_trait::async_trait]
impl Model for Replay {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    async fn info(&self) -> Result<Info, Fault> {
        Ok(Info {
            server: "replay".to_owned(),
            served: vec![self.identity.name.clone()],
            context: None,
            fingerprint: Some(self.identity.revision.clone()),
            slots: None,
        })
    }

    fn recording(&self) -> Option<&Replay> {
        Some(self)
    }

    async fn generate(&self, request: &Generate) -> Result<Raw, Fault> {
        let recorded = self.lists(&request.source_ids).flatten().nth(request.attempt as usize);
        let Some(recorded) = recorded else {
            // The file's name alone: the text goes into a table, which must not depend on the current folder.
            let file = self.file.file_name().unwrap_or_default().to_string_lossy();
            let question = request.source_ids.first().map_or("a question without an id", String::as_str);
            let model = &self.identity.name;
            let message = match self.n_attempts(&request.source_ids) {
                0 => format!("{file} holds no answer of `{model}` to {question}"),
                n => format!(
                    "{file} holds {n} answers of `{model}` to {question}; attempt {} is wanted",
                    request.attempt + 1
                ),
            };
            return Err(Fault::new(FaultKind::NotRecorded, message));
        };
        Ok(Raw { wire: Wire::ChatJson, body: self.body(recorded).into() })
    }

    /// The scores recorded for this attempt: those of a row without an answer that names it, else those beside
    /// the answer of that number.
    async fn score(&self, request: &Score) -> Result<Raw, Fault> {
        request.check()?;
        let named = request.source_ids.iter().filter_map(|id| self.scores.get(id)).flatten();
        let apart = named.filter(|(sample, _)| *sample == u64::from(request.attempt)).map(|(_, scores)| scores).next();
        let beside = || self.lists(&request.source_ids).flatten().nth(request.attempt as usize)?.scores.as_ref();
        let said = apart.or_else(beside).ok_or_else(|| "it holds none of this attempt".to_owned());
        said.and_then(|said| said.answer(request, &self.identity.name)).map(|scores| scores.to_raw()).map_err(|why| {
            let file = self.file.file_name().unwrap_or_default().to_string_lossy();
            let question = request.source_ids.first().map_or("a question without an id", String::as_str);
            let attempt = request.attempt + 1;
            let message = format!("{file} holds no scores for attempt {attempt} at {question}: {why}");
            Fault::new(FaultKind::NotRecorded, message)
        })
    }
}

/// Hashes a file while it is read.
struct Hashed {
    inner: File,
    hasher: blake3::Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }
}

impl Hashed {
    /// The hash of the whole file, whatever a decompressor left unread.
    fn finish(mut self) -> io::Result<blake3::Hash> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finalize())
    }
}

fn decompressed<'a>(file: &Path, bytes: &'a mut Hashed) -> io::Result<Box<dyn BufRead + 'a>> {
    Ok(match file.extension().and_then(|extension| extension.to_str()) {
        Some("zst") => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::new(bytes)?)),
        Some("gz") => Box::new(BufReader::with_capacity(1 << 16, flate2::read::MultiGzDecoder::new(bytes))),
        _ => Box::new(BufReader::with_capacity(1 << 16, bytes)),
    })
}

/// The names most like the wanted one, at most five, nearest first.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        // A name without its owner, or a part of a name, is near too.
        let part = !wanted.is_empty() && (name.contains(&wanted) || wanted.contains(&name));
        strsim::jaro_winkler(&wanted, &name) + if part { 1.0 } else { 0.0 }
    };
    let mut scored: Vec<(f64, &String)> =
        names.map(|name| (likeness(name), name)).filter(|(score, _)| *score > 0.6).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(5).map(|(_, name)| name.clone()).collect()
}
