//! The index a training run works on: samples in a fixed order, whose bytes are read when they are wanted.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::copies::Copies;
use super::corrections;
use super::error::{Error, Result};
use super::labelled::{Labelled, Layout, Split};
use super::limits::Limits;
use super::listing::Listing;
use super::modality::Modality;
use super::place::Entry;
use super::sample::Sample;
use super::source::Source;
use super::targets::{self, Form, Target, Targets};
use super::text::Texts;
use super::video::Videos;
use super::{layout, leftovers, metadata, modalities, records, tables, video};
use crate::domain::annotation_facts::{self, Fault};
use crate::domain::dataset_layout::{DataLayout, Declared};
use crate::domain::dataset_report::Problem;

/// An open data set. Cheap to share between threads behind an `Arc`; reading needs no lock.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What its items are.
    pub modality: &'static dyn Modality,
    /// What is to be said about them.
    pub targets: Targets,
    /// What was odd but not fatal, in sentences.
    pub warnings: Vec<String>,
    /// What was wrong with what is said about places of items, one by one; [`Self::warnings`] has it in sentences.
    pub faults: Vec<Fault>,
    /// What the card says of the files' layout, by [`crate::domain::dataset_layout::Declared::key`].
    pub declared: String,
    /// All files together, in bytes, after decompression.
    pub total_bytes: u64,
    samples: Vec<Sample>,
    /// Their ids follow those of the samples.
    unlabelled: Vec<Sample>,
    /// Those of them that were given a target.
    taught: Vec<Sample>,
    /// By sample id.
    entries: Vec<Entry>,
    limits: Limits,
}

/// What lies there, of which modality it is, and what it means.
fn find(source: &Source, declared: &Declared, limits: &Limits) -> Result<(Listing, &'static dyn Modality, Layout)> {
    if let Some(tables) = source.tables(declared) {
        return tables::read(&tables, declared, limits);
    }
    let listing = source.list(declared, limits)?;
    let paths: Vec<&str> = listing.entries.iter().map(|entry| entry.path.as_str()).filter(|path| !leftovers::is_ignored(path)).collect();
    let modality: &'static dyn Modality = match declared.texts.is_empty() {
        false => &Texts,
        true if declared.video.is_some() || video::are_films(&listing, limits) => &Videos,
        true => modalities::of_files(paths.iter().copied()),
    };
    let listing = if modality.name().has_frames() { video::arrange(listing, declared, limits)? } else { listing };
    let by_rows = modality.is_writing() && matches!(declared.layout, None | Some(DataLayout::Table));
    let tables = if by_rows { records::find(&listing, limits)? } else { Vec::new() };
    if !tables.is_empty() {
        match records::read(&listing, &tables, declared, limits) {
            // They may say something about texts that are files of their own.
            Err(Error::NotTexts { .. }) if declared.texts.is_empty() && has_files(&listing, modality) => {}
            found => return found.map(|(listing, layout)| (listing, modality, layout)),
        }
    }
    let mut layout = layout::read(&listing, modality, declared, limits).map_err(|error| as_writing(error, modality, declared))?;
    layout.warnings.extend(if modality.name().has_frames() { None } else { video::hint(&listing) });
    Ok((listing, modality, layout))
}

/// Whether there are files that may be items: in folders, as those of classes are, or named by a table.
fn has_files(listing: &Listing, modality: &dyn Modality) -> bool {
    let named = listing.entries.iter().any(|entry| metadata::is_table(entry.path.rsplit('/').next().unwrap_or_default()));
    let is_item = |path: &str| (named || path.contains('/')) && modality.is_item(path) && !leftovers::is_ignored(path);
    listing.entries.iter().any(|entry| is_item(&entry.path))
}

/// Writing is put to many uses: nobody said that these files are items with something to be said about them, so what is missing is no
/// fault of theirs.
fn as_writing(error: Error, modality: &dyn Modality, declared: &Declared) -> Error {
    let is_said = declared.layout.is_some() || !declared.texts.is_empty() || !declared.targets.is_empty();
    match modality.is_writing() && !is_said && error.is_about_meaning() {
        true => Error::NotTexts { reason: error.to_string() },
        false => error,
    }
}

