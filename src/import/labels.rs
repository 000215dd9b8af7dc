//! Class names from a file: a line per class, or the JSON forms that model packages ship.

use std::path::Path;

use serde_json::Value;

use super::error::{Error, Result};
use super::source::read_whole;

const MAX_LABELS_BYTES: u64 = 4 * 1024 * 1024;

/// Reads one name per class, in the order of the classifier's rows.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let bytes = read_whole(path, MAX_LABELS_BYTES, &mut |_| {})?;
    let text = decode(bytes)?;
    let names = if text.trim_start().starts_with(['[', '{']) { from_json(&text)? } else { from_lines(&text) };
    if names.is_empty() {
        return Err(invalid("the file names no classes"));
    }
    Ok(names)
}

/// UTF-8, or UTF-16 with the mark that Windows writes; marks are no part of a name.
fn decode(bytes: Vec<u8>) -> Result<String> {
    let wide = |of: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..].as_chunks::<2>().0.iter().copied().map(of).collect();
        String::from_utf16(&units).map_err(|_| invalid("the file is not UTF-16 text"))
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => {
            let text = String::from_utf8(bytes).map_err(|_| invalid("the file is not UTF-8 text"))?;
            Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
        }
    }
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
            "\u{feff}cat\r\ndog\r\n",
            "\u{feff}[\"cat\", \"dog\"]",
            r#"["cat", "dog"]"#,
            r#"{"1": "dog", "0": "cat"}"#,
            r#"{"0": ["n1", "cat"], "1": ["n2", "dog"]}"#,
        ] {
            assert_eq!(read_text(text).unwrap(), ["cat", "dog"], "{text}");
        }
    }

    #[test]
    fn what_windows_writes_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let wide: Vec<u8> = "\u{feff}cat\r\ndog\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(file.path(), wide).unwrap();
        assert_eq!(read(file.path()).unwrap(), ["cat", "dog"]);
    }

    #[test]
    fn broken_files_are_refused() {
        for text in ["", "\n", "[1]", "[", r#"{"0": "cat", "2": "dog"}"#] {
            assert!(matches!(read_text(text), Err(Error::Invalid { setting: "labels", .. })), "{text}");
        }
    }
}
