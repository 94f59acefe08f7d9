//! Which tokens is a text? Byte-pair encoding as the file's metadata describe it (`tokenizer.ggml.*`).
//!
//! The merges are those of the GPT-2 family: text is cut into words by a rule that has a name, and pairs within a
//! word are joined in the order of the merges. Other kinds of tokenizers (SentencePiece) are refused.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use regex::Regex;

use crate::Error;
use crate::gguf::{Gguf, Value};

/// Turns text into tokens and back.
#[derive(Debug)]
pub struct Tokenizer {
    /// What each token stands for.
    pieces: Vec<Vec<u8>>,
    ids: HashMap<Vec<u8>, u32>,
    /// Rank and result of each pair that is joined.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Control tokens: found in text as a whole, never part of an answer.
    control: Vec<bool>,
    /// Finds control and user-defined tokens; of two at the same place the longer.
    special: Option<Regex>,
    bytes: [Option<u32>; 256],
    words: Words,
    beginning: Option<u32>,
    /// End of text, of a turn, of a message.
    ends: Vec<u32>,
    beginning_text: String,
    end_text: String,
}

/// How text is cut into words before merging.
#[derive(Debug)]
struct Words {
    rule: Regex,
    /// Digits are words of their own before the rule applies.
    digits_first: bool,
    /// A word that is a token is not taken apart.
    whole_words: bool,
}

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
        for name in ["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>"] {
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
            words,
            special,
            bytes,
            merges,
            control,
            beginning: token_id("bos").filter(|_| gguf.flag("tokenizer.ggml.add_bos_token") == Some(true)),
            beginning_text: text(token_id("bos")),
            end_text: text(token_id("eos")),
            ends,
            ids,
            pieces,
        })
    }

    /// Tokens in the vocabulary.
    pub fn n_tokens(&self) -> usize {
        self.pieces.len()
    }

    /// The tokens of a text; special tokens written out in the text become such tokens.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        let mut at = 0;
        if let Some(special) = &self.special {
            for found in special.find_iter(text) {
                self.encode_plain(&text[at..found.start()], &mut tokens);
                tokens.push(self.ids[found.as_str().as_bytes()]);
                at = found.end();
            }
        }
        self.encode_plain(&text[at..], &mut tokens);
        tokens
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

    fn encode_plain(&self, text: &str, tokens: &mut Vec<u32>) {
        if self.words.digits_first {
            let mut at = 0;
            for (i, c) in text.char_indices().filter(|(_, c)| c.is_numeric()) {
                self.encode_words(&text[at..i], tokens);
                at = i + c.len_utf8();
                self.encode_word(&text[i..at], tokens);
            }
            self.encode_words(&text[at..], tokens);
        } else {
            self.encode_words(text, tokens);
        }
    }

    fn encode_words(&self, text: &str, tokens: &mut Vec<u32>) {
        let mut at = 0;
        while at < text.len() {
            let end = self.words.next(text, at);
            self.encode_word(&text[at..end], tokens);
            at = end;
        }
    }

    fn encode_word(&self, word: &str, tokens: &mut Vec<u32>) {
        if self.words.whole_words
            && let Some(&id) = self.ids.get(word.as_bytes())
        {
            tokens.push(id);
            return;
        }
        // A list linked both ways, and the pairs that could be joined, the first in rank and place on top.
        let mut pieces: Vec<Piece> = Vec::with_capacity(word.len());
        for id in word.bytes().filter_map(|byte| self.bytes[byte as usize]) {
            let at = pieces.len();
            pieces.push(Piece { id, before: at.wrapping_sub(1), after: at + 1 });
        }
        let mut queue = BinaryHeap::new();
        let push = |queue: &mut BinaryHeap<_>, pieces: &[Piece], left: usize| {
            let right = pieces.get(left).map_or(usize::MAX, |piece| piece.after);
            if let (Some(a), Some(b)) = (pieces.get(left), pieces.get(right))
                && let Some(&(rank, joined)) = self.merges.get(&(a.id, b.id))
            {
                queue.push(Reverse((rank, left, right, (a.id, b.id), joined)));
            }
        };
        for left in 0..pieces.len() {
            push(&mut queue, &pieces, left);
        }
        while let Some(Reverse((_, left, right, pair, joined))) = queue.pop() {
            // One of the two may have been joined with another meanwhile.
            if pieces[left].after != right || (pieces[left].id, pieces[right].id) != pair {
                continue;
            }
            let after = pieces[right].after;
            pieces[right].id = GONE;
            pieces[left] = Piece { id: joined, after, ..pieces[left] };
            if let Some(next) = pieces.get_mut(after) {
                next.before = left;
            }
            push(&mut queue, &pieces, pieces[left].before);
            push(&mut queue, &pieces, left);
        }
        tokens.extend(pieces.iter().map(|piece| piece.id).filter(|&id| id != GONE));
    }
}

