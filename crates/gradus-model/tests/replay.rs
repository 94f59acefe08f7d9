//! Replay of recordings: written here, and the real ones of `../shared/data` where they are at hand.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_model::replay::{Replay, ReplayError};
use gradus_model::{
    Completion, Fault, FaultKind, Finish, Generate, Model, Sampling, Score, ScoreForm, Scores, StepScore,
};

fn request(source_ids: &[&str], attempt: u32) -> Generate {
    Generate {
        messages: Vec::new(),
        sampling: Sampling { temperature: 0.0, top_p: 1.0, top_k: None, min_p: None, max_tokens: 1, stop: Vec::new() },
        seed: 0,
        extra: serde_json::Map::new(),
        request_id: String::new(),
        source_ids: source_ids.iter().map(|id| (*id).to_owned()).collect::<Arc<[String]>>(),
        attempt,
    }
}

fn ask(replay: &Replay, source_ids: &[&str], attempt: u32) -> Result<Completion, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(replay.generate(&request(source_ids, attempt)))?.read()
}

fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join(name);
    std::fs::File::create(&file).and_then(|mut f| f.write_all(bytes)).expect("written");
    (dir, file)
}

fn row(id: &str, model: &str, sample: u32, response: &str) -> String {
    serde_json::json!({ "question_id": id, "model": model, "sample": sample, "response": response }).to_string() + "\n"
}

#[test]
fn attempts_are_numbered_by_sample_and_then_by_place_in_the_file() {
    let rows =
        [row("q", "m", 1, "third"), row("q", "m", 0, "first"), row("q", "m", 0, "second"), row("q", "n", 0, "no")];
    let (_dir, file) = written("r.jsonl", rows.concat().as_bytes());
    let replay = Replay::open(&file, "m").expect("opens");
    for (attempt, answer) in [(0, "first"), (1, "second"), (2, "third")] {
        assert_eq!(ask(&replay, &["q"], attempt).expect("recorded").answer.as_deref(), Some(answer));
    }
    assert_eq!(ask(&replay, &["q"], 3).expect_err("no fourth").kind, FaultKind::NotRecorded);
    assert_eq!(ask(&replay, &["p"], 0).expect_err("no such question").kind, FaultKind::NotRecorded);
    assert_eq!((replay.duplicates(), replay.n_questions()), (1, 1));
}

#[test]
fn any_source_id_finds_the_answers_and_each_is_used_once() {
    let (_dir, file) = written("r.jsonl", (row("a", "m", 0, "of a") + &row("b", "m", 0, "of b")).as_bytes());
    let replay = Replay::open(&file, "m").expect("opens");
    let ids = ["unknown", "b", "b", "a"];
    assert_eq!(ask(&replay, &ids, 0).expect("recorded").answer.as_deref(), Some("of b"));
    assert_eq!(ask(&replay, &ids, 1).expect("recorded").answer.as_deref(), Some("of a"));
    assert_eq!(ask(&replay, &ids, 2).expect_err("used up").kind, FaultKind::NotRecorded);
}

#[test]
fn an_unknown_model_lists_near_names() {
    let rows = ["Qwen/Qwen2.5-3B-Instruct", "openai/o1-mini-2024-09-12", "o1"].map(|model| row("q", model, 0, "x"));
    let (_dir, file) = written("r.jsonl", rows.concat().as_bytes());
    let error = Replay::open(&file, "qwen2.5-3b-instruct").expect_err("another name");
    let ReplayError::UnknownModel { near, n_models, .. } = &error else { panic!("{error}") };
    assert_eq!((near[0].as_str(), *n_models), ("Qwen/Qwen2.5-3B-Instruct", 3));
    assert!(error.to_string().contains("of 3 other models; nearest: Qwen/Qwen2.5-3B-Instruct"), "{error}");
}

#[test]
fn rows_end_at_line_feeds_only_and_bad_rows_are_named() {
    let rows = row("q", "m", 0, "a\u{2028}b\u{85}c") + "\n" + &row("p", "m", 0, "d");
    let (_dir, file) = written("r.jsonl", rows.as_bytes());
    let replay = Replay::open(&file, "m").expect("opens");
    assert_eq!(ask(&replay, &["q"], 0).expect("recorded").answer.as_deref(), Some("a\u{2028}b\u{85}c"));
    let (_dir, file) = written("r.jsonl", (rows + "{\"model\": 7}\n").as_bytes());
    let error = Replay::open(&file, "m").expect_err("a bad row");
    assert!(matches!(error, ReplayError::Row { line: 4, .. }), "{error}");
}

