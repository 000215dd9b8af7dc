//! The features of a data set's items, as numpy reads them: `features.npy`, a row for each item that could be read, and `items.csv`,
//! which item each row is; small pictures beside them.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, reading};
use crate::data::{Dataset, Sample};
use crate::domain::answers::npy_header;
use crate::domain::work::EmbedDataset;
use crate::train::{self, FeatureStore, Keep, Subject};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const FEATURES: &str = "features.npy";
const ITEMS: &str = "items.csv";
/// Items without a row, where there are any.
const UNREADABLE: &str = "unreadable.csv";
const LARGEST_FEATURES: u64 = 4 << 30;
const PICTURES: &str = "pictures.bin";
const PICTURED: &str = "pictures.csv";
/// All of them, and one.
const MOST_PICTURES: u64 = 64 << 20;
const LARGEST_PICTURE: u64 = 256 << 10;
/// Items whose pictures are made side by side.
const AT_ONCE: usize = 64;

impl Kind for EmbedDataset {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let model = order.given("model")?;
        let (config, weights) = (read_config(model)?, find(model, "model.safetensors")?);
        let beside = reading(model);
        let dataset = Arc::new(open_dataset(order)?);
        let device = open_device(order)?;
        let store = FeatureStore::new(&order.features, order.features_bytes);
        let keep = Keep::Store(&store);
        let subject = Subject {
            config: &config,
            weights: &weights,
            beside: &beside,
            dataset: &dataset,
            device: &device,
            scratch: &order.scratch,
            keep,
        };
        let survey = train::survey_dataset(&dataset, keep, sink)?;
        let mut written = Written::begin(order, dataset.samples().len())?;
        let width = train::embed_each(&subject, (dataset.samples(), &survey.hashes), sink, |sample, features| match features {
            None => written.unread(sample),
            Some(features) => written.add(&dataset, sample, features),
        })?;
        let (rows, unreadable) = written.finish(width)?;
        pictures(&dataset, &rows, order)?;
        Ok(json!({ "items": rows.len(), "width": width, "unreadable": unreadable }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        let papers = [Leaves::always(ITEMS, LARGEST_PAPER), Leaves::maybe(UNREADABLE, LARGEST_PAPER)];
        let papers = papers.into_iter().chain([Leaves::maybe(PICTURES, MOST_PICTURES), Leaves::maybe(PICTURED, LARGEST_PAPER)]);
        papers.into_iter().chain([Leaves::always(FEATURES, LARGEST_FEATURES)]).collect()
    }
}

/// The files as they are written, row by row: none of it waits in memory.
struct Written {
    features: BufWriter<File>,
    items: csv::Writer<BufWriter<File>>,
    unreadable: Option<csv::Writer<BufWriter<File>>>,
    folder: PathBuf,
    /// The items that have one, by their ids.
    rows: Vec<u32>,
    unread: usize,
    most: usize,
    width: usize,
}

impl Written {
    fn begin(order: &Order, most: usize) -> Result<Written> {
        let folder = order.files.clone();
        let mut items = csv::Writer::from_writer(create(&folder.join(ITEMS))?);
        items.write_record(["row", "path", "split", "target"]).map_err(failed(&folder.join(ITEMS)))?;
        Ok(Written {
            features: create(&folder.join(FEATURES))?,
            items,
            unreadable: None,
            folder,
            rows: Vec::new(),
            unread: 0,
            most,
            width: 0,
        })
    }

    fn add(&mut self, dataset: &Dataset, sample: &Sample, features: &[f32]) -> Result<()> {
        let path = self.folder.join(FEATURES);
        let mut write = || {
            if self.rows.is_empty() {
                // How many rows there will be is known at the end; the header of fewer is as long.
                self.width = features.len();
                self.features.write_all(&npy_header(self.most, self.width))?;
            }
            features.iter().try_for_each(|value| self.features.write_all(&value.to_le_bytes()))
        };
        write().map_err(Error::io(&path))?;
        let target = dataset.targets.word(&sample.target);
        let record = [self.rows.len().to_string(), sample.path.clone(), sample.split.to_string(), target];
        self.rows.push(sample.id);
        self.items.write_record(&record).map_err(failed(&self.folder.join(ITEMS)))
    }

    fn unread(&mut self, sample: &Sample) -> Result<()> {
        let path = self.folder.join(UNREADABLE);
        self.unread += 1;
        if self.unreadable.is_none() {
            self.unreadable = Some(csv::Writer::from_writer(create(&path)?));
        }
        self.unreadable.as_mut().map_or(Ok(()), |table| table.write_record([&sample.path])).map_err(failed(&path))
    }

    /// The items of the rows, and how many have none.
    fn finish(mut self, width: usize) -> Result<(Vec<u32>, usize)> {
        let path = self.folder.join(FEATURES);
        let mut close = || {
            self.items.flush()?;
            self.unreadable.as_mut().map_or(Ok(()), csv::Writer::flush)?;
            self.features.seek(SeekFrom::Start(0))?;
            self.features.write_all(&npy_header(self.rows.len(), width))?;
            self.features.flush()?;
            self.features.get_ref().sync_all()
        };
        close().map_err(Error::io(&path))?;
        Ok((self.rows, self.unread))
    }
}

/// Small pictures of the first items, one after the other, and which row's lies where: what pages show neighbours by.
fn pictures(dataset: &Dataset, rows: &[u32], order: &Order) -> Result<()> {
    let (path, index) = (order.files.join(PICTURES), order.files.join(PICTURED));
    let (mut pictures, mut table) = (create(&path)?, csv::Writer::from_writer(create(&index)?));
    table.write_record(["row", "offset", "bytes", "type"]).map_err(failed(&index))?;
    let mut offset = 0u64;
    // Both are in the order of the data set.
    let mut ids = rows.iter().peekable();
    let samples: Vec<&Sample> = dataset.samples().iter().filter(|sample| ids.next_if(|id| **id == sample.id).is_some()).collect();
    for (part, samples) in samples.chunks(AT_ONCE).enumerate() {
        let small = |sample: &&Sample| {
            let bytes = dataset.encoded(sample).ok()?;
            dataset.modality.inspect(&bytes, dataset.limits(), true).ok()?.preview
        };
        let seen: Vec<_> = samples.par_iter().map(small).collect();
        for (at, picture) in seen.into_iter().enumerate() {
            let row = part * AT_ONCE + at;
            if let Some(picture) = picture.filter(|picture| offset + picture.bytes.len() as u64 <= MOST_PICTURES) {
                pictures.write_all(&picture.bytes).map_err(Error::io(&path))?;
                let length = picture.bytes.len() as u64;
                let record = [row.to_string(), offset.to_string(), length.to_string(), picture.media_type.to_owned()];
                table.write_record(&record).map_err(failed(&index))?;
                offset += length;
            }
        }
        if offset + LARGEST_PICTURE > MOST_PICTURES {
            break;
        }
    }
    pictures.flush().map_err(Error::io(&path))?;
    table.flush().map_err(Error::io(&index))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new).map_err(Error::io(path))
}

fn failed(path: &Path) -> impl FnOnce(csv::Error) -> Error {
    let failed = Error::io(path);
    move |error| failed(std::io::Error::from(error))
}
