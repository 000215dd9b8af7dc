//! Rights that end while something runs: downloads, streams, uploads and waiting requests end with them, within a second.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::publishing::{publish, random, sha256};
use crate::support::training::Person;
use crate::support::visitor::Browser;
use crate::support::{Api, STUCK_AFTER, Server};
use serde_json::{Value, json};

/// More than what lies in sockets between two processes.
const LARGE: usize = 48 << 20;
/// A right ends within a second; this machine may be busy.
const SOON: Duration = Duration::from_secs(5);

async fn token(of: &Api, server: &Server, scope: &str) -> (String, Api) {
    let made = of.post("/api/v1/tokens", &json!({ "name": "t", "scope": scope })).await.created();
    (made["id"].as_str().unwrap().to_owned(), server.with_token(made["secret"].as_str().unwrap()))
}

/// A request of which nothing is read yet but the head.
fn ask(server: &Server, headers: &str, method: &str, path: &str) -> TcpStream {
    let mut line = TcpStream::connect(server.authority()).unwrap();
    line.set_read_timeout(Some(STUCK_AFTER)).unwrap();
    write!(line, "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
    line
}

fn bearer(api: &Api) -> String {
    format!("Authorization: Bearer {}\r\n", api.token)
}

fn read(line: &mut TcpStream, bytes: usize) {
    let mut some = vec![0; bytes];
    line.read_exact(&mut some).unwrap();
}

/// What comes until the other side ends it.
fn rest(line: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A cut line is an end as well.
    let _ = line.read_to_end(&mut all);
    all
}

/// A private repo with a large file, and who may read it.
async fn private(server: &Server) -> (Api, String) {
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/net", "private": true })).await.created();
    let bytes = random(1, LARGE);
    publish(&ada, "models/ada/net", None, &[("weights.raw", &bytes)]).await.created();
    (ada, "/ada/net/resolve/main/weights.raw".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_download_is_cut_after_the_token_is_revoked() {
    let server = Server::start();
    let (ada, path) = private(&server).await;
    for path in [path.as_str(), "/api/v1/models/ada/net/versions/1/files/weights.raw"] {
        let (id, reader) = token(&ada, &server, "read").await;
        let mut line = ask(&server, &bearer(&reader), "GET", path);
        read(&mut line, 1 << 20);
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        read(&mut line, 1 << 20);
        ada.delete(&format!("/api/v1/tokens/{id}")).await.done();
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        let more = rest(&mut line).len();
        assert!(more < LARGE - (4 << 20), "{path}: {more} bytes after the end of the right");
    }
    // A right that stays is not cut, however slow.
    let (_, reader) = token(&ada, &server, "read").await;
    let mut line = ask(&server, &(bearer(&reader) + "Connection: close\r\n"), "GET", &path);
    read(&mut line, 1 << 20);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(rest(&mut line).len() > LARGE - (1 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_ends_with_the_account_the_role_and_the_sight_of_the_repo() {
    let server = Server::start();
    let (ada, _) = private(&server).await;
    let (bob, admin) = (server.user("bob").await, server.admin());
    ada.post("/api/v1/users", &json!({ "name": "acme", "kind": "organisation" })).await.created();
    ada.put("/api/v1/orgs/acme/members/bob", &json!({ "user": "bob", "role": "read" })).await.ok();
    ada.post("/api/repos/move", &json!({ "fromRepo": "ada/net", "toRepo": "acme/net", "type": "model" })).await.ok();
    let path = "/acme/net/resolve/main/weights.raw";
    let cut = async |headers: String, end: &dyn AsyncEnd| {
        let mut line = ask(&server, &headers, "GET", path);
        read(&mut line, 1 << 20);
        end.end().await;
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        let more = rest(&mut line).len();
        assert!(more < LARGE - (4 << 20), "{more} bytes after the end of the right");
    };
    cut(bearer(&bob), &Patch(&admin, "/api/v1/users/bob", json!({ "disabled": true }))).await;
    admin.patch("/api/v1/users/bob", &json!({ "disabled": false })).await.ok();
    cut(bearer(&bob), &Delete(&ada, "/api/v1/orgs/acme/members/bob")).await;
    ada.patch("/api/v1/models/acme/net", &json!({ "private": false })).await.ok();
    cut(String::new(), &Patch(&ada, "/api/v1/models/acme/net", json!({ "private": true }))).await;
}

/// Takes a right away.
trait AsyncEnd {
    fn end(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>>;
}

struct Patch<'a>(&'a Api, &'a str, Value);
struct Delete<'a>(&'a Api, &'a str);

impl AsyncEnd for Patch<'_> {
    fn end(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async { drop(self.0.patch(self.1, &self.2).await.ok()) })
    }
}

impl AsyncEnd for Delete<'_> {
    fn end(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async { self.0.delete(self.1).await.done() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_its_token() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = random(2, 4 << 20);
    let sha = sha256(&bytes);
    let (id, writer) = token(&ada, &server, "write").await;
    let announced = writer.post("/api/v1/uploads", &json!({ "sha256": sha, "size_bytes": bytes.len() })).await;
    let upload = announced.json()["id"].as_str().unwrap().to_owned();
    let headers = format!("{}Upload-Offset: 0\r\nContent-Length: {}\r\n", bearer(&writer), bytes.len());
    let mut line = ask(&server, &headers, "PATCH", &format!("/api/v1/uploads/{upload}"));
    line.write_all(&bytes[..1 << 20]).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    ada.delete(&format!("/api/v1/tokens/{id}")).await.done();
    let revoked = Instant::now();
    let answer = String::from_utf8_lossy(&rest(&mut line)).into_owned();
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("right_ended"), "{answer}");
    assert!(revoked.elapsed() < SOON, "{:?}", revoked.elapsed());

    // Whoever sends on hears it too: the line is not closed upon what they send.
    let bytes = random(3, 4 << 20);
    let (id, writer) = token(&ada, &server, "write").await;
    let announced = writer.post("/api/v1/uploads", &json!({ "sha256": sha256(&bytes), "size_bytes": bytes.len() })).await;
    let upload = announced.json()["id"].as_str().unwrap().to_owned();
    let headers = format!("{}Upload-Offset: 0\r\nContent-Length: {}\r\n", bearer(&writer), bytes.len());
    let mut line = ask(&server, &headers, "PATCH", &format!("/api/v1/uploads/{upload}"));
    line.write_all(&bytes[..1 << 20]).unwrap();
    ada.delete(&format!("/api/v1/tokens/{id}")).await.done();
    let mut status = [0; 12];
    line.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 401");
    line.write_all(&bytes[1 << 20..]).unwrap();
    assert!(String::from_utf8_lossy(&rest(&mut line)).contains("right_ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_events_end_with_the_token_and_with_the_session() {
    let server = Server::start();
    let person = Person::admin(&server).invite("ada").await;
    person.publish_both("ada/base", "ada/pictures", 4).await;
    let job =
        person.finetune(json!({ "base": "ada/base", "dataset": "ada/pictures", "name": "ada/result", "recipe": { "epochs": 1 } })).await;
    let ada = server.with_token(&person.token);
    let (id, reader) = token(&ada, &server, "read").await;
    let mut line = ask(&server, &bearer(&reader), "GET", &format!("/api/v1/finetunes/{job}/events"));
    read(&mut line, 100);
    ada.delete(&format!("/api/v1/tokens/{id}")).await.done();
    let revoked = Instant::now();
    rest(&mut line);
    assert!(revoked.elapsed() < SOON, "{:?}", revoked.elapsed());

    let browser = Browser::logged_in(&server, &ada.token).await;
    let cookies: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut line = ask(&server, &format!("Cookie: {}\r\n", cookies.join("; ")), "GET", &format!("/jobs/{job}/events"));
    read(&mut line, 100);
    ada.delete("/api/v1/sessions").await.done();
    let closed = Instant::now();
    rest(&mut line);
    assert!(closed.elapsed() < SOON, "{:?}", closed.elapsed());
}
