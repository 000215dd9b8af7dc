//! Bytes that the disk or the bucket has changed under a hub: not one of them is sent, whoever asks by whatever road;
//! the administrator is told, and publishing again mends it.

use std::fs::{File, FileTimes, OpenOptions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::sharing_kit::{base, bytes_of, fine_tune, places};
use crate::support::publishing::{commit, create_repo, file, publish, random, sha256, upload};
use crate::support::s3::{BUCKET, S3, variables};
use crate::support::{Api, Reply, Server, hub, until};
use reqwest::Method;
use serde_json::json;

const FILE: &str = "/api/v1/models/library/net/versions/main/files/weights.dat";
/// What is checked at once.
const LEAF: usize = 512 * 1024;

fn stored(data: &Path, folder: &str, bytes: &[u8]) -> PathBuf {
    let hex = sha256(bytes);
    data.join(format!("{folder}/{}/{}/{hex}", &hex[..2], &hex[2..4]))
}

/// Changes one byte where it lies; the file looks as it did, but for the time of that if `quietly`.
fn flip(path: &Path, at: usize, quietly: bool) {
    let times = std::fs::metadata(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at as u64).unwrap();
    if quietly {
        file.set_times(FileTimes::new().set_modified(times.modified().unwrap())).unwrap();
    }
}

/// The status, the bytes that came, and whether they are all that were promised.
async fn read(api: &Api, path: &str, range: Option<(usize, usize)>) -> (u16, Vec<u8>, bool) {
    let mut request = api.request(Method::GET, path);
    if let Some((from, to)) = range {
        request = request.header("Range", format!("bytes={from}-{}", to - 1));
    }
    // The connection may end before anything was sent.
    let Ok(mut answer) = request.send().await else { return (0, Vec::new(), false) };
    let (status, mut bytes) = (answer.status().as_u16(), Vec::new());
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (status, bytes, true),
            Err(_) => return (status, bytes, false),
        }
    }
}

/// Asks for a blob with a bad byte at `at` until it is put aside: nothing wrong ever comes.
async fn is_never_sent(api: &Api, path: &str, true_bytes: &[u8], at: usize) {
    let leaf = at / LEAF * LEAF;
    let (status, bytes, whole) = read(api, path, None).await;
    assert!(status == 502 || (!whole && bytes.len() <= leaf && true_bytes.starts_with(&bytes)), "{status}, {} bytes", bytes.len());
    for (from, to) in [(at, at + 1), (leaf, true_bytes.len())] {
        assert_eq!(read(api, path, Some((from, to))).await.0, 502, "{from}..{to}");
    }
    let (status, bytes, whole) = read(api, path, Some((leaf - 9, at + 9))).await;
    assert!(status == 502 || (!whole && true_bytes[leaf - 9..leaf].starts_with(&bytes)), "{status}, {} bytes", bytes.len());
    let (status, bytes, whole) = read(api, path, Some((1, 1000))).await;
    assert!(status == 502 || (whole && bytes == true_bytes[1..1000]), "what is good may be sent: {status}");
    until("it is put aside", async || Reply::of(api.request(Method::GET, path).header("Range", "bytes=0-0")).await.status == 502).await;
    api.get(path).await.problem(502, "blob_corrupt");
}

async fn a_hub_with(bytes: &[u8]) -> Server {
    let server = Server::start();
    create_repo(&server.admin(), "model", "library/net").await;
    publish(&server.admin(), "models/library/net", None, &[("weights.dat", bytes)]).await.created();
    server
}

#[tokio::test]
async fn a_flipped_byte_is_not_sent_the_administrator_is_told_and_publishing_mends_it() {
    let bytes = random(1, 5 * LEAF + 77);
    let server = a_hub_with(&bytes).await;
    let stranger = server.anonymous();
    assert!(stranger.get(FILE).await.bytes == bytes);
    let (path, bad) = (stored(server.data(), "blobs", &bytes), 3 * LEAF + 5);
    flip(&path, bad, true);
    is_never_sent(&stranger, FILE, &bytes, bad).await;

    until("it is put aside", async || !path.exists()).await;
    assert!(server.data().join("quarantine").join(sha256(&bytes)).is_file());
    let named = "model library/net@1: weights.dat";
    until("the log names what it is", async || server.log().contains(named)).await;
    assert!(server.log().contains("a stored blob is damaged"), "{}", server.log());
    until("it is counted", async || server.admin().get("/metrics").await.text().contains("hub_reads_damaged_total 1\n")).await;
    let checked = hub(server.data()).args(["admin", "fsck", "--json", "--data"]).arg(server.data()).output().unwrap();
    let checked: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["damaged"][0]["code"], &checked["damaged"][0]["named_by"]), (&json!("blob_lost"), &json!([named])));

    let missing = server.admin().post("/api/v1/blobs/missing", &json!({"sha256": [sha256(&bytes)]})).await.ok();
    assert_eq!(missing["missing"], json!([sha256(&bytes)]));
    upload(&server.admin(), &bytes).await;
    assert!(stranger.get(FILE).await.bytes == bytes);
}

