//! Training data and exports as a student's own chat template renders them.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::{Path, PathBuf};

use common::{Mock, gradus};
use gradus::config::Lint;
use gradus::lint::{Flaw, Linter, Row};
use gradus_model::chat::{Chat, ChatError};
use gradus_template::Template;
use serde_json::{Value, json};

/// Turns between marks; `content` and `asking` vary.
fn template(content: &str, asking: &str) -> String {
    format!(
        "{{% for m in messages %}}<|start|>{{{{ m.role }}}}\n{{% set content = m.content %}}{content}{{{{ content }}}}<|end|>\n\
         {{% endfor %}}{{% if add_generation_prompt %}}<|start|>assistant\n{asking}{{% endif %}}"
    )
}

/// As some families do: what stands before `</think>` is no part of an answer.
const DELETES: &str =
    "{% if m.role == 'assistant' %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}";

/// A folder with a tokenizer of words and this template.
fn student(folder: &Path, template: &str, end: &str) -> PathBuf {
    let files = folder.join("student");
    std::fs::create_dir_all(&files).unwrap();
    let mark = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [mark(1, "<|start|>"), mark(2, "<|end|>")],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
    });
    std::fs::write(files.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    std::fs::write(files.join("tokenizer_config.json"), json!({ "eos_token": end }).to_string()).unwrap();
    std::fs::write(files.join("chat_template.jinja"), template).unwrap();
    files
}

const ROWS: &str = r#"{"messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\n4"}]}
{"prompt": [{"role": "user", "content": "2+2?"}], "completion": [{"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\n4"}]}

