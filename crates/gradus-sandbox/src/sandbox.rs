//! Running a program against its tests; which layers hold here; and refusing where too few do.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::function;
use crate::isolate::{self, Confinement, Filters, Layer, Memory};
use crate::language::{Languages, PYTHON};
use crate::process::{self, Ended, Job};
use crate::program::{self, Found};
use crate::python::{self, Python};
use crate::scratch::Slot;
use crate::{
    EXCERPT_BYTES, FloatTolerance, Limits, Outcome, Program, Status, StdinCase, TESTS, TestOutcome, Tests, compare,
};

/// What the sandbox may and must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Run programs without Landlock, system call filters and own users: limits and deadlines are all that is left.
    /// Only for machines that are thrown away.
    pub unsafe_no_sandbox: bool,
    /// Programs that run at once; further calls of [`Sandbox::run`] wait. At least 1.
    pub slots: usize,
    /// Stop at the first test that does not pass. Off by default: the fraction passed is a score.
    pub fail_fast: bool,
    /// The Python interpreter to use, instead of looking for one.
    pub python: Option<PathBuf>,
    /// Directories of further Python modules that programs may import, for banks whose solutions need them.
    pub packages: Vec<PathBuf>,
    /// Languages beside Python. Their tools are looked for when they are first needed.
    pub languages: Languages,
    /// Where scratch directories are made, instead of the system's temporary directory. A `tmpfs` is fastest.
    pub scratch: Option<PathBuf>,
    /// As root: user ids from here on are the programs' own, one per slot; choose ones that nobody has.
    pub first_uid: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unsafe_no_sandbox: false,
            slots: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            fail_fast: false,
            python: None,
            packages: Vec::new(),
            languages: Languages::default(),
            scratch: None,
            // Of the range for short-lived users (61184 to 65519), a part that differs from process to process:
            // limits on processes are counted by user.
            first_uid: 61184 + std::process::id() % 64 * 64,
        }
    }
}

/// Programs cannot be run safely here, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot isolate programs: {missing}")]
pub struct NoIsolation {
    /// What is missing.
    pub missing: String,
    /// What to do about it.
    pub hint: String,
}

impl NoIsolation {
    fn new(missing: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { missing: missing.into(), hint: hint.into() }
    }
}

/// A place to run programs in. Shared by reference between threads.
pub struct Sandbox {
    policy: Policy,
    layers: Vec<Layer>,
    python: Option<Python>,
    /// Why there is no Python.
    no_python: String,
    filters: Option<Arc<Filters>>,
    landlock: bool,
    own_uid: bool,
    slots: Mutex<Slots>,
    freed: Condvar,
    tasks: Mutex<Option<(Instant, u64)>>,
    pub(crate) tools: Mutex<Found>,
    /// Removed with all slots when the sandbox goes.
    base: tempfile::TempDir,
}

struct Slots {
    free: Vec<Slot>,
    in_use: usize,
    made: usize,
}

