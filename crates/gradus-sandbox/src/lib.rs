//! What happens when code runs? Runs untrusted programs against tests, under limits.
//!
//! The only crate that starts model-written code. Calls block; callers on an async runtime use a blocking thread.
//!
//! ```no_run
//! use gradus_sandbox::{Limits, Policy, Program, Sandbox, StdinCase, Tests};
//!
//! let sandbox = Sandbox::new(Policy::default())?;
//! let program = Program { language: "python".into(), source: "print(int(input()) * 2)".into() };
//! let tests = Tests::stdin(vec![StdinCase { input: "21".into(), output: "42".into() }]);
//! assert!(sandbox.run(&program, &tests, &Limits::default()).all_passed());
//! # Ok::<(), gradus_sandbox::NoIsolation>(())
//! ```
//!
//! # Isolation
//!
//! [`Sandbox::new`] finds out what holds on this machine and [`Sandbox::layers`] says it. A program gets: no new
//! privileges; an allow-list of system calls (no sockets, no signals, no namespaces, no tracing, no change of owner or
//! mode); Landlock (it reads the interpreter's files and its scratch directory, and writes only there); resource
//! limits; a user of its own if this process is root; an empty environment; no inherited descriptor; a process group
//! that is killed as a whole and reaped. All of this works inside default containers, where namespaces are forbidden.
//! Without system call filters, which also are what keeps programs off the network, [`Sandbox::new`] refuses, unless
//! [`Policy::unsafe_no_sandbox`] is set.
//!
//! Where the system allows it, two layers come on top, and are absent without harm elsewhere:
//! - Namespaces, one set for each slot: a root with nothing in it but the interpreter's files and the scratch directory,
//!   no network interface, no shared memory of others. Without root a user namespace makes the rest possible; in it the
//!   limit on processes counts the program's own. ([`Policy::namespaces`] switches them off.)
//! - A control group of version 2 for each slot, if its controllers for memory and processes are this process's to
//!   hand on: they count a program's processes together, with 64 MiB for the interpreter and for files on top of the
//!   limit. `systemd-run --user --scope -p Delegate=yes gradus ...` gives it such a group. As the kernel wants it, this
//!   process then moves into a group of its own below. ([`Policy::cgroups`] switches them off.)
//!
//! # What it is for, and what not
//!
//! This is for code that a model wrote, which is careless and now and then cheats. The program runs on the kernel of
//! everything else: an error of the kernel in one of the allowed system calls lets it out, and it may watch caches,
//! timing and load of its neighbours. For code of people who want to get out, or on a machine whose other users do not
//! trust each other, put the *whole process* behind another kernel: gVisor (`runsc`) as the container's runtime, or a
//! microVM (Kata, Firecracker) around the container or the job. Nothing of that has to be known here; the layers above
//! hold inside, as far as that kernel has them, and `gradus doctor` says which.
//!
//! Not held back: filling the disk with many files during the time that a program has (give [`Policy::scratch`] a file
//! system of its own). With neither root nor user namespaces nor control groups, limits on processes count all that the
//! user runs, so they are loose: a bomb is stopped late, and then killed as a group. With neither Landlock nor a mount
//! namespace a program reads what its user reads; without Landlock it reads its own tests in the memory of their process.
//!
//! # Time
//!
//! The wall limit always ends a program. It says nothing about the program if the machine was busy: if the program was
//! ready to run for more than half of the time without a processor, and all its processes together ran for less than
//! half of that time (and of the CPU limit), the outcome is [`Status::SandboxError`], which leaves the verdict
//! undecided. A program that is in its own way, with many processes, is late all the same.
//!
//! # Two ways to run a Python test
//!
//! Forked: every slot keeps an interpreter that was started once, under all layers, and has imported what programs
//! import most. It forks a process per test, which becomes a child of this process with a group, limits and streams of
//! its own, just like a started one. No program and no test passes through the interpreter; programs cannot signal
//! it, look into it or speak to it. After 1,600 tests it is replaced. If it dies, the test that was running is run once
//! more, started.
//!
//! Started: an interpreter per test. This is the reference, and what happens where Landlock or system call filters are
//! missing or [`Policy::warm`] is off; [`Sandbox::layers`] says which way is taken. Both give the same verdicts. What a
//! program can see of the difference: more names in `sys.modules`, `gc.get_freeze_count()`, and less time spent. When a
//! forked program ends, its threads are waited for, its exit functions run, its streams are written out and the objects
//! that it made are taken apart, but not the standard library's.
//!
//! # Cheating
//!
//! Expected outputs of stdin tests never enter the child. Function tests run in two processes, forked from one
//! interpreter: one runs the program, the other the tests. The first holds neither the tests nor the descriptor on
//! which results are reported, and cannot signal, trace or look into the second. Arguments and results cross as plain
//! data (with linked lists and binary trees among them); comparison happens on the side of the tests, so neither
//! patched built-ins nor an `__eq__` that always agrees, nor an exit, nor printed claims make a test pass. What is no
//! plain data stays with the program and the tests hold a handle: it equals no plain value. If a test compares two such
//! handles the program's word is taken, and the outcome is marked [`TestOutcome::in_process`].
//!
//! Tests that hand live objects to the program (a function, an object of the test's own class) cannot be split: they
//! are run again beside the program, which has loaded before they arrive, and every result must come with a random
//! word. All of them are marked. A program that goes looking for that word in its own interpreter could forge results.
//!
//! Checkers run after the program, in an emptied directory; its output is a file to them.
//!
//! What remains possible: test code may use functions that the program itself defines (some of HumanEval's do), and
//! those can lie; a program may tell what is asked from the arguments alone, and answer from memory.
//!
//! # What counts as a test
//!
//! Each statement of the test code that asserts something, also inside a `check(candidate)` whose body is a plain
//! sequence; a loop of asserts is one test. A `check` that nobody calls is called once with the entry point.
//!
//! # Python
//!
//! Programs run as `python3 -S -s` in a clean environment with a fixed hash seed: the standard library and nothing
//! else. A program with a `class Solution`, which is how answers to LeetCode's questions look, finds the usual names
//! (`List`, `deque`, `math`, ...) defined; `ListNode` and `TreeNode` always are.
//!
//! # Other languages
//!
//! [`Languages`] is a table of commands: C++, Rust and JavaScript are in it, a policy may add others. The build runs
//! under the same layers as the program, once for all tests, and what it made lies where the program cannot write. What
//! does not compile fails every test; a tool that is missing or does not work is trouble of the sandbox. These programs
//! are tested by standard input and output only.

