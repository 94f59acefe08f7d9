//! Levels of difficulty for one student: easy, then 1 to 5, 5 being the hardest.

use std::fmt;

/// Difficulty of a question for a student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The student solves it.
    Easy,
    /// 1 (almost solved) to 5 (hardest).
    Hard(u8),
}

impl Level {
    /// Number of different levels.
    pub const COUNT: usize = 6;
    /// All levels, easiest first.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Easy, Self::Hard(1), Self::Hard(2), Self::Hard(3), Self::Hard(4), Self::Hard(5)];

    /// Position in [`Self::ALL`].
    pub fn index(self) -> usize {
        match self {
            Self::Easy => 0,
            Self::Hard(level) => usize::from(level),
        }
    }

    /// Reads `easy` or `1` to `5`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.to_string() == text)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Easy => f.write_str("easy"),
            Self::Hard(level) => write!(f, "{level}"),
        }
    }
}
