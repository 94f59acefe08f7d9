//! Is difficulty the student's own? `cargo run --release -p gradus --example own_difficulty -- ../shared/data`.
//!
//! Takes every recorded answer to GSM8K and MATH level 5, judges it as a run would, and asks how well one model's
//! verdicts can be predicted on questions held out: from the bank's own level, from one other model, from an
//! item-response model of all others, from a second run of the same weights. What is left over between two runs of the
//! same weights, and not between different models, is the student's own.
//!
//! Questions are dealt into five parts by a key; what is fitted to a student is fitted without the part that is
//! predicted. The others' answers to that part are used: that is what a level from elsewhere is.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use gradus::attempt::{Key, Source};
use gradus::config::{BankConfig, Config};
use gradus::ingest::Ingest;
use gradus::judge::{self, Judge};
use gradus::question::Question;
use gradus::stats::{auc, draw, expected_jaccard, jaccard, log_loss, logistic, mean, sigmoid};
use gradus::verdict::Outcome;
use gradus::work::{Answered, Next, Outcome as WorkOutcome, Slot, Step};
use gradus_model::replay::Replay;
use gradus_model::{Generate, Model, Sampling};
use serde_json::Value;

/// Parts that questions are dealt into.
const PARTS: usize = 5;

/// One run of one model over the questions of a set.
struct Player {
    name: String,
    /// What the weights are called, whoever serves them.
    weights: String,
    family: String,
    /// Parameters in billions, where the name tells them.
    size: Option<f64>,
    /// Right or not, by question; none if there is no answer or it is undecided.
    verdicts: Vec<Option<bool>>,
    /// Hashes of the answers: a run that was recorded twice is no second run.
    texts: Vec<Option<u64>>,
}

/// A bank with everything that was recorded on it.
struct Set {
    name: &'static str,
    /// What the bank itself says of a question's difficulty, as features.
    level: Vec<Vec<f64>>,
    part: Vec<usize>,
    players: Vec<Player>,
}

#[tokio::main]
async fn main() {
    let Some(folder) = std::env::args().nth(1) else {
        println!("usage: own_difficulty FOLDER");
        return;
    };
    let folder = Path::new(&folder);
    if !folder.join("recordings").exists() {
        println!("skipped: {} has no recordings", folder.display());
        return;
    }
    for (name, bank, recording) in
        [("GSM8K", "gsm8k_test", "gsm8k_zeroeval"), ("MATH level 5", "math_test", "math_l5_zeroeval")]
    {
        let set = read(name, bank, recording, folder).await;
        describe(&set);
        predictions(&set);
        relatives(&set);
        leftovers(&set);
    }
}

// ---- Reading

