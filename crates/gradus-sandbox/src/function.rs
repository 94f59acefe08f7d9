//! Function tests: what goes to the runner (`runner.py`) and what its report means.

use crate::process::{Ended, Exit};
use crate::{Limits, Status, TestOutcome};

/// The runner's source.
pub(crate) const RUNNER: &str = include_str!("runner.py");

/// What the test side reads. The entry point is one expression on one line.
pub(crate) fn payload(entry_point: &str, test_code: &str) -> Vec<u8> {
    format!("{}\n{test_code}", entry_point.replace(['\n', '\r'], " ").trim()).into_bytes()
}

/// Whether the tests turned out to need live objects, and must be run again beside the program.
pub(crate) fn must_be_alone(ended: &Ended) -> bool {
    ended.report.ends_with(b"\nalone\ndone\n")
}

/// One outcome per test: those reported, then for the rest why there is no report.
pub(crate) fn outcomes(ended: &Ended, limits: &Limits, base: &TestOutcome) -> Vec<TestOutcome> {
    let report = String::from_utf8_lossy(&ended.report);
    let outcome = |status, detail: &str| TestOutcome { status, detail: detail.to_owned(), ..base.clone() };
    let (mut plan, mut done) = (None, false);
    let mut tests = Vec::new();
    // The last line may be cut off.
    for line in report.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "plan" => plan = rest.parse::<usize>().ok(),
            "broken" => return vec![outcome(Status::SandboxError, rest)],
            "done" => done = true,
            "test" => {
                let (in_process, rest) = rest.strip_prefix("live ").map_or((false, rest), |rest| (true, rest));
                let (word, detail) = rest.split_once(' ').unwrap_or((rest, ""));
                let status = match word {
                    "passed" => Status::Passed,
                    "failed" => Status::Failed,
                    "time" => Status::Time,
                    "memory" => Status::Memory,
                    "killed" => match killed(ended, limits) {
                        Some(status) => status,
                        None => Status::SandboxError,
                    },
                    _ => Status::RuntimeError,
                };
                tests.push(TestOutcome { in_process, ..outcome(status, detail) });
            }
            _ => {}
        }
    }
    let Some(plan) = plan else {
        let (status, detail) = end(ended, limits).unwrap_or((Status::SandboxError, "the tests did not start".into()));
        return vec![outcome(status, &detail)];
    };
    if tests.len() < plan {
        let (status, detail) = end(ended, limits).unwrap_or_else(|| {
            (Status::SandboxError, if done { "the report is incomplete" } else { "the tests stopped" }.into())
        });
        tests.push(outcome(status, &detail));
        while tests.len() < plan {
            tests.push(outcome(status, "not reached"));
        }
    }
    if plan == 0 {
        return vec![outcome(Status::SandboxError, "the test code holds no test")];
    }
    tests
}

/// What stopped a run, if not the program's own end.
pub(crate) fn end(ended: &Ended, limits: &Limits) -> Option<(Status, String)> {
    const SIGXCPU: i32 = 24;
    const SIGKILL: i32 = 9;
    if ended.overflow {
        return Some((Status::OutputLimit, format!("more than {} bytes of output", limits.output_bytes)));
    }
    if ended.out_of_memory {
        return Some((
            Status::Memory,
            format!("all its processes together: more than {} bytes of memory", limits.memory_bytes),
        ));
    }
    if ended.overdue {
        // It was ready to run for more than half of its time, but others had the processor: all its own processes
        // together ran for less than half, and for less than they may. That says nothing about the program.
        return Some(if ended.starved > 0.5 && ended.cpu_ms < limits.cpu_ms.min(limits.wall_ms / 2) {
            (
                Status::SandboxError,
                format!("not done after {} ms of wall time, but the machine was busy", limits.wall_ms),
            )
        } else {
            (Status::Time, format!("not done after {} ms of wall time", limits.wall_ms))
        });
    }
    match ended.exit {
        Exit::Signal(SIGXCPU) => Some((Status::Time, format!("not done after {} ms of CPU time", limits.cpu_ms))),
        Exit::Signal(SIGKILL) => Some(killed(ended, limits).map_or_else(
            || (Status::SandboxError, "killed from outside, perhaps for lack of memory".into()),
            |status| (status, format!("not done after {} ms of CPU time", limits.cpu_ms)),
        )),
        _ => None,
    }
}

/// What SIGKILL meant: the hard CPU limit if that much was used, else nobody knows.
fn killed(ended: &Ended, limits: &Limits) -> Option<Status> {
    (ended.cpu_ms >= limits.cpu_ms).then_some(Status::Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_others_on_the_processor_make_a_late_program_undecided() {
        let limits = Limits { wall_ms: 1_000, ..Limits::default() };
        let status = |starved, cpu_ms| {
            let ended = Ended {
                exit: Exit::Signal(9),
                stdout: Vec::new(),
                stderr: Vec::new(),
                report: Vec::new(),
                overflow: false,
                overdue: true,
                out_of_memory: false,
                starved,
                cpu_ms,
                wall_ms: 1_000,
                memory_bytes: 0,
            };
            end(&ended, &limits).map(|(status, _)| status)
        };
        assert_eq!(status(0.9, 100), Some(Status::SandboxError));
        // Asleep, at work, and in the way of itself.
        assert_eq!(status(0.0, 10), Some(Status::Time));
        assert_eq!(status(0.1, 900), Some(Status::Time));
        assert_eq!(status(0.9, 990), Some(Status::Time));
    }
}
