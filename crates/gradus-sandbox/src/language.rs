//! Languages by table: how a program is built and run, and the tools that do it.
//!
//! Python is not in the table: it has an interpreter that is kept ready, and runners of its own (`python`, `function`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::isolate::{self, Memory};
use crate::{Limits, python};

/// How programs of one language are built and run.
///
/// Commands are lists of words. Their first word is a path, or a name that is looked for on the search path; `{dir}` in
/// a word stands for the directory of the program, which holds the source file and what the build made of it. A build
/// writes there; a run reads it only, and writes to another directory, its current one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Language {
    /// Name of the source file.
    pub file: String,
    /// The command that builds a program; empty if nothing is to be built.
    pub build: Vec<String>,
    /// The command that runs it.
    pub run: Vec<String>,
    /// Further files and directories that both commands may read, and a build may execute.
    pub readable: Vec<PathBuf>,
    /// Further environment variables of both commands; `{dir}` as in commands.
    pub environment: BTreeMap<String, String>,
    /// How the memory of a run is limited. (A build's is never limited by address space.)
    pub memory: MemoryLimit,
    /// What code fences call the language, beside its name.
    #[serde(skip)]
    pub fences: Vec<String>,
    /// A program that prints its first line of input. It is tried before the language is first used, so that a tool
    /// that does not work is not taken for a program that does not compile. Empty: nothing is tried.
    #[serde(skip)]
    pub probe: String,
    /// Limits of a build.
    pub build_limits: Limits,
}

/// What of a program's memory is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLimit {
    /// Its address space: exact, but runtimes that reserve much more than they use do not start.
    AddressSpace,
    /// What it can write to: for runtimes such as those of JavaScript, Go and Java.
    #[default]
    Data,
}

impl From<MemoryLimit> for Memory {
    fn from(limit: MemoryLimit) -> Self {
        match limit {
            MemoryLimit::AddressSpace => Self::AddressSpace,
            MemoryLimit::Data => Self::Data,
        }
    }
}

/// Limits of a build where nothing else is said: 60 s of CPU, 120 s of wall time, 4 GiB, files of 256 MiB.
pub const BUILD_LIMITS: Limits = Limits {
    cpu_ms: 60_000,
    wall_ms: 120_000,
    memory_bytes: 4 << 30,
    output_bytes: 1 << 20,
    file_bytes: 256 << 20,
    processes: 64,
};

/// The languages that programs may be written in. By default Python and the built-in entries: `cpp`, `javascript` and
/// `rust`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Languages(BTreeMap<String, Language>);

impl Default for Languages {
    fn default() -> Self {
        Self(built_in())
    }
}

impl Languages {
    /// Adds an entry, in place of one of that name.
    ///
    /// # Errors
    /// Says what about the entry cannot be.
    pub fn insert(&mut self, name: &str, language: Language) -> Result<(), String> {
        if name == PYTHON {
            return Err("python is built in, and no entry of the table".into());
        }
        if name.is_empty() || name != name.to_lowercase() || name.contains(char::is_whitespace) {
            return Err(format!("`{name}` is no name of a language: it must be one word in lower case"));
        }
        let mut parts = Path::new(&language.file).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(format!("`file` must be the name of a file, and is `{}`", language.file));
        }
        if language.run.first().is_none_or(String::is_empty) {
            return Err("`run` is missing: the command that runs a program, as a list of words".into());
        }
        if language.build.first().is_some_and(|word| word.is_empty() || word.contains(HERE)) {
            return Err("`build` must begin with the name or path of a tool".into());
        }
        self.0.insert(name.to_owned(), language);
        Ok(())
    }

    /// The name under which a language is in the table, given that name or what fences call it (`c++`, `js`, `py`).
    pub fn name<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let is_python = |name: &str| PYTHON_FENCES.contains(&name);
        if let Some((key, _)) = self.0.get_key_value(name) {
            return Some(key);
        }
        let lower = name.trim().to_lowercase();
        let mut named = self.0.iter().filter(|(key, entry)| **key == lower || entry.fences.contains(&lower));
        named.next().map(|(key, _)| key.as_str()).or_else(|| is_python(&lower).then_some(PYTHON))
    }

    /// The entry of that name; none for Python.
    pub fn entry(&self, name: &str) -> Option<&Language> {
        self.0.get(name)
    }

    /// All names, Python first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(PYTHON).chain(self.0.keys().map(String::as_str))
    }

    /// What fences call a language: its name and those of its entry. Of one that is not in the table: its name.
    pub(crate) fn fences(&self, name: &str) -> Vec<String> {
        let mut fences = vec![name.to_lowercase()];
        match self.entry(name) {
            Some(entry) => fences.extend(entry.fences.iter().cloned()),
            None if name == PYTHON => fences.extend(PYTHON_FENCES.map(str::to_owned)),
            None => {}
        }
        fences
    }
}

