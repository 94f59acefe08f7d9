//! What the source of a chain of thought says of it: reasoning verbosity (RV), cognitive difficulty (CD), and whether
//! it is right. Kept, not believed.

use serde_json::{Map, Number, Value};

use crate::ingest::Bad;
use crate::ingest::cell::Cell;

/// Greatest level of either scale that occurs: OmniThought's run from 0 to 9, EasyDistill 2.0 mixes up to 10.
const MAX_LEVEL: f64 = 10.0;

/// Ratings that came with a chain of thought.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rating {
    pub(crate) rv: Option<Number>,
    pub(crate) cd: Option<Number>,
    pub(crate) rv_judge: Option<String>,
    pub(crate) cd_judge: Option<String>,
    pub(crate) correctness: Option<bool>,
    /// Levels that are none, and were left out.
    pub(crate) n_ignored: u64,
}

/// Flags of correctness, the one that counts first.
const CORRECTNESS: [&str; 6] = [
    "thought_correctness_verify",
    "logical_correctness",
    "correctness_math_verify",
    "correctness_llama",
    "correctness",
    "is_correct",
];

impl Rating {
    pub(crate) fn read(at: &impl Fn(&str) -> Result<Option<Cell>, Bad>) -> Result<Self, Bad> {
        let mut rating = Self::default();
        let mut level = |names: [&str; 4]| -> Result<(Option<Number>, Option<String>), Bad> {
            for name in names {
                let Some(cell) = at(name)?.filter(|cell| !cell.is_nothing()) else { continue };
                let judge = match cell.at("judge") {
                    Some(Cell::Text(judge)) if !judge.trim().is_empty() => Some(judge),
                    _ => None,
                };
                let level = number(&cell.at("level").unwrap_or(cell));
                rating.n_ignored += u64::from(level.is_none());
                return Ok((level, judge));
            }
            Ok((None, None))
        };
        let (rv, rv_judge) = level(["Reasoning_Verbosity", "reasoning_verbosity", "rv", "RV"])?;
        let (cd, cd_judge) = level(["Cognitive_Difficulty", "cognitive_difficulty", "cd", "CD"])?;
        (rating.rv, rating.rv_judge, rating.cd, rating.cd_judge) = (rv, rv_judge, cd, cd_judge);
        for name in CORRECTNESS {
            rating.correctness = rating.correctness.or(at(name)?.as_ref().and_then(correctness));
        }
        Ok(rating)
    }

    /// Whether the source says anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rv.is_none() && self.cd.is_none() && self.correctness.is_none()
    }

    /// Adds its fields to a row.
    pub(crate) fn write(&self, row: &mut Map<String, Value>) {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let fields = [
            ("rv", self.rv.clone().map(Value::Number)),
            ("cd", self.cd.clone().map(Value::Number)),
            ("rv_judge", text(&self.rv_judge)),
            ("cd_judge", text(&self.cd_judge)),
            ("correctness", self.correctness.map(Value::Bool)),
        ];
        row.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
}

/// A level, where it is one.
fn number(cell: &Cell) -> Option<Number> {
    let text = cell.scalar()?.trim();
    let level = text.parse::<f64>().ok().filter(|level| (0.0..=MAX_LEVEL).contains(level))?;
    if level.fract() == 0.0 { Some(Number::from(level as u64)) } else { Number::from_f64(level) }
}

/// A flag: a boolean, or 0 or 1.
pub(crate) fn correctness(cell: &Cell) -> Option<bool> {
    match cell {
        Cell::Bool(flag) => Some(*flag),
        Cell::Text(text) | Cell::Number(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "1.0" => Some(true),
            "false" | "0" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
