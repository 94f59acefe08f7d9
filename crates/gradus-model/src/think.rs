//! Where does the thinking end? Splits a text that holds both thinking and answer.
//!
//! Servers without a reasoning parser leave the model's own marks in `content`, each family its own.
//! Chat templates often write the opening mark themselves, so a closing mark alone is normal.

/// Opening and closing marks by family, as the models' own chat templates write them.
const MARKS: [(&str, &str); 10] = [
    ("<think>", "</think>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<reasoning>", "</reasoning>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
];

/// Marks of roles left over between the two parts, or around the answer.
const LEFTOVERS: [&str; 8] = [
    "<|end|>",
    "<|start|>assistant",
    "<|return|>",
    "<|im_end|>",
    "<|begin_of_solution|>",
    "<|end_of_solution|>",
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
];

/// A text taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The thinking, without its marks.
    pub(crate) reasoning: Option<String>,
    /// What follows it; `None` if the thinking never ended or nothing follows.
    pub(crate) answer: Option<String>,
}

/// Takes a text apart. Without any mark the whole text is the answer, unchanged.
///
/// The *last* closing mark counts, as in the templates of the models that write them: some close twice.
pub(crate) fn split(text: &str) -> Parts {
    let start = text.trim_start();
    for (open, close) in MARKS {
        if let Some((thinking, rest)) = text.rsplit_once(close) {
            // A second block was opened and never closed.
            if let Some(unfinished) = rest.trim_start().strip_prefix(open) {
                return Parts { reasoning: filled(&format!("{}\n{unfinished}", inner(thinking, open))), answer: None };
            }
            return Parts { reasoning: filled(&inner(thinking, open)), answer: filled_answer(rest) };
        }
        if let Some(unfinished) = start.strip_prefix(open) {
            return Parts { reasoning: filled(unfinished), answer: None };
        }
    }
    if let Some(parts) = split_bare(start) {
        return parts;
    }
    Parts { reasoning: None, answer: (!text.trim().is_empty()).then(|| text.to_owned()) }
}

/// Thinking that came apart from its answer, without the marks around it. Marks inside stay.
pub fn bare_thinking(text: &str) -> &str {
    let trimmed = text.trim();
    for (open, close) in MARKS {
        let begun = trimmed.strip_prefix(open);
        let ended = begun.unwrap_or(trimmed).strip_suffix(close);
        if let Some(inside) = ended.or(begun) {
            return strip_leftovers(inside.trim());
        }
    }
    strip_leftovers(trimmed)
}

/// An answer that came apart from its thinking, without the marks of roles around it.
pub fn bare_answer(text: &str) -> &str {
    strip_leftovers(text)
}

/// Marks that lost their angle brackets: servers that skip special tokens leave only the words.
fn split_bare(text: &str) -> Option<Parts> {
    // s1: `<|im_start|>think` .. `<|im_start|>answer`.
    let text = text.strip_prefix("<|im_start|>").unwrap_or(text);
    if let Some(thinking) = text.strip_prefix("think\n") {
        for mark in ["\n<|im_start|>answer\n", "<|im_start|>answer\n", "\nanswer\n"] {
            if let Some((thinking, answer)) = thinking.rsplit_once(mark) {
                return Some(Parts { reasoning: filled(thinking), answer: filled_answer(answer) });
            }
        }
        return Some(Parts { reasoning: filled(thinking), answer: None });
    }
    // gpt-oss: channel names `analysis` and `final`.
    let thinking = text.strip_prefix("analysis")?;
    let (thinking, answer) = thinking.split_once("assistantfinal")?;
    Some(Parts { reasoning: filled(thinking), answer: filled_answer(answer) })
}

/// The thinking without the opening mark; text ahead of the mark stays with the thinking.
fn inner(thinking: &str, open: &str) -> String {
    match thinking.split_once(open) {
        None => thinking.to_owned(),
        Some((ahead, inside)) if ahead.trim().is_empty() => inside.to_owned(),
        Some((ahead, inside)) => format!("{}\n{inside}", ahead.trim_end()),
    }
}

fn filled(thinking: &str) -> Option<String> {
    let thinking = strip_leftovers(thinking.trim());
    (!thinking.is_empty()).then(|| thinking.to_owned())
}

fn filled_answer(answer: &str) -> Option<String> {
    let answer = strip_leftovers(answer.trim_start());
    (!answer.trim().is_empty()).then(|| answer.to_owned())
}

fn strip_leftovers(mut text: &str) -> &str {
    loop {
        let before = text.len();
        for mark in LEFTOVERS {
            if let Some(rest) = text.strip_prefix(mark) {
                text = rest.trim_start();
            }
            if let Some(rest) = text.trim_end().strip_suffix(mark) {
                text = rest.trim_end();
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reasoning: Option<&str>, answer: Option<&str>) {
        let parts = split(text);
        assert_eq!((parts.reasoning.as_deref(), parts.answer.as_deref()), (reasoning, answer), "{text:?}");
    }

    #[test]
    fn every_family_of_marks_is_taken_apart() {
        for (open, close) in MARKS {
            check(&format!("{open}\none and one\n{close}\n\nIt is 2."), Some("one and one"), Some("It is 2."));
            check(&format!("one and one{close}2"), Some("one and one"), Some("2"));
            check(&format!("{open}one and"), Some("one and"), None);
            check(&format!("{open}\n\n{close}\n\n2"), None, Some("2"));
            check(&format!("{open}one{close}\n"), Some("one"), None);
        }
    }

    #[test]
    fn marks_around_thinking_that_came_apart_vanish_and_those_inside_stay() {
        for (open, close) in MARKS {
            assert_eq!(bare_thinking(&format!("{open}\none{close}and one\n{close}\n")), format!("one{close}and one"));
            assert_eq!(bare_thinking(&format!("{open}one and")), "one and");
            assert_eq!(bare_thinking(&format!("one{close}")), "one");
        }
        assert_eq!(bare_thinking(" one </think> and "), "one </think> and");
        assert_eq!(bare_answer("<|begin_of_solution|>\n4<|end_of_solution|>"), "4");
        assert_eq!(bare_answer("    return 4\n"), "    return 4\n");
    }

    #[test]
    fn text_without_marks_is_an_unchanged_answer() {
        check("    return a + b\n", None, Some("    return a + b\n"));
        check("Write <think> to think.", None, Some("Write <think> to think."));
        check("think twice", None, Some("think twice"));
        check(" \n", None, None);
    }

    #[test]
    fn the_last_closing_mark_counts() {
        check("<think>a</think>b</think>c", Some("a</think>b"), Some("c"));
        check("<think>a</think> <think>b", Some("a\nb"), None);
        check("Well.\n<think>a</think>b", Some("Well.\na"), Some("b"));
    }

    #[test]
    fn marks_without_brackets_are_known() {
        check("think\nsum it\nanswer\nAnswer: 4", Some("sum it"), Some("Answer: 4"));
        check("<|im_start|>think\nsum it\n<|im_start|>answer\n4", Some("sum it"), Some("4"));
        check("think\nsum it", Some("sum it"), None);
        check("analysisWe add.assistantfinal4", Some("We add."), Some("4"));
        check("analysis of variance", None, Some("analysis of variance"));
    }

    #[test]
    fn harmony_and_solution_marks_vanish() {
        check(
            "<|channel|>analysis<|message|>We add.<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
            Some("We add."),
            Some("4"),
        );
        check(
            "<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>4<|end_of_solution|>",
            Some("a"),
            Some("4"),
        );
    }
}
