//! Every server's dialect, as its documentation and sources describe it; the texts are our own.

use gradus_model::{Completion, Fault, FaultKind, Finish, Raw, Usage, Wire};
use proptest::prelude::*;

fn read(wire: Wire, body: impl Into<Vec<u8>>) -> Result<Completion, Fault> {
    Raw { wire, body: body.into().into() }.read()
}

fn json(body: &str) -> Completion {
    read(Wire::ChatJson, body).unwrap_or_else(|fault| panic!("{fault} for {body}"))
}

fn sse(body: &str) -> Completion {
    read(Wire::ChatSse, body).unwrap_or_else(|fault| panic!("{fault} for {body}"))
}

fn check(completion: &Completion, reasoning: Option<&str>, answer: Option<&str>, finish: &Finish) {
    assert_eq!(completion.reasoning.as_deref(), reasoning);
    assert_eq!(completion.answer.as_deref(), answer);
    assert_eq!(&completion.finish, finish);
}

fn check_fault(wire: Wire, body: &str, kind: FaultKind) {
    let fault = read(wire, body).expect_err(body);
    assert_eq!(fault.kind, kind, "{fault} for {body}");
    assert_eq!(fault.body.as_deref().unwrap_or_default(), body.as_bytes(), "the fault carries what came");
}

/// A message inside a whole response.
fn with_message(message: &str, finish: &str) -> String {
    format!(
        r#"{{"id":"x","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{message},"finish_reason":"{finish}"}}]}}"#
    )
}

