//! What is known of models in numbers, each with its origin; and tables of results, which an administrator takes over.

use std::collections::{BTreeSet, HashMap};

use super::super::{Error, Result, Service, access};
use super::browse;
use crate::catalog::{library, repos, results};
use crate::db::Tx;
use crate::domain::name::{LIBRARY, RepoId, RepoKind};
use crate::domain::repo::{Repo, RepoSummary};
use crate::domain::results::table::{self, Line, TableError};
use crate::domain::results::{ModelResult, Origin, SPEED, dataset_name, of_facts};
use crate::domain::time::Timestamp;
use crate::domain::user::Actor;
use crate::service::people::journal::note_act;

/// Longest name of a table, and names of models that are reported as unknown.
const LONGEST_NAME: usize = 200;
const NAMED: usize = 20;

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Models here that have numbers from it now.
    pub models: u64,
    pub numbers: u64,
    /// Models that are not here: how many, and some of their names.
    pub unknown: u64,
    pub such_as: Vec<String>,
}

/// A table that was taken over, with how many models and numbers here are from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    pub name: String,
    pub models: u64,
    pub numbers: u64,
    pub noted: Timestamp,
}

/// Tables that are listed.
const MOST_TABLES: usize = 200;

/// Everything known of each model in numbers, in their order: its card's first, then tables', then what was measured.
pub(super) fn known(tx: &mut Tx<'_>, summaries: &[RepoSummary]) -> Result<Vec<Vec<ModelResult>>> {
    let models = summaries.iter().filter(|summary| summary.repo.kind == RepoKind::Model);
    let mut kept = results::of_repos(tx, &models.map(|model| model.repo.key.clone()).collect::<Vec<_>>())?;
    let all = |summary: &RepoSummary| match summary.repo.kind {
        RepoKind::Model => [of_facts(&summary.facts), kept.remove(&summary.repo.key).unwrap_or_default()].concat(),
        RepoKind::Dataset => Vec::new(),
    };
    Ok(summaries.iter().map(all).collect())
}

impl Service {
    /// What is known of a model in numbers, by its newest version.
    pub async fn list_results(&self, actor: &Actor, id: &RepoId) -> Result<Vec<ModelResult>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                let repo = access::see_repo(tx, &actor, RepoKind::Model, &id)?;
                let found = [browse::summary(tx, repo)?];
                Ok(known(tx, &found)?.pop().unwrap_or_default())
            })
            .await
    }

    /// The tables that were taken over, by name.
    pub async fn tables_of_results(&self, actor: &Actor) -> Result<Vec<TakenOver>> {
        access::admin_site(actor)?;
        let tables = self.db.read(|tx| Ok::<_, Error>(results::tables(tx, MOST_TABLES)?)).await?;
        Ok(tables.into_iter().map(|(name, models, numbers, noted)| TakenOver { name, models, numbers, noted }).collect())
    }

    /// Takes away whatever came from a table of this name.
    pub async fn forget_results(&self, actor: &Actor, name: &str) -> Result<()> {
        access::admin_site(actor)?;
        let (actor, name, now, note) = (actor.clone(), checked_name(name)?, self.now(), self.note()?);
        self.db
            .write(move |tx| {
                let gone = results::remove_source(tx, &name)?;
                if gone == 0 {
                    let message = format!("no table called '{name}' was taken over");
                    return Err(Error::not_found("no_such_table", message, "the page of results lists those that were"));
                }
                note_act(tx, now, note, &actor, "results.remove", &name, &format!("{gone} numbers"))?;
                Ok(())
            })
            .await
    }

    /// Takes a table of results over: `name` is its file's, `dataset` what its shares are of, which the names of timm's tables say themselves. A
    /// model is named as timm names it, then an entry of the library has its numbers, or as `namespace/name`.
    pub async fn import_results(&self, actor: &Actor, name: &str, dataset: Option<&str>, text: &str) -> Result<Imported> {
        access::admin_site(actor)?;
        let name = checked_name(name)?;
        let lines = table::read(text).map_err(|error| bad_table(&name, &error))?;
        let about = dataset.map(dataset_name).or_else(|| table::dataset_of(&name).map(str::to_owned)).unwrap_or_default();
        if about.is_empty() && lines.iter().any(|line| line.of_dataset) {
            let message = format!("'{name}' does not say which data set its shares are of");
            return Err(Error::invalid("no_dataset", message, "name it, such as --on imagenet-1k"));
        }
        let (actor, now, note) = (actor.clone(), self.now(), self.note()?);
        self.db
            .write(move |tx| {
                results::remove_source(tx, &name)?;
                let known = Known::of(tx)?;
                let mut done = Imported::default();
                let mut unknown = BTreeSet::new();
                for (model, lines) in by_model(&lines) {
                    let Some(repo) = known.find(tx, model)? else {
                        unknown.insert(model.to_owned());
                        continue;
                    };
                    let of_line = |line: &&Line| ModelResult {
                        measure: line.measure.to_owned(),
                        dataset: if line.of_dataset { about.clone() } else { String::new() },
                        value: line.value,
                        origin: Origin::Imported,
                        source: name.clone(),
                    };
                    let found: Vec<ModelResult> = lines.iter().map(of_line).collect();
                    results::set(tx, &repo.key, &found, now)?;
                    done.models += 1;
                    done.numbers += found.len() as u64;
                }
                done.unknown = unknown.len() as u64;
                done.such_as = unknown.into_iter().take(NAMED).collect();
                note_act(tx, now, note, &actor, "results.import", &name, &format!("{} models", done.models))?;
                Ok(done)
            })
            .await
    }
}

