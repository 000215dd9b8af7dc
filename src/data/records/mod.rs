//! Tables of texts: a row for each, with its text (or the two of a pair) and what is to be said about it, in csv, tsv, json lines or a json
//! list; also packed alone (`train.csv.gz`). Parquet is read by `tables`, which asks [`columns`] and [`settle`] the same.
//!
//! Tables are read once, row by row, and their texts are kept one after the other in an unnamed temporary file, as the images of
//! parquet tables are. What is wrong with a row costs that row: it is counted, and the first of its kind are named.
//!
//! Words with a tag each stand in two lists of a row (`tokens`, `ner_tags`), or in files of their own ([`conll`]).

pub(super) mod columns;
mod conll;
mod delimited;
mod json;
pub(super) mod rows;
pub(super) mod settle;
mod stream;

pub(super) use delimited::join;

use std::collections::{BTreeMap, HashSet};

use self::columns::{Chosen, Wanted};
use self::rows::{Kept, Rows};
use self::settle::settle;
use self::stream::Stream;
use super::error::{Error, Result};
use super::labelled::{Layout, Split, warn_left_out};
use super::limits::Limits;
use super::listing::Listing;
use super::tables::shards::{self, Shard};
use super::{leftovers, metadata, name};
use crate::domain::dataset_layout::Declared;

/// Endings of tables that may hold texts.
const ENDINGS: [&str; 6] = ["csv", "tsv", "jsonl", "ndjson", "json", "tab"];
/// Endings under which one of them may be packed.
const PACKED: [&str; 5] = ["gz", "zst", "xz", "bz2", "lz4"];
/// The ending of plain texts.
const PLAIN: &str = "txt";
/// Tables that were not read and are named.
const TOLD: usize = 3;

/// The path without the ending of what packed it.
fn unpacked(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((inner, ending)) if PACKED.contains(&ending.to_ascii_lowercase().as_str()) => inner,
        _ => path,
    }
}

/// Whether a file of this name may be a table of texts. The tables that name files (`metadata.csv`) are none.
pub fn is_table(path: &str) -> bool {
    let inner = unpacked(path);
    let file = inner.rsplit('/').next().unwrap_or(inner);
    name::extension(inner).is_some_and(|ending| ENDINGS.contains(&ending.as_str()) || conll::ENDINGS.contains(&ending.as_str()))
        && !metadata::is_table(file)
        && !is_note(file)
}

/// What tools leave beside data in the form of tables, and is none.
fn is_note(file: &str) -> bool {
    const NOTES: [&str; 8] = [
        "dataset_infos.json",
        "dataset_info.json",
        "dataset_dict.json",
        "dataset-metadata.json",
        "state.json",
        "config.json",
        "package.json",
        "croissant.json",
    ];
    NOTES.contains(&file.to_ascii_lowercase().as_str())
}

/// The tables of a listing, by their places in it. Of plain texts those that are called after a split and begin as CoNLL's do.
///
/// # Errors
/// A file is damaged where it begins.
pub fn find(listing: &Listing, limits: &Limits) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for (at, entry) in listing.entries.iter().enumerate().filter(|(_, entry)| !leftovers::is_ignored(&entry.path)) {
        if is_table(&entry.path) || is_named_text(&entry.path) && conll::begins(&Stream::open(entry, limits)?) {
            found.push(at);
        }
    }
    Ok(found)
}

/// Whether it is a plain text whose name is that of a split, and in no folder that could be a class.
fn is_named_text(path: &str) -> bool {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = |file: &str| file.split(['.', '-', '_']).next().is_some_and(|stem| Split::parse(stem).is_some());
    name::extension(path).as_deref() == Some(PLAIN) && stem(file) && !folder.contains('/')
}

/// Reads all rows of these tables that belong to the data set by what is declared.
///
/// # Errors
/// [`Error::NotTexts`] where none of them has texts with something to be said about them; what is damaged or too large.
pub fn read(files: &Listing, tables: &[usize], declared: &Declared, limits: &Limits) -> Result<(Listing, Layout)> {
    let mut layout = Layout { warnings: declared.odd.clone(), ..Layout::default() };
    let (plans, unread) = plans(files, tables, declared, limits)?;
    let named: Vec<(&str, usize)> = plans.keys().map(|at| (files.entries[*at].path.as_str(), *at)).collect();
    if named.is_empty() {
        return Err(Error::NotTexts { reason: unread.into_iter().next().unwrap_or_else(|| "there are no tables of texts".into()) });
    }
    layout.warnings.extend(unread.into_iter().take(TOLD));
    let shards = shards::sort(&named, &declared.splits, &mut layout.warnings).map_err(as_texts)?;
    let mut kept = Kept::new()?;
    let mut first: Option<(&Chosen, &str)> = None;
    for shard in &shards {
        let plan = &plans[&shard.local];
        let chosen = plan.chosen();
        match first {
            Some((known, path)) if !known.fits(chosen) => {
                let (own, others) = (chosen.shown(), known.shown());
                layout.warnings.push(format!("`{}` is read by {own}, and `{path}` by {others}: it was left out", shard.path));
                continue;
            }
            Some(_) => {}
            None => {
                layout.warnings.extend(chosen.note.clone());
                first = Some((chosen, shard.path));
            }
        }
        let stream = Stream::open(&files.entries[shard.local], limits)?;
        plan.read(stream, &mut Rows::new(&mut kept, shard.path, shard.split, limits))?;
    }
    layout.warnings.extend(together(&shards));
    let listing = kept.finish(&mut layout)?;
    let wanted = first.map_or(Wanted::Either, |(chosen, _)| chosen.wanted.clone());
    settle(&mut layout, &listing, wanted, declared);
    if layout.samples.is_empty() {
        let reason = layout.warnings.last().cloned().unwrap_or_else(|| "its tables have no rows".into());
        return Err(Error::NotTexts { reason });
    }
    beside(files, tables, &mut layout);
    Ok((listing, layout))
}

