//! Named sets of settings, which stand below what the config itself says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A named set of settings; whatever the config says itself goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// The plain reading of arXiv 2504.11919: one attempt, correct is easy, `prm` scores the wrong ones.
    PaperA,
    /// arXiv 2505.10937: several chains of thought per question, rated by a judge, kept as they fit the student.
    PaperB,
    /// Eight attempts, levels by pass rate.
    Robust,
}

impl Preset {
    /// Its settings, as YAML.
    pub fn yaml(self) -> &'static str {
        match self {
            Self::PaperA => include_str!("../presets/paper-a.yaml"),
            Self::PaperB => include_str!("../presets/paper-b.yaml"),
            Self::Robust => include_str!("../presets/robust.yaml"),
        }
    }
}

/// Puts the settings of the preset that the tree names below its own. A name that is none is left for the reader.
pub(super) fn apply(tree: &mut Value) {
    let Some(name) = tree.get("preset") else { return };
    let Ok(preset) = serde_json::from_value::<Preset>(name.clone()) else { return };
    let settings = serde_saphyr::from_str(preset.yaml()).expect("the presets of the program are YAML");
    lay_below(tree, settings);
}

fn lay_below(tree: &mut Value, settings: Value) {
    match (tree, settings) {
        (Value::Object(tree), Value::Object(settings)) => {
            for (key, value) in settings {
                match tree.get_mut(&key) {
                    Some(own) => lay_below(own, value),
                    None => drop(tree.insert(key, value)),
                }
            }
        }
        (tree @ Value::Null, settings) => *tree = settings,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Aggregate, Config, Grader};

    #[test]
    fn a_preset_stands_below_the_config_and_its_overrides() {
        let config = Config::read("preset: robust\nprobe: {attempts: 3}", &[]).unwrap();
        assert_eq!((config.probe.attempts, config.grade.grader), (3, Grader::PassRate));
        let config = Config::read("preset: paper-a\ngrade:\n", &["scoring.aggregate=min".into()]).unwrap();
        assert_eq!((config.grade.grader, config.scoring.aggregate), (Grader::Prm, Aggregate::Min));
        let config = Config::read("student: smollm2", &["preset=robust".into()]).unwrap();
        assert_eq!(config.probe.attempts, 8);
        assert_eq!(Config::read(&config.to_yaml(), &[]).unwrap(), config);
    }

    #[test]
    fn presets_say_only_what_a_config_knows() {
        for preset in [Preset::PaperA, Preset::PaperB, Preset::Robust] {
            Config::read(preset.yaml(), &["judge=smollm2".into(), "select.ability=5".into()]).unwrap();
        }
        let error = Config::read("preset: robst", &[]).unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `robust`?"), "{error}");
        let error = Config::read("preset: robust\nprobe: {atempts: 4}\n", &[]).unwrap_err();
        assert!(error.message.contains('2'), "a misspelt key is told with its line: {error}");
    }
}
