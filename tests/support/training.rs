//! What stories about fine-tunes need: a tiny base, tiny data sets, publishing both through the API, following
//! a job to its end, workers that can be killed, a gate that holds jobs in the middle.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hub::nn::weights::Weights;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{HUB, STUCK_AFTER, Server, ended, http, until};

/// A base of random weights that works on 32 pixels.
pub const ARCHITECTURE: &str = "mobilenetv2_100";

/// A small deterministic generator for noise and moments to kill at.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A PNG of one colour with noise.
pub fn picture(colour: [u8; 3], seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let image = image::RgbImage::from_fn(32, 32, |_, _| image::Rgb(colour.map(|c| c.saturating_add(random.below(60) as u8))));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub const COLOURS: [(&str, [u8; 3]); 3] = [("red", [190, 10, 10]), ("green", [10, 190, 10]), ("blue", [10, 10, 190])];

/// A zip with a folder per class.
pub fn pictures_zip(classes: usize, per_class: u64) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, colour) in &COLOURS[..classes] {
        for n in 0..per_class {
            zip.start_file(format!("{name}/{n}.png"), zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&picture(*colour, n * 31 + 7)).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

/// The files of a base that works at 32 pixels, with a classifier of ten.
pub fn base_files() -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Weights::random(ARCHITECTURE, 10, 7).unwrap().save(&path, &[]).unwrap();
    let config = json!({
        "architecture": ARCHITECTURE, "num_classes": 10, "num_features": 1280,
        "pretrained_cfg": { "input_size": [3, 32, 32], "num_classes": 10, "crop_pct": 1.0 },
    });
    let card = "---\nlicense: apache-2.0\ndatasets: [library/imagenet-1k]\n---\n# Tiny base\n";
    vec![
        ("README.md", card.as_bytes().to_vec()),
        ("config.json", config.to_string().into_bytes()),
        ("model.safetensors", std::fs::read(path).unwrap()),
    ]
}

/// 20,000 pixels a side in a few kilobytes: a bomb for whoever decodes before looking.
pub fn huge_png() -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        png.extend((data.len() as u32).to_be_bytes());
        let body = [kind, data].concat();
        png.extend(&body);
        png.extend(crc32fast::hash(&body).to_be_bytes());
    };
    let side = 20_000u32.to_be_bytes();
    chunk(b"IHDR", &[&side[..], &side, &[8, 0, 0, 0, 0]].concat());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&vec![0; 20_001 * 64]).unwrap();
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    png
}

/// A person with a token, talking to a server.
pub struct Person<'a> {
    pub server: &'a Server,
    pub token: String,
    http: reqwest::Client,
}

/// Status and JSON body.
pub type Answer = (u16, Value);

