//! The client against the mock and against servers that say exactly what a test wrote.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gradus_model::mock::reply::{MockQuestion, Replies, ThinkStyle};
use gradus_model::mock::{Mock, MockConfig, MockFaults, MockHandle};
use gradus_model::openai::{OpenAi, OpenAiConfig, Secret};
use gradus_model::pool::Pool;
use gradus_model::{Completion, Fault, FaultKind, Finish, Generate, Message, Model, Sampling, Speaker, Wire};

fn request(text: &str, seed: u64) -> Generate {
    Generate {
        messages: vec![
            Message { role: Speaker::System, content: "You are careful.".into() },
            Message { role: Speaker::User, content: text.into() },
        ],
        sampling: Sampling {
            temperature: 0.6,
            top_p: 0.95,
            top_k: None,
            min_p: None,
            max_tokens: 512,
            stop: Vec::new(),
        },
        seed,
        extra: serde_json::Map::new(),
        request_id: format!("id-{seed}"),
        source_ids: Arc::new([]),
        attempt: 0,
    }
}

fn client(url: &str, change: impl FnOnce(&mut OpenAiConfig)) -> OpenAi {
    let mut config = OpenAiConfig::new(url, "m");
    config.idle_timeout = Some(Duration::from_secs(20));
    change(&mut config);
    OpenAi::new(config).expect("a good config")
}

fn mock(change: impl FnOnce(&mut MockConfig)) -> MockHandle {
    let mut config = MockConfig::default();
    change(&mut config);
    Mock::start(config).expect("a free port")
}

