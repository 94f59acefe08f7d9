//! What endpoints can do, as it shows in their answers: mocks that lack something, and servers that refuse.

use std::time::Duration;

use gradus_model::capability::{Capabilities, Support};
use gradus_model::mock::reply::ThinkStyle;
use gradus_model::mock::{Mock, MockConfig, MockHandle, MockLacks};
use gradus_model::openai::{OpenAi, OpenAiConfig};
use gradus_model::pool::Pool;
use gradus_model::replay::Replay;
use gradus_model::{FaultKind, Model};

fn mock(change: impl FnOnce(&mut MockConfig)) -> MockHandle {
    let mut config = MockConfig::default();
    change(&mut config);
    Mock::start(config).expect("a free port")
}

fn client(mock: &MockHandle, model: &str) -> OpenAi {
    let mut config = OpenAiConfig::new(mock.url(), model);
    config.idle_timeout = Some(Duration::from_secs(20));
    OpenAi::new(config).expect("a good config")
}

async fn probed(mock: &MockHandle, model: &str) -> Capabilities {
    client(mock, model).capabilities().await.expect("the server answers")
}

#[tokio::test]
async fn what_a_server_does_is_seen_in_its_answers() {
    let mock = mock(|_| {});
    let seen = probed(&mock, "m").await;
    for support in [&seen.logprobs, &seen.prompt_logprobs, &seen.ranks, &seen.several, &seen.json_schema, &seen.pooling]
    {
        assert!(support.is_yes(), "{seen:?}");
    }
    assert!(seen.logprobs.to_string().contains("5 of the 5"), "{}", seen.logprobs);
    assert!(seen.pooling.to_string().contains("2 classes at each of two"), "{}", seen.pooling);
    // The mock repeats no prompt and does not think under this name.
    assert!(matches!(seen.echo, Support::Ignored(_)) && matches!(seen.reasoning, Support::Unseen(_)), "{seen:?}");
    assert_eq!(mock.stats().requests, Capabilities::N_REQUESTS as u64);
    assert_eq!(seen.list().len(), 8);
}

#[tokio::test]
async fn an_answer_that_leaves_out_what_was_asked_is_not_believed() {
    let lacks = MockLacks {
        logprobs: true,
        prompt_logprobs: true,
        ranks: true,
        tokenize: true,
        n: true,
        json_schema: true,
        pooling: true,
    };
    let mock = mock(|config| config.lacks = lacks);
    let seen = probed(&mock, "m").await;
    for support in [&seen.logprobs, &seen.prompt_logprobs, &seen.ranks, &seen.several, &seen.json_schema] {
        assert!(matches!(support, Support::Ignored(_)), "{seen:?}");
        assert!(support.to_string().starts_with("no, ignored without a word"), "{support}");
    }
    assert!(matches!(&seen.pooling, Support::Refused(words) if words.contains("404")), "{seen:?}");
    assert!(seen.several.to_string().contains("1 of 2 answers"), "{}", seen.several);
}

#[tokio::test]
async fn thinking_is_found_wherever_it_stands() {
    for (style, place) in [
        (ThinkStyle::Tags, "as tags inside the content"),
        (ThinkStyle::Reasoning, "in the field `reasoning`"),
        (ThinkStyle::ReasoningContent, "in the field `reasoning_content`"),
    ] {
        let mock = mock(|config| config.replies.think_style = style);
        assert_eq!(probed(&mock, "a-teacher").await.reasoning, Support::Yes(place.to_owned()));
    }
}

#[tokio::test]
async fn a_pool_can_do_what_all_its_replicas_can() {
    let mocks = [mock(|_| {}), mock(|config| config.lacks = MockLacks { n: true, ..MockLacks::default() })];
    let pool = Pool::new(mocks.iter().map(|mock| client(mock, "m")).collect()).expect("replicas");
    let seen = pool.capabilities().await.expect("both answer");
    assert!(matches!(seen.several, Support::Ignored(_)) && seen.logprobs.is_yes(), "{seen:?}");
}

#[tokio::test]
async fn what_says_nothing_about_the_server_is_a_fault() {
    let check = async |change: fn(&mut MockConfig), kind: FaultKind| {
        let mock = mock(change);
        let fault = client(&mock, "m").capabilities().await.expect_err("no word on what it can do");
        assert_eq!(fault.kind, kind, "{fault}");
    };
    check(|config| config.key = Some("secret".to_owned()), FaultKind::Auth).await;
    check(|config| config.faults.rate_limited = 1.0, FaultKind::RateLimited).await;
    check(|config| config.faults.error_in_200 = 1.0, FaultKind::Transient).await;
    check(|config| config.faults.garbage = 1.0, FaultKind::Transient).await;
    check(|config| config.faults.cut = 1.0, FaultKind::Transient).await;
}

#[tokio::test]
async fn a_recording_cannot_be_probed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("r.jsonl");
    std::fs::write(&file, r#"{"question_id":"q","model":"m","response":"4"}"#).expect("written");
    let fault = Replay::open(&file, "m").expect("opens").capabilities().await.expect_err("no endpoint");
    assert!(fault.kind == FaultKind::BadRequest && fault.message.contains("no endpoint"), "{fault}");
}
