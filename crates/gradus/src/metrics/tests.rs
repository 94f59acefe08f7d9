//! Figures of tables made by hand.

use super::*;
use crate::tables::{Row, TableWriter};

/// Facts of a run that every test can use.
pub(crate) fn facts() -> RunFacts {
    let model = |role: &str, model: &str| ModelFact {
        role: role.into(),
        model: model.into(),
        revision: None,
        recorded: false,
        sampling: Some(SamplingConfig::default()),
        price: Some(Price { input: 0.1, cached_input: None, output: 0.4, as_of: Some("2026-11-01".into()) }),
    };
    RunFacts {
        tool: "gradus 0".into(),
        config_hash: "c0ffee".into(),
        seed: 7,
        prompts: vec![PromptFact { name: "math".into(), hash: "abcd".into(), text: "{question}\nBox it.".into() }],
        models: vec![model("student", "s"), model("teacher", "t")],
        sandbox: None,
    }
}

fn save<R: Row>(folder: &Path, rows: Vec<R>) {
    let tables = folder.join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    let mut writer = TableWriter::create(&tables).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    writer.finish().unwrap();
}

/// Removes every drop: some questions are then neither selected nor dropped.
pub(crate) fn forget_drops(folder: &Path) {
    save::<DroppedRow>(folder, Vec::new());
}

/// Twelve questions, two of each level; `text` stands wherever a model or a bank wrote. Of the hard ones every
/// second is drawn, gets two chains of thought, and the right one is kept.
pub(crate) fn tables(folder: &Path, text: &str) {
    let (mut questions, mut attempts, mut verdicts, mut levels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut sample, mut cots, mut selection, mut dropped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for q in 0..12_u64 {
        let question_id = format!("{q:016x}");
        let level = Level::ALL[q as usize / 2];
        let rate = 1.0 - level.index() as f64 / 5.0;
        questions.push(QuestionRow {
            question_id: question_id.clone(),
            source_ids: vec![text.into()],
            kind: if q % 3 == 0 { "choice" } else { "math" }.into(),
            question: format!("Question {q}: {text}"),
            references: vec![text.into()],
            tolerance: None,
            tests: None,
            starter: String::new(),
            options: if q % 3 == 0 { vec![text.into(), "b".into()] } else { Vec::new() },
            bank_level: None,
            subject: None,
            source: text.into(),
            license: None,
        });
        let verdict = |role: &str, id: &str, verdict: &str| VerdictRow {
            attempt_id: id.into(),
            question_id: question_id.clone(),
            role: role.into(),
            model: if role == "student" { "s" } else { "t" }.into(),
            verdict: verdict.into(),
            method: "m".into(),
            version: "1".into(),
            extracted: Some(text.into()),
            explanation: text.into(),
            tests_passed: None,
            tests_total: None,
            llm_verdict: None,
            llm_reason: None,
        };
        for attempt in 0..5_i64 {
            let id = format!("{:016x}", q * 10 + attempt as u64);
            let outcome = match attempt {
                n if (n as f64) < rate * 5.0 - 0.5 => "correct",
                3 => "undecided",
                _ => "incorrect",
            };
            verdicts.push(verdict("student", &id, outcome));
            attempts.push(AttemptRow {
                attempt_id: id,
                question_id: question_id.clone(),
                model: "s".into(),
                attempt,
                reasoning: Some(text.into()),
                answer: Some(text.into()),
                finish: if attempt == 4 && q > 8 { "length" } else { "stop" }.into(),
                prompt_tokens: Some(10),
                completion_tokens: (q > 0).then_some(100),
                cost_usd: Some(0.001),
            });
        }
        let n_correct = (rate * 5.0).round() as i64;
        let interval = Share::of(n_correct as u64, 5);
        levels.push(LevelRow {
            question_id: question_id.clone(),
            student: "s".into(),
            prompts: "abcd".into(),
            grader: "pass_rate".into(),
            level: level.to_string(),
            reason: None,
            score: Some(rate),
            pass_rate: interval.rate,
            pass_rate_low: interval.low,
            pass_rate_high: interval.high,
            n_attempts: 5,
            n_countable: 5,
            n_correct,
            n_truncated: 0,
            n_undecided: 0,
            scorer: None,
            form: None,
            aggregate: None,
            n_scored: 0,
        });
        if q % 2 == 0 && level != Level::Easy {
            sample.push(SampleRow {
                question_id: question_id.clone(),
                level: level.to_string(),
                drawn_for: if q == 4 { "1".into() } else { level.to_string() },
                rank: 0,
            });
            for attempt in 0..2_i64 {
                let cot_id = format!("{:016x}", 1000 + q * 10 + attempt as u64);
                let outcome = if attempt == 1 { "correct" } else { "incorrect" };
                verdicts.push(verdict("teacher", &cot_id, outcome));
                cots.push(CotRow {
                    cot_id: cot_id.clone(),
                    question_id: question_id.clone(),
                    teacher: "t".into(),
                    attempt,
                    verdict: outcome.into(),
                    reasoning: Some(text.into()),
                    answer: Some(text.into()),
                    finish: "stop".into(),
                    prompt_tokens: Some(10),
                    completion_tokens: Some(500),
                    cost_usd: None,
                    n_parts: 1,
                });
                selection.push(SelectionRow {
                    cot_id,
                    question_id: question_id.clone(),
                    selected: attempt == 1,
                    rank: (attempt == 1).then_some(0),
                    probability: None,
                    reason: "drawn".into(),
                    s_rv: None,
                    cd: None,
                    w_cd: None,
                    w_match: None,
                    fit: None,
                });
            }
        } else {
            dropped.push(DroppedRow {
                item: question_id,
                item_kind: "question".into(),
                stage: "sample".into(),
                reason: "not_drawn".into(),
                detail: text.into(),
            });
        }
    }
    dropped.push(DroppedRow {
        item: "bank.jsonl:9".into(),
        item_kind: "row".into(),
        stage: "ingest".into(),
        reason: "no_answer".into(),
        detail: text.into(),
    });
    save(folder, questions);
    save(folder, attempts);
    save(folder, verdicts);
    save(folder, levels);
    save(folder, sample);
    save(folder, cots);
    save(folder, selection);
    save(folder, dropped);
}

fn metrics(folder: &Path, config: &Config) -> Metrics {
    Metrics::of(folder, config, facts(), LedgerFacts::default()).unwrap()
}

#[test]
fn every_stage_is_counted_and_the_counts_add_up() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let metrics = metrics(folder.path(), &Config::default());
    let funnel: Vec<_> = metrics.funnel.iter().map(|step| (step.step.as_str(), step.count)).collect();
    let expected = [
        ("entered", 12),
        ("graded", 12),
        ("sampled", 5),
        ("answered by a teacher", 5),
        ("with a correct chain of thought", 5),
        ("selected", 5),
        ("written", 10),
        ("correct", 5),
        ("kept", 5),
    ];
    assert_eq!(funnel, expected);
    let balance = Balance { n_entered: 12, n_selected: 5, n_dropped: 7, complete: true, ..Balance::default() };
    assert_eq!(metrics.balance, balance);
    assert_eq!(metrics.balance.fault(), None);
    assert_eq!(metrics.drops.len(), 2);
    assert_eq!(metrics.drops[1].count, 7);
    let read: Metrics = serde_json::from_str(&metrics.to_json()).unwrap();
    assert_eq!((read.version, read.funnel, read.balance), (VERSION, metrics.funnel, metrics.balance));
}

