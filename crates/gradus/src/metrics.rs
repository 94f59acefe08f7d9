//! The figures of a run: what `metrics.json` holds and the report shows.
//!
//! Counted from the tables in one pass each; what no table holds (requests, faults, time, what was paid) is handed in.

mod cost;
mod grading;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::agreement::{self, AnswerAgreement, CotFigures};
use crate::assess::known_levels;
use crate::bakeoff::{self, Bakeoff};
use crate::config::{Config, Price, Probe, Sample, SampleBy, SamplingConfig};
use crate::lengths;
use crate::level::Level;
use crate::sample::{histogram, shares};
use crate::stats::wilson;
use crate::tables::{
    AttemptRow, CotRow, DroppedRow, HygieneRow, LevelRow, QuestionRow, SampleRow, SelectionRow, TableError, VerdictRow,
    each,
};
use crate::verdict::Outcome;
use cost::Efforts;
pub use cost::{Compared, TeacherEffort, Way};
pub use grading::{Grading, ReasonShare, Scoring};

/// Version of `metrics.json`.
pub const VERSION: u32 = 1;

/// What the caller knows about a run and no table holds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunFacts {
    /// Name and version of the tool, e.g. `gradus 0.1.0`.
    pub tool: String,
    /// Hash of the frozen configuration.
    pub config_hash: String,
    /// Seed of every draw.
    pub seed: u64,
    /// The prompt templates in use.
    pub prompts: Vec<PromptFact>,
    /// The models in use.
    pub models: Vec<ModelFact>,
    /// Where programs ran; none if the bank has no code questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxFact>,
}

/// Where programs ran in the last session of a run. No path and no name of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxFact {
    /// Version of the runner, part of each execution's key.
    pub runner: String,
    /// Every layer of isolation that there could be.
    pub layers: Vec<LayerFact>,
    /// Versions of the interpreters by language; a language that cannot be run is absent.
    pub interpreters: BTreeMap<String, String>,
}

/// A layer of isolation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerFact {
    /// Its name, as `gradus doctor` prints it.
    pub name: String,
    /// Whether programs ran under it.
    pub active: bool,
}

/// A prompt template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptFact {
    /// What it is for, e.g. `math`.
    pub name: String,
    /// Hash of its text.
    pub hash: String,
    /// The template itself.
    pub text: String,
}

/// A model in a role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFact {
    /// `student`, `teacher`, `judge` or `prm`.
    pub role: String,
    /// Model name, without the address of its server.
    pub model: String,
    /// Mark of the weights.
    pub revision: Option<String>,
    /// Its answers come from a recording: with which prompt and settings they were made is not known here.
    #[serde(default)]
    pub recorded: bool,
    /// How it was sampled; none if it was recorded.
    pub sampling: Option<SamplingConfig>,
    /// What it cost.
    pub price: Option<Price>,
}

/// One step of the funnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelStep {
    /// What happened, e.g. `graded`.
    pub step: String,
    /// What is counted: `questions` or `cots`.
    pub unit: String,
    /// How many are left.
    pub count: u64,
}

/// What the ledger knows about the asking, handed in by the caller. Nothing in it is counted twice: an attempt that
/// two roles share was paid once, in the role that asked first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LedgerFacts {
    /// Per role and model.
    pub usage: Vec<LedgerUsage>,
    /// Runs of programs in the sandbox.
    pub n_executions: u64,
    /// Seconds per stage in which something was under way, all sessions of the run together.
    pub durations: Vec<StageTime>,
}

/// What a model was asked in a role.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LedgerUsage {
    /// `student`, `teacher`, `judge` or `prm`; `former` for models that the config no longer names, `unsettled` for
    /// tries of former sessions that came to nothing.
    pub role: String,
    /// Model name; empty where it is not known.
    pub model: String,
    /// Logical generations that have an answer.
    pub n_attempts: u64,
    /// Of these, without a token count.
    pub n_uncounted: u64,
    /// Tries on the wire, failed ones included.
    pub n_requests: u64,
    /// Failed tries by kind, e.g. `rate_limited`.
    pub faults: BTreeMap<String, u64>,
    /// Tokens read, where the server counted.
    pub prompt_tokens: u64,
    /// Tokens written, where the server counted.
    pub completion_tokens: u64,
    /// US dollars paid; none if no price is known.
    pub paid_usd: Option<f64>,
}

