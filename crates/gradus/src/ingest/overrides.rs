//! Corrections of a bank: questions excluded, references replaced, each with a reason if one is given.

use std::collections::HashSet;
use std::path::Path;

use super::IngestError;
use super::cell::Cell;

/// One correction, as its file writes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Override {
    /// Source id or content id.
    pub(super) id: String,
    pub(super) change: Change,
    pub(super) why: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    Exclude,
    References(Vec<String>),
}

const HINT: &str = "write `exclude: [id, {id: ..., why: ...}]` and `references: {id: [\"5\"], other: {references: [\"6\"], \
                    why: ...}}`, or JSONL with `id`, `exclude: true` or `references: [...]`, and `why`";

/// Reads a file of corrections: JSONL if its name ends so, else YAML.
pub(super) fn read(base: &Path, path: &Path) -> Result<Vec<Override>, IngestError> {
    let name = path.display();
    let text = std::fs::read_to_string(base.join(path)).map_err(|error| {
        let hint = format!("relative paths start at `{}`", base.display());
        IngestError::new(format!("overrides `{name}` cannot be read: {error}"), hint)
    })?;
    let jsonl = path.extension().is_some_and(|end| end == "jsonl" || end == "ndjson");
    let overrides = if jsonl { of_lines(&text) } else { of_yaml(&text) };
    let overrides = overrides.and_then(no_twice);
    overrides.map_err(|detail| IngestError::new(format!("overrides `{name}`: {detail}"), HINT))
}

fn of_yaml(text: &str) -> Result<Vec<Override>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let tree: Cell = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    let mut overrides = Vec::new();
    for (key, value) in pairs(tree, "the file")? {
        match (key.as_str(), value) {
            (_, Cell::Null) => {}
            ("exclude", Cell::List(items)) => {
                for item in items {
                    let (id, why) = match item {
                        Cell::Text(id) | Cell::Number(id) => (id, None),
                        item => {
                            let mut fields = Fields::of(item, "an item of `exclude`", &["id", "why"])?;
                            (fields.text("id")?.ok_or("an item of `exclude` has no `id`")?, fields.text("why")?)
                        }
                    };
                    overrides.push(Override { id, change: Change::Exclude, why });
                }
            }
            ("references", value) => {
                for (id, value) in pairs(value, "`references`")? {
                    let (references, why) = match value {
                        value @ Cell::Map(_) => {
                            let place = format!("`references` of `{id}`");
                            let mut fields = Fields::of(value, &place, &["references", "why"])?;
                            (fields.take("references"), fields.text("why")?)
                        }
                        value => (value, None),
                    };
                    let change = Change::References(references_of(&id, references)?);
                    overrides.push(Override { id, change, why });
                }
            }
            ("exclude", other) => return Err(format!("`exclude` is {}, expected a list", other.type_name())),
            (key, _) => return Err(format!("unknown key `{key}`, expected `exclude` or `references`")),
        }
    }
    Ok(overrides)
}

fn of_lines(text: &str) -> Result<Vec<Override>, String> {
    let lines = text.split('\n').enumerate().filter(|(_, line)| !line.trim().is_empty());
    let overrides = lines.map(|(i, line)| of_line(line).map_err(|detail| format!("line {}: {detail}", i + 1)));
    overrides.collect()
}

fn of_line(line: &str) -> Result<Override, String> {
    let mut fields = Fields::of(Cell::json_text(line)?, "the line", &["id", "exclude", "references", "why"])?;
    let id = fields.text("id")?.ok_or("`id` is missing")?;
    let why = fields.text("why")?;
    let change = match (fields.take("exclude"), fields.take("references")) {
        (Cell::Bool(true), Cell::Null) => Change::Exclude,
        (Cell::Null | Cell::Bool(false), references) if references != Cell::Null => {
            Change::References(references_of(&id, references)?)
        }
        _ => return Err(format!("`{id}` needs `exclude: true` or `references`, and not both")),
    };
    Ok(Override { id, change, why })
}

