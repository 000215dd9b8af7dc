//! Sweeps from step to step, with trials that say what they reached and train nothing.

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::catalog::job_files::{self, Way};
use crate::domain::id::JobId;
use crate::domain::job::Family;
use crate::domain::page::PageRequest;
use crate::domain::sweep::Sweep;
use crate::domain::trial::{MODEL_FILES, TrialRun, WEIGHTS};
use crate::service::jobs::queue::queued;
use crate::service::jobs::result::Left;

fn work(sweep: serde_json::Value) -> Work {
    let sweep: Sweep = serde_json::from_value(sweep).unwrap();
    let repo = |text: &str| RepoId::parse(text).unwrap();
    Work::FineTune(FineTune {
        base: repo("tiny"),
        base_version: 1,
        dataset: repo("colours"),
        dataset_version: 1,
        name: repo("ada/out"),
        private: false,
        recipe: Recipe { epochs: 8, ..Recipe::default() },
        sweep: Some(sweep),
        replays: None,
        chosen: None,
        trial: None,
    })
}

impl House {
    /// A sweep past admission.
    async fn sweep(&self, sweep: serde_json::Value) -> JobId {
        self.service.queue_work(&self.ada, work(sweep), Vec::new()).await.unwrap().id
    }

    async fn trials(&self, sweep: &JobId) -> Vec<TrialRun> {
        self.service.list_trials(&self.ada, sweep).await.unwrap()
    }

    async fn take(&self) -> (Lease, Job) {
        self.service.lease_job("w").await.unwrap().expect("something is ready")
    }

    /// Takes the next trial and lets it reach this; its number.
    async fn reach(&self, reached: f64) -> u32 {
        let (lease, job) = self.take().await;
        self.succeed(&lease, &job, reached).await;
        job.work.fine_tune().unwrap().trial.as_ref().expect("a trial").number
    }

    async fn succeed(&self, lease: &Lease, job: &Job, reached: f64) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| -> (String, PathBuf) {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{name} of {}", job.id)).unwrap();
            (name.to_owned(), path)
        };
        let files = MODEL_FILES.iter().chain(&["report.json", "split.csv"]).map(|name| file(name)).collect();
        let headline = json!({ "top1": reached, "trial": { "reached": reached, "loss": 1.0 - reached } });
        self.service.complete_job(lease, job, Left { files, headline, ..Left::default() }).await.unwrap();
    }

    async fn files(&self, id: &JobId, way: Way) -> Vec<String> {
        let id = id.clone();
        let files = self.service.db.read(move |tx| Ok::<_, Error>(job_files::list(tx, &id, way)?)).await.unwrap();
        files.into_iter().map(|file| file.name).collect()
    }

    async fn has_model(&self, trial: &JobId) -> bool {
        self.files(trial, Way::Left).await.iter().any(|name| name == WEIGHTS)
    }

    async fn listed(&self, family: Family) -> usize {
        let page = PageRequest { limit: 100, cursor: None };
        self.service.list_jobs(&self.ada, (None, None, family), page).await.unwrap().items.len()
    }
}

fn states(runs: &[TrialRun]) -> Vec<&'static str> {
    runs.iter().map(|run| run.state.as_str()).collect()
}

