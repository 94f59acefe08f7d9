//! The real binary hands an exported script to a Python: a stand-in that only talks, and a real one where
//! `GRADUS_PYTHON` names one that has TRL.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{GRADUS, Mock, gradus};
use serde_json::Value;

/// A run directory with a script that nothing reads, and a program that plays Python.
fn stand_in(folder: &Path, program: &str) {
    let scripts = folder.join("gradus-run/export/trl");
    fs::create_dir_all(&scripts).unwrap();
    fs::write(scripts.join("train_sft.py"), "").unwrap();
    let python = folder.join("python");
    fs::write(&python, format!("#!/bin/sh\n{program}\n")).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
}

fn train(folder: &Path, more: &[&str]) -> Output {
    gradus(folder, &[&["train", "--python", "./python"], more].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_script_is_told_what_to_do_and_its_steps_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(
        folder.path(),
        r#"echo "$@" > arguments
echo '{"event":"begin","steps":2,"device":"cpu"}'
echo 'not one of ours'
echo '{"event":"step","step":1,"steps":2,"loss":2.5,"epoch":0.5}'
echo '{"event":"step","step":2,"steps":2,"loss":null,"reward":0.25}'
echo '{"event":"step","step":2,"steps":2,"loss":0.5}'
echo '{"event":"warning","message":"rows are long"}'
echo '{"event":"end","out":"there","seconds":1.5}'"#,
    );
    let output = train(folder.path(), &["--model", "a/b", "--out", "there", "--", "--lora", "--max-steps", "2"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.starts_with("trained   there: 2 steps in 2 s, loss 2.5000 to 0.5000\n"), "{stdout}");
    assert!(stderr.contains("not one of ours") && stderr.contains("warning: rows are long"), "{stderr}");
    assert!(stderr.contains("  train 2/2 steps in "), "{stderr}");
    assert_eq!(
        fs::read_to_string(folder.path().join("arguments")).unwrap().trim(),
        "gradus-run/export/trl/train_sft.py --out there --model a/b --lora --max-steps 2"
    );
    let output = train(folder.path(), &["--json", "--quiet"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["steps"], &summary["last_loss"]), (&2.into(), &0.5.into()));
    assert_eq!(text(&output.stderr), "");
    let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
    assert_eq!(arguments.trim(), "gradus-run/export/trl/train_sft.py --out gradus-run/student-sft");
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let none = train(folder.path(), &["--script", "grpo"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("hint: `gradus export grpo --run-dir gradus-run`"), "{}", text(&none.stderr));

    stand_in(folder.path(), r#"echo '{"event":"missing","module":"trl","install":"pip install trl"}'; exit 1"#);
    let missing = train(folder.path(), &[]);
    assert_eq!(missing.status.code(), Some(2));
    let said = text(&missing.stderr);
    assert!(said.contains("./python has no module `trl`\nhint: ./python -m pip install trl"), "{said}");

    let nowhere = gradus(folder.path(), &["train", "--python", "./no-python"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(text(&nowhere.stderr).contains("hint: `--python` names"), "{}", text(&nowhere.stderr));
}

#[test]
fn a_script_that_fails_fails_the_command() {
    let folder = tempfile::tempdir().unwrap();
    stand_in(folder.path(), "echo 'no memory' >&2; exit 3");
    let failed = train(folder.path(), &[]);
    assert_eq!((failed.status.code(), text(&failed.stdout)), (Some(1), String::new()));
    assert!(text(&failed.stderr).starts_with("no memory\nerror: "), "{}", text(&failed.stderr));
    // An end that is told and not kept.
    stand_in(folder.path(), r#"echo '{"event":"end","out":"there","seconds":1}'; exit 3"#);
    assert_eq!(train(folder.path(), &[]).status.code(), Some(1));
}

#[test]
fn a_signal_ends_the_script_and_what_it_started() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        stand_in(
            folder.path(),
            r#"echo $$ > script
echo '{"event":"begin","steps":9,"device":"cpu"}'
sh -c 'echo $$ > child; echo ready; exec sleep 600'
exit"#,
        );
        let mut command = Command::new(GRADUS);
        command.args(["train", "--python", "./python"]).current_dir(folder.path());
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        assert_eq!(stderr.next().unwrap().unwrap(), "ready");
        let sent = Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(process.wait().unwrap().code(), Some(130));
        for file in ["script", "child"] {
            let pid = fs::read_to_string(folder.path().join(file)).unwrap();
            let stat = format!("/proc/{}/stat", pid.trim());
            let is_gone = || fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
            let deadline = Instant::now() + Duration::from_secs(20);
            while !is_gone() {
                assert!(Instant::now() < deadline, "{file} goes on after SIG{signal}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// From a bank to a trained model, with a real trainer: `pip install trl peft torch`.
#[test]
fn a_small_student_is_probed_trained_evaluated_and_compared() {
    let Some(python) = std::env::var("GRADUS_PYTHON").ok().filter(|python| !python.is_empty()) else {
        eprintln!("not run: GRADUS_PYTHON names no Python with trl");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/tiny_student.py");
    assert!(Command::new(&python).args([script, "tiny"]).current_dir(folder).status().unwrap().success());
    let server = Mock::start(|mock| mock.args(["--model", "pupil", "--model", "teacher", "--right-rate", "1"]));
    let config = format!(
        "bank: {{path: builtin, license: MIT}}\nlimit: 12\nstudent: '{}'\nteacher: '{}'\n\
         export: {{formats: [trl], training: omnithought, keep_order: true}}\n",
        server.model("pupil"),
        server.model("teacher"),
    );
    fs::write(folder.join("gradus.yaml"), config).unwrap();
    let ran = gradus(folder, &["run", "--quiet"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let train = |more: &[&str]| {
        let arguments = [&["train", "--python", &python, "--model", "tiny", "--json", "--out"], more].concat();
        let output = gradus(folder, &arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let full = train(&["full", "--", "--max-steps", "3", "--learning-rate", "0.01"]);
    assert_eq!(full["steps"], 3);
    assert!(full["last_loss"].as_f64().unwrap() < full["first_loss"].as_f64().unwrap(), "{full}");
    train(&["merged", "--", "--max-steps", "1", "--lora"]);
    for out in ["full", "merged"] {
        for file in ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"] {
            assert!(folder.join(out).join(file).is_file(), "{out}/{file} is missing");
        }
    }
    // An adapter is merged: nothing of it is left, and the weights are as large as the student's.
    assert!(!folder.join("merged/adapter_config.json").exists());
    let size = |out: &str| fs::metadata(folder.join(out).join("model.safetensors")).unwrap().len();
    assert!(size("merged").abs_diff(size("tiny")) < 4_096, "{} {}", size("merged"), size("tiny"));
    // What training wrote is loaded, evaluated and compared with what it began with.
    for (model, out) in [("dir:tiny", "before"), ("dir:full", "after")] {
        let arguments =
            ["evaluate", "--model", model, "--bank", "builtin", "--limit", "4", "--k", "1", "--max-tokens", "24"];
        let evaluated = gradus(folder, &[&arguments[..], &["--quiet", "--unsafe-no-sandbox", "--out", out]].concat());
        assert!(evaluated.status.success(), "{}", text(&evaluated.stderr));
    }
    let compared = gradus(folder, &["compare", "before", "after", "--json"]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
    let compared: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!(compared["n_questions"], 4, "{compared}");
    assert_eq!((&compared["a"], &compared["b"]), (&"tiny".into(), &"full".into()), "{compared}");
}
