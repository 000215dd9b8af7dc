//! How much a data set may ask of us. Every reader in this room counts against one of these numbers.

/// Bounds on archives, files and images. Sizes are in bytes, image sides in pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Files and folders in one archive, folder or version.
    pub entries: usize,
    /// One file, after decompression.
    pub entry_bytes: u64,
    /// All files together, after decompression.
    pub total_bytes: u64,
    /// Decompressed size over compressed size, judged once more than `ratio_floor` bytes came out.
    pub ratio: u64,
    /// Small files may compress as well as they like.
    pub ratio_floor: u64,
    /// Classes of one data set.
    pub classes: usize,
    /// Sides of an image before decoding.
    pub width: u32,
    pub height: u32,
    /// Memory one decoded image may take.
    pub image_bytes: u64,
    /// Share of files that may be unreadable before the whole data set is refused.
    pub unreadable_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            entries: 100_000,
            entry_bytes: 64 << 20,
            total_bytes: 16 << 30,
            ratio: 200,
            ratio_floor: 1 << 20,
            classes: 10_000,
            width: 8_192,
            height: 8_192,
            image_bytes: 64 << 20,
            unreadable_share: 0.05,
        }
    }
}
