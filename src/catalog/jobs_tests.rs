//! The queue on a real database file.

use super::*;
use crate::db::Db;
use crate::domain::recipe::Recipe;
use crate::domain::work::FineTune;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn job(ms: i64) -> Job {
    let repo = |text: &str| RepoId::parse(text).unwrap();
    Job {
        id: JobId::new(at(ms), [1; 10]),
        owner: AccountId::new(at(0), [7; 10]),
        owner_name: "ada".into(),
        parent: None,
        waits: false,
        work: Work::FineTune(FineTune {
            base: repo("resnet18"),
            base_version: 2,
            dataset: repo("ada/cats"),
            dataset_version: 1,
            name: repo("ada/cat-net"),
            private: true,
            recipe: Recipe { epochs: 3, ..Recipe::default() },
            sweep: None,
            replays: None,
            chosen: None,
            trial: None,
        }),
        state: JobState::Queued,
        attempt: 0,
        cancel_requested: false,
        priority: 0,
        urgency: 0,
        paused: false,
        step: 0,
        total_steps: 0,
        stage: "waiting for a worker".into(),
        error: None,
        result_version: None,
        created: at(ms),
        started: None,
        finished: None,
    }
}

/// Runs a story in a database that has one account, `ada`.
async fn with_queue(story: impl FnOnce(&mut Tx<'_>) -> Result<()> + Send + 'static) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&dir.path().join("hub.db")).await.unwrap();
    db.write(|tx| {
        let sql = "insert into accounts (id, name, folded, kind, created) values ($1, 'ada', 'ada', 'user', 0)";
        tx.execute(sql, params![AccountId::new(at(0), [7; 10]).as_str()])?;
        story(tx)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_job_reads_back_as_it_was_written() {
    with_queue(|tx| {
        let mut job = job(1_000);
        insert(tx, &job)?;
        assert_eq!(find(tx, &job.id)?.unwrap(), job);
        let lease = lease(tx, &job.id, "w1", at(2_000), at(32_000))?;
        set_progress(tx, &job.id, 5, 10, "epoch 1 of 2")?;
        assert!(extend(tx, &lease, at(40_000))?);
        job = Job { state: JobState::Running, attempt: 1, step: 5, total_steps: 10, started: Some(at(2_000)), ..job };
        job.stage = "epoch 1 of 2".into();
        assert_eq!(find(tx, &job.id)?.unwrap(), job);
        assert_eq!(find_held(tx, &lease)?.unwrap(), Held { until: at(40_000), cancel_requested: false, paused: false });
        assert_eq!(count_by_state(tx)?, [(JobState::Running, 1)]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_lost_lease_writes_nothing() {
    with_queue(|tx| {
        let job = job(1_000);
        insert(tx, &job)?;
        let old = lease(tx, &job.id, "w1", at(2_000), at(32_000))?;
        assert!(find_ready(tx, at(32_000))?.is_none(), "the lease still holds");
        let (ready, fruitless) = find_ready(tx, at(32_001))?.unwrap();
        assert_eq!((ready.id.clone(), fruitless), (job.id.clone(), 1));
        let new = lease(tx, &job.id, "w1", at(32_001), at(62_001))?;
        assert!(!extend(tx, &old, at(99_000))?, "the same worker under an older number");
        assert!(find_held(tx, &old)?.is_none());
        assert!(extend(tx, &new, at(99_000))?);
        set_checkpoint(tx, &job.id, "abc")?;
        assert_eq!(find_checkpoint(tx, &job.id)?.as_deref(), Some("abc"));
        assert_eq!(list_held_by(tx, "w1")?[0].1, 0, "a checkpoint is fruit");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_oldest_ready_job_comes_first_and_back_off_is_kept() {
    with_queue(|tx| {
        let (first, second) = (job(1_000), job(1_001));
        insert(tx, &second)?;
        insert(tx, &first)?;
        assert_eq!(find_ready(tx, at(5_000))?.unwrap().0.id, first.id);
        lease(tx, &first.id, "w", at(5_000), at(6_000))?;
        requeue(tx, &first.id, at(9_000), "waiting to try again")?;
        assert_eq!(find_ready(tx, at(8_999))?.unwrap().0.id, second.id);
        assert_eq!(find_ready(tx, at(9_000))?.unwrap().0.id, first.id);
        finish(tx, &first.id, &Ending { state: JobState::Failed, error: Some("x".into()), result_version: None }, at(9_500))?;
        assert_eq!(count_unfinished(tx, &first.owner)?, 1);
        let ended = find(tx, &first.id)?.unwrap();
        assert_eq!((ended.state, ended.error.as_deref(), ended.finished), (JobState::Failed, Some("x"), Some(at(9_500))));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_page_by_id_and_filter() {
    with_queue(|tx| {
        for ms in 0..5 {
            insert(tx, &job(ms))?;
        }
        let page = list(tx, &Narrow::default(), 2, None)?;
        assert_eq!(page.items.iter().map(|j| j.created.unix_ms()).collect::<Vec<_>>(), [4, 3]);
        let last = JobId::parse(page.next.as_deref().unwrap()).unwrap();
        let page = list(
            tx,
            &Narrow { owner: Some(job(0).owner), state: Some(JobState::Queued), kind: Some("fine-tune".into()), ..Narrow::default() },
            10,
            Some(&last),
        )?;
        assert_eq!((page.items.len(), page.next), (3, None));
        let stranger = AccountId::new(at(9), [9; 10]);
        assert!(list(tx, &Narrow { owner: Some(stranger), ..Narrow::default() }, 10, None)?.items.is_empty());
        assert!(list(tx, &Narrow { state: Some(JobState::Running), ..Narrow::default() }, 10, None)?.items.is_empty());
        assert!(list(tx, &Narrow { kind: Some("embed".into()), ..Narrow::default() }, 10, None)?.items.is_empty());
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn events_are_numbered_and_progress_replaces_itself() {
    with_queue(|tx| {
        let job = job(1);
        insert(tx, &job)?;
        for kind in ["state", "progress", "progress", "epoch", "progress"] {
            append_event(tx, &job.id, at(5), &Event::read(kind, serde_json::json!({})))?;
        }
        let seen: Vec<_> = events_after(tx, &job.id, 0, 100)?.into_iter().map(|e| (e.number, e.event.kind().to_owned())).collect();
        assert_eq!(seen, [(1, "state".into()), (4, "epoch".into()), (5, "progress".into())]);
        assert_eq!(events_after(tx, &job.id, 4, 100)?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn people_take_turns_and_administrators_may_put_a_job_first() {
    with_queue(|tx| {
        let eve = AccountId::new(at(0), [8; 10]);
        let sql = "insert into accounts (id, name, folded, kind, created) values ($1, 'eve', 'eve', 'user', 0)";
        tx.execute(sql, params![eve.as_str()])?;
        let mine: Vec<Job> = [1_000, 2_000, 3_000, 4_000].map(job).into();
        let hers = Job { owner: eve, owner_name: "eve".into(), ..job(5_000) };
        for job in mine.iter().chain([&hers]) {
            insert(tx, job)?;
        }
        set_place(tx, &mine[3].id, 0, 5)?;
        set_paused(tx, &mine[0].id, true)?;
        let mut next = |ms: i64| {
            let (ready, _) = find_ready(tx, at(ms)).unwrap().unwrap();
            lease(tx, &ready.id, "w", at(ms), at(90_000)).unwrap();
            ready.id
        };
        assert_eq!(next(10_000), mine[3].id, "the most urgent of whoever asked first");
        assert_eq!(next(11_000), hers.id, "she has none running");
        assert_eq!(next(12_000), mine[1].id, "his turn was longer ago");
        set_place(tx, &mine[2].id, 1, 0)?;
        assert_eq!(find_ready(tx, at(13_000))?.unwrap().0.id, mine[2].id);
        set_paused(tx, &mine[2].id, true)?;
        assert!(find_ready(tx, at(14_000))?.is_none(), "what is paused waits");
        Ok(())
    })
    .await;
}