#[test]
fn compressed_recordings_give_the_same_answers_and_their_own_identity() {
    let rows = row("q", "m", 0, "<think>a</think>b");
    let zst = zstd::encode_all(rows.as_bytes(), 0).expect("compressed");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(rows.as_bytes()).expect("compressed");
    let gz = gz.finish().expect("compressed");
    let mut revisions = Vec::new();
    for (name, bytes) in [("r.jsonl", rows.as_bytes()), ("r.jsonl.zst", &zst), ("r.jsonl.gz", &gz)] {
        let (_dir, file) = written(name, bytes);
        let replay = Replay::open(&file, "m").expect("opens");
        let completion = ask(&replay, &["q"], 0).expect("recorded");
        assert_eq!((completion.reasoning.as_deref(), completion.answer.as_deref()), (Some("a"), Some("b")));
        assert_eq!(replay.identity().revision, format!("replay:{}", &blake3::hash(bytes).to_hex()[..16]));
        revisions.push(replay.identity().revision.clone());
    }
    revisions.dedup();
    assert_eq!(revisions.len(), 3);
    let (_dir, file) = written("r.jsonl.zst", rows.as_bytes());
    assert!(matches!(Replay::open(&file, "m"), Err(ReplayError::Io { .. })), "not compressed at all");
}

#[test]
fn an_empty_recorded_answer_is_a_result() {
    let (_dir, file) = written("r.jsonl", row("q", "m", 0, "").as_bytes());
    let completion = ask(&Replay::open(&file, "m").expect("opens"), &["q"], 0).expect("a result");
    assert_eq!((completion.answer, completion.finish), (None, Finish::Other("empty".into())));
}

#[test]
fn long_cots_without_their_closing_mark_are_unfinished_where_the_model_closes_others() {
    let long = |id: &str, response: &str| {
        let row = serde_json::json!({ "question_id": id, "model": "m", "response": response, "format": "long-cot", "meta": { "thinking_tokens": 9 } });
        row.to_string() + "\n"
    };
    let (_dir, file) = written("r.jsonl", (long("a", "hm</think>4") + &long("b", "hm, hm")).as_bytes());
    let replay = Replay::open(&file, "m").expect("opens");
    let whole = ask(&replay, &["a"], 0).expect("recorded");
    assert_eq!((whole.answer.as_deref(), whole.usage.reasoning), (Some("4"), Some(9)));
    let cut = ask(&replay, &["b"], 0).expect("recorded");
    assert_eq!((cut.reasoning.as_deref(), cut.answer, cut.finish), (Some("hm, hm"), None, Finish::Length));
    let (_dir, file) = written("r.jsonl", long("b", "hm, hm").as_bytes());
    let open = ask(&Replay::open(&file, "m").expect("opens"), &["b"], 0).expect("recorded");
    assert_eq!(open.answer.as_deref(), Some("hm, hm"));
}

#[test]
fn thinking_recorded_apart_is_not_cut_at_the_marks_that_it_or_the_answer_speaks_of() {
    let row = serde_json::json!({
        "question_id": "q", "model": "m", "reasoning": "It ends with </think> here.", "response": "<think>is a mark</think>: 4",
    });
    let (_dir, file) = written("r.jsonl", (row.to_string() + "\n").as_bytes());
    let completion = ask(&Replay::open(&file, "m").expect("opens"), &["q"], 0).expect("recorded");
    assert_eq!(completion.reasoning.as_deref(), Some("It ends with </think> here."));
    assert_eq!(completion.answer.as_deref(), Some("<think>is a mark</think>: 4"));
    assert_eq!(completion.finish, Finish::Stop);
}

