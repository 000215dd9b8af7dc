//! What strangers can make a hub do that has another one behind it: little, in turns, and nothing for as long as they like.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::publishing::{safetensors, sha256};
use crate::support::{Server, until};
use serde_json::json;

const TOKEN: &str = "hf_of_the_other_hub";

/// A look-alike of another hub: `acme/good` is sound, `acme/drip...` sends its file a byte at a time, `acme/broken` holds weights
/// that are none, `acme/secret` and `acme/secret-broken` are shown to the token only. All else it does not have.
struct Upstream {
    url: String,
    /// Paths that were asked for, in order.
    asked: Arc<Mutex<Vec<String>>>,
    dripping: Arc<AtomicUsize>,
}

impl Upstream {
    fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, dripping) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let (log, drips) = (asked.clone(), dripping.clone());
        std::thread::spawn(move || {
            for line in listener.incoming().map_while(Result::ok) {
                let (log, drips) = (log.clone(), drips.clone());
                std::thread::spawn(move || answer(line, &log, &drips));
            }
        });
        Upstream { url, asked, dripping }
    }

    fn count(&self, part: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|path| path.contains(part)).count()
    }

    /// A hub in front of it.
    fn before(&self, further: &[(&str, &str)]) -> Server {
        let settings = [&[("HUB_UPSTREAM", self.url.as_str()), ("HUB_UPSTREAM_NAMESPACES", "*"), ("HUB_UPSTREAM_TOKEN", TOKEN)], further];
        Server::start_with(&["--workers", "0"], &settings.concat())
    }
}

fn weights(name: &str) -> Vec<u8> {
    if name.ends_with("broken") { b"no safetensors at all, whatever it is called".to_vec() } else { safetensors(&[("weight", &[1_000])]) }
}

