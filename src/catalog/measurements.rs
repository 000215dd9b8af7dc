//! What this hub measured itself, as it signed it; and which job has left the features of a data set's items by a model.

use super::visibility::{Visibility, seen_by};
use crate::db::{Result, Row, Tx, Value};
use crate::domain::id::{JobId, RepoKey};
use crate::domain::name::RepoId;
use crate::domain::time::Timestamp;
use crate::params;

/// A version of a model and one of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub model: (RepoKey, u32),
    pub dataset: (RepoKey, u32),
}

pub fn insert(tx: &mut Tx<'_>, job: &JobId, pair: &Pair, measured: Timestamp, statement: &str) -> Result<()> {
    tx.execute(
        "insert into measurements (job, model, model_number, dataset, dataset_number, measured, statement)
         values ($1, $2, $3, $4, $5, $6, $7)",
        params![job.as_str(), pair.model.0.as_str(), pair.model.1, pair.dataset.0.as_str(), pair.dataset.1, measured.unix_ms(), statement],
    )?;
    Ok(())
}

/// On a data set, of models that may be seen, newest first, each with what its model is called now.
pub fn of_dataset(tx: &mut Tx<'_>, dataset: &RepoKey, visible: &Visibility, limit: usize) -> Result<Vec<(RepoId, String)>> {
    listed(tx, ("dataset", "model"), dataset, visible, limit)
}

/// Of a model, on data sets that may be seen, newest first, each with what its data set is called now.
pub fn of_model(tx: &mut Tx<'_>, model: &RepoKey, visible: &Visibility, limit: usize) -> Result<Vec<(RepoId, String)>> {
    listed(tx, ("model", "dataset"), model, visible, limit)
}

fn listed(tx: &mut Tx<'_>, (of, other): (&str, &str), repo: &RepoKey, visible: &Visibility, limit: usize) -> Result<Vec<(RepoId, String)>> {
    let mut params = vec![Value::Text(repo.as_str().into()), Value::Int(i64::try_from(limit).unwrap_or(i64::MAX))];
    let seen = seen_by(visible, &mut params);
    let sql = format!(
        "select m.statement, r.namespace, r.name from measurements m join repos r on r.key = m.{other}
         where m.{of} = $1 and r.deleted is null and ({seen}) order by m.measured desc, m.job desc limit $2"
    );
    let read = |row: &Row| {
        let (namespace, statement) = (row.text("namespace")?, row.text("statement")?);
        Ok((row.parse("name", |name| RepoId::from_parts(&namespace, name))?, statement))
    };
    tx.all(&sql, &params)?.iter().map(read).collect()
}

/// From now on this job's features are those of the pair.
pub fn set_embedding(tx: &mut Tx<'_>, pair: &Pair, job: &JobId) -> Result<()> {
    tx.execute(
        "insert into embeddings (model, model_number, dataset, dataset_number, job) values ($1, $2, $3, $4, $5)
         on conflict (model, model_number, dataset, dataset_number) do update set job = excluded.job",
        params![pair.model.0.as_str(), pair.model.1, pair.dataset.0.as_str(), pair.dataset.1, job.as_str()],
    )?;
    Ok(())
}

/// The job that has left the features of the pair.
pub fn find_embedding(tx: &mut Tx<'_>, pair: &Pair) -> Result<Option<JobId>> {
    let sql = "select job from embeddings where model = $1 and model_number = $2 and dataset = $3 and dataset_number = $4";
    let row = tx.find(sql, params![pair.model.0.as_str(), pair.model.1, pair.dataset.0.as_str(), pair.dataset.1])?;
    row.map(|row| row.parse("job", JobId::parse)).transpose()
}

/// The models that have left features of a version of a data set and may be seen, by their names now, with their versions.
pub fn that_looked_at(tx: &mut Tx<'_>, dataset: (&RepoKey, u32), visible: &Visibility, limit: usize) -> Result<Vec<(RepoId, u32)>> {
    embedded(tx, ("dataset", "model"), dataset, visible, limit)
}

/// The data sets of which a version of a model has left features and that may be seen, by their names now, with their versions.
pub fn looked_at_by(tx: &mut Tx<'_>, model: (&RepoKey, u32), visible: &Visibility, limit: usize) -> Result<Vec<(RepoId, u32)>> {
    embedded(tx, ("model", "dataset"), model, visible, limit)
}

fn embedded(
    tx: &mut Tx<'_>,
    (of, other): (&str, &str),
    (repo, number): (&RepoKey, u32),
    visible: &Visibility,
    limit: usize,
) -> Result<Vec<(RepoId, u32)>> {
    let mut params =
        vec![Value::Text(repo.as_str().into()), Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)), Value::Int(i64::from(number))];
    let seen = seen_by(visible, &mut params);
    let sql = format!(
        "select e.{other}_number as number, r.namespace, r.name from embeddings e join repos r on r.key = e.{other}
         where e.{of} = $1 and e.{of}_number = $3 and r.deleted is null and ({seen})
         order by r.namespace, r.name, e.{other}_number desc limit $2"
    );
    let read = |row: &Row| {
        let (namespace, number) = (row.text("namespace")?, row.int("number")?);
        Ok((row.parse("name", |name| RepoId::from_parts(&namespace, name))?, u32::try_from(number).unwrap_or_default()))
    };
    tx.all(&sql, &params)?.iter().map(read).collect()
}
