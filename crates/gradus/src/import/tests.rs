//! Rows of every shape, from files to the folder that comes of them.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::ratings::RecordedRatings;
use super::*;
use crate::config::Config;
use crate::ingest::Ingest;

/// A folder with the files that were imported, and what came of them.
struct Case {
    dir: TempDir,
    summary: Summary,
}

impl Case {
    #[track_caller]
    fn of(files: &[(&str, &str)], options: &Options) -> Self {
        Self::try_of(files, options).unwrap()
    }

    fn try_of(files: &[(&str, &str)], options: &Options) -> Result<Self, ImportError> {
        let dir = tempfile::tempdir().unwrap();
        let paths = files.iter().map(|(name, content)| {
            let path = dir.path().join(name);
            fs::write(&path, content).unwrap();
            path
        });
        let summary = import(&paths.collect::<Vec<_>>(), &dir.path().join("out"), options)?;
        let case = Self { dir, summary };
        case.adds_up();
        Ok(case)
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn rows(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.out().join(name)).unwrap_or_default();
        text.split('\n').filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Counts, files and bank agree with each other.
    fn adds_up(&self) {
        let summary = &self.summary;
        let sum = |counts: &BTreeMap<&str, u64>| counts.values().sum::<u64>();
        assert_eq!(summary.rows, summary.imported + sum(&summary.dropped_rows));
        assert_eq!(summary.cots_read, summary.cots + sum(&summary.dropped_cots));
        assert_eq!(summary.teachers.iter().map(|(_, n)| n).sum::<u64>(), summary.cots);
        let recording = self.rows("recording.jsonl");
        assert_eq!(recording.len() as u64, summary.cots);
        let mut keys: Vec<String> =
            recording.iter().map(|row| format!("{} {} {}", row["question_id"], row["model"], row["sample"])).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len() as u64, summary.cots, "each has a number of its own");
        assert_eq!(self.rows("bank.jsonl").len() as u64, summary.questions);
        assert_eq!(self.rows("ratings.jsonl").len() as u64, summary.rated);
        assert!(fs::read_dir(self.out()).unwrap().all(|file| !file.unwrap().path().ends_with("partial")));
        if summary.questions > 0 {
            let config = fs::read_to_string(self.out().join("gradus.yaml")).unwrap();
            let config = Config::read(&config, &[]).unwrap();
            let ingest = Ingest::open(&config, &self.out()).unwrap();
            assert_eq!((ingest.summary().kept, ingest.summary().rows), (summary.questions, summary.questions));
            assert!(ingest.summary().renamed.is_empty());
            assert_eq!(u64::from(config.distil.correct), summary.most);
        }
    }
}

fn omni() -> String {
    let cot = |thought: &str, solution: &str, teacher: &str, rv: u32| {
        json!({
            "thought": thought, "solution": solution, "full_response": format!("{thought}{solution}"), "teacher": teacher,
            "thought_correctness_verify": true, "Reasoning_Verbosity": {"level": rv, "judge": "j"},
            "Cognitive_Difficulty": {"level": 4, "judge": "k"},
        })
    };
    let rows = [
        json!({"id": "a", "question": "What is 1 + 1?", "answer": "2", "reasoning": [
            cot("<|begin_of_thought|>\nOne and one.\n<|end_of_thought|>", "It is 2.", "r1", 3),
            cot("It closes with </think> here.", "It is </think> 2.", "r1", 12),
            cot("Hm.", "It is 3.", "qwq", 9),
        ]}),
        json!({"id": "b", "question": "What is  1 + 1?\n", "answer": "2", "reasoning": [cot("Again.", "2", "qwq", 0)]}),
        json!({"id": "a", "question": "Why?", "reasoning": [cot("Because.", "So.", "r1", 1), {"thought": " "}]}),
        json!({"id": "d", "question": "What?", "reasoning": []}),
        json!({"id": "e", "question": " ", "reasoning": [cot("x", "y", "r1", 1)]}),
    ];
    rows.map(|row| row.to_string()).join("\n")
}

