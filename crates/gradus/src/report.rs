//! The report of a run: one HTML file that needs nothing else, made from the tables and the figures.
//!
//! Everything a model or a bank wrote is untrusted: the template escapes every value, the charts escape their
//! labels, and characters that a page would hide or reorder are made visible. There is no script in the page.

mod charts;
mod cots;
mod format;
mod samples;
mod teachers;

use std::io;
use std::path::{Path, PathBuf};

use minijinja::Environment;
use minijinja::value::Serde;
use serde_json::{Value, json};

use crate::config::{Config, Cuts, Easy, Grader, Price, SampleBy, SamplingConfig};
use crate::metrics::{Compared, Grading, LevelCount, Metrics, Partial, ReasonShare, RoleUse};
use crate::tables::TableError;
use charts::{Bar, Pair, Part, Point};
use format::{count, decimal, duration, money, percent, share, visible};

const TEMPLATE: &str = include_str!("report/report.html");

/// Name of the file in a run directory.
pub const FILE: &str = "report.html";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A table cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The file cannot be written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes the report into a run directory and says where it stands. The title is the run's name.
///
/// # Errors
/// If a table is there and cannot be read, or the file cannot be written.
pub fn write(folder: &Path, title: &str, config: &Config, metrics: &Metrics) -> Result<PathBuf, ReportError> {
    let samples = samples::pick(&folder.join("tables"), config.seed)?;
    let html = render(title, config, metrics, &samples);
    let path = folder.join(FILE);
    let partial = folder.join(format!("{FILE}.partial"));
    let io = |source| ReportError::Io { path: path.clone(), source };
    std::fs::write(&partial, html).map_err(io)?;
    std::fs::rename(&partial, &path).map_err(io)?;
    Ok(path)
}

fn render(title: &str, config: &Config, metrics: &Metrics, samples: &[samples::LevelSamples]) -> String {
    let mut context = json!({
        "title": title,
        "run": metrics.run,
        "fault": metrics.balance.fault(),
        "complete": metrics.balance.complete,
        "balance": {
            "entered": count(metrics.balance.n_entered), "selected": count(metrics.balance.n_selected),
            "dropped": count(metrics.balance.n_dropped), "unaccounted": count(metrics.balance.n_unaccounted),
        },
        "tiles": tiles(metrics),
        "student": model_of(metrics, "student"),
        "teachers": model_of(metrics, "teacher"),
        "pass": pass_rates(metrics),
        "grading": metrics.grading.as_ref().map(grading),
        "sample": metrics.sample.as_ref().map(|sample| json!({
            "by": sample_rule(config), "wanted": count(sample.wanted), "drawn": count(sample.drawn),
            "tv": sample.tv.map(|tv| decimal(tv, 3)),
            "kl": sample.kl.map_or_else(|| "infinite or nothing drawn".to_owned(), |kl| format!("{} nats", decimal(kl, 4))),
            "spilled": count(sample.levels.iter().map(|level| level.spilled).sum()),
        })),
        "roles": metrics.roles.iter().map(role).collect::<Vec<_>>(),
        "usage": usage(metrics),
        "n_executions": count(metrics.ledger.n_executions),
        "kept": {
            "n": count(metrics.per_kept_cot.n),
            "tokens": metrics.per_kept_cot.completion_tokens.map(|tokens| count(tokens.round() as u64)),
            "usd": metrics.per_kept_cot.paid_usd.map(money),
        },
        "partial": metrics.partial.as_ref().map(Partial::sentence),
        "compared": metrics.compared.as_ref().map(compared),
        "cots": metrics.cots.as_ref().map(|cots| cots::figures(cots, metrics.ability.as_ref())),
        "answer_judge": metrics.answer_judge.as_ref().map(cots::answer_judge),
        "teachers_compared": metrics.teachers.as_ref().map(teachers::figures),
        "durations": metrics.ledger.durations.iter().filter(|time| time.seconds >= 0.05)
            .map(|time| json!({"stage": time.stage, "time": duration(time.seconds)})).collect::<Vec<_>>(),
        "drops": metrics.drops.iter().map(|drop| json!({
            "stage": drop.stage, "item": drop.item_kind, "reason": drop.reason.replace('_', " "),
            "count": count(drop.count),
        })).collect::<Vec<_>>(),
        "hygiene": metrics.hygiene.iter().map(|found| json!({
            "finding": found.finding.replace('_', " "), "count": count(found.count), "dropped": count(found.dropped),
        })).collect::<Vec<_>>(),
        "models": metrics.run.models.iter().map(|model| json!({
            "role": model.role, "model": model.model, "revision": model.revision,
            "sampling": if model.recorded { Some("recorded elsewhere".to_owned()) } else { model.sampling.as_ref().map(sampling) }, "price": model.price.as_ref().map(price),
        })).collect::<Vec<_>>(),
        "settings": settings(config, metrics),
        "levels": samples,
    });
    make_visible(&mut context);
    // Made here out of numbers and escaped labels, so they go in as they are.
    context["charts"] = json!({
        "funnel": charts::bars(&funnel(metrics)),
        "levels": charts::histogram("Questions per level", &level_bars(&metrics.levels)),
        "pass": charts::histogram("Questions per pass rate", &pass_bars(metrics)),
        "by_level": charts::intervals("Pass rate per level", &level_points(&metrics.levels)),
        "sample": metrics.sample.as_ref().map(|sample| {
            let pairs: Vec<Pair> = sample.levels.iter().map(|level| Pair {
                label: level.level.clone(),
                wanted: level.wanted,
                found: if sample.drawn == 0 { 0.0 } else { level.drawn as f64 / sample.drawn as f64 },
                note: format!("{} of {}", count(level.drawn), count(level.available)),
            }).collect();
            charts::pairs("Share of each level, wanted and drawn", &pairs)
        }),
        "verdicts": charts::stacks(&verdict_stacks(metrics)),
        "cots": metrics.cots.as_ref().map(|cots| cots::charts(cots, metrics.ability.as_ref())),
    });
    let mut environment = Environment::new();
    // The name decides that every value is escaped for HTML.
    for (name, template) in [(FILE, TEMPLATE), ("cots.html", cots::TEMPLATE), ("teachers.html", teachers::TEMPLATE)] {
        environment.add_template(name, template).expect("the templates are fixed and parse");
    }
    let template = environment.get_template(FILE).expect("it was added just now");
    template.render(minijinja::Value::from(Serde(&context))).expect("every value of the template is given")
}

