//! A program of any language, ready to be started in a slot: built once, then run as often as there are tests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError};

use crate::checker::Checker;
use crate::isolate::{self, Memory};
use crate::language::{self, PYTHON, Tool, Tools};
use crate::process::{self, Ended, Exit, Job};
use crate::python::{self, Python};
use crate::sandbox::{MAIN, START, base_outcome, error_outcome};
use crate::scratch::Slot;
use crate::{Limits, Program, Sandbox, Status, TestOutcome, Tests, function};

/// Tools by language: what was found, once it was looked for.
pub(crate) type Found = BTreeMap<String, Arc<OnceLock<Result<Arc<Tools>, String>>>>;

/// What is to be started.
pub(crate) enum Ready<'a> {
    Python { python: &'a Python, source: &'a str },
    Other(Other),
}

/// A program of a language of the table.
pub(crate) struct Other {
    tools: Arc<Tools>,
    /// Where it is; removed with it.
    directory: PathBuf,
    ruleset: Option<Arc<OwnedFd>>,
}

impl Drop for Other {
    fn drop(&mut self) {
        // Left over it would only be in the way of the next program, which says so.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// What one start of a program is given.
pub(crate) struct Start<'a> {
    pub(crate) arguments: &'a [&'a str],
    /// Files in its current directory.
    pub(crate) files: &'a [(&'a str, &'a [u8])],
    pub(crate) stdin: &'a [u8],
    pub(crate) limits: &'a Limits,
}

impl Sandbox {
    /// What runs programs in `name` (see [`crate::Languages::name`]), in one line; or why nothing does.
    ///
    /// # Errors
    /// Says which tool is missing, cannot be read, or does not work in the sandbox.
    pub fn language(&self, name: &str) -> Result<String, String> {
        if name == PYTHON {
            return self.interpreter(name).map(|(path, version)| format!("{version} at {}", path.display()));
        }
        let tools = self.tools(name)?;
        let tool = tools.build.as_ref().unwrap_or(&tools.run);
        let tried = if tools.language.probe.is_empty() { ", not tried" } else { "" };
        Ok(format!("{}{tried}", tool.description.trim_start()))
    }

    /// The tools of a language of the table, found and tried when first asked for.
    fn tools(&self, name: &str) -> Result<Arc<Tools>, String> {
        let Some(language) = self.languages().entry(name) else {
            return Err(format!("language {name} is not set up"));
        };
        let cell = {
            let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
            tools.entry(name.to_owned()).or_insert_with(|| Arc::new(OnceLock::new())).clone()
        };
        // A language that several ask for at once is tried once; the others wait.
        let found = cell.get_or_init(|| {
            let tools = Arc::new(language::find(language, self.has_own_uids(), self.base())?);
            if !tools.language.probe.is_empty() {
                self.try_tools(name, &tools)?;
            }
            Ok(tools)
        });
        found.clone().map_err(|why| format!("language {name} is not set up: {why}"))
    }

    /// Finds the tools that a program and its checker need, while no slot is held: to try them takes one.
    pub(crate) fn prepare_languages(&self, program: &Program, checker: Option<&Checker>) -> Result<(), String> {
        let checker = checker.map(|checker| self.checker_program(checker));
        let programs = [Some(program), checker.as_ref()].into_iter().flatten();
        let mut others = programs.map(|program| program.language.as_str()).filter(|name| *name != PYTHON);
        others.try_for_each(|name| self.tools(name).map(drop))
    }

    /// Runs the language's own program; again if something came between.
    fn try_tools(&self, name: &str, tools: &Arc<Tools>) -> Result<(), String> {
        const TRIES: usize = 3;
        let mut outcome = self.try_once(name, tools);
        for _ in 1..TRIES {
            if !outcome.as_ref().is_ok_and(|outcome| outcome.status == Status::SandboxError) {
                break;
            }
            outcome = self.try_once(name, tools);
        }
        match outcome.map_err(|error| error.to_string())? {
            TestOutcome { status: Status::Passed, .. } => Ok(()),
            outcome => Err(format!("a first program does not run in the sandbox: {}", outcome.detail)),
        }
    }

    fn try_once(&self, name: &str, tools: &Arc<Tools>) -> io::Result<TestOutcome> {
        let program = Program { language: name.to_owned(), source: tools.language.probe.clone() };
        let limits = Limits::default();
        let start = Start { arguments: &[], files: &[], stdin: b"ready\n", limits: &limits };
        self.in_slot(|slot| {
            Ok(match self.put(slot, &program, tools.clone(), "trial") {
                Ok(ready) => outcome(&self.start(slot, &Ready::Other(ready), &start)?, &limits, |stdout| {
                    if stdout.trim() == "ready" { Ok(()) } else { Err(format!("printed {stdout:?}")) }
                }),
                Err(outcome) => *outcome,
            })
        })
    }

