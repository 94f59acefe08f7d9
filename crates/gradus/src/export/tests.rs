//! Exports of small tables made by hand.

mod groups;

use std::path::Path;

use arrow::array::{Array, AsArray};
use gradus_model::Speaker;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::manifest::quoted;
use super::shards::FormatWriter;
use super::tally::Tally;
use super::*;
use crate::config::{Format, Order};
use crate::tables::{CotRow, LevelRow, Row, SelectionRow, TableWriter, VerdictRow};

/// Tables of `n` questions with two chains of thought each, of which the second is kept at every third question.
fn tables(folder: &Path, n: u64, text: &dyn Fn(u64) -> String) {
    let tables = folder.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let mut questions = TableWriter::<QuestionRow>::create(&tables).unwrap();
    let mut levels = TableWriter::<LevelRow>::create(&tables).unwrap();
    let mut cots = TableWriter::<CotRow>::create(&tables).unwrap();
    let mut verdicts = TableWriter::<VerdictRow>::create(&tables).unwrap();
    let mut selection = TableWriter::<SelectionRow>::create(&tables).unwrap();
    for q in 0..n {
        let question_id = format!("{q:016x}");
        questions
            .push(QuestionRow {
                question_id: question_id.clone(),
                source_ids: vec![format!("s{q}")],
                kind: "math".into(),
                question: format!("What is {q} + 1?"),
                references: vec![(q + 1).to_string()],
                tolerance: None,
                tests: None,
                starter: String::new(),
                options: Vec::new(),
                bank_level: None,
                subject: (q % 2 == 0).then(|| "sums".into()),
                source: "hand".into(),
                license: Some("mit".into()),
            })
            .unwrap();
        if q % 4 != 1 {
            levels.push(level(&question_id)).unwrap();
        }
        for attempt in 0..2 {
            let cot_id = format!("{:016x}", q * 2 + attempt);
            let verdict = |role: &str, method: &str| VerdictRow {
                attempt_id: cot_id.clone(),
                question_id: question_id.clone(),
                role: role.into(),
                model: "m".into(),
                verdict: "correct".into(),
                method: method.into(),
                version: "1".into(),
                extracted: None,
                explanation: String::new(),
                tests_passed: None,
                tests_total: None,
                llm_verdict: None,
                llm_reason: None,
            };
            // The same model in both roles shares its attempts.
            verdicts.push(verdict("student", "wrong role")).unwrap();
            verdicts.push(verdict("teacher", "verify:int=int")).unwrap();
            cots.push(CotRow {
                cot_id: cot_id.clone(),
                question_id: question_id.clone(),
                teacher: "teacher/t".into(),
                attempt: attempt as i64,
                verdict: "correct".into(),
                reasoning: (q % 2 == 0).then(|| text(q)),
                answer: Some(format!("So:\n\n\\boxed{{{}}}", q + 1)),
                finish: "stop".into(),
                prompt_tokens: Some(10),
                completion_tokens: Some(q as i64),
                cost_usd: None,
                n_parts: 1,
            })
            .unwrap();
            selection
                .push(SelectionRow {
                    cot_id,
                    question_id: question_id.clone(),
                    selected: attempt == 1 && q % 3 == 0,
                    rank: Some(attempt as i64),
                    probability: None,
                    reason: "drawn".into(),
                    s_rv: None,
                    cd: None,
                    w_cd: None,
                    w_match: None,
                    fit: None,
                })
                .unwrap();
        }
    }
    questions.finish().unwrap();
    levels.finish().unwrap();
    cots.finish().unwrap();
    verdicts.finish().unwrap();
    selection.finish().unwrap();
}

fn level(question_id: &str) -> LevelRow {
    LevelRow {
        question_id: question_id.into(),
        student: "s".into(),
        prompts: "abcd".into(),
        grader: "pass_rate".into(),
        level: "3".into(),
        reason: None,
        score: None,
        pass_rate: Some(0.5),
        pass_rate_low: None,
        pass_rate_high: None,
        n_attempts: 2,
        n_countable: 2,
        n_correct: 1,
        n_truncated: 0,
        n_undecided: 0,
        scorer: None,
        form: None,
        aggregate: None,
        n_scored: 0,
    }
}

fn export(folder: &Path, config: &Export, limits: Limits) -> Result<Exported, ExportError> {
    export_for(folder, config, limits, None)
}

