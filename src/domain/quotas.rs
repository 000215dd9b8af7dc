//! How much one account or namespace may hold: what an administrator may set.

use super::user::Account;

/// What an account may hold of what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes in the repos of a namespace; what its account has sent may be twice that, unpublished pieces included. 0: no limit.
    pub bytes: u64,
    pub repos_per_namespace: u64,
    /// Those a user administers.
    pub organisations_per_user: u64,
    pub tokens_per_user: u64,
    /// Unfinished ones of an account.
    pub uploads: u64,
}

impl Quotas {
    pub const BYTES: &str = "quota_bytes";
    pub const REPOS: &str = "max_repos_per_namespace";
    pub const ORGANISATIONS: &str = "max_organisations_per_user";
    pub const TOKENS: &str = "max_tokens_per_user";
    pub const UPLOADS: &str = "max_uploads_per_account";
    /// The settings, for whoever hands them on.
    pub const SETTINGS: [&str; 5] = [Self::BYTES, Self::REPOS, Self::ORGANISATIONS, Self::TOKENS, Self::UPLOADS];
}

impl Default for Quotas {
    fn default() -> Quotas {
        Quotas { bytes: 0, repos_per_namespace: 10_000, organisations_per_user: 50, tokens_per_user: 200, uploads: 1_000 }
    }
}

/// What an account holds, and what it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub account: Account,
    /// Different bytes in the repos of its namespace.
    pub stored_bytes: u64,
    /// Bytes it has sent that are here, published or not, and those it has announced.
    pub sent_bytes: u64,
    /// 0: no limit.
    pub quota_bytes: u64,
    /// It was set for this account.
    pub quota_is_own: bool,
    pub repos: u64,
    pub organisations: u64,
    pub tokens: u64,
    pub uploads: u64,
    pub jobs: u64,
}
