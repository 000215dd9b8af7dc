//! Sweeps: a job whose trials are jobs of their own, which any number of workers run side by side. It waits for them without a worker,
//! and every step of it is part of a transaction that ends a trial: the next rung of a halving is queued there, or the sweep is made ready
//! for its own run, which publishes the best. So there is no moment at which a server that stops loses the thread.

use super::super::{Error, Result, Service};
use super::state::{end, see_job, state_event};
use crate::catalog::job_files::{self, Way};
use crate::catalog::{jobs, trials};
use crate::db::Tx;
use crate::domain::digest::Digest;
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobFile, JobState};
use crate::domain::job_event::{Event, Level, Progress};
use crate::domain::recipe::Recipe;
use crate::domain::sweep::{MOST_IN_SOUP, Rung, Sweep, Trial, rungs};
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use crate::domain::trial::{Concluded, MODEL_FILES, SPLIT, Standing, TrialRun, WEIGHTS, given_name, newest_rung, ranked, standing, table};
use crate::domain::user::Actor;
use crate::domain::work::{FineTune, TrialOf, Work};
use crate::service::people::journal::note_own_act;

const UNKNOWN: &str = "its trials are none that this release runs; ask for the sweep again";
const WAITING: &str = "waiting for its trials";

/// A sweep's parts.
struct Plan<'a> {
    job: &'a Job,
    work: &'a FineTune,
    sweep: &'a Sweep,
    trials: Vec<Trial>,
    rungs: Vec<Rung>,
}

impl<'a> Plan<'a> {
    /// `None` for a job that is no sweep, or one whose trials this release would refuse.
    fn of(job: &'a Job) -> Option<Plan<'a>> {
        let work = job.work.fine_tune()?;
        let sweep = work.sweep.as_ref()?;
        let trials = sweep.trials(&work.recipe).ok()?;
        let rungs = rungs(trials.len(), sweep.halving);
        Some(Plan { job, work, sweep, trials, rungs })
    }

    fn task(&self) -> Task {
        self.work.recipe.task.unwrap_or_default()
    }

    fn rises(&self) -> bool {
        self.task().primary().rises
    }

    fn runs_in_all(&self) -> u64 {
        self.rungs.iter().map(|rung| rung.trials as u64).sum()
    }

    /// Those whose models the sweep's own run needs, the best first.
    fn needed<'r>(&self, runs: &'r [TrialRun]) -> Vec<&'r TrialRun> {
        let mut needed = standing(runs, self.rises());
        needed.truncate(if self.sweep.soup { MOST_IN_SOUP } else { 1 });
        needed
    }

    /// Queues a rung of these trials.
    fn queue(&self, tx: &mut Tx<'_>, at: usize, numbers: &[u32], now: Timestamp) -> Result<()> {
        for number in numbers {
            let (trial, rung) = (&self.trials[*number as usize - 1], self.rungs[at]);
            let (child, run) = self.run(trial, *number, (at as u32, rung.epochs(&trial.recipe)), now);
            jobs::insert(tx, &child)?;
            trials::insert(tx, &self.job.id, &run)?;
            state_event(tx, &child.id, now, JobState::Queued, None)?;
            note_own_act(tx, now, child.id.as_str(), "job.create", child.id.as_str(), &child.work.title())?;
        }
        Ok(())
    }

    fn run(&self, trial: &Trial, number: u32, (rung, epochs): (u32, u32), now: Timestamp) -> (Job, TrialRun) {
        // An id is made of what it names, since a transaction draws no random numbers; those of a rung sort in their order.
        let name = Digest::of(format!("{} {rung} {number}", self.job.id).as_bytes());
        let mut random = [0; 10];
        random.copy_from_slice(&name.as_bytes()[..10]);
        random[0] = number as u8;
        let owner = (self.job.owner.clone(), self.job.owner_name.clone());
        let settings = trial.words();
        let work = FineTune {
            recipe: Recipe { epochs, task: self.work.recipe.task, ..trial.recipe.clone() },
            sweep: None,
            replays: None,
            trial: Some(TrialOf { number, of: self.trials.len() as u32, settings: settings.clone() }),
            ..self.work.clone()
        };
        let id = JobId::new(now, random);
        let job = super::queue::queued(id.clone(), owner, Work::FineTune(work), now);
        let Job { priority, urgency, paused, .. } = *self.job;
        let job = Job { parent: Some(self.job.id.clone()), priority, urgency, paused, ..job };
        let run = TrialRun { job: id, number, rung, epochs, settings, state: JobState::Queued, reached: None, loss: None, error: None };
        (job, run)
    }
}

