//! The queue as workers elsewhere meet it: one job by its id, what a worker's name holds, and how much of its news has been heard.

use crate::catalog::jobs::{COLUMNS, from_row};
use crate::db::{Result, Tx};
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobState, Lease};
use crate::domain::time::Timestamp;
use crate::params;

/// The job, if it waits and may be started now, or runs and its worker let the lease run out; with how often it was started since its
/// last checkpoint.
pub fn find_ready_one(tx: &mut Tx<'_>, id: &JobId, now: Timestamp) -> Result<Option<(Job, u32)>> {
    let sql = format!(
        "select j.fruitless, {COLUMNS} where j.id = $1 and (j.state = 'running' and j.lease_until < $2 \
         or j.state = 'queued' and j.waits = 0 and j.paused = 0 and j.not_before <= $2)"
    );
    tx.find(&sql, params![id.as_str(), now.unix_ms()])?.map(|row| Ok((from_row(&row)?, row.count("fruitless")? as u32))).transpose()
}

/// The lease a worker of this very name holds.
pub fn find_lease_of(tx: &mut Tx<'_>, worker: &str) -> Result<Option<Lease>> {
    let sql = "select id, lease_number, lease_until from jobs where state = 'running' and lease_worker = $1 order by id limit 1";
    let Some(row) = tx.find(sql, params![worker])? else { return Ok(None) };
    let until = Timestamp::from_unix_ms(row.int("lease_until")?);
    Ok(Some(Lease { job: row.parse("id", JobId::parse)?, number: row.count("lease_number")?, worker: worker.into(), until }))
}

/// The names of workers that begin so and hold a job.
pub fn names_that_hold(tx: &mut Tx<'_>, beginning: &str) -> Result<Vec<String>> {
    let sql = "select distinct lease_worker from jobs where state = 'running' and substr(lease_worker, 1, cast($2 as integer)) = $1 order by lease_worker";
    tx.all(sql, params![beginning, beginning.len()])?.iter().map(|row| row.text("lease_worker")).collect()
}

/// How a job ended that this was the last lease of; `None` while it has not, or where another came after.
pub fn find_ended(tx: &mut Tx<'_>, lease: &Lease) -> Result<Option<(JobState, Option<u32>)>> {
    let sql = "select state, result_version from jobs where id = $1 and lease_number = $2 and finished is not null";
    let Some(row) = tx.find(sql, params![lease.job.as_str(), lease.number])? else { return Ok(None) };
    let state = row.parse("state", |text| JobState::parse(text).ok_or("is no state"))?;
    Ok(Some((state, row.find_int("result_version")?.map(|number| number as u32))))
}

/// The number of the newest word that was written down under the present lease, and how many are kept.
pub fn heard(tx: &mut Tx<'_>, job: &JobId) -> Result<(u64, u64)> {
    let row = tx.one("select heard, heard_lines from jobs where id = $1", params![job.as_str()])?;
    Ok((row.count("heard")?, row.count("heard_lines")?))
}

pub fn set_heard(tx: &mut Tx<'_>, job: &JobId, (heard, lines): (u64, u64)) -> Result<()> {
    tx.execute("update jobs set heard = $2, heard_lines = $3 where id = $1", params![job.as_str(), heard, lines])?;
    Ok(())
}
