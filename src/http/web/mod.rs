//! Pages for people: askama structs filled from the same service methods the API calls. Everything works without
//! JavaScript; `static/hub.js` only saves clicks.

pub mod addresses;
pub mod audit;
mod card;
pub mod catalog;
mod changes_page;
pub mod compare;
mod compare_models;
mod curve;
mod dataset_page;
pub mod discussions;
mod doctor_page;
pub mod feeds;
pub mod file_page;
pub mod finetune;
mod finetune_groups;
mod finetune_settings;
mod form;
mod format;
mod frame;
mod graph_page;
pub mod home;
pub mod job_acts;
pub mod jobs;
pub mod library;
pub mod login;
mod model_parts;
pub mod neighbors_page;
mod outcome;
pub mod reference;
pub mod repo;
mod repo_head;
pub mod repo_tabs;
mod report;
mod snippets;
mod sweep;
mod tensors_page;
pub mod tokens;
mod try_image;
pub mod try_page;
mod try_pictures;
mod uses;
pub mod webhooks;

pub use frame::error_page;
