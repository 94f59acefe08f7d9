//! The content of an assistant turn: thinking part and answer in one text.

use crate::config::Think;
use crate::question::Kind;

/// Where the thinking part begins, alone on its line.
const OPEN: &str = "<think>";
/// Where it ends.
const CLOSE: &str = "</think>";
/// Words that announce a final answer.
const ANNOUNCEMENTS: [&str; 4] = ["final answer", "answer is", "answer:", "answer**:"];

/// The assistant's content: `<think>\n…\n</think>\n\nanswer`, the form that keeps its thinking part in most chat
/// templates. A response without a thinking part stays as it is, unless it is to be wrapped.
pub(crate) fn content(think: Think, kind: &str, reasoning: Option<&str>, answer: Option<&str>) -> String {
    let answer = answer.unwrap_or_default();
    match reasoning.map(str::trim).filter(|reasoning| !reasoning.is_empty()) {
        Some(reasoning) => join(reasoning, answer),
        None if think == Think::Wrap => match split(kind, answer) {
            Some((before, rest)) => join(before, rest),
            None => answer.to_owned(),
        },
        None => answer.to_owned(),
    }
}

/// Whether a text holds tags of its own, which would end or nest the thinking part early.
pub(super) fn holds_tags(text: &str) -> bool {
    text.contains(OPEN) || text.contains(CLOSE)
}

/// Whether a content begins with a thinking part.
pub(super) fn is_opened(content: &str) -> bool {
    content.starts_with(OPEN)
}

/// What a rendered prompt already holds of the beginning of a thinking part.
pub(super) fn opened_by(prompt: &str) -> Option<&'static str> {
    let opening = if prompt.ends_with('\n') { "<think>\n" } else { OPEN };
    prompt.trim_end().ends_with(OPEN).then_some(opening)
}

fn join(reasoning: &str, answer: &str) -> String {
    format!("{OPEN}\n{}\n{CLOSE}\n\n{}", reasoning.trim(), answer.trim())
}

/// Splits a response before its final answer; `None` if nothing would stand before it, or if it has tags already.
///
/// The rule: the answer of a code question begins with the line that opens its last fenced block. Otherwise it
/// begins with the last paragraph that holds `\boxed`, or else the last that announces an answer in words, or
/// else the last paragraph. A response of one paragraph is split the same way by lines.
fn split<'a>(kind: &str, text: &'a str) -> Option<(&'a str, &'a str)> {
    if holds_tags(text) {
        return None;
    }
    let at = if kind == Kind::Code.name() { last_fence(text) } else { None };
    let at = at
        .or_else(|| begin_of_answer(text, "\n\n").filter(|at| !text[..*at].trim().is_empty()))
        .or_else(|| begin_of_answer(text, "\n"))?;
    let (before, rest) = text.split_at(at);
    (!before.trim().is_empty()).then_some((before, rest))
}

/// Where the piece begins that holds the final answer, by the rule of [`split`].
fn begin_of_answer(text: &str, separator: &str) -> Option<usize> {
    let text = text.trim_end();
    let mut pieces = Vec::new();
    let mut at = 0;
    for piece in text.split(separator) {
        if !piece.trim().is_empty() {
            pieces.push((at, piece));
        }
        at += piece.len() + separator.len();
    }
    let last_with = |holds: &dyn Fn(&str) -> bool| pieces.iter().rev().find(|(_, piece)| holds(piece));
    last_with(&|piece| piece.contains(r"\boxed"))
        .or_else(|| {
            last_with(&|piece| {
                let piece = piece.to_lowercase();
                ANNOUNCEMENTS.iter().any(|words| piece.contains(words))
            })
        })
        .or(pieces.last())
        .map(|(at, _)| *at)
}

/// Where the line begins that opens the last fenced block.
fn last_fence(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut opened = None;
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("```") {
            inside = !inside;
            if inside {
                opened = Some(at);
            }
        }
        at += line.len();
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &str, answer: &str, expected: &str) {
        assert_eq!(content(Think::Wrap, kind, None, Some(answer)), expected);
        let bare = |text: &str| {
            text.replace(OPEN, "").replace(CLOSE, "").chars().filter(|c| !c.is_whitespace()).collect::<String>()
        };
        assert_eq!(bare(answer), bare(expected), "nothing is lost or added");
    }

    #[test]
    fn a_thinking_part_stands_in_tags_before_the_answer() {
        let text = content(Think::Keep, "math", Some("\nso 4\n"), Some("\n\nIt is 4."));
        assert_eq!(text, "<think>\nso 4\n</think>\n\nIt is 4.");
    }

    #[test]
    fn a_response_without_thinking_part_stays_as_it_is() {
        assert_eq!(content(Think::Keep, "math", None, Some(" a\n\nb ")), " a\n\nb ");
        assert_eq!(content(Think::Keep, "math", Some("  "), Some("b")), "b");
    }

    #[test]
    fn wrapping_splits_before_the_boxed_answer() {
        check("math", "First.\n\nThen \\boxed{4}.\n\nBye.", "<think>\nFirst.\n</think>\n\nThen \\boxed{4}.\n\nBye.");
        check("math", "one line\n\\boxed{4}", "<think>\none line\n</think>\n\n\\boxed{4}");
        check("math", "\n\nThus \\boxed{4}", "\n\nThus \\boxed{4}");
    }

    #[test]
    fn wrapping_falls_back_to_an_announcement_and_then_to_the_last_paragraph() {
        let expected = "<think>\nHm.\n</think>\n\nThe final answer: B\n\nRegards";
        check("choice", "Hm.\n\nThe final answer: B\n\nRegards", expected);
        check("text", "Hm.\n\nParis\n", "<think>\nHm.\n</think>\n\nParis");
    }

    #[test]
    fn wrapping_of_code_splits_before_the_last_fence_and_never_inside_it() {
        let answer = "Idea.\n```py\nold\n```\nBetter:\n```py\na = 1\n\nb = 2\n```\n";
        let expected = "<think>\nIdea.\n```py\nold\n```\nBetter:\n</think>\n\n```py\na = 1\n\nb = 2\n```";
        check("code", answer, expected);
    }

    #[test]
    fn what_cannot_be_split_stays() {
        for answer in ["4", "", "\\boxed{4}", "<think>\na\n</think>\n\nb"] {
            assert_eq!(content(Think::Wrap, "math", None, Some(answer)), answer);
        }
    }
}
