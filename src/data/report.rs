//! What a check found out. Stored as JSON beside the version and shown on the data set's page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The judge's findings. Only readable images are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Sorted; `per_class` counts are in this order.
    pub classes: Vec<String>,
    /// The splits that have images, in the order train, val, test.
    pub splits: Vec<SplitCount>,
    pub images: usize,
    /// All files after decompression.
    pub total_bytes: u64,
    pub sizes: Sizes,
    /// How many images are `gray`, `gray+alpha`, `rgb`, `rgba` or `cmyk`.
    pub channels: BTreeMap<String, usize>,
    /// How many images are `jpeg`, `png`, ...
    pub formats: BTreeMap<String, usize>,
    pub unreadable: Vec<Problem>,
    /// Pairs of equal files in different splits (the first 1,000): what was trained on must not be tested on.
    pub duplicates_across_splits: Vec<(String, String)>,
    /// Pairs of equal files in the same split (the first 1,000).
    pub duplicates_within_split: Vec<(String, String)>,
    /// Sentences for people: imbalance, classes without images, files left out.
    pub warnings: Vec<String>,
    /// A few small pictures of each class.
    pub previews: Vec<Preview>,
    /// See [`super::Dataset::digest`]; over the readable images.
    pub digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitCount {
    /// `train`, `val` or `test`.
    pub name: String,
    pub images: usize,
    pub per_class: Vec<usize>,
}

/// Image sides in pixels, after the camera's rotation was applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    pub width: Spread,
    pub height: Spread,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    pub min: u32,
    pub median: u32,
    pub max: u32,
}

impl Spread {
    pub(super) fn of(mut values: Vec<u32>) -> Spread {
        values.sort_unstable();
        match values.as_slice() {
            [] => Spread::default(),
            all => Spread { min: all[0], median: all[all.len() / 2], max: all[all.len() - 1] },
        }
    }
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub path: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    pub class: String,
    pub path: String,
    /// `image/png` or `image/jpeg`.
    pub media_type: String,
    /// The small picture, in standard base64.
    pub base64: String,
}