/// How long a stage took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Name of the stage.
    pub stage: String,
    /// Seconds of wall time in which at least one request or program of it was under way.
    pub seconds: f64,
}

/// The figures of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Version of this format: [`VERSION`].
    pub version: u32,
    /// Tool, configuration, prompts and models.
    pub run: RunFacts,
    /// How many are left after each stage that has run.
    pub funnel: Vec<FunnelStep>,
    /// Whether every question is accounted for.
    pub balance: Balance,
    /// Questions per level.
    pub levels: Vec<LevelCount>,
    /// Who gave the levels, and how much could not be graded; none before grading.
    #[serde(default)]
    pub grading: Option<Grading>,
    /// How often the student is right.
    pub pass_rates: PassRates,
    /// What was drawn, against what was wanted; none before sampling.
    pub sample: Option<SampleFit>,
    /// Verdicts by role and kind of question.
    pub verdicts: Vec<VerdictCount>,
    /// Attempts, tokens and cost by role, as the tables hold them.
    pub roles: Vec<RoleUse>,
    /// Tokens and cost per chain of thought kept.
    pub per_kept_cot: PerKept,
    /// What other ways to these chains of thought would have cost; none if no teacher was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// What left, by stage and reason.
    pub drops: Vec<DropCount>,
    /// What hygiene found in the bank; empty if it was not looked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hygiene: Vec<FindingCount>,
    /// Scores, agreement and correlations of the chains of thought; none if nothing was annotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cots: Option<CotFigures>,
    /// The rules against the judge of answers; none if it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_judge: Option<AnswerAgreement>,
    /// The teachers compared; none if there is one and nothing was annotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teachers: Option<Bakeoff>,
    /// What the ledger knows about the asking.
    pub ledger: LedgerFacts,
    /// Set if a budget stopped the run before all was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<Partial>,
}

/// A budget that stopped a run: its tables hold what there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// Stage that was asking.
    pub stage: String,
    /// US dollars spent, as far as they are known.
    pub spent_usd: f64,
    /// Tokens used, read and written.
    pub spent_tokens: u64,
    /// Most US dollars.
    pub max_usd: Option<f64>,
    /// Most tokens.
    pub max_tokens: Option<u64>,
}

impl Partial {
    /// In one sentence, without its full stop.
    pub fn sentence(&self) -> String {
        let mut spent = Vec::new();
        if let Some(max) = self.max_usd {
            spent.push(format!("${:.6} of ${max} spent", self.spent_usd));
        }
        if let Some(max) = self.max_tokens {
            spent.push(format!("{} of {max} tokens used", self.spent_tokens));
        }
        format!(
            "the budget ended the run while asking ({}): {}; what was not asked is missing",
            self.stage,
            spent.join(", ")
        )
    }
}

/// Findings of one sort.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingCount {
    /// `near_duplicate`, `contradiction`, `family` or `contaminated`.
    pub finding: String,
    /// Questions.
    pub count: u64,
    /// Those that left for it.
    pub dropped: u64,
}

/// A share with its 95 % interval (Wilson 1927). Without cases there is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Share {
    /// Cases that have the mark.
    pub count: u64,
    /// Cases.
    pub n: u64,
    /// `count / n`, 0..1.
    pub rate: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
}

impl Share {
    /// `count` out of `n`; `count` is at most `n`.
    pub fn of(count: u64, n: u64) -> Self {
        if n == 0 {
            return Self { count, n, ..Self::default() };
        }
        let (low, high) = wilson(count, n);
        let rate = count as f64 / n as f64;
        Self { count, n, rate: Some(rate), low: Some(low), high: Some(high) }
    }
}