impl<'a> Person<'a> {
    pub fn new(server: &'a Server, token: &str) -> Person<'a> {
        Person { server, token: token.into(), http: http() }
    }

    pub fn admin(server: &'a Server) -> Person<'a> {
        Person::new(server, &server.admin_token)
    }

    /// A new user, made by this administrator.
    pub async fn invite(&self, name: &str) -> Person<'a> {
        let (status, body) = self.post("/users", json!({ "name": name })).await;
        assert_eq!(status, 201, "{body}");
        Person::new(self.server, body["token"].as_str().unwrap_or_else(|| panic!("no token in {body}")))
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.server.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Self::answer(self.request(reqwest::Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Self::answer(self.request(reqwest::Method::POST, path).json(&body)).await
    }

    pub async fn send(&self, path: &str, body: Vec<u8>) -> Answer {
        Self::answer(self.request(reqwest::Method::POST, path).body(body)).await
    }

    /// A body that no JSON library would write.
    pub async fn raw_post(&self, path: &str, body: &'static str) -> Answer {
        let request = self.request(reqwest::Method::POST, path).header("Content-Type", "application/json");
        Self::answer(request.body(body)).await
    }

    pub async fn delete(&self, path: &str) -> u16 {
        Self::answer(self.request(reqwest::Method::DELETE, path)).await.0
    }

    pub fn stream(&self, path: &str) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::GET, path)
    }

    pub async fn upload(&self, bytes: Vec<u8>) -> String {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let (status, upload) = self.post("/uploads", json!({ "sha256": sha256, "size_bytes": bytes.len() })).await;
        assert!(status < 300, "{upload}");
        if upload["complete"] != json!(true) {
            let path = format!("/uploads/{}", upload["id"].as_str().unwrap());
            let request = self.request(reqwest::Method::PATCH, &path).header("Upload-Offset", "0");
            let (status, done) = Self::answer(request.body(bytes)).await;
            assert_eq!((status, &done["complete"]), (200, &json!(true)), "{done}");
        }
        sha256
    }

    /// Publishes files as the next version of a repo, which is made if need be.
    pub async fn publish(&self, kind: &str, id: &str, private: bool, files: Vec<(&str, Vec<u8>)>) {
        let (status, body) = self.post("/repos", json!({ "kind": kind, "id": id, "private": private })).await;
        assert_eq!(status, 201, "{body}");
        let mut listed = Vec::new();
        for (path, bytes) in files {
            let size = bytes.len();
            listed.push(json!({ "path": path, "size_bytes": size, "sha256": self.upload(bytes).await }));
        }
        let commit = json!({ "message": "for a story", "files": listed });
        let (status, body) = self.post(&format!("/{kind}s/{id}/commits"), commit).await;
        assert_eq!(status, 201, "{body}");
    }

    /// A base and a data set of three colours.
    pub async fn publish_both(&self, base: &str, dataset: &str, per_class: u64) {
        self.publish("model", base, false, base_files()).await;
        self.publish("dataset", dataset, false, vec![("data.zip", pictures_zip(3, per_class))]).await;
    }

    /// Asks for a fine-tune and gives its id. It is published however good it is, unless the recipe says otherwise: few stories are
    /// about that.
    pub async fn finetune(&self, mut body: Value) -> String {
        if body["recipe"]["publish_anyway"].is_null() && body["recipe"].as_object().is_some_and(|recipe| !recipe.is_empty()) {
            body["recipe"]["publish_anyway"] = json!(true);
        }
        let (status, job) = self.post("/finetunes", body).await;
        assert_eq!(status, 201, "{job}");
        assert_eq!(job["state"], "queued");
        job["id"].as_str().unwrap().to_owned()
    }

    pub async fn job(&self, id: &str) -> Value {
        let (status, job) = self.get(&format!("/finetunes/{id}")).await;
        assert_eq!(status, 200, "{job}");
        job
    }

    pub async fn events(&self, id: &str) -> Vec<Value> {
        let request = self.stream(&format!("/finetunes/{id}/events")).header("Accept", "application/json");
        let (status, list) = Self::answer(request).await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().unwrap().clone()
    }

    /// Waits for the job to satisfy a condition; fails if it ends without, or if nothing happens to it any more.
    pub async fn wait(&self, id: &str, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        let (mut last, mut since) = (Value::Null, Instant::now());
        loop {
            let job = self.job(id).await;
            if good(&job) {
                return job;
            }
            let ended = ["succeeded", "failed", "cancelled"].contains(&job["state"].as_str().unwrap());
            assert!(!ended, "the job ended before it was {what}: {job:#}\n{}", self.log(id).await);
            if job != last {
                (last, since) = (job, Instant::now());
            }
            assert!(since.elapsed() < STUCK_AFTER, "the job stands still before it was {what}: {last:#}\n{}", self.log(id).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How often the job has stood still at a [`Gate`] so far.
    pub async fn holds(&self, id: &str) -> usize {
        self.log(id).await.matches("held after epoch").count()
    }

    /// Waits until the job stands at a [`Gate`], for the `times`th time in all.
    pub async fn held(&self, id: &str, times: usize) {
        until(&format!("job {id} stands at a gate, time {times}"), async || {
            let job = self.job(id).await;
            assert!(job["finished"].is_null(), "the job ended and never stood at the gate: {job:#}\n{}", self.log(id).await);
            self.holds(id).await >= times
        })
        .await;
    }

    /// Waits for the end, whatever it is.
    pub async fn end(&self, id: &str) -> Value {
        self.wait(id, "ended", |job| !job["finished"].is_null()).await
    }

    pub async fn log(&self, id: &str) -> String {
        self.stream(&format!("/finetunes/{id}/logs")).send().await.unwrap().text().await.unwrap()
    }
}

/// The processes a process has started.
pub fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

/// The process that trains for a worker, by its command.
pub fn training_of(worker: u32) -> Option<u32> {
    let is_it = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("confined\0train"));
    children_of(worker).into_iter().find(is_it)
}

/// Whether a process has ended and only waits for its parent to notice.
pub fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// A gate in the middle of the jobs of a server's workers: until it opens, no job gets beyond the epoch it stands after.
/// What shall happen to a job in the middle happens while it stands there, however quick or slow the machine is.
pub struct Gate(PathBuf);

impl Gate {
    pub fn after_epoch(server: &Server, epoch: u32) -> Gate {
        Gate::in_folder(&server.data().join("workers"), epoch)
    }

    /// The same of workers whose folder is elsewhere.
    pub fn in_folder(folder: &Path, epoch: u32) -> Gate {
        std::fs::create_dir_all(folder).unwrap();
        let gate = Gate(folder.join("hold"));
        gate.move_after(epoch);
        gate
    }

    /// All at once: no job slips through meanwhile.
    pub fn move_after(&self, epoch: u32) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, epoch.to_string()).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    pub fn open(&self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

/// A worker process of the story's own; killed with it.
pub struct Worker(Child);

impl Worker {
    pub fn start(server: &Server) -> Worker {
        let mut command = Command::new(HUB);
        command.args(["worker", "--data"]).arg(server.data()).stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.envs(server.database()).spawn().unwrap())
    }

    /// One that has the hub's address, a worker's token and a folder, and neither database nor store.
    pub fn elsewhere(server: &Server, token_file: &Path, folder: &Path, args: &[&str]) -> Worker {
        Worker::at(&server.url, token_file, folder, args)
    }

    /// The same of any address.
    pub fn at(url: &str, token_file: &Path, folder: &Path, args: &[&str]) -> Worker {
        let mut command = Command::new(HUB);
        command.args(["worker", "--threads", "1", "--hub", url, "--token-file"]).arg(token_file).arg("--folder").arg(folder);
        command.env_remove("HUB_DATA").env("HOME", folder).args(args).stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.spawn().unwrap())
    }

    /// As `kill -9`.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, signal: i32) {
        super::signal(self.0.id(), signal);
    }

    /// The exit code, when the worker has ended by itself.
    pub fn wait(mut self) -> Option<i32> {
        ended(&mut self.0, "the worker")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
