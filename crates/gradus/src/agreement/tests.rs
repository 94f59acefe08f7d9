//! Figures over tables made by hand, against numbers done by hand.

use super::*;
use crate::tables::{RatingRow, Row, TableWriter};

/// Writes a table into `folder`.
pub(crate) fn save<R: Row>(folder: &Path, rows: Vec<R>) {
    let mut writer = TableWriter::create(folder).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap();
}

/// A chain of thought of which nothing is known but its verdict.
pub(crate) fn cot(id: &str, question: &str, verdict: &str) -> CotRow {
    CotRow {
        cot_id: id.into(),
        question_id: question.into(),
        teacher: "t".into(),
        attempt: 0,
        verdict: verdict.into(),
        reasoning: None,
        answer: Some("a".into()),
        finish: "stop".into(),
        prompt_tokens: None,
        completion_tokens: Some(100),
        cost_usd: None,
        n_parts: 1,
    }
}

/// Its annotation, with nothing in it but a length.
pub(crate) fn annotation(id: &str, question: &str) -> AnnotationRow {
    AnnotationRow {
        cot_id: id.into(),
        question_id: question.into(),
        teacher: "t".into(),
        attempt: 0,
        length: 100,
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

/// What selection made of it.
pub(crate) fn selection(id: &str, question: &str, selected: bool) -> SelectionRow {
    SelectionRow {
        cot_id: id.into(),
        question_id: question.into(),
        selected,
        rank: None,
        probability: None,
        reason: "drawn".into(),
        s_rv: None,
        cd: None,
        w_cd: None,
        w_match: None,
        fit: None,
    }
}

/// A readable rating.
pub(crate) fn rating(id: &str, question: &str, role: &str, what: &str, repeat: i64, value: f64) -> RatingRow {
    RatingRow {
        cot_id: id.into(),
        question_id: question.into(),
        judge: if role == "second_judge" { "k" } else { "j" }.into(),
        role: role.into(),
        what: what.into(),
        calls: if role == "recorded" { "recorded" } else { "separate" }.into(),
        repeat,
        value: Some(value),
        reason: None,
        n_tries: 1,
        rating_id: None,
    }
}

fn level(question: &str, pass_rate: f64) -> LevelRow {
    LevelRow {
        question_id: question.into(),
        student: "s".into(),
        prompts: String::new(),
        grader: "pass_rate".into(),
        level: "3".into(),
        reason: None,
        score: None,
        pass_rate: Some(pass_rate),
        pass_rate_low: None,
        pass_rate_high: None,
        n_attempts: 4,
        n_countable: 4,
        n_correct: (4.0 * pass_rate) as i64,
        n_truncated: 0,
        n_undecided: 0,
        scorer: None,
        form: None,
        aggregate: None,
        n_scored: 0,
    }
}

fn of(folder: &Path) -> CotFigures {
    cots(folder, 0).unwrap().unwrap()
}

/// Five chains of thought of three questions: the longer, the higher RV within each question; CD falls as the pass
/// rate rises.
fn tables(folder: &Path) {
    let rows = [
        ("c0", "q0", 100, 1.0, 2.0, "sound", "correct"),
        ("c1", "q0", 200, 3.4, 2.0, "flawed", "correct"),
        ("c2", "q1", 1000, 2.0, 5.0, "sound", "incorrect"),
        ("c3", "q1", 3000, 9.0, 5.0, "undecided", "correct"),
        ("c4", "q2", 500, 6.0, 8.6, "sound", "correct"),
    ];
    let annotations = rows.map(|(id, question, length, rv, cd, process, _)| AnnotationRow {
        length,
        rv: Some(rv),
        cd: Some(cd),
        process: Some(process.into()),
        ..annotation(id, question)
    });
    save(folder, annotations.to_vec());
    save(folder, rows.map(|(id, question, .., verdict)| cot(id, question, verdict)).to_vec());
    save(folder, vec![selection("c0", "q0", true), selection("c1", "q0", false), selection("c3", "q1", true)]);
    save(folder, vec![level("q0", 1.0), level("q1", 0.5), level("q2", 0.0)]);
}

#[test]
fn scores_and_lengths_are_spread_over_the_sound_and_the_selected() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let figures = of(folder.path());
    assert_eq!((figures.n, figures.sound.n, figures.selected.n), (5, 4, 2));
    assert_eq!(figures.sound.rv, [0, 1, 0, 1, 0, 0, 1, 0, 0, 1]);
    assert_eq!(figures.sound.cd, [0, 0, 2, 0, 0, 1, 0, 0, 0, 1]);
    assert_eq!(figures.selected.cd, [0, 0, 1, 0, 0, 1, 0, 0, 0, 0]);
    // 100, 200, 500, 3000.
    let length = figures.sound.length.unwrap();
    assert_eq!((length.min, length.q25, length.median, length.max), (100.0, 175.0, 350.0, 3000.0));
}

#[test]
fn correlations_are_told_overall_and_within_questions() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let figures = of(folder.path());
    let found = |x: &str, y: &str, over: &str| {
        let is = |found: &&Correlation| (found.x.as_str(), found.y.as_str(), found.over.as_str()) == (x, y, over);
        figures.correlations.iter().find(is).cloned()
    };
    // Ranks of length 1 2 4 5 3, of RV 1 3 2 5 4: 1 - 6 (0 + 1 + 4 + 0 + 1) / (5 * 24).
    let overall = found("rv", "length", "cots").unwrap();
    assert_eq!((overall.n, overall.n_questions), (5, 3));
    assert!((overall.spearman.value.unwrap() - 0.7).abs() < 1e-12, "{overall:?}");
    let within = found("rv", "length", "within_question").unwrap();
    assert_eq!((within.n, within.n_questions, within.spearman.value), (4, 2, Some(1.0)));
    let difficulty = found("cd", "pass_rate", "questions").unwrap();
    assert_eq!((difficulty.n, difficulty.spearman.value), (3, Some(-1.0)));
    assert_eq!(found("rsr", "length", "cots"), None, "nobody measured it");
    let bins: Vec<_> = figures.pass_by_cd.iter().map(|bin| (bin.cd, bin.n, bin.pass.value)).collect();
    assert_eq!(bins, [(2, 1, Some(1.0)), (5, 1, Some(0.5)), (9, 1, Some(0.0))]);
}

