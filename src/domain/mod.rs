//! The words of the house as types. No I/O, no clock but the one it is given; everything may use it.

pub mod card;
pub mod config;
pub mod digest;
pub mod id;
pub mod ignore;
pub mod job;
pub mod manifest;
pub mod modality;
pub mod name;
pub mod page;
pub mod path;
pub mod pieces;
pub mod ranges;
pub mod recipe;
pub mod repo;
pub mod revision;
pub mod safetensors;
pub mod saved_model;
pub mod search;
pub mod secret;
pub mod segments;
pub mod selection;
pub mod time;
pub mod upload;
pub mod user;
pub mod xet;
