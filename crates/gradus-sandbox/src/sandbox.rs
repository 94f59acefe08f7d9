//! Running a program against its tests; which layers hold here; and refusing where too few do.

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cgroup::{Entered, Groups};
use crate::function;
use crate::isolate::{self, Confinement, Filters, Layer, Memory};
use crate::language::{Languages, PYTHON};
use crate::namespaces::{self, Files, Found, Namespaces};
use crate::process::{self, Ended, Job};
use crate::program;
use crate::python::{self, Python};
use crate::scratch::Slot;
use crate::server::{self, Server};
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
    /// Fork Python tests from an interpreter that has already started, one per slot, where that is as safe. The verdicts
    /// are the same, at a fraction of the cost. On by default; [`Sandbox::layers`] says whether it is done.
    pub warm: bool,
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
    /// Put programs into namespaces of their own where the system allows it. On by default: it costs little.
    pub namespaces: bool,
    /// Put programs into control groups (version 2) of their own where this process may make some. On by default.
    pub cgroups: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            unsafe_no_sandbox: false,
            slots: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            fail_fast: false,
            warm: true,
            python: None,
            packages: Vec::new(),
            languages: Languages::default(),
            scratch: None,
            // Of the range for short-lived users (61184 to 65519), a part that differs from process to process:
            // limits on processes are counted by user.
            first_uid: 61184 + std::process::id() % 64 * 64,
            namespaces: true,
            cgroups: true,
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
    namespaces: Found,
    /// Tests are forked from warm interpreters.
    warm: bool,
    slots: Mutex<Slots>,
    freed: Condvar,
    tasks: Mutex<Option<(Instant, u64)>>,
    pub(crate) tools: Mutex<program::Found>,
    /// Gone after the slots, whose groups stand in it.
    groups: Result<Groups, String>,
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
        builder.prefix("gradus-sandbox-");
        let base = policy
            .scratch
            .as_deref()
            .map_or_else(|| builder.tempdir(), |scratch| builder.tempdir_in(scratch))
            .and_then(|base| {
                // Programs of other users pass through, whatever the umask is.
                std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o711))?;
                Ok(base)
            })
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
            namespaces: Found::none(""),
            warm: false,
            slots: Mutex::new(Slots { free: Vec::new(), in_use: 0, made: 0 }),
            freed: Condvar::new(),
            tasks: Mutex::new(None),
            groups: Err(String::new()),
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
        sandbox.namespaces = sandbox.probe_namespaces();
        sandbox.groups = sandbox.probe_groups();
        sandbox.find_python();
        if let (None, Some(_)) = (&sandbox.python, sandbox.namespaces.kinds) {
            sandbox.without_namespaces();
        }
        let warm = sandbox.probe_warm();
        let mut layer = |name, state| sandbox.layer(name, state);
        let filtered = filters.as_ref().map(String::as_str);
        layer("no_new_privs", Ok("no program gains privileges by starting another"));
        layer("seccomp", filtered);
        layer("network", filtered.map(|_| "no sockets, by the system call filter"));
        layer("landlock", landlock.as_ref().map(String::as_str));
        layer("own uid", own_uid.as_ref().map(String::as_str));
        sandbox.layers.extend(sandbox.namespaces.layers());
        let groups = sandbox.groups.as_ref().map(|_| ()).map_err(String::clone);
        let mut layer = |name, state| sandbox.layer(name, state);
        layer("cgroup", groups.as_ref().map(|()| "memory and processes of a program as a whole"));
        layer("rlimits", Ok("CPU, memory, file size, descriptors, processes"));
        layer("process group", orphans.as_ref().map(|()| "killed and reaped as a whole, orphans too"));
        layer("warm start", warm.as_ref().map(String::as_str));
        Ok(sandbox)
    }

    fn layer(&mut self, name: &'static str, state: Result<&str, &String>) {
        let (active, detail) = state.map_or_else(|error| (false, error.clone()), |detail| (true, detail.to_owned()));
        self.layers.push(Layer { name, active, detail });
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
        let ended = self.warm_or_plain(slot, python, |server| {
            let files = [(MAIN, program.source.as_bytes()), (START, &python.start)];
            slot.prepare(&files[..if server.is_some() { 1 } else { 2 }])?;
            let args = python::FLAGS.iter().copied().chain([START]).map(OsString::from).collect();
            let mut job = self.job(slot, &python.program, args, case.input.as_bytes(), limits)?;
            job.server = server.map(|server| (server, "stdin"));
            process::run(job)
        })?;
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
        let once = |mode: &'static str, server: Option<&mut Server>| {
            let files = [(MAIN, program.source.as_bytes()), (RUNNER, &python.runner)];
            slot.prepare(&files[..if server.is_some() { 1 } else { 2 }])?;
            let tests = process::anonymous_file(&function::payload(entry_point, test_code))?;
            let (report, write) = process::pipe()?;
            let mut args: Vec<_> = python::FLAGS.map(OsString::from).into();
            args.push(RUNNER.into());
            args.extend([&tests, &write].map(|descriptor| descriptor.as_raw_fd().to_string().into()));
            args.push(mode.into());
            let mut job = self.job(slot, &python.program, args, b"", limits)?;
            job.confinement.keep = [tests.as_raw_fd(), write.as_raw_fd()];
            job.report = Some((report, write));
            job.server = server.map(|server| (server, mode));
            process::run(job)
        };
        let mut ended = self.warm_or_plain(slot, python, |server| once("apart", server))?;
        if function::must_be_alone(&ended) {
            ended = self.warm_or_plain(slot, python, |server| once("alone", server))?;
        }
        Ok(function::outcomes(&ended, limits, &base_outcome(&ended)))
    }

    /// Makes an attempt from the slot's warm interpreter. Without one, or if it did not survive or did not do its part, the
    /// attempt that counts is one from scratch.
    fn warm_or_plain(
        &self,
        slot: &Slot,
        python: &Python,
        attempt: impl Fn(Option<&mut Server>) -> io::Result<Ended>,
    ) -> io::Result<Ended> {
        if self.warm
            && slot.failures.get() < MOST_FAILURES
            && let Ok(mut server) = slot.server.take().map_or_else(|| self.start_server(slot, python), Ok)
        {
            match attempt(Some(&mut server)) {
                Ok(ended) if server.is_alive() => {
                    slot.failures.set(0);
                    slot.server.set(Some(server).filter(|server| !server.is_worn()));
                    return Ok(ended);
                }
                _ => slot.failures.update(|failures| failures + 1),
            }
        }
        attempt(None)
    }

    fn start_server(&self, slot: &Slot, python: &Python) -> io::Result<Server> {
        slot.prepare(&[(START, &python.server)])?;
        let mut confinement = self.job(slot, &python.program, Vec::new(), b"", &Limits::default())?.confinement;
        // Those of time and memory are for the tests.
        confinement.rlimits.retain(|(resource, ..)| {
            matches!(*resource, libc::RLIMIT_NOFILE | libc::RLIMIT_CORE | libc::RLIMIT_MEMLOCK)
        });
        Server::start(&python.program, START, &slot.directory, &self.policy.packages, confinement)
    }

    pub(crate) fn job<'a>(
        &'a self,
        slot: &'a Slot,
        program: &'a Path,
        args: Vec<OsString>,
        stdin: &'a [u8],
        limits: &Limits,
    ) -> io::Result<Job<'a>> {
        let others = if slot.uid.is_some() || self.namespaces.counts_apart {
            0
        } else {
            let waiting = if self.warm { server::PROCESSES } else { 0 };
            self.tasks_now() + 64 + (limits.processes + waiting) * self.policy.slots as u64 - limits.processes
        };
        Ok(Job {
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
                cgroup: slot.cgroup.clone().map(|group| Entered::new(group, limits)).transpose()?,
                namespaces: slot.namespaces.clone(),
                own_files: true,
                rlimits: isolate::rlimits(limits, Memory::AddressSpace, limits.processes + others),
                keep: [-1, -1],
                ends_with_thread: true,
            },
            server: None,
            wall: Duration::from_millis(limits.wall_ms),
            output_bytes: limits.output_bytes as usize,
        })
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
        if slot.clear().is_err() {
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
        let namespaces = match (&self.python, self.namespaces.kinds) {
            (Some(python), Some(kinds)) => {
                let readable = python.readable.iter().chain(&python.executable).map(PathBuf::as_path).collect();
                let files = Files { readable, scratch: &directory, root: &self.base.path().join(namespaces::ROOT) };
                Some(Arc::new(Namespaces::new(kinds, uid, &files).map_err(io::Error::other)?))
            }
            _ => None,
        };
        let cgroup = self.groups.as_ref().ok().map(|groups| groups.group(index)).transpose()?.map(Arc::new);
        let (is_empty, server, failures) = (Cell::new(true), Cell::new(None), Cell::new(0));
        Ok(Slot { directory, uid, ruleset, is_empty, server, failures, namespaces, cgroup })
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
            return Err("this kernel has no Landlock, or it is switched off (needs Linux 5.13 and `landlock` among its security modules): without a mount namespace programs can read what this user can read".into());
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

    fn probe_namespaces(&self) -> Found {
        match &self.policy {
            Policy { unsafe_no_sandbox: true, .. } => Found::none("switched off by `unsafe_no_sandbox`"),
            Policy { namespaces: false, .. } => Found::none("switched off"),
            policy => Found::probe(self.own_uid.then_some(policy.first_uid), self.base.path()),
        }
    }

    fn probe_groups(&self) -> Result<Groups, String> {
        if self.policy.unsafe_no_sandbox || !self.policy.cgroups {
            return Err("switched off".into());
        }
        let groups = Groups::find()?;
        let group = Arc::new(groups.group(usize::MAX).map_err(|error| error.to_string())?);
        let entered = Entered::new(group, &Limits::default()).map_err(|error| error.to_string())?;
        isolate::try_in_child(&Confinement { cgroup: Some(entered), ..Confinement::none() })?;
        Ok(groups)
    }

    /// Gives namespaces up, if an interpreter runs without.
    fn without_namespaces(&mut self) {
        let why = format!("no interpreter runs in them: {}", self.no_python);
        let found = std::mem::replace(&mut self.namespaces, Found::none(why));
        self.find_python();
        if self.python.is_none() {
            self.namespaces = found;
        }
    }

    /// Whether tests can be forked from a warm interpreter: it must work, and programs must not get at it.
    fn probe_warm(&mut self) -> Result<String, String> {
        if !self.policy.warm {
            return Err("switched off by `warm`: every test starts an interpreter".into());
        }
        if self.python.is_none() {
            return Err("there is no Python".into());
        }
        if self.filters.is_none() || !self.landlock {
            return Err("needs system call filters and Landlock, which keep programs from the memory of the interpreter that they are forked from: every test starts an interpreter".into());
        }
        let case = StdinCase { input: "ready".into(), output: "ready".into() };
        let program = Program { language: "python".into(), source: "print(input())".into() };
        let limits = Limits { wall_ms: 10_000, ..Limits::default() };
        self.warm = true;
        let python = self.python.as_ref().expect("it was just seen");
        let works = self.in_slot(|slot| {
            let server = self.start_server(slot, python)?;
            slot.server.set(Some(server));
            let outcome = self.run_stdin(slot, python, &program, (&case, None), &limits)?;
            Ok(outcome.status == Status::Passed && slot.failures.get() == 0)
        });
        self.warm = matches!(works, Ok(true));
        works.map_err(|error| error.to_string())?;
        if self.warm {
            Ok("Python tests are forked from an interpreter that is under the same layers".into())
        } else {
            Err("forked from a warm interpreter a first program did not run: every test starts an interpreter".into())
        }
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

/// After so many servers that failed one after the other, a slot does without.
const MOST_FAILURES: u32 = 3;

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