{"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}
{"prompt": "<|start|>user\n2+2?<|end|>\n", "completion": "4<|end|>"}
"#;

/// Exit code and what was found.
fn lint(folder: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let output = gradus(folder, &[&["lint", "--json", "--student-files", "student", "rows.jsonl"], more].concat());
    let found = serde_json::from_slice(&output.stdout);
    (output.status.code(), found.unwrap_or_else(|_| panic!("{output:?}")))
}

#[track_caller]
fn check(template: &str, end: &str, expected: &[(&str, u64)]) {
    let folder = tempfile::tempdir().unwrap();
    student(folder.path(), template, end);
    std::fs::write(folder.path().join("rows.jsonl"), ROWS).unwrap();
    let (code, found) = lint(folder.path(), &[]);
    let mut flaws: Value = Flaw::ALL.iter().map(|flaw| (flaw.name().to_owned(), json!(0))).collect();
    for (flaw, n) in expected {
        flaws[flaw] = json!(n);
    }
    assert_eq!(found["flaws"], flaws, "{found}");
    assert_eq!((code, &found["rows"]), (Some(i32::from(!expected.is_empty())), &json!(4)));
}

#[test]
fn each_family_of_templates_gets_its_verdict() {
    check(&template("", ""), "<|end|>", &[]);
    check(&template("", "<think>\n"), "<|end|>", &[("prompt_not_prefix", 1)]);
    check(&template(DELETES, "<think>\n"), "<|end|>", &[("thinking_lost", 2), ("prompt_not_prefix", 3)]);
    check(&template("", "<think>\n\n</think>\n\n"), "<|end|>", &[("prompt_not_prefix", 3)]);
    check(&template("", ""), "</s>", &[("no_eos", 4)]);
    check("{{ raise_exception('no') }}", "<|end|>", &[("template_error", 3)]);
}

#[test]
fn long_and_unreadable_rows_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    student(folder.path(), &template("", ""), "<|end|>");
    std::fs::write(folder.path().join("rows.jsonl"), ROWS.to_owned() + "{\n{\"text\": \"x\"}\n").unwrap();
    let (code, found) = lint(folder.path(), &["--max-length", "10"]);
    assert_eq!((code, &found["unreadable"], &found["flaws"]["too_long"]), (Some(1), &json!(2), &json!(2)));
    assert_eq!(found["tokens"]["max"], json!(13));
    let output = gradus(folder.path(), &["lint", "--student-files", "student", "rows.jsonl"]);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(err.contains("rows.jsonl:6: ") && err.contains("rows.jsonl:7: it has neither `messages`"), "{err}");
    assert!(out.contains("| thinking_lost | 0 | 0.0 |") && out.contains("a limit of 1024 tokens holds"), "{out}");
    for arguments in
        [["lint", "--student-files", "nowhere", "rows.jsonl"], ["lint", "--student-files", "student", "no.jsonl"]]
    {
        let output = gradus(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[test]
fn an_export_is_checked_against_the_files_that_the_config_names() {
    let server = Mock::start(|mock| mock.args(["--model", "m", "--tokens", "30", "--latency-ms", "1"]));
    let folder = tempfile::tempdir().unwrap();
    student(folder.path(), &template(DELETES, "<think>\n"), "<|end|>");
    let model = server.model("m");
    let config = format!(
        "bank: {{path: builtin, license: MIT}}\nlimit: 12\nstudent: {model}\nteacher: {model}\n\
         sample: {{by: random, size: 4}}\nexport: {{lint: {{student_files: student}}}}\n"
    );
    std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
    let output = gradus(folder.path(), &["run", "-q"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let closing = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(closing.contains("note      thinking_lost"), "{closing}");
    let checks = std::fs::read(folder.path().join("gradus-run/export/CHECKS.json")).unwrap();
    let checks: Value = serde_json::from_slice(&checks).unwrap();
    assert_eq!((&checks["student"], &checks["template"][0]), (&json!("student"), &json!("thinking_lost")));
    let output = gradus(folder.path(), &["export", "--set", "export.lint.student_files=nowhere"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("`export.lint.student_files`") && told.contains("hint: "), "{told}");
}

/// A template alone: characters are tokens.
struct Bare(Template);

impl Chat for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn render(&self, messages: &[Value], add_generation_prompt: bool) -> Result<String, ChatError> {
        self.0.render(messages, add_generation_prompt).map_err(|error| ChatError(format!("{error:#}")))
    }

    fn n_tokens(&self, text: &str) -> Result<usize, ChatError> {
        Ok(text.chars().count())
    }

    fn ends(&self) -> &[String] {
        &[]
    }
}

/// What was found by eye and with Jinja2 about the templates that TRL ships: whether the thinking part in `content`
/// survives, whether one in `reasoning_content` does, and whether the prompt is a prefix.
const KNOWN: [(&str, [bool; 3]); 12] = [
    ("qwen2_5", [true, false, true]),
    ("llama3", [true, false, true]),
    ("phi3", [true, false, true]),
    ("gemma", [true, false, true]),
    ("qwen3_instruct_2507", [true, false, true]),
    ("qwen3", [true, true, true]),
    ("glm4moe", [true, true, true]),
    ("deepseek_r1_distill", [false, false, false]),
    ("deepseekv3", [false, false, false]),
    ("deepseek_r1_distill_training", [true, false, true]),
    ("gptoss", [true, false, true]),
    ("qwen3_5_nothink", [true, true, false]),
];

#[test]
fn real_templates_do_what_is_known_of_them() {
    let Some(folder) = std::env::var_os("GRADUS_TEMPLATES").map(PathBuf::from) else {
        eprintln!("skipped: GRADUS_TEMPLATES names no folder of chat templates (`*.jinja`)");
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok()?.strip_suffix(".jinja").map(str::to_owned))
        .collect();
    names.sort();
    println!(
        "| template | thinking in `content` | in `reasoning_content` | answer | prompt is a prefix |\n|---|---|---|---|---|"
    );
    let mut n_known = 0;
    for name in names {
        let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let bare = Bare(Template::new(&source, "<s>", "</s>").unwrap_or_else(|error| panic!("{name}: {error:#}")));
        let config = Lint::default();
        let flaws = |message: Value| {
            let row = json!({"prompt": [{"role": "user", "content": "Four or five?"}], "completion": [message]});
            let checked = Linter::new(&bare, &config).check_row(&Row::read(&row).unwrap());
            if let Some(error) = checked.refused {
                eprintln!("{name}: {error}");
            }
            checked.flaws
        };
        let inside = flaws(json!({"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nFour."}));
        let apart = flaws(json!({"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}));
        if inside.contains(&Flaw::TemplateError) || apart.contains(&Flaw::TemplateError) {
            println!("| {name} | refuses | | | |");
            continue;
        }
        let found = [
            !inside.contains(&Flaw::ThinkingLost),
            !apart.contains(&Flaw::ThinkingLost),
            !inside.contains(&Flaw::PromptNotPrefix),
        ];
        let answer = if inside.contains(&Flaw::AnswerLost) { "**no**" } else { "yes" };
        let [inside, apart, prefix] = found.map(|yes| if yes { "yes" } else { "**no**" });
        println!("| {name} | {inside} | {apart} | {answer} | {prefix} |");
        if let Some((_, known)) = KNOWN.iter().find(|(known, _)| *known == name) {
            assert_eq!((found, answer), (*known, "yes"), "{name}");
            n_known += 1;
        }
    }
    assert!(n_known > 0, "none of the known templates is in {}", folder.display());
}
