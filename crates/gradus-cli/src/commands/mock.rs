//! gradus mock: the fault-injecting server of `gradus-model`, with replies made from a bank.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gradus::config::{BankConfig, Config};
use gradus::ingest::{Elsewhere, Ingest};
use gradus::question::{Kind, Question};
use gradus_model::mock::reply::{MockQuestion, Replies, ThinkStyle};
use gradus_model::mock::{Mock, MockConfig, MockFaults, MockHandle, MockLacks, MockPrm};
use gradus_sandbox::Tests;
use gradus_verify::{Answer, Form, Outcome, Reference, verify};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::bank;
use crate::error::CommandError;

/// Serve a pretended model that speaks the OpenAI protocol, with faults where asked for
///
/// It answers to every model name, and the same way to the same request. A name that holds "teacher" or
/// "think" thinks first and is right more often. Questions of the bank get right and wrong answers, judges'
/// prompts well-formed grades. Steps are scored as process reward models do it: over /pooling, as the label `+` or
/// `-` with log-probabilities, and with log-probabilities of the prompt. Code questions get right answers only with the built-in bank.
/// Stop it with Ctrl-C; `GET /stats` tells what has been asked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port to listen on; 0 takes any free one
    #[arg(long, value_name = "N")]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    host: IpAddr,
    /// Bank whose questions it can answer, instead of the built-in one
    #[arg(long, value_name = "FILE")]
    bank: Option<PathBuf>,
    /// Name that /v1/models lists; may be repeated
    #[arg(long = "model", value_name = "NAME", default_value = "mock-student")]
    models: Vec<String>,
    /// Environment variable whose value requests must carry as their key
    #[arg(long, value_name = "VAR")]
    key_env: Option<String>,
    /// Longest context in tokens
    #[arg(long, default_value_t = 32_768, value_name = "N")]
    max_model_len: u32,
    /// What identifies the weights in /v1/models
    #[arg(long, default_value = "mock-weights", value_name = "TEXT")]
    root: String,
    /// Name in every answer, in place of the one that was asked
    #[arg(long, value_name = "NAME")]
    answers_as: Option<String>,
    /// What it silently does not do, as real servers skip fields they do not know; may be repeated
    #[arg(long, value_enum, value_name = "FEATURE")]
    lacks: Vec<Feature>,
    /// Text behind each step in /pooling and in prompts, instead of `<extra_0>` and `ки`
    #[arg(long, value_name = "TEXT")]
    step_mark: Option<String>,
    /// Where a model that thinks puts its thinking
    #[arg(long, value_enum, default_value = "tags", value_name = "PLACE")]
    thinking_in: ThinkingIn,
    /// About how many tokens a reply has
    #[arg(long, default_value_t = 0, value_name = "N")]
    tokens: usize,
    /// Share of right answers to every question; by question if absent
    #[arg(long, value_parser = share, value_name = "SHARE")]
    right_rate: Option<f64>,
    /// Time before the first byte of an answer
    #[arg(long, default_value_t = 0, value_name = "MS")]
    latency_ms: u64,
    /// Up to this much more, drawn for each request
    #[arg(long, default_value_t = 0, value_name = "MS")]
    jitter_ms: u64,
    /// Most requests a second; more get a 429
    #[arg(long, value_parser = rate, value_name = "N")]
    rate_limit: Option<u32>,
    /// Share of requests that get a 429
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    errors_429: f64,
    /// Wait that such a 429 asks for; 0 names none
    #[arg(long, default_value_t = 0, value_name = "MS")]
    retry_after_ms: u64,
    /// Share of requests that get a 500, 502 or 503
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    errors_5xx: f64,
    /// Share of answers cut off by a broken connection
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    cut: f64,
    /// Share of requests that get a web page instead of an answer
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    garbage: f64,
    /// Share of requests that get an error inside a 200
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    error_in_200: f64,
    /// Share of requests that never get a whole answer, on an open connection
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    hang: f64,
    /// Share of answers that end half-way, as at a token limit
    #[arg(long, default_value_t = 0.0, value_parser = share, value_name = "SHARE")]
    truncated: f64,
    /// Seed of the faults
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

