//! User stories as verbs. Each method takes the actor first, decides access on its first line
//! (`access.rs`, nowhere else), and does at most one write transaction. Pages, our API and the dialects
//! all call these.

mod access;
pub mod accounts;
mod admit;
pub mod browse;
pub mod card_html;
mod check_dataset;
pub mod edit;
pub mod error;
pub mod fetch;
pub mod finetune;
mod git_names;
pub mod jobs;
pub mod manage;
mod materialize;
pub mod mirror;
pub mod objects;
mod papers;
pub mod parts;
pub mod passes;
pub mod predict;
pub mod publish;
mod publish_folder;
mod read_facts;
pub mod relations;
mod resolve;
mod result;
pub mod saved_model;
mod scan;
pub mod sessions;
mod sharing;
mod store;
mod tensors;
pub mod tokens;
pub mod upkeep;
pub mod uploads;
pub mod xet;

use std::sync::Arc;

pub use error::{Error, Problem, Result};

#[cfg(test)]
mod people_tests;

use crate::blob::Blobs;
use crate::db::Db;
use crate::domain::time::{Clock, Timestamp};
use crate::train::Device;

/// The house's memory and its rules; cheap to clone.
#[derive(Clone)]
pub struct Service {
    db: Db,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    policy: Arc<Policy>,
    downloads: fetch::SharedDownloads,
    models: Arc<predict::Models>,
    counted: Arc<upkeep::Counted>,
    mirroring: Option<mirror::Mirroring>,
    device: Device,
}

/// What an administrator may configure about who may do what, and how much.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Anybody may create an account.
    pub open_signup: bool,
    /// Pickle files (`.pt`, `.bin`, `.pkl` ...) may be published.
    pub allow_pickle: bool,
    /// Clients fetch large files from the S3 store itself, at addresses that are good for a few minutes.
    pub redirect_downloads: bool,
    /// Largest file that may be uploaded.
    pub max_file_bytes: u64,
    /// Clients of the Hugging Face Hub may send by Xet.
    pub xet: bool,
    /// Largest image a prediction may be asked for.
    pub max_image_bytes: u64,
    /// Queued and running jobs one user may have.
    pub max_jobs_per_user: u64,
    /// Memory one job may need.
    pub max_job_bytes: u64,
    /// How long one job may take on a slow machine.
    pub max_job_seconds: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            open_signup: false,
            allow_pickle: false,
            redirect_downloads: false,
            max_file_bytes: 64 << 30,
            xet: true,
            max_image_bytes: 16 << 20,
            max_jobs_per_user: 20,
            max_job_bytes: 16 << 30,
            max_job_seconds: 14.0 * 86_400.0,
        }
    }
}

impl Service {
    pub fn new(db: Db, blobs: Blobs, clock: Arc<dyn Clock>, policy: Policy) -> Service {
        Service {
            db,
            blobs,
            clock,
            policy: Arc::new(policy),
            downloads: Default::default(),
            models: Arc::default(),
            counted: Arc::default(),
            mirroring: None,
            device: Device::Cpu,
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What time it is here.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Randomness for an id or a secret.
    fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).map_err(|e| Error::Internal(format!("the system gave no randomness: {e}")))?;
        Ok(bytes)
    }
}
