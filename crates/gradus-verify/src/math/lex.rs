//! Text to tokens: LaTeX, ASCII and Unicode dialects in one pass.
//!
//! Unknown commands become text, never an error: what cannot be read as mathematics is compared as
//! words by the layer above.

use dashu::{integer::IBig, rational::RBig};

use super::ast::{Const, Fun, Join, Number, Rel, SetOp};
use super::names;

/// Answers longer than this are not read as mathematics.
pub(crate) const MAX_BYTES: usize = 40_000;
const MAX_TOKENS: usize = 12_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    /// A literal; integers keep their digits as written (for numerals in other bases).
    Num(Number, Box<str>),
    Id(Box<str>),
    Const(Const),
    Fun(Fun),
    /// A structural command such as `frac`.
    Cmd(Box<str>),
    Begin(Box<str>),
    End(Box<str>),
    /// Words.
    Text(Box<str>),
    /// `(`, `[`, `{` (invisible group), `s` (set brace), `<`, `f` (floor), `c` (ceiling).
    Open(char),
    Close(char),
    /// 0: undirected, 1: opening, 2: closing.
    Bar(u8),
    Plus,
    Minus,
    Times,
    Slash,
    Caret,
    Underscore,
    Bang,
    Prime,
    Comma,
    Semicolon,
    Colon,
    Ampersand,
    Row,
    PlusMinus,
    MinusPlus,
    Rel(Rel),
    SetOp(SetOp),
    NamedSet(char),
    Percent,
    Degree,
    Dots,
    Join(Join),
    /// A wide space.
    Quad,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    /// White space stood before it.
    pub(crate) spaced: bool,
}

/// How commas between digits are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commas {
    /// `1,234` outside brackets is one number.
    Auto,
    /// A comma always separates.
    Separate,
    /// `1,234` is one number even inside brackets.
    Thousands,
    /// `2,74` is a decimal.
    Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooLong;

pub(crate) fn lex(text: &str, commas: Commas) -> Result<Vec<Token>, TooLong> {
    if text.len() > MAX_BYTES {
        return Err(TooLong);
    }
    let mut lexer = Lexer { text, at: 0, out: Vec::new(), brackets: Vec::new(), commas, nesting: 0, environments: 0 };
    lexer.run()?;
    Ok(lexer.out)
}

pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) out: Vec<Token>,
    /// Open brackets that hold lists.
    pub(super) brackets: Vec<bool>,
    pub(super) commas: Commas,
    pub(super) nesting: u8,
    /// Open `\\begin` environments, where a double backslash ends a row.
    pub(super) environments: u32,
}

