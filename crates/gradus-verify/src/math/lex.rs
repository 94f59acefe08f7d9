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
const MAX_TEXT_NESTING: u8 = 3;

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

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Token>,
    /// Open brackets that hold lists.
    brackets: Vec<bool>,
    commas: Commas,
    nesting: u8,
    /// Open `\\begin` environments, where a double backslash ends a row.
    environments: u32,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn push(&mut self, tok: Tok, spaced: bool) {
        self.out.push(Token { tok, spaced });
    }

    fn run(&mut self) -> Result<(), TooLong> {
        let mut spaced = false;
        while let Some(c) = self.rest().chars().next() {
            if self.out.len() > MAX_TOKENS {
                return Err(TooLong);
            }
            if c == '\t' || c == '\u{c}' || c == '\u{8}' || c == '\r' || c == '\u{b}' {
                if self.broken_escape(c, spaced) {
                    spaced = false;
                    continue;
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

    /// A backslash that a careless JSON decoder ate: form feed + `rac`, tab + `imes`, and so on.
    fn broken_escape(&mut self, c: char, spaced: bool) -> bool {
        let first = match c {
            '\t' => 't',
            '\u{c}' => 'f',
            '\u{8}' => 'b',
            '\r' => 'r',
            _ => 'v',
        };
        let tail: String = self.rest()[1..].chars().take_while(char::is_ascii_alphabetic).take(12).collect();
        let name = format!("{first}{tail}");
        let known = matches!(
            name.as_str(),
            "frac"
                | "text"
                | "tfrac"
                | "times"
                | "theta"
                | "tan"
                | "textbf"
                | "boxed"
                | "binom"
                | "begin"
                | "beta"
                | "right"
                | "rho"
                | "varphi"
                | "triangle"
                | "to"
                | "tau"
                | "bar"
                | "big"
                | "rfloor"
                | "rceil"
                | "rangle"
                | "vec"
                | "forall"
                | "textrm"
                | "mathrm"
                | "bmod"
                | "bf"
                | "rm"
        );
        if known {
            self.at += name.len();
            self.named_command(&name, spaced);
        }
        known
    }

    fn command(&mut self, spaced: bool) {
        let next = self.rest()[1..].chars().next();
        match next {
            Some(c) if c.is_ascii_alphabetic() => {
                let name: &str = &self.rest()[1..];
                let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
                let name = &name[..end];
                self.at += 1 + end;
                let (name, back) = split_glued_command(name);
                self.at -= back;
                self.named_command(name, spaced);
            }
            Some('\\') => {
                // A doubled backslash before a known name is an escaped command, else a new row.
                let name = &self.rest()[2..];
                let end = name.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(name.len());
                let escaped = end > 1 && self.environments == 0 && is_command(&name[..end])
                    || matches!(name.as_bytes().first(), Some(b'(' | b'[' | b')' | b']')) && self.out.is_empty();
                if escaped {
                    self.at += 1;
                    self.command(spaced);
                } else if name.starts_with([',', ';', '!']) {
                    self.at += 3;
                } else {
                    self.at += 2;
                    if let Some(length) = self.rest().strip_prefix('[').and_then(|r| r.find(']')) {
                        if length < 8
                            && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
                            && self.rest()[1..=length].ends_with(|c: char| c.is_ascii_alphabetic())
                        {
                            self.at += length + 2;
                        }
                    }
                    self.push(Tok::Row, spaced);
                }
            }
            Some(c) => {
                self.at += 1 + c.len_utf8();
                match c {
                    '{' => {
                        self.brackets.push(true);
                        self.push(Tok::Open('s'), spaced);
                    }
                    '}' => {
                        self.brackets.pop();
                        self.push(Tok::Close('s'), spaced);
                    }
                    '%' => self.push(Tok::Percent, spaced),
                    '$' => self.push(Tok::Text("$".into()), spaced),
                    '|' => self.push(Tok::Bar(0), spaced),
                    '&' => self.push(Tok::Join(Join::And), spaced),
                    _ => {}
                }
            }
            None => self.at += 1,
        }
    }

    #[expect(clippy::cognitive_complexity, reason = "one flat table of LaTeX commands")]
    fn named_command(&mut self, name: &str, spaced: bool) {
        if let Some(fun) = names::function(name) {
            self.push(Tok::Fun(fun), spaced);
        } else if let Some(constant) = (name != "i" && name != "e").then(|| names::constant(name)).flatten() {
            self.push(Tok::Const(constant), spaced);
        } else if let Some(letter) = names::greek(name) {
            self.push(Tok::Id(letter.into()), spaced);
        } else if let Some(op) = names::set_op(name) {
            self.push(Tok::SetOp(op), spaced);
        } else if name == "mid" {
            self.push(Tok::Bar(0), spaced);
        } else if let Some(rel) = names::relation(name) {
            self.push(Tok::Rel(rel), spaced);
        } else {
            match name {
                "cdot" | "times" | "ast" | "star" | "bullet" | "cross" => self.push(Tok::Times, spaced),
                "div" => self.push(Tok::Slash, spaced),
                "pm" => self.push(Tok::PlusMinus, spaced),
                "mp" => self.push(Tok::MinusPlus, spaced),
                "circ" | "degree" | "textdegree" => self.push(Tok::Degree, spaced),
                "prime" => self.push(Tok::Prime, spaced),
                "percent" => self.push(Tok::Percent, spaced),
                "ldots" | "cdots" | "dots" | "dotsc" | "dotsb" | "vdots" | "ddots" | "dotsm" => {
                    self.push(Tok::Dots, spaced);
                }
                "lvert" | "lVert" => self.push(Tok::Bar(1), spaced),
                "rvert" | "rVert" => self.push(Tok::Bar(2), spaced),
                "vert" | "Vert" | "divides" => self.push(Tok::Bar(0), spaced),
                "lbrace" => {
                    self.brackets.push(true);
                    self.push(Tok::Open('s'), spaced);
                }
                "rbrace" => {
                    self.brackets.pop();
                    self.push(Tok::Close('s'), spaced);
                }
                "lbrack" => self.push(Tok::Open('['), spaced),
                "rbrack" => self.push(Tok::Close(']'), spaced),
                "langle" => self.push(Tok::Open('<'), spaced),
                "rangle" => self.push(Tok::Close('>'), spaced),
                "lfloor" => self.push(Tok::Open('f'), spaced),
                "rfloor" => self.push(Tok::Close('f'), spaced),
                "lceil" => self.push(Tok::Open('c'), spaced),
                "rceil" => self.push(Tok::Close('c'), spaced),
                "emptyset" | "varnothing" | "O" => {
                    self.push(Tok::Open('s'), spaced);
                    self.push(Tok::Close('s'), false);
                }
                "quad" | "qquad" => self.push(Tok::Quad, spaced),
                "colon" => self.push(Tok::Colon, spaced),
                "lparen" => self.push(Tok::Open('('), spaced),
                "rparen" => self.push(Tok::Close(')'), spaced),
                "bmod" | "mod" => self.push(Tok::Fun(Fun::Mod), spaced),
                "pmod" => self.push(Tok::Fun(Fun::PMod), spaced),
                "lg" => self.push(Tok::Fun(Fun::LogBase), spaced),
                "frac" | "dfrac" | "tfrac" | "cfrac" => self.push(Tok::Cmd("frac".into()), spaced),
                "binom" | "dbinom" | "tbinom" => self.push(Tok::Cmd("binom".into()), spaced),
                "sqrt" | "sum" | "prod" | "int" | "iint" | "lim" | "choose" | "overline" | "bar" | "hat" | "vec"
                | "tilde" | "dot" | "ddot" | "widehat" | "overrightarrow" | "underline" | "cancel" | "widetilde"
                | "not" | "substack" | "sup" | "inf" | "oint" | "over" => self.push(Tok::Cmd(name.into()), spaced),
                "bigcup" => self.push(Tok::Cmd("bigcup".into()), spaced),
                "R" | "Reals" | "reals" => self.push(Tok::NamedSet('R'), spaced),
                "Z" | "N" | "Q" | "C" => {
                    self.push(Tok::NamedSet(name.chars().next().unwrap_or('R')), spaced);
                }
                "begin" | "end" => {
                    let body: Box<str> = self.braced().unwrap_or("").trim_end_matches('*').into();
                    if name == "begin" {
                        if &*body == "array" {
                            // Column specification.
                            self.skip_space();
                            if self.byte(0) == b'{' {
                                self.braced();
                            }
                        }
                        self.brackets.push(true);
                        self.environments += 1;
                        self.push(Tok::Begin(body), spaced);
                    } else {
                        self.brackets.pop();
                        self.environments = self.environments.saturating_sub(1);
                        self.push(Tok::End(body), spaced);
                    }
                }
                "text" | "textbf" | "textit" | "textrm" | "textsf" | "texttt" | "textnormal" | "mbox" | "mathrm"
                | "operatorname" | "mathit" | "mathsf" | "rm" | "hbox" | "textsc" | "mathtt" | "unit" | "emph" => {
                    if self.byte(0) == b'*' {
                        self.at += 1;
                    }
                    self.skip_space();
                    if self.byte(0) == b'{' {
                        if let Some(body) = self.braced() {
                            self.text_command(body, spaced);
                        }
                    }
                }
                "mathbf" | "boldsymbol" | "bm" | "mathcal" | "mathfrak" | "mathscr" | "pmb" => {}
                "mathbb" | "Bbb" => {
                    self.skip_space();
                    let set = if self.byte(0) == b'{' {
                        self.braced().and_then(|b| b.trim().chars().next())
                    } else {
                        let c = self.rest().chars().next();
                        self.at += c.map_or(0, char::len_utf8);
                        c
                    };
                    if let Some(set) = set {
                        self.push(Tok::NamedSet(set), spaced);
                    }
                }
                "left" | "right" | "middle" => {
                    let open = name == "left";
                    self.skip_space();
                    match self.byte(0) {
                        b'.' => self.at += 1,
                        b'|' => {
                            self.at += 1;
                            let side = if name == "middle" { 0 } else { 1 + u8::from(!open) };
                            self.push(Tok::Bar(side), spaced);
                        }
                        b'\\'
                            if self.rest().starts_with("\\vert")
                                || self.rest().starts_with("\\|")
                                || self.rest().starts_with("\\lvert")
                                || self.rest().starts_with("\\rvert") =>
                        {
                            let skip = if self.rest().starts_with("\\|") {
                                2
                            } else if self.rest().starts_with("\\vert") {
                                5
                            } else {
                                6
                            };
                            self.at += skip;
                            self.push(Tok::Bar(1 + u8::from(!open)), spaced);
                        }
                        _ => {}
                    }
                }
                "hspace" | "vspace" | "phantom" | "hphantom" | "vphantom" | "color" | "label" | "tag" | "hskip"
                | "textcolor" => {
                    self.skip_space();
                    if self.byte(0) == b'{' {
                        self.braced();
                    }
                }
                "forall" | "exists" | "angle" | "triangle" | "square" | "because" | "therefore" | "neg" => {
                    self.push(Tok::Text(name.into()), spaced);
                }
                "and" | "or" => {
                    if let Some(join) = names::join(name) {
                        self.push(Tok::Join(join), spaced);
                    }
                }
                "boxed" | "fbox" => {
                    // Neighbouring boxes are items of a list.
                    if matches!(self.out.last().map(|t| &t.tok), Some(Tok::Close('}'))) {
                        self.push(Tok::Comma, spaced);
                    }
                }
                _ if is_layout(name) => {}
                _ => self.push(Tok::Id(format!("\\{name}").into()), spaced),
            }
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(0), b' ' | b'\n' | b'\t') {
            self.at += 1;
        }
    }

    /// The content of the brace group at the cursor, and moves behind it.
    fn braced(&mut self) -> Option<&'a str> {
        self.skip_space();
        if self.byte(0) != b'{' {
            return None;
        }
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut depth = 0usize;
        let mut at = self.at;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 1,
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at = at + 1;
                        return Some(&self.text[start..at]);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        // Never closed: everything that is left.
        self.at = bytes.len();
        Some(self.text.get(start..).unwrap_or(""))
    }

    /// Whether a unit may stand at the cursor: behind a number, or behind another unit and a slash.
    fn measures(&self) -> bool {
        match self.out.as_slice() {
            [.., Token { tok: Tok::Num(..) | Tok::Close(_), .. }] => true,
            [.., Token { tok: Tok::Text(_), .. }, Token { tok: Tok::Slash | Tok::Minus, .. }] => true,
            _ => false,
        }
    }

    fn text_command(&mut self, body: &str, spaced: bool) {
        let word = body.trim_matches(|c: char| c.is_whitespace() || c == '~');
        if word.is_empty() {
            return;
        }
        if let Some(join) = names::join(word) {
            self.push(Tok::Join(join), spaced);
        } else if let Some(fun) = names::function(word)
            .filter(|_| word.len() > 2 || word == "ln")
            .filter(|_| !(matches!(word, "min" | "sec") && self.measures()))
        {
            self.push(Tok::Fun(fun), spaced);
        } else if word == "mod" {
            self.push(Tok::Fun(Fun::Mod), spaced);
        } else if self.nesting < MAX_TEXT_NESTING && reads_as_math(word) {
            let mut inner = Lexer {
                text: word,
                at: 0,
                out: Vec::new(),
                brackets: self.brackets.clone(),
                commas: self.commas,
                nesting: self.nesting + 1,
                environments: self.environments,
            };
            if inner.run().is_ok() {
                if let Some(first) = inner.out.first_mut() {
                    first.spaced = spaced || body.starts_with(' ');
                }
                self.out.append(&mut inner.out);
            }
        } else {
            self.push(Tok::Text(body.trim().replace(['~', '\\', '{', '}', '$'], " ").trim().into()), true);
        }
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
        let word = &tail[..end];
        self.at += end;
        // Subscripts bind to a single letter, so a run before `_` is split.
        self.word(word, spaced);
    }

    fn word(&mut self, word: &str, spaced: bool) {
        if word.len() == 1 {
            let tok = names::constant(word).map_or_else(|| Tok::Id(word.into()), Tok::Const);
            return self.push(tok, spaced);
        }
        let after_number = matches!(self.out.last().map(|t| &t.tok), Some(Tok::Num(..) | Tok::Close(_)));
        if let Some(join) = names::join(word) {
            return self.push(Tok::Join(join), spaced);
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
        if word != "e" && word != "i" && word != "inf" {
            if let Some(constant) = names::constant(word) {
                return self.push(Tok::Const(constant), spaced);
            }
        }
        if word != "In" && !names::is_short_word(word) {
            if let Some(name) = names::GLUED.iter().find(|name| word.starts_with(**name)) {
                if word.len() <= name.len() + 2 || names::function(&word[name.len()..]).is_some() {
                    if *name == "sqrt" {
                        self.push(Tok::Cmd("sqrt".into()), spaced);
                    } else if let Some(fun) = names::function(name) {
                        self.push(Tok::Fun(fun), spaced);
                    }
                    return self.word(&word[name.len()..], false);
                }
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
            && word.as_bytes()[1..].iter().all(|b| b.is_ascii_lowercase())
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
            '。' | '"' | '“' | '”' | '`' | '‘' | '?' | '？' => return,
            '€' | '£' | '¥' | '₹' | '￥' => {
                Tok::Text(if c == '￥' { "¥".into() } else { c.to_string().into() })
            }
            '∀' => Tok::Text("forall".into()),
            '∃' => Tok::Text("exists".into()),
            '#' | '@' => return,
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
        if tail.starts_with(pattern) {
            let extra = tail[pattern.len()..].bytes().take_while(|b| *b == b' ').count();
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

/// Layout commands that carry no meaning.
fn is_layout(name: &str) -> bool {
    matches!(
        name,
        "displaystyle"
            | "textstyle"
            | "limits"
            | "nolimits"
            | "big"
            | "Big"
            | "bigg"
            | "Bigg"
            | "bigl"
            | "bigr"
            | "Bigl"
            | "Bigr"
            | "biggl"
            | "biggr"
            | "Biggl"
            | "Biggr"
            | "bigm"
            | "boxed"
            | "fbox"
            | "strut"
            | "mathstrut"
            | "bf"
            | "it"
            | "cal"
            | "sf"
            | "tt"
            | "noindent"
            | "hfill"
            | "hline"
            | "nonumber"
            | "notag"
            | "ensuremath"
            | "mathop"
            | "mathrel"
            | "mathbin"
            | "mathord"
            | "normalsize"
            | "small"
            | "large"
            | "thinspace"
            | "medspace"
            | "thickspace"
            | "negthinspace"
            | "break"
            | "par"
            | "newline"
            | "centering"
            | "space"
            | "enspace"
            | "hfil"
            | "roman"
            | "scriptstyle"
            | "scriptscriptstyle"
            | "null"
            | "left"
            | "right"
            | "mathchoice"
            | "cancelto"
    )
}

/// Whether a name is a command this reader knows.
fn is_command(name: &str) -> bool {
    names::function(name).is_some()
        || names::greek(name).is_some()
        || names::relation(name).is_some()
        || names::set_op(name).is_some()
        || (name.len() > 1 && names::constant(name).is_some())
        || is_layout(name)
        || matches!(
            name,
            "frac"
                | "dfrac"
                | "tfrac"
                | "cfrac"
                | "sqrt"
                | "text"
                | "mathrm"
                | "left"
                | "right"
                | "begin"
                | "end"
                | "cdot"
                | "times"
                | "binom"
                | "textbf"
                | "boxed"
                | "pm"
                | "circ"
                | "quad"
                | "mathbb"
                | "div"
                | "sum"
                | "prod"
                | "int"
                | "lim"
                | "overline"
                | "infty"
                | "lfloor"
                | "rfloor"
                | "lceil"
                | "rceil"
                | "ldots"
                | "cdots"
                | "dots"
                | "mathbf"
                | "vec"
                | "operatorname"
                | "textit"
                | "mbox"
                | "qquad"
                | "langle"
                | "rangle"
                | "bmod"
                | "pmod"
                | "mid"
                | "emptyset"
        )
}

/// `\vertx` is `\vert x`: gives the command and how many letters to give back.
fn split_glued_command(name: &str) -> (&str, usize) {
    const SPLIT: &[&str] = &[
        "lvert", "rvert", "vert", "cdot", "times", "pm", "div", "exp", "left", "right", "circ", "quad", "sqrt", "frac",
        "pi", "infty", "leq", "geq",
    ];
    if is_command(name) || names::function(name).is_some() || name.len() < 3 {
        return (name, 0);
    }
    for prefix in SPLIT {
        if let Some(tail) = name.strip_prefix(prefix) {
            if tail.len() == 1 {
                return (prefix, 1);
            }
        }
    }
    (name, 0)
}

/// Whether the content of a text command is a formula after all: digits and signs, no words.
fn reads_as_math(text: &str) -> bool {
    let mut letters = 0usize;
    let mut math = false;
    for c in text.chars() {
        if c.is_ascii_alphabetic() {
            letters += 1;
            if letters > 1 {
                return text.contains('\\') && !text.contains(' ');
            }
        } else {
            letters = 0;
            math |= c.is_ascii_digit() || c == '\\' || c == '$';
        }
    }
    math
}
