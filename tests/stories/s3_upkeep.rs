//! The house of a hub whose blobs lie in an S3 store: sharing, jobs, collecting, damage and its repair, a backup.
//! Told against a real S3 server.

use std::path::Path;

use crate::support::publishing::{create_repo, publish, safetensors, sha256, upload};
use crate::support::s3::{BUCKET, S3, variables};
use crate::support::training::{self, Person};
use crate::support::{Server, hub};
use hub::db::Db;
use serde_json::{Value, json};

const PREFIX: &str = "hubs/one";
const FILE: &str = "versions/main/files/model.safetensors";

/// A hub on S3.
struct House {
    s3: S3,
    data: tempfile::TempDir,
}

impl House {
    fn new() -> House {
        House { s3: S3::start(), data: tempfile::tempdir().unwrap() }
    }

    fn start(&self, workers: &str) -> Server {
        let variables = variables(self.s3.port);
        let environment: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Server::start_on(self.data.path(), &["--workers", workers, "--store", &format!("s3://{BUCKET}/{PREFIX}")], &environment)
    }

    /// Runs `hub admin` on a directory, beside the server, and expects this exit code; its JSON.
    #[track_caller]
    fn admin(&self, data: &Path, args: &[&str], code: i32) -> Value {
        let mut command = hub(data);
        let output = command.envs(variables(self.s3.port)).arg("admin").args(args).arg("--json").arg("--data").arg(data).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "hub admin {args:?}\n{said}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn upkeep(&self, args: &[&str], code: i32) -> Value {
        self.admin(self.data.path(), args, code)
    }

    /// Everything that lies in the bucket under `folder`.
    fn lying(&self, folder: &str) -> Vec<String> {
        let top = self.s3.bucket().join(PREFIX).join(folder);
        let files = walkdir::WalkDir::new(top).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
        let mut names: Vec<_> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// As if all that was sent so far had been sent long ago.
    async fn age(&self) {
        let db = Db::open(&self.data.path().join("hub.db")).await.unwrap();
        db.write(|tx| tx.execute("update blob_grants set created = 0", &[])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shared_in_a_bucket_is_kept_mended_backed_up_and_collected() {
    let (house, home) = (House::new(), tempfile::tempdir().unwrap());
    let server = house.start("0");
    let api = server.admin();
    let base = safetensors(&[("stem", &[300_000]), ("head", &[1_000])]);
    let tuned = safetensors(&[("stem", &[300_000]), ("head", &[2_000])]);
    for (name, bytes) in [("base", &base), ("tuned", &tuned)] {
        create_repo(&api, "model", &format!("library/{name}")).await;
        publish(&api, &format!("models/library/{name}"), None, &[("model.safetensors", bytes)]).await.created();
    }
    let (object, tuned_path) = (|bytes: &[u8]| house.s3.object(PREFIX, &sha256(bytes)), format!("/api/v1/models/library/tuned/{FILE}"));
    assert!(object(&tuned).with_extension("segments").is_file() && !object(&tuned).exists(), "it lies in pieces of its base");
    assert!(api.get(&tuned_path).await.bytes == tuned);
    let part = crate::support::Reply::of(api.request(reqwest::Method::GET, &tuned_path).header("Range", "bytes=1199000-1201000")).await;
    assert!(part.status == 206 && part.bytes == tuned[1_199_000..=1_201_000], "a range across two sources");
    house.upkeep(&["scrub"], 0);
    house.upkeep(&["fsck"], 0);

    // Backed up and restored into a directory: the same bytes, shared as they were.
    let (vault, restored) = (home.path().join("vault"), home.path().join("restored"));
    house.upkeep(&["backup", vault.to_str().unwrap()], 0);
    house.admin(&restored, &["restore", vault.to_str().unwrap()], 0);
    house.admin(&restored, &["scrub"], 0);
    let twin = Server::start_on(&restored, &["--workers", "0"], &[]);
    assert!(twin.anonymous().get(&tuned_path).await.bytes == tuned);

    // The base rots in the bucket: it is put aside, what lies in it is named, and one upload mends both.
    let mut rotten = base.clone();
    *rotten.last_mut().unwrap() ^= 1;
    rotten[500_000] ^= 1;
    std::fs::write(object(&base), &rotten).unwrap();
    let found = house.upkeep(&["scrub"], 5);
    let named: Vec<_> = found["damaged"].as_array().unwrap().iter().map(|damage| damage["sha256"].as_str().unwrap().to_owned()).collect();
    assert!(named.contains(&sha256(&base)) && named.contains(&sha256(&tuned)), "{found}");
    assert_eq!(house.lying("quarantine"), [sha256(&base)]);
    api.get(&tuned_path).await.problem(502, "blob_corrupt");
    assert!(object(&tuned).with_extension("segments").is_file(), "its list is right, and waits for the base");
    upload(&api, &base).await;
    for (name, bytes) in [("base", &base), ("tuned", &tuned)] {
        assert!(api.get(&format!("/api/v1/models/library/{name}/{FILE}")).await.bytes == *bytes, "{name}");
    }
    house.upkeep(&["scrub"], 0);
    house.upkeep(&["fsck"], 0);

    // Collected: the base stays as long as something lies in it.
    api.delete("/api/v1/models/library/base").await.done();
    house.age().await;
    assert_eq!(house.upkeep(&["gc", "--grace", "0s"], 0)["freed"]["blobs"], 0);
    assert!(api.get(&tuned_path).await.bytes == tuned);
    api.delete("/api/v1/models/library/tuned").await.done();
    house.age().await;
    house.upkeep(&["gc", "--grace", "0s"], 0);
    house.upkeep(&["gc", "--grace", "0s"], 0);
    assert_eq!(house.lying("blobs"), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_reads_from_and_publishes_to_the_bucket() {
    let house = House::new();
    let server = house.start("1");
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 4).await;
    let recipe = json!({ "strategy": "head", "epochs": 1, "batch_size": 4, "seed": 3, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours@1", "name": "ada/net", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    let (_, manifest) = ada.get("/models/ada/net/versions/1/manifest").await;
    let weights = manifest["files"].as_array().unwrap().iter().find(|file| file["path"] == "model.safetensors").unwrap();
    let hex = weights["sha256"].as_str().unwrap();
    assert!(house.s3.object(PREFIX, hex).with_extension("segments").is_file(), "a job's result shares with its base");
    let bytes = ada.stream("/models/ada/net/versions/1/files/model.safetensors").send().await.unwrap().bytes().await.unwrap();
    assert_eq!(sha256(&bytes), hex);
    let (status, answer) = ada.send("/models/ada/net/predict", training::picture([190, 10, 10], 5)).await;
    assert_eq!(status, 200, "{answer}");
}
