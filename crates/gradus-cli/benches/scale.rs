//! What a large run costs: memory, and CPU time per request.
//!
//! `cargo bench -p gradus-cli --bench scale -- memory [QUESTIONS]`: peak memory of `gradus probe` and `gradus run`
//! over a generated bank, two attempts per question.
//! `cargo bench -p gradus-cli --bench scale -- cost [QUESTIONS] [TOKENS]`: CPU time per request of `gradus probe`
//! at 256 requests in flight, against a bare loop of the same HTTP client with the same bodies, by turns.
//!
//! All three, server, run and loop, are processes of their own; CPU time is that of a process, user and system,
//! and does not depend on what else the machine does, as far as caches go.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gradus::attempt::Source;
use gradus::config::{Config, SamplingConfig};
use gradus::ingest::Ingest;
use gradus::prompt::Asker;
use gradus::work::Task;
use gradus_model::Identity;
use gradus_model::openai::{OpenAi, OpenAiConfig};
use serde_json::{Value, json};

/// Requests at once, of the run and of the bare loop.
const IN_FLIGHT: usize = 256;
/// Attempts per question.
const ATTEMPTS: usize = 2;
/// Turns of run and loop.
const TURNS: usize = 5;
/// Limit sent with each request; the default model name stands in the keys and bodies.
const MAX_TOKENS: u32 = 4096;
const MODEL: &str = "mock-student";

fn main() {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |n| n.parse().expect("a number"));
    match arguments.first() {
        Some(&"bare") => bare(arguments[1], Path::new(arguments[2])),
        Some(&"memory") => memory(number(1, 100_000)),
        Some(&"cost") => cost(number(1, 10_000), number(2, 0)),
        _ => {
            memory(100_000);
            cost(10_000, 0);
        }
    }
}

/// Runs one directory over a large bank: the student alone, and then everything.
fn memory(n_questions: usize) {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let mock = set_up(home.path(), n_questions, 0);
    for command in ["probe", "run"] {
        let before = mock.count("requests");
        let spent = spend(gradus(command, home.path(), &home.path().join("run")), None);
        println!(
            "{command}: {n_questions} questions, {} requests: {:.0} MB at most, {:.1} CPU seconds, {:.0} s",
            mock.count("requests") - before,
            spent.peak_kb as f64 / 1e3,
            spent.cpu,
            spent.wall.as_secs_f64(),
        );
    }
    let size = std::fs::metadata(home.path().join("run/ledger.sqlite")).expect("the run has a ledger").len();
    println!("ledger: {:.0} MB", size as f64 / 1e6);
}

/// Compares runs with bare loops.
fn cost(n_questions: usize, tokens: usize) {
    let home = tempfile::tempdir().expect("a temporary folder can be made");
    let mock = set_up(home.path(), n_questions, tokens);
    let n_requests = n_questions * ATTEMPTS;
    let per_request = |cpu: f64| cpu * 1e6 / n_requests as f64;
    std::fs::write(home.path().join("bodies.jsonl"), bodies(home.path())).expect("a file can be written");
    let mut rounds = Vec::new();
    for turn in 0..TURNS {
        let mut loop_ = Command::new(std::env::current_exe().expect("this program is a file"));
        loop_
            .arg("bare")
            .arg(format!("http://{}/v1/chat/completions", mock.address))
            .arg(home.path().join("bodies.jsonl"));
        let output = loop_.stderr(Stdio::inherit()).output().expect("this program runs");
        assert!(output.status.success(), "the bare loop failed");
        let bare: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("the loop prints seconds");

        let run_dir = home.path().join(format!("run{turn}"));
        let spent = spend(gradus("probe", home.path(), &run_dir), Some(&run_dir));
        let again = spend(gradus("probe", home.path(), &run_dir), None);
        std::fs::remove_dir_all(run_dir).expect("it is there");
        println!(
            "turn {turn}: microseconds of CPU per request: bare loop {:.1}, asking {:.1}, whole process {:.1} (with \
             everything recorded {:.1})",
            per_request(bare),
            per_request(spent.asking),
            per_request(spent.cpu),
            per_request(again.cpu),
        );
        rounds.push((spent.asking / bare, spent.cpu / bare));
    }
    assert_eq!(mock.count("distinct_bodies") as usize, n_requests, "run and loop send the same bodies");
    let median = |mut ratios: Vec<f64>| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    println!(
        "{n_requests} requests, {IN_FLIGHT} in flight: asking costs {:.2} times the bare loop, the whole process {:.2} \
         times (median of {TURNS})",
        median(rounds.iter().map(|(asking, _)| *asking).collect()),
        median(rounds.iter().map(|(_, whole)| *whole).collect()),
    );
}

