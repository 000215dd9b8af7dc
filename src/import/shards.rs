//! Weights that are spread over files: `model-00001-of-00003.safetensors` and its kin, with or without an index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{Error, Result};
use super::source::read_whole;

/// Longest index in bytes.
const MAX_INDEX_BYTES: u64 = 32 * 1024 * 1024;

/// The parts in a folder, in order; none where it holds no such weights. A part that is missing is an error that names it.
pub fn parts_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut sets: BTreeMap<(String, usize, String), BTreeSet<usize>> = BTreeMap::new();
    let mut index = None;
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((stem, number, count, ending)) = part(name) {
            sets.entry((stem.into(), count, ending.into())).or_default().insert(number);
        } else if name.ends_with(".index.json") && name.contains('.') {
            index = Some(path);
        }
    }
    let named = index.as_deref().map(named_by).transpose()?.unwrap_or_default();
    if !named.is_empty() {
        return complete(folder, named);
    }
    // Where a model is there in both forms, the safetensors one.
    let set = sets.into_iter().max_by_key(|((_, _, ending), _)| ending == "safetensors");
    let Some(((stem, count, ending), _)) = set else { return Ok(Vec::new()) };
    complete(folder, (1..=count).map(|number| format!("{stem}-{number:05}-of-{count:05}.{ending}")).collect())
}

/// Stem, number, count and ending.
fn part(name: &str) -> Option<(&str, usize, usize, &str)> {
    let (rest, ending) = name.rsplit_once('.')?;
    let (rest, count) = rest.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse::<usize>().ok()).flatten();
    let (number, count) = (digits(number)?, digits(count)?);
    (super::forms::is_weights(name) && (1..=count).contains(&number) && count <= 1_000).then_some((stem, number, count, ending))
}

/// The files that an index names, in order. What else may lie there is no index of weights.
fn named_by(index: &Path) -> Result<BTreeSet<String>> {
    let bytes = read_whole(index, MAX_INDEX_BYTES, &mut |_| {})?;
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let map = value.get("weight_map").and_then(Value::as_object);
    let files = map.into_iter().flat_map(|map| map.values()).filter_map(Value::as_str);
    // Names lead into the folder and nowhere else.
    Ok(files.filter(|name| !name.is_empty() && !name.contains(['/', '\\', ':']) && !name.starts_with('.')).map(str::to_owned).collect())
}

fn complete(folder: &Path, names: BTreeSet<String>) -> Result<Vec<PathBuf>> {
    let missing: Vec<&str> = names.iter().filter(|name| !folder.join(name).is_file()).take(5).map(String::as_str).collect();
    if !missing.is_empty() {
        let problem =
            format!("the weights are in {} parts, of which these are missing: {}; fetch them too", names.len(), missing.join(", "));
        return Err(Error::Unsupported { path: folder.to_owned(), problem });
    }
    Ok(names.iter().map(|name| folder.join(name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    #[test]
    fn parts_are_found_by_their_index_or_by_their_names() {
        let named = |files: &[(&str, &str)]| {
            let folder = folder(files);
            let parts = parts_in(folder.path()).map_err(|error| error.to_string())?;
            Ok::<_, String>(parts.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>())
        };
        let (a, b) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        assert_eq!(named(&[(a, ""), (b, ""), ("model.safetensors.index.json", "{}")]).unwrap(), [a, b]);
        let index = r#"{"weight_map": {"x": "part_b.bin", "y": "part_a.bin", "z": "../../etc/passwd"}}"#;
        assert_eq!(
            named(&[("part_a.bin", ""), ("part_b.bin", ""), ("pytorch_model.bin.index.json", index)]).unwrap(),
            ["part_a.bin", "part_b.bin"]
        );
        let error = named(&[(a, "")]).unwrap_err();
        assert!(error.contains("2 parts") && error.contains(b), "{error}");
        assert!(named(&[("model.safetensors", "")]).unwrap().is_empty());
    }
}
