//! A sweep on the page of its job: a line for each run of a trial; and on a trial's page the way back.

use crate::domain::job::Job;
use crate::domain::trial::{TrialRun, standing};
use crate::domain::user::Actor;
use crate::http::error::HttpError;
use crate::service::Service;

#[derive(Default)]
pub struct Sweep {
    /// The id and the name of the sweep that the job is a trial of.
    pub parent: Option<(String, String)>,
    /// What trials are compared by.
    pub measure: String,
    pub trials: Vec<TrialLine>,
}

pub struct TrialLine {
    pub number: u32,
    pub settings: String,
    pub state: &'static str,
    pub tone: &'static str,
    pub best: bool,
    pub epochs: u32,
    pub reached: String,
    pub job: String,
}

pub async fn find(service: &Service, actor: &Actor, job: &Job) -> Result<Sweep, HttpError> {
    let parent = match &job.parent {
        Some(parent) => Some((parent.to_string(), service.get_job(actor, parent).await?.work.title())),
        None => None,
    };
    let runs = service.list_trials(actor, &job.id).await?;
    let measure = job.measure();
    let best = standing(&runs, measure.rises).first().map(|run| run.job.clone());
    let line = |run: &TrialRun| TrialLine {
        number: run.number,
        settings: run.settings.clone(),
        state: run.state.as_str(),
        tone: super::jobs::tone(run.state),
        best: best.as_ref() == Some(&run.job),
        epochs: run.epochs,
        reached: run.reached.map(|reached| measure.show(reached, 4)).unwrap_or_default(),
        job: run.job.to_string(),
    };
    Ok(Sweep { parent, measure: measure.title.into(), trials: runs.iter().map(line).collect() })
}