#[tokio::test]
async fn after_a_start_nothing_is_believed_that_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, small) = (random(2, 4 * LEAF), random(3, 1000));
    let server = Server::start_on(dir.path(), &["--workers", "0"], &[]);
    create_repo(&server.admin(), "model", "library/net").await;
    publish(&server.admin(), "models/library/net", None, &[("weights.dat", &bytes), ("small.txt", &small)]).await.created();
    let small_file = FILE.replace("weights.dat", "small.txt");
    assert!(server.anonymous().get(FILE).await.bytes == bytes && server.anonymous().get(&small_file).await.bytes == small);
    server.stop();
    flip(&stored(dir.path(), "blobs", &bytes), 2 * LEAF, true);
    flip(&stored(dir.path(), "blobs", &small), 999, true);
    let server = Server::start_on(dir.path(), &["--workers", "0"], &[]);
    is_never_sent(&server.anonymous(), FILE, &bytes, 2 * LEAF).await;
    assert_eq!(read(&server.anonymous(), &small_file, Some((0, 1))).await.0, 502, "a small file is checked whole");
}

#[tokio::test]
async fn without_or_with_wrong_hashes_of_its_leaves_a_blob_is_proved_whole_first() {
    let (dir, bytes) = (tempfile::tempdir().unwrap(), random(4, 3 * LEAF + 1));
    let start = || Server::start_on(dir.path(), &["--workers", "0"], &[]);
    let server = start();
    create_repo(&server.admin(), "model", "library/net").await;
    publish(&server.admin(), "models/library/net", None, &[("weights.dat", &bytes)]).await.created();
    server.stop();
    let (blob, list) = (stored(dir.path(), "blobs", &bytes), stored(dir.path(), "hashes", &bytes));
    let written = std::fs::read(&list).unwrap();
    for problem in ["lost", "rotten", "torn"] {
        match problem {
            "lost" => std::fs::remove_file(&list).unwrap(),
            "rotten" => flip(&list, 50, true),
            _ => std::fs::write(&list, &written[..40]).unwrap(),
        }
        let server = start();
        assert!(server.anonymous().get(FILE).await.bytes == bytes, "{problem}");
        assert!(std::fs::read(&list).unwrap() == written, "{problem}: written again");
        server.stop();
    }
    std::fs::remove_file(&list).unwrap();
    flip(&blob, 2 * LEAF, true);
    start().anonymous().get(FILE).await.problem(502, "blob_corrupt");
}

#[tokio::test]
async fn a_file_that_was_replaced_or_cut_is_read_again() {
    let bytes = random(5, 3 * LEAF);
    let server = a_hub_with(&bytes).await;
    let stranger = server.anonymous();
    assert!(stranger.get(FILE).await.bytes == bytes);
    let path = stored(server.data(), "blobs", &bytes);
    // Another file of the same size and time.
    let (times, mut other) = (std::fs::metadata(&path).unwrap(), bytes.clone());
    other[LEAF] ^= 1;
    std::fs::write(path.with_extension("new"), &other).unwrap();
    let replaced = File::options().write(true).open(path.with_extension("new")).unwrap();
    replaced.set_times(FileTimes::new().set_modified(times.modified().unwrap())).unwrap();
    std::fs::rename(path.with_extension("new"), &path).unwrap();
    is_never_sent(&stranger, FILE, &bytes, LEAF).await;
    until("it is put aside", async || !path.exists()).await;
    upload(&server.admin(), &bytes).await;
    assert!(stranger.get(FILE).await.bytes == bytes);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(LEAF as u64).unwrap();
    stranger.get(FILE).await.problem(502, "blob_corrupt");
    until("it is put aside", async || !path.exists()).await;
}