/// Whether every question that entered was either selected or dropped with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Balance {
    /// Questions in the table.
    pub n_entered: u64,
    /// Those with a chain of thought that is kept.
    pub n_selected: u64,
    /// Those that left with a reason.
    pub n_dropped: u64,
    /// Those with neither, or both.
    pub n_unaccounted: u64,
    /// The first of them, at most ten.
    pub unaccounted: Vec<String>,
    /// Whether selection has run: before it, questions may still be on their way.
    pub complete: bool,
}

impl Balance {
    /// The fault in one sentence, if there is one.
    pub fn fault(&self) -> Option<String> {
        (self.complete && self.n_unaccounted > 0).then(|| {
            format!(
                "{} of {} questions are not accounted for: neither selected nor dropped with a reason, or both ({}{}); \
                 this is a fault of the program, please report it",
                self.n_unaccounted,
                self.n_entered,
                self.unaccounted.join(", "),
                if self.n_unaccounted > self.unaccounted.len() as u64 { ", …" } else { "" }
            )
        })
    }
}

/// Questions of a level.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LevelCount {
    /// `easy`, `1` to `5`, or `ungraded`.
    pub level: String,
    /// How many.
    pub count: u64,
    /// Correct among countable attempts at them, pooled; the interval takes attempts as independent, which attempts
    /// at one question are not, so it is too narrow where there are several.
    pub pass: Share,
}

/// How often the student is right, by question.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PassRates {
    /// Questions that have a pass rate.
    pub n: u64,
    /// Mean over questions.
    pub mean: Option<f64>,
    /// Its 95 % interval from the spread over questions (normal approximation); none below two questions.
    pub mean_low: Option<f64>,
    /// Upper end.
    pub mean_high: Option<f64>,
    /// Mean width of a single question's interval: how little the attempts at one question tell.
    pub mean_width: Option<f64>,
    /// Questions never solved, sometimes in ten bins of equal width, always: 12 counts.
    pub bins: Vec<u64>,
    /// Attempts at the questions that have a level or could not be given one.
    #[serde(default)]
    pub attempts: u64,
    /// Attempts that `probe.adaptive` saved on them, against `probe.attempts` each.
    #[serde(default)]
    pub saved: u64,
}

/// The drawn sample against the wanted distribution.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SampleFit {
    /// By which rule.
    pub by: String,
    /// Questions wanted.
    pub wanted: u64,
    /// Questions drawn.
    pub drawn: u64,
    /// Per level, easy first.
    pub levels: Vec<SampleLevel>,
    /// Total variation distance between the wanted and the drawn shares, 0..1; none if nothing was drawn.
    pub tv: Option<f64>,
    /// Kullback-Leibler divergence of the drawn from the wanted shares in nats; none if nothing was drawn, or a
    /// level was drawn that was not wanted at all.
    pub kl: Option<f64>,
}

/// One level of the sample.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SampleLevel {
    /// `easy`, `1` to `5`.
    pub level: String,
    /// Questions there are.
    pub available: u64,
    /// Share wanted, 0..1.
    pub wanted: f64,
    /// Questions drawn.
    pub drawn: u64,
    /// Of these, standing in for another level.
    pub spilled: u64,
}

/// Verdicts on attempts of a role at questions of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerdictCount {
    /// `student` or `teacher`.
    pub role: String,
    /// `math`, `choice`, `text` or `code`.
    pub kind: String,
    /// Right.
    pub correct: u64,
    /// Wrong.
    pub incorrect: u64,
    /// Without a final answer.
    pub no_answer: u64,
    /// Could not be told.
    pub undecided: u64,
}

impl VerdictCount {
    /// All of them.
    pub fn n(&self) -> u64 {
        self.correct + self.incorrect + self.no_answer + self.undecided
    }
}

/// Attempts of a role. An attempt shared by two roles counts in both; what was paid stands in the ledger's figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoleUse {
    /// `student` or `teacher`.
    pub role: String,
    /// Model name.
    pub model: String,
    /// Attempts.
    pub n_attempts: u64,
    /// Attempts without a token count.
    pub n_uncounted: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// US dollars; none if no attempt has a cost.
    pub cost_usd: Option<f64>,
    /// Attempts cut off at the limit of tokens.
    pub truncated: Share,
    /// Verdicts that could not be told.
    pub undecided: Share,
}

