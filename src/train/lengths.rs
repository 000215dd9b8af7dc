//! How long items are, of those that are not all equally long: tokens of texts. Batches and caches are measured by it.

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;

use super::error::Result;
use super::progress::ProgressReporter;
use crate::data::modality::{View, Views};
use crate::data::{Dataset, Sample};

/// By sample id; of what cannot be read there is none.
pub type Lengths = HashMap<u32, usize>;

/// Items between two words of progress, and those that one thread measures with one maker.
const CHUNK: usize = 4_096;
const PART: usize = 128;

/// The lengths of these samples' plain views, of pairs those of both together; `None` where all views are equally large.
pub fn of(dataset: &Dataset, views: &Arc<dyn Views>, samples: &[&Sample], reporter: &mut ProgressReporter) -> Result<Option<Arc<Lengths>>> {
    if views.maker()?.blank().lengths().is_none() {
        return Ok(None);
    }
    let mut found = Lengths::with_capacity(samples.len());
    for chunk in samples.chunks(CHUNK) {
        let parts: Vec<_> = chunk.par_chunks(PART).map(|part| of_part(dataset, views, part)).collect::<Result<_>>()?;
        found.extend(parts.into_iter().flatten());
        reporter.prepare("measuring texts", found.len() as u64, samples.len() as u64)?;
    }
    Ok(Some(Arc::new(found)))
}

fn of_part(dataset: &Dataset, views: &Arc<dyn Views>, samples: &[&Sample]) -> Result<Vec<(u32, usize)>> {
    let mut maker = views.maker()?;
    let (mut batch, mut read) = (maker.batch(samples.len()), Vec::with_capacity(samples.len()));
    for sample in samples {
        if maker.add(&dataset.encoded(sample)?, dataset.limits(), View::Plain, &mut batch)?.is_ok() {
            read.push(sample.id);
        }
    }
    let lengths = batch.lengths().unwrap_or_default();
    let each = lengths.len() / read.len().max(1);
    Ok(read.into_iter().zip(lengths.chunks(each.max(1))).map(|(id, lengths)| (id, lengths.iter().sum())).collect())
}
