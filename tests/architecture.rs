//! The arrows and habits of `docs/ARCHITECTURE.md`, checked on the text of `src`. Each objection says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/source.rs"]
mod source;

use std::collections::BTreeMap;
use std::path::Path;

use paths::{HandedOn, all_named};
use source::Source;

/// room -> rooms it may use, besides `domain`, which everything may, and itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["app", "cache", "client", "config", "data", "dispatch", "import", "telemetry", "train", "vectors", "wire"]),
    ("app", &["blob", "checks", "config", "confine", "db", "file_lock", "http", "service", "telemetry", "worker"]),
    ("http", &["service", "telemetry", "wire"]),
    ("worker", &["cache", "client", "confine", "data", "file_lock", "service", "train", "vectors", "wire"]),
    ("checks", &["archive", "confine", "data", "import"]),
    ("client", &["cache", "wire"]),
    ("service", &["archive", "blob", "catalog", "checks", "data", "db", "file_lock", "import", "outbound", "train", "vectors"]),
    ("catalog", &["db"]),
    ("train", &["data", "file_lock", "nn"]),
    ("import", &["archive", "nn", "outbound", "vectors"]),
    ("blob", &["file_lock"]),
    ("cache", &["file_lock"]),
    ("archive", &[]),
    ("config", &[]),
    ("confine", &[]),
    ("data", &["archive"]),
    ("dispatch", &["client", "wire"]),
    ("db", &[]),
    ("domain", &[]),
    ("file_lock", &[]),
    ("nn", &[]),
    ("outbound", &[]),
    ("telemetry", &[]),
    ("vectors", &["archive"]),
    ("wire", &[]),
];

/// What a room may hand on of another because the design means it: room, name (of a thing or a module of such things), why. All else that it hands on is still
/// the other room's, and using it needs an arrow there.
const HANDED_ON: &[(&str, &str, &str)] = &[
    ("app", "upkeep", "what `Administration` is asked and answers; the service does the work, whoever asks"),
    ("app", "Outcome", "how a worker's job ended, which its exit status says"),
    ("app", "Until", "when a worker ends by itself, which the command line says"),
    ("train", "Device", "where networks run is chosen once, at the start; those who choose it name no network"),
    ("train", "device", "the same: finding the device a setting means, and saying which one it is"),
    ("train", "backend", "the same: with what arithmetic"),
    ("train", "has_bf16", "the same: whether that arithmetic is good for bf16, which `hub config` says"),
];

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 60;

/// Text that must stay in its home: what, where it may stand, what to do instead.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("rusqlite", &["db/sqlite/mod.rs", "db/sqlite/statements.rs"], "go through db::Tx"),
    (
        "sqlite",
        &["db/mod.rs", "db/sqlite/mod.rs", "db/sqlite/statements.rs"],
        "nobody else knows which engine the database is; see db/engine.rs",
    ),
    (
        "postgres::",
        &[
            "db/mod.rs",
            "db/postgres/address.rs",
            "db/postgres/open.rs",
            "db/postgres/pool.rs",
            "db/postgres/tls.rs",
            "db/postgres/values.rs",
        ],
        "go through db::Tx",
    ),
    ("pragma ", &["db/sqlite/mod.rs", "db/sqlite/statements.rs"], "name in db/engine.rs what every engine must be able to do"),
    ("search_index", &["catalog/full_text.rs"], "full text differs between engines; go through catalog::full_text"),
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

fn forbidden_arrows(source: &Source, handed_on: &HandedOn) -> Vec<String> {
    let room = source.room();
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: '{room}' is no room of the house; add it to ARROWS and docs/ARCHITECTURE.md", source.path)];
    };
    let declared = |room: &str, name: &str| HANDED_ON.iter().any(|(by, what, _)| *by == room && *what == name);
    let mut objections = Vec::new();
    for (line, named) in all_named(source) {
        for used in handed_on.rooms(&named.path, &declared) {
            let known = ARROWS.iter().any(|(name, _)| *name == used);
            if known && used != room && used != "domain" && !allowed.contains(&used.as_str()) {
                let through = if used == named.path[0] { String::new() } else { format!(" (as {})", named.path.join("::")) };
                objections
                    .push(format!("{}:{line}: {room} may not use {used}{through}; move the code, or pass in what it needs", source.path));
            }
        }
    }
    objections.dedup();
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
    for (line, name, length) in source.functions() {
        if length >= MAX_FUNCTION_LINES {
            objections.push(format!("{}:{line}: fn {name} has {length} lines; name the idea inside it", source.path));
        }
    }
    objections
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
    let handed_on = HandedOn::of(&sources());
    check(|source| forbidden_arrows(source, &handed_on));
}

/// Who hands on all that a module holds, hides what.
fn nameless(handed_on: &HandedOn) -> Vec<String> {
    let all = handed_on.names().filter(|(_, name)| name == "*");
    all.map(|(room, _)| format!("{room} hands on all of another room's module; name what is meant")).collect()
}

