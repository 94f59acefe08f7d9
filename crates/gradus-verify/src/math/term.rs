//! The part of the parser that reads sums, products and powers.

use dashu::{integer::IBig, rational::RBig};

use super::ast::{Const, Fun, Node, Number};
use super::lex::Tok;
use super::names;
use super::parse::{Fail, Parse, Parser, is_currency};
use super::units;

impl Parser<'_> {
    pub(super) fn sum(&mut self) -> Parse<Node> {
        self.deeper()?;
        let node = self.sum_inner()?;
        self.depth -= 1;
        Ok(node)
    }

    fn sum_inner(&mut self) -> Parse<Node> {
        let mut terms: Vec<Node> = Vec::new();
        let mut count_pm = 0;
        loop {
            let mut negative = false;
            let mut pm = None;
            loop {
                match self.peek() {
                    Some(Tok::Plus) => {}
                    Some(Tok::Minus) => negative = !negative,
                    Some(Tok::PlusMinus) => pm = Some(false),
                    Some(Tok::MinusPlus) => pm = Some(true),
                    _ => break,
                }
                self.at += 1;
            }
            let term = self.term()?;
            let term = match term {
                // The sign belongs to the dividend.
                Node::Call(Fun::Mod, mut args) if negative => {
                    let first = args.remove(0).neg();
                    args.insert(0, first);
                    Node::Call(Fun::Mod, args)
                }
                term if negative => term.neg(),
                term => term,
            };
            if let Some(flip) = pm {
                count_pm += 1;
                if count_pm > 6 {
                    return Err(Fail::Limit);
                }
                let before = match terms.len() {
                    0 => None,
                    1 => terms.pop().map(Box::new),
                    _ => Some(Box::new(Node::Add(std::mem::take(&mut terms)))),
                };
                terms.push(Node::PlusMinus(before, Box::new(term), flip));
            } else {
                terms.push(term);
            }
            if self.integral_done() {
                break;
            }
            match self.peek() {
                Some(Tok::Plus | Tok::Minus | Tok::PlusMinus | Tok::MinusPlus) => {
                    // A trailing sign, as in `3^+`, belongs to nothing.
                    if self.at + 1 >= self.end {
                        return Err(Fail::Syntax);
                    }
                }
                _ => break,
            }
        }
        let node = if terms.len() == 1 { terms.remove(0) } else { Node::Add(terms) };
        match self.peek() {
            Some(Tok::Cmd(cmd)) if &**cmd == "choose" => {
                self.at += 1;
                let low = self.sum()?;
                Ok(Node::Call(Fun::Binom, vec![node, low]))
            }
            Some(Tok::Cmd(cmd)) if &**cmd == "over" => {
                self.at += 1;
                let low = self.sum()?;
                Ok(Node::Div(Box::new(node), Box::new(low)))
            }
            _ => Ok(node),
        }
    }

    fn integral_done(&self) -> bool {
        self.integrals.last().is_some_and(|(level, var)| *level == self.groups && var.is_some())
    }

    /// Products and quotients, explicit and implicit.
    pub(super) fn term(&mut self) -> Parse<Node> {
        let mut over: Vec<Node> = Vec::new();
        let mut under: Vec<Node> = Vec::new();
        let mut mods = 0;
        let start = self.at;
        if !self.differential() {
            over.push(self.factor()?);
        }
        loop {
            if self.integral_done() {
                break;
            }
            if self.differential() {
                continue;
            }
            let Some(tok) = self.peek() else { break };
            match tok {
                Tok::Times => {
                    // `4 \times 12 ft`: dimensions are a product too.
                    self.at += 1;
                    over.push(self.factor()?);
                }
                Tok::Slash => {
                    if matches!(self.peek_at(1), Some(Tok::Text(t)) if units::known(t).is_some())
                        && self.peek_at(2).is_none_or(|t| !matches!(t, Tok::Rel(_)))
                    {
                        break;
                    }
                    self.at += 1;
                    let number_above = under.is_empty() && over.len() == 1 && matches!(over[0], Node::Num(_));
                    let first_is_number = matches!(self.peek(), Some(Tok::Num(..)));
                    let first = self.factor()?;
                    under.push(first);
                    let follows = !self.spaced()
                        && matches!(self.peek(), Some(Tok::Id(_) | Tok::Const(_) | Tok::Cmd(_) | Tok::Fun(_)))
                        || (!self.spaced() && first_is_number && matches!(self.peek(), Some(Tok::Open('('))));
                    if follows {
                        self.slash = true;
                        if self.reading.tight_slash || (!number_above && first_is_number) {
                            while !self.spaced()
                                && self.starts_factor()
                                && !matches!(self.peek(), Some(Tok::Num(..) | Tok::Open(_)))
                            {
                                under.push(self.power()?);
                            }
                        }
                    }
                    if self.reading.tight_slash && !self.spaced() && matches!(self.peek(), Some(Tok::Open('('))) {
                        under.push(self.power()?);
                    } else if matches!(self.peek(), Some(Tok::Open('('))) {
                        self.slash = true;
                    }
                }
                Tok::Fun(Fun::Mod) => {
                    self.at += 1;
                    mods += 1;
                    if mods > 20 {
                        return Err(Fail::Limit);
                    }
                    let left = product(std::mem::take(&mut over), std::mem::take(&mut under));
                    let mut right = vec![self.factor()?];
                    while self.starts_factor() {
                        right.push(self.power()?);
                    }
                    over = vec![Node::Call(Fun::Mod, vec![left, product(right, Vec::new())])];
                }
                Tok::Fun(Fun::PMod) => {
                    self.at += 1;
                    mods += 1;
                    if mods > 20 {
                        return Err(Fail::Limit);
                    }
                    let left = product(std::mem::take(&mut over), std::mem::take(&mut under));
                    let modulus = self.power()?;
                    over = vec![Node::Call(Fun::PMod, vec![left, modulus])];
                }
                _ if self.starts_factor() => {
                    let mixed = self.mixed_part(over.last(), &under);
                    let factor = self.power()?;
                    match (mixed, over.last_mut()) {
                        (true, Some(Node::Num(whole))) => {
                            let whole = std::mem::replace(whole, Number::int(0));
                            let sum = Node::Add(vec![Node::Num(whole), factor]);
                            if let Some(last) = over.last_mut() {
                                *last = sum;
                            }
                        }
                        _ => over.push(factor),
                    }
                }
                // `x 3^{x}`: a number behind anything but a number multiplies.
                Tok::Num(..) if under.is_empty() && !over.last().is_some_and(ends_in_number) => {
                    let factor = self.power()?;
                    over.push(factor);
                }
                // `1 1/2`.
                Tok::Num(..) if under.is_empty() && over.len() == 1 && self.spaced() => {
                    if !self.ascii_mixed(&over[0]) {
                        return Err(Fail::Syntax);
                    }
                    let p = self.factor()?;
                    self.at += 1;
                    let q = self.factor()?;
                    let whole = over.remove(0);
                    over.push(Node::Add(vec![whole, Node::Div(Box::new(p), Box::new(q))]));
                }
                _ => break,
            }
            if over.len() + under.len() > 3000 {
                return Err(Fail::Limit);
            }
        }
        if over.is_empty() && self.at == start {
            return Err(Fail::Syntax);
        }
        Ok(product(over, under))
    }

    /// Whether `whole` and the fraction that follows form a mixed number.
    fn mixed_part(&self, whole: Option<&Node>, under: &[Node]) -> bool {
        let Some(Node::Num(whole)) = whole else { return false };
        if whole.places.is_some() || !under.is_empty() || whole.value <= RBig::ZERO {
            return false;
        }
        let digit = |tok: Option<&Tok>| match tok {
            Some(Tok::Num(n, raw)) if n.places.is_none() => Some((n.value.clone(), raw.len())),
            _ => None,
        };
        match self.peek() {
            Some(Tok::Cmd(cmd)) if &**cmd == "frac" => {
                let (p, next) = match self.peek_at(1) {
                    Some(Tok::Open('{')) => match (digit(self.peek_at(2)), self.peek_at(3)) {
                        (Some((p, _)), Some(Tok::Close('}'))) => (p, 4),
                        _ => return false,
                    },
                    tok => match digit(tok) {
                        Some((p, 1)) => (p, 2),
                        // `\frac23`: proper if the first digit is the smaller.
                        Some((both, 2)) => {
                            let text = both.to_string();
                            let bytes = text.as_bytes();
                            return bytes.len() == 2 && bytes[0] < bytes[1];
                        }
                        _ => return false,
                    },
                };
                let q = match self.peek_at(next) {
                    Some(Tok::Open('{')) => match (digit(self.peek_at(next + 1)), self.peek_at(next + 2)) {
                        (Some((q, _)), Some(Tok::Close('}'))) => q,
                        _ => return false,
                    },
                    tok => match digit(tok) {
                        Some((q, _)) => q,
                        None => return false,
                    },
                };
                p < q
            }
            _ => false,
        }
    }

    fn ascii_mixed(&self, whole: &Node) -> bool {
        let integer = |node: &Node| matches!(node, Node::Num(n) if n.places.is_none());
        let literal = |tok: Option<&Tok>| match tok {
            Some(Tok::Num(n, _)) if n.places.is_none() => Some(n.value.clone()),
            _ => None,
        };
        integer(whole)
            && matches!(self.peek_at(1), Some(Tok::Slash))
            && match (literal(self.peek()), literal(self.peek_at(2))) {
                (Some(p), Some(q)) => p < q,
                _ => false,
            }
    }

    /// `dx` inside an integral: notes the variable.
    fn differential(&mut self) -> bool {
        let Some((_, None)) = self.integrals.last() else { return false };
        let name = match (self.peek(), self.peek_at(1)) {
            (Some(Tok::Id(d)), Some(Tok::Id(v))) if &**d == "d" => v.clone(),
            (Some(Tok::Text(d)), Some(Tok::Id(v))) if &**d == "d" => v.clone(),
            _ => return false,
        };
        if let Some((_, var)) = self.integrals.last_mut() {
            *var = Some(name);
        }
        self.at += 2;
        true
    }

    /// `p.m.` behind the minutes of a time of day.
    fn half_day(&self) -> bool {
        let (Some(Tok::Id(half)), Some(Tok::Id(m))) = (self.peek(), self.peek_at(1)) else { return false };
        let colon = self.at >= 2 && matches!(self.toks[self.at - 2].tok, Tok::Colon);
        let capitals = **half != half.to_ascii_lowercase() && &**m == "M" && self.spaced();
        matches!(&**half, "a" | "p" | "A" | "P")
            && m.eq_ignore_ascii_case("m")
            && (colon || capitals)
            && self.at >= 1
            && matches!(self.toks[self.at - 1].tok, Tok::Num(..))
    }

    pub(super) fn starts_factor(&self) -> bool {
        if self.half_day() {
            return false;
        }
        match self.peek() {
            Some(
                Tok::Id(_) | Tok::Const(_) | Tok::Open(_) | Tok::Begin(_) | Tok::NamedSet(_) | Tok::Bar(1) | Tok::Dots,
            ) => true,
            Some(Tok::Fun(f)) => !matches!(f, Fun::Mod | Fun::PMod),
            Some(Tok::Cmd(cmd)) => !matches!(&**cmd, "choose" | "over" | "not"),
            Some(Tok::Bar(0)) => self.bars == 0,
            Some(Tok::Text(text)) => {
                // One-letter names in roman type, unless they are a unit of the number before.
                text.chars().count() == 1 && text.is_ascii() && !is_currency(text) && !self.after_number()
            }
            _ => false,
        }
    }

    fn after_number(&self) -> bool {
        self.at > 0 && matches!(self.toks[self.at - 1].tok, Tok::Num(..) | Tok::Close(_) | Tok::Degree)
    }

    fn factor(&mut self) -> Parse<Node> {
        let mut negative = false;
        loop {
            match self.peek() {
                Some(Tok::Minus) => negative = !negative,
                Some(Tok::Plus) => {}
                _ => break,
            }
            self.at += 1;
        }
        let node = self.power()?;
        Ok(if negative { node.neg() } else { node })
    }

    /// A primary with its exponents, subscripts and marks.
    pub(super) fn power(&mut self) -> Parse<Node> {
        self.deeper()?;
        let mut node = self.primary()?;
        let mut marks = 0;
        loop {
            marks += 1;
            if marks > 12 {
                return Err(Fail::Limit);
            }
            match self.peek() {
                Some(Tok::Caret) => {
                    self.at += 1;
                    match self.peek() {
                        Some(Tok::Degree) => {
                            self.at += 1;
                            node = Node::Degree(Box::new(node));
                            continue;
                        }
                        Some(Tok::Open('{')) => {
                            // `^{\circ}`, `^{\prime}`, `^{\circ} C`.
                            let close = self.partner[self.at];
                            if close == self.at + 2 || (close == self.at + 1) {
                                match self.peek_at(1) {
                                    Some(Tok::Degree) => {
                                        self.at = close + 1;
                                        node = Node::Degree(Box::new(node));
                                        continue;
                                    }
                                    Some(Tok::Close('}')) => {
                                        self.at = close + 1;
                                        continue;
                                    }
                                    _ => {}
                                }
                            }
                            let primes =
                                self.toks[self.at + 1..close.min(self.end)].iter().all(|t| matches!(t.tok, Tok::Prime));
                            if primes && close > self.at + 1 {
                                let count = close - self.at - 1;
                                self.at = (close + 1).min(self.end);
                                node = primed(node, count);
                                continue;
                            }
                        }
                        Some(Tok::Prime) => {
                            self.at += 1;
                            node = primed(node, 1);
                            continue;
                        }
                        _ => {}
                    }
                    let exponent = self.exponent()?;
                    node = Node::Pow(Box::new(node), Box::new(exponent));
                }
                Some(Tok::Underscore) => {
                    if let Node::Num(number) = &node {
                        let digits = match &self.toks[self.at - 1].tok {
                            Tok::Num(_, raw) => raw.to_string(),
                            _ => number.value.to_string(),
                        };
                        node = self.based(&digits)?;
                        continue;
                    }
                    let name = self.subscript();
                    node = attach_subscript(node, &name)?;
                }
                Some(Tok::Bang) => {
                    self.at += 1;
                    node = if matches!(self.peek(), Some(Tok::Bang)) && !matches!(self.peek_at(1), Some(Tok::Bang)) {
                        self.at += 1;
                        Node::Call(Fun::DoubleFactorial, vec![node])
                    } else {
                        Node::Call(Fun::Factorial, vec![node])
                    };
                }
                Some(Tok::Prime) => {
                    self.at += 1;
                    node = primed(node, 1);
                }
                Some(Tok::Percent) => {
                    self.at += 1;
                    node = Node::Percent(Box::new(node));
                }
                Some(Tok::Degree) => {
                    self.at += 1;
                    node = Node::Degree(Box::new(node));
                }
                Some(Tok::Num(..)) if matches!(node, Node::Degree(_)) => match self.arc_parts(&node) {
                    Some((angle, length)) => {
                        node = angle;
                        self.at += length;
                    }
                    None => break,
                },
                _ => break,
            }
        }
        self.depth -= 1;
        Ok(node)
    }

    /// `45^{\\prime} 30^{\\prime\\prime}` behind degrees: the whole angle and the tokens read.
    fn arc_parts(&self, degrees: &Node) -> Option<(Node, usize)> {
        let Node::Degree(whole) = degrees else { return None };
        let mut sum = vec![(**whole).clone()];
        let mut ahead = 0;
        for scale in [60i64, 3600] {
            let Some(Tok::Num(number, _)) = self.peek_at(ahead) else { break };
            let mut marks = 0;
            let mut next = ahead + 1;
            loop {
                match self.peek_at(next) {
                    Some(Tok::Prime) => marks += 1,
                    Some(Tok::Caret | Tok::Open('{')) => {}
                    Some(Tok::Close('}')) if marks > 0 => {}
                    _ => break,
                }
                next += 1;
            }
            if marks == 0 || marks != if scale == 60 { 1 } else { 2 } {
                break;
            }
            sum.push(Node::rational(number.value.clone() / RBig::from(scale)));
            ahead = next;
        }
        (ahead > 0).then(|| (Node::Degree(Box::new(Node::Add(sum))), ahead))
    }

    pub(super) fn exponent(&mut self) -> Parse<Node> {
        let negative = matches!(self.peek(), Some(Tok::Minus));
        if negative || matches!(self.peek(), Some(Tok::Plus)) {
            self.at += 1;
        }
        // A right-associative tower: the exponent takes its own exponents.
        let node = if let Some(Tok::Open('{')) = self.peek() {
            let base = self.primary()?;
            if matches!(self.peek(), Some(Tok::Caret)) && !matches!(self.peek_at(1), Some(Tok::Degree)) {
                self.deeper()?;
                self.at += 1;
                let upper = self.exponent()?;
                self.depth -= 1;
                Node::Pow(Box::new(base), Box::new(upper))
            } else {
                base
            }
        } else {
            let base = self.primary()?;
            match self.peek() {
                Some(Tok::Caret) => {
                    self.deeper()?;
                    self.at += 1;
                    let upper = self.exponent()?;
                    self.depth -= 1;
                    Node::Pow(Box::new(base), Box::new(upper))
                }
                _ => base,
            }
        };
        Ok(if negative { node.neg() } else { node })
    }

    /// The subscript at the cursor as a name.
    pub(super) fn subscript(&mut self) -> String {
        self.at += 1;
        let (from, to) = match self.peek() {
            Some(Tok::Open('{')) => (self.at + 1, self.partner[self.at]),
            Some(_) => (self.at, self.at + 1),
            None => return String::new(),
        };
        let to = to.min(self.end);
        let mut name = String::new();
        for token in self.toks.get(from..to).unwrap_or(&[]).iter().take(40) {
            match &token.tok {
                Tok::Num(n, raw) => {
                    if raw.is_empty() {
                        name.push_str(&n.value.to_string());
                    } else {
                        name.push_str(raw);
                    }
                }
                Tok::Id(id) | Tok::Text(id) | Tok::Cmd(id) => name.push_str(id),
                Tok::Const(c) => name.push_str(match c {
                    Const::Pi => "pi",
                    Const::E => "e",
                    Const::I => "i",
                    Const::Infinity => "infty",
                }),
                Tok::Plus => name.push('+'),
                Tok::Minus => name.push('-'),
                Tok::Comma => name.push(','),
                Tok::Caret => name.push('^'),
                Tok::Fun(f) => name.push_str(&format!("{f:?}").to_lowercase()),
                _ => {}
            }
        }
        self.at = if from == self.at { to } else { (to + 1).min(self.end) };
        name
    }

    /// A numeral whose subscript is its base.
    fn based(&mut self, digits: &str) -> Parse<Node> {
        let name = self.subscript();
        let base: u32 = match name.as_str() {
            "two" => 2,
            "three" => 3,
            "four" => 4,
            "five" => 5,
            "six" => 6,
            "seven" => 7,
            "eight" => 8,
            "nine" => 9,
            "ten" => 10,
            other => other.parse().map_err(|_| Fail::Syntax)?,
        };
        if !(2..=36).contains(&base) || digits.len() > 2000 {
            return Err(Fail::Syntax);
        }
        let value = IBig::from_str_radix(digits, base).map_err(|_| Fail::Syntax)?;
        let plain = digits.parse::<IBig>().ok().map(RBig::from);
        if base == 10 {
            return Ok(Node::rational(RBig::from(value)));
        }
        Ok(Node::Based(RBig::from(value), plain))
    }

    pub(super) fn primary(&mut self) -> Parse<Node> {
        self.deeper()?;
        let node = self.primary_inner()?;
        self.depth -= 1;
        Ok(node)
    }

    fn primary_inner(&mut self) -> Parse<Node> {
        let Some(tok) = self.peek().cloned() else { return Err(Fail::Syntax) };
        match tok {
            Tok::Num(number, raw) => {
                self.at += 1;
                // `152A_{11}`: letters are digits if a base follows them.
                if !raw.is_empty() {
                    let mut digits = raw.to_string();
                    let mut ahead = 0;
                    loop {
                        match self.peek_at(ahead) {
                            Some(Tok::Id(letter)) if letter.len() == 1 && letter.as_bytes()[0].is_ascii_uppercase() => {
                                digits.push_str(letter);
                            }
                            Some(Tok::Num(_, more)) if ahead > 0 && !more.is_empty() => digits.push_str(more),
                            _ => break,
                        }
                        ahead += 1;
                    }
                    if ahead > 0 && matches!(self.peek_at(ahead), Some(Tok::Underscore)) {
                        self.at += ahead;
                        return self.based(&digits);
                    }
                }
                Ok(Node::Num(number))
            }
            Tok::Id(name) => {
                self.at += 1;
                self.identifier(&name)
            }
            Tok::Const(c) => {
                self.at += 1;
                Ok(Node::Const(c))
            }
            Tok::NamedSet(c) => {
                self.at += 1;
                Ok(Node::NamedSet(c))
            }
            Tok::Dots => {
                self.at += 1;
                Ok(Node::Dots)
            }
            Tok::Fun(Fun::Mod | Fun::PMod) => Err(Fail::Syntax),
            Tok::Fun(fun) => {
                self.at += 1;
                self.function(fun)
            }
            Tok::Cmd(cmd) => {
                self.at += 1;
                self.command(&cmd)
            }
            Tok::Open(c) => self.group(c),
            Tok::Bar(_) => self.absolute(),
            Tok::Begin(env) => self.environment(&env),
            Tok::Text(text) => self.text(&text),
            Tok::Minus => {
                self.at += 1;
                Ok(self.power()?.neg())
            }
            Tok::Plus => {
                self.at += 1;
                self.power()
            }
            _ => Err(Fail::Syntax),
        }
    }

    fn text(&mut self, text: &str) -> Parse<Node> {
        if is_currency(text) {
            self.at += 1;
            let negative = matches!(self.peek(), Some(Tok::Minus));
            if negative {
                self.at += 1;
            }
            let value = self.power()?;
            let value = if negative { value.neg() } else { value };
            return Ok(Node::Quantity(Box::new(value), units::parse(text)));
        }
        let mut chars = text.chars();
        if let (Some(c), None) = (chars.next(), chars.next())
            && c.is_ascii_alphabetic()
        {
            self.at += 1;
            return Ok(match c {
                'e' => Node::Const(Const::E),
                'i' => Node::Const(Const::I),
                _ => return self.identifier(text),
            });
        }
        if let Some(n) = names::number_word(text) {
            self.at += 1;
            return Ok(Node::int(n));
        }
        // A word with a subscript, or one that stands for an unknown before a relation.
        if matches!(self.peek_at(1), Some(Tok::Underscore | Tok::Rel(_))) && !text.contains(' ') {
            self.at += 1;
            return Ok(Node::Var(text.to_lowercase().into()));
        }
        Err(Fail::Words)
    }
}

