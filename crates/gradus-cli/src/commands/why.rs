//! gradus why: one question or chain of thought, and all that became of it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gradus::ledger::Reader;
use gradus::tables::{AnnotationRow, RatingRow, ScoreRow, VerdictRow};
use gradus::why::{Story, find, tell};
use gradus_model::{Raw, Wire};
use serde_json::json;

use crate::error::CommandError;

/// Show what became of a question: attempts, verdicts, level, chains of thought, why it is in or out
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Id of a question (the source's or the first digits of ours), of an attempt, or of a chain of thought
    id: String,
    /// Directory of the run
    #[arg(short = 'd', long, default_value = "gradus-run", value_name = "DIR")]
    run_dir: PathBuf,
    /// Print prompts and replies in full, as the ledger has them
    #[arg(short, long)]
    verbose: bool,
    /// Print each question as one JSON object on a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let tables = args.run_dir.join("tables");
    if !gradus::tables::path::<gradus::tables::QuestionRow>(&tables).exists() {
        return Err(CommandError::usage(format!("{} has no tables", args.run_dir.display()))
            .hint("name the directory of a run with `--run-dir`"));
    }
    let ids = find(&tables, &args.id)?;
    if ids.is_empty() {
        return Err(CommandError::usage(format!("no question, attempt or chain of thought has the id `{}`", args.id))
            .hint("ids stand in the tables, the report and the export; four digits of ours are enough"));
    }
    let stories = tell(&tables, &ids)?;
    let mut out = io::stdout().lock();
    if args.json {
        return stories
            .iter()
            .try_for_each(|story| writeln!(out, "{}", json!(story)))
            .map_err(|error| CommandError::output(&error));
    }
    show(&args.run_dir, &stories, args.verbose, &mut out)
}

/// Prints stories; with `full`, also what was asked and the replies as they came.
pub(crate) fn show(folder: &Path, stories: &[Story], full: bool, out: &mut impl Write) -> Result<(), CommandError> {
    let reader = full.then(|| Reader::open(&folder.join("ledger.sqlite"))).transpose()?;
    for story in stories {
        one(story, reader.as_ref(), out)?.map_err(|error| CommandError::output(&error))?;
    }
    Ok(())
}

fn one(story: &Story, reader: Option<&Reader>, out: &mut impl Write) -> Result<io::Result<()>, CommandError> {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let question = &story.question;
    line(format!(
        "question  {} ({}; known as {})",
        question.question_id,
        question.kind,
        question.source_ids.join(", ")
    ));
    line(indented(&question.question));
    match &question.tests {
        Some(_) => line("accepts   what passes its tests".into()),
        None => line(format!("accepts   {}", question.references.join("  or  "))),
    }
    match &story.level {
        None => line("level     none".into()),
        Some(level) => {
            let reason = level.reason.as_ref().map(|reason| format!("; {reason}")).unwrap_or_default();
            let score = level.score.map(|score| format!(", score {score:.3}")).unwrap_or_default();
            line(format!(
                "level     {} for {} by {}{score}: {} of {} attempts right{reason}",
                level.level, level.student, level.grader, level.n_correct, level.n_countable
            ));
        }
    }
    let mut asked = String::new();
    for (attempt, verdict) in &story.attempts {
        line(format!("attempt   {}", said(&attempt.attempt_id, &attempt.model, attempt.attempt, verdict.as_ref())));
        line(spent(&attempt.finish, attempt.completion_tokens, attempt.cost_usd));
        story.scores.iter().filter(|row| row.attempt_id == attempt.attempt_id).map(step).for_each(&mut line);
        if let Some(reader) = reader {
            line(recorded(reader, &attempt.attempt_id, &mut asked)?);
            let mut last = "";
            for row in story.scores.iter().filter(|row| row.attempt_id == attempt.attempt_id) {
                if row.score_id != last {
                    line(format!("scored    {} by {} ({})", row.score_id, row.model, row.form));
                    line(recorded(reader, &row.score_id, &mut asked)?);
                    last = &row.score_id;
                }
            }
        }
    }
    if let Some(sample) = &story.sample {
        let for_other = if sample.drawn_for == sample.level {
            String::new()
        } else {
            format!(" in place of level {}", sample.drawn_for)
        };
        line(format!("drawn     from level {}{for_other}, number {} of its draws", sample.level, sample.rank + 1));
    }
    for (cot, verdict, selection) in &story.cots {
        let kept = selection.as_ref().map(|selection| {
            format!(
                " | {}",
                if selection.selected { "kept".to_owned() } else { format!("not kept: {}", selection.reason) }
            )
        });
        let said = said(&cot.cot_id, &cot.teacher, cot.attempt, verdict.as_ref());
        line(format!("cot       {said}{}", kept.unwrap_or_default()));
        line(spent(&cot.finish, cot.completion_tokens, cot.cost_usd));
        if let Some(annotation) = story.annotations.iter().find(|row| row.cot_id == cot.cot_id) {
            found_out(annotation, &story.ratings).into_iter().for_each(&mut line);
        }
        if let Some(reader) = reader {
            line(recorded(reader, &cot.cot_id, &mut asked)?);
        }
    }
    for dropped in &story.dropped {
        line(format!("left      at {}: {} ({})", dropped.stage, dropped.reason, dropped.detail));
    }
    Ok(writeln!(out, "{text}"))
}

