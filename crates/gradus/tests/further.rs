//! What was cut off is gone on with, and becomes one chain of thought.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use gradus::attempt::Key;
use gradus::config::{Config, CutOff};
use gradus::distil::{self, Distilled};
use gradus::prompt::Prompts;
use gradus::question::{Kind, Question};
use gradus::run::{Plan, Resolved};
use gradus::verdict::Outcome as Verdict;
use gradus::work::{Answered, Next, Outcome, Reason, Step, Task, Work};
use gradus_model::{Finish, Identity, Raw, Speaker, Wire};
use serde_json::{Value, json};

/// A teacher's message and why it ended, after 10 tokens.
fn body(message: &Value, finish: &str) -> Value {
    let choice = json!({"index": 0, "finish_reason": finish, "message": message});
    json!({"model": "t", "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 10}})
}

fn question() -> Question {
    Question { references: vec!["7".into()], ..common::question(Kind::Math, "What is 3 + 4?") }
}

/// Distils one question from what the teacher says to the parts of its only attempt; tells the requests too.
fn distilled(rounds: u32, max_total: Option<u32>, parts: &[Result<Value, Reason>]) -> (Next<Distilled>, Vec<Work>) {
    let mut config = Config::default();
    (config.distil.correct, config.distil.tries) = (1, 1);
    config.distil.sampling.max_tokens = 10;
    config.distil.on_truncated = CutOff::Continue;
    (config.distil.max_rounds, config.distil.max_total_tokens) = (rounds, max_total);
    let model = |name: &str| Resolved {
        identity: Identity { name: name.into(), revision: String::new() },
        system: None,
        extra: serde_json::Map::new(),
    };
    let plan = Plan::new(&config, model("s"), vec![model("t")], Arc::new(Prompts::default()));
    let question = question();
    let (mut answers, mut asked) = (Vec::<Answered>::new(), Vec::new());
    loop {
        let work = match distil::next(&plan.distil, &question, &answers) {
            Next::Ask(work) => work,
            end => return (end, asked),
        };
        for work in work {
            let Task::Generate(generation) = &work.task else { panic!("{work:?}") };
            let outcome = match &parts[asked.len()] {
                Ok(body) => {
                    let raw = Raw { wire: Wire::ChatJson, body: body.to_string().into() };
                    Outcome::Completed(generation.read(&raw).unwrap())
                }
                Err(reason) => Outcome::Failed(reason.clone()),
            };
            let at = answers.partition_point(|other| other.slot < work.slot);
            answers.insert(at, Answered { slot: work.slot, key: work.keys().1.attempt, outcome });
            asked.push(work);
        }
    }
}

fn done(end: Next<Distilled>) -> Distilled {
    let Next::Done(distilled) = end else { panic!("{end:?}") };
    assert_eq!(distilled.cots.len(), 1);
    distilled
}

fn ahead(work: &Work) -> &str {
    let Task::Generate(generation) = &work.task else { panic!("{work:?}") };
    assert_eq!(generation.extra["add_generation_prompt"], false);
    assert_eq!(generation.messages.last().unwrap().role, Speaker::Assistant);
    generation.goes_on_from().unwrap()
}

#[test]
fn parts_become_one_chain_of_thought_in_tags_and_in_fields() {
    let tags = [
        json!({"content": "<think>\nWe add three"}),
        json!({"content": " and four,"}),
        json!({"content": " which is seven.\n</think>\n\nSo it is \\bo"}),
        json!({"content": "xed{7}."}),
    ];
    let fields = [
        json!({"content": null, "reasoning": "We add three"}),
        json!({"content": null, "reasoning": " and four,"}),
        json!({"content": "\n\nSo it is \\bo", "reasoning": " which is seven."}),
        json!({"content": "xed{7}."}),
    ];
    // A server that sees no mark in what it writes now takes all of it for thinking.
    let mistaken = [fields[..3].to_vec(), vec![json!({"content": null, "reasoning": "xed{7}."})]].concat();
    for messages in [tags.to_vec(), fields.to_vec(), mistaken] {
        let parts: Vec<_> =
            messages.iter().zip(["length", "length", "length", "stop"]).map(|(m, f)| Ok(body(m, f))).collect();
        let (end, asked) = distilled(3, None, &parts);
        let distilled = done(end);
        let (completion, verdict) = distilled.cots[0].result.as_ref().unwrap();
        assert_eq!(completion.reasoning.as_deref(), Some("We add three and four, which is seven."));
        assert_eq!(completion.answer.as_deref(), Some("So it is \\boxed{7}."));
        assert_eq!((verdict.outcome, &completion.finish), (Verdict::Correct, &Finish::Stop));
        assert_eq!((completion.usage.prompt, completion.usage.completion), (Some(28), Some(40)));
        // Each part is a generation of its own, asked once, and holds what was there before it.
        let keys: Vec<Key> = asked.iter().map(|work| work.keys().1.attempt).collect();
        assert_eq!(keys, distilled.parts[0]);
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 4);
        assert_eq!(distilled.cots[0].key, keys[0]);
        let ahead: Vec<&str> = asked[1..].iter().map(ahead).collect();
        assert_eq!(ahead[0], "<think>\nWe add three");
        assert_eq!(ahead[1], "<think>\nWe add three and four,");
        assert_eq!(ahead[2], "<think>\nWe add three and four, which is seven.\n</think>\n\nSo it is \\bo");
    }
}

#[test]
fn rounds_and_tokens_have_an_end() {
    let more = |text: &str| Ok(body(&json!({"content": text}), "length"));
    let parts = [more("one"), more(" two"), more(" three"), more(" four"), more(" five")];
    for (rounds, max_total, n_asked, last_limit) in
        [(1, None, 2, 10), (3, None, 4, 10), (4, Some(20), 2, 10), (4, Some(25), 3, 5), (4, Some(10), 1, 10)]
    {
        let (end, asked) = distilled(rounds, max_total, &parts);
        let distilled = done(end);
        assert_eq!((asked.len(), distilled.parts[0].len()), (n_asked, n_asked), "{rounds} {max_total:?}");
        let (completion, verdict) = distilled.cots[0].result.as_ref().unwrap();
        assert_eq!(completion.answer.as_deref(), Some(&"one two three four five"[..[3, 7, 13, 18][n_asked - 1]]));
        assert_eq!((verdict.outcome, &completion.finish), (Verdict::NoAnswer, &Finish::Length));
        let Task::Generate(generation) = &asked.last().unwrap().task else { panic!() };
        assert_eq!(generation.sampling.max_tokens, last_limit);
    }
    // Nothing more is written: asking again would not help.
    let (end, asked) = distilled(4, None, &[more("one"), more("")]);
    assert_eq!((asked.len(), done(end).parts[0].len()), (2, 2));
}

#[test]
fn a_part_that_cannot_be_had_leaves_the_rest_or_waits_for_the_next_run() {
    let first = || Ok(body(&json!({"content": "<think>\nWe add"}), "length"));
    let (end, _) = distilled(3, None, &[first(), Err(Reason::new("context_too_long", "full"))]);
    let kept = done(end);
    let (completion, _) = kept.cots[0].result.as_ref().unwrap();
    assert_eq!((completion.reasoning.as_deref(), &completion.finish), (Some("We add"), &Finish::Length));
    assert_eq!(kept.parts[0].len(), 1);
    let (end, asked) = distilled(3, None, &[first(), Err(Reason::new("not_asked", "stopped"))]);
    assert!(matches!(end, Next::Drop(reason) if reason.code == "not_asked"));
    assert!(matches!(asked[1].slot.step, Step::Further { part: 1 }));
}
