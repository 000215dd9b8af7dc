//! What the house asks about itself, for those who watch over it.

use super::{Result, Service};
use crate::catalog::{jobs, users};
use crate::domain::job::JobState;

const STATES: [JobState; 5] = [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Failed, JobState::Cancelled];

impl Service {
    /// The database answers.
    pub async fn ready(&self) -> Result<()> {
        self.db.read(users::count).await?;
        Ok(())
    }

    /// How many jobs are in each state, also where none is.
    pub async fn count_jobs(&self) -> Result<Vec<(JobState, u64)>> {
        let counted = self.db.read(jobs::count_by_state).await?;
        let count = |state: JobState| counted.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n);
        Ok(STATES.into_iter().map(|state| (state, count(state))).collect())
    }
}
