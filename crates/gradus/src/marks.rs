//! What a model says of an attempt in its own words: the mark of every step, or one rating. Read strictly.
//!
//! A reply that does not say everything exactly once says nothing: it is asked for again, and never guessed at.

use std::fmt;

use gradus_model::StepScore;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Value, json};

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
