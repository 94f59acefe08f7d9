//! The real binary writes and reads configs, and looks at the machine.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::path::Path;
use std::process::Command;

use common::{GRADUS, Mock, gradus, without_reader};
use gradus::tables::{AttemptRow, CotRow, TableReader};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn init_writes_a_config_that_check_accepts_and_does_not_overwrite() {
    let folder = tempfile::tempdir().unwrap();
    let output = gradus(folder.path(), &["init"]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(text(&output.stderr).contains("next: gradus doctor --config gradus.yaml"));
    let checked = gradus(folder.path(), &["config", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    std::fs::write(folder.path().join("gradus.yaml"), "seed: 7\n").unwrap();
    let refused = gradus(folder.path(), &["init"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("hint: name another file, or pass --force"));
    assert_eq!(std::fs::read_to_string(folder.path().join("gradus.yaml")).unwrap(), "seed: 7\n");
    assert!(gradus(folder.path(), &["init", "--force"]).status.success());
    assert!(std::fs::read_to_string(folder.path().join("gradus.yaml")).unwrap().starts_with("# yaml-language-server:"));
}

#[test]
fn check_resolves_overrides_and_reads_its_own_output() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "bank: b.jsonl\nstudent: smollm2\n").unwrap();
    let output = gradus(folder.path(), &["config", "check", "a.yaml", "--set", "probe.attempts=4"]);
    let resolved = text(&output.stdout);
    assert!(resolved.contains("attempts: 4"), "{resolved}");
    std::fs::write(folder.path().join("b.yaml"), &resolved).unwrap();
    assert_eq!(text(&gradus(folder.path(), &["config", "check", "b.yaml"]).stdout), resolved);
}

#[test]
fn check_names_the_file_and_the_key_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), "probe:\n  atempts: 4\n").unwrap();
    let output = gradus(folder.path(), &["config", "check", "a.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.starts_with("error: a.yaml: ") && said.contains("hint: did you mean `attempts`?"), "{said}");
    let missing = gradus(folder.path(), &["config", "check", "none.yaml"]);
    assert!(text(&missing.stderr).contains("hint: `gradus init` writes one"));
}

#[test]
fn the_schema_is_json_and_knows_every_part() {
    let output = gradus(Path::new("."), &["config", "schema"]);
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["bank", "student", "teacher", "probe", "driver"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn doctor_tells_layers_and_tools() {
    let folder = tempfile::tempdir().unwrap();
    let output = gradus(folder.path(), &["doctor", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["cores", "disk", "python3", "pip", "smollm2"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert!(checks.iter().any(|check| check["section"] == "sandbox"));
    let plain = text(&gradus(folder.path(), &["doctor"]).stdout);
    assert!(plain.starts_with("system\n  ok    cores: "), "{plain}");
    assert!(plain.contains("\nsandbox\n"));
}

#[test]
fn doctor_looks_at_every_role_of_a_config_and_shows_no_key() {
    let server = Mock::start(|mock| {
        mock.args(["--model", "pupil", "--max-model-len", "4096", "--key-env", "DOCTOR_TEST_KEY"])
            .env("DOCTOR_TEST_KEY", "open-sesame")
    });
    let pupil = server.model("pupil");
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "student: {{model: '{pupil}', api_key_env: DOCTOR_TEST_KEY}}\n\
         teacher:\n\
         - {{model: '{pupil}', api_key_env: DOCTOR_TEST_KEY}}\n\
         - {{model: '{pupil}', api_key_env: NO_SUCH_VARIABLE_HERE}}\n\
         - nonsense\n\
         judge: openai:http://127.0.0.1:9/v1#x\n"
    );
    std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
    let output = Command::new(GRADUS)
        .args(["doctor", "--json", "--config", "gradus.yaml"])
        .env("DOCTOR_TEST_KEY", "open-sesame")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there are 3 problems"), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(!said.contains("open-sesame"));
    let report: Value = serde_json::from_str(&said).unwrap();
    let check = |name: &str, state: &str, words: &[&str]| {
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(check["state"], state, "{check}");
        let detail = check["detail"].as_str().unwrap();
        assert!(words.iter().all(|word| detail.contains(word)), "{check}");
    };
    check("student", "ok", &["key from DOCTOR_TEST_KEY", "gradus-mock", "serves `pupil`", "4096"]);
    check("teacher[0]", "ok", &["the same as `student`"]);
    check("teacher[1]", "problem", &["`NO_SUCH_VARIABLE_HERE` is not set"]);
    check("teacher[2]", "problem", &["`nonsense` names no model"]);
    check("judge", "problem", &["127.0.0.1:9"]);
}

#[test]
fn every_command_has_a_help_that_begins_with_what_it_does() {
    for command in [["init"], ["verify"], ["ledger"], ["doctor"], ["mock"], ["config"]] {
        let output = gradus(Path::new("."), &[&command[..], &["--help"]].concat());
        let help = text(&output.stdout);
        let first = help.lines().next().unwrap();
        assert!(output.status.success() && first.starts_with(char::is_uppercase), "{first}");
        assert!(!first.ends_with('.'), "{first}");
    }
}

#[test]
fn two_roles_of_one_model_keep_their_own_prices() {
    let server = Mock::start(|mock| mock.args(["--model", "both", "--right-rate", "1"]));
    let model = server.model("both");
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "bank: builtin\nlimit: 3\nsample: {{size: 3, shortage: spill_nearest}}\nprobe: {{attempts: 1}}\n\
         student: {{model: '{model}', price: {{input: 1, output: 1}}}}\n\
         teacher: {{model: '{model}', system: Think well., price: {{input: 100, output: 100}}}}\n"
    );
    std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
    let output = gradus(folder.path(), &["distil", "--run-dir", "run", "--quiet"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let tables = folder.path().join("run/tables");
    let dollars = |prompt: Option<i64>, completion: Option<i64>, price: f64| {
        (prompt.unwrap() + completion.unwrap()) as f64 * price / 1e6
    };
    let attempts: Vec<AttemptRow> = TableReader::open(&tables).unwrap().map(Result::unwrap).collect();
    let cots: Vec<CotRow> = TableReader::open(&tables).unwrap().map(Result::unwrap).collect();
    assert!(attempts.len() == 3 && !cots.is_empty());
    for row in attempts {
        assert_eq!(row.cost_usd, Some(dollars(row.prompt_tokens, row.completion_tokens, 1.0)));
    }
    for row in cots {
        assert_eq!(row.cost_usd, Some(dollars(row.prompt_tokens, row.completion_tokens, 100.0)));
    }
}

#[test]
fn a_reader_that_is_gone_is_no_failure_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("bank.jsonl"), "{\"id\": \"q\", \"question\": \"1 + 1?\", \"answer\": \"2\"}\n")
        .unwrap();
    let answer = "{\"question_id\": \"q\", \"model\": \"m\", \"response\": \"The answer is 2.\"}\n";
    std::fs::write(folder.path().join("said.jsonl"), answer).unwrap();
    std::fs::write(folder.path().join("gradus.yaml"), "bank: bank.jsonl\nstudent: replay:said.jsonl#m\n").unwrap();
    let output = without_reader(Command::new(GRADUS).args(["probe", "--quiet"]).current_dir(folder.path()));
    assert!(output.status.success(), "{}", text(&output.stderr));
}
