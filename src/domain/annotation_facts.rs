//! What a check found out about labelled places of images: how many objects or pixels there are of each class, and what was wrong with
//! which of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dataset_report::Spread;

/// Faults that are kept one by one; of more, their number.
pub const MOST_FAULTS: usize = 1_000;
/// Files that a sentence names.
const NAMED: usize = 5;

/// Of all images together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnotationFacts {
    /// Objects of each class, or pixels.
    pub per_class: Vec<u64>,
    /// Objects in boxes.
    #[serde(skip_serializing_if = "is_none")]
    pub objects: usize,
    /// Those that stand for several.
    #[serde(skip_serializing_if = "is_none")]
    pub crowds: usize,
    /// Those with an outline.
    #[serde(skip_serializing_if = "is_none")]
    pub outlines: usize,
    /// Objects of less than 32 x 32 pixels, of less than 96 x 96, and larger ones, as COCO divides them.
    pub sizes: [usize; 3],
    /// Objects of an image, in boxes or told apart by a raster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_image: Option<Spread>,
    /// Images in which there is nothing.
    pub empty: usize,
    /// What was wrong, the first [`MOST_FAULTS`].
    pub faults: Vec<Fault>,
    /// All that was wrong, counted.
    pub found: usize,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Something that is wrong with what is said about one file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    pub path: String,
    /// The same words for the same trouble.
    pub problem: String,
    /// Which of several things in the file it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Fault {
    pub fn new(path: impl Into<String>, problem: &str, detail: impl Into<String>) -> Fault {
        Fault { path: path.into(), problem: problem.into(), detail: detail.into() }
    }
}

/// A sentence for each kind of trouble, with how often it was found and where first.
pub fn sentences(faults: &[Fault]) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&Fault>> = BTreeMap::new();
    faults.iter().for_each(|fault| groups.entry(&fault.problem).or_default().push(fault));
    let named = |fault: &&Fault| match fault.detail.as_str() {
        "" => format!("`{}`", fault.path),
        detail => format!("`{}` ({detail})", fault.path),
    };
    let sentence = |(problem, faults): (&&str, &Vec<&Fault>)| {
        let first = faults.iter().take(NAMED).map(named).collect::<Vec<_>>().join(", ");
        let more = if faults.len() > NAMED { format!(" and {} more", faults.len() - NAMED) } else { String::new() };
        let times = if faults.len() == 1 { String::new() } else { format!(" ({} times)", faults.len()) };
        format!("{problem}{times}: {first}{more}")
    };
    groups.iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_troubles_stand_together_and_files_are_named() {
        let faults: Vec<Fault> = (0..7).map(|at| Fault::new(format!("{at}.jpg"), "boxes without area were left out", "cat")).collect();
        let others = [Fault::new("x.jpg", "an image has no annotation", "")];
        let told = sentences(&[faults, others.to_vec()].concat());
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], "an image has no annotation: `x.jpg`");
        assert!(told[1].starts_with("boxes without area were left out (7 times): `0.jpg` (cat)") && told[1].ends_with(" and 2 more"));
    }
}
