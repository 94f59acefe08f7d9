//! Templates of the kinds that there are, as functions.

use super::*;
use gradus_model::Speaker;

/// A text that begins with `!` is a refusal.
type Template = fn(&[Value], bool) -> String;

/// A student whose tokens are words.
struct Words {
    template: Template,
    ends: Vec<String>,
}

impl Chat for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String, ChatError> {
        let text = (self.template)(messages, add_generation_prompt);
        text.strip_prefix('!').map_or(Ok(text.clone()), |refusal| Err(ChatError(refusal.to_owned())))
    }

    fn n_tokens(&self, text: &str) -> Result<usize, ChatError> {
        Ok(text.split_whitespace().count())
    }

    fn ends(&self) -> &[String] {
        &self.ends
    }
}

fn student(template: Template) -> Words {
    Words { template, ends: vec!["<eos>".into()] }
}

/// Turns as `role: content <eos>`; `asking` is what asks for an answer.
fn turns(messages: &[Value], asks: bool, asking: &str, content: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for message in messages {
        let said = message["content"].as_str().unwrap_or_default();
        let role = message["role"].as_str().unwrap_or_default();
        text += &format!("{role}: {} <eos>\n", if role == "assistant" { content(said) } else { said.to_owned() });
    }
    if asks { text + asking } else { text }
}

fn keeps(messages: &[Value], asks: bool) -> String {
    turns(messages, asks, "assistant: ", str::to_owned)
}

fn deletes(messages: &[Value], asks: bool) -> String {
    let answer =
        |content: &str| content.rsplit_once("</think>").map_or(content, |(_, answer)| answer).trim().to_owned();
    turns(messages, asks, "assistant: <think>\n", answer)
}

fn asks_without_thinking(messages: &[Value], asks: bool) -> String {
    turns(messages, asks, "assistant: <think>\n\n</think>\n\n", str::to_owned)
}

fn never_ends(messages: &[Value], asks: bool) -> String {
    keeps(messages, asks).replace("<eos>", "")
}

fn refuses(_: &[Value], _: bool) -> String {
    "!no system message, please".to_owned()
}

fn forgets(messages: &[Value], asks: bool) -> String {
    turns(messages, asks, "assistant: ", |_| String::new())
}

const CONTENT: &str = "<think>\nTwo and two.\n</think>\n\nFour";

fn prompt() -> Vec<Message> {
    vec![Message { role: Speaker::User, content: "Four or five?".into() }]
}

#[track_caller]
fn check(template: Template, expected: &[Flaw]) {
    let (student, config) = (student(template), Lint::default());
    let mut linter = Linter::new(&student, &config);
    let checked = linter.check(&prompt(), CONTENT);
    assert_eq!(checked.flaws.into_iter().collect::<Vec<_>>(), expected);
    let checks = linter.finish();
    assert_eq!(checks.template, expected, "the template's verdict needs no row");
    assert_eq!((checks.rows, checks.is_clean()), (1, expected.is_empty()));
    for flaw in Flaw::ALL {
        let hints = checks.hints.iter().filter(|hint| hint.starts_with(flaw.name())).count();
        assert_eq!(hints, usize::from(expected.contains(&flaw)), "{:?}", checks.hints);
    }
}

#[test]
fn a_template_that_keeps_everything_is_clean() {
    check(keeps, &[]);
}

#[test]
fn a_template_that_deletes_the_thinking_part_is_caught() {
    check(deletes, &[Flaw::ThinkingLost, Flaw::PromptNotPrefix]);
}

#[test]
fn a_prompt_that_ends_in_an_empty_thinking_part_is_no_prefix() {
    check(asks_without_thinking, &[Flaw::PromptNotPrefix]);
}

#[test]
fn a_text_without_end_is_caught() {
    check(never_ends, &[Flaw::NoEos]);
}

#[test]
fn a_template_that_refuses_is_told_with_its_words() {
    check(refuses, &[Flaw::TemplateError]);
    let (student, config) = (student(refuses), Lint::default());
    let checks = Linter::new(&student, &config).finish();
    assert!(checks.hints[0].contains("no system message, please"), "{:?}", checks.hints);
}

