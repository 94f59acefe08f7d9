//! What the name of a rule means: a set of the settings of one formula.

use crate::config::{AbilityConfig, DrawBy, Fit, ProcessRule, RvScore, Select, SelectBy};

/// A rule of selection, with everything said that its name leaves open.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Most chains of thought per question.
    pub per_question: u32,
    /// What weighs.
    pub order: Order,
    /// Whether chance decides, or the greatest weight.
    pub draw: DrawBy,
    /// Whether Cognitive Difficulty beyond the ability weighs.
    pub weighs_cd: bool,
    /// Cognitive Difficulty that the student can follow.
    pub ability: Option<f64>,
    /// exp(-beta * excess).
    pub beta: f64,
    /// exp(-gamma * distance).
    pub gamma: f64,
    /// What the Reasoning Verbosity should be near to.
    pub matched: Match,
    /// Range of the Reasoning Verbosity.
    pub rv: Option<[f64; 2]>,
    /// Range of the Cognitive Difficulty.
    pub cd: Option<[f64; 2]>,
    /// Which Reasoning Verbosity counts.
    pub rv_score: RvScore,
    /// Scores are rounded to whole numbers first, as a single rating is one: released thresholds are meant for those.
    pub whole: bool,
    /// Whether the process has to be right.
    pub process: ProcessRule,
}

/// What the order of the candidates comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The weights of the formula.
    Weights,
    /// Length, the least first.
    Shortest,
    /// Length, the greatest first.
    Longest,
    /// The fit to the student, the best first.
    Fit(Fit),
}

/// What the Reasoning Verbosity should be near to.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// Nothing.
    None,
    /// The Cognitive Difficulty.
    Difficulty,
    /// A number for easy and each level.
    Level([f64; 6]),
    /// A number for each bin of Cognitive Difficulty: its least, its target; rising.
    Bins(Vec<(f64, f64)>),
}

/// The range of a score that is not bounded further.
const ANY: [f64; 2] = [0.0, 9.0];

impl Rule {
    /// The rule of these settings; `measured` is the ability if it is to be measured.
    pub fn of(config: &Select, measured: Option<f64>) -> Self {
        use SelectBy as By;
        let weights = Preset::default();
        let preset = match config.by {
            By::Random => weights,
            By::Shortest => Preset { order: Order::Shortest, draw: DrawBy::Argmax, ..weights },
            By::Longest => Preset { order: Order::Longest, draw: DrawBy::Argmax, ..weights },
            By::StudentFit => Preset { order: Order::Fit(config.fit), draw: DrawBy::Argmax, ..weights },
            By::Omnithought => {
                Preset { weighs_cd: true, matched: Match::Difficulty, rv: Some(ANY), cd: Some(ANY), ..weights }
            }
            By::RvOnly => Preset { rv: Some(ANY), ..weights },
            By::CdOnly => Preset { weighs_cd: true, cd: Some(ANY), ..weights },
            By::OmnithoughtAblation7b => Preset { rv: Some([3.0, 5.0]), cd: Some([0.0, 6.0]), whole: true, ..weights },
            By::Easydistill10 => {
                Preset { rv: Some([3.0, 5.0]), cd: Some([4.0, 4.0]), rv_score: RvScore::Judge, whole: true, ..weights }
            }
            // Its bins are [0, 3), [3, 6), [6, 10), its targets 2 + bin * 8 / (n - 1).
            By::Easydistill20 => Preset {
                matched: Match::Bins(vec![(0.0, 2.0), (3.0, 6.0), (6.0, 10.0)]),
                draw: DrawBy::Argmax,
                rv_score: RvScore::Judge,
                whole: true,
                ..weights
            },
        };
        Self {
            per_question: config.per_question,
            order: preset.order,
            draw: config.draw.unwrap_or(preset.draw),
            weighs_cd: preset.weighs_cd,
            ability: match config.ability {
                Some(AbilityConfig::Given(ability)) => Some(ability),
                Some(AbilityConfig::Found(_)) => measured,
                None => None,
            },
            beta: config.beta,
            gamma: config.gamma,
            matched: match config.rv_target_by_level {
                Some(targets) if preset.order == Order::Weights => Match::Level(targets),
                _ => preset.matched,
            },
            rv: config.rv.or(preset.rv),
            cd: config.cd.or(preset.cd),
            rv_score: config.rv_score.unwrap_or(preset.rv_score),
            whole: preset.whole,
            process: config.process,
        }
    }

    /// Whether it goes by the student's ability.
    pub fn needs_ability(&self) -> bool {
        self.weighs_cd
    }

    /// Whether it goes by Cognitive Difficulty.
    pub fn needs_cd(&self) -> bool {
        self.weighs_cd || self.cd.is_some() || matches!(self.matched, Match::Difficulty | Match::Bins(_))
    }

    /// Whether it goes by Reasoning Verbosity.
    pub fn needs_rv(&self) -> bool {
        self.rv.is_some() || self.matched != Match::None
    }
}

/// What a name sets.
struct Preset {
    order: Order,
    draw: DrawBy,
    weighs_cd: bool,
    matched: Match,
    rv: Option<[f64; 2]>,
    cd: Option<[f64; 2]>,
    rv_score: RvScore,
    whole: bool,
}

/// Every candidate alike, by keyed draw.
impl Default for Preset {
    fn default() -> Self {
        Self {
            order: Order::Weights,
            draw: DrawBy::Keyed,
            weighs_cd: false,
            matched: Match::None,
            rv: None,
            cd: None,
            rv_score: RvScore::Fused,
            whole: false,
        }
    }
}