/// A part of a word while it is put together; neighbours by their places.
#[derive(Debug, Clone, Copy)]
struct Piece {
    id: u32,
    before: usize,
    after: usize,
}

/// Stands for a piece that was joined to the one before.
const GONE: u32 = u32::MAX;

impl Words {
    /// The rules by the names that GGUF files use.
    fn named(name: &str) -> Option<Self> {
        // Letters, digits and the rest, each with one space before it.
        const GPT2: &str = r"^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+)";
        const CONTRACTIONS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+";
        const REST: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+";
        let (rule, digits_first, whole_words) = match name {
            "default" | "gpt-2" | "gpt2" => (GPT2.to_owned(), false, false),
            "smollm" => (GPT2.to_owned(), true, false),
            "qwen2" | "deepseek-r1-qwen" => (format!(r"^(?:{CONTRACTIONS}|\p{{N}}|{REST})"), false, false),
            "llama-bpe" | "llama3" | "llama-v3" => (format!(r"^(?:{CONTRACTIONS}|\p{{N}}{{1,3}}|{REST})"), false, true),
            _ => return None,
        };
        Some(Self { rule: Regex::new(&rule).expect("the rules are well-formed"), digits_first, whole_words })
    }

    /// Where the word that starts at `at` ends.
    fn next(&self, text: &str, at: usize) -> usize {
        let rest = &text[at..];
        if let Some(found) = self.rule.find(rest) {
            return at + found.end();
        }
        // White space up to the last one before a word, which belongs to that word (`\s+(?!\S)|\s+`).
        let spaces = rest.char_indices().take_while(|(_, c)| c.is_whitespace());
        let (n, last) = spaces.fold((0, 0), |(n, _), (i, _)| (n + 1, i));
        let end = rest.char_indices().nth(n.max(1)).map_or(rest.len(), |(i, _)| i);
        if n > 1 && end < rest.len() { at + last } else { at + end }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected words are those that Python's `regex` finds with the original patterns.
    fn check(rule: &str, expected: &str) {
        let words = Words::named(rule).unwrap();
        let text = expected.replace('|', "");
        let (mut at, mut found) = (0, Vec::new());
        while at < text.len() {
            let end = words.next(&text, at);
            found.push(&text[at..end]);
            at = end;
        }
        assert_eq!(found.join("|"), expected, "{rule}");
    }

    #[test]
    fn text_is_cut_into_words_as_by_the_original_rules() {
        check(
            "gpt-2",
            "I|'|LL| say| | it|'s|\n\n | 12345| x|\u{b2}|+|y|_|1|;|\r\n|\t|na\u{ef}ve| | \u{e9}| 中文|\u{a0}|end|  ",
        );
        check("gpt-2", "  \n | a|\n ");
        check("gpt-2", "'s|'t| !!|\n|\n|?| | 7| 8");
        check(
            "qwen2",
            "I|'LL| say| | it|'s|\n\n| | |1|2|3|4|5| x|\u{b2}|+y|_|1|;\r\n|\tna\u{ef}ve| | \u{e9}| 中文|\u{a0}end|  ",
        );
        check("qwen2", "  \n| | a|\n| ");
        check("qwen2", "'s|'t| !!\n\n|?| | |7| |8");
        check("llama-bpe", "it|'s|\n\n| | |123|45| x|\u{b2}|+y|_|1|;\r\n|\tna\u{ef}ve");
    }
}
