//! What the tables say, one file per aggregate: SQL in, domain records out. Functions take an open
//! transaction; who may see what is decided above, in `service::access`, and arrives here as [`Visibility`].

pub mod audit;
pub mod blobs;
pub mod claims;
pub mod counters;
pub mod discussions;
pub mod engines;
pub mod facts;
pub mod former_names;
pub mod fsck;
pub mod full_text;
pub mod gc;
pub mod git;
pub mod job_files;
pub mod jobs;
pub mod library;
pub mod lineage;
pub mod measurements;
pub mod mirrors;
pub mod passes;
pub mod refs;
pub mod repos;
pub mod reservations;
pub mod results;
pub mod rights;
pub mod search;
pub mod segments;
pub mod signing;
pub mod sources;
pub mod tokens;
pub mod trials;
pub mod upkeep;
pub mod uploads;
pub mod usage;
pub mod users;
pub mod versions;
mod visibility;
mod vocabulary;
pub mod webhooks;
pub mod worker_tokens;
pub mod workers;
pub mod xorbs;

pub use visibility::Visibility;
