//! The heads of a list's columns; each is a link that sorts by it, and by it the other way round.

use super::links::Links;
use crate::domain::name::RepoKind;

pub struct Column {
    pub label: String,
    pub title: &'static str,
    /// `None`: lists are not sorted by it.
    pub href: Option<String>,
    /// `ascending`, `descending`, or empty for a column that the list is not sorted by.
    pub sorted: &'static str,
    pub is_number: bool,
}

/// A column as it is known: label, title, sort in addresses, whether it is a number, and whether one wants the least first.
type Known = (&'static str, &'static str, &'static str, bool, bool);

const OF_MODELS: &[Known] = &[
    ("Model", "", "name", false, false),
    ("Pretrained on", "The data sets it has seen, the first ones first", "dataset", false, false),
    ("Top-1", "The share of first answers that are right", "top1", true, false),
    ("Params", "Numbers that were learned", "size", true, false),
    ("GMACs", "Billions of multiplications with an addition for one input", "measure:gmacs", true, true),
    ("Input", "The side of the image that goes in, in pixels", "measure:input", true, true),
    ("Items/s", "Items that go through the backbone in a second", "measure:items_per_second", true, false),
    ("Licence", "", "license", false, false),
    ("Age", "Since its newest version was published", "newest", true, false),
];
/// Of data sets, and of lists that hold both.
const OF_ALL: &[Known] = &[
    ("Name", "", "name", false, false),
    ("Task", "", "", false, false),
    ("Samples", "", "", true, false),
    ("Classes", "", "", true, false),
    ("Size", "Of all files", "size", true, false),
    ("Licence", "", "license", false, false),
    ("Downloads", "", "downloads", true, false),
    ("Age", "Since its newest version was published", "newest", true, false),
];

pub fn of(links: &Links<'_>, kind: Option<RepoKind>, on: Option<&str>) -> Vec<Column> {
    let known = if kind == Some(RepoKind::Model) { OF_MODELS } else { OF_ALL };
    let present = links.sort();
    let column = |(label, title, sort, is_number, least_first): &Known| {
        let by_data = on.filter(|_| *sort == "top1").map(|on| format!("measure:top1@{on}"));
        let sort = by_data.as_deref().unwrap_or(sort);
        let label = on.filter(|_| *label == "Top-1").map_or_else(|| (*label).to_owned(), |on| format!("Top-1 on {on}"));
        let is_present = !sort.is_empty() && present == sort;
        let reversed = if is_present { !links.is_reversed() } else { *least_first };
        // Words begin with the first letter, all else with the most.
        let ascending = ["name", "license", "dataset"].contains(&sort) != links.is_reversed();
        let href = || links.with_all(&[("sort", &[sort]), ("reversed", if reversed { &["true"] } else { &[] })]);
        Column {
            label,
            title,
            href: (!sort.is_empty()).then(href),
            sorted: match (is_present, ascending) {
                (false, _) => "",
                (true, true) => "ascending",
                (true, false) => "descending",
            },
            is_number: *is_number,
        }
    };
    known.iter().map(column).collect()
}
