//! Chains of thought that are cut off are gone on with, by the real binary against the mock server.

#[expect(dead_code, reason = "shared; not every file needs all of it")]
mod common;

use common::{Mock, gradus};
use gradus::tables::{CotRow, TableReader};

#[test]
fn what_is_cut_off_is_gone_on_with_once_and_becomes_one_chain_of_thought() {
    for style in ["tags", "reasoning"] {
        let server =
            Mock::start(|command| command.args(["--right-rate", "0.6", "--tokens", "90", "--thinking-in", style]));
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "bank: {{path: builtin, license: MIT}}\nlimit: 12\nstudent: {}\nteacher: {}\nsample: {{by: random, size: 12}}\n\
             distil: {{tries: 2, on_truncated: continue, max_rounds: 6, sampling: {{max_tokens: 32}}}}\n",
            server.model("pupil"),
            server.model("teacher")
        );
        std::fs::write(folder.path().join("gradus.yaml"), config).unwrap();
        let run = || {
            let output = gradus(folder.path(), &["run", "--json", "--unsafe-no-sandbox"]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run();
        let cots: Vec<CotRow> =
            TableReader::open(&folder.path().join("gradus-run/tables")).unwrap().map(Result::unwrap).collect();
        assert!(
            cots.len() >= 12 && cots.iter().all(|cot| cot.n_parts >= 2 && cot.finish == "stop"),
            "{style}: {cots:?}"
        );
        for cot in &cots {
            let (thinking, answer) = (cot.reasoning.as_deref().unwrap(), cot.answer.as_deref().unwrap());
            assert!(thinking.starts_with("Step 1: ") && !answer.trim().is_empty(), "{style}: {thinking} | {answer}");
            assert!(!thinking.contains("think>") && !answer.contains("think>"), "{style}: {thinking} | {answer}");
            assert!(cot.completion_tokens.unwrap() > 32, "{style}: the tokens are those of all parts");
        }
        assert!(cots.iter().any(|cot| cot.verdict == "correct"), "{style}");
        // All parts are in the ledger.
        let n_asked = server.stats()["requests"].clone();
        run();
        assert_eq!(server.stats()["requests"], n_asked, "{style}");
    }
}
