//! From paths to meaning: which entry is an image of which class in which split.
//!
//! Read are a folder per class, optionally inside `train/`, `val/`, `test/`; or a `metadata.csv`/`metadata.jsonl` at the top
//! or in each split folder. One folder wrapped around everything is looked through.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Error, Result};
use super::labelled::{Kept, Labelled, Layout, Split, warn_left_out};
use super::limits::Limits;
use super::listing::Listing;
use super::modality::Modality;
use super::{leftovers, metadata};

/// Gives every item its split and the text of its target.
pub fn read(listing: &Listing, modality: &dyn Modality, limits: &Limits) -> Result<Layout> {
    let mut kept: Kept<'_> = BTreeMap::new();
    for (index, entry) in listing.entries.iter().enumerate() {
        if !leftovers::is_ignored(&entry.path) {
            kept.insert(&entry.path, index);
        }
    }
    if !kept.is_empty() && !kept.keys().any(|path| modality.is_item(path)) {
        return Err(Error::NoItems { files: kept.len(), kinds: kinds(&kept) });
    }
    let mut folders: Vec<&str> = listing.folders.iter().map(String::as_str).filter(|p| !leftovers::is_ignored(p)).collect();
    while let Some(top) = wrapping_folder(&kept) {
        kept = kept.into_iter().filter_map(|(path, index)| Some((below(path, &top)?, index))).collect();
        folders = folders.into_iter().filter_map(|path| below(path, &top)).collect();
    }
    let layout = match metadata::find(&kept)? {
        tables if tables.is_empty() => by_folders(&kept, &folders, modality)?,
        tables => metadata::read(&tables, &kept, listing, limits)?,
    };
    if layout.samples.is_empty() {
        let left_out = kept.keys().take(3).copied().collect::<Vec<_>>().join(", ");
        return Err(Error::NoImages { left_out });
    }
    Ok(layout)
}

/// The commonest endings, with how many files have each.
fn kinds(kept: &Kept<'_>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in kept.keys() {
        let file = path.rsplit('/').next().unwrap_or_default();
        *counts.entry(file.rsplit_once('.').map_or("no ending", |(_, ending)| ending)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().take(4).map(|(ending, count)| format!("{ending}: {count}")).collect::<Vec<_>>().join(", ")
}

fn below<'a>(path: &'a str, top: &str) -> Option<&'a str> {
    path.strip_prefix(top)?.strip_prefix('/')
}

/// The one folder everything lies in, if there are still classes inside it.
fn wrapping_folder(kept: &Kept<'_>) -> Option<String> {
    let (top, _) = kept.keys().next()?.split_once('/')?;
    let wraps = kept.keys().all(|path| below(path, top).is_some())
        && Split::parse(top).is_none()
        && kept.keys().any(|path| path.matches('/').count() >= 2 || metadata::is_table(&path[top.len() + 1..]));
    wraps.then(|| top.to_string())
}

fn by_folders(kept: &Kept<'_>, folders: &[&str], modality: &dyn Modality) -> Result<Layout> {
    let split_depth = usize::from(has_splits(kept, modality)?);
    let mut layout = Layout::default();
    let mut left_out = Vec::new();
    for (path, entry) in kept {
        let parts: Vec<&str> = path.split('/').collect();
        if !modality.is_item(path) || parts.len() < split_depth + 2 {
            left_out.push(*path);
            continue;
        }
        let split = if split_depth == 1 { Split::parse(parts[0]).unwrap_or(Split::Train) } else { Split::Train };
        layout.samples.push(Labelled { entry: *entry, split, text: parts[split_depth].to_string() });
    }
    warn_left_out(&left_out, "not images in a class folder", &mut layout.warnings);
    let seen: BTreeSet<&str> = layout.samples.iter().map(|s| s.text.as_str()).collect();
    let empty: BTreeSet<&str> = folders
        .iter()
        .map(|path| path.split('/').collect::<Vec<_>>())
        .filter(|parts| parts.len() == split_depth + 1)
        .filter_map(|parts| parts.last().copied())
        .filter(|class| !seen.contains(class) && Split::parse(class).is_none())
        .collect();
    layout.warnings.extend(empty.iter().map(|class| format!("class `{class}` has no images and is left out")));
    Ok(layout)
}

/// Splits are meant if folders of classes lie under `train`, `val` or `test`; a class may well be called `train`.
fn has_splits(kept: &Kept<'_>, modality: &dyn Modality) -> Result<bool> {
    let deep = |path: &str| path.matches('/').count() >= 2;
    let images: Vec<&str> = kept.keys().copied().filter(|path| path.contains('/') && modality.is_item(path)).collect();
    let top = |path: &str| path.split('/').next().unwrap_or_default().to_string();
    let split_tops: BTreeSet<String> = images.iter().filter(|p| deep(p) && Split::parse(&top(p)).is_some()).map(|p| top(p)).collect();
    if split_tops.is_empty() {
        return Ok(false);
    }
    match images.iter().map(|p| top(p)).find(|t| Split::parse(t).is_none()) {
        None => Ok(true),
        Some(other) => {
            let splits = split_tops.into_iter().collect::<Vec<_>>().join("`, `");
            Err(Error::BadLayout { reason: format!("`{other}` stands beside the split folders `{splits}`") })
        }
    }
}
