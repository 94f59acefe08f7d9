//! What may come next in a reply that is to be JSON of a schema?
//!
//! Of schemas the kind that judges are asked for: an object, each of whose properties is a word out of some, a whole number
//! in a range, or a number from 0 to 1 with two decimals at most. Whatever can be said is then a row of choices, written as
//! models mostly write it: `{"a": 1, "b": "x"}`.

use std::sync::Arc;

use serde_json::Value;

use crate::tokenizer::Tokenizer;

/// Most values of an integer.
const MOST_VALUES: u64 = 1_000;

/// A reply as a row of choices, each among texts of which none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    choices: Vec<Vec<String>>,
}

impl Schema {
    /// Reads the field `response_format` of a request.
    ///
    /// # Errors
    /// What is not supported, for a person.
    pub(crate) fn read(format: &Value) -> Result<Self, String> {
        let schema = &format["json_schema"]["schema"];
        if format["type"] != "json_schema" || schema["type"] != "object" {
            return Err("`response_format` is not a `json_schema` of an object".to_owned());
        }
        let properties = schema["properties"].as_object().filter(|properties| !properties.is_empty());
        let properties = properties.ok_or("the schema of `response_format` has no `properties`")?;
        let required =
            |name: &String| schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name));
        let mut choices = Vec::new();
        for (at, (name, property)) in properties.iter().enumerate() {
            if !required(name) {
                return Err(format!("the property `{name}` is not required"));
            }
            choices.push(vec![format!("{}{}: ", if at == 0 { "{" } else { ", " }, Value::from(name.as_str()))]);
            let texts = texts(property).ok_or_else(|| {
                format!(
                    "the property `{name}` is neither a string with an `enum`, nor an integer with `minimum` and \
                     `maximum`, nor a number from 0 to 1"
                )
            })?;
            choices.push(texts);
        }
        choices.push(vec!["}".to_owned()]);
        Ok(Self { choices })
    }

    /// Whether all that can be said can be written with these tokens.
    pub(crate) fn fits(&self, tokenizer: &Tokenizer) -> bool {
        let mut known = [false; 256];
        for token in 0..tokenizer.n_tokens() as u32 {
            if let (&[byte], false) = (tokenizer.piece(token), tokenizer.is_control(token)) {
                known[usize::from(byte)] = true;
            }
        }
        self.choices.iter().flatten().flat_map(|text| text.bytes()).all(|byte| known[usize::from(byte)])
    }
}

/// What may stand as a property's value: at least one text, unless it is of another kind.
fn texts(property: &Value) -> Option<Vec<String>> {
    let mut texts: Vec<String> = match property["type"].as_str()? {
        "string" => {
            let words = property["enum"].as_array()?;
            words.iter().map(|word| word.is_string().then(|| word.to_string())).collect::<Option<_>>()?
        }
        "integer" => {
            let (least, most) = (property["minimum"].as_i64()?, property["maximum"].as_i64()?);
            let known = least <= most && most.abs_diff(least) < MOST_VALUES;
            known.then(|| (least..=most).map(|value| value.to_string()).collect())?
        }
        "number" => {
            let known = property["minimum"].as_f64() == Some(0.0) && property["maximum"].as_f64() == Some(1.0);
            let parts = ["0", "0.0", "1", "1.0"].map(str::to_owned).into_iter();
            let tenths = (1..10).map(|tenth| format!("0.{tenth}"));
            known.then(|| parts.chain(tenths).chain((1..100).map(|part| format!("0.{part:02}"))).collect())?
        }
        _ => return None,
    };
    texts.sort_unstable();
    texts.dedup();
    (!texts.is_empty()).then_some(texts)
}

/// A reply that is being written.
#[derive(Debug)]
pub(crate) struct Form {
    schema: Arc<Schema>,
    places: Vec<Place>,
}

/// A place where a reply may have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    choice: usize,
    text: usize,
    /// Bytes of the text that stand there.
    n_bytes: usize,
}

impl Form {
    pub(crate) fn new(schema: Arc<Schema>) -> Self {
        let places = schema.starts(0).collect();
        Self { schema, places }
    }

    /// The tokens that may come next.
    pub(crate) fn allowed(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        let mut first = [false; 256];
        for byte in self.places.iter().filter_map(|&place| self.schema.byte(place)) {
            first[usize::from(byte)] = true;
        }
        let may_come = |&token: &u32| {
            let piece = tokenizer.piece(token);
            piece.first().is_some_and(|&byte| first[usize::from(byte)])
                && !tokenizer.is_control(token)
                && !self.schema.after(&self.places, piece).is_empty()
        };
        (0..tokenizer.n_tokens() as u32).filter(may_come).collect()
    }

