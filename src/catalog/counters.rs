//! Counts: downloads by repo and day, and the few numbers of the home page.

use super::search::{merit, terms};
use crate::db::{Result, Tx};
use crate::domain::id::RepoKey;
use crate::domain::name::RepoKind;
use crate::domain::time::Timestamp;
use crate::params;

const DAY_MS: i64 = 86_400_000;

pub fn add_downloads(tx: &mut Tx<'_>, repo: &RepoKey, downloads: u64, now: Timestamp) -> Result<()> {
    tx.lock(terms::LISTING)?;
    tx.execute("update repos set downloads = downloads + $2 where key = $1 and deleted is null", params![repo.as_str(), downloads])?;
    if let Some(row) = tx.find("select downloads from listing where repo = $1", params![repo.as_str()])? {
        let before = row.int("downloads")?;
        let after = before.saturating_add(i64::try_from(downloads).unwrap_or(i64::MAX));
        let merit = merit::of_downloads(after) - merit::of_downloads(before);
        let sql = "update listing set downloads = $2, merit = merit + $3 where repo = $1";
        tx.execute(sql, params![repo.as_str(), after, merit])?;
    }
    tx.execute(
        "insert into downloads_daily (repo, day, downloads) values ($1, $2, $3)
         on conflict (repo, day) do update set downloads = downloads_daily.downloads + excluded.downloads",
        params![repo.as_str(), now.unix_ms().div_euclid(DAY_MS), downloads],
    )?;
    Ok(())
}

/// Downloads of a repo by day since 1970, for so many days until now, days with none left out.
pub fn by_day(tx: &mut Tx<'_>, repo: &RepoKey, days: i64, now: Timestamp) -> Result<Vec<(i64, u64)>> {
    let first = now.unix_ms().div_euclid(DAY_MS) - days;
    let sql = "select day, downloads from downloads_daily where repo = $1 and day > $2 order by day";
    tx.all(sql, params![repo.as_str(), first])?.iter().map(|row| Ok((row.int("day")?, row.count("downloads")?))).collect()
}

/// The same of all public repos of a namespace together.
pub fn by_day_in(tx: &mut Tx<'_>, namespace: &str, days: i64, now: Timestamp) -> Result<Vec<(i64, u64)>> {
    let first = now.unix_ms().div_euclid(DAY_MS) - days;
    let sql = "select d.day, cast(sum(d.downloads) as bigint) as downloads from repos r join downloads_daily d on d.repo = r.key
               where r.namespace = $1 and r.private = 0 and r.deleted is null and d.day > $2 group by d.day order by d.day";
    tx.all(sql, params![namespace, first])?.iter().map(|row| Ok((row.int("day")?, row.count("downloads")?))).collect()
}

/// What the home page counts: public repos only, so that a number never tells of private ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SiteCounts {
    pub models: u64,
    pub datasets: u64,
    /// Of the newest versions.
    pub bytes: u64,
    /// Fine-tunes that succeeded.
    pub jobs: u64,
}

pub fn site(tx: &mut Tx<'_>) -> Result<SiteCounts> {
    let (models, model_bytes) = terms::totals(tx, RepoKind::Model)?;
    let (datasets, dataset_bytes) = terms::totals(tx, RepoKind::Dataset)?;
    let jobs = tx.one("select count(*) as n from jobs where state = 'succeeded'", &[])?;
    Ok(SiteCounts {
        models: models.public_here,
        datasets: datasets.public_here,
        bytes: model_bytes + dataset_bytes,
        jobs: jobs.count("n")?,
    })
}