/// Writes bank and config, and starts the server.
fn set_up(home: &Path, n_questions: usize, tokens: usize) -> Mock {
    let mut bank = String::new();
    for n in 0..n_questions {
        let (each, boxes, more) = (n % 97 + 3, n / 97 + 2, n % 89 + 1);
        let question = format!(
            "A baker packs {each} rolls into each of {boxes} boxes and puts {more} more rolls on a tray. In the \
             afternoon the boxes and the tray are taken to the market. How many rolls are taken to the market?"
        );
        let row =
            json!({ "id": format!("rolls-{n}"), "question": question, "answer": (each * boxes + more).to_string() });
        writeln!(bank, "{row}").expect("a String takes all");
    }
    std::fs::write(home.join("bank.jsonl"), bank).expect("a file can be written");
    let mock = Mock::start(&home.join("bank.jsonl"), tokens);
    let model = |name: &str| json!({ "model": format!("openai:http://{}#{name}", mock.address) });
    // JSON is YAML.
    let config = json!({
        "bank": { "path": "bank.jsonl" },
        "student": model(MODEL),
        "teacher": model("mock-teacher"),
        "probe": { "attempts": ATTEMPTS, "sampling": { "max_tokens": MAX_TOKENS } },
        "driver": { "in_flight": IN_FLIGHT },
    });
    std::fs::write(home.join("gradus.yaml"), config.to_string()).expect("a file can be written");
    mock
}

/// The server, which counts.
struct Mock {
    child: Child,
    address: String,
}

