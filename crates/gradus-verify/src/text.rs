//! Short texts: normalised comparison and a small list of synonyms.

/// Whether two texts say the same; `None` if words alone cannot tell.
pub(crate) fn same(a: &str, b: &str) -> Option<bool> {
    if a.len().max(b.len()) > 20_000 {
        return None;
    }
    let (x, y) = (normal(a), normal(b));
    if x == y {
        return Some(true);
    }
    if x.is_empty() || y.is_empty() {
        return Some(false);
    }
    if let (Some(p), Some(q)) = (meaning(a), meaning(b)) {
        return Some(p == q);
    }
    if let (Some(p), Some(q)) = (date(&x), date(&y)) {
        return Some(p == q);
    }
    // Word for word, with small words left out.
    let (p, q) = (words(&x), words(&y));
    if p == q && !p.is_empty() {
        return Some(true);
    }
    let sorted = |mut words: Vec<&str>| {
        words.sort_unstable();
        words.join(" ")
    };
    if sorted(p.clone()) == sorted(q.clone()) {
        // In a list the order says nothing; in a sentence it may say everything.
        return (items(a) == items(b)).then_some(true);
    }
    let short = p.len() <= 2 && q.len() <= 2;
    // Not one word in common.
    let stem = |w: &str| w.chars().take(4).collect::<String>();
    let apart = !p.iter().any(|w| q.iter().any(|v| stem(v) == stem(w)));
    if short || apart { Some(false) } else { None }
}

/// Lower case, without markup, punctuation and repeated space.
pub(crate) fn normal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let mut name = String::new();
                while let Some(n) = chars.peek().filter(|n| n.is_ascii_alphabetic()) {
                    name.push(*n);
                    chars.next();
                }
                let layout = matches!(
                    name.as_str(),
                    "text"
                        | "textbf"
                        | "textit"
                        | "mathrm"
                        | "mathbf"
                        | "mbox"
                        | "boxed"
                        | "left"
                        | "right"
                        | "quad"
                        | "textrm"
                        | "operatorname"
                );
                if !layout {
                    if name.is_empty() {
                        chars.next_if(|n| matches!(n, ' ' | ',' | ';' | '!' | ':' | '\\'));
                    }
                    out.push_str(&name);
                }
                out.push(' ');
            }
            '{' | '}' | '$' | '*' | '"' | '“' | '”' | '~' | '`' | '\'' | '’' => {}
            '.' | ',' | ';' | ':' | '!' | '?' | '。' | '，' | '；' | '：' | '(' | ')' | '[' | ']' => {
                // A point between digits is part of a number.
                let digits = c == '.'
                    && out.ends_with(|p: char| p.is_ascii_digit())
                    && chars.peek().is_some_and(char::is_ascii_digit);
                out.push(if digits { '.' } else { ' ' });
            }
            '-' | '–' | '—' => out.push(if chars.peek().is_some_and(char::is_ascii_digit) { '-' } else { ' ' }),
            c => out.extend(c.to_lowercase()),
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A known meaning behind several wordings.
pub(crate) fn meaning(text: &str) -> Option<&'static str> {
    let n = normal(text);
    const GROUPS: &[(&str, &[&str])] = &[
        (
            "none",
            &[
                "no solution",
                "no solutions",
                "no real solution",
                "no real solutions",
                "none",
                "empty set",
                "the empty set",
                "there is no solution",
                "there are no solutions",
                "no such x",
                "no solution exists",
                "no real roots",
                "emptyset",
                "varnothing",
                "no such number",
                "no such numbers exist",
                "no such integers exist",
                "无解",
                "没有解",
                "空集",
                "∅",
                "null set",
                "no real solution exists",
                "has no solution",
                "has no solutions",
            ],
        ),
        (
            "undefined",
            &[
                "dne",
                "does not exist",
                "undefined",
                "not defined",
                "the limit does not exist",
                "limit does not exist",
                "不存在",
                "it does not exist",
            ],
        ),
        (
            "infinite",
            &[
                "infinity",
                "infinite",
                "infinitely many",
                "infinitely many solutions",
                "there are infinitely many",
                "无穷多",
                "无穷大",
                "infty",
                "infinite number of solutions",
                "an infinite number",
            ],
        ),
        (
            "all reals",
            &[
                "all real numbers",
                "all reals",
                "all real number",
                "the set of all real numbers",
                "mathbb r",
                "mathbbr",
                "any real number",
                "every real number",
                "全体实数",
                "所有实数",
                "实数集",
                "set of all real numbers",
                "all x",
            ],
        ),
        ("yes", &["yes", "true", "correct", "是", "对", "正确", "right"]),
        ("no", &["no", "false", "incorrect", "否", "不是", "错误", "wrong"]),
        ("even", &["even", "an even number", "even number", "偶数"]),
        ("odd", &["odd", "an odd number", "odd number", "奇数"]),
        ("diverges", &["diverges", "divergent", "the series diverges", "diverge"]),
        ("converges", &["converges", "convergent", "the series converges", "converge"]),
        ("impossible", &["impossible", "not possible", "it is impossible", "cannot be done", "不可能"]),
        ("neither", &["neither"]),
    ];
    GROUPS.iter().find(|(_, list)| list.contains(&n.as_str())).map(|(name, _)| *name)
}

/// The items of a list in words, sorted.
fn items(text: &str) -> Vec<String> {
    let text = text.replace(" and ", ",").replace(" or ", ",");
    let mut out: Vec<String> =
        text.split([',', ';', '，', '、', '；']).map(|item| words(&normal(item)).join(" ")).collect();
    out.retain(|item| !item.is_empty());
    out.sort_unstable();
    out
}

/// Words that carry meaning.
fn words(normal: &str) -> Vec<&str> {
    normal
        .split(' ')
        .filter(|w| {
            !matches!(*w, "the" | "a" | "an" | "is" | "are" | "it" | "of" | "and" | "be" | "in" | "will" | "answer")
        })
        .collect()
}

/// What a text is when it is no formula: `word` for one with a known meaning or for names of at most
/// two words, else `text`.
pub(crate) fn kind(text: &str) -> &'static str {
    let names = items(text);
    let short = !names.is_empty() && names.iter().all(|name| name.split(' ').count() <= 2);
    if short || meaning(text).is_some() { "word" } else { "text" }
}

/// Month and day in either order.
fn date(normal: &str) -> Option<(usize, u32, Option<u32>)> {
    const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut month, mut day, mut year) = (None, None, None);
    for word in normal.split(' ') {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if let Ok(number) = digits.parse::<u32>() {
            if number > 31 {
                year = Some(number);
            } else {
                day = Some(number);
            }
        } else if let Some(k) = MONTHS.iter().position(|m| word.starts_with(m)) {
            month = Some(k);
        } else if word != "of" && word != "the" {
            return None;
        }
    }
    Some((month?, day?, year))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wordings_of_one_meaning_are_the_same() {
        assert_eq!(same("no real solutions", "\\text{No solution.}"), Some(true));
        assert_eq!(same("June 20", "20 June"), Some(true));
        assert_eq!(same("east", "west"), Some(false));
        assert_eq!(same("Yes", "no"), Some(false));
    }

    #[test]
    fn lists_of_words_have_no_order_and_sentences_have() {
        assert_eq!(same("red, green and blue", "blue, red, green"), Some(true));
        assert_eq!(same("\\text{C,E}", "E, C"), Some(true));
        assert_eq!(same("Ann is older than Bob", "Bob is older than Ann"), None);
        assert_eq!(same("x before y, then z", "y before x, then z"), None);
    }
}
