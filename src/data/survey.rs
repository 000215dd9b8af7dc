//! What a run must know of its data as a whole before it begins: the name of its content, the digest of each item, and
//! which items are copies of each other.

use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::copies::{Copies, Print};
use super::dataset::Dataset;
use super::error::Result;
use super::looks::Looks;
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
    /// What the items look like, for the next survey of the same ones; `None` where all were known.
    pub looks: Option<Looks>,
}

/// Reads every item once, on all threads, and opens those that are not `known` by their content. `progress` gets (items done, items
/// in all), and ends the survey by an error.
///
/// # Errors
/// Those of reading, and what `progress` answers.
pub fn survey<E: From<super::error::Error>>(
    dataset: &Dataset,
    known: &Looks,
    progress: &mut dyn FnMut(u64, u64) -> std::result::Result<(), E>,
) -> std::result::Result<Survey, E> {
    // Those without a target of their own come last.
    let samples: Vec<Sample> = dataset.samples().iter().chain(dataset.taught_samples()).cloned().collect();
    let look = |sample: &Sample| -> Result<Print> {
        let bytes = dataset.encoded(sample)?;
        let hash = Sha256::digest(&bytes).into();
        Ok(match known.find(&hash) {
            Some(look) => Print { hash, look: look.cloned() },
            None => Print::of(&bytes, &dataset.modality.inspect(&bytes, dataset.limits(), false)),
        })
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
    let looks = of_sample.iter().any(|hash| known.find(hash).is_none()).then(|| Looks::of(&prints));
    Ok(Survey { digest: dataset.digest_of(&of_sample), hashes, copies, looks })
}
