//! What the library lists: repos that are known before their files are here. An entry's repo is a row of `repos` like any other; while it
//! has no version, its facts stand in `repo_facts` under the number [`facts::LISTED`].

use super::search::listing;
use super::{facts, full_text, lineage, repos};
use crate::db::{Error, Result, Row, Tx};
use crate::domain::id::RepoKey;
use crate::domain::library::{Entry, Pin};
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::repo::{Facts, Listing, Repo, TrainedAs};
use crate::params;

/// An entry, and what was fetched of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub entry: Entry,
    /// The upstream's commit that was fetched, or where else the files came from; empty before.
    pub commit: String,
    /// What the files that were fetched hash to.
    pub pins: Vec<Pin>,
}

fn from_row(row: &Row) -> Result<Listed> {
    Ok(Listed { entry: json(row, "entry")?, commit: row.text("commit_id")?, pins: json(row, "pins")? })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<T> {
    serde_json::from_str(&row.text(column)?).map_err(|e| Error::Column { column: column.into(), problem: e.to_string() })
}

/// Of a repo, whoever published in it.
pub fn find(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Option<Listed>> {
    let sql = "select entry, commit_id, pins from library_entries where repo = $1";
    tx.find(sql, params![repo.as_str()])?.as_ref().map(from_row).transpose()
}

/// All entries by name, each with its repo.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<(Repo, Listed)>> {
    let sql = "select l.repo, l.entry, l.commit_id, l.pins from library_entries l join repos r on r.key = l.repo
               where r.deleted is null order by r.kind desc, r.folded";
    let mut all = Vec::new();
    for row in tx.all(sql, &[])? {
        if let Some(repo) = repos::find_by_key(tx, &row.parse("repo", RepoKey::parse)?)? {
            all.push((repo, from_row(&row)?));
        }
    }
    Ok(all)
}

/// The facts and words of an entry, as lists and searches show them while nothing is published.
pub fn find_facts(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<Option<(Facts, String)>> {
    let sql = "select facts, body, entry from library_entries where repo = $1";
    let Some(row) = tx.find(sql, params![repo.as_str()])? else { return Ok(None) };
    let entry: Entry = json(&row, "entry")?;
    let listing = if entry.upstream().is_some() { Listing::NotFetched } else { Listing::FactsOnly };
    Ok(Some((Facts { listing: Some(listing), ..facts::decode(&row)? }, row.text("body")?)))
}

/// Writes down what the index says of a repo; what was fetched of it stays.
pub fn put(tx: &mut Tx<'_>, repo: &Repo, entry: &Entry) -> Result<()> {
    let written = serde_json::to_string(entry).unwrap_or_default();
    tx.execute(
        "insert into library_entries (repo, entry, facts, body, commit_id, pins) values ($1, $2, $3, $4, '', '[]')
         on conflict (repo) do update set entry = $2, facts = $3, body = $4",
        params![repo.key.as_str(), written, facts::encode(&entry.facts()), entry.card().body],
    )?;
    tx.execute("delete from library_aliases where repo = $1", params![repo.key.as_str()])?;
    for alias in entry.aliases() {
        let folded = super::search::fold_repo(alias);
        tx.execute(
            "insert into library_aliases (kind, folded, repo) values ($1, $2, $3) on conflict (kind, folded) do update set repo = $3",
            params![repo.kind.as_str(), folded, repo.key.as_str()],
        )?;
    }
    put_stages(tx, repo, facts::LISTED, entry)
}

/// What a version was trained on, by the stages of the entry: first, and then.
pub fn put_stages(tx: &mut Tx<'_>, repo: &Repo, number: u32, entry: &Entry) -> Result<()> {
    let stages = entry.stages().iter().enumerate();
    let stages = stages.flat_map(|(at, names)| {
        let trained_as = if at == 0 { TrainedAs::Pretrained } else { TrainedAs::FineTuned };
        names.iter().map(move |name| (name.clone(), trained_as))
    });
    lineage::replace_sources(tx, &repo.key, number, &stages.collect::<Vec<_>>())
}

/// The repo an alias leads to.
pub fn find_alias(tx: &mut Tx<'_>, kind: RepoKind, id: &RepoId) -> Result<Option<Repo>> {
    let sql = "select repo from library_aliases where kind = $1 and folded = $2";
    match tx.find(sql, params![kind.as_str(), id.folded()])? {
        Some(row) => repos::find_by_key(tx, &row.parse("repo", RepoKey::parse)?),
        None => Ok(None),
    }
}

/// Writes down what was fetched.
pub fn set_fetched(tx: &mut Tx<'_>, repo: &RepoKey, commit: &str, pins: &[Pin]) -> Result<()> {
    let pins = serde_json::to_string(pins).unwrap_or_default();
    let sql = "update library_entries set commit_id = $2, pins = $3 where repo = $1";
    tx.execute(sql, params![repo.as_str(), commit, pins]).map(drop)
}

/// Takes an entry out of the library; its repo stays, as people's, or as one of which nothing is known.
pub fn remove(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<()> {
    for sql in ["delete from library_entries where repo = $1", "delete from library_aliases where repo = $1"] {
        tx.execute(sql, params![repo.as_str()])?;
    }
    lineage::replace_sources(tx, repo, facts::LISTED, &[])
}

/// Takes a repo away of which nothing is known any more and in which nothing was published.
pub fn erase(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<()> {
    for sql in ["delete from repo_facts where repo = $1 and number = 0", "delete from repo_tags where repo = $1"] {
        tx.execute(sql, params![repo.as_str()])?;
    }
    full_text::unindex(tx, repo)?;
    listing::refresh(tx, repo)?;
    repos::erase_empty(tx, repo)
}

/// Which index the entries were taken from; empty before the first.
pub fn version(tx: &mut Tx<'_>) -> Result<String> {
    tx.find("select version from library_index where id = 1", &[])?.map_or(Ok(String::new()), |row| row.text("version"))
}

pub fn set_version(tx: &mut Tx<'_>, version: &str) -> Result<()> {
    let sql = "insert into library_index (id, version) values (1, $1) on conflict (id) do update set version = $1";
    tx.execute(sql, params![version]).map(drop)
}
