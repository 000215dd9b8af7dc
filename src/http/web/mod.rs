//! Pages for people: askama structs filled from the same service methods the API calls. Everything works without
//! JavaScript; `static/hub.js` only saves clicks.

pub mod addresses;
pub mod audit;
mod card;
pub mod card_edit;
pub mod catalog;
pub mod compare;
pub mod compare_runs;
mod curve;
pub mod dataset_page;
pub mod discussions;
mod doctor_page;
pub mod finetune;
mod finetune_groups;
mod finetune_settings;
mod form;
mod format;
mod frame;
pub mod home;
pub mod job_acts;
pub mod job_items;
pub mod jobs;
pub mod library;
pub mod login;
pub mod neighbors_page;
mod once;
pub mod organisations;
mod outcome;
pub mod people;
pub mod reference;
pub mod repo;
mod repo_head;
pub mod repo_settings;
pub mod repo_tabs;
mod report;
mod sent_form;
mod snippets;
mod sweep;
pub mod system;
pub mod system_people;
pub mod tokens;
pub mod try_page;
pub mod upload;
pub mod upload_wire;
pub mod webhooks;

pub use frame::error_page;
