//! The queue and its events. A lease is a worker's claim on a job: every write a worker makes names the
//! lease's number, so that one that lost its claim changes nothing.

use crate::db::{Error, Result, Row, Tx};
use crate::domain::id::{AccountId, JobId};
use crate::domain::job::{Family, Job, JobState, Lease};
use crate::domain::job_event::{Event, JobEvent};
use crate::domain::name::RepoId;
use crate::domain::page::Page;
use crate::domain::time::Timestamp;
use crate::domain::work::Work;
use crate::params;

/// The time that leases and waits are measured by: the database's, where several machines share it, else `own`.
pub fn now(tx: &mut Tx<'_>, own: Timestamp) -> Result<Timestamp> {
    Ok(tx.clock()?.map_or(own, Timestamp::from_unix_ms))
}

pub(super) const COLUMNS: &str = "j.id, j.owner, a.name as owner_name, j.parent, j.waits, j.kind, j.spec, j.state, j.attempt, j.cancel_requested, j.priority, j.urgency, j.paused, j.step, j.total_steps, \
     j.stage, j.error, j.result_version, j.created, j.started, j.finished \
     from jobs j join accounts a on a.id = j.owner";

pub(super) fn from_row(row: &Row) -> Result<Job> {
    let at = |column: &str| Ok::<_, Error>(row.find_int(column)?.map(Timestamp::from_unix_ms));
    Ok(Job {
        id: row.parse("id", JobId::parse)?,
        owner: row.parse("owner", AccountId::parse)?,
        owner_name: row.text("owner_name")?,
        parent: row
            .find_text("parent")?
            .map(|id| JobId::parse(&id))
            .transpose()
            .map_err(|e| Error::Column { column: "parent".into(), problem: e.to_string() })?,
        waits: row.flag("waits")?,
        work: {
            let kind = row.text("kind")?;
            row.parse("spec", |spec| Work::read(&kind, spec))?
        },
        state: row.parse("state", |text| JobState::parse(text).ok_or("is no state"))?,
        attempt: row.count("attempt")? as u32,
        cancel_requested: row.flag("cancel_requested")?,
        priority: row.int("priority")?,
        urgency: row.int("urgency")?,
        paused: row.flag("paused")?,
        step: row.count("step")?,
        total_steps: row.count("total_steps")?,
        stage: row.text("stage")?,
        error: row.find_text("error")?,
        result_version: row.find_int("result_version")?.map(|n| n as u32),
        created: Timestamp::from_unix_ms(row.int("created")?),
        started: at("started")?,
        finished: at("finished")?,
    })
}

/// Puts a job in the queue.
pub fn insert(tx: &mut Tx<'_>, job: &Job) -> Result<()> {
    let (kind, spec) = job.work.write();
    let ready = now(tx, job.created)?;
    tx.execute(
        "insert into jobs (id, owner, kind, spec, name_folded, state, stage, not_before, created, parent, waits, priority, urgency, paused) \
         values ($1, $2, $8, $3, $4, $5, $6, $14, $7, $9, $10, $11, $12, $13)",
        params![
            job.id.as_str(),
            job.owner.as_str(),
            spec.to_string(),
            job.work.publishes().map(RepoId::folded).unwrap_or_default(),
            job.state.as_str(),
            &job.stage,
            job.created.unix_ms(),
            kind,
            job.parent.as_ref().map(JobId::as_str),
            job.waits,
            job.priority,
            job.urgency,
            job.paused,
            ready.unix_ms()
        ],
    )?;
    Ok(())
}

pub fn find(tx: &mut Tx<'_>, id: &JobId) -> Result<Option<Job>> {
    tx.find(&format!("select {COLUMNS} where j.id = $1"), params![id.as_str()])?.map(|row| from_row(&row)).transpose()
}

/// What narrows a list of jobs; what is empty does not.
#[derive(Debug, Clone, Default)]
pub struct Narrow {
    pub owner: Option<AccountId>,
    pub state: Option<JobState>,
    pub kind: Option<String>,
    pub family: Family,
    /// Folded: where they publish.
    pub namespace: String,
}

