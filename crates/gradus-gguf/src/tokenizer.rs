//! Which tokens is a text? As a GGUF file's metadata or a folder's `tokenizer.json` say.
//!
//! Tokens are those of the GPT-2 family, byte pairs that were joined (`merges.rs`); other kinds of tokenizers
//! (SentencePiece) are refused.

use std::cmp::Reverse;
use std::collections::HashMap;

use gradus_template::{StudentFiles, Template};
use regex::Regex;

use crate::Error;
use crate::gguf::{Gguf, Value};
use crate::merges::{Merges, Words};

/// Turns text into tokens and back.
#[derive(Debug)]
pub struct Tokenizer {
    /// What each token stands for.
    pieces: Vec<Vec<u8>>,
    /// Control tokens: found in text as a whole, never part of an answer.
    control: Vec<bool>,
    encoder: Encoder,
    beginning: Option<u32>,
    /// End of text, of a turn, of a message.
    ends: Vec<u32>,
    beginning_text: String,
    end_text: String,
}

/// What takes a text apart.
#[derive(Debug)]
enum Encoder {
    Merges(Box<Merges>),
    /// `tokenizer.json`, as the trainer reads it.
    Json(Box<gradus_template::Tokenizer>),
}

/// Names of control tokens that end a generation, whatever the files say.
const ENDS: [&str; 6] = ["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>"];

impl Tokenizer {
    /// Reads a file's vocabulary, merges, and special tokens.
    ///
    /// # Errors
    /// If the metadata are incomplete or describe another kind of tokenizer.
    pub fn load(gguf: &Gguf) -> Result<Self, Error> {
        let unsupported = |what: String| Error::Unsupported { path: gguf.path().to_owned(), what };
        let kind = gguf
            .string("tokenizer.ggml.model")
            .ok_or_else(|| gguf.bad("the metadata describe no tokenizer (`tokenizer.ggml.model`)".into()))?;
        if kind != "gpt2" {
            return Err(unsupported(format!(
                "a tokenizer of the kind `{kind}`; only byte-pair encodings (`gpt2`) are supported yet"
            )));
        }
        let rule = gguf.string("tokenizer.ggml.pre").unwrap_or("default");
        let words = Words::named(rule).ok_or_else(|| {
            unsupported(format!("the rule `{rule}` for cutting text into words (`tokenizer.ggml.pre`)"))
        })?;
        let strings = |key: &str| {
            let values = gguf.array(key).ok_or_else(|| gguf.bad(format!("the metadata have no list `{key}`")))?;
            let texts = values.iter().map(|value| match value {
                Value::String(text) => Ok(text.as_str()),
                other => Err(gguf.bad(format!("`{key}` holds {other:?}"))),
            });
            texts.collect::<Result<Vec<&str>, Error>>()
        };
        let tokens = strings("tokenizer.ggml.tokens")?;
        let kinds: Vec<u64> = match gguf.array("tokenizer.ggml.token_type") {
            Some(values) => values
                .iter()
                .map(|value| match *value {
                    Value::I64(n) => n.cast_unsigned(),
                    Value::U64(n) => n,
                    _ => 1,
                })
                .collect(),
            None => Vec::new(),
        };
        let byte_of = bytes_by_character();
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut control = Vec::with_capacity(tokens.len());
        let mut ids = HashMap::with_capacity(tokens.len());
        let mut special = Vec::new();
        for (id, &token) in tokens.iter().enumerate() {
            let kind = kinds.get(id).copied().unwrap_or(1);
            let piece = if kind == 3 || kind == 4 {
                special.push(token);
                None
            } else {
                token.chars().map(|c| byte_of.get(&c).copied()).collect::<Option<Vec<u8>>>()
            };
            let piece = piece.unwrap_or_else(|| token.as_bytes().to_vec());
            ids.entry(piece.clone()).or_insert(id as u32);
            pieces.push(piece);
            control.push(kind == 3);
        }
        // Special tokens win over ordinary ones with the same text.
        for (id, &token) in tokens.iter().enumerate() {
            if matches!(kinds.get(id), Some(3 | 4)) {
                ids.insert(token.as_bytes().to_vec(), id as u32);
            }
        }
        let mut bytes = [None; 256];
        let plain: HashMap<&str, u32> = (0..).zip(&tokens).map(|(id, &token)| (token, id)).collect();
        for (c, byte) in &byte_of {
            bytes[*byte as usize] = plain.get(c.to_string().as_str()).copied();
        }
        let mut merges = HashMap::new();
        for (rank, line) in strings("tokenizer.ggml.merges")?.into_iter().enumerate() {
            // The separator is the first space that is not the first character.
            let at = line.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
            let pair = at.map(|at| (&line[..at], &line[at + 1..]));
            let known = pair.and_then(|(left, right)| {
                let joined = plain.get(format!("{left}{right}").as_str())?;
                Some(((*plain.get(left)?, *plain.get(right)?), *joined))
            });
            let Some((pair, joined)) = known else {
                return Err(gguf.bad(format!("merge {rank}, `{line}`, is not of two tokens to a third")));
            };
            merges.entry(pair).or_insert((rank as u32, joined));
        }
        special.sort_by_key(|token| Reverse(token.len()));
        special.retain(|token| !token.is_empty());
        let special = if special.is_empty() {
            None
        } else {
            let pattern = special.iter().map(|token| regex::escape(token)).collect::<Vec<_>>().join("|");
            Some(Regex::new(&pattern).map_err(|error| gguf.bad(format!("its special tokens: {error}")))?)
        };
        let token_id = |key: &str| {
            let id = gguf.count(&format!("tokenizer.ggml.{key}_token_id"))?;
            (id < tokens.len() as u64).then_some(id as u32)
        };
        let mut ends: Vec<u32> = ["eos", "eot", "eom"].into_iter().filter_map(token_id).collect();
        for name in ENDS {
            if let Some(&id) = plain.get(name)
                && control[id as usize]
            {
                ends.push(id);
            }
        }
        ends.sort_unstable();
        ends.dedup();
        let text = |id: Option<u32>| id.map_or(String::new(), |id| tokens[id as usize].to_owned());
        Ok(Self {
            encoder: Encoder::Merges(Box::new(Merges { ids, merges, special, bytes, words })),
            control,
            beginning: token_id("bos").filter(|_| gguf.flag("tokenizer.ggml.add_bos_token") == Some(true)),
            beginning_text: text(token_id("bos")),
            end_text: text(token_id("eos")),
            ends,
            pieces,
        })
    }

