//! Measures a model on a data set: `evaluation.json` with every number, `predictions.csv` with every item, and the findings that the hub signs.

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, beside, by_names, by_support, find, open_dataset, open_device, read_config};
use crate::data::Split;
use crate::domain::findings::PREDICTIONS;
use crate::domain::measurement::Findings;
use crate::domain::work::Evaluate;
use crate::train::{self, Predictor};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

const EVALUATION: &str = "evaluation.json";
/// Unreadable items that are named.
const NAMED: usize = 100;

impl Kind for Evaluate {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let model = order.given("model")?;
        let (config, weights) = (read_config(model)?, find(model, "model.safetensors")?);
        let dataset = open_dataset(order)?;
        let device = open_device(order)?;
        let predictor = Predictor::open(&config, &weights, &device)?.with(&beside(model))?.within(&order.limits);
        let (predictor, config) = match (&self.support, &self.names) {
            (Some(_), _) => by_support(order, (predictor, config, model), sink)?,
            (None, Some(text)) => by_names(predictor, &config, (dataset.classes(), text))?,
            (None, None) => (predictor, config),
        };
        let unknown_split = |split: &String| Error::Never(format!("`{split}` is no split; ask for train, val or test"));
        let split = self.split.as_ref().map(|split| Split::parse(split).ok_or_else(|| unknown_split(split))).transpose()?;
        let measured = train::evaluate(&predictor, &config, &dataset, split, sink)?;
        let findings =
            Findings::of(measured.split.as_str(), &measured.evaluation, &measured.unknown, measured.unreadable.len(), &measured.digest);
        let all = json!({
            "evaluation": measured.evaluation,
            "findings": findings,
            "unknown_labels": measured.unknown,
            "unreadable": measured.unreadable.iter().take(NAMED).map(|problem| &problem.path).collect::<Vec<_>>(),
        });
        let path = order.files.join(EVALUATION);
        std::fs::write(&path, serde_json::to_vec_pretty(&all).unwrap_or_default()).map_err(Error::io(&path))?;
        let path = order.files.join(PREDICTIONS);
        std::fs::write(&path, &measured.predictions).map_err(Error::io(&path))?;
        Ok(json!(findings))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        vec![Leaves::always(EVALUATION, LARGEST_PAPER), Leaves::always(PREDICTIONS, LARGEST_PAPER)]
    }
}
