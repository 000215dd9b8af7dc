//! A look at a data set's labels: `suspects.csv`, the most suspect first, in the form in which labels are put right; `outliers.csv`;
//! and `examination.json`, which the data set's page shows.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, reading};
use crate::domain::examination::{EXAMINATION, OUTLIERS, SUSPECTS};
use crate::domain::work::ExamineDataset;
use crate::train::doctor::examine_dataset;
use crate::train::{self, FeatureStore, Keep, Subject};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

impl Kind for ExamineDataset {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let base = order.given("base")?;
        let (config, weights) = (read_config(base)?, find(base, "model.safetensors")?);
        let beside = reading(base);
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
        let mut found = examine_dataset(&subject, &survey, sink)?;
        found.examination.base = format!("{}@{}", self.base, self.base_version);
        let suspects = found.suspects.iter().map(|suspect| {
            let score = format!("{:.4}", suspect.score);
            // Whoever puts a label right writes over the first of the two.
            [suspect.path.clone(), suspect.given.clone(), suspect.given.clone(), suspect.suggested.clone(), score].to_vec()
        });
        write_table(&["path", "label", "given", "suggested", "score"], suspects, &order.files.join(SUSPECTS))?;
        let outliers = found.outliers.iter().map(|one| [one.path.clone(), one.class.clone(), format!("{:.3}", one.times)].to_vec());
        write_table(&["path", "label", "times"], outliers, &order.files.join(OUTLIERS))?;
        let file = order.files.join(EXAMINATION);
        std::fs::write(&file, json!(found.examination).to_string()).map_err(Error::io(&file))?;
        let head = &found.examination;
        Ok(json!({
            "items": head.items, "wrong": head.wrong, "agreement": head.agreement, "outliers": head.outlier_count, "seconds": head.seconds,
        }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        [SUSPECTS, OUTLIERS, EXAMINATION].iter().map(|name| Leaves::always(name, LARGEST_PAPER)).collect()
    }
}

fn write_table(header: &[&str], rows: impl Iterator<Item = Vec<String>>, path: &Path) -> Result<()> {
    let write = || {
        let mut table = csv::Writer::from_path(path)?;
        table.write_record(header)?;
        for row in rows {
            table.write_record(&row)?;
        }
        table.flush()
    };
    write().map_err(Error::io(path))
}