async fn read(name: &'static str, bank: &str, recording: &str, folder: &Path) -> Set {
    let bank = folder.join("questions").join(format!("{bank}.jsonl.zst"));
    let recording = folder.join("recordings").join(format!("{recording}.jsonl.zst"));
    let steps = steps(&bank);
    let banks = vec![BankConfig { path: bank, ..BankConfig::default() }];
    let ingest = Ingest::open(&Config { bank: banks, ..Config::default() }, Path::new("")).expect("the bank is there");
    let by_id: HashMap<String, Arc<Question>> = ingest
        .questions()
        .flat_map(|question| {
            let question = Arc::new(question.expect("a bank that was read once can be read again"));
            question.source_ids.iter().map(|id| (id.clone(), question.clone())).collect::<Vec<_>>()
        })
        .collect();
    let mut recorded: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for row in rows(&recording) {
        let id = row["question_id"].as_str().expect("a recording names its questions");
        let model = row["model"].as_str().expect("a recording names its models");
        if by_id.contains_key(id) {
            *recorded.entry(model.to_owned()).or_default().entry(id.to_owned()).or_default() += 1;
        }
    }
    let mut ids: Vec<&String> = recorded.values().flat_map(BTreeMap::keys).collect();
    ids.sort_unstable();
    ids.dedup();
    let judge = Judge::from(&Config::default().judging);
    let mut players = Vec::new();
    for (model, answers) in &recorded {
        let replay = Replay::open(&recording, model).expect("the recording can be replayed");
        for attempt in 0..answers.values().copied().max().unwrap_or(0) {
            let (mut verdicts, mut texts) = (Vec::new(), Vec::new());
            for id in &ids {
                let there = answers.get(*id).is_some_and(|n| attempt < *n);
                let judged = if there { judged(&replay, &by_id[*id], id, attempt, &judge).await } else { None };
                texts.push(judged.map(|(text, _)| text));
                verdicts.push(judged.and_then(|(_, verdict)| verdict));
            }
            let run = Player { texts, ..player(model, verdicts) };
            if !players.iter().any(|other| copies(&run, other)) {
                players.push(run);
            }
        }
    }
    let subjects: Vec<&str> = {
        let mut subjects: Vec<&str> = ids.iter().filter_map(|id| by_id[*id].subject.as_deref()).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects
    };
    let features = |id: &&String| -> Vec<f64> {
        let subject = by_id[*id].subject.as_deref();
        let one = subjects.iter().map(|other| f64::from(u8::from(subject == Some(other))));
        std::iter::once(1.0).chain(one).chain([steps.get(*id).copied().unwrap_or(0.0)]).collect()
    };
    let part = |id: &&String| (draw(0, "part", id.as_bytes()) % PARTS as u64) as usize;
    Set { name, level: ids.iter().map(features).collect(), part: ids.iter().map(part).collect(), players }
}

/// Calculations marked in a reference solution (`<<3*4=12>>`, as GSM8K writes them): the bank's own measure of length.
fn steps(bank: &Path) -> HashMap<String, f64> {
    rows(bank)
        .into_iter()
        .filter_map(|row| {
            let solution = row["meta"]["solution"].as_str()?;
            Some((row["id"].as_str()?.to_owned(), solution.matches("<<").count() as f64))
        })
        .collect()
}

fn rows(path: &Path) -> Vec<Value> {
    let bytes = zstd::decode_all(std::fs::File::open(path).expect("the file is there")).expect("the file is zstd");
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).expect("every line is JSON")).collect()
}

/// Whether more than half of the answers of two runs are the same to the letter.
fn copies(one: &Player, other: &Player) -> bool {
    let both: Vec<bool> = one.texts.iter().zip(&other.texts).filter_map(|(a, b)| Some((*a)? == (*b)?)).collect();
    2 * both.iter().filter(|same| **same).count() > both.len()
}

/// An answer's text, hashed, and its verdict.
async fn judged(
    replay: &Replay,
    question: &Question,
    id: &str,
    attempt: u32,
    judge: &Judge,
) -> Option<(u64, Option<bool>)> {
    let request = Generate {
        messages: Vec::new(),
        sampling: Sampling::from(&gradus::config::SamplingConfig::default()),
        seed: 0,
        extra: serde_json::Map::new(),
        request_id: String::new(),
        source_ids: [id.to_owned()].into(),
        attempt,
    };
    let completion = replay.generate(&request).await.ok()?.read().ok()?;
    let text = draw(0, "text", format!("{:?} {:?}", completion.reasoning, completion.answer).as_bytes());
    let slot = Slot { source: Source::Student, attempt, step: Step::Generate };
    let answered = Answered { slot, key: Key([0; 32]), outcome: WorkOutcome::Completed(completion) };
    let outcome = match judge::next(judge, question, slot, &answered, std::slice::from_ref(&answered)) {
        Next::Done(judged) => judged.outcome(),
        Next::Ask(_) | Next::Drop(_) => None,
    };
    let verdict = outcome.filter(|outcome| *outcome != Outcome::Undecided).map(|outcome| outcome == Outcome::Correct);
    Some((text, verdict))
}

