//! People and what they come in with: accounts and namespaces, tokens, sessions of a browser, passes for one
//! transfer, and whether what they began may go on. What each may then do is decided in `access.rs`.

pub mod accounts;
pub mod journal;
pub mod passes;
pub mod quotas;
pub mod sessions;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod worker_tokens;
