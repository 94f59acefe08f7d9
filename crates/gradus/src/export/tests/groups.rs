//! Exports of questions with several chains of thought each, in every format.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::asked::Asked;
use super::super::join::{Cot, Group, Join};
use super::super::pairs::choose;
use super::*;
use crate::config::{Beta, ChosenFrom, Pairs, RejectedBy, Think, UndecidedLabel};
use crate::tables::{AnnotationRow, AttemptRow, ScoreRow, TableReader};

/// A chain of thought as a test names it.
#[derive(Debug, Clone)]
struct C {
    teacher: &'static str,
    verdict: &'static str,
    finish: &'static str,
    answer: &'static str,
    selected: bool,
    /// Its fused verbosity and its difficulty.
    rated: Option<(f64, f64)>,
    tokens: i64,
}

const RIGHT: C =
    C { teacher: "t", verdict: "correct", finish: "stop", answer: "2", selected: false, rated: None, tokens: 10 };
const KEPT: C = C { selected: true, answer: "so 2", ..RIGHT };
const WRONG: C = C { verdict: "incorrect", answer: "3", ..RIGHT };

/// An attempt of the student: verdict and scores of its steps, none for one that is undecided.
type Tried = (&'static str, Vec<Option<f64>>);

/// A question with its level, the student's attempts and its chains of thought.
#[derive(Debug, Clone, Default)]
struct Q {
    level: Option<&'static str>,
    tried: Vec<Tried>,
    cots: Vec<C>,
}

fn of(cots: &[C]) -> Q {
    Q { level: Some("3"), tried: Vec::new(), cots: cots.to_vec() }
}

fn question_row(q: usize) -> QuestionRow {
    QuestionRow {
        question_id: format!("{q:016x}"),
        source_ids: vec![format!("s{q}")],
        kind: "math".into(),
        question: "What is 1 + 1?".into(),
        references: vec!["2".into()],
        tolerance: None,
        tests: None,
        starter: String::new(),
        options: Vec::new(),
        bank_level: None,
        subject: None,
        source: "hand".into(),
        license: Some("mit".into()),
    }
}

/// What the tables hold of a chain of thought: every value tells whose it is.
fn cot(q: usize, at: usize, c: &C) -> Cot {
    let (cot_id, question_id) = (format!("c{q:04}{at:011}"), format!("{q:016x}"));
    // Fractions of powers of two come back from JSON as they were.
    let own = (q * 100 + at) as f64;
    let annotation = c.rated.map(|(s_rv, cd)| AnnotationRow {
        cot_id: cot_id.clone(),
        question_id: question_id.clone(),
        teacher: c.teacher.into(),
        attempt: at as i64,
        length: c.tokens,
        length_unit: "tokens".into(),
        judge: Some(format!("judge of {}", c.teacher)),
        rv: Some(own / 8.0),
        rv_spread: None,
        n_rv: 1,
        rv_fit: None,
        rv_fit_spread: None,
        n_rv_fit: 0,
        cd: Some(cd),
        cd_spread: None,
        n_cd: 1,
        rv_len: None,
        s_rv: Some(s_rv),
        process: Some("sound".into()),
        mean_nll: Some(own / 4.0),
        rsr: Some(own / 16.0),
        naturalness: Some(-own),
        n_student_tokens: None,
    });
    Cot {
        row: CotRow {
            cot_id: cot_id.clone(),
            question_id: question_id.clone(),
            teacher: c.teacher.into(),
            attempt: at as i64,
            verdict: c.verdict.into(),
            reasoning: None,
            answer: (!c.answer.is_empty()).then(|| c.answer.into()),
            finish: c.finish.into(),
            prompt_tokens: None,
            completion_tokens: Some(c.tokens),
            cost_usd: None,
            n_parts: 1,
        },
        verdict: verdict_row(&cot_id, &question_id, "teacher", c.teacher, c.verdict),
        selection: SelectionRow {
            reason: format!("reason of {cot_id}"),
            s_rv: None,
            cd: None,
            w_cd: None,
            w_match: None,
            fit: None,
            cot_id,
            question_id,
            selected: c.selected,
            rank: c.selected.then_some(at as i64),
            probability: Some(own / 1024.0),
        },
        annotation,
    }
}

fn verdict_row(id: &str, question_id: &str, role: &str, model: &str, verdict: &str) -> VerdictRow {
    VerdictRow {
        attempt_id: id.into(),
        question_id: question_id.into(),
        role: role.into(),
        model: model.into(),
        verdict: verdict.into(),
        method: format!("method of {id} as {role}"),
        version: "1".into(),
        extracted: None,
        explanation: String::new(),
        tests_passed: None,
        tests_total: None,
        llm_verdict: None,
        llm_reason: None,
    }
}

fn table<R: Row>(folder: &Path, rows: impl IntoIterator<Item = R>) {
    let mut writer = TableWriter::create(folder).unwrap();
    rows.into_iter().for_each(|row| writer.push(row).unwrap());
    writer.finish().unwrap();
}

/// Writes the tables of a run; `annotations` only where every chain of thought is rated, `scores` where an attempt is.
fn write_tables(folder: &Path, questions: &[Q]) {
    let tables = folder.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let (mut attempts, mut scores, mut verdicts, mut levels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (q, question) in questions.iter().enumerate() {
        let question_id = format!("{q:016x}");
        levels.extend(question.level.map(|name| LevelRow { level: name.into(), ..level(&question_id) }));
        for (at, (verdict, steps)) in question.tried.iter().enumerate() {
            let attempt_id = format!("a{q:04}{at:011}");
            verdicts.push(verdict_row(&attempt_id, &question_id, "student", "s", verdict));
            for (score, step) in steps.iter().zip(1..) {
                scores.push(ScoreRow {
                    attempt_id: attempt_id.clone(),
                    question_id: question_id.clone(),
                    grader: "prm".into(),
                    model: "p".into(),
                    form: "pooling".into(),
                    step: Some(step),
                    text: format!("step {step} of {attempt_id}"),
                    score: *score,
                    low: *score,
                    high: *score,
                    undecided: score.is_none(),
                    aggregate: None,
                    attempt_score: None,
                    score_id: String::new(),
                });
            }
            attempts.push(AttemptRow {
                attempt_id,
                question_id: question_id.clone(),
                model: "s".into(),
                attempt: at as i64,
                reasoning: Some("One and one is counted in the head, slowly.".into()),
                answer: Some("This makes two as every child will tell you.".into()),
                finish: "stop".into(),
                prompt_tokens: None,
                completion_tokens: None,
                cost_usd: None,
            });
        }
    }
    let cots = || {
        let of = |(q, question): (usize, &Q)| {
            question.cots.iter().enumerate().map(|(at, c)| cot(q, at, c)).collect::<Vec<_>>()
        };
        questions.iter().enumerate().flat_map(of).collect::<Vec<_>>()
    };
    verdicts.extend(cots().into_iter().map(|cot| cot.verdict));
    table(&tables, (0..questions.len()).map(question_row));
    table(&tables, levels);
    table(&tables, attempts);
    table(&tables, verdicts);
    table(&tables, cots().into_iter().map(|cot| cot.row));
    table(&tables, cots().into_iter().map(|cot| cot.selection));
    if cots().iter().all(|cot| cot.annotation.is_some()) {
        table(&tables, cots().into_iter().filter_map(|cot| cot.annotation));
    }
    if !scores.is_empty() {
        table(&tables, scores);
    }
}

/// A template that deletes what an assistant thought.
#[expect(clippy::unnecessary_wraps, reason = "a template can refuse a conversation; this one does not")]
fn render(messages: &[Message]) -> Result<String, String> {
    let turn = |message: &Message| {
        let said = message.content.rsplit("</think>").next().unwrap_or_default();
        format!("<{:?}>{said}<end>\n", message.role)
    };
    let begin = messages.last().is_none_or(|last| last.role != Speaker::Assistant);
    Ok(messages.iter().map(turn).collect::<String>() + if begin { "<Assistant>" } else { "" })
}

fn with_facts<T>(take: impl FnOnce(&ExportFacts<'_>) -> T) -> T {
    let run = RunFacts { seed: 7, ..RunFacts::default() };
    let prompt = |question: &QuestionRow| Prompt {
        messages: vec![Message { role: Speaker::User, content: question.question.clone() }],
        hash: "abcd".into(),
    };
    take(&ExportFacts {
        name: "x",
        student: "s",
        languages: &[],
        run: &run,
        funnel: &[],
        partial: None,
        prompt: &prompt,
        chat: None,
        render: Some(&render),
        scoring: &Scoring::default(),
    })
}

fn export_in(folder: &Path, config: &Export) -> Exported {
    with_facts(|facts| write_within(folder, config, facts, Limits::default()).unwrap())
}

/// The rows of a format, the exported facts, and the manifest.
fn exported(questions: &[Q], config: &Export) -> (BTreeMap<&'static str, Vec<Value>>, Exported, Value) {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), questions);
    let exported = export_in(folder.path(), config);
    let root = folder.path().join("export");
    let manifest = std::fs::read_to_string(root.join("manifest.json")).unwrap();
    let names = config.formats.iter().map(|format| layout::of(*format).layout().name());
    let rows = names.map(|name| (name, jsonl(&root.join(name).join("train.jsonl")))).collect();
    (rows, exported, serde_json::from_str(&manifest).unwrap())
}

fn only(format: Format) -> Export {
    Export { formats: vec![format], ..Export::default() }
}

fn all() -> Export {
    Export { formats: layout::ALL.to_vec(), ..Export::default() }
}

/// The pairs of one question, by places, and what makes the second one worse.
#[track_caller]
fn check(cots: &[C], config: &Pairs, expected: Result<&[(usize, usize, RejectedBy)], &str>) {
    check_but("no reply holds this", cots, config, expected);
}

/// The same where replies that hold these words are too long.
#[track_caller]
fn check_but(words: &str, cots: &[C], config: &Pairs, expected: Result<&[(usize, usize, RejectedBy)], &str>) {
    let cots = cots.iter().enumerate().map(|(at, c)| cot(0, at, c)).collect();
    let group = Group { question: question_row(0), level: Some(level("0")), cots };
    let mut asked = with_facts(|facts| Asked::new(group, Think::Keep, facts));
    asked.mark_too_long(|_, content| content.contains(words));
    let pairs = choose(config, 7, &asked);
    let pairs: Result<Vec<_>, _> =
        pairs.map(|pairs| pairs.into_iter().map(|pair| (pair.chosen, pair.rejected, pair.by)).collect());
    assert_eq!(pairs.as_deref().map_err(|reason| *reason), expected);
}

#[test]
fn a_wrong_sibling_is_rejected_before_a_distant_one_and_that_before_a_longer_one() {
    use RejectedBy::{Length, RvCd, Verdict};
    let rated = |c: C, s_rv, cd| C { rated: Some((s_rv, cd)), ..c };
    let (near, far) = (rated(RIGHT, 3.0, 3.0), C { answer: "2!", ..rated(RIGHT, 9.0, 4.0) });
    let kept = rated(KEPT, 3.0, 2.0);
    let long = C { tokens: 25, answer: "two", ..RIGHT };
    let all = [kept.clone(), near.clone(), far.clone(), C { rated: Some((0.0, 0.0)), ..WRONG }];
    check(&all, &Pairs::default(), Ok(&[(0, 3, Verdict)]));
    check(&all[..3], &Pairs::default(), Ok(&[(0, 2, RvCd)]));
    check(&all[..2], &Pairs::default(), Err("no_rejected"));
    check(&[KEPT, long.clone(), C { tokens: 12, ..RIGHT }], &Pairs::default(), Ok(&[(0, 1, Length)]));
    let by_length = Pairs { rejected_by: vec![Length], ..Pairs::default() };
    check(&[C { tokens: 4, ..RIGHT }, KEPT, WRONG], &by_length, Ok(&[(1, 0, Length)]));
    // Several: what one way leaves, the next fills up.
    let three = Pairs { per_question: 3, min_distance: 1.0, ..Pairs::default() };
    check(&all, &three, Ok(&[(0, 3, Verdict), (0, 2, RvCd), (0, 1, RvCd)]));
}

#[test]
fn what_may_not_be_rejected_never_is() {
    let undecided = C { verdict: "undecided", ..WRONG };
    let none = C { verdict: "no_answer", ..WRONG };
    let cut = C { finish: "length", ..WRONG };
    let empty = C { answer: "", ..WRONG };
    let same = C { answer: KEPT.answer, ..WRONG };
    let cut_too = Pairs { truncated_as_rejected: true, ..Pairs::default() };
    for (never, config) in [(&undecided, &cut_too), (&none, &cut_too), (&cut, &Pairs::default()), (&same, &cut_too)] {
        check(&[KEPT, never.clone()], config, Err("no_rejected"));
    }
    check(&[KEPT, empty], &cut_too, Err("no_sibling"));
    check(&[KEPT, cut], &cut_too, Ok(&[(0, 1, RejectedBy::Verdict)]));
    // Neither is what was selected beside it, nor what lies far away by another judge.
    let kept_too = C { tokens: 99, answer: "also 2", ..KEPT };
    check(&[KEPT, kept_too], &Pairs::default(), Err("no_rejected"));
    let rated = |c: C, s_rv| C { rated: Some((s_rv, 2.0)), ..c };
    check(&[rated(KEPT, 1.0), rated(RIGHT, 9.0)], &Pairs::default(), Ok(&[(0, 1, RejectedBy::RvCd)]));
    let elsewhere = C { teacher: "u", ..rated(RIGHT, 9.0) };
    check(&[rated(KEPT, 1.0), elsewhere], &Pairs::default(), Err("no_rejected"));
}

#[test]
fn what_may_not_be_chosen_never_is() {
    let wrong = C { selected: true, ..WRONG };
    let cut = C { finish: "length", ..KEPT };
    for never in [RIGHT, wrong, cut] {
        check(&[never, WRONG], &Pairs::default(), Err("no_chosen"));
    }
    let correct = Pairs { chosen_from: ChosenFrom::Correct, ..Pairs::default() };
    check(&[RIGHT, WRONG], &correct, Ok(&[(0, 1, RejectedBy::Verdict)]));
    let hardest = Pairs { skip_hardest: true, hardest_from: 3, ..Pairs::default() };
    check(&[KEPT, WRONG], &hardest, Err("hardest"));
    check(&[KEPT, WRONG], &Pairs { hardest_from: 4, ..hardest }, Ok(&[(0, 1, RejectedBy::Verdict)]));
}

#[test]
fn what_is_too_long_takes_part_in_no_pair() {
    let long = C { answer: "at length 3", ..WRONG };
    let two = Pairs { per_question: 2, ..Pairs::default() };
    let but = |cots: &[C], expected| check_but("at length", cots, &two, expected);
    but(&[KEPT, long.clone(), WRONG], Ok(&[(0, 2, RejectedBy::Verdict)]));
    but(&[KEPT, long], Err("too_long"));
    but(&[C { answer: "at length 2", ..KEPT }, WRONG], Err("too_long"));
}

#[test]
fn no_chain_of_thought_is_preferred_in_one_pair_and_rejected_in_another() {
    let config = Pairs { chosen_from: ChosenFrom::Correct, per_question: 9, ..Pairs::default() };
    let cots: Vec<C> =
        [("1", 10), ("2", 30), ("3", 90), ("4", 270)].map(|(answer, tokens)| C { answer, tokens, ..RIGHT }).into();
    let (rows, ..) = exported(&[of(&cots)], &Export { pairs: config, ..only(Format::Dpo) });
    let ids = |column: &str| -> Vec<String> {
        rows["dpo"].iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
    };
    let rejected = ids("rejected_cot_id");
    assert!(rejected.len() > 1 && ids("chosen_cot_id").iter().all(|id| !rejected.contains(id)), "{rejected:?}");
}

#[test]
fn pairs_stand_in_the_forms_of_both_trainers_and_questions_without_one_are_counted() {
    let rated = |c: C, s_rv| C { rated: Some((s_rv, 2.0)), ..c };
    let questions = [
        of(&[rated(KEPT, 1.0), rated(WRONG, 4.0)]),
        of(&[rated(KEPT, 1.0)]),
        of(&[rated(WRONG, 1.0), rated(RIGHT, 2.0)]),
    ];
    let formats = vec![Format::Dpo, Format::DpoLlamaFactory];
    let pairs = Pairs { beta: Some(Beta { base: 0.1, slope: 1.2 }), ..Pairs::default() };
    let (rows, exported, manifest) = exported(&questions, &Export { formats, pairs, ..Export::default() });
    let (trl, factory) = (&rows["dpo"][0], &rows["dpo_llama_factory"][0]);
    assert_eq!(trl["prompt"], json!([{"role": "user", "content": "What is 1 + 1?"}]));
    assert_eq!(trl["chosen"], json!([{"role": "assistant", "content": "so 2"}]));
    assert_eq!(trl["rejected"], json!([{"role": "assistant", "content": "3"}]));
    assert_eq!(factory["messages"], trl["prompt"]);
    assert_eq!((&factory["chosen"], &factory["rejected"]), (&trl["chosen"][0], &trl["rejected"][0]));
    assert_eq!((&trl["pair_reason"], &trl["distance"]), (&json!("verdict"), &json!(3.0)));
    let beta = trl["beta"].as_f64().unwrap();
    assert!((beta - 0.12).abs() < 1e-12, "0.1 * (1 + 1.2 * 3 / 18), not {beta}");
    assert_eq!((&trl["chosen_verdict"], &trl["rejected_verdict"]), (&json!("correct"), &json!("incorrect")));
    assert_eq!(exported.others, [("dpo".to_owned(), 1), ("dpo_llama_factory".to_owned(), 1)].into());
    assert_eq!(manifest["formats"]["dpo"], json!({"rows": 1, "left_out": {"no_chosen": 1, "no_sibling": 1}}));
    let left_out = "`dpo` leaves out 1 questions (no_chosen)";
    assert!(exported.notes.iter().any(|note| note == left_out), "{:?}", exported.notes);
}

#[test]
fn labels_say_whether_the_answer_is_right_and_whole() {
    let cots = [
        RIGHT,
        WRONG,
        C { finish: "length", ..RIGHT },
        C { verdict: "no_answer", ..WRONG },
        C { verdict: "undecided", ..RIGHT },
        C { answer: "", ..WRONG },
    ];
    let (rows, exported, manifest) = exported(&[of(&cots)], &only(Format::Kto));
    let labels: Vec<&Value> = rows["kto"].iter().map(|row| &row["label"]).collect();
    assert_eq!(labels, [&json!(true), &json!(false), &json!(false), &json!(false)]);
    assert_eq!(rows["kto"][1]["completion"], json!([{"role": "assistant", "content": "3"}]));
    assert_eq!(manifest["formats"]["kto"]["left_out"], json!({"undecided": 1, "empty": 1}));
    assert_eq!((exported.rows, exported.others["kto"]), (0, 4));
}

#[test]
fn steps_are_labelled_by_their_scores() {
    let tried = vec![
        ("incorrect", vec![Some(0.9), Some(0.5), Some(0.49)]),
        ("correct", Vec::new()),
        ("incorrect", vec![Some(1.0), None, Some(1.0)]),
        ("incorrect", vec![None]),
    ];
    let questions = [Q { tried, ..of(&[C { answer: "It is two, for one and one make two.", ..KEPT }]) }];
    let (rows, _, manifest) = exported(&questions, &only(Format::Stepwise));
    let rows = &rows["stepwise"];
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["prompt"], "What is 1 + 1?");
    assert_eq!((&rows[0]["labels"], &rows[0]["scores"]), (&json!([true, true, false]), &json!([0.9, 0.5, 0.49])));
    assert_eq!(rows[0]["completions"][2], "step 3 of a000000000000000");
    assert_eq!(rows[1]["completions"], json!(["step 1 of a000000000000002"]), "cut before what is undecided");
    assert_eq!(manifest["formats"]["stepwise"], json!({"rows": 2, "left_out": {"undecided": 1}}));
    let stepwise = crate::config::Stepwise { undecided: UndecidedLabel::Drop, correct: true, threshold: 0.5 };
    let (rows, ..) = exported(&questions, &Export { stepwise, ..only(Format::Stepwise) });
    let by: Vec<_> = rows["stepwise"].iter().map(|row| (&row["role"], &row["attempt_id"], &row["labels"])).collect();
    let (scored, right, taught) = ("a000000000000000", "a000000000000001", "c000000000000000");
    assert_eq!(
        by,
        [
            (&json!("student"), &json!(scored), &json!([true, true, false])),
            (&json!("student"), &json!(right), &json!([true, true])),
            (&json!("teacher"), &json!(taught), &json!([true])),
        ]
    );
}

#[test]
fn without_scores_the_format_of_steps_has_its_columns_and_a_note() {
    let (rows, exported, _) = exported(&[of(&[KEPT])], &only(Format::Stepwise));
    assert!(rows["stepwise"].is_empty());
    assert!(exported.notes.iter().any(|note| note.contains("no step was scored")), "{:?}", exported.notes);
}

#[test]
fn each_trainer_finds_a_conversation_in_its_own_columns() {
    let thought = C { answer: "<think>\nadd\n</think>\n\n2", ..KEPT };
    let (rows, ..) = exported(&[of(&[KEPT]), of(std::slice::from_ref(&thought))], &all());
    let user = json!({"role": "user", "content": "What is 1 + 1?"});
    let reply = json!({"role": "assistant", "content": "so 2"});
    for name in ["messages", "llama_factory", "axolotl", "verl_sft"] {
        assert_eq!(rows[name][0]["messages"], json!([user, reply]), "{name}");
    }
    for (name, asked, said) in [("trl", "prompt", "completion"), ("openrlhf", "input", "output")] {
        assert_eq!((&rows[name][0][asked], &rows[name][0][said]), (&json!([user]), &json!([reply])), "{name}");
    }
    let thinking: Vec<&Value> = rows["verl_sft"].iter().map(|row| &row["enable_thinking"]).collect();
    assert_eq!(thinking, [&json!(false), &json!(true)]);
    assert_eq!(rows["trl_text"][1]["prompt"], "<User>What is 1 + 1?<end>\n<Assistant>");
    assert_eq!(rows["trl_text"][1]["completion"], format!("{}<end>", thought.answer));
}

#[test]
fn rendered_text_without_a_template_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), 3, &|_| "it is easy".into());
    let error = export(folder.path(), &only(Format::TrlText), Limits::default()).unwrap_err();
    assert!(matches!(error, ExportError::NoTemplate("trl_text")), "{error}");
    assert!(!folder.path().join("export").exists());
}

