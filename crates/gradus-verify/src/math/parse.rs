//! Tokens to a tree: lists, relations, sets and the layout of an answer. Terms and factors are in
//! `term`.

use super::ast::{Join, Node, Rel, SetOp};
use super::lex::{self, Commas, Tok, Token};
use super::names;
use super::units::{self, Unit};

/// Deepest nesting that is read.
pub(crate) const MAX_DEPTH: u16 = 240;

/// Choices where the notation is ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// How commas between digits are read.
    pub(crate) commas: Commas,
    /// `1/2x` is `1/(2x)` rather than `(1/2)x`.
    pub(crate) tight_slash: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self { commas: Commas::Auto, tight_slash: false }
    }
}

/// Why a text is not mathematics for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fail {
    /// Words where a formula was expected.
    Words,
    /// No grammar fits.
    Syntax,
    /// Over a counted limit.
    Limit,
}

pub(crate) type Parse<T> = Result<T, Fail>;

/// A tree and what was ambiguous on the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) node: Node,
    pub(crate) slash: bool,
}

pub(crate) fn parse(text: &str, reading: Reading) -> Parse<Parsed> {
    let tokens = lex::lex(text, reading.commas).map_err(|_| Fail::Limit)?;
    parse_tokens(tokens, reading)
}

fn parse_tokens(mut tokens: Vec<Token>, reading: Reading) -> Parse<Parsed> {
    let partner = pair(&mut tokens);
    if tokens.is_empty() {
        return Err(Fail::Syntax);
    }
    let mut parser = Parser {
        end: tokens.len(),
        toks: &tokens,
        partner: &partner,
        at: 0,
        depth: 0,
        groups: 0,
        bars: 0,
        integrals: Vec::new(),
        reading,
        slash: false,
    };
    let node = parser.answer()?;
    if parser.at != tokens.len() {
        return Err(Fail::Syntax);
    }
    Ok(Parsed { node, slash: parser.slash })
}

/// Matches brackets: for every opening token the index of its closing one. Closing tokens without
/// an opening one are dropped; opening ones without a closing one end at the end.
fn pair(tokens: &mut Vec<Token>) -> Vec<usize> {
    let brace = |c: char| c == '{' || c == '}';
    let mut stack: Vec<(usize, char)> = Vec::new();
    let mut keep = vec![true; tokens.len()];
    let mut depth_braces = 0usize;
    for (k, token) in tokens.iter().enumerate() {
        match token.tok {
            Tok::Open(c) => {
                depth_braces += usize::from(brace(c));
                stack.push((k, c));
            }
            Tok::Close(c) => {
                if brace(c) {
                    if depth_braces == 0 {
                        keep[k] = false;
                        continue;
                    }
                    while let Some((_, open)) = stack.pop() {
                        if brace(open) {
                            break;
                        }
                    }
                    depth_braces -= 1;
                } else if stack.last().is_some_and(|(_, open)| !brace(*open)) {
                    stack.pop();
                } else {
                    keep[k] = false;
                }
            }
            _ => {}
        }
    }
    if keep.contains(&false) {
        let mut k = 0;
        tokens.retain(|_| {
            k += 1;
            keep[k - 1]
        });
    }
    let mut partner = vec![tokens.len(); tokens.len()];
    let mut stack: Vec<(usize, char)> = Vec::new();
    for (k, token) in tokens.iter().enumerate() {
        match token.tok {
            Tok::Open(c) => stack.push((k, c)),
            Tok::Close(c) => {
                while let Some((open_at, open)) = stack.pop() {
                    if brace(open) == brace(c) {
                        partner[open_at] = k;
                        break;
                    }
                    // A bracket left open inside a brace group ends with the group.
                    partner[open_at] = k;
                }
            }
            _ => {}
        }
    }
    partner
}

pub(super) struct Parser<'a> {
    pub(super) toks: &'a [Token],
    pub(super) partner: &'a [usize],
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) depth: u16,
    /// Bracket depth, for what must end at its own level.
    pub(super) groups: u16,
    /// Absolute value bars open at this level.
    pub(super) bars: u16,
    /// Open integrals: bracket depth and variable, once seen.
    pub(super) integrals: Vec<(u16, Option<Box<str>>)>,
    pub(super) reading: Reading,
    pub(super) slash: bool,
}

