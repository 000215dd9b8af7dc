//! Class names from a file: a line per class, or the JSON forms that model packages ship.

use std::path::Path;

use serde_json::Value;

use super::error::{Error, Result};
use super::source::read_whole;

const MAX_LABELS_BYTES: u64 = 4 * 1024 * 1024;

/// Reads one name per class, in the order of the classifier's rows.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = read_whole(path, MAX_LABELS_BYTES, &mut |_| {})?;
    let text = String::from_utf8(bytes).map_err(|_| invalid("the file is not UTF-8 text"))?;
    let names = if text.trim_start().starts_with(['[', '{']) { from_json(&text)? } else { from_lines(&text) };
    if names.is_empty() {
        return Err(invalid("the file names no classes"));
    }
    Ok(names)
}

fn from_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// `["cat", "dog"]`, `{"0": "cat", "1": "dog"}` or `{"0": ["n02121620", "cat"]}`.
fn from_json(text: &str) -> Result<Vec<String>> {
    let value: Value = serde_json::from_str(text).map_err(|error| invalid(&format!("the file is not valid JSON: {error}")))?;
    match value {
        Value::Array(names) => names.iter().map(name_of).collect(),
        Value::Object(map) => {
            let by_index = |index| map.get(&format!("{index}")).ok_or_else(|| invalid(&format!("class {index} is missing")));
            (0..map.len()).map(|index| name_of(by_index(index)?)).collect()
        }
        _ => Err(invalid("a JSON list of names or an object from index to name belongs there")),
    }
}

fn name_of(value: &Value) -> Result<String> {
    let name = match value {
        Value::Array(parts) => parts.last().and_then(Value::as_str),
        other => other.as_str(),
    };
    name.map(str::to_owned).ok_or_else(|| invalid("a class has a name that is not text"))
}

fn invalid(problem: &str) -> Error {
    Error::Invalid { setting: "labels", problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn each_form_gives_the_same_names() {
        for text in [
            "cat\ndog\n",
            "cat\r\n\r\ndog",
            r#"["cat", "dog"]"#,
            r#"{"1": "dog", "0": "cat"}"#,
            r#"{"0": ["n1", "cat"], "1": ["n2", "dog"]}"#,
        ] {
            assert_eq!(read_text(text).unwrap(), ["cat", "dog"], "{text}");
        }
    }

    #[test]
    fn broken_files_are_refused() {
        for text in ["", "\n", "[1]", "[", r#"{"0": "cat", "2": "dog"}"#] {
            assert!(matches!(read_text(text), Err(Error::Invalid { setting: "labels", .. })), "{text}");
        }
    }
}
