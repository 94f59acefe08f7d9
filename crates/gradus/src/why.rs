//! Everything the tables hold about one question: what was said, what came of it, why it is in or out.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Serialize;

use crate::tables::{
    AnnotationRow, AttemptRow, CotRow, DroppedRow, LevelRow, QuestionRow, RatingRow, SampleRow, ScoreRow, SelectionRow,
    TableError, VerdictRow, each,
};

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Story {
    /// The question.
    pub question: QuestionRow,
    /// Its level; none before it is graded.
    pub level: Option<LevelRow>,
    /// The student's attempts, each with its verdict.
    pub attempts: Vec<(AttemptRow, Option<VerdictRow>)>,
    /// What a model said of the steps of its wrong attempts.
    pub scores: Vec<ScoreRow>,
    /// Its draw; none if it was not drawn.
    pub sample: Option<SampleRow>,
    /// The teachers' attempts, each with its verdict and what selection made of it.
    pub cots: Vec<(CotRow, Option<VerdictRow>, Option<SelectionRow>)>,
    /// What is known of these beside, in the same order.
    pub annotations: Vec<AnnotationRow>,
    /// Every single rating of them.
    pub ratings: Vec<RatingRow>,
    /// Why it, or an attempt at it, left.
    pub dropped: Vec<DroppedRow>,
}

/// Questions that are meant by a question's id, a source's id, or the id of an attempt or chain of thought; of our own
/// ids the first digits are enough. In the order of the bank.
///
/// # Errors
/// If a table cannot be read.
pub fn find(tables: &Path, id: &str) -> Result<Vec<String>, TableError> {
    let mut found = HashSet::new();
    let begins = |own: &str| id.len() >= 4 && own.starts_with(id);
    each::<QuestionRow>(tables, |row| {
        if begins(&row.question_id) || row.source_ids.iter().any(|source| source == id) {
            found.insert(row.question_id);
        }
    })?;
    if found.is_empty() {
        each::<VerdictRow>(tables, |row| {
            if begins(&row.attempt_id) {
                found.insert(row.question_id);
            }
        })?;
        each::<DroppedRow>(tables, |row| {
            if begins(&row.item) && row.item_kind == "question" {
                found.insert(row.item);
            }
        })?;
    }
    let mut ordered = Vec::new();
    each::<QuestionRow>(tables, |row| {
        if found.contains(&row.question_id) {
            ordered.push(row.question_id);
        }
    })?;
    Ok(ordered)
}

/// The stories of these questions, in the order given. Memory is bounded by what they hold.
///
/// # Errors
/// If a table cannot be read.
pub fn tell(tables: &Path, ids: &[String]) -> Result<Vec<Story>, TableError> {
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let mut stories: HashMap<String, Story> = HashMap::new();
    each::<QuestionRow>(tables, |row| {
        if wanted.contains(row.question_id.as_str()) {
            let story = Story {
                question: row.clone(),
                level: None,
                attempts: Vec::new(),
                scores: Vec::new(),
                sample: None,
                cots: Vec::new(),
                annotations: Vec::new(),
                ratings: Vec::new(),
                dropped: Vec::new(),
            };
            stories.insert(row.question_id, story);
        }
    })?;
    each::<LevelRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.level = Some(row);
        }
    })?;
    each::<AttemptRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.attempts.push((row, None));
        }
    })?;
    each::<ScoreRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.scores.push(row);
        }
    })?;
    each::<SampleRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.sample = Some(row);
        }
    })?;
    each::<CotRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.cots.push((row, None, None));
        }
    })?;
    each::<VerdictRow>(tables, |row| {
        let Some(story) = stories.get_mut(&row.question_id) else { return };
        // Student and teacher can share an attempt; each role has its verdict.
        let place = match row.role.as_str() {
            "student" => {
                story.attempts.iter_mut().find(|(attempt, _)| attempt.attempt_id == row.attempt_id).map(|(_, v)| v)
            }
            _ => story.cots.iter_mut().find(|(cot, ..)| cot.cot_id == row.attempt_id).map(|(_, verdict, _)| verdict),
        };
        if let Some(place) = place {
            *place = Some(row);
        }
    })?;
    each::<AnnotationRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.annotations.push(row);
        }
    })?;
    each::<RatingRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.question_id) {
            story.ratings.push(row);
        }
    })?;
    each::<SelectionRow>(tables, |row| {
        let Some(story) = stories.get_mut(&row.question_id) else { return };
        if let Some((.., place)) = story.cots.iter_mut().find(|(cot, ..)| cot.cot_id == row.cot_id) {
            *place = Some(row);
        }
    })?;
    each::<DroppedRow>(tables, |row| {
        if let Some(story) = stories.get_mut(&row.item) {
            story.dropped.push(row);
        }
    })?;
    Ok(ids.iter().filter_map(|id| stories.remove(id)).collect())
}