fn said(id: &str, model: &str, number: i64, verdict: Option<&VerdictRow>) -> String {
    let Some(verdict) = verdict else { return format!("{id} {number} of {model}: not judged") };
    let took = verdict.extracted.as_ref().map(|taken| format!(" | took `{taken}`")).unwrap_or_default();
    format!("{id} {number} of {model}: {}{took} | {} ({})", verdict.verdict, verdict.explanation, verdict.method)
}

/// What is known of a chain of thought beside its verdict: its scores with the ratings behind them, its process, and how
/// it fits the student. Nothing for one that nobody looked at.
fn found_out(row: &AnnotationRow, ratings: &[RatingRow]) -> Vec<String> {
    let own = |what: &str| {
        let values = ratings
            .iter()
            .filter(|rating| rating.cot_id == row.cot_id && rating.what == what && rating.role != "second_judge");
        let values: Vec<String> =
            values.map(|rating| rating.value.map_or_else(|| "none".to_owned(), |value| value.to_string())).collect();
        values.join(", ")
    };
    let scores = [("rv", row.rv), ("rv_fit", row.rv_fit), ("cd", row.cd)];
    let scores = scores.into_iter().filter_map(|(what, mean)| Some(format!("{what} {:.2} ({})", mean?, own(what))));
    let fused = row.s_rv.map(|s_rv| format!("s_rv {s_rv:.2}"));
    let process = row.process.as_ref().map(|process| format!("process {process}"));
    let rated: Vec<String> = scores.chain(fused).chain(process).collect();
    let by = row.judge.as_ref().map(|judge| format!(" by {judge}")).unwrap_or_default();
    let fit = [("mean nll", row.mean_nll), ("rsr", row.rsr), ("naturalness", row.naturalness)];
    let fit: Vec<String> = fit.into_iter().filter_map(|(what, value)| Some(format!("{what} {:.3}", value?))).collect();
    let rated = (!rated.is_empty()).then(|| format!("          rated: {}{by}", rated.join(", ")));
    let fit = (!fit.is_empty()).then(|| format!("          fit: {}", fit.join(", ")));
    rated.into_iter().chain(fit).collect()
}

/// One step of an attempt with its score, or the whole attempt.
fn step(row: &ScoreRow) -> String {
    /// Characters of a step that are shown.
    const SHOWN: usize = 60;
    let score = match (row.score, row.low, row.high) {
        (Some(score), Some(low), Some(high)) if low < high => format!("{score:.3} [{low:.3}, {high:.3}]"),
        (Some(score), ..) => format!("{score:.3}"),
        (None, ..) => "undecided".to_owned(),
    };
    let Some(number) = row.step else { return format!("          scored as a whole: {score} by {}", row.model) };
    let whole = match row.attempt_score {
        Some(score) if number == 1 => format!(" | {} of all {score:.3}", row.aggregate.as_deref().unwrap_or_default()),
        _ => String::new(),
    };
    let line = row.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let dots = if line.chars().count() > SHOWN { "..." } else { "" };
    let line: String = line.chars().take(SHOWN).collect();
    format!("          step {number}: {score}{whole} | {line}{dots}")
}

fn spent(finish: &str, tokens: Option<i64>, cost: Option<f64>) -> String {
    let tokens = tokens.map(|tokens| format!(", {tokens} tokens")).unwrap_or_default();
    let cost = cost.map(|cost| format!(", ${cost:.6}")).unwrap_or_default();
    format!("          ended: {finish}{tokens}{cost}")
}

/// What was asked, unless it is what was `asked` before, and what came, as the ledger has it.
fn recorded(reader: &Reader, id: &str, asked: &mut String) -> Result<String, CommandError> {
    let mut text = String::new();
    let shown = reader.show(id, |shown| {
        let mut prompt = String::new();
        for message in shown.payload["messages"].as_array().into_iter().flatten() {
            let field = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
            prompt.push_str(&format!("  --- {} ---\n{}\n", field("role"), indented(&field("content"))));
        }
        if prompt != *asked {
            text.push_str(&prompt);
            *asked = prompt;
        }
        let wire = match shown.form.as_str() {
            "chat_json" => Some(Wire::ChatJson),
            "chat_sse" => Some(Wire::ChatSse),
            _ => None,
        };
        let completion = wire.and_then(|wire| Raw { wire, body: shown.body.clone().into() }.read().ok());
        let reply = completion.map(|completion| {
            let part = |name: &str, part: &Option<String>| {
                part.as_ref().map(|part| format!("  --- {name} ---\n{}", indented(part)))
            };
            let parts = [part("thinking", &completion.reasoning), part("reply", &completion.answer)];
            parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
        });
        text.push_str(&reply.unwrap_or_else(|| format!("  --- {} ---\n{}", shown.form, indented(&shown.body))));
        Ok(())
    });
    shown.map_err(CommandError::failure)?;
    Ok(text)
}

fn indented(text: &str) -> String {
    text.trim().lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
