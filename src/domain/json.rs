//! JSON as Python's `json` writes and Windows' editors save it: with a byte order mark, and with `NaN` and `Infinity` where
//! a number is none. Those come back as texts of that spelling, so that nobody takes them for numbers or for nothing.

use serde_json::Value;

/// Reads such a text; the error says where it is none.
pub fn read(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str(text) {
        Err(problem) if problem.is_syntax() => serde_json::from_str(&quoted(text)).map_err(|_| problem),
        other => other,
    }
}

const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// The same text with quotes around the numbers that are none, wherever they stand outside of strings.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        let (before, found) = rest.split_at(at);
        quoted.push_str(before);
        let word = WORDS.iter().find(|word| found.starts_with(**word));
        let length = match word {
            Some(word) => word.len(),
            None if found.starts_with('"') => string_length(found),
            None => 1,
        };
        match word {
            Some(word) => quoted.extend(["\"", *word, "\""]),
            None => quoted.push_str(&found[..length]),
        }
        rest = &found[length..];
    }
    quoted.push_str(rest);
    quoted
}

/// Bytes of the string that begins here, with its quotes; all that is left where it never ends.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_are_none_are_texts() {
        let read = |text: &str| read(text).unwrap();
        assert_eq!(
            read("{\"limit\":[0.0, Infinity, -Infinity],\"eps\":NaN}"),
            json!({"limit": [0.0, "Infinity", "-Infinity"], "eps": "NaN"})
        );
        assert_eq!(read(r#"{"a":"NaN \" Infinity","b\\":-1,"c":NaN}"#), json!({"a": "NaN \" Infinity", "b\\": -1, "c": "NaN"}));
        assert_eq!(read("\u{feff}{\"a\": 1}"), json!({"a": 1}));
        assert_eq!(read("NaN"), json!("NaN"));
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in ["", "{", "[Infinit]", "{\"a\": NaNa}", "nan", "\"NaN", "{'a': 1}", "+Infinity"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err(), "nested without end");
        assert!(read(&format!("[{}", "NaN,".repeat(100_000))).is_err());
    }
}