#[test]
fn a_list_of_objects_gives_its_question_cots_and_ratings() {
    let case = Case::of(&[("omni.jsonl", &omni())], &Options::default());
    assert_eq!(case.summary.files[0].1, Shape::OmniThought);
    let teachers = [("r1".to_owned(), 3), ("qwq".to_owned(), 2)];
    assert_eq!((case.summary.teachers.as_slice(), case.summary.most), (&teachers[..], 2));
    assert_eq!((case.summary.joined, case.summary.unverifiable, case.summary.ignored_ratings), (1, 1, 1));
    assert_eq!(case.summary.dropped_rows, BTreeMap::from([("no_cot", 1), ("no_question", 1)]));
    assert_eq!(case.summary.dropped_cots, BTreeMap::from([("empty_cot", 1), ("no_question", 1)]));
    let bank = case.rows("bank.jsonl");
    assert_eq!(
        (&bank[0]["id"], &bank[0]["source_ids"], &bank[0]["answer"]),
        (&json!("a"), &json!(["a", "b"]), &json!("2"))
    );
    assert_eq!((&bank[1]["id"], &bank[1]["question"]), (&json!("a#2"), &json!("Why?")));
    let rows = case.rows("recording.jsonl");
    let ids: Vec<_> =
        rows.iter().map(|row| (row["question_id"].as_str().unwrap(), row["sample"].as_u64().unwrap())).collect();
    assert_eq!(ids, [("a", 0), ("a", 1), ("a", 0), ("a", 1), ("a#2", 0)]);
    assert_eq!((&rows[0]["reasoning"], &rows[0]["response"]), (&json!("One and one."), &json!("It is 2.")));
    assert_eq!(rows[1]["reasoning"], "It closes with </think> here.");
    assert_eq!(rows[0]["meta"]["said"], json!({"thought_correctness_verify": true}));
    assert_eq!(rows[4]["meta"]["from"], "omni.jsonl:3", "an answer is the same wherever its file lay");

    let mut ratings = RecordedRatings::open(&case.out().join("ratings.jsonl")).unwrap();
    assert_eq!((ratings.len(), ratings.repeated(), ratings.bad()), (5, 0, (0, None)));
    ratings.place(0, "r1", [("a", 0..3), ("b", 0..1)].into_iter());
    let of = |id: &str, number| ratings.of(&[id.to_owned()], 0, number);
    let rating = of("a", 0).unwrap();
    assert_eq!((rating.rv, rating.cd, rating.rv_judge, rating.cd_judge), (Some(3.0), Some(4.0), Some("j"), Some("k")));
    assert_eq!((of("a", 1).unwrap().rv, rating.correctness), (None, Some(true)));
    assert_eq!((of("b", 0), of("a", 2)), (None, None));
    let dropped = case.rows("dropped.jsonl");
    assert_eq!(
        (&dropped[0]["line"], &dropped[0]["cot"], &dropped[0]["reason"]),
        (&json!(3), &json!(1), &json!("empty_cot"))
    );
}

#[test]
fn broken_ratings_are_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ratings.jsonl");
    let rows = r#"{"question_id": "a", "model": "m", "sample": 0, "rv": 3.5}
{"question_id": "a", "model": "m", "sample": 0, "rv": 4}
{"question_id": "a", "model": "m", "rv": 4}
{"question_id": "a", "model": "m", "sample": 1, "rv": 99}
nonsense
"#;
    fs::write(&file, rows).unwrap();
    let mut ratings = RecordedRatings::open(&file).unwrap();
    assert_eq!((ratings.len(), ratings.repeated(), ratings.bad().0), (1, 1, 3));
    ratings.place(0, "m", [("a", 0..1)].into_iter());
    assert_eq!(ratings.of(&["a".to_owned()], 0, 0).unwrap().rv, Some(3.5));
    let first = ratings.bad().1.unwrap().to_owned();
    assert!(first.ends_with("ratings.jsonl:3: `sample`: expected a number from 0, found nothing"), "{first}");
}