/// Newest first; `before` is the last id of the page before.
pub fn list(tx: &mut Tx<'_>, narrow: &Narrow, limit: usize, before: Option<&JobId>) -> Result<Page<Job>> {
    let (owner, state) = (narrow.owner.as_ref().map_or("", AccountId::as_str), narrow.state.map_or("", JobState::as_str));
    let family = match &narrow.family {
        Family::Heads => "",
        Family::All => "all",
        Family::Of(parent) => parent.as_str(),
    };
    let rows = tx.all(
        &format!(
            "select {COLUMNS} where ($1 = '' or j.owner = $1) and ($2 = '' or j.state = $2) and ($3 = '' or j.id < $3) \
             and ($5 = '' or j.kind = $5) and ($6 = 'all' or $6 = '' and j.parent is null or j.parent = $6) \
             and ($7 = '' or j.name_folded >= $7 || '/' and j.name_folded < $7 || '0') order by j.id desc limit $4"
        ),
        params![
            owner,
            state,
            before.map_or("", JobId::as_str),
            limit + 1,
            narrow.kind.clone().unwrap_or_default(),
            family,
            &narrow.namespace
        ],
    )?;
    let mut items: Vec<Job> = rows.iter().map(from_row).collect::<Result<_>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|job| job.id.to_string());
    Ok(Page { items, next })
}

/// Jobs of this person that wait or run; a sweep counts as one with all its trials.
pub fn count_unfinished(tx: &mut Tx<'_>, owner: &AccountId) -> Result<u64> {
    let sql = "select count(*) as n from jobs where owner = $1 and state in ('queued', 'running') and parent is null";
    tx.one(sql, params![owner.as_str()])?.count("n")
}

/// How many jobs are in each state.
pub fn count_by_state(tx: &mut Tx<'_>) -> Result<Vec<(JobState, u64)>> {
    let rows = tx.all("select state, count(*) as n from jobs group by state order by state", &[])?;
    let read = |row: &Row| Ok((row.parse("state", |text| JobState::parse(text).ok_or("is no state"))?, row.count("n")?));
    rows.iter().map(read).collect()
}

