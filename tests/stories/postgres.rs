//! Hubs on a PostgreSQL database: two that share it and a bucket, one whose database goes away for a while, and one that moves there and back.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::postgres::Cluster;
use crate::support::publishing::{create_repo, publish};
use crate::support::s3::{BUCKET, S3, variables};
use crate::support::{Server, hub};
use serde_json::Value;

/// A hub of its own directory on a database, and perhaps a bucket.
fn start(data: &Path, database: &str, bucket: Option<&S3>) -> Server {
    let store = format!("s3://{BUCKET}/shared");
    let mut args = vec!["--workers", "0"];
    if bucket.is_some() {
        args.extend(["--store", &store]);
    }
    let variables = bucket.map(|s3| variables(s3.port)).unwrap_or_default();
    let mut environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    environment.push(("HUB_DB", database));
    Server::start_on(data, &args, &environment)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().or(item["id"].as_str()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_share_a_database_and_a_bucket() {
    let (s3, one, two) = (S3::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = Cluster::shared().database();
    let (a, b) = (start(one.path(), &database, Some(&s3)), start(two.path(), &database, Some(&s3)));
    assert!(b.admin_token.is_empty(), "the second is not new");
    let ada = a.user("ada").await;
    // Whoever has an account at one has it at the other.
    let there = b.with_token(&ada.token);
    create_repo(&there, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("weights", &[7; 3_000_000]), ("README.md", b"# A penguin net")]).await.created();
    let file = b.anonymous().get("/api/v1/models/ada/net/versions/main/files/weights").await;
    assert!(file.status == 200 && file.bytes.len() == 3_000_000);
    let found = b.anonymous().get("/api/v1/search?q=pengu").await.ok();
    assert_eq!(names(&found).len(), 1, "{found}");

    // Of two that publish upon the same version at two hubs, one comes first; into other repos they go on side by side.
    let publishing = (0..8).map(|n| {
        let (api, other) = if n % 2 == 0 { (ada.clone(), there.clone()) } else { (there.clone(), ada.clone()) };
        tokio::spawn(async move {
            create_repo(&api, "model", &format!("ada/net-{n}")).await;
            publish(&other, &format!("models/ada/net-{n}"), None, &[("a", format!("{n}").as_bytes())]).await.created();
            publish(&api, "models/ada/net", Some(1), &[("a", format!("{n}").as_bytes())]).await.status.as_u16()
        })
    });
    let mut statuses = Vec::new();
    for publishing in publishing.collect::<Vec<_>>() {
        statuses.push(publishing.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[201].as_slice(), &[409; 7]].concat());
    let list = b.anonymous().get("/api/v1/models?limit=100").await.ok();
    assert_eq!(names(&list).len(), 9, "{list}");

    // One hub dies; nothing is lost, and the other goes on.
    drop(a.kill());
    create_repo(&there, "model", "ada/later").await;
    publish(&there, "models/ada/later", None, &[("a", b"later")]).await.created();
    let again = start(one.path(), &database, Some(&s3));
    assert_eq!(again.anonymous().get("/api/v1/models/ada/later/versions/main/files/a").await.bytes, b"later"[..]);
    assert_eq!((again.stop(), b.stop()), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_database_is_away_says_so_and_goes_on_when_it_is_back() {
    let (mut cluster, data) = (Cluster::start(), tempfile::tempdir().unwrap());
    let database = cluster.database();
    let server = start(data.path(), &database, None);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("a", b"bytes")]).await.created();
    let path = "/api/v1/models/ada/net/versions/main/files/a";
    assert_eq!(ada.get(path).await.bytes, b"bytes"[..]);
    cluster.stop();
    for _ in 0..3 {
        let away = ada.get(path).await;
        away.problem(503, "database_unavailable");
        assert!(!away.header("retry-after").is_empty());
        assert!(!away.text().contains("hub-pg"), "addresses are the administrator's business: {}", away.text());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let refused = ada.post("/api/v1/repos", &serde_json::json!({"kind": "model", "id": "ada/other"})).await;
    assert_eq!(refused.status.as_u16(), 503, "{}", refused.text());
    cluster.start_again();
    let begun = Instant::now();
    while ada.get(path).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not found again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    publish(&ada, "models/ada/net", Some(1), &[("a", b"more")]).await.created();
    assert_eq!(ada.get(path).await.bytes, b"more"[..]);
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_moves_to_the_server_and_back() {
    let data = tempfile::tempdir().unwrap();
    let database = Cluster::shared().database();
    let path = data.path().to_str().unwrap();
    // An address of its own, whatever engine the other stories are told on.
    let on_a_file = || Server::start_on(data.path(), &["--workers", "0", "--db", ""], &[("HUB_DB", "")]);
    let server = on_a_file();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("a", b"bytes"), ("README.md", b"# About penguins")]).await.created();
    let busy = hub(data.path()).args(["admin", "migrate-db", "--data", path, "--from", path, "--to", &database]).output().unwrap();
    assert!(!busy.status.success() && String::from_utf8_lossy(&busy.stderr).contains("already serving"), "{busy:?}");
    let token = ada.token.clone();
    assert_eq!(server.stop(), Some(0));
    let moved =
        hub(data.path()).args(["admin", "migrate-db", "--data", path, "--from", path, "--to", &database, "--json"]).output().unwrap();
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let moved: Value = serde_json::from_slice(&moved.stdout).unwrap();
    assert!(moved["rows"].as_u64().unwrap() > 10 && moved["tables"].as_array().unwrap().iter().any(|table| table["table"] == "versions"));
    let twice = hub(data.path()).args(["admin", "migrate-db", "--data", path, "--from", path, "--to", &database]).output().unwrap();
    assert!(String::from_utf8_lossy(&twice.stderr).contains("holds a hub already"), "{twice:?}");

    let server = start(data.path(), &database, None);
    assert!(server.log().contains("is not used"), "the old file is named:\n{}", server.log());
    let ada = server.with_token(&token);
    assert_eq!(names(&ada.get("/api/v1/search?q=penguin").await.ok()).len(), 1);
    publish(&ada, "models/ada/net", Some(1), &[("a", b"more")]).await.created();
    let backup = tempfile::tempdir().unwrap();
    let mut back_up = server.hub(data.path());
    back_up.env("HUB_DB", &database).args(["admin", "backup", "--data", path]).arg(backup.path()).assert().success();
    assert_eq!(server.stop(), Some(0));

    for file in ["hub.db", "hub.db-wal", "hub.db-shm"] {
        let _ = std::fs::remove_file(data.path().join(file));
    }
    hub(data.path()).args(["admin", "migrate-db", "--data", path, "--from", &database, "--to", path]).assert().success();
    let server = on_a_file();
    let ada = server.with_token(&token);
    assert_eq!(ada.get("/api/v1/models/ada/net/versions/main/files/a").await.bytes, b"more"[..]);
    assert_eq!(server.stop(), Some(0));

    // A backup of a hub on a server is one as any other: restored into a file.
    let new = data.path().join("restored");
    let mut restore = hub(data.path());
    restore.env("HUB_DB", "").args(["admin", "restore", "--data"]).arg(&new).arg(backup.path()).assert().success();
    let server = Server::start_on(&new, &["--workers", "0", "--db", ""], &[("HUB_DB", "")]);
    let ada = server.with_token(&token);
    assert_eq!(ada.get("/api/v1/models/ada/net/versions/main/files/a").await.bytes, b"more"[..]);
    assert_eq!(names(&ada.get("/api/v1/search?q=net").await.ok()).len(), 1);
}