/// Weights, family and size as far as the name tells them.
fn player(name: &str, verdicts: Vec<Option<bool>>) -> Player {
    let plain = name.split('@').next().unwrap_or(name).rsplit('/').next().unwrap_or(name);
    let weights = plain.trim_end_matches("-Turbo").to_lowercase();
    let families =
        ["llama", "qwen", "gemma", "gemini", "claude", "gpt", "o1", "phi", "yi", "mistral", "deepseek", "reka"];
    let families = families.iter().chain(&["command", "grok", "athene", "mixtral"]);
    let family = families.copied().find(|family| weights.contains(family)).unwrap_or(plain);
    let family = match family {
        "mixtral" => "mistral",
        "athene" => "llama",
        other => other,
    };
    let size = weights.split(['-', '_']).find_map(|word| word.strip_suffix('b')?.parse().ok());
    Player { name: name.to_owned(), family: family.to_owned(), size, weights, verdicts, texts: Vec::new() }
}

// ---- What there is

fn describe(set: &Set) {
    let n_answers: usize = set.players.iter().map(|player| player.verdicts.iter().flatten().count()).sum();
    println!("\n## {}\n", set.name);
    println!("{} questions, {} runs, {n_answers} decided answers\n", set.part.len(), set.players.len());
}

/// The first run of each model: targets of prediction.
fn targets(set: &Set) -> Vec<usize> {
    let first = |at: &usize| set.players[..*at].iter().all(|other| other.name != set.players[*at].name);
    (0..set.players.len()).filter(first).collect()
}

/// Whether one run can speak for another of the same weights. Names without a size may be aliases whose weights moved.
fn same_weights(one: &Player, other: &Player) -> bool {
    one.weights == other.weights && one.size.is_some()
}

// ---- Item response

/// Logit of a right answer = slope × ability + constant, slope and constant of the question.
struct Items {
    slope: Vec<f64>,
    constant: Vec<f64>,
}

/// Fits abilities and questions by turns (penalised joint likelihood): abilities and constants shrink to 0 with standard
/// deviation 2, slopes to 1 with standard deviation 1/2. With `slopes` held at 1 this is Rasch's model (1PL), else
/// Birnbaum's (2PL).
fn items(set: &Set, players: &[usize], slopes: bool) -> Items {
    let n = set.part.len();
    let mut ability = vec![0.0; players.len()];
    let mut items = Items { slope: vec![1.0; n], constant: vec![0.0; n] };
    for _ in 0..25 {
        for (at, player) in players.iter().enumerate() {
            ability[at] = able(&items, &set.players[*player].verdicts, |_| true, ability[at], 2);
        }
        let centre = mean(&ability).unwrap_or(0.0);
        for ability in &mut ability {
            *ability -= centre;
        }
        for question in 0..n {
            let answers = players.iter().zip(&ability).filter_map(|(player, ability)| {
                Some((*ability, f64::from(u8::from(set.players[*player].verdicts[question]?))))
            });
            let (slope, constant) = (items.slope[question], items.constant[question]);
            // Gradient and curvature of the penalised log-likelihood in (slope, constant).
            let (mut ga, mut gc) = ((1.0 - slope) / 0.25, -constant / 4.0);
            let (mut haa, mut hac, mut hcc) = (1.0 / 0.25, 0.0, 1.0 / 4.0);
            for (ability, right) in answers {
                let chance = sigmoid(slope * ability + constant);
                let (residual, spread) = (right - chance, chance * (1.0 - chance));
                ga += residual * ability;
                gc += residual;
                haa += spread * ability * ability;
                hac += spread * ability;
                hcc += spread;
            }
            if slopes {
                let determinant = haa * hcc - hac * hac;
                let step = [(hcc * ga - hac * gc) / determinant, (haa * gc - hac * ga) / determinant];
                items.slope[question] = (slope + step[0].clamp(-0.5, 0.5)).clamp(0.05, 4.0);
                items.constant[question] += step[1].clamp(-1.0, 1.0);
            } else {
                items.constant[question] += (gc / hcc).clamp(-1.0, 1.0);
            }
        }
    }
    items
}