#[tokio::test]
async fn a_sweep_waits_for_its_trials_and_is_given_the_best() {
    let house = House::new().await;
    let id = house.sweep(json!({ "settings": { "lr": [1e-4, 2e-4, 3e-4] } })).await;
    let parent = house.job(&id).await;
    assert_eq!((parent.state, parent.waits, parent.total_steps), (JobState::Queued, true, 3));
    assert_eq!((house.listed(Family::Heads).await, house.listed(Family::All).await, house.listed(Family::Of(id.clone())).await), (1, 4, 3));

    let others = [house.take().await, house.take().await, house.take().await];
    assert!(house.service.lease_job("w").await.unwrap().is_none(), "the sweep itself is for no worker");
    assert_eq!(house.job(&id).await.state, JobState::Running);
    house.service.fail_job(&others[0].0, "it diverged".into()).await.unwrap();
    house.succeed(&others[1].0, &others[1].1, 0.7).await;
    house.clock.forward(1_000);
    assert!(house.job(&id).await.waits);
    house.succeed(&others[2].0, &others[2].1, 0.6).await;

    let (lease, job) = house.take().await;
    assert_eq!((&job.id, job.waits), (&id, false));
    let told = house.service.concluded(&job).await.unwrap();
    assert_eq!((told.standing.iter().map(|one| one.trial).collect::<Vec<_>>(), &told.headline["top1"]), (vec![2], &json!(0.7)));
    let errors: Vec<_> = told.trials.iter().map(|tried| tried.error.as_deref()).collect();
    assert_eq!(errors, [Some("it diverged"), None, None]);
    assert!(house.files(&id, Way::Given).await.contains(&"trial-2-model.safetensors".to_owned()));
    assert!(house.has_model(&others[1].1.id).await && !house.has_model(&others[2].1.id).await, "a loser keeps its report only");
    assert!(house.files(&others[2].1.id, Way::Left).await.contains(&"report.json".to_owned()));
    house.service.complete_job(&lease, &job, Left { headline: json!({}), ..Left::default() }).await.unwrap();
    assert!(house.files(&id, Way::Given).await.is_empty() && house.has_model(&others[1].1.id).await);
    let again = house.service.restart_job(&house.ada, &others[0].1.id).await.unwrap_err();
    assert!(again.to_string().contains("does not wait"), "{again}");
}

#[tokio::test]
async fn a_halving_goes_on_with_the_better_half() {
    let house = House::new().await;
    let id = house.sweep(json!({ "settings": { "lr": [1e-4, 2e-4, 3e-4, 4e-4] }, "halving": true })).await;
    for reached in [0.1, 0.4, 0.2, 0.3] {
        house.reach(reached).await;
    }
    let runs = house.trials(&id).await;
    let second: Vec<_> = runs.iter().filter(|run| run.rung == 1).map(|run| (run.number, run.epochs)).collect();
    assert_eq!((runs[0].epochs, second), (4, vec![(2, 8), (4, 8)]));
    // Nothing that was interrupted is lost: what the second rung begins is there for any worker.
    assert!(house.has_model(&runs[1].job).await, "until the next rung has one");
    let (lease, _) = house.take().await;
    house.service.fail_job(&lease, "it diverged".into()).await.unwrap();
    assert_eq!(house.reach(0.2).await, 4);
    let (_, job) = house.take().await;
    let told = house.service.concluded(&job).await.unwrap();
    assert_eq!((told.standing[0].trial, told.trials[3].epochs, told.trials[0].epochs), (4, 8, 4), "more epochs count for more");
    assert!(!house.has_model(&runs[1].job).await);
}

#[tokio::test]
async fn a_sweep_of_failures_fails_and_is_tried_again_where_it_stopped() {
    let house = House::new().await;
    let id = house.sweep(json!({ "settings": { "lr": [1e-4, 2e-4] } })).await;
    for _ in 0..2 {
        let (lease, _) = house.take().await;
        house.service.fail_job(&lease, "the loss is no number".into()).await.unwrap();
    }
    let failed = house.job(&id).await;
    assert_eq!((failed.state, failed.waits), (JobState::Failed, false));
    assert!(failed.error.unwrap().contains("not one trial of the sweep came to its end: the loss is no number"));
    house.service.restart_job(&house.ada, &id).await.unwrap();
    assert_eq!(states(&house.trials(&id).await), ["queued", "queued"]);
    house.reach(0.5).await;
    house.reach(0.6).await;
    let (lease, job) = house.take().await;
    assert_eq!(job.id, id);
    // Its own run may die as any other's.
    house.service.bury_worker(&lease.worker, Death::Unknown).await.unwrap();
    house.clock.forward(BACK_OFF_MS);
    let (lease, job) = house.take().await;
    house.service.fail_job(&lease, "no".into()).await.unwrap();
    house.service.restart_job(&house.ada, &id).await.unwrap();
    assert_eq!(states(&house.trials(&id).await), ["succeeded", "succeeded"], "what has come to its end is not run again");
    assert_eq!(house.take().await.1.id, job.id);
}