impl<'a> Lexer<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn push(&mut self, tok: Tok, spaced: bool) {
        self.out.push(Token { tok, spaced });
    }

    pub(super) fn run(&mut self) -> Result<(), TooLong> {
        let mut spaced = false;
        while let Some(c) = self.rest().chars().next() {
            if self.out.len() > MAX_TOKENS {
                return Err(TooLong);
            }
            if (c == '\t' || c == '\u{c}' || c == '\u{8}' || c == '\r' || c == '\u{b}') && self.broken_escape(c, spaced)
            {
                spaced = false;
                continue;
            }
            if c == '$' && self.brackets.is_empty() && !self.out.is_empty() {
                // `$..$`, white space, `$..$`: two formulas side by side.
                let next = self.rest()[1..].trim_start();
                if next.len() + 1 < self.rest().len()
                    && next.starts_with('$')
                    && !next.trim_start_matches('$').trim().is_empty()
                {
                    self.push(Tok::Quad, true);
                }
            }
            if c.is_whitespace() || c == '~' || c == '$' || c.is_control() {
                spaced |= c != '$';
                self.at += c.len_utf8();
                continue;
            }
            let before = self.out.len();
            match c {
                '\\' => {
                    self.command(spaced);
                    if self.out.len() == before {
                        spaced = true;
                        continue;
                    }
                }
                '0'..='9' => self.number(spaced),
                '.' if self.byte(1).is_ascii_digit() => self.number(spaced),
                'a'..='z' | 'A'..='Z' => self.letters(spaced),
                '\u{200b}' | '\u{feff}' | '\u{2061}' | '\u{2062}' => {
                    self.at += c.len_utf8();
                    continue;
                }
                _ => self.sign(c, spaced),
            }
            spaced = false;
        }
        Ok(())
    }

    fn number(&mut self, spaced: bool) {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let digits_from = |mut at: usize| {
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                at += 1;
            }
            at
        };
        let mut raw = String::new();
        let mut at = digits_from(start);
        raw.push_str(&self.text[start..at]);
        // Groups of three.
        if (1..=3).contains(&(at - start)) && bytes[start] != b'0' {
            let in_list = self.brackets.iter().any(|list| *list);
            let comma = match self.commas {
                Commas::Auto => !in_list,
                Commas::Thousands => true,
                Commas::Separate | Commas::Decimal => false,
            };
            let mut probe = at;
            let mut groups = String::new();
            let mut kind = 0u8;
            loop {
                let tail = &self.text[probe..];
                let (this, length) = group_separator(tail);
                if length == 0 || (kind != 0 && this != kind) {
                    break;
                }
                let from = probe + length;
                if digits_from(from) - from != 3 {
                    break;
                }
                if (this == 1 && !comma) || (this == 2 && self.out_forbids_space_groups()) {
                    break;
                }
                kind = this;
                groups.push_str(&self.text[from..from + 3]);
                probe = from + 3;
            }
            // `100,200,3` is a list after all.
            let tail = &bytes[probe.min(bytes.len())..];
            let broken = kind == 1 && matches!(tail, [b',', d, ..] if d.is_ascii_digit());
            if kind != 0 && !broken {
                raw.push_str(&groups);
                at = probe;
            }
        }
        let mut places = None;
        let integer_digits = raw.len();
        let point = bytes.get(at) == Some(&b'.')
            || (self.commas == Commas::Decimal
                && bytes.get(at) == Some(&b',')
                && bytes.get(at + 1).is_some_and(u8::is_ascii_digit));
        if point && bytes.get(at + 1) != Some(&b'.') {
            let end = digits_from(at + 1);
            if end > at + 1 {
                raw.push_str(&self.text[at + 1..end]);
                places = Some((raw.len() - integer_digits) as i32);
                at = end;
            } else if bytes.get(at + 1).is_none_or(|b| b" \\$}/)".contains(b)) {
                at += 1;
            }
        }
        let mut exponent = 0i32;
        if let Some(b'e' | b'E') = bytes.get(at) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let from = at + 1 + sign;
            let end = digits_from(from);
            if (1..=6).contains(&(end - from)) {
                let value: i32 = self.text[from..end].parse().unwrap_or(0);
                exponent = if bytes[at + 1] == b'-' { -value } else { value };
                at = end;
            }
        }
        self.at = at.max(start + 1);
        let significant = raw.trim_start_matches('0').len().max(1) as u32;
        let number = number_from(&raw, places, exponent, significant);
        let raw = if places.is_none() && exponent == 0 { raw.into() } else { "".into() };
        self.push(Tok::Num(number, raw), spaced);
    }

    /// `2 345` is one number unless the digits before it are a subscript or an exponent.
    fn out_forbids_space_groups(&self) -> bool {
        matches!(self.out.last().map(|t| &t.tok), Some(Tok::Underscore | Tok::Caret | Tok::Cmd(_)))
    }

    fn letters(&mut self, spaced: bool) {
        let tail = self.rest();
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let mut word = &tail[..end];
        // `1orW(x)`: a joining word glued to what follows.
        if !spaced && matches!(self.out.last().map(|t| &t.tok), Some(Tok::Num(..) | Tok::Close(_))) {
            for join in ["or", "and"] {
                if word.len() > join.len() && word.starts_with(join) && word.len() <= join.len() + 2 {
                    word = join;
                }
            }
        }
        self.at += word.len();
        // `AZYUK2A` is a code, not a product.
        if word.len() >= 4
            && self.byte(0).is_ascii_digit()
            && names::function(word).is_none()
            && !names::GLUED.iter().any(|g| word.starts_with(g))
        {
            let code = tail.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tail.len());
            self.at += code - word.len();
            return self.push(Tok::Text(tail[..code].into()), spaced);
        }
        if let Some(unit) = self.quotient_of_units(word, &tail[word.len()..]).filter(|_| spaced) {
            self.at += unit.len() - word.len();
            return self.push(Tok::Text(unit.into()), spaced);
        }
        // Subscripts bind to a single letter, so a run before `_` is split.
        self.word(word, spaced);
    }

    /// `60 km/h` at the end: two units, not four unknowns.
    fn quotient_of_units(&self, word: &str, rest: &str) -> Option<String> {
        let below = rest.strip_prefix('/')?.trim_end();
        let after_number = matches!(self.out.last().map(|t| &t.tok), Some(Tok::Num(..)));
        let letters = !below.is_empty() && below.bytes().all(|byte| byte.is_ascii_alphabetic());
        let telling = word.len() + below.len() > 2 || (word, below) == ("m", "s");
        let unit = format!("{word}/{below}");
        (after_number && letters && telling && super::units::known(&unit).is_some()).then_some(unit)
    }

    fn word(&mut self, word: &str, spaced: bool) {
        if word.len() == 1 {
            let tok = names::constant(word).map_or_else(|| Tok::Id(word.into()), Tok::Const);
            return self.push(tok, spaced);
        }
        // `twenty-five` is no difference.
        if word.ends_with("ty")
            && names::number_word(word).is_some()
            && let Some(tail) = self.rest().strip_prefix('-')
        {
            let unit = &tail[..tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len())];
            let whole = format!("{word}-{unit}");
            if names::number_word(&whole).is_some() {
                self.at += 1 + unit.len();
                return self.push(Tok::Text(whole.into()), spaced);
            }
        }
        let after_number = matches!(self.out.last().map(|t| &t.tok), Some(Tok::Num(..) | Tok::Close(_)));
        if let Some(join) = names::join(word) {
            return self.push(Tok::Join(join), spaced);
        }
        if matches!(word, "min" | "max") && matches!(self.out.last().map(|t| &t.tok), Some(Tok::Text(_))) {
            // `local min. (1,0)` is no function of a pair.
            return self.push(Tok::Text(word.into()), spaced);
        }
        if after_number && (spaced || word.len() > 1) && super::units::lookup(word).is_some() && word != "min"
            || (after_number && matches!(word, "min" | "percent" | "pct" | "degrees" | "degree" | "deg"))
        {
            return self.push(Tok::Text(word.into()), spaced);
        }
        if let Some(fun) = names::function(word).filter(|_| word.len() > 2 || matches!(word, "ln" | "lg")) {
            return self.push(Tok::Fun(fun), spaced);
        }
        match word {
            // English words that begin like a function or a constant.
            "pie" | "pin" | "pit" | "sine" | "sing" | "sink" | "tank" | "tang" | "logs" | "mine" | "mint" => {
                return self.push(Tok::Text(word.into()), spaced);
            }
            "sqrt" => return self.push(Tok::Cmd("sqrt".into()), spaced),
            "frac" | "dfrac" => return self.push(Tok::Cmd("frac".into()), spaced),
            "mod" => return self.push(Tok::Fun(Fun::Mod), spaced),
            "times" => return self.push(Tok::Times, spaced),
            "cbrt" => return self.push(Tok::Cmd("cbrt".into()), spaced),
            "cup" | "union" => return self.push(Tok::SetOp(SetOp::Union), spaced),
            "deg" => return self.push(Tok::Text("deg".into()), spaced),
            "choose" => return self.push(Tok::Cmd("choose".into()), spaced),
            _ => {}
        }
        if word != "e"
            && word != "i"
            && word != "inf"
            && let Some(constant) = names::constant(word)
        {
            return self.push(Tok::Const(constant), spaced);
        }
        if word != "In" && !names::is_short_word(word) {
            if let Some(name) = names::GLUED.iter().find(|name| word.starts_with(**name))
                && (word.len() <= name.len() + 2 || names::function(&word[name.len()..]).is_some())
            {
                if *name == "sqrt" {
                    self.push(Tok::Cmd("sqrt".into()), spaced);
                } else if let Some(fun) = names::function(name) {
                    self.push(Tok::Fun(fun), spaced);
                }
                return self.word(&word[name.len()..], false);
            }
            for name in ["sin", "cos", "tan", "log", "ln", "sqrt", "pi"] {
                // `xsinx`, `2xpi`: at most two letters before.
                if let Some(at) = word.find(name) {
                    let tail = word.len() - at - name.len();
                    if (1..=2).contains(&at)
                        && tail <= 2
                        && word.len() <= 6
                        && (name != "ln" && name != "pi" || tail == 0)
                    {
                        for (k, letter) in word[..at].char_indices() {
                            self.word(&word[k..k + letter.len_utf8()], spaced && k == 0);
                        }
                        return self.word(&word[at..], false);
                    }
                }
            }
            if let Some(tail) = word.strip_prefix("pi").filter(|t| t.len() == 1) {
                self.push(Tok::Const(Const::Pi), spaced);
                return self.word(tail, false);
            }
        }
        let upper = word.bytes().all(|b| b.is_ascii_uppercase());
        let product = !names::is_short_word(word)
            && (word.len() <= 3 || (upper && word.len() <= 4))
            && !(spaced
                && after_number
                && word.len() == 3
                && !upper
                && word.bytes().all(|b| b.is_ascii_lowercase())
                && vowels(word));
        if product
            && word.as_bytes()[1..].iter().all(u8::is_ascii_lowercase)
            && word.as_bytes()[0].is_ascii_uppercase()
            && word.len() == 3
            && vowels(word)
        {
            return self.push(Tok::Text(word.into()), spaced);
        }
        if product {
            for (k, letter) in word.char_indices() {
                let one = &word[k..k + letter.len_utf8()];
                let tok = if upper {
                    Tok::Id(one.into())
                } else {
                    names::constant(one).map_or_else(|| Tok::Id(one.into()), Tok::Const)
                };
                self.push(tok, spaced && k == 0);
            }
        } else {
            self.push(Tok::Text(word.into()), spaced);
        }
    }

    fn sign(&mut self, c: char, spaced: bool) {
        self.at += c.len_utf8();
        let tok = match c {
            '+' | '＋' => {
                if self.rest().starts_with("/-") {
                    self.at += 2;
                    Tok::PlusMinus
                } else if self.rest().starts_with('-')
                    && matches!(self.out.last().map(|t| &t.tok), None | Some(Tok::Rel(_) | Tok::Comma))
                {
                    self.at += 1;
                    Tok::PlusMinus
                } else {
                    Tok::Plus
                }
            }
            '-' | '−' | '–' | '—' | '－' | '‐' | '‑' | '﹣' => {
                if self.rest().starts_with('>') {
                    self.at += 1;
                    Tok::Rel(Rel::Other)
                } else {
                    Tok::Minus
                }
            }
            '*' | '×' | '·' | '⋅' | '∙' | '•' | '✕' | '⨯' | '∗' | '∘' => {
                if c == '*' && self.rest().starts_with('*') {
                    self.at += 1;
                    // `2**3` is a power, a lone `**` is Markdown.
                    if self.out.is_empty() || self.rest().trim().is_empty() {
                        return;
                    }
                    Tok::Caret
                } else {
                    Tok::Times
                }
            }
            '/' | '÷' | '∕' | '⁄' | '／' => Tok::Slash,
            '^' | '＾' => Tok::Caret,
            '_' => Tok::Underscore,
            '!' | '！' => {
                if self.rest().starts_with('=') {
                    self.at += 1;
                    Tok::Rel(Rel::Ne)
                } else {
                    Tok::Bang
                }
            }
            '\'' | '′' | '’' => Tok::Prime,
            ',' | '，' | '、' => Tok::Comma,
            ';' | '；' => Tok::Semicolon,
            ':' | '：' | '∶' => {
                if self.rest().starts_with('=') {
                    self.at += 1;
                    Tok::Rel(Rel::Eq)
                } else {
                    Tok::Colon
                }
            }
            '&' => Tok::Ampersand,
            '%' | '％' => Tok::Percent,
            '°' | '˚' | 'º' => {
                if self.rest().starts_with(['C', 'F']) {
                    let unit = format!("°{}", &self.rest()[..1]);
                    self.at += 1;
                    Tok::Text(unit.into())
                } else {
                    Tok::Degree
                }
            }
            '±' => Tok::PlusMinus,
            '∓' => Tok::MinusPlus,
            '=' | '＝' => {
                if self.rest().starts_with('=') {
                    self.at += 1;
                } else if self.rest().starts_with('>') {
                    self.at += 1;
                    return self.push(Tok::Rel(Rel::Other), spaced);
                } else if self.rest().starts_with('<') {
                    self.at += 1;
                    return self.push(Tok::Rel(Rel::Le), spaced);
                }
                Tok::Rel(Rel::Eq)
            }
            '≡' => Tok::Rel(Rel::Eq),
            '≠' => Tok::Rel(Rel::Ne),
            '<' | '＜' => {
                if self.rest().starts_with("sup>") {
                    self.at += 4;
                    self.push(Tok::Caret, spaced);
                    self.brackets.push(false);
                    Tok::Open('{')
                } else if self.rest().starts_with("/sup>") || self.rest().starts_with("/sub>") {
                    self.at += 5;
                    self.brackets.pop();
                    Tok::Close('}')
                } else if self.rest().starts_with("sub>") {
                    self.at += 4;
                    self.push(Tok::Underscore, spaced);
                    self.brackets.push(false);
                    Tok::Open('{')
                } else if self.rest().starts_with('=') {
                    self.at += 1;
                    Tok::Rel(Rel::Le)
                } else {
                    Tok::Rel(Rel::Lt)
                }
            }
            '>' | '＞' => {
                if self.rest().starts_with('=') {
                    self.at += 1;
                    Tok::Rel(Rel::Ge)
                } else {
                    Tok::Rel(Rel::Gt)
                }
            }
            '≤' | '⩽' | '≦' => Tok::Rel(Rel::Le),
            '≥' | '⩾' | '≧' => Tok::Rel(Rel::Ge),
            '≈' | '≃' => Tok::Rel(Rel::Approx),
            '∈' => Tok::Rel(Rel::In),
            '∉' => Tok::Rel(Rel::NotIn),
            '→' | '⇒' | '⟹' | '⟶' | '↦' | '⊂' | '⊆' | '∼' | '⇔' => Tok::Rel(Rel::Other),
            '∪' | '∨' => Tok::SetOp(SetOp::Union),
            '∩' | '∧' => Tok::SetOp(SetOp::Intersection),
            '∖' => Tok::SetOp(SetOp::Minus),
            '(' | '（' => {
                self.brackets.push(true);
                Tok::Open('(')
            }
            '[' | '［' | '【' => {
                self.brackets.push(true);
                Tok::Open('[')
            }
            '{' | '｛' => {
                self.brackets.push(false);
                Tok::Open('{')
            }
            ')' | '）' => {
                self.brackets.pop();
                Tok::Close(')')
            }
            ']' | '］' | '】' => {
                self.brackets.pop();
                Tok::Close(']')
            }
            '}' | '｝' => {
                self.brackets.pop();
                Tok::Close('}')
            }
            '⟨' | '〈' => Tok::Open('<'),
            '⟩' | '〉' => Tok::Close('>'),
            '⌊' => Tok::Open('f'),
            '⌋' => Tok::Close('f'),
            '⌈' => Tok::Open('c'),
            '⌉' => Tok::Close('c'),
            '|' | '∣' | '‖' | '｜' => {
                if self.rest().starts_with('|') && false_double_bar(self.rest()) {
                    self.at += 1;
                }
                Tok::Bar(0)
            }
            'π' | '𝜋' => Tok::Const(Const::Pi),
            '∞' => Tok::Const(Const::Infinity),
            'ⅈ' | 'ⅉ' => Tok::Const(Const::I),
            'ℯ' => Tok::Const(Const::E),
            '√' => Tok::Cmd("sqrt".into()),
            '∛' => Tok::Cmd("cbrt".into()),
            '∑' => Tok::Cmd("sum".into()),
            '∏' => Tok::Cmd("prod".into()),
            '∫' => Tok::Cmd("int".into()),
            '∅' | 'Ø' | 'ø' => {
                self.push(Tok::Open('s'), spaced);
                Tok::Close('s')
            }
            'ℝ' => Tok::NamedSet('R'),
            'ℤ' => Tok::NamedSet('Z'),
            'ℕ' => Tok::NamedSet('N'),
            'ℚ' => Tok::NamedSet('Q'),
            'ℂ' => Tok::NamedSet('C'),
            '…' | '⋯' => Tok::Dots,
            '.' => {
                if self.rest().starts_with("..") {
                    self.at += 2;
                    Tok::Dots
                } else {
                    // A full stop ends a sentence; inside an answer it means nothing.
                    return;
                }
            }
            '。' | '"' | '“' | '”' | '`' | '‘' | '?' | '？' | '#' | '@' => return,
            '€' | '£' | '¥' | '₹' | '￥' => {
                Tok::Text(if c == '￥' { "¥".into() } else { c.to_string().into() })
            }
            '∀' => Tok::Text("forall".into()),
            '∃' => Tok::Text("exists".into()),
            _ => return self.unicode(c, spaced),
        };
        self.push(tok, spaced);
    }

    fn unicode(&mut self, c: char, spaced: bool) {
        const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
        const SUBSCRIPTS: &str = "₀₁₂₃₄₅₆₇₈₉";
        if let Some(letter) = names::greek_char(c) {
            return self.push(Tok::Id(letter.into()), spaced);
        }
        for (table, sign) in [(SUPERSCRIPTS, Tok::Caret), (SUBSCRIPTS, Tok::Underscore)] {
            let minus = if sign == Tok::Caret { '⁻' } else { '₋' };
            if table.contains(c) || c == minus {
                let mut digits = String::new();
                let negative = c == minus;
                if !negative {
                    digits.push(digit_of(table, c));
                }
                while let Some(next) = self.rest().chars().next().filter(|n| table.contains(*n)) {
                    digits.push(digit_of(table, next));
                    self.at += next.len_utf8();
                }
                self.push(sign, spaced);
                self.push(Tok::Open('{'), false);
                if negative {
                    self.push(Tok::Minus, false);
                }
                if !digits.is_empty() {
                    let number = number_from(&digits, None, 0, digits.len() as u32);
                    self.push(Tok::Num(number, digits.into()), false);
                }
                return self.push(Tok::Close('}'), false);
            }
        }
        let vulgar = match c {
            '½' => Some((1, 2)),
            '⅓' => Some((1, 3)),
            '⅔' => Some((2, 3)),
            '¼' => Some((1, 4)),
            '¾' => Some((3, 4)),
            '⅕' => Some((1, 5)),
            '⅖' => Some((2, 5)),
            '⅗' => Some((3, 5)),
            '⅘' => Some((4, 5)),
            '⅙' => Some((1, 6)),
            '⅚' => Some((5, 6)),
            '⅛' => Some((1, 8)),
            '⅜' => Some((3, 8)),
            '⅝' => Some((5, 8)),
            '⅞' => Some((7, 8)),
            _ => None,
        };
        if let Some((p, q)) = vulgar {
            self.push(Tok::Cmd("frac".into()), spaced);
            for n in [p, q] {
                self.push(Tok::Num(Number::int(n), n.to_string().into()), false);
            }
            return;
        }
        let code = c as u32;
        if (0x2460..=0x2473).contains(&code) {
            // Circled numbers stand in a row without commas.
            if matches!(self.out.last().map(|t| &t.tok), Some(Tok::Num(..))) {
                self.push(Tok::Comma, false);
            }
            let n = i64::from(code - 0x245f);
            return self.push(Tok::Num(Number::int(n), n.to_string().into()), spaced);
        }
        if (0xff10..=0xff19).contains(&code) {
            let mut digits = String::new();
            digits.push(char::from(b'0' + (code - 0xff10) as u8));
            while let Some(next) = self.rest().chars().next().filter(|n| ('０'..='９').contains(n)) {
                digits.push(char::from(b'0' + (next as u32 - 0xff10) as u8));
                self.at += next.len_utf8();
            }
            let number = number_from(&digits, None, 0, digits.len() as u32);
            return self.push(Tok::Num(number, digits.into()), spaced);
        }
        if c.is_alphabetic() {
            let mut word = String::from(c);
            while let Some(next) = self
                .rest()
                .chars()
                .next()
                .filter(|n| !n.is_ascii() && n.is_alphabetic() && names::greek_char(*n).is_none() && *n != 'π')
            {
                // Joining words are their own tokens.
                if matches!(next, '或' | '和' | '与') || matches!(c, '或' | '和' | '与') {
                    break;
                }
                word.push(next);
                self.at += next.len_utf8();
            }
            let tok = if let Some(join) = names::join(&word) {
                Tok::Join(join)
            } else if let Some(n) = names::chinese_number(&word) {
                Tok::Num(Number::int(n), n.to_string().into())
            } else {
                Tok::Text(word.into())
            };
            self.push(tok, spaced);
        }
    }
}

