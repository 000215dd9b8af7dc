//! Numbers of models that stand in no card: what an administrator took over from a table, and how quick a backbone was here. What lists are sorted by
//! follows from them (`search/measures.rs`).

use std::collections::HashMap;

use super::search::listing;
use crate::db::{Result, Row, Tx, Value};
use crate::domain::id::RepoKey;
use crate::domain::results::{ModelResult, Origin};
use crate::domain::time::Timestamp;
use crate::params;

/// Writes numbers of a model, each in place of an earlier one of the same origin, measure and data set; lists know them at once.
pub fn set(tx: &mut Tx<'_>, repo: &RepoKey, results: &[ModelResult], now: Timestamp) -> Result<()> {
    for result in results {
        tx.execute(
            "insert into results (repo, origin, measure, dataset, value, source, noted) values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (repo, origin, measure, dataset) do update set value = excluded.value, source = excluded.source, noted = excluded.noted",
            params![repo.as_str(), result.origin.as_str(), &result.measure, &result.dataset, result.value, &result.source, now.unix_ms()],
        )?;
    }
    listing::refresh(tx, repo)
}

/// All of each of many models, by measure and data set.
pub fn of_repos(tx: &mut Tx<'_>, repos: &[RepoKey]) -> Result<HashMap<RepoKey, Vec<ModelResult>>> {
    let sql = "select repo, origin, measure, dataset, value, source from results where repo in ($keys) order by measure, dataset, origin";
    let mut all: HashMap<RepoKey, Vec<ModelResult>> = HashMap::new();
    for row in tx.all_of(sql, &repos.iter().map(|key| Value::from(key.as_str())).collect::<Vec<_>>())? {
        all.entry(row.parse("repo", RepoKey::parse)?).or_default().push(from_row(&row)?);
    }
    Ok(all)
}

fn from_row(row: &Row) -> Result<ModelResult> {
    Ok(ModelResult {
        measure: row.text("measure")?,
        dataset: row.text("dataset")?,
        value: row.real("value")?,
        origin: row.parse("origin", |word| Origin::parse(word).ok_or("is no origin"))?,
        source: row.text("source")?,
    })
}

/// Takes away whatever came from a table of this name; how many numbers that were.
pub fn remove_source(tx: &mut Tx<'_>, source: &str) -> Result<u64> {
    let rows = tx.all("select distinct repo from results where origin = 'imported' and source = $1", params![source])?;
    let gone = tx.execute("delete from results where origin = 'imported' and source = $1", params![source])?;
    for row in &rows {
        listing::refresh(tx, &row.parse("repo", RepoKey::parse)?)?;
    }
    Ok(gone)
}

/// The tables that were taken over, by name: models, numbers, and when the last of these was noted.
pub fn tables(tx: &mut Tx<'_>, most: usize) -> Result<Vec<(String, u64, u64, Timestamp)>> {
    let sql = "select source, count(distinct repo) as models, count(*) as numbers, max(noted) as noted
               from results where origin = 'imported' group by source order by source limit $1";
    let read =
        |row: &Row| Ok((row.text("source")?, row.count("models")?, row.count("numbers")?, Timestamp::from_unix_ms(row.int("noted")?)));
    tx.all(sql, params![most])?.iter().map(read).collect()
}
