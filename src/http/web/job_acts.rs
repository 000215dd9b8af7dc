//! What can be done about a job from its page: pause, resume, try again, clone, cancel. A page offers only what is possible, to those who may.

use actix_web::web::Data;

use super::form::{CSRF, Form};
use super::frame::see_other;
use crate::domain::job::{Job, JobState};
use crate::domain::name::RepoId;
use crate::domain::user::{Actor, Scope};
use crate::http::caller::Visitor;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::JobAt;
use crate::service::Service;

/// What a job's page offers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Acts {
    pub pause: bool,
    pub resume: bool,
    pub retry: bool,
    pub clone: bool,
    pub cancel: bool,
    /// It was asked for already.
    pub cancelling: bool,
    /// Where a fine-tune was to be published.
    pub name: Option<String>,
}

impl Acts {
    /// Whoever is shown the job may do these, with a session that may write.
    pub fn of(job: &Job, actor: &Actor) -> Acts {
        if !matches!(actor, Actor::User { scope: Scope::Write | Scope::Admin, .. }) {
            return Acts::default();
        }
        let live = !job.state.is_final();
        let cancelling = live && job.cancel_requested;
        Acts {
            pause: live && !job.paused && !cancelling,
            resume: live && job.paused && !cancelling,
            retry: matches!(job.state, JobState::Failed | JobState::Cancelled),
            clone: true,
            cancel: live,
            cancelling,
            name: job.work.publishes().map(ToString::to_string),
        }
    }
}

fn back(at: &JobAt) -> Answer {
    Ok(see_other(&format!("/jobs/{}", at.0)))
}

pub async fn pause(visitor: Visitor, service: Data<Service>, at: JobAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.pause_job(&visitor.actor(), &at.0, true).await?;
    back(&at)
}

pub async fn resume(visitor: Visitor, service: Data<Service>, at: JobAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.pause_job(&visitor.actor(), &at.0, false).await?;
    back(&at)
}

pub async fn retry(visitor: Visitor, service: Data<Service>, at: JobAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.restart_job(&visitor.actor(), &at.0).await?;
    back(&at)
}

pub async fn cancel(visitor: Visitor, service: Data<Service>, at: JobAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    service.cancel_job(&visitor.actor(), &at.0).await?;
    back(&at)
}

/// The clone is another job, whose page comes next.
pub async fn clone(visitor: Visitor, service: Data<Service>, at: JobAt, form: Form) -> Answer {
    visitor.check_csrf(&form.0.text(CSRF))?;
    let wrong = |e| HttpError::bad_request("bad_name", format!("{e}"), "go back and write namespace/name");
    let name = form.0.find("name").map(str::trim).map(RepoId::parse).transpose().map_err(wrong)?;
    let job = service.clone_job(&visitor.actor(), &at.0, name).await?;
    Ok(see_other(&format!("/jobs/{}", job.id)))
}
