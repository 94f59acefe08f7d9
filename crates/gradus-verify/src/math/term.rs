//! The part of the parser that reads sums, products, powers, functions and groups.

use dashu::{integer::IBig, rational::RBig};

use super::ast::{Binder, BinderKind, Const, Fun, Node, Number, Rel};
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
    fn term(&mut self) -> Parse<Node> {
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

    pub(super) fn starts_factor(&self) -> bool {
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

    fn exponent(&mut self) -> Parse<Node> {
        let negative = matches!(self.peek(), Some(Tok::Minus));
        if negative || matches!(self.peek(), Some(Tok::Plus)) {
            self.at += 1;
        }
        // A right-associative tower: the exponent takes its own exponents.
        let node = match self.peek() {
            Some(Tok::Open('{')) => {
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
            }
            _ => {
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
            }
        };
        Ok(if negative { node.neg() } else { node })
    }

    /// The subscript at the cursor as a name.
    fn subscript(&mut self) -> String {
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
                                digits.push_str(letter)
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
        if let (Some(c), None) = (chars.next(), chars.next()) {
            if c.is_ascii_alphabetic() {
                self.at += 1;
                return Ok(match c {
                    'e' => Node::Const(Const::E),
                    'i' => Node::Const(Const::I),
                    _ => return self.identifier(text),
                });
            }
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

    fn identifier(&mut self, name: &str) -> Parse<Node> {
        let applied = matches!(name, "f" | "g" | "h" | "F" | "G" | "H" | "phi" | "psi");
        // A name with simple arguments before an equals sign defines a function.
        let defines = || -> bool {
            let mut k = 0;
            if matches!(self.peek(), Some(Tok::Underscore)) {
                return false;
            }
            if !matches!(self.peek_at(k), Some(Tok::Open('('))) {
                return false;
            }
            let close = self.partner[self.at + k];
            let simple = (self.at + 1..close.min(self.end)).all(|at| match &self.toks[at].tok {
                Tok::Id(arg) => &**arg != name,
                Tok::Comma | Tok::Num(..) => true,
                _ => false,
            });
            k = close + 1;
            simple && k < self.end && matches!(self.toks[k].tok, Tok::Rel(Rel::Eq)) && close > self.at + 1
        };
        if !applied && !defines() {
            return Ok(Node::Var(name.into()));
        }
        let mut full = name.to_owned();
        let save = self.at;
        loop {
            match self.peek() {
                Some(Tok::Prime) => {
                    full.push('\'');
                    self.at += 1;
                }
                Some(Tok::Underscore) => {
                    let sub = self.subscript();
                    full.push('_');
                    full.push_str(&sub);
                }
                Some(Tok::Caret) => {
                    // `f^{-1}(x)`
                    let inverse = matches!(
                        (self.peek_at(1), self.peek_at(2), self.peek_at(3), self.peek_at(4), self.peek_at(5)),
                        (
                            Some(Tok::Open('{')),
                            Some(Tok::Minus),
                            Some(Tok::Num(..)),
                            Some(Tok::Close('}')),
                            Some(Tok::Open('('))
                        )
                    );
                    if !inverse {
                        break;
                    }
                    full.push_str("^-1");
                    self.at += 5;
                }
                _ => break,
            }
        }
        if matches!(self.peek(), Some(Tok::Open('('))) {
            let close = self.partner[self.at];
            let args = self.within(self.at + 1, close.min(self.end), close + 1, |p| p.items(false))?.0;
            return Ok(Node::Apply(full.into(), args));
        }
        self.at = save;
        Ok(Node::Var(name.into()))
    }

    fn function(&mut self, fun: Fun) -> Parse<Node> {
        let mut power: Option<Node> = None;
        let mut base: Option<Node> = None;
        loop {
            match self.peek() {
                Some(Tok::Caret) if power.is_none() => {
                    self.at += 1;
                    power = Some(self.exponent()?);
                }
                Some(Tok::Underscore) if base.is_none() => {
                    self.at += 1;
                    base = Some(self.primary()?);
                }
                _ => break,
            }
        }
        let inverse = matches!(&power, Some(Node::Num(n)) if n.value == RBig::from(-1));
        let fun = match (fun, inverse) {
            (Fun::Sin, true) => Fun::Asin,
            (Fun::Cos, true) => Fun::Acos,
            (Fun::Tan, true) => Fun::Atan,
            (Fun::Cot, true) => Fun::Acot,
            (Fun::Sec, true) => Fun::Asec,
            (Fun::Csc, true) => Fun::Acsc,
            (Fun::Sinh, true) => Fun::Asinh,
            (Fun::Cosh, true) => Fun::Acosh,
            (Fun::Tanh, true) => Fun::Atanh,
            (other, _) => {
                if inverse && !matches!(other, Fun::Log | Fun::Ln | Fun::Exp) {
                    return Err(Fail::Syntax);
                }
                other
            }
        };
        let power = if inverse { None } else { power };
        let args = self.arguments(fun)?;
        let many = matches!(fun, Fun::Min | Fun::Max | Fun::Gcd | Fun::Lcm);
        if args.len() != 1 && !many && !(fun == Fun::Log && args.len() == 2) {
            return Err(Fail::Syntax);
        }
        let args = match args.as_slice() {
            [Node::List(items, _) | Node::Set(items)] if many => items.clone(),
            _ => args,
        };
        let call = match (fun, base) {
            (Fun::Log, Some(base)) => Node::Call(Fun::LogBase, [vec![base], args].concat()),
            (Fun::LogBase, _) => Node::Call(Fun::LogBase, [vec![Node::int(10)], args].concat()),
            (Fun::Log, None) if args.len() == 2 => Node::Call(Fun::LogBase, vec![args[1].clone(), args[0].clone()]),
            (fun, _) => Node::Call(fun, args),
        };
        Ok(match power {
            Some(power) => Node::Pow(Box::new(call), Box::new(power)),
            None => call,
        })
    }

    /// The argument of a function: a group, or the factors up to the next function or sign.
    fn arguments(&mut self, fun: Fun) -> Parse<Vec<Node>> {
        match self.peek() {
            Some(Tok::Open(c @ ('(' | '{' | '['))) => {
                let c = *c;
                let close = self.partner[self.at];
                // `\sin (2x) y` stops behind the group; `\ln (x+1)^2` squares the logarithm's
                // argument only in braces, so the exponent stays outside.
                let items = self.within(self.at + 1, close.min(self.end), close + 1, |p| p.items(false))?.0;
                if c == '{' && matches!(self.peek(), Some(Tok::Open('('))) && fun == Fun::Log {
                    return Err(Fail::Syntax);
                }
                Ok(items)
            }
            Some(Tok::Bar(_)) => Ok(vec![self.power()?]),
            Some(Tok::Fun(inner)) if !matches!(inner, Fun::Mod | Fun::PMod) => Ok(vec![self.power()?]),
            Some(Tok::Minus) => {
                self.at += 1;
                Ok(vec![self.arguments(fun)?.into_iter().next().ok_or(Fail::Syntax)?.neg()])
            }
            Some(_) => {
                let mut factors = vec![self.power()?];
                loop {
                    let more = match self.peek() {
                        Some(Tok::Id(d)) => !(self.integrals.last().is_some_and(|(_, v)| v.is_none()) && &**d == "d"),
                        Some(Tok::Const(c)) => *c != Const::E,
                        Some(Tok::Cmd(cmd)) => {
                            matches!(&**cmd, "sqrt" | "frac") && matches!(factors.last(), Some(Node::Num(_)))
                                || matches!(&**cmd, "sqrt") && matches!(factors.last(), Some(Node::Div(..)))
                        }
                        Some(Tok::Bar(1)) => true,
                        _ => false,
                    };
                    if !more {
                        break;
                    }
                    factors.push(self.power()?);
                }
                Ok(vec![product(factors, Vec::new())])
            }
            None => Err(Fail::Syntax),
        }
    }

    fn command(&mut self, cmd: &str) -> Parse<Node> {
        match cmd {
            "frac" => self.fraction(),
            "sqrt" => {
                let index = if matches!(self.peek(), Some(Tok::Open('['))) {
                    let close = self.partner[self.at];
                    Some(self.within(self.at + 1, close.min(self.end), close + 1, |p| p.sum())?)
                } else {
                    None
                };
                let radicand = self.radicand()?;
                Ok(Node::Call(Fun::Root, vec![index.unwrap_or_else(|| Node::int(2)), radicand]))
            }
            "cbrt" => {
                let radicand = self.radicand()?;
                Ok(Node::Call(Fun::Root, vec![Node::int(3), radicand]))
            }
            "binom" => {
                let (n, k) = (self.radicand()?, self.radicand()?);
                Ok(Node::Call(Fun::Binom, vec![n, k]))
            }
            "sum" => self.binder(BinderKind::Sum),
            "prod" => self.binder(BinderKind::Product),
            "bigcup" => self.binder(BinderKind::Union),
            "int" => self.integral(),
            "lim" => self.limit(),
            "overline" | "bar" | "hat" | "vec" | "tilde" | "dot" | "ddot" | "widehat" | "widetilde"
            | "overrightarrow" | "underline" => {
                // `0.\overline{3}` and `0.1\overline{6}` repeat.
                if cmd == "overline" || cmd == "dot" {
                    if let Some(node) = self.repeating()? {
                        return Ok(node);
                    }
                }
                let inner = self.radicand()?;
                Ok(match inner {
                    Node::Var(v) => Node::Var(format!("{cmd} {v}").into()),
                    inner => Node::Apply(cmd.into(), vec![inner]),
                })
            }
            "cancel" => self.radicand(),
            _ => Err(Fail::Syntax),
        }
    }

    /// A repeating decimal: the literal before the cursor has already been read as a factor, so
    /// only the value of the repeated part is given, shifted behind it.
    fn repeating(&mut self) -> Parse<Option<Node>> {
        // The token before the command is the literal it continues.
        let Some(before) = self.at.checked_sub(2).map(|k| &self.toks[k].tok) else { return Ok(None) };
        let (Tok::Num(..), Some(Tok::Open('{')), Some(Tok::Num(digits, raw)), Some(Tok::Close('}'))) =
            (before, self.peek(), self.peek_at(1), self.peek_at(2))
        else {
            return Ok(None);
        };
        let _ = digits;
        let _ = raw;
        // Products of a literal and a repeating part are resolved in `product`.
        let node = Node::Apply("repeat".into(), vec![Node::Num(digits.clone()), Node::int(raw.len() as i64)]);
        self.at += 3;
        Ok(Some(node))
    }

    fn fraction(&mut self) -> Parse<Node> {
        // `\frac12`, `\frac1{72}`
        if let Some(Tok::Num(n, raw)) = self.peek() {
            if raw.len() == 2 && n.places.is_none() {
                let bytes = raw.as_bytes();
                let (p, q) = (i64::from(bytes[0] - b'0'), i64::from(bytes[1] - b'0'));
                if !matches!(self.peek_at(1), Some(Tok::Open('{'))) {
                    self.at += 1;
                    return Ok(Node::Div(Box::new(Node::int(p)), Box::new(Node::int(q))));
                }
            } else if raw.len() > 2 && !matches!(self.peek_at(1), Some(Tok::Open('{'))) {
                let (p, q) = (raw[..1].to_owned(), raw[1..].to_owned());
                self.at += 1;
                let number = |digits: &str| Node::rational(RBig::from(digits.parse::<IBig>().unwrap_or(IBig::ZERO)));
                return Ok(Node::Div(Box::new(number(&p)), Box::new(number(&q))));
            }
        }
        if let Some(node) = self.leibniz()? {
            return Ok(node);
        }
        let over = self.radicand()?;
        let under = self.radicand()?;
        Ok(Node::Div(Box::new(over), Box::new(under)))
    }

    /// `\frac{d}{dx}` and `\frac{dy}{dx}`.
    fn leibniz(&mut self) -> Parse<Option<Node>> {
        if !matches!(self.peek(), Some(Tok::Open('{'))) {
            return Ok(None);
        }
        let close = self.partner[self.at];
        if close + 1 >= self.end || !matches!(self.toks[close + 1].tok, Tok::Open('{')) {
            return Ok(None);
        }
        let second = self.partner[close + 1];
        if second >= self.end {
            return Ok(None);
        }
        let names = |from: usize, to: usize| -> Option<Vec<Box<str>>> {
            self.toks[from..to]
                .iter()
                .map(|t| match &t.tok {
                    Tok::Id(id) => Some(id.clone()),
                    Tok::Text(text) if &**text == "d" => Some(text.clone()),
                    _ => None,
                })
                .collect()
        };
        let (Some(over), Some(under)) = (names(self.at + 1, close), names(close + 2, second)) else {
            return Ok(None);
        };
        let is_d = |name: &Box<str>| matches!(&**name, "d" | "partial");
        match (over.as_slice(), under.as_slice()) {
            ([d], [e, var]) if is_d(d) && is_d(e) => {
                let var = var.clone();
                self.at = second + 1;
                let body = self.power()?;
                Ok(Some(Node::Bind(Box::new(Binder { kind: BinderKind::Derivative, var, lo: None, hi: None, body }))))
            }
            ([d, what], [e, var]) if is_d(d) && is_d(e) => {
                let name = format!("d{what}/d{var}");
                self.at = second + 1;
                Ok(Some(Node::Var(name.into())))
            }
            _ => Ok(None),
        }
    }

    /// A group, or the single token that stands for one.
    fn radicand(&mut self) -> Parse<Node> {
        match self.peek() {
            Some(Tok::Open(_)) | Some(Tok::Num(..)) => self.primary(),
            Some(Tok::Id(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(Node::Var(name))
            }
            Some(Tok::Minus) => Err(Fail::Syntax),
            Some(_) => self.primary(),
            None => Err(Fail::Syntax),
        }
    }

    fn binder(&mut self, kind: BinderKind) -> Parse<Node> {
        let (mut var, mut lo, mut hi): (Option<Box<str>>, _, _) = (None, None, None);
        loop {
            match self.peek() {
                Some(Tok::Underscore) if var.is_none() => {
                    self.at += 1;
                    let Some(Tok::Open('{')) = self.peek() else { return Err(Fail::Syntax) };
                    let close = self.partner[self.at];
                    let (name, low) = self.within(self.at + 1, close.min(self.end), close + 1, |p| {
                        let name = match p.peek() {
                            Some(Tok::Id(name)) => name.clone(),
                            Some(Tok::Const(Const::I)) => "i".into(),
                            _ => return Err(Fail::Syntax),
                        };
                        p.at += 1;
                        let Some(Tok::Rel(Rel::Eq)) = p.peek() else { return Err(Fail::Syntax) };
                        p.at += 1;
                        Ok((name, p.sum()?))
                    })?;
                    var = Some(name);
                    lo = Some(low);
                }
                Some(Tok::Caret) if hi.is_none() => {
                    self.at += 1;
                    hi = Some(self.exponent()?);
                }
                _ => break,
            }
        }
        let var = var.ok_or(Fail::Syntax)?;
        let body = self.term()?;
        let body = if &*var == "i" { replace_unit(&body) } else { body };
        Ok(Node::Bind(Box::new(Binder { kind, var, lo, hi, body })))
    }

    fn integral(&mut self) -> Parse<Node> {
        let (mut lo, mut hi) = (None, None);
        loop {
            match self.peek() {
                Some(Tok::Underscore) if lo.is_none() => {
                    self.at += 1;
                    if matches!(self.peek(), Some(Tok::Open('{'))) && self.partner[self.at] == self.at + 1 {
                        self.at += 2;
                        continue;
                    }
                    lo = Some(self.exponent()?);
                }
                Some(Tok::Caret) if hi.is_none() => {
                    self.at += 1;
                    if matches!(self.peek(), Some(Tok::Open('{'))) && self.partner[self.at] == self.at + 1 {
                        self.at += 2;
                        continue;
                    }
                    hi = Some(self.exponent()?);
                }
                _ => break,
            }
        }
        self.integrals.push((self.groups, None));
        let body = self.sum()?;
        let (_, var) = self.integrals.pop().ok_or(Fail::Syntax)?;
        let var = var.ok_or(Fail::Syntax)?;
        Ok(Node::Bind(Box::new(Binder { kind: BinderKind::Integral, var, lo, hi, body })))
    }

    fn limit(&mut self) -> Parse<Node> {
        let Some(Tok::Underscore) = self.peek() else { return Err(Fail::Syntax) };
        self.at += 1;
        let Some(Tok::Open('{')) = self.peek() else { return Err(Fail::Syntax) };
        let close = self.partner[self.at].min(self.end);
        // A side, `3^+`, does not change the limits we can compare.
        let mut inner_end = close;
        for k in self.at + 1..close {
            if matches!(self.toks[k].tok, Tok::Caret)
                && self.toks[k + 1..close]
                    .iter()
                    .all(|t| matches!(t.tok, Tok::Plus | Tok::Minus | Tok::Open('{') | Tok::Close('}')))
            {
                inner_end = k;
                break;
            }
        }
        let (var, target) = self.within(self.at + 1, inner_end, close + 1, |p| {
            let Some(Tok::Id(name)) = p.peek() else { return Err(Fail::Syntax) };
            let name = name.clone();
            p.at += 1;
            let Some(Tok::Rel(Rel::Other)) = p.peek() else { return Err(Fail::Syntax) };
            p.at += 1;
            Ok((name, p.sum()?))
        })?;
        let body = self.term()?;
        Ok(Node::Bind(Box::new(Binder { kind: BinderKind::Limit, var, lo: Some(target), hi: None, body })))
    }

    fn absolute(&mut self) -> Parse<Node> {
        self.at += 1;
        let (old, groups) = (self.bars, self.groups);
        self.bars += 1;
        let inner = self.sum()?;
        if !matches!(self.peek(), Some(Tok::Bar(0 | 2))) || groups != self.groups {
            return Err(Fail::Syntax);
        }
        self.at += 1;
        self.bars = old;
        Ok(match inner {
            Node::Matrix(_) => Node::Call(Fun::Det, vec![inner]),
            Node::Rel(..) => return Err(Fail::Syntax),
            inner => Node::Call(Fun::Abs, vec![inner]),
        })
    }

    pub(super) fn group(&mut self, open: char) -> Parse<Node> {
        let close = self.partner[self.at];
        let (mut start, mut end) = (self.at, close);
        let mut kind = open;
        // Redundant brackets, however many, cost no stack.
        while start + 1 < end.min(self.end)
            && kind != 's'
            && matches!(kind, '(' | '{')
            && matches!(self.toks[start + 1].tok, Tok::Open('(' | '{'))
            && self.partner[start + 1] + 1 == end
        {
            start += 1;
            end -= 1;
            if let Tok::Open(c) = self.toks[start].tok {
                if c == '(' {
                    kind = '(';
                }
            }
        }
        let after = close + 1;
        let close_char = match self.toks.get(end).map(|t| &t.tok) {
            Some(Tok::Close(c)) => *c,
            _ => match kind {
                '(' => ')',
                '[' => ']',
                '<' => '>',
                c => c,
            },
        };
        let end = end.min(self.end);
        if start + 1 == end {
            self.at = after.min(self.end);
            return if kind == 's' { Ok(Node::Set(Vec::new())) } else { Err(Fail::Syntax) };
        }
        if kind == 's' {
            return self.set(start + 1, end, after);
        }
        let kind = if matches!(self.toks[start].tok, Tok::Open('{')) && kind == '(' { '(' } else { kind };
        let (mut items, _) = self.within(start + 1, end, after, |p| p.items(true))?;
        let single = items.len() == 1;
        Ok(match kind {
            'f' | 'c' if single => {
                let fun = if kind == 'f' { Fun::Floor } else { Fun::Ceil };
                Node::Call(fun, items)
            }
            'f' | 'c' => return Err(Fail::Syntax),
            '{' if single => items.remove(0),
            '{' => Node::List(items, super::ast::Join::Comma),
            '<' => Node::Tuple('<', items, '>'),
            _ if single => items.remove(0),
            _ => Node::Tuple(kind, items, close_char),
        })
    }

    fn set(&mut self, start: usize, end: usize, after: usize) -> Parse<Node> {
        // A bar or colon at this level makes a set builder.
        let mut depth = 0i32;
        let mut border = None;
        let mut bars = Vec::new();
        for k in start..end {
            match self.toks[k].tok {
                Tok::Open(_) | Tok::Begin(_) => depth += 1,
                Tok::Close(_) | Tok::End(_) => depth -= 1,
                Tok::Bar(0) if depth == 0 => bars.push(k),
                Tok::Colon if depth == 0 && border.is_none() => border = Some(k),
                _ => {}
            }
        }
        if border.is_none() && bars.len() % 2 == 1 {
            border = bars.first().copied();
        }
        if let Some(border) = border.filter(|b| *b > start && *b + 1 < end) {
            let (mut left, _) = self.within(start, border, border + 1, |p| p.items(false))?;
            let (mut right, seps) = self.within(border + 1, end, after, |p| p.items(false))?;
            if left.len() != 1 {
                return Err(Fail::Syntax);
            }
            let condition = if right.len() == 1 {
                right.remove(0)
            } else {
                let join =
                    if seps.contains(&super::parse::Sep::Or) { super::ast::Join::Or } else { super::ast::Join::And };
                Node::List(right, join)
            };
            return Ok(Node::Builder(Box::new(left.remove(0)), Box::new(condition)));
        }
        let (items, _) = self.within(start, end, after, |p| p.items(false))?;
        Ok(Node::Set(items))
    }

    fn environment(&mut self, env: &str) -> Parse<Node> {
        self.at += 1;
        let mut depth = 1;
        let mut end = self.at;
        while end < self.end {
            match self.toks[end].tok {
                Tok::Begin(_) => depth += 1,
                Tok::End(_) => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
            end += 1;
        }
        let flat = matches!(
            env,
            "align" | "aligned" | "equation" | "gathered" | "split" | "gather" | "eqnarray" | "displaymath"
        );
        if flat {
            let (mut items, _) = self.within(self.at, end, end + 1, |p| p.items(true))?;
            return Ok(if items.len() == 1 { items.remove(0) } else { Node::List(items, super::ast::Join::And) });
        }
        let mut rows: Vec<Vec<Node>> = Vec::new();
        let mut row: Vec<Node> = Vec::new();
        let (mut from, mut inner) = (self.at, 0i32);
        for k in self.at..=end {
            let tok = if k < end { Some(&self.toks[k].tok) } else { None };
            match tok {
                Some(Tok::Begin(_) | Tok::Open(_)) => inner += 1,
                Some(Tok::End(_) | Tok::Close(_)) => inner -= 1,
                _ => {}
            }
            let border = match tok {
                None => true,
                Some(Tok::Ampersand | Tok::Row) => inner == 0,
                _ => false,
            };
            if !border {
                continue;
            }
            if k > from {
                let cell = self.within(from, k, k, |p| {
                    let (mut items, _) = p.items(false)?;
                    Ok(if items.len() == 1 { items.remove(0) } else { Node::List(items, super::ast::Join::Comma) })
                })?;
                row.push(cell);
            } else if matches!(tok, Some(Tok::Ampersand)) {
                row.push(Node::Text(String::new()));
            }
            if !matches!(tok, Some(Tok::Ampersand)) && !row.is_empty() {
                rows.push(std::mem::take(&mut row));
            }
            from = k + 1;
            if rows.len() > 60 || row.len() > 60 {
                return Err(Fail::Limit);
            }
        }
        self.at = (end + 1).min(self.end);
        let matrix = Node::Matrix(rows);
        Ok(match env {
            "vmatrix" | "Vmatrix" => Node::Call(Fun::Det, vec![matrix]),
            "cases" | "rcases" => Node::Apply("cases".into(), vec![matrix]),
            _ => matrix,
        })
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

/// The imaginary unit as the index of a sum.
fn replace_unit(node: &Node) -> Node {
    match node {
        Node::Const(Const::I) => Node::Var("i".into()),
        _ => node.map_children(&mut replace_unit),
    }
}

/// A product over a product; a literal and its repeating part become one number.
pub(super) fn product(mut over: Vec<Node>, mut under: Vec<Node>) -> Node {
    if over.len() >= 2 {
        if let (Node::Num(head), Node::Apply(name, args)) = (&over[0], &over[1]) {
            if &**name == "repeat" {
                if let (Node::Num(digits), Node::Num(length)) = (&args[0], &args[1]) {
                    let places = head.places.unwrap_or(0).max(0) as usize;
                    let length: usize = length.value.to_string().parse().unwrap_or(1);
                    let nines = IBig::from(10).pow(length) - IBig::ONE;
                    let shifted = digits.value.clone() / RBig::from(nines * IBig::from(10).pow(places));
                    let value = head.value.clone() + shifted;
                    over.splice(0..2, [Node::rational(value)]);
                }
            }
        }
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
