//! `hub config`: every setting, its value, and where that came from.

use serde_json::{Value, json};

use super::output::table;
use super::{Context, Output, Result};
use crate::train::{backend, device};

pub fn run(context: &Context) -> Result<Output> {
    let entries = context.config.entries();
    let shown = |value: &str| if value.is_empty() { "-".to_owned() } else { value.to_owned() };
    let row = |(key, value, from, meaning): &(&'static str, String, crate::config::Source, &'static str)| {
        vec![key.to_string(), shown(value), from.as_str().to_owned(), meaning.to_string()]
    };
    let rows: Vec<_> = entries.iter().map(row).collect();
    let file = context.config.file.as_ref().map(|path| path.display().to_string());
    let settings: serde_json::Map<String, Value> =
        entries.iter().map(|(key, value, from, _)| (key.to_string(), json!({ "value": value, "from": from.as_str() }))).collect();
    let (table, backend) = (table(&["SETTING", "VALUE", "FROM", "MEANING"], &rows), backend::backend().to_string());
    // What is wrong with it is no reason not to show the settings that may mend it.
    let device = context.config.device.parse().and_then(device::open).map_or_else(|e| e.to_string(), |found| device::describe(&found));
    let human = format!("{table}\n\nfile: {}\nconvolutions by: {backend}\nnetworks on: {device}", file.as_deref().unwrap_or("none"));
    let quiet: Vec<String> = entries.iter().map(|(key, value, ..)| format!("{key}={value}")).collect();
    Ok(Output::new(human, json!({ "file": file, "backend": backend, "device": device, "settings": settings }), quiet.join("\n")))
}
