//! A table of JSON lines: an object for each item.

use serde_json::Value;

use super::{Column, Content, FILES, Row, Table, bad, column_name, column_of, wanted};
use crate::data::error::Result;
use crate::data::name;
use crate::data::targets::{self, COLUMNS};

pub(super) fn read(table: &Table, text: &str) -> Result<Content> {
    let mut rows = Vec::new();
    let mut found: Option<(Column, Option<String>)> = None;
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
        // The first line says which column it is.
        found = found.or_else(|| column_of(|name| field(name).is_some()));
        let ((column, task), _) = found.as_ref().unwrap_or(&(COLUMNS[0], None));
        let target = field(column).map_or(Err(targets::wanted(*task)), |value| targets::text(*task, value));
        let target = target.map_err(|wanted| bad(table, line, format!("`{column}` is missing or not {wanted}")))?;
        let split = field("split").and_then(Value::as_str).map(String::from);
        rows.push(Row { line, file_name: file_name.to_string(), text: target, split });
    }
    let (column, warning) = found.unwrap_or((COLUMNS[0], None));
    Ok(Content { column, warning, rows })
}
