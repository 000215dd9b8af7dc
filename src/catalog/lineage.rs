//! What versions were made from: data sets and base models, by the names their cards give them. A name need
//! not be a repo here; once one of that name is published, the lines meet.

use super::search::{self, fold_repo};
use super::visibility::Visibility;
use crate::db::{Result, Row, Tx};
use crate::domain::id::RepoKey;
use crate::domain::name::RepoKind;
use crate::domain::repo::TrainedAs;
use crate::domain::search::{Label, SearchQuery, Sort};
use crate::params;

/// Writes the data sets a version was trained on, as its card names them.
pub fn insert_sources(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, written: &[String], trained_as: TrainedAs) -> Result<()> {
    for (position, name) in written.iter().enumerate() {
        tx.execute(
            "insert into version_sources (repo, number, position, written, folded, trained_as) values ($1, $2, $3, $4, $5, $6)",
            params![repo.as_str(), number, position, name, fold_repo(name), trained_as.as_str()],
        )?;
    }
    shown(tx, repo, number)
}

/// Writes, in place of what was there, the data sets of a version, each with how it was used.
pub fn replace_sources(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, sources: &[(String, TrainedAs)]) -> Result<()> {
    tx.execute("delete from version_sources where repo = $1 and number = $2", params![repo.as_str(), number])?;
    for (position, (name, trained_as)) in sources.iter().enumerate() {
        tx.execute(
            "insert into version_sources (repo, number, position, written, folded, trained_as) values ($1, $2, $3, $4, $5, $6)",
            params![repo.as_str(), number, position, name, fold_repo(name), trained_as.as_str()],
        )?;
    }
    shown(tx, repo, number)
}

/// Writes the base models of a version; the base's version number where it is known.
pub fn insert_bases(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, bases: &[(String, Option<u32>)]) -> Result<()> {
    for (position, (name, base_number)) in bases.iter().enumerate() {
        tx.execute(
            "insert into version_bases (repo, number, position, written, folded, base_number) values ($1, $2, $3, $4, $5, $6)",
            params![repo.as_str(), number, position, name, fold_repo(name), *base_number],
        )?;
    }
    shown(tx, repo, number)
}

/// Where this is the version that lists show, they know it at once; a version that is about to be, they see once `main` names it.
fn shown(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<()> {
    let sql = "select number from repo_facts where repo = $1 and number = $2";
    match tx.find(sql, params![repo.as_str(), number])? {
        Some(_) => search::listing::refresh(tx, repo),
        None => Ok(()),
    }
}

fn trained_as(row: &Row) -> Result<TrainedAs> {
    row.parse("trained_as", |word| TrainedAs::parse(word).ok_or("is no way to be trained"))
}

/// The data sets of a version: as written, folded, and how they were used.
pub fn sources(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<(String, String, TrainedAs)>> {
    let sql = "select written, folded, trained_as from version_sources where repo = $1 and number = $2 order by position";
    let rows = tx.all(sql, params![repo.as_str(), number])?;
    rows.iter().map(|row| Ok((row.text("written")?, row.text("folded")?, trained_as(row)?))).collect()
}

/// The base models of a version: as written, folded, and the base's version where it is known.
pub fn bases(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<(String, String, Option<u32>)>> {
    let sql = "select written, folded, base_number from version_bases where repo = $1 and number = $2 order by position";
    let rows = tx.all(sql, params![repo.as_str(), number])?;
    let number = |row: &Row| Ok::<_, crate::db::Error>(row.find_int("base_number")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)));
    rows.iter().map(|row| Ok((row.text("written")?, row.text("folded")?, number(row)?))).collect()
}

/// Models whose head names this data set, and a base or none; most downloaded first. Whether there are more.
pub fn trained_on(
    tx: &mut Tx<'_>,
    folded: &str,
    trained_as: TrainedAs,
    visible: &Visibility,
    limit: usize,
) -> Result<(Vec<RepoKey>, bool)> {
    named(tx, Label::TrainedOn(trained_as, folded.to_owned()), visible, limit)
}

/// Models whose head names this model as its base, most downloaded first. Whether there are more.
pub fn children(tx: &mut Tx<'_>, folded: &str, visible: &Visibility, limit: usize) -> Result<(Vec<RepoKey>, bool)> {
    named(tx, Label::BaseModel(folded.to_owned()), visible, limit)
}

fn named(tx: &mut Tx<'_>, label: Label, visible: &Visibility, limit: usize) -> Result<(Vec<RepoKey>, bool)> {
    let (kind, sort) = (Some(RepoKind::Model), Sort::Downloads);
    let query = SearchQuery { kind, labels: vec![label], sort, plain: true, ..SearchQuery::default() };
    let page = search::search(tx, &query, visible, limit, None)?.page;
    Ok((page.items, page.next.is_some()))
}