fn export_for(
    folder: &Path,
    config: &Export,
    limits: Limits,
    chat: Option<&dyn Chat>,
) -> Result<Exported, ExportError> {
    let run = RunFacts { tool: "gradus 0".into(), config_hash: "c0ffee".into(), ..RunFacts::default() };
    let prompt = |question: &QuestionRow| Prompt {
        messages: vec![Message { role: Speaker::User, content: format!("{}\nBox it.", question.question) }],
        hash: "abcd".into(),
    };
    let facts = ExportFacts {
        name: "hand-made",
        student: "org/student",
        languages: &["en".to_owned()],
        run: &run,
        funnel: &[FunnelStep { step: "entered".into(), unit: "questions".into(), count: 9 }],
        partial: None,
        prompt: &prompt,
        chat,
        render: None,
        scoring: &Scoring::default(),
    };
    write_within(folder, config, &facts, limits)
}

fn jsonl(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn kept_rows_are_joined_with_what_is_known_about_them() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 10, &|_| "it is easy".into());
    let exported = export(folder.path(), &Export::default(), Limits::default()).unwrap();
    assert_eq!(exported.rows, 4);
    assert!(exported.files.iter().all(|file| file.is_file()), "{:?}", exported.files);
    let rows = jsonl(&folder.path().join("export/trl/train.jsonl"));
    assert_eq!(rows.len(), 4);
    assert_eq!(
        serde_json::to_string(&rows[2]).unwrap(),
        r#"{"prompt":[{"role":"user","content":"What is 6 + 1?\nBox it."}],"completion":[{"role":"assistant","content":"<think>\nit is easy\n</think>\n\nSo:\n\n\\boxed{7}"}],"question_id":"0000000000000006","source_id":"s6","kind":"math","subject":"sums","source":"hand","license":"mit","student":"s","level":"3","pass_rate":0.5,"teacher":"teacher/t","cot_id":"000000000000000d","attempt":1,"verdict":"correct","verdict_method":"verify:int=int","verdict_version":"1","finish":"stop","completion_tokens":6,"selection_rank":1,"selection_reason":"drawn","prompt_hash":"abcd","rv":null,"cd":null,"s_rv":null,"process":null,"mean_nll":null,"rsr":null,"naturalness":null,"selection_probability":null,"judge":null,"is_correct":true}"#
    );
    // Question 9 has no level.
    assert_eq!(rows[3]["level"], Value::Null);
    let chat = jsonl(&folder.path().join("export/messages/train.jsonl"));
    assert_eq!(chat[2]["messages"][0], rows[2]["prompt"][0]);
    assert_eq!(chat[2]["messages"][1], rows[2]["completion"][0]);
    assert_eq!(exported.longest.tokens, Some(19));
    assert_eq!(
        exported.notes,
        [
            "2 of 4 rows have no thinking part: exported as they came (`export.think: wrap` puts tags around what precedes the answer)",
            UNCHECKED
        ]
    );
    let script = std::fs::read_to_string(folder.path().join("export/trl/train_sft.py")).unwrap();
    assert!(script.contains("\nMAX_LENGTH = 1024\n") && script.contains("\nMODEL = \"org/student\"\n"), "{script}");
    assert!(exported.next[1].ends_with(" --script sft"), "{:?}", exported.next);
}

#[test]
fn rows_stand_by_level_where_a_curriculum_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 24, &|_| "it is easy".into());
    let mut levels = TableWriter::<LevelRow>::create(&folder.path().join("tables")).unwrap();
    for q in (0..24_u64).filter(|q| q % 4 != 1) {
        let of = ["5", "easy", "2", "1", "4", "3"][(q % 6) as usize];
        levels.push(LevelRow { level: of.into(), ..level(&format!("{q:016x}")) }).unwrap();
    }
    levels.finish().unwrap();
    let formats = vec![Format::Trl, Format::Kto, Format::TrlGrpo];
    let rows = |order: Order| {
        export(folder.path(), &Export { formats: formats.clone(), order, ..Export::default() }, Limits::default())
            .unwrap();
        ["trl", "kto", "trl_grpo"].map(|format| jsonl(&folder.path().join(format!("export/{format}/train.jsonl"))))
    };
    let (by_bank, by_level) = (rows(Order::Bank), rows(Order::Level));
    let script = std::fs::read_to_string(folder.path().join("export/trl/train_sft.py")).unwrap();
    assert!(script.contains("\nKEEP_ORDER = True\n"), "rows by level are trained on by level");
    let place = |row: &Value| {
        let of = |level: &str| ["easy", "1", "2", "3", "4", "5"].iter().position(|known| *known == level);
        row["level"].as_str().map_or(6, |level| of(level).unwrap())
    };
    for (mut bank, by_level) in by_bank.into_iter().zip(by_level) {
        assert!(!by_level.is_sorted_by_key(|row| row["question_id"].to_string()));
        // The same rows; within a level in the bank's order, which a stable sort keeps.
        bank.sort_by_key(place);
        assert_eq!(bank, by_level);
    }
}

