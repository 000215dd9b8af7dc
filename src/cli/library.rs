//! `hub library`: repos that come from the hub behind the server.

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::{CliError, Output, Result};
use super::remote::{Remote, Target};
use super::table::{minute, table};
use crate::client::Client;
use crate::domain::name::RepoKind;
use crate::wire::mirrors::{Mirror, UpdateMirror};

/// Look after the repos that come from the hub behind the server (--upstream)
#[derive(Debug, Args)]
pub struct Library {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them, with what is not taken and why
    List,
    /// Ask for their commits there, and make a new version of each that has another one
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
        let client = remote.client()?;
        match self.command {
            Command::List => list(&client.mirrors().await?.items),
            Command::Update { names, dataset } => {
                let wanted = match names.is_empty() {
                    true => client.mirrors().await?.items.iter().map(of_mirror).collect(),
                    false => names.iter().map(|name| named(name, dataset)).collect::<Result<Vec<_>>>()?,
                };
                update(&client, remote, wanted).await
            }
        }
    }
}

fn of_mirror(mirror: &Mirror) -> UpdateMirror {
    UpdateMirror { kind: mirror.kind.clone(), id: mirror.repo.clone().unwrap_or_else(|| mirror.id.clone()) }
}

fn named(name: &str, dataset: bool) -> Result<UpdateMirror> {
    let target = Target::parse_repo(name, dataset)?;
    Ok(UpdateMirror { kind: target.kind.as_str().to_owned(), id: target.id.to_string() })
}

fn list(mirrors: &[Mirror]) -> Result<Output> {
    let row = |mirror: &Mirror| {
        let version = mirror.version.map(|number| format!("v{number}")).unwrap_or_default();
        let commit = mirror.commit.get(..10).unwrap_or(&mirror.commit).to_owned();
        vec![shown(&of_mirror(mirror)), version, commit, minute(&mirror.checked), mirror.refused.clone().unwrap_or_default()]
    };
    let rows: Vec<Vec<String>> = mirrors.iter().map(row).collect();
    let human = if rows.is_empty() {
        "nothing came from another hub yet".into()
    } else {
        table(&["repo", "version", "commit there", "asked", "not taken"], &rows)
    };
    Ok(Output::new(
        human,
        json!({ "mirrors": mirrors }),
        mirrors.iter().map(|mirror| shown(&of_mirror(mirror))).collect::<Vec<_>>().join("\n"),
    ))
}

fn shown(wanted: &UpdateMirror) -> String {
    if wanted.kind == RepoKind::Dataset.as_str() { format!("dataset:{}", wanted.id) } else { wanted.id.clone() }
}

async fn update(client: &Client, remote: &Remote, wanted: Vec<UpdateMirror>) -> Result<Output> {
    let (mut lines, mut answers, mut bad) = (Vec::new(), Vec::new(), 0);
    for asked in &wanted {
        remote.reporter.step(&format!("asking for {}", shown(asked)));
        let mut was_running = false;
        let done = loop {
            let done = client.update_mirror(asked).await?;
            if done.outcome != "running" {
                break done;
            }
            was_running = true;
        };
        // Asked again, it only tells where it stands.
        let outcome = if was_running && done.outcome == "unchanged" { "updated" } else { done.outcome.as_str() };
        done.warnings.iter().for_each(|warning| remote.reporter.note(&format!("warning: {}: {warning}", shown(asked))));
        bad += usize::from(matches!(outcome, "refused" | "failed"));
        let version = done.version.map(|number| format!(", version {number}")).unwrap_or_default();
        lines.push(format!("{}: {outcome}{version} ({})", shown(asked), done.message));
        answers.push(json!({
            "kind": asked.kind, "id": asked.id, "outcome": outcome, "version": done.version, "message": done.message,
            "warnings": done.warnings,
        }));
    }
    if let ([line], 1) = (lines.as_slice(), bad) {
        return Err(CliError::new(1, "not_updated", line.clone(), "what is here stays as it is"));
    }
    let human = if lines.is_empty() { "nothing came from another hub yet".into() } else { lines.join("\n") };
    Ok(Output::new(human.clone(), json!({ "mirrors": answers }), human))
}
