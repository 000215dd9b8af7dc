//! A table with a header, divided at commas, semicolons, tabs or bars.

use super::{Choice, Content, FILES, Row, Table, bad, choose, column_name, wanted};
use crate::data::error::Result;
use crate::data::name;
use crate::domain::dataset_layout::Declared;

const DIVIDERS: [(u8, &str); 4] = [(b',', "commas"), (b';', "semicolons"), (b'\t', "tabs"), (b'|', "bars")];

/// Where the columns are.
struct Header {
    file_name: usize,
    targets: Vec<usize>,
    split: Option<usize>,
    choice: Choice,
}

pub(super) fn read(table: &Table, text: &str, declared: &Declared) -> Result<Content> {
    let first = text.lines().position(|line| !line.trim().is_empty()).map_or(1, |at| at + 1);
    let (divider, header) = header(table, text, first, declared)?;
    let broken = |e: csv::Error| bad(table, e.position().map_or(first, |p| p.line() as usize), reason(&e));
    let mut reader = reader(divider, text);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, |p| p.line() as usize);
        let field = |index: usize| record.get(index).unwrap_or_default().to_string();
        let split = header.split.map(field).filter(|s| !s.is_empty());
        let fields = header.targets.iter().map(|at| Some(field(*at)).filter(|text| !text.is_empty())).collect();
        rows.push(Row { line, file_name: field(header.file_name), text: header.choice.join(fields), split });
    }
    Ok(Content { choice: header.choice, rows })
}

fn reader(divider: u8, text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(divider).trim(csv::Trim::All).from_reader(text.as_bytes())
}

/// The divider by which the header has what a table needs.
fn header(table: &Table, text: &str, line: usize, declared: &Declared) -> Result<(u8, Header)> {
    let mut most = (0, String::new());
    let mut missing: Option<String> = None;
    for (divider, called) in DIVIDERS {
        let written = reader(divider, text).headers().map_err(|e| bad(table, line, reason(&e)))?.clone();
        let names: Vec<String> = written.iter().map(column_name).collect();
        let place = |name: &str| names.iter().position(|found| found == name);
        let file_name = FILES.iter().find_map(|name| place(name));
        match (file_name, choose(&names, declared)) {
            (Some(file_name), Ok(Some(choice))) => {
                let targets = choice.columns.iter().map(|name| place(name).unwrap_or_default()).collect();
                return Ok((divider, Header { file_name, targets, split: place("split"), choice }));
            }
            (Some(_), Err(reason)) => missing = missing.or(Some(reason)),
            _ => {}
        }
        if names.len() > most.0 {
            let columns: Vec<String> = written.iter().take(12).map(|name| format!("`{}`", name::shown(name.as_bytes()))).collect();
            let lacking = if file_name.is_none() { "file_name" } else { "label" };
            let found = format!("the header, divided at {called}, has the columns {} and no `{lacking}`", columns.join(", "));
            most = (names.len(), found);
        }
    }
    Err(bad(table, line, missing.unwrap_or_else(|| format!("{}; {}", most.1, wanted()))))
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields, and the lines before it {expected_len}; quote a field that holds the divider")
        }
        _ => error.to_string(),
    }
}
