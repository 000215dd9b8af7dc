//! Takes in the rows of tables of texts, one after the other: their texts go into the spool, their targets into the layout, and what is
//! wrong with them is counted.

use std::collections::BTreeMap;

use super::super::error::{Error, Result};
use super::super::labelled::{Labelled, Layout, Split};
use super::super::limits::Limits;
use super::super::listing::Listing;
use super::super::name;
use super::super::place::Entry;
use super::super::spool::Spool;
use super::super::text;

/// Rows that a sentence names.
const NAMED: usize = 3;
/// Reasons that are told apart.
const REASONS: usize = 12;

/// What was kept of all tables.
pub struct Kept {
    listing: Listing,
    samples: Vec<Labelled>,
    spool: Spool,
    left: Left,
}

/// Rows that were left out: how many for each reason, and the first of them.
#[derive(Debug, Default)]
struct Left {
    reasons: BTreeMap<String, (usize, Vec<String>)>,
    /// Without a target, by split.
    unlabelled: BTreeMap<Split, (usize, Vec<String>)>,
    count: usize,
}

fn note((count, named): &mut (usize, Vec<String>), row: String) {
    *count += 1;
    if named.len() < NAMED {
        named.push(row);
    }
}

fn shown((count, named): &(usize, Vec<String>)) -> String {
    let more = if *count > named.len() { ", ..." } else { "" };
    format!("{}{more}", named.iter().map(|row| format!("`{row}`")).collect::<Vec<_>>().join(", "))
}

impl Kept {
    pub fn new() -> Result<Kept> {
        Ok(Kept { listing: Listing::default(), samples: Vec::new(), spool: Spool::new()?, left: Left::default() })
    }

    /// The texts as entries; the samples go into the layout, with what is to be said of those that are none.
    pub fn finish(self, layout: &mut Layout) -> Result<Listing> {
        self.spool.finish()?;
        let said = self.left.sentences(|split| self.samples.iter().any(|sample| sample.split == split));
        layout.warnings.extend(said);
        layout.samples = self.samples;
        Ok(self.listing)
    }
}

impl Left {
    fn add(&mut self, reason: String, row: String) {
        self.count += 1;
        let reason = if self.reasons.len() >= REASONS && !self.reasons.contains_key(&reason) { "have other faults".into() } else { reason };
        note(self.reasons.entry(reason).or_default(), row);
    }

    fn sentences(&self, has_samples: impl Fn(Split) -> bool) -> Vec<String> {
        let of_reason =
            |(reason, rows): (&String, &(usize, Vec<String>))| format!("rows that {reason} ({}) are left out: {}", shown(rows), rows.0);
        let of_split = |(split, rows): (&Split, &(usize, Vec<String>))| match has_samples(*split) {
            true => format!("rows of {split} without a label are left out: {} ({})", rows.0, shown(rows)),
            false => format!("none of the {} rows of {split} has a label: the split is left out", rows.0),
        };
        self.reasons.iter().map(of_reason).chain(self.unlabelled.iter().map(of_split)).collect()
    }
}

/// The rows of one table.
pub struct Rows<'a> {
    kept: &'a mut Kept,
    path: &'a str,
    split: Split,
    limits: &'a Limits,
    /// The number of the row in its table.
    at: u64,
}