pub(crate) const PYTHON: &str = "python";

const PYTHON_FENCES: [&str; 4] = [PYTHON, "python3", "py", "py3"];

/// Stands for the directory of the program.
const HERE: &str = "{dir}";

fn built_in() -> BTreeMap<String, Language> {
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let entry = |file: &str, build: &str, run: &str, fences: &str, probe: &str| Language {
        file: file.into(),
        build: words(build),
        run: words(run),
        readable: Vec::new(),
        environment: BTreeMap::new(),
        memory: MemoryLimit::AddressSpace,
        fences: words(fences),
        probe: probe.into(),
        build_limits: BUILD_LIMITS,
    };
    let cpp = Language {
        readable: vec!["/usr/include".into(), "/usr/local/include".into()],
        ..entry(
            "main.cpp",
            "g++ -O2 -std=c++17 -pipe -o {dir}/main {dir}/main.cpp",
            "{dir}/main",
            "c++ cxx cc g++",
            "#include <bits/stdc++.h>\nint main() { std::string s; std::getline(std::cin, s); std::cout << s << \"\\n\"; }\n",
        )
    };
    let rust = entry(
        "main.rs",
        "rustc --edition 2021 -O -o {dir}/main {dir}/main.rs",
        "{dir}/main",
        "rs",
        include_str!("probe_rust.txt"),
    );
    let javascript = Language {
        memory: MemoryLimit::Data,
        // The system's settings are not for programs to read, and without them it does not start.
        environment: [("OPENSSL_CONF".to_owned(), "/dev/null".to_owned())].into(),
        ..entry(
            "main.js",
            "",
            "node {dir}/main.js",
            "js node nodejs",
            "console.log(require('fs').readFileSync(0, 'utf8').split('\\n')[0]);\n",
        )
    };
    [("cpp", cpp), ("javascript", javascript), ("rust", rust)].map(|(name, entry)| (name.to_owned(), entry)).into()
}

/// A language whose tools have been found.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) language: Language,
    pub(crate) build: Option<Tool>,
    pub(crate) run: Tool,
}

/// A command whose tool has been found.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The tool; none if the program itself is run.
    pub(crate) path: Option<PathBuf>,
    /// The words of the command, its tool among them.
    words: Vec<String>,
    /// Its version, as far as it says one, and where it was found, in one line.
    pub(crate) description: String,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) executable: Vec<PathBuf>,
}

impl Tool {
    /// What to start, and its arguments, for a program in `directory`.
    pub(crate) fn command(&self, directory: &Path) -> (PathBuf, Vec<String>) {
        let mut words = self.words.iter().map(|word| filled(word, directory));
        let first = words.next().expect("a command has a first word");
        (self.path.clone().unwrap_or_else(|| first.into()), words.collect())
    }
}

/// A word with the directory put in.
pub(crate) fn filled(word: &str, directory: &Path) -> String {
    word.replace(HERE, &directory.to_string_lossy())
}

/// Finds the tools of `language`. What a user of a program's own (`own_uid`) cannot read is put below `copies` if it is
/// a Rust toolchain, and else is no tool.
///
/// # Errors
/// Says which tool is missing, or cannot be read.
pub(crate) fn find(language: &Language, own_uid: bool, copies: &Path) -> Result<Tools, String> {
    let build = match language.build.as_slice() {
        [] => None,
        words => Some(tool(words, language, true, own_uid, copies)?),
    };
    let run = tool(&language.run, language, false, own_uid, copies)?;
    Ok(Tools { language: language.clone(), build, run })
}

fn tool(words: &[String], language: &Language, builds: bool, own_uid: bool, copies: &Path) -> Result<Tool, String> {
    let mut readable: Vec<PathBuf> = python::SYSTEM.iter().map(PathBuf::from).collect();
    readable.extend(language.readable.iter().cloned());
    let mut executable = Vec::new();
    let (mut path, mut own, mut description) = (None, None, String::new());
    if !words[0].contains(HERE) {
        let mut found = on_path(&words[0]).ok_or_else(|| format!("`{}` was not found", words[0]))?;
        if found.file_name().is_some_and(|name| name == "rustc") {
            let root = sysroot(&found)?;
            own = Some(root.join("bin/rustc"));
            let root = if own_uid && !others_may_read(&root) { linked(&root, &copies.join("rust"))? } else { root };
            found = root.join("bin/rustc");
            readable.push(root);
        }
        let real = found.canonicalize().map_err(|error| format!("`{}`: {error}", found.display()))?;
        if own_uid && !others_may_read(&real) {
            return Err(format!(
                "{} cannot be read by the users that programs run as: install it where every user may read it",
                real.display()
            ));
        }
        // Where the user has it, not where it was linked to.
        description = format!("{} at {}", says_version(&found), own.as_deref().unwrap_or(&found).display());
        executable.extend(isolate::loader(&real));
        readable.push(real.clone());
        executable.push(real);
        path = Some(found);
    }
    if builds {
        // Compilers start further tools. Nothing that a model wrote runs here.
        readable.extend(["/usr/bin", "/usr/libexec", "/usr/local/bin", "/etc/alternatives"].map(PathBuf::from));
        executable.extend(readable.iter().cloned());
    } else {
        // The loader of built programs.
        executable.extend(isolate::loader(Path::new("/proc/self/exe")));
    }
    let there = |paths: Vec<PathBuf>| paths.into_iter().filter(|path| path.exists()).collect();
    Ok(Tool { path, words: words.to_vec(), description, readable: there(readable), executable: there(executable) })
}