/// The ability that fits these verdicts best, from a start, in so many steps of Newton's method.
fn able(items: &Items, verdicts: &[Option<bool>], used: impl Fn(usize) -> bool, start: f64, n_steps: u32) -> f64 {
    let mut ability = start;
    for _ in 0..n_steps {
        let (mut gradient, mut curvature) = (-ability / 4.0, 1.0 / 4.0);
        for (question, verdict) in verdicts.iter().enumerate().filter(|(question, _)| used(*question)) {
            let Some(right) = verdict else { continue };
            let slope = items.slope[question];
            let chance = sigmoid(slope * ability + items.constant[question]);
            gradient += slope * (f64::from(u8::from(*right)) - chance);
            curvature += slope * slope * chance * (1.0 - chance);
        }
        ability += (gradient / curvature).clamp(-1.0, 1.0);
    }
    ability
}

// ---- Predictions

/// Predicts each of a player's verdicts by a rule that was fitted without its part: `fit` gets the training rows
/// `(question, verdict)` and gives back the rule.
fn held_out<R: Fn(usize) -> f64>(
    set: &Set,
    player: &Player,
    fit: impl Fn(&[(usize, bool)]) -> R,
) -> Vec<(usize, f64, bool)> {
    let known: Vec<(usize, bool)> =
        player.verdicts.iter().enumerate().filter_map(|(question, verdict)| Some((question, (*verdict)?))).collect();
    let mut predictions = Vec::new();
    for part in 0..PARTS {
        let training: Vec<_> = known.iter().copied().filter(|(question, _)| set.part[*question] != part).collect();
        let rule = fit(&training);
        let predicted = known.iter().filter(|(question, _)| set.part[*question] == part);
        predictions.extend(predicted.map(|(question, right)| (*question, rule(*question), *right)));
    }
    predictions
}

/// Log-loss and AUC of predictions of one player. The AUC is the mean over the parts that hold both right and wrong
/// answers: rules fitted without different parts are not on one scale.
fn quality(set: &Set, predictions: &[(usize, f64, bool)]) -> Option<(f64, f64)> {
    let of = |part: Option<usize>| -> Vec<(f64, bool)> {
        let those = predictions.iter().filter(|(question, ..)| part.is_none_or(|part| set.part[*question] == part));
        those.map(|(_, chance, right)| (*chance, *right)).collect()
    };
    let areas: Vec<f64> = (0..PARTS).filter_map(|part| auc(&of(Some(part)))).collect();
    Some((log_loss(&of(None))?, mean(&areas)?))
}

fn base_rate(training: &[(usize, bool)]) -> f64 {
    // One right and one wrong answer added: never quite 0 or 1.
    (training.iter().filter(|(_, right)| *right).count() as f64 + 1.0) / (training.len() as f64 + 2.0)
}

fn by_base(training: &[(usize, bool)]) -> impl Fn(usize) -> f64 + use<> {
    let base = base_rate(training);
    move |_| base
}

fn by_features<F: Fn(usize) -> Vec<f64>>(training: &[(usize, bool)], features: F) -> impl Fn(usize) -> f64 + use<F> {
    let rows: Vec<(Vec<f64>, bool)> = training.iter().map(|(question, right)| (features(*question), *right)).collect();
    let weights = logistic(&rows, 1.0);
    move |question| sigmoid(features(question).iter().zip(&weights).map(|(feature, weight)| feature * weight).sum())
}

/// By what another player made of the question: the share of right answers among those alike, and the base rate where
/// that one has no verdict.
fn by_other(training: &[(usize, bool)], other: &Player) -> impl Fn(usize) -> f64 + use<> {
    let mut counts = [[1.0, 2.0]; 2];
    for (question, right) in training {
        if let Some(told) = other.verdicts[*question] {
            let count = &mut counts[usize::from(told)];
            count[0] += f64::from(u8::from(*right));
            count[1] += 1.0;
        }
    }
    let base = base_rate(training);
    let verdicts = other.verdicts.clone();
    move |question| verdicts[question].map_or(base, |told| counts[usize::from(told)][0] / counts[usize::from(told)][1])
}

