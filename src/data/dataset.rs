//! The index a training run works on: samples in a fixed order, whose bytes are read when they are wanted.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::layout::{self, Layout};
use super::limits::Limits;
use super::listing::{Listing, Source};
use super::place::Entry;
use super::report::Problem;

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
            "val" | "valid" | "validation" => Some(Split::Val),
            "test" | "testing" => Some(Split::Test),
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

/// One labelled item. `id` is stable for the same data whatever it was packed in; `label` is an index into
/// [`Dataset::classes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub id: u32,
    pub label: u32,
    pub split: Split,
    pub path: String,
}

/// An open data set. Cheap to share between threads behind an `Arc`; reading needs no lock.
#[derive(Debug)]
pub struct Dataset {
    /// Class names, sorted; a label is an index into them.
    pub classes: Vec<String>,
    /// What was odd but not fatal, in sentences.
    pub warnings: Vec<String>,
    /// All files together, in bytes, after decompression.
    pub total_bytes: u64,
    samples: Vec<Sample>,
    /// By sample id.
    entries: Vec<Entry>,
    limits: Limits,
}

impl Dataset {
    /// Lists the source, checks every path and size, and gives every image its label. Images are not decoded yet.
    ///
    /// # Errors
    /// Whatever is wrong with the archive or the layout, no images, or fewer than two classes.
    pub fn open(source: &Source, limits: &Limits) -> Result<Dataset> {
        let listing = Listing::of(source, limits)?;
        let Layout { mut samples, classes, warnings } = layout::read(&listing, limits)?;
        let total_bytes = listing.total_bytes();
        let labels: HashMap<&str, u32> = classes.iter().enumerate().map(|(i, c)| (c.as_str(), i as u32)).collect();
        samples.sort_by(|a, b| {
            let key = |s: &layout::Labelled| (s.split, labels[s.label.as_str()]);
            key(a).cmp(&key(b)).then_with(|| listing.entries[a.entry].path.cmp(&listing.entries[b.entry].path))
        });
        let entries: Vec<Entry> = samples.iter().map(|s| listing.entries[s.entry].clone()).collect();
        let sample = |(id, s): (usize, &layout::Labelled)| Sample {
            id: id as u32,
            label: labels[s.label.as_str()],
            split: s.split,
            path: entries[id].path.clone(),
        };
        let samples = samples.iter().enumerate().map(sample).collect();
        Ok(Dataset { classes, warnings, total_bytes, samples, entries, limits: limits.clone() })
    }

    /// All samples, sorted by split, label and path.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples of `train`, `val` or `test`; empty if there is no such split.
    pub fn split(&self, name: &str) -> Vec<Sample> {
        let split = Split::parse(name);
        self.samples.iter().filter(|s| Some(s.split) == split).cloned().collect()
    }

    /// Divides the training samples into (training, validation), `fraction` of each class going to validation: at least one
    /// sample of every class that has two, never all of them. The same seed divides the same way.
    pub fn split_train(&self, fraction: f64, seed: u64) -> (Vec<Sample>, Vec<Sample>) {
        super::split::stratified(self.split("train"), fraction, seed)
    }

    /// The sample that lies at `path`, as [`Sample::path`] gives it.
    pub fn find(&self, path: &str) -> Result<&Sample> {
        self.samples.iter().find(|s| s.path == path).ok_or_else(|| Error::NoSuchFile { path: path.into() })
    }

    /// The encoded bytes of a sample (a JPEG, a PNG, ...), checked against the archive's checksum where there is one.
    pub fn encoded(&self, sample: &Sample) -> Result<Bytes> {
        let entry = self.entries.get(sample.id as usize).ok_or_else(|| Error::NoSuchFile { path: sample.path.clone() })?;
        entry.read(&self.limits)
    }

    /// The same data set without the files that turned out unreadable. Ids stay what they were.
    pub fn without(mut self, unreadable: &[Problem]) -> Dataset {
        let bad: std::collections::HashSet<&str> = unreadable.iter().map(|p| p.path.as_str()).collect();
        self.samples.retain(|s| !bad.contains(s.path.as_str()));
        self
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A name for the content: sha256 (hex) over the sorted lines `split TAB class TAB sha256-of-bytes`. Neither the packing
    /// nor file names nor the order change it.
    pub fn digest(&self) -> Result<String> {
        let hash = |sample: &Sample| Ok(Sha256::digest(self.encoded(sample)?).into());
        let hashes: Vec<[u8; 32]> = self.samples.iter().map(hash).collect::<Result<_>>()?;
        Ok(self.digest_of(&hashes))
    }

    /// [`Self::digest`] from hashes that are known already, in the order of [`Self::samples`].
    pub(super) fn digest_of(&self, hashes: &[[u8; 32]]) -> String {
        let line = |(s, hash): (&Sample, &[u8; 32])| format!("{}\t{}\t{}\n", s.split, self.classes[s.label as usize], hex::encode(hash));
        let mut lines: Vec<String> = self.samples.iter().zip(hashes).map(line).collect();
        lines.sort();
        let mut all = Sha256::new();
        lines.iter().for_each(|line| all.update(line));
        hex::encode(all.finalize())
    }
}
