//! Keras: a model's description names the classes of its layers, and a Lambda layer is a program. In a `.keras` file (a zip)
//! the description is `config.json`; in HDF5 it is a text somewhere in the file.

use std::io;

use serde_json::Value;

use super::Findings;
use super::input::{Input, Slice};
use crate::domain::json;

pub(super) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
const CONFIG: &[u8] = b"config.json";
/// Longest description, and bytes of an HDF5 file, that are read.
const MOST_CONFIG: usize = 16 << 20;
const MOST_HDF5: u64 = 256 << 20;
const BLOCK: usize = 1 << 20;
const HIDDEN: &str = "a description of a model whose letters are hidden by escapes, as no writer does";
/// Functions of TensorFlow that a layer may name and that reach beyond its numbers.
const REACHING: &[&str] =
    &["io.", "raw_ops.", "py_func", "numpy_function", "compat.", "load_", "saved_model.", "data.", "summary.", "print"];
const LAMBDA: &str = "a Keras Lambda layer, which holds a program";

pub(super) fn in_config(input: &mut Input, findings: &mut Findings) -> io::Result<()> {
    // A broken stream holds no description, and neither does a picture with a name that could be read as this one.
    let is_object = |start: &[u8]| start.iter().find(|byte| !b"\0\xff\xfe\xef\xbb\xbf \t\r\n".contains(byte)) == Some(&b'{');
    if !input.peek(64).is_ok_and(is_object) {
        return Ok(());
    }
    let text = match input.rest(MOST_CONFIG) {
        Ok(Some(text)) => text,
        Ok(None) => {
            findings.pass_over("its config.json is too long");
            return Ok(());
        }
        // A broken stream holds no description.
        Err(_) => return Ok(()),
    };
    // Python also reads it in UTF-16 and UTF-32.
    let text: Vec<u8> = text.into_iter().filter(|byte| *byte != 0).collect();
    match json::read(&String::from_utf8_lossy(&text)) {
        Ok(value) => find_code(&value).into_iter().for_each(|why| findings.refuse(why)),
        // Python's reader takes more than this one: what is not read is searched.
        Err(_) if names_lambda(&text) => findings.refuse(LAMBDA.into()),
        Err(_) if hides_letters(&text) => findings.refuse(HIDDEN.into()),
        Err(_) if text.trim_ascii_start().starts_with(b"{") => findings.pass_over("its config.json is not read"),
        Err(_) => {}
    }
    Ok(())
}

/// Whether Python's reader of zips may call an entry so: it cuts names at a zero, and takes others from an extra field.
pub(super) fn may_be_config(name: &[u8]) -> bool {
    name.split(|byte| *byte == 0).next() == Some(CONFIG) || !name.is_ascii()
}

/// HDF5 begins at the first byte, or at one of 512, 1024, 2048 and so on.
pub(super) fn is_hdf5(bytes: Slice) -> io::Result<bool> {
    let mut at = 0;
    while at + HDF5.len() as u64 <= bytes.size {
        if bytes.read(at, HDF5.len())? == HDF5 {
            return Ok(true);
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    Ok(false)
}

/// Why loading what this describes runs more than Keras' own layers.
fn find_code(value: &Value) -> Option<String> {
    match value {
        Value::Array(values) => values.iter().find_map(find_code),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            match (text("class_name"), text("module")) {
                (Some("Lambda" | "__lambda__"), _) => return Some(LAMBDA.into()),
                (Some("TFOpLambda" | "SlicingOpLambda"), _) => {
                    let called = map.get("config").and_then(|config| config.get("function")).and_then(Value::as_str).unwrap_or_default();
                    if REACHING.iter().any(|start| called.starts_with(start)) {
                        return Some(format!("a Keras layer that calls TensorFlow's {called}").chars().take(120).collect());
                    }
                }
                (Some(class), Some(module)) if map.contains_key("config") && !is_keras(module, class) => {
                    return Some(format!("{module}.{class}").chars().filter(|c| !c.is_control()).take(120).collect());
                }
                _ => {}
            }
            map.values().find_map(find_code)
        }
        _ => None,
    }
}

/// Layers and what they are made with; Keras' helpers fetch and load files.
fn is_keras(module: &str, class: &str) -> bool {
    let mut parts = module.split('.');
    ["keras", "tf_keras", "tensorflow", "keras_hub", "keras_nlp", "keras_cv"].contains(&parts.next().unwrap_or_default())
        && (class == "FeatureSpace" || !parts.any(|part| part == "utils" || part == "saving"))
}

/// Whatever else is in such a file, it is not said to be looked through.
pub(super) fn in_hdf5(bytes: Slice, findings: &mut Findings) -> io::Result<()> {
    findings.pass_over("HDF5 is searched for Lambda layers only");
    let (mut at, mut seen) = (0, Vec::new());
    while at < bytes.size.min(MOST_HDF5) {
        let block = bytes.read(at, BLOCK)?;
        at += block.len() as u64;
        seen.extend_from_slice(&block);
        if names_lambda(&seen) {
            findings.refuse(LAMBDA.into());
            return Ok(());
        }
        if hides_letters(&seen) {
            findings.refuse(HIDDEN.into());
            return Ok(());
        }
        seen.drain(..seen.len().saturating_sub(64));
    }
    Ok(())
}

/// `\u0061` for a letter: JSON's writers write letters as they are.
fn hides_letters(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|window| {
        let digits = window.strip_prefix(b"\\u00").and_then(|digits| std::str::from_utf8(digits).ok());
        let letter = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        letter.is_some_and(|letter| letter.is_ascii_alphabetic() || letter == b'_')
    })
}

/// `"class_name": "Lambda"`, with any spaces.
fn names_lambda(bytes: &[u8]) -> bool {
    const KEY: &[u8] = b"\"class_name\"";
    let mut rest = bytes;
    while let Some(at) = rest.windows(KEY.len()).position(|window| window == KEY) {
        rest = &rest[at + KEY.len()..];
        let value: Vec<u8> = rest.iter().take(32).copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if value.starts_with(b":\"Lambda\"") || value.starts_with(b":\"__lambda__\"") {
            return true;
        }
    }
    false
}
