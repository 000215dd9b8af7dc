//! Jobs of every kind, and predictions: admitted, queued, leased by a worker, ended, published. Every write of a worker is
//! fenced by its lease.

pub mod admit;
mod control;
pub mod embed;
mod evaluate;
mod examine;
mod files;
pub mod finetune;
mod kinds;
pub mod leases;
mod line;
pub mod neighbors;
pub mod predict;
pub mod queue;
pub mod recommend;
mod replay;
pub mod result;
mod state;