/// A job a worker may start now, or one whose worker let its lease run out, which comes first. Of those that wait: by the
/// administrators' priority, then fairly among people (who has fewest running, then whose turn was longest ago), then by its owner's
/// urgency, then oldest first. With it comes how often it was started since its last checkpoint.
pub fn find_ready(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<(Job, u32)>> {
    ready(tx, now, "")
}

/// The same for a worker that is about to take it: what others are taking just now is passed over.
pub fn find_free(tx: &mut Tx<'_>, now: Timestamp) -> Result<Option<(Job, u32)>> {
    let passing = tx.skipping_taken("j");
    ready(tx, now, &passing)
}

fn ready(tx: &mut Tx<'_>, now: Timestamp, passing: &str) -> Result<Option<(Job, u32)>> {
    let read = |row: Row| Ok((from_row(&row)?, row.count("fruitless")? as u32));
    let lost =
        format!("select j.fruitless, {COLUMNS} where j.state = 'running' and j.lease_until < $1 order by j.created, j.id limit 1{passing}");
    if let Some(row) = tx.find(&lost, params![now.unix_ms()])? {
        return read(row).map(Some);
    }
    // Whose turn it is is found once for each owner, and not for each of their jobs, which are read owner by owner (`+` hides the order of times).
    let turn = format!(
        "with waiting as materialized (select distinct owner from jobs \
           where state = 'queued' and waits = 0 and paused = 0 and not_before <= $1), \
         turns as materialized (select w.owner, \
           (select count(*) from jobs r where r.owner = w.owner and r.state = 'running' and r.waits = 0) as running, \
           (select coalesce(max(s.started), 0) from jobs s where s.owner = w.owner) as last from waiting w) \
         select j.owner, j.priority from turns t cross join jobs j \
         where j.owner = t.owner and j.state = 'queued' and j.waits = 0 and j.paused = 0 and +j.not_before <= $1 \
         order by j.priority desc, t.running, t.last, j.created, j.id limit 1{passing}"
    );
    let Some(row) = tx.find(&turn, params![now.unix_ms()])? else { return Ok(None) };
    let first = format!(
        "select j.fruitless, {COLUMNS} where j.state = 'queued' and j.waits = 0 and j.paused = 0 and j.not_before <= $1 and j.owner = $2 \
         and j.priority = $3 order by j.urgency desc, j.created, j.id limit 1{passing}"
    );
    tx.find(&first, params![now.unix_ms(), row.text("owner")?, row.int("priority")?])?.map(read).transpose()
}

/// The job that published this version.
pub fn find_that_published(tx: &mut Tx<'_>, name: &RepoId, version: u32) -> Result<Option<Job>> {
    let sql =
        format!("select {COLUMNS} where j.name_folded = $1 and j.result_version = $2 and j.state = 'succeeded' order by j.id limit 1");
    tx.find(&sql, params![name.folded(), version])?.map(|row| from_row(&row)).transpose()
}

pub fn set_paused(tx: &mut Tx<'_>, job: &JobId, paused: bool) -> Result<()> {
    tx.execute("update jobs set paused = $2 where id = $1", params![job.as_str(), i64::from(paused)])?;
    Ok(())
}

pub fn set_stage(tx: &mut Tx<'_>, job: &JobId, stage: &str) -> Result<()> {
    tx.execute("update jobs set stage = $2 where id = $1", params![job.as_str(), stage])?;
    Ok(())
}

/// Where a job stands in the queue.
pub fn set_place(tx: &mut Tx<'_>, job: &JobId, priority: i64, urgency: i64) -> Result<()> {
    tx.execute("update jobs set priority = $2, urgency = $3 where id = $1", params![job.as_str(), priority, urgency])?;
    Ok(())
}

/// Whether a job waits for its trials, from now on.
pub fn set_waits(tx: &mut Tx<'_>, job: &JobId, waits: bool) -> Result<()> {
    tx.execute("update jobs set waits = $2 where id = $1", params![job.as_str(), i64::from(waits)])?;
    Ok(())
}

/// The state of a job that no worker holds.
pub fn set_state(tx: &mut Tx<'_>, job: &JobId, state: JobState, now: Timestamp) -> Result<()> {
    let sql = "update jobs set state = $2, started = case $2 when 'running' then coalesce(started, $3) else started end where id = $1";
    tx.execute(sql, params![job.as_str(), state.as_str(), now.unix_ms()])?;
    Ok(())
}

/// What a job's result event says, the newest one's.
pub fn find_result(tx: &mut Tx<'_>, job: &JobId) -> Result<Option<Event>> {
    let sql = "select kind, body from job_events where job = $1 and kind = 'result' order by number desc limit 1";
    let row = tx.find(sql, params![job.as_str()])?;
    row.map(|row| Ok(Event::read(&row.text("kind")?, serde_json::from_str(&row.text("body")?).unwrap_or_default()))).transpose()
}

/// Puts an ended job back in the queue, as if it had not been started.
pub fn restart(tx: &mut Tx<'_>, job: &JobId, now: Timestamp) -> Result<()> {
    let now = self::now(tx, now)?;
    tx.execute(
        "update jobs set state = 'queued', stage = 'waiting for a worker', error = null, finished = null, cancel_requested = 0, paused = 0, \
         fruitless = 0, step = 0, total_steps = 0, not_before = $2 where id = $1",
        params![job.as_str(), now.unix_ms()],
    )?;
    Ok(())
}

/// Gives the job to `worker` until `until`, under a new lease number.
pub fn lease(tx: &mut Tx<'_>, job: &JobId, worker: &str, now: Timestamp, until: Timestamp) -> Result<Lease> {
    tx.execute(
        "update jobs set state = 'running', attempt = attempt + 1, fruitless = fruitless + 1, lease_number = lease_number + 1, \
         heard = 0, heard_lines = 0, lease_worker = $2, lease_until = $3, started = coalesce(started, $4) where id = $1",
        params![job.as_str(), worker, until.unix_ms(), now.unix_ms()],
    )?;
    let number = tx.one("select lease_number from jobs where id = $1", params![job.as_str()])?.count("lease_number")?;
    Ok(Lease { job: job.clone(), number, worker: worker.into(), until })
}

/// Who has which running job, and until when, by the job's id.
pub fn leases(tx: &mut Tx<'_>) -> Result<std::collections::HashMap<String, (String, Timestamp)>> {
    let rows = tx.all("select id, lease_worker, lease_until from jobs where state = 'running'", &[])?;
    let read = |row: &Row| {
        let until = Timestamp::from_unix_ms(row.find_int("lease_until")?.unwrap_or(0));
        Ok((row.text("id")?, (row.find_text("lease_worker")?.unwrap_or_default(), until)))
    };
    rows.iter().map(read).collect()
}

/// What a worker learns when it looks at its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub until: Timestamp,
    pub cancel_requested: bool,
    pub paused: bool,
}

/// The lease as it stands, if this worker still holds it.
pub fn find_held(tx: &mut Tx<'_>, lease: &Lease) -> Result<Option<Held>> {
    let row = tx.find(
        "select lease_until, cancel_requested, paused from jobs \
         where id = $1 and lease_number = $2 and lease_worker = $3 and state = 'running'",
        params![lease.job.as_str(), lease.number, &lease.worker],
    )?;
    row.map(|row| {
        let until = Timestamp::from_unix_ms(row.int("lease_until")?);
        Ok(Held { until, cancel_requested: row.flag("cancel_requested")?, paused: row.flag("paused")? })
    })
    .transpose()
}

/// Moves the lease's end; false when it was lost.
pub fn extend(tx: &mut Tx<'_>, lease: &Lease, until: Timestamp) -> Result<bool> {
    let changed = tx.execute(
        "update jobs set lease_until = $4 where id = $1 and lease_number = $2 and lease_worker = $3 and state = 'running'",
        params![lease.job.as_str(), lease.number, &lease.worker, until.unix_ms()],
    )?;
    Ok(changed == 1)
}

