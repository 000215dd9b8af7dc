//! `hub admin`: people and upkeep of this machine's data directory, whether its server runs or not.

mod audit;
mod doctor;
mod migrate;
mod people;
mod quota;
mod results;
mod upkeep;
mod worker_token;
mod workers;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::progress::Reporter;
use super::remote::placed;
use super::{Context, Output, Result};
use crate::app::Administration;
use people::{OrgCommand, TokenCommand, UserCommand};

#[derive(Debug, Args)]
pub struct AdminArgs {
    /// The server's data directory [env: HUB_DATA]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The PostgreSQL database of a hub that has one [env: HUB_DB]
    #[arg(long, global = true, value_name = "ADDRESS")]
    db: Option<String>,
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Users
    #[command(subcommand)]
    User(UserCommand),
    /// Organisations
    #[command(subcommand)]
    Org(OrgCommand),
    /// Tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Tokens of machines that work on jobs over HTTP
    #[command(subcommand)]
    WorkerToken(worker_token::WorkerTokenCommand),
    Workers(workers::Workers),
    Quota(quota::Quota),
    /// Tables of results
    #[command(subcommand)]
    Results(results::ResultsCommand),
    Gc(upkeep::Gc),
    Scrub(upkeep::Scrub),
    Fsck(upkeep::Fsck),
    Doctor(doctor::Doctor),
    Audit(audit::Audit),
    Backup(upkeep::Backup),
    Restore(upkeep::Restore),
    MigrateDb(migrate::MigrateDb),
}

impl AdminArgs {
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let data = self.data.iter().map(|path| ("data", path.to_string_lossy().into_owned()));
        data.chain(self.db.iter().map(|db| ("db", db.clone()))).collect()
    }
}

pub fn run(args: AdminArgs, context: &Context) -> Result<Output> {
    placed(&context.config.data, "data directory", "HUB_DATA")?;
    let reporter = Reporter::new(context.globals.progress, context.globals.quiet);
    let tell = reporter.upkeep();
    let output = context.block_on(async {
        match args.subject {
            Subject::Restore(restore) => return restore.run(&context.config, &tell).await,
            Subject::MigrateDb(migrate) => return migrate.run(&tell).await,
            _ => {}
        }
        let house = Administration::open(&context.config).await?;
        match args.subject {
            Subject::User(command) => people::user(&house, command).await,
            Subject::Org(command) => people::organisation(&house, command).await,
            Subject::Token(command) => people::token(&house, command).await,
            Subject::WorkerToken(command) => worker_token::run(&house, command).await,
            Subject::Workers(workers) => workers.run(&house).await,
            Subject::Quota(quota) => quota.run(&house).await,
            Subject::Results(command) => command.run(&house).await,
            Subject::Gc(gc) => gc.run(&house, &context.config, &tell).await,
            Subject::Scrub(scrub) => scrub.run(&house, &tell).await,
            Subject::Fsck(fsck) => fsck.run(&house, &tell).await,
            Subject::Audit(audit) => audit.run(&house, context.globals.json).await,
            Subject::Doctor(doctor) => doctor.run(&house, &context.config).await,
            Subject::Backup(backup) => backup.run(&house, &tell).await,
            Subject::Restore(restore) => restore.run(&context.config, &tell).await,
            Subject::MigrateDb(migrate) => migrate.run(&tell).await,
        }
    })?;
    reporter.finish();
    output
}
