//! Scores a few steps by label tokens, with the embedded engine and with a server of the same file.
//!
//!     cargo run -p gradus-gguf --example score -- FILE.gguf URL [POSITIVE NEGATIVE [TOP]]
//!
//! For each step what the engine says and what the server says; then how far they agree. The model need be no reward
//! model: its labels are compared all the same.

use std::error::Error;
use std::path::Path;

use gradus_gguf::{Engine, EngineConfig};
use gradus_model::openai::{OpenAi, OpenAiConfig};
use gradus_model::{Model, Score, ScoreForm, StepScore};

const ANSWERS: [(&str, &[&str]); 3] = [
    ("How much is 17 + 25?", &["17 + 25 = 17 + 20 + 5.", "17 + 20 = 37.", "37 + 5 = 43.", "The answer is 43."]),
    (
        "A train goes 60 km in 40 minutes. How far does it go in an hour?",
        &["In 20 minutes it goes 30 km.", "So it goes 90 km."],
    ),
    ("What is the capital of France?", &["It is a large city on the Seine.", "The answer is Paris."]),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, url, more @ ..] = arguments.as_slice() else { return Err("usage: FILE.gguf URL [+ - [TOP]]".into()) };
    let label = |at: usize, default: &str| more.get(at).cloned().unwrap_or_else(|| default.to_owned());
    let form = ScoreForm::ChatLabels { positive: label(0, "+"), negative: label(1, "-"), top: label(2, "20").parse()? };
    let engine = Engine::load(Path::new(file), &EngineConfig::default())?;
    let server = OpenAi::connect(OpenAiConfig::new(url, "")).await?;
    let (mut differences, mut n_bounded, mut n_within, mut n_undecided) = (Vec::new(), 0, 0, 0);
    for (question, steps) in ANSWERS {
        for n in 1..=steps.len() {
            let request = Score {
                form: form.clone(),
                question: question.to_owned(),
                steps: steps[..n].iter().map(|&step| step.to_owned()).collect(),
                extra: serde_json::Map::new(),
                request_id: format!("step-{n}"),
                source_ids: [].into(),
                attempt: 0,
            };
            let mut scores = Vec::new();
            for model in [&engine as &dyn Model, &server] {
                let said = model.score(&request).await?.read_scores(&form, n)?;
                scores.push(said.steps[0]);
            }
            let (StepScore::Known(own), theirs) = (scores[0], scores[1]) else { return Err("not exact".into()) };
            match theirs {
                StepScore::Known(score) => differences.push((score - own).abs()),
                StepScore::Bounded { low, high } => {
                    n_bounded += 1;
                    n_within += usize::from((low..=high).contains(&own));
                }
                StepScore::Undecided => n_undecided += 1,
            }
            println!("{own:.4}  {theirs:?}  {}", steps[n - 1]);
        }
    }
    let most = differences.iter().copied().fold(0.0, f64::max);
    println!(
        "the server names both labels at {} steps, at most {most:.4} from the engine; one at {n_bounded}, \
         {n_within} of them with the engine's score within the bounds; none at {n_undecided}",
        differences.len()
    );
    Ok(())
}