/// What the run cost and what other ways would have cost.
fn compared(compared: &Compared) -> Value {
    let about = |name: &str| match name {
        "this_run" => "this run, probe and judge included",
        "random" => "as many questions drawn at random, not probed",
        _ => "the whole bank, not probed",
    };
    let whole = |n: f64| count(n.round() as u64);
    let ways = compared.ways.iter().map(|way| {
        json!({
            "about": about(&way.name), "estimated": way.estimated, "questions": whole(way.n_questions),
            "tries": whole(way.n_tries), "kept": whole(way.n_kept), "tokens": way.completion_tokens.map(whole),
            "usd": way.usd.map(money), "tokens_per_kept": way.tokens_per_kept.map(whole),
            "usd_per_kept": way.usd_per_kept.map(money),
        })
    });
    let levels = compared.levels.iter().map(|effort| {
        let each = effort.tries_per_kept.map_or_else(|| "none kept".to_owned(), |tries| decimal(tries, 2));
        format!("{} {each} ({} questions)", effort.level, count(effort.n_questions))
    });
    json!({
        "ways": ways.collect::<Vec<_>>(), "levels": levels.collect::<Vec<_>>().join(", "),
        "assumed": (compared.n_assumed > 0).then(|| count(compared.n_assumed)),
    })
}

/// Replaces what a page would hide or reorder in every text.
fn make_visible(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text),
        Value::Array(values) => values.iter_mut().for_each(make_visible),
        Value::Object(map) => map.values_mut().for_each(make_visible),
        _ => {}
    }
}

fn tiles(metrics: &Metrics) -> Value {
    let kept = metrics.per_kept_cot;
    let mut tiles = vec![json!({"value": count(metrics.balance.n_entered), "label": "questions entered"})];
    let easy = metrics.levels.iter().find(|level| level.level == "easy").map_or(0, |level| level.count);
    let graded: u64 = metrics.levels.iter().filter(|level| level.level != "ungraded").map(|level| level.count).sum();
    if graded > 0 {
        let label = format!("graded, {} of them easy", count(easy));
        tiles.push(json!({"value": count(graded), "label": label}));
    }
    if metrics.balance.complete {
        let label = format!("chains of thought kept, for {} questions", count(metrics.balance.n_selected));
        tiles.push(json!({"value": count(kept.n), "label": label}));
    }
    tiles.push(match metrics.completion_tokens() {
        Some(tokens) => json!({"value": count(tokens), "label": "tokens written, as servers counted"}),
        None => json!({"value": "–", "label": "no server counted tokens"}),
    });
    let paid: Vec<f64> = metrics.ledger.usage.iter().filter_map(|usage| usage.paid_usd).collect();
    if !paid.is_empty() {
        tiles.push(json!({"value": money(paid.iter().sum()), "label": "paid"}));
    }
    tiles.into()
}

