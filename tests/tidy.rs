//! The house checks itself: who imports whom, how long files are, where `unsafe` stands, and that documents speak of
//! what is there. Every violation is listed with its file and line.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this has a second noun in it.
const LINES_MAX: usize = 600;

/// What each module of `src/` may import of ours. The floors stand in `src/lib.rs`; a module that is not here is a
/// violation, so that a new one gets its floor.
const FLOORS: &[(&str, Imports)] = &[
    ("terms", Imports::Only(&["limits"])),
    ("limits", Imports::Only(&[])),
    ("lending", Imports::Only(&["limits"])),
    ("memory", Imports::Only(&["limits"])),
    ("metrics", Imports::Only(&["terms", "limits"])),
    ("protocol", Imports::Only(&["terms", "limits"])),
    ("store", Imports::Only(&["memory", "terms", "limits"])),
    ("routing", Imports::Only(&["terms", "limits"])),
    ("auth", Imports::Only(&["limits"])),
    ("execute", Imports::Only(&["protocol", "store", "metrics", "terms", "limits"])),
    ("session", Imports::Only(&["protocol", "routing", "auth", "memory", "metrics", "terms", "limits"])),
    (
        "engine",
        Imports::Only(&[
            "session", "auth", "execute", "protocol", "store", "routing", "lending", "memory", "metrics", "terms",
            "limits",
        ]),
    ),
    ("config", Imports::AllButWorld(&[])),
    ("server", Imports::AllButWorld(&["config"])),
    ("control", Imports::AllButWorld(&["config", "server"])),
    ("main", Imports::AllButWorld(&["config", "server", "control"])),
];

/// The modules of floor 3.
const WORLD: &[&str] = &["config", "server", "control", "main"];

enum Imports {
    /// These modules.
    Only(&'static [&'static str]),
    /// All of the floors below 3, and these of floor 3: this module touches the world.
    AllButWorld(&'static [&'static str]),
}

/// What only floor 3 may name.
const WORLDLY: &[&str] =
    &["glommio", "nix", "socket2", "rtrb", "tracing", "clap", "std::net", "std::fs", "std::thread", "ringcached_ring"];

/// Files that may hold `unsafe`, besides the driver's own crate `ring/src/`. Each argues its blocks.
const UNSAFE_FILES: &[&str] = &[
    "src/memory/mapping.rs",
    "src/memory/arena.rs",
    "src/memory/large.rs",
    "src/memory/tables.rs",
    "src/lending/mod.rs",
];

/// Found fault with one line.
struct Violation {
    file: PathBuf,
    line: usize,
    what: String,
}

#[test]
fn modules_import_only_what_their_floor_allows() {
    let mut violations = Vec::new();
    for file in sources("src") {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let Some((_, imports)) = FLOORS.iter().find(|(name, _)| *name == module) else {
            violations.push(Violation {
                file,
                line: 1,
                what: format!("module `{module}` has no floor in tests/tidy.rs"),
            });
            continue;
        };
        for (line, text) in code_lines(&file) {
            for target in our_modules_in(&text).into_iter().filter(|target| *target != module) {
                let allowed = match imports {
                    Imports::Only(modules) => modules.contains(&target.as_str()),
                    Imports::AllButWorld(modules) => {
                        !WORLD.contains(&target.as_str()) || modules.contains(&target.as_str())
                    }
                };
                if !allowed {
                    let what = format!("`{module}` must not know `{target}`");
                    violations.push(Violation { file: file.clone(), line, what });
                }
            }
            if !WORLD.contains(&module.as_str()) {
                for name in WORLDLY.iter().filter(|name| names(&text, name)) {
                    let what = format!("`{module}` must not touch the world: `{name}`");
                    violations.push(Violation { file: file.clone(), line, what });
                }
            }
        }
    }
    report(&violations);
}

#[test]
fn files_are_short() {
    let mut violations = Vec::new();
    for file in all_sources() {
        let count = fs::read_to_string(&file).unwrap().lines().count();
        if count > LINES_MAX {
            let what = format!("{count} lines; at {LINES_MAX} ask which second noun has moved in");
            violations.push(Violation { file, line: LINES_MAX, what });
        }
    }
    report(&violations);
}