pub fn set_progress(tx: &mut Tx<'_>, job: &JobId, step: u64, total_steps: u64, stage: &str) -> Result<()> {
    tx.execute("update jobs set step = $2, total_steps = $3, stage = $4 where id = $1", params![job.as_str(), step, total_steps, stage])?;
    Ok(())
}

/// A saved checkpoint proves that the attempt bore fruit.
pub fn set_checkpoint(tx: &mut Tx<'_>, job: &JobId, digest: &str) -> Result<()> {
    tx.execute("update jobs set checkpoint = $2, fruitless = 0 where id = $1", params![job.as_str(), digest])?;
    Ok(())
}

pub fn find_checkpoint(tx: &mut Tx<'_>, job: &JobId) -> Result<Option<String>> {
    tx.find("select checkpoint from jobs where id = $1", params![job.as_str()])?.map_or(Ok(None), |row| row.find_text("checkpoint"))
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub state: JobState,
    pub error: Option<String>,
    pub result_version: Option<u32>,
}

/// Writes the end of a job. The caller has made sure that it may.
pub fn finish(tx: &mut Tx<'_>, job: &JobId, ending: &Ending, now: Timestamp) -> Result<()> {
    tx.execute(
        // Stopping early leaves steps undone that nobody waits for any more: a success is a hundred percent.
        "update jobs set state = $2, error = $3, result_version = $4, finished = $5, stage = $2, checkpoint = null, \
         step = case $2 when 'succeeded' then total_steps else step end, waits = 0, lease_worker = null, lease_until = null where id = $1",
        params![job.as_str(), ending.state.as_str(), ending.error.clone(), ending.result_version, now.unix_ms()],
    )?;
    Ok(())
}

/// Puts a started job back in the queue, not to be taken before `not_before`.
pub fn requeue(tx: &mut Tx<'_>, job: &JobId, not_before: Timestamp, stage: &str) -> Result<()> {
    tx.execute(
        "update jobs set state = 'queued', stage = $3, not_before = $2, lease_worker = null, lease_until = null where id = $1",
        params![job.as_str(), not_before.unix_ms(), stage],
    )?;
    Ok(())
}

/// Takes the last start off the count of fruitless ones.
pub fn forgive(tx: &mut Tx<'_>, job: &JobId) -> Result<()> {
    tx.execute("update jobs set fruitless = fruitless - 1 where id = $1 and fruitless > 0", params![job.as_str()])?;
    Ok(())
}

pub fn request_cancel(tx: &mut Tx<'_>, job: &JobId) -> Result<()> {
    tx.execute("update jobs set cancel_requested = 1 where id = $1", params![job.as_str()])?;
    Ok(())
}

/// The running jobs a worker of this name has, with the number of their fruitless starts.
pub fn list_held_by(tx: &mut Tx<'_>, worker: &str) -> Result<Vec<(Job, u32)>> {
    let rows = tx.all(&format!("select j.fruitless, {COLUMNS} where j.state = 'running' and j.lease_worker = $1"), params![worker])?;
    rows.iter().map(|row| Ok((from_row(row)?, row.count("fruitless")? as u32))).collect()
}

/// The kind of event of which only the newest is kept: progress is where a job stands, not its history.
const PROGRESS: &str = "progress";

/// Adds an event under the job's next number.
pub fn append_event(tx: &mut Tx<'_>, job: &JobId, now: Timestamp, event: &Event) -> Result<u64> {
    let last = tx.one("select coalesce(max(number), 0) as n from job_events where job = $1", params![job.as_str()])?;
    let number = last.count("n")? + 1;
    tx.execute(
        "insert into job_events (job, number, time, kind, body) values ($1, $2, $3, $4, $5)",
        params![job.as_str(), number, now.unix_ms(), event.kind(), event.body().to_string()],
    )?;
    if event.kind() == PROGRESS {
        let sql = "delete from job_events where job = $1 and kind = $2 and number < $3";
        tx.execute(sql, params![job.as_str(), PROGRESS, number])?;
    }
    tx.tell(job.as_str())?;
    Ok(number)
}

/// Events after number `after`, in order, at most `limit`.
pub fn events_after(tx: &mut Tx<'_>, job: &JobId, after: u64, limit: usize) -> Result<Vec<JobEvent>> {
    let rows = tx.all(
        "select number, time, kind, body from job_events where job = $1 and number > $2 order by number limit $3",
        params![job.as_str(), after, limit],
    )?;
    let read = |row: &Row| {
        let time = Timestamp::from_unix_ms(row.int("time")?);
        let body = serde_json::from_str(&row.text("body")?).unwrap_or_default();
        Ok(JobEvent { number: row.count("number")?, time, event: Event::read(&row.text("kind")?, body) })
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
