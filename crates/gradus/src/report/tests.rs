//! The page over hostile tables made by hand.

use std::path::Path;

use super::*;
use crate::metrics::tests::{facts, tables};
use crate::metrics::{LedgerFacts, LedgerUsage, StageTime};

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
