//! The arrows and habits of `docs/ARCHITECTURE.md`, checked on the text of `src`. Each objection says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;

/// room -> rooms it may use, besides `domain`, which everything may, and itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "cache", "client", "config", "import", "telemetry", "train", "wire"]),
    ("app", &["blob", "config", "db", "file_lock", "http", "service", "telemetry", "worker"]),
    ("http", &["service", "telemetry", "wire"]),
    ("worker", &["data", "service", "train"]),
    ("client", &["cache", "wire"]),
    ("service", &["blob", "catalog", "data", "db", "file_lock", "import", "train"]),
    ("catalog", &["db"]),
    ("train", &["data", "nn"]),
    ("import", &["nn"]),
    ("blob", &["file_lock"]),
    ("cache", &["file_lock"]),
    ("config", &[]),
    ("data", &[]),
    ("db", &[]),
    ("domain", &[]),
    ("file_lock", &[]),
    ("nn", &[]),
    ("telemetry", &[]),
    ("wire", &[]),
];

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 60;

/// Text that must stay in its home: what, where it may stand, what to do instead.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["db/sqlite.rs"], "go through db::Tx"),
    ("println!(", &["cli/output.rs", "cli/progress.rs"], "return an Output, or use tracing"),
    ("print!(", &["cli/output.rs", "cli/progress.rs"], "return an Output, or use tracing"),
    ("std::env", &["config.rs"], "read it in config.rs and pass it on"),
    (".unwrap()", &[], "return the error"),
    (".expect(", &[], "return the error"),
    ("todo!(", &[], "write it"),
    ("unimplemented!(", &[], "write it"),
    ("dbg!(", &[], "remove it"),
    ("cfg!(test)", &[], "code must not behave otherwise under test"),
    ("not(test)", &[], "code must not behave otherwise under test"),
];

/// A source file without its comments and its test module (`..._tests.rs` is nothing but one).
struct Source {
    path: String,
    text: String,
    code: Vec<String>,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let only_tests = path.ends_with("tests.rs");
        let live = text.lines().take_while(|line| !only_tests && !line.starts_with("#[cfg(test)]"));
        let code = live.map(|line| if line.trim_start().starts_with("//") { String::new() } else { line.to_owned() });
        Source { path: path.into(), text: text.into(), code: code.collect() }
    }

    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or(&self.path);
        first.strip_suffix(".rs").unwrap_or(first)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|e| e.unwrap().into_path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<_> = files
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            Source::new(&name, &std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 40, "the sources were not found");
    sources
}

/// Rooms named as `crate::room` or `hub::room`, also inside `use crate::{a::b, c::d}`.
fn used_rooms(line: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for prefix in ["crate::", "hub::"] {
        for (at, _) in line.match_indices(prefix) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let rest = &line[at + prefix.len()..];
            match rest.strip_prefix('{') {
                None => rooms.extend(word(rest)),
                Some(list) => rooms.extend(top_level_items(list).iter().filter_map(|item| word(item))),
            }
        }
    }
    rooms
}

/// `a::{b, c}, d::e}` -> `a::{b, c}`, `d::e`.
fn top_level_items(list: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    items.push(item);
    items
}

fn word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}

/// `use` items may span lines; join each statement into one.
fn statements(code: &[String]) -> Vec<(usize, String)> {
    let (mut joined, mut open): (Vec<(usize, String)>, bool) = (Vec::new(), false);
    for (at, line) in code.iter().enumerate() {
        match (open, joined.last_mut()) {
            (true, Some(last)) => last.1 += line.trim(),
            _ => joined.push((at + 1, line.clone())),
        }
        let begins_use = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        open = (open || begins_use) && !line.trim_end().ends_with(';');
    }
    joined
}

fn forbidden_arrows(source: &Source) -> Vec<String> {
    let room = source.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: '{room}' is no room of the house; add it to ARROWS and docs/ARCHITECTURE.md", source.path)];
    };
    let mut objections = Vec::new();
    for (line, statement) in statements(&source.code) {
        for used in used_rooms(&statement) {
            let known = ARROWS.iter().any(|(name, _)| *name == used);
            if known && used != room && used != "domain" && !allowed.contains(&used.as_str()) {
                objections.push(format!("{}:{line}: {room} may not use {used}; move the code, or pass in what it needs", source.path));
            }
        }
    }
    objections
}

fn homeless(source: &Source) -> Vec<String> {
    let mut objections = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        for (text, homes, instead) in HOMES {
            if line.contains(text) && !homes.contains(&source.path.as_str()) {
                objections.push(format!("{}:{}: `{text}` does not belong here; {instead}", source.path, at + 1));
            }
        }
        if sql(line) && !["catalog", "db"].contains(&source.room()) {
            objections.push(format!("{}:{}: SQL stands only in catalog/ and db/; move it there", source.path, at + 1));
        }
    }
    objections
}

fn sql(line: &str) -> bool {
    ["\"select ", "\"insert into ", "\"update ", "\"delete from ", "\"create table "].iter().any(|start| line.contains(start))
}