fn references_of(id: &str, cell: Cell) -> Result<Vec<String>, String> {
    let items = match cell {
        Cell::List(items) => items,
        Cell::Null => Vec::new(),
        item => vec![item],
    };
    let texts = items.iter().map(|item| {
        let text = item.scalar().map(str::trim).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or(format!("a reference of `{id}` is {} or blank", item.type_name()))
    });
    let references = texts.collect::<Result<Vec<_>, _>>()?;
    if references.is_empty() {
        return Err(format!("`{id}` has no reference; to leave a question out, list it under `exclude`"));
    }
    Ok(references)
}

fn no_twice(overrides: Vec<Override>) -> Result<Vec<Override>, String> {
    let mut seen = HashSet::new();
    for correction in &overrides {
        if !seen.insert(&correction.id) {
            return Err(format!("`{}` stands there twice", correction.id));
        }
    }
    Ok(overrides)
}

fn pairs(cell: Cell, place: &str) -> Result<Vec<(String, Cell)>, String> {
    match cell {
        Cell::Map(pairs) => Ok(pairs),
        other => Err(format!("{place} is {}, expected an object", other.type_name())),
    }
}

/// An object whose keys are all known.
struct Fields(Vec<(String, Cell)>);

impl Fields {
    fn of(cell: Cell, place: &str, known: &[&str]) -> Result<Self, String> {
        let pairs = pairs(cell, place)?;
        match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(format!("{place} has an unknown key `{key}`, expected `{}`", known.join("`, `"))),
            None => Ok(Self(pairs)),
        }
    }

    fn take(&mut self, name: &str) -> Cell {
        let at = self.0.iter().position(|(key, _)| key == name);
        at.map_or(Cell::Null, |at| self.0.swap_remove(at).1)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            Cell::Null => Ok(None),
            Cell::Text(text) | Cell::Number(text) => Ok(Some(text)),
            other => Err(format!("`{name}` is {}, expected a text", other.type_name())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_jsonl_say_the_same() {
        let yaml = "exclude:\n- a/1\n- {id: 17, why: ambiguous}\nreferences:\n  a/2: 5\n  a/3: ['0.50', 1/2]\n  a/4: {references: x, why: typo}\n";
        let jsonl = r#"{"id": "a/1", "exclude": true}
            {"id": 17, "exclude": true, "why": "ambiguous"}

            {"id": "a/2", "references": [5]}
            {"id": "a/3", "references": ["0.50", "1/2"]}
            {"id": "a/4", "references": "x", "why": "typo"}"#;
        let overrides = of_yaml(yaml).unwrap();
        assert_eq!(overrides, of_lines(jsonl).unwrap());
        assert_eq!(overrides[3].change, Change::References(vec!["0.50".into(), "1/2".into()]));
        assert_eq!((overrides[1].id.as_str(), overrides[1].why.as_deref()), ("17", Some("ambiguous")));
    }

    #[test]
    fn mistakes_are_named() {
        for (yaml, detail) in [
            ("exclud: [a]", "`exclud`"),
            ("exclude: a", "a text, expected a list"),
            ("exclude: [{why: x}]", "no `id`"),
            ("exclude: [{id: x, reason: y}]", "`reason`"),
            ("references: {a: []}", "no reference"),
            ("references: {a: ['']}", "blank"),
            ("- a", "a list, expected an object"),
        ] {
            let error = of_yaml(yaml).unwrap_err();
            assert!(error.contains(detail), "{yaml}: {error}");
        }
        let error = of_lines("{\"id\": 1, \"exclude\": true}\n{\"id\": 2}").unwrap_err();
        assert!(error.contains("line 2: `2` needs"), "{error}");
        let error = of_yaml("exclude: [a]\nreferences: {a: 1}").and_then(no_twice).unwrap_err();
        assert!(error.contains("twice"), "{error}");
    }
}