    /// The tokenizer of a folder, and its chat template. Numbers that no token has are control tokens of nothing: the
    /// matrices of some models have more rows than their vocabulary.
    ///
    /// # Errors
    /// If the tokens are of another kind, or more than the weights are for.
    pub(crate) fn of_folder(gguf: &Gguf, student: StudentFiles) -> Result<(Self, Option<Template>), Error> {
        let beginning_text = student.beginning().unwrap_or_default().to_owned();
        let (template, tokenizer, end_texts) = student.into_parts();
        let unsupported = |what: String| Error::Unsupported { path: gguf.path().to_owned(), what };
        if !tokenizer.is_byte_level() {
            return Err(unsupported("a tokenizer whose tokens are no byte pairs (`tokenizer.json`)".into()));
        }
        let n_vocabulary = gguf.tensor("token_embd.weight").and_then(|info| info.dims.last().copied()).unwrap_or(0);
        let byte_of = bytes_by_character();
        let mut pieces = vec![Vec::new(); n_vocabulary];
        let mut control = vec![true; n_vocabulary];
        for token in tokenizer.vocabulary() {
            let id = token.id as usize;
            if id >= n_vocabulary {
                return Err(gguf.bad(format!("tokenizer.json has a token {id}, the weights are for {n_vocabulary}")));
            }
            pieces[id] = if token.is_added {
                token.text.into_bytes()
            } else {
                let bytes = token.text.chars().map(|c| byte_of.get(&c).copied()).collect::<Option<Vec<u8>>>();
                bytes.ok_or_else(|| unsupported(format!("the token `{}`, which is no byte pair", token.text)))?
            };
            control[id] = token.is_special;
        }
        let mut ends: Vec<u32> = end_texts.iter().filter_map(|end| tokenizer.id(end)).collect();
        let known = ENDS.into_iter().filter_map(|end| tokenizer.id(end));
        ends.extend(known.filter(|&id| control[id as usize]));
        ends.sort_unstable();
        ends.dedup();
        let end_text = end_texts.into_iter().next().unwrap_or_default();
        // The template writes the beginning itself where there is to be one, as for the trainer.
        let tokenizer = Self {
            pieces,
            control,
            encoder: Encoder::Json(Box::new(tokenizer)),
            beginning: None,
            ends,
            beginning_text,
            end_text,
        };
        Ok((tokenizer, template))
    }

    /// Tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        self.pieces.len()
    }

    /// The tokens of a text; special tokens written out in the text become such tokens.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match &self.encoder {
            Encoder::Merges(merges) => merges.encode(text),
            // A vocabulary with a token for every byte takes everything apart; one without leaves nothing here.
            Encoder::Json(tokenizer) => tokenizer.encode(text).unwrap_or_default(),
        }
    }

    /// As [`Tokenizer::encode`], with the token that begins a text where the file wants one and the text has none.
    pub fn encode_prompt(&self, text: &str) -> Vec<u32> {
        let mut tokens = self.encode(text);
        if let Some(beginning) = self.beginning
            && tokens.first() != Some(&beginning)
        {
            tokens.insert(0, beginning);
        }
        tokens
    }

    /// What a token stands for; may be part of a character.
    pub fn piece(&self, token: u32) -> &[u8] {
        &self.pieces[token as usize]
    }

    /// The text of tokens; bytes that are no UTF-8 become replacement characters.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.piece(token)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether a token is a mark that never belongs to a text.
    pub fn is_control(&self, token: u32) -> bool {
        self.control[token as usize]
    }

    /// Whether a token ends a generation.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The texts of the tokens that end a generation.
    pub fn ends(&self) -> Vec<String> {
        self.ends.iter().map(|&id| String::from_utf8_lossy(self.piece(id)).into_owned()).collect()
    }

    /// The texts of the tokens that begin and end a text (empty where there is none), for the chat template.
    pub fn marks(&self) -> (&str, &str) {
        (&self.beginning_text, &self.end_text)
    }
}

/// The printable characters that stand for bytes in GPT-2's vocabularies.
fn bytes_by_character() -> HashMap<char, u8> {
    let mut others = 256..;
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    (0..=255_u8)
        .map(|byte| {
            let code = if printable(byte) { u32::from(byte) } else { others.next().expect("endless") };
            (char::from_u32(code).expect("below the surrogates"), byte)
        })
        .collect()
}
