//! Folders whose classes are labels, or have an order, because the card says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest, Sha256};

use crate::data::error::Result;
use crate::data::labelled::{Labelled, Layout, Split};
use crate::data::limits::Limits;
use crate::data::listing::Listing;
use crate::data::targets::Form;
use crate::domain::dataset_layout::Declared;

/// The layout as it is, with the form that is declared. Where an image may have several labels, its copies in the class folders of
/// one split become one item with the labels of all of them.
pub fn several(mut layout: Layout, listing: &Listing, declared: &Declared, limits: &Limits) -> Result<Layout> {
    if !declared.ordered.is_empty() && !declared.multi_label {
        layout.form = Form::Ranked(declared.ordered.clone());
    }
    if let (Some(good), false) = (&declared.good, declared.multi_label) {
        layout.form = Form::Anomalies(good.clone());
    }
    if declared.multi_label {
        let found = std::mem::take(&mut layout.samples);
        let (before, samples) = (found.len(), merged(found, listing, limits)?);
        if samples.len() < before {
            let sentence =
                format!("{before} files in class folders are {} images: copies were read as one image with several labels", samples.len());
            layout.warnings.push(sentence);
        }
        layout.samples = samples;
        layout.form = Form::Labels;
    }
    Ok(layout)
}

fn merged(samples: Vec<Labelled>, listing: &Listing, limits: &Limits) -> Result<Vec<Labelled>> {
    let mut of_size: HashMap<u64, usize> = HashMap::new();
    samples.iter().for_each(|sample| *of_size.entry(listing.entries[sample.entry].size).or_default() += 1);
    let mut places: HashMap<(Split, [u8; 32]), usize> = HashMap::new();
    let mut kept: Vec<(Labelled, BTreeSet<String>)> = Vec::new();
    // In the order of their paths, so that the first of several copies is always the same.
    let ordered: BTreeMap<&str, &Labelled> = samples.iter().map(|sample| (listing.entries[sample.entry].path.as_str(), sample)).collect();
    for sample in ordered.into_values() {
        let entry = &listing.entries[sample.entry];
        // Only what is as long as another file can be equal to it.
        let known = match of_size[&entry.size] {
            1 => None,
            _ => Some((sample.split, <[u8; 32]>::from(Sha256::digest(entry.read(limits)?)))),
        };
        match known.and_then(|known| places.get(&known).copied()) {
            Some(at) => drop(kept[at].1.insert(sample.text.clone())),
            None => {
                known.map(|known| places.insert(known, kept.len()));
                kept.push((sample.clone(), BTreeSet::from([sample.text.clone()])));
            }
        }
    }
    let listed = |(sample, labels): (Labelled, BTreeSet<String>)| Labelled { text: serde_json::json!(labels).to_string(), ..sample };
    Ok(kept.into_iter().map(listed).collect())
}
