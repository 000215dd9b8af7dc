//! What a model says about every item of a data set, in one file: `answers.csv` or whatever the form is, written as answers come.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::{Value, json};

use super::{Kind, Leaves, Sink, beside, by_names, by_support, find, open_dataset, open_device, read_config};
use crate::data::{Sample, Split};
use crate::domain::answers::{Content, Said, Spool, Writer};
use crate::domain::job_event::Progress;
use crate::domain::work::AskDataset;
use crate::train::{self, Control, Event, Predictor};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const LARGEST: u64 = 4 << 30;
/// What waits until all is known, of forms that need that.
const ROWS: &str = "answers.rows";

impl Kind for AskDataset {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let model = order.given("model")?;
        let (config, weights) = (read_config(model)?, find(model, "model.safetensors")?);
        let dataset = open_dataset(order)?;
        let device = open_device(order)?;
        let predictor = Predictor::open(&config, &weights, &device)?.with(&beside(model))?.within(&order.limits);
        let predictor = match (&self.support, &self.names) {
            (Some(_), _) => by_support(order, (predictor, config, model), sink)?.0,
            (None, Some((names, text))) => by_names(predictor, &config, (names, text))?.0,
            (None, None) => predictor,
        };
        let split = self.split.as_deref().and_then(Split::parse);
        let samples: Vec<&Sample> = dataset.samples().iter().filter(|sample| split.is_none_or(|split| sample.split == split)).collect();
        let model = format!("{}@{}", self.model, self.model_version);
        let (path, rows) = (order.files.join(self.file()), order.scratch.join(ROWS));
        let spool = || -> std::io::Result<Box<dyn Spool>> {
            Ok(Box::new(File::options().read(true).write(true).create(true).truncate(true).open(&rows)?))
        };
        let mut out = File::create(&path).map(BufWriter::new).map_err(Error::io(&path))?;
        let shape = (predictor.shape(self.top), samples.len());
        let mut writer = Writer::begin(self.format, &model, shape, &mut out, spool).map_err(Error::io(&path))?;
        let (mut asked, mut failed) = (0, 0);
        for part in samples.chunks(predictor.batch_items()) {
            let (step, total_steps) = (asked as u64, samples.len() as u64);
            let (stage, samples_per_second, eta_seconds) = ("asking the model".into(), 0.0, 0.0);
            let progress = Progress { stage, step, total_steps, samples_per_second, eta_seconds };
            if sink(Event::Progress(progress)) == Control::Stop {
                return Err(Error::Cancelled);
            }
            let bytes = part.iter().map(|sample| dataset.encoded(sample)).collect::<crate::data::Result<Vec<_>>>();
            for (sample, said) in part.iter().zip(self.said(&predictor, &bytes.map_err(train::Error::from)?)?) {
                let said = match said {
                    Ok(content) => Said { name: sample.path.clone(), content },
                    Err(error) => Said::unanswered(sample.path.clone(), error.code(), error.reason()),
                };
                failed += usize::from(said.reason().is_some());
                writer.add(said).map_err(Error::io(&path))?;
            }
            asked += part.len();
        }
        writer.finish().and_then(|()| out.flush()).and_then(|()| out.get_ref().sync_all()).map_err(Error::io(&path))?;
        let _ = std::fs::remove_file(&rows);
        Ok(json!({ "answered": asked - failed, "failed": failed }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        vec![Leaves::always(&self.file(), LARGEST)]
    }
}

impl AskDataset {
    fn said(&self, predictor: &Predictor, items: &[bytes::Bytes]) -> Result<Vec<train::Result<Content>>> {
        Ok(match self.top {
            None => predictor.features_batch(items)?,
            Some(top) => predictor.predict_batch(items, top)?.into_iter().map(|row| row.map(Content::Answer)).collect(),
        })
    }

    fn file(&self) -> String {
        format!("answers.{}", self.format)
    }
}
