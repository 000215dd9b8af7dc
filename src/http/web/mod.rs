//! Pages for people: askama structs filled from the same service methods the API calls. Everything works without
//! JavaScript; `static/hub.js` only saves clicks.

pub mod addresses;
pub mod audit;
mod card;
pub mod catalog;
mod curve;
mod dataset_page;
pub mod discussions;
mod doctor_page;
pub mod finetune;
mod form;
mod format;
mod frame;
pub mod home;
pub mod jobs;
pub mod login;
mod outcome;
pub mod reference;
pub mod repo;
mod repo_head;
pub mod repo_tabs;
mod report;
mod snippets;
pub mod tokens;

pub use frame::error_page;