impl Dataset {
    /// Lists the source, checks every path and size, and gives every item its target. Items are not opened yet.
    ///
    /// # Errors
    /// Whatever is wrong with the archive or the layout, no items, fewer than two classes, targets that are no numbers.
    pub fn open(source: &Source, limits: &Limits) -> Result<Dataset> {
        let declared = source.declared();
        if declared.layout == Some(DataLayout::Kept) {
            return Err(Error::KeptAsIs);
        }
        let (listing, modality, layout) = find(source, &declared, limits)?;
        let Layout { mut samples, form, unlabelled, mut warnings } = layout;
        warnings.extend(listing.notes());
        let faults = if let Form::Annotated(annotated) = &form { annotated.faults().to_vec() } else { Vec::new() };
        warnings.extend(annotation_facts::sentences(&faults));
        if let Some(file) = source.corrections() {
            corrections::apply(&file, &mut samples, &form, &listing, &mut warnings)?;
        }
        let (targets, found) = targets::read(&form, &samples, limits).map_err(|error| as_writing(error, modality, &declared))?;
        let mut samples: Vec<(Labelled, Target)> = samples.into_iter().zip(found).collect();
        let path = |sample: &Labelled| listing.entries[sample.entry].path.as_str();
        samples.sort_by(|(a, at), (b, bt)| (a.split, at.class(), path(a)).cmp(&(b.split, bt.class(), path(b))));
        let mut entries: Vec<Entry> = samples.iter().map(|(s, _)| listing.entries[s.entry].clone()).collect();
        let sample = |(id, (s, target)): (usize, &(Labelled, Target))| Sample {
            id: id as u32,
            target: target.clone(),
            split: s.split,
            path: entries[id].path.clone(),
        };
        let samples: Vec<Sample> = samples.iter().enumerate().map(sample).collect();
        let mut rest: Vec<Entry> = unlabelled.iter().map(|entry| listing.entries[*entry].clone()).collect();
        rest.sort_by(|a, b| a.path.cmp(&b.path));
        let without = |(at, entry): (usize, &Entry)| Sample {
            id: (samples.len() + at) as u32,
            target: Target::Unknown,
            split: Split::Train,
            path: entry.path.clone(),
        };
        let unlabelled = rest.iter().enumerate().map(without).collect();
        entries.extend(rest);
        let (declared, total_bytes) = (declared.key(), listing.total_bytes());
        Ok(Dataset {
            modality,
            targets,
            warnings,
            faults,
            declared,
            total_bytes,
            samples,
            unlabelled,
            taught: Vec::new(),
            entries,
            limits: limits.clone(),
        })
    }

    /// Class names, sorted; a class target is an index into them. Empty where the targets are no classes.
    pub fn classes(&self) -> &[String] {
        self.targets.classes()
    }

    /// All samples, sorted by split, class and path.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Items without a target, sorted by path, that may be learned from beside the samples.
    pub fn unlabelled(&self) -> &[Sample] {
        &self.unlabelled
    }

    /// The same data set in which a model's answers stand for the targets of some items that have none: they are for training and
    /// are never held out.
    pub fn taught(&self, answers: Vec<(u32, Target)>) -> Dataset {
        let item = |(id, target): (u32, Target)| {
            let found = self.unlabelled.iter().find(|sample| sample.id == id);
            found.map(|sample| Sample { target, ..sample.clone() })
        };
        Dataset { taught: answers.into_iter().filter_map(item).collect(), ..self.clone() }
    }

    /// Items whose targets are a model's answers; see [`Self::taught`].
    pub fn taught_samples(&self) -> &[Sample] {
        &self.taught
    }

    /// The samples of `train`, `val` or `test`; empty if there is no such split.
    pub fn split(&self, name: &str) -> Vec<Sample> {
        let split = Split::parse(name);
        self.samples.iter().filter(|s| Some(s.split) == split).cloned().collect()
    }

    /// Divides the training samples into (training, validation), `fraction` of each class (of all, where there are none) going
    /// to validation: at least one sample of every class that has two which are no copies, never all of them. Copies go together.
    /// The same seed divides the same way.
    pub fn split_train(&self, copies: &Copies, fraction: f64, seed: u64) -> (Vec<Sample>, Vec<Sample>) {
        let train = self.split("train");
        let targets: Vec<&Target> = train.iter().map(|sample| &sample.target).collect();
        let stand_in =
            |(sample, stratum): (&Sample, Option<u32>)| Sample { target: stratum.map_or(Target::Unknown, Target::Class), ..sample.clone() };
        let stand_ins = train.iter().zip(targets::strata(&targets)).map(stand_in).collect();
        let (kept, held) = super::split::stratified(stand_ins, copies, fraction, seed);
        let of: HashMap<u32, &Sample> = train.iter().map(|sample| (sample.id, sample)).collect();
        let own = |samples: Vec<Sample>| samples.iter().filter_map(|sample| of.get(&sample.id)).map(|sample| (*sample).clone()).collect();
        (own(kept), own(held))
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

    /// Bytes of a sample as its listing has them.
    pub(super) fn size_of(&self, sample: &Sample) -> u64 {
        self.entries.get(sample.id as usize).map_or(0, |entry| entry.size)
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

    /// A name for the content, from the sha256 of each sample's bytes in the order of [`Self::samples`]: sha256 (hex) over the
    /// sorted lines `split TAB target TAB sha256-of-bytes`. Neither the packing nor file names nor the order change it.
    pub(super) fn digest_of(&self, hashes: &[[u8; 32]]) -> String {
        let line = |(s, hash): (&Sample, &[u8; 32])| format!("{}\t{}\t{}\n", s.split, self.targets.word(&s.target), hex::encode(hash));
        let mut lines: Vec<String> = self.samples.iter().zip(hashes).map(line).collect();
        lines.sort();
        let mut all = Sha256::new();
        lines.iter().for_each(|line| all.update(line));
        hex::encode(all.finalize())
    }
}
