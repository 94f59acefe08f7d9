//! From YAML to a configuration: overrides by path, strings where a map would do, messages in plain words.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{BankConfig, Config, ModelConfig, PricesConfig, preset};

impl Config {
    /// Reads YAML (or JSON), then applies `key.path=value` overrides, whose values are YAML too.
    ///
    /// # Errors
    /// Names the line or the path, and suggests the key that was probably meant.
    pub fn read(yaml: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        if overrides.is_empty() && !yaml.trim().is_empty() {
            let config: Self = serde_saphyr::from_str(yaml).map_err(|error| explain(&error.to_string()))?;
            if config.preset.is_none() {
                return config.checked();
            }
        }
        let mut tree: Value = if yaml.trim().is_empty() { Value::Object(Map::new()) } else { parse_value(yaml)? };
        for item in overrides {
            let (path, value) = item.split_once('=').ok_or_else(|| ConfigError {
                message: format!("override `{item}` has no `=`"),
                hint: Some("write it as `key.path=value`, for example `probe.attempts=4`".into()),
            })?;
            set(&mut tree, path.trim(), parse_value(value)?)?;
        }
        preset::apply(&mut tree);
        let config: Self = serde_path_to_error::deserialize(&tree).map_err(|error| {
            let path = error.path().to_string();
            let mut explained = explain(&error.inner().to_string());
            let of_override = |item: &&String| {
                item.split_once('=')
                    .is_some_and(|(key, _)| path.starts_with(key.trim()) || key.trim().starts_with(&path))
            };
            if let Some(item) = overrides.iter().rev().find(of_override) {
                explained.message = format!("override `{item}`: {}", explained.message);
            } else if path != "." {
                explained.message = format!("at `{path}`: {}", explained.message);
            }
            explained
        })?;
        config.checked()
    }

    /// The JSON Schema of a configuration.
    pub fn schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }

    /// As YAML, every default spelled out: what a run directory keeps.
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self).expect("a config holds only maps, lists, strings and finite numbers")
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// What was expected, what was found, where.
    pub message: String,
    /// What to do, if that can be told.
    pub hint: Option<String>,
}

fn parse_value(yaml: &str) -> Result<Value, ConfigError> {
    serde_saphyr::from_str(yaml).map_err(|error| explain(&error.to_string()))
}

/// Puts a value at a dotted path, making maps on the way.
fn set(tree: &mut Value, path: &str, value: Value) -> Result<(), ConfigError> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    // A model given by its name alone becomes a map when one of its settings is overridden.
    if let Value::String(name) = tree {
        *tree =
            Value::Object(BTreeMap::from([("model".to_owned(), Value::String(name.clone()))]).into_iter().collect());
    }
    let map = match tree {
        Value::Object(map) => map,
        Value::Null => {
            *tree = Value::Object(Map::new());
            tree.as_object_mut().expect("made an object just now")
        }
        _ => {
            return Err(ConfigError {
                message: format!("override of `{path}`: what stands there is not a map"),
                hint: None,
            });
        }
    };
    match rest {
        None => {
            map.insert(head.to_owned(), value);
            Ok(())
        }
        Some(rest) => set(map.entry(head.to_owned()).or_insert(Value::Null), rest, value),
    }
}

/// A parser's message in plain words, with the key or value that was probably meant.
fn explain(message: &str) -> ConfigError {
    let unknown = message.split_once("unknown field `").or_else(|| message.split_once("unknown variant `"));
    let hint = unknown.and_then(|(_, rest)| {
        let (unknown, rest) = rest.split_once('`')?;
        let known = rest.lines().next()?.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (best, likeness) =
            known.map(|known| (known, strsim::jaro_winkler(unknown, known))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (likeness > 0.7).then(|| format!("did you mean `{best}`?"))
    });
    // The lines after the first show the place once more.
    let message = message.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let mut plain = message.to_owned();
    for (terse, words) in [
        ("u16", "a whole number from 0 on"),
        ("u32", "a whole number from 0 on"),
        ("u64", "a whole number from 0 on"),
        ("f64", "a number"),
    ] {
        for terse in [format!("expected {terse}"), format!("invalid {terse}")] {
            plain = plain.replace(&terse, &format!("expected {words}"));
        }
    }
    ConfigError { message: plain.replace("expected mapping start", "expected a map of settings"), hint }
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// A bank may be given as its path alone.
pub(super) fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromScalarOrMap,
{
    struct Visitor<T>(PhantomData<T>);
    impl<'de, T: FromScalarOrMap> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string, a map, or a list of them")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            Ok(vec![T::from_text(text)])
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|one| vec![one])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut many = Vec::new();
            while let Some(Item(one)) = seq.next_element()? {
                many.push(one);
            }
            Ok(many)
        }
    }

    struct Item<T>(T);
    impl<'de, T: FromScalarOrMap> Deserialize<'de> for Item<T> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor<T>(PhantomData<T>);
            impl<'de, T: FromScalarOrMap> serde::de::Visitor<'de> for Visitor<T> {
                type Value = Item<T>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a string or a map")
                }

                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Item<T>, E> {
                    Ok(Item(T::from_text(text)))
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Item<T>, A::Error> {
                    T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Item)
                }
            }
            deserializer.deserialize_any(Visitor(PhantomData))
        }
    }
    deserializer.deserialize_any(Visitor(PhantomData))
}

/// What may stand in a config as a string or as a map.
pub(super) trait FromScalarOrMap: for<'de> Deserialize<'de> {
    fn from_text(text: &str) -> Self;
}

impl FromScalarOrMap for BankConfig {
    fn from_text(text: &str) -> Self {
        Self { path: text.into(), ..Self::default() }
    }
}

impl FromScalarOrMap for PricesConfig {
    fn from_text(text: &str) -> Self {
        Self { path: text.into(), ..Self::default() }
    }
}

impl FromScalarOrMap for ModelConfig {
    fn from_text(text: &str) -> Self {
        Self::named(text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn models_and_banks_are_named_by_string_or_map_or_list() {
        let config =
            Config::read("bank: a.jsonl\nstudent: smollm2\nteacher: [gguf:x, {model: smollm2, stream: false}]", &[])
                .unwrap();
        assert_eq!(config.bank[0].path, PathBuf::from("a.jsonl"));
        assert_eq!(config.student.unwrap().model, "smollm2");
        assert_eq!(config.teacher.len(), 2);
        assert!(config.teacher[0].stream && !config.teacher[1].stream);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_right_one() {
        let error = Config::read("seed: 1\nprobe:\n  atempts: 4\n", &[]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `attempts`?"), "{error}");
        assert!(error.message.contains('3'), "{error}");
        let error = Config::read("", &["probe.atempts=4".into()]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `attempts`?"), "{error}");
    }

    #[test]
    fn overrides_reach_any_depth() {
        let set = ["student.concurrency=7".to_owned(), "grade.edges=[.1, .2, .3, .4]".to_owned()];
        let config = Config::read("student: smollm2", &set).unwrap();
        let student = config.student.unwrap();
        assert_eq!((student.model.as_str(), student.concurrency), ("smollm2", Some(7)));
        assert_eq!(config.grade.edges, [0.1, 0.2, 0.3, 0.4]);
    }

    #[test]
    fn the_frozen_copy_reads_back_as_the_same_config() {
        let config = Config::read("bank: a.jsonl\nstudent: {model: smollm2, extra: {a: {b: 1}}}\nteacher: smollm2\nsample: {by: p_c, size: 10}", &[]).unwrap();
        assert_eq!(Config::read(&config.to_yaml(), &[]).unwrap(), config);
    }
}