#[test]
fn parquet_holds_the_same_rows_as_jsonl_in_the_form_of_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 10, &|_| "it is easy".into());
    export(folder.path(), &Export::default(), Limits::default()).unwrap();
    let path = folder.path().join("export/trl/data/train-00000-of-00001.parquet");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let metadata = builder.metadata().clone();
    let values = metadata.file_metadata().key_value_metadata().unwrap();
    let value = |key: &str| values.iter().find(|kv| kv.key == key).and_then(|kv| kv.value.clone()).unwrap();
    assert_eq!(
        value("content_defined_chunking"),
        r#"{"min_chunk_size": 262144, "max_chunk_size": 1048576, "norm_level": 0}"#
    );
    let features: Value = serde_json::from_str(&value("huggingface")).unwrap();
    assert_eq!(features["info"]["features"]["prompt"]["_type"], "List");
    let column = metadata.row_group(0).column(1);
    assert_eq!(column.column_path().string(), "prompt.list.element.content");
    assert!(column.offset_index_offset().is_some() && column.column_index_offset().is_some());
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let rows = jsonl(&folder.path().join("export/trl/train.jsonl"));
    assert_eq!(batch.num_rows(), rows.len());
    for (at, row) in rows.iter().enumerate() {
        let turns = batch["completion"].as_list::<i32>().value(at);
        let turns = turns.as_struct();
        assert_eq!(turns["role"].as_string::<i32>().value(0), "assistant");
        assert_eq!(turns["content"].as_string::<i32>().value(0), row["completion"][0]["content"].as_str().unwrap());
        let subject = batch["subject"].as_string::<i32>();
        assert_eq!(subject.is_valid(at).then(|| subject.value(at)), row["subject"].as_str());
    }
}

#[test]
fn the_same_tables_give_the_same_bytes_and_a_former_export_leaves_no_trace() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        tables(folder.path(), 400, &|q| "la ".repeat(q as usize));
    }
    let small = Limits { shard: 20_000, group: 9_000, batch: 1_000 };
    let first = export(folders[0].path(), &Export::default(), small).unwrap();
    assert!(first.files.iter().any(|file| file.ends_with("data/train-00004-of-00005.parquet")), "{:?}", first.files);
    // The user's own file stays, the five shards go.
    std::fs::write(folders[0].path().join("export/mine.txt"), "mine").unwrap();
    export(folders[0].path(), &Export::default(), Limits::default()).unwrap();
    std::fs::remove_file(folders[0].path().join("export/mine.txt")).unwrap();
    export(folders[1].path(), &Export::default(), Limits::default()).unwrap();
    let bytes = |at: usize| -> Vec<_> {
        let root = folders[at].path().join("export");
        files(&root).into_iter().map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes)).collect()
    };
    assert_eq!(bytes(0).len(), 7);
    assert_eq!(bytes(0), bytes(1));
}

#[test]
fn row_groups_and_shards_end_at_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 300, &|_| "x".repeat(1000));
    let limits = Limits { shard: 60_000, group: 20_000, batch: 5_000 };
    let config = Export { formats: vec![Format::Messages], ..Export::default() };
    let exported = export(folder.path(), &config, limits).unwrap();
    let mut ids = Vec::new();
    for file in exported.files.iter().filter(|file| file.extension().is_some_and(|end| end == "parquet")) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
        let sizes: Vec<u64> =
            builder.metadata().row_groups().iter().map(|group| group.num_rows() as u64 * 600).collect();
        assert!(sizes.iter().all(|size| *size <= limits.group), "{sizes:?}");
        assert!(sizes.iter().sum::<u64>() <= limits.shard, "{sizes:?}");
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            ids.extend(batch["question_id"].as_string::<i32>().iter().flatten().map(str::to_owned));
        }
    }
    let expected: Vec<_> = (0..300).step_by(3).map(|q| format!("{q:016x}")).collect();
    assert_eq!(ids, expected, "every row once, in order");
}

