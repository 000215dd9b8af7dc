//! The runs of a sweep's trials: which job each is, and what it reached.

use crate::db::{Result, Row, Tx};
use crate::domain::id::JobId;
use crate::domain::job::JobState;
use crate::domain::trial::TrialRun;
use crate::params;

fn from_row(row: &Row) -> Result<TrialRun> {
    Ok(TrialRun {
        job: row.parse("job", JobId::parse)?,
        number: row.count("number")? as u32,
        rung: row.count("rung")? as u32,
        epochs: row.count("epochs")? as u32,
        settings: row.text("settings")?,
        state: row.parse("state", |text| JobState::parse(text).ok_or("is no state"))?,
        reached: row.find_real("reached")?,
        loss: row.find_real("loss")?,
        error: row.find_text("error")?,
    })
}

/// The job is there already; its state and error are its own.
pub fn insert(tx: &mut Tx<'_>, sweep: &JobId, run: &TrialRun) -> Result<()> {
    tx.execute(
        "insert into trials (job, sweep, number, rung, epochs, settings) values ($1, $2, $3, $4, $5, $6)",
        params![run.job.as_str(), sweep.as_str(), run.number, run.rung, run.epochs, &run.settings],
    )?;
    Ok(())
}

/// In the order of rungs and trials.
pub fn list(tx: &mut Tx<'_>, sweep: &JobId) -> Result<Vec<TrialRun>> {
    let sql = "select t.job, t.number, t.rung, t.epochs, t.settings, t.reached, t.loss, j.state, j.error \
         from trials t join jobs j on j.id = t.job where t.sweep = $1 order by t.rung, t.number";
    tx.all(sql, params![sweep.as_str()])?.iter().map(from_row).collect()
}

/// What a run has reached; nothing for one that begins once more.
pub fn set_reached(tx: &mut Tx<'_>, job: &JobId, reached: Option<f64>, loss: Option<f64>) -> Result<()> {
    let sql = "update trials set reached = $2, loss = $3 where job = $1";
    tx.execute(sql, params![job.as_str(), reached, loss])?;
    Ok(())
}