/// The first file of that name on the search path, or in the usual places; a path is itself.
fn on_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|directory| directory.join(name)).find(|path| path.is_file())
}

/// The root of the toolchain behind `rustc`, which may be a shim of rustup.
fn sysroot(rustc: &Path) -> Result<PathBuf, String> {
    let said = said(Command::new(rustc).args(["--print", "sysroot"]));
    said.map(PathBuf::from)
        .filter(|root| root.join("bin/rustc").is_file())
        .ok_or_else(|| format!("`{}` does not say where its toolchain is", rustc.display()))
}

/// What the user's own tool says of its version. It runs outside the sandbox.
fn says_version(tool: &Path) -> String {
    let said = said(Command::new(tool).arg("--version")).unwrap_or_default();
    said.lines().next().unwrap_or_default().trim().to_owned()
}

fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned())
}

/// Whether users that are neither owner nor in the group may read a file, or enter a directory.
fn others_may_read(path: &Path) -> bool {
    let mode = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    mode(path) & 0o5 == 0o5 && path.ancestors().skip(1).all(|above| mode(above) & 0o1 == 0o1)
}

/// The compiler and libraries of the Rust toolchain in `root`, once more as hard links below `place`, which costs no
/// space and no time. What others may not read there stays unreadable.
fn linked(root: &Path, place: &Path) -> Result<PathBuf, String> {
    fn link_all(from: &Path, to: &Path) -> io::Result<()> {
        fs::create_dir_all(to)?;
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_dir() {
                // Sources of the standard library: nothing a compiler needs.
                if name != "src" && name != "etc" {
                    link_all(&entry.path(), &to.join(name))?;
                }
            } else {
                fs::hard_link(entry.path(), to.join(name))?;
            }
        }
        Ok(())
    }
    let link = || {
        if place.exists() {
            return Ok(());
        }
        link_all(&root.join("lib"), &place.join("lib"))?;
        fs::create_dir(place.join("bin"))?;
        for directory in [place.to_path_buf(), place.join("bin")] {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        }
        fs::hard_link(root.join("bin/rustc"), place.join("bin/rustc"))
    };
    link().map(|()| place.to_path_buf()).map_err(|error: io::Error| {
        format!(
            "the Rust toolchain in {} cannot be read by the users that programs run as, and could not be linked to \
             where they can ({error}): install it for every user, or put scratch directories on its file system",
            root.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fences_find_a_language() {
        let mut languages = Languages::default();
        let entry = Language { fences: vec!["golang".into()], ..built_in()["rust"].clone() };
        languages.insert("go", entry).unwrap();
        for (name, found) in [
            ("cpp", Some("cpp")),
            ("C++", Some("cpp")),
            ("js", Some("javascript")),
            ("rs", Some("rust")),
            ("golang", Some("go")),
            ("Python3", Some("python")),
            ("cobol", None),
            ("", None),
        ] {
            assert_eq!(languages.name(name), found, "{name}");
        }
        assert_eq!(languages.names().collect::<Vec<_>>(), ["python", "cpp", "go", "javascript", "rust"]);
    }

    #[test]
    fn an_entry_that_cannot_be_is_refused() {
        let good = built_in()["cpp"].clone();
        let refused = |name: &str, language: Language, why: &str| {
            let error = Languages::default().insert(name, language).unwrap_err();
            assert!(error.contains(why), "{error}");
        };
        refused("python", good.clone(), "built in");
        refused("C", good.clone(), "lower case");
        refused("c", Language { file: "../main.c".into(), ..good.clone() }, "`file`");
        refused("c", Language { file: String::new(), ..good.clone() }, "`file`");
        refused("c", Language { run: Vec::new(), ..good.clone() }, "`run`");
        refused("c", Language { build: vec!["{dir}/cc".into()], ..good }, "`build`");
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let language = Language { run: vec!["no-such-tool".into()], ..built_in()["javascript"].clone() };
        let error = find(&language, false, Path::new("/nowhere")).unwrap_err();
        assert_eq!(error, "`no-such-tool` was not found");
    }
}
