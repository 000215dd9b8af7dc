//! A hub behind a hub whose repos are odd, change and vanish; asked through a proxy that has a name.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::publishing::{create_repo, publish, safetensors, sha256};
use crate::support::{Api, Server};
use serde_json::{Value, json};

type Files = BTreeMap<String, Vec<u8>>;

/// A hub of another make: repos of the namespace `acme`, whatever is in them; how many bytes of files it sent.
#[derive(Clone)]
struct Other {
    url: String,
    repos: Arc<Mutex<BTreeMap<String, Files>>>,
    /// What its listings say besides; all in one: `closed` repos give files to those with a token only.
    signs: Arc<Mutex<BTreeMap<String, Value>>>,
    sent: Arc<AtomicUsize>,
}

impl Other {
    fn start() -> Other {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let other = Other { url, repos: Arc::default(), signs: Arc::default(), sent: Arc::default() };
        let answering = other.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let other = answering.clone();
                std::thread::spawn(move || other.answer(stream));
            }
        });
        other
    }

    fn put(&self, name: &str, files: &[(&str, &[u8])]) {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        self.repos.lock().unwrap().insert(name.into(), files);
    }

    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let first = lines.next()?.ok()?;
        let head: Vec<String> = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
        let is_known = head.iter().any(|line| line.to_lowercase().starts_with("authorization: bearer hf_"));
        let target = first.split(' ').nth(1)?;
        let path = target.strip_prefix(&self.url).unwrap_or(target).split('?').next()?;
        let parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (repos, signs) = (self.repos.lock().unwrap().clone(), self.signs.lock().unwrap().clone());
        let is_closed = |name: &str| signs.get(name).is_some_and(|signs| signs["closed"] == true) && !is_known;
        let found = match parts.as_slice() {
            ["api", "models", "acme", name, ..] => repos.get(*name).map(|files| listing(name, files, signs.get(*name))),
            ["acme", name, "resolve", ..] if is_closed(name) => None,
            ["acme", name, "resolve", _, rest @ ..] => repos.get(*name).and_then(|files| files.get(&rest.join("/")).cloned()),
            _ => None,
        };
        if parts[0] != "api" {
            self.sent.fetch_add(found.as_ref().map_or(0, Vec::len), Ordering::SeqCst);
        }
        let (status, body) = found.map_or(("404 Not Found", b"{}".to_vec()), |body| ("200 OK", body));
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).ok()?;
        stream.write_all(&body).ok()
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

