//! Workers that were heard of lately. Shown, and nothing else: who may go on with which job says its lease.

use crate::db::{Result, Row, Tx};
use crate::domain::time::Timestamp;
use crate::domain::worker::Worker;
use crate::params;

const COLUMNS: &str = "w.name, t.name as token, w.node, w.cpus, w.memory_bytes, w.device, w.release, w.started, w.seen, w.job";

fn from_row(row: &Row) -> Result<Worker> {
    Ok(Worker {
        name: row.text("name")?,
        token: row.find_text("token")?,
        node: row.text("node")?,
        cpus: row.count("cpus")? as u32,
        memory_bytes: row.count("memory_bytes")?,
        device: row.text("device")?,
        release: row.text("release")?,
        started: Timestamp::from_unix_ms(row.int("started")?),
        seen: Timestamp::from_unix_ms(row.int("seen")?),
        job: row.find_text("job")?,
    })
}

/// Writes down that it is there; `worker.token` is the id of its token.
pub fn note(tx: &mut Tx<'_>, worker: &Worker) -> Result<()> {
    let sql = "insert into workers (name, token, node, cpus, memory_bytes, device, release, started, seen, job)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (name) do update set seen = excluded.seen, job = excluded.job";
    let (cpus, started, seen) = (u64::from(worker.cpus), worker.started.unix_ms(), worker.seen.unix_ms());
    let (token, job) = (worker.token.as_deref(), worker.job.as_deref());
    let (device, release) = (worker.device.as_str(), worker.release.as_str());
    tx.execute(sql, params![&worker.name, token, &worker.node, cpus, worker.memory_bytes, device, release, started, seen, job])?;
    Ok(())
}

/// It was heard of with a job in hand.
pub fn touch(tx: &mut Tx<'_>, name: &str, job: &str, now: Timestamp) -> Result<()> {
    tx.execute("update workers set seen = $2, job = $3 where name = $1", params![name, now.unix_ms(), job])?;
    Ok(())
}

pub fn forget(tx: &mut Tx<'_>, name: &str) -> Result<()> {
    tx.execute("delete from workers where name = $1", params![name])?;
    Ok(())
}

/// Forgets those that nobody has heard of since.
pub fn forget_before(tx: &mut Tx<'_>, time: Timestamp) -> Result<()> {
    tx.execute("delete from workers where seen < $1", params![time.unix_ms()])?;
    Ok(())
}

/// Those heard of since `since`, by machine and name; `token` is its token's name.
pub fn list(tx: &mut Tx<'_>, since: Timestamp, limit: usize) -> Result<Vec<Worker>> {
    let sql = format!(
        "select {COLUMNS} from workers w left join worker_tokens t on t.id = w.token where w.seen >= $1 order by w.node, w.name limit $2"
    );
    tx.all(&sql, params![since.unix_ms(), limit])?.iter().map(from_row).collect()
}