/// What the mock can leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Feature {
    /// Log-probabilities of what it writes
    Logprobs,
    /// Log-probabilities of the prompt
    PromptLogprobs,
    /// Ranks beside log-probabilities of the prompt
    Ranks,
    /// The routes /tokenize and /detokenize
    Tokenize,
    /// Several answers to one request
    N,
    /// Answers that fit a JSON schema
    JsonSchema,
    /// The route /pooling
    Pooling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ThinkingIn {
    /// `<think>` tags in the content
    Tags,
    /// The field `reasoning`
    Reasoning,
    /// The field `reasoning_content`
    ReasoningContent,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let mishaps = args.errors_429 + args.errors_5xx + args.cut + args.garbage + args.error_in_200 + args.hang;
    if mishaps > 1.0 + 1e-9 {
        return Err(CommandError::usage(format!("the shares of requests that go wrong sum to {mishaps}, above 1"))
            .hint("`--truncated` is counted apart"));
    }
    let key = match &args.key_env {
        None => None,
        Some(name) => Some(std::env::var(name).ok().filter(|key| !key.is_empty()).ok_or_else(|| {
            CommandError::usage(format!("the environment variable `{name}` is not set"))
                .hint(format!("export {name}=..., any word will do"))
        })?),
    };
    let mut replies = Replies::new(questions(args.bank.as_deref())?);
    replies.right_rate = args.right_rate;
    replies.tokens = args.tokens;
    replies.think_style = match args.thinking_in {
        ThinkingIn::Tags => ThinkStyle::Tags,
        ThinkingIn::Reasoning => ThinkStyle::Reasoning,
        ThinkingIn::ReasoningContent => ThinkStyle::ReasoningContent,
    };
    let mut prm = MockPrm::default();
    if let Some(mark) = args.step_mark.as_ref().filter(|mark| !mark.is_empty()) {
        prm.marks = vec![mark.clone()];
    }
    let lacks = |feature| args.lacks.contains(&feature);
    let config = MockConfig {
        addr: SocketAddr::new(args.host, args.port),
        served: args.models.clone(),
        root: args.root.clone(),
        answers_as: args.answers_as.clone(),
        max_model_len: args.max_model_len,
        key,
        replies,
        prm,
        lacks: MockLacks {
            logprobs: lacks(Feature::Logprobs),
            prompt_logprobs: lacks(Feature::PromptLogprobs),
            ranks: lacks(Feature::Ranks),
            tokenize: lacks(Feature::Tokenize),
            n: lacks(Feature::N),
            json_schema: lacks(Feature::JsonSchema),
            pooling: lacks(Feature::Pooling),
        },
        latency: Duration::from_millis(args.latency_ms),
        jitter: Duration::from_millis(args.jitter_ms),
        rate_limit: args.rate_limit,
        faults: MockFaults {
            seed: args.seed,
            rate_limited: args.errors_429,
            retry_after: Duration::from_millis(args.retry_after_ms),
            server_error: args.errors_5xx,
            cut: args.cut,
            garbage: args.garbage,
            error_in_200: args.error_in_200,
            truncated: args.truncated,
            hang: args.hang,
        },
    };
    let addr = config.addr;
    let server = Mock::start(config).map_err(|error| {
        CommandError::failure(format!("cannot listen on {addr}: {error}"))
            .hint("choose another `--port`; 0 takes any free one")
    })?;
    serve(&server).map_err(|error| CommandError::failure(format!("cannot wait for signals: {error}")))?;
    let stats = server.stats();
    eprintln!(
        "{} requests, {} answered; {} different, {} asked again after a good answer; {} at once at most",
        stats.requests, stats.answered, stats.distinct_bodies, stats.asked_again, stats.most_in_flight
    );
    Ok(())
}

/// Says where the server is, and waits for Ctrl-C or SIGTERM.
fn serve(server: &MockHandle) -> std::io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Both are caught before anybody knows of the server.
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // Whoever started it may have closed its end: it serves all the same.
        let mut stdout = std::io::stdout();
        let _ = writeln!(stdout, "{}", server.url()).and_then(|()| stdout.flush());
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not between 0 and 1")) }
}

fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().ok().filter(|rate| *rate > 0).ok_or_else(|| format!("`{text}` is no number of requests, from 1 on"))
}

/// Every question of the bank that has a right answer, with a right and a wrong reply.
fn questions(bank: Option<&Path>) -> Result<Vec<MockQuestion>, CommandError> {
    let path = bank.map_or_else(|| PathBuf::from("builtin"), Path::to_path_buf);
    let config = Config { bank: vec![BankConfig { path, ..BankConfig::default() }], ..Config::default() };
    let solutions = if bank.is_none() { solutions(bank::QUICKSTART) } else { HashMap::new() };
    let ingest =
        Ingest::open_with(&config, Path::new("."), Elsewhere { builtin: Some(bank::QUICKSTART), fetched: None })?;
    let mut questions = Vec::new();
    for question in ingest.questions() {
        let question = question?;
        let solution = question.source_ids.iter().find_map(|id| solutions.get(id.as_str()));
        questions.extend(replies(&question, solution.map(String::as_str)));
    }
    Ok(questions)
}