#[tokio::test]
async fn a_sweep_is_cancelled_and_paused_with_its_trials() {
    let house = House::new().await;
    let id = house.sweep(json!({ "settings": { "lr": [1e-4, 2e-4, 3e-4] } })).await;
    let (lease, _) = house.take().await;
    house.service.pause_job(&house.ada, &id, true).await.unwrap();
    assert_eq!(house.job(&id).await.state, JobState::Queued);
    assert!(house.lease("other").await.is_none(), "nothing of it is started");
    assert_eq!(house.service.heartbeat(&lease, log("x")).await.unwrap(), Beat::Pause);
    house.service.release_job(&lease).await.unwrap();
    house.service.pause_job(&house.ada, &id, false).await.unwrap();
    house.service.place_job(&house.ada, &id, 7).await.unwrap();
    let (lease, job) = house.take().await;
    assert_eq!((job.urgency, house.job(&id).await.state), (7, JobState::Running));

    let one = house.trials(&id).await.pop().unwrap();
    house.service.cancel_job(&house.ada, &one.job).await.unwrap();
    assert_eq!(states(&house.trials(&id).await), ["running", "queued", "cancelled"]);
    assert!(house.job(&id).await.waits, "one that is cancelled does not end the others");
    house.service.restart_job(&house.ada, &one.job).await.unwrap();
    assert_eq!(states(&house.trials(&id).await), ["running", "queued", "queued"]);

    house.service.cancel_job(&house.ada, &id).await.unwrap();
    assert_eq!(house.job(&id).await.state, JobState::Cancelled);
    assert_eq!(states(&house.trials(&id).await), ["running", "cancelled", "cancelled"]);
    assert_eq!(house.service.heartbeat(&lease, log("x")).await.unwrap(), Beat::Cancel);
    house.service.stop_job(&lease).await.unwrap();
    assert!(house.lease("w").await.is_none());
    house.service.restart_job(&house.ada, &id).await.unwrap();
    assert_eq!(states(&house.trials(&id).await), ["queued"; 3]);
}

#[tokio::test]
async fn a_large_sweep_is_one_job_to_the_limit_and_starves_nobody() {
    let house = House::new().await;
    let limit = house.service.policy().max_jobs_per_user as usize;
    let id = house.sweep(json!({ "settings": { "seed": (1..=64).collect::<Vec<_>>() } })).await;
    assert_eq!(house.trials(&id).await.len(), 64);
    for _ in 1..limit.min(4) {
        house.sweep(json!({ "settings": { "lr": [1e-4, 2e-4] } })).await;
    }
    let (bob, name) = (AccountId::new(house.clock.now(), [9; 10]), Name::parse_owner("bob").unwrap());
    let account = Account {
        id: bob.clone(),
        name,
        kind: AccountKind::User,
        is_admin: false,
        disabled: false,
        full_name: String::new(),
        created: house.clock.now(),
    };
    house.service.db.write(move |tx| users::insert(tx, &account)).await.unwrap();
    let (_, first) = house.take().await;
    let work = Work::FineTune(FineTune { trial: None, ..first.work.fine_tune().unwrap().clone() });
    let late = queued(JobId::new(house.clock.now(), [8; 10]), (bob, "bob".into()), work, house.clock.now());
    let inserted = late.clone();
    house.service.db.write(move |tx| jobs::insert(tx, &inserted)).await.unwrap();
    assert_eq!(house.take().await.1.id, late.id, "who has nothing running comes before the other 63");
    assert!(house.take().await.1.parent.is_some());
}

#[tokio::test]
async fn a_sweep_that_an_earlier_release_queued_is_opened_by_whoever_meets_it() {
    let house = House::new().await;
    let (id, now) = (JobId::new(house.clock.now(), [4; 10]), house.clock.now());
    let owner = (house.ada.account().unwrap().clone(), "ada".to_owned());
    let old = queued(id.clone(), owner, work(json!({ "settings": { "lr": [1e-4, 2e-4] } })), now);
    house.service.db.write(move |tx| jobs::insert(tx, &old)).await.unwrap();
    assert_eq!((house.reach(0.5).await, house.reach(0.6).await), (1, 2));
    assert_eq!(house.take().await.1.id, id);
}
