//! The page over hostile tables made by hand.

use std::path::Path;

use super::*;
use crate::metrics::tests::{facts, tables};
use crate::metrics::{LedgerFacts, LedgerUsage, StageTime};
use crate::tables::VerdictRow;

fn page(folder: &Path) -> String {
    let ledger = LedgerFacts {
        usage: vec![LedgerUsage {
            role: "teacher".into(),
            model: "t".into(),
            n_attempts: 8,
            n_uncounted: 0,
            n_requests: 9,
            faults: [("rate_limited".to_owned(), 1)].into(),
            prompt_tokens: 80,
            completion_tokens: 4000,
            paid_usd: Some(0.5),
        }],
        n_executions: 3,
        durations: vec![StageTime { stage: "probe".into(), seconds: 75.0 }],
    };
    let config = Config::default();
    let metrics = Metrics::of(folder, &config, facts(), ledger).unwrap();
    let path = write(folder, "A run <b>", &config, &metrics).unwrap();
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn nothing_that_a_model_wrote_becomes_markup() {
    let hostile = "<script>alert(1)</script></pre></textarea><img src=x onerror=alert(1)>\" onload='x'\0\u{1b}\u{202e}";
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), hostile);
    let html = page(folder.path());
    for bad in ["<script", "</textarea", "<img", "onerror=alert(1)>", "\" onload", "\0", "\u{1b}", "\u{202e}"] {
        assert!(!html.contains(bad), "{bad:?}");
    }
    // It is there all the same, as text.
    assert!(html.contains("&lt;script&gt;alert(1)"));
    assert!(html.contains('␀') && html.contains('␛'));
    // The tags of the template and nothing else: what is opened is closed.
    for tag in ["pre", "details", "article", "table", "svg", "code"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let html = page(folder.path()).replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<link", "<script"] {
        assert!(!html.contains(outside), "{outside}");
    }
}

#[test]
fn the_same_tables_give_the_same_page() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = folders.each_ref().map(|folder| {
        tables(folder.path(), "text");
        page(folder.path())
    });
    assert_eq!(a, b);
}

#[test]
fn a_question_that_got_lost_is_shown_loudly() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    assert!(!page(folder.path()).contains("do not add up"));
    crate::metrics::tests::forget_drops(folder.path());
    assert!(page(folder.path()).contains("The counts do not add up."));
}

#[test]
fn a_run_under_way_has_a_report_too() {
    let folder = tempfile::tempdir().unwrap();
    let html = page(folder.path());
    assert!(html.contains("Selection has not run yet"));
}

#[test]
fn guesses_are_called_guesses() {
    let folder = tempfile::tempdir().unwrap();
    assert!(page(folder.path()).contains("our default, a guess"));
}

/// Ratings, annotations and a second teacher for the tables of [`tables`], with `text` wherever somebody else wrote.
fn annotate(folder: &Path, text: &str) {
    use crate::agreement::tests::{annotation, rating, save};
    use crate::tables::{AnnotationRow, CotRow, TableReader};

    let tables = folder.join("tables");
    let mut cots: Vec<CotRow> = TableReader::open(&tables).unwrap().map(Result::unwrap).collect();
    cots.iter_mut().step_by(2).for_each(|cot| cot.teacher = text.into());
    let annotations = cots.iter().zip(0_u32..).map(|(cot, at)| AnnotationRow {
        teacher: cot.teacher.clone(),
        judge: Some(text.into()),
        length: 100 + i64::from(at),
        length_unit: text.into(),
        rv: Some(f64::from(at % 10)),
        cd: Some(f64::from(at % 4)),
        process: Some(text.into()),
        ..annotation(&cot.cot_id, &cot.question_id)
    });
    save(&tables, annotations.collect());
    let ratings = cots.iter().flat_map(|cot| {
        (0..3).map(|repeat| crate::tables::RatingRow {
            judge: text.into(),
            value: (repeat < 2).then_some(4.0),
            reason: (repeat == 2).then(|| text.to_owned()),
            ..rating(&cot.cot_id, &cot.question_id, "judge", "rv", repeat, 0.0)
        })
    });
    save(&tables, ratings.collect());
    let mut verdicts: Vec<VerdictRow> = TableReader::open(&tables).unwrap().map(Result::unwrap).collect();
    for row in &mut verdicts {
        row.llm_verdict = Some(text.into());
        row.llm_reason = Some(text.into());
    }
    save(&tables, verdicts);
    save(&tables, cots);
}

#[test]
fn chains_of_thought_judges_and_teachers_are_shown_as_text() {
    let hostile = "<script>alert(1)</script></table></svg>\" onload='x'\u{1b}\u{202e}";
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    annotate(folder.path(), hostile);
    let html = page(folder.path());
    for heading in ["<h2>Chains of thought</h2>", "<h2>Teachers</h2>", "How far judges agree", "the judge of answers"] {
        assert!(html.contains(heading), "{heading}");
    }
    for bad in ["<script", "\" onload", "\u{1b}", "\u{202e}"] {
        assert!(!html.contains(bad), "{bad:?}");
    }
    for tag in ["table", "svg", "figure", "div", "h2", "h3"] {
        let opened = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
    }
    // Every two ratings are the same 4: no kappa, all within one.
    assert!(html.contains("10 of 10 CoTs, 5 questions"));
}

#[test]
fn without_annotations_and_with_one_teacher_the_sections_are_absent() {
    let folder = tempfile::tempdir().unwrap();
    tables(folder.path(), "text");
    let html = page(folder.path());
    assert!(!html.contains("<h2>Chains of thought</h2>") && !html.contains("<h2>Teachers</h2>"));
}

#[test]
fn an_annotated_run_of_no_rows_has_its_sections() {
    use crate::agreement::tests::save;

    let folder = tempfile::tempdir().unwrap();
    let tables = folder.path().join("tables");
    std::fs::create_dir_all(&tables).unwrap();
    save::<crate::tables::AnnotationRow>(&tables, Vec::new());
    save::<crate::tables::RatingRow>(&tables, Vec::new());
    save::<crate::tables::CotRow>(&tables, Vec::new());
    let html = page(folder.path());
    assert!(html.contains("0 chains of thought were looked at") && html.contains("No teacher has answered yet"));
}
