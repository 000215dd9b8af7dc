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
        seen.drain(..seen.len().saturating_sub(64));
    }
    Ok(())
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