impl Mock {
    fn start(bank: &Path, tokens: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["mock", "--port", "0", "--latency-ms", "20", "--tokens", &tokens.to_string(), "--bank"])
            .arg(bank)
            .stdout(Stdio::piped())
            .spawn()
            .expect("gradus runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it says its address");
        let address = line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
        Self { child, address: address.expect("it says a URL").to_owned() }
    }

    fn count(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(&self.address).expect("the server listens");
        let mut answer = String::new();
        write!(stream, "GET /stats HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)
            .and_then(|()| stream.read_to_string(&mut answer))
            .expect("the server answers");
        let stats = answer.split_once("\r\n\r\n").expect("an answer has a head").1;
        serde_json::from_str::<Value>(stats).expect("it is JSON")[name].as_u64().expect("it has this count")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gradus(command: &str, home: &Path, run_dir: &Path) -> Command {
    let mut gradus = Command::new(env!("CARGO_BIN_EXE_gradus"));
    gradus.args([command, "--quiet", "--config"]).arg(home.join("gradus.yaml")).arg("--run-dir").arg(run_dir);
    gradus.stdout(Stdio::null());
    gradus
}

/// What a process used.
struct Spent {
    /// Most resident memory, in kB.
    peak_kb: u64,
    /// Seconds of CPU, user and system.
    cpu: f64,
    /// Seconds of CPU between the reading of the bank and the making of the tables.
    asking: f64,
    wall: Duration,
}

/// Runs a process to its end, and watches it; `run_dir` tells where its asking begins and ends.
fn spend(mut command: Command, run_dir: Option<&Path>) -> Spent {
    let began = Instant::now();
    let mut child = command.spawn().expect("gradus runs");
    let process = Path::new("/proc").join(child.id().to_string());
    let mut peak_kb = 0;
    let mut asking: [Option<f64>; 2] = [None; 2];
    loop {
        // The peak is gone as soon as the process ends, the CPU time only when it is waited for.
        let status = std::fs::read_to_string(process.join("status")).expect("a child that nobody waited for is there");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak_kb = peak.map_or(peak_kb, |peak| peak.trim().trim_end_matches(" kB").parse().expect("a number of kB"));
        if let Some(run_dir) = run_dir {
            for (at, table) in ["questions.parquet", "attempts.parquet.partial"].into_iter().enumerate() {
                if asking[at].is_none() && run_dir.join("tables").join(table).exists() {
                    asking[at] = Some(cpu_seconds(&process));
                }
            }
        }
        if status.contains("\nState:\tZ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let cpu = cpu_seconds(&process);
    assert!(child.wait().expect("it has ended").success(), "gradus failed");
    let asking = asking[0].zip(asking[1]).map_or(0.0, |(from, to)| to - from);
    Spent { peak_kb, cpu, asking, wall: began.elapsed() }
}

/// Seconds of CPU of a process and its threads, in steps of 10 ms.
fn cpu_seconds(process: &Path) -> f64 {
    let stat = std::fs::read_to_string(process.join("stat")).expect("the process is there");
    // The name stands in brackets and may hold anything; after it come state, parents, ... and the times.
    let fields: Vec<&str> = stat.rsplit_once(')').expect("the name is in brackets").1.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number of ticks");
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// The bodies that `gradus probe` sends, one a line, with the id of the request ahead.
fn bodies(home: &Path) -> String {
    let text = std::fs::read_to_string(home.join("gradus.yaml")).expect("the config is there");
    let config = Config::read(&text, &[]).expect("the config is right");
    let sampling = &config.probe.sampling;
    let SamplingConfig { temperature, top_p, .. } = sampling;
    let asker = Asker {
        model: Identity { name: MODEL.to_owned(), revision: String::new() },
        system: None,
        sampling: sampling.into(),
        extra: serde_json::Map::new(),
        prompts: Arc::default(),
    };
    let mut bodies = String::new();
    for question in Ingest::open(&config, home).expect("the bank is right").questions() {
        let question = question.expect("the bank did not change");
        for work in asker.ask(&question, Source::Student, 0..ATTEMPTS as u32) {
            let key = work.keys().1.attempt;
            let Task::Generate(generation) = work.task else { unreachable!("an asker asks a model") };
            let body = json!({
                "model": MODEL, "messages": generation.messages, "temperature": temperature, "top_p": top_p,
                "seed": key.seed(), "stream": true, "stream_options": { "include_usage": true },
                "max_tokens": MAX_TOKENS,
            });
            writeln!(bodies, "{} {body}", key.short()).expect("a String takes all");
        }
    }
    bodies
}

/// Sends each body once and reads the whole answer; prints the seconds of CPU that took.
fn bare(url: &str, bodies: &Path) {
    let bodies = std::fs::read_to_string(bodies).expect("the file is there");
    let bodies: Vec<(&'static str, &'static str)> =
        bodies.leak().lines().map(|line| line.split_once(' ').expect("an id and a body")).collect();
    let bodies = Arc::new(bodies);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads can be started");
    // Whoever makes one of these has a TLS provider installed, without which there is no client.
    OpenAi::new(OpenAiConfig::new(url, MODEL)).expect("the address is a URL");
    // The settings of `gradus_model::openai`.
    let client = reqwest::Client::builder()
        .user_agent("gradus/bench")
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_mins(1))
        .no_proxy()
        .tls_certs_only([])
        .build()
        .expect("a client can be made");
    let before = cpu_seconds(Path::new("/proc/self"));
    runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let worker = |_| {
            let (next, bodies, client, url) = (next.clone(), bodies.clone(), client.clone(), url.to_owned());
            tokio::spawn(async move {
                while let Some((id, body)) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let request = client.post(&url).header("content-type", "application/json");
                    let answer = request.header("x-request-id", *id).body(*body).send().await.expect("it answers");
                    assert!(answer.status().is_success());
                    assert!(answer.bytes().await.expect("a whole answer").ends_with(b"data: [DONE]\n\n"));
                }
            })
        };
        for task in (0..IN_FLIGHT).map(worker).collect::<Vec<_>>() {
            task.await.expect("no worker panics");
        }
    });
    println!("{}", cpu_seconds(Path::new("/proc/self")) - before);
}
