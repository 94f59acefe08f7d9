//! gradus compare: two models on the same questions.

use std::path::PathBuf;

use gradus::evaluate::compare::{Compared, Difference, LengthDifference, Side, compare};

use crate::error::CommandError;

/// Compare two models on the questions that both have: accuracy and length, paired, with intervals and tests
///
/// A difference is B minus A.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// `--out` directory of an evaluation, or the directory of a run, whose student counts
    a: PathBuf,
    /// The other one
    b: PathBuf,
    /// Print the comparison as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), CommandError> {
    let compared = compare(&Side::open(&args.a)?, &Side::open(&args.b)?);
    if args.json {
        println!("{}", serde_json::to_string(&compared).expect("names, lists and finite numbers"));
    } else {
        show(&compared);
    }
    Ok(())
}

fn show(compared: &Compared) {
    println!("A         {}", compared.a);
    println!("B         {}", compared.b);
    println!(
        "questions {} on both sides, {} of A alone, {} of B alone, {} undecided",
        compared.n_questions, compared.only_a, compared.only_b, compared.undecided
    );
    println!("");
    println!("| | A | B | B - A | 95 % interval | p |");
    println!("|---|---|---|---|---|---|");
    if let Some(accuracy) = compared.accuracy {
        let points = Difference {
            a: 100.0 * accuracy.a,
            b: 100.0 * accuracy.b,
            difference: 100.0 * accuracy.difference,
            ci95: accuracy.ci95.map(|end| 100.0 * end),
            ..accuracy
        };
        row("pass@1, %", &points, 1);
    }
    for (name, length) in [
        ("per answer", compared.length),
        ("of thinking", compared.thinking),
        ("of output", compared.output),
        ("per answer, both right", compared.length_both_right),
        ("per answer, both wrong", compared.length_both_wrong),
    ] {
        if let Some(LengthDifference { unit, difference, .. }) = length {
            row(&format!("{unit} {name}"), &difference, 0);
        }
    }
    if let Some([a, b]) = compared.truncated {
        println!("| truncated, % | {:.1} | {:.1} | {:+.1} | | |", 100.0 * a, 100.0 * b, 100.0 * (b - a));
    }
    println!("");
    if let Some(mcnemar) = compared.mcnemar {
        println!(
            "McNemar, exact: {} questions solved by A alone, {} by B alone, p {}{}",
            mcnemar.only_a,
            mcnemar.only_b,
            if mcnemar.p < FINEST { "" } else { "= " },
            chance(mcnemar.p)
        );
    }
    if let Some(LengthDifference { unit, ratio: Some(ratio), ratio_ci95: Some([low, high]), .. }) = compared.length {
        println!("B writes {ratio:.2} times as many {unit} as A ({low:.2} to {high:.2})");
    }
    let hard = compared.hard;
    if let (Some(shared), Some(by_chance)) = (hard.jaccard, hard.by_chance) {
        println!(
            "hard (solved in less than half of the attempts): {} for A, {} for B, {} for both; Jaccard {shared:.2}, by chance \
             {by_chance:.2}",
            hard.a, hard.b, hard.both
        );
    }
    compared.notes.iter().for_each(|note| println!("note      {note}"));
}

fn row(name: &str, difference: &Difference, digits: usize) {
    let Difference { a, b, difference, ci95: [low, high], p, .. } = difference;
    println!(
        "| {name} | {a:.digits$} | {b:.digits$} | {difference:+.digits$} | {low:+.digits$} to {high:+.digits$} | {} |",
        chance(*p)
    );
}

/// Below this a p-value is not told: 10,000 flips tell nothing finer.
const FINEST: f64 = 0.001;

fn chance(p: f64) -> String {
    if p < FINEST { "< 0.001".to_owned() } else { format!("{p:.3}") }
}