/// Whether a job is a sweep whose trials have yet to be queued.
pub(super) fn is_unopened(tx: &mut Tx<'_>, job: &Job) -> Result<bool> {
    Ok(is_sweep(job) && trials::list(tx, &job.id)?.is_empty())
}

/// The sweep of a trial, if it waits and its last rung runs: what follows then is its own run.
pub(super) fn find_in_last_rung(tx: &mut Tx<'_>, sweep: &JobId) -> Result<Option<Job>> {
    let Some(sweep) = jobs::find(tx, sweep)?.filter(|sweep| sweep.waits) else { return Ok(None) };
    let newest = newest_rung(&trials::list(tx, &sweep.id)?) as usize;
    let is_last = Plan::of(&sweep).is_some_and(|plan| newest + 1 >= plan.rungs.len());
    Ok(is_last.then_some(sweep))
}

fn is_sweep(job: &Job) -> bool {
    job.work.fine_tune().is_some_and(|work| work.sweep.is_some())
}

/// Queues the trials of a sweep; from now on it waits for them. Nothing is done for other jobs.
pub(super) fn open(tx: &mut Tx<'_>, job: &Job, now: Timestamp) -> Result<()> {
    if !is_sweep(job) {
        return Ok(());
    }
    let Some(plan) = Plan::of(job) else { return end(tx, &job.id, now, JobState::Failed, Some(UNKNOWN.into())) };
    let numbers: Vec<u32> = (1..=plan.trials.len() as u32).collect();
    plan.queue(tx, 0, &numbers, now)?;
    jobs::set_waits(tx, &job.id, true)?;
    jobs::set_progress(tx, &job.id, 0, plan.runs_in_all(), WAITING)?;
    Ok(())
}

/// A job was started: the sweep it belongs to runs from then on.
pub(super) fn note_start(tx: &mut Tx<'_>, job: &Job, now: Timestamp) -> Result<()> {
    let Some(sweep) = &job.parent else { return Ok(()) };
    // Another of its trials may start at the same time.
    tx.lock(&format!("job {sweep}"))?;
    match jobs::find(tx, sweep)? {
        Some(parent) if parent.waits && parent.state == JobState::Queued => {
            jobs::set_state(tx, sweep, JobState::Running, now)?;
            state_event(tx, sweep, now, JobState::Running, None)
        }
        _ => Ok(()),
    }
}

/// What follows from the end of a job, in the transaction that ends it.
pub(super) fn note_end(tx: &mut Tx<'_>, id: &JobId, now: Timestamp) -> Result<()> {
    let Some(job) = jobs::find(tx, id)? else { return Ok(()) };
    if let Some(sweep) = &job.parent {
        let Some(parent) = jobs::find(tx, sweep)? else { return Ok(()) };
        return if parent.waits { advance(tx, &parent, Some(&job), now) } else { Ok(()) };
    }
    let Some(plan) = Plan::of(&job).filter(|_| job.state == JobState::Succeeded) else { return Ok(()) };
    // It has published: of all the models only that of the best is kept with its trial.
    let runs = trials::list(tx, id)?;
    job_files::clear(tx, id, Way::Given)?;
    let best: Vec<&TrialRun> = standing(&runs, plan.rises()).into_iter().take(1).collect();
    forget_models(tx, &runs, &best)
}

/// The next step of a sweep that waits, if it is time for one. `ended` is the trial that ended now.
fn advance(tx: &mut Tx<'_>, sweep: &Job, ended: Option<&Job>, now: Timestamp) -> Result<()> {
    let Some(plan) = Plan::of(sweep) else { return end(tx, &sweep.id, now, JobState::Failed, Some(UNKNOWN.into())) };
    let runs = trials::list(tx, &sweep.id)?;
    if let Some(run) = ended.and_then(|job| runs.iter().find(|run| run.job == job.id)) {
        tell(tx, &plan, run, &runs, now)?;
    }
    let needed = plan.needed(&runs);
    forget_models(tx, &runs, &needed)?;
    let rung = newest_rung(&runs);
    if runs.iter().any(|run| run.rung == rung && !run.state.is_final()) {
        return Ok(());
    }
    let winners = ranked(&runs, rung, plan.rises());
    if let Some(next) = plan.rungs.get(rung as usize + 1).filter(|_| !winners.is_empty()) {
        let mut numbers: Vec<u32> = winners.iter().take(next.trials).map(|run| run.number).collect();
        numbers.sort_unstable();
        let which = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let said = format!("rung {} of {}: these trials go on: {which}", rung + 2, plan.rungs.len());
        jobs::append_event(tx, &sweep.id, now, &Event::log(Level::Info, said))?;
        return plan.queue(tx, rung as usize + 1, &numbers, now);
    }
    if needed.is_empty() {
        let first = runs.iter().find_map(|run| run.error.clone()).unwrap_or_else(|| "all were cancelled".into());
        let why = format!("not one trial of the sweep came to its end: {first}");
        return end(tx, &sweep.id, now, JobState::Failed, Some(why));
    }
    make_ready(tx, sweep, &needed, now)
}