/// How each table is to be read, and why others are not.
fn plans(files: &Listing, tables: &[usize], declared: &Declared, limits: &Limits) -> Result<(BTreeMap<usize, Plan>, Vec<String>)> {
    let (mut plans, mut unread) = (BTreeMap::new(), Vec::new());
    for at in tables {
        let entry = &files.entries[*at];
        let stream = Stream::open(entry, limits)?;
        match Plan::of(stream, unpacked(&entry.path), declared) {
            Ok(plan) => drop(plans.insert(*at, plan)),
            Err(reason) => unread.push(format!("the table `{}` {reason}", entry.path)),
        }
    }
    Ok((plans, unread))
}

/// How a table is to be read.
enum Plan {
    Conll(conll::Plan),
    Delimited(delimited::Plan),
    Json(json::Plan),
}

impl Plan {
    /// By the beginning of its content; why it is none, in words that follow its name.
    fn of(stream: Stream<'_>, path: &str, declared: &Declared) -> std::result::Result<Plan, String> {
        if let Some(reason) = stream.other_encoding(path) {
            return Err(reason);
        }
        match name::extension(path).as_deref() {
            Some("jsonl" | "ndjson" | "json") => json::Plan::of(stream, declared).map(Plan::Json),
            Some(ending) if ending == PLAIN || conll::ENDINGS.contains(&ending) => conll::Plan::of(&stream, declared).map(Plan::Conll),
            _ => delimited::Plan::of(&stream, declared).map(Plan::Delimited),
        }
    }

    fn chosen(&self) -> &Chosen {
        match self {
            Plan::Conll(plan) => &plan.chosen,
            Plan::Delimited(plan) => &plan.chosen,
            Plan::Json(plan) => &plan.chosen,
        }
    }

    fn read(&self, stream: Stream<'_>, rows: &mut Rows<'_>) -> Result<()> {
        match self {
            Plan::Conll(plan) => plan.read(stream, rows),
            Plan::Delimited(plan) => plan.read(stream, rows),
            Plan::Json(plan) => plan.read(stream, rows),
        }
    }
}

/// Several data sets in one are none of texts either.
fn as_texts(error: Error) -> Error {
    match error {
        Error::NotImages { reason } => Error::NotTexts { reason },
        other => other,
    }
}

/// Tables of one split whose names differ in more than a number may be several data sets.
fn together(shards: &[Shard<'_, usize>]) -> Option<String> {
    let stem = |path: &str| {
        let file = unpacked(path.rsplit('/').next().unwrap_or(path));
        file.chars().filter(|c| !c.is_ascii_digit()).collect::<String>()
    };
    let mut of: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    shards.iter().for_each(|shard| of.entry(shard.split).or_default().push(shard.path));
    let (split, paths) = of.into_iter().find(|(_, paths)| paths.iter().any(|path| stem(path) != stem(paths[0])))?;
    let named = paths.iter().take(5).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
    Some(format!("{} tables were read together as {split}: {named}; `configs` in the card names those that are meant", paths.len()))
}

/// Files that took no part.
fn beside(files: &Listing, tables: &[usize], layout: &mut Layout) {
    let tables: HashSet<&usize> = tables.iter().collect();
    let others = files.entries.iter().enumerate().filter(|(at, entry)| !tables.contains(at) && !leftovers::is_ignored(&entry.path));
    let others: Vec<&str> = others.map(|(_, entry)| entry.path.as_str()).collect();
    warn_left_out(&others, "since they lie beside tables of texts", &mut layout.warnings);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_by_their_names() {
        for path in ["train.csv", "data/test.tsv", "a.jsonl", "a.ndjson", "b.json", "train.csv.gz", "x.JSONL.zst"] {
            assert!(is_table(path), "{path}");
        }
        for path in ["metadata.csv", "train/metadata.jsonl", "dataset_infos.json", "a.txt", "a.csv.zip", "a.gz", "csv"] {
            assert!(!is_table(path), "{path}");
        }
    }
}
