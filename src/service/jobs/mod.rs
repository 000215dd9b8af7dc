//! Fine-tunes and predictions: admitted, queued, leased by a worker, ended, published. Every write of a worker is
//! fenced by its lease.

mod admit;
pub mod finetune;
pub mod leases;
mod line;
pub mod predict;
mod result;
mod state;
