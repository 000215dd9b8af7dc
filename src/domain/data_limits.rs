//! How much a data set, and an item of one, may ask of a hub: what an administrator may set.

use serde::{Deserialize, Serialize};

/// Sound data beyond these is refused with the name of the setting that would let it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataLimits {
    /// Width times height of one picture.
    pub image_pixels: u64,
    /// One file of a data set after it was unpacked, and one picture that a model is asked about.
    pub item_bytes: u64,
    /// Files and folders of one data set, inside its archive too.
    pub dataset_files: usize,
    /// All files of one data set together, after they were unpacked.
    pub dataset_bytes: u64,
}

impl DataLimits {
    pub const IMAGE_PIXELS: &str = "max_image_pixels";
    pub const ITEM_BYTES: &str = "max_item_bytes";
    pub const DATASET_FILES: &str = "max_dataset_files";
    pub const DATASET_BYTES: &str = "max_dataset_bytes";
    /// The settings, for whoever hands them on.
    pub const SETTINGS: [&str; 4] = [Self::IMAGE_PIXELS, Self::ITEM_BYTES, Self::DATASET_FILES, Self::DATASET_BYTES];
}

impl Default for DataLimits {
    fn default() -> Self {
        DataLimits { image_pixels: 120_000_000, item_bytes: 128 << 20, dataset_files: 1_000_000, dataset_bytes: 64 << 30 }
    }
}
