//! A table of JSON lines: an object for each item.

use serde_json::Value;

use super::{Choice, Content, FILES, Row, Table, bad, choose, column_name, wanted};
use crate::data::error::Result;
use crate::data::name;
use crate::data::targets::{self, COLUMNS, Form};
use crate::domain::dataset_layout::Declared;

pub(super) fn read(table: &Table, text: &str, declared: &Declared) -> Result<Content> {
    let mut rows = Vec::new();
    let mut found: Option<Choice> = None;
    for (index, text) in text.split('\n').enumerate() {
        if text.trim().is_empty() {
            continue;
        }
        let line = index + 1;
        let value: Value = serde_json::from_str(text).map_err(|e| bad(table, line, e.to_string()))?;
        let Value::Object(object) = value else { return Err(bad(table, line, "it is no JSON object")) };
        let field = |name: &str| object.iter().find(|(key, _)| column_name(key) == name).map(|(_, value)| value);
        let file_name = FILES.iter().find_map(|name| field(name)?.as_str());
        let Some(file_name) = file_name else {
            let keys = object.keys().take(12).map(|key| format!("`{}`", name::shown(key.as_bytes()))).collect::<Vec<_>>().join(", ");
            return Err(bad(table, line, format!("`file_name` is missing or not a string; the keys are {keys}, and {}", wanted())));
        };
        // The first line says which columns they are.
        let choice = match found.take() {
            Some(choice) => choice,
            None => {
                let names: Vec<String> = object.keys().map(|key| column_name(key)).collect();
                choose(&names, declared).map_err(|reason| bad(table, line, reason))?.unwrap_or_else(first_of_all)
            }
        };
        let mut fields = Vec::new();
        for column in &choice.columns {
            let value = field(column).filter(|value| !value.is_null());
            let several = matches!(choice.form, Form::Columns(_) | Form::Labels);
            let target = match value {
                None if several => Ok(String::new()),
                None => Err("missing"),
                Some(value) => targets::text(&choice.form, value),
            };
            let target = target.map_err(|wanted| match wanted {
                "missing" => bad(table, line, format!("`{column}` is missing")),
                wanted => bad(table, line, format!("`{column}` is not {wanted}")),
            })?;
            fields.push(Some(target).filter(|text| !text.is_empty()));
        }
        let split = field("split").and_then(Value::as_str).map(String::from);
        rows.push(Row { line, file_name: file_name.to_string(), text: choice.join(fields), split });
        found = Some(choice);
    }
    Ok(Content { choice: found.unwrap_or_else(first_of_all), rows })
}

/// What is missed where there is no column of targets.
fn first_of_all() -> Choice {
    let (name, form) = COLUMNS[0].clone();
    Choice { columns: vec![name.into()], form, warning: None }
}
