//! The part of the lexer that reads LaTeX commands.

use super::ast::{Fun, Join};
use super::lex::{Lexer, Tok, Token};
use super::names;

/// Text commands inside text commands that are read.
const MAX_TEXT_NESTING: u8 = 3;

impl<'a> Lexer<'a> {
    /// A backslash that a careless JSON decoder ate: form feed + `rac`, tab + `imes`, and so on.
    pub(super) fn broken_escape(&mut self, c: char, spaced: bool) -> bool {
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

    pub(super) fn command(&mut self, spaced: bool) {
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
                    if let Some(length) = self.rest().strip_prefix('[').and_then(|r| r.find(']'))
                        && length < 8
                        && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
                        && self.rest()[1..=length].ends_with(|c: char| c.is_ascii_alphabetic())
                    {
                        self.at += length + 2;
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
                    if self.byte(0) == b'{'
                        && let Some(body) = self.braced()
                    {
                        self.text_command(body, spaced);
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
        matches!(
            self.out.as_slice(),
            [.., Token { tok: Tok::Num(..) | Tok::Close(_), .. }]
                | [.., Token { tok: Tok::Text(_), .. }, Token { tok: Tok::Slash | Tok::Minus, .. }]
        )
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
        if let Some(tail) = name.strip_prefix(prefix)
            && tail.len() == 1
        {
            return (prefix, 1);
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