#[test]
fn fewer_than_three_tell_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rated = |id: &str, rv: f64| AnnotationRow { rv: Some(rv), ..annotation(id, "q") };
    save(folder.path(), vec![rated("a", 1.0), AnnotationRow { length: 200, ..rated("b", 2.0) }]);
    save(folder.path(), (0..2).map(|repeat| rating("a", "q", "judge", "rv", repeat, 1.0)).collect());
    let figures = of(folder.path());
    assert_eq!(figures.correlations.len(), 2);
    assert!(figures.correlations.iter().all(|found| found.n == 2 && found.spearman == Interval::default()));
    assert_eq!((figures.agreement[0].n_pairs, figures.agreement[0].equal), (1, Interval::default()));
}

#[test]
fn the_process_is_told_against_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path());
    let process = of(folder.path()).process.unwrap();
    let wanted = [("flawed", [1, 0, 0]), ("sound", [2, 1, 0]), ("undecided", [1, 0, 0])];
    assert_eq!(process.by_verdict, wanted.map(|(label, counts)| (label.to_owned(), counts)).into());
    assert_eq!((process.flawed_if_correct.count, process.flawed_if_correct.n), (1, 3));
    assert_eq!((process.sound_if_incorrect.count, process.sound_if_incorrect.n), (1, 1));
}

/// Repeats (0,0) (1,1) (2,1) (2,2) of four questions: kappa 0.8, as done by hand beside `quadratic_kappa`.
#[test]
fn repeats_are_compared_pair_by_pair() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [(0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (2.0, 2.0)];
    let ratings = pairs.iter().zip(0..).flat_map(|(pair, at)| {
        let (id, question) = (format!("c{at}"), format!("q{at}"));
        [rating(&id, &question, "judge", "cd", 1, pair.1), rating(&id, &question, "judge", "cd", 0, pair.0)]
    });
    let mut ratings: Vec<RatingRow> = ratings.collect();
    let missing = |reason: &str, n_tries| RatingRow {
        value: None,
        reason: Some(reason.into()),
        n_tries,
        ..rating("c0", "q0", "judge", "cd", 2, 0.0)
    };
    ratings.extend([missing("unreadable", 3), missing("too_long", 1)]);
    save(folder.path(), ratings);
    save(folder.path(), vec![annotation("c0", "q0")]);
    let figures = of(folder.path());
    let [found] = &figures.agreement[..] else { panic!("{figures:?}") };
    assert_eq!((found.between.as_str(), found.what.as_str(), found.one.as_str()), ("repeats", "cd", "j, separate"));
    assert_eq!((found.n_pairs, found.n_cots, found.n_questions), (4, 4, 4));
    assert!((found.kappa.value.unwrap() - 0.8).abs() < 1e-12, "{found:?}");
    assert_eq!((found.mean_difference.value, found.within_one.value), (Some(0.25), Some(1.0)));
    assert_eq!(found.equal.value, Some(0.75));
    let (low, high) = found.kappa.low.zip(found.kappa.high).unwrap();
    assert!(low < 0.8 && 0.8 < high && high <= 1.0, "{found:?}");
    let [count] = &figures.ratings[..] else { panic!("{figures:?}") };
    assert_eq!((count.missing.count, count.missing.n, count.n_tries), (2, 10, 12));
    assert_eq!(count.reasons, [("too_long".to_owned(), 1), ("unreadable".to_owned(), 1)].into());
}