#[test]
fn each_servers_reasoning_field_is_found() {
    let both = |message: &str| check(&json(&with_message(message, "stop")), Some("1+1"), Some("2"), &Finish::Stop);
    // vLLM, OpenRouter
    both(r#"{"role":"assistant","content":"2","reasoning":"1+1"}"#);
    // SGLang, llama.cpp, DeepSeek
    both(r#"{"role":"assistant","content":"2","reasoning_content":"1+1"}"#);
    both(r#"{"role":"assistant","content":"\n\n2","reasoning_content":"1+1\n"}"#);
    // OpenRouter's details, alone
    both(
        r#"{"content":"2","reasoning":null,"reasoning_details":[{"type":"reasoning.text","text":"1"},{"type":"reasoning.summary","summary":"+1"}]}"#,
    );
    // Ollama
    both(r#"{"content":"2","thinking":"1+1"}"#);
    // Mistral
    both(
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"1+"},{"type":"text","text":"1"}]},{"type":"text","text":"2"}]}"#,
    );
    // No parser at all
    both(r#"{"content":"<think>\n1+1\n</think>\n\n2"}"#);
    both(r#"{"content":"1+1\n</think>\n\n2"}"#);
    // The same thought under two names counts once, and an empty field does not hide a filled one.
    both(r#"{"content":"2","reasoning":"1+1","reasoning_content":"1+1"}"#);
    both(r#"{"content":"2","reasoning":"","reasoning_content":"1+1"}"#);
}

#[test]
fn thinking_that_never_ended_is_a_result_without_an_answer() {
    for message in [
        r#"{"content":null,"reasoning":"1+1+1+"}"#,
        r#"{"content":"","reasoning_content":"1+1+1+"}"#,
        r#"{"content":"<think>1+1+1+"}"#,
    ] {
        check(&json(&with_message(message, "length")), Some("1+1+1+"), None, &Finish::Length);
    }
    // The budget went into reasoning that the server hides.
    check(&json(&with_message(r#"{"content":""}"#, "length")), None, None, &Finish::Length);
}

#[test]
fn plain_content_is_kept_to_the_byte() {
    let message = r#"{"content":"    return \"\\n\" + x\n"}"#;
    check(&json(&with_message(message, "stop")), None, Some("    return \"\\n\" + x\n"), &Finish::Stop);
}

#[test]
fn finish_reasons_are_unified() {
    let finish = |word: &str| json(&with_message(r#"{"content":"2"}"#, word)).finish;
    for word in ["stop", "eos_token", "stop_sequence", "end_turn", "STOP"] {
        assert_eq!(finish(word), Finish::Stop, "{word}");
    }
    for word in ["length", "max_tokens", "MAX_TOKENS", "model_length"] {
        assert_eq!(finish(word), Finish::Length, "{word}");
    }
    assert_eq!(finish("content_filter"), Finish::ContentFilter);
    assert_eq!(finish("repetition"), Finish::Other("repetition".into()));
    assert_eq!(json(r#"{"choices":[{"message":{"content":"2"}}]}"#).finish, Finish::Other(String::new()));
    for word in ["abort", "error"] {
        check_fault(Wire::ChatJson, &with_message(r#"{"content":"2"}"#, word), FaultKind::Transient);
    }
}

#[test]
fn a_refusal_is_an_answer() {
    let message = r#"{"content":null,"refusal":"I will not."}"#;
    check(&json(&with_message(message, "stop")), None, Some("I will not."), &Finish::Other("refusal".into()));
}

#[test]
fn usage_is_found_wherever_servers_put_it() {
    let usage = |rest: &str| {
        json(&format!(r#"{{"choices":[{{"message":{{"content":"2"}},"finish_reason":"stop"}}],{rest}}}"#)).usage
    };
    let all = Usage { prompt: Some(10), cached: Some(4), completion: Some(20), reasoning: Some(15) };
    // OpenAI, vLLM
    assert_eq!(
        usage(
            r#""usage":{"prompt_tokens":10,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":15}}"#
        ),
        all
    );
    // DeepSeek's cache, SGLang's reasoning
    assert_eq!(
        usage(
            r#""usage":{"prompt_tokens":10,"completion_tokens":20.0,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6,"reasoning_tokens":15}"#
        ),
        all
    );
    // vLLM writes null for details that it does not count
    let some = Usage { prompt: Some(10), completion: Some(20), ..Usage::default() };
    assert_eq!(usage(r#""usage":{"prompt_tokens":10,"completion_tokens":20,"prompt_tokens_details":null}"#), some);
    // llama.cpp without usage
    let counted = Usage { prompt: Some(10), cached: Some(4), completion: Some(20), reasoning: None };
    assert_eq!(usage(r#""timings":{"cache_n":4,"prompt_n":6,"predicted_n":20,"predicted_per_second":3.5}"#), counted);
    assert_eq!(usage(r#""usage":"many""#), Usage::default());
    let cost =
        json(r#"{"model":"m","choices":[{"message":{"content":"2"},"finish_reason":"stop"}],"usage":{"cost":0.0125}}"#);
    assert_eq!((cost.cost_usd, cost.model.as_deref()), (Some(0.0125), Some("m")));
}

#[test]
fn blank_lines_ahead_of_the_json_are_skipped() {
    let body = format!("\n\n \r\n\n{}", with_message(r#"{"content":"2"}"#, "stop"));
    check(&json(&body), None, Some("2"), &Finish::Stop);
    check(&json(&format!("\u{feff}{body}").replace("\u{feff}\n\n \r\n\n", "\u{feff}")), None, Some("2"), &Finish::Stop);
}

#[test]
fn errors_inside_a_200_are_faults() {
    use FaultKind::*;
    let check = |body: &str, kind| check_fault(Wire::ChatJson, body, kind);
    check(r#"{"error":{"code":502,"message":"Provider returned error","metadata":{}}}"#, Transient);
    check(r#"{"error":{"code":429,"message":"Rate limited upstream"}}"#, RateLimited);
    check(r#"{"error":"something broke"}"#, Transient);
    check(
        r#"{"object":"error","message":"The request queue is full.","type":"x","param":null,"code":503}"#,
        RateLimited,
    );
    check(r#"{"error":{"message":"maximum context length is 4096","code":400}}"#, ContextTooLong);
    check(
        r#"{"choices":[{"error":{"code":502,"message":"cut"},"finish_reason":"error","message":{"content":"par"}}]}"#,
        Transient,
    );
    check(r#"{"detail":"Internal"}"#, Transient);
    check(r#"{"choices":[]}"#, Transient);
    check(r#"{"choices":null}"#, Transient);
    check(&with_message(r#"{"content":""}"#, "stop"), Transient);
    check(&with_message(r#"{"content":null}"#, "stop"), Transient);
    check("", Transient);
    check("<html>502 Bad Gateway</html>", Transient);
    check(r#"{"choices":[{"message":{"content":"2"#, Transient);
    let invalid = read(Wire::ChatJson, b"{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}".to_vec());
    assert_eq!(invalid.expect_err("invalid UTF-8").kind, Transient);
}

#[test]
fn an_empty_answer_that_cost_a_token_is_a_result() {
    let body = r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"completion_tokens":1}}"#;
    check(&json(body), None, None, &Finish::Stop);
}

#[test]
fn streams_of_each_dialect_are_joined() {
    // vLLM: role first, reasoning deltas, usage last
    let vllm = sse(concat!(
        ": keep-alive\n\n",
        "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"1+\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning\":\"1\"}}]}\n\n",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\n\\n\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"2\"},\"finish_reason\":\"stop\",\"stop_reason\":null}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}\n\n",
        "data: [DONE]\n\n",
    ));
    check(&vllm, Some("1+1"), Some("2"), &Finish::Stop);
    assert_eq!((vllm.usage.prompt, vllm.usage.completion, vllm.model.as_deref()), (Some(3), Some(5), Some("m")));

    // llama.cpp: \r\n, no space after the colon, tags in content, marks across chunks
    let llama = sse(concat!(
        "data:{\"choices\":[{\"delta\":{\"content\":\"<thi\"}}]}\r\n\r\n",
        "data:{\"choices\":[{\"delta\":{\"content\":\"nk>1+1</th\"}}]}\r\n\r\n",
        "data:{\"choices\":[{\"delta\":{\"content\":\"ink>2\"}}]}\r\n\r\n",
        "data:{\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"timings\":{\"prompt_n\":3,\"predicted_n\":5}}\r\n\r\n",
        "data: [DONE]\r\n\r\n",
    ));
    check(&llama, Some("1+1"), Some("2"), &Finish::Length);

    // OpenRouter: processing comments, details, usage with cost in the last chunk, no empty line at the end
    let router = sse(concat!(
        ": OPENROUTER PROCESSING\n\n",
        "event: message\nid: 7\ndata: {\"choices\":[{\"delta\":{\"content\":\"\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"1+1\"}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"2\"},\"finish_reason\":\"stop\",\"native_finish_reason\":\"STOP\"}],\"usage\":{\"cost\":0.5}}\n\n",
        "data: [DONE]",
    ));
    check(&router, Some("1+1"), Some("2"), &Finish::Stop);
    assert_eq!(router.cost_usd, Some(0.5));

    // Events without an empty line between them; other choices are not ours
    let tight = sse(concat!(
        "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"no\"}}]}\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"2\"},\"finish_reason\":\"stop\"}]}\n",
        "data: [DONE]\n",
    ));
    check(&tight, None, Some("2"), &Finish::Stop);

    // The whole message again at the end is not a second answer
    let twice = sse(concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"2\"}}]}\n\n",
        "data: {\"choices\":[{\"message\":{\"content\":\"2\"},\"finish_reason\":\"stop\"}]}\n\n",
    ));
    check(&twice, None, Some("2"), &Finish::Stop);
}

#[test]
fn a_character_in_two_pieces_is_one_character() {
    let pieces = sse(concat!(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\\ud83d\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\ude00b\\ud83d\"},\"finish_reason\":\"stop\"}]}\n\n",
    ));
    check(&pieces, None, Some("a\u{1f600}b\u{fffd}"), &Finish::Stop);
}

#[test]
fn cut_streams_and_errors_in_streams_are_faults() {
    use FaultKind::*;
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"1\"}}]}\n\n";
    let check = |rest: &str, kind| check_fault(Wire::ChatSse, &format!("{chunk}{rest}"), kind);
    check("", Transient);
    check("data: {\"choices\":[{\"delta\":{\"con", Transient);
    check(": keep-alive\n\n", Transient);
    check(
        "data: {\"error\":{\"message\":\"engine died\",\"type\":\"InternalServerError\",\"code\":500}}\n\ndata: [DONE]\n\n",
        Transient,
    );
    check("data: {\"error\":{\"message\":\"too many\",\"code\":429}}\n\n", RateLimited);
    check("event: error\ndata: {\"message\":\"overloaded\"}\n\n", RateLimited);
    check("{\"error\":{\"code\":402,\"message\":\"Add credits\"}}", Quota);
    check("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\ndata: [DONE]\n\n", Transient);
    check("data: garbage\n\ndata: [DONE]\n\n", Transient);
    check_fault(Wire::ChatSse, "", Transient);
    check_fault(Wire::ChatSse, "data: [DONE]\n\n", Transient);
    check_fault(Wire::ChatSse, "<html>busy</html>", Transient);
    // A finish reason without [DONE] is whole, and so is [DONE] without a finish reason.
    let ends = |rest: &str| sse(&format!("{chunk}{rest}")).finish;
    assert_eq!(ends("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"), Finish::Stop);
    assert_eq!(ends("data: [DONE]\n\n"), Finish::Other(String::new()));
}

#[test]
fn fields_of_unexpected_types_spoil_nothing() {
    let body = r#"{"id":7,"model":{},"usage":[],"choices":[{"index":"0","message":{"content":"2","reasoning":7,"reasoning_details":"x","refusal":[]},"logprobs":{"content":[{}]},"finish_reason":"stop"}]}"#;
    check(&json(body), None, Some("2"), &Finish::Stop);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(Wire::ChatJson, bytes.clone());
        let _ = read(Wire::ChatSse, bytes);
    }

    #[test]
    fn no_damage_to_a_real_answer_makes_it_panic(
        at in 0_usize..600, byte in any::<u8>(), cut in 0_usize..600, text in "\\PC{0,30}"
    ) {
        let mut whole = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":[{{\"type\":\"thinking\",\"thinking\":{}}}],\"reasoning\":\"\\ud83d\"}}}}]}}\n\ndata: {}\n\ndata: [DONE]\n\n",
            serde_json::json!([{ "text": text }]),
            with_message(r#"{"content":"<think>\u003c/think>2"}"#, "stop"),
        ).into_bytes();
        let n = whole.len();
        whole[at % n] = byte;
        whole.truncate(cut.max(1));
        let _ = read(Wire::ChatSse, whole.clone());
        let _ = read(Wire::ChatJson, whole);
    }

    #[test]
    fn how_a_stream_is_cut_into_chunks_changes_nothing(text in "[a-z<>/ \n\u{e9}\u{1f600}]{1,60}", size in 1_usize..9) {
        let whole = json(&with_message(&serde_json::json!({ "content": format!("x{text}") }).to_string(), "stop"));
        let chars: Vec<char> = format!("x{text}").chars().collect();
        let mut stream = String::new();
        for piece in chars.chunks(size) {
            let piece: String = piece.iter().collect();
            stream += &format!("data: {}\n\n", serde_json::json!({ "choices": [{ "delta": { "content": piece } }] }));
        }
        stream += "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
        let streamed = sse(&stream);
        prop_assert_eq!((streamed.reasoning, streamed.answer), (whole.reasoning, whole.answer));
    }
}