#[test]
fn a_selected_chain_of_thought_that_is_wrong_says_so() {
    let cots = [KEPT, C { selected: true, ..WRONG }, C { selected: true, verdict: "undecided", ..WRONG }];
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), &[of(&cots)]);
    let exported = export_in(folder.path(), &only(Format::Trl));
    let rows = jsonl(&folder.path().join("export/trl/train.jsonl"));
    let correct: Vec<&Value> = rows.iter().map(|row| &row["is_correct"]).collect();
    assert_eq!(correct, [&json!(true), &json!(false), &Value::Null]);
    assert!(exported.notes[0].starts_with("2 of 3 rows were selected without a right answer"), "{:?}", exported.notes);
    let card = std::fs::read_to_string(folder.path().join("export/README.md")).unwrap();
    assert!(card.contains("**2 of 3 have no right answer:**") && !card.contains("was checked"), "{card}");
}

/// What the card's header holds, read as YAML.
fn header(folder: &Path) -> Value {
    let card = std::fs::read_to_string(folder.join("export/README.md")).unwrap();
    let (header, _) = card.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    serde_saphyr::from_str(header).unwrap()
}

#[test]
fn every_format_without_rows_has_its_columns_in_files_and_card() {
    let folder = tempfile::tempdir().unwrap();
    write_tables(folder.path(), &[]);
    export_in(folder.path(), &all());
    let header = header(folder.path());
    assert_eq!(header["configs"].as_array().unwrap().len(), layout::ALL.len());
    for (at, info) in header["dataset_info"].as_array().unwrap().iter().enumerate() {
        let name = info["config_name"].as_str().unwrap();
        let path = folder.path().join(format!("export/{name}/data/train-00000-of-00001.parquet"));
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        let columns: Vec<&str> = builder.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let told: Vec<&str> =
            info["features"].as_array().unwrap().iter().map(|feature| feature["name"].as_str().unwrap()).collect();
        assert_eq!((columns, builder.metadata().file_metadata().num_rows()), (told, 0), "{name}");
        assert_eq!(header["configs"][at]["config_name"], name);
    }
    let features = |name: &str, column: usize| {
        let infos = header["dataset_info"].as_array().unwrap();
        infos.iter().find(|info| info["config_name"] == name).unwrap()["features"][column].clone()
    };
    assert_eq!(features("stepwise", 2), json!({"name": "labels", "list": "bool"}));
    assert_eq!(features("dpo_llama_factory", 1)["struct"][0], json!({"name": "role", "dtype": "string"}));
    assert_eq!(features("code_rl", 1)["struct"][1]["list"][0], json!({"name": "input", "dtype": "string"}));
    for tag in ["dpo", "kto", "prm"] {
        assert!(header["tags"].as_array().unwrap().contains(&json!(tag)), "{tag}");
    }
}

