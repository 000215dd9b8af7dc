//! The API: one file per subject, each handler beside its OpenAPI description.

pub mod audit;
pub mod commits;
pub mod curves;
pub mod doctor;
pub mod evaluations;
pub mod files;
pub mod finetunes;
mod forms;
pub mod health;
mod items;
pub mod jobs;
pub mod mirrors;
pub mod openapi;
pub mod predict;
pub mod recommend;
pub mod refs;
pub mod repos;
pub mod search;
pub mod segments;
pub mod tokens;
pub mod uploads;
pub mod users;
pub mod versions;
