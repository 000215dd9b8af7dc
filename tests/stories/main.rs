//! The stories: what users do, on a real server on a free port. One program for all of them, since each program of tests is
//! linked with the whole house.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../golden/formula.rs"]
mod formula;
#[path = "../golden/graphs.rs"]
mod made_graphs;
#[path = "../support/mod.rs"]
mod support;

mod crash_kit;
mod sharing_kit;

mod accounts;
mod audit;
mod boxes;
mod branches;
mod browser;
mod cache;
mod cli;
mod clips;
mod confined;
mod crash;
mod dialects;
mod doctor;
mod elsewhere;
mod engines;
mod fetch;
mod finetune;
mod follow;
mod full;
mod git;
mod graphs;
mod hf_write;
mod hugging_face;
mod hugging_face_browse;
mod integrity;
mod job_control;
mod job_limits;
mod jobs;
mod layouts;
mod library;
mod mirror;
mod names;
mod nodes;
mod places;
mod postgres;
mod privacy;
mod proxy;
mod publish;
mod pull;
mod quotas;
mod recommend;
mod remote_worker;
mod report;
mod revocation;
mod s3;
mod s3_upkeep;
mod same_answers;
mod sending;
mod server;
mod sharing;
mod shots;
mod slow;
mod store_faults;
mod strangers;
mod strategies;
mod sweeps;
mod tasks;
mod text_tunes;
mod texts;
mod tfhub;
mod towers;
mod transfer;
mod upkeep;
mod uploads;
mod using;
mod videos;
mod way_out;
mod web;
mod web_choose;
mod web_pictures;
mod web_work;
mod webhooks;
mod words;
mod work;
