//! What every story needs: the real server on a free port with a directory of its own, a way to talk to it,
//! and the real command line with an environment of its own.

#![allow(clippy::disallowed_methods)] // a test may look at its own environment

// Each story is a crate of its own and uses what it needs of this.
#![allow(dead_code)]

pub mod browser;
pub mod connect;
pub mod git;
pub mod line;
pub mod nginx;
pub mod postgres;
pub mod proxy;
pub mod publishing;
pub mod s3;
pub mod saved_model;
pub mod slurm;
pub mod training;
pub mod upstream;
pub mod visitor;
pub mod xet;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::Value;

/// The program under test.
pub const HUB: &str = env!("CARGO_BIN_EXE_hub");

/// A server of its own for one story; ended when dropped, and its log is printed if the story fails.
pub struct Server {
    pub url: String,
    pub admin_token: String,
    data: Option<tempfile::TempDir>,
    path: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Server {
    /// A new hub, without workers.
    pub fn start() -> Server {
        Server::start_with(&["--workers", "0"], &[])
    }

    /// A new hub with further flags and environment.
    pub fn start_with(args: &[&str], environment: &[(&str, &str)]) -> Server {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().to_owned();
        let mut server = Server::start_on(&path, args, environment);
        server.data = Some(data);
        server
    }

    /// A hub on a directory the story keeps.
    pub fn start_on(path: &Path, args: &[&str], environment: &[(&str, &str)]) -> Server {
        Server::start_at("127.0.0.1:0", path, args, environment)
    }

    /// The same on an address of its own.
    pub fn start_at(listen: &str, path: &Path, args: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = clean(Command::new(HUB), path);
        command.args(["serve", "--listen", listen, "--data"]).arg(path).args(args);
        command.envs(database_of(path, true).map(|address| ("HUB_DB", address)));
        command.envs(environment.iter().copied()).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let mut address = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            *log.lock().unwrap() += &format!("{line}\n");
            if let Some(url) = line.strip_prefix("listening on ") {
                address = Some(url.to_owned());
                break;
            }
        }
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        let Some(url) = address else {
            let _ = child.wait();
            panic!("the server did not start:\n{}", log.lock().unwrap());
        };
        let admin_token = std::fs::read_to_string(path.join("admin-token")).unwrap_or_default().trim().to_owned();
        Server { url, admin_token, data: None, path: path.to_owned(), child, log }
    }

    /// The server's data directory.
    pub fn data(&self) -> &Path {
        &self.path
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `host:port`
    pub fn authority(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Asks the server to stop and waits until it has; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        signal(self.child.id(), libc::SIGTERM);
        ended(&mut self.child, "the server, asked to stop,")
    }

    /// Ends the server at once, as a crash would; the directory stays until the story drops it.
    pub fn kill(mut self) -> Option<tempfile::TempDir> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.data.take()
    }

    /// The administrator's way in.
    pub fn admin(&self) -> Api {
        self.with_token(&self.admin_token)
    }

    /// A stranger's.
    pub fn anonymous(&self) -> Api {
        self.with_token("")
    }

    pub fn with_token(&self, token: &str) -> Api {
        Api { url: self.url.clone(), token: token.to_owned(), http: http() }
    }

    /// A new user and their way in.
    pub async fn user(&self, name: &str) -> Api {
        let body = serde_json::json!({ "name": name });
        let made = self.admin().post("/api/v1/users", &body).await.created();
        self.with_token(made["token"].as_str().unwrap())
    }

    /// What leads `hub admin` to the server's database, where that is not in its directory.
    pub fn database(&self) -> Option<(&'static str, String)> {
        database_of(&self.path, false).map(|address| ("HUB_DB", address))
    }

    /// The command line, logged in here as the administrator.
    pub fn hub(&self, home: &Path) -> assert_cmd::Command {
        let mut command = hub(home);
        command.env("HUB_SERVER", &self.url).env("HUB_TOKEN", &self.admin_token);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}", self.log());
        }
    }
}

