//! gradus export: training data once more from the tables, perhaps with other settings.

use std::path::{Path, PathBuf};

use gradus::config::{Config, Export};
use gradus::export::{ExportFacts, Exported, Prompt, Render};
use gradus::metrics::Metrics;
use gradus::prompt::{Prompts, conversation};
use gradus::tables::{LevelRow, QuestionRow, SelectionRow, path};
use gradus_model::{Message, Speaker};
use serde_json::json;

use crate::commands::run::title;
use crate::error::CommandError;
use crate::session::Past;
use crate::student;

/// Write training data again from the tables of a run; asks nobody
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of the run
    #[arg(short = 'd', long, default_value = "gradus-run", value_name = "DIR")]
    run_dir: PathBuf,
    /// Override a setting of the run, for example `--set export.think=wrap`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let past = Past::open(&args.run_dir, &args.set)?;
    let tables = past.folder.join("tables");
    let only_questions = !past.config.export.formats.iter().any(|format| format.needs_cots());
    if only_questions && !path::<LevelRow>(&tables).exists() {
        return Err(CommandError::usage(format!("nothing is graded in {} yet", past.folder.display()))
            .hint("`gradus grade` asks the student"));
    }
    if !only_questions && !path::<SelectionRow>(&tables).exists() {
        return Err(CommandError::usage(format!("nothing is selected in {} yet", past.folder.display()))
            .hint("`gradus run` goes on to the end"));
    }
    let exported = write(&past.folder, Path::new(""), &past.config, &past.metrics)?;
    if args.json {
        println!(
            "{}",
            json!({
                "rows": exported.rows,
                "questions": exported.questions,
                "others": exported.others,
                "checks": exported.checks,
                "files": exported.files,
            })
        );
        return Ok(());
    }
    println!("wrote     {}/export: {}", past.folder.display(), told(&exported, &past.config.export));
    exported.notes.iter().for_each(|note| println!("note      {note}"));
    exported.next.iter().for_each(|command| println!("next      {command}"));
    Ok(())
}

/// How much was written, in words.
pub(crate) fn told(exported: &Exported, config: &Export) -> String {
    let n_cots =
        config.formats.iter().any(|format| format.is_sft()).then(|| format!("{} rows per format", exported.rows));
    let others = exported.others.iter().map(|(format, n)| format!("{n} rows in {format}"));
    let questions = exported.questions.iter().map(|(format, n)| format!("{n} questions in {format}"));
    n_cots.into_iter().chain(others).chain(questions).collect::<Vec<_>>().join(", ")
}

/// Writes the export of a run directory from its tables. Relative files of the config start at `base`.
pub(crate) fn write(folder: &Path, base: &Path, config: &Config, metrics: &Metrics) -> Result<Exported, CommandError> {
    let run = &metrics.run;
    let prompts = Prompts::from_texts(|name| {
        run.prompts.iter().find(|prompt| prompt.name == name).map(|prompt| prompt.text.clone())
    });
    let system = config.student.as_ref().and_then(|student| student.system.as_deref());
    let hash = prompts.hash();
    let prompt = |row: &QuestionRow| Prompt {
        messages: gradus::run::question(row.clone())
            .map(|question| conversation(system, &prompts, &question))
            .unwrap_or_default(),
        hash: hash.clone(),
    };
    let student = run.models.iter().find(|model| model.role == "student");
    let chat = student::of_config(config, base)?;
    let render = chat.as_deref().map(|chat| {
        move |messages: &[Message]| {
            let asks = messages.last().is_none_or(|last| last.role != Speaker::Assistant);
            let messages: Vec<_> = messages.iter().map(|message| json!(message)).collect();
            chat.render(&messages, asks).map_err(|error| error.to_string())
        }
    });
    let facts = ExportFacts {
        name: &title(folder),
        student: student.map_or("", |student| &student.model),
        languages: &[],
        run,
        funnel: &metrics.funnel,
        partial: metrics.partial.as_ref(),
        prompt: &prompt,
        chat: chat.as_deref(),
        render: render.as_ref().map(|render| render as Render<'_>),
        scoring: &config.scoring,
    };
    Ok(gradus::export::write(folder, &config.export, &facts)?)
}