#[tokio::test]
async fn a_byte_that_changes_while_a_file_is_sent_is_not_sent() {
    let bytes = random(6, 60 * LEAF);
    let server = a_hub_with(&bytes).await;
    assert!(server.anonymous().get(FILE).await.bytes == bytes, "all of it was found good");
    let mut answer = server.anonymous().request(Method::GET, FILE).send().await.unwrap();
    let mut got = answer.chunk().await.unwrap().unwrap().to_vec();
    flip(&stored(server.data(), "blobs", &bytes), 59 * LEAF, true);
    let ended_well = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            ended => break ended.is_ok(),
        }
    };
    assert!(!ended_well && got.len() <= 59 * LEAF && bytes.starts_with(&got), "{} bytes came", got.len());
}

#[tokio::test]
async fn every_road_leads_through_the_same_door() {
    let server = Server::start();
    let admin = server.admin();
    let weights = base();
    let (first, second) = (bytes_of(&weights), bytes_of(&fine_tune(&weights, 3, 9)));
    create_repo(&admin, "model", "library/net").await;
    for (bytes, parent) in [(&first, None), (&second, Some(1))] {
        upload(&admin, bytes).await;
        commit(&admin, "models/library/net", parent, vec![file("model.safetensors", bytes)]).await.created();
    }
    assert!(places(server.data(), &second).1.is_file(), "the second lies in the first");
    let bad = first.len() / 2;
    let (tuned, whole) = ("/api/v1/models/library/net/versions/2/files/model.safetensors", sha256(&first));
    // Where the fine-tune has the byte.
    let here = second.windows(64).position(|window| window == &first[bad..bad + 64]).unwrap();
    assert!(server.anonymous().get(tuned).await.bytes == second);
    flip(&places(server.data(), &first).0, bad, false);
    let roads = [
        ("/library/net/resolve/1/model.safetensors".to_owned(), &first, bad),
        (format!("/library/net.git/info/lfs/objects/{whole}"), &first, bad),
        (format!("/files/library/net/model-{}.safetensors", &whole[..8]), &first, bad),
        ("/library/net/download/1/model.safetensors".to_owned(), &first, bad),
        (tuned.to_owned(), &second, here),
    ];
    for (path, expected, at) in &roads {
        let (status, bytes, whole) = read(&server.anonymous(), path, None).await;
        assert!(status == 502 || (!whole && bytes.len() <= *at && expected.starts_with(&bytes)), "{path}: {status}, {}", bytes.len());
        let part = read(&server.anonymous(), path, Some((*at, *at + 1))).await;
        assert!(part.0 == 502, "{path}: {}", part.0);
    }
    let home = tempfile::tempdir().unwrap();
    let pulled = server.hub(home.path()).args(["pull", "library/net@2", "--quiet"]).output().unwrap();
    assert!(!pulled.status.success());
    upload(&admin, &first).await;
    for (path, expected, _) in &roads {
        assert!(server.anonymous().get(path).await.bytes == **expected, "{path}");
    }
}

#[tokio::test]
async fn a_bucket_is_no_more_trusted_than_a_disk() {
    let (s3, data) = (S3::start(), tempfile::tempdir().unwrap());
    let variables = variables(s3.port);
    let environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let store = format!("s3://{BUCKET}/hub");
    let server = Server::start_on(data.path(), &["--workers", "0", "--store", &store], &environment);
    let admin = server.admin();
    create_repo(&admin, "model", "library/net").await;
    let bytes = random(7, 6 * LEAF + 3);
    publish(&admin, "models/library/net", None, &[("weights.dat", &bytes)]).await.created();
    let stranger = server.anonymous();
    assert!(stranger.get(FILE).await.bytes == bytes);
    let object = s3.object("hub", &sha256(&bytes));
    let bad = 4 * LEAF + 9;
    flip(&object, bad, true);
    is_never_sent(&stranger, FILE, &bytes, bad).await;
    until("it is put aside", async || !object.exists()).await;
    upload(&admin, &bytes).await;
    assert!(stranger.get(FILE).await.bytes == bytes);
    assert_eq!(read(&stranger, FILE, Some((LEAF - 1, LEAF + 1))).await, (206, bytes[LEAF - 1..LEAF + 1].to_vec(), true));

    // An object whose hashes nobody has written.
    let list = s3.bucket().join(format!("hub/hashes/{}/{}/{}", &sha256(&bytes)[..2], &sha256(&bytes)[2..4], sha256(&bytes)));
    assert!(list.is_file(), "{list:?}");
}
