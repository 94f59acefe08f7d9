//! What a model says of an attempt in its own words: the mark of every step, or one rating. Read strictly.
//!
//! A reply that does not say everything exactly once says nothing: it is asked for again, and never guessed at.

use std::fmt;

use gradus_model::StepScore;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::verdict::Outcome;

/// The marks of `n_steps` steps in a reply: right is 1, wrong is 0, unclear is undecided.
///
/// The last JSON object of the reply counts; it has each number from 1 to `n_steps` exactly once, and nothing else.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn read_marks(reply: &str, n_steps: usize) -> Result<Vec<StepScore>, String> {
    let Pairs(pairs) = last_object(reply)?;
    let mut marks = vec![None; n_steps];
    for (key, mark) in pairs {
        // `01` and `+1` are no numbers of steps, whatever a parser makes of them.
        let plain = !key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit());
        let at = key.parse::<usize>().ok().filter(|at| plain && (1..=n_steps).contains(at));
        let Some(at) = at else { return Err(format!("`{key}` is no step from 1 to {n_steps}")) };
        let score = match mark.as_str() {
            Some("right") => StepScore::Known(1.0),
            Some("wrong") => StepScore::Known(0.0),
            Some("unclear") => StepScore::Undecided,
            _ => return Err(format!("step {at} is marked {mark}")),
        };
        if marks[at - 1].replace(score).is_some() {
            return Err(format!("step {at} is marked twice"));
        }
    }
    let missing = marks.iter().position(Option::is_none);
    let complete: Option<Vec<_>> = marks.into_iter().collect();
    complete.ok_or_else(|| format!("step {} is not marked", missing.unwrap_or_default() + 1))
}

/// The rating in a reply, in 0..=1: the last JSON object counts, and has `rating` alone.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn read_rating(reply: &str) -> Result<f64, String> {
    let Pairs(pairs) = last_object(reply)?;
    match pairs.as_slice() {
        [(key, rating)] if key == "rating" => rating
            .as_f64()
            .filter(|rating| (0.0..=1.0).contains(rating))
            .ok_or_else(|| format!("the rating is {rating}, and not a number from 0 to 1")),
        _ => Err("the object has not `rating` alone".to_owned()),
    }
}

/// The verdict in a reply: the last JSON object counts, and has `verdict` alone.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn read_verdict(reply: &str) -> Result<Outcome, String> {
    match one_word(reply, "verdict")?.as_str() {
        "correct" => Ok(Outcome::Correct),
        "incorrect" => Ok(Outcome::Incorrect),
        "undecided" => Ok(Outcome::Undecided),
        other => Err(format!("the verdict is `{other}`")),
    }
}

/// Whether the process is right, by a reply whose last JSON object has `process` alone: none if that is unclear.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn read_process(reply: &str) -> Result<Option<bool>, String> {
    match one_word(reply, "process")?.as_str() {
        "sound" => Ok(Some(true)),
        "flawed" => Ok(Some(false)),
        "unclear" => Ok(None),
        other => Err(format!("the process is `{other}`")),
    }
}

/// The ratings in a reply, whole numbers from 0 to 9: the last JSON object counts, and has each of these names exactly
/// once and nothing else.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn read_scores(reply: &str, names: &[&str]) -> Result<Vec<f64>, String> {
    let Pairs(pairs) = last_object(reply)?;
    if let Some((key, _)) = pairs.iter().find(|(key, _)| !names.contains(&key.as_str())) {
        return Err(format!("`{key}` was not asked for"));
    }
    let score = |name: &&str| match pairs.iter().filter(|(key, _)| key == name).collect::<Vec<_>>().as_slice() {
        [(_, score)] => score
            .as_u64()
            .filter(|score| *score <= 9)
            .map(|score| score as f64)
            .ok_or_else(|| format!("`{name}` is {score}, and not a whole number from 0 to 9")),
        [] => Err(format!("`{name}` is missing")),
        _ => Err(format!("`{name}` stands twice")),
    };
    names.iter().map(score).collect()
}

/// The schema of a reply that [`read_verdict`] reads.
pub fn verdict_schema() -> Value {
    word_schema("verdict", &["correct", "incorrect", "undecided"])
}

/// The schema of a reply that [`read_process`] reads.
pub fn process_schema() -> Value {
    word_schema("process", &["sound", "flawed", "unclear"])
}

/// The schema of a reply that [`read_scores`] reads.
pub fn scores_schema(names: &[&str]) -> Value {
    let score = json!({ "type": "integer", "minimum": 0, "maximum": 9 });
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), score.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

