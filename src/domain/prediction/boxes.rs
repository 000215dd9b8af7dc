//! Objects that a model finds in an image.

use serde::{Deserialize, Serialize};

/// What was found in an image, the surest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Boxes {
    /// Of the image, in pixels.
    pub width: u32,
    pub height: u32,
    pub found: Vec<FoundBox>,
}

/// An object in a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundBox {
    /// Of its class.
    pub index: usize,
    pub label: String,
    /// 0 to 1.
    pub score: f32,
    /// Left, top, width and height, in pixels of the image.
    pub bbox: [f32; 4],
    /// Whether it is as sure as objects of its class have to be, which is where F1 was best on the validation items.
    pub present: bool,
}

impl Boxes {
    /// Those that are sure enough.
    pub fn present(&self) -> impl Iterator<Item = &FoundBox> {
        self.found.iter().filter(|found| found.present)
    }

    /// How many of each class are there, in the order of the classes: `2 cat, 1 dog`.
    pub fn counted(&self) -> Vec<(&str, usize)> {
        let mut counts = std::collections::BTreeMap::<usize, (&str, usize)>::new();
        for found in self.present() {
            counts.entry(found.index).or_insert((&found.label, 0)).1 += 1;
        }
        counts.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_counted_by_class() {
        let found = |index: usize, label: &str, present| FoundBox { index, label: label.into(), score: 0.5, bbox: [0.0; 4], present };
        let boxes = Boxes {
            width: 8,
            height: 6,
            found: vec![found(1, "dog", true), found(0, "cat", true), found(1, "dog", true), found(0, "cat", false)],
        };
        assert_eq!(boxes.counted(), [("cat", 1), ("dog", 2)]);
    }
}
