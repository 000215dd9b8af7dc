//! User stories as verbs. Each method takes the actor first, decides access on its first line
//! (`access.rs`, nowhere else), and does at most one write transaction. Pages, our API and the dialects
//! all call these.
//!
//! One folder to a part of the house: `people`, `repos`, `library`, `storage` (bytes in and out), `jobs`, `upkeep`; `sharing`
//! and `xet` are ways to keep fewer bytes. No part knows a page or a dialect.

mod access;
pub mod card_html;
pub mod error;
pub mod jobs;
pub mod library;
pub mod people;
pub mod repos;
mod sharing;
pub mod signing;
pub mod storage;
pub mod upkeep;
pub mod webhooks;
pub mod work;
pub mod xet;

use std::sync::Arc;

pub use error::{Error, Problem, Result};

use crate::blob::Blobs;
use crate::checks::Checks;
use crate::db::Db;
use crate::domain::data_limits::DataLimits;
use crate::domain::network::Network;
use crate::domain::quotas::Quotas;
use crate::domain::time::{Clock, Timestamp};
use crate::train::Device;

/// The house's memory and its rules; cheap to clone.
#[derive(Clone)]
pub struct Service {
    db: Db,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    policy: Arc<Policy>,
    downloads: repos::fetch::SharedDownloads,
    models: Arc<jobs::predict::Models>,
    /// Where the lists of large vocabularies are kept; without a place they are not looked for.
    word_lists: Option<Arc<std::path::Path>>,
    counted: Arc<upkeep::Counted>,
    examined: Arc<upkeep::soundness::Examined>,
    pulse: Arc<people::standing::Pulse>,
    journal: Arc<people::journal::Journal>,
    mirroring: Option<repos::mirror::Mirroring>,
    /// Where the library's entries are fetched from; `None` where there is no library.
    library: Option<library::Source>,
    device: Device,
    work: work::Work,
    /// Where files that came by Xet are put together.
    assembling: work::Work,
    checks: Checks,
    /// Small pictures of items, for a while.
    pictures: Arc<repos::pictures::Pictures>,
    /// What is measured here is signed with it.
    signer: Option<signing::Signer>,
    /// Workers this process has heard of.
    roll: Arc<jobs::roll::Roll>,
}

/// What an administrator may configure about who may do what, and how much.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Anybody may create an account.
    pub open_signup: bool,
    /// Which pickles may be published.
    pub pickles: Pickles,
    /// Clients fetch large files from the S3 store itself, at addresses that are good for a few minutes.
    pub redirect_downloads: bool,
    /// Largest file that may be uploaded.
    pub max_file_bytes: u64,
    /// Clients of the Hugging Face Hub may send by Xet.
    pub xet: bool,
    /// What data sets may ask, and the pictures that models are asked about.
    pub data_limits: DataLimits,
    /// What else one account may hold.
    pub quotas: Quotas,
    /// Queued and running jobs one user may have.
    pub max_jobs_per_user: u64,
    /// Memory one job may need.
    pub max_job_bytes: u64,
    /// How long one job may take on a slow machine.
    pub max_job_seconds: f64,
    /// Networks beside the open internet that webhooks may be sent to.
    pub webhook_networks: Vec<Network>,
}

/// Which pickles a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pickles {
    Refuse,
    /// Those that name nothing but what builds data.
    Scan,
    Allow,
}
crate::domain::user::words!(Pickles, Refuse = "refuse", Scan = "scan", Allow = "allow");

impl Default for Policy {
    fn default() -> Self {
        Policy {
            open_signup: false,
            pickles: Pickles::Scan,
            redirect_downloads: false,
            max_file_bytes: 64 << 30,
            xet: true,
            data_limits: DataLimits::default(),
            quotas: Quotas::default(),
            max_jobs_per_user: 20,
            max_job_bytes: 16 << 30,
            max_job_seconds: 14.0 * 86_400.0,
            webhook_networks: Vec::new(),
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
            word_lists: None,
            counted: Arc::default(),
            examined: Arc::default(),
            pulse: Arc::default(),
            journal: Arc::default(),
            mirroring: None,
            library: None,
            device: Device::Cpu,
            work: work::Work::new(std::thread::available_parallelism().map_or(2, usize::from)),
            assembling: xet::room(),
            checks: Checks::here(),
            pictures: Arc::default(),
            signer: None,
            roll: Arc::default(),
        }
    }

    /// Who looks into what is published; without this it is done in this process.
    pub fn checked_by(mut self, checks: Checks) -> Service {
        self.checks = checks;
        self
    }

    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The room for what costs more than a moment of a processor.
    pub fn work(&self) -> &work::Work {
        &self.work
    }

    /// Grows with everything that this process writes to the catalog.
    pub fn written(&self) -> u64 {
        self.db.written()
    }

    /// Tells a story that asks the catalog many things ([`Db::together`]).
    pub async fn together<T, F>(&self, story: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T>,
    {
        let has_turn = work::has_turn();
        Ok(self.db.together(move || work::keeping(has_turn, story)).await?)
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
