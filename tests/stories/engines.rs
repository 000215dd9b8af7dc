//! Jobs on engines people already run: a Slurm of one machine that the story starts, and a stub of Kubernetes' API, since no cluster can be
//! had here. Whatever the engine loses, kills or runs twice, a job has one result.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::jobs::{long, weights_of};
use crate::support::slurm::Slurm;
use crate::support::training::{ARCHITECTURE, Gate, Person, Worker, base_files};
use crate::support::{HUB, Server, signal, until};
use hub::nn::weights::Weights;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A hub with a base and a data set, a worker's token in a file, and a place for workers.
struct House {
    server: Server,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> House {
        let server = Server::start();
        Person::admin(&server).publish_both("library/tiny", "library/colours", 12).await;
        let made = server.admin().post("/api/v1/admin/worker-tokens", &json!({ "name": "cluster" })).await.created();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), made["secret"].as_str().unwrap()).unwrap();
        House { server, folder }
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn dispatch(&self, engine: &str, args: &[&str]) -> Command {
        let mut command = Command::new(HUB);
        command.args(["dispatch", "--engine", engine, "--hub", &self.server.url, "--token-file"]).arg(self.token_file());
        command.args(["--cpus", "1"]).args(args).env("HOME", self.folder.path()).env_remove("HUB_DATA").stdin(Stdio::null());
        command
    }

    fn to_slurm(&self, slurm: &Slurm, args: &[&str]) -> Command {
        let (logs, work) = (self.folder.path().join("logs"), self.work());
        std::fs::create_dir_all(&logs).unwrap();
        let mut command = self.dispatch("slurm", args);
        let (variable, config) = slurm.environment();
        command.arg("--folder").arg(work).arg("--logs").arg(logs).args(["--program", HUB]).env(variable, config);
        command
    }

    /// What the workers on Slurm's machine have logged.
    fn logs(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path().join("logs")).into_iter().flatten().flatten();
        entries
            .map(|entry| format!("--- {}\n{}", entry.path().display(), std::fs::read_to_string(entry.path()).unwrap_or_default()))
            .collect()
    }
}

/// A dispatcher that goes on until the story ends.
struct Dispatcher(Child);

