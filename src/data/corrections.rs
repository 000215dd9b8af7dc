//! Labels and splits that were put right after the data were packed: `corrections.csv` at the top of a version, with the columns
//! `path` and `label`, `split` or both; an empty field leaves what is there. It lies beside archives and tables that need not be packed anew, so that a version with other labels costs what its
//! list of changes takes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::error::{Error, Result};
use super::labelled::{Labelled, Split};
use super::listing::Listing;
use super::targets::Form;

/// What it is called.
pub const CORRECTIONS: &str = "corrections.csv";
/// Enough for a hundred thousand lines.
pub const MAX_CORRECTIONS_BYTES: u64 = 16 << 20;
/// Paths that a warning names.
const NAMED: usize = 3;

/// What is said of one item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correction {
    pub label: Option<String>,
    pub split: Option<Split>,
}

/// By path.
pub type Corrections = BTreeMap<String, Correction>;

/// Corrections by path. Of several lines about one path the last counts.
///
/// # Errors
/// [`Error::BadLayout`] with the line that cannot be read.
pub fn read(text: &str) -> Result<Corrections> {
    let bad = |reason: String| Error::BadLayout { reason: format!("`{CORRECTIONS}`: {reason}") };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| bad(e.to_string()))?.clone();
    let place = |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}').eq_ignore_ascii_case(name));
    let (Some(path), label, split) = (place("path"), place("label"), place("split")) else {
        return Err(bad("it needs the column `path`".into()));
    };
    if label.is_none() && split.is_none() {
        return Err(bad("it needs the columns `path` and `label`, or `path` and `split`".into()));
    }
    let mut corrections = Corrections::new();
    for record in reader.records() {
        let record = record.map_err(|e| bad(e.to_string()))?;
        let field = |at: usize| record.get(at).unwrap_or_default();
        let said = |at: Option<usize>| at.map(field).filter(|text| !text.is_empty());
        let split =
            said(split).map(|word| Split::parse(word).ok_or_else(|| bad(format!("`{word}` is no split; write train, val or test"))));
        let correction = Correction { label: said(label).map(str::to_owned), split: split.transpose()? };
        if correction == Correction::default() {
            return Err(bad(format!("`{}` has neither label nor split", field(path))));
        }
        corrections.insert(field(path).to_owned(), correction);
    }
    Ok(corrections)
}

/// The file as [`read`] reads it.
pub fn write(corrections: &Corrections) -> String {
    let mut table = csv::Writer::from_writer(Vec::new());
    // Writing into memory fails for want of memory alone, which ends the process.
    let _ = table.write_record(["path", "label", "split"]);
    for (path, Correction { label, split }) in corrections {
        let _ = table.write_record([path.as_str(), label.as_deref().unwrap_or_default(), split.map_or("", Split::as_str)]);
    }
    String::from_utf8(table.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// Gives the samples that it names their labels and splits, and says how many.
pub(super) fn apply(file: &Path, samples: &mut [Labelled], form: &Form, listing: &Listing, warnings: &mut Vec<String>) -> Result<()> {
    let mut text = String::new();
    let opened = File::open(file).map_err(Error::io(file))?;
    let read_text = opened.take(MAX_CORRECTIONS_BYTES + 1).read_to_string(&mut text);
    read_text.map_err(|_| Error::BadLayout { reason: format!("`{CORRECTIONS}` is not UTF-8") })?;
    if text.len() as u64 > MAX_CORRECTIONS_BYTES {
        return Err(Error::TooLarge { entry: CORRECTIONS.into(), limit_bytes: MAX_CORRECTIONS_BYTES });
    }
    let mut corrections = read(&text)?;
    let (mut labels, mut splits, mut passed) = (0, 0, 0);
    let of_places = matches!(form, Form::Annotated(_));
    for sample in samples {
        let Some(correction) = corrections.remove(&listing.entries[sample.entry].path) else { continue };
        if let Some(label) = correction.label {
            match of_places {
                true => passed += 1,
                false => {
                    labels += 1;
                    sample.text = label;
                }
            }
        }
        if let Some(split) = correction.split {
            splits += 1;
            sample.split = split;
        }
    }
    if passed > 0 {
        warnings
            .push(format!("{passed} labels of `{CORRECTIONS}` say nothing here, where places of items are labelled in files of their own"));
    }
    for (count, what) in [(labels, "labels"), (splits, "splits")] {
        if count > 0 {
            warnings.push(format!("{count} {what} are those of `{CORRECTIONS}`, and not those of the files"));
        }
    }
    if !corrections.is_empty() {
        let named = corrections.keys().take(NAMED).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        warnings.push(format!("`{CORRECTIONS}` also names {} files that are no items here: {named}", corrections.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_written() {
        let read_all = "path,given,label\ntrain/cat/1.png,cat,dog\n\"a, b.png\",x,\"big \"\"dog\"\"\"\ntrain/cat/1.png,cat,bird\n";
        let found = read(read_all).unwrap();
        assert_eq!(found["train/cat/1.png"].label.as_deref(), Some("bird"), "the last line counts");
        assert_eq!(read(&write(&found)).unwrap(), found);
        let splits = read("path,split,target\n1.png,validation,cat\n").unwrap();
        assert_eq!(splits["1.png"], Correction { label: None, split: Some(Split::Val) });
        let refused = |text: &str| read(text).unwrap_err().to_string();
        assert!(refused("file,label\na,b\n").contains("the column `path`"));
        assert!(refused("path,target\na,b\n").contains("`path` and `split`"));
        assert!(refused("path,label\na,\n").contains("`a` has neither label nor split"));
        assert!(refused("path,split\na,holdout\n").contains("`holdout` is no split"));
        assert!(read("path,label\na,b,c\n").is_err());
    }
}
