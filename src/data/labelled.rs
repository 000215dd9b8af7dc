//! What the readers of a layout hand each other: entries with their splits and the text of their targets.

use std::collections::BTreeMap;

use super::name;
use super::targets::Form;
use crate::domain::human;

/// What a sample is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    pub const ALL: [Split; 3] = [Split::Train, Split::Val, Split::Test];

    /// Understands the names people give their folders.
    pub fn parse(text: &str) -> Option<Split> {
        match text.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Split::Train),
            "val" | "valid" | "validation" | "dev" => Some(Split::Val),
            "test" | "testing" | "eval" | "evaluation" => Some(Split::Test),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
        }
    }
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which entry of the listing is what, its target as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    pub entry: usize,
    pub split: Split,
    pub text: String,
}

/// What the layout of a data set says.
#[derive(Debug, Default)]
pub struct Layout {
    pub samples: Vec<Labelled>,
    /// How their texts are to be read.
    pub form: Form,
    /// Entries of items without a target that may be learned from too.
    pub unlabelled: Vec<usize>,
    pub warnings: Vec<String>,
}

/// The entries that may count, by their path below the wrapping folder.
pub(super) type Kept<'a> = BTreeMap<&'a str, usize>;

/// One sentence on files that took no part, by their endings.
pub(super) fn warn_left_out(paths: &[&str], why: &str, warnings: &mut Vec<String>) {
    const ENDINGS: usize = 6;
    let mut by_ending: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for path in paths {
        by_ending.entry(name::extension(path).map_or("without an ending".into(), |ending| format!(".{ending}"))).or_default().push(path);
    }
    let told = by_ending.iter().take(ENDINGS).map(|(ending, paths)| {
        let first = paths.iter().take(3).map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ");
        format!("{} {ending} ({first}{})", paths.len(), if paths.len() > 3 { ", ..." } else { "" })
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let more = if by_ending.len() > ENDINGS { " and others" } else { "" };
    if !paths.is_empty() {
        let were = human::of_one_or_many(paths.len(), "file was", "files were");
        warnings.push(format!("{were} left out, {why}: {told}{more}"));
    }
}
