//! Which Python interpreter runs programs.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{function, isolate};

/// An interpreter and what it must be allowed to read.
#[derive(Debug, Clone)]
pub(crate) struct Python {
    /// The program itself, not a version manager's shim of it.
    pub(crate) program: PathBuf,
    /// `3.11.2`.
    pub(crate) version: String,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) executable: Vec<PathBuf>,
    /// What starts a program that reads standard input, compiled.
    pub(crate) start: Vec<u8>,
    /// The runner of function tests, compiled: as source it would cost half of a run.
    pub(crate) runner: Vec<u8>,
    /// What forks warm processes for both.
    pub(crate) server: Vec<u8>,
}

/// What programs of every language read: the system's libraries.
pub(crate) const SYSTEM: [&str; 8] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/nix/store",
];

/// Flags for programs: no site-packages, no user's directory. (`-I` would also ignore the hash seed that we fix.)
pub(crate) const FLAGS: [&str; 2] = ["-S", "-s"];

/// The interpreters that could be used, best first: the one asked for, or those on the search path, then those in the
/// usual places. Each is asked only when it is its turn.
pub(crate) fn candidates(asked: Option<&Path>) -> impl Iterator<Item = Python> + use<> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).map(|directory| directory.join("python3")).collect::<Vec<_>>());
    let usual = ["/usr/local/bin/python3", "/usr/bin/python3", "/opt/python/bin/python3"].map(PathBuf::from);
    let named = match asked {
        Some(asked) => vec![asked.to_path_buf()],
        None => on_path.unwrap_or_default().into_iter().chain(usual).collect(),
    };
    let mut seen = BTreeSet::new();
    named
        .into_iter()
        .filter(|path| path.exists())
        .filter_map(|path| ask(&path))
        .filter(move |python| seen.insert(python.program.clone()))
}

/// Asks an interpreter (the user's own, so it runs outside) what it is.
fn ask(path: &Path) -> Option<Python> {
    const QUESTION: &str = "import sys, os; print(os.path.realpath(sys.executable), '.'.join(map(str, sys.version_info[:3])), sys.base_prefix, *filter(os.path.isdir, sys.path[1:]), sep='\\n')";
    let output = Command::new(path)
        .args(["-I", "-S", "-c", QUESTION])
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let (program, version, prefix) =
        (PathBuf::from(lines.next()?), lines.next()?.to_owned(), PathBuf::from(lines.next()?));
    let mut executable = vec![program.clone()];
    executable.extend(isolate::loader(&program));
    // A prefix such as / would open everything; what matters of it is its library directory.
    let libraries = [prefix.join("lib"), prefix.join("lib64")];
    let readable = libraries
        .into_iter()
        .chain(lines.map(PathBuf::from))
        .chain(SYSTEM.map(PathBuf::from))
        .filter(|path| path.exists())
        .collect();
    let start = compile(&program, include_str!("start.py"))?;
    let runner = compile(&program, &format!("{}{START_RUNNER}", function::RUNNER))?;
    let server = compile(&program, &format!("{}{}", function::RUNNER, include_str!("server.py")))?;
    Some(Python { program, version, readable, executable, start, runner, server })
}

/// Runs function tests in an interpreter of their own. Nothing is imported from the scratch directory.
const START_RUNNER: &str = "\ndel sys.path[0]\nmain(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == 'alone')\n";

/// The bytes of a `.pyc` file of `source`.
fn compile(program: &Path, source: &str) -> Option<Vec<u8>> {
    // The format: a magic number; flags, time and size, which nobody checks of a file that is run by its name; the code.
    const COMPILE: &str = "import sys, marshal, importlib.util as u; sys.stdout.buffer.write(u.MAGIC_NUMBER + bytes(12) + marshal.dumps(compile(sys.stdin.buffer.read(), 'runner', 'exec')))";
    let mut child = Command::new(program)
        .args(["-I", "-S", "-c", COMPILE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    // Closed at the end of the statement.
    let written = child.stdin.take().expect("piped").write_all(source.as_bytes());
    let output = child.wait_with_output().ok().filter(|output| output.status.success() && written.is_ok())?;
    Some(output.stdout)
}
