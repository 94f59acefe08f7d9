//! The rules of the house that `ARCHITECTURE.md` names, as far as a look at sources and manifests can hold them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every source file of the crates, as `crates/NAME/src/...`, sorted.
fn sources() -> Vec<String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        for part in ["src", "tests", "examples", "benches"] {
            walk(&folder.join(part), &mut found);
        }
    }
    let relative = |path: PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    let mut names: Vec<String> = found.into_iter().map(relative).collect();
    names.sort();
    assert!(names.len() > 100, "the crates are looked for in the wrong place");
    names
}

/// The lines of code of a file that are shipped: no comments, no tests.
fn code(path: &str) -> Vec<String> {
    read(path)
        .lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// Files under `src` that are Rust and not tests.
fn shipped() -> Vec<String> {
    let mut shipped = sources();
    shipped.retain(|path| {
        path.contains("/src/") && is_rust(path) && !path.ends_with("/tests.rs") && !path.contains("/tests/")
    });
    shipped
}

/// Whether a line holds this as a word or path of its own.
fn holds(line: &str, token: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(token).any(|(at, _)| {
        let goes_on_before = token.starts_with(part_of_word) && line[..at].ends_with(part_of_word);
        let goes_on_behind = token.ends_with(part_of_word) && line[at + token.len()..].starts_with(part_of_word);
        !goes_on_before && !goes_on_behind
    })
}

/// Nothing shipped holds one of these tokens, but where a file's path begins with one of `allowed`; and each of
/// those does, so that no exception outlives its reason.
#[track_caller]
fn only_in(tokens: &[&str], allowed: &[&str]) {
    let mut used = BTreeSet::new();
    for path in shipped() {
        for line in code(&path) {
            let Some(token) = tokens.iter().find(|token| holds(&line, token)) else { continue };
            let rule = allowed.iter().find(|allowed| path.starts_with(**allowed));
            used.insert(*rule.unwrap_or_else(|| panic!("{path} holds `{token}`: {line}")));
        }
    }
    assert_eq!(used, allowed.iter().copied().collect(), "an exception that nothing needs");
}

/// The normal dependencies of a crate.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = read(&format!("crates/{name}/Cargo.toml"));
    let mut section = "";
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if section == "[dependencies]"
            && let Some((name, _)) = line.split_once(['.', ' ', '='])
            && !name.starts_with('#')
        {
            names.insert(name.to_owned());
        }
    }
    assert!(!names.is_empty(), "{name}");
    names
}

#[test]
fn every_source_file_has_one_line_in_the_map_and_every_line_its_file() {
    let map = read("ARCHITECTURE.md");
    let mut lines: BTreeMap<String, u32> = BTreeMap::new();
    let mut folder = None;
    for line in map.lines() {
        if line.starts_with('#') {
            let name = line.strip_prefix("### crates/").and_then(|rest| rest.split(':').next());
            folder = name.map(|name| format!("crates/{name}"));
        } else if let Some(folder) = &folder
            && let Some(path) = line.strip_prefix("| `").and_then(|rest| rest.split('`').next())
        {
            *lines.entry(format!("{folder}/{path}")).or_default() += 1;
        }
    }
    let twice: Vec<_> = lines.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "more than one line: {twice:?}");
    let (listed, there): (BTreeSet<String>, BTreeSet<String>) =
        (lines.into_keys().collect(), sources().into_iter().collect());
    let unlisted: Vec<_> = there.difference(&listed).collect();
    assert!(unlisted.is_empty(), "without a line in ARCHITECTURE.md: {unlisted:#?}");
    let gone: Vec<_> = listed.difference(&there).filter(|path| !root().join(path).exists()).collect();
    assert!(gone.is_empty(), "in ARCHITECTURE.md, and not there: {gone:#?}");
}

/// The map names tests as holders of invariants; they exist.
#[test]
fn tests_that_the_map_names_exist() {
    let map = read("ARCHITECTURE.md");
    let (_, invariants) = map.split_once("## Invariants").unwrap();
    let (invariants, _) = invariants.split_once("\n## ").unwrap();
    let all: String = sources().iter().filter(|path| is_rust(path)).map(|path| read(path)).collect();
    let mut n_named = 0;
    for name in invariants.split('`').skip(1).step_by(2) {
        if name.contains('_') && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.starts_with("gradus")
        {
            assert!(all.contains(&format!("fn {name}(")), "`{name}` is named in ARCHITECTURE.md, and not there");
            n_named += 1;
        }
    }
    assert!(n_named >= 5, "{n_named}");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for path in sources() {
        let text = read(&path);
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        let opens = if is_rust(&path) { &["//! "][..] } else { &["# ", "\"\"\""][..] };
        assert!(opens.iter().any(|opens| first.starts_with(opens)), "{path} opens with: {first}");
    }
}

