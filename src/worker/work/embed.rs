//! The features of a data set's items, as numpy reads them: `features.npy`, a row for each item that could be read, and `items.csv`,
//! which item each row is.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, write_table};
use crate::domain::work::EmbedDataset;
use crate::train::{self, Embedding, FeatureStore, Keep, Subject};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const FEATURES: &str = "features.npy";
const ITEMS: &str = "items.csv";
/// Items without a row, where there are any.
const UNREADABLE: &str = "unreadable.csv";
const LARGEST_FEATURES: u64 = 4 << 30;

impl Kind for EmbedDataset {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let model = order.given("model")?;
        let (config, weights) = (read_config(&find(model, "config.json")?)?, find(model, "model.safetensors")?);
        let dataset = Arc::new(open_dataset(order)?);
        let device = open_device(order)?;
        let store = FeatureStore::new(&order.features, order.features_bytes);
        let keep = Keep::Store(&store);
        let subject = Subject { config: &config, weights: &weights, dataset: &dataset, device: &device, scratch: &order.scratch, keep };
        let survey = train::survey_dataset(&dataset, keep, sink)?;
        let embedding = train::embed(&subject, dataset.samples(), &survey.hashes, sink)?;
        write_features(&embedding, &order.files.join(FEATURES))?;
        let (mut rows, mut unreadable) = (embedding.ids.iter().enumerate().peekable(), Vec::new());
        let mut items = vec![["row", "path", "split", "target"].map(String::from).to_vec()];
        // Both are in the order of the data set.
        for sample in dataset.samples() {
            match rows.next_if(|(_, id)| **id == sample.id) {
                None => unreadable.push(vec![sample.path.clone()]),
                Some((row, _)) => {
                    let target = dataset.targets.word(&sample.target).to_string();
                    items.push(vec![row.to_string(), sample.path.clone(), sample.split.to_string(), target]);
                }
            }
        }
        write_table(&items, &order.files.join(ITEMS))?;
        if !unreadable.is_empty() {
            write_table(&unreadable, &order.files.join(UNREADABLE))?;
        }
        Ok(json!({ "items": embedding.len(), "width": embedding.width, "unreadable": unreadable.len() }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        let papers = [Leaves::always(ITEMS, LARGEST_PAPER), Leaves::maybe(UNREADABLE, LARGEST_PAPER)];
        papers.into_iter().chain([Leaves::always(FEATURES, LARGEST_FEATURES)]).collect()
    }
}

/// Numpy's format 1.0: a magic word, the length of the header, the header padded to 64 bytes, then the rows in little-endian floats.
fn write_features(embedding: &Embedding, path: &Path) -> Result<()> {
    let about = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", embedding.len(), embedding.width);
    let filled = (10 + about.len() + 1).next_multiple_of(64) - 11;
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(filled as u16 + 1).to_le_bytes())?;
        writeln!(file, "{about:<filled$}")?;
        for value in &embedding.rows {
            file.write_all(&value.to_le_bytes())?;
        }
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    write().map_err(Error::io(path))
}
