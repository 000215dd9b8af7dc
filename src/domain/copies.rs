//! What is in a data set more than once, and how much of that makes measures look better than they are.

use serde::{Deserialize, Serialize};

use super::human;
use super::modality::Modality;

/// Items that a data set has before, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Copies {
    /// Equal to an item before them in the same split, or to what it decodes to.
    pub equal: usize,
    /// The same as an item before them in the same split but for small changes.
    pub near: usize,
    /// Copies with another target than the first of them.
    pub relabelled: usize,
    pub leaks: Vec<Leak>,
    /// The first near-copies with what they are copies of.
    pub pairs: Vec<(String, String)>,
}

/// Items that are measured on and have a copy among those that were learned from, or chosen by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leak {
    /// `val` or `test`.
    pub split: String,
    /// `train` or `val`.
    pub of: String,
    /// Of `samples` items in the split so many.
    pub copies: usize,
    pub samples: usize,
    /// Those of them that are not equal, but the same for small changes.
    pub near: usize,
}

fn whole(split: &str) -> &str {
    if split == "val" { "validation" } else { split }
}

impl Leak {
    /// `12 of 40 validation images are also in train (4 of them encoded anew, ...)`
    pub fn sentence(&self, items: &str) -> String {
        let Leak { split, of, copies, samples, near } = self;
        let alike = Modality::of_items(items).near_copies();
        let near = match near {
            0 => String::new(),
            _ if near == copies => format!(" ({alike})"),
            _ => format!(" ({near} of them {alike})"),
        };
        let are = if *copies == 1 { "is" } else { "are" };
        format!("{copies} of {samples} {} {items} {are} also in {}{near}", whole(split), whole(of))
    }
}

impl Copies {
    pub fn is_empty(&self) -> bool {
        *self == Copies::default()
    }

    /// A few sentences for people, however many there are.
    pub fn sentences(&self, items: &str) -> Vec<String> {
        let alike = Modality::of_items(items).near_copies();
        let mut said: Vec<String> = self.leaks.iter().map(|leak| format!("{}: measures on them flatter", leak.sentence(items))).collect();
        let item = Modality::of_items(items).item();
        let with = |count: usize, one: &str, many: &str, what: String| {
            (count > 0).then(|| human::of_one_or_many(count, &format!("{item} {one} {what}"), &format!("{items} {many} {what}")))
        };
        let same = "another one in the same split";
        said.extend(with(self.equal, "is a copy of", "are copies of", same.into()));
        said.extend(with(self.near, "looks the same as", "look the same as", format!("{same} ({alike})")));
        let other = "one with another label: one of the two labels is wrong".into();
        said.extend(with(self.relabelled, "is a copy of", "are copies of", other));
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_in_few_lines() {
        let leak = |copies, near| Leak { split: "val".into(), of: "train".into(), copies, samples: 40, near };
        assert_eq!(leak(12, 0).sentence("images"), "12 of 40 validation images are also in train");
        assert_eq!(leak(1, 0).sentence("images"), "1 of 40 validation images is also in train");
        assert!(
            leak(12, 4)
                .sentence("images")
                .ends_with("in train (4 of them encoded anew, resized, a little brighter or darker, or mirrored)")
        );
        assert!(leak(4, 4).sentence("images").ends_with("(encoded anew, resized, a little brighter or darker, or mirrored)"));
        let copies = Copies { equal: 3, near: 2, relabelled: 1, leaks: vec![leak(2, 0)], pairs: vec![] };
        assert_eq!(copies.sentences("images").len(), 4);
        assert!(leak(4, 4).sentence("texts").contains("texts are also in train (the same but for a few words"));
        assert!(Copies::default().sentences("images").is_empty() && Copies::default().is_empty());
    }
}