fn listing(name: &str, files: &Files, signs: Option<&Value>) -> Vec<u8> {
    let file = |(path, bytes): (&String, &Vec<u8>)| json!({ "rfilename": path, "size": bytes.len(), "lfs": { "sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 130 } });
    let all: Vec<Value> = files.iter().map(file).collect();
    let text = serde_json::to_string(&all).unwrap();
    let mut listing = json!({ "id": name, "sha": &sha256(text.as_bytes())[..40], "private": false, "gated": false, "siblings": all });
    for (sign, value) in signs.and_then(Value::as_object).into_iter().flatten() {
        listing[sign] = value.clone();
    }
    serde_json::to_vec(&listing).unwrap()
}

fn before(other: &Other, further: &[(&str, &str)]) -> Server {
    let environment = [&[("HUB_UPSTREAM", other.url.as_str()), ("HUB_UPSTREAM_NAMESPACES", "acme")], further].concat();
    Server::start_with(&["--workers", "0"], &environment)
}

async fn versions(api: &Api, id: &str) -> usize {
    api.get(&format!("/api/v1/models/{id}/versions")).await.ok()["items"].as_array().unwrap().len()
}

const CARD: &[u8] = b"---\nlicense: mit\n---\n# x\n";

#[tokio::test(flavor = "multi_thread")]
async fn one_odd_file_is_left_out_by_name_and_the_rest_is_taken() {
    let other = Other::start();
    other.put(
        "odd",
        &[("README.md", CARD), ("audio/12:00:00.txt", b"x"), ("a\u{301}.txt", b"x"), ("N.txt", b"1"), ("n.txt", b"2"), ("x/../y", b"z")],
    );
    let server = before(&other, &[]);
    let first = server.anonymous().get("/api/models/acme/odd").await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.header("x-hf-warning").contains("\"x/../y\": its path holds"), "{}", first.header("x-hf-warning"));
    let names: Vec<String> =
        first.json()["siblings"].as_array().unwrap().iter().map(|file| file["rfilename"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["N.txt", "README.md", "audio/12:00:00.txt", "a\u{301}.txt", "n.txt"]);
    let facts = server.anonymous().get("/api/v1/models/acme/odd").await.ok();
    assert!(facts["facts"]["warnings"].to_string().contains("left out"), "{facts}");
    let page = server.anonymous().http.get(format!("{}/acme/odd", server.url)).header("accept", "text/html").send().await.unwrap();
    assert!(page.text().await.unwrap().contains("left out"), "the page names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_said_remembered_and_not_fetched_again() {
    let other = Other::start();
    let (weights, bad) = (safetensors(&[("w", &[1_000])]), b"\xff\xff\xff\xff\xff\xff\xff\xff{}".as_slice());
    other.put("broken", &[("README.md", CARD), ("model.safetensors", bad)]);
    other.put("lost", &[("README.md", CARD), ("a/../model.safetensors", &weights)]);
    let index = br#"{"weight_map": {"w": "./part 1.dat"}}"#;
    other.put("named", &[("README.md", CARD), ("model.safetensors.index.json", index), ("./part 1.dat", &weights)]);
    let data = tempfile::tempdir().unwrap();
    let settings = [("HUB_UPSTREAM", other.url.as_str()), ("HUB_UPSTREAM_NAMESPACES", "acme")];
    let server = Server::start_on(data.path(), &["--workers", "0"], &settings);
    for (name, says) in [("broken", "model.safetensors"), ("lost", "a/../model.safetensors"), ("named", "./part 1.dat")] {
        let path = format!("/api/v1/models/acme/{name}");
        let problem = server.anonymous().get(&path).await.problem(422, "not_mirrored");
        assert!(
            problem["message"].as_str().unwrap().contains(says) && problem["hint"].as_str().unwrap().contains("hub library update"),
            "{problem}"
        );
        let theirs = server.anonymous().get(&format!("/acme/{name}/resolve/main/README.md")).await;
        assert_eq!((theirs.status.as_u16(), theirs.header("x-error-code")), (422, "GatedRepo"));
        assert!(theirs.header("x-error-message").contains("is not taken here"), "{}", theirs.header("x-error-message"));
    }
    let sent = other.sent();
    assert_eq!(server.stop(), Some(0));
    // Another process on the same data remembers, and asks for no byte.
    let server = Server::start_on(data.path(), &["--workers", "0"], &settings);
    server.anonymous().get("/api/v1/models/acme/broken").await.problem(422, "not_mirrored");
    assert_eq!(other.sent(), sent);
    // An administrator asks again: in vain while nothing has changed there, and well when it has.
    let home = tempfile::tempdir().unwrap();
    let update = || server.hub(home.path()).args(["library", "update", "acme/broken"]).output().unwrap();
    let vain = update();
    assert_eq!(vain.status.code(), Some(1), "{}", String::from_utf8_lossy(&vain.stderr));
    assert!(String::from_utf8_lossy(&vain.stderr).contains("refused"), "{}", String::from_utf8_lossy(&vain.stderr));
    other.put("broken", &[("README.md", CARD), ("model.safetensors", &weights)]);
    let done = update();
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("acme/broken: updated, version 1"), "{done:?}");
    server.anonymous().get("/api/v1/models/acme/broken").await.ok();
    let listed = server.admin().get("/api/v1/mirrors").await.ok();
    let of = |id: &str| listed["items"].as_array().unwrap().iter().find(|mirror| mirror["id"] == id).unwrap().clone();
    assert!(of("acme/broken")["refused"].is_null() && of("acme/broken")["version"] == 1, "{listed}");
    assert!(of("acme/lost")["refused"].as_str().unwrap().contains("safetensors"), "{listed}");
    server.user("eve").await.get("/api/v1/mirrors").await.problem(403, "site_admin_only");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirrored_repo_follows_and_what_is_here_stays() {
    let other = Other::start();
    other.put("net", &[("README.md", CARD), ("a.txt", b"1")]);
    let server = before(&other, &[]);
    let admin = server.admin();
    admin.get("/api/v1/models/acme/net").await.ok();
    let ask = json!({ "kind": "model", "id": "acme/net" });
    assert_eq!(admin.post("/api/v1/mirrors/update", &ask).await.ok()["outcome"], "unchanged");
    publish(&admin, "models/acme/net", Some(1), &[("README.md", b"# ours\n")]).await.created();
    other.put("net", &[("README.md", CARD), ("a.txt", b"2")]);
    assert_eq!(admin.get("/acme/net/resolve/main/README.md").await.text(), "# ours\n", "nobody asked it to follow");
    let done = admin.post("/api/v1/mirrors/update", &ask).await.ok();
    assert_eq!((&done["outcome"], &done["version"]), (&json!("updated"), &json!(3)), "{done}");
    assert_eq!(admin.get("/acme/net/resolve/main/a.txt").await.text(), "2");
    assert_eq!(admin.get("/api/v1/models/acme/net/versions/2/files/README.md").await.text(), "# ours\n");
    other.repos.lock().unwrap().remove("net");
    assert_eq!(admin.post("/api/v1/mirrors/update", &ask).await.ok()["outcome"], "absent");
    assert_eq!(admin.get("/acme/net/resolve/main/a.txt").await.text(), "2");
    create_repo(&admin, "model", "library/own").await;
    publish(&admin, "models/library/own", None, &[("README.md", CARD)]).await.created();
    admin.post("/api/v1/mirrors/update", &json!({ "kind": "model", "id": "library/own" })).await.problem(422, "not_a_mirror");

    // By itself, where that is set.
    other.put("net", &[("README.md", CARD), ("a.txt", b"1")]);
    let follows = before(&other, &[("HUB_UPSTREAM_REFRESH", "1s")]);
    assert_eq!(follows.anonymous().get("/acme/net/resolve/main/a.txt").await.text(), "1");
    other.put("net", &[("README.md", CARD), ("a.txt", b"new")]);
    crate::support::until("it follows", async || follows.anonymous().get("/acme/net/resolve/main/a.txt").await.text() == "new").await;
    assert_eq!(versions(&follows.anonymous(), "acme/net").await, 2);
}

/// A forward proxy under the name `localhost`; how many requests went through it.
fn forward_proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, passed) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = passed.clone();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let counted = counted.clone();
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                // `GET http://host:port/path HTTP/1.1`
                let text = String::from_utf8_lossy(&head).into_owned();
                let Some(host) = text.split("http://").nth(1).and_then(|rest| rest.split('/').next()).map(str::to_owned) else { return };
                let mut server = TcpStream::connect(&host).unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                server.write_all(text.replacen(&format!("http://{host}"), "", 1).as_bytes()).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    (format!("http://localhost:{port}"), passed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_has_a_name_leads_to_the_other_hub() {
    let other = Other::start();
    other.put("net", &[("README.md", CARD), (".hidden/x", b"dot")]);
    for variable in ["http_proxy", "all_proxy"] {
        let (proxy, passed) = forward_proxy();
        let server = before(&other, &[(variable, &proxy)]);
        assert_eq!(server.anonymous().get("/acme/net/resolve/main/.hidden/x").await.text(), "dot", "{}", server.log());
        assert!(passed.load(Ordering::SeqCst) >= 3, "{variable}");
        let home = tempfile::tempdir().unwrap();
        let before = passed.load(Ordering::SeqCst);
        let mut import = server.hub(home.path());
        import.args(["import", "hf://acme/net", "library/net", "--endpoint", &other.url]).env(variable, &proxy);
        let done = import.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(passed.load(Ordering::SeqCst) > before, "{variable}");
        assert_eq!(server.anonymous().get("/library/net/resolve/main/.hidden/x").await.text(), "dot", "by hand dot files come too");
        let direct = before_direct(&other, variable, &proxy);
        let before = passed.load(Ordering::SeqCst);
        assert_eq!(direct.anonymous().get("/acme/net/resolve/main/README.md").await.status, 200);
        assert_eq!(passed.load(Ordering::SeqCst), before, "no_proxy");
    }
}

fn before_direct(other: &Other, variable: &str, proxy: &str) -> Server {
    before(other, &[(variable, proxy), ("no_proxy", "127.0.0.1")])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_for_everybody_there_is_private_here_also_from_the_next_look_on() {
    let other = Other::start();
    let signs = [("gated", json!({"gated": "manual"})), ("auto", json!({"gated": "auto"})), ("off", json!({"disabled": true}))];
    let all = signs.iter().cloned().chain([("closed", json!({"closed": true})), ("open", json!({})), ("later", json!({}))]);
    for (name, sign) in all {
        other.put(name, &[("README.md", CARD), ("a.txt", b"1")]);
        other.signs.lock().unwrap().insert(name.into(), sign);
    }
    let server = before(&other, &[("HUB_UPSTREAM_TOKEN", "hf_secret"), ("HUB_UPSTREAM_REFRESH", "1s")]);
    let (stranger, admin) = (server.anonymous(), server.admin());
    for name in ["gated", "auto", "off", "closed"] {
        stranger.get(&format!("/api/v1/models/acme/{name}")).await.problem(404, "repo_not_found");
        assert_eq!(admin.get(&format!("/api/v1/models/acme/{name}")).await.ok()["private"], true, "{name}");
        assert_eq!(stranger.get(&format!("/acme/{name}/resolve/main/a.txt")).await.status, 404);
    }
    for name in ["open", "later"] {
        assert_eq!(stranger.get(&format!("/acme/{name}/resolve/main/a.txt")).await.text(), "1");
    }
    other.signs.lock().unwrap().insert("later".into(), json!({"gated": "auto"}));
    let gone = async || stranger.get("/acme/later/resolve/main/a.txt").await.status == 404;
    crate::support::until("it is private here, too", gone).await;
    other.signs.lock().unwrap().insert("later".into(), json!({}));
    let _ = admin.post("/api/v1/mirrors/update", &json!({ "kind": "model", "id": "acme/later" })).await.ok();
    assert!(gone().await, "what is opened there, an administrator opens here");
    assert_eq!(stranger.get("/acme/open/resolve/main/a.txt").await.text(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_the_hub_behind_this_one_are_kept_free_from_the_first_start() {
    let other = Other::start();
    let named = before(&other, &[("HUB_UPSTREAM_NAMESPACES", "acme,Google"), ("HUB_OPEN_SIGNUP", "true")]);
    let eve = named.user("eve").await;
    for name in ["acme", "google", "GOOGLE"] {
        named.anonymous().post("/api/v1/users", &json!({ "name": name })).await.problem(409, "name_reserved");
        let organisation = json!({ "name": name, "kind": "organisation" });
        eve.post("/api/v1/users", &organisation).await.problem(409, "name_reserved");
    }
    named.anonymous().post("/api/v1/users", &json!({ "name": "mallory" })).await.created();
    eve.post("/api/v1/users", &json!({ "name": "evil", "kind": "organisation" })).await.created();
    named.admin().post("/api/v1/users", &json!({ "name": "google", "kind": "organisation" })).await.created();
    let home = tempfile::tempdir().unwrap();
    let mut doctor = named.hub(home.path());
    doctor.args(["admin", "doctor", "--json", "--data"]).arg(named.data()).env("HUB_UPSTREAM", &other.url);
    let said = doctor.env("HUB_UPSTREAM_NAMESPACES", "acme,google").assert().success().get_output().stdout.clone();
    let said: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(said.as_array().unwrap().len(), 1, "{said}");
    assert!(said[0]["code"] == "name_clash" && said[0]["what"].as_str().unwrap().contains("'google'"), "{said}");

    let all = before(&other, &[("HUB_UPSTREAM_NAMESPACES", "*"), ("HUB_OPEN_SIGNUP", "true")]);
    let eve = all.user("eve").await;
    all.anonymous().post("/api/v1/users", &json!({ "name": "google" })).await.problem(403, "signup_closed");
    eve.post("/api/v1/users", &json!({ "name": "google", "kind": "organisation" })).await.problem(403, "site_admin_only");
    all.admin().post("/api/v1/users", &json!({ "name": "ours", "kind": "organisation" })).await.created();
}