/// Tokens and cost per chain of thought kept.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PerKept {
    /// Chains of thought kept.
    pub n: u64,
    /// Tokens written by all models for each; none if no server counted.
    pub completion_tokens: Option<f64>,
    /// US dollars paid for each; none if nothing has a price.
    pub paid_usd: Option<f64>,
}

/// What left at a stage for a reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DropCount {
    /// Where.
    pub stage: String,
    /// `row`, `question`, `attempt` or `cot`.
    pub item_kind: String,
    /// A fixed word.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What is remembered of a question while the tables go by.
#[derive(Clone, Copy, Default)]
struct Seen {
    kind: u8,
    selected: bool,
    dropped: bool,
}

impl Metrics {
    /// Counts the tables in `tables/` of a run directory, one pass each. A table that is not there yet belongs to a
    /// stage that has not run. Memory: some 20 bytes per question.
    ///
    /// # Errors
    /// If a table is there and cannot be read.
    pub fn of(folder: &Path, config: &Config, run: RunFacts, ledger: LedgerFacts) -> Result<Self, TableError> {
        let tables = folder.join("tables");
        let mut metrics = Self { version: VERSION, run, ledger, ..Self::default() };
        let mut funnel = Vec::new();
        let mut step = |step: &str, unit: &str, count: u64| {
            funnel.push(FunnelStep { step: step.to_owned(), unit: unit.to_owned(), count });
        };

        let mut seen: HashMap<u64, Seen> = HashMap::new();
        let mut kinds: Vec<String> = Vec::new();
        each::<QuestionRow>(&tables, |row| {
            let at = kinds.iter().position(|kind| *kind == row.kind).unwrap_or_else(|| {
                kinds.push(row.kind.clone());
                kinds.len() - 1
            });
            seen.entry(number(&row.question_id)).or_default().kind = at.min(255) as u8;
        })?;
        step("entered", "questions", seen.len() as u64);

        let mut drops: BTreeMap<(String, String, String), u64> = BTreeMap::new();
        each::<DroppedRow>(&tables, |row| {
            if row.item_kind == "question"
                && let Some(question) = seen.get_mut(&number(&row.item))
            {
                question.dropped = true;
            }
            *drops.entry((row.stage, row.item_kind, row.reason)).or_default() += 1;
        })?;
        metrics.drops = drops
            .into_iter()
            .map(|((stage, item_kind, reason), count)| DropCount { stage, item_kind, reason, count })
            .collect();

        let mut findings: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        each::<HygieneRow>(&tables, |row| {
            let (count, dropped) = findings.entry(row.finding).or_default();
            *count += 1;
            *dropped += u64::from(row.dropped);
        })?;
        let count = |(finding, (count, dropped))| FindingCount { finding, count, dropped };
        metrics.hygiene = findings.into_iter().map(count).collect();

        if metrics.count_levels(&tables, &config.probe)? {
            let graded = metrics.levels.iter().filter(|level| level.level != "ungraded").map(|level| level.count);
            step("graded", "questions", graded.sum());
            metrics.grading = grading::count(&tables, &config.grade, &metrics.drops)?;
        }
        let mut efforts = Efforts::default();
        if metrics.count_sample(&tables, config, &mut efforts)? {
            step("sampled", "questions", metrics.sample.as_ref().map_or(0, |sample| sample.drawn));
        }

        let mut roles: BTreeMap<(u8, String), RoleUse> = BTreeMap::new();
        each::<AttemptRow>(&tables, |row| {
            let role = role_of(&mut roles, "student", &row.model);
            role.add(&row.finish, row.prompt_tokens, row.completion_tokens, row.cost_usd);
        })?;
        let (mut n_cots, mut n_correct) = (0, 0);
        let mut answered = Last::default();
        let mut solved = Last::default();
        let distilled = each::<CotRow>(&tables, |row| {
            n_cots += 1;
            efforts.tried(&row.question_id, row.completion_tokens, row.cost_usd);
            answered.count(&row.question_id);
            if row.verdict == Outcome::Correct.name() {
                n_correct += 1;
                solved.count(&row.question_id);
            }
            let role = role_of(&mut roles, "teacher", &row.teacher);
            role.add(&row.finish, row.prompt_tokens, row.completion_tokens, row.cost_usd);
        })?;
        if distilled {
            step("answered by a teacher", "questions", answered.n);
            step("with a correct chain of thought", "questions", solved.n);
        }

        let mut verdicts: BTreeMap<(u8, String), VerdictCount> = BTreeMap::new();
        each::<VerdictRow>(&tables, |row| {
            let undecided = row.verdict == Outcome::Undecided.name();
            let role = role_of(&mut roles, &row.role, &row.model);
            role.undecided.n += 1;
            role.undecided.count += u64::from(undecided);
            let kind = seen.get(&number(&row.question_id)).and_then(|question| kinds.get(usize::from(question.kind)));
            let kind = kind.map_or("unknown", String::as_str);
            let count = verdicts.entry((order(&row.role), kind.to_owned())).or_insert_with(|| VerdictCount {
                role: row.role.clone(),
                kind: kind.to_owned(),
                ..VerdictCount::default()
            });
            match row.verdict.as_str() {
                "correct" => count.correct += 1,
                "incorrect" => count.incorrect += 1,
                "no_answer" => count.no_answer += 1,
                _ => count.undecided += 1,
            }
        })?;
        metrics.verdicts = verdicts.into_values().collect();
        metrics.roles = roles.into_values().collect();
        for role in &mut metrics.roles {
            role.truncated = Share::of(role.truncated.count, role.n_attempts);
            role.undecided = Share::of(role.undecided.count, role.undecided.n);
        }

        let mut n_kept = 0;
        let complete = each::<SelectionRow>(&tables, |row| {
            if row.selected {
                n_kept += 1;
                efforts.kept(&row.question_id);
                seen.entry(number(&row.question_id)).or_default().selected = true;
            }
        })?;
        if complete {
            step("selected", "questions", seen.values().filter(|question| question.selected).count() as u64);
        }
        if distilled {
            step("written", "cots", n_cots);
            step("correct", "cots", n_correct);
        }
        if complete {
            step("kept", "cots", n_kept);
        }
        metrics.per_kept_cot = metrics.per_kept(n_kept);
        if let (true, Some(sample)) = (complete, &metrics.sample) {
            let available = std::array::from_fn(|level| sample.levels[level].available);
            let tokens = metrics.completion_tokens().map(|tokens| tokens as f64);
            metrics.compared = efforts.compare(&available, seen.len() as u64, tokens, metrics.paid_usd());
        }
        metrics.cots = agreement::cots(&tables, config.seed)?;
        metrics.answer_judge = agreement::answers(&tables, config.seed)?;
        let is_told = |bakeoff: &Bakeoff| bakeoff.teachers.len() > 1 || metrics.cots.is_some();
        metrics.teachers = bakeoff::of(&tables, config.seed)?.filter(is_told);
        metrics.balance = balance(&tables, &seen, complete)?;
        metrics.funnel = funnel;
        Ok(metrics)
    }

