//! Where one step of a written solution ends and the next begins.
//!
//! Steps are spans of bytes that join to the very text. No span begins inside a formula set apart (`$$`, `\[ \]`, an
//! environment) or a code fence: a blank line there ends nothing.

use std::collections::HashMap;
use std::ops::Range;

use crate::config::{SplitBy, StepSplit};

/// The steps of a text: spans that follow each other from its first byte to its last, each on character borders.
/// Without a single sign in the text there is one span, or none if it is empty.
///
/// At most `max_steps` spans: where there are more, neighbours are joined in even groups.
pub fn split(config: &StepSplit, text: &str) -> Vec<Range<usize>> {
    let lines = lines(text);
    let guarded = guarded(text, &lines);
    let starts = match config.by {
        SplitBy::Paragraphs => paragraphs(text, &lines),
        SplitBy::Lines => lines.iter().filter(|line| !is_blank(text, line)).map(|line| line.start).collect(),
        SplitBy::Sentences => sentences(text, &lines),
        SplitBy::Heads => heads(text, &lines, &guarded).unwrap_or_else(|| paragraphs(text, &lines)),
    };
    let mut spans = Vec::new();
    let mut begin = 0;
    let mut guards = guarded.iter().peekable();
    for start in starts {
        while guards.next_if(|guard| guard.end <= start).is_some() {}
        let inside = guards.peek().is_some_and(|guard| guard.start < start);
        // What stands before the first sign belongs to the first step.
        if !inside && !text[begin..start].trim().is_empty() {
            spans.push(begin..start);
            begin = start;
        }
    }
    if begin < text.len() {
        spans.push(begin..text.len());
    }
    let spans = joined(text, spans, config.fragment);
    grouped(&spans, config.max_steps as usize)
}

/// Lines with their ends.
fn lines(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(|line| {
            at += line.len();
            at - line.len()..at
        })
        .collect()
}

fn is_blank(text: &str, line: &Range<usize>) -> bool {
    text[line.clone()].trim().is_empty()
}

/// Starts of the lines that follow a blank one.
fn paragraphs(text: &str, lines: &[Range<usize>]) -> Vec<usize> {
    let pairs = lines.windows(2).filter(|pair| is_blank(text, &pair[0]) && !is_blank(text, &pair[1]));
    pairs.map(|pair| pair[1].start).collect()
}

/// Starts of the lines with something on them, and of what follows the end of a sentence within a line.
fn sentences(text: &str, lines: &[Range<usize>]) -> Vec<usize> {
    let mut starts = Vec::new();
    for line in lines.iter().filter(|line| !is_blank(text, line)) {
        starts.push(line.start);
        // A point ends a sentence if a blank follows: `3.5` has none.
        let (mut ended, mut over) = (false, false);
        for (offset, c) in text[line.clone()].char_indices() {
            match c {
                _ if c.is_whitespace() => over |= ended,
                _ if over => {
                    starts.push(line.start + offset);
                    (ended, over) = (matches!(c, '.' | '!' | '?'), is_wide_end(c));
                }
                '.' | '!' | '?' => ended = true,
                _ if is_wide_end(c) => over = true,
                ')' | ']' | '"' | '\'' | '*' | '\u{201d}' | '\u{2019}' => {}
                _ => ended = false,
            }
        }
    }
    starts
}

/// Whether it ends a sentence in scripts that write no blanks.
fn is_wide_end(c: char) -> bool {
    matches!(c, '\u{3002}' | '\u{ff01}' | '\u{ff1f}')
}

/// Starts of the lines that are heads, if there are two of them.
fn heads(text: &str, lines: &[Range<usize>], guarded: &[Range<usize>]) -> Option<Vec<usize>> {
    let starts: Vec<usize> =
        lines.iter().filter(|line| is_head(&text[(*line).clone()])).map(|line| line.start).collect();
    let free = |start: &&usize| {
        let at = guarded.partition_point(|guard| guard.end <= **start);
        guarded.get(at).is_none_or(|guard| guard.start >= **start)
    };
    (starts.iter().filter(free).count() >= 2).then_some(starts)
}

