//! What happens when code runs? Runs untrusted programs against tests, under limits.
//!
//! The only crate that starts model-written code. Calls block; callers on an async runtime use a blocking thread.

/// Version of the runner: part of every execution's key in the ledger.
pub const VERSION: &str = "1";

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Name of the language, for example `python`.
    pub language: String,
    /// Its source text.
    pub source: String,
}

/// What a program is tested with. Read from and written to JSON with tag `type`.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Tests {
    /// Standard input and expected standard output.
    Stdin {
        /// One run of the program each.
        cases: Vec<StdinCase>,
    },
    /// Test code that calls the program's functions.
    Function {
        /// Language of the test code.
        #[serde(default = "python")]
        language: String,
        /// The function (or expression such as `Solution().f`) under test.
        #[serde(default)]
        entry_point: String,
        /// Asserts, or a definition of `check(candidate)`, with or without the call of it.
        test_code: String,
    },
}

fn python() -> String {
    "python".into()
}

/// One run of a program that reads standard input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StdinCase {
    /// Text on standard input.
    pub input: String,
    /// Text expected on standard output.
    pub output: String,
}

/// Limits of one test. All of them are counted per process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Captured bytes per output stream; more is an output limit failure.
    pub output_bytes: u64,
    /// Size of any written file in bytes.
    pub file_bytes: u64,
    /// Processes and threads alive at once.
    pub processes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 10_000,
            wall_ms: 30_000,
            memory_bytes: 1 << 30,
            output_bytes: 1 << 20,
            file_bytes: 16 << 20,
            processes: 32,
        }
    }
}

/// What became of one test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The test holds.
    Passed,
    /// A function test does not hold.
    Failed,
    /// The program ran and printed something else.
    WrongOutput,
    /// The program ended with an error, or before its tests did.
    RuntimeError,
    /// Over the CPU or wall limit.
    Time,
    /// Over the memory limit.
    Memory,
    /// Over the output limit.
    OutputLimit,
    /// The sandbox itself failed: nothing is known about the program.
    SandboxError,
}

/// Result of one test.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TestOutcome {
    /// What became of it.
    pub status: Status,
    /// Why, in one line; may hold (bounded) program output, which is untrusted.
    pub detail: String,
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
    /// Peak memory in bytes.
    pub memory_bytes: u64,
}

/// Result of a program over its tests.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outcome {
    /// One per test, in order. Tests after a fail-fast stop are absent.
    pub tests: Vec<TestOutcome>,
    /// Number of tests there are.
    pub total: usize,
}

impl Outcome {
    /// Number of tests passed.
    pub fn passed(&self) -> usize {
        self.tests.iter().filter(|test| test.status == Status::Passed).count()
    }
}