/// Writes down how quick backbones were on a machine of this hub, in items a second.
pub(in crate::service) fn note_speeds(tx: &mut Tx<'_>, speeds: &[(RepoId, f64)], job: &str, now: Timestamp) -> Result<()> {
    for (id, speed) in speeds {
        if let Some(repo) = repos::find(tx, RepoKind::Model, id)? {
            let (measure, source) = (SPEED.to_owned(), job.to_owned());
            let result = ModelResult { measure, dataset: String::new(), value: *speed, origin: Origin::Measured, source };
            results::set(tx, &repo.key, &[result], now)?;
        }
    }
    Ok(())
}

fn by_model(lines: &[Line]) -> Vec<(&str, Vec<&Line>)> {
    let mut all: Vec<(&str, Vec<&Line>)> = Vec::new();
    for line in lines {
        match all.last_mut() {
            Some((model, of_it)) if *model == line.model => of_it.push(line),
            _ => all.push((&line.model, vec![line])),
        }
    }
    all
}

/// Entries of the library by all the names they go by.
struct Known(HashMap<String, Repo>);

impl Known {
    fn of(tx: &mut Tx<'_>) -> Result<Known> {
        let models: Vec<_> = library::list(tx)?.into_iter().filter(|(repo, _)| repo.kind == RepoKind::Model).collect();
        let mut known = HashMap::new();
        for (repo, listed) in &models {
            let upstream = listed.entry.upstream().map(|name| name.rsplit('/').next().unwrap_or(name).to_owned());
            for name in upstream.into_iter().chain([repo.id.name().to_string()]) {
                known.entry(folded(&name)).or_insert_with(|| repo.clone());
            }
        }
        // Another name of one entry is no reason to take the name of another.
        for (repo, listed) in &models {
            for name in listed.entry.aliases() {
                known.entry(folded(name)).or_insert_with(|| repo.clone());
            }
        }
        Ok(Known(known))
    }

    fn find(&self, tx: &mut Tx<'_>, written: &str) -> Result<Option<Repo>> {
        if let Some(repo) = self.0.get(&folded(written)) {
            return Ok(Some(repo.clone()));
        }
        let id = if written.contains('/') { RepoId::parse(written) } else { RepoId::from_parts(LIBRARY, written) };
        match id {
            Ok(id) => Ok(repos::find(tx, RepoKind::Model, &id)?),
            Err(_) => Ok(None),
        }
    }
}

fn folded(name: &str) -> String {
    name.chars().map(|c| if matches!(c, '.' | '_') { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// The name of a table, without the folders it lies in.
fn checked_name(name: &str) -> Result<String> {
    let bare = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if bare.is_empty() || bare.len() > LONGEST_NAME || bare.chars().any(char::is_control) {
        return Err(Error::invalid("bad_name", "a table needs a name", "name the file it came from, such as results-imagenet.csv"));
    }
    Ok(bare.to_owned())
}

fn bad_table(name: &str, problem: &TableError) -> Error {
    Error::invalid(
        "bad_table",
        format!("'{name}': {problem}"),
        "give a table with commas whose first line names its columns, as timm's results have them",
    )
}