#[test]
fn files_of_one_name_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["one/x.jsonl", "two/x.jsonl", "two/y.jsonl"].map(|name| dir.path().join(name));
    for (path, n) in paths.iter().zip(1..) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let row = json!({"question": format!("What is 1 + {n}?"), "response": "two or so", "answer": "2"});
        fs::write(path, format!("{row}\nnonsense\n{{}}\n")).unwrap();
    }
    let summary = import(&paths, &dir.path().join("out"), &Options::default()).unwrap();
    let text = fs::read_to_string(dir.path().join("out/recording.jsonl")).unwrap();
    let from = |line: &str| serde_json::from_str::<Value>(line).unwrap()["meta"]["from"].as_str().unwrap().to_owned();
    let from: Vec<String> = text.lines().map(from).collect();
    assert!(
        from[0].ends_with("one/x.jsonl:1") && from[1].ends_with("two/x.jsonl:1") && from[2] == "y.jsonl:1",
        "{from:?}"
    );
    // The first row for each reason is told.
    let told: Vec<&str> = summary.first_dropped.iter().map(|(_, sentence)| sentence.as_str()).collect();
    assert!(told.len() == 2 && told[0].contains("one/x.jsonl:2") && told[1].contains("one/x.jsonl:3"), "{told:?}");
}

#[test]
fn a_rating_finds_its_answer_whatever_numbers_were_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let (recording, file) = (dir.path().join("recording.jsonl"), dir.path().join("ratings.jsonl"));
    // One teacher counts from 1 and lacks a number, some of its answers stand under another id of the question.
    let answers = [("a", 1), ("a", 4), ("b", 0), ("b", 0), ("b", 7)];
    let row = |(id, sample): (&str, u64)| {
        json!({"question_id": id, "model": "m", "sample": sample, "response": format!("{id} {sample}")}).to_string()
    };
    fs::write(&recording, answers.map(row).join("\n")).unwrap();
    let rated = |(id, sample, rv): (&str, u64, u64)| {
        json!({"question_id": id, "model": "m", "sample": sample, "rv": rv}).to_string()
    };
    fs::write(&file, [("a", 4, 4), ("b", 0, 5), ("b", 7, 10), ("a", 0, 9)].map(rated).join("\n")).unwrap();
    let mut ratings = RecordedRatings::open(&file).unwrap();
    let ids = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
    assert_eq!(ratings.of(&ids, 0, 0), None, "nothing is known of a teacher that was not placed");
    let recording = gradus_model::replay::Replay::open(&recording, "m").unwrap();
    ratings.place(3, "m", recording.samples());
    assert_eq!(ratings.n_placed(), 3);
    let of = |number| ratings.of(&ids, 3, number).map(|rating| rating.rv.unwrap());
    assert_eq!([0, 1, 2, 3, 4, 5].map(of), [None, Some(4.0), Some(5.0), None, Some(10.0), None]);
    assert_eq!(ratings.of(&ids, 2, 1), None);
    assert_eq!(ratings.of(&ids[1..2], 3, 0).unwrap().rv, Some(5.0));
}

#[test]
fn parallel_lists_keep_how_each_ended_and_must_be_equally_long() {
    let row = |generations: Value, reasons: Value, complete: Value| {
        json!({"problem": "What is 2 + 2?", "solution": "So \\boxed{4}", "answer": "", "uuid": "u", "generations": generations,
               "finish_reasons": reasons, "is_reasoning_complete": complete, "correctness_math_verify": [true, false, null],
               "messages": []})
        .to_string()
    };
    let rows = [
        row(
            json!(["<think>a</think>4", "<think>b", "<think>c"]),
            json!(["stop", "length", null]),
            json!([true, false, false]),
        ),
        row(json!(["x", "y"]), Value::Null, Value::Null),
    ];
    let options = Options { teacher: Some("r#1".into()), ..Options::default() };
    let case = Case::of(&[("r.jsonl", &rows.join("\n"))], &options);
    assert_eq!(case.summary.files[0].1, Shape::OpenR1);
    let finish: Vec<_> = case.rows("recording.jsonl").iter().map(|row| row["finish"].clone()).collect();
    assert_eq!(finish, [json!("stop"), json!("length"), json!("length")]);
    assert_eq!(case.rows("recording.jsonl")[0]["response"], "<think>a</think>4");
    assert_eq!(case.summary.dropped_rows, BTreeMap::from([("other_length", 1)]));
    assert_eq!(case.summary.dropped_cots, BTreeMap::from([("other_length", 2)]));
    assert_eq!(case.rows("bank.jsonl")[0]["answer"], "4");
    assert_eq!(case.summary.teachers, [("r_1".to_owned(), 3)]);
    let correctness: Vec<_> = case.rows("ratings.jsonl").iter().map(|row| row["correctness"].clone()).collect();
    assert_eq!(correctness, [json!(true), json!(false)]);
}

