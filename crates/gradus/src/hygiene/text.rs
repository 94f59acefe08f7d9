//! A question as tokens that do not depend on how it was typeset: what shingles and n-grams are made of.
//!
//! Case, white space, punctuation, dollar signs, braces and LaTeX commands that only set type are left out; `\dfrac`
//! and `\frac`, `\le` and `≤`, `1,000` and `1000` are one. Numbers stay, as tokens of their own. A token keeps its place
//! in the text, so that what matched can be shown.

use unicode_normalization::UnicodeNormalization;

/// Most tokens that are looked at of one text; what follows is not compared.
pub const MAX_TOKENS: usize = 1 << 16;

/// Key of the hashes of tokens: those of another purpose differ.
const KEY: u64 = 0x6772_6164_7573_2e31;

/// What every number becomes in a template.
const ANY_NUMBER: u64 = 0x6e75_6d62_6572_2e2e;

/// LaTeX commands that set type and say nothing, sorted.
const SILENT: [&str; 36] = [
    "Big",
    "Bigg",
    "Biggl",
    "Biggr",
    "Bigl",
    "Bigr",
    "big",
    "bigg",
    "biggl",
    "biggr",
    "bigl",
    "bigr",
    "bm",
    "boldsymbol",
    "centering",
    "circ",
    "displaystyle",
    "emph",
    "ensuremath",
    "hfill",
    "hspace",
    "left",
    "limits",
    "mathbf",
    "mathit",
    "mathrm",
    "mbox",
    "operatorname",
    "qquad",
    "quad",
    "right",
    "rm",
    "text",
    "textbf",
    "textit",
    "textstyle",
];

/// A word, a number or a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Hash of its normal form.
    pub hash: u64,
    /// Whether it is a number.
    pub number: bool,
    /// First byte in the text.
    pub start: usize,
    /// Byte behind the last one.
    pub end: usize,
}

