//! Which jobs were handed to an engine outside (Slurm, Kubernetes), and what it calls them.

use crate::catalog::jobs::{COLUMNS, from_row};
use crate::db::{Result, Row, Tx};
use crate::domain::engine::{Handed, Place};
use crate::domain::id::JobId;
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::params;

fn handed(row: &Row) -> Result<Handed> {
    Ok(Handed {
        number: row.text("engine_number")?,
        state: row.parse("engine_state", |text| crate::domain::engine::State::parse(text).ok_or("is no state"))?,
        submitted: Timestamp::from_unix_ms(row.int("engine_submitted")?),
        times: row.count("engine_times")?,
    })
}

const HANDED: &str = "e.number as engine_number, e.state as engine_state, e.submitted as engine_submitted, e.times as engine_times";

/// Jobs that a worker may start now, by the order of the queue, and what of them this place was handed before. Jobs that lie with another
/// place are not among them.
pub fn list_ready(tx: &mut Tx<'_>, place: &Place, now: Timestamp, limit: usize) -> Result<Vec<(Job, Option<Handed>)>> {
    let sql = format!(
        "select {HANDED}, {COLUMNS} left join job_engines e on e.job = j.id where j.waits = 0 \
         and (j.state = 'queued' and j.paused = 0 and j.not_before <= $1 or j.state = 'running' and j.lease_until < $1) \
         and (e.job is null or e.state <> 'submitted' or e.engine = $2 and e.place = $3) \
         order by j.priority desc, j.urgency desc, j.created, j.id limit $4"
    );
    let rows = tx.all(&sql, params![now.unix_ms(), &place.engine, &place.name, limit])?;
    let read = |row: &Row| {
        let known = row.find_text("engine_number")?.is_some();
        Ok((from_row(row)?, if known { Some(handed(row)?) } else { None }))
    };
    rows.iter().map(read).collect()
}

/// Jobs that lie with this place.
pub fn list_submitted(tx: &mut Tx<'_>, place: &Place, limit: usize) -> Result<Vec<(Job, Handed)>> {
    let sql = format!(
        "select {HANDED}, {COLUMNS} join job_engines e on e.job = j.id where e.engine = $1 and e.place = $2 and e.state = 'submitted' \
         order by e.submitted, e.job limit $3"
    );
    let rows = tx.all(&sql, params![&place.engine, &place.name, limit])?;
    rows.iter().map(|row| Ok((from_row(row)?, handed(row)?))).collect()
}

/// Writes down what became of a job at a place.
pub fn put(tx: &mut Tx<'_>, job: &JobId, place: &Place, handed: &Handed, now: Timestamp) -> Result<()> {
    tx.execute(
        "insert into job_engines (job, engine, place, number, state, submitted, seen, times) values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (job) do update set engine = excluded.engine, place = excluded.place, number = excluded.number,
             state = excluded.state, submitted = excluded.submitted, seen = excluded.seen, times = excluded.times",
        params![
            job.as_str(),
            &place.engine,
            &place.name,
            &handed.number,
            handed.state.as_str(),
            handed.submitted.unix_ms(),
            now.unix_ms(),
            handed.times
        ],
    )?;
    Ok(())
}

/// What is known of a job, wherever it lies.
pub fn find(tx: &mut Tx<'_>, job: &JobId) -> Result<Option<(Place, Handed)>> {
    let sql = format!("select e.engine, e.place, {HANDED} from job_engines e where e.job = $1");
    let Some(row) = tx.find(&sql, params![job.as_str()])? else { return Ok(None) };
    Ok(Some((Place { engine: row.text("engine")?, name: row.text("place")? }, handed(&row)?)))
}
