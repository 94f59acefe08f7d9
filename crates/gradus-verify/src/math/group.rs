//! The part of the parser that reads brackets, sets and environments.

use super::ast::{Fun, Join, Node};
use super::lex::Tok;
use super::parse::{Fail, Parse, Parser, Sep};

impl Parser<'_> {
    pub(super) fn absolute(&mut self) -> Parse<Node> {
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
            Node::Matrix(_) => super::matrix::determinant(inner),
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
            if let Tok::Open(c) = self.toks[start].tok
                && c == '('
            {
                kind = '(';
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
            '{' => Node::List(items, Join::Comma),
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
                let join = if seps.contains(&Sep::Or) { Join::Or } else { Join::And };
                Node::List(right, join)
            };
            return Ok(Node::Builder(Box::new(left.remove(0)), Box::new(condition)));
        }
        let (items, _) = self.within(start, end, after, |p| p.items(false))?;
        Ok(Node::Set(items))
    }

    pub(super) fn environment(&mut self, env: &str) -> Parse<Node> {
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
            return Ok(if items.len() == 1 { items.remove(0) } else { Node::List(items, Join::And) });
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
                    Ok(if items.len() == 1 { items.remove(0) } else { Node::List(items, Join::Comma) })
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
            "vmatrix" | "Vmatrix" => super::matrix::determinant(matrix),
            "cases" | "rcases" => Node::Apply("cases".into(), vec![matrix]),
            _ => matrix,
        })
    }
}