/// Mixes one more number into a hash (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
pub fn mix(hash: u64, next: u64) -> u64 {
    let mut z = (hash ^ next).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hash of a sequence of hashes.
pub fn fold(hashes: impl IntoIterator<Item = u64>) -> u64 {
    hashes.into_iter().fold(KEY, mix)
}

/// Hash of a text, byte by byte (FNV-1a, mixed at the end).
pub fn hash(text: &str) -> u64 {
    let sum = text.bytes().fold(KEY, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    mix(sum, text.len() as u64)
}

/// Hash of the tokens with one mark for every number: equal for questions that differ in numbers alone.
pub fn template(tokens: &[Token]) -> u64 {
    fold(tokens.iter().map(|token| if token.number { ANY_NUMBER } else { token.hash }))
}

/// The first [`MAX_TOKENS`] tokens of a text.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { text, at: 0, word: String::new(), tokens: Vec::new() };
    while reader.tokens.len() < MAX_TOKENS && reader.token() {}
    reader.tokens
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Normal form of the token being read.
    word: String,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    /// Reads the next token or what is left out; false at the end.
    fn token(&mut self) -> bool {
        let start = self.at;
        let Some(c) = self.peek() else { return false };
        self.at += c.len_utf8();
        self.word.clear();
        if c == '\\' {
            self.command(start);
        } else if is_single(c) {
            self.word.push(c);
            self.push(start, false);
        } else if c.is_numeric() {
            self.number(start, c);
        } else if c.is_alphabetic() {
            self.letters(c);
            self.push(start, false);
        } else {
            let sign = match c {
                '×' | '·' | '⋅' | '∗' | '*' => "*",
                '−' | '–' | '-' => "-",
                '÷' | '/' => "/",
                '≤' => "leq",
                '≥' => "geq",
                '≠' => "neq",
                '…' => "dots",
                '+' | '=' | '<' | '>' | '^' | '(' | ')' | '[' | ']' | '|' | '%' => {
                    self.word.push(c);
                    ""
                }
                // White space, punctuation, braces, dollar signs.
                c if c.is_ascii() || c.is_whitespace() || !is_sign(c) => return true,
                c => {
                    self.word.extend(std::iter::once(c).nfkd());
                    ""
                }
            };
            self.word.push_str(sign);
            self.push(start, false);
        }
        true
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn push(&mut self, start: usize, number: bool) {
        if !self.word.is_empty() {
            self.tokens.push(Token { hash: hash(&self.word), number, start, end: self.at });
        }
    }

    /// A run of letters in lower case; combining marks belong to it.
    fn letters(&mut self, first: char) {
        let mut next = Some(first);
        while let Some(c) = next {
            let greek = match c {
                'π' => "pi",
                'θ' => "theta",
                'α' => "alpha",
                'β' => "beta",
                'γ' => "gamma",
                _ => "",
            };
            if !greek.is_empty() {
                self.word.push_str(greek);
            } else if c.is_ascii() {
                self.word.push(c.to_ascii_lowercase());
            } else {
                self.word.extend(std::iter::once(c).nfkd().flat_map(char::to_lowercase));
            }
            next = self.peek().filter(|c| (c.is_alphabetic() && !is_single(*c)) || is_mark(*c));
            self.at += next.map_or(0, char::len_utf8);
        }
    }

    /// Digits, with marks of thousands and of decimals between digits.
    fn number(&mut self, start: usize, first: char) {
        self.word.extend(std::iter::once(first).nfkd());
        let mut decimals = false;
        loop {
            let rest = &self.text[self.at..];
            if let Some(c) = rest.chars().next().filter(|c| c.is_numeric()) {
                self.word.extend(std::iter::once(c).nfkd());
                self.at += c.len_utf8();
            } else if let Some(skipped) = thousands(rest).filter(|_| !decimals) {
                self.at += skipped;
            } else if !decimals && rest.starts_with('.') && rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                decimals = true;
                self.word.push('.');
                self.at += 1;
            } else {
                break;
            }
        }
        self.push(start, true);
    }

    /// What follows a backslash.
    fn command(&mut self, start: usize) {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        if length == 0 {
            // Thin spaces, line ends, delimiters of formulas, escaped signs.
            if let Some(c) = rest.chars().next() {
                self.at += c.len_utf8();
                if c == '%' {
                    self.word.push(c);
                    self.push(start, false);
                }
            }
            return;
        }
        self.at += length;
        let name = &rest[..length];
        if SILENT.binary_search(&name).is_ok() {
            return;
        }
        let name = match name {
            "dfrac" | "tfrac" | "cfrac" => "frac",
            "le" | "leqslant" => "leq",
            "ge" | "geqslant" => "geq",
            "ne" => "neq",
            "cdot" | "times" => "*",
            "div" => "/",
            "ldots" | "cdots" | "dotsc" | "dotsb" => "dots",
            "lvert" | "rvert" | "vert" | "mid" => "|",
            "lt" => "<",
            "gt" => ">",
            name => name,
        };
        self.word.extend(name.chars().map(|c| c.to_ascii_lowercase()));
        self.push(start, false);
        // Without braces, an argument is one digit: \frac12 is a half.
        for _ in 0..if name == "frac" { 2 } else { 0 } {
            let digit = self.text[self.at..].trim_start_matches(' ');
            if digit.starts_with(|c: char| c.is_ascii_digit()) {
                let start = self.text.len() - digit.len();
                self.at = start + 1;
                self.word.replace_range(.., &digit[..1]);
                self.push(start, true);
            }
        }
    }
}

/// Length of a mark between groups of three digits at the start of this text.
fn thousands(rest: &str) -> Option<usize> {
    let mark = ["{,}", ",", r"\,", r"\!"].into_iter().find(|mark| rest.starts_with(mark))?;
    let behind = if rest.starts_with(r",\!") { 3 } else { mark.len() };
    let digits = rest[behind..].bytes().take_while(u8::is_ascii_digit).count();
    (digits == 3).then_some(behind)
}

/// Letters that are words of their own.
fn is_single(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{20000}'..='\u{3134f}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Mathematical signs and arrows outside ASCII; the rest is punctuation.
fn is_sign(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{21ff}' | '\u{2200}'..='\u{22ff}' | '\u{27c0}'..='\u{27ef}' | '\u{2a00}'..='\u{2aff}' | '±')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hashes(text: &str) -> Vec<u64> {
        tokens(text).iter().map(|token| token.hash).collect()
    }

    #[test]
    fn typesetting_makes_no_difference() {
        for (one, other) in [
            ("Find $x$ if $\\dfrac{1}{2} x \\le 1{,}000$.", "find x if \\frac 1 2 x ≤ 1,000"),
            ("Compute\n\\[ \\left( 3 \\times 4 \\right) \\]", "compute ( 3 · 4 )"),
            ("The  angle is $90^\\circ$", "the angle is 90^"),
            ("1\\,000 apples", "1000 apples"),
            ("2,\\!500", "2500"),
            ("\\frac12 + \\dfrac 3{14}", "\\frac{1}{2} + \\frac{3}{14}"),
            ("\u{ff12} caf\u{e9}s", "2 cafe\u{301}s"),
        ] {
            assert_eq!(hashes(one), hashes(other), "{one} / {other}");
        }
    }

    #[test]
    fn numbers_and_signs_make_one() {
        for (one, other) in [
            ("x + 1", "x + 2"),
            ("x + 1", "x - 1"),
            ("a < b", "a > b"),
            ("0.5", "5"),
            ("1, 2", "12"),
            ("(1,234)", "(1,23)"),
            ("sin x", "cos x"),
        ] {
            assert_ne!(hashes(one), hashes(other), "{one} / {other}");
        }
        let numbers = |text: &str| tokens(text).iter().filter(|token| token.number).count();
        assert_eq!((numbers("1, 2, 3.5, 1,000"), numbers("x_1 + three")), (4, 1));
    }

    #[test]
    fn questions_that_differ_in_numbers_have_one_template() {
        let of = |text: &str| template(&tokens(text));
        assert_eq!(of("Add 3 and 4,000."), of("add 17 and 2.5"));
        assert_ne!(of("Add 3 and 4."), of("Take 3 and 4."));
        assert_ne!(of("Add 3 and 4."), of("Add 3 and 4 5."));
    }

    #[test]
    fn every_chinese_letter_is_a_token() {
        assert_eq!(tokens("求最大值3").len(), 5);
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(tokens(&"a ".repeat(MAX_TOKENS + 10)).len(), MAX_TOKENS);
    }

    #[test]
    fn the_silent_commands_are_sorted() {
        assert!(SILENT.is_sorted());
    }

    proptest! {
        #[test]
        fn tokens_lie_in_order_within_any_text(text in ".*|(\\\\[a-z]{0,8}|[0-9,.{}$!]|\\\\|.){0,40}") {
            let tokens = tokens(&text);
            let mut last = 0;
            for token in &tokens {
                prop_assert!(token.start >= last && token.end > token.start);
                prop_assert!(text.get(token.start..token.end).is_some());
                last = token.end;
            }
        }

        #[test]
        fn white_space_between_words_is_nothing(words in prop::collection::vec("[a-z]{1,6}", 0..8)) {
            prop_assert_eq!(hashes(&words.join(" ")), hashes(&words.join(" \n$\t")));
        }
    }
}