/// Whether a factor ends in a literal, so that a number behind it would read as its continuation.
fn ends_in_number(node: &Node) -> bool {
    matches!(node, Node::Num(_) | Node::Neg(_) | Node::Percent(_) | Node::Degree(_))
}

fn primed(node: Node, count: usize) -> Node {
    match node {
        Node::Var(v) => Node::Var(format!("{v}{}", "'".repeat(count.min(9))).into()),
        Node::Apply(name, args) => Node::Apply(format!("{name}{}", "'".repeat(count.min(9))).into(), args),
        other => Node::Call(Fun::Prime, vec![other, Node::int(count.min(9) as i64)]),
    }
}

fn attach_subscript(node: Node, name: &str) -> Parse<Node> {
    Ok(match node {
        Node::Var(v) => Node::Var(format!("{v}_{name}").into()),
        Node::Const(Const::E) => Node::Var(format!("e_{name}").into()),
        Node::Const(Const::I) => Node::Var(format!("i_{name}").into()),
        Node::Pow(base, exponent) => Node::Pow(Box::new(attach_subscript(*base, name)?), exponent),
        Node::NamedSet(c) => Node::Var(format!("{c}_{name}").into()),
        Node::Apply(f, args) if args.len() == 1 => Node::Apply(format!("{f}_{name}").into(), args),
        _ => return Err(Fail::Syntax),
    })
}

/// A product over a product; a literal and its repeating part become one number.
pub(super) fn product(mut over: Vec<Node>, mut under: Vec<Node>) -> Node {
    if over.len() >= 2
        && let (Node::Num(head), Node::Apply(name, args)) = (&over[0], &over[1])
        && &**name == "repeat"
        && let (Node::Num(digits), Node::Num(length)) = (&args[0], &args[1])
    {
        let places = head.places.unwrap_or(0).max(0) as usize;
        let length: usize = length.value.to_string().parse().unwrap_or(1);
        let nines = IBig::from(10).pow(length) - IBig::ONE;
        let shifted = digits.value.clone() / RBig::from(nines * IBig::from(10).pow(places));
        let value = head.value.clone() + shifted;
        over.splice(0..2, [Node::rational(value)]);
    }
    let fold = |items: &mut Vec<Node>| match items.len() {
        0 => Node::int(1),
        1 => items.remove(0),
        _ => Node::Mul(std::mem::take(items)),
    };
    let top = fold(&mut over);
    if under.is_empty() {
        return top;
    }
    let bottom = fold(&mut under);
    Node::Div(Box::new(top), Box::new(bottom))
}