/// `Step 3:` or `**Step 3**` or `## Then`.
fn is_head(line: &str) -> bool {
    let line = line.trim_start();
    let hashes = line.len() - line.trim_start_matches('#').len();
    if (2..=6).contains(&hashes) && line[hashes..].starts_with([' ', '\t']) {
        return true;
    }
    let line = line.trim_start_matches(['#', '*', '_', '>', ' ', '\t']);
    let Some(rest) = line.get(..4).filter(|word| word.eq_ignore_ascii_case("step")).map(|_| &line[4..]) else {
        return false;
    };
    let number = rest.trim_start_matches([' ', '\t', '\u{a0}']);
    let after = number.trim_start_matches(|c: char| c.is_ascii_digit());
    number.len() < rest.len() && after.len() < number.len() && !after.starts_with(char::is_alphanumeric)
}

/// What must not be split: code fences and formulas set apart, in order, none inside another. An opening sign without
/// its closing one guards nothing, but a fence without an end goes to the end of the text, as in Markdown.
fn guarded(text: &str, lines: &[Range<usize>]) -> Vec<Range<usize>> {
    let fences = fences(text, lines);
    let mut found = fences.clone();
    let mut begin = 0;
    for fence in &fences {
        formulas(text, begin..fence.start, &mut found);
        begin = fence.end;
    }
    formulas(text, begin..text.len(), &mut found);
    found.sort_by_key(|range| range.start);
    let mut outer: Vec<Range<usize>> = Vec::new();
    for range in found {
        match outer.last_mut() {
            Some(last) if range.start < last.end => last.end = last.end.max(range.end),
            _ => outer.push(range),
        }
    }
    outer
}

fn fences(text: &str, lines: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char, usize)> = None;
    for line in lines {
        let content = text[line.clone()].trim();
        let Some(sign) = content.chars().next().filter(|sign| matches!(sign, '`' | '~')) else { continue };
        let length = content.len() - content.trim_start_matches(sign).len();
        if length < 3 {
            continue;
        }
        match open {
            None if sign == '~' || !content[length..].contains('`') => open = Some((line.start, sign, length)),
            Some((start, opened, least)) if sign == opened && length >= least && content.len() == length => {
                found.push(start..line.end);
                open = None;
            }
            _ => {}
        }
    }
    found.extend(open.map(|(start, ..)| start..text.len()));
    found
}

/// Adds the formulas set apart within a part of the text.
fn formulas(text: &str, part: Range<usize>, found: &mut Vec<Range<usize>>) {
    let bytes = &text.as_bytes()[..part.end];
    let mut dollars = None;
    let mut bracket = None;
    let mut environments: Vec<(usize, &str)> = Vec::new();
    let mut n_open: HashMap<&str, usize> = HashMap::new();
    let mut at = part.start;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"$$") {
            match dollars.take() {
                Some(start) => found.push(start..at + 2),
                None => dollars = Some(at),
            }
            at += 2;
        } else if rest.starts_with(b"\\[") {
            bracket = Some(at);
            at += 2;
        } else if rest.starts_with(b"\\]") {
            found.extend(bracket.take().map(|start| start..at + 2));
            at += 2;
        } else if let Some(name) = environment(&text[at..part.end], "\\begin{") {
            environments.push((at, name));
            *n_open.entry(name).or_default() += 1;
            at += 7;
        } else if let Some(name) = environment(&text[at..part.end], "\\end{") {
            if n_open.get(name).is_some_and(|n| *n > 0) {
                while let Some((start, other)) = environments.pop() {
                    *n_open.get_mut(other).expect("counted when it was opened") -= 1;
                    if other == name {
                        found.push(start..at + 6 + name.len());
                        break;
                    }
                }
            }
            at += 5;
        } else if rest[0] == b'\\' {
            // An escaped sign opens nothing: `\\[2pt]` is a line break, `\$$` a price.
            at += 2;
            while at < bytes.len() && !text.is_char_boundary(at) {
                at += 1;
            }
        } else {
            at += 1;
            while at < bytes.len() && !text.is_char_boundary(at) {
                at += 1;
            }
        }
    }
}

/// The name of the environment that begins or ends here.
fn environment<'a>(text: &'a str, command: &str) -> Option<&'a str> {
    /// Longer names are none.
    const LONGEST: usize = 40;
    let rest = text.strip_prefix(command)?;
    let end = rest.bytes().take(LONGEST).position(|byte| byte == b'}')?;
    Some(&rest[..end])
}

