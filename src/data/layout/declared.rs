//! Parts of a data set by what its card says: folders and patterns for each split.

use globset::GlobBuilder;

use super::Tree;
use super::folders::Part;
use crate::data::labelled::{Kept, Split};
use crate::data::listing::Listing;
use crate::data::{metadata, name};
use crate::domain::dataset_layout::SplitPaths;

/// A pattern with what it stands for; a folder stands for all that lies in it.
pub(in crate::data) struct Pattern<'a> {
    written: &'a str,
    glob: globset::GlobMatcher,
    /// The folders before the first sign of a pattern.
    folder: &'a str,
    /// `None` of a split that is none of ours.
    pub split: Option<Split>,
    fits: bool,
}

/// The patterns of a card's config, in its order.
pub(in crate::data) fn patterns(splits: &[SplitPaths]) -> Vec<Pattern<'_>> {
    splits.iter().flat_map(|of| of.paths.iter().filter_map(|path| Pattern::new(&of.split, path))).collect()
}

/// Tables of file names and targets that the card's config names as the data of its splits.
pub fn tables(kept: &Kept<'_>, splits: &[SplitPaths]) -> Vec<metadata::Table> {
    let patterns = patterns(splits);
    let is_table = |path: &str| matches!(name::extension(path).as_deref(), Some("csv" | "jsonl"));
    let said = |path: &str| patterns.iter().find(|pattern| pattern.is_match(path)).and_then(|pattern| pattern.split);
    let tables = kept.iter().filter(|(path, _)| is_table(path));
    tables.filter_map(|(path, entry)| Some(metadata::Table::said(path, *entry, said(path)?))).collect()
}

impl<'a> Pattern<'a> {
    fn new(split: &str, written: &'a str) -> Option<Pattern<'a>> {
        let plain = written.trim_start_matches("./").trim_end_matches('/');
        let glob = GlobBuilder::new(plain).literal_separator(true).build().ok()?.compile_matcher();
        let folder = match plain.find(['*', '?', '[', '{']) {
            Some(at) => plain[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
            None => plain,
        };
        Some(Pattern { written, glob, folder, split: Split::parse(split), fits: false })
    }

    pub fn is_match(&self, path: &str) -> bool {
        let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        self.glob.is_match(path) || folders.any(|folder| self.glob.is_match(folder))
    }

    /// The path below the pattern's folder, if it fits the path or a folder it lies in.
    fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        if !self.is_match(path) {
            return None;
        }
        if self.folder.is_empty() {
            return Some(path);
        }
        path.strip_prefix(self.folder)?.strip_prefix('/').or_else(|| path.rsplit('/').next())
    }
}

/// The parts, and what was odd; no parts where nothing lies where the card says.
pub fn parts<'a>(tree: &Tree<'a>, listing: &'a Listing, splits: &'a [SplitPaths]) -> (Vec<Part<'a>>, Vec<&'a str>, Vec<String>) {
    let mut patterns = patterns(splits);
    let mut parts: Vec<Option<Part<'a>>> = patterns.iter().map(|_| None).collect();
    let (mut others, mut nowhere) = (Vec::new(), 0usize);
    for item in &tree.items {
        // Paths count from the top of the data, with or without a folder that is wrapped around all of it.
        let whole = listing.entries[item.entry].path.as_str();
        let fits = |pattern: &Pattern<'_>| pattern.below(item.path).or_else(|| pattern.below(whole));
        let Some((at, rest)) = patterns.iter().enumerate().find_map(|(at, pattern)| Some((at, fits(pattern)?))) else {
            others.push(item.path);
            continue;
        };
        patterns[at].fits = true;
        let Some(split) = patterns[at].split else {
            nowhere += 1;
            others.push(item.path);
            continue;
        };
        let name = patterns[at].folder.rsplit('/').next().unwrap_or_default();
        parts[at].get_or_insert_with(|| Part { split, name, items: Vec::new() }).items.push((rest, *item));
    }
    let mut notes: Vec<String> = Vec::new();
    let unmet: Vec<String> = patterns.iter().filter(|pattern| !pattern.fits).take(5).map(|p| format!("`{}`", p.written)).collect();
    if !unmet.is_empty() {
        notes.push(format!("the card's `configs` names {}, and no {} lies there", unmet.join(", "), tree.item));
    }
    if nowhere > 0 {
        notes.push(format!("{nowhere} {} are of splits other than train, validation and test and were left out", tree.many));
    }
    (parts.into_iter().flatten().collect(), others, notes)
}
