//! The part of the parser that reads names, functions and commands with arguments.

use dashu::integer::IBig;
use dashu::rational::RBig;

use super::ast::{Binder, BinderKind, Const, Fun, Node, Rel};
use super::lex::Tok;
use super::parse::{Fail, Parse, Parser};
use super::term::product;

impl Parser<'_> {
    pub(super) fn identifier(&mut self, name: &str) -> Parse<Node> {
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
        // Nobody writes `I(0)` for nothing.
        let at_zero = || {
            matches!((self.peek(), self.peek_at(1), self.peek_at(2)),
                (Some(Tok::Open('(')), Some(Tok::Num(zero, _)), Some(Tok::Close(')'))) if zero.value == RBig::ZERO)
        };
        if !applied && !at_zero() && !defines() {
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
                            Some(Tok::Num(one, _)),
                            Some(Tok::Close('}')),
                            Some(Tok::Open('('))
                        ) if one.value == RBig::ONE
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

    pub(super) fn function(&mut self, fun: Fun) -> Parse<Node> {
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

    pub(super) fn command(&mut self, cmd: &str) -> Parse<Node> {
        match cmd {
            "frac" => self.fraction(),
            "sqrt" => {
                let index = if matches!(self.peek(), Some(Tok::Open('['))) {
                    let close = self.partner[self.at];
                    Some(self.within(self.at + 1, close.min(self.end), close + 1, super::parse::Parser::sum)?)
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
                if (cmd == "overline" || cmd == "dot")
                    && let Some(node) = self.repeating()
                {
                    return Ok(node);
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
    fn repeating(&mut self) -> Option<Node> {
        // The token before the command is the literal it continues.
        let before = self.at.checked_sub(2).map(|k| &self.toks[k].tok);
        let (Some(Tok::Num(..)), Some(Tok::Open('{')), Some(Tok::Num(digits, raw)), Some(Tok::Close('}'))) =
            (before, self.peek(), self.peek_at(1), self.peek_at(2))
        else {
            return None;
        };
        // A sign such as `½` is a literal without digits.
        if raw.is_empty() || !raw.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // `product` joins the two.
        let node = Node::Apply("repeat".into(), vec![Node::Num(digits.clone()), Node::int(raw.len() as i64)]);
        self.at += 3;
        Some(node)
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
        let is_d = |name: &str| matches!(name, "d" | "partial");
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
            Some(Tok::Id(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(Node::Var(name))
            }
            Some(Tok::Minus) | None => Err(Fail::Syntax),
            Some(_) => self.primary(),
        }
    }

    /// A bound of a sum or an integral: one token or group, no tower.
    fn script(&mut self) -> Parse<Node> {
        let negative = matches!(self.peek(), Some(Tok::Minus));
        if negative || matches!(self.peek(), Some(Tok::Plus)) {
            self.at += 1;
        }
        let node = self.primary()?;
        Ok(if negative { node.neg() } else { node })
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
                    hi = Some(self.script()?);
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
                    lo = Some(self.script()?);
                }
                Some(Tok::Caret) if hi.is_none() => {
                    self.at += 1;
                    if matches!(self.peek(), Some(Tok::Open('{'))) && self.partner[self.at] == self.at + 1 {
                        self.at += 2;
                        continue;
                    }
                    hi = Some(self.script()?);
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
}

/// The imaginary unit as the index of a sum.
fn replace_unit(node: &Node) -> Node {
    match node {
        Node::Const(Const::I) => Node::Var("i".into()),
        _ => node.map_children(&mut replace_unit),
    }
}
