//! Reading an index: strict, since what it says is shown as fact. Keys nobody knows, names that are given twice, and a form that a
//! newer hub writes are refused, by the file they stand in.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::{DatasetEntry, Entry, Index, Measured, ModelEntry};
use crate::domain::digest::Digest;
use crate::domain::name::{Name, RepoId, RepoKind};
use crate::domain::path::RepoPath;

/// The form of an index file that this program reads.
pub const FORMAT: i64 = 1;

/// Why an index is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("the library's index '{file}': {problem}")]
    Wrong { file: String, problem: String },
    #[error("the library's index '{file}' is of format {format}, and this hub reads format {FORMAT}")]
    Newer { file: String, format: i64 },
}

/// A file of an index.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "format")]
    _format: i64,
    /// What figures name as their source, by a short word.
    #[serde(default)]
    sources: HashMap<String, String>,
    #[serde(default)]
    model: Vec<ModelEntry>,
    #[serde(default)]
    dataset: Vec<DatasetEntry>,
}

pub(super) fn version<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = texts.map(|text| Digest::of(text.as_bytes()).to_hex()).collect();
    Digest::of(all.join("\n").as_bytes()).to_hex()
}

pub(super) fn read<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Index, IndexError> {
    let files: Vec<_> = files.collect();
    let mut entries = Vec::new();
    for (name, text) in &files {
        let wrong = |problem: String| IndexError::Wrong { file: (*name).to_owned(), problem };
        entries.extend(
            read_file(name, text)?.into_iter().map(|entry| check(&entry).map(|()| entry)).collect::<Result<Vec<_>, _>>().map_err(wrong)?,
        );
    }
    unique(&entries).map_err(|problem| IndexError::Wrong { file: files.first().map_or("", |(name, _)| *name).to_owned(), problem })?;
    Ok(Index { entries, version: version(files.iter().map(|(_, text)| *text)) })
}

fn read_file(name: &str, text: &str) -> Result<Vec<Entry>, IndexError> {
    let wrong = |problem: String| IndexError::Wrong { file: name.to_owned(), problem };
    let said = |e: toml::de::Error| wrong(e.to_string().trim().to_owned());
    // The format first: what a newer hub wrote may hold whatever it likes.
    let table: toml::Table = toml::from_str(text).map_err(said)?;
    match table.get("format").and_then(toml::Value::as_integer) {
        Some(format) if format > FORMAT => return Err(IndexError::Newer { file: name.to_owned(), format }),
        Some(FORMAT) => {}
        _ => return Err(wrong(format!("it does not say 'format = {FORMAT}'"))),
    }
    let file: File = table.try_into().map_err(said)?;
    let sources = file.sources;
    let known = |key: &String| sources.get(key).cloned().ok_or_else(|| wrong(format!("'{key}' is none of its [sources]")));
    let mut entries = Vec::new();
    for mut model in file.model {
        model.from = model.from.iter().map(known).collect::<Result<_, _>>()?;
        for result in &mut model.results {
            result.source = known(&result.source)?;
        }
        entries.push(Entry::Model(Box::new(model)));
    }
    entries.extend(file.dataset.into_iter().map(|dataset| Entry::Dataset(Box::new(dataset))));
    Ok(entries)
}

fn check(entry: &Entry) -> Result<(), String> {
    let of = |problem: String| format!("'{}': {problem}", entry.name());
    for name in std::iter::once(entry.name()).chain(entry.aliases().iter().map(String::as_str)) {
        Name::parse(name).map_err(|e| of(format!("the name '{name}': {e}")))?;
    }
    match entry {
        Entry::Model(model) => check_model(model).map_err(of),
        Entry::Dataset(dataset) => address(&dataset.homepage).map_err(of),
    }
}

fn check_model(model: &ModelEntry) -> Result<(), String> {
    if !model.upstream.is_empty() {
        RepoId::parse(&model.upstream).map_err(|e| format!("upstream '{}': {e}", model.upstream))?;
    }
    if !model.revision.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
        return Err(format!("'{}' is no revision", model.revision));
    }
    address(&model.elsewhere)?;
    for pin in &model.weights {
        RepoPath::parse(&pin.path).map_err(|e| e.to_string())?;
        Digest::parse(&pin.sha256).map_err(|e| format!("{}: {e}", pin.path))?;
    }
    for name in model.trained_on.iter().flatten() {
        Name::parse(name).map_err(|e| format!("trained_on '{name}': {e}"))?;
    }
    let finite = |value: &f64| value.is_finite() && *value >= 0.0;
    if ![model.gmacs, model.mactivations, model.crop_pct].iter().chain(&model.std).all(finite) || !model.mean.iter().all(|v| v.is_finite())
    {
        return Err("a figure is no number".into());
    }
    model.results.iter().try_for_each(check_result)
}