/// Fills the parameters of a route's pattern with `value` of each name; where that gives none, with the first of
/// the pattern's own words (`{kind:models|datasets}`).
pub fn fill(pattern: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut path = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let (parameter, after) = after.split_once('}').unwrap();
        let (name, words) = parameter.split_once(':').unwrap_or((parameter, ""));
        path += before;
        path += &value(name).unwrap_or_else(|| words.split('|').next().unwrap_or_default().to_owned());
        rest = after;
    }
    path + rest
}

/// What takes longer hangs. No expectation: only a machine that stands still is so slow, and a story that waits for
/// what never comes shall say so.
pub const STUCK_AFTER: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// Asks until the answer is as wanted; fails, and says what was waited for, when it never is.
pub async fn until(what: &str, mut wanted: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !wanted().await {
        assert!(begun.elapsed() < STUCK_AFTER, "waited {STUCK_AFTER:?} in vain: {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The same on a thread of its own: waits until there is something to find.
pub fn eventually<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(begun.elapsed() < STUCK_AFTER, "waited {STUCK_AFTER:?} in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// The exit code of a process that is about to end by itself.
pub fn ended(child: &mut Child, who: &str) -> Option<i32> {
    eventually(&format!("{who} ends"), || child.try_wait().unwrap()).code()
}

/// Sends a signal to a process this test started.
pub fn signal(pid: u32, signal: i32) {
    // SAFETY: a plain system call; the process is a child that was not waited for, so the id is still its own.
    unsafe { libc::kill(pid.try_into().unwrap(), signal) };
}

/// Bounds what a process may use from now on, from outside, and what it starts; 0: no bound.
pub fn bound(pid: u32, resource: libc::__rlimit_resource_t, most: u64) {
    let most = if most == 0 { libc::RLIM_INFINITY } else { most };
    let limit = libc::rlimit { rlim_cur: most, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the process is a child of this test; `limit` is read during the call, and nothing is written back.
    let result = unsafe { libc::prlimit(pid.try_into().unwrap(), resource, &limit, std::ptr::null_mut()) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The command line with a home of its own and nothing of this machine's environment but the path.
pub fn hub(home: &Path) -> assert_cmd::Command {
    assert_cmd::Command::from_std(clean(Command::new(HUB), home))
}

fn clean(mut command: Command, home: &Path) -> Command {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home).env("HUB_CACHE", home.join("cache"));
    command.env("NO_COLOR", "1").env("LANG", "C.UTF-8");
    // Most stories are about a hub that holds nothing yet.
    command.env("HUB_LIBRARY", "off");
    command.envs(database_of(home, false).map(|address| ("HUB_DB", address)));
    command
}

/// Where stories are told on PostgreSQL (`HUB_TESTS_ON=postgres`): the database of the hub in a directory; a new one if it `may_begin`.
fn database_of(data: &Path, may_begin: bool) -> Option<String> {
    static OF: Mutex<std::collections::BTreeMap<PathBuf, String>> = Mutex::new(std::collections::BTreeMap::new());
    if std::env::var("HUB_TESTS_ON").is_ok_and(|engine| engine == "postgres") {
        let mut of = OF.lock().unwrap();
        if may_begin && !of.contains_key(data) {
            of.insert(data.to_owned(), postgres::Cluster::shared().database());
        }
        return of.get(data).cloned();
    }
    None
}

/// A client that follows no redirects and goes through no proxy.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

/// A way in with a token (or none).
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub token: String,
    pub http: reqwest::Client,
}

impl Api {
    /// A request to refine and send.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::POST, path).json(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::PUT, path).json(body)).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Reply {
        Reply::of(self.request(Method::PATCH, path).json(body)).await
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub async fn of(request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of a 200.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()
    }

    /// The body of a 201.
    #[track_caller]
    pub fn created(&self) -> Value {
        assert_eq!(self.status, 201, "{}", self.text());
        self.json()
    }

    /// A 204.
    #[track_caller]
    pub fn done(&self) {
        assert_eq!(self.status, 204, "{}", self.text());
    }

    /// A problem of this status and code, with a message, a hint and a request id.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        for key in ["message", "hint", "request_id"] {
            assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "no {key} in {body}");
        }
        body
    }
}