impl Parser<'_> {
    pub(super) fn peek(&self) -> Option<&Tok> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<&Tok> {
        let at = self.at + ahead;
        if at < self.end { Some(&self.toks[at].tok) } else { None }
    }

    pub(super) fn spaced(&self) -> bool {
        self.at < self.end && self.toks[self.at].spaced
    }

    pub(super) fn deeper(&mut self) -> Parse<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Fail::Limit) } else { Ok(()) }
    }

    /// Runs `f` on the tokens up to `end`, then stands behind `after`.
    pub(super) fn within<T>(
        &mut self,
        start: usize,
        end: usize,
        after: usize,
        f: impl FnOnce(&mut Self) -> Parse<T>,
    ) -> Parse<T> {
        let (old_end, old_bars) = (self.end, self.bars);
        self.at = start;
        self.end = end;
        self.bars = 0;
        self.groups += 1;
        self.deeper()?;
        let result = f(self)?;
        if self.at != end {
            return Err(Fail::Syntax);
        }
        self.depth -= 1;
        self.groups -= 1;
        self.end = old_end;
        self.bars = old_bars;
        self.at = after.min(old_end);
        Ok(result)
    }

    /// A whole answer: one item or a list of them.
    fn answer(&mut self) -> Parse<Node> {
        let (mut items, mut joins) = self.items(true)?;
        // `x = k \\pi, k \\in \\mathbb{Z}`: the parameter's domain is no item.
        while items.len() > 1 && items.last().is_some_and(is_domain) {
            items.pop();
            joins.truncate(items.len() - 1);
        }
        Ok(assemble(items, &joins))
    }

    /// Items up to the end of this level, and how they were joined.
    pub(super) fn items(&mut self, top: bool) -> Parse<(Vec<Node>, Vec<Sep>)> {
        let mut items = Vec::new();
        let mut seps = Vec::new();
        self.skip_separators(top);
        while self.at < self.end {
            items.push(self.item()?);
            if items.len() > 400 {
                return Err(Fail::Limit);
            }
            if self.at == self.end {
                break;
            }
            match self.skip_separators(top) {
                Some(sep) => seps.push(sep),
                None => return Err(Fail::Syntax),
            }
        }
        if items.is_empty() {
            return Err(Fail::Syntax);
        }
        Ok((items, seps))
    }

    /// Skips commas, joining words and wide spaces; gives the strongest of them.
    fn skip_separators(&mut self, top: bool) -> Option<Sep> {
        let mut best = None;
        while let Some(tok) = self.peek() {
            let sep = match tok {
                Tok::Comma => Sep::Comma,
                Tok::Semicolon => Sep::Semicolon,
                Tok::Join(Join::Or) => Sep::Or,
                Tok::Join(_) => Sep::And,
                Tok::Quad => Sep::Wide,
                Tok::Row | Tok::Ampersand if top => Sep::Wide,
                _ => break,
            };
            best = best.max(Some(sep));
            self.at += 1;
        }
        best
    }

    /// One item: an optional label, then a chain of relations, then an optional condition.
    fn item(&mut self) -> Parse<Node> {
        let start = self.at;
        let mut words = Vec::new();
        while let Some(Tok::Text(text)) = self.peek() {
            if is_currency(text) || (text.chars().count() == 1 && text.is_ascii()) {
                break;
            }
            words.push(text.clone());
            self.at += 1;
        }
        let label_end = self.at;
        if !words.is_empty() {
            match self.peek() {
                None | Some(Tok::Comma | Tok::Semicolon | Tok::Join(_) | Tok::Quad) => {
                    let text = words.join(" ");
                    if let Some(n) = names::number_words(&text.to_lowercase()) {
                        return Ok(Node::int(n));
                    }
                    return Ok(Node::Text(text));
                }
                Some(Tok::Colon) => self.at += 1,
                Some(Tok::Rel(Rel::Eq | Rel::Approx)) => {
                    // `Maximum = 2`: the words name the quantity.
                    self.at += 1;
                    let value = self.set_expr()?;
                    let left = Node::Var(words.join(" ").to_lowercase().into());
                    return self.chain(left, Rel::Eq, value);
                }
                Some(_) => {
                    let words: Vec<String> = words
                        .iter()
                        .flat_map(|text| text.split([' ', '\n', ',']))
                        .map(str::to_ascii_lowercase)
                        .collect();
                    // What precedes a verb names the value, what follows it is part of it.
                    let verb = words.iter().rposition(|word| matches!(word.as_str(), "is" | "are" | "equals" | "be"));
                    let value = &words[verb.map_or(0, |at| at + 1)..];
                    let negated =
                        words.iter().any(|word| names::negates(word)) || value.iter().any(|word| names::alters(word));
                    if negated || words.len() > 12 {
                        return Err(Fail::Words);
                    }
                }
            }
        }
        // `Sequence 1: ...` and `A: 5 apples` style labels end in a colon too.
        if label_end > start
            && let (Some(Tok::Num(..) | Tok::Id(_)), Some(Tok::Colon)) = (self.peek(), self.peek_at(1))
        {
            self.at += 2;
        }
        while let Some(Tok::Rel(Rel::Approx | Rel::Eq)) = self.peek() {
            self.at += 1;
        }
        // An article before a word is no unknown with a unit.
        if let (Some(Tok::Id(letter)), Some(Tok::Text(word))) = (self.peek(), self.peek_at(1))
            && matches!(&**letter, "a" | "A")
            && units::known(word).is_none()
        {
            return Err(Fail::Words);
        }
        let first = self.set_expr()?;
        let node = self.relations(first)?;
        if matches!(node, Node::Rel(..)) && matches!(self.peek(), Some(Tok::Colon)) {
            // `x > 4 : (4, \infty)` says the same twice.
            self.at += 1;
            self.set_expr()?;
        }
        self.condition();
        Ok(node)
    }

    fn relations(&mut self, first: Node) -> Parse<Node> {
        let Some(rel) = self.relation() else {
            return Ok(first);
        };
        let next = self.set_expr()?;
        self.chain(first, rel, next)
    }

    fn chain(&mut self, first: Node, rel: Rel, next: Node) -> Parse<Node> {
        let mut sides = vec![first, next];
        let mut rels = vec![rel];
        while let Some(rel) = self.relation() {
            rels.push(rel);
            sides.push(self.set_expr()?);
            if sides.len() > 60 {
                return Err(Fail::Limit);
            }
        }
        Ok(Node::Rel(sides, rels))
    }

    fn relation(&mut self) -> Option<Rel> {
        match (self.peek(), self.peek_at(1)) {
            (Some(Tok::Rel(rel)), _) => {
                let mut rel = *rel;
                self.at += 1;
                // `\not=` came as text; `= \approx` is one relation.
                while let Some(Tok::Rel(more)) = self.peek() {
                    if rel == Rel::Eq || *more == Rel::Eq {
                        rel = if rel == Rel::Eq { *more } else { rel };
                        self.at += 1;
                    } else {
                        break;
                    }
                }
                Some(rel)
            }
            (Some(Tok::Cmd(not)), Some(Tok::Rel(rel))) if &**not == "not" => {
                let rel = match rel {
                    Rel::Eq => Rel::Ne,
                    Rel::In => Rel::NotIn,
                    _ => Rel::Other,
                };
                self.at += 2;
                Some(rel)
            }
            (Some(Tok::Bang), Some(Tok::Rel(Rel::Eq))) => {
                self.at += 2;
                Some(Rel::Ne)
            }
            _ => None,
        }
    }

    /// Drops a trailing condition such as "for all integers n".
    fn condition(&mut self) {
        if let Some(Tok::Text(text)) = self.peek() {
            let lower = text.to_lowercase();
            let first = lower.split_whitespace().next().unwrap_or("");
            let second = lower.split_whitespace().nth(1).unwrap_or("");
            let general = matches!(
                second,
                "all" | "any" | "every" | "each" | "some" | "integer" | "integers" | "positive" | "real" | "constant"
            );
            let domain = second.is_empty() && matches!(self.peek_at(2), Some(Tok::Rel(Rel::In)));
            if matches!(first, "where" | "forall") || (first == "for" && (general || domain)) {
                let mut depth = 0i32;
                while let Some(tok) = self.peek() {
                    match tok {
                        Tok::Open(_) => depth += 1,
                        Tok::Close(_) => depth -= 1,
                        Tok::Semicolon if depth == 0 => break,
                        _ => {}
                    }
                    self.at += 1;
                }
            }
        } else if matches!(self.peek(), Some(Tok::Open('('))) && self.partner[self.at] + 1 >= self.end {
            // `(k \in \mathbb{Z})` behind a family.
            let inner = &self.toks[self.at + 1..self.partner[self.at].min(self.end)];
            if inner.iter().any(|t| matches!(t.tok, Tok::Rel(Rel::In) | Tok::Text(_))) {
                self.at = self.end;
            }
        }
    }

    /// Sums joined by set operations, then ratios, times and units.
    pub(super) fn set_expr(&mut self) -> Parse<Node> {
        let mut left = self.quantity()?;
        let mut count = 0;
        if matches!(left, Node::Quantity(..)) && matches!(self.peek(), Some(Tok::Times)) {
            // `4 ft \times 12 ft`
            let mut sides = vec![left];
            while matches!(self.peek(), Some(Tok::Times)) && sides.len() < 8 {
                self.at += 1;
                sides.push(self.quantity()?);
            }
            return Ok(Node::List(sides, Join::And));
        }
        while let Some(Tok::SetOp(op)) = self.peek() {
            let op = *op;
            self.at += 1;
            // `\cup,` is a misprint seen in textbooks.
            while matches!(self.peek(), Some(Tok::Comma)) {
                self.at += 1;
            }
            let right = self.quantity()?;
            left = Node::SetOp(op, Box::new(left), Box::new(right));
            count += 1;
            if count > 60 {
                return Err(Fail::Limit);
            }
        }
        if matches!(self.peek(), Some(Tok::Colon)) && self.at + 1 < self.end {
            let mut parts = vec![left];
            while matches!(self.peek(), Some(Tok::Colon)) {
                self.at += 1;
                parts.push(self.quantity()?);
                if parts.len() > 30 {
                    return Err(Fail::Limit);
                }
            }
            return Ok(self.clock(&parts).unwrap_or(Node::Ratio(parts)));
        }
        if let Some(time) = self.clock(std::slice::from_ref(&left)) {
            return Ok(time);
        }
        Ok(left)
    }

    /// `4:30 p.m.`, `7 am`: a time of day.
    fn clock(&mut self, parts: &[Node]) -> Option<Node> {
        let small = |node: &Node, limit: u32| match node {
            Node::Num(n) if n.places.is_none() => {
                let text = n.value.to_string();
                text.parse::<u32>().ok().filter(|v| *v < limit)
            }
            _ => None,
        };
        let (consumed, half) = match (self.peek(), self.peek_at(1)) {
            (Some(Tok::Id(a)), Some(Tok::Id(m))) if m.eq_ignore_ascii_case("m") => (2, a.to_ascii_lowercase()),
            (Some(Tok::Text(t)), _) => {
                let lower: String = t.to_ascii_lowercase().chars().filter(char::is_ascii_alphabetic).collect();
                (
                    1,
                    match lower.as_str() {
                        "am" => "a".into(),
                        "pm" => "p".into(),
                        _ => return None,
                    },
                )
            }
            _ => return None,
        };
        if !(&*half == "a" || &*half == "p") {
            return None;
        }
        let hour = small(parts.first()?, 13)?;
        let minute = match parts.get(1) {
            Some(node) => small(node, 60)?,
            None => 0,
        };
        self.at += consumed;
        let hour = hour % 12 + if &*half == "p" { 12 } else { 0 };
        Some(Node::Time(hour * 60 + minute, true))
    }

    /// A sum and what is counted or measured by it.
    fn quantity(&mut self) -> Parse<Node> {
        let value = match self.peek() {
            // A bare set operation sign at the start carries nothing.
            Some(Tok::SetOp(SetOp::Union)) => {
                self.at += 1;
                self.sum()?
            }
            _ => self.sum()?,
        };
        let Some(Tok::Text(first)) = self.peek() else {
            return Ok(value);
        };
        let lower = first.to_lowercase();
        let head = lower.split_whitespace().next().unwrap_or("");
        if matches!(head, "for" | "where" | "if" | "when" | "with" | "forall" | "otherwise" | "as" | "am" | "pm") {
            return Ok(value);
        }
        let value_is_set =
            matches!(value, Node::Tuple(..) | Node::Set(_) | Node::SetOp(..) | Node::Builder(..) | Node::Matrix(_));
        let (phrase, next) = self.unit_phrase();
        if lower.split(' ').any(|word| names::negates(word) || names::alters_behind(word))
            || phrase.split(' ').any(names::negates)
        {
            return Err(Fail::Words);
        }
        // `5 million dollars`, `1.5 billion`
        let (scaled, unscaled) = scaled(&value, &phrase);
        let (value, phrase) = (scaled.unwrap_or(value), unscaled.to_owned());
        if phrase.is_empty() {
            self.at = next;
            return Ok(value);
        }
        let unit = units::parse(&phrase);
        match lower.trim() {
            "percent" | "pct" | "per cent" | "percentage" => {
                self.at += 1;
                return Ok(Node::Percent(Box::new(value)));
            }
            "degrees" | "degree" | "deg" => {
                self.at += 1;
                if let Some(Tok::Text(scale)) = self.peek() {
                    let name = match scale.to_ascii_lowercase().as_str() {
                        "celsius" | "c" => "°C",
                        "fahrenheit" | "f" => "°F",
                        _ => return Ok(Node::Degree(Box::new(value))),
                    };
                    self.at += 1;
                    return Ok(Node::Quantity(Box::new(value), units::parse(name)));
                }
                return Ok(Node::Degree(Box::new(value)));
            }
            _ => {}
        }
        if value_is_set && matches!(unit, Unit::Label(_)) {
            self.at = next;
            return Ok(value);
        }
        self.at = next;
        // `32^{\circ} \mathrm{F}`.
        if let (Node::Degree(inner), Unit::Label(scale)) = (&value, &unit)
            && (scale == "c" || scale == "f")
        {
            let name = if scale == "c" { "°C" } else { "°F" };
            return Ok(Node::Quantity(inner.clone(), units::parse(name)));
        }
        Ok(match value {
            Node::Degree(inner) if phrase == "F" || phrase == "C" => {
                Node::Quantity(inner, units::parse(&format!("°{phrase}")))
            }
            Node::Quantity(inner, known @ Unit::Known(..)) => Node::Quantity(inner, known),
            value => Node::Quantity(Box::new(value), unit),
        })
    }

    /// Words behind a number with their powers and quotients: `cm ^ 2`, `ft / sec`.
    fn unit_phrase(&self) -> (String, usize) {
        let mut phrase = String::new();
        let mut at = self.at;
        while at < self.end {
            match &self.toks[at].tok {
                Tok::Text(text) => {
                    let lower = text.to_lowercase();
                    let head = lower.split_whitespace().next().unwrap_or("");
                    if matches!(head, "for" | "where" | "if" | "when" | "with" | "forall") {
                        break;
                    }
                    phrase.push(' ');
                    phrase.push_str(text);
                    at += 1;
                }
                Tok::Caret => {
                    let (digit, length) = match (self.tok(at + 1), self.tok(at + 2), self.tok(at + 3), self.tok(at + 4))
                    {
                        (Some(Tok::Num(n, _)), ..) => (n.value.to_string(), 2),
                        (Some(Tok::Open('{')), Some(Tok::Num(n, _)), Some(Tok::Close('}')), _) => {
                            (n.value.to_string(), 4)
                        }
                        (Some(Tok::Open('{')), Some(Tok::Minus), Some(Tok::Num(n, _)), Some(Tok::Close('}'))) => {
                            (format!("-{}", n.value), 5)
                        }
                        _ => break,
                    };
                    phrase.push('^');
                    phrase.push_str(&digit);
                    at += length;
                }
                Tok::Slash | Tok::Minus | Tok::Times if matches!(self.tok(at + 1), Some(Tok::Text(_))) => {
                    phrase.push_str(if matches!(self.toks[at].tok, Tok::Slash) { " / " } else { " " });
                    at += 1;
                }
                _ => break,
            }
        }
        (phrase.trim().to_owned(), at)
    }

    fn tok(&self, at: usize) -> Option<&Tok> {
        if at < self.end { Some(&self.toks[at].tok) } else { None }
    }
}