#[test]
fn a_row_can_say_how_its_answer_ended() {
    let finish = |finish: serde_json::Value, response: &str| {
        let row = serde_json::json!({ "question_id": "q", "model": "m", "response": response, "finish": finish });
        let (_dir, file) = written("r.jsonl", (row.to_string() + "\n").as_bytes());
        ask(&Replay::open(&file, "m").expect("opens"), &["q"], 0).expect("recorded").finish
    };
    assert_eq!(finish("length".into(), "so far"), Finish::Length);
    assert_eq!(finish("abort".into(), "so far"), Finish::Length);
    assert_eq!(finish("content_filter".into(), "so far"), Finish::ContentFilter);
    // Anything else says nothing.
    for word in ["stop".into(), "by_a_star".into(), 3.into(), serde_json::Value::Null] {
        assert_eq!(finish(word, "4"), Finish::Stop);
    }
}

/// The rows of a recording of `../shared/data`, or a line that says that it is absent.
fn shared(name: &str) -> Option<(PathBuf, Vec<serde_json::Value>)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings").join(name);
    if !file.exists() {
        println!("skipped: ../shared/data/recordings/{name} is absent");
        return None;
    }
    let text = zstd::decode_all(std::fs::File::open(&file).expect("opens")).expect("decompresses");
    let rows = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Some((file, rows.map(|line| serde_json::from_slice(line).expect("a row")).collect()))
}

/// The answer that we find is the one that the recording's own evaluation extracted.
#[test]
fn real_zeroeval_answers_are_those_that_were_extracted_when_recorded() {
    for (name, at_least) in [("math_l5_zeroeval.jsonl.zst", 0.99), ("gsm8k_zeroeval.jsonl.zst", 0.99)] {
        let Some((file, rows)) = shared(name) else { return };
        let models: std::collections::BTreeSet<&str> =
            rows.iter().map(|row| row["model"].as_str().expect("a name")).collect();
        let (mut same, mut all, mut cut, mut control) = (0, 0, 0, 0);
        // Every sixth model: each opens the file anew. GRADUS_SHOW compares all, and prints what differs.
        let step = if std::env::var_os("GRADUS_SHOW").is_some() { 1 } else { 6 };
        for model in models.into_iter().step_by(step) {
            let replay = Replay::open(&file, model).expect("opens");
            let mut mine: Vec<&serde_json::Value> = rows.iter().filter(|row| row["model"] == model).collect();
            mine.sort_by_key(|row| (row["question_id"].as_str(), row["sample"].as_u64()));
            let mut attempt = 0;
            for (at, row) in mine.iter().enumerate() {
                let id = row["question_id"].as_str().expect("an id");
                attempt = if at > 0 && mine[at - 1]["question_id"] == id { attempt + 1 } else { 0 };
                let completion = ask(&replay, &[id], attempt).expect("recorded");
                let text = format!(
                    "{}{}",
                    completion.reasoning.as_deref().unwrap_or(""),
                    completion.answer.as_deref().unwrap_or("")
                );
                control += usize::from(text.contains(['\u{8}', '\u{c}']));
                cut += usize::from(completion.finish == Finish::Length);
                let Some(extracted) = row["extracted"]
                    .as_str()
                    .filter(|_| row["response"].as_str().is_some_and(|r| r.contains("\"answer\"")))
                else {
                    continue;
                };
                all += 1;
                let ours = completion.answer.unwrap_or_default();
                if ours.trim() == extracted.trim() {
                    same += 1;
                } else if std::env::var_os("GRADUS_SHOW").is_some() {
                    println!(
                        "{name} {model} {id}\n  ours {ours:?}\n  was  {extracted:?}\n  end  {:?}",
                        &row["response"].as_str().map(|r| r
                            .chars()
                            .rev()
                            .take(200)
                            .collect::<Vec<_>>()
                            .into_iter()
                            .rev()
                            .collect::<String>())
                    );
                }
            }
        }
        println!("{name}: {same} of {all} as extracted, {cut} cut");
        assert_eq!(control, 0, "no LaTeX command became a control character");
        assert!(f64::from(same) >= at_least * f64::from(all), "{name}: {same} of {all}");
    }
}

