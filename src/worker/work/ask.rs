//! What a model says about every item of a data set, in one file: `answers.csv` or whatever the form is, written as answers come.

use std::fs::File;
use std::io::{BufWriter, Write};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Kind, Leaves, Sink, beside, by_names, by_support, find, open_dataset, open_device, read_config};
use crate::data::{Dataset, Sample, Split, video};
use crate::domain::answers::{Content, Reason, Said, Spool, Writer};
use crate::domain::job_event::Progress;
use crate::domain::timeline::{MOST_PIECES, named};
use crate::domain::work::AskDataset;
use crate::train::{self, Control, Event, Predictor};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const LARGEST: u64 = 4 << 30;
/// What waits until all is known, of forms that need that.
const ROWS: &str = "answers.rows";
/// Pieces of all items together.
const MOST_ROWS: usize = 1_000_000;

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
        let rows = self.rows(&predictor, &dataset, sink)?;
        let model = format!("{}@{}", self.model, self.model_version);
        let (path, spare) = (order.files.join(self.file()), order.scratch.join(ROWS));
        let spool = || -> std::io::Result<Box<dyn Spool>> {
            Ok(Box::new(File::options().read(true).write(true).create(true).truncate(true).open(&spare)?))
        };
        let mut out = File::create(&path).map(BufWriter::new).map_err(Error::io(&path))?;
        let shape = (predictor.shape(self.top), rows.len());
        let mut writer = Writer::begin(self.format, &model, shape, &mut out, spool).map_err(Error::io(&path))?;
        let (mut asked, mut failed) = (0, 0);
        // A piece brings its whole item with it.
        let at_once = if self.every.is_some() { predictor.turn_items() } else { predictor.batch_items() };
        for part in rows.chunks(at_once) {
            tell(sink, "asking the model", (asked, rows.len()))?;
            for said in self.said(&predictor, &dataset, part)? {
                failed += usize::from(said.reason().is_some());
                writer.add(said).map_err(Error::io(&path))?;
            }
            asked += part.len();
        }
        writer.finish().and_then(|()| out.flush()).and_then(|()| out.get_ref().sync_all()).map_err(Error::io(&path))?;
        let _ = std::fs::remove_file(&spare);
        Ok(json!({ "answered": asked - failed, "failed": failed }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        vec![Leaves::always(&self.file(), LARGEST)]
    }
}

/// What has a row of its own.
struct Row<'a> {
    sample: &'a Sample,
    /// From and to, in seconds, of a piece.
    piece: Option<(f64, f64)>,
    /// Why nobody can say where its pieces lie.
    refused: Option<Reason>,
}

impl Row<'_> {
    fn name(&self) -> String {
        self.piece.map_or_else(|| self.sample.path.clone(), |piece| named(&self.sample.path, piece))
    }
}

fn tell(sink: Sink<'_>, stage: &str, (step, total): (usize, usize)) -> Result<()> {
    let (stage, step, total_steps) = (stage.into(), step as u64, total as u64);
    match sink(Event::Progress(Progress { stage, step, total_steps, samples_per_second: 0.0, eta_seconds: 0.0 })) {
        Control::Stop => Err(Error::Cancelled),
        Control::Continue => Ok(()),
    }
}

impl AskDataset {
    /// All that is asked about, in its order.
    fn rows<'a>(&self, predictor: &Predictor, dataset: &'a Dataset, sink: Sink<'_>) -> Result<Vec<Row<'a>>> {
        let split = self.split.as_deref().and_then(Split::parse);
        let samples: Vec<&Sample> = dataset.samples().iter().filter(|sample| split.is_none_or(|split| sample.split == split)).collect();
        let whole = |sample| Row { sample, piece: None, refused: None };
        let Some(every) = self.every else { return Ok(samples.into_iter().map(whole).collect()) };
        predictor.need_time()?;
        let mut rows = Vec::new();
        for (at, sample) in samples.iter().copied().enumerate() {
            tell(sink, "finding pieces", (at, samples.len()))?;
            let bytes = dataset.encoded(sample).map_err(train::Error::from)?;
            let refused = |code: &str, message: String| Some(Reason { code: code.into(), message });
            match predictor.seconds(&bytes) {
                Ok(long) if every.count(long) > MOST_PIECES => {
                    let message = format!("it has {} pieces of {every} s, and {MOST_PIECES} are asked about", every.count(long));
                    rows.push(Row { refused: refused("too_many_items", message), ..whole(sample) });
                }
                Ok(long) => rows.extend(every.pieces(long).map(|piece| Row { piece: Some(piece), ..whole(sample) })),
                Err(error) => rows.push(Row { refused: refused(error.code(), error.reason()), ..whole(sample) }),
            }
            if rows.len() > MOST_ROWS {
                let (many, hint) = ("pieces of its videos are asked about", "ask for longer pieces (`every`), or about one split");
                return Err(Error::Never(format!("more than {MOST_ROWS} {many}; {hint}")));
            }
        }
        Ok(rows)
    }

    /// What the model says of some rows.
    fn said(&self, predictor: &Predictor, dataset: &Dataset, rows: &[Row<'_>]) -> Result<Vec<Said>> {
        let of = |row: &Row<'_>| -> crate::data::Result<Bytes> {
            let bytes = dataset.encoded(row.sample)?;
            Ok(match row.piece {
                Some((from, to)) => video::piece(from, to, &bytes).into(),
                None => bytes,
            })
        };
        let sound = rows.iter().filter(|row| row.refused.is_none());
        let items = sound.map(of).collect::<crate::data::Result<Vec<_>>>().map_err(train::Error::from)?;
        let answers: Vec<train::Result<Content>> = match self.top {
            None => predictor.features_batch(&items)?,
            Some(top) => predictor.predict_batch(&items, top)?.into_iter().map(|row| row.map(Content::Answer)).collect(),
        };
        let mut answers = answers.into_iter();
        let said = |row: &Row<'_>| match &row.refused {
            Some(error) => Said { name: row.name(), content: Content::Unanswered { error: error.clone() } },
            None => match answers.next() {
                Some(Ok(content)) => Said { name: row.name(), content },
                Some(Err(error)) => Said::unanswered(row.name(), error.code(), error.reason()),
                None => Said::unanswered(row.name(), "no_answer", "the model gave no answer; ask again"),
            },
        };
        Ok(rows.iter().map(said).collect())
    }

    fn file(&self) -> String {
        format!("answers.{}", self.format)
    }
}