/// A line of the sweep's log for a trial that ended, and how far the sweep is.
fn tell(tx: &mut Tx<'_>, plan: &Plan<'_>, run: &TrialRun, runs: &[TrialRun], now: Timestamp) -> Result<()> {
    let (id, measure) = (&plan.job.id, plan.task().primary());
    let name = format!("trial {} of {} ({}; {} epochs)", run.number, plan.trials.len(), run.settings, run.epochs);
    let line = match (run.reached, &run.error) {
        (Some(reached), _) => Event::log(Level::Info, format!("{name}: {} {}", measure.title, measure.show(reached, 4))),
        (None, Some(why)) => Event::log(Level::Warn, format!("{name} came to nothing: {why}")),
        (None, None) => Event::log(Level::Warn, format!("{name} was {}", run.state)),
    };
    jobs::append_event(tx, id, now, &line)?;
    let (step, total_steps) = (runs.iter().filter(|run| run.state.is_final()).count() as u64, plan.runs_in_all());
    let stage = format!("trials: {step} of {total_steps} ended");
    jobs::set_progress(tx, id, step, total_steps, &stage)?;
    let progress = Progress { stage, step, total_steps, samples_per_second: 0.0, eta_seconds: 0.0 };
    jobs::append_event(tx, id, now, &Event::Progress(progress))?;
    Ok(())
}

/// Gives the sweep the models it needs and puts it in the queue for its own run.
fn make_ready(tx: &mut Tx<'_>, sweep: &Job, needed: &[&TrialRun], now: Timestamp) -> Result<()> {
    job_files::clear(tx, &sweep.id, Way::Given)?;
    for (at, run) in needed.iter().enumerate() {
        for file in job_files::list(tx, &run.job, Way::Left)? {
            // Of all but the best only the weights are asked for, and on what they were measured.
            if at == 0 || [WEIGHTS, SPLIT].contains(&file.name.as_str()) {
                let name = given_name(run.number, &file.name);
                job_files::insert(tx, &sweep.id, Way::Given, &JobFile { name, ..file })?;
            }
        }
    }
    jobs::set_waits(tx, &sweep.id, false)?;
    let now = jobs::now(tx, now)?;
    jobs::requeue(tx, &sweep.id, now, "waiting for a worker to publish the best")?;
    state_event(tx, &sweep.id, now, JobState::Queued, None)
}

fn forget_models(tx: &mut Tx<'_>, runs: &[TrialRun], but: &[&TrialRun]) -> Result<()> {
    for run in runs.iter().filter(|run| run.has_succeeded() && !but.iter().any(|kept| kept.job == run.job)) {
        for name in MODEL_FILES {
            job_files::remove(tx, &run.job, Way::Left, name)?;
        }
    }
    Ok(())
}

/// The trials that wait or run.
fn unfinished(tx: &mut Tx<'_>, sweep: &JobId) -> Result<Vec<TrialRun>> {
    Ok(trials::list(tx, sweep)?.into_iter().filter(|run| !run.state.is_final()).collect())
}

/// Ends a sweep that waits, and its trials with it: those that run when their workers next look up.
pub(super) fn cancel(tx: &mut Tx<'_>, sweep: &JobId, now: Timestamp) -> Result<()> {
    end(tx, sweep, now, JobState::Cancelled, None)?;
    for run in unfinished(tx, sweep)? {
        match run.state {
            JobState::Queued => end(tx, &run.job, now, JobState::Cancelled, None)?,
            _ => jobs::request_cancel(tx, &run.job)?,
        }
    }
    Ok(())
}

