//! What must stay in one home stays there: outside of its room nothing in `src` names a family of architectures, a modality
//! or a task. Each objection says where the knowledge belongs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use hub::nn::architectures;

/// Where families may be named: their own room, tables of other projects' names, and the list of the library's files.
const HOMES: &[&str] = &["nn/architectures/", "import/mappings/", "domain/library/shipped.rs"];
/// Examples for people, who know models by such names.
const EXAMPLES: &[&str] = &["cli/", "http/web/home.rs", "domain/config.rs"];

/// A source file's live lines: without comments and test items.
fn live(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut skipped) = (Vec::new(), None::<String>);
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if let Some(close) = &skipped {
            if line == close || line.starts_with(&format!("{close};")) {
                skipped = None;
            }
            continue;
        }
        if line.trim_start().starts_with("#[cfg(test)]") {
            // The item goes on to the brace under its first line, or ends with it.
            while let Some((_, next)) = lines.next_if(|(_, next)| next.trim_start().starts_with("#[") || next.trim_end().ends_with(';')) {
                if next.trim_end().ends_with(';') {
                    break;
                }
            }
            if lines.peek().is_some_and(|(_, next)| next.trim_end().ends_with('{')) {
                lines.next();
                skipped = Some(format!("{indent}}}"));
            }
            continue;
        }
        if !line.trim_start().starts_with("//") {
            found.push((at + 1, line));
        }
    }
    found
}

/// The words by which the families are known: `resnet` of `resnet18`, `efficientnet` of `tf_efficientnet_lite0`.
fn words() -> Vec<String> {
    // Without the letter of a version: `mobilenet` of `mobilenetv2_100`.
    let letters = |name: &str| {
        let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
        let versioned = name[word.len()..].starts_with(|c: char| c.is_ascii_digit());
        word.strip_suffix('v').filter(|_| versioned).unwrap_or(&word).to_owned()
    };
    // Networks of clips have names of one letter and a number, or of a word that others use: `x3d_s`, `slow_r50`.
    let plain = |word: &String| word.len() > 2 && word != "slow";
    let names = architectures::all().flat_map(|known| [known.name.trim_start_matches("tf_").trim_start_matches("wide_"), known.family]);
    let mut words: Vec<String> = names.map(letters).filter(plain).collect();
    words.sort();
    words.dedup();
    words
}

/// The word that names a family in this line, if one does: as a part of an identifier or a string, in any case.
fn named<'a>(line: &str, words: &'a [String]) -> Option<&'a String> {
    let line = line.to_ascii_lowercase();
    let pieces: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let is = |piece: &str, word: &str| match piece.strip_prefix(word) {
        // A short word begins many others.
        Some(rest) => rest.chars().all(|c| c.is_ascii_digit()) || word.len() > 4,
        None => false,
    };
    words.iter().find(|word| pieces.iter().any(|piece| is(piece, word)))
}

fn objections(path: &str, text: &str, words: &[String]) -> Vec<String> {
    if path.ends_with("tests.rs") || HOMES.iter().chain(EXAMPLES).any(|home| path.starts_with(home)) {
        return Vec::new();
    }
    let found = live(text).into_iter().filter_map(|(at, line)| Some((at, named(line, words)?)));
    found.map(|(at, word)| format!("{path}:{at} names `{word}`; let its file in nn/architectures answer instead")).collect()
}

/// Every source file by its path below `src`, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|entry| entry.unwrap().into_path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    let sources: Vec<_> = files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    assert!(sources.len() > 40, "the sources were not found");
    sources
}

#[test]
fn only_its_own_file_names_a_family() {
    let words = words();
    assert!(["mobilenet", "resnet", "vit"].iter().all(|word| words.iter().any(|known| known == word)), "{words:?}");
    let found: Vec<String> = sources().iter().flat_map(|(path, text)| objections(path, text, &words)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Types whose variants only their seam may tell apart: the type, its variants, where they may be named, what to do instead.
const VARIANTS: &[(&str, &[&str], &[&str], &str)] = &[
    (
        "Modality",
        &["Image", "Text", "Video", "Audio"],
        &["domain/modality.rs", "domain/recipe/usual.rs", "data/image/", "data/text/", "data/video/", "nn/architectures/"],
        "ask data::modality, or the architecture",
    ),
    (
        "Task",
        &[
            "Classification",
            "Regression",
            "MultiLabel",
            "MultiRegression",
            "Ordinal",
            "MultiTask",
            "Anomaly",
            "Similarity",
            "TokenClassification",
            "ObjectDetection",
            "SemanticSegmentation",
        ],
        &["domain/task.rs", "domain/task/", "data/targets/", "train/tasks/"],
        "ask what domain::task says about it, or train::tasks",
    ),
];

fn named_variants(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (kind, variants, homes, instead) in VARIANTS {
        if path.ends_with("tests.rs") || homes.iter().any(|home| path.starts_with(home)) {
            continue;
        }
        for (at, line) in live(text) {
            let names = |variant: &&&str| line.contains(&format!("{kind}::{variant}"));
            if let Some(variant) = variants.iter().find(names) {
                found.push(format!("{path}:{at} tells {kind}::{variant} from others; {instead}"));
            }
        }
    }
    found
}

#[test]
fn only_their_seams_tell_modalities_and_tasks_apart() {
    let found: Vec<String> = sources().iter().flat_map(|(path, text)| named_variants(path, text)).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    assert_eq!(VARIANTS[1].1.len(), hub::domain::task::Task::ALL.len(), "a new task is to be listed here");
    let knows = |variant: &&str| hub::domain::modality::Modality::parse(&variant.to_lowercase()).is_some();
    assert!(VARIANTS[0].1.iter().all(knows), "modalities by their names");
}

#[test]
fn the_check_objects() {
    let words = words();
    let object = |line: &str| !objections("train/x.rs", &format!("//! x\n{line}\n"), &words).is_empty();
    for line in
        ["let x = \"resnet50\";", "use crate::nn::vit::Vit;", "fn vit_costs() {}", "MobileNetV3::small()", "\"tf_efficientnet_lite0\""]
    {
        assert!(object(line), "{line}");
    }
    for line in ["// like resnet50", "let activity = vital(gravity);", "#[cfg(test)]\nmod tests {\n    let x = \"resnet\";\n}"] {
        assert!(!object(line), "{line}");
    }
    let after = "#[cfg(test)]\nmod tests {\n    let x = 1;\n}\nlet x = \"resnet\";";
    assert!(object(after), "what follows a test item is live");
    assert!(object("#[cfg(test)]\nmod more_tests;\nlet x = \"resnet\";"));
    assert!(objections("nn/architectures/resnet.rs", "let x = \"resnet\";", &words).is_empty());
}

#[test]
fn the_check_of_variants_objects() {
    let object = |path: &str, line: &str| !named_variants(path, &format!("//! x\n{line}\n")).is_empty();
    assert!(object("train/fit.rs", "if task == Task::Regression { scale() }"));
    assert!(object("http/web/jobs.rs", "Modality::Image => \"images\","));
    assert!(!object("train/tasks/regression.rs", "Task::Regression"));
    assert!(!object("train/fit.rs", "// unlike Task::Regression"));
    assert!(!object("train/fit.rs", "let task = Task::default();"));
}