impl<'a> Rows<'a> {
    pub fn new(kept: &'a mut Kept, path: &'a str, split: Split, limits: &'a Limits) -> Rows<'a> {
        Rows { kept, path, split, limits, at: 0 }
    }

    /// What the next row is called.
    fn name(&self) -> String {
        format!("{}:{}", self.path, self.at)
    }

    /// Counts a row, and refuses one too many.
    fn next(&mut self) -> Result<String> {
        let row = self.name();
        self.at += 1;
        let left = self.kept.left.count + self.kept.left.unlabelled.values().map(|rows| rows.0).sum::<usize>();
        if self.kept.listing.entries.len() + left >= self.limits.entries {
            return Err(Error::TooManyFiles { entry: row, limit: self.limits.entries });
        }
        Ok(row)
    }

    /// A row that is left out, for a reason that follows "they": `have ...`.
    pub fn leave(&mut self, reason: impl Into<String>) -> Result<()> {
        self.leave_at(reason, None)
    }

    /// The same, with the byte of the row that is at fault.
    pub fn leave_at(&mut self, reason: impl Into<String>, byte: Option<usize>) -> Result<()> {
        let row = self.next()?;
        self.kept.left.add(reason.into(), byte.map_or_else(|| row.clone(), |byte| format!("{row}, byte {byte}")));
        Ok(())
    }

    /// The same, with the line of the file that is at fault.
    pub fn leave_line(&mut self, reason: &str, line: usize) -> Result<()> {
        let row = self.next()?;
        self.kept.left.add(reason.into(), format!("{row}, line {line}"));
        Ok(())
    }

    /// A row with words and a tag for each of them.
    pub fn add_words(&mut self, words: &[String], tags: Option<&[String]>, split: Option<&str>) -> Result<()> {
        match tags {
            _ if words.is_empty() => self.leave("have no words"),
            Some(tags) if tags.len() != words.len() => self.leave("have not as many tags as words"),
            Some(tags) if tags.iter().any(|tag| tag.is_empty() || tag.contains(char::is_whitespace)) => {
                self.leave("have a tag that is empty or has spaces in it")
            }
            _ => {
                let item = text::words_item(words.iter().map(String::as_str));
                self.add(&[item.as_bytes()], tags.map(|tags| tags.join(" ")), split)
            }
        }
    }

    /// Where the rest of a table cannot be read.
    pub fn stop(&mut self, reason: &str) -> Result<()> {
        self.leave(format!("cannot be read, and what follows them in their table neither: {reason}"))
    }

    /// A row with its one text or its two, its target as it is written, and its split where it has one of its own. A text that cannot be
    /// read is told when it is opened.
    pub fn add(&mut self, texts: &[&[u8]], target: Option<String>, split: Option<&str>) -> Result<()> {
        let row = self.next()?;
        let split = match split.filter(|word| !word.is_empty()) {
            None => self.split,
            Some(word) => match Split::parse(word) {
                Some(split) => split,
                None => {
                    let reason = format!("are of the split `{}`, which is not train, val or test", name::shown(word.as_bytes()));
                    self.kept.left.add(reason, row);
                    return Ok(());
                }
            },
        };
        let Some(target) = target else {
            note(self.kept.left.unlabelled.entry(split).or_default(), row);
            return Ok(());
        };
        let item = item(texts);
        if item.len() as u64 > self.limits.entry_bytes {
            self.kept.left.add(format!("have texts of more than the limit of {} bytes (max_item_bytes)", self.limits.entry_bytes), row);
            return Ok(());
        }
        let (place, entry) = (self.kept.spool.keep(&item)?, self.kept.listing.entries.len());
        self.kept.listing.add_packed(Entry { path: row, size: item.len() as u64, place }, self.limits)?;
        self.kept.samples.push(Labelled { entry, split, text: target });
        Ok(())
    }
}

/// The bytes of a text, or of two as one item. Of one that is too long only so much that it is seen to be.
fn item(texts: &[&[u8]]) -> Vec<u8> {
    let cut = |text: &[u8]| text[..text.len().min(text::MOST_BYTES + 1)].to_vec();
    match texts {
        [first, second] => text::pair(&cut(first), &cut(second)),
        [only] => cut(only),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_left_out_are_counted_and_the_first_named() {
        let (mut kept, mut layout) = (Kept::new().unwrap(), Layout::default());
        let limits = Limits::default();
        let mut rows = Rows::new(&mut kept, "a.csv", Split::Train, &limits);
        rows.add(&[b"one"], Some("x".into()), None).unwrap();
        rows.add(&[b"two"], None, Some("test")).unwrap();
        (0..5).for_each(|_| rows.leave("have 3 fields, where 2 belong").unwrap());
        rows.add(&[b"three"], Some("y".into()), Some("hidden")).unwrap();
        rows.add(&[b"a", b"b"], Some("y".into()), Some("validation")).unwrap();
        let listing = kept.finish(&mut layout).unwrap();
        let found: Vec<_> = layout.samples.iter().map(|sample| (listing.entries[sample.entry].path.as_str(), sample.split)).collect();
        assert_eq!(found, [("a.csv:0", Split::Train), ("a.csv:8", Split::Val)]);
        let all = layout.warnings.join("\n");
        assert!(all.contains("rows that have 3 fields, where 2 belong (`a.csv:2`, `a.csv:3`, `a.csv:4`, ...) are left out: 5"), "{all}");
        assert!(all.contains("`hidden`") && all.contains("none of the 1 rows of test has a label"), "{all}");
    }

    #[test]
    fn too_many_rows_are_refused() {
        let limits = Limits { entries: 2, ..Limits::default() };
        let mut kept = Kept::new().unwrap();
        let mut rows = Rows::new(&mut kept, "a.csv", Split::Train, &limits);
        rows.add(&[b"one"], Some("x".into()), None).unwrap();
        rows.leave("have faults").unwrap();
        assert!(matches!(rows.leave("have faults"), Err(Error::TooManyFiles { .. })));
    }
}
