//! The languages that answers to code questions may be written in.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gradus_sandbox::{BUILD_LIMITS, Language, Languages, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What programs of code questions may be written in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Code {
    /// Languages by name. Python is built in and needs no entry. `cpp`, `rust` and `javascript` have entries already;
    /// one of these names changes what it sets and keeps the rest.
    pub languages: BTreeMap<String, LanguageConfig>,
}

/// How programs of one language are built and run. In commands `{dir}` stands for the directory of the program, which
/// holds the source file and what the build made; a run cannot write there, only to its current directory.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LanguageConfig {
    /// Name of the source file, for example `main.go`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Command that builds a program, as a list of words; none or an empty list: nothing is built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Vec<String>>,
    /// Command that runs it, as a list of words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Vec<String>>,
    /// Further files and directories that both commands may read, and a build may execute; the system's libraries
    /// and the tool itself need not be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<Vec<PathBuf>>,
    /// Further environment variables of both commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
    /// How a run's memory is counted: `data` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryLimit>,
    /// What fences in answers and `language` fields in banks call it, beside its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fences: Option<Vec<String>>,
    /// A program that prints its first line of input. It is run once before the language is used: if it fails, attempts
    /// are undecided and not wrong. Nothing is tried if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// CPU time of a build in milliseconds: 60,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_cpu_ms: Option<u64>,
    /// Wall time of a build in milliseconds: 120,000 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_wall_ms: Option<u64>,
    /// Memory of a build in bytes: 4 GiB if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_memory_bytes: Option<u64>,
}

/// What of a program's memory is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryLimit {
    /// Its address space: exact, but the runtimes of JavaScript, Go and Java do not start.
    AddressSpace,
    /// What it can write to.
    Data,
}

impl From<MemoryLimit> for gradus_sandbox::MemoryLimit {
    fn from(limit: MemoryLimit) -> Self {
        match limit {
            MemoryLimit::AddressSpace => Self::AddressSpace,
            MemoryLimit::Data => Self::Data,
        }
    }
}

impl Code {
    /// The built-in table with these entries.
    ///
    /// # Errors
    /// Gives the name of an entry that cannot be, and why.
    pub fn table(&self) -> Result<Languages, (String, String)> {
        let mut languages = Languages::default();
        for (name, entry) in &self.languages {
            let base = languages.entry(name).cloned();
            languages.insert(name, entry.over(base)).map_err(|why| (name.clone(), why))?;
        }
        Ok(languages)
    }
}

impl LanguageConfig {
    fn over(&self, base: Option<Language>) -> Language {
        let base = base.unwrap_or_else(|| Language {
            file: String::new(),
            build: Vec::new(),
            run: Vec::new(),
            readable: Vec::new(),
            environment: BTreeMap::new(),
            memory: gradus_sandbox::MemoryLimit::Data,
            fences: Vec::new(),
            probe: String::new(),
            build_limits: BUILD_LIMITS,
        });
        let limits = base.build_limits;
        Language {
            file: self.file.clone().unwrap_or(base.file),
            build: self.build.clone().unwrap_or(base.build),
            run: self.run.clone().unwrap_or(base.run),
            readable: self.readable.clone().unwrap_or(base.readable),
            environment: self.environment.clone().unwrap_or(base.environment),
            memory: self.memory.map_or(base.memory, Into::into),
            fences: self
                .fences
                .as_ref()
                .map_or(base.fences, |fences| fences.iter().map(|fence| fence.to_lowercase()).collect()),
            probe: self.probe.clone().unwrap_or(base.probe),
            build_limits: Limits {
                cpu_ms: self.build_cpu_ms.unwrap_or(limits.cpu_ms),
                wall_ms: self.build_wall_ms.unwrap_or(limits.wall_ms),
                memory_bytes: self.build_memory_bytes.unwrap_or(limits.memory_bytes),
                ..limits
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn an_entry_adds_a_language_or_changes_one() {
        let yaml = "code:\n  languages:\n    go:\n      file: main.go\n      build: [go, build, -o, '{dir}/main', '{dir}/main.go']\n      run: ['{dir}/main']\n      fences: [Golang]\n    cpp:\n      build: [clang++, -o, '{dir}/main', '{dir}/main.cpp']\n";
        let languages = Config::read(yaml, &[]).unwrap().code.table().unwrap();
        assert_eq!(languages.name("golang"), Some("go"));
        assert_eq!(languages.entry("go").unwrap().memory, gradus_sandbox::MemoryLimit::Data);
        let cpp = languages.entry("cpp").unwrap();
        assert_eq!((cpp.build[0].as_str(), cpp.file.as_str(), cpp.run.len()), ("clang++", "main.cpp", 1));
        assert_eq!(languages.name("c++"), Some("cpp"));
    }

    #[test]
    fn an_entry_that_cannot_be_is_named() {
        for (yaml, words) in [
            ("code: {languages: {go: {file: main.go}}}", ["`code.languages.go`", "`run` is missing"]),
            ("code: {languages: {go: {run: [go]}}}", ["`code.languages.go`", "`file`"]),
            ("code: {languages: {python: {run: [python3]}}}", ["`code.languages.python`", "built in"]),
            ("code: {languages: {go: {command: x}}}", ["command", "unknown"]),
        ] {
            let error = Config::read(yaml, &[]).unwrap_err();
            assert!(words.iter().all(|word| error.message.contains(word)), "{yaml}: {error}");
        }
    }
}
