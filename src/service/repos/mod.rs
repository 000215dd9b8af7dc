//! Repos and their versions: found, read, published, edited, renamed, mirrored; and what is read out of a version
//! when it is published (facts, data set reports, tensors, papers).

pub mod ancestry;
pub mod browse;
mod check_dataset;
mod derive;
pub mod discussions;
pub mod doctor;
pub mod edit;
pub mod fetch;
pub mod git;
mod git_names;
pub mod leaderboard;
mod lines;
pub mod listing;
pub mod manage;
pub mod manifest;
pub mod merge;
pub mod mirror;
mod papers;
pub mod pictures;
pub mod publish;
pub mod publish_folder;
mod read_facts;
mod read_papers;
pub mod relabel;
pub mod relations;
mod resolve;
pub mod results;
mod roles;
pub mod saved_model;
mod scan;
pub mod sent;
mod tensors;
pub mod tree;
