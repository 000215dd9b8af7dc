//! What a model says about every item of a data set, in one file: `answers.csv` or whatever the form is.

use serde_json::{Value, json};

use super::{Kind, Leaves, Sink, find, open_dataset, open_device, read_config};
use crate::data::{Sample, Split};
use crate::domain::answers::{Answers, Content, Said};
use crate::domain::job_event::Progress;
use crate::domain::work::AskDataset;
use crate::train::{self, Control, Event, Predictor};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const LARGEST: u64 = 4 << 30;

impl Kind for AskDataset {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let model = order.given("model")?;
        let (config, weights) = (read_config(&find(model, "config.json")?)?, find(model, "model.safetensors")?);
        let dataset = open_dataset(order)?;
        let device = open_device(order)?;
        let reject = find(model, train::REJECT).ok();
        let predictor = Predictor::open(&config, &weights, &device)?.with_reject(reject.as_deref())?.within(&order.limits);
        let split = self.split.as_deref().and_then(Split::parse);
        let samples: Vec<&Sample> = dataset.samples().iter().filter(|sample| split.is_none_or(|split| sample.split == split)).collect();
        let mut answers = Answers { model: format!("{}@{}", self.model, self.model_version), items: Vec::with_capacity(samples.len()) };
        for part in samples.chunks(predictor.batch_items()) {
            let done = answers.items.len() as u64;
            let total_steps = samples.len() as u64;
            let (stage, samples_per_second, eta_seconds) = ("asking the model".into(), 0.0, 0.0);
            let progress = Progress { stage, step: done, total_steps, samples_per_second, eta_seconds };
            if sink(Event::Progress(progress)) == Control::Stop {
                return Err(Error::Cancelled);
            }
            let bytes = part.iter().map(|sample| dataset.encoded(sample)).collect::<crate::data::Result<Vec<_>>>();
            let bytes = bytes.map_err(train::Error::from)?;
            let said: Vec<train::Result<Content>> = match self.top {
                None => predictor.embed_batch(&bytes)?.into_iter().map(|row| row.map(|features| Content::Features { features })).collect(),
                Some(top) => predictor.predict_batch(&bytes, top)?.into_iter().map(|row| row.map(Content::Answer)).collect(),
            };
            answers.items.extend(part.iter().zip(said).map(|(sample, said)| match said {
                Ok(content) => Said { name: sample.path.clone(), content },
                Err(error) => Said::unanswered(sample.path.clone(), error.code(), error.reason()),
            }));
        }
        let path = order.files.join(self.file());
        std::fs::write(&path, answers.write(self.format).map_err(Error::Never)?).map_err(Error::io(&path))?;
        Ok(json!({ "answered": answers.items.len() - answers.failed(), "failed": answers.failed() }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        vec![Leaves::always(&self.file(), LARGEST)]
    }
}

impl AskDataset {
    fn file(&self) -> String {
        format!("answers.{}", self.format)
    }
}