#[test]
fn every_format_comes_out_the_same_twice() {
    let rated = |c: C| C { rated: Some((1.0, 2.0)), ..c };
    let tried = vec![("incorrect", vec![Some(0.9), Some(0.1)])];
    let questions: Vec<Q> = (0..40)
        .map(|q| Q {
            level: (q % 3 != 0).then_some("2"),
            tried: tried.clone(),
            cots: vec![rated(WRONG), rated(KEPT), rated(RIGHT)],
        })
        .collect();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let bytes = folders.each_ref().map(|folder| {
        write_tables(folder.path(), &questions);
        export_in(folder.path(), &all());
        let root = folder.path().join("export");
        let relative = |(path, bytes): (PathBuf, Vec<u8>)| (path.strip_prefix(&root).unwrap().to_owned(), bytes);
        files(&root).into_iter().map(relative).collect::<Vec<_>>()
    });
    // Beside the rows: two files for LLaMA-Factory's two formats, one for the rest, none for `messages` and `code_rl`.
    let n_handed_on = 2 * 2 + (layout::ALL.len() - 4);
    assert_eq!(bytes[0].len(), 2 * layout::ALL.len() + n_handed_on + 2);
    assert_eq!(bytes[0], bytes[1]);
    // No format but that of code is empty here.
    let rows =
        |(name, _): &(PathBuf, Vec<u8>)| std::fs::metadata(folders[0].path().join("export").join(name)).unwrap().len();
    let empty: Vec<_> =
        bytes[0].iter().filter(|file| rows(file) == 0).map(|(name, _)| name.display().to_string()).collect();
    assert_eq!(empty, ["code_rl/train.jsonl"]);
}