#[test]
fn an_empty_selection_writes_its_columns() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 0, &|_| String::new());
    let exported = export(folder.path(), &Export::default(), Limits::default()).unwrap();
    assert_eq!((exported.rows, exported.next.len(), exported.notes.len()), (0, 0, 2));
    let path = folder.path().join("export/messages/data/train-00000-of-00001.parquet");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    assert_eq!(builder.schema().fields().len(), 1 + row::COLUMNS.len());
    assert_eq!(builder.metadata().file_metadata().num_rows(), 0);
}

#[test]
fn tables_that_do_not_belong_together_stop_it_and_keep_the_former_export() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 10, &|_| "it is easy".into());
    export(folder.path(), &Export::default(), Limits::default()).unwrap();
    let before = files(&folder.path().join("export"));
    TableWriter::<CotRow>::create(&folder.path().join("tables")).unwrap().finish().unwrap();
    let error = export(folder.path(), &Export::default(), Limits::default()).unwrap_err();
    assert!(matches!(error, ExportError::OutOfStep { table: CotRow::TABLE, .. }), "{error}");
    assert_eq!(files(&folder.path().join("export")), before);
}

#[test]
fn memory_does_not_grow_with_the_number_of_rows() {
    let limits = Limits { batch: 100_000, ..Limits::default() };
    let peak = |n: u64| {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = FormatWriter::create(trl::Trl.columns(), folder.path(), limits).unwrap();
        for _ in 0..n {
            let turn = |role| Message { role, content: "x".repeat(1000) };
            let values = vec![Value::Null; row::COLUMNS.len()];
            let lists = [vec![turn(Speaker::User)], vec![turn(Speaker::Assistant)]].map(|list| json!(list));
            writer.push(lists.into_iter().chain(values).collect()).unwrap();
        }
        writer.finish().unwrap().peak_bytes
    };
    let (few, many) = (peak(1_000), peak(10_000));
    assert_eq!(few, many);
    assert!(many < 2 * limits.batch, "{many}");
}

#[test]
fn the_card_and_the_manifest_say_how_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 10, &|_| "it is easy".into());
    export(folder.path(), &Export::default(), Limits::default()).unwrap();
    let card = std::fs::read_to_string(folder.path().join("export/README.md")).unwrap();
    let (header, body) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let header: Value = serde_saphyr::from_str(header).unwrap();
    assert_eq!(header["license"][0], "mit");
    assert_eq!(header["size_categories"][0], "n<1K");
    assert_eq!(header["configs"][0]["data_files"][0]["path"], "trl/data/train-*.parquet");
    assert_eq!(header["dataset_info"][1]["splits"][0]["num_examples"], 4);
    assert_eq!(header["dataset_info"][0]["features"].as_array().unwrap().len(), 2 + row::COLUMNS.len());
    assert!(body.contains("4 chains of thought, written by teacher/t"), "{body}");
    let manifest = std::fs::read_to_string(folder.path().join("export/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["config_hash"], "c0ffee");
    assert_eq!(manifest["rows_by_level"]["3"], 3);
    assert_eq!(manifest["counts"][0]["count"], 9);
}

#[test]
fn the_card_lists_levels_by_difficulty_and_says_what_was_recorded() {
    let mut run = crate::metrics::tests::facts();
    let levels = ["5", "easy", "2"].map(|level| (level.to_owned(), 1)).into();
    let tally = Tally { has_cots: true, rows: 3, levels, ..Tally::default() };
    let scoring = Scoring::default();
    fn facts<'a>(
        run: &'a RunFacts,
        prompt: &'a dyn Fn(&QuestionRow) -> Prompt,
        scoring: &'a Scoring,
    ) -> ExportFacts<'a> {
        ExportFacts {
            name: "x",
            student: "s",
            languages: &[],
            run,
            funnel: &[],
            partial: None,
            prompt,
            chat: None,
            render: None,
            scoring,
        }
    }
    let card = |run: &RunFacts| {
        let prompt = |_: &QuestionRow| Prompt { messages: Vec::new(), hash: String::new() };
        let facts = facts(run, &prompt, &scoring);
        card::render(&facts, &Export::default(), &tally, &[])
    };
    let asked = card(&run);
    let places = ["| easy |", "| 2 |", "| 5 |"].map(|level| asked.find(level).expect(level));
    assert!(places.is_sorted(), "{asked}");
    assert!(!asked.contains("recording"));
    run.models[1].recorded = true;
    assert!(card(&run).contains("The responses of t come from a recording."));
    let prompt = |_: &QuestionRow| Prompt { messages: Vec::new(), hash: String::new() };
    let notes = tally.notes(&Export::default(), &facts(&run, &prompt, &scoring));
    assert!(notes[0].starts_with("the chains of thought of t were recorded"));
}