#[test]
fn a_question_neither_selected_nor_dropped_is_named() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    forget_drops(folder.path());
    let balance = metrics(folder.path(), &Config::default()).balance;
    assert_eq!((balance.n_unaccounted, balance.unaccounted.len()), (7, 7));
    assert!(balance.fault().unwrap().starts_with("7 of 12 questions are not accounted for"));
}

#[test]
fn shares_are_counted_by_role_and_kind() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let metrics = metrics(folder.path(), &Config::default());
    let n: Vec<_> = metrics.verdicts.iter().map(|row| (row.role.as_str(), row.kind.as_str(), row.n())).collect();
    assert_eq!(
        n,
        [("student", "choice", 20), ("student", "math", 40), ("teacher", "choice", 2), ("teacher", "math", 8)]
    );
    let student = &metrics.roles[0];
    assert_eq!((student.n_attempts, student.n_uncounted, student.completion_tokens), (60, 5, 5500));
    assert_eq!((student.truncated.count, student.truncated.n), (3, 60));
    assert_eq!((student.undecided.count, student.undecided.n), (8, 60));
    assert_eq!(metrics.roles[1].cost_usd, None);
    assert!((metrics.per_kept_cot.paid_usd.unwrap() - 0.06 / 5.0).abs() < 1e-12);
    assert_eq!(metrics.per_kept_cot.completion_tokens, Some(10_500.0 / 5.0));
}

#[test]
fn pass_rates_fall_into_their_bins() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let rates = metrics(folder.path(), &Config::default()).pass_rates;
    assert_eq!(rates.bins, [2, 0, 0, 2, 0, 2, 0, 2, 0, 2, 0, 2]);
    assert_eq!(rates.mean.map(|mean| (mean * 1e9).round()), Some(0.5e9));
    assert!(rates.mean_low.unwrap() < 0.5 && rates.mean_high.unwrap() > 0.5);
}

#[test]
fn the_sample_is_measured_against_what_was_wanted() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let mut config = Config::default();
    // P_eval wants a sixth of each level and got a fifth of each hard one.
    let fit = metrics(folder.path(), &config).sample.unwrap();
    assert!((fit.tv.unwrap() - 1.0 / 6.0).abs() < 1e-12, "{fit:?}");
    assert!((fit.kl.unwrap() - 1.2_f64.ln()).abs() < 1e-12, "{fit:?}");
    assert_eq!(fit.levels[2].spilled, 1);
    config.sample.by = SampleBy::Shares;
    config.sample.shares = [1.0, 0.0, 1.0, 1.0, 1.0, 1.0];
    let fit = metrics(folder.path(), &config).sample.unwrap();
    assert_eq!(fit.kl, None, "a level was drawn that was not wanted");
    assert_eq!(fit.wanted, 10, "without a size, all questions of the levels that are wanted");
}

#[test]
fn wilson_intervals_are_as_published() {
    // Values by the formula of Wilson (1927), as R's prop.test(correct = FALSE) prints them.
    let check = |count, n, low: f64, high: f64| {
        let share = Share::of(count, n);
        assert!((share.low.unwrap() - low).abs() < 5e-5 && (share.high.unwrap() - high).abs() < 5e-5, "{share:?}");
    };
    check(0, 10, 0.0, 0.2775);
    check(10, 10, 0.7225, 1.0);
    check(5, 10, 0.2366, 0.7634);
    check(1, 4, 0.0456, 0.6994);
    assert_eq!(Share::of(0, 0).rate, None);
}

#[test]
fn a_run_that_has_just_begun_has_figures() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = metrics(folder.path(), &Config::default());
    assert_eq!(metrics.funnel.len(), 1);
    assert_eq!(metrics.balance.fault(), None);
}