fn digit_of(table: &str, c: char) -> char {
    let value = table.chars().position(|d| d == c).unwrap_or(0) as u8;
    char::from(b'0' + value)
}

fn vowels(word: &str) -> bool {
    word.bytes().any(|b| b"aeiouAEIOU".contains(&b))
}

fn false_double_bar(rest: &str) -> bool {
    rest.starts_with("||")
}

/// The kind (1: comma, 2: space, 3: typographic) and length of a separator between groups of
/// digits; length 0 if there is none.
fn group_separator(tail: &str) -> (u8, usize) {
    for (pattern, kind) in
        [(",\\!", 3), ("{,}", 3), ("\\,", 3), ("\\;", 3), ("\\ ", 3), ("\\:", 3), ("{\\,}", 3), ("{ }", 3), ("~", 3)]
    {
        if let Some(rest) = tail.strip_prefix(pattern) {
            let extra = rest.bytes().take_while(|b| *b == b' ').count();
            return (kind, pattern.len() + extra);
        }
    }
    match tail.chars().next() {
        Some(',') => (1, 1),
        Some('，') => (1, 3),
        Some(c @ (' ' | '\u{a0}' | '\u{2009}' | '\u{202f}')) => (2, c.len_utf8()),
        _ => (0, 0),
    }
}

/// The number with these digits; `places` of them stand after the point.
fn number_from(digits: &str, places: Option<i32>, exponent: i32, significant: u32) -> Number {
    let integer: IBig = digits.parse().unwrap_or(IBig::ZERO);
    let shift = exponent - places.unwrap_or(0);
    let limit = 4000;
    let value = if shift >= 0 {
        RBig::from(integer * IBig::from(10).pow(shift.min(limit) as usize))
    } else {
        RBig::from(integer) / RBig::from(IBig::from(10).pow(shift.unsigned_abs().min(limit as u32) as usize))
    };
    let places = if places.is_none() && exponent == 0 { None } else { Some(-shift) };
    Number { value, places, digits: significant }
}
