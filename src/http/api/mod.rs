//! The API: one file per subject, each handler beside its OpenAPI description.

pub mod health;
pub mod openapi;
pub mod tokens;
pub mod users;
