//! The curves of a run in the forms that other programs read: a table, and TensorBoard's events.

mod csv;
mod tensorboard;

pub use csv::to_csv;
pub use tensorboard::to_events;

use serde_json::{Map, Value};

use super::job_event::EpochNumbers;
use super::time::Timestamp;

/// The numbers of one epoch and when they were told.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub time: Timestamp,
    pub numbers: EpochNumbers,
}

/// An epoch under the keys of its JSON.
fn keyed(numbers: &EpochNumbers) -> Map<String, Value> {
    match serde_json::to_value(numbers) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}
