//! What it costs to find the next job of a long queue.

use hub::catalog::jobs;
use hub::db::{Db, Error, Tx};
use hub::domain::id::{AccountId, JobId};
use hub::domain::job::{Job, JobState};
use hub::domain::name::RepoId;
use hub::domain::recipe::Recipe;
use hub::domain::time::Timestamp;
use hub::domain::work::{FineTune, Work};
use hub::params;

fn job(owner: &AccountId, at: u64) -> Job {
    let repo = |text: &str| RepoId::parse(text).unwrap();
    let work = FineTune {
        base: repo("library/base"),
        base_version: 1,
        dataset: repo("library/set"),
        dataset_version: 1,
        name: repo("library/out"),
        private: false,
        recipe: Recipe::default(),
        sweep: None,
        replays: None,
        chosen: None,
        trial: None,
    };
    let mut random = [9; 10];
    random[..8].copy_from_slice(&at.to_be_bytes());
    let created = Timestamp::from_unix_ms(1_000);
    Job {
        id: JobId::new(created, random),
        owner: owner.clone(),
        owner_name: String::new(),
        parent: None,
        waits: false,
        work: Work::FineTune(work),
        state: JobState::Queued,
        attempt: 0,
        cancel_requested: false,
        priority: 0,
        urgency: 0,
        paused: false,
        step: 0,
        total_steps: 0,
        stage: String::new(),
        error: None,
        result_version: None,
        created,
        started: None,
        finished: None,
    }
}

/// Puts so many jobs into the queue, of two people.
fn queue(tx: &mut Tx<'_>, many: u64) -> Result<(), Error> {
    for (number, name) in [(1, "ada"), (2, "bob")] {
        let owner = AccountId::new(Timestamp::from_unix_ms(0), [number; 10]);
        let sql = "insert into accounts (id, name, folded, kind, created) values ($1, $2, $2, 'user', 0)";
        tx.execute(sql, params![owner.as_str(), name])?;
        (0..many).filter(|at| at % 2 == u64::from(number) - 1).try_for_each(|at| jobs::insert(tx, &job(&owner, at)))?;
    }
    Ok(())
}

async fn steps(many: u64) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
    db.write(move |tx| queue(tx, many)).await.unwrap();
    let before = db.steps();
    let found = db.read(|tx| jobs::find_ready(tx, Timestamp::from_unix_ms(2_000))).await.unwrap();
    assert!(found.is_some());
    db.steps() - before
}

#[tokio::test]
async fn a_job_of_a_long_queue_costs_no_more_than_the_queue_is_longer() {
    let (short, long) = (steps(50).await, steps(800).await);
    println!("{short} and {long} steps");
    // Sixteen times as long; by the square it would be 256 times.
    assert!(long < 24 * short, "{short} and {long} steps");
}
