//! Backbone Hub: a model hub people can run themselves. One binary is server, worker and client.
//!
//! The rooms of the house, from the ground up (`docs/ARCHITECTURE.md` draws the arrows between them):
//!
//! - [`domain`]: the words everything else is said in; no I/O.
//! - [`wire`]: the JSON bodies both ends of the cable share.
//! - [`db`], [`catalog`]: one SQL text, and what it says about repos, people and jobs.
//! - [`blob`]: bytes named by their sha256.
//! - [`service`]: user stories as verbs; the only place that decides who may do what.
//! - [`http`]: the API and the pages. [`client`], [`cache`]: the other end.
//! - [`nn`], [`data`], [`train`], [`import`]: networks, data sets, the training loop, other people's files.
//! - [`vectors`]: word vectors, read, stored, searched and trained.
//! - [`archive`]: zips, tars and packed streams, read by one rule.
//! - [`file_lock`]: a lock between processes. [`confine`]: processes that read other people's files and can do nothing else.
//! - [`outbound`]: where requests may go whose address somebody else chose.
//! - [`checks`]: what is published, looked into by such a process.
//! - [`worker`]: leases jobs and runs them. [`cli`]: one file per command. [`app`]: wires the parts.

pub mod app;
pub mod archive;
pub mod blob;
pub mod cache;
pub mod catalog;
pub mod checks;
pub mod cli;
pub mod client;
pub mod config;
pub mod confine;
pub mod data;
pub mod db;
pub mod dispatch;
pub mod domain;
pub mod file_lock;
pub mod http;
pub mod import;
pub mod nn;
pub mod outbound;
pub mod service;
pub mod telemetry;
pub mod train;
pub mod vectors;
pub mod wire;
pub mod worker;