#[test]
fn unsafe_stands_in_named_files_only() {
    let mut violations = Vec::new();
    for file in all_sources() {
        let allowed = UNSAFE_FILES.iter().any(|name| file == Path::new(name)) || file.starts_with("ring/src");
        if allowed {
            continue;
        }
        for (line, text) in code_lines(&file) {
            if names(&text, "unsafe") {
                violations.push(Violation {
                    file: file.clone(),
                    line,
                    what: "`unsafe` outside the named files".into(),
                });
            }
        }
    }
    report(&violations);
}

#[test]
fn nothing_is_left_to_be_done() {
    let mut violations = Vec::new();
    for file in all_sources().into_iter().filter(|file| file != Path::new("tests/tidy.rs")) {
        for (line, text) in code_lines(&file) {
            for word in ["todo!", "unimplemented!", "dbg!", "#[ignore"] {
                if text.contains(word) {
                    violations.push(Violation { file: file.clone(), line, what: format!("`{word}`") });
                }
            }
        }
    }
    report(&violations);
}

#[test]
fn every_option_is_documented() {
    let output = Command::new(env!("CARGO_BIN_EXE_ringcached")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut options = BTreeSet::new();
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        for word in line.split([' ', ',']).take_while(|word| !word.is_empty() || line.starts_with('-')).take(4) {
            let word = word.split(['=', '[']).next().unwrap();
            let letters = word.trim_start_matches('-');
            let is_option = word.starts_with('-') && letters.starts_with(|first: char| first.is_ascii_alphabetic());
            if is_option {
                options.insert(word.trim_end_matches("...").to_owned());
            }
        }
    }
    assert!(options.len() > 10, "options found in --help: {options:?}");
    let document = PathBuf::from("docs/OPERATIONS.md");
    let text = read_document(&document);
    let violations: Vec<Violation> = options
        .into_iter()
        .filter(|option| !text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == option))
        .map(|option| Violation { file: document.clone(), line: 1, what: format!("`{option}` of --help is not there") })
        .collect();
    report(&violations);
}

#[test]
fn documents_name_files_that_exist() {
    let mut violations = Vec::new();
    let document = PathBuf::from("docs/ARCHITECTURE.md");
    for (index, text) in read_document(&document).lines().enumerate() {
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split(':').next().unwrap();
            let is_path = path.contains('/')
                || Path::new(path).extension().is_some_and(|extension| extension == "rs" || extension == "md");
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if is_path && plain && !path.starts_with('/') && !exists(path) {
                violations.push(Violation {
                    file: document.clone(),
                    line: index + 1,
                    what: format!("there is no `{path}`"),
                });
            }
        }
    }
    report(&violations);
}

fn report(violations: &[Violation]) {
    let lines: Vec<String> =
        violations.iter().map(|found| format!("{}:{}: {}", found.file.display(), found.line, found.what)).collect();
    assert!(lines.is_empty(), "{} violations:\n{}\n", lines.len(), lines.join("\n"));
}

fn read_document(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A path from the root of the repository, or from `src/`, as documents write it.
fn exists(path: &str) -> bool {
    root().join(path).exists() || root().join("src").join(path).exists()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn all_sources() -> Vec<PathBuf> {
    ["src", "ring", "loadgen", "tests", "benches", "fuzz"].into_iter().flat_map(sources).collect()
}

/// Rust files below a directory, as paths from the root of the repository.
fn sources(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(directory)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(root().join(&directory)) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() && entry.file_name() != "target" {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The module of `src/` that a file belongs to.
fn module_of(file: &Path) -> String {
    let below = file.strip_prefix("src").unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines of a file without comments, numbered from 1. Modules of tests at the foot of a file count like the rest.
fn code_lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().enumerate().map(|(index, line)| (index + 1, code(line))).collect()
}

/// The modules of ours that a line names: `crate::module`, and in the binary `ringcached::module`.
fn our_modules_in(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for prefix in ["crate::", "ringcached::"] {
        for (at, _) in line.match_indices(prefix) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &line[at + prefix.len()..];
            let (list, nested) = match rest.strip_prefix('{') {
                Some(list) => (list.split('}').next().unwrap_or_default(), true),
                None => (rest, false),
            };
            for part in list.split(',').take(if nested { usize::MAX } else { 1 }) {
                let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if FLOORS.iter().any(|(module, _)| *module == name) {
                    found.push(name);
                }
            }
        }
    }
    found
}

/// Whether a line names this path as a whole word.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let quoted = line[..at].matches('"').count() % 2 == 1;
        !quoted && before.is_none_or(|c| !is_word(c)) && after.is_none_or(|c| !is_word(c))
    })
}
