//! A table with a header, divided at commas, semicolons, tabs or bars.

use super::{Column, Content, FILES, Row, Table, bad, column_name, column_of, wanted};
use crate::data::error::Result;
use crate::data::name;

const DIVIDERS: [(u8, &str); 4] = [(b',', "commas"), (b';', "semicolons"), (b'\t', "tabs"), (b'|', "bars")];

/// Where the columns are.
struct Header {
    file_name: usize,
    target: usize,
    split: Option<usize>,
    column: Column,
    warning: Option<String>,
}

pub(super) fn read(table: &Table, text: &str) -> Result<Content> {
    let first = text.lines().position(|line| !line.trim().is_empty()).map_or(1, |at| at + 1);
    let (divider, header) = header(table, text, first)?;
    let broken = |e: csv::Error| bad(table, e.position().map_or(first, |p| p.line() as usize), reason(&e));
    let mut reader = reader(divider, text);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let field = |index: usize| record.get(index).unwrap_or_default().to_string();
        let split = header.split.map(field).filter(|s| !s.is_empty());
        rows.push(Row { line, file_name: field(header.file_name), text: field(header.target), split });
    }
    Ok(Content { column: header.column, warning: header.warning, rows })
}

fn reader(divider: u8, text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(divider).trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// The divider by which the header has what a table needs.
fn header(table: &Table, text: &str, line: usize) -> Result<(u8, Header)> {
    let mut most = (0, String::new());
    for (divider, called) in DIVIDERS {
        let written = reader(divider, text).headers().map_err(|e| bad(table, line, reason(&e)))?.clone();
        let names: Vec<String> = written.iter().map(column_name).collect();
        let place = |name: &str| names.iter().position(|found| found == name);
        let file_name = FILES.iter().find_map(|name| place(name));
        let targets = column_of(|name| place(name).is_some());
        if let (Some(file_name), Some((column, warning))) = (file_name, targets) {
            let target = place(column.0).unwrap_or_default();
            return Ok((divider, Header { file_name, target, split: place("split"), column, warning }));
        }
        if names.len() > most.0 {
            let columns: Vec<String> = written.iter().take(12).map(|name| format!("`{}`", name::shown(name.as_bytes()))).collect();
            let lacking = if file_name.is_none() { "file_name" } else { "label" };
            let found = format!("the header, divided at {called}, has the columns {} and no `{lacking}`", columns.join(", "));
            most = (names.len(), found);
        }
    }
    Err(bad(table, line, format!("{}; {}", most.1, wanted())))
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields, and the lines before it {expected_len}; quote a field that holds the divider")
        }
        _ => error.to_string(),
    }
}