/// Seven questions: two of math, one with options, programs with pairs and with asserts, one always solved, one
/// without a level.
fn tables_for_rl(folder: &Path) {
    let tables = folder.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let mut questions = TableWriter::<QuestionRow>::create(&tables).unwrap();
    let mut levels = TableWriter::<LevelRow>::create(&tables).unwrap();
    let pairs = r#"{"type":"stdin","cases":[{"input":"1 2\n","output":"3\n"},{"input":"4 5\n","output":"9\n"}]}"#;
    let asserts = r#"{"type":"function","test_code":"assert f(1) == 2"}"#;
    let rows: [(&str, &str, Option<&str>, Option<f64>); 7] = [
        ("math", "\\frac{1}{2}", None, Some(0.5)),
        ("math", "7", None, None),
        ("choice", "B", None, Some(0.25)),
        ("code", "", Some(pairs), Some(0.0)),
        ("code", "", Some(asserts), Some(0.75)),
        ("math", "8", None, Some(1.0)),
        ("text", "", None, Some(0.5)),
    ];
    for (q, (kind, answer, tests, pass_rate)) in rows.into_iter().enumerate() {
        let question_id = format!("{q:016x}");
        questions
            .push(QuestionRow {
                question_id: question_id.clone(),
                source_ids: vec![format!("s{q}")],
                kind: kind.into(),
                question: format!("Question {q}?"),
                references: if answer.is_empty() { Vec::new() } else { vec![answer.into(), "another".into()] },
                tolerance: (q == 0).then(|| r#"{"relative":0.05}"#.into()),
                tests: tests.map(Into::into),
                starter: String::new(),
                options: if kind == "choice" { vec!["x".into(), "y".into()] } else { Vec::new() },
                bank_level: None,
                subject: None,
                source: "hand".into(),
                license: Some("mit".into()),
            })
            .unwrap();
        if q != 1 {
            levels.push(LevelRow { pass_rate, ..level(&question_id) }).unwrap();
        }
    }
    questions.finish().unwrap();
    levels.finish().unwrap();
}

fn for_rl() -> Export {
    let rl = crate::config::Rl { max_pass_rate: 0.9, ..crate::config::Rl::default() };
    Export { formats: vec![Format::Verl, Format::TrlGrpo], rl, ..Export::default() }
}

#[test]
fn questions_within_the_window_become_rows_of_verl_and_trl() {
    let folder = tempfile::tempdir().unwrap();
    tables_for_rl(folder.path());
    // Nothing was distilled: only questions and levels are needed.
    let exported = export(folder.path(), &for_rl(), Limits::default()).unwrap();
    assert_eq!(exported.questions, [("verl".to_owned(), 3), ("trl_grpo".to_owned(), 4)].into());
    let verl = jsonl(&folder.path().join("export/verl/train.jsonl"));
    assert_eq!(
        serde_json::to_string(&verl[0]).unwrap(),
        r#"{"data_source":"lighteval/MATH","prompt":[{"role":"user","content":"Question 0?\nBox it."}],"ability":"math","reward_model":{"style":"rule","ground_truth":"\\frac{1}{2}"},"extra_info":{"split":"train","index":0,"question":"Question 0?","answer":"\\frac{1}{2}","question_id":"0000000000000000","source_id":"s0","kind":"math","options":null,"tolerance":0.05,"subject":null,"source":"hand","license":"mit","student":"s","level":"3","pass_rate":0.5}}"#
    );
    assert_eq!((&verl[1]["ability"], &verl[1]["extra_info"]["options"]), (&json!("qa"), &json!(["x", "y"])));
    let code = &verl[2];
    assert_eq!((&code["data_source"], &code["extra_info"]["index"]), (&json!("taco"), &json!(2)));
    let tests: Value = serde_json::from_str(code["reward_model"]["ground_truth"].as_str().unwrap()).unwrap();
    assert_eq!(tests, json!({"inputs": ["1 2\n", "4 5\n"], "outputs": ["3\n", "9\n"]}));
    let grpo = jsonl(&folder.path().join("export/trl_grpo/train.jsonl"));
    assert_eq!(grpo[0]["solution"], "\\boxed{\\frac{1}{2}}");
    assert_eq!((&grpo[0]["answer"], &grpo[0]["answers"][1]), (&json!("\\frac{1}{2}"), &json!("another")));
    assert!(grpo[3]["tests"].as_str().unwrap().contains("assert f(1) == 2") && grpo[3]["solution"].is_null());
    for left_out in [
        "1 questions have a pass rate outside of 0 to 0.9",
        "1 questions without a pass rate and 1 without",
        "1 code questions are not in `verl`",
    ] {
        assert!(exported.notes.iter().any(|note| note.starts_with(left_out)), "{left_out}: {:?}", exported.notes);
    }
    let manifest = std::fs::read_to_string(folder.path().join("export/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["questions"]["rows"]["verl"], 3);
    assert_eq!(manifest["questions"]["n_inexpressible"]["verl"], 1);
}

#[test]
fn questions_stand_in_parquet_as_in_jsonl_and_come_out_the_same_twice() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for folder in &folders {
        tables_for_rl(folder.path());
        export(folder.path(), &for_rl(), Limits::default()).unwrap();
    }
    let bytes = |at: usize| -> Vec<_> {
        let root = folders[at].path().join("export");
        files(&root).into_iter().map(|(path, bytes)| (path.strip_prefix(&root).unwrap().to_owned(), bytes)).collect()
    };
    assert_eq!(bytes(0), bytes(1));
    let root = folders[0].path().join("export");
    let path = root.join("verl/data/train-00000-of-00001.parquet");
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let batch = builder.build().unwrap().next().unwrap().unwrap();
    let rows = jsonl(&root.join("verl/train.jsonl"));
    assert_eq!(batch.num_rows(), rows.len());
    let (reward, info) = (batch["reward_model"].as_struct(), batch["extra_info"].as_struct());
    for (at, row) in rows.iter().enumerate() {
        let truth = reward.column_by_name("ground_truth").unwrap().as_string::<i32>().value(at);
        assert_eq!(truth, row["reward_model"]["ground_truth"].as_str().unwrap());
        let index = info.column_by_name("index").unwrap().as_primitive::<arrow::datatypes::Int64Type>().value(at);
        assert_eq!(index, row["extra_info"]["index"].as_i64().unwrap());
        let options = info.column_by_name("options").unwrap().as_list::<i32>();
        assert_eq!(options.is_valid(at), !row["extra_info"]["options"].is_null());
        let turns = batch["prompt"].as_list::<i32>().value(at);
        let contents = turns.as_struct().column_by_name("content").unwrap().clone();
        assert_eq!(contents.as_string::<i32>().value(0), row["prompt"][0]["content"].as_str().unwrap());
    }
    let card = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (header, body) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let header: Value = serde_saphyr::from_str(header).unwrap();
    let features = &header["dataset_info"][0]["features"];
    assert_eq!(
        features[3],
        json!({"name": "reward_model", "struct": [{"name": "style", "dtype": "string"}, {"name": "ground_truth", "dtype": "string"}]})
    );
    assert_eq!((&features[1]["list"][1]["name"], &header["license"][0]), (&json!("content"), &json!("mit")));
    assert_eq!(header["dataset_info"][1]["splits"][0]["num_examples"], 4);
    assert!(body.contains("`verl` has 3 questions") && !body.contains("chains of thought"), "{body}");
}

#[test]
fn a_partial_run_is_marked_in_card_and_manifest() {
    let partial =
        Partial { stage: "distil".into(), spent_usd: 1.25, spent_tokens: 9, max_usd: Some(1.2), max_tokens: None };
    let run = RunFacts::default();
    let prompt = |_: &QuestionRow| Prompt { messages: Vec::new(), hash: String::new() };
    let facts = ExportFacts {
        name: "x",
        student: "s",
        languages: &[],
        run: &run,
        funnel: &[],
        partial: Some(&partial),
        prompt: &prompt,
        chat: None,
        render: None,
        scoring: &Scoring::default(),
    };
    let tally = Tally { has_cots: true, rows: 1, ..Tally::default() };
    let card = card::render(&facts, &Export::default(), &tally, &[]);
    assert!(
        card.contains("**Partial:** the budget ended the run while asking (distil): $1.250000 of $1.2 spent"),
        "{card}"
    );
    let manifest: Value = serde_json::from_str(&manifest::render(&Export::default(), &facts, &tally, &[])).unwrap();
    assert_eq!(manifest["partial"]["spent_usd"], 1.25);
}

#[test]
fn words_are_quoted_for_the_shell() {
    assert_eq!(quoted("runs/a_1"), "runs/a_1");
    assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
}

/// A student whose template writes turns one after another, and whose tokens are characters.
struct Plain;

impl Chat for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn render(&self, messages: &[Value], asks: bool) -> Result<String, gradus_model::chat::ChatError> {
        let turns =
            messages.iter().map(|message| format!("[{}{}$]", message["role"], message["content"].as_str().unwrap()));
        Ok(turns.collect::<String>() + if asks { "[\"assistant\"" } else { "" })
    }

    fn n_tokens(&self, text: &str) -> Result<usize, gradus_model::chat::ChatError> {
        Ok(text.chars().count())
    }

    fn ends(&self) -> &[String] {
        static ENDS: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["$]".to_owned()]);
        &ENDS
    }
}