fn answer(line: TcpStream, log: &Mutex<Vec<String>>, drips: &AtomicUsize) {
    let mut heads = BufReader::new(line.try_clone().unwrap()).lines();
    let mut line = line;
    while let Some(Ok(first)) = heads.next() {
        let more: Vec<String> = heads.by_ref().map_while(Result::ok).take_while(|head| !head.is_empty()).collect();
        let with_token = more.iter().any(|head| head.contains(TOKEN));
        // A look at its first byte, by which the hub finds out whether everybody sees it: that is no download.
        let is_look = more.iter().any(|head| head == "range: bytes=0-0");
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        log.lock().unwrap().push(path.clone());
        let parts: Vec<&str> = path.split(['/', '?']).filter(|part| !part.is_empty()).collect();
        let (name, is_file) = match parts.as_slice() {
            ["api", "models", ns, name, ..] => (format!("{ns}/{name}"), false),
            [ns, name, "resolve", ..] => (format!("{ns}/{name}"), true),
            _ => (String::new(), false),
        };
        let is_secret = name.starts_with("acme/secret");
        let known = ["acme/good", "acme/broken"].contains(&name.as_str()) || name.starts_with("acme/drip") || (is_secret && with_token);
        let bytes = weights(&name);
        let (status, body) = match (known, is_file) {
            (false, _) => ("404 Not Found", b"{}".to_vec()),
            (true, true) if is_look => ("206 Partial Content", bytes[..1].to_vec()),
            (true, true) => ("200 OK", bytes),
            (true, false) => {
                let lfs = json!({"sha256": sha256(&bytes), "size": bytes.len()});
                let sibling = json!({"rfilename": "model.safetensors", "size": bytes.len(), "lfs": lfs});
                let commit = &sha256(name.as_bytes())[..40];
                ("200 OK", json!({"sha": commit, "private": is_secret, "siblings": [sibling]}).to_string().into_bytes())
            }
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        if line.write_all(head.as_bytes()).is_err() {
            return;
        }
        if is_file && !is_look && name.starts_with("acme/drip") {
            drips.fetch_add(1, Ordering::SeqCst);
            for byte in body.chunks(1).take(body.len() - 1) {
                std::thread::sleep(Duration::from_millis(50));
                if line.write_all(byte).is_err() {
                    break;
                }
            }
            drips.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        if line.write_all(&body).is_err() {
            return;
        }
    }
}

/// Names in the catalog, with or without a version.
fn names(server: &Server) -> Vec<String> {
    let database = rusqlite::Connection::open(server.data().join("hub.db")).unwrap();
    let mut rows = database.prepare("select folded from repos order by folded").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Strangers who ask for so many repos whose files drip.
fn drip(server: &Server, count: usize) -> Vec<tokio::task::JoinHandle<u16>> {
    let ask = |n| {
        let stranger = server.anonymous();
        tokio::spawn(async move { stranger.get(&format!("/api/models/acme/drip{n}")).await.status.as_u16() })
    };
    (0..count).map(ask).collect()
}

/// Nothing is given up here before the hub's own patience ends, so that what is counted holds however busy the machine is.
#[tokio::test(flavor = "multi_thread")]
async fn dripping_repos_do_not_stop_a_wanted_one() {
    let upstream = Upstream::start();
    let server = upstream.before(&[("HUB_PATIENCE_SECONDS", "600")]);
    let ada = server.user("ada").await;
    let dripping = drip(&server, 6);
    until("strangers have all their turns", async || upstream.dripping.load(Ordering::SeqCst) == 2).await;
    ada.get("/api/models/acme/good").await.ok();
    assert_eq!(upstream.dripping.load(Ordering::SeqCst), 2, "the others wait, whichever came first");
    assert_eq!(names(&server), ["acme/good"]);
    for one in dripping {
        one.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dripping_repos_are_given_up() {
    let upstream = Upstream::start();
    let server = upstream.before(&[("HUB_PATIENCE_SECONDS", "3")]);
    for one in drip(&server, 4) {
        assert_eq!(one.await.unwrap(), 503);
    }
    let tried = || (0..4).all(|n| upstream.count(&format!("drip{n}/resolve")) > 0);
    until("all of them are given up", async || tried() && upstream.dripping.load(Ordering::SeqCst) == 0).await;
    until("the log says why", async || server.log().contains("came too slowly")).await;
    assert_eq!(names(&server), Vec::<String>::new(), "nothing is left of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_known_and_counted_before_the_other_hub_is_asked() {
    let upstream = Upstream::start();
    let server = upstream.before(&[("HUB_MAX_REQUESTS_PER_MINUTE", "4")]);
    let ada = server.user("ada").await;
    for n in 0..8 {
        ada.get(&format!("/api/v1/models/acme/unknown{n}")).await;
        ada.get(&format!("/acme/unknown-page{n}")).await;
    }
    ada.get("/api/v1/models/acme/other").await.problem(429, "too_many_requests");
    assert_eq!(
        (upstream.count("unknown") - upstream.count("unknown-page"), upstream.count("other")),
        (4, 0),
        "each request is counted once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_token_sees_is_to_strangers_as_if_it_were_not_there() {
    let upstream = Upstream::start();
    let server = upstream.before(&[]);
    let stranger = server.anonymous();
    let tell = async |name: &str| {
        let told = stranger.get(&format!("/api/v1/models/acme/{name}")).await.problem(404, "repo_not_found");
        (told["message"].as_str().unwrap().replace(name, "NAME"), told["hint"].clone())
    };
    assert_eq!(tell("secret").await, tell("nothing").await);
    assert_eq!((upstream.count("secret"), upstream.count("nothing")), (1, 1), "and costs the same: one look");
    assert_eq!((tell("secret").await, upstream.count("secret")), (tell("nothing").await, 1), "which is remembered");
    assert_eq!(names(&server), Vec::<String>::new());
    server.admin().get("/api/v1/models/acme/secret").await.ok();
    assert_eq!(names(&server), ["acme/secret"]);
    tell("secret").await;
    // What is refused of a private one is told to those who see it.
    server.admin().get("/api/v1/models/acme/secret-broken").await.problem(422, "not_mirrored");
    assert_eq!(tell("secret-broken").await, tell("nothing").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_fetch_that_fails_leaves_no_empty_repo_and_is_remembered() {
    let upstream = Upstream::start();
    let server = upstream.before(&[]);
    let refused = server.anonymous().get("/api/v1/models/acme/broken").await.problem(422, "not_mirrored");
    assert_eq!(names(&server), Vec::<String>::new(), "{refused}");
    let asked = upstream.count("broken");
    server.anonymous().get("/api/v1/models/acme/broken").await.problem(422, "not_mirrored");
    assert_eq!(upstream.count("broken"), asked, "a refusal lasts");
    assert_eq!(server.anonymous().get("/api/v1/models").await.ok()["items"], json!([]));
}
