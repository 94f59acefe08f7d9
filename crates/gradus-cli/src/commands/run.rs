//! The commands that run stages: all of them, or up to one.

use std::path::Path;

use gradus::level::Level;
use gradus::run::{Ran, Until};
use serde_json::json;

use crate::error::{CommandError, Kind};
use crate::progress::Progress;
use crate::session::{self, CommonArgs, Configured, RunArgs, Session};

/// Reasons that mean an item was lost to an error, not to its own merit.
const LOST: [&str; 6] = ["endpoint_error", "rate_limited", "bad_request", "unreadable", "not_asked", "refused"];

/// Runs the stages up to one and says what came of it.
pub(crate) fn run(args: &RunArgs, until: Until) -> Result<(), CommandError> {
    let configured = session::configure(&args.config, &args.common)?;
    let folder = args.common.run_dir.clone().unwrap_or_else(|| "gradus-run".into());
    stages(configured, &folder, &args.common, until).map(drop)
}

/// Runs the stages of a config in a folder.
pub(crate) fn stages(
    configured: Configured,
    folder: &Path,
    args: &CommonArgs,
    until: Until,
) -> Result<Ran, CommandError> {
    let session = Session::open(configured, folder, args, until)?;
    let progress = Progress::new(args.quiet || args.json);
    let ran = session.run(until, &progress)?;
    close(&session, &ran, until, args)?;
    let n_lost: u64 =
        ran.dropped.iter().filter(|((_, reason), _)| LOST.contains(&reason.as_str())).map(|(_, n)| n).sum();
    if n_lost > 0 {
        return Err(CommandError::new(
            Kind::ItemsLost,
            format!("{n_lost} items were lost to errors; see tables/dropped.parquet"),
        )
        .hint("the same command asks for them again"));
    }
    Ok(ran)
}

/// The closing lines: what was made, what was left out and why, what to type next.
fn close(session: &Session, ran: &Ran, until: Until, args: &CommonArgs) -> Result<(), CommandError> {
    let folder = session.folder.display();
    let mut dropped: Vec<_> =
        ran.dropped.iter().map(|((stage, reason), n)| (stage.as_str(), reason.as_str(), *n)).collect();
    dropped.sort_unstable();
    if args.json {
        let levels: serde_json::Map<_, _> =
            Level::ALL.iter().map(|level| (level.to_string(), json!(ran.levels[level.index()]))).collect();
        let dropped: Vec<_> =
            dropped.iter().map(|(stage, reason, n)| json!({"stage": stage, "reason": reason, "n": n})).collect();
        println!(
            "{}",
            json!({
                "run_dir": session.folder,
                "n_questions": ran.n_questions,
                "levels": levels,
                "n_sampled": ran.sampled.as_ref().map(|sampled| sampled.drawn.len()),
                "n_sound_cots": ran.n_sound,
                "n_selected": ran.n_selected,
                "dropped": dropped,
            })
        );
        return Ok(());
    }
    let levels: Vec<String> =
        Level::ALL.iter().map(|level| format!("{level}: {}", ran.levels[level.index()])).collect();
    let mut made = format!("made      {} questions", ran.n_questions);
    if until >= Until::Grade {
        made.push_str(&format!(", graded {} ({})", ran.levels.iter().sum::<u64>(), levels.join(", ")));
    }
    if let Some(sampled) = &ran.sampled {
        made.push_str(&format!(", {} drawn", sampled.drawn.len()));
    }
    if until >= Until::Distil {
        made.push_str(&format!(", {} right chains of thought", ran.n_sound));
    }
    if until >= Until::Select {
        made.push_str(&format!(", {} kept", ran.n_selected));
    }
    println!("{made}");
    let left: Vec<String> = dropped.iter().map(|(stage, reason, n)| format!("{n} {reason} ({stage})")).collect();
    println!("left out  {}", if left.is_empty() { "nothing".to_owned() } else { left.join(", ") });
    println!("next      look at {folder}/tables");
    Ok(())
}