fn by_items<'a>(training: &[(usize, bool)], items: &'a Items, player: &Player) -> impl Fn(usize) -> f64 + use<'a> {
    let used: Vec<usize> = training.iter().map(|(question, _)| *question).collect();
    let ability = able(items, &player.verdicts, |question| used.binary_search(&question).is_ok(), 0.0, 12);
    move |question| sigmoid(items.slope[question] * ability + items.constant[question])
}

fn logit(chance: f64) -> f64 {
    let chance = chance.clamp(1e-6, 1.0 - 1e-6);
    (chance / (1.0 - chance)).ln()
}

fn sign(verdict: Option<bool>) -> f64 {
    verdict.map_or(0.0, |right| if right { 1.0 } else { -1.0 })
}

/// Mean quality of each predictor over the models of a set.
fn predictions(set: &Set) {
    let mut table: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
    let mut add = |name: &'static str, quality: Option<(f64, f64)>| {
        let Some(quality) = quality else { return };
        match table.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(quality),
            None => table.push((name, vec![quality])),
        }
    };
    for at in targets(set) {
        let player = &set.players[at];
        let others: Vec<usize> =
            (0..set.players.len()).filter(|other| set.players[*other].weights != player.weights).collect();
        let strangers: Vec<usize> =
            others.iter().copied().filter(|other| set.players[*other].family != player.family).collect();
        add("its own base rate", quality(set, &held_out(set, player, by_base)));
        add(
            "(a) the bank's own level",
            quality(
                set,
                &held_out(set, player, |training| by_features(training, |question| set.level[question].clone())),
            ),
        );
        let single: Vec<(f64, f64)> = others
            .iter()
            .filter_map(|other| {
                quality(set, &held_out(set, player, |training| by_other(training, &set.players[*other])))
            })
            .collect();
        let averaged = |of: fn(&(f64, f64)) -> f64| mean(&single.iter().map(of).collect::<Vec<_>>());
        add("(b) one other model, mean over all", averaged(|one| one.0).zip(averaged(|one| one.1)));
        if let Some(near) = nearest(set, at, &others, |_| true) {
            add("(b) the model nearest in accuracy", quality(set, &held_out(set, player, |t| by_other(t, near))));
        }
        let rasch = items(set, &others, false);
        let birnbaum = items(set, &others, true);
        let foreign = items(set, &strangers, true);
        add(
            "(c) item response, 1PL, all others",
            quality(set, &held_out(set, player, |t| by_items(t, &rasch, player))),
        );
        let told = held_out(set, player, |t| by_items(t, &birnbaum, player));
        add("(c) item response, 2PL, all others", quality(set, &told));
        add("(c) 2PL, other families only", quality(set, &held_out(set, player, |t| by_items(t, &foreign, player))));
        let logits: HashMap<usize, f64> =
            told.iter().map(|(question, chance, _)| (*question, logit(*chance))).collect();
        let beside = |other: &Player| {
            quality(
                set,
                &held_out(set, player, |training| {
                    by_features(training, |question| {
                        vec![1.0, logits.get(&question).copied().unwrap_or(0.0), sign(other.verdicts[question])]
                    })
                }),
            )
        };
        if let Some(relative) = nearest(set, at, &others, |other| other.family == player.family) {
            add("2PL and the nearest relative's verdict", beside(relative));
        }
    }
    println!("| predicted from | models | log-loss | AUC |\n|---|---|---|---|");
    for (name, all) in &table {
        let of = |of: fn(&(f64, f64)) -> f64| mean(&all.iter().map(of).collect::<Vec<_>>()).unwrap_or(f64::NAN);
        println!("| {name} | {} | {:.3} | {:.3} |", all.len(), of(|one| one.0), of(|one| one.1));
    }
    again(set);
}