#[test]
fn what_is_handed_on_has_a_name_and_is_needed() {
    let sources = sources();
    let handed_on = HandedOn::of(&sources);
    assert_eq!(nameless(&handed_on), Vec::<String>::new());
    for (room, name, _) in HANDED_ON {
        let of_it = |path: &[String]| path[0] == *room && path[1..].iter().any(|segment| segment == name);
        let crosses = |path: &[String]| of_it(path) && handed_on.rooms(path, &|_, _| false).len() > 1;
        let needed = sources.iter().any(|source| all_named(source).iter().any(|(_, named)| source.room() != *room && crosses(&named.path)));
        assert!(needed, "nobody needs that {room} hands on {name}; take it off HANDED_ON");
    }
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

    fn arrows(source: &Source) -> Vec<String> {
        forbidden_arrows(source, &HandedOn::default())
    }

    #[test]
    fn to_a_wrong_arrow() {
        let source = Source::new("blob/stage.rs", "//! x\nuse crate::{domain::time, service::Service};\nuse crate::{\n    db::Tx,\n};\n");
        let objections = arrows(&source);
        assert_eq!(objections.len(), 2, "{objections:?}");
        assert!(objections[0].contains("blob may not use service"));
        assert!(arrows(&Source::new("main.rs", "//! x\nfn main() { hub::service::run() }\n")).len() == 1);
        assert!(arrows(&Source::new("train/mod.rs", "//! x\nuse crate::nn::Mode;\n")).is_empty());
        assert_eq!(arrows(&Source::new("attic/mod.rs", "//! x\n")).len(), 1);
    }

    #[test]
    fn to_what_is_used_through_another_room() {
        let rooms = [
            Source::new("train/mod.rs", "//! x\npub use crate::nn::weights::{self, Weights};\npub use self::fit::fit;\n"),
            Source::new("import/mod.rs", "//! x\npub mod words {\n    pub use crate::nn::{\n        Weights as Tensors,\n    };\n}\n"),
            Source::new("client/mod.rs", "//! x\npub type Kept = crate::cache::Cache;\n"),
            Source::new("service/mod.rs", "//! x\npub use crate::train::Weights as Tensors;\npub(crate) use crate::domain::time::Clock;\n"),
        ];
        let handed_on = HandedOn::of(&rooms);
        let objections = |path: &str, text: &str| forbidden_arrows(&Source::new(path, &format!("//! x\n{text}\n")), &handed_on);
        for (path, text, used) in [
            ("service/x.rs", "use crate::train::Weights;", "nn"),
            ("service/x.rs", "use crate::train::{weights as w, fit};", "nn"),
            ("service/x.rs", "use crate::{domain::x, train};\nfn f() { train::weights::random() }", "nn"),
            ("service/x.rs", "use crate::import::words::Tensors;", "nn"),
            ("worker/x.rs", "use crate::service::Tensors;", "nn"),
            ("http/x.rs", "use crate::service::Tensors;", "nn"),
            ("http/x.rs", "fn f(at: &crate::service::Tensors) {}", "train"),
            ("cli/x.rs", "use crate::train::Weights;", "nn"),
        ] {
            let found = objections(path, text);
            assert!(found.iter().any(|objection| objection.contains(&format!("may not use {used} (as "))), "{path}: {text}: {found:?}");
        }
        for (path, text) in [
            ("service/x.rs", "use crate::train::{self, fit};\nfn f() { train::fit() }"),
            ("train/x.rs", "use crate::train::Weights;"),
            ("cli/x.rs", "use crate::client::Kept;"),
            ("http/x.rs", "use crate::service::Clock;"),
        ] {
            assert_eq!(objections(path, text), Vec::<String>::new(), "{text}");
        }
        let whole = [Source::new("train/mod.rs", "//! x\npub use crate::nn::*;\n")];
        assert_eq!(nameless(&HandedOn::of(&whole)).len(), 1);
    }

    #[test]
    fn to_what_comes_after_a_test() {
        let tests = [
            "#[cfg(test)]\nmod x_tests;",
            "#[cfg(test)]\n#[path = \"x_tests.rs\"]\nmod tests;",
            "#[cfg(test)]\nmod tests {\n    fn f() {\n        x.unwrap();\n    }\n}",
            "#[cfg(test)]\n#[allow(x)] // why\npub(super) mod tests {\n    use crate::service::X;\n\n    fn f() {\n        x.unwrap()\n    }\n}",
            "#[cfg(test)]\nuse crate::{\n    service::X,\n};",
            "#[cfg(all(test, target_os = \"linux\"))]\nfn f(\n    a: A,\n) -> B {\n    a.unwrap()\n}",
            "impl X {\n    #[cfg(test)]\n    fn f() {\n        x.unwrap();\n    }\n}",
            "struct X {\n    #[cfg(test)]\n    x: crate::service::X,\n}",
        ];
        for test in tests {
            let alone = Source::new("blob/x.rs", &format!("//! x\n{test}\n"));
            assert_eq!((homeless(&alone), arrows(&alone)), (vec![], vec![]), "{test}");
            let live = Source::new("blob/x.rs", &format!("//! x\n{test}\n\nuse crate::service::X;\n\nfn g() {{\n    x.unwrap();\n}}\n"));
            let line = 6 + test.lines().count();
            assert!(
                homeless(&live).len() == 1 && homeless(&live)[0].starts_with(&format!("blob/x.rs:{line}:")),
                "{test}: {:?}",
                homeless(&live)
            );
            assert_eq!(arrows(&live).len(), 1, "{test}");
        }
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
