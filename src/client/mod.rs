//! The other end of the wire: an HTTP client that believes nothing it has not proved. One method per wire
//! call (`repos`, `blobs`, `jobs`, `users`), and the stories made of several: [`Client::pull`] and
//! [`Client::publish`].
//!
//! - `send`: one request, repeated where that is safe; what a token may travel over.
//! - `reuse`: what need not be fetched, because other blobs of the cache have it; `tensors`: what need not be sent.
//! - `prove`: a version's list of files, believed only where it proves itself.
//! - `download`, `small`, `large`, `range`: bytes into the cache, resumed, counted and hashed before they get a name.
//! - `upload`, `parts`: only the bytes the server lacks, several parts at once.
//! - `worker`: what workers elsewhere ask, for the jobs they hold.
//! - `folder`, `pack`, `hashing`: what a publish would send.

mod address;
mod blobs;
mod doctor;
mod download;
mod error;
mod event;
mod events;
mod folder;
mod hashing;
mod jobs;
mod large;
mod library;
mod mirrors;
mod pack;
mod parts;
mod prove;
mod publish;
mod pull;
mod range;
mod repos;
mod retry;
mod reuse;
mod send;
mod small;
mod tensors;
mod upload;
mod users;
mod webhooks;
mod words;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use address::Address;
pub use error::Error;
pub use event::{Event, Sink};
pub use events::Follow;
pub use folder::{Folder, FolderRules, LocalFile};
pub use hashing::hash_files;
pub use pack::{pack_files, packable};
pub use publish::{Plan, Publication, Published};
pub use pull::Pulled;
pub use upload::CHANGED;
pub use worker::{Held, JobInput, named};

use crate::cache::HuggingFaceCache;
/// The client's own store, which [`Client::pull`] fills.
pub use crate::cache::{Cache, Error as CacheError, Exported};

pub type Result<T> = std::result::Result<T, Error>;

/// A connection to one server, as one caller. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    token: Option<Arc<str>>,
    sink: Sink,
    /// Where blobs may lie that are not in our own cache.
    neighbour: Option<Arc<HuggingFaceCache>>,
    /// How much one request may carry, as far as something on the way has taught us.
    most_sent: Arc<AtomicU64>,
    /// The job it speaks for, of a worker.
    held: Option<Arc<Held>>,
}

/// How to reach a server.
#[derive(Default)]
pub struct Options {
    /// Absent: as a stranger.
    pub token: Option<String>,
    /// Send the token over plain http to another machine.
    pub insecure: bool,
    /// Hears of progress, waits and repeats.
    pub sink: Option<Sink>,
}

impl Client {
    /// Connects to nothing yet. Refuses to carry a token over plain http to another machine.
    pub fn new(address: Address, options: Options) -> Result<Client> {
        let token = options.token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        if let Some(token) = &token {
            send::check_token(token)?;
            if address.is_plain() && !address.is_loopback() && !options.insecure {
                return Err(Error::Insecure { server: address.to_string() });
            }
        }
        let http = send::http_client(&address)?;
        let sink = options.sink.unwrap_or_else(|| Arc::new(|_| ()));
        let (token, most_sent) = (token.map(Arc::from), Arc::new(AtomicU64::new(u64::MAX)));
        Ok(Client { http, address, token, sink, neighbour: None, most_sent, held: None })
    }

    /// The same, which looks for missing blobs in that cache before it fetches them.
    pub fn beside(self, neighbour: HuggingFaceCache) -> Client {
        Client { neighbour: Some(Arc::new(neighbour)), ..self }
    }

    /// The server's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }
}