/// For runs whose weights ran a second time: what the second run tells, beside what all others tell.
fn again(set: &Set) {
    let mut rows: Vec<[(f64, f64); 5]> = Vec::new();
    let mut agreement = Vec::new();
    for (at, player) in set.players.iter().enumerate() {
        let runs = set.players.iter().enumerate().filter(|(other, run)| *other != at && same_weights(run, player));
        for (_, second) in runs {
            let both = Player {
                verdicts: (player.verdicts.iter().zip(&second.verdicts)).map(|(one, two)| two.and(*one)).collect(),
                ..self::player(&player.name, Vec::new())
            };
            let others: Vec<usize> =
                (0..set.players.len()).filter(|other| set.players[*other].weights != player.weights).collect();
            let birnbaum = items(set, &others, true);
            let told = held_out(set, &both, |t| by_items(t, &birnbaum, &both));
            let logits: HashMap<usize, f64> =
                told.iter().map(|(question, chance, _)| (*question, logit(*chance))).collect();
            let beside = |other: &Player| {
                quality(
                    set,
                    &held_out(set, &both, |training| {
                        by_features(training, |question| {
                            vec![1.0, logits.get(&question).copied().unwrap_or(0.0), sign(other.verdicts[question])]
                        })
                    }),
                )
            };
            let Some(near) = nearest(set, at, &others, |_| true) else { continue };
            let found = [
                quality(set, &held_out(set, &both, |t| by_other(t, near))),
                quality(set, &told),
                quality(set, &held_out(set, &both, |t| by_other(t, second))),
                beside(near),
                beside(second),
            ];
            if let [Some(a), Some(b), Some(c), Some(d), Some(e)] = found {
                rows.push([a, b, c, d, e]);
                let pairs = both.verdicts.iter().zip(&second.verdicts);
                let same: Vec<f64> =
                    pairs.filter_map(|(one, two)| Some(f64::from(u8::from((*one)? == (*two)?)))).collect();
                agreement.extend(mean(&same));
            }
        }
    }
    if rows.is_empty() {
        return;
    }
    println!(
        "\nRuns whose weights ran a second time ({} ordered pairs; the two runs agree on {:.1} % of the questions):\n",
        rows.len(),
        100.0 * mean(&agreement).unwrap_or(f64::NAN)
    );
    println!("| predicted from | log-loss | AUC |\n|---|---|---|");
    let names = [
        "the other model nearest in accuracy",
        "2PL of all others",
        "the second run of the same weights",
        "2PL and the nearest other model",
        "2PL and the second run",
    ];
    for (column, name) in names.iter().enumerate() {
        let of = |of: fn(&(f64, f64)) -> f64| {
            mean(&rows.iter().map(|row| of(&row[column])).collect::<Vec<_>>()).unwrap_or(f64::NAN)
        };
        println!("| {name} | {:.3} | {:.3} |", of(|one| one.0), of(|one| one.1));
    }
}

fn accuracy(player: &Player) -> f64 {
    let right: Vec<f64> = player.verdicts.iter().flatten().map(|right| f64::from(u8::from(*right))).collect();
    mean(&right).unwrap_or(0.0)
}

fn nearest<'a>(set: &'a Set, at: usize, among: &[usize], fits: impl Fn(&Player) -> bool) -> Option<&'a Player> {
    let wanted = accuracy(&set.players[at]);
    let near = among.iter().map(|other| &set.players[*other]).filter(|other| fits(other));
    near.min_by(|one, other| (accuracy(one) - wanted).abs().total_cmp(&(accuracy(other) - wanted).abs()))
}

// ---- Relations

/// How two runs are related.
fn relation(one: &Player, other: &Player) -> Option<&'static str> {
    if same_weights(one, other) {
        return Some("same weights, second run");
    }
    if one.weights == other.weights {
        return None;
    }
    let ratio = one.size.zip(other.size).map(|(one, other)| if one > other { one / other } else { other / one });
    Some(match (one.family == other.family, ratio) {
        (true, Some(..=3.0)) => "same family, sizes within 3 times",
        (true, Some(_)) => "same family, sizes further apart",
        (true, None) => "same family, a size unknown",
        (false, Some(..=3.0)) => "other family, sizes within 3 times",
        (false, Some(_)) => "other family, sizes further apart",
        (false, None) => "other family, a size unknown",
    })
}