    /// Goes on behind a piece of text.
    pub(crate) fn take(&mut self, piece: &[u8]) {
        self.places = self.schema.after(&self.places, piece);
    }

    /// Whether nothing can follow.
    pub(crate) fn is_complete(&self) -> bool {
        self.places.iter().all(|&place| self.schema.byte(place).is_none())
    }
}

impl Schema {
    /// Where a choice begins; behind the last one, the end.
    fn starts(&self, choice: usize) -> impl Iterator<Item = Place> + use<> {
        let n_texts = self.choices.get(choice).map_or(1, Vec::len);
        (0..n_texts).map(move |text| Place { choice, text, n_bytes: 0 })
    }

    /// The byte that has to follow; none at the end.
    fn byte(&self, place: Place) -> Option<u8> {
        Some(self.choices.get(place.choice)?[place.text].as_bytes()[place.n_bytes])
    }

    /// Where one may have come to behind these bytes: nowhere if they cannot be.
    fn after(&self, places: &[Place], bytes: &[u8]) -> Vec<Place> {
        bytes.iter().fold(places.to_vec(), |places, &byte| {
            let mut next = Vec::new();
            for place in places.into_iter().filter(|&place| self.byte(place) == Some(byte)) {
                let place = Place { n_bytes: place.n_bytes + 1, ..place };
                if place.n_bytes == self.choices[place.choice][place.text].len() {
                    next.extend(self.starts(place.choice + 1));
                } else {
                    next.push(place);
                }
            }
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(properties: &Value, required: &[&str]) -> Result<Schema, String> {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        Schema::read(&json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } }))
    }

    /// Whether a text is a whole reply.
    fn is_reply(schema: &Schema, text: &str) -> bool {
        let mut form = Form::new(Arc::new(schema.clone()));
        form.take(text.as_bytes());
        !form.places.is_empty() && form.is_complete()
    }

    #[test]
    fn a_reply_has_every_property_in_order_and_a_value_of_its_kind() {
        let properties = json!({
            "b": { "type": "integer", "minimum": -1, "maximum": 12 },
            "a\"": { "type": "string", "enum": ["so", "so so", "n\u{f6}"] },
            "c": { "type": "number", "minimum": 0, "maximum": 1 },
        });
        let schema = read(&properties, &["c", "b", "a\""]).unwrap();
        for (b, a, c) in [("-1", "so", "0"), ("1", "so so", "0.07"), ("12", "n\u{f6}", "1.0"), ("0", "so", "0.5")] {
            let reply = format!("{{\"b\": {b}, \"a\\\"\": \"{a}\", \"c\": {c}}}");
            assert!(is_reply(&schema, &reply), "{reply}");
            let value: Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(value["a\""], a);
            assert!(!is_reply(&schema, &reply[..reply.len() - 1]) && !is_reply(&schema, &format!("{reply} ")));
        }
        for (b, a, c) in [("13", "so", "0"), ("2.", "so", "0"), ("2", "s", "0"), ("2", "so", "1.1"), ("02", "so", "1")]
        {
            assert!(!is_reply(&schema, &format!("{{\"b\": {b}, \"a\\\"\": \"{a}\", \"c\": {c}}}")), "{b} {a} {c}");
        }
        assert!(!is_reply(&schema, r#"{"a\"": "so", "b": 1, "c": 0}"#));
    }

    #[test]
    fn other_schemas_are_refused_with_what_is_wrong() {
        let number = json!({ "type": "integer", "minimum": 0, "maximum": 9 });
        for (properties, required, what) in [
            (json!({}), vec![], "has no `properties`"),
            (json!({ "a": number }), vec![], "`a` is not required"),
            (json!({ "a": { "type": "integer", "minimum": 0 } }), vec!["a"], "`a` is neither"),
            (json!({ "a": { "type": "integer", "minimum": 9, "maximum": 0 } }), vec!["a"], "`a` is neither"),
            (json!({ "a": { "type": "integer", "minimum": i64::MIN, "maximum": i64::MAX } }), vec!["a"], "`a` is"),
            (json!({ "a": { "type": "number", "minimum": 0, "maximum": 2 } }), vec!["a"], "`a` is neither"),
            (json!({ "a": number, "b": { "type": "string" } }), vec!["a", "b"], "`b` is neither"),
            (json!({ "a": { "type": "string", "enum": [] } }), vec!["a"], "`a` is neither"),
            (json!({ "a": { "type": "string", "enum": ["x", 1] } }), vec!["a"], "`a` is neither"),
        ] {
            let error = read(&properties, &required).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
        for format in [json!(null), json!({ "type": "json_object" }), json!({ "type": "json_schema" })] {
            assert!(Schema::read(&format).unwrap_err().contains("not a `json_schema` of an object"), "{format}");
        }
    }
}