impl Drop for Dispatcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One look; what it says it did.
fn once(mut command: Command) -> Value {
    let output = command.args(["--once", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The workers that Slurm has started for this hub.
fn workers_of(url: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.get(1) == Some(&&b"worker"[..]) && words.get(3) == Some(&url.as_bytes())
    };
    processes.filter(is_it).collect()
}

#[tokio::test]
async fn slurm_runs_what_is_queued_and_what_it_loses_is_handed_over_again() {
    let (house, slurm) = (House::new().await, Slurm::start(1));
    let admin = Person::admin(&house.server);
    let gate = Gate::in_folder(&house.work(), 1);
    let (first, second) = (admin.finetune(long("library/first", 3)).await, admin.finetune(long("library/second", 3)).await);
    assert_eq!(once(house.to_slurm(&slurm, &[]))["submitted"], 2);
    assert_eq!(once(house.to_slurm(&slurm, &[]))["submitted"], 0, "both are there");
    admin.held(&first, 1).await;
    assert!(admin.log(&first).await.contains("handed to slurm (main) as "), "{}", admin.log(&first).await);
    assert_eq!(slurm.queue().len(), 2, "one runs, one waits for the slot");

    // One that waits and is cancelled is cancelled there, too.
    let (status, _) = admin.post(&format!("/jobs/{second}/cancel"), json!({})).await;
    assert_eq!(status, 200);
    let done = once(house.to_slurm(&slurm, &[]));
    assert_eq!((&done["ended"], &done["cancelled"]), (&json!(1), &json!(1)), "{done}");
    until("the waiting job is gone from Slurm", async || slurm.queue().len() == 1).await;

    // Somebody ends the running one by hand: it gives its job back, with its checkpoint.
    let running = slurm.queue().remove(0);
    slurm.ask("scancel", &[&running]);
    admin.wait(&first, "given back", |job| job["state"] == "queued").await;
    gate.open();
    let dispatcher = house.to_slurm(&slurm, &["--every", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _dispatcher = Dispatcher(dispatcher);
    let job = admin.end(&first).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}\n{}", admin.log(&first).await, house.logs());
    assert!(admin.log(&first).await.contains(&format!("slurm (main) does not have {running} any more")), "{}", admin.log(&first).await);
    until("nothing is left in Slurm", async || slurm.queue().is_empty()).await;
    weights_of(&admin, "library/first").await;
}

#[tokio::test]
async fn a_sweep_of_twelve_on_two_slots_of_slurm_is_published_once_whoever_is_killed() {
    let (house, slurm) = (House::new().await, Slurm::start(2));
    let admin = Person::admin(&house.server);
    let sweep = |name: &str| {
        let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 1, "batch_size": 6, "seed": 5, "threads": 1 });
        let grid = json!({ "settings": { "head_lr": [1e-8, 1e-6, 1e-4, 1e-3, 3e-3, 1e-2], "epochs": [1, 2] } });
        json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe, "sweep": grid })
    };
    let shaken = admin.finetune(sweep("library/shaken")).await;
    let dispatcher = house.to_slurm(&slurm, &["--every", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dispatcher = Dispatcher(dispatcher);
    for kills in 1..=2 {
        until(&format!("a worker of Slurm's to kill, time {kills}"), async || !workers_of(&house.server.url).is_empty()).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        if let Some(pid) = workers_of(&house.server.url).first() {
            signal(*pid, libc::SIGKILL);
        }
    }
    let job = admin.end(&shaken).await;
    assert_eq!(
        (&job["state"], &job["result_version"]),
        (&json!("succeeded"), &json!(1)),
        "{job:#}\n{}\n{}",
        admin.log(&shaken).await,
        house.logs()
    );
    let children = job["children"].as_array().unwrap().clone();
    assert_eq!(children.len(), 12);
    let log = admin.log(children[0]["job"].as_str().unwrap()).await;
    let numbers: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("handed to slurm (main) as ")).map(|(_, number)| number).collect();
    assert!(numbers.first().is_some_and(|number| number.contains('_')), "trials are an array: {log}");
    drop(dispatcher);

    let quiet = admin.finetune(sweep("library/quiet")).await;
    let _beside = Worker::start(&house.server);
    assert_eq!(admin.end(&quiet).await["state"], "succeeded", "{}", admin.log(&quiet).await);
    assert_eq!(weights_of(&admin, "library/shaken").await, weights_of(&admin, "library/quiet").await, "the same as beside the hub");
}

/// A base like the one of the house, with other weights.
fn another_base() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Weights::random(ARCHITECTURE, 10, 8).unwrap().save(&path, &[]).unwrap();
    let mut files = base_files();
    files[2].1 = std::fs::read(path).unwrap();
    files
}