/// Solutions of code questions, by id, where rows name one in `meta.canonical_solution`.
fn solutions(bank: &[u8]) -> HashMap<String, String> {
    #[derive(Deserialize)]
    struct Row {
        id: String,
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        canonical_solution: String,
    }
    let rows = bank.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Row>(line).ok());
    rows.map(|row| (row.id, row.meta.canonical_solution)).collect()
}

fn replies(question: &Question, solution: Option<&str>) -> Option<MockQuestion> {
    let (right, wrong) = match question.kind {
        Kind::Code => {
            let stub = stub(question.tests.as_deref()?);
            (solution.map_or_else(|| stub.clone(), str::to_owned), stub)
        }
        kind => (question.references.first()?.clone(), wrong_answer(kind, question)),
    };
    let reply = |answer: &str| match question.kind {
        Kind::Code => format!("This function does what is asked.\n\n```python\n{}\n```", answer.trim_end()),
        Kind::Choice => format!(
            "Step 1: We compare the options one by one.\n\nStep 2: One of them fits.\n\nThe answer is \\boxed{{{answer}}}."
        ),
        Kind::Math | Kind::Text => format!(
            "Step 1: We write down what is given.\n\nStep 2: From this the result follows.\n\nThe answer is \\boxed{{{answer}}}."
        ),
    };
    Some(MockQuestion { question: question.text.clone(), reply_right: reply(&right), reply_wrong: reply(&wrong) })
}

/// An answer that the verifier shows to be wrong, if one of some guesses is.
fn wrong_answer(kind: Kind, question: &Question) -> String {
    let next = question.references.first().and_then(|reference| reference.trim().parse::<i64>().ok());
    let guesses: Vec<String> = match kind {
        Kind::Choice => ["A", "B", "C", "D"].map(str::to_owned).into(),
        Kind::Text => ["zyx", "17", "nobody knows"].map(str::to_owned).into(),
        Kind::Math | Kind::Code => {
            let next = next.and_then(|number| number.checked_add(1)).map(|number| number.to_string());
            next.into_iter().chain([r"\frac{17}{1009}", "1009", r"\{17, 1009\}"].map(str::to_owned)).collect()
        }
    };
    let reference = Reference {
        kind: match kind {
            Kind::Choice => gradus_verify::Kind::Choice,
            Kind::Text => gradus_verify::Kind::Text,
            Kind::Math | Kind::Code => gradus_verify::Kind::Math,
        },
        values: question.references.clone(),
        tolerance: None,
        options: question.options.clone(),
    };
    let is_wrong =
        |guess: &&String| verify(&reference, &Answer { text: guess, form: Form::Bare }).outcome == Outcome::Incorrect;
    guesses.iter().find(is_wrong).unwrap_or(&guesses[0]).clone()
}

/// A program of the right shape that solves nothing.
fn stub(tests: &Tests) -> String {
    let Tests::Function { entry_point, .. } = tests else { return "print()".to_owned() };
    match entry_point.rsplit_once("().") {
        Some((class, method)) => format!("class {class}:\n    def {method}(self, *args):\n        return None"),
        None if entry_point.is_empty() => "pass".to_owned(),
        None => format!("def {entry_point}(*args):\n    return None"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_of_the_built_in_bank_has_a_right_and_a_wrong_reply() {
        let config =
            Config { bank: vec![BankConfig { path: "builtin".into(), ..BankConfig::default() }], ..Config::default() };
        let ingest =
            Ingest::open_with(&config, Path::new("."), Elsewhere { builtin: Some(bank::QUICKSTART), fetched: None })
                .unwrap();
        let solutions = solutions(bank::QUICKSTART);
        for question in ingest.questions() {
            let question = question.unwrap();
            let solution = question.source_ids.iter().find_map(|id| solutions.get(id.as_str()));
            let made = replies(&question, solution.map(String::as_str)).expect("it has a reference or tests");
            if question.kind == Kind::Code {
                assert!(solution.is_some(), "{:?}", question.source_ids);
                assert_ne!(made.reply_right, made.reply_wrong);
                continue;
            }
            let reference = Reference {
                kind: match question.kind {
                    Kind::Choice => gradus_verify::Kind::Choice,
                    Kind::Text => gradus_verify::Kind::Text,
                    _ => gradus_verify::Kind::Math,
                },
                values: question.references.clone(),
                tolerance: None,
                options: question.options.clone(),
            };
            let judge = |text: &str| verify(&reference, &Answer { text, form: Form::Text }).outcome;
            assert_eq!(judge(&made.reply_right), Outcome::Correct, "{:?}", question.source_ids);
            assert_eq!(judge(&made.reply_wrong), Outcome::Incorrect, "{:?}: {}", question.source_ids, made.reply_wrong);
        }
    }
}
