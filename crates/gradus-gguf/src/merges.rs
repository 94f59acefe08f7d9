//! How is a text taken apart? Byte-pair encoding by the vocabulary and merges of a GGUF file.
//!
//! Text is cut into words by a rule that has a name, and pairs within a word are joined in the order of the merges.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use regex::Regex;

/// A vocabulary of joined pairs.
#[derive(Debug)]
pub(crate) struct Merges {
    pub(crate) ids: HashMap<Vec<u8>, u32>,
    /// Rank and result of each pair that is joined.
    pub(crate) merges: HashMap<(u32, u32), (u32, u32)>,
    /// Finds control and user-defined tokens; of two at the same place the longer.
    pub(crate) special: Option<Regex>,
    pub(crate) bytes: [Option<u32>; 256],
    pub(crate) words: Words,
}

/// How text is cut into words before merging.
#[derive(Debug)]
pub(crate) struct Words {
    rule: Regex,
    /// Digits are words of their own before the rule applies.
    digits_first: bool,
    /// A word that is a token is not taken apart.
    whole_words: bool,
}

impl Merges {
    /// The tokens of a text; special tokens written out in the text become such tokens.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
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
    pub(crate) fn named(name: &str) -> Option<Self> {
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
