//! What lies in a data set, in a line for the person who is asked what it is.

use std::collections::BTreeMap;

use super::Tree;
use crate::data::labelled::Kept;

const SHOWN: usize = 8;

/// The top folders with what they hold, and what lies beside them.
pub fn describe(tree: &Tree<'_>) -> String {
    let mut tops: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
    for item in &tree.items {
        tops.entry(top(item.path)).or_default().0 += 1;
    }
    for path in &tree.others {
        tops.entry(top(path)).or_default().1.push(path);
    }
    let mut told: Vec<String> =
        tops.iter().map(|(top, (items, others))| one(top, (*items, if *items == 1 { tree.item } else { tree.many }), others)).collect();
    if told.len() > SHOWN {
        let more = told.len() - SHOWN;
        told.truncate(SHOWN);
        told.push(format!("{more} more folders"));
    }
    told.join(", ")
}

fn top(path: &str) -> &str {
    path.split_once('/').map_or("", |(top, _)| top)
}

fn one(top: &str, items: (usize, &str), others: &[&str]) -> String {
    let files = match others {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first, rest @ ..] => format!("`{first}` and {} more files", rest.len()),
    };
    let holds = match (items, files.is_empty()) {
        ((0, _), _) => files,
        ((n, called), true) => format!("{n} {called}"),
        ((n, called), false) => format!("{n} {called}, {files}"),
    };
    if top.is_empty() { format!("{holds} in no folder") } else { format!("{top}/ ({holds})") }
}

/// The commonest endings, with how many files have each.
pub fn kinds(kept: &Kept<'_>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for path in kept.keys() {
        let file = path.rsplit('/').next().unwrap_or_default();
        *counts.entry(file.rsplit_once('.').map_or("no ending", |(_, ending)| ending)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.iter().take(4).map(|(ending, count)| format!("{ending}: {count}")).collect::<Vec<_>>().join(", ")
}