    /// As `metrics.json` holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names, lists and finite numbers") + "\n"
    }

    fn count_levels(&mut self, tables: &Path, config: &Probe) -> Result<bool, TableError> {
        let names = Level::ALL.iter().map(ToString::to_string).chain(["ungraded".to_owned()]);
        self.levels = names.map(|level| LevelCount { level, ..LevelCount::default() }).collect();
        let rates = &mut self.pass_rates;
        rates.bins = vec![0; 12];
        let (mut sum, mut squares, mut widths, mut n_widths) = (0.0, 0.0, 0.0, 0_u64);
        let levels = &mut self.levels;
        let found = each::<LevelRow>(tables, |row| {
            let at = Level::parse(&row.level).map_or(Level::COUNT, Level::index);
            levels[at].count += 1;
            levels[at].pass.count += row.n_correct.max(0) as u64;
            levels[at].pass.n += row.n_countable.max(0) as u64;
            let n_attempts = row.n_attempts.max(0) as u64;
            rates.attempts += n_attempts;
            if config.adaptive.is_some() {
                rates.saved += u64::from(config.attempts).saturating_sub(n_attempts);
            }
            if let Some(rate) = row.pass_rate {
                rates.n += 1;
                sum += rate;
                squares += rate * rate;
                let bin = match rate {
                    ..=0.0 => 0,
                    1.0.. => 11,
                    _ => 1 + ((rate * 10.0) as usize).min(9),
                };
                rates.bins[bin] += 1;
            }
            if let (Some(low), Some(high)) = (row.pass_rate_low, row.pass_rate_high) {
                widths += high - low;
                n_widths += 1;
            }
        })?;
        for level in &mut self.levels {
            level.pass = Share::of(level.pass.count.min(level.pass.n), level.pass.n);
        }
        if rates.n > 0 {
            let n = rates.n as f64;
            let mean = sum / n;
            rates.mean = Some(mean);
            if rates.n > 1 {
                let variance = ((squares - n * mean * mean) / (n - 1.0)).max(0.0);
                let half = 1.959_963_984_540_054 * (variance / n).sqrt();
                rates.mean_low = Some((mean - half).max(0.0));
                rates.mean_high = Some((mean + half).min(1.0));
            }
        }
        rates.mean_width = (n_widths > 0).then(|| widths / n_widths as f64);
        Ok(found)
    }

    fn count_sample(&mut self, tables: &Path, config: &Config, efforts: &mut Efforts) -> Result<bool, TableError> {
        // Where lengths or a price are not known, no sample was drawn.
        let size = |shares: &[f64; Level::COUNT]| lengths::size(config, tables, shares).ok().flatten();
        let config = &config.sample;
        let available = match borrowed_levels(tables, config)? {
            Some(borrowed) => borrowed,
            None => std::array::from_fn(|level| self.levels[level].count),
        };
        let there = config.shares_from.as_deref().map(|run| known_levels(&run.join("tables"))).transpose()?.flatten();
        let weights = shares(config, &available, there.as_ref().map(histogram).as_ref());
        let total: f64 = weights.iter().sum();
        let mut levels: Vec<SampleLevel> = Level::ALL
            .iter()
            .map(|level| SampleLevel {
                level: level.to_string(),
                available: available[level.index()],
                wanted: if total > 0.0 { weights[level.index()] / total } else { 0.0 },
                ..SampleLevel::default()
            })
            .collect();
        let mut drawn = 0;
        let found = each::<SampleRow>(tables, |row| {
            drawn += 1;
            if let Some(level) = Level::parse(&row.level) {
                efforts.drawn(&row.question_id, level);
                levels[level.index()].drawn += 1;
                levels[level.index()].spilled += u64::from(row.drawn_for != row.level);
            }
        })?;
        if found {
            let shares = || levels.iter().map(|level| (level.drawn as f64 / drawn as f64, level.wanted));
            let tv = (drawn > 0).then(|| shares().map(|(drawn, wanted)| (drawn - wanted).abs()).sum::<f64>() / 2.0);
            let kl = (drawn > 0 && shares().all(|(drawn, wanted)| drawn == 0.0 || wanted > 0.0)).then(|| {
                let terms = shares().filter(|(drawn, _)| *drawn > 0.0);
                terms.map(|(drawn, wanted)| drawn * (drawn / wanted).ln()).sum::<f64>().max(0.0)
            });
            // As `sample` takes it: without a size, all questions of the levels that are wanted at all.
            let has_share = |level: &SampleLevel| level.wanted > 0.0;
            let all = || levels.iter().filter(|level| has_share(level)).map(|level| level.available).sum();
            let wanted = size(&weights).unwrap_or_else(all);
            self.sample = Some(SampleFit { by: config.by.name().to_owned(), wanted, drawn, levels, tv, kl });
        }
        Ok(found)
    }

    /// From the ledger's figures where they are there, else from the tables.
    fn per_kept(&self, n: u64) -> PerKept {
        let each = |total: f64| (n > 0).then(|| total / n as f64);
        let tokens = self.completion_tokens().map(|tokens| tokens as f64);
        PerKept { n, completion_tokens: tokens.and_then(each), paid_usd: self.paid_usd().and_then(each) }
    }

    /// US dollars paid in all roles, from the ledger's figures where they are there, else from the tables; none if
    /// nothing has a price.
    fn paid_usd(&self) -> Option<f64> {
        let usage = &self.ledger.usage;
        if usage.is_empty() {
            sum(self.roles.iter().map(|role| role.cost_usd))
        } else {
            sum(usage.iter().map(|usage| usage.paid_usd))
        }
    }

    /// Tokens written by all models, from the ledger's figures where they are there, else from the tables; none if no
    /// server counted any.
    pub fn completion_tokens(&self) -> Option<u64> {
        let tables = || self.roles.iter().map(|role| (role.n_attempts - role.n_uncounted, role.completion_tokens));
        let ledger =
            || self.ledger.usage.iter().map(|used| (used.n_attempts - used.n_uncounted, used.completion_tokens));
        let add = |(n, tokens): (u64, u64), (more, written): (u64, u64)| (n + more, tokens + written);
        let (n, tokens) =
            if self.ledger.usage.is_empty() { tables().fold((0, 0), add) } else { ledger().fold((0, 0), add) };
        (n > 0).then_some(tokens)
    }
}