fn model_of(metrics: &Metrics, role: &str) -> String {
    let mut names: Vec<&str> =
        metrics.run.models.iter().filter(|model| model.role == role).map(|model| model.model.as_str()).collect();
    names.dedup();
    names.join(", ")
}

fn funnel(metrics: &Metrics) -> Vec<Bar> {
    metrics
        .funnel
        .iter()
        .map(|step| {
            let whole = metrics.funnel.iter().find(|first| first.unit == step.unit).map_or(0, |first| first.count);
            let unit = if step.unit == "cots" { "chains of thought" } else { "questions" };
            let rate = if whole == 0 { None } else { Some(step.count as f64 / whole as f64) };
            Bar {
                label: step.step.clone(),
                value: step.count as f64 / whole.max(1) as f64,
                note: format!(
                    "{} {unit}{}",
                    count(step.count),
                    rate.map_or(String::new(), |r| format!(" · {}", percent(r)))
                ),
                sub: String::new(),
                class: if step.unit == "cots" { "b" } else { "a" },
            }
        })
        .collect()
}

fn level_bars(levels: &[LevelCount]) -> Vec<Bar> {
    const CLASSES: [&str; 7] = ["l0", "l1", "l2", "l3", "l4", "l5", "off"];
    let n: u64 = levels.iter().map(|level| level.count).sum();
    levels
        .iter()
        .zip(CLASSES)
        .map(|(level, class)| Bar {
            label: level.level.clone(),
            value: level.count as f64,
            note: count(level.count),
            sub: if n == 0 { String::new() } else { percent(level.count as f64 / n as f64) },
            class,
        })
        .collect()
}

fn pass_bars(metrics: &Metrics) -> Vec<Bar> {
    let last = metrics.pass_rates.bins.len().saturating_sub(1);
    let bars = metrics.pass_rates.bins.iter().enumerate().map(|(at, bin)| Bar {
        label: match at {
            0 => "0 %".into(),
            at if at == last => "100 %".into(),
            at => format!("{}+", (at - 1) * 10),
        },
        value: *bin as f64,
        note: count(*bin),
        sub: String::new(),
        class: if at == 0 || at == last { "b" } else { "a" },
    });
    bars.collect()
}

fn level_points(levels: &[LevelCount]) -> Vec<Point> {
    let graded = levels.iter().filter(|level| level.pass.rate.is_some());
    graded
        .map(|level| Point {
            label: level.level.clone(),
            value: level.pass.rate.unwrap_or_default(),
            low: level.pass.low.unwrap_or_default(),
            high: level.pass.high.unwrap_or_default(),
            note: share(&level.pass),
        })
        .collect()
}

fn verdict_stacks(metrics: &Metrics) -> Vec<(String, Vec<Part>)> {
    metrics
        .verdicts
        .iter()
        .map(|row| {
            let part = |name: &'static str, class: &'static str, n: u64| Part {
                class,
                share: n as f64 / row.n().max(1) as f64,
                note: format!("{name} {}", count(n)),
            };
            let parts = vec![
                part("correct", "ok", row.correct),
                part("incorrect", "bad", row.incorrect),
                part("no answer", "none", row.no_answer),
                part("undecided", "open", row.undecided),
            ];
            (format!("{}, {} · n = {}", row.role, row.kind, count(row.n())), parts)
        })
        .collect()
}

fn grading(grading: &Grading) -> Value {
    let reasons = |shares: &[ReasonShare]| -> Vec<String> {
        shares.iter().map(|left| format!("{} {}", share(&left.share), left.reason.replace('_', " "))).collect()
    };
    json!({
        "grader": grading.grader.replace('_', " "),
        "ungraded": reasons(&grading.ungraded).join("; "),
        "scoring": grading.scoring.as_ref().map(|scoring| json!({
            "model": scoring.model, "form": scoring.form.replace('_', " "),
            "aggregate": scoring.aggregate.as_ref().map(|aggregate| aggregate.replace('_', " ")),
            "n_scored": count(scoring.n_scored), "n_steps": count(scoring.n_steps),
            "unscored": reasons(&scoring.unscored).join("; "),
            "bounded": (scoring.bounded.count > 0).then(|| share(&scoring.bounded)),
            "undecided": (scoring.undecided.count > 0).then(|| share(&scoring.undecided)),
        })),
    })
}