    /// Makes `program` ready in `slot`, in the directory that is named after `place`; or says what became of it, if it
    /// cannot be built.
    pub(crate) fn ready<'a>(
        &'a self,
        slot: &Slot,
        program: &'a Program,
        place: &str,
    ) -> Result<Ready<'a>, Box<TestOutcome>> {
        if program.language == PYTHON {
            let python = self.python().map_err(|why| Box::new(error_outcome(why)))?;
            return Ok(Ready::Python { python, source: &program.source });
        }
        let tools = self.tools(&program.language).map_err(|why| Box::new(error_outcome(why)))?;
        self.put(slot, program, tools, place).map(Ready::Other)
    }

    fn put(&self, slot: &Slot, program: &Program, tools: Arc<Tools>, place: &str) -> Result<Other, Box<TestOutcome>> {
        let broken = |error: io::Error| Box::new(error_outcome(format!("the program could not be built: {error}")));
        let mut directory = slot.directory.as_os_str().to_owned();
        directory.push(format!("-{place}"));
        let mut other = Other { tools: tools.clone(), directory: directory.into(), ruleset: None };
        let source = [(tools.language.file.as_str(), program.source.as_bytes())];
        fs::DirBuilder::new().mode(0o755).create(&other.directory).map_err(broken)?;
        slot.prepare(&source).map_err(broken)?;
        if let Some(build) = &tools.build {
            let ended = self.build(slot, build, &tools).map_err(broken)?;
            if let Some(mut outcome) = not_built(&ended, build, &tools.language.build_limits) {
                outcome.detail = outcome.detail.replace(&format!("{}/", slot.directory.display()), "");
                return Err(Box::new(outcome));
            }
        }
        take(&slot.directory, &other.directory, 0).map_err(broken)?;
        let with_own = |paths: &[PathBuf]| [paths, std::slice::from_ref(&other.directory)].concat();
        let (readable, executable) = (with_own(&tools.run.readable), with_own(&tools.run.executable));
        other.ruleset = self.ruleset(&readable, &executable, slot).map_err(broken)?;
        Ok(other)
    }

    fn build(&self, slot: &Slot, build: &Tool, tools: &Tools) -> io::Result<Ended> {
        let (path, arguments) = build.command(&slot.directory);
        let arguments = arguments.into_iter().map(OsString::from).collect();
        let limits = &tools.language.build_limits;
        let ruleset = self.ruleset(&build.readable, &build.executable, slot)?;
        process::run(other_job(
            self.job(slot, &path, arguments, b"", limits)?,
            ruleset,
            Memory::Data,
            tools,
            &slot.directory,
        ))
    }

    fn ruleset(&self, readable: &[PathBuf], executable: &[PathBuf], slot: &Slot) -> io::Result<Option<Arc<OwnedFd>>> {
        if !self.has_landlock() {
            return Ok(None);
        }
        let ruleset = isolate::ruleset(readable, executable, &slot.directory).map_err(io::Error::other)?;
        Ok(Some(Arc::new(ruleset)))
    }

    /// Runs a program that is ready, to its end.
    pub(crate) fn start(&self, slot: &Slot, ready: &Ready<'_>, start: &Start<'_>) -> io::Result<Ended> {
        let given = start.arguments.iter().map(OsString::from);
        match ready {
            Ready::Python { python, source } => {
                let own = [(MAIN, source.as_bytes()), (START, python.start.as_slice())];
                slot.prepare(&[start.files, &own].concat())?;
                let arguments = python::FLAGS.iter().copied().chain([START]).map(OsString::from).chain(given).collect();
                process::run(self.job(slot, &python.program, arguments, start.stdin, start.limits)?)
            }
            Ready::Other(Other { tools, directory, ruleset }) => {
                slot.prepare(start.files)?;
                let (path, arguments) = tools.run.command(directory);
                let arguments = arguments.into_iter().map(OsString::from).chain(given).collect();
                let job = self.job(slot, &path, arguments, start.stdin, start.limits)?;
                process::run(other_job(job, ruleset.clone(), tools.language.memory.into(), tools, directory))
            }
        }
    }

    /// Runs stdin tests of a program in any language, the plain way.
    pub(crate) fn run_cases(&self, slot: &Slot, program: &Program, tests: &Tests, limits: &Limits) -> Vec<TestOutcome> {
        let Tests::Stdin { cases, tolerance, checker, .. } = tests else { unreachable!("these are no stdin tests") };
        let ready = match self.ready(slot, program, "program") {
            Ok(ready) => ready,
            // What does not compile fails every test.
            Err(outcome) => return vec![*outcome; if self.is_fail_fast() { 1 } else { cases.len() }],
        };
        // Made ready when it is first needed.
        let checker = checker.as_ref().map(|checker| self.checker_program(checker));
        let mut checking = None;
        let mut outcomes = Vec::new();
        let broken = |error: io::Error| error_outcome(format!("the program could not be started: {error}"));
        for case in cases {
            let start = Start { arguments: &[], files: &[], stdin: case.input.as_bytes(), limits };
            let outcome = self.start(slot, &ready, &start).map_or_else(broken, |ended| match &checker {
                None => outcome(&ended, limits, |stdout| crate::compare::compare(stdout, &case.output, *tolerance)),
                Some(checker) => {
                    let mut outcome = outcome(&ended, limits, |_| Ok(()));
                    if outcome.status == Status::Passed {
                        let checking = checking.get_or_insert_with(|| self.ready(slot, checker, "checker"));
                        (outcome.status, outcome.detail) =
                            self.check(slot, checking, case, &String::from_utf8_lossy(&ended.stdout));
                    }
                    outcome
                }
            });
            let passed = outcome.status == Status::Passed;
            outcomes.push(outcome);
            if self.is_fail_fast() && !passed {
                break;
            }
        }
        outcomes
    }
}

