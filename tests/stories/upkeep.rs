//! Upkeep of a real hub by its real command line, while its server runs: collecting beside publishes, finding
//! and repairing damage, comparing catalog and store, backing up and restoring.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::publishing::{commit, create_repo, file, publish, safetensors, sha256, upload};
use crate::support::{Api, Server, hub, until};
use hub::db::Db;
use hub::domain::digest::Digest;
use serde_json::{Value, json};

/// Runs `hub admin` on a directory and expects this exit code; its JSON.
#[track_caller]
fn admin(data: &Path, args: &[&str], code: i32) -> Value {
    let output = hub(data).arg("admin").args(args).arg("--json").arg("--data").arg(data).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "hub admin {args:?}\n{said}");
    if code != 0 {
        assert!(String::from_utf8_lossy(&output.stderr).contains("\"hint\""), "a failure without a hint: {said}");
    }
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// As if all that was sent so far had been sent long ago.
async fn age(data: &Path) {
    let db = Db::open(&data.join("hub.db")).await.unwrap();
    db.write(|tx| tx.execute("update blob_grants set created = 0", &[])).await.unwrap();
}

fn blob(data: &Path, bytes: &[u8]) -> PathBuf {
    let hex = sha256(bytes);
    data.join(format!("blobs/{}/{}/{hex}", &hex[..2], &hex[2..4]))
}