/// Words and signs: a run of letters and digits is one, every other sign but white space too; so is each letter of a
/// script that writes no blanks.
fn weight(text: &str) -> usize {
    let mut n = 0;
    let mut in_word = false;
    for c in text.chars() {
        let is_word = c.is_alphanumeric() && !is_ideograph(c);
        let goes_on = is_word && in_word;
        n += usize::from(!(c.is_whitespace() || goes_on));
        in_word = is_word;
    }
    n
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Joins pieces with fewer than so many words and signs: to the one before, or to the one behind if they lead up to it.
fn joined(text: &str, pieces: Vec<Range<usize>>, fragment: u32) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut leading: Option<usize> = None;
    for piece in pieces {
        let content = &text[piece.clone()];
        let small = weight(content) < fragment as usize;
        let leads = small && (spans.is_empty() || content.trim_end().ends_with(':') || is_head(content));
        let piece = leading.take().unwrap_or(piece.start)..piece.end;
        if leads {
            leading = Some(piece.start);
        } else if small && let Some(last) = spans.last_mut() {
            last.end = piece.end;
        } else {
            spans.push(piece);
        }
    }
    if let Some(start) = leading {
        match spans.last_mut() {
            Some(last) => last.end = text.len(),
            None => spans.push(start..text.len()),
        }
    }
    spans
}

