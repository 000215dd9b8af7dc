//! The JSON bodies of `/api/v1`: one type for both ends of the cable. Times are RFC 3339 in UTC, sizes bytes,
//! digests 64 hex digits. Unknown keys in requests are refused, in answers ignored (a newer server may say more).

pub mod audit;
pub mod boxes;
pub mod compare;
pub mod doctor;
pub mod embeddings;
pub mod error;
pub mod evaluations;
pub mod files;
pub mod hf;
pub mod hf_discussions;
pub mod hf_write;
pub mod jobs;
pub mod library;
pub mod mirrors;
pub mod predict;
pub mod previews;
pub mod recommend;
pub mod repos;
pub mod results;
pub mod saved_model;
pub mod shots;
pub mod users;
pub mod webhooks;
pub mod words;
pub mod worker;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of a list; pass `next` back as `cursor` for the following one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T, U: From<T>> From<crate::domain::page::Page<T>> for List<U> {
    fn from(page: crate::domain::page::Page<T>) -> List<U> {
        List { items: page.items.into_iter().map(U::from).collect(), next: page.next }
    }
}
