//! Files that name classes by their numbers: a name a line, `data.yaml`, or JSON.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Given;
use crate::data::error::Result;
use crate::domain::card::Card;

/// Files with a name a line, by what they are called.
const LISTS: [&str; 9] = [
    "classes.txt",
    "labels.txt",
    "class_names.txt",
    "label_names.txt",
    "names.txt",
    "obj.names",
    "coco.names",
    "predefined_classes.txt",
    "_darknet.labels",
];
const JSON: [&str; 4] = ["classes.json", "id2label.json", "labels.json", "class_names.json"];
/// Numbers beyond this are no classes.
const MOST: usize = 100_000;

pub fn is_list(path: &str) -> bool {
    LISTS.contains(&file(path).as_str())
}

fn file(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_lowercase()
}

/// The names by their numbers, and the file that has them; the one nearest to the top, if there are several.
pub fn find(given: &Given<'_>) -> Result<Option<(Vec<String>, String)>> {
    let known = |path: &&&str| is_list(path) || JSON.contains(&file(path).as_str());
    let mut files: Vec<&str> = given.tree.others.iter().filter(known).copied().collect();
    files.sort_by_key(|path| (path.matches('/').count(), *path));
    for path in files {
        let Some(text) = given.text(path)? else { continue };
        let names = match JSON.contains(&file(path).as_str()) {
            true => serde_json::from_str(&text).ok().and_then(|value| of_value(&value)),
            false => Some(of_lines(&text)),
        };
        if let Some(names) = names.filter(|names| !names.is_empty()) {
            return Ok(Some((names, path.to_owned())));
        }
    }
    Ok(None)
}

/// A name a line; a line may begin with its number (`1 cell`, `1: cell`), if all of them do.
fn of_lines(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let numbered = |line: &&str| {
        let (number, name) = line.split_once([' ', '\t', ':', ','])?;
        Some((number.parse::<usize>().ok().filter(|number| *number < MOST)?, name.trim_start_matches([' ', ':', ',']).trim().to_owned()))
    };
    match lines.iter().map(numbered).collect::<Option<BTreeMap<usize, String>>>() {
        Some(pairs) if pairs.len() == lines.len() => filled(pairs),
        _ => lines.into_iter().map(str::to_owned).collect(),
    }
}

/// Numbers without a name are called by the number.
fn filled(pairs: BTreeMap<usize, String>) -> Vec<String> {
    let most = pairs.keys().next_back().map_or(0, |last| last + 1);
    (0..most).map(|number| pairs.get(&number).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| number.to_string())).collect()
}

/// A list of names, or names by their numbers.
pub fn of_value(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match value {
        Value::Array(all) => all.iter().map(text).collect(),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| Some((key.parse().ok().filter(|number| *number < MOST)?, text(value)?));
            Some(filled(map.iter().map(pair).collect::<Option<BTreeMap<usize, String>>>()?))
        }
        _ => None,
    }
}

/// What a `data.yaml` says.
#[derive(Debug, Default)]
pub struct DataYaml {
    pub names: Option<Vec<String>>,
    /// Folders or lists of images, by the word for their split.
    pub splits: Vec<(&'static str, Vec<String>)>,
}

/// Reads a `data.yaml` as the trainers of that format have it. What cannot be read says nothing.
pub fn data_yaml(text: &str) -> DataYaml {
    let plain = text.lines().filter(|line| line.trim_end() != "---").map(|line| format!("{line}\n")).collect::<String>();
    let wrapped = format!("---\n{plain}\n---\n");
    let front = Card::read_bytes(wrapped.as_bytes(), wrapped.len() as u64).0.extra;
    let root = front.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
    let paths = |key: &str| -> Vec<String> {
        let all = match front.get(key) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        all.into_iter().map(|path| plain_path(&root, path)).filter(|path| !path.is_empty()).collect()
    };
    let names = front.get("names").and_then(of_value).or_else(|| numbered_below(text));
    DataYaml { names, splits: ["train", "val", "test"].map(|split| (split, paths(split))).into() }
}

/// The lines `NUMBER: NAME` below `names:`, which not every reader of YAML takes for keys.
fn numbered_below(text: &str) -> Option<Vec<String>> {
    let lines = text.lines().skip_while(|line| line.trim_end() != "names:").skip(1);
    let lines = lines.take_while(|line| line.starts_with([' ', '\t']));
    let pair = |line: &str| {
        let (number, name) = line.trim().split_once(':')?;
        Some((number.trim().parse().ok().filter(|number| *number < MOST)?, name.trim().trim_matches(['\'', '"']).to_owned()))
    };
    let pairs: BTreeMap<usize, String> = lines.map(pair).collect::<Option<_>>()?;
    (!pairs.is_empty()).then(|| filled(pairs))
}

/// A path of another machine: what stands before the data set's own folders is cut.
fn plain_path(root: &str, path: &str) -> String {
    let path = path.strip_prefix(root).filter(|_| !root.is_empty()).unwrap_or(path);
    path.split('/').filter(|part| !part.is_empty() && *part != "." && *part != "..").collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_every_form() {
        assert_eq!(of_lines("cat\n\n dog \n"), ["cat", "dog"]);
        assert_eq!(of_lines("0 background\n2: cell\n"), ["background", "1", "cell"]);
        assert_eq!(of_lines("3 wheeler\nbus\n"), ["3 wheeler", "bus"]);
        assert_eq!(of_value(&serde_json::json!({"1": "b", "0": "a"})).unwrap(), ["a", "b"]);
        let yaml = data_yaml("path: ../sets/cells\ntrain: ../train/images\nval: images/val\nnc: 2\nnames: ['RBC', 'WBC']\n");
        assert_eq!(yaml.names.unwrap(), ["RBC", "WBC"]);
        assert_eq!(yaml.splits[..2], [("train", vec!["train/images".to_owned()]), ("val", vec!["images/val".to_owned()])]);
        assert_eq!(data_yaml("names:\n  0: a\n  1: b\n").names.unwrap(), ["a", "b"]);
        assert!(data_yaml("]").names.is_none());
    }
}