fn pass_rates(metrics: &Metrics) -> Value {
    let rates = &metrics.pass_rates;
    let interval = match (rates.mean_low, rates.mean_high) {
        (Some(low), Some(high)) => format!(" [{}, {}]", percent(low), percent(high)),
        _ => String::new(),
    };
    json!({
        "n": count(rates.n),
        "mean": rates.mean.map(|mean| format!("{}{interval}", percent(mean))),
        "width": rates.mean_width.map(|width| format!("{} points", decimal(width * 100.0, 0))),
    })
}

fn role(role: &RoleUse) -> Value {
    json!({
        "role": role.role, "model": role.model, "n": count(role.n_attempts),
        "prompt": counted(role.prompt_tokens, role.n_attempts - role.n_uncounted),
        "completion": counted(role.completion_tokens, role.n_attempts - role.n_uncounted),
        "uncounted": (role.n_uncounted > 0).then(|| count(role.n_uncounted)),
        "each": (role.n_attempts > role.n_uncounted)
            .then(|| count(role.completion_tokens / (role.n_attempts - role.n_uncounted))),
        "cost": role.cost_usd.map(money),
        "truncated": share(&role.truncated), "undecided": share(&role.undecided),
    })
}

fn usage(metrics: &Metrics) -> Value {
    let rows = metrics.ledger.usage.iter().map(|usage| {
        let faults: Vec<String> =
            usage.faults.iter().map(|(kind, n)| format!("{} {}", count(*n), kind.replace('_', " "))).collect();
        json!({
            "role": usage.role, "model": usage.model, "attempts": count(usage.n_attempts),
            "requests": count(usage.n_requests), "faults": faults.join(", "),
            "prompt": counted(usage.prompt_tokens, usage.n_attempts - usage.n_uncounted),
            "completion": counted(usage.completion_tokens, usage.n_attempts - usage.n_uncounted),
            "paid": usage.paid_usd.map(money),
            "per_kept": usage.paid_usd.filter(|_| metrics.per_kept_cot.n > 0)
                .map(|paid| money(paid / metrics.per_kept_cot.n as f64)),
        })
    });
    rows.collect()
}

/// Tokens over so many attempts that a server counted; a dash if there is none.
fn counted(tokens: u64, n_attempts: u64) -> String {
    if n_attempts == 0 { "–".to_owned() } else { count(tokens) }
}

fn sampling(sampling: &SamplingConfig) -> String {
    let mut parts = vec![
        format!("temperature {}", sampling.temperature),
        format!("top_p {}", sampling.top_p),
        format!("max_tokens {}", sampling.max_tokens),
    ];
    parts.extend(sampling.top_k.map(|k| format!("top_k {k}")));
    parts.extend(sampling.min_p.map(|p| format!("min_p {p}")));
    if !sampling.stop.is_empty() {
        parts.push(format!("stop {}", json!(sampling.stop)));
    }
    parts.join(", ")
}

fn price(price: &Price) -> String {
    let as_of = price.as_of.as_deref().map_or("no date given".to_owned(), |day| format!("as of {day}"));
    format!("${} in, ${} out per million tokens, {as_of}", price.input, price.output)
}

fn sample_rule(config: &Config) -> &'static str {
    match config.sample.by {
        SampleBy::PEval => "P_eval, the student's own distribution over levels",
        SampleBy::PC => "P_C, the curriculum over levels 1 to 5",
        SampleBy::Shares => "the shares in the configuration",
        SampleBy::Random => "random, every graded question alike (a baseline)",
        SampleBy::Static => "the curriculum over the bank's own levels (a baseline)",
        SampleBy::Uniform => "easy and every level alike (a baseline)",
        SampleBy::HardOnly => "the hardest (a baseline)",
        SampleBy::EasyOnly => "the easiest (a baseline)",
    }
}

