//! How much a data set may ask of us. Every reader in this room counts against one of these numbers.

use crate::domain::data_limits::DataLimits;

/// Bounds on archives, files and images. Sizes are in bytes, image sides in pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Files and folders in one archive, folder or version.
    pub entries: usize,
    /// One file, after decompression.
    pub entry_bytes: u64,
    /// All files together, after decompression.
    pub total_bytes: u64,
    /// Decompressed size over compressed size of a whole archive, judged once more than `ratio_floor` bytes came out: drawings
    /// and blank pages compress a thousand times and are sound, so below it only sizes count.
    pub ratio: u64,
    pub ratio_floor: u64,
    /// Classes of one data set.
    pub classes: usize,
    /// The longer side of an image before decoding.
    pub image_side: u32,
    /// Width times height.
    pub image_pixels: u64,
    /// Share of files that may be unreadable before the whole data set is refused.
    pub unreadable_share: f64,
}

impl Limits {
    /// As an administrator has set them.
    pub fn of(set: &DataLimits) -> Limits {
        Limits {
            entries: set.dataset_files,
            entry_bytes: set.item_bytes,
            total_bytes: set.dataset_bytes,
            ratio: 200,
            ratio_floor: 4 << 30,
            classes: 10_000,
            image_side: 65_535,
            image_pixels: set.image_pixels,
            unreadable_share: 0.05,
        }
    }

    /// Memory the pixels of one image may take in the decoder's own form: four bytes each, and no less than a small image of
    /// deep colours needs.
    pub fn image_bytes(&self) -> u64 {
        self.image_pixels.saturating_mul(4).max(1 << 20)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::of(&DataLimits::default())
    }
}