impl Sandbox {
    /// Tries out every layer, finds an interpreter that works under them, and runs a first program with it.
    ///
    /// Makes this process a "subreaper": orphans among its descendants become its children.
    ///
    /// # Errors
    /// If programs could reach the network or make system calls at will here, unless the policy says so; if no
    /// scratch directory can be made. A missing interpreter is no error here: see [`Sandbox::interpreter`].
    pub fn new(policy: Policy) -> Result<Self, NoIsolation> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("gradus-sandbox-").permissions(std::fs::Permissions::from_mode(0o711));
        let base = policy
            .scratch
            .as_deref()
            .map_or_else(|| builder.tempdir(), |scratch| builder.tempdir_in(scratch))
            .map_err(|error| {
            NoIsolation::new(
                format!("no scratch directory: {error}"),
                "set TMPDIR (or `scratch`) to a directory that can be written",
            )
        })?;
        let mut sandbox = Self {
            layers: Vec::new(),
            python: None,
            no_python: "no python3 was found".into(),
            filters: None,
            landlock: false,
            own_uid: false,
            slots: Mutex::new(Slots { free: Vec::new(), in_use: 0, made: 0 }),
            freed: Condvar::new(),
            tasks: Mutex::new(None),
            tools: Mutex::default(),
            base,
            policy: Policy { slots: policy.slots.max(1), ..policy },
        };
        let orphans = isolate::become_subreaper().map_err(|error| error.to_string());
        let filters = sandbox.probe_filters();
        let unsafe_no_sandbox = sandbox.policy.unsafe_no_sandbox;
        if let (Err(error), false) = (&filters, unsafe_no_sandbox) {
            return Err(NoIsolation::new(
                format!("system call filters (seccomp), which also keep programs off the network: {error}"),
                "run on Linux 4.14 or later (x86_64, aarch64 or riscv64) under a container profile that allows `prctl(PR_SET_SECCOMP)`; on a machine that is thrown away afterwards, `--unsafe-no-sandbox` runs programs without isolation",
            ));
        }
        let landlock = sandbox.probe_landlock();
        let own_uid = sandbox.probe_own_uid();
        sandbox.find_python();
        let mut layer = |name, state: Result<&str, &String>| {
            let (active, detail) =
                state.map_or_else(|error| (false, error.clone()), |detail| (true, detail.to_owned()));
            sandbox.layers.push(Layer { name, active, detail });
        };
        let filtered = filters.as_ref().map(String::as_str);
        layer("no_new_privs", Ok("no program gains privileges by starting another"));
        layer("seccomp", filtered);
        layer("network", filtered.map(|_| "no sockets, by the system call filter"));
        layer("landlock", landlock.as_ref().map(String::as_str));
        layer("own uid", own_uid.as_ref().map(String::as_str));
        layer("rlimits", Ok("CPU, memory, file size, descriptors, processes"));
        layer("process group", orphans.as_ref().map(|()| "killed and reaped as a whole, orphans too"));
        Ok(sandbox)
    }

    /// The layers of isolation, active or not.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The interpreter that runs `language`, and its version; or why there is none.
    pub fn interpreter(&self, language: &str) -> Result<(&Path, &str), String> {
        match language {
            PYTHON => self.python().map(|python| (python.program.as_path(), python.version.as_str())),
            _ => Err(format!("language {language} is not set up")),
        }
    }

    pub(crate) fn python(&self) -> Result<&Python, String> {
        self.python.as_ref().ok_or_else(|| format!("language python is not set up: {}", self.no_python))
    }

    /// The languages of the policy.
    pub fn languages(&self) -> &Languages {
        &self.policy.languages
    }

    pub(crate) fn is_fail_fast(&self) -> bool {
        self.policy.fail_fast
    }

    pub(crate) fn has_own_uids(&self) -> bool {
        self.own_uid
    }

    pub(crate) fn has_landlock(&self) -> bool {
        self.landlock
    }

    pub(crate) fn base(&self) -> &Path {
        self.base.path()
    }

    /// Runs `program` against `tests`, each under `limits`. Blocks; waits for a free slot first.
    ///
    /// Function tests share one run: after a limit is hit or the program has ended, the rest of them has the same fate.
    pub fn run(&self, program: &Program, tests: &Tests, limits: &Limits) -> Outcome {
        let total = match tests {
            Tests::Stdin { cases, .. } => cases.len(),
            Tests::Function { .. } => 1,
        };
        let broken = |detail: String| Outcome { tests: vec![error_outcome(detail)], total };
        if total == 0 {
            return Outcome { tests: vec![error_outcome("there are no tests".into())], total: 1 };
        }
        let language = self.languages().name(&program.language).unwrap_or(&program.language);
        if language != program.language {
            let program = Program { language: language.to_owned(), source: program.source.clone() };
            return self.run(&program, tests, limits);
        }
        if let Tests::Stdin { checker, .. } = tests
            && (program.language != PYTHON || checker.is_some())
        {
            if let Err(why) = self.prepare_languages(program, checker.as_ref()) {
                return broken(why);
            }
            return match self.in_slot(|slot| Ok(self.run_cases(slot, program, tests, limits))) {
                Ok(tests) => Outcome { tests, total },
                Err(error) => broken(format!("the program could not be started: {error}")),
            };
        }
        let python = match self.python() {
            Ok(python) if program.language == PYTHON => python,
            Ok(_) if self.languages().entry(&program.language).is_none() => {
                return broken(format!("language {} is not set up", program.language));
            }
            Ok(_) => return broken(format!("{TESTS}function tests in {} are not known", program.language)),
            Err(detail) => return broken(detail),
        };
        match tests {
            Tests::Function { language, .. } if self.languages().name(language) != Some(PYTHON) => {
                broken(format!("tests in {language} cannot call a program in {}", program.language))
            }
            Tests::Function { entry_point, test_code, .. } => {
                let mut tests = match self
                    .in_slot(|slot| self.run_function(slot, python, program, entry_point, test_code, limits))
                {
                    Ok(tests) => tests,
                    Err(error) => return broken(format!("the program could not be started: {error}")),
                };
                let total = tests.len();
                if self.policy.fail_fast {
                    stop_at_first_failure(&mut tests);
                }
                Outcome { tests, total }
            }
            Tests::Stdin { cases, tolerance, .. } => {
                let mut outcomes = Vec::new();
                let result = self.in_slot(|slot| {
                    for case in cases {
                        outcomes.push(self.run_stdin(slot, python, program, (case, *tolerance), limits)?);
                        if self.policy.fail_fast
                            && outcomes.last().is_some_and(|outcome| outcome.status != Status::Passed)
                        {
                            break;
                        }
                    }
                    Ok(())
                });
                if let Err(error) = result {
                    outcomes.push(error_outcome(format!("the program could not be started: {error}")));
                }
                Outcome { tests: outcomes, total }
            }
        }
    }

    fn run_stdin(
        &self,
        slot: &Slot,
        python: &Python,
        program: &Program,
        (case, tolerance): (&StdinCase, Option<FloatTolerance>),
        limits: &Limits,
    ) -> io::Result<TestOutcome> {
        slot.prepare(&[(MAIN, program.source.as_bytes()), (START, &python.start)])?;
        let args = python::FLAGS.iter().copied().chain([START]).map(OsString::from).collect();
        let ended = process::run(self.job(slot, &python.program, args, case.input.as_bytes(), limits))?;
        Ok(program::outcome(&ended, limits, |stdout| compare::compare(stdout, &case.output, tolerance)))
    }

    fn run_function(
        &self,
        slot: &Slot,
        python: &Python,
        program: &Program,
        entry_point: &str,
        test_code: &str,
        limits: &Limits,
    ) -> io::Result<Vec<TestOutcome>> {
        let once = |mode: &str| {
            slot.prepare(&[(MAIN, program.source.as_bytes()), (RUNNER, &python.runner)])?;
            let tests = process::anonymous_file(&function::payload(entry_point, test_code))?;
            let (report, write) = process::pipe()?;
            let mut args: Vec<_> = python::FLAGS.map(OsString::from).into();
            args.push(RUNNER.into());
            args.extend([&tests, &write].map(|descriptor| descriptor.as_raw_fd().to_string().into()));
            args.push(mode.into());
            let mut job = self.job(slot, &python.program, args, b"", limits);
            job.confinement.keep = [tests.as_raw_fd(), write.as_raw_fd()];
            job.report = Some((report, write));
            process::run(job)
        };
        let mut ended = once("apart")?;
        if function::must_be_alone(&ended) {
            ended = once("alone")?;
        }
        Ok(function::outcomes(&ended, limits, &base_outcome(&ended)))
    }

    pub(crate) fn job<'a>(
        &'a self,
        slot: &'a Slot,
        program: &'a Path,
        args: Vec<OsString>,
        stdin: &'a [u8],
        limits: &Limits,
    ) -> Job<'a> {
        let others = if slot.uid.is_some() {
            0
        } else {
            self.tasks_now() + 64 + limits.processes * (self.policy.slots as u64 - 1)
        };
        Job {
            program,
            args,
            directory: &slot.directory,
            stdin,
            packages: &self.policy.packages,
            environment: Vec::new(),
            report: None,
            confinement: Confinement {
                ruleset: slot.ruleset.clone(),
                filters: self.filters.clone(),
                uid: slot.uid,
                rlimits: isolate::rlimits(limits, Memory::AddressSpace, limits.processes + others),
                keep: [-1, -1],
            },
            wall: Duration::from_millis(limits.wall_ms),
            output_bytes: limits.output_bytes as usize,
        }
    }

    /// Tasks of this user, counted at most once a second.
    fn tasks_now(&self) -> u64 {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match *tasks {
            Some((when, count)) if when.elapsed() < Duration::from_secs(1) => count,
            _ => {
                let count = isolate::tasks_of_this_user();
                *tasks = Some((Instant::now(), count));
                count
            }
        }
    }

    /// Waits for a slot, runs `work` in it, and leaves it empty.
    pub(crate) fn in_slot<T>(&self, work: impl FnOnce(&Slot) -> io::Result<T>) -> io::Result<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.in_use >= self.policy.slots {
            slots = self.freed.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
        slots.in_use += 1;
        let free = slots.free.pop();
        let index = slots.made;
        slots.made += usize::from(free.is_none());
        drop(slots);
        // From here on the slot is given back on every way out, panics too.
        let mut lease = Lease { sandbox: self, slot: None };
        let slot = match free {
            Some(slot) => slot,
            None => self.new_slot(index)?,
        };
        let slot = lease.slot.insert(slot);
        let result = work(slot);
        // A directory that cannot be emptied is not used again.
        if crate::scratch::empty(&slot.directory).is_err() {
            lease.slot = None;
        }
        result
    }

    fn new_slot(&self, index: usize) -> io::Result<Slot> {
        let uid = self.own_uid.then(|| self.policy.first_uid + index as u32);
        let directory = Slot::directory(self.base.path(), index, uid)?;
        let ruleset = match (&self.python, self.landlock) {
            (Some(python), true) => Some(Arc::new(
                isolate::ruleset(&python.readable, &python.executable, &directory).map_err(io::Error::other)?,
            )),
            _ => None,
        };
        Ok(Slot { directory, uid, ruleset })
    }

    fn probe_filters(&mut self) -> Result<String, String> {
        if self.policy.unsafe_no_sandbox {
            return Err("switched off by `unsafe_no_sandbox`".into());
        }
        let filters = Arc::new(Filters::new()?);
        isolate::try_in_child(&Confinement { filters: Some(filters.clone()), ..Confinement::none() })?;
        self.filters = Some(filters);
        Ok("an allow-list of system calls".into())
    }

    fn probe_landlock(&mut self) -> Result<String, String> {
        if self.policy.unsafe_no_sandbox {
            return Err("switched off by `unsafe_no_sandbox`".into());
        }
        let abi = isolate::landlock_abi();
        if abi == 0 {
            return Err("this kernel has no Landlock, or it is switched off (needs Linux 5.13 and `landlock` among its security modules): programs can read what this user can read".into());
        }
        let ruleset = Arc::new(isolate::ruleset(&[], &[], self.base.path())?);
        isolate::try_in_child(&Confinement { ruleset: Some(ruleset), ..Confinement::none() })?;
        self.landlock = true;
        let mut held = String::from("files");
        if abi >= 4 {
            held += ", TCP";
        }
        if abi >= 6 {
            held += ", signals, abstract sockets";
        }
        Ok(format!("version {abi}: {held}"))
    }

    fn probe_own_uid(&mut self) -> Result<String, String> {
        if self.policy.unsafe_no_sandbox {
            return Err("switched off by `unsafe_no_sandbox`".into());
        }
        if !isolate::is_root() {
            return Err("not root: programs run as this user".into());
        }
        if !isolate::may_change_users() {
            return Err("root, but without the capabilities for it (chown, dac_override, fowner, kill, setgid, setuid): programs run as root, whom the limit on processes does not bind".into());
        }
        let (first, last) = (self.policy.first_uid, self.policy.first_uid + self.policy.slots as u32 - 1);
        isolate::try_in_child(&Confinement { uid: Some(first), ..Confinement::none() })
            .map_err(|error| format!("cannot become another user ({error}): programs run as root"))?;
        self.own_uid = true;
        Ok(format!("one per slot, {first} to {last}"))
    }

    /// The first interpreter that runs a program under all layers.
    fn find_python(&mut self) {
        let limits = Limits { wall_ms: 10_000, ..Limits::default() };
        let program = Program { language: "python".into(), source: "print(input())".into() };
        for mut python in python::candidates(self.policy.python.as_deref()) {
            python.readable.extend(self.policy.packages.iter().cloned());
            self.python = Some(python);
            let case = StdinCase { input: "ready".into(), output: "ready".into() };
            let outcome = self.run(&program, &Tests::stdin(vec![case]), &limits);
            let slots = self.slots.get_mut().unwrap_or_else(PoisonError::into_inner);
            if outcome.all_passed() {
                return;
            }
            // Slots hold the rules for one interpreter.
            slots.free.clear();
            let python = self.python.take().expect("it was just set");
            let why = outcome.tests.first().map_or("", |test| test.detail.as_str());
            self.no_python = format!("{} does not run inside the sandbox: {why}", python.program.display());
        }
    }
}

