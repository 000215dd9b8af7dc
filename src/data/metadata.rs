//! Targets from a table: `metadata.csv` or `metadata.jsonl` with a column of file names, a column of targets (`label` of classes,
//! `target` of numbers) and optionally `split`.
//! A table lies at the top (paths relative to it) or in each split folder, as the common data set tools write it.

mod csv_rows;
mod json_rows;
mod text;

use std::collections::{BTreeSet, HashSet};

use super::error::{Error, Result};
use super::labelled::{Kept, Labelled, Layout, Split, warn_left_out};
use super::limits::Limits;
use super::listing::Listing;
use super::name;
use super::targets::form::{self, Column};
use super::targets::{COLUMNS, Form};
use crate::domain::dataset_layout::Declared;

const NAMES: [&str; 2] = ["metadata.csv", "metadata.jsonl"];

/// The columns that may name the file; the first that a table has is taken.
const FILES: [&str; 12] = [
    "file_name",
    "filename",
    "file",
    "file_path",
    "filepath",
    "path",
    "image",
    "image_name",
    "image_path",
    "image_file",
    "img",
    "img_path",
];

/// Columns by which tables say boxes, a row for each.
const BOXES: [&[&str]; 5] = [
    &["xmin", "ymin", "xmax", "ymax"],
    &["x_min", "y_min", "x_max", "y_max"],
    &["x1", "y1", "x2", "y2"],
    &["x", "y", "width", "height"],
    &["bbox"],
];

pub fn is_table(path: &str) -> bool {
    NAMES.contains(&path.to_ascii_lowercase().as_str())
}

/// A file that may be meant as a table and is called otherwise.
pub fn unread_table<'a>(others: &[&'a str]) -> Option<&'a str> {
    let table = |path: &&&str| matches!(name::extension(path).as_deref(), Some("csv" | "tsv" | "jsonl"));
    others.iter().filter(table).min_by_key(|path| path.matches('/').count()).copied()
}

/// A table: its path, its entry, and the split its folder stands for.
pub struct Table {
    path: String,
    entry: usize,
    folder: String,
    split: Option<Split>,
}

impl Table {
    /// A table that is said to be one, of a split that is said too.
    pub fn said(path: &str, entry: usize, split: Split) -> Table {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Table { path: path.into(), entry, folder: folder.into(), split: Some(split) }
    }

    pub fn entry(&self) -> usize {
        self.entry
    }
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

/// The columns that hold targets, how they are read, and what is odd about the choice.
#[derive(Debug, Clone, PartialEq)]
struct Choice {
    columns: Vec<String>,
    form: Form,
    warning: Option<String>,
}

impl Choice {
    fn of(columns: Vec<Column>, warning: Option<String>) -> Choice {
        Choice { columns: columns.iter().map(|column| column.name.clone()).collect(), form: Form::Columns(columns), warning }
    }

    /// What a row's fields are as one text; of several columns a JSON list.
    fn join(&self, mut fields: Vec<Option<String>>) -> String {
        match self.form {
            Form::Columns(_) => serde_json::json!(fields).to_string(),
            _ => fields.pop().flatten().unwrap_or_default(),
        }
    }

