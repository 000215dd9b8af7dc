//! The promises of an engine, kept by this one.

use super::super::Db;
use super::*;
use crate::params;

async fn open(dir: &tempfile::TempDir) -> Db {
    Db::open(&dir.path().join("hub.db")).await.unwrap()
}

#[tokio::test]
async fn a_failed_story_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let insert = "insert into blobs (digest, size_bytes, created) values ($1, $2, $2)";
    let failed: Result<()> = db
        .write(move |tx| {
            tx.execute(insert, params!["a", 1i64])?;
            Err(Error::Busy)
        })
        .await;
    assert!(failed.is_err());
    db.write(move |tx| tx.execute(insert, params!["b", 2i64])).await.unwrap();
    let rows = db.read(|tx| tx.all("select digest, created from blobs order by digest", &[])).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].text("digest").unwrap().as_str(), rows[0].int("created").unwrap()), ("b", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_that_wait_share_a_commit_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&dir.path().join("hub.db")).unwrap();
    let engine = sqlite.clone();
    let db = Db::start(move || Ok(Arc::new(engine))).await.unwrap();
    let insert = "insert into blobs (digest, size_bytes, created) values ($1, $2, 0)";
    // The first holds the writer until all others wait for it.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let first = tokio::spawn({
        let db = db.clone();
        async move { db.write(move |_| wait.recv().map_err(|e| Error::Engine(e.to_string()))).await }
    });
    while !lock_is_held(&sqlite) {
        tokio::task::yield_now().await;
    }
    let stories: Vec<_> = (0..100usize)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let told: Result<usize> = db
                    .write(move |tx| {
                        tx.execute(insert, params![format!("{n}"), n])?;
                        match n % 10 {
                            3 => Err(Error::Busy),
                            4 => panic!("a story that panics"),
                            5 => tx.execute(insert, params![format!("{n}"), n]).map(|_| n),
                            _ => Ok(n),
                        }
                    })
                    .await;
                (n, told)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for story in stories {
        let (n, told) = story.await.unwrap();
        match (n % 10, told) {
            (3, told) => assert!(matches!(told, Err(Error::Busy)), "{n}"),
            (4, told) => assert!(matches!(told, Err(Error::Engine(_))), "{n}"),
            (5, told) => assert!(matches!(told, Err(Error::Conflict(_))), "{n}"),
            (_, told) => assert_eq!(told.unwrap(), n),
        }
    }
    let rows = db.read(|tx| tx.all("select digest from blobs", &[])).await.unwrap();
    let mut kept: Vec<usize> = rows.iter().map(|row| row.text("digest").unwrap().parse().unwrap()).collect();
    kept.sort_unstable();
    assert_eq!(kept, (0..100).filter(|n| ![3, 4, 5].contains(&(n % 10))).collect::<Vec<_>>());
}

fn lock_is_held(sqlite: &Sqlite) -> bool {
    sqlite.shared.writer.try_lock().is_none()
}

#[tokio::test]
async fn acknowledged_writes_are_synced_and_keys_enforced() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let row = db.write(|tx| tx.one("pragma synchronous", &[])).await.unwrap();
    assert_eq!(row.int("synchronous").unwrap(), 2, "2 is full");
    let orphan = db.write(|tx| tx.execute("insert into refs (repo, name, number, updated) values ('x', 'main', 1, 0)", &[])).await;
    assert!(matches!(orphan, Err(Error::Conflict(_))));
}

#[tokio::test]
async fn a_copy_is_one_moment_and_can_only_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let insert = "insert into blobs (digest, size_bytes, created) values ($1, 1, 1)";
    db.write(move |tx| tx.execute(insert, params!["a"])).await.unwrap();
    let path = dir.path().join("it's a copy?.db");
    db.copy_into(&path).await.unwrap();
    db.write(move |tx| tx.execute(insert, params!["b"])).await.unwrap();
    let copy = Db::open_copy(&path).await.unwrap();
    copy.check(Haste::Full).await.unwrap();
    copy.check_all().await.unwrap();
    assert_eq!(copy.read(|tx| tx.one("select count(*) as n from blobs", &[])).await.unwrap().int("n").unwrap(), 1);
    assert!(copy.write(move |tx| tx.execute(insert, params!["c"])).await.is_err());
    let beside = std::fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("copy"));
    assert_eq!(beside.count(), 1);
    assert!(db.copy_into(&path).await.is_err(), "an existing file is never written over");
}

#[tokio::test]
async fn opening_twice_migrates_once_and_garbage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).await);
    let db = open(&dir).await;
    let row = db.read(|tx| tx.one("select count(*) as n from schema_migrations", &[])).await.unwrap();
    assert!(row.int("n").unwrap() >= 5);
    let path = dir.path().join("garbage.db");
    std::fs::write(&path, [7u8; 8192]).unwrap();
    assert!(matches!(Db::open(&path).await, Err(Error::Corrupt(_))));
}

#[test]
fn a_statement_is_planned_once_whatever_it_is_asked_with() {
    let dir = tempfile::tempdir().unwrap();
    let connection = connect(&dir.path().join("hub.db")).unwrap();
    connection.execute_batch("create table t (a integer, b text); create index t_a on t (a, b)").unwrap();
    let mut statement = connection.prepare("select b from t where a > $1 and b = $2 order by a limit $3").unwrap();
    for many in 0..3 {
        statement.query((many, "b", many)).unwrap().next().unwrap();
    }
    assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
}

#[tokio::test]
async fn parameters_are_bound_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(&dir).await;
    let ask = async |sql: &'static str| db.read(move |tx| tx.one(sql, params![7i64, "x"])).await;
    let row = ask("select $2 || $1 || $2 as n").await.unwrap();
    assert_eq!(row.text("n").unwrap(), "x7x");
    assert!(ask("select $1 as n").await.is_err());
    assert!(ask("select $1 || $2 || $3 as n").await.is_err());
}
