//! The promises of PostgreSQL as an engine of the database: stories beside each other, locks of all machines, a server that goes and comes
//! back, and catalogs that move between engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

#[allow(dead_code, clippy::disallowed_methods)]
#[path = "support/postgres.rs"]
mod postgres;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use hub::catalog::search::{self, listing};
use hub::catalog::{Visibility, full_text, jobs};
use hub::db::{Db, Error, Haste, Kind, Result, Tx};
use hub::domain::id::{AccountId, RepoKey};
use hub::domain::search::SearchQuery;
use hub::domain::time::Timestamp;
use hub::params;
use postgres::{Cluster, name_of};

const BLOB: &str = "insert into blobs (digest, size_bytes, created) values ($1, $2, 0)";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

async fn address() -> String {
    tokio::task::spawn_blocking(|| Cluster::shared().database()).await.unwrap()
}

async fn open() -> Db {
    Db::connect(&address().await).await.unwrap()
}

async fn count(db: &Db) -> u64 {
    db.read(|tx| tx.one("select count(*) as n from blobs", &[])?.count("n")).await.unwrap()
}

/// Two blobs to quarrel about.
async fn with_two_blobs() -> Db {
    let db = open().await;
    db.write(|tx| {
        tx.execute(BLOB, params!["a", 0i64])?;
        tx.execute(BLOB, params!["b", 0i64])
    })
    .await
    .unwrap();
    db
}

#[tokio::test]
async fn a_failed_story_leaves_nothing_and_values_come_back_as_they_went() {
    let db = open().await;
    assert_eq!(db.kind(), Kind::Server);
    let failed: Result<()> = db
        .write(|tx| {
            tx.execute(BLOB, params!["a", 1i64])?;
            Err(Error::Busy)
        })
        .await;
    assert!(matches!(failed, Err(Error::Busy)));
    assert_eq!(count(&db).await, 0);
    let written = "insert into trials (job, sweep, number, rung, epochs, settings, reached) values ('j', 'j', $1, 0, 0, $2, $3)";
    db.write(move |tx| {
        let account = "insert into accounts (id, name, folded, kind, created) values ('o', 'o', 'o', 'user', 0)";
        tx.execute(account, &[])?;
        let job =
            "insert into jobs (id, owner, kind, spec, name_folded, state, not_before, created) values ('j', 'o', '', '', '', '', 0, 0)";
        tx.execute(job, &[])?;
        tx.execute(written, params![i64::MIN, "caf\u{e9} \u{1f427}\0", 0.1])
    })
    .await
    .unwrap();
    let row = db.read(|tx| tx.one("select number, settings, reached, loss from trials", &[])).await.unwrap();
    assert_eq!((row.int("number").unwrap(), row.real("reached").unwrap(), row.find_real("loss").unwrap()), (i64::MIN, 0.1, None));
    assert_eq!(row.text("settings").unwrap(), "caf\u{e9} \u{1f427}\u{fffd}", "the one character it cannot keep is replaced");
    let orphan = db.write(|tx| tx.execute("insert into refs (repo, name, number, updated) values ('x', 'main', 1, 0)", &[])).await;
    assert!(matches!(orphan, Err(Error::Conflict(_))), "{orphan:?}");
}

