//! Checkers: programs that decide about an output where many are right.

use crate::process::Exit;
use crate::program::{Ready, Start, described, short};
use crate::scratch::Slot;
use crate::{CHECKER, Limits, Program, Sandbox, Status, StdinCase, TestOutcome, function};

/// A program that decides whether an output is right. Part of the tests: written by whoever wrote them.
///
/// It runs in the sandbox once the program under test is gone, under the default limits and with the names of three
/// files as arguments: the input, the expected output (which may be empty) and the actual output. To it the actual
/// output is data; it stands in a file of its own, with U+FFFD for what is no UTF-8, and nothing of it is run.
///
/// It says what it thinks by the first word that it prints, in any case:
///
/// | exit code | first word printed | the output is |
/// |---|---|---|
/// | 0 | nothing, `ok`, `yes`, `true`, `correct`, `accepted`, or a number from 1 on | right |
/// | 0, 1 or 2 | `wrong`, `wa`, `no`, `false`, `incorrect`, `rejected`, or a number below 1 | wrong |
/// | 1 or 2 | nothing, nor anything on standard error | wrong |
///
/// Anything else (an exception, a signal, a limit, another word) is trouble of the checker: the test is undecided.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checker {
    /// Name of its language.
    #[serde(default = "crate::python")]
    pub language: String,
    /// Its source text.
    pub source: String,
}

const INPUT: &str = "input.txt";
const EXPECTED: &str = "expected.txt";
const ACTUAL: &str = "actual.txt";

impl Sandbox {
    pub(crate) fn checker_program(&self, checker: &Checker) -> Program {
        let language = self.languages().name(&checker.language).unwrap_or(&checker.language);
        Program { language: language.to_owned(), source: checker.source.clone() }
    }

    /// What `checker` thinks of an output.
    pub(crate) fn check(
        &self,
        slot: &Slot,
        checker: &Result<Ready<'_>, Box<TestOutcome>>,
        case: &StdinCase,
        actual: &str,
    ) -> (Status, String) {
        let trouble = |why: &str| (Status::SandboxError, format!("{CHECKER}{why}"));
        let broken = |why: &str| (Status::SandboxError, format!("no word of the checker: {why}"));
        let checker = match checker {
            Ok(checker) => checker,
            Err(outcome) if outcome.status == Status::SandboxError => return broken(&outcome.detail),
            Err(outcome) => return trouble(&outcome.detail),
        };
        let files = [(INPUT, case.input.as_bytes()), (EXPECTED, case.output.as_bytes()), (ACTUAL, actual.as_bytes())];
        let limits = Limits::default();
        let start = Start { arguments: &[INPUT, EXPECTED, ACTUAL], files: &files, stdin: b"", limits: &limits };
        let ended = match self.start(slot, checker, &start) {
            Ok(ended) => ended,
            Err(error) => return broken(&error.to_string()),
        };
        match function::end(&ended, &limits) {
            Some((Status::SandboxError, why)) => return broken(&why),
            Some((_, why)) => return trouble(&why),
            None => {}
        }
        let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        match decision(ended.exit, &stdout, &stderr) {
            Some(true) => (Status::Passed, String::new()),
            Some(false) => {
                let said = stdout.lines().chain(stderr.lines()).map(str::trim).find(|line| !line.is_empty());
                (Status::WrongOutput, format!("by the checker: {}", short(said.unwrap_or("wrong"))))
            }
            None => {
                let last = |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(short);
                let said = last(&stderr).or_else(|| last(&stdout)).unwrap_or_default();
                trouble(format!("{}: {said}", described(ended.exit)).trim_end_matches(": "))
            }
        }
    }
}

/// Whether the output is right, if the checker says so in one of the ways that it may.
fn decision(exit: Exit, stdout: &str, stderr: &str) -> Option<bool> {
    const RIGHT: [&str; 5] = ["ok", "yes", "true", "correct", "accepted"];
    const WRONG: [&str; 6] = ["wrong", "wa", "no", "false", "incorrect", "rejected"];
    let Exit::Code(code @ 0..=2) = exit else { return None };
    let word = stdout.split_whitespace().next().unwrap_or_default().to_lowercase();
    let word = word.trim_end_matches(['.', ',', ':', '!', ';']);
    let says = match word {
        "" => None,
        word if RIGHT.contains(&word) => Some(true),
        word if WRONG.contains(&word) => Some(false),
        word => Some(word.parse::<f64>().ok().filter(|score| score.is_finite())? >= 1.0),
    };
    match (code, says) {
        (0, None | Some(true)) => Some(true),
        (_, Some(false)) => Some(false),
        (_, None) if stderr.trim().is_empty() => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_decides_by_its_exit_and_its_first_word() {
        for (code, stdout, stderr, decided) in [
            (0, "", "", Some(true)),
            (0, "OK\n", "", Some(true)),
            (0, "ok: 3 numbers", "", Some(true)),
            (0, "1", "", Some(true)),
            (0, "100\n", "", Some(true)),
            (0, "", "a warning", Some(true)),
            (0, "0", "", Some(false)),
            (0, "0.5\n", "", Some(false)),
            (0, "Wrong answer", "", Some(false)),
            (1, "wrong", "details", Some(false)),
            (1, "", "", Some(false)),
            (2, "", "", Some(false)),
            // An exception ends Python with 1 too.
            (1, "", "Traceback (most recent call last):", None),
            (1, "ok", "", None),
            (2, "1", "", None),
            (0, "hello", "", None),
            (0, "nan", "", None),
            (3, "", "", None),
            (3, "wrong", "", None),
        ] {
            assert_eq!(decision(Exit::Code(code), stdout, stderr), decided, "{code} {stdout:?} {stderr:?}");
        }
        assert_eq!(decision(Exit::Signal(11), "ok", ""), None);
    }
}