#[test]
fn real_long_cots_are_split_from_their_answers() {
    let Some((file, rows)) = shared("gsm8k_mip_normal.jsonl.zst") else { return };
    for model in ["deepseek-ai/DeepSeek-R1", "Qwen/QwQ-32B", "simplescaling/s1.1-32B"] {
        let replay = Replay::open(&file, model).expect("opens");
        let (mut split, mut unfinished) = (0, 0);
        for id in replay.question_ids() {
            let completion = ask(&replay, &[id], 0).expect("recorded");
            let reasoning = completion.reasoning.expect("it thinks");
            assert!(!reasoning.starts_with("think\n") && !reasoning.contains("</think>"), "{reasoning}");
            split += usize::from(completion.answer.is_some());
            unfinished += usize::from(completion.answer.is_none());
        }
        println!("{model}: {split} split, {unfinished} without an answer");
        assert!(split >= 280, "{model}: {split} of {}", replay.n_questions());
    }
    // Its provider counted the thinking, some of it as none, and showed nothing of it.
    let replay = Replay::open(&file, "o1").expect("opens");
    let counted: Vec<_> = rows.iter().filter(|row| row["model"] == "o1").collect();
    assert_eq!(counted.len(), replay.n_questions());
    for row in counted {
        let completion = ask(&replay, &[row["question_id"].as_str().expect("an id")], 0).expect("recorded");
        assert_eq!(completion.usage.reasoning, row["meta"]["thinking_tokens"].as_u64(), "{}", row["question_id"]);
        assert_eq!(completion.reasoning, None);
    }
}

#[test]
fn every_real_recorded_answer_can_be_read() {
    let Some((known, _)) = shared("gsm8k_mip_normal.jsonl.zst") else { return };
    for entry in std::fs::read_dir(known.parent().expect("a folder")).expect("readable") {
        let name = entry.expect("readable").file_name().into_string().expect("a name");
        let Some((file, rows)) = shared(&name) else { return };
        let model = rows[rows.len() / 2]["model"].as_str().expect("a name");
        let n_rows = rows.iter().filter(|row| row["model"] == model).count();
        let replay = Replay::open(&file, model).expect("opens");
        let mut n_read = 0;
        for id in replay.question_ids() {
            for attempt in 0..replay.n_attempts(&[id.to_owned()]) {
                let completion = ask(&replay, &[id], attempt as u32).expect("recorded");
                let empty = completion.reasoning.is_none() && completion.answer.is_none();
                assert!(!empty || completion.finish != Finish::Stop, "{name} {id}");
                n_read += 1;
            }
        }
        assert_eq!(n_read, n_rows, "{name} {model}: each answer once");
    }
}

/// A scoring of an attempt's steps, one call for all of them.
fn scoring(id: &str, attempt: u32, steps: &[&str]) -> Score {
    Score {
        form: ScoreForm::Pooling { mark: "<extra_0>".into(), system: None, positive: 1 },
        question: "How much?".into(),
        steps: steps.iter().map(|step| (*step).to_owned()).collect(),
        extra: serde_json::Map::new(),
        request_id: String::new(),
        source_ids: Arc::new([id.to_owned()]),
        attempt,
    }
}

fn scores(replay: &Replay, request: &Score) -> Result<Scores, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let raw = runtime.block_on(replay.score(request))?;
    Ok(raw.read_scores(&request.form, request.steps.len()).expect("score gives only what can be read"))
}

#[test]
fn recorded_scores_of_steps_are_given_for_the_attempt_that_they_name() {
    let rows = concat!(
        r#"{"id":"q","model":"prm","attempt":2,"scores":[0.9,null,[0.2,1.0]],"steps":["a"," b","c\n"]}"#,
        "\n",
        r#"{"question_id":"q","model":"prm","sample":0,"labels":[true,false]}"#,
        "\n",
        r#"{"question_id":"q","model":"prm","sample":1,"labels":["+","-"]}"#,
        "\n",
        r#"{"question_id":"p","model":"prm","ratings":[1,0,-1]}"#,
        "\n",
    );
    let (_dir, file) = written("scores.jsonl", rows.as_bytes());
    let replay = Replay::open(&file, "prm").expect("opens");
    let all = |id: &str, attempt, steps: &[&str]| scores(&replay, &scoring(id, attempt, steps)).map(|said| said.steps);
    use StepScore::{Bounded, Known, Undecided};
    assert_eq!(
        all("q", 2, &["a", "b", "c"]).expect("recorded"),
        [Known(0.9), Undecided, Bounded { low: 0.2, high: 1.0 }]
    );
    for attempt in [0, 1] {
        assert_eq!(all("q", attempt, &["x", "y"]).expect("recorded"), [Known(1.0), Known(0.0)]);
    }
    assert_eq!(all("p", 0, &["x", "y", "z"]).expect("recorded"), [Known(1.0), Known(1.0), Known(0.0)]);
    // One call per step: the last of the steps so far.
    let labels = ScoreForm::ChatLabels { positive: "+".into(), negative: "-".into(), top: 5 };
    let last = Score { form: labels, ..scoring("q", 2, &["a"]) };
    assert_eq!(scores(&replay, &last).expect("recorded").steps, [Known(0.9)]);
    for (id, attempt, steps, words) in [
        ("q", 2, vec!["a", "b"], "2 steps are wanted, 3 are recorded"),
        ("q", 2, vec!["a", "B", "c"], "step 2 is another one"),
        ("q", 3, vec!["a"], "none of this attempt"),
        ("unknown", 0, vec!["a"], "scores.jsonl holds no scores for attempt 1 at unknown"),
    ] {
        let fault = all(id, attempt, &steps).expect_err(words);
        assert!(fault.kind == FaultKind::NotRecorded && fault.message.contains(words), "{fault}");
    }
    // Scores are no answers.
    assert_eq!(ask(&replay, &["q"], 0).expect_err("no answer").kind, FaultKind::NotRecorded);
}