#[test]
fn means_of_judges_ways_of_asking_and_recorded_ratings_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let mut ratings = Vec::new();
    for at in 0..3 {
        let (id, question) = (format!("c{at}"), format!("q{at}"));
        let value = f64::from(at);
        // Means: 1, 2, 3 by the judge; 2, 3, 4 by the second one; 3, 4, 5 where it was asked jointly; 1, 2, 3 recorded.
        for (repeat, value) in [(0, value), (1, value + 2.0)] {
            ratings.push(rating(&id, &question, "judge", "rv", repeat, value));
        }
        ratings.push(rating(&id, &question, "second_judge", "rv", 0, value + 2.0));
        ratings.push(RatingRow { calls: "joint".into(), ..rating(&id, &question, "judge", "rv", 0, value + 3.0) });
        ratings.push(rating(&id, &question, "recorded", "rv", 0, value + 1.0));
        ratings.push(rating(&id, &question, "judge", "process", 0, 1.0));
        ratings.push(rating(&id, &question, "second_judge", "process", 0, f64::from(u8::from(at > 0))));
    }
    save(folder.path(), ratings);
    save(folder.path(), vec![annotation("c0", "q0")]);
    let figures = of(folder.path());
    let found: Vec<_> = figures
        .agreement
        .iter()
        .map(|found| {
            let names = (found.between.as_str(), found.one.as_str(), found.other.as_str());
            (names, found.n_pairs, found.mean_difference.value, found.within_one.value)
        })
        .collect();
    let wanted = [
        (("repeats", "j, separate", "j, separate"), 3, Some(2.0), Some(0.0)),
        (("judges", "j, separate", "k, separate"), 3, Some(1.0), Some(1.0)),
        (("judges", "j, separate", "k, separate"), 3, Some(1.0 / 3.0), None),
        (("calls", "j, separate", "j, joint"), 3, Some(2.0), Some(0.0)),
        (("recorded", "j, separate", "recorded"), 3, Some(0.0), Some(1.0)),
        (("recorded", "j, joint", "recorded"), 3, Some(2.0), Some(0.0)),
        (("recorded", "k, separate", "recorded"), 3, Some(1.0), Some(1.0)),
    ];
    assert_eq!(found, wanted);
    assert_eq!(figures.agreement[1].spearman.value, Some(1.0));
}

fn verdict(question: &str, verdict: &str, method: &str, said: Option<&str>) -> VerdictRow {
    VerdictRow {
        attempt_id: "a".into(),
        question_id: question.into(),
        role: "student".into(),
        model: "s".into(),
        verdict: verdict.into(),
        method: method.into(),
        version: "1".into(),
        extracted: None,
        explanation: String::new(),
        tests_passed: None,
        tests_total: None,
        llm_verdict: said.map(str::to_owned),
        llm_reason: None,
    }
}

/// 20 5 / 10 15, the table of which kappa is 0.4.
#[test]
fn the_judge_of_answers_is_told_against_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = Vec::new();
    for (ruled, said, n) in [
        ("correct", "correct", 20),
        ("correct", "incorrect", 5),
        ("incorrect", "correct", 10),
        ("incorrect", "incorrect", 15),
        ("incorrect", "undecided", 2),
    ] {
        rows.extend((0..n).map(|at| verdict(&format!("q{at}"), ruled, "verify:int=int", Some(said))));
    }
    rows.push(verdict("q0", "correct", "llm", Some("correct")));
    rows.push(verdict("q0", "undecided", "verify:text", Some("undecided")));
    rows.push(verdict("q0", "correct", "verify:int=int", None));
    save(folder.path(), rows);
    let found = answers(folder.path(), 0).unwrap().unwrap();
    assert_eq!((found.n_asked, found.n_open, found.open), (54, 2, [1, 0, 1]));
    assert_eq!(found.table, [[20, 5, 0], [10, 15, 2]]);
    assert_eq!((found.agreed.count, found.agreed.n), (35, 50));
    assert!((found.kappa.value.unwrap() - 0.4).abs() < 1e-12 && found.kappa.low.unwrap() < 0.4);
}

#[test]
fn without_judges_there_is_nothing_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!((cots(folder.path(), 0).unwrap(), answers(folder.path(), 0).unwrap()), (None, None));
    save(folder.path(), vec![verdict("q", "correct", "verify:int=int", None)]);
    assert_eq!(answers(folder.path(), 0).unwrap(), None);
    save::<AnnotationRow>(folder.path(), Vec::new());
    assert_eq!(of(folder.path()), CotFigures::default());
}
