//! The configuration file: TOML, with the settings' names for keys.

use std::path::Path;

use super::{Error, SETTINGS};

/// The settings of a TOML file as texts; an unknown key is an error, so that a typo is not silently ignored.
pub fn read(path: &Path) -> Result<Vec<(&'static str, String)>, Error> {
    let wrong = |problem: String| Error::File { path: path.display().to_string(), problem };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|e| wrong(e.message().to_owned()))?;
    let mut settings = Vec::new();
    for (key, value) in table {
        let known = SETTINGS.iter().find(|(name, ..)| *name == key);
        let (name, ..) = known.ok_or_else(|| wrong(format!("'{key}' is no setting; 'hub config' lists them")))?;
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(list) => list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(","),
            toml::Value::Integer(_) | toml::Value::Boolean(_) => value.to_string(),
            _ => return Err(wrong(format!("'{key}' should be a text, a number, true or false"))),
        };
        settings.push((*name, text));
    }
    Ok(settings)
}
