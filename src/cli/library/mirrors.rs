//! `hub library`, of repos that come from the hub behind the server: which there are, and a new version of each that has another commit there.

use serde_json::{Value, json};

use super::super::output::Result;
use super::super::remote::{Remote, Target};
use super::super::table::{minute, table};
use crate::client::Client;
use crate::domain::name::RepoKind;
use crate::wire::mirrors::{Mirror, UpdateMirror};

/// What became of some repos: a line and a JSON object each, and how many did not go well.
#[derive(Debug, Default)]
pub struct Updated {
    pub lines: Vec<String>,
    pub answers: Vec<Value>,
    pub bad: usize,
}

pub fn of_mirror(mirror: &Mirror) -> UpdateMirror {
    UpdateMirror { kind: mirror.kind.clone(), id: mirror.repo.clone().unwrap_or_else(|| mirror.id.clone()) }
}

pub fn named(name: &str, dataset: bool) -> Result<UpdateMirror> {
    let target = Target::parse_repo(name, dataset)?;
    Ok(UpdateMirror { kind: target.kind.as_str().to_owned(), id: target.id.to_string() })
}

/// As a table; empty where there are none.
pub fn listed(mirrors: &[Mirror]) -> String {
    let row = |mirror: &Mirror| {
        let version = mirror.version.map(|number| format!("v{number}")).unwrap_or_default();
        let commit = mirror.commit.get(..10).unwrap_or(&mirror.commit).to_owned();
        vec![shown(&of_mirror(mirror)), version, commit, minute(&mirror.checked), mirror.refused.clone().unwrap_or_default()]
    };
    let rows: Vec<Vec<String>> = mirrors.iter().map(row).collect();
    if rows.is_empty() { String::new() } else { table(&["repo", "version", "commit there", "asked", "not taken"], &rows) }
}

pub fn shown(wanted: &UpdateMirror) -> String {
    if wanted.kind == RepoKind::Dataset.as_str() { format!("dataset:{}", wanted.id) } else { wanted.id.clone() }
}

/// Asks for each of them there.
pub async fn update(client: &Client, remote: &Remote, wanted: &[UpdateMirror]) -> Result<Updated> {
    let mut updated = Updated::default();
    for asked in wanted {
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
        updated.bad += usize::from(matches!(outcome, "refused" | "failed"));
        let version = done.version.map(|number| format!(", version {number}")).unwrap_or_default();
        updated.lines.push(format!("{}: {outcome}{version} ({})", shown(asked), done.message));
        updated.answers.push(json!({
            "kind": asked.kind, "id": asked.id, "outcome": outcome, "version": done.version, "message": done.message,
            "warnings": done.warnings,
        }));
    }
    Ok(updated)
}