#[test]
fn rows_are_checked_as_the_student_sees_them_and_long_ones_left_out_on_request() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 10, &|q| "so ".repeat(if q == 6 { 700 } else { 1 }));
    let checks = |exported: &Exported| {
        let file = std::fs::read_to_string(folder.path().join("export/CHECKS.json")).unwrap();
        assert_eq!(file, exported.checks.as_ref().unwrap().to_json());
        serde_json::from_str::<Value>(&file).unwrap()
    };
    let exported = export_for(folder.path(), &Export::default(), Limits::default(), Some(&Plain)).unwrap();
    let found = checks(&exported);
    assert_eq!((&found["rows"], &found["flawed"], &found["student"]), (&4.into(), &0.into(), &"plain".into()));
    let longest = found["tokens"]["max"].as_u64().unwrap();
    assert!((2100..3000).contains(&longest), "{found}");
    // The student's own tokens count, not the teacher's.
    let script = std::fs::read_to_string(folder.path().join("export/trl/train_sft.py")).unwrap();
    let expected = "(counted by the student's tokenizer, rounded up)";
    assert!(script.contains("\nMAX_LENGTH = 3072\n") && script.contains(expected), "{script}");
    let mut config = Export::default();
    config.lint.max_length = Some(1000);
    let flagged = export_for(folder.path(), &config, Limits::default(), Some(&Plain)).unwrap();
    assert_eq!((flagged.rows, &checks(&flagged)["flaws"]["too_long"]), (4, &1.into()));
    config.lint.over_length = crate::config::OverLength::Drop;
    let dropped = export_for(folder.path(), &config, Limits::default(), Some(&Plain)).unwrap();
    assert_eq!((dropped.rows, &checks(&dropped)["dropped"]), (3, &1.into()));
    assert_eq!(jsonl(&folder.path().join("export/trl/train.jsonl")).len(), 3);
    assert!(dropped.notes.iter().any(|note| note.starts_with("1 rows are left out")), "{:?}", dropped.notes);
    // Labels stand for all that was written, and leave out what is too long all the same.
    config.formats = vec![Format::Kto];
    let labelled = |config: &Export| {
        let exported = export_for(folder.path(), config, Limits::default(), Some(&Plain)).unwrap();
        let rows = jsonl(&folder.path().join("export/kto/train.jsonl"));
        let longest = rows.iter().map(|row| row.to_string().len()).max().unwrap();
        (rows.len(), longest > 2000, exported.notes.iter().any(|note| note.contains("(too_long")))
    };
    assert_eq!(labelled(&config), (18, false, true));
    config.lint.over_length = crate::config::OverLength::Flag;
    assert_eq!(labelled(&config), (20, true, false));
    // A former export's checks do not stay.
    export(folder.path(), &Export::default(), Limits::default()).unwrap();
    assert!(!folder.path().join("export/CHECKS.json").exists());
}
