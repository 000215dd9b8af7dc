//! What a run must know of its data as a whole before it begins: the name of its content, the digest of each item, and
//! which items are copies of each other.

use rayon::prelude::*;

use super::copies::{Copies, Print};
use super::dataset::Dataset;
use super::error::Result;
use super::sample::Sample;

/// Items read between two calls of `progress`; also bounds what is in memory at a time.
const CHUNK: usize = 64;

#[derive(Debug, Clone)]
pub struct Survey {
    /// See [`crate::domain::dataset_report::DatasetReport::digest`].
    pub digest: String,
    /// sha256 of each sample's bytes, by its id.
    pub hashes: Vec<[u8; 32]>,
    pub copies: Copies,
}

/// Reads and opens every item once, on all threads. `progress` gets (items done, items in all), and ends the survey by an error.
///
/// # Errors
/// Those of reading, and what `progress` answers.
pub fn survey<E: From<super::error::Error>>(
    dataset: &Dataset,
    progress: &mut dyn FnMut(u64, u64) -> std::result::Result<(), E>,
) -> std::result::Result<Survey, E> {
    let samples = dataset.samples();
    let look = |sample: &Sample| -> Result<Print> {
        let bytes = dataset.encoded(sample)?;
        Ok(Print::of(&bytes, &dataset.modality.inspect(&bytes, dataset.limits(), false)))
    };
    let mut prints: Vec<Print> = Vec::with_capacity(samples.len());
    for chunk in samples.chunks(CHUNK) {
        prints.extend(chunk.par_iter().map(look).collect::<Result<Vec<_>>>()?);
        progress(prints.len() as u64, samples.len() as u64)?;
    }
    let of_sample: Vec<[u8; 32]> = prints.iter().map(|print| print.hash).collect();
    let mut hashes = vec![[0; 32]; samples.iter().map(|sample| sample.id as usize + 1).max().unwrap_or(0)];
    samples.iter().zip(&of_sample).for_each(|(sample, hash)| hashes[sample.id as usize] = *hash);
    let copies = Copies::find(samples.iter().zip(&prints), dataset.modality);
    Ok(Survey { digest: dataset.digest_of(&of_sample), hashes, copies })
}