fn grouped(spans: &[Range<usize>], most: usize) -> Vec<Range<usize>> {
    let n = spans.len();
    if n <= most {
        return spans.to_vec();
    }
    (0..most).map(|group| spans[group * n / most].start..spans[(group + 1) * n / most - 1].end).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(by: SplitBy, text: &str) -> Vec<&str> {
        let config = StepSplit { by, ..StepSplit::default() };
        split(&config, text).into_iter().map(|span| text[span].trim()).collect()
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        assert_eq!(texts(SplitBy::Paragraphs, text), want, "{text:?}");
    }

    const A: &str = "First we add the two numbers that were given.";
    const B: &str = "Then we halve their sum, which is the mean.";

    #[test]
    fn prose_is_split_at_blank_lines() {
        check(&format!("{A}\n\n{B}"), &[A, B]);
        check(&format!("\n\n{A}\n \t\n\n{B}\n\n"), &[A, B]);
        check(&format!("{A}\r\n\r\n{B}"), &[A, B]);
        let one = format!("{A}\n{B}");
        check(&one, &[&one]);
        check("", &[]);
        check(" \n\n ", &[""]);
    }

    #[test]
    fn nothing_is_split_inside_formulas_and_code() {
        for (open, close) in [
            ("$$", "$$"),
            ("\\[", "\\]"),
            ("\\begin{align*}", "\\end{align*}"),
            ("```python", "```"),
            ("~~~", "~~~~"),
            ("\\begin{align}\n\\begin{cases}", "\\end{cases}\n\n\\end{align}"),
        ] {
            let apart = format!("{open}\n1 + 2 + 3 + 4 + 5\n\n6 + 7 + 8 + 9 + 10 + 11\n{close}");
            check(&format!("{A}\n\n{apart}\n\n{B}"), &[A, &apart, B]);
        }
    }

    #[test]
    fn an_opening_without_its_end_guards_nothing_but_a_fence_does() {
        for open in ["$$", "\\[", "\\begin{align}", "\\\\[2pt]", "\\$$"] {
            let broken = format!("{A} {open}");
            check(&format!("{broken}\n\n{B}"), &[&broken, B]);
        }
        let cut = format!("```python\n{A}\n\n{B}");
        check(&format!("{A}\n\n{cut}"), &[A, &cut]);
        let inline = format!("{A} ```x``` and more");
        check(&format!("{inline}\n\n{B}"), &[&inline, B]);
    }

    #[test]
    fn fragments_join_what_they_belong_to() {
        check(&format!("Sum:\n\n{A}\n\n{B}"), &[&format!("Sum:\n\n{A}"), B]);
        check(&format!("{A}\n\n$x = 3$\n\n{B}"), &[&format!("{A}\n\n$x = 3$"), B]);
        check(&format!("{A}\n\nSo we get:\n\n{B}"), &[A, &format!("So we get:\n\n{B}")]);
        check(&format!("{A}\n\nIn short:"), &[&format!("{A}\n\nIn short:")]);
        check("Yes.", &["Yes."]);
        check("Yes.\n\nNo.", &["Yes.\n\nNo."]);
        check(
            "先把两个数相加得到总和\n\n再把总和除以二得到平均",
            &["先把两个数相加得到总和", "再把总和除以二得到平均"],
        );
    }

    #[test]
    fn sentences_end_at_a_point_before_a_blank_or_with_the_line() {
        let check = |text: &str, steps: &[&str]| {
            let spans = split(&StepSplit { by: SplitBy::Sentences, fragment: 3, max_steps: 99 }, text);
            assert_eq!(spans.into_iter().map(|span| &text[span]).collect::<Vec<_>>(), steps);
        };
        check(
            "Let x = 3.5 here. Is it so? (Yes, it is.) Then we see\nhow it goes.",
            &["Let x = 3.5 here. ", "Is it so? ", "(Yes, it is.) ", "Then we see\n", "how it goes."],
        );
        check(
            "Yes. 1. We add both.\n\n$$\na. b c d.\n$$\nSo it is.",
            &["Yes. 1. We add both.\n\n", "$$\na. b c d.\n$$\n", "So it is."],
        );
        check(
            "\u{5148}\u{628a}\u{4e24}\u{3002}\u{518d}\u{628a}\u{5b83}\u{3002}",
            &["\u{5148}\u{628a}\u{4e24}\u{3002}", "\u{518d}\u{628a}\u{5b83}\u{3002}"],
        );
    }

    #[test]
    fn heads_begin_steps_where_there_are_two() {
        let steps = [format!("Step 1: {A}\n\n{B}"), format!("**Step 2.** {B}"), format!("## Then\n{A}")];
        assert_eq!(texts(SplitBy::Heads, &steps.join("\n")), steps);
        let prose = format!("{A}\n\nStep 1: {B}");
        assert_eq!(texts(SplitBy::Heads, &prose), [A, &format!("Step 1: {B}")]);
        for line in ["Stepping 3 times", "Step by step", "step3", "#include <x>", "# one", "Step 3rd", "étep 1:"] {
            assert!(!is_head(line), "{line}");
        }
    }

    #[test]
    fn there_are_no_more_steps_than_allowed() {
        let text = [A; 10].join("\n\n");
        for most in 1..12 {
            let spans = split(&StepSplit { max_steps: most, ..StepSplit::default() }, &text);
            assert_eq!(spans.len(), most.min(10) as usize);
        }
    }

    #[test]
    fn hostile_text_is_split_in_linear_time() {
        let many = ["$$ ", "\\[ ", "\\begin{a} ", "\\end{b} ", "```\n", "\n\n", "~~~x\n", "\\", "Step 1:\n"];
        for sign in many {
            let text = sign.repeat(200_000);
            assert_eq!(split(&StepSplit::default(), &text).last().map(|span| span.end), Some(text.len()));
        }
        let opened = "\\begin{a}".repeat(100_000) + &"\\end{b}".repeat(100_000) + &"\\end{a}".repeat(100_000);
        assert_eq!(split(&StepSplit::default(), &opened).len(), 1);
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-z +=]{0,20}",
            "\\PC{0,6}",
            proptest::sample::select(vec![
                "\n",
                "\n\n",
                "\r\n",
                "$$",
                "\\[",
                "\\]",
                "\\begin{align}",
                "\\end{align}",
                "\\begin{",
                "```",
                "~~~",
                "```python\n",
                "\\\\",
                "\\",
                "Step 2:",
                "## ",
                ":",
                "答",
                "é",
                "\u{2028}",
                "\u{a0}",
            ])
            .prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn spans_join_to_the_text(text in pieces(), fragment in 0u32..12, max_steps in 1u32..9, by in 0usize..4) {
            let by = [SplitBy::Paragraphs, SplitBy::Lines, SplitBy::Heads, SplitBy::Sentences][by];
            let spans = split(&StepSplit { by, fragment, max_steps }, &text);
            let mut at = 0;
            for span in &spans {
                prop_assert_eq!(span.start, at);
                prop_assert!(span.end > at && text.is_char_boundary(span.end));
                at = span.end;
            }
            prop_assert_eq!(at, text.len());
            prop_assert!(spans.len() <= max_steps as usize);
            if spans.len() > 1 {
                prop_assert!(spans.iter().all(|span| !text[span.clone()].trim().is_empty()));
            }
        }

        #[test]
        fn no_step_begins_inside_a_formula(text in pieces(), by in 0usize..4) {
            let by = [SplitBy::Paragraphs, SplitBy::Lines, SplitBy::Heads, SplitBy::Sentences][by];
            let formula = format!("{A}\n\n$$\n{}\n\n{B}\n$$\n\n{B}", text.replace(['$', '`', '~', '\\'], " "));
            let inside = formula.find("$$").unwrap() + 1..formula.rfind("$$").unwrap();
            let spans = split(&StepSplit { by, fragment: 0, max_steps: 999 }, &formula);
            prop_assert!(spans.iter().all(|span| !inside.contains(&span.start)));
        }
    }
}