/// A server that gives one answer after another, each on a connection of its own, and keeps what it was
/// sent. An answer is written as it is; an empty one hangs, and `close` closes the connection.
struct Script {
    url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                loop {
                    let n = stream.read(&mut buffer).expect("a request");
                    bytes.extend_from_slice(&buffer[..n]);
                    let text = String::from_utf8_lossy(&bytes);
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    if body.len() >= length.unwrap_or(0) {
                        break;
                    }
                }
                keep.lock().expect("no panic").push(String::from_utf8_lossy(&bytes).into_owned());
                if answer == "close" {
                    continue;
                }
                stream.write_all(answer.as_bytes()).expect("written");
                if answer.is_empty() {
                    open.push(stream);
                }
            }
            std::thread::sleep(Duration::from_secs(30));
        });
        Script { url, seen }
    }

    fn body(&self, at: usize) -> serde_json::Value {
        let seen = self.seen.lock().expect("no panic");
        serde_json::from_str(seen[at].split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

const ANSWER: &str = r#"{"choices":[{"message":{"content":"2"},"finish_reason":"stop"}]}"#;

async fn ask(model: &dyn Model, text: &str, seed: u64) -> Result<Completion, Fault> {
    model.generate(&request(text, seed)).await.map(|raw| raw.read().expect("generate gives only what can be read"))
}

#[tokio::test]
async fn streamed_and_whole_answers_say_the_same_in_each_style() {
    for style in [ThinkStyle::Tags, ThinkStyle::Reasoning, ThinkStyle::ReasoningContent] {
        let mock = mock(|config| config.replies.think_style = style);
        let streamed = client(&mock.url(), |config| config.model = "a-teacher".into());
        let whole = client(&mock.url(), |config| {
            config.model = "a-teacher".into();
            config.stream = false;
        });
        let raw = streamed.generate(&request("1+1?", 7)).await.expect("an answer");
        assert_eq!(raw.wire, Wire::ChatSse);
        let one = raw.read().expect("readable");
        let raw = whole.generate(&request("1+1?", 7)).await.expect("an answer");
        assert_eq!(raw.wire, Wire::ChatJson);
        assert_eq!(raw.read().expect("readable"), one, "{style:?}");
        assert!(one.reasoning.as_deref().is_some_and(|text| text.starts_with("Step 1")), "{one:?}");
        assert!(one.answer.as_deref().is_some_and(|text| text.contains("\\boxed{")), "{one:?}");
        assert!(one.usage.completion.is_some_and(|n| n > 10) && one.usage.prompt.is_some());
        assert_eq!((one.finish, one.model.as_deref()), (Finish::Stop, Some("a-teacher")));
        assert_eq!(mock.n_requests("id-7"), 2);
    }
}

#[tokio::test]
async fn every_setting_is_sent_and_extra_fields_win() {
    let answer = http("200 OK", "Content-Type: application/json\r\n", ANSWER);
    let script = Script::new(vec![answer.clone(), answer.clone(), answer]);
    let model = client(&script.url, |config| config.key = Some(Secret::new("sk-secret-key\n")));
    ask(&model, "1+1?", 5).await.expect("an answer");
    let expected = serde_json::json!({
        "model": "m",
        "messages": [{"role": "system", "content": "You are careful."}, {"role": "user", "content": "1+1?"}],
        "temperature": 0.6, "top_p": 0.95, "max_tokens": 512, "seed": 5, "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(script.body(0), expected);
    let head = script.seen.lock().expect("no panic")[0].to_lowercase();
    for line in ["post /v1/chat/completions http/1.1", "x-request-id: id-5", "authorization: bearer sk-secret-key\r\n"]
    {
        assert!(head.contains(line), "{line} in {head}");
    }

    let mut with = request("1+1?", 5);
    with.sampling.top_k = Some(20);
    with.sampling.min_p = Some(0.05);
    with.sampling.stop = vec!["END".into()];
    with.extra.insert("temperature".into(), serde_json::Value::Null);
    with.extra.insert("chat_template_kwargs".into(), serde_json::json!({"enable_thinking": true}));
    let model = client(&format!("{}/api/v1/chat/completions?version=7", script.url), |config| {
        config.stream = false;
        config.max_tokens_field = "max_completion_tokens".into();
    });
    model.generate(&with).await.expect("an answer");
    let body = script.body(1);
    assert_eq!(body["max_completion_tokens"], 512);
    assert_eq!((&body["top_k"], &body["min_p"], &body["stop"][0]), (&20.into(), &0.05.into(), &"END".into()));
    assert_eq!(body["chat_template_kwargs"]["enable_thinking"], true);
    for absent in ["temperature", "max_tokens", "stream_options"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    assert!(script.seen.lock().expect("no panic")[1].starts_with("POST /api/v1/chat/completions?version=7 "));
}

#[tokio::test]
async fn refusals_are_classified_with_their_waits() {
    let date = "Date: Sat, 21 Nov 2026 10:00:00 GMT\r\n";
    let retry =
        |header: &str| http("429 Too Many Requests", &format!("{date}{header}\r\n"), r#"{"error":{"message":"slow"}}"#);
    let cases = [
        (retry("Retry-After: 7"), FaultKind::RateLimited, Some(7_000)),
        (retry("Retry-After: 7\r\nretry-after-ms: 1500"), FaultKind::RateLimited, Some(1_500)),
        (retry("Retry-After: Sat, 21 Nov 2026 10:01:30 GMT"), FaultKind::RateLimited, Some(90_000)),
        (retry("Retry-After: soon"), FaultKind::RateLimited, None),
        (
            retry("x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6m0s"),
            FaultKind::RateLimited,
            Some(360_000),
        ),
        (
            http(
                "429 Too Many Requests",
                "",
                r#"{"error":{"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"59s"}]}}"#,
            ),
            FaultKind::RateLimited,
            Some(59_000),
        ),
        (http("429 Too Many Requests", "", r#"{"error":{"code":"insufficient_quota"}}"#), FaultKind::Quota, None),
        (http("400 Bad Request", "x-should-retry: true\r\n", "{}"), FaultKind::Transient, None),
        (http("308 Permanent Redirect", "Location: https://elsewhere/v1\r\n", ""), FaultKind::ModelNotFound, None),
        (http("500 Internal Server Error", "", "boom"), FaultKind::Transient, None),
    ];
    for (answer, kind, wait) in cases {
        let script = Script::new(vec![answer.clone()]);
        let fault = ask(&client(&script.url, |_| {}), "1+1?", 0).await.expect_err("a refusal");
        assert_eq!((fault.kind, fault.retry_after.map(|wait| wait.as_millis())), (kind, wait), "{answer}");
        assert!(fault.status.is_some() && fault.message.contains(&script.url), "{fault}");
    }
}

#[tokio::test]
async fn no_fault_and_no_debug_output_shows_the_key() {
    let mock = mock(|config| config.key = Some("the-right-key".into()));
    let right = client(&mock.url(), |config| config.key = Some(Secret::new("the-right-key")));
    ask(&right, "1+1?", 0).await.expect("an answer");
    let wrong = client(&mock.url(), |config| config.key = Some(Secret::new("the-wrong-key")));
    let fault = ask(&wrong, "1+1?", 0).await.expect_err("refused");
    assert_eq!((fault.kind, fault.status), (FaultKind::Auth, Some(401)));
    assert!(fault.message.contains("Incorrect API key provided"), "the server's words stay: {fault}");
    assert_eq!(wrong.info().await.expect_err("refused").kind, FaultKind::Auth);
    assert_eq!(ask(&client(&mock.url(), |_| {}), "1+1?", 0).await.expect_err("no key").kind, FaultKind::Auth);
    for shown in
        [format!("{fault:?}"), format!("{wrong:?}"), String::from_utf8_lossy(&fault.body.expect("a body")).into()]
    {
        assert!(!shown.contains("the-wrong-key"), "{shown}");
    }
    let secret = client("http://me:hidden@127.0.0.1:9/v1?token=hidden", |_| {});
    let fault = ask(&secret, "1+1?", 0).await.expect_err("nobody listens");
    assert!(fault.message.starts_with("http://127.0.0.1:9/v1: no answer: "), "{fault}");
    assert!(!format!("{fault:?} {secret:?}").contains("hidden"));
}

#[tokio::test]
async fn each_mishap_of_a_server_is_a_fault_of_its_kind() {
    let all = |change: fn(&mut MockFaults)| mock(|config| change(&mut config.faults));
    let cases: [(MockHandle, FaultKind, bool); 5] = [
        (all(|faults| faults.rate_limited = 1.0), FaultKind::RateLimited, false),
        (all(|faults| faults.cut = 1.0), FaultKind::Transient, false),
        (all(|faults| faults.garbage = 1.0), FaultKind::Transient, false),
        (all(|faults| faults.error_in_200 = 1.0), FaultKind::Transient, false),
        (all(|faults| faults.hang = 1.0), FaultKind::Transient, true),
    ];
    for (mock, kind, hangs) in cases {
        for stream in [true, false] {
            let model = client(&mock.url(), |config| {
                config.stream = stream;
                if hangs {
                    config.idle_timeout = Some(Duration::from_millis(300));
                }
            });
            let fault = ask(&model, "1+1?", 0).await.expect_err("a mishap");
            assert_eq!(fault.kind, kind, "{fault}");
        }
    }
    let mock = all(|faults| faults.server_error = 1.0);
    let model = client(&mock.url(), |_| {});
    let mut statuses = Vec::new();
    for seed in 0..3 {
        let fault = ask(&model, "1+1?", seed).await.expect_err("a mishap");
        assert!(matches!(fault.kind, FaultKind::Transient | FaultKind::RateLimited), "{fault}");
        statuses.extend(fault.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [500, 502, 503]);
    let mock = all(|faults| faults.truncated = 1.0);
    let cut = ask(&client(&mock.url(), |_| {}), "1+1?", 0).await.expect("a result");
    assert_eq!(cut.finish, Finish::Length);
}

#[tokio::test]
async fn a_stream_that_is_whole_survives_a_connection_that_never_closes() {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"2\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let open = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n{body}");
    let script = Script::new(vec![open, String::new()]);
    let model = client(&script.url, |_| {});
    assert_eq!(ask(&model, "1+1?", 0).await.expect("whole").answer.as_deref(), Some("2"));
    let silent = client(&script.url, |config| config.idle_timeout = Some(Duration::from_millis(200)));
    let fault = ask(&silent, "1+1?", 0).await.expect_err("silence");
    assert!(fault.kind == FaultKind::Transient && fault.message.contains("sent nothing for 0.2 s"), "{fault}");
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_fault() {
    let close = || "close".to_owned();
    let script =
        Script::new(vec![close(), http("200 OK", "Content-Type: application/json\r\n", ANSWER), close(), close()]);
    let model = client(&script.url, |_| {});
    assert_eq!(ask(&model, "1+1?", 0).await.expect("sent once more").answer.as_deref(), Some("2"));
    let fault = ask(&model, "1+1?", 0).await.expect_err("closed twice");
    assert!(fault.kind == FaultKind::Transient && fault.message.contains("no answer"), "{fault}");
    assert_eq!(script.seen.lock().expect("no panic").len(), 4, "not a third time");
}

#[tokio::test]
async fn info_is_read_from_each_kind_of_server() {
    let not_found = || http("404 Not Found", "", r#"{"detail":"Not Found"}"#);
    let json = |body: &str| http("200 OK", "Content-Type: application/json\r\n", body);

    let vllm = Script::new(vec![
        json(
            r#"{"object":"list","data":[{"id":"m","owned_by":"vllm","root":"/weights/m","max_model_len":4096},{"id":"n"}]}"#,
        ),
        not_found(),
        json(r#"{"version":"0.33.0"}"#),
    ]);
    let info = client(&vllm.url, |_| {}).info().await.expect("info");
    assert_eq!((info.server.as_str(), info.context, info.slots), ("vllm", Some(4096), None));
    assert_eq!((info.fingerprint.as_deref(), info.served), (Some("/weights/m"), vec!["m".to_owned(), "n".to_owned()]));
    let paths: Vec<String> =
        vllm.seen.lock().expect("no panic").iter().map(|text| text.lines().next().unwrap_or("").to_owned()).collect();
    assert_eq!(paths, ["GET /v1/models HTTP/1.1", "GET /props HTTP/1.1", "GET /version HTTP/1.1"]);

    let llama = Script::new(vec![
        json(
            r#"{"models":[{"name":"m"}],"object":"list","data":[{"id":"m","owned_by":"llamacpp","meta":{"n_ctx_train":32768}}]}"#,
        ),
        json(r#"{"default_generation_settings":{"n_ctx":2048},"total_slots":3,"model_path":"/m.gguf"}"#),
        not_found(),
    ]);
    let model = client(&llama.url, |_| {});
    let info = model.info().await.expect("info");
    assert_eq!((info.server.as_str(), info.context, info.slots), ("llama.cpp", Some(2048), Some(3)));
    assert_eq!(info.fingerprint.as_deref(), Some("/m.gguf"));
    assert_eq!(model.limiter().limit(), 3, "no more at once than it has slots");

    let bare = Script::new(vec![not_found(), not_found(), http("200 OK", "", "<html></html>")]);
    assert_eq!(client(&bare.url, |_| {}).info().await.expect("nothing known"), gradus_model::Info::default());
    let down = client("http://127.0.0.1:9", |_| {}).info().await.expect_err("nobody listens");
    assert_eq!(down.kind, FaultKind::Transient);
}

#[tokio::test]
async fn a_bare_url_takes_the_only_model_that_is_served() {
    let one = mock(|config| config.served = vec!["only".into()]);
    let model = OpenAi::connect(OpenAiConfig::new(one.url(), "")).await.expect("one model");
    assert_eq!(model.identity().name, "only");
    assert_eq!(ask(&model, "1+1?", 0).await.expect("an answer").model.as_deref(), Some("only"));
    let two = mock(|config| config.served = vec!["a".into(), "b".into()]);
    let fault = OpenAi::connect(OpenAiConfig::new(two.url(), "")).await.expect_err("which?");
    assert!(
        fault.kind == FaultKind::ModelNotFound && fault.message.contains("serves 2 models (a, b); name one: openai:"),
        "{fault}"
    );
    assert!(OpenAi::new(OpenAiConfig::new(one.url(), "")).is_err());
    assert!(OpenAi::new(OpenAiConfig::new("ftp://host", "m")).is_err());
}

#[tokio::test]
async fn https_to_a_server_without_it_is_a_fault() {
    let mock = mock(|_| {});
    let fault =
        ask(&client(&mock.url().replace("http:", "https:"), |_| {}), "1+1?", 0).await.expect_err("no TLS there");
    assert!(fault.kind == FaultKind::Transient && fault.message.contains("no answer"), "{fault}");
}

#[tokio::test]
async fn the_limit_follows_a_server_that_refuses() {
    let mock = mock(|config| {
        config.rate_limit = Some(50);
        config.latency = Duration::from_millis(5);
    });
    let model = Arc::new(client(&mock.url(), |_| {}));
    let tasks: Vec<_> = (0..120)
        .map(|seed| {
            let model = Arc::clone(&model);
            tokio::spawn(async move {
                let mut refused = 0;
                loop {
                    match ask(model.as_ref(), "1+1?", seed).await {
                        Ok(_) => return refused,
                        Err(fault) => {
                            assert_eq!(fault.kind, FaultKind::RateLimited, "{fault}");
                            refused += 1;
                        }
                    }
                }
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.expect("no panic");
    }
    let stats = mock.stats();
    assert_eq!((stats.answered, stats.distinct_bodies, stats.asked_again), (120, 120, 0));
    assert!(refused > 0 && stats.requests == 120 + refused);
    assert!(model.limiter().limit() < 64, "{}", model.limiter().limit());
}

#[tokio::test]
async fn a_pool_spreads_load_keeps_like_prompts_together_and_leaves_the_dead() {
    let servers: Vec<MockHandle> = (0..3).map(|_| mock(|config| config.latency = Duration::from_millis(20))).collect();
    let replicas = || servers.iter().map(|server| client(&server.url(), |_| {})).collect::<Vec<_>>();
    let pool = Arc::new(Pool::new(replicas()).expect("one model"));
    for seed in 0..6 {
        ask(pool.as_ref(), "the same question", seed).await.expect("an answer");
    }
    let mut counts: Vec<u64> = servers.iter().map(|server| server.stats().requests).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 0, 6], "one after another, the same prompt goes to the same server");

    let tasks: Vec<_> = (0..30)
        .map(|seed| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { ask(pool.as_ref(), "the same question", 100 + seed).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("no panic"));
    }
    for server in &servers {
        assert!(server.stats().requests >= 8, "{:?}", server.stats());
    }

    let mut with_dead = replicas();
    with_dead.push(client("http://127.0.0.1:9", |config| {
        config.limits.breaker_failures = 1;
        config.limits.breaker_pause = Duration::from_mins(1);
    }));
    let pool = Pool::new(with_dead).expect("one model");
    let mut faults = 0;
    for n in 0..60 {
        faults += usize::from(ask(&pool, &format!("question {n}"), n).await.is_err());
    }
    assert_eq!(faults, 1, "the dead one is tried and left");
    let info = pool.info().await.expect("three answer");
    assert_eq!((info.server.as_str(), info.context), ("gradus-mock", Some(32_768)));

    let other = client(&servers[0].url(), |config| config.model = "other".into());
    let mut mixed = replicas();
    mixed.push(other);
    assert!(Pool::new(mixed).expect_err("two models").to_string().contains("`m` and `other`"));
    assert!(Pool::new(Vec::new()).is_err());
}

#[tokio::test]
async fn a_stopped_server_drops_its_connections() {
    let server = mock(|config| config.faults.hang = 1.0);
    let model = Arc::new(client(&server.url(), |_| {}));
    let task = {
        let model = Arc::clone(&model);
        tokio::spawn(async move { ask(model.as_ref(), "1+1?", 0).await })
    };
    while server.stats().requests == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(server);
    assert_eq!(task.await.expect("no panic").expect_err("cut").kind, FaultKind::Transient);
}

fn bank(n: usize) -> Vec<MockQuestion> {
    let question = |n: usize| MockQuestion {
        question: format!("What is {n} + 1?\nGive a number ({n})."),
        reply_right: format!("It is \\boxed{{{}}}.", n + 1),
        reply_wrong: format!("It is \\boxed{{{}}}.", n + 2),
    };
    (0..n).map(question).collect()
}

#[tokio::test]
async fn questions_of_the_bank_are_answered_at_their_own_rates() {
    let mock = mock(|config| config.replies = Replies::new(bank(200)));
    let rate = async |model: &OpenAi, n: usize| {
        let prompt = format!("Solve this.\n\nWhat is {n} + 1?\nGive a number ({n}).\n\nBox the answer.");
        let mut right = 0_u32;
        for seed in 0..24 {
            let answer = ask(model, &prompt, seed).await.expect("an answer").answer.expect("an answer");
            assert!(
                answer.contains(&format!("\\boxed{{{}}}", n + 1)) || answer.contains(&format!("\\boxed{{{}}}", n + 2)),
                "{answer}"
            );
            right += u32::from(answer.contains(&format!("\\boxed{{{}}}", n + 1)));
        }
        right
    };
    let student = client(&mock.url(), |_| {});
    let teacher = client(&mock.url(), |config| config.model = "teacher".into());
    let (mut never, mut always, mut students, mut teachers) = (0, 0, 0, 0);
    for n in 0..60 {
        let right = rate(&student, n).await;
        never += u32::from(right == 0);
        always += u32::from(right == 24);
        students += right;
        teachers += rate(&teacher, n).await;
    }
    assert!(never >= 3 && always >= 3, "{never} never, {always} always of 60");
    assert!(f64::from(teachers) > 1.2 * f64::from(students), "{teachers} and {students}");
}