/// The settings that decide what the figures mean, and which of them nobody has measured.
fn settings(config: &Config, metrics: &Metrics) -> Value {
    let standard = Config::default();
    let guess = |same: bool| if same { "our default, a guess: the paper gives no number" } else { "set for this run" };
    let mut rows: Vec<(&str, String, &str)> = vec![
        (
            "probe.attempts",
            config.probe.attempts.to_string(),
            match config.probe.attempts {
                1 => "one attempt: a pass rate is 0 or 1, and luck decides many levels",
                _ => "",
            },
        ),
        ("grade.grader", name(&config.grade.grader), ""),
    ];
    let saved = saved(metrics);
    if let Some(adaptive) = &config.probe.adaptive {
        let setting = format!("at least {}, interval of at most {}", adaptive.min_attempts, adaptive.max_width);
        rows.push(("probe.adaptive", setting, &saved));
    }
    let scores_wrong = !matches!(config.grade.grader, Grader::FirstCorrect | Grader::PassRate);
    if scores_wrong {
        rows.push(("grade.easy", name(&config.grade.easy), ""));
    }
    if config.grade.grader == Grader::PassRate || scores_wrong && config.grade.easy == Easy::PassRate {
        rows.push(("grade.tau", config.grade.tau.to_string(), guess(config.grade.tau == standard.grade.tau)));
    }
    let cut = cut(config, metrics);
    rows.push(("grade.edges", format!("{:?}", config.grade.edges), guess(config.grade.edges == standard.grade.edges)));
    if config.grade.cuts != Cuts::Fixed {
        rows.push(("grade.cuts", name(&config.grade.cuts), &cut));
    }
    rows.push(("grade.on_truncated", name(&config.grade.on_truncated), ""));
    if let Ok(Some(_)) = config.scored_by() {
        let same = config.scoring.aggregate == standard.scoring.aggregate;
        rows.push(("scoring.aggregate", name(&config.scoring.aggregate), guess(same)));
        rows.push(("scoring.part", name(&config.scoring.part), guess(config.scoring.part == standard.scoring.part)));
        rows.push((
            "scoring.steps",
            json!(config.scoring.steps).to_string(),
            guess(config.scoring.steps == standard.scoring.steps),
        ));
        rows.push(("scoring.undecided_step", name(&config.scoring.undecided_step), ""));
    }
    rows.push(("sample.by", name(&config.sample.by), ""));
    match config.sample.by {
        SampleBy::PC | SampleBy::Static => {
            let same = config.sample.weights == standard.sample.weights;
            rows.push(("sample.weights", format!("{:?}", config.sample.weights), guess(same)));
        }
        SampleBy::Shares => rows.push(("sample.shares", format!("{:?}", config.sample.shares), "")),
        SampleBy::PEval | SampleBy::Random | SampleBy::Uniform | SampleBy::HardOnly | SampleBy::EasyOnly => {}
    }
    if !config.sample.strata.is_empty() {
        rows.push(("sample.strata", name(&config.sample.strata), ""));
    }
    if config.sample.shares_from.is_some() {
        rows.push(("sample.shares_from", "another run".to_owned(), "its distribution over levels is P_eval"));
    }
    if config.sample.levels_from.is_some() {
        rows.push(("sample.levels_from", "another run".to_owned(), "questions are drawn by its levels"));
    }
    rows.push(("sample.shortage", name(&config.sample.shortage), ""));
    rows.push((
        "distil",
        format!(
            "{} correct wanted in at most {} tries, at least {} to keep the question",
            config.distil.correct, config.distil.tries, config.distil.min_correct
        ),
        "",
    ));
    rows.push(("select.by", name(&config.select.by), "a baseline: it looks at no content"));
    rows.push(("select.per_question", config.select.per_question.to_string(), ""));
    rows.push(("export.think", name(&config.export.think), ""));
    rows.push(("seed", config.seed.to_string(), ""));
    rows.into_iter().map(|(key, value, note)| json!({"key": key, "value": value, "note": note})).collect()
}

/// Where the levels were cut, and what that is worth.
fn cut(config: &Config, metrics: &Metrics) -> String {
    let Some(grading) = &metrics.grading else { return String::new() };
    let edges = grading.edges.map(|edge| format!("{edge:.3}")).join(", ");
    if config.grade.cuts == Cuts::Quantile {
        return format!(
            "cut at {edges}: a fifth of the questions that are not easy in each level, as far as ties allow"
        );
    }
    let rates = grading.held_out.iter().zip(1..).map(|((n, rate), level)| match rate {
        Some(rate) => format!("{level}: {rate:.2} ({n})"),
        None => format!("{level}: -"),
    });
    let rates = rates.collect::<Vec<_>>().join(", ");
    format!("cut at {edges}, fitted on half of the questions; pass rates by level in the other half: {rates}")
}

/// What stopping early saved.
fn saved(metrics: &Metrics) -> String {
    let rates = &metrics.pass_rates;
    let fixed = rates.attempts + rates.saved;
    let share = 100.0 * rates.saved as f64 / fixed.max(1) as f64;
    format!("{} of {} attempts were not asked: {share:.0} % saved", count(rates.saved), count(fixed))
}

/// The name of a setting as it stands in a configuration.
fn name<T: serde::Serialize>(setting: &T) -> String {
    let value = json!(setting);
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests;
