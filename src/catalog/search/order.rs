//! What hits are sorted by, and places in that order: where a page ends, and where a walk stopped.

use std::cmp::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::measures;
use crate::db::{Result, Row, Value};
use crate::domain::digest::Digest;
use crate::domain::search::{SearchQuery, Sort};

/// Where a page ended. Bound to its query: with another one it reads as no cursor at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    query: String,
    value: SortValue,
    key: String,
}

impl Cursor {
    /// Reads what an earlier page of the same query gave; `None` for anything else.
    pub fn parse(query: &SearchQuery, text: &str) -> Option<Cursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let cursor: Cursor = serde_json::from_slice(&bytes).ok()?;
        (cursor.query == fingerprint(query)).then_some(cursor)
    }

    pub(super) fn encode(query: &SearchQuery, place: &Place, key: &str) -> String {
        let cursor = Cursor { query: fingerprint(query), value: place.value.clone(), key: key.to_owned() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&cursor).unwrap_or_default())
    }

    pub(super) fn place(&self, id: i64) -> Place {
        Place { value: self.value.clone(), id }
    }

    /// The repo the page ended with.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

fn fingerprint(query: &SearchQuery) -> String {
    Digest::of(format!("{query:?}").as_bytes()).to_hex()[..12].into()
}

/// The value a hit is sorted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum SortValue {
    Int(i64),
    Real(#[serde(with = "bits")] f64),
    Text(String),
}

/// A cursor must name exactly the value it was made of, which decimals may not.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

impl SortValue {
    pub fn to_value(&self) -> Value {
        match self {
            SortValue::Int(value) => Value::Int(*value),
            SortValue::Real(value) => Value::Real(*value),
            SortValue::Text(value) => Value::Text(value.clone()),
        }
    }

    fn number(&self) -> f64 {
        match self {
            SortValue::Int(value) => *value as f64,
            SortValue::Real(value) => *value,
            SortValue::Text(_) => 0.0,
        }
    }

    fn compare(&self, other: &SortValue) -> Ordering {
        match (self, other) {
            (SortValue::Int(a), SortValue::Int(b)) => a.cmp(b),
            (SortValue::Text(a), SortValue::Text(b)) => a.cmp(b),
            // A whole number may have been written for a real one.
            (a, b) => a.number().total_cmp(&b.number()),
        }
    }
}

/// A place in an order; no two repos have the same.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub value: SortValue,
    pub id: i64,
}

/// What hits are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    /// A column of the listing.
    Column(&'static str, Kind),
    /// A number of cards.
    Measure(String),
    /// How well the words fit.
    Fit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Real,
    Text,
}

#[derive(Debug, Clone)]
pub(super) struct Order {
    pub by: By,
    pub descending: bool,
}

impl Order {
    pub fn of(query: &SearchQuery, has_words: bool) -> Order {
        let int = |column| (By::Column(column, Kind::Int), true);
        let (by, descending) = match query.sort {
            _ if !query.measure.is_empty() => (By::Measure(measures::asked(&query.measure)), true),
            Sort::Relevance if has_words => (By::Fit, false),
            Sort::Relevance => (By::Column("merit", Kind::Real), true),
            Sort::Downloads => int("downloads"),
            Sort::Newest => int("newest"),
            Sort::Created => int("born"),
            Sort::Top1 => (By::Column("top1", Kind::Real), true),
            Sort::Size => int("size"),
            Sort::Name => (By::Column("folded", Kind::Text), false),
            Sort::License => (By::Column("license_word", Kind::Text), false),
            Sort::Dataset => (By::Column("source_word", Kind::Text), false),
        };
        Order { by, descending: descending != query.reversed }
    }

    /// `desc` or `asc`.
    pub fn direction(&self) -> &'static str {
        if self.descending { "desc" } else { "asc" }
    }

    /// How what comes behind a place compares with it.
    pub fn behind(&self) -> &'static str {
        if self.descending { "<" } else { ">" }
    }

    pub fn read(&self, row: &Row) -> Result<SortValue> {
        Ok(match &self.by {
            By::Column(_, Kind::Int) => SortValue::Int(row.int("sort_value")?),
            By::Column(_, Kind::Text) => SortValue::Text(row.text("sort_value")?),
            By::Column(_, Kind::Real) | By::Measure(_) | By::Fit => SortValue::Real(row.real("sort_value")?),
        })
    }

    pub fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let order = a.value.compare(&b.value).then(a.id.cmp(&b.id));
        if self.descending { order.reverse() } else { order }
    }
}
