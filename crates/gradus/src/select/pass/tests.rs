//! Selection over tables made by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::tables::{AttemptRow, CotRow, LevelRow, VerdictRow, each};

/// A chain of thought of a world: everything else follows from its numbers.
#[derive(Debug, Clone)]
struct One {
    question: usize,
    id: u64,
    teacher: String,
    verdict: &'static str,
    finish: &'static str,
    tokens: Option<i64>,
}

fn one(question: usize, id: u64) -> One {
    One { question, id, teacher: "t".into(), verdict: "correct", finish: "stop", tokens: Some(100 + id as i64) }
}

/// The difficulty that the world gives a chain of thought: no two have the same.
fn difficulty(id: u64) -> f64 {
    9.0 * (id as f64 + 1.0) / 1000.0
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// Tables of `n` questions, of which the level goes round, and of these chains of thought.
    fn new(n: usize, cots: &[One]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sample = TableWriter::create(folder.path()).unwrap();
        let mut levels = TableWriter::create(folder.path()).unwrap();
        let mut table = TableWriter::create(folder.path()).unwrap();
        for question in 0..n {
            let question_id = format!("q{question}");
            let level = Level::ALL[question % Level::COUNT].to_string();
            sample
                .push(SampleRow {
                    question_id: question_id.clone(),
                    level: level.clone(),
                    drawn_for: level.clone(),
                    rank: 0,
                })
                .unwrap();
            levels.push(level_row(&question_id, &level, 1, 2)).unwrap();
            for cot in cots.iter().filter(|cot| cot.question == question) {
                table
                    .push(CotRow {
                        cot_id: format!("{:016x}", cot.id),
                        question_id: question_id.clone(),
                        teacher: cot.teacher.clone(),
                        attempt: 0,
                        verdict: cot.verdict.into(),
                        reasoning: Some("the same words".into()),
                        answer: Some("7".into()),
                        finish: cot.finish.into(),
                        prompt_tokens: None,
                        completion_tokens: cot.tokens,
                        cost_usd: None,
                        n_parts: 1,
                    })
                    .unwrap();
            }
        }
        sample.finish().unwrap();
        levels.finish().unwrap();
        table.finish().unwrap();
        Self { folder }
    }

    fn tables(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Annotations for its chains of thought, in their order, changed by `change`.
    fn annotate(self, change: impl Fn(usize, &mut AnnotationRow)) -> Self {
        let mut rows = Vec::new();
        each::<CotRow>(&self.tables(), |cot| {
            let id = u64::from_str_radix(&cot.cot_id, 16).unwrap();
            let mut row = annotation(&cot);
            row.cd = Some(difficulty(id));
            row.s_rv = Some(difficulty(id));
            change(rows.len(), &mut row);
            rows.push(row);
        })
        .unwrap();
        let mut table = TableWriter::create(&self.tables()).unwrap();
        for row in rows {
            table.push(row).unwrap();
        }
        table.finish().unwrap();
        self
    }

    /// Selects by this YAML; gives back the table and why questions left.
    fn select(&self, yaml: &str) -> Result<(Vec<SelectionRow>, BTreeMap<String, String>), SelectError> {
        self.select_with(yaml, &HashMap::new())
    }

    fn select_with(
        &self,
        yaml: &str,
        unfinished: &HashMap<String, Unfinished>,
    ) -> Result<(Vec<SelectionRow>, BTreeMap<String, String>), SelectError> {
        let config = Config::read(&format!("annotate: {{recorded: [r.jsonl]}}\n{yaml}"), &[]).unwrap();
        let mut dropped = BTreeMap::new();
        let tables = self.tables();
        Pass::new(&tables, &config, &config.select)?.write(unfinished, |id, stage, reason| {
            dropped.insert(id, format!("{stage}:{}", reason.code));
            Ok(())
        })?;
        let rows = TableReader::open(&tables)?.collect::<Result<_, _>>()?;
        Ok((rows, dropped))
    }
}

fn level_row(question_id: &str, level: &str, n_correct: i64, n_countable: i64) -> LevelRow {
    LevelRow {
        question_id: question_id.into(),
        student: "s".into(),
        prompts: "p".into(),
        grader: "pass_rate".into(),
        level: level.into(),
        reason: None,
        score: None,
        pass_rate: None,
        pass_rate_low: None,
        pass_rate_high: None,
        n_attempts: n_countable,
        n_countable,
        n_correct,
        n_truncated: 0,
        n_undecided: 0,
        scorer: None,
        form: None,
        aggregate: None,
        n_scored: 0,
    }
}

fn annotation(cot: &CotRow) -> AnnotationRow {
    AnnotationRow {
        cot_id: cot.cot_id.clone(),
        question_id: cot.question_id.clone(),
        teacher: cot.teacher.clone(),
        attempt: cot.attempt,
        length: cot.completion_tokens.unwrap_or_default(),
        length_unit: "tokens".into(),
        judge: None,
        rv: None,
        rv_spread: None,
        n_rv: 0,
        rv_fit: None,
        rv_fit_spread: None,
        n_rv_fit: 0,
        cd: None,
        cd_spread: None,
        n_cd: 0,
        rv_len: None,
        s_rv: None,
        process: None,
        mean_nll: None,
        rsr: None,
        naturalness: None,
        n_student_tokens: None,
    }
}

fn reasons(rows: &[SelectionRow]) -> Vec<&str> {
    rows.iter().map(|row| row.reason.as_str()).collect()
}

#[test]
fn every_question_is_kept_or_leaves_with_its_reason() {
    let cots = [
        one(0, 1),
        one(0, 2),
        One { verdict: "incorrect", ..one(1, 3) },
        One { finish: "length", ..one(2, 4) },
        One { verdict: "undecided", ..one(3, 5) },
    ];
    let world = World::new(6, &cots);
    let unfinished = HashMap::from([
        ("q2".to_owned(), Unfinished::NotAsked),
        ("q3".to_owned(), Unfinished::OutOfBudget),
        ("q4".to_owned(), Unfinished::Gone),
    ]);
    let (rows, dropped) = world.select_with("select: {by: shortest}", &unfinished).unwrap();
    assert_eq!(reasons(&rows), ["selected", "sibling_preferred", "not_correct", "truncated", "not_correct"]);
    let dropped: Vec<(&str, &str)> = dropped.iter().map(|(id, why)| (id.as_str(), why.as_str())).collect();
    let wanted = [
        ("q1", "select:no_correct_cot"),
        ("q2", "distil:not_asked"),
        ("q3", "distil:question_budget"),
        ("q5", "select:no_correct_cot"),
    ];
    assert_eq!(dropped, wanted);
    let (rows, dropped) = world.select("distil: {min_correct: 3, tries: 9}").unwrap();
    assert_eq!(reasons(&rows)[..2], ["too_few_correct_cots"; 2]);
    assert_eq!(dropped["q0"], "select:too_few_correct_cots");
    let (rows, _) = world.select("select: {candidates: all, per_question: 9}").unwrap();
    assert_eq!(reasons(&rows), ["selected", "selected", "selected", "truncated", "selected"]);
    let (rows, dropped) = world.select("select: {candidates: labelled}").unwrap();
    assert!(rows.iter().all(|row| row.selected && row.reason == "labelled"));
    assert_eq!(dropped.values().collect::<Vec<_>>(), ["select:no_cot"; 2]);
}

#[test]
fn a_question_leaves_by_the_last_hurdle_that_one_of_its_chains_of_thought_came_to() {
    let cots = [one(0, 100), one(0, 900), one(1, 200), one(2, 400), one(2, 500)];
    let world = World::new(3, &cots).annotate(|at, row| {
        if at == 0 || at == 2 {
            row.cd = None;
        }
    });
    let (rows, dropped) = world.select("select: {by: cd_only, ability: 9, cd: [0, 5]}").unwrap();
    assert_eq!(reasons(&rows)[..3], ["no_scores", "cd_range", "no_scores"]);
    assert_eq!((dropped["q0"].as_str(), dropped["q1"].as_str()), ("select:cd_range", "select:no_scores"));
    assert_eq!(rows.iter().filter(|row| row.selected).count(), 1);
    let (_, dropped) = world.select("select: {rv: [8.5, 9]}").unwrap();
    assert_eq!(dropped.values().collect::<Vec<_>>(), ["select:rv_range"; 3]);
    // Without annotations nobody knows anything.
    let bare = World::new(1, &[one(0, 1)]);
    let (rows, dropped) = bare.select("select: {by: omnithought, ability: 5}").unwrap();
    assert_eq!((reasons(&rows), dropped["q0"].as_str()), (vec!["no_scores"], "select:no_scores"));
}

#[test]
fn limits_of_the_whole_take_questions_in_an_order_of_their_own() {
    let cots: Vec<One> = (0..40).map(|at| One { tokens: Some(100), ..one(at, at as u64) }).collect();
    let world = World::new(40, &cots);
    let kept = |yaml: &str| -> Vec<String> {
        let (rows, dropped) = world.select(yaml).unwrap();
        let kept: Vec<String> = rows.into_iter().filter(|row| row.selected).map(|row| row.question_id).collect();
        assert_eq!(kept.len() + dropped.values().filter(|why| *why == "select:selection_budget").count(), 40);
        kept
    };
    let few = kept("select: {max_rows: 10}");
    assert_eq!(few.len(), 10);
    assert_eq!(kept("select: {max_tokens: 1099}"), few);
    let more = kept("select: {max_rows: 25}");
    assert!(more.len() == 25 && few.iter().all(|id| more.contains(id)), "a greater limit only adds");
    assert_eq!(kept("select: {max_rows: 0}").len(), 0);
    assert_eq!(kept("select: {max_rows: 99}").len(), 40);
    let uncounted = World::new(1, &[One { tokens: None, ..one(0, 1) }]);
    assert!(matches!(uncounted.select("select: {max_tokens: 5}"), Err(SelectError::NoTokens)));
}

#[test]
fn the_students_own_attempts_bound_the_length() {
    // Levels go easy, 1, 2, ...; only attempts at easy and level 2 are right.
    let cots = [one(0, 0), one(0, 150), one(1, 0), one(1, 250), one(2, 650)];
    let world = World::new(3, &cots);
    let mut attempts = TableWriter::create(&world.tables()).unwrap();
    let mut verdicts = TableWriter::create(&world.tables()).unwrap();
    for (question, tokens, verdict) in [(0, 100, "correct"), (1, 9_000, "incorrect"), (2, 150, "correct")] {
        let (attempt_id, question_id) = (format!("a{question}"), format!("q{question}"));
        attempts
            .push(AttemptRow {
                attempt_id: attempt_id.clone(),
                question_id: question_id.clone(),
                model: "s".into(),
                attempt: 0,
                reasoning: None,
                answer: None,
                finish: "stop".into(),
                prompt_tokens: None,
                completion_tokens: Some(tokens),
                cost_usd: None,
            })
            .unwrap();
        verdicts
            .push(VerdictRow {
                attempt_id,
                question_id,
                role: "student".into(),
                model: "s".into(),
                verdict: verdict.into(),
                method: "m".into(),
                version: "1".into(),
                extracted: None,
                explanation: String::new(),
                tests_passed: None,
                tests_total: None,
                llm_verdict: None,
                llm_reason: None,
            })
            .unwrap();
    }
    attempts.finish().unwrap();
    verdicts.finish().unwrap();
    // Twice the length: 200 at easy; 300 at level 2 and at level 1, whose nearest, the harder, it is.
    let (rows, dropped) = world.select("select: {by: longest, length_budget: student}").unwrap();
    let wanted = ["selected", "over_length_budget", "selected", "over_length_budget", "over_length_budget"];
    assert_eq!(reasons(&rows), wanted);
    assert_eq!(dropped["q2"], "select:over_length_budget");
}

#[test]
fn the_measured_ability_takes_the_place_of_the_number() {
    // The easiest chain of thought of each question tells its difficulty; pass rates fall with it.
    let cots: Vec<One> = (0..300).flat_map(|at| [one(at, at as u64 * 3), one(at, at as u64 * 3 + 50)]).collect();
    let world = World::new(300, &cots).annotate(|_, row| row.s_rv = row.cd);
    let mut levels = TableWriter::create(&world.tables()).unwrap();
    for at in 0..300_u64 {
        let cd = difficulty(at * 3);
        let n_correct = ((8.0 / (1.0 + (cd - 4.0).exp())) as i64 + (at as i64 % 2)).min(8);
        let level = Level::ALL[at as usize % Level::COUNT].to_string();
        levels.push(level_row(&format!("q{at}"), &level, n_correct, 8)).unwrap();
    }
    levels.finish().unwrap();
    let config =
        Config::read("annotate: {recorded: [r.jsonl]}\nselect: {by: omnithought, ability: measured}", &[]).unwrap();
    let tables = world.tables();
    let pass = Pass::new(&tables, &config, &config.select).unwrap();
    let ability = pass.ability.as_ref().unwrap();
    assert!((ability.estimate - 4.0).abs() < 0.4 && ability.n_questions == 300, "{ability:?}");
    assert_eq!(pass.rule().ability, Some(ability.estimate));
    let made = pass.write(&HashMap::new(), |_, _, _| Ok(())).unwrap();
    assert_eq!((made.n_kept, made.ability.as_ref()), (300, Some(ability)));
    // Every level solves the same share: no telling, and no selection.
    let flat = World::new(60, &cots).annotate(|_, _| {});
    let error = flat.select("select: {by: omnithought, ability: measured}").unwrap_err();
    assert!(matches!(error, SelectError::Unidentified(Unidentified::Flat { .. })), "{error}");
}

#[test]
fn annotations_of_another_run_are_refused() {
    let cots = [one(0, 1), one(0, 2)];
    let swapped = World::new(1, &cots).annotate(|at, row| row.cot_id = format!("{:016x}", 2 - at));
    let error = swapped.select("select: {by: cd_only, ability: 4}").unwrap_err();
    assert!(matches!(error, SelectError::OutOfStep { table: "annotations", .. }), "{error}");
    let elsewhere = World::new(1, &cots).annotate(|_, row| row.question_id = "other".into());
    assert!(elsewhere.select("select: {by: random}").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Siblings with equal texts, from different teachers, some of them with the id of another question's: the scores in
    /// `selection` are those of the very chain of thought, and two passes write the same bytes.
    #[test]
    fn no_score_comes_to_a_sibling(
        shape in prop::collection::vec((0usize..6, 0u64..40, 0usize..3, any::<bool>()), 1..40),
        seed in 0u64..1000,
    ) {
        let mut cots: Vec<One> = shape
            .iter()
            .map(|&(question, id, teacher, right)| One {
                teacher: format!("t{teacher}"),
                verdict: if right { "correct" } else { "incorrect" },
                ..one(question, id)
            })
            .collect();
        cots.sort_by_key(|cot| cot.question);
        // The same id under another question has another score, and one row in three has none.
        let score = |at: usize, question: &str, id: u64| (at % 3 != 2).then(|| (difficulty(id) + question.len() as f64) % 9.0);
        let wanted = std::cell::RefCell::new(Vec::new());
        let world = World::new(6, &cots).annotate(|at, row| {
            let id = u64::from_str_radix(&row.cot_id, 16).unwrap();
            row.cd = score(at, &row.question_id, id);
            wanted.borrow_mut().push((row.cot_id.clone(), row.question_id.clone(), row.cd));
        });
        let yaml = format!("seed: {seed}\nselect: {{by: cd_only, ability: 3, candidates: all, per_question: 2}}");
        let (rows, dropped) = world.select(&yaml).unwrap();
        let found: Vec<_> = rows.iter().map(|row| (row.cot_id.clone(), row.question_id.clone(), row.cd)).collect();
        prop_assert_eq!(&found, &*wanted.borrow());
        for row in &rows {
            prop_assert_eq!(row.w_cd, row.cd.map(|cd| (-0.5 * (cd - 3.0).max(0.0)).exp()));
            prop_assert!(row.cd.is_some() || !row.selected);
        }
        for question in (0..6).map(|at| format!("q{at}")) {
            let n = rows.iter().filter(|row| row.question_id == question && row.selected).count();
            prop_assert!(n <= 2 && (n > 0) != dropped.contains_key(&question));
        }
        let bytes = || std::fs::read(path::<SelectionRow>(&world.tables())).unwrap();
        let first = bytes();
        world.select(&yaml).unwrap();
        prop_assert_eq!(first, bytes());
    }
}
