//! What the tables say, one file per aggregate: SQL in, domain records out. Functions take an open
//! transaction; who may see what is decided above, in `service::access`, and arrives here as [`Visibility`].

pub mod audit;
pub mod blobs;
pub mod condemned;
pub mod counters;
pub mod facts;
pub mod former_names;
pub mod fsck;
pub mod jobs;
pub mod lineage;
pub mod passes;
pub mod refs;
pub mod repos;
pub mod reservations;
pub mod search;
pub mod segments;
pub mod tokens;
pub mod upkeep;
pub mod uploads;
pub mod users;
pub mod versions;
pub mod xorbs;

/// Which private repos a list may hold beside the public ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// All of them: a site administrator asks.
    Everything,
    /// Those in these namespaces (folded names).
    Public { and_namespaces: Vec<String> },
}
