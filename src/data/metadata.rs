//! Targets from a table: `metadata.csv` or `metadata.jsonl` with `file_name`, a column of targets (`label` of classes,
//! `target` of numbers) and optionally `split`.
//! A table lies at the top (paths relative to it) or in each split folder, as the common data set tools write it.

use std::collections::{BTreeSet, HashSet};

use super::error::{Error, Result};
use super::labelled::{Kept, Labelled, Layout, Split, warn_left_out};
use super::limits::Limits;
use super::listing::Listing;
use super::name;
use super::targets::{self, COLUMNS};
use crate::domain::task::Task;

const NAMES: [&str; 2] = ["metadata.csv", "metadata.jsonl"];

pub fn is_table(path: &str) -> bool {
    NAMES.contains(&path)
}

/// A table: its path, its entry, and the split its folder stands for.
pub struct Table {
    path: String,
    entry: usize,
    folder: String,
    split: Option<Split>,
}

/// The tables of a data set; none means that folders are the classes.
pub fn find(kept: &Kept<'_>) -> Result<Vec<Table>> {
    let mut tables: Vec<Table> = Vec::new();
    for (path, entry) in kept {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let split = Split::parse(folder);
        if is_table(file) && (folder.is_empty() || split.is_some()) {
            tables.push(Table { path: path.to_string(), entry: *entry, folder: folder.into(), split });
        }
    }
    let folders: BTreeSet<&str> = tables.iter().map(|t| t.folder.as_str()).collect();
    if folders.len() < tables.len() || (folders.contains("") && folders.len() > 1) {
        let found = tables.iter().map(|t| t.path.as_str()).collect::<Vec<_>>().join("`, `");
        return Err(Error::BadLayout { reason: format!("more than one table describes the same images: `{found}`") });
    }
    Ok(tables)
}

/// A column of targets, and what they are for.
type Column = (&'static str, Task);

/// The column that a table has, and a warning where it has several.
fn column_of(has: impl Fn(&str) -> bool) -> Option<(Column, Option<String>)> {
    let mut found = COLUMNS.into_iter().filter(|(name, _)| has(name));
    let first = found.next()?;
    let warning = found.next().map(|(other, _)| format!("the table's column `{}` was read and its column `{other}` was not", first.0));
    Some((first, warning))
}

/// What a table says: the column it was read by, what is odd, its lines.
struct Content {
    column: Column,
    warning: Option<String>,
    rows: Vec<Row>,
}

/// One line of a table.
struct Row {
    line: usize,
    file_name: String,
    text: String,
    split: Option<String>,
}

pub fn read(tables: &[Table], kept: &Kept<'_>, listing: &Listing, limits: &Limits) -> Result<Layout> {
    let mut layout = Layout::default();
    let mut used = HashSet::new();
    let mut column: Option<Column> = None;
    for table in tables {
        let bytes = listing.entries[table.entry].read(limits)?;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let content = if table.path.ends_with(".csv") { csv_rows(table, bytes)? } else { json_rows(table, bytes)? };
        let (name, task) = content.column;
        if let Some((other, _)) = column.filter(|column| *column != content.column) {
            return Err(bad(table, 1, format!("its targets are in `{name}`, those of another table in `{other}`")));
        }
        column = Some(content.column);
        layout.task = task;
        layout.warnings.extend(content.warning);
        for row in content.rows {
            let sample = resolve(table, name, &row, kept)?;
            if !used.insert(sample.entry) {
                return Err(bad(table, row.line, format!("`{}` has a row already", name::shown(row.file_name.as_bytes()))));
            }
            layout.samples.push(sample);
        }
    }
    let tables: HashSet<usize> = tables.iter().map(|t| t.entry).collect();
    let left_out: Vec<&str> =
        kept.iter().filter(|(_, entry)| !used.contains(entry) && !tables.contains(entry)).map(|(path, _)| *path).collect();
    warn_left_out(&left_out, "without a row in the table", &mut layout.warnings);
    Ok(layout)
}

fn bad(table: &Table, line: usize, reason: impl Into<String>) -> Error {
    Error::BadMetadata { file: table.path.clone(), line, reason: reason.into() }
}

fn resolve(table: &Table, column: &str, row: &Row, kept: &Kept<'_>) -> Result<Labelled> {
    let shown = name::shown(row.file_name.as_bytes());
    let path = name::entry_path(row.file_name.as_bytes()).map_err(|reason| bad(table, row.line, format!("`{shown}`: {reason}")))?;
    let full = if table.folder.is_empty() { path.clone() } else { format!("{}/{path}", table.folder) };
    let Some(entry) = kept.get(full.as_str()) else {
        return Err(bad(table, row.line, format!("there is no file `{shown}`")));
    };
    if row.text.is_empty() {
        return Err(bad(table, row.line, format!("`{shown}` has no {column}")));
    }
    let split = match &row.split {
        Some(text) => Split::parse(text)
            .ok_or_else(|| bad(table, row.line, format!("`{}` is not train, val or test", name::shown(text.as_bytes()))))?,
        None => table.split.or_else(|| Split::parse(full.split_once('/')?.0)).unwrap_or(Split::Train),
    };
    Ok(Labelled { entry: *entry, split, text: row.text.clone() })
}

fn csv_rows(table: &Table, bytes: &[u8]) -> Result<Content> {
    let broken = |e: csv::Error| bad(table, e.position().map_or(1, |p| p.line() as usize), e.to_string());
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let headers = reader.headers().map_err(broken)?.clone();
    let place = |name: &str| headers.iter().position(|h| h == name);
    let found = column_of(|name| place(name).is_some());
    let (Some(file_name), Some((column, warning))) = (place("file_name"), found) else {
        return Err(bad(table, 1, "the header has no `file_name` or no `label`"));
    };
    let (target, split) = (place(column.0).unwrap_or_default(), place("split"));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let field = |index: usize| record.get(index).unwrap_or_default().to_string();
        let split = split.map(field).filter(|s| !s.is_empty());
        rows.push(Row { line, file_name: field(file_name), text: field(target), split });
    }
    Ok(Content { column, warning, rows })
}

fn json_rows(table: &Table, bytes: &[u8]) -> Result<Content> {
    let mut rows = Vec::new();
    let mut found: Option<(Column, Option<String>)> = None;
    for (index, text) in bytes.split(|b| *b == b'\n').enumerate() {
        if text.trim_ascii().is_empty() {
            continue;
        }
        let line = index + 1;
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| bad(table, line, e.to_string()))?;
        let Some(file_name) = value.get("file_name").and_then(|v| v.as_str()) else {
            return Err(bad(table, line, "`file_name` is missing or not a string"));
        };
        // The first line says which column it is.
        found = found.or_else(|| column_of(|name| value.get(name).is_some()));
        let ((name, task), _) = found.as_ref().unwrap_or(&(COLUMNS[0], None));
        let target = value.get(name).map_or(Err(targets::wanted(*task)), |value| targets::text(*task, value));
        let target = target.map_err(|wanted| bad(table, line, format!("`{name}` is missing or not {wanted}")))?;
        let split = value.get("split").and_then(|v| v.as_str()).map(String::from);
        rows.push(Row { line, file_name: file_name.to_string(), text: target, split });
    }
    let (column, warning) = found.unwrap_or((COLUMNS[0], None));
    Ok(Content { column, warning, rows })
}