#[tokio::test]
async fn what_follows_by_itself_waits_in_slurm_behind_what_it_follows() {
    let (house, slurm) = (House::new().await, Slurm::start(1));
    let admin = Person::admin(&house.server);
    admin.publish("model", "library/other", false, another_base()).await;
    let partition = |state: &str| slurm.ask("scontrol", &["update", "PartitionName=main", &format!("State={state}")]);
    let recipe = json!({ "strategy": "full", "frozen_stages": 6, "epochs": 3, "batch_size": 6, "seed": 5, "threads": 1 });
    let raced = |name: &str| json!({ "base": "auto", "race": true, "dataset": "colours", "name": name, "recipe": recipe });
    let mut sweep = long("library/swept", 1);
    sweep["sweep"] = json!({ "settings": { "head_lr": [1e-3, 3e-3] } });

    // Everything is handed over before anything has begun, the fine-tunes that are not there yet as well.
    partition("DOWN");
    let (race, other) = (admin.finetune(raced("library/chosen")).await, admin.finetune(raced("library/never")).await);
    let sweep = admin.finetune(sweep).await;
    let done = once(house.to_slurm(&slurm, &[]));
    assert_eq!((&done["submitted"], &done["behind"]), (&json!(4), &json!(3)), "{done}");
    let done = once(house.to_slurm(&slurm, &[]));
    assert_eq!((&done["submitted"], &done["behind"]), (&json!(0), &json!(0)), "{done}");
    let told = slurm.ask("squeue", &["--noheader", "--format=%i %k %E"]);
    let behind = |what: &str| {
        let line = told.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what} in {told}"));
        (line.split_whitespace().next().unwrap().to_owned(), line.to_owned())
    };
    let (tune_number, line) = behind(&format!("after:{race}"));
    assert!(line.contains("afterok:"), "{told}");
    let (sweep_number, line) = behind("afterany:");
    assert_eq!(line.matches("afterany:").count(), 2, "one for each trial: {told}");
    assert!(admin.log(&sweep).await.contains(&format!("handed to slurm (main) as {sweep_number}")), "{}", admin.log(&sweep).await);

    // What would have followed a race goes with it.
    assert_eq!(admin.post(&format!("/jobs/{other}/cancel"), json!({})).await.0, 200);
    let done = once(house.to_slurm(&slurm, &[]));
    assert_eq!((&done["ended"], &done["cancelled"]), (&json!(1), &json!(2)), "{done}");
    until("both are gone from Slurm", async || slurm.queue().len() == 5).await;

    // Races have no epochs, trials here one: only the fine-tune comes to the gate.
    let gate = Gate::in_folder(&house.work(), 2);
    let dispatcher = house.to_slurm(&slurm, &["--every", "1"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _dispatcher = Dispatcher(dispatcher);
    partition("UP");
    let ended = admin.end(&race).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}\n{}\n{}", admin.log(&race).await, house.logs());
    let (_, list) = admin.get("/finetunes?limit=100").await;
    let tune = list["items"].as_array().unwrap().iter().find(|job| job.to_string().contains("\"library/chosen\""));
    let tune = tune.unwrap_or_else(|| panic!("{list}"))["id"].as_str().unwrap().to_owned();
    admin.held(&tune, 1).await;
    let known = format!("handed to slurm (main) as {tune_number}");
    until("the hub knows what Slurm calls it", async || admin.log(&tune).await.contains(&known)).await;
    gate.open();
    for (job, name) in [(&tune, "library/chosen"), (&sweep, "library/swept")] {
        let ended = admin.end(job).await;
        let log = admin.log(job).await;
        assert_eq!(ended["state"], "succeeded", "{ended:#}\n{log}\n{}", house.logs());
        assert_eq!(log.matches("handed to slurm").count(), 1, "{log}");
        weights_of(&admin, name).await;
    }
    assert_eq!(admin.get("/models/library/never").await.0, 404);
    until("nothing is left in Slurm", async || slurm.queue().is_empty()).await;
}

/// What a stub of Kubernetes' API has been told.
#[derive(Default)]
struct Told {
    jobs: BTreeMap<String, Value>,
    requests: Vec<String>,
    /// Answer with this status, whatever is asked.
    broken: Option<u16>,
}

/// Serves `batch/v1` Jobs of the namespace `hub`; its address.
async fn stub(told: Arc<Mutex<Told>>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let told = told.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                let (head, length) = loop {
                    let count = socket.read(&mut buffer).await.unwrap_or(0);
                    if count == 0 {
                        return;
                    }
                    bytes.extend_from_slice(&buffer[..count]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    if let Some((head, _)) = text.split_once("\r\n\r\n") {
                        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                        break (head.to_owned(), length.unwrap_or(0usize));
                    }
                };
                while bytes.len() < head.len() + 4 + length {
                    let count = socket.read(&mut buffer).await.unwrap_or(0);
                    if count == 0 {
                        return;
                    }
                    bytes.extend_from_slice(&buffer[..count]);
                }
                let (status, body) = answer(&told, &head, &bytes[head.len() + 4..]);
                let body = body.to_string();
                let said = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(said.as_bytes()).await;
                let _ = socket.shutdown().await;
            });
        }
    });
    address
}

