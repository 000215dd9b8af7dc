//! Keras: a model's description names the classes of its layers, and a Lambda layer is a program. In a `.keras` file (a zip)
//! the description is `config.json`; in HDF5 it is a text somewhere in the file.

use std::io;

use serde_json::Value;

use super::Findings;
use super::input::{Input, Slice};
use crate::domain::json;

pub(super) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
pub(super) const CONFIG: &[u8] = b"config.json";
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
    let text = match input.rest(MOST_CONFIG) {
        Ok(Some(text)) => text,
        Ok(None) => {
            findings.pass_over("its config.json is too long");
            return Ok(());
        }
        // A broken stream holds no description.
        Err(_) => return Ok(()),
    };
    if let Ok(value) = json::read(&String::from_utf8_lossy(&text))
        && let Some(why) = find_code(&value)
    {
        findings.refuse(why);
    }
    Ok(())
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
                (Some(class), Some(module)) if map.contains_key("config") && !is_keras(module) => {
                    return Some(format!("{module}.{class}").chars().filter(|c| !c.is_control()).take(120).collect());
                }
                _ => {}
            }
            map.values().find_map(find_code)
        }
        _ => None,
    }
}

fn is_keras(module: &str) -> bool {
    ["keras", "tf_keras", "tensorflow", "keras_hub", "keras_nlp", "keras_cv"].contains(&module.split('.').next().unwrap_or_default())
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