    fn shown(&self) -> String {
        self.columns.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}

/// What a table's columns hold, by what is declared, else by their names.
///
/// # Errors
/// What is declared and not there, in words.
fn choose(names: &[String], declared: &Declared) -> std::result::Result<Option<Choice>, String> {
    let has = |name: &str| names.iter().any(|found| found == name);
    if !declared.targets.is_empty() {
        let mut columns = form::declared(&declared.targets)?;
        columns.iter_mut().for_each(|column| column.name = column_name(&column.name));
        return match columns.iter().find(|column| !has(&column.name)) {
            Some(missing) => Err(format!("the card's `targets` names `{}`, and the table has no such column", missing.name)),
            None => Ok(Some(Choice::of(columns, None))),
        };
    }
    if let Some(corners) = BOXES.iter().find(|corners| corners.iter().all(|name| has(name))) {
        return Err(format!(
            "its columns `{}` say where objects are, and a row would make a class of one for the whole image; hand boxes over as COCO, Pascal VOC or YOLO, or say `targets` in the card",
            corners.join("`, `")
        ));
    }
    let mut found = COLUMNS.into_iter().filter(|(name, _)| has(name));
    if let Some((name, form)) = found.next() {
        let other = |(other, _)| format!("the table's column `{name}` was read and its column `{other}` was not");
        let warning = found.next().map(other);
        let form = match form {
            Form::One(_) if declared.multi_label && name != "target" => Form::Labels,
            Form::One(_) if !declared.ordered.is_empty() && name != "target" => Form::Ranked(declared.ordered.clone()),
            Form::One(form) if name != "target" => declared.good.clone().map_or(Form::One(form), Form::Anomalies),
            form => form,
        };
        return Ok(Some(Choice { columns: vec![name.into()], form, warning }));
    }
    let columns: Vec<Column> = names.iter().filter_map(|name| form::of_name(name)).collect();
    if columns.is_empty() {
        return Ok(None);
    }
    let listed = columns.iter().map(Column::to_string).collect::<Vec<_>>().join(", ");
    let warning = format!("the columns {listed} were read as targets, as their names say; `targets` in the card names others");
    Ok(Some(Choice::of(columns, Some(warning))))
}

/// A column's name in the form in which names are compared: `File Name` is `file_name`.
pub(super) fn column_name(written: &str) -> String {
    let plain = |c: char| if c.is_whitespace() || c == '-' { '_' } else { c };
    written.trim().to_lowercase().chars().map(plain).collect()
}

/// What a table must have, for those whose table has it not.
fn wanted() -> String {
    let mut targets: Vec<String> = COLUMNS.iter().map(|(name, _)| format!("`{name}`")).collect();
    let last = targets.pop().unwrap_or_default();
    format!("a column `file_name` and one of {} or {last} (or several `target_...` and `label_...`) belong there", targets.join(", "))
}

/// What a table says: the column it was read by, what is odd, its lines.
struct Content {
    choice: Choice,
    rows: Vec<Row>,
}

/// One line of a table.
struct Row {
    line: usize,
    file_name: String,
    text: String,
    split: Option<String>,
}

pub fn read(tables: &[Table], kept: &Kept<'_>, listing: &Listing, declared: &Declared, limits: &Limits) -> Result<Layout> {
    let mut layout = Layout::default();
    let mut used = HashSet::new();
    let mut choice: Option<Choice> = None;
    for table in tables {
        let bytes = listing.entries[table.entry].read(limits)?;
        let text = text::decode(table, &bytes)?;
        let is_csv = name::extension(&table.path).as_deref() == Some("csv");
        let content = if is_csv { csv_rows::read(table, &text, declared)? } else { json_rows::read(table, &text, declared)? };
        if let Some(other) = choice.filter(|other| other.columns != content.choice.columns) {
            let reason = format!("its targets are in {}, those of another table in {}", content.choice.shown(), other.shown());
            return Err(bad(table, 1, reason));
        }
        layout.form = content.choice.form.clone();
        layout.warnings.extend(content.choice.warning.clone());
        for row in content.rows {
            let sample = resolve(table, &content.choice, &row, kept)?;
            if !used.insert(sample.entry) {
                return Err(bad(table, row.line, format!("`{}` has a row already", name::shown(row.file_name.as_bytes()))));
            }
            layout.samples.push(sample);
        }
        choice = Some(content.choice);
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

fn resolve(table: &Table, choice: &Choice, row: &Row, kept: &Kept<'_>) -> Result<Labelled> {
    let shown = name::shown(row.file_name.as_bytes());
    // Tables made on Windows divide folders by `\`; no path in here has one.
    let written = row.file_name.replace('\\', "/");
    let path = name::entry_path(written.as_bytes()).map_err(|reason| bad(table, row.line, format!("`{shown}`: {reason}")))?;
    let full = if table.folder.is_empty() { path.clone() } else { format!("{}/{path}", table.folder) };
    let Some(entry) = kept.get(full.as_str()) else {
        let near = near(&full, kept).map_or(String::new(), |near| format!("; there is `{near}` (paths count from the table's folder)"));
        return Err(bad(table, row.line, format!("there is no file `{shown}`{near}")));
    };
    // No labels are an answer too.
    if row.text.is_empty() && choice.form != Form::Labels {
        return Err(bad(table, row.line, format!("`{shown}` has no {}", choice.columns.concat())));
    }
    let split = match &row.split {
        Some(text) => Split::parse(text)
            .ok_or_else(|| bad(table, row.line, format!("`{}` is not train, val or test", name::shown(text.as_bytes()))))?,
        None => table.split.or_else(|| Split::parse(full.split_once('/')?.0)).unwrap_or(Split::Train),
    };
    Ok(Labelled { entry: *entry, split, text: row.text.clone() })
}

/// The file that was probably meant: of that name in other case, in another folder, or with an ending.
fn near<'a>(path: &str, kept: &Kept<'a>) -> Option<&'a str> {
    let file = |path: &str| path.rsplit('/').next().unwrap_or(path).to_lowercase();
    let stem = |path: &str| file(path).rsplit_once('.').map(|(stem, _)| stem.to_owned());
    let wanted = file(path);
    let mut found = kept.keys().filter(|other| other.to_lowercase() == path.to_lowercase());
    let mut elsewhere = kept.keys().filter(|other| file(other) == wanted || stem(other).as_deref() == Some(&wanted));
    found.next().or_else(|| elsewhere.next()).copied()
}
