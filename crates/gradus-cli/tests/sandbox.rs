//! The real binary runs programs only where it can isolate them, or is told not to; and writes down what held.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde_json::Value;

const ROWS: &str = r#"{"id":"a","reference":{"tests":{"type":"function","entry_point":"f","test_code":"assert f(1) == 2\nassert f(2) == 3"}},"answer":"def f(x): return x + 1","form":"bare","kind":"code"}
{"id":"b","reference":"7","answer":"7","form":"bare","kind":"math"}
"#;

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(["mock", "--port", "0", "--model", "pupil", "--model", "teacher"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, url: line.trim().to_owned() }
    }

    /// A folder with a config for the first questions of the built-in bank.
    fn folder(&self, limit: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "bank: {{path: builtin, license: MIT}}\nlimit: {limit}\nstudent: openai:{0}#pupil\n\
             teacher: openai:{0}#teacher\nprobe: {{attempts: 1}}\nsample: {{by: random, size: 8}}\n",
            self.url
        );
        std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
        folder
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary; with `filters` off, on a system where no system call filter can be installed.
fn gradus(folder: &Path, filters: bool, arguments: &[&str], input: &str) -> Output {
    // A filter holds for one thread and what it starts.
    let run = || {
        if !filters {
            let prctl = SeccompCondition::new(
                0,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Eq,
                u64::from(libc::PR_SET_SECCOMP.cast_unsigned()),
            );
            let rules = BTreeMap::from([(libc::SYS_prctl, vec![SeccompRule::new(vec![prctl.unwrap()]).unwrap()])]);
            let deny = SeccompAction::Errno(libc::EPERM.cast_unsigned());
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).unwrap();
            seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap()
}

#[test]
fn without_isolation_every_command_that_runs_programs_refuses() {
    let server = Server::start();
    let folder = server.folder(60);
    let check = |filters: bool, arguments: &[&str], input: &str, code: i32| {
        let output = gradus(folder.path(), filters, arguments, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        let refused = said.contains("system call filters") && said.contains("--unsafe-no-sandbox");
        assert_eq!(refused, code != 0, "{arguments:?}: {said}");
        output
    };
    // The first of them fills the ledger for the others.
    for command in ["run", "probe", "grade", "sample", "distil", "select", "judge"] {
        check(false, &[command, "--quiet"], "", 1);
        check(false, &[command, "--quiet", "--unsafe-no-sandbox"], "", 0);
    }
    let rows = |output: Output| -> Vec<Value> {
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // What needs no program is answered all the same.
    let refused = rows(check(false, &["verify", "--jsonl", "-"], ROWS, 3));
    assert!(refused[0]["error"].is_string() && refused[1]["verdict"] == "correct", "{refused:?}");
    for (filters, arguments) in
        [(false, &["verify", "--jsonl", "-", "--unsafe-no-sandbox"][..]), (true, &["verify", "--jsonl", "-"])]
    {
        let answered = rows(check(filters, arguments, ROWS, 0));
        assert_eq!((&answered[0]["verdict"], &answered[0]["passed"]), (&"correct".into(), &2.into()), "{answered:?}");
    }
}

#[test]
fn figures_and_manifest_tell_the_layers_that_doctor_tells() {
    let server = Server::start();
    let folder = server.folder(60);
    let json = |arguments: &[&str]| -> Value {
        let output = gradus(folder.path(), true, arguments, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    json(&["run", "--quiet", "--json"]);
    let read = |path: &str| -> Value {
        serde_json::from_slice(&std::fs::read(folder.path().join("gradus-run").join(path)).unwrap()).unwrap()
    };
    let sandbox = &read("metrics.json")["run"]["sandbox"];
    assert_eq!(&read("export/manifest.json")["sandbox"], sandbox);
    let told = json(&["doctor", "--json"]);
    let told = told["checks"].as_array().unwrap().iter().filter(|check| check["section"] == "sandbox");
    let languages = ["python", "cpp", "rust", "javascript"];
    let (languages, layers): (Vec<&Value>, Vec<&Value>) =
        told.partition(|check| languages.contains(&check["name"].as_str().unwrap()));
    let python = languages.iter().find(|check| check["name"] == "python").unwrap();
    for name in
        ["seccomp", "network", "landlock", "own uid", "mount namespace", "network namespace", "cgroup", "rlimits"]
    {
        let layer = layers.iter().find(|layer| layer["name"] == name).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(!layer["detail"].as_str().unwrap().is_empty(), "what {name} holds back, or why it is not there");
    }
    let recorded = sandbox["layers"].as_array().unwrap();
    assert_eq!(recorded.len(), layers.len());
    for (recorded, layer) in recorded.iter().zip(layers) {
        assert_eq!(recorded["name"], layer["name"]);
        assert_eq!(recorded["active"], layer["state"] == "ok", "{layer}");
    }
    assert!(recorded.iter().any(|layer| layer["name"] == "seccomp" && layer["active"] == true));
    let version = sandbox["interpreters"]["python"].as_str().unwrap();
    assert!(python["detail"].as_str().unwrap().starts_with(version), "{version}");
    assert!(!sandbox.to_string().contains('/'), "no path: {sandbox}");
    assert!(sandbox["runner"].is_string());
}

#[test]
fn a_run_without_code_questions_tells_of_no_sandbox() {
    let server = Server::start();
    let folder = server.folder(60);
    let bank = r#"{"id":"1","question":"What is 3 + 4?","answer":"7"}"#;
    std::fs::write(folder.path().join("bank.jsonl"), bank).unwrap();
    let output = gradus(folder.path(), true, &["probe", "--quiet", "--set", "bank.path=bank.jsonl"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = std::fs::read_to_string(folder.path().join("gradus-run/metrics.json")).unwrap();
    assert!(!metrics.contains("\"sandbox\""));
}
