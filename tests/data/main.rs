//! Data sets end to end: real archives, hostile archives, layouts, decoding, transforms and batches.

mod batches;
mod images;
mod layouts;
mod real;
mod support;
mod tars;
mod transforms;
mod zips;