/// A literal times the scale that the words behind it begin with, and the other words.
fn scaled<'a>(value: &Node, phrase: &'a str) -> (Option<Node>, &'a str) {
    let phrase = phrase.trim();
    let (head, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
    let literal = |node: &Node| matches!(node, Node::Num(_));
    let factor = match names::scale_word(head) {
        Some(12) => Node::int(12),
        // A power of ten keeps the precision of a decimal.
        Some(scale) => Node::Pow(Box::new(Node::int(10)), Box::new(Node::int(i64::from(scale.ilog10())))),
        None => return (None, phrase),
    };
    let times = |number: &Node| Node::Mul(vec![number.clone(), factor.clone()]);
    let product = match value {
        number if literal(number) => times(number),
        Node::Neg(number) if literal(number) => times(number).neg(),
        Node::Quantity(number, unit) if literal(number) => Node::Quantity(Box::new(times(number)), unit.clone()),
        _ => return (None, phrase),
    };
    (Some(product), rest.trim())
}

/// `k \\in \\mathbb{Z}`
fn is_domain(node: &Node) -> bool {
    match node {
        Node::Rel(sides, rels) if *rels == [Rel::In] => {
            let integers = match &sides[1] {
                Node::NamedSet('Z' | 'N') => true,
                Node::Var(name) => matches!(&**name, "Z" | "N"),
                _ => false,
            };
            matches!(sides[0], Node::Var(_)) && integers
        }
        _ => false,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sep {
    Wide,
    Comma,
    And,
    Or,
    Semicolon,
}

/// Items to one node: a single item stays itself; groups between semicolons become tuples if they
/// are groups of assignments.
fn assemble(mut items: Vec<Node>, seps: &[Sep]) -> Node {
    if items.len() == 1 {
        return items.remove(0);
    }
    let join = if seps.contains(&Sep::Or) {
        Join::Or
    } else if seps.contains(&Sep::And) {
        Join::And
    } else {
        Join::Comma
    };
    let grouping = if seps.contains(&Sep::Semicolon) {
        Some(Sep::Semicolon)
    } else if seps.contains(&Sep::Or) && seps.contains(&Sep::Comma) {
        Some(Sep::Or)
    } else if seps.contains(&Sep::And) && seps.contains(&Sep::Comma) {
        Some(Sep::And)
    } else {
        None
    };
    let assignment = |node: &Node| matches!(node, Node::Rel(sides, rels) if rels.len() == 1 && rels[0] == Rel::Eq && matches!(sides[0], Node::Var(_)));
    if let Some(border) = grouping
        && items.iter().all(assignment)
        && seps.contains(&Sep::Comma)
    {
        let mut groups: Vec<Vec<Node>> = vec![Vec::new()];
        for (k, item) in items.iter().enumerate() {
            if k > 0 && seps.get(k - 1) == Some(&border) {
                groups.push(Vec::new());
            }
            if let Some(group) = groups.last_mut() {
                group.push(item.clone());
            }
        }
        let size = groups[0].len();
        let names = |group: &[Node]| -> Vec<Node> {
            group.iter().map(|n| if let Node::Rel(s, _) = n { s[0].clone() } else { n.clone() }).collect()
        };
        let first_names = names(&groups[0]);
        let distinct = first_names.iter().enumerate().all(|(k, n)| !first_names[..k].contains(n));
        if size > 1 && distinct && groups.len() > 1 && groups.iter().all(|g| names(g) == first_names) {
            return Node::List(groups.into_iter().map(|g| Node::Tuple('(', g, ')')).collect(), Join::Or);
        }
    }
    Node::List(items, join)
}

pub(super) fn is_currency(text: &str) -> bool {
    matches!(text, "$" | "€" | "£" | "¥" | "₹")
}