#[test]
fn code_questions_carry_their_tests_as_open_r1_has_them() {
    let folder = tempfile::tempdir().unwrap();
    tables_for_rl(folder.path());
    let exported = export(folder.path(), &only(Format::CodeRl), Limits::default()).unwrap();
    let rows = jsonl(&folder.path().join("export/code_rl/train.jsonl"));
    assert_eq!(rows.len(), 1);
    assert_eq!(
        rows[0]["verification_info"],
        json!({"language": "python", "test_cases": [
            {"input": "1 2\n", "output": "3\n", "type": "stdin_stdout"},
            {"input": "4 5\n", "output": "9\n", "type": "stdin_stdout"},
        ]})
    );
    for left_out in ["`code_rl` leaves out 3 questions (not_code)", "1 code questions are not in `code_rl`"] {
        assert!(exported.notes.iter().any(|note| note.starts_with(left_out)), "{left_out}: {:?}", exported.notes);
    }
}

#[test]
fn a_sibling_s_row_in_a_table_is_an_error_and_never_taken() {
    let folder = tempfile::tempdir().unwrap();
    let rated = C { rated: Some((1.0, 1.0)), ..KEPT };
    write_tables(folder.path(), &[of(&[rated.clone(), rated])]);
    let tables = folder.path().join("tables");
    let mut rows: Vec<AnnotationRow> = TableReader::open(&tables).unwrap().map(Result::unwrap).collect();
    rows.swap(0, 1);
    table(&tables, rows);
    let error = Join::open(&tables).unwrap().next().err().unwrap();
    assert!(matches!(error, ExportError::OutOfStep { table: AnnotationRow::TABLE, .. }), "{error}");
}