#[tokio::test]
async fn a_story_that_passes_over_a_failed_statement_is_not_acknowledged() {
    let db = with_two_blobs().await;
    let silent = |tx: &mut Tx<'_>| -> Result<()> {
        let _ = tx.execute(BLOB, params!["a", 9i64]);
        Ok(())
    };
    assert!(db.write(silent).await.is_err());
    assert!(db.write_beside(Vec::new(), silent).await.is_err());
    let attempted = db
        .write(|tx| {
            let failed = tx.attempt(|tx| tx.execute(BLOB, params!["a", 9i64]));
            assert!(matches!(failed, Err(Error::Conflict(_))));
            tx.execute(BLOB, params!["c", 9i64])
        })
        .await;
    assert_eq!((attempted.unwrap(), count(&db).await), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_that_wait_alone_share_a_commit_and_nothing_else() {
    let db = open().await;
    let stories: Vec<_> = (0..60usize)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let told: Result<usize> = db
                    .write(move |tx| {
                        tx.execute(BLOB, params![format!("{n}"), n])?;
                        match n % 10 {
                            3 => Err(Error::Busy),
                            5 => tx.execute(BLOB, params![format!("{n}"), n]).map(|_| n),
                            _ => Ok(n),
                        }
                    })
                    .await;
                (n, told)
            })
        })
        .collect();
    for story in stories {
        let (n, told) = story.await.unwrap();
        match n % 10 {
            3 => assert!(matches!(told, Err(Error::Busy)), "{n} {told:?}"),
            5 => assert!(matches!(told, Err(Error::Conflict(_))), "{n} {told:?}"),
            _ => assert_eq!(told.unwrap(), n),
        }
    }
    assert_eq!(count(&db).await, 48);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stories_beside_each_other_run_at_once_but_for_those_of_one_name() {
    let db = with_two_blobs().await;
    // Each waits within its transaction until the other is in its own: one after the other they would never end.
    let both = Arc::new(Barrier::new(2));
    let beside = |name: &str| {
        let (db, both, name) = (db.clone(), both.clone(), name.to_owned());
        tokio::spawn(async move {
            let names = vec![name.clone()];
            db.write_beside(names, move |tx| {
                tx.execute("update blobs set size_bytes = size_bytes + 1 where digest = $1", params![&name])?;
                both.wait();
                Ok::<_, Error>(())
            })
            .await
        })
    };
    let (one, two) = (beside("a"), beside("b"));
    one.await.unwrap().unwrap();
    two.await.unwrap().unwrap();

    // Of one name, or alone: what is read is still so when it is written.
    let at_once = Arc::new(AtomicUsize::new(0));
    let stories: Vec<_> = (0..20)
        .map(|n| {
            let (db, at_once) = (db.clone(), at_once.clone());
            tokio::spawn(async move {
                let story = move |tx: &mut Tx<'_>| -> Result<()> {
                    assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                    let size = tx.one("select size_bytes from blobs where digest = 'a'", &[])?.int("size_bytes")?;
                    std::thread::sleep(Duration::from_millis(2));
                    tx.execute("update blobs set size_bytes = $1 where digest = 'a'", params![size + 1])?;
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                if n % 4 == 0 { db.write(story).await } else { db.write_beside(vec!["a".into()], story).await }
            })
        })
        .collect();
    for story in stories {
        story.await.unwrap().unwrap();
    }
    let row = db.read(|tx| tx.one("select size_bytes from blobs where digest = 'a'", &[])).await.unwrap();
    assert_eq!(row.int("size_bytes").unwrap(), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_wait_for_each_other_one_is_told_again() {
    let db = with_two_blobs().await;
    let (both, told) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let quarrel = |first: &'static str, second: &'static str| {
        let (db, both, told) = (db.clone(), both.clone(), told.clone());
        tokio::spawn(async move {
            db.write_beside(Vec::new(), move |tx| {
                let add = "update blobs set size_bytes = size_bytes + 1 where digest = $1";
                tx.execute(add, params![first])?;
                if told.fetch_add(1, Ordering::SeqCst) < 2 {
                    both.wait();
                }
                tx.execute(add, params![second])
            })
            .await
        })
    };
    let (one, two) = (quarrel("a", "b"), quarrel("b", "a"));
    assert_eq!((one.await.unwrap().unwrap(), two.await.unwrap().unwrap()), (1, 1));
    assert!(told.load(Ordering::SeqCst) > 2, "somebody was told again");
    let sum = db.read(|tx| tx.one("select cast(sum(size_bytes) as bigint) as n from blobs", &[])).await.unwrap();
    assert_eq!(sum.int("n").unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_is_claimed_once_however_many_ask() {
    const JOBS: usize = 60;
    let address = address().await;
    let db = Db::connect(&address).await.unwrap();
    db.write(|tx| {
        for owner in 0..3u8 {
            let id = AccountId::new(at(0), [owner; 10]);
            let sql = "insert into accounts (id, name, folded, kind, created) values ($1, $2, $2, 'user', 0)";
            tx.execute(sql, params![id.as_str(), format!("u{owner}")])?;
            for n in 0..JOBS / 3 {
                let job = hub::domain::id::JobId::new(at(n as i64), [owner; 10]);
                let sql = "insert into jobs (id, owner, kind, spec, name_folded, state, not_before, created) \
                           values ($1, $2, 'predict', '', '', 'queued', 0, $3)";
                tx.execute(sql, params![job.as_str(), id.as_str(), n])?;
            }
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let address = address.clone();
            tokio::spawn(async move {
                // A process of its own has a pool of its own.
                let db = Db::connect(&address).await.unwrap();
                let mut mine = Vec::new();
                loop {
                    let claimed = db
                        .write_beside(Vec::new(), move |tx| {
                            let row = tx.find(
                                &format!(
                                    "select j.id from jobs j where j.state = 'queued' order by j.created, j.id limit 1{}",
                                    tx.skipping_taken("j")
                                ),
                                &[],
                            )?;
                            let Some(row) = row else { return Ok::<_, Error>(None) };
                            let job = row.parse("id", hub::domain::id::JobId::parse)?;
                            let now = jobs::now(tx, at(0))?;
                            Ok(Some(jobs::lease(tx, &job, &format!("w{worker}"), now, now.plus_ms(60_000))?))
                        })
                        .await
                        .unwrap();
                    match claimed {
                        Some(lease) => mine.push((lease.job.to_string(), lease.number)),
                        None => break mine,
                    }
                }
            })
        })
        .collect();
    let (mut claimed, mut shares) = (Vec::new(), 0);
    for worker in workers {
        let mine = worker.await.unwrap();
        shares += usize::from(!mine.is_empty());
        claimed.extend(mine);
    }
    assert!(claimed.iter().all(|(_, number)| *number == 1), "no job was leased twice");
    assert_eq!(claimed.iter().map(|(job, _)| job).collect::<BTreeSet<_>>().len(), JOBS);
    assert_eq!(claimed.len(), JOBS);
    assert!(shares > 1, "several workers got some");
}

#[tokio::test]
async fn one_holds_what_others_on_the_server_ask_for() {
    let address = address().await;
    let (here, there) = (Db::connect(&address).await.unwrap(), Db::connect(&address).await.unwrap());
    let held = here.hold("upkeep", false).await.unwrap();
    assert!(held.is_some());
    assert!(there.hold("upkeep", false).await.unwrap().is_none() && there.hold("upkeep", true).await.unwrap().is_none());
    assert!(there.hold("something else", false).await.unwrap().is_some());
    drop(held);
    let begun = Instant::now();
    let shared = loop {
        // The session that held it says goodbye in a moment.
        if let Some(shared) = there.hold("upkeep", true).await.unwrap() {
            break shared;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(here.hold("upkeep", true).await.unwrap().is_some(), "shared ones stand side by side");
    assert!(here.hold("upkeep", false).await.unwrap().is_none());
    drop(shared);
    let clock = here.read(|tx| tx.clock()).await.unwrap().unwrap();
    let own = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((clock - own).abs() < 10_000, "{clock} {own}");
}

#[tokio::test]
async fn a_server_that_was_away_is_found_again() {
    let (mut cluster, address) = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start();
        let address = cluster.database();
        (cluster, address)
    })
    .await
    .unwrap();
    let db = Db::connect(&address).await.unwrap();
    db.write(|tx| tx.execute(BLOB, params!["a", 1i64])).await.unwrap();
    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.stop();
        cluster
    })
    .await
    .unwrap();
    for _ in 0..3 {
        let read = db.read(|tx| tx.one("select count(*) as n from blobs", &[])).await;
        assert!(matches!(read, Err(Error::Unreachable(_))), "{read:?}");
        let written = db.write(|tx| tx.execute(BLOB, params!["b", 1i64])).await;
        assert!(matches!(written, Err(Error::Unreachable(_))), "{written:?}");
        let beside = db.write_beside(Vec::new(), |tx| tx.execute(BLOB, params!["c", 1i64])).await;
        assert!(matches!(beside, Err(Error::Unreachable(_))), "{beside:?}");
    }
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.start_again();
        cluster
    })
    .await
    .unwrap();
    assert_eq!(count(&db).await, 1, "what was acknowledged is there, what was refused is not");
    db.write(|tx| tx.execute(BLOB, params!["d", 1i64])).await.unwrap();
    assert_eq!(count(&db).await, 2);
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}

/// Two rows that belong together; whether that was acknowledged.
async fn pair(db: &Db, n: usize) -> Option<usize> {
    let story = move |tx: &mut Tx<'_>| -> Result<()> {
        tx.execute(BLOB, params![format!("{n} a"), 1i64])?;
        tx.execute(BLOB, params![format!("{n} b"), 1i64]).map(drop)
    };
    let told = if n.is_multiple_of(2) { db.write(story).await } else { db.write_beside(vec![format!("{n}")], story).await };
    told.ok().map(|()| n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_crashes_and_nothing_is_there_by_half() {
    let made = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::start();
        let address = cluster.database();
        (cluster, address)
    });
    let (mut cluster, address) = made.await.unwrap();
    let db = Db::connect(&address).await.unwrap();
    let (mut acknowledged, mut next) = (BTreeSet::new(), 0);
    for round in 0..4u64 {
        let writing: Vec<_> = (0..6)
            .map(|writer| {
                let (db, from) = (db.clone(), next + writer * 1_000);
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for n in from..from + 1_000 {
                        match pair(&db, n).await {
                            Some(n) => acknowledged.push(n),
                            None => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        next += 6_000;
        tokio::time::sleep(Duration::from_millis(150 + 70 * round)).await;
        cluster = tokio::task::spawn_blocking(move || {
            cluster.stop();
            cluster
        })
        .await
        .unwrap();
        for writing in writing {
            acknowledged.extend(writing.await.unwrap());
        }
        cluster = tokio::task::spawn_blocking(move || {
            cluster.start_again();
            cluster
        })
        .await
        .unwrap();
    }
    let rows = db.read(|tx| tx.all("select digest from blobs", &[])).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.text("digest").unwrap()).collect();
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    for n in &acknowledged {
        assert!(there.contains(&format!("{n} a")) && there.contains(&format!("{n} b")), "{n} was acknowledged");
    }
    for n in 0..next {
        assert_eq!(there.contains(&format!("{n} a")), there.contains(&format!("{n} b")), "{n} is there by half");
    }
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}

#[tokio::test]
async fn what_one_process_tells_at_a_commit_others_hear() {
    let address = address().await;
    let (one, two) = (Db::connect(&address).await.unwrap(), Db::connect(&address).await.unwrap());
    let mut news = two.news().unwrap();
    let begun = std::time::Instant::now();
    while !news.is_live() {
        assert!(begun.elapsed().as_secs() < 30, "nobody listens");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let refused = one.write_beside(Vec::new(), |tx| tx.tell("taken back").and(Err::<(), _>(Error::Busy))).await;
    assert!(refused.is_err());
    for _ in 0..2 {
        one.write_beside(Vec::new(), |tx| tx.tell("another")).await.unwrap();
        one.write(|tx| tx.tell("told")).await.unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(30), news.wait_for("told")).await.expect("it is heard");
    }
    let quiet = tokio::time::timeout(std::time::Duration::from_millis(300), news.wait_for("taken back")).await;
    assert!(quiet.is_err(), "what was not committed is not told");
}

#[tokio::test]
async fn a_full_server_and_one_of_a_newer_hub_are_named() {
    let address = address().await;
    let db = Db::connect(&address).await.unwrap();
    let full = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no space left' using errcode = 'disk_full'; end $$; \
                create trigger refuse before insert on blobs execute function refuse()";
    let (of, name) = (full.to_owned(), name_of(&address).to_owned());
    tokio::task::spawn_blocking(move || Cluster::shared().ask(&name, &of)).await.unwrap();
    let refused = db.write(|tx| tx.execute(BLOB, params!["a", 1i64])).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let refused = db.write_beside(Vec::new(), |tx| tx.execute(BLOB, params!["a", 1i64])).await;
    assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
    let tomorrow = "insert into schema_migrations (name, position) values ('9998_tomorrow', 9998)";
    db.write(|tx| tx.execute(tomorrow, &[])).await.unwrap();
    let beside = Db::connect(&address).await.unwrap();
    assert_eq!((count(&beside).await, beside.find_break().await.unwrap()), (0, None), "what was only added to keeps nobody out");
    let breaks = "insert into schema_migrations (name, position) values ('9999_tomorrow-breaks', 9999)";
    db.write(|tx| tx.execute(breaks, &[])).await.unwrap();
    let older = Db::connect(&address).await.err().unwrap().to_string();
    assert!(older.contains("newer hub") && older.contains("9999_tomorrow-breaks"), "{older}");
    assert_eq!(beside.find_break().await.unwrap().as_deref(), Some("9999_tomorrow-breaks"));
    assert_eq!(count(&db).await, 0, "one that runs goes on");
}

#[tokio::test]
async fn a_database_that_does_not_suit_is_refused_with_what_it_lacks() {
    let refused = tokio::task::spawn_blocking(|| {
        let cluster = Cluster::shared();
        let address = cluster.database();
        cluster.ask("postgres", "create database odd encoding 'LATIN1' template template0 locale 'C'");
        address.replace(name_of(&address), "odd")
    })
    .await
    .unwrap();
    let error = Db::connect(&refused).await.err().unwrap().to_string();
    assert!(error.contains("UTF8"), "{error}");
    let nobody = Db::connect("postgres://hub@127.0.0.1:1/hub?connect_timeout=1").await.err().unwrap();
    assert!(matches!(nobody, Error::Unreachable(_)), "{nobody}");
    let nowhere = Db::connect(&refused.replace("/odd", "/nowhere")).await.err().unwrap().to_string();
    assert!(nowhere.contains("nowhere"), "{nowhere}");
}

/// Makes a certificate for `localhost` and the root behind it; the settings that use it, on a port of its own.
fn with_tls(dir: &std::path::Path, port: u16) -> Vec<String> {
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    let openssl = |line: &str| {
        let made = std::process::Command::new("openssl")
            .current_dir(dir)
            .args(line.split(' '))
            .output()
            .expect("openssl is not installed; run `bash .ci/packages test`");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.pem -subj /CN=root -days 2");
    openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
    openssl("x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -out server.pem -days 2 -extfile names");
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=other -days 2");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(dir.join("server.key"), mode).unwrap();
    let setting = |text: String| ["-c".to_owned(), text];
    let file = |name: &str| dir.join(name).display().to_string();
    [
        setting("listen_addresses=127.0.0.1".into()),
        setting(format!("port={port}")),
        setting("ssl=on".into()),
        setting(format!("ssl_cert_file={}", file("server.pem"))),
        setting(format!("ssl_key_file={}", file("server.key"))),
    ]
    .concat()
}

#[tokio::test]
async fn what_goes_over_the_wire_is_secret_and_the_server_is_who_it_should_be() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let cluster = tokio::task::spawn_blocking(move || Cluster::start_on(port, move |dir| with_tls(dir, port))).await.unwrap();
    let address = |host: &str, more: &str| format!("postgres://hub@{host}:{port}/postgres?{more}");
    let is_secret = |address: String| async move {
        let db = Db::connect(&address).await?;
        let sql = "select cast(ssl as text) as ssl from pg_stat_ssl where pid = pg_backend_pid()";
        Ok::<_, Error>(db.read(|tx| tx.one(sql, &[])?.text("ssl")).await? == "true")
    };
    let (root, other) = (cluster.dir().join("root.pem"), cluster.dir().join("other.pem"));
    let verified = |root: &std::path::Path| format!("sslmode=verify-full&sslrootcert={}", root.display());
    assert!(!is_secret(address("localhost", "sslmode=disable")).await.unwrap());
    for more in ["", "sslmode=prefer", "sslmode=require"] {
        assert!(is_secret(address("127.0.0.1", more)).await.unwrap(), "{more}");
    }
    assert!(is_secret(address("localhost", &verified(&root))).await.unwrap());
    for refused in [
        address("127.0.0.1", &verified(&root)),
        address("localhost", &verified(&other)),
        address("localhost", "sslmode=verify-full"),
        address("localhost", "sslmode=verify-full&sslrootcert=/there/is/none"),
    ] {
        assert!(is_secret(refused.clone()).await.is_err(), "{refused}");
    }
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}

async fn filled(db: &Db) {
    db.write(|tx| {
        tx.execute("insert into accounts (id, name, folded, kind, created) values ('a', 'ada', 'ada', 'user', 1)", &[])?;
        // A child before its parent.
        let token = "insert into tokens (id, owner, name, scope, hash, created, parent) values ($1, 'a', '', 'read', $1, 1, $2)";
        tx.execute(token, params!["z", None::<String>])?;
        tx.execute(token, params!["b", "z"])?;
        for n in 0..300u32 {
            let mut random = [0; 10];
            random[..4].copy_from_slice(&n.to_be_bytes());
            let (key, name) = (RepoKey::new(at(1), random), format!("net-{n}"));
            let folded = format!("ada/{name}");
            let sql = "insert into repos (key, kind, namespace, name, folded, downloads, created, updated) values ($1, 'model', 'ada', $2, $3, $4, 0, $4)";
            tx.execute(sql, params![key.as_str(), &name, &folded, n % 7])?;
            let sql = "insert into repo_facts (repo, number, task, license, parameters, top1) values ($1, 1, 'image-classification', 'mit', $2, $3)";
            tx.execute(sql, params![key.as_str(), n, f64::from(n) / 7.0])?;
            let body = ["a cat and a cat", "the caf\u{e9} of cats", "dogs, penguins and one more cat"][n as usize % 3];
            full_text::index(tx, &key, &folded, "what it is", "timm", body)?;
            listing::refresh(tx, &key)?;
        }
        Ok::<_, Error>(())
    })
    .await
    .unwrap();
}

/// What some searches find, in order.
async fn answers(db: &Db) -> Vec<Vec<RepoKey>> {
    let mut all = Vec::new();
    for text in ["", "cat", "cafe cats", "penguin cat", "net-17", "cta"] {
        let query = SearchQuery { text: text.into(), ..SearchQuery::default() };
        let hits = db.read(move |tx| search::search(tx, &query, &Visibility::Everything, 400, None)).await.unwrap();
        all.push(hits.page.items);
    }
    all
}

#[tokio::test]
async fn a_catalog_moves_to_the_server_and_back_and_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (file, server) = (Db::open(&dir.path().join("hub.db")).await.unwrap(), open().await);
    filled(&file).await;
    let before = answers(&file).await;
    assert_eq!([before[0].len(), before[1].len(), before[2].len(), before[3].len()], [300, 300, 100, 100]);
    let there = server.copy_from(&file).await.unwrap();
    while server.write(full_text::read_copied).await.unwrap() > 0 {}
    assert_eq!(answers(&server).await, before);
    // Written to on the way.
    server.write(|tx| tx.execute(BLOB, params!["new", 1i64])).await.unwrap();
    let again = Db::open(&dir.path().join("again.db")).await.unwrap();
    let back = again.copy_from(&server).await.unwrap();
    assert_eq!(answers(&again).await, before);
    for was in there.iter().filter(|was| was.table != "blobs") {
        assert!(back.iter().any(|is| is == was), "{was:?}");
    }
    assert_eq!(there.len(), back.len());
    assert!(server.copy_from(&file).await.unwrap_err().to_string().contains("holds a hub already"));

    // A backup of a server is a file that every hub opens.
    let path = dir.path().join("backup.db");
    server.copy_into(&path).await.unwrap();
    let copy = Db::open_copy(&path).await.unwrap();
    copy.check_all().await.unwrap();
    assert_eq!((answers(&copy).await, count(&copy).await), (before, 1));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("making")).count(),
        0
    );
    server.check(Haste::Full).await.unwrap();
    server.check_all().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_that_open_a_new_database_at_once_make_it_once() {
    let address = address().await;
    let opened: Vec<_> = (0..6)
        .map(|_| {
            tokio::spawn({
                let address = address.clone();
                async move { Db::connect(&address).await }
            })
        })
        .collect();
    for opened in opened {
        let db = opened.await.unwrap().unwrap();
        assert_eq!(db.read(|tx| tx.one("select count(*) as n from listing_state", &[])).await.unwrap().int("n").unwrap(), 1);
    }
}