/// Changes one byte where it lies.
fn rot(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Digests of the blobs that lie in a directory.
fn lying(data: &Path) -> Vec<String> {
    let files = walkdir::WalkDir::new(data.join("blobs")).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    let mut names: Vec<_> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every file of every version that is there, read and hashed: path to sha256.
async fn read_all(api: &Api, repo: &str) -> BTreeMap<String, String> {
    let mut read = BTreeMap::new();
    let versions = api.get(&format!("/api/v1/{repo}/versions?limit=100")).await.ok();
    for version in versions["items"].as_array().unwrap().iter().filter(|version| version["state"] != "deleted") {
        let number = version["number"].as_u64().unwrap();
        let listed = api.get(&format!("/api/v1/{repo}/versions/{number}/files")).await.ok();
        for entry in listed["items"].as_array().or(listed.as_array()).unwrap() {
            let path = format!("/api/v1/{repo}/versions/{number}/files/{}", entry["path"].as_str().unwrap());
            let answer = api.get(&path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(sha256(&answer.bytes), entry["sha256"].as_str().unwrap(), "{path}");
            read.insert(path, sha256(&answer.bytes));
        }
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_versions_and_repos_make_room() {
    let server = Server::start();
    let api = server.admin();
    let (one, two) = (safetensors(&[("a", &[100])]), safetensors(&[("b", &[200])]));
    create_repo(&api, "model", "library/net").await;
    create_repo(&api, "model", "library/other").await;
    publish(&api, "models/library/net", None, &[("model.safetensors", &one), ("notes.txt", b"shared")]).await.created();
    publish(&api, "models/library/net", Some(1), &[("model.safetensors", &two), ("notes.txt", b"shared")]).await.created();
    publish(&api, "models/library/other", None, &[("only.txt", b"only here")]).await.created();
    let gc = |args: &[&str]| admin(server.data(), &[&["gc"], args].concat(), 0);
    assert_eq!(gc(&["--grace", "0s"])["condemned"]["blobs"], 0);

    api.delete("/api/v1/models/library/net/versions/1").await.done();
    api.delete("/api/v1/models/library/other").await.done();
    assert_eq!(gc(&["--grace", "0s"])["condemned"]["blobs"], 0, "sent within the hour: its sender may still commit it");
    age(server.data()).await;
    assert_eq!(gc(&[])["condemned"]["blobs"], 0, "the grace period is a day");
    let dry = gc(&["--grace", "0s", "--dry-run"]);
    assert_eq!((&dry["condemned"]["blobs"], dry["list"].as_array().unwrap().len()), (&json!(2), 2));
    assert_eq!(lying(server.data()).len(), 4);
    let done = gc(&["--grace", "0s"]);
    assert_eq!(done["freed"], json!({ "blobs": 2, "bytes": one.len() + 9 }));
    let mut left = [sha256(&two), sha256(b"shared")];
    left.sort();
    assert_eq!(lying(server.data()), left);
    assert_eq!(read_all(&api, "models/library/net").await.len(), 2);
    let metrics = server.admin().get("/metrics").await.text();
    for line in [format!("hub_gc_freed_bytes_total {}", one.len() + 9), "hub_gc_freed_blobs_total 2".into(), "hub_store_blobs ".into()] {
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    publish(&api, "models/library/net", Some(2), &[("model.safetensors", &one)]).await.created();
    let human = hub(server.data()).args(["admin", "gc", "--data"]).arg(server.data()).output().unwrap();
    assert!(String::from_utf8_lossy(&human.stdout).starts_with("removed: 0 blobs, 0 B"), "{human:?}");
    assert_eq!(admin(server.data(), &["fsck"], 0)["damaged"], json!([]));
}

/// One publisher: new and old contents, versions deleted again, until told to stop. What it left, by version.
async fn publish_in_a_loop(api: Api, name: String, seed: u64, stop: Arc<AtomicBool>) -> (usize, usize) {
    create_repo(&api, "model", &name).await;
    let repo = format!("models/{name}");
    let (mut head, mut made, mut refused) = (None, 0, 0);
    while !stop.load(Ordering::Relaxed) {
        let n = seed + made as u64 % 7;
        let bytes = format!("content {n} ").repeat(500 + n as usize);
        let files = [("a.txt", bytes.as_bytes()), ("b.txt", name.as_bytes())];
        let mut entries = Vec::new();
        for (path, bytes) in files {
            upload(&api, bytes).await;
            entries.push(file(path, bytes));
        }
        let answer = commit(&api, &repo, head, entries).await;
        if answer.status == 422 {
            // Collected between the upload and the commit, since this story makes an hour pass in no time.
            assert_eq!(answer.json()["code"], "blob_unknown", "{}", answer.text());
            refused += 1;
            continue;
        }
        let number = answer.created()["version"]["number"].as_u64().unwrap() as u32;
        made += 1;
        head = Some(number);
        // What goes with an old version comes again with a new one: the collector and the publisher meet.
        if number > 3 {
            api.delete(&format!("/api/v1/{repo}/versions/{}", number - 3)).await.done();
        }
    }
    (made, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn collecting_without_grace_beside_publishes_loses_nothing() {
    let server = Server::start();
    let (api, stop) = (server.admin(), Arc::new(AtomicBool::new(false)));
    let publishers: Vec<_> =
        (0..3).map(|n| tokio::spawn(publish_in_a_loop(api.clone(), format!("library/net{n}"), n * 100, stop.clone()))).collect();
    let (mut freed, mut passes) = (0, 0);
    until("collections free what publishers leave behind", async || {
        if passes % 3 == 2 {
            age(server.data()).await;
        }
        let data = server.data().to_owned();
        let done = tokio::task::spawn_blocking(move || admin(&data, &["gc", "--grace", "0s"], 0)).await.unwrap();
        freed += done["freed"]["blobs"].as_u64().unwrap();
        passes += 1;
        freed >= 40
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut named = BTreeMap::new();
    for (n, publisher) in publishers.into_iter().enumerate() {
        let (made, refused) = publisher.await.unwrap();
        println!("net{n}: {made} versions, {refused} commits refused");
        named.extend(read_all(&api, &format!("models/library/net{n}")).await);
    }
    println!("{passes} collections freed {freed} blobs");
    age(server.data()).await;
    admin(server.data(), &["gc", "--grace", "0s"], 0);
    let mut digests: Vec<String> = named.into_values().collect();
    digests.sort();
    digests.dedup();
    assert_eq!(lying(server.data()), digests, "exactly what is named is left");
    let checked = admin(server.data(), &["fsck"], 0);
    assert_eq!((&checked["damaged"], &checked["garbage"]), (&json!([]), &json!({})));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_put_aside_and_repaired_by_publishing_again() {
    let server = Server::start();
    let (api, home) = (server.admin(), tempfile::tempdir().unwrap());
    let weights = safetensors(&[("weight", &[5_000])]);
    let folder = home.path().join("net");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), &weights).unwrap();
    std::fs::write(folder.join("README.md"), "# A net\n").unwrap();
    let publish = || server.hub(home.path()).arg("publish").arg(&folder).args(["library/net", "--json"]).output().unwrap();
    assert!(publish().status.success());
    let good = admin(server.data(), &["scrub"], 0);
    assert_eq!(good, json!({ "read": { "blobs": 2, "bytes": weights.len() + 8 }, "damaged": [] }));

    rot(&blob(server.data(), &weights));
    assert_eq!(admin(server.data(), &["fsck"], 0)["damaged"], json!([]), "names and sizes are as they were");
    let found = admin(server.data(), &["scrub"], 5);
    let damage = &found["damaged"][0];
    assert_eq!((&damage["sha256"], &damage["quarantined"]), (&json!(sha256(&weights)), &json!(true)));
    assert_eq!(damage["named_by"], json!(["model library/net@1: model.safetensors"]));
    assert!(server.data().join("quarantine").join(sha256(&weights)).is_file());
    api.get("/api/v1/models/library/net/versions/main/files/model.safetensors").await.problem(502, "blob_corrupt");
    let lost = admin(server.data(), &["fsck"], 5);
    assert_eq!((&lost["damaged"][0]["code"], lost["damaged"].as_array().unwrap().len()), (&json!("blob_lost"), 1));
    assert!(lost["damaged"][0]["message"].as_str().unwrap().contains("quarantine"), "{lost}");
    let again = admin(server.data(), &["scrub"], 5);
    assert!(again["damaged"][0]["problem"].as_str().unwrap().contains("put aside before"), "{again}");

    let repaired: Value = serde_json::from_slice(&publish().stdout).unwrap();
    assert_eq!((&repaired["version"]["number"], &repaired["sent_bytes"]), (&json!(1), &json!(weights.len())), "{repaired}");
    let file = api.get("/api/v1/models/library/net/versions/main/files/model.safetensors").await;
    assert_eq!((file.status.as_u16(), file.bytes == weights), (200, true));
    admin(server.data(), &["scrub"], 0);
    admin(server.data(), &["fsck"], 0);
    admin(server.data(), &["scrub", "--sample", "50%"], 0);
    assert!(server.admin().get("/metrics").await.text().contains("hub_scrub_damaged_total 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_and_store_are_compared_both_ways() {
    let server = Server::start();
    let api = server.admin();
    create_repo(&api, "model", "library/net").await;
    publish(&api, "models/library/net", None, &[("a.txt", b"aaaa"), ("b.txt", b"bbbb")]).await.created();
    let stray = Digest::of(b"nobody's");
    let folder = server.data().join("blobs").join(&stray.to_hex()[..2]).join(&stray.to_hex()[2..4]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(stray.to_hex()), "nobody's").unwrap();
    std::fs::write(folder.join("notes"), "x").unwrap();
    let checked = admin(server.data(), &["fsck"], 0);
    assert_eq!((&checked["blobs"], &checked["versions"]), (&json!({ "blobs": 2, "bytes": 8 }), &json!(1)));
    assert_eq!(checked["garbage"], json!({ "foreign": { "blobs": 1, "bytes": 1 }, "orphan": { "blobs": 1, "bytes": 8 } }));

    std::fs::remove_file(blob(server.data(), b"aaaa")).unwrap();
    rot(&blob(server.data(), b"bbbb"));
    std::fs::write(blob(server.data(), b"bbbb"), "bb").unwrap();
    let damaged = admin(server.data(), &["fsck"], 5);
    let codes: Vec<_> = damaged["damaged"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["blob_lost", "blob_size"]);
    assert_eq!(damaged["damaged"][0]["named_by"], json!(["model library/net@1: a.txt"]));

    let db = Db::open(&server.data().join("hub.db")).await.unwrap();
    let digest = sha256(b"aaaa");
    db.write(move |tx| {
        tx.execute("delete from blobs where digest = $1", hub::params![digest])?;
        tx.execute("delete from files where path = 'b.txt'", &[])
    })
    .await
    .unwrap();
    let damaged = admin(server.data(), &["fsck"], 5);
    let codes: Vec<_> = damaged["damaged"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["blob_size", "file_without_blob", "manifest"], "{damaged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_hub_restores_to_the_same_hashes() {
    let server = Server::start();
    let (api, stop, home) = (server.admin(), Arc::new(AtomicBool::new(false)), tempfile::tempdir().unwrap());
    let vault = home.path().join("vault");
    let busy: Vec<_> =
        (0..2).map(|n| tokio::spawn(publish_in_a_loop(api.clone(), format!("library/net{n}"), n * 5, stop.clone()))).collect();
    let back_up = |extra: &'static [&'static str]| {
        let (data, vault) = (server.data().to_owned(), vault.clone());
        tokio::task::spawn_blocking(move || admin(&data, &[&["backup", vault.to_str().unwrap(), "--keep", "2"], extra].concat(), 0))
    };
    let mut generations = Vec::new();
    while generations.len() < 4 {
        until("there is a version", async || api.get("/api/v1/models/library/net1/versions/main").await.status == 200).await;
        generations.push(back_up(&[]).await.unwrap()["generation"].as_str().unwrap().to_owned());
        let data = server.data().to_owned();
        tokio::task::spawn_blocking(move || admin(&data, &["gc", "--grace", "0s"], 0)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for publisher in busy {
        publisher.await.unwrap();
    }
    let last = back_up(&["--verify"]).await.unwrap();
    let again = back_up(&[]).await.unwrap();
    assert_eq!(again["copied"]["blobs"], 0, "nothing new to copy");
    assert_eq!(again["generations"].as_array().unwrap().len(), 2);

    let restored = home.path().join("restored");
    let vault_text = vault.to_str().unwrap();
    let unknown = admin(&restored, &["restore", vault_text, "--generation", &generations[0]], 3);
    assert_eq!(unknown, Value::Null, "only two are kept");
    let done = admin(&restored, &["restore", vault_text, "--generation", last["generation"].as_str().unwrap()], 0);
    assert_eq!(done["blobs"], last["blobs"]);
    admin(&restored, &["restore", vault_text], 4);
    admin(&restored, &["fsck"], 0);
    admin(&restored, &["scrub"], 0);
    let twin = Server::start_on(&restored, &["--workers", "0"], &[]);
    for repo in ["models/library/net0", "models/library/net1"] {
        let (theirs, ours) = (read_all(&twin.with_token(&server.admin_token), repo).await, read_all(&api, repo).await);
        assert_eq!(theirs, ours, "{repo}");
        assert!(!ours.is_empty());
    }
    assert!(server.admin().get("/metrics").await.text().contains("hub_backups_total 6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_not_restored_unseen_and_a_damaged_hub_not_backed_up_unseen() {
    let server = Server::start();
    let (api, home) = (server.admin(), tempfile::tempdir().unwrap());
    create_repo(&api, "model", "library/net").await;
    publish(&api, "models/library/net", None, &[("a.txt", b"aaaa"), ("b.txt", b"bbbb")]).await.created();
    let vault = home.path().join("vault");
    let vault_text = vault.to_str().unwrap();
    admin(server.data(), &["backup", vault_text], 0);
    admin(server.data(), &["backup", server.data().to_str().unwrap()], 1);
    admin(home.path(), &["backup", vault_text], 3);

    // Of its own bytes: a link would have damaged the hub, too.
    let copy = blob(&vault, b"aaaa");
    std::fs::remove_file(&copy).unwrap();
    std::fs::write(&copy, "aaax").unwrap();
    admin(&home.path().join("new"), &["restore", vault_text], 5);
    assert!(!home.path().join("new/hub.db").exists());
    let part = admin(&home.path().join("new"), &["restore", vault_text, "--incomplete"], 5);
    assert_eq!(part["lost"][0]["named_by"], json!(["model library/net@1: a.txt"]));
    assert!(home.path().join("new/hub.db").exists());
    let mended = admin(server.data(), &["backup", vault_text, "--verify"], 0);
    assert_eq!(mended["copied"]["blobs"], 1);
    admin(&home.path().join("whole"), &["restore", vault_text], 0);
    admin(&home.path().join("other"), &["restore", home.path().to_str().unwrap()], 3);

    rot(&blob(server.data(), b"bbbb"));
    let second = home.path().join("second");
    let lost = admin(server.data(), &["backup", second.to_str().unwrap()], 5);
    assert_eq!((&lost["lost"][0]["sha256"], &lost["blobs"]["blobs"]), (&json!(sha256(b"bbbb")), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_pieces_of_others_keeps_them_and_is_backed_up_as_it_lies() {
    let server = Server::start();
    let (api, home) = (server.admin(), tempfile::tempdir().unwrap());
    let base = safetensors(&[("stem", &[300_000]), ("head", &[1_000])]);
    let tuned = safetensors(&[("stem", &[300_000]), ("head", &[2_000])]);
    for (name, bytes) in [("base", &base), ("tuned", &tuned)] {
        create_repo(&api, "model", &format!("library/{name}")).await;
        publish(&api, &format!("models/library/{name}"), None, &[("model.safetensors", bytes)]).await.created();
    }
    let list = |data: &Path| blob(data, &tuned).with_extension("segments");
    assert!(list(server.data()).is_file() && !blob(server.data(), &tuned).exists(), "the story needs a shared blob");
    api.delete("/api/v1/models/library/base").await.done();
    age(server.data()).await;
    assert_eq!(admin(server.data(), &["gc", "--grace", "0s"], 0)["freed"]["blobs"], 0, "the other lies in pieces of it");
    let ours = read_all(&api, "models/library/tuned").await;
    admin(server.data(), &["scrub"], 0);
    admin(server.data(), &["fsck"], 0);

    let (vault, restored) = (home.path().join("vault"), home.path().join("restored"));
    admin(server.data(), &["backup", vault.to_str().unwrap()], 0);
    assert!(list(&vault).is_file() && !blob(&vault, &tuned).exists());
    admin(&restored, &["restore", vault.to_str().unwrap()], 0);
    admin(&restored, &["fsck"], 0);
    let twin = Server::start_on(&restored, &["--workers", "0"], &[]);
    assert_eq!(read_all(&twin.with_token(&server.admin_token), "models/library/tuned").await, ours);
    let metrics = twin.with_token(&server.admin_token).get("/metrics").await.text();
    let number = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("no {name}\n{metrics}"));
        line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(number("hub_store_shared_bytes"), tuned.len());
    assert!(number("hub_store_bytes") >= base.len() + tuned.len());

    rot(&blob(server.data(), &base));
    let found = admin(server.data(), &["scrub"], 5);
    let damage = found["damaged"].as_array().unwrap().iter().find(|damage| damage["sha256"] == sha256(&base)).unwrap();
    assert_eq!(damage["named_by"], json!(["model library/tuned@1: model.safetensors"]));
    upload(&api, &tuned).await;
    assert_eq!(read_all(&api, "models/library/tuned").await, ours, "sent again, it needs nobody else");

    api.delete("/api/v1/models/library/tuned").await.done();
    age(server.data()).await;
    admin(server.data(), &["gc", "--grace", "0s"], 0);
    assert_eq!(lying(server.data()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_house_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let quiet = Server::start_on(dir.path(), &["--workers", "0"], &[("HUB_GC_INTERVAL", "0"), ("HUB_SCRUB_PERIOD", "0")]);
    let api = quiet.admin();
    create_repo(&api, "model", "library/net").await;
    publish(&api, "models/library/net", None, &[("a.txt", b"aaaa"), ("b.txt", b"bbbb")]).await.created();
    publish(&api, "models/library/net", Some(1), &[("a.txt", b"aaaa")]).await.created();
    api.delete("/api/v1/models/library/net/versions/1").await.done();
    let metrics = quiet.admin().get("/metrics").await.text();
    assert!(metrics.contains("hub_gc_runs_total 0") && metrics.contains("hub_scrub_blobs_total 0"), "{metrics}");
    assert_eq!(quiet.stop(), Some(0));
    age(dir.path()).await;
    rot(&blob(dir.path(), b"aaaa"));

    let busy = Server::start_on(dir.path(), &["--workers", "0"], &[("HUB_GC_INTERVAL", "1s"), ("HUB_GC_GRACE", "0s")]);
    until("the damage is found and the garbage collected", async || {
        let metrics = busy.admin().get("/metrics").await.text();
        metrics.contains("hub_scrub_damaged_total 1") && metrics.contains("hub_gc_freed_bytes_total 4")
    })
    .await;
    assert!(!blob(dir.path(), b"bbbb").exists() && dir.path().join("quarantine").join(sha256(b"aaaa")).exists());
    assert!(busy.log().contains("a blob is damaged"));
    let fresh = json!({ "sha256": [sha256(b"aaaa")] });
    let missing = busy.with_token(&busy.admin_token).post("/api/v1/blobs/missing", &fresh).await.ok();
    assert_eq!(missing["missing"], json!([sha256(b"aaaa")]), "it is asked for again");
}