impl RoleUse {
    fn add(&mut self, finish: &str, prompt: Option<i64>, completion: Option<i64>, cost: Option<f64>) {
        self.n_attempts += 1;
        self.n_uncounted += u64::from(completion.is_none());
        self.prompt_tokens += prompt.unwrap_or(0).max(0) as u64;
        self.completion_tokens += completion.unwrap_or(0).max(0) as u64;
        self.truncated.count += u64::from(finish == "length");
        self.cost_usd = sum([self.cost_usd, cost]);
    }
}

/// Counts runs of equal ids in a table that is ordered by them.
#[derive(Default)]
struct Last {
    id: Option<u64>,
    n: u64,
}

impl Last {
    fn count(&mut self, id: &str) {
        let id = Some(number(id));
        self.n += u64::from(self.id != id);
        self.id = id;
    }
}

fn balance(tables: &Path, seen: &HashMap<u64, Seen>, complete: bool) -> Result<Balance, TableError> {
    let mut balance = Balance { complete, ..Balance::default() };
    each::<QuestionRow>(tables, |row| {
        let question = seen[&number(&row.question_id)];
        balance.n_entered += 1;
        balance.n_selected += u64::from(question.selected);
        balance.n_dropped += u64::from(question.dropped);
        if question.selected == question.dropped {
            balance.n_unaccounted += 1;
            if balance.unaccounted.len() < 10 {
                balance.unaccounted.push(row.question_id);
            }
        }
    })?;
    Ok(balance)
}

