//! Data sets end to end: real archives, hostile archives, layouts, decoding, transforms and batches.

#![allow(clippy::unwrap_used, reason = "builders of test data object by panicking, as tests do")]

mod batches;
mod clips;
mod copies;
mod field;
mod images;
mod layouts;
mod places;
mod real;
mod support;
mod tables;
mod tars;
mod texts;
mod transforms;
mod videos;
mod zips;
