//! The command line: one file per command. A command returns an [`Output`]; `output.rs` prints it.

mod admin;
mod cache;
mod compare;
mod completions;
mod config;
mod confined;
mod credentials;
mod curves;
mod dispatch;
mod doctor;
mod evaluate;
mod finetune;
mod images;
mod import;
mod import_hub;
mod jobs;
mod library;
mod login;
mod meaning;
pub mod output;
mod progress;
mod publish;
mod pull;
mod recommend;
mod remote;
mod rerank;
mod search;
mod serve;
mod show;
mod sweep;
mod table;
mod train;
mod vectors;
mod watch;
mod webhooks;
mod words;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use output::{CliError, Output, Result};

use crate::config::Config;
use crate::train::backend;
use output::{Printer, Style};

/// Called by the allocator when memory has run out. Allocates nothing.
pub fn note_out_of_memory() {
    crate::app::note_out_of_memory();
}

/// A model hub you can run yourself: publish, find, fetch and fine-tune pretrained models.
#[derive(Debug, Parser)]
#[command(name = "hub", version, about, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

/// Every command, one line each; `run` below says where it goes.
#[derive(Debug, Subcommand)]
pub enum Command {
    Search(search::Search),
    Show(show::Show),
    Pull(pull::Pull),
    Cache(cache::CacheArgs),
    Publish(publish::Publish),
    Import(import::Import),
    Recommend(recommend::Recommend),
    Finetune(finetune::Finetune),
    Evaluate(evaluate::Evaluate),
    Compare(compare::Compare),
    Neighbors(evaluate::Neighbors),
    Analogy(words::Analogy),
    Similarity(words::Similarity),
    Vectors(vectors::Vectors),
    Train(train::Train),
    Doctor(doctor::Doctor),
    Relabel(doctor::Relabel),
    Jobs(jobs::Jobs),
    Webhooks(webhooks::Webhooks),
    Library(library::Library),
    Embed(images::Embed),
    Predict(images::Predict),
    Rerank(rerank::Rerank),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    /// Serve a hub from a data directory
    Serve(serve::ServeArgs),
    /// Manage people and keep up the store of this machine's data directory
    Admin(admin::AdminArgs),
    /// Run jobs from the queue of a data directory, or of a hub elsewhere
    Worker(worker::WorkerArgs),
    /// Hand a hub's jobs to Slurm or Kubernetes, which starts a worker for each
    Dispatch(dispatch::DispatchArgs),
    /// Print the configuration and where each value came from
    Config,
    /// What a server starts to read other people's files with
    #[command(hide = true)]
    Confined(confined::Confined),
    Completions(completions::Completions),
}

/// Where each command goes.
fn run_command(command: Command, context: &Context) -> Result<Output> {
    match command {
        Command::Search(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Show(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Pull(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Cache(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Publish(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Import(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Evaluate(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Compare(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Neighbors(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Analogy(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Similarity(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Vectors(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Train(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Recommend(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Doctor(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Relabel(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Finetune(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Webhooks(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Jobs(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Library(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Embed(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Predict(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Rerank(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Login(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Logout(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Whoami(args) => remote::run(context, async |remote| args.run(remote).await),
        Command::Completions(args) => args.run(),
        Command::Serve(args) => serve::run(args, context),
        Command::Admin(args) => admin::run(args, context),
        Command::Worker(args) => worker::run(args, context),
        Command::Dispatch(args) => dispatch::run(args, context),
        Command::Config => config::run(context),
        Command::Confined(args) => args.run(),
    }
}

/// Flags every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only the one line that matters
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub quiet: bool,
    /// Show progress: bars on a terminal, plain lines, or nothing
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "KIND")]
    pub progress: Progress,
    /// Configuration file [default: DATA/hub.toml, then ~/.config/backbone-hub/hub.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The hub to talk to [env: HUB_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The token to use; better kept in HUB_TOKEN or by 'hub login', since others can see a process's flags
    #[arg(long, global = true, value_name = "TOKEN", hide_default_value = true)]
    pub token: Option<String>,
    /// Send the token over plain http to another machine
    #[arg(long, global = true)]
    pub insecure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    Auto,
    Plain,
    None,
}

/// What a command is given: the resolved configuration and the global flags.
pub struct Context {
    pub config: Config,
    pub globals: Globals,
}

impl Context {
    /// Runs an asynchronous story to its end.
    pub fn block_on<T>(&self, story: impl Future<Output = T>) -> Result<T> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|e| CliError::failed(format!("no threads: {e}"), "close other programs and try again"))?;
        Ok(runtime.block_on(story))
    }
}

/// Reads the arguments, runs the command, prints what it returns, and says how it went.
pub fn main() -> ExitCode {
    // The one TLS provider of the process; a second call would only say that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let printer = Printer::new(Style::of(cli.globals.json, cli.globals.quiet));
    match run(cli) {
        Ok(output) => printer.print(&output),
        Err(error) => printer.fail(&error),
    }
}

fn run(cli: Cli) -> Result<Output> {
    let Cli { globals, command } = cli;
    if let Command::Confined(args) = command {
        return args.run();
    }
    let mut flags = own_flags(&command);
    flags.extend(globals.server.iter().map(|url| ("server", url.clone())));
    flags.extend(globals.token.iter().map(|token| ("token", token.clone())));
    let config =
        Config::load(&flags, globals.config.as_deref()).map_err(|e| CliError::usage(e.to_string(), "'hub config' prints all settings"))?;
    // A second call would only find the pool built already.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(config.threads).build_global();
    if let Ok(choice) = config.backend.parse() {
        backend::choose(choice);
    }
    run_command(command, &Context { config, globals })
}

/// Settings that a command's own flags set.
fn own_flags(command: &Command) -> Vec<(&'static str, String)> {
    match command {
        Command::Serve(args) => args.flags(),
        Command::Admin(args) => args.flags(),
        Command::Worker(args) => args.flags(),
        _ => Vec::new(),
    }
}

/// The whole command line, for completions and help texts.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_sound() {
        super::command().debug_assert();
    }
}
