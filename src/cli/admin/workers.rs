//! `hub admin workers`: which machines work on jobs, and what they do.

use clap::Args;
use serde_json::json;

use super::super::output::table;
use super::super::{Output, Result};
use crate::app::Administration;
use crate::domain::human::bytes;
use crate::wire::List;
use crate::wire::worker::KnownWorker;

/// List the workers that were heard of within the hour
#[derive(Debug, Args)]
pub(super) struct Workers {}

impl Workers {
    pub(super) async fn run(&self, house: &Administration) -> Result<Output> {
        let items = house.list_workers().await?;
        let items: Vec<KnownWorker> = items.into_iter().map(|(worker, now)| KnownWorker::of(worker, now)).collect();
        let row = |worker: &KnownWorker| {
            let (job, token) = (worker.job.clone().unwrap_or_default(), worker.token.clone().unwrap_or_else(|| "-".into()));
            let machine = [worker.node.clone(), worker.cpus.to_string(), bytes(worker.memory_bytes), worker.device.clone()];
            let life = [worker.state.clone(), job, token, worker.release.clone(), worker.seen.clone()];
            machine.into_iter().chain(life).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        let quiet = items.iter().map(|worker| worker.name.clone()).collect::<Vec<_>>().join("\n");
        let human = table(&["MACHINE", "THREADS", "MEMORY", "DEVICE", "STATE", "JOB", "TOKEN", "RELEASE", "LAST HEARD OF"], &rows);
        Ok(Output::new(human, json!(List { items, next: None }), quiet))
    }
}