fn check_result(result: &Measured) -> Result<(), String> {
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    if !plain(&result.measure) || !plain(&result.on) {
        return Err(format!("'{}' on '{}' is no measure", result.measure, result.on));
    }
    let share = ["top1", "top5"].contains(&result.measure.as_str());
    match result.value.is_finite() && (!share || (0.0..=1.0).contains(&result.value)) {
        true => Ok(()),
        false => Err(format!("{} {} is no such value", result.measure, result.value)),
    }
}

/// Empty, or of the open web.
fn address(text: &str) -> Result<(), String> {
    let good = text.is_empty() || ["https://", "http://"].iter().any(|start| text.starts_with(start));
    if good && !text.chars().any(|c| c.is_whitespace() || c.is_control()) { Ok(()) } else { Err(format!("'{text}' is no address")) }
}

/// A name leads to one entry.
fn unique(entries: &[Entry]) -> Result<(), String> {
    let mut seen: HashSet<(RepoKind, String)> = HashSet::new();
    for entry in entries {
        for name in std::iter::once(entry.name()).chain(entry.aliases().iter().map(String::as_str)) {
            let folded = Name::parse(name).map(|name| name.folded()).unwrap_or_default();
            if !seen.insert((entry.kind(), folded)) {
                return Err(format!("the {} '{name}' is given twice (case, '-', '_' and '.' count as the same)", entry.kind()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_with_the_program_is_good_and_whole() {
        let index = Index::shipped().unwrap();
        let models = index.entries.iter().filter(|entry| entry.kind() == RepoKind::Model);
        assert!(models.clone().count() >= 150, "{}", models.count());
        let datasets: HashSet<&str> = index.entries.iter().filter(|e| e.kind() == RepoKind::Dataset).map(Entry::name).collect();
        for entry in models {
            for name in entry.stages().iter().flatten() {
                assert!(datasets.contains(name.as_str()), "{} was trained on '{name}', of which nothing is said", entry.name());
            }
            let Entry::Model(model) = entry else { continue };
            assert!(!model.from.is_empty() && !model.modality.is_empty() && !model.task.is_empty(), "{}", model.name);
            assert!(model.upstream.is_empty() != model.elsewhere.is_empty(), "{} is to be had somewhere", model.name);
        }
        assert_eq!(index.version, Index::shipped_version());
    }

    #[test]
    fn every_file_of_the_folder_is_shipped() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("library");
        let mut there: Vec<String> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        let shipped: Vec<&str> = super::super::SHIPPED.iter().map(|(name, _)| *name).collect();
        assert_eq!(there, shipped);
    }

    #[test]
    fn wrong_indexes_are_refused_by_name() {
        let said = |text: &str| Index::read("mine.toml", text).unwrap_err().to_string();
        assert!(said("format = 2\nwhatever = 1\n").contains("format 2"), "{}", said("format = 2\nwhatever = 1\n"));
        assert!(said("[[model]]\nname = 'x'\n").contains("format = 1"));
        for (text, why) in [
            ("format = 1\ncolour = 'red'\n", "colour"),
            ("format = 1\n[[model]]\nname = 'x'\nparams = 1\n", "params"),
            ("format = 1\n[[model]]\nname = '../x'\n", "../x"),
            ("format = 1\n[[model]]\nname = 'x'\nupstream = 'a/b/c'\n", "a/b/c"),
            ("format = 1\n[[model]]\nname = 'x'\nelsewhere = 'file:///etc/passwd'\n", "no address"),
            ("format = 1\n[[model]]\nname = 'x.y'\n[[model]]\nname = 'z'\naliases = ['X_y']\n", "twice"),
            ("format = 1\n[[model]]\nname = 'x'\nweights = [{ path = '../x', sha256 = 'ab' }]\n", "x"),
            ("format = 1\n[[model]]\nname = 'x'\nweights = [{ path = 'x', sha256 = 'ab' }]\n", "digest"),
            ("format = 1\n[[model]]\nname = 'x'\nfrom = ['hearsay']\n", "hearsay"),
            (
                "format = 1\n[sources]\na = 'A'\n[[model]]\nname = 'x'\nresults = [{ on = 'y', measure = 'top1', value = 80.1, source = 'a' }]\n",
                "80.1",
            ),
        ] {
            assert!(said(text).contains(why) && said(text).contains("mine.toml"), "{text}: {}", said(text));
        }
    }
}