mod cgroup;
mod checker;
mod compare;
mod extract;
mod function;
mod import;
mod isolate;
mod language;
mod livecodebench;
mod namespaces;
mod process;
mod program;
mod python;
mod sandbox;
mod scratch;
mod seccomp;
mod server;
mod starvation;

pub use checker::Checker;
pub use extract::{extract_code, join_completion};
pub use import::{from_apps, from_codecontests, from_codeforces, from_evalplus, from_humaneval, from_mbpp};
pub use isolate::Layer;
pub use language::{BUILD_LIMITS, Language, Languages, MemoryLimit};
pub use livecodebench::from_livecodebench;
pub use sandbox::{NoIsolation, Policy, Sandbox};

/// Version of the runner: part of every execution's key in the ledger. Raised whenever a verdict could change.
pub const VERSION: &str = "2";

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
        /// How far numbers in the output may be off; without it they are compared as exact decimals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tolerance: Option<FloatTolerance>,
        /// Decides in place of the comparison where many outputs are right.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checker: Option<Checker>,
        /// Language that programs are asked for.
        #[serde(default = "python", skip_serializing_if = "is_python")]
        language: String,
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

impl Tests {
    /// Cases for programs in Python, compared without tolerance.
    pub fn stdin(cases: Vec<StdinCase>) -> Self {
        Self::Stdin { cases, tolerance: None, checker: None, language: python() }
    }

    /// The language that programs are asked for.
    pub fn language(&self) -> &str {
        let (Self::Stdin { language, .. } | Self::Function { language, .. }) = self;
        language
    }
}

fn python() -> String {
    "python".into()
}

fn is_python(language: &str) -> bool {
    language == "python"
}

/// One run of a program that reads standard input.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StdinCase {
    /// Text on standard input.
    pub input: String,
    /// Text expected on standard output.
    pub output: String,
}

/// How far a printed number may be from the expected one: either part allows it. A part that is absent is 0.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FloatTolerance {
    /// Allowed difference.
    #[serde(default)]
    pub absolute: f64,
    /// Allowed difference as a share of the expected number.
    #[serde(default)]
    pub relative: f64,
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
    /// Peak resident memory in bytes, as the kernel counts it: at least what this process held when it forked.
    pub memory_bytes: u64,
    /// Start of standard output, at most [`EXCERPT_BYTES`]; of a function test: of all tests together. Untrusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// End of standard error, at most [`EXCERPT_BYTES`]. Untrusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// The program's own word had a part in this result: it compared two of its own objects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_process: bool,
}

/// Bytes of a program's output that an outcome keeps.
pub const EXCERPT_BYTES: usize = 2048;

/// Trouble of a checker begins with this, if it would come again.
const CHECKER: &str = "the checker: ";

/// Trouble of tests of a kind that cannot be run begins with this.
const TESTS: &str = "the tests: ";

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

    /// Whether every test passed. An outcome without tests did not pass.
    pub fn all_passed(&self) -> bool {
        self.total > 0 && self.passed() == self.total
    }

    /// Whether another run would come to the same: there is no trouble but that of a checker or of the kind of tests.
    pub fn is_final(&self) -> bool {
        let mut broken = self.tests.iter().filter(|test| test.status == Status::SandboxError);
        broken.all(|test| [CHECKER, TESTS].iter().any(|whose| test.detail.starts_with(whose)))
    }

    /// Why nothing can be said about the program, if so.
    pub fn sandbox_error(&self) -> Option<&str> {
        self.tests.iter().find(|test| test.status == Status::SandboxError).map(|test| test.detail.as_str())
    }
}
