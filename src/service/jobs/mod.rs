//! Jobs of every kind, and predictions: admitted, queued, leased by a worker, ended, published. Every write of a worker is
//! fenced by its lease.

pub mod admit;
pub mod compare;
mod control;
pub mod cost;
mod drawn;
pub mod embed;
pub mod engines;
pub mod evaluate;
mod evidence;
mod examine;
mod files;
pub mod finetune;
mod follow;
mod kinds;
pub mod leases;
mod line;
mod looked_at;
mod made_by;
pub mod neighbors;
pub mod office;
pub mod predict;
pub mod queue;
pub mod recommend;
mod replay;
pub mod result;
pub mod roll;
mod state;
mod support;
mod sweeps;
pub mod texts;
pub mod timeline;
pub mod word2vec;
pub mod words;