/// The answer, "Four", stands in the question too.
#[test]
fn an_answer_in_the_question_is_not_the_answer() {
    check(forgets, &[Flaw::ThinkingLost, Flaw::AnswerLost]);
}

#[test]
fn lengths_are_exact_and_long_rows_are_counted_or_left_out_but_never_cut() {
    let student = student(keeps);
    let row = |n: usize| Row::Text { prompt: String::new(), completion: "x ".repeat(n - 1) + "<eos>" };
    for (over_length, dropped) in [(OverLength::Flag, 0), (OverLength::Drop, 10)] {
        let config = Lint { max_length: Some(90), over_length, ..Lint::default() };
        let mut linter = Linter::new(&student, &config);
        // 1 to 100 tokens, in no order.
        for n in 0..100_usize {
            let checked = linter.check_row(&row(1 + n * 37 % 100));
            assert_eq!(checked.is_dropped, dropped > 0 && checked.n_tokens > Some(90));
        }
        let checks = linter.finish();
        assert_eq!(checks.tokens, Some(Tokens { p50: 50, p90: 90, p99: 99, max: 100 }));
        assert_eq!((checks.share_over, checks.flaws[&Flaw::TooLong]), (Some(0.1), 10));
        assert_eq!((checks.dropped, checks.proposed_max_length), (dropped, Some(90)));
        assert_eq!(checks.examples.len(), 5);
    }
    let config = Lint::default();
    let mut linter = Linter::new(&student, &config);
    linter.check_row(&row(1025));
    assert_eq!(linter.finish().proposed_max_length, Some(2048));
    let checks = Linter::new(&student, &config).finish();
    assert_eq!((checks.tokens, checks.proposed_max_length, checks.is_clean()), (None, None, true));
}

#[test]
fn the_file_has_a_version_and_every_flaw_by_its_word() {
    let (student, config) = (student(deletes), Lint::default());
    let json: Value = serde_json::from_str(&Linter::new(&student, &config).finish().to_json()).unwrap();
    assert_eq!(json["version"], 1);
    let words: Vec<&str> = json["flaws"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(words, Flaw::ALL.map(Flaw::name));
    assert_eq!(json["template"], json!(["thinking_lost", "prompt_not_prefix"]));
}

#[test]
fn rows_are_read_in_the_shapes_that_trainers_know() {
    let messages = json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]);
    let conversation = Row::Messages { messages: messages.as_array().unwrap().clone(), n_prompt: 1 };
    assert_eq!(Row::read(&json!({ "messages": messages })).unwrap(), conversation);
    assert_eq!(Row::read(&json!({"prompt": [messages[0]], "completion": [messages[1]]})).unwrap(), conversation);
    let turns = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]);
    assert_eq!(Row::read(&json!({ "conversations": turns })).unwrap(), conversation);
    let text = Row::Text { prompt: "q".into(), completion: "a".into() };
    assert_eq!(Row::read(&json!({"prompt": "q", "completion": "a", "id": 1})).unwrap(), text);
    for (bad, said) in [
        (json!({"question": "q"}), "`messages`"),
        (json!({"messages": "q"}), "`messages` is no list"),
        (json!({"messages": [{"role": "user"}]}), "`messages` is no list"),
        (json!({"messages": [messages[0]]}), "no message of an assistant"),
        (json!({"prompt": [messages[0]], "completion": "a"}), "`completion` is no list"),
    ] {
        let error = Row::read(&bad).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_thinking_part_that_stands_apart_must_reach_the_text_too() {
    let (student, config) = (student(keeps), Lint::default());
    let mut linter = Linter::new(&student, &config);
    let message = json!({"role": "assistant", "content": "4", "reasoning_content": "Two and two."});
    let row = Row::read(&json!({"prompt": [{"role": "user", "content": "q"}], "completion": [message]})).unwrap();
    assert_eq!(linter.check_row(&row).flaws, BTreeSet::from([Flaw::ThinkingLost]));
}