fn any_cot() -> impl Strategy<Value = C> {
    let teacher = prop_oneof![Just("t"), Just("u")];
    let verdict =
        prop_oneof![3 => Just("correct"), 2 => Just("incorrect"), 1 => Just("no_answer"), 1 => Just("undecided")];
    let finish = prop_oneof![4 => Just("stop"), 1 => Just("length")];
    let answer = prop_oneof![3 => Just("2"), 2 => Just("so 2"), 1 => Just("3"), 1 => Just("")];
    (teacher, verdict, finish, answer, any::<bool>(), (0..10u8, 0..10u8), 1..200i64).prop_map(
        |(teacher, verdict, finish, answer, selected, (s_rv, cd), tokens)| C {
            teacher,
            verdict,
            finish,
            answer,
            selected,
            rated: Some((f64::from(s_rv), f64::from(cd))),
            tokens,
        },
    )
}

/// What a row says of a chain of thought stands in the tables under the same id.
fn is_own(row: &Value, cot: &Cot) -> Result<(), TestCaseError> {
    let annotation = cot.annotation.as_ref().unwrap();
    prop_assert_eq!(row["question_id"].as_str(), Some(&*cot.row.question_id));
    prop_assert_eq!(row["teacher"].as_str(), Some(&*cot.row.teacher));
    prop_assert_eq!(row["attempt"].as_i64(), Some(cot.row.attempt));
    prop_assert_eq!(row["verdict"].as_str(), Some(&*cot.row.verdict));
    prop_assert_eq!(row["verdict_method"].as_str(), Some(&*cot.verdict.method));
    prop_assert_eq!(row["finish"].as_str(), Some(&*cot.row.finish));
    prop_assert_eq!(row["selection_reason"].as_str(), Some(&*cot.selection.reason));
    prop_assert_eq!(row["selection_rank"].as_i64(), cot.selection.rank);
    prop_assert_eq!(row["selection_probability"].as_f64(), cot.selection.probability);
    for (column, value) in [
        ("rv", annotation.rv),
        ("cd", annotation.cd),
        ("s_rv", annotation.s_rv),
        ("mean_nll", annotation.mean_nll),
        ("rsr", annotation.rsr),
        ("naturalness", annotation.naturalness),
    ] {
        prop_assert_eq!(row[column].as_f64(), value, "{}", column);
    }
    prop_assert_eq!(row["judge"].as_str(), annotation.judge.as_deref());
    prop_assert_eq!(row["is_correct"].as_bool(), cot.is_correct());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn no_row_holds_what_belongs_to_a_sibling(
        questions in proptest::collection::vec(proptest::collection::vec(any_cot(), 0..6), 1..5),
        per_question in 1..4u32,
    ) {
        let questions: Vec<Q> = questions.iter().map(|cots| of(cots)).collect();
        let cots = questions.iter().enumerate().flat_map(|(q, question)| {
            question.cots.iter().enumerate().map(move |(at, c)| cot(q, at, c))
        });
        let cots: Vec<Cot> = cots.collect();
        let by_id: BTreeMap<&str, &Cot> = cots.iter().map(|cot| (&*cot.row.cot_id, cot)).collect();
        let said = |cot: &Cot| cot.row.answer.clone().unwrap_or_default();
        let config = Export { pairs: Pairs { per_question, ..Pairs::default() }, ..all() };
        let (rows, ..) = exported(&questions, &config);
        let selected: Vec<&str> =
            cots.iter().filter(|cot| cot.selection.selected).map(|cot| &*cot.row.cot_id).collect();
        for name in ["trl", "messages", "trl_text", "llama_factory", "axolotl", "verl_sft", "openrlhf"] {
            let ids: Vec<&str> = rows[name].iter().map(|row| row["cot_id"].as_str().unwrap()).collect();
            prop_assert_eq!(&ids, &selected, "{}", name);
            for row in &rows[name] {
                is_own(row, by_id[row["cot_id"].as_str().unwrap()])?;
            }
        }
        for row in &rows["trl"] {
            prop_assert_eq!(row["completion"][0]["content"].as_str().unwrap(), said(by_id[row["cot_id"].as_str().unwrap()]));
        }
        let decided = cots.iter().filter(|cot| cot.is_correct().is_some() && !said(cot).is_empty());
        prop_assert_eq!(rows["kto"].len(), decided.count());
        for row in &rows["kto"] {
            let cot = by_id[row["cot_id"].as_str().unwrap()];
            is_own(row, cot)?;
            prop_assert_eq!(row["label"].as_bool(), Some(cot.is_sound()));
        }
        for (row, factory) in rows["dpo"].iter().zip(&rows["dpo_llama_factory"]) {
            for side in ["chosen", "rejected"] {
                let of_side = |column: &str| &row[&*format!("{side}_{column}")];
                let cot = by_id[of_side("cot_id").as_str().unwrap()];
                prop_assert_eq!(row["question_id"].as_str(), Some(&*cot.row.question_id));
                prop_assert_eq!(row[side][0]["content"].as_str().unwrap(), said(cot));
                prop_assert_eq!(&factory[side], &row[side][0]);
                prop_assert_eq!(of_side("verdict").as_str(), Some(&*cot.row.verdict));
                prop_assert_eq!(of_side("teacher").as_str(), Some(&*cot.row.teacher));
                prop_assert_eq!(of_side("cd").as_f64(), cot.annotation.as_ref().unwrap().cd);
                prop_assert_eq!(of_side("tokens").as_i64(), cot.row.completion_tokens);
            }
            let (chosen, rejected) = (&row["chosen_cot_id"], &row["rejected_cot_id"]);
            let [chosen, rejected] = [chosen, rejected].map(|id| by_id[id.as_str().unwrap()]);
            prop_assert!(chosen.selection.selected && chosen.is_sound());
            match row["pair_reason"].as_str() {
                Some("verdict") => prop_assert_eq!(&*rejected.row.verdict, "incorrect"),
                _ => prop_assert!(rejected.is_sound() && !rejected.selection.selected),
            }
        }
    }
}