fn answer(told: &Mutex<Told>, head: &str, body: &[u8]) -> (u16, Value) {
    let mut told = told.lock().unwrap();
    let first = head.lines().next().unwrap_or_default().to_owned();
    told.requests.push(head.to_owned());
    if let Some(status) = told.broken {
        return (status, json!({ "kind": "Status", "message": "the stub is broken" }));
    }
    if !head.to_lowercase().contains("authorization: bearer kube-secret") {
        return (401, json!({ "kind": "Status", "message": "Unauthorized" }));
    }
    let (method, rest) = first.split_once(' ').unwrap();
    let path = rest.split(' ').next().unwrap();
    let base = "/apis/batch/v1/namespaces/hub/jobs";
    match (method, path) {
        ("GET", path) if path.starts_with(&format!("{base}?")) => {
            assert!(path.contains("backbone-hub%2Fplace%3Dmain"), "{path}");
            (200, json!({ "kind": "JobList", "metadata": {}, "items": told.jobs.values().collect::<Vec<_>>() }))
        }
        ("POST", path) if path == base => {
            let made: Value = serde_json::from_slice(body).unwrap();
            let name = made["metadata"]["name"].as_str().unwrap().to_owned();
            if told.jobs.contains_key(&name) {
                return (409, json!({ "kind": "Status", "message": "already exists" }));
            }
            told.jobs.insert(name, made.clone());
            (201, made)
        }
        ("DELETE", path) => {
            let name = path.strip_prefix(&format!("{base}/")).unwrap().split('?').next().unwrap();
            match told.jobs.remove(name) {
                Some(job) => (200, job),
                None => (404, json!({ "kind": "Status", "message": "not found" })),
            }
        }
        _ => (404, json!({ "kind": "Status", "message": "not found" })),
    }
}

#[tokio::test]
async fn kubernetes_is_given_jobs_and_what_it_lost_again() {
    let house = House::new().await;
    let admin = Person::admin(&house.server);
    let told = Arc::new(Mutex::new(Told::default()));
    let address = stub(told.clone()).await;
    let kube_token = house.folder.path().join("kube");
    std::fs::write(&kube_token, "kube-secret\n").unwrap();
    let look = |queue: &[&str]| {
        let mut command = house.dispatch("kubernetes", &["--image", "hub:story", "--kube-server", &address]);
        command.arg("--kube-token-file").arg(&kube_token).args(queue);
        command
    };
    let look_once = async |queue: &[&str]| {
        let command = look(queue);
        tokio::task::spawn_blocking(move || once(command)).await.unwrap()
    };
    let id = admin.finetune(long("library/pod", 1)).await;
    assert_eq!(look_once(&["--queue", "training"]).await["submitted"], 1);
    let made = told.lock().unwrap().jobs.values().next().cloned().unwrap();
    assert_eq!(made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "training");
    assert_eq!((&made["spec"]["suspend"], &made["spec"]["backoffLimit"]), (&json!(true), &json!(0)));
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"].as_array().unwrap().last(), Some(&json!(id)));
    assert_eq!(look_once(&[]).await["submitted"], 0, "it is there");

    // A server that does not answer has lost nothing.
    told.lock().unwrap().broken = Some(503);
    let command = look(&["--once"]);
    let failed = tokio::task::spawn_blocking(move || {
        let mut command = command;
        command.output().unwrap()
    })
    .await
    .unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));
    told.lock().unwrap().broken = None;

    // The pod was evicted: the Job has failed, and the hub's job has not ended.
    let name = told.lock().unwrap().jobs.keys().next().cloned().unwrap();
    told.lock().unwrap().jobs.get_mut(&name).unwrap()["status"] = json!({ "conditions": [{ "type": "Failed", "status": "True" }] });
    until("the job is handed over again", async || look_once(&[]).await["submitted"] == 1).await;
    let names: Vec<String> = told.lock().unwrap().jobs.keys().cloned().collect();
    assert_eq!(names, [format!("hub-{id}-1"), format!("hub-{id}-2")]);

    // What its pod would run.
    let worker = Worker::elsewhere(&house.server, &house.token_file(), &house.work(), &["--job", &id]);
    assert_eq!(worker.wait(), Some(0), "{}", admin.log(&id).await);
    let done = look_once(&[]).await;
    assert_eq!((&done["ended"], &done["cancelled"]), (&json!(1), &json!(1)), "{done}");
    assert!(!told.lock().unwrap().jobs.contains_key(&format!("hub-{id}-2")));
}