/// Code behind the tests of a file would be seen by none of the rules here.
#[test]
fn tests_stand_last() {
    for path in shipped() {
        let text = read(&path);
        let Some((_, tests)) = text.split_once("#[cfg(test)]\n") else { continue };
        let tests = tests.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        let behind = tests
            .strip_prefix("mod tests {\n")
            .map(|tests| tests.split_once("\n}\n").expect("a module ends").1)
            .or_else(|| tests.strip_prefix("mod tests;\n"));
        assert_eq!(behind, Some(""), "{path}: behind `#[cfg(test)]` stands more than one module");
    }
}

#[test]
fn only_the_driver_and_the_ledgers_writer_wait_or_look_at_a_clock() {
    let library = |path: &String| path.starts_with("crates/gradus/") || path.starts_with("crates/gradus-verify/");
    for path in shipped().iter().filter(|path| library(path)) {
        if ["crates/gradus/src/driver.rs", "crates/gradus/src/ledger.rs"].contains(&path.as_str()) {
            continue;
        }
        for line in code(path) {
            for token in [".await", "async fn", "SystemTime", "Instant", "thread::sleep"] {
                assert!(!holds(&line, token), "{path} holds `{token}`: {line}");
            }
        }
    }
    only_in(&["SystemTime"], &["crates/gradus-cli/src/world.rs"]);
}

#[test]
fn only_the_sandbox_starts_programs_but_for_named_tools() {
    only_in(
        &["std::process::Command", "process::Command", "Command::new", "tokio::process"],
        &[
            "crates/gradus-cli/src/commands/doctor.rs",
            // The user's own trainer.
            "crates/gradus-cli/src/commands/train.rs",
            "crates/gradus-gguf/src/fetch.rs",
            "crates/gradus-sandbox/src/language.rs",
            "crates/gradus-sandbox/src/process.rs",
            "crates/gradus-sandbox/src/python.rs",
        ],
    );
}

#[test]
fn only_the_model_crate_has_sockets() {
    only_in(
        &["std::net", "tokio::net", "TcpListener", "TcpStream", "UdpSocket", "reqwest", "hyper"],
        &[
            // Reads an address from the command line.
            "crates/gradus-cli/src/commands/mock.rs",
            "crates/gradus-model/src/",
        ],
    );
    assert!(!read("crates/gradus-cli/src/commands/mock.rs").contains("TcpListener"));
    for name in ["gradus", "gradus-cli", "gradus-gguf", "gradus-sandbox", "gradus-template", "gradus-verify"] {
        let has = dependencies(name);
        for client in ["axum", "hyper", "reqwest", "rustls", "ureq"] {
            assert!(!has.contains(client), "{name} depends on {client}");
        }
    }
}

#[test]
fn only_the_command_touches_terminal_and_environment() {
    only_in(
        &["println!", "eprintln!", "print!", "eprint!", "dbg!", "io::stdout", "io::stderr", "io::stdin"],
        &["crates/gradus-cli/src/"],
    );
    only_in(
        &["std::env", "env::var", "env::var_os", "env::args"],
        &[
            "crates/gradus-cli/src/",
            // The child's own environment, and where the interpreter lies.
            "crates/gradus-sandbox/src/",
        ],
    );
    for name in ["gradus", "gradus-gguf", "gradus-model", "gradus-sandbox", "gradus-template", "gradus-verify"] {
        for edge in ["clap", "indicatif"] {
            assert!(!dependencies(name).contains(edge), "{name} depends on {edge}");
        }
    }
}

#[test]
fn unsafe_code_stands_where_the_map_says() {
    only_in(&["unsafe"], &["crates/gradus-gguf/src/kernel.rs", "crates/gradus-sandbox/src/"]);
    for name in ["gradus", "gradus-verify"] {
        assert!(read(&format!("crates/{name}/src/lib.rs")).contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

/// No stage knows which engine, server or trainer comes after it: neither by dependency nor by name.
#[test]
fn no_stage_knows_engine_server_or_trainer() {
    let ours = |name: &str| -> BTreeSet<String> {
        dependencies(name).into_iter().filter(|dependency| dependency.starts_with("gradus")).collect()
    };
    let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(ours("gradus"), set(&["gradus-model", "gradus-sandbox", "gradus-verify"]));
    assert_eq!(ours("gradus-gguf"), set(&["gradus-model", "gradus-template"]));
    assert_eq!(ours("gradus-template"), set(&["gradus-model"]));
    for alone in ["gradus-model", "gradus-sandbox", "gradus-verify"] {
        assert_eq!(ours(alone), set(&[]), "{alone}");
    }
    assert_eq!(dependencies("gradus-verify"), set(&["dashu"]));
    let foreign = [
        "openai", "vllm", "sglang", "llama", "gguf", "trl", "axolotl", "unsloth", "replay", "mock", "driver", "export",
    ];
    for stage in ["probe", "judge", "grade", "sample", "distil", "select"] {
        let path = format!("crates/gradus/src/{stage}.rs");
        for line in code(&path) {
            for name in foreign {
                assert!(!holds(&line.to_lowercase(), name), "{path} knows `{name}`: {line}");
            }
        }
    }
}

#[test]
fn nothing_shipped_unwraps_without_saying_why_it_may() {
    only_in(&[".unwrap()", "::unwrap", "todo!", "unimplemented!"], &[]);
}