/// The name under which programs are put into their directory.
pub(crate) const MAIN: &str = "main.py";

/// What runs it. A program may overwrite these: by then they have been read.
pub(crate) const START: &str = "start.pyc";
const RUNNER: &str = "runner.pyc";

struct Lease<'a> {
    sandbox: &'a Sandbox,
    slot: Option<Slot>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut slots = self.sandbox.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.in_use -= 1;
        slots.free.extend(self.slot.take());
        drop(slots);
        self.sandbox.freed.notify_one();
    }
}

pub(crate) fn base_outcome(ended: &Ended) -> TestOutcome {
    let start = &ended.stdout[..ended.stdout.len().min(EXCERPT_BYTES)];
    let end = &ended.stderr[ended.stderr.len().saturating_sub(EXCERPT_BYTES)..];
    TestOutcome {
        status: Status::SandboxError,
        detail: String::new(),
        cpu_ms: ended.cpu_ms,
        wall_ms: ended.wall_ms,
        memory_bytes: ended.memory_bytes,
        stdout: String::from_utf8_lossy(start).into_owned(),
        stderr: String::from_utf8_lossy(end).into_owned(),
        in_process: false,
    }
}

pub(crate) fn error_outcome(detail: String) -> TestOutcome {
    TestOutcome {
        status: Status::SandboxError,
        detail,
        cpu_ms: 0,
        wall_ms: 0,
        memory_bytes: 0,
        stdout: String::new(),
        stderr: String::new(),
        in_process: false,
    }
}

fn stop_at_first_failure(tests: &mut Vec<TestOutcome>) {
    if let Some(first) = tests.iter().position(|test| test.status != Status::Passed) {
        tests.truncate(first + 1);
    }
}
