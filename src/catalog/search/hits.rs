//! Rows that a search has found, read with all that facets ask of them.

use super::order::{Order, Place};
use crate::db::{Result, Row};

/// What is read of a row `l` of the listing, besides the value it is sorted by.
pub(super) const COLUMNS: &str = "l.id as id, l.here as here, l.task as task, l.modality as modality, l.architecture as architecture, \
    l.license as license, l.library as library, l.author as author, l.namespace as namespace, l.parameters as parameters, l.top1 as top1, \
    l.sources as sources";

/// A row, where it stands, and the numbers of its values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub place: Place,
    pub task: i64,
    pub modality: i64,
    pub architecture: i64,
    pub license: i64,
    pub author: i64,
    /// Numbers of the data sets it comes from.
    pub sources: String,
}

impl Hit {
    pub fn read(order: &Order, row: &Row) -> Result<Hit> {
        Ok(Hit {
            place: Place { value: order.read(row)?, id: row.int("id")? },
            task: row.int("task")?,
            modality: row.int("modality")?,
            architecture: row.int("architecture")?,
            license: row.int("license")?,
            author: row.int("author")?,
            sources: row.text("sources")?,
        })
    }
}

/// All hits, or the best of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub hits: Vec<Hit>,
    /// Behind this place there may be others that were not looked at.
    pub horizon: Option<Place>,
}

impl Found {
    /// In order, each once; what lies behind the horizon is not known well enough.
    pub fn settle(mut self, order: &Order) -> Found {
        self.hits.sort_by(|a, b| order.compare(&a.place, &b.place));
        self.hits.dedup_by(|a, b| a.place.id == b.place.id);
        if let Some(horizon) = &self.horizon {
            self.hits.retain(|hit| order.compare(&hit.place, horizon).is_le());
        }
        self
    }

    pub fn draw_nearer(&mut self, order: &Order, place: Place) {
        if self.horizon.as_ref().is_none_or(|horizon| order.compare(&place, horizon).is_lt()) {
            self.horizon = Some(place);
        }
    }
}