fn word_schema(name: &str, words: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": { name: { "type": "string", "enum": words } },
        "required": [name],
        "additionalProperties": false,
    })
}

/// The word under the only key of the last object.
fn one_word(reply: &str, name: &str) -> Result<String, String> {
    let Pairs(pairs) = last_object(reply)?;
    match pairs.as_slice() {
        [(key, Value::String(word))] if key == name => Ok(word.clone()),
        _ => Err(format!("the object has not `{name}` alone, with a word")),
    }
}

/// The field of a request that asks for a reply of this schema.
pub fn response_format(name: &str, schema: &Value) -> Value {
    json!({ "type": "json_schema", "json_schema": { "name": name, "strict": true, "schema": schema } })
}

/// The schema of a reply that [`read_marks`] reads.
pub fn marks_schema(n_steps: usize) -> Value {
    let steps: Vec<String> = (1..=n_steps).map(|step| step.to_string()).collect();
    let mark = json!({ "type": "string", "enum": ["right", "wrong", "unclear"] });
    let properties: serde_json::Map<String, Value> = steps.iter().map(|step| (step.clone(), mark.clone())).collect();
    json!({ "type": "object", "properties": properties, "required": steps, "additionalProperties": false })
}

/// The schema of a reply that [`read_rating`] reads.
pub fn rating_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "rating": { "type": "number", "minimum": 0, "maximum": 1 } },
        "required": ["rating"],
        "additionalProperties": false,
    })
}