/// What one other model tells, and how far the hard sets overlap, by relation.
fn relatives(set: &Set) {
    #[derive(Default)]
    struct Sums {
        gain: Vec<f64>,
        auc: Vec<f64>,
        shared: Vec<f64>,
        by_chance: Vec<f64>,
    }
    let mut table: BTreeMap<&str, Sums> = BTreeMap::new();
    for (at, player) in set.players.iter().enumerate() {
        let Some((base, _)) = quality(set, &held_out(set, player, by_base)) else { continue };
        for (_, other) in set.players.iter().enumerate().filter(|(other, _)| *other != at) {
            let Some(relation) = relation(player, other) else { continue };
            let sums = table.entry(relation).or_default();
            if let Some((loss, area)) = quality(set, &held_out(set, player, |t| by_other(t, other))) {
                sums.gain.push(base - loss);
                sums.auc.push(area);
            }
            let both: Vec<(bool, bool)> =
                player.verdicts.iter().zip(&other.verdicts).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
            let n = |test: fn(&(bool, bool)) -> bool| both.iter().filter(|pair| test(pair)).count() as u64;
            let (n_one, n_other, n_both) = (n(|pair| !pair.0), n(|pair| !pair.1), n(|pair| !pair.0 && !pair.1));
            sums.shared.extend(jaccard(n_both, n_one, n_other));
            sums.by_chance.extend(expected_jaccard(n_one, n_other, both.len() as u64));
        }
    }
    println!(
        "\n| the other run | ordered pairs | log-loss saved against the base rate | AUC | unsolved by both: Jaccard | by chance |"
    );
    println!("|---|---|---|---|---|---|");
    for (relation, sums) in &table {
        let of = |values: &[f64]| mean(values).unwrap_or(f64::NAN);
        println!(
            "| {relation} | {} | {:.3} | {:.3} | {:.2} | {:.2} |",
            sums.gain.len(),
            of(&sums.gain),
            of(&sums.auc),
            of(&sums.shared),
            of(&sums.by_chance)
        );
    }
}

// ---- Leftovers

/// Correlation of what Rasch's model of all third models leaves unexplained in two runs, by relation: 0 if a question
/// is as hard for each as for everybody, 1 if all the rest is shared.
fn leftovers(set: &Set) {
    let mut table: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut fitted: HashMap<(String, String), Items> = HashMap::new();
    for (at, one) in set.players.iter().enumerate() {
        for other in &set.players[at + 1..] {
            let Some(relation) = relation(one, other) else { continue };
            let names = if one.weights < other.weights { (one, other) } else { (other, one) };
            let key = (names.0.weights.clone(), names.1.weights.clone());
            let items = fitted.entry(key).or_insert_with(|| {
                let third = |at: &usize| ![&one.weights, &other.weights].contains(&&set.players[*at].weights);
                items(set, &(0..set.players.len()).filter(third).collect::<Vec<_>>(), false)
            });
            let rest = |player: &Player| -> Vec<Option<f64>> {
                let ability = able(items, &player.verdicts, |_| true, 0.0, 12);
                let left = |(question, verdict): (usize, &Option<bool>)| {
                    let chance = sigmoid(items.slope[question] * ability + items.constant[question]);
                    Some((f64::from(u8::from((*verdict)?)) - chance) / (chance * (1.0 - chance)).sqrt())
                };
                player.verdicts.iter().enumerate().map(left).collect()
            };
            let pairs: Vec<(f64, f64)> =
                rest(one).into_iter().zip(rest(other)).filter_map(|(one, other)| one.zip(other)).collect();
            table.entry(relation).or_default().extend(correlation(&pairs));
        }
    }
    println!("\n| two runs | pairs | correlation of what 1PL of all third models leaves |\n|---|---|---|");
    for (relation, all) in &table {
        println!("| {relation} | {} | {:.3} |", all.len(), mean(all).unwrap_or(f64::NAN));
    }
}

fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let one = mean(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>())?;
    let other = mean(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>())?;
    let sum = |of: &dyn Fn(f64, f64) -> f64| pairs.iter().map(|(a, b)| of(a - one, b - other)).sum::<f64>();
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (spread > 0.0).then(|| sum(&|a, b| a * b) / spread)
}
