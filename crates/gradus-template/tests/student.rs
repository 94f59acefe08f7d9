//! Folders as the hub has them and as training writes them.

use std::path::Path;

use gradus_model::chat::Chat;
use gradus_template::{Error, StudentFiles};
use serde_json::{Value, json};

/// A tokenizer of bytes with a few merges and two marks.
fn tokenizer() -> Value {
    let mut others = 256..;
    let mut vocabulary = serde_json::Map::new();
    for byte in 0..=255_u8 {
        let printable = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if printable { u32::from(byte) } else { others.next().unwrap() };
        vocabulary.insert(char::from_u32(code).unwrap().to_string(), byte.into());
    }
    for (text, id) in [("th", 256), ("the", 257), ("Ġthe", 258)] {
        vocabulary.insert(text.into(), id.into());
    }
    let mark = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": null,
        "added_tokens": [mark(259, "<|start|>"), mark(260, "<|end|>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocabulary, "merges": ["t h", "th e", "Ġ the"]},
    })
}

fn write(folder: &Path, files: &[(&str, Value)]) {
    for (name, content) in files {
        let text = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn open(files: &[(&str, Value)]) -> Result<StudentFiles, Error> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    StudentFiles::open(folder.path())
}

const TURN: &str = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}";

fn rendered(student: &StudentFiles) -> String {
    student.render(&[json!({"role": "user", "content": "the"})], false).unwrap()
}

#[test]
fn tokens_are_counted_in_full_with_marks_as_one() {
    let student = open(&[("tokenizer.json", tokenizer())]).unwrap();
    // The limit of 4 that training left in the file cuts nothing.
    assert_eq!(student.n_tokens("the the").unwrap(), 2);
    assert_eq!(student.n_tokens("<|start|>12 45 78<|end|>").unwrap(), 10);
    assert_eq!(student.n_tokens("").unwrap(), 0);
    let error = student.render(&[], true).unwrap_err();
    assert!(error.to_string().contains("no chat template"), "{error}");
}

#[test]
fn the_template_is_found_where_transformers_looks_for_it() {
    let marks = json!({"bos_token": "<|start|>", "eos_token": {"content": "<|end|>"}});
    let with = |template: Value| {
        let mut config = marks.clone();
        config["chat_template"] = template;
        ("tokenizer_config.json", config)
    };
    let tokenizer = ("tokenizer.json", tokenizer());
    let one = open(&[tokenizer.clone(), with(TURN.into())]).unwrap();
    assert_eq!(rendered(&one), "<|start|>the<|end|>");
    let named = json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": TURN}]);
    assert_eq!(rendered(&open(&[tokenizer.clone(), with(named)]).unwrap()), "<|start|>the<|end|>");
    let file = ("chat_template.jinja", json!("file:{{ eos_token }}"));
    assert_eq!(rendered(&open(&[tokenizer.clone(), with(TURN.into()), file]).unwrap()), "file:<|end|>");
    let processor = ("chat_template.json", json!({"chat_template": "json:{{ bos_token }}"}));
    let marks = ("special_tokens_map.json", marks.clone());
    assert_eq!(rendered(&open(&[tokenizer.clone(), processor, marks]).unwrap()), "json:<|start|>");
    for (bad, said) in [(json!([{"name": "tool_use", "template": "t"}]), "`default`"), (json!(1), "neither")] {
        let error = open(&[tokenizer.clone(), with(bad)]).unwrap_err().to_string();
        assert!(error.contains("tokenizer_config.json") && error.contains(said), "{error}");
    }
    let error = open(&[tokenizer, ("chat_template.jinja", json!("{% if %}"))]).unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja"), "{error}");
}

#[test]
fn ends_are_those_of_tokenizer_generation_and_model() {
    let student = open(&[
        ("tokenizer.json", tokenizer()),
        ("tokenizer_config.json", json!({"eos_token": "<|end|>"})),
        ("generation_config.json", json!({"eos_token_id": [260, 259]})),
        ("config.json", json!({"eos_token_id": 97})),
    ]);
    assert_eq!(student.unwrap().ends(), ["<|end|>", "<|start|>", "a"]);
}

#[test]
fn what_is_missing_or_broken_is_named() {
    assert!(matches!(open(&[]), Err(Error::Missing { file: "tokenizer.json", .. })));
    let error = open(&[("tokenizer.json", json!({"model": 1}))]).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    let error = open(&[("tokenizer.json", tokenizer()), ("config.json", json!("{"))]).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    assert!(matches!(StudentFiles::open(Path::new("/nowhere/at/all")), Err(Error::Io { .. })));
}
