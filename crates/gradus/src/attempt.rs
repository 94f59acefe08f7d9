//! One logical generation of a model, and the id it has in every table.

use std::fmt;

use gradus_model::Completion;

/// Content key of a piece of work: 32 bytes over everything that determines what is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The first 16 hex digits: the id of the attempt or CoT in tables.
    pub fn short(&self) -> String {
        self.to_string()[..16].to_owned()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.short())
    }
}

/// Whose attempt it is, or whose work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The student.
    Student,
    /// The teacher at this position in the config.
    Teacher(u16),
    /// The model that scores the student's wrong attempts; its slots bear their numbers.
    Grader,
    /// The model that judges answers and chains of thought in words. No slot is its own: those of what it judges are.
    Judge,
    /// The other one, whose ratings are compared.
    SecondJudge,
    /// The student, or who stands in for it, where it measures chains of thought. No slot is its own either.
    Measurer,
}

impl Source {
    /// The position of this teacher in the config; none if it is no teacher.
    pub fn teacher(self) -> Option<usize> {
        if let Self::Teacher(at) = self { Some(usize::from(at)) } else { None }
    }
}

/// What is known of an attempt that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its key in the ledger.
    pub key: Key,
    /// Whose it is.
    pub source: Source,
    /// Its number among the attempts of this source at this question, from 0.
    pub number: u32,
    /// What came.
    pub completion: Completion,
}
