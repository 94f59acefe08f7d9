//! TRL's prompt and completion as texts that are rendered already: for students whose chat template deletes the thinking
//! part of an assistant's turn, or does not begin a conversation with its prompt.
//!
//! The template renders the prompt and tells how a turn ends; the reply itself never goes through it.

use gradus_model::{Message, Speaker};
use serde_json::Value;

use super::layout::{Column, Layout, Sft, Shape, Turns, Unfit};
use super::{Render, row, think};

/// `{"prompt":"…","completion":"…"}`.
pub(super) struct TrlText;

/// A reply that no template has a reason to change; what follows it ends the turn.
const PROBE: &str = "gradusprobe";

impl Layout for TrlText {
    fn name(&self) -> &'static str {
        "trl_text"
    }

    fn about(&self) -> &'static str {
        "`prompt` and `completion` as texts, the prompt rendered with the student's chat template, the reply verbatim up \
         to the end of its turn; the loss is on the completion alone"
    }

    fn columns(&self) -> Vec<Column> {
        row::after(&[("prompt", Shape::Text), ("completion", Shape::Text)])
    }
}

impl Sft for TrlText {
    fn fill(&self, turns: &Turns<'_>) -> Result<Vec<Value>, Unfit> {
        let render = turns.render.expect("the format is refused before it begins without a template");
        let (prompt, completion) = texts(render, turns.prompt, &turns.completion.content)?;
        Ok(vec![prompt.into(), completion.into()])
    }
}

fn texts(render: Render<'_>, prompt: &[Message], content: &str) -> Result<(String, String), Unfit> {
    let render = |messages: &[Message]| render(messages).map_err(|found| Unfit { reason: "template", found });
    let text = render(prompt)?;
    let mut whole = prompt.to_vec();
    whole.push(Message { role: Speaker::Assistant, content: PROBE.to_owned() });
    let whole = render(&whole)?;
    let Some((_, end)) = whole.rsplit_once(PROBE) else {
        let found = "the template does not render an assistant's turn".to_owned();
        return Err(Unfit { reason: "template", found });
    };
    // Some templates open the thinking part themselves: the reply then goes on inside it.
    let content = match think::opened_by(&text) {
        None => content,
        Some(opening) => content.strip_prefix(opening).ok_or_else(|| Unfit {
            reason: "no_thinking",
            found: "the template opens a thinking part, and the reply has none".to_owned(),
        })?,
    };
    // A line feed after the sign that ends the turn would hide it from a trainer that looks for it at the very end.
    Ok((text, format!("{content}{}", end.trim_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template in the manner of R1-Distill: it keeps of an assistant's turn what follows the thinking part.
    fn hostile(messages: &[Message], opens: bool) -> Result<String, String> {
        let mut text = String::new();
        for message in messages {
            match message.role {
                Speaker::System => return Err("no system prompt is allowed".into()),
                Speaker::User => text += &format!("<user>{}", message.content),
                Speaker::Assistant => {
                    let kept = message.content.rsplit_once("</think>").map_or(&*message.content, |(_, kept)| kept);
                    text += &format!("<assistant>{kept}<end>\n");
                }
            }
        }
        if messages.last().is_some_and(|last| last.role == Speaker::User) {
            text += if opens { "<assistant><think>\n" } else { "<assistant>" };
        }
        Ok(text)
    }

    fn user() -> Vec<Message> {
        vec![Message { role: Speaker::User, content: "1 + 1?".into() }]
    }

    #[test]
    fn the_thinking_part_survives_a_template_that_deletes_it() {
        let content = "<think>\nadd\n</think>\n\n2";
        let (prompt, completion) = texts(&|turns| hostile(turns, false), &user(), content).unwrap();
        assert_eq!((&*prompt, &*completion), ("<user>1 + 1?<assistant>", "<think>\nadd\n</think>\n\n2<end>"));
        let (prompt, completion) = texts(&|turns| hostile(turns, true), &user(), content).unwrap();
        assert_eq!((&*prompt, &*completion), ("<user>1 + 1?<assistant><think>\n", "add\n</think>\n\n2<end>"));
    }

    #[test]
    fn what_the_template_cannot_hold_is_named() {
        let unfit = texts(&|turns| hostile(turns, true), &user(), "2").unwrap_err();
        assert_eq!(unfit.reason, "no_thinking");
        let system = vec![Message { role: Speaker::System, content: "s".into() }];
        let unfit = texts(&|turns| hostile(turns, true), &system, "2").unwrap_err();
        assert_eq!((unfit.reason, &*unfit.found), ("template", "no system prompt is allowed"));
        let unfit = texts(&|_| Ok("nothing".into()), &user(), "2").unwrap_err();
        assert_eq!(unfit.reason, "template");
    }
}
