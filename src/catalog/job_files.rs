//! Files of jobs: what they were given beyond versions, and what they have left. The collector keeps their blobs while these rows are there.

use crate::db::{Result, Row, Tx};
use crate::domain::digest::Digest;
use crate::domain::id::JobId;
use crate::domain::job::JobFile;
use crate::params;

/// Which way a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Sent along with the job.
    Given,
    /// Left by it.
    Left,
}

impl Way {
    fn given(self) -> i64 {
        i64::from(self == Way::Given)
    }
}

fn from_row(row: &Row) -> Result<JobFile> {
    Ok(JobFile { name: row.text("name")?, digest: row.parse("digest", Digest::parse)?, size_bytes: row.count("size_bytes")? })
}

/// Names a stored blob as a file of the job; one of the same name is replaced.
pub fn insert(tx: &mut Tx<'_>, job: &JobId, way: Way, file: &JobFile) -> Result<()> {
    tx.execute(
        "insert into job_files (job, given, name, digest, size_bytes) values ($1, $2, $3, $4, $5)
             on conflict (job, given, name) do update set digest = excluded.digest, size_bytes = excluded.size_bytes",
        params![job.as_str(), way.given(), &file.name, file.digest.to_hex(), file.size_bytes],
    )?;
    Ok(())
}

/// By name.
pub fn list(tx: &mut Tx<'_>, job: &JobId, way: Way) -> Result<Vec<JobFile>> {
    let sql = "select name, digest, size_bytes from job_files where job = $1 and given = $2 order by name";
    tx.all(sql, params![job.as_str(), way.given()])?.iter().map(from_row).collect()
}

pub fn find(tx: &mut Tx<'_>, job: &JobId, way: Way, name: &str) -> Result<Option<JobFile>> {
    let sql = "select name, digest, size_bytes from job_files where job = $1 and given = $2 and name = $3";
    tx.find(sql, params![job.as_str(), way.given(), name])?.map(|row| from_row(&row)).transpose()
}

/// The job is without a file from now on; the collector takes what nobody else names.
pub fn remove(tx: &mut Tx<'_>, job: &JobId, way: Way, name: &str) -> Result<()> {
    let sql = "delete from job_files where job = $1 and given = $2 and name = $3";
    tx.execute(sql, params![job.as_str(), way.given(), name])?;
    Ok(())
}

/// Without all that went one way.
pub fn clear(tx: &mut Tx<'_>, job: &JobId, way: Way) -> Result<()> {
    tx.execute("delete from job_files where job = $1 and given = $2", params![job.as_str(), way.given()])?;
    Ok(())
}