fn role_of<'a>(roles: &'a mut BTreeMap<(u8, String), RoleUse>, role: &str, model: &str) -> &'a mut RoleUse {
    roles.entry((order(role), model.to_owned())).or_insert_with(|| RoleUse {
        role: role.to_owned(),
        model: model.to_owned(),
        ..RoleUse::default()
    })
}

/// Roles in the order in which they act.
fn order(role: &str) -> u8 {
    ["student", "teacher", "judge", "prm"].iter().position(|known| *known == role).unwrap_or(9) as u8
}

/// The sum of what is known; none if nothing is.
fn sum(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// An id as a number; two ids with one number are not to be expected below 10^9 questions.
pub(crate) fn number(id: &str) -> u64 {
    u64::from_le_bytes(blake3::hash(id.as_bytes()).as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// Graded questions by the levels that the sample goes by, where these are not the student's own.
fn borrowed_levels(tables: &Path, config: &Sample) -> Result<Option<[u64; Level::COUNT]>, TableError> {
    if config.levels_from.is_none() && config.by != SampleBy::Static {
        return Ok(None);
    }
    let mut counts = [0; Level::COUNT];
    for level in lengths::drawn_by(config, tables)?.values() {
        counts[level.index()] += 1;
    }
    Ok(Some(counts))
}

#[cfg(test)]
pub(crate) mod tests;