#[test]
fn a_score_of_the_whole_answer_stands_beside_the_answer() {
    let rows = [
        r#"{"question_id":"q","model":"m","sample":4,"response":"second","meta":{"rm_score":[0.0]}}"#,
        r#"{"question_id":"q","model":"m","sample":1,"response":"first","score":0.125}"#,
        r#"{"question_id":"q","model":"m","sample":5,"response":"third","score":"B","labels":7}"#,
    ];
    let (_dir, file) = written("r.jsonl", rows.join("\n").as_bytes());
    let replay = Replay::open(&file, "m").expect("opens");
    for (attempt, answer, score) in [(0, "first", 0.125), (1, "second", 0.5)] {
        assert_eq!(ask(&replay, &["q"], attempt).expect("recorded").answer.as_deref(), Some(answer));
        let said = scores(&replay, &scoring("q", attempt, &["a", "b", "c"])).expect("recorded");
        assert_eq!((said.whole, said.steps), (Some(StepScore::Known(score)), Vec::new()));
    }
    assert_eq!(scores(&replay, &scoring("q", 2, &["a"])).expect_err("no score").kind, FaultKind::NotRecorded);
}

#[test]
fn scores_that_are_none_are_named_with_their_line() {
    for (fields, words) in [
        (r#""scores":[1.5]"#, "expected a score in 0..=1, found 1.5"),
        (r#""scores":["high"]"#, "expected a score in 0..=1"),
        (r#""scores":[0.5],"steps":["a","b"]"#, "2 steps have 1 scores"),
        (r#""labels":[1]"#, "in `labels`, found 1"),
        (r#""ratings":[2]"#, "in `ratings`, found 2"),
        (r#""score":-1"#, "expected a score in 0..=1, found -1"),
        (r#""meta":{"rm_score":"x"}"#, "in `meta.rm_score`"),
        (r#""scores":0.5"#, "a list in `scores`"),
        (r#""scores":[0.5],"steps":[1]"#, "a list of texts in `steps`"),
    ] {
        let rows = row("q", "m", 0, "fine") + &format!("{{\"question_id\":\"p\",\"model\":\"m\",{fields}}}\n");
        let (_dir, file) = written("r.jsonl", rows.as_bytes());
        let error = Replay::open(&file, "m").expect_err(words);
        assert!(matches!(error, ReplayError::Row { line: 2, .. }) && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn real_reward_model_scores_are_replayed_beside_their_answers() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings/math100_qwen25math_8x.jsonl.zst");
    if !file.exists() {
        println!("skipped: {} is not there", file.display());
        return;
    }
    let replay = Replay::open(&file, "Qwen2.5-Math (size not stated)").expect("opens");
    let mut n_scores = 0;
    for id in replay.question_ids() {
        for attempt in 0..replay.n_attempts(&[id.to_owned()]) as u32 {
            let said = scores(&replay, &scoring(id, attempt, &["the whole answer"])).expect("recorded");
            assert!(matches!(said.whole, Some(StepScore::Known(score)) if (0.0..=1.0).contains(&score)), "{said:?}");
            n_scores += 1;
        }
    }
    assert!(n_scores > 100, "{n_scores}");
    println!("{n_scores} scores");
}