/// The entries of an object in their order, a key that stands twice among them.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The last object of a reply. None of ours holds another, so it begins at the last opening brace.
fn last_object(reply: &str) -> Result<Pairs, String> {
    let (start, end) = reply.rfind('{').zip(reply.rfind('}')).ok_or("there is no JSON object in the reply")?;
    if end < start {
        return Err("the last JSON object of the reply has no end".to_owned());
    }
    serde_json::from_str(&reply[start..=end]).map_err(|error| format!("the last JSON object does not read: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_step_is_marked_exactly_once_or_nothing_is_said() {
        use StepScore::{Known, Undecided};
        let read = |reply: &str| read_marks(reply, 3);
        let good = Ok(vec![Known(1.0), Known(0.0), Undecided]);
        let marks = r#"{"1": "right", "2": "wrong", "3": "unclear"}"#;
        assert_eq!(read(marks), good);
        assert_eq!(read(&format!("Step 2 says {{x}}, but 2 > 3.\n```json\n{marks}\n```\n")), good);
        assert_eq!(read(r#"{"3":"unclear","1":"right","2":"wrong"}"#), good);
        for bad in [
            "",
            "all right",
            r#"{"1": "right", "2": "wrong"}"#,
            r#"{"1": "right", "2": "wrong", "2": "right", "3": "right"}"#,
            r#"{"1": "right", "2": "wrong", "2": "wrong", "3": "right"}"#,
            r#"{"1": "right", "2": "wrong", "3": "right", "4": "right"}"#,
            r#"{"0": "right", "1": "right", "2": "wrong", "3": "right"}"#,
            r#"{"01": "right", "2": "wrong", "3": "right"}"#,
            r#"{"+1": "right", "2": "wrong", "3": "right"}"#,
            r#"{"1": "Right", "2": "wrong", "3": "right"}"#,
            r#"{"1": 1, "2": 0, "3": 1}"#,
            r#"{"1": "right", "2": "wrong", "3": "right""#,
            r#"{"1": "right", "2": "wrong", "3": "right"} {"#,
            r#"["right", "wrong", "right"]"#,
            r#"{"marks": {"1": "right", "2": "wrong", "3": "right"}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rating_is_a_number_from_0_to_1() {
        for (reply, rating) in [(r#"so {"rating": 0.35}"#, 0.35), (r#"{"rating":1}"#, 1.0), (r#"{"rating": 0}."#, 0.0)]
        {
            assert_eq!(read_rating(reply), Ok(rating), "{reply}");
        }
        for bad in [
            r#"{"rating": 1.01}"#,
            r#"{"rating": -0.1}"#,
            r#"{"rating": "0.5"}"#,
            r#"{"rating": null}"#,
            r#"{"rating": 0.5, "rating": 0.6}"#,
            r#"{"rating": 0.5, "why": "x"}"#,
            r#"{"score": 0.5}"#,
            "0.5",
        ] {
            assert!(read_rating(bad).is_err(), "{bad}");
        }
    }

    /// A judge that repeats what it was asked, or takes an example for an answer, has said nothing.
    #[test]
    fn the_words_that_ask_for_a_judgement_are_none_themselves() {
        let all = ["rv", "rv_fit", "cd"];
        assert!(read_scores(include_str!("prompts/rv.txt"), &all[..1]).is_err());
        assert!(read_scores(include_str!("prompts/rv_fit.txt"), &all[1..2]).is_err());
        assert!(read_scores(include_str!("prompts/cd.txt"), &all[2..]).is_err());
        assert!(read_scores(include_str!("prompts/joint.txt"), &all).is_err());
        assert!(read_rating(include_str!("prompts/rating.txt")).is_err());
        assert!(read_verdict(include_str!("prompts/answer.txt")).is_err());
        assert!(read_process(include_str!("prompts/process.txt")).is_err());
        assert!((1..5).all(|n_steps| read_marks(include_str!("prompts/steps.txt"), n_steps).is_err()));
    }

    #[test]
    fn words_and_scores_are_read_strictly() {
        assert_eq!(read_verdict(r#"Both say 4. {"verdict": "correct"}"#), Ok(Outcome::Correct));
        assert_eq!(read_verdict(r#"{"verdict":"undecided"}"#), Ok(Outcome::Undecided));
        assert_eq!(read_process(r#"{"process": "flawed"}"#), Ok(Some(false)));
        assert_eq!(read_process(r#"{"process": "unclear"}"#), Ok(None));
        for bad in [
            "correct",
            r#"{"verdict": "Correct"}"#,
            r#"{"verdict": true}"#,
            r#"{"verdict": "correct", "why": "x"}"#,
            r#"{"verdict": "correct", "verdict": "incorrect"}"#,
            r#"{"process": "wrong"}"#,
        ] {
            assert!(read_verdict(bad).is_err() && read_process(bad).is_err(), "{bad}");
        }
        let names = ["rv", "cd"];
        assert_eq!(read_scores(r#"so {"cd": 0, "rv": 9}"#, &names), Ok(vec![9.0, 0.0]));
        for bad in [
            "9 and 0",
            r#"{"rv": 9}"#,
            r#"{"rv": 10, "cd": 0}"#,
            r#"{"rv": -1, "cd": 0}"#,
            r#"{"rv": 4.5, "cd": 0}"#,
            r#"{"rv": "4", "cd": 0}"#,
            r#"{"rv": null, "cd": 0}"#,
            r#"{"rv": 4, "rv": 4, "cd": 0}"#,
            r#"{"rv": 4, "cd": 0, "rv_fit": 1}"#,
            r#"{"rv": 4, "cd": 0"#,
        ] {
            assert!(read_scores(bad, &names).is_err(), "{bad}");
        }
    }

    fn replies() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "\\PC{0,8}",
            proptest::sample::select(vec![
                "{",
                "}",
                "\"",
                ":",
                ",",
                "\"1\"",
                "\"2\"",
                "\"right\"",
                "\"wrong\"",
                "1",
                "\"rating\"",
                "0.5",
                "\\",
                "[",
                "\n",
                "```json\n",
                "{\"1\": \"right\"",
                "null",
            ])
            .prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_reply_is_read_or_refused(reply in replies(), n_steps in 1usize..4) {
            if let Ok(marks) = read_marks(&reply, n_steps) {
                prop_assert_eq!(marks.len(), n_steps);
            }
            if let Ok(rating) = read_rating(&reply) {
                prop_assert!((0.0..=1.0).contains(&rating));
            }
        }

        #[test]
        fn marks_come_back_whatever_stands_before_them(
            before in "\\PC{0,40}",
            marks in proptest::collection::vec(0usize..3, 1..30),
            change in 0usize..30,
        ) {
            let entry = |(at, mark): (usize, &usize)| format!("\"{}\": \"{}\"", at + 1, ["wrong", "right", "unclear"][*mark]);
            let mut entries: Vec<String> = marks.iter().enumerate().map(entry).collect();
            let write = |entries: &[String]| format!("{before}\n{{{}}}", entries.join(", "));
            let want: Vec<StepScore> = marks
                .iter()
                .map(|mark| [StepScore::Known(0.0), StepScore::Known(1.0), StepScore::Undecided][*mark])
                .collect();
            prop_assert_eq!(read_marks(&write(&entries), marks.len()), Ok(want));
            // One entry left out, or said twice: nothing is said.
            let at = change % entries.len();
            let entry = entries.remove(at);
            prop_assert!(read_marks(&write(&entries), marks.len()).is_err());
            entries.extend([entry.clone(), entry]);
            prop_assert!(read_marks(&write(&entries), marks.len()).is_err());
        }
    }
}