/// What a run to its end means, given what the output of one that ended well means.
pub(crate) fn outcome(ended: &Ended, limits: &Limits, compare: impl FnOnce(&str) -> Result<(), String>) -> TestOutcome {
    let mut outcome = base_outcome(ended);
    (outcome.status, outcome.detail) = match (function::end(ended, limits), ended.exit) {
        (Some(end), _) => end,
        (None, Exit::Code(0)) => match compare(&String::from_utf8_lossy(&ended.stdout)) {
            Ok(()) => (Status::Passed, String::new()),
            Err(detail) => (Status::WrongOutput, detail),
        },
        (None, exit) => {
            let (status, last) = last_words(&outcome.stderr);
            (status, if last.is_empty() { described(exit) } else { format!("{}: {last}", described(exit)) })
        }
    };
    outcome
}

fn other_job<'a>(
    mut job: Job<'a>,
    ruleset: Option<Arc<OwnedFd>>,
    memory: Memory,
    tools: &Tools,
    directory: &Path,
) -> Job<'a> {
    job.packages = &[];
    // The slot's mount namespace holds Python's files only.
    job.confinement.own_files = false;
    job.confinement.ruleset = ruleset;
    job.confinement.limit_memory_by(memory);
    let filled = |(name, value): (&String, &String)| (name.clone(), language::filled(value, directory));
    job.environment = tools.language.environment.iter().map(filled).collect();
    job
}

/// Why a program was not built, if it was not. A program that does not compile is wrong; a compiler that was not left
/// to its work says nothing.
fn not_built(ended: &Ended, build: &Tool, limits: &Limits) -> Option<TestOutcome> {
    let mut outcome = base_outcome(ended);
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let name = build.path.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    // The compiler's own parts are killed from outside too.
    let killed = format!("{name}: fatal error: Killed signal");
    let detail = match (function::end(ended, limits), ended.exit) {
        (Some((Status::SandboxError, why)), _) => return Some(error_outcome(format!("not built: {why}"))),
        (Some((_, why)), _) => why,
        (None, Exit::Code(0)) => return None,
        (None, _) if stderr.lines().any(|line| line.starts_with(&killed)) => {
            return Some(error_outcome(
                "not built: a part of the compiler was killed, perhaps for lack of memory".into(),
            ));
        }
        (None, exit) => {
            let said = |line: &&str| line.contains("error");
            let all = || stderr.lines().map(str::trim).filter(|line| !line.is_empty());
            all().find(said).or_else(|| all().next_back()).map_or_else(|| described(exit), short)
        }
    };
    (outcome.status, outcome.detail) = (Status::RuntimeError, format!("does not compile: {detail}"));
    Some(outcome)
}

pub(crate) fn described(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("ended with code {code}"),
        Exit::Signal(signal) => format!("ended by signal {signal}"),
    }
}

/// What the end of standard error says of the end of a program: that memory was short, or its last line.
fn last_words(stderr: &str) -> (Status, String) {
    // In the order: C++, Rust, V8, Java, Go and others.
    const SHORT: [&str; 5] = [
        "std::bad_alloc",
        "memory allocation of ",
        "JavaScript heap out of memory",
        "OutOfMemoryError",
        "out of memory",
    ];
    let last = |wanted: &dyn Fn(&str) -> bool| stderr.lines().rev().map(str::trim).find(|line| wanted(line));
    let line = last(&|line| !line.is_empty()).unwrap_or_default();
    if line.starts_with("MemoryError") {
        return (Status::Memory, short(line));
    }
    if let Some(line) = last(&|line| SHORT.iter().any(|words| line.contains(words))) {
        return (Status::Memory, short(line));
    }
    // Node ends with its version.
    let error = last(&|line| line.contains("Error")).filter(|_| line.starts_with("Node.js v"));
    (Status::RuntimeError, short(error.unwrap_or(line)))
}

pub(crate) fn short(line: &str) -> String {
    line.chars().take(300).collect()
}

/// Moves what a build made (plain files and directories of them) to a directory of this process's own user.
fn take(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    const DEEPEST: usize = 8;
    // SAFETY: takes no argument, cannot fail.
    let own = unsafe { libc::geteuid() };
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_file() {
            fs::rename(entry.path(), &place)?;
            lchown(&place, Some(own), None)?;
            // Executable whatever the linker could do about it: changes of mode are not among the allowed calls.
            fs::set_permissions(&place, fs::Permissions::from_mode(0o555))?;
        } else if kind.is_dir() && depth < DEEPEST {
            fs::create_dir(&place)?;
            take(&entry.path(), &place, depth + 1)?;
        }
    }
    Ok(())
}
