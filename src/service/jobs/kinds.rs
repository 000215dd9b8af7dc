//! What a kind of work asks of the service beside its inputs: what its confined process must be told, and what is written in the
//! transaction that ends it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::repos::results::note_speeds;
use super::super::{Error, Result, Service};
use super::follow::queue_next;
use super::recommend::speeds;
use super::result::Left;
use crate::catalog::trials;
use crate::db::Tx;
use crate::domain::job::Job;
use crate::domain::user::Actor;
use crate::domain::work::{FineTune, Work};

/// What else the transaction that ends a job writes.
pub(super) type Record = Arc<dyn Fn(&mut Tx<'_>) -> Result<()> + Send + Sync>;

impl Service {
    /// What only the service can tell the process that does the work; the kind's own file in the worker reads it.
    pub async fn notes_for(&self, owner: &Actor, job: &Job) -> Result<Value> {
        match &job.work {
            Work::FineTune(task) => {
                let mut notes = json!(self.lineage(owner, task).await?);
                if task.sweep.is_some() {
                    notes["sweep"] = json!(self.concluded(job).await?);
                }
                Ok(notes)
            }
            Work::Embed(_) | Work::Evaluate(_) | Work::Ask(_) | Work::Recommend(_) | Work::Examine(_) | Work::Word2vec(_) => {
                Ok(Value::Null)
            }
        }
    }

    /// What a kind writes beside the end of its job; it may read what the job has left first, all of which is untrusted,
    /// and add to its headline.
    pub(super) async fn record_of(&self, owner: &Actor, job: &Job, left: &mut Left) -> Result<Record> {
        match &job.work {
            Work::FineTune(FineTune { replays: Some(of), .. }) => self.record_of_replay(owner, job, of, left).await,
            Work::FineTune(FineTune { trial: Some(_), .. }) => Ok(record_of_trial(job, left)),
            Work::FineTune(_) | Work::Ask(_) | Work::Word2vec(_) => Ok(Arc::new(|_: &mut Tx<'_>| Ok::<(), Error>(()))),
            Work::Examine(work) => self.examination_of(owner, job, work, left).await,
            Work::Embed(work) => self.record_embedding(job, work).await,
            Work::Evaluate(work) => self.record_evaluation(job, work, left).await,
            Work::Recommend(work) => {
                let following = self.following(job, work, left).await?;
                if let (Some(next), Some(headline)) = (&following, left.headline.as_object_mut()) {
                    headline.insert("next".into(), json!(next.id.to_string()));
                }
                let (speeds, id, now) = (speeds(work, left), job.id.to_string(), self.now());
                Ok(Arc::new(move |tx: &mut Tx<'_>| {
                    note_speeds(tx, &speeds, &id, now)?;
                    following.as_ref().map_or(Ok(()), |next| queue_next(tx, next))
                }))
            }
        }
    }
}

/// What a trial reached, by its own word: it is compared with its siblings only.
fn record_of_trial(job: &Job, left: &Left) -> Record {
    let number = |key: &str| left.headline.get("trial").and_then(|trial| trial.get(key)).and_then(Value::as_f64);
    let (id, reached, loss) = (job.id.clone(), number("reached"), number("loss"));
    Arc::new(move |tx: &mut Tx<'_>| Ok::<(), Error>(trials::set_reached(tx, &id, reached, loss)?))
}
