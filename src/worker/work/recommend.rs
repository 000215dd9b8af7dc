//! Backbones before a data set: `recommendation.json`, see [`crate::domain::recommendation`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Kind, LARGEST_PAPER, Leaves, Sink, find, open_dataset, open_device, read_config, reading};
use crate::domain::recommendation::{FILE, Recommendation};
use crate::domain::work::Recommend;
use crate::train::recommend::panel::{Candidate, Files, Panel, recommend};
use crate::train::recommend::race::{self, race};
use crate::train::{Control, Event, FeatureStore, Keep};
use crate::worker::order::Order;
use crate::worker::{Error, Result};

/// Of the time allowed, where a race follows.
const SHARE_BEFORE_A_RACE: f64 = 0.4;

impl Kind for Recommend {
    fn run(&self, order: &Order, sink: Sink<'_>) -> Result<Value> {
        let dataset = Arc::new(open_dataset(order)?);
        let device = open_device(order)?;
        let store = FeatureStore::new(&order.features, order.features_bytes);
        let name = format!("{}@{}", self.dataset, self.dataset_version);
        let candidates = self.candidates(order);
        let allowed = self.seconds.map(f64::from);
        let panel = Panel {
            dataset: &dataset,
            name: &name,
            device: &device,
            scratch: &order.scratch,
            keep: Keep::Store(&store),
            seconds: allowed.map(|seconds| if self.race { seconds * SHARE_BEFORE_A_RACE } else { seconds }),
        };
        let mut tell = |event: Event| -> Control { sink(event) };
        let mut answer = recommend(&panel, &candidates, &mut tell)?;
        if self.race {
            let seconds = allowed.map(|seconds| seconds - answer.seconds);
            let most = race::affordable(&answer, seconds);
            let small = Arc::new(race::limited(open_dataset(order)?, most));
            race(&Panel { dataset: &small, ..panel }, &candidates, &mut answer, &mut tell)?;
        }
        answer.backbones.extend(self.passed_over.iter().cloned());
        if answer.first().is_none() {
            return Err(Error::Never(none_tried(&answer)));
        }
        let file = order.files.join(FILE);
        let text = serde_json::to_vec_pretty(&answer).map_err(|e| Error::Never(e.to_string()))?;
        std::fs::write(&file, text).map_err(Error::io(&file))?;
        let first = answer.first().map(|first| first.known.model.clone());
        Ok(json!({ "first": first, "why": answer.why(), "backbones": answer.backbones.len(), "seconds": answer.seconds }))
    }

    fn leaves(&self, _order: &Order) -> Vec<Leaves> {
        vec![Leaves::always(FILE, LARGEST_PAPER)]
    }
}

impl Recommend {
    fn candidates(&self, order: &Order) -> Vec<Candidate> {
        let files = |at: usize| {
            let given = order.given(&Recommend::role(at))?;
            Ok::<_, Error>(Files { config: read_config(given)?, weights: find(given, "model.safetensors")?, beside: reading(given) })
        };
        let candidate = |(at, contender): (usize, &crate::domain::work::Contender)| Candidate {
            known: contender.known.clone(),
            files: files(at).map_err(|error| error.to_string()),
        };
        self.contenders.iter().enumerate().map(candidate).collect()
    }
}

/// With the first few reasons.
fn none_tried(answer: &Recommendation) -> String {
    let reasons = answer.backbones.iter().filter_map(|backbone| Some(format!("{}: {}", backbone.known.model, backbone.reason.as_ref()?)));
    let reasons: Vec<String> = reasons.take(3).collect();
    format!(
        "none of {} backbones could be tried ({}); import or publish a model that this build runs",
        answer.backbones.len(),
        reasons.join("; ")
    )
}
