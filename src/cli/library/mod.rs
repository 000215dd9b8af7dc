//! `hub library`: what is known before it is here. Entries are listed, searched and shown by their facts, fetched by the server, and
//! carried in bundles to servers without a network. It also looks after the repos that come from the hub behind the server.

mod bundle;
mod mirrors;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::search::Search;
use super::table::{count, facts, table};
use crate::client::Client;
use crate::domain::human;
use crate::domain::name::{RepoId, RepoKind};
use crate::wire::library::{EntryFetched, LibraryDetail, LibraryEntry};
use crate::wire::mirrors::Mirror;

/// Find and fetch models that are known before they are here
///
/// The library lists models and data sets with their facts: size, licence, what they were trained on, published results. Their
/// files come from one upstream when somebody asks ('hub pull NAME' does too), and are held against their digests.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hub library search --source-dataset imagenet-1k --max-parameters 10M --sort top1
  hub library show resnet50
  hub library add resnet50 mobilenetv2
  hub library bundle models.tar resnet50 minilm     on a machine with a network
  hub library add --bundle models.tar               on one without")]
pub struct Library {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the entries, and the repos that come from the hub behind the server (--upstream)
    List,
    /// Find entries by their facts, as 'hub search' does
    Search(Box<Search>),
    /// Show an entry: facts, each with its source, and whether its files are here
    Show {
        /// NAME or dataset:NAME
        name: String,
        /// The name is a data set's
        #[arg(long)]
        dataset: bool,
    },
    /// Let the server fetch entries, or take them from a bundle
    #[command(group = clap::ArgGroup::new("what").required(true).args(["names", "bundle"]))]
    Add {
        /// Which
        names: Vec<String>,
        /// A file that 'hub library bundle' made; needs the right to publish in 'library'
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Put entries with their files into one file, for servers without a network
    Bundle {
        /// The file to write
        file: PathBuf,
        /// NAME, which the server fetches first if it must; or NAME=FOLDER, of files that lie here
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Ask the upstream for new versions: of fetched entries, and of repos of the hub behind the server
    ///
    /// What was published here stays, and so does a repo that is gone there. One that is not taken is looked at again.
    Update {
        /// Only these: NAME or dataset:NAME [default: all]
        names: Vec<String>,
        /// The names are data sets'
        #[arg(long)]
        dataset: bool,
    },
}

impl Library {
    pub async fn run(self, remote: &Remote) -> Result<Output> {
        match self.command {
            Command::List => list(remote).await,
            Command::Search(search) => search.of_library().run(remote).await,
            Command::Show { name, dataset } => show(remote, &name, dataset).await,
            Command::Add { bundle: Some(file), .. } => bundle::add(remote, &file).await,
            Command::Add { names, .. } => add(remote, &names).await,
            Command::Bundle { file, names } => bundle::make(remote, &file, &names).await,
            Command::Update { names, dataset } => update(remote, &names, dataset).await,
        }
    }
}

async fn list(remote: &Remote) -> Result<Output> {
    let client = remote.client()?;
    let entries = client.library().await?.items;
    let mirrors = match client.mirrors().await {
        Ok(list) => list.items,
        // Administrators alone see those; the entries are for everybody.
        Err(_) if !entries.is_empty() => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let headings = ["entry", "also", ">parameters", "trained on", ">top-1", "license", "files"];
    let parts = [if rows.is_empty() { String::new() } else { table(&headings, &rows) }, mirrors::listed(&mirrors)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let human = if parts.is_empty() { "nothing came from another hub yet".into() } else { parts.join("\n\n") };
    let names = entries.iter().map(shown).chain(mirrors.iter().map(|mirror| mirrors::shown(&mirrors::of_mirror(mirror))));
    let quiet = names.collect::<Vec<_>>().join("\n");
    Ok(Output::new(human, json!({ "entries": entries, "mirrors": mirrors }), quiet))
}

fn row(entry: &LibraryEntry) -> Vec<String> {
    vec![
        shown(entry),
        entry.aliases.first().cloned().unwrap_or_default(),
        if entry.parameters == 0 { String::new() } else { count(entry.parameters) },
        entry.trained_on.iter().map(|stage| some_of(stage)).collect::<Vec<_>>().join(", then "),
        entry.top1.map(human::percent).unwrap_or_default(),
        entry.license.clone(),
        match (entry.state.as_str(), entry.version) {
            (_, Some(number)) => format!("v{number}"),
            ("not-fetched", None) => "not fetched yet".to_owned(),
            _ => "facts only".to_owned(),
        },
    ]
}

/// A stage of several data sets, as short as a table wants it.
fn some_of(stage: &[String]) -> String {
    const MOST: usize = 3;
    match stage {
        [first, others @ ..] if others.len() >= MOST => format!("{first} and {} more", others.len()),
        _ => stage.join(" and "),
    }
}

/// `resnet50.a1_in1k`, `dataset:imagenet-1k`: names of the library need no namespace.
fn shown(entry: &LibraryEntry) -> String {
    let name = entry.id.strip_prefix("library/").unwrap_or(&entry.id);
    if entry.kind == RepoKind::Dataset.as_str() { format!("dataset:{name}") } else { name.to_owned() }
}

async fn show(remote: &Remote, name: &str, dataset: bool) -> Result<Output> {
    let target = Target::parse_repo(name, dataset)?;
    let client = remote.client()?;
    let found = client.library_entry(target.kind, &target.id).await?;
    let LibraryDetail { entry, commit, card, .. } = &found;
    let state = match (entry.state.as_str(), entry.version) {
        (_, Some(number)) => format!("version {number}, {commit}"),
        ("not-fetched", None) => format!("not fetched yet: 'hub library add {}' fetches them", shown(entry)),
        _ => "not to be had from the upstream; the facts say where they are".to_owned(),
    };
    let lines = [
        ("entry", shown(entry)),
        ("also", entry.aliases.join(", ")),
        ("files", state),
        ("page", client.address().page(target.kind, &RepoId::parse(&entry.id).unwrap_or(target.id))),
    ];
    let human = format!("{}\n\n{}", facts(&lines), card.trim_end());
    Ok(Output::new(human, json!(found), entry.id.clone()))
}

async fn add(remote: &Remote, names: &[String]) -> Result<Output> {
    let client = remote.client()?;
    let (mut lines, mut answers, mut failed) = (Vec::new(), Vec::new(), None);
    for name in names {
        let target = Target::parse_repo(name, false)?;
        match ensure(&client, remote, target.kind, &target.id, false).await {
            Ok(done) => {
                let version = done.version.map(|number| format!(", version {number}")).unwrap_or_default();
                lines.push(format!("{} is here{version}", done.id));
                answers.push(json!(done));
            }
            Err(error) if names.len() == 1 => return Err(error),
            Err(error) => {
                remote.reporter.note(&format!("{}; {}", error.message, error.hint));
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if lines.is_empty() => Err(error),
        Some(_) => {
            let message = format!("{} of {} entries were fetched", lines.len(), names.len());
            Err(CliError::new(1, "not_fetched", message, "the others are named above, each with what to do"))
        }
        None => Ok(Output::new(lines.join("\n"), json!({ "entries": answers }), lines.join("\n"))),
    }
}

/// Lets the server fetch an entry, and waits; how it failed is an error.
pub async fn ensure(client: &Client, remote: &Remote, kind: RepoKind, id: &RepoId, anew: bool) -> Result<EntryFetched> {
    remote.on_interrupt("the server goes on; run the command again to see how far it is");
    remote.reporter.step(&format!("the server fetches {id}"));
    let done = client.fetch_entry(kind, id, anew).await?;
    for warning in &done.warnings {
        remote.reporter.note(&format!("warning: {warning}"));
    }
    match &done.problem {
        None => Ok(done),
        Some(problem) => {
            let exit = if problem.code == "library_digest" { 5 } else { 1 };
            Err(CliError::new(exit, &problem.code, problem.message.clone(), problem.hint.clone()))
        }
    }
}

async fn update(remote: &Remote, names: &[String], dataset: bool) -> Result<Output> {
    let client = remote.client()?;
    let entries: Vec<LibraryEntry> = client.library().await?.items.into_iter().filter(|entry| entry.version.is_some()).collect();
    let fetched =
        |name: &str| entries.iter().find(|entry| shown(entry) == name || entry.id == name || entry.aliases.iter().any(|a| a == name));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    match names.is_empty() {
        true => {
            let known: Vec<Mirror> = client.mirrors().await?.items;
            theirs.extend(known.iter().map(mirrors::of_mirror));
            ours.extend(entries.iter().filter(|entry| !entry.upstream.is_empty()));
        }
        false => {
            for name in names {
                match fetched(name) {
                    Some(entry) => ours.push(entry),
                    None => theirs.push(mirrors::named(name, dataset)?),
                }
            }
        }
    }
    let mut done = mirrors::update(&client, remote, &theirs).await?;
    for entry in ours {
        let target = Target::parse_repo(&shown(entry), false)?;
        let (outcome, line) = match ensure(&client, remote, target.kind, &target.id, true).await {
            Ok(now) if now.version == entry.version => ("unchanged", format!("{}: unchanged", shown(entry))),
            Ok(now) => ("updated", format!("{}: updated, version {}", shown(entry), now.version.unwrap_or_default())),
            Err(error) => {
                done.bad += 1;
                ("failed", format!("{}: failed ({})", shown(entry), error.message))
            }
        };
        done.answers.push(json!({ "kind": entry.kind, "id": entry.id, "outcome": outcome }));
        done.lines.push(line);
    }
    if let ([line], 1) = (done.lines.as_slice(), done.bad) {
        return Err(CliError::new(1, "not_updated", line.clone(), "what is here stays as it is"));
    }
    let human = if done.lines.is_empty() { "nothing came from another hub yet".into() } else { done.lines.join("\n") };
    Ok(Output::new(human.clone(), json!({ "mirrors": done.answers }), human))
}