/// Lets the trials of a sweep stand still, or go on, as the sweep itself.
pub(super) fn pause(tx: &mut Tx<'_>, sweep: &Job, paused: bool, now: Timestamp) -> Result<()> {
    if !sweep.waits {
        return Ok(());
    }
    let word = if paused { "to be paused, with its sweep" } else { "resumed, with its sweep" };
    for run in unfinished(tx, &sweep.id)? {
        jobs::set_paused(tx, &run.job, paused)?;
        if run.state == JobState::Queued {
            jobs::set_stage(tx, &run.job, if paused { "paused" } else { "waiting for a worker" })?;
        }
        jobs::append_event(tx, &run.job, now, &Event::log(Level::Info, word))?;
    }
    jobs::set_stage(tx, &sweep.id, if paused { "paused" } else { WAITING })?;
    if paused && sweep.state == JobState::Running {
        jobs::set_state(tx, &sweep.id, JobState::Queued, now)?;
        state_event(tx, &sweep.id, now, JobState::Queued, None)?;
    }
    Ok(())
}

/// Trials have the place of their sweep.
pub(super) fn place(tx: &mut Tx<'_>, sweep: &JobId, (priority, urgency): (i64, i64)) -> Result<()> {
    unfinished(tx, sweep)?.iter().try_for_each(|run| jobs::set_place(tx, &run.job, priority, urgency)).map_err(Error::from)
}

/// Begins an ended sweep once more where it stopped: of its newest rung what was cancelled, and if nothing came of any trial what
/// failed as well. The job itself is back in the queue already.
pub(super) fn restart(tx: &mut Tx<'_>, sweep: &Job, now: Timestamp) -> Result<()> {
    let runs = trials::list(tx, &sweep.id)?;
    let Some(plan) = Plan::of(sweep).filter(|_| !runs.is_empty()) else { return Ok(()) };
    let (rung, hopeless) = (newest_rung(&runs), standing(&runs, plan.rises()).is_empty());
    let again = |run: &&TrialRun| run.rung == rung && (run.state == JobState::Cancelled || hopeless && run.state == JobState::Failed);
    for run in runs.iter().filter(again) {
        begin_again(tx, &run.job, now)?;
    }
    jobs::set_waits(tx, &sweep.id, true)?;
    jobs::set_progress(tx, &sweep.id, 0, plan.runs_in_all(), WAITING)?;
    advance(tx, sweep, None, now)
}

fn begin_again(tx: &mut Tx<'_>, trial: &JobId, now: Timestamp) -> Result<()> {
    jobs::restart(tx, trial, now)?;
    trials::set_reached(tx, trial, None, None)?;
    state_event(tx, trial, now, JobState::Queued, None)
}

/// A trial may be tried once more as long as its sweep waits for others of its rung.
pub(super) fn may_restart(tx: &mut Tx<'_>, trial: &Job) -> Result<()> {
    let Some(sweep) = &trial.parent else { return Ok(()) };
    let (waits, runs) = (jobs::find(tx, sweep)?.is_some_and(|parent| parent.waits), trials::list(tx, sweep)?);
    let current = runs.iter().any(|run| run.job == trial.id && run.rung == newest_rung(&runs));
    if waits && current {
        return Ok(trials::set_reached(tx, &trial.id, None, None)?);
    }
    let message = format!("the sweep {sweep} of this trial does not wait for it any more");
    let hint = format!("`hub jobs retry {sweep}` tries the sweep once more, `hub jobs clone {}` trains this trial on its own", trial.id);
    Err(Error::conflict("sweep_over", message, hint))
}

fn stood(run: &&TrialRun) -> Option<Standing> {
    Some(Standing { trial: run.number, reached: run.reached? })
}

impl Service {
    /// The runs of a sweep's trials, by rung and number; none for other jobs.
    pub async fn list_trials(&self, actor: &Actor, id: &JobId) -> Result<Vec<TrialRun>> {
        let (actor, id) = (actor.clone(), id.clone());
        self.db
            .read(move |tx| {
                see_job(tx, &actor, &id)?;
                Ok(trials::list(tx, &id)?)
            })
            .await
    }

    /// What a sweep's own run is told.
    pub(super) async fn concluded(&self, sweep: &Job) -> Result<Concluded> {
        let sweep = sweep.clone();
        self.db
            .read(move |tx| {
                let runs = trials::list(tx, &sweep.id)?;
                let none = || Error::Internal("a sweep has no trial to publish".into());
                let needed = Plan::of(&sweep).map(|plan| plan.needed(&runs)).filter(|needed| !needed.is_empty()).ok_or_else(none)?;
                let headline = match jobs::find_result(tx, &needed[0].job)? {
                    Some(Event::Result { metrics, .. }) => metrics,
                    _ => serde_json::Value::Null,
                };
                Ok(Concluded { trials: table(&runs), standing: needed.iter().filter_map(stood).collect(), headline })
            })
            .await
    }
}
