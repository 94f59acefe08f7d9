//! The card of the data set: `README.md` with the header that the hub reads.

use std::collections::BTreeSet;

use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Value, json};

use super::layout::Of;
use super::shards::{Written, features};
use super::tally::{Tally, recorded_teachers};
use super::{ExportFacts, pairs, row};
use crate::config::{Export, Think};
use crate::level::Level;

const TEMPLATE: &str = include_str!("card.md");

/// Most sources listed by name.
const MAX_SOURCES: usize = 30;

/// Licences by the names the hub knows; another one is `other`, with its name apart.
const LICENSES: [&str; 22] = [
    "apache-2.0",
    "mit",
    "bsd-2-clause",
    "bsd-3-clause",
    "cc0-1.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-4.0",
    "odc-by",
    "odbl",
    "pddl",
    "gpl-3.0",
    "lgpl-3.0",
    "unlicense",
    "unknown",
    "other",
    "cdla-permissive-2.0",
];

/// The text of the card.
pub(super) fn render(facts: &ExportFacts<'_>, config: &Export, tally: &Tally, written: &[(Of, Written)]) -> String {
    let (licenses, others) = licenses(tally);
    let formats: Vec<Value> = written
        .iter()
        .map(|(of, written)| {
            let layout = of.layout();
            json!({
                "name": layout.name(), "about": layout.about(), "features": features(&layout.columns()),
                "rows": written.n_rows, "questions": matches!(of, Of::Questions(_)), "holds": holds(*of),
                "n_bytes": written.n_bytes, "download_bytes": written.download_bytes,
            })
        })
        .collect();
    let mut levels: Vec<_> = tally.levels.iter().collect();
    levels.sort_by_key(|(level, _)| Level::parse(level).map_or(Level::COUNT, Level::index));
    let levels: Vec<Value> =
        levels.into_iter().map(|(level, count)| json!({"name_md": markdown(level), "count": count})).collect();
    let recorded: Vec<String> = recorded_teachers(facts.run).into_iter().map(markdown).collect();
    let mut sources: Vec<Value> = Vec::new();
    for ((source, license), count) in tally.sources.iter().take(MAX_SOURCES) {
        let license = license.as_deref().unwrap_or("not named");
        sources.push(json!({"name_md": markdown(source), "license_md": markdown(license), "count": count}));
    }
    if let Some(more) = tally.sources.len().checked_sub(MAX_SOURCES).filter(|more| *more > 0) {
        let count: u64 = tally.sources.values().skip(MAX_SOURCES).sum();
        sources.push(json!({"name_md": format!("{more} more"), "license_md": "", "count": count}));
    }
    let has = |wanted: &dyn Fn(&Of) -> bool| written.iter().any(|(of, _)| wanted(of));
    let (has_pairs, has_labels) = (has(&|of| matches!(of, Of::Pairs(_))), has(&|of| matches!(of, Of::Labels(_))));
    let of_one = row::COLUMNS.iter().filter(|_| has_labels || has(&|of| matches!(of, Of::Sft(_))));
    let of_pairs = pairs::COLUMNS.iter().filter(|(.., about)| has_pairs && !about.is_empty());
    let told = |(name, _, about): &(&str, _, &str)| json!({"name": name, "about": about});
    let columns: Vec<Value> = of_one.map(told).collect();
    let pair_columns: Vec<Value> = of_pairs.map(told).collect();
    let tags = [("dpo", has_pairs), ("kto", has_labels), ("prm", has(&|of| matches!(of, Of::Steps(_))))];
    let tags: Vec<&str> = tags.into_iter().filter(|(_, is_there)| *is_there).map(|(tag, _)| tag).collect();
    let size = size_category(written.iter().map(|(_, written)| written.n_rows).max().unwrap_or(0));
    let teachers: Vec<String> = tally.teachers.iter().map(|teacher| markdown(teacher)).collect();
    let teachers = if teachers.is_empty() { "a teacher model".to_owned() } else { teachers.join(", ") };
    let context = json!({
        "languages": facts.languages, "licenses": licenses, "license_name": others, "name": facts.name,
        "name_md": markdown(facts.name), "size": size, "tags": tags, "formats": formats, "rows": tally.rows,
        "n_not_correct": tally.n_not_correct, "pair_columns": pair_columns,
        "questions": has(&|of| matches!(of, Of::Questions(_))),
        "teachers_md": teachers, "student_md": markdown(facts.student), "tool_md": markdown(&facts.run.tool),
        "wrap": config.think == Think::Wrap, "longest": tally.longest, "max_length": tally.longest.max_length(),
        "levels": levels, "recorded_md": recorded.join(", "), "sources": sources, "columns": columns,
        "cots": tally.has_cots, "partial_md": facts.partial.map(|partial| markdown(&partial.sentence())),
        "window": [config.rl.min_pass_rate, config.rl.max_pass_rate],
    });
    let card = Environment::new().render_str(TEMPLATE, minijinja::Value::from(Serde(&context)));
    card.expect("the template is fixed and every value is given") + "\n"
}

/// What the rows of a format are, where they are not selected chains of thought.
fn holds(of: Of) -> Option<&'static str> {
    match of {
        Of::Sft(_) | Of::Questions(_) => None,
        Of::Pairs(_) => Some("preference pairs"),
        Of::Labels(_) => Some("labelled chains of thought"),
        Of::Steps(_) => Some("solutions with labelled steps"),
    }
}

/// Licences for the header, and the names of those that the hub does not know.
fn licenses(tally: &Tally) -> (Vec<&'static str>, Option<String>) {
    let mut found = BTreeSet::new();
    let mut others = Vec::new();
    for (_, license) in tally.sources.keys() {
        let plain = license.as_deref().unwrap_or("unknown").trim().to_lowercase().replace([' ', '_'], "-");
        if let Some(known) = LICENSES.iter().find(|known| **known == plain) {
            found.insert(*known);
        } else {
            found.insert("other");
            others.extend(license.clone());
        }
    }
    others.sort();
    others.dedup();
    if found.is_empty() {
        found.insert("unknown");
    }
    (found.into_iter().collect(), (!others.is_empty()).then(|| others.join(", ")))
}

/// The hub's word for a number of rows.
fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        _ => "10M<n<100M",
    }
}

/// A name as plain text in Markdown, on one line and harmless in a table.
fn markdown(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            c if c.is_control() => plain.push(' '),
            '<' => plain.push_str("&lt;"),
            '>' => plain.push_str("&gt;"),
            '&' => plain.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '#' => plain.extend(['\\', c]),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_table_cell() {
        assert_eq!(markdown("a|b\n<script>"), "a\\|b &lt;script&gt;");
    }

    #[test]
    fn licences_that_the_hub_does_not_know_are_named_apart() {
        let key = |license: Option<&str>| (("s".to_owned(), license.map(str::to_owned)), 1);
        let sources = [key(Some("MIT")), key(Some("CC BY 4.0")), key(Some("House rules")), key(None)].into();
        let tally = Tally { sources, ..Tally::default() };
        let (known, others) = licenses(&tally);
        assert_eq!(known, ["cc-by-4.0", "mit", "other", "unknown"]);
        assert_eq!(others.as_deref(), Some("House rules"));
    }
}