#[test]
fn chats_numbered_columns_and_flat_rows_are_told_apart() {
    let chat = json!({"id": 7, "source": "s", "conversations": [
        {"from": "system", "value": "Think."}, {"from": "human", "value": "Q1?"}, {"from": "gpt", "value": "<think>t</think>a"}]});
    let turns = json!({"conversations": [{"from": "user", "value": "Q"}, {"from": "assistant", "value": "A"}, {"from": "user", "value": "R"}]});
    let messages = json!({"messages": [
        {"role": "user", "content": "Q2?"}, {"role": "assistant", "thinking": "t", "content": "a"}], "metadata": {"model": "oss"}});
    let numbered = json!({"question": "Q3?", "final_answer": 0.50, "difficulty": 5, "topic": "T", "r1_solution_1": "one",
                          "r1_solution_2": "two", "r1_solution_10": "three", "r1_solution_3": null});
    let flat = json!({"instruction": "Add.", "input": "1 and 1", "output": "<think>t</think>2", "teacher": "m",
                      "reasoning_verbosity": "3", "cognitive_difficulty": 2, "logical_correctness": 1});
    let solved = json!({"problem": "Q5?", "solution": "\\boxed{9}", "response": "It is 8.", "model": "m"});
    let files = [
        ("chat.jsonl", [chat.to_string(), turns.to_string()].join("\n")),
        ("messages.jsonl", messages.to_string()),
        ("numbered.jsonl", numbered.to_string()),
        ("flat.jsonl", flat.to_string()),
        ("solved.jsonl", solved.to_string()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let case = Case::of(&files, &Options::default());
    let shapes: Vec<Shape> = case.summary.files.iter().map(|(_, shape)| *shape).collect();
    assert_eq!(shapes, [Shape::Conversations, Shape::Conversations, Shape::DeepMath, Shape::Flat, Shape::Flat]);
    assert_eq!(case.summary.dropped_rows, BTreeMap::from([("several_turns", 1)]));
    let rows = case.rows("recording.jsonl");
    let of = |question: &str| -> Vec<&Value> {
        let bank = case.rows("bank.jsonl");
        let id = bank.iter().find(|row| row["question"] == question).unwrap()["id"].clone();
        rows.iter().filter(|row| row["question_id"] == id).collect()
    };
    assert_eq!((&of("Q1?")[0]["response"], &of("Q1?")[0]["model"]), (&json!("<think>t</think>a"), &json!("unknown")));
    let thinks = of("Q2?")[0];
    assert_eq!(
        (&thinks["reasoning"], &thinks["response"], &thinks["model"]),
        (&json!("t"), &json!("a"), &json!("oss"))
    );
    let answers: Vec<_> = of("Q3?").iter().map(|row| row["response"].clone()).collect();
    assert_eq!(answers, ["one", "two", "three"]);
    assert_eq!(of("Add.\n\n1 and 1")[0]["model"], "m");
    assert_eq!(of("Q5?")[0]["response"], "It is 8.");
    let bank = case.rows("bank.jsonl");
    let answer = |question: &str| bank.iter().find(|row| row["question"] == question).unwrap()["answer"].clone();
    assert_eq!((answer("Q3?"), answer("Q5?"), answer("Q1?")), (json!("0.5"), json!("9"), Value::Null));
    let rated = &case.rows("ratings.jsonl")[0];
    assert_eq!((&rated["rv"], &rated["cd"], &rated["correctness"]), (&json!(3), &json!(2), &json!(true)));
}

#[test]
fn recordings_pass_and_numbers_that_are_taken_are_told() {
    let row = |id: &str, sample: Value, response: &str| {
        json!({"question_id": id, "model": "m", "sample": sample, "response": response, "format": "long-cot", "meta": {"thinking_tokens": 9}})
            .to_string()
    };
    let rows = [
        row("q", json!(3), "a"),
        row("q", json!(3), "a"),
        row("q", Value::Null, ""),
        row("q", json!(4), "c"),
        row("q", json!(-1), "d"),
        json!({"question_id": "q", "model": "m", "scores": [1]}).to_string(),
    ];
    let case = Case::of(&[("r.jsonl", &rows.join("\n"))], &Options::default());
    let samples: Vec<_> = case.rows("recording.jsonl").iter().map(|row| row["sample"].as_u64().unwrap()).collect();
    assert_eq!((samples.as_slice(), case.summary.renumbered, case.summary.without_text), (&[3, 4, 5, 6][..], 2, 1));
    assert_eq!(case.rows("recording.jsonl")[0]["meta"], json!({"thinking_tokens": 9}));
    assert_eq!(case.summary.dropped_rows, BTreeMap::from([("no_cot", 1), ("wrong_type", 1)]));
    assert!(!case.out().join("bank.jsonl").exists());
    // A question that is not told is none, as where the file has no such column.
    let told = json!({"question_id": "q", "question": "", "prompt": null, "model": "m", "sample": 0, "response": "a"})
        .to_string();
    let case = Case::of(&[("r.jsonl", &told)], &Options::default());
    assert_eq!((case.summary.without_text, case.summary.cots), (1, 1));
    // It is enough that one row of a file tells it, be it the first, the last or between.
    let row = |question: &str, sample: u64| {
        json!({"question_id": "q", "question": question, "answer": "2", "model": "m", "sample": sample, "response": "a"})
            .to_string()
    };
    for at in 0..3 {
        let rows: Vec<String> = (0..3).map(|sample| row(if sample == at { "1 + 1?" } else { "" }, sample)).collect();
        let case = Case::of(&[("r.jsonl", &rows.join("\n"))], &Options::default());
        let Summary { questions, without_text, cots, unverifiable, .. } = case.summary;
        assert_eq!((questions, without_text, cots, unverifiable), (1, 0, 3, 0), "{at}");
        assert!(case.rows("recording.jsonl").iter().all(|row| row["question_id"] == "q"));
        assert_eq!(case.rows("bank.jsonl")[0]["id"], "q");
    }
    // An id of another file's question leads nowhere.
    let flat = json!({"id": "q", "question": "Q?", "response": "a"}).to_string();
    let case = Case::of(&[("f.jsonl", &flat), ("r.jsonl", &rows[0])], &Options::default());
    assert_eq!(case.summary.dropped_rows, BTreeMap::from([("id_taken", 1)]));
}

#[test]
fn a_question_has_one_row_and_its_first_reference() {
    let row = |id: &str, answer: Value, response: &str| {
        json!({"id": id, "question": "Q?", "answer": answer, "response": response}).to_string()
    };
    let rows =
        [row("a", Value::Null, "x"), row("b", json!("1"), "y"), row("c", json!("2"), "z"), row("d", json!("1"), "x")];
    let case = Case::of(&[("f.jsonl", &rows.join("\n"))], &Options::default());
    let [bank] = case.rows("bank.jsonl").try_into().unwrap();
    assert_eq!((&bank["answer"], &bank["source_ids"]), (&json!(["1"]), &json!(["a", "b", "c", "d"])));
    assert_eq!((case.summary.other_references, case.summary.unverifiable, case.summary.cots), (1, 0, 3));
    assert_eq!(case.summary.dropped_cots, BTreeMap::from([("repeated_cot", 1)]));
}

#[test]
fn columns_that_fit_nothing_are_named_and_nothing_is_written() {
    let error = Case::try_of(&[("f.jsonl", r#"{"foo": 1, "answer": 2}"#)], &Options::default()).err().unwrap();
    assert!(
        error.to_string().ends_with("f.jsonl: its columns fit no known shape; there are `foo`, `answer`"),
        "{error}"
    );
    let forced = Options { shape: Some(Shape::Flat), ..Options::default() };
    let error = Case::try_of(&[("f.jsonl", r#"{"foo": 1, "answer": 2}"#)], &forced).err().unwrap();
    let ImportError::Nothing { rows: 1, first } = &error else { panic!("{error}") };
    assert!(first.contains("f.jsonl:1: ") && first.contains("no_question"), "{first}");
}

#[test]
fn csv_holds_lists_as_json_and_the_same_files_give_the_same_bytes() {
    let csv = "problem,answer,generations,finish_reasons\n1+1?,2,\"[\"\"a\"\", \"\"b\"\"]\",\"[\"\"stop\"\", \"\"length\"\"]\"\n";
    let case = Case::of(&[("r.csv", csv)], &Options::default());
    assert_eq!((case.summary.cots, &case.rows("recording.jsonl")[1]["finish"]), (2, &json!("length")));
    let file = case.dir.path().join("r.csv");
    let before: Vec<_> =
        ["bank.jsonl", "recording.jsonl", "gradus.yaml"].map(|name| fs::read(case.out().join(name)).unwrap()).into();
    let refused = import(std::slice::from_ref(&file), &case.out(), &Options::default()).unwrap_err();
    assert!(matches!(refused, ImportError::Exists(_)), "{refused}");
    let again = import(&[file], &case.out(), &Options { force: true, ..Options::default() }).unwrap();
    assert_eq!(again, case.summary);
    let after: Vec<_> =
        ["bank.jsonl", "recording.jsonl", "gradus.yaml"].map(|name| fs::read(case.out().join(name)).unwrap()).into();
    assert_eq!(before, after);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        (0..12_u32).prop_map(Into::into),
        "(<think>|</think>|\\\\boxed\\{2\\}|#|q|[ -~]){0,5}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key =
            "thought|solution|full_response|teacher|role|content|thinking|from|value|level|judge|Reasoning_Verbosity";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn no_row_of_any_shape_panics_and_counts_add_up(
        rows in prop::collection::vec(prop::collection::vec((0..22_usize, any_json()), 0..9), 1..6),
        shape in 0..Shape::ALL.len(),
    ) {
        let names = [
            "id", "question", "problem", "instruction", "answer", "solution", "reasoning", "generations", "finish_reasons",
            "is_reasoning_complete", "correctness_math_verify", "conversations", "messages", "r1_solution_1", "solution_2",
            "question_id", "model", "sample", "response", "output", "kind", "rv",
        ];
        // A row that can be imported, so that there is something to count.
        let whole = json!({"id": "w", "question": "Q", "problem": "Q", "question_id": "w", "model": "m", "response": "r",
            "reasoning": [{"thought": "t"}], "generations": ["g"], "solution_1": "s",
            "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]});
        let shape = Shape::ALL[shape];
        let whole = match shape {
            Shape::Flat | Shape::Recording | Shape::Conversations => {
                let mut row = whole;
                row.as_object_mut().unwrap().remove("reasoning");
                row
            }
            _ => whole,
        };
        let mut lines = vec![whole.to_string()];
        for row in rows {
            let row: Map<String, Value> = row.into_iter().map(|(i, value)| (names[i].to_owned(), value)).collect();
            lines.push(Value::Object(row).to_string());
        }
        lines.push("{broken".to_owned());
        let options = Options { shape: Some(shape), ..Options::default() };
        let case = Case::of(&[("f.jsonl", &lines.join("\n"))], &options);
        prop_assert_eq!(case.summary.rows, lines.len() as u64);
    }
}