fn too_long(source: &Source) -> Vec<String> {
    let mut objections = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_FILE_LINES {
        objections.push(format!("{}: {lines} lines; at {MAX_FILE_LINES} a file needs two ideas apart", source.path));
    }
    for (line, name, length) in functions(&source.code) {
        if length >= MAX_FUNCTION_LINES {
            objections.push(format!("{}:{line}: fn {name} has {length} lines; name the idea inside it", source.path));
        }
    }
    objections
}

/// Line, name and length of each function of rustfmt's output, whose closing brace stands under its `fn`.
fn functions(code: &[String]) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(position) = words.iter().position(|w| *w == "fn") else { continue };
        let modifiers = ["pub", "pub(crate)", "pub(super)", "async", "const", "unsafe", "extern", "\"C\""];
        if !words[..position].iter().all(|w| modifiers.contains(w)) || words.len() <= position + 1 {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let end = code[at..].iter().position(|l| *l == close || (l.len() - l.trim_start().len() == indent && l.ends_with(';')));
        let name = word(words[position + 1]).unwrap_or_default();
        let one_line = line.ends_with('}') || line.ends_with(';');
        found.push((at + 1, name, if one_line { 1 } else { end.map_or(1, |n| n + 1) }));
    }
    found
}

fn undocumented(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: open the file with `//!`: what it is and why", source.path)]
}

fn check(objections: impl Fn(&Source) -> Vec<String>) {
    let all: Vec<String> = sources().iter().flat_map(objections).collect();
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

#[test]
fn arrows_point_the_way_the_design_says() {
    check(forbidden_arrows);
}

#[test]
fn everything_stays_in_its_home() {
    check(homeless);
}

#[test]
fn files_and_functions_stay_small() {
    check(too_long);
}

#[test]
fn every_file_says_what_it_is() {
    check(undocumented);
}

#[test]
fn no_test_is_ignored() {
    let roots = ["src", "tests"].map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir));
    let mark = ["#[", "ignore"].concat();
    for entry in roots.iter().flat_map(walkdir::WalkDir::new).map(Result::unwrap).filter(|e| e.file_type().is_file()) {
        if entry.path().extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            assert!(!text.contains(&mark), "{}: an ignored test proves nothing", entry.path().display());
        }
    }
}

#[test]
fn every_dependency_says_why() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let dependencies = text.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let mut reasoned = false;
    let mut without = BTreeMap::new();
    for line in dependencies.lines() {
        match line.trim() {
            "" => reasoned = false,
            comment if comment.starts_with('#') => reasoned = true,
            dependency if !reasoned => drop(without.insert(dependency.to_owned(), ())),
            _ => {}
        }
    }
    assert!(without.is_empty(), "say in a comment why these are there: {:?}", without.keys());
}

#[test]
fn every_setting_is_in_the_readme() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (key, ..) in hub::config::SETTINGS {
        let variable = format!("`HUB_{}`", key.to_uppercase());
        assert!(readme.contains(&format!("`{key}`")) && readme.contains(&variable), "README's table of settings lacks {key}");
    }
}

/// The checks above must be able to object.
mod the_checks_object {
    use super::*;

    #[test]
    fn to_a_wrong_arrow() {
        let source = Source::new("blob/stage.rs", "//! x\nuse crate::{domain::time, service::Service};\nuse crate::{\n    db::Tx,\n};\n");
        let objections = forbidden_arrows(&source);
        assert_eq!(objections.len(), 2, "{objections:?}");
        assert!(objections[0].contains("blob may not use service"));
        assert!(forbidden_arrows(&Source::new("main.rs", "//! x\nfn main() { hub::service::run() }\n")).len() == 1);
        assert!(forbidden_arrows(&Source::new("train/mod.rs", "//! x\nuse crate::nn::Mode;\n")).is_empty());
        assert_eq!(forbidden_arrows(&Source::new("attic/mod.rs", "//! x\n")).len(), 1);
    }

    #[test]
    fn to_things_away_from_home() {
        for line in ["x.unwrap();", "println!(\"x\");", "let v = std::env::var(\"X\");", "tx.all(\"select 1\", &[])", "todo!()"] {
            let text = format!("//! x\nfn f() {{\n    {line}\n}}\n");
            assert!(!homeless(&Source::new("service/x.rs", &text)).is_empty(), "{line}");
            let tested = format!("//! x\n#[cfg(test)]\nmod tests {{\n    {line}\n}}\n");
            assert!(homeless(&Source::new("service/x.rs", &tested)).is_empty(), "{line}");
        }
        assert!(homeless(&Source::new("catalog/x.rs", "//! x\nlet sql = \"select 1\";\n")).is_empty());
    }

    #[test]
    fn to_length_and_silence() {
        let body = "    let x = 1;\n".repeat(60);
        let long = Source::new("nn/x.rs", &format!("//! x\npub fn long() {{\n{body}}}\n\nfn short() {{\n}}\n"));
        assert_eq!(too_long(&long).len(), 1);
        assert_eq!(too_long(&Source::new("nn/x.rs", &"\n".repeat(401))).len(), 1);
        assert_eq!(undocumented(&Source::new("nn/x.rs", "use x;\n")).len(), 1);
    }
}
