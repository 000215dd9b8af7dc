//! Webhooks: what is told arrives signed, in order and at least once, and never inside a network that nobody opened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::support::publishing::{create_repo, publish};
use crate::support::training::Person;
use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Server, until};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// What somebody sent.
#[derive(Clone, Debug)]
struct Message {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Checks the signature as a library of Standard Webhooks does; some of those that are there must be right.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let signed = format!("{}.{}.{}", self.headers["webhook-id"], self.headers["webhook-timestamp"], self.body);
        let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes()));
        self.headers["webhook-signature"].split(' ').any(|one| one == format!("v1,{tag}"))
    }
}

/// A program that is told things: it answers with what it was given to say, then with 204.
#[derive(Clone)]
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Message>>>,
    answers: Arc<Mutex<Vec<String>>>,
}

/// An answer that never comes.
const SILENCE: &str = "";

impl Receiver {
    async fn start(address: &str) -> Receiver {
        let listener = TcpListener::bind(address).await.unwrap();
        let receiver = Receiver { port: listener.local_addr().unwrap().port(), got: Arc::default(), answers: Arc::default() };
        let this = receiver.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(this.clone().answer(stream));
            }
        });
        receiver
    }

    async fn answer(self, mut stream: tokio::net::TcpStream) {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        let (head, body) = loop {
            let read = stream.read(&mut chunk).await.unwrap();
            if read == 0 {
                return;
            }
            bytes.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                break (head.to_owned(), body.to_owned());
            }
        };
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        self.got.lock().unwrap().push(Message { headers: head.lines().skip(1).filter_map(header).collect(), body });
        let given = {
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() { None } else { Some(answers.remove(0)) }
        };
        let answer = given.unwrap_or_else(|| "204 No Content\r\n".into());
        if answer == SILENCE {
            std::future::pending::<()>().await;
        }
        let _ = stream.write_all(format!("HTTP/1.1 {answer}connection: close\r\n\r\n").as_bytes()).await;
    }

    fn says(&self, answer: &str) {
        self.answers.lock().unwrap().push(answer.to_owned());
    }

    fn got(&self) -> Vec<Message> {
        self.got.lock().unwrap().clone()
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    async fn has(&self, count: usize) -> Vec<Message> {
        until(&format!("{count} messages arrive"), async || self.got().len() >= count).await;
        self.got()
    }
}

/// A hub that may tell this machine.
fn server() -> Server {
    Server::start_with(&["--workers", "0"], &[("HUB_WEBHOOK_NETWORKS", "127.0.0.0/8")])
}

async fn add(api: &Api, body: Value) -> (String, String) {
    let made = api.post("/api/v1/webhooks", &body).await.created();
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

async fn deliveries(api: &Api, id: &str) -> Vec<Value> {
    api.get(&format!("/api/v1/webhooks/{id}/deliveries")).await.ok()["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_told_in_order_signed_and_again_after_an_error() {
    let (server, receiver) = (server(), Receiver::start("127.0.0.1:0").await);
    let ada = server.user("ada").await;
    let (id, secret) = add(&ada, json!({ "url": receiver.url(), "events": ["version.published"] })).await;
    assert!(!ada.get("/api/v1/webhooks").await.text().contains(&secret), "the secret is shown once");
    receiver.says("500 Oops\r\ncontent-length: 5\r\n");
    create_repo(&ada, "model", "ada/net").await;
    for n in 1..=3u32 {
        let parent = (n > 1).then_some(n - 1);
        publish(&ada, "models/ada/net", parent, &[("README.md", format!("# {n}").as_bytes())]).await.created();
    }
    let got = receiver.has(4).await;
    let number = |message: &Message| message.json()["data"]["version"].as_u64().unwrap();
    let mut told: Vec<u64> = got.iter().map(number).collect();
    assert_eq!(told.iter().filter(|version| **version == 1).count(), 2, "the first is tried again: {told:?}");
    let again = told.iter().rposition(|version| *version == 1).unwrap();
    assert_eq!(got[0].headers["webhook-id"], got[again].headers["webhook-id"], "the same thing told twice has one id");
    told.remove(again);
    assert_eq!(told, [1, 2, 3], "in the order of what happened");
    assert!(got.iter().all(|message| message.is_signed_with(&secret)), "{got:?}");
    let first = got[0].json();
    assert_eq!((&first["type"], &first["data"]["repo"]["name"]), (&json!("version.published"), &json!("ada/net")));
    let seconds: i64 = got[0].headers["webhook-timestamp"].parse().unwrap();
    assert!((seconds - std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64).abs() < 600);
    until("all are noted", async || deliveries(&ada, &id).await.iter().all(|one| one["state"] == "delivered")).await;
    let told = deliveries(&ada, &id).await;
    assert_eq!((&told[2]["attempts"], &told[2]["status"]), (&json!(2), &json!(204)), "{told:?}");

    // A new secret, and the one before beside it.
    let rotated = ada.post(&format!("/api/v1/webhooks/{id}/rotate"), &json!({})).await.ok();
    ada.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.created();
    let got = receiver.has(5).await;
    assert_eq!(got[4].json()["type"], "webhook.test");
    assert!(got[4].is_signed_with(&secret) && got[4].is_signed_with(rotated["secret"].as_str().unwrap()));
    ada.delete(&format!("/api/v1/webhooks/{id}")).await.done();
    assert_eq!(ada.get("/api/v1/webhooks").await.ok()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_told_to_their_owner_alone() {
    let (server, receiver) = (server(), Receiver::start("127.0.0.1:0").await);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (id, _) = add(&ada, json!({ "url": receiver.url(), "repo": "library/colours", "repo_kind": "dataset" })).await;
    let other = Receiver::start("127.0.0.1:0").await;
    let (bobs, _) = add(&bob, json!({ "url": other.url() })).await;
    let asked = json!({ "base": "tiny", "dataset": "colours", "name": "ada/net", "recipe": { "epochs": 1 } });
    let job = ada.post("/api/v1/finetunes", &asked).await.created();
    ada.post(&format!("/api/v1/jobs/{}/cancel", job["id"].as_str().unwrap()), &json!({})).await.ok();
    let told = receiver.has(1).await[0].json();
    assert_eq!((&told["type"], &told["data"]["job"]["id"]), (&json!("job.cancelled"), &job["id"]), "{told}");
    assert_eq!(told["data"]["job"]["inputs"][1]["name"], "library/colours");
    bob.post(&format!("/api/v1/webhooks/{bobs}/test"), &json!({})).await.created();
    assert_eq!(other.has(1).await[0].json()["type"], "webhook.test", "nothing of another's jobs came before");

    // Only its owner sees it, and makes it do something.
    for path in [format!("/api/v1/webhooks/{id}/test"), format!("/api/v1/webhooks/{id}/rotate"), format!("/api/v1/webhooks/{id}/enable")] {
        bob.post(&path, &json!({})).await.problem(404, "webhook_not_found");
        server.admin().post(&path, &json!({})).await.problem(404, "webhook_not_found");
    }
    bob.delete(&format!("/api/v1/webhooks/{id}")).await.problem(404, "webhook_not_found");
    bob.get(&format!("/api/v1/webhooks/{id}/deliveries")).await.problem(404, "webhook_not_found");
    server.anonymous().get("/api/v1/webhooks").await.problem(401, "login_required");
    let reads = ada.post("/api/v1/tokens", &json!({ "name": "r", "scope": "read" })).await.created();
    server.with_token(reads["secret"].as_str().unwrap()).get("/api/v1/webhooks").await.problem(403, "token_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_inside_a_network_or_elsewhere() {
    let receiver = Receiver::start("127.0.0.1:0").await;
    let closed = Server::start();
    let ada = closed.user("ada").await;
    for url in [
        receiver.url(),
        format!("http://localhost:{}/", receiver.port),
        format!("http://[::ffff:127.0.0.1]:{}/", receiver.port),
        "http://2130706433/".into(),
        "http://[64:ff9b::7f00:1]/".into(),
        "http://169.254.169.254/latest/meta-data".into(),
        "http://10.0.0.1/".into(),
        "http://[fd00:ec2::254]/".into(),
        "ftp://example.org/".into(),
        "http://ada:word@example.org/".into(),
        "nonsense".into(),
    ] {
        ada.post("/api/v1/webhooks", &json!({ "url": url })).await.problem(422, "bad_url");
    }
    ada.post("/api/v1/webhooks", &json!({ "url": receiver.url(), "events": ["job.sang"] })).await.problem(422, "bad_event");

    // A name that stands for an address that is allowed and for others that are not: only the first is connected to.
    let open = server();
    let ada = open.user("ada").await;
    let inside = TcpListener::bind(("::1", receiver.port)).await;
    let (id, _) = add(&ada, json!({ "url": format!("http://localhost:{}/", receiver.port) })).await;
    ada.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.created();
    receiver.has(1).await;
    if let Ok(inside) = inside {
        let nobody = tokio::time::timeout(std::time::Duration::from_millis(300), inside.accept()).await;
        assert!(nobody.is_err(), "[::1] is not in 127.0.0.0/8");
    }

    // Who is redirected is not followed, and a hook that was made while a network was open is told nothing once it is closed.
    let secret_place = Receiver::start("127.0.0.1:0").await;
    receiver.says(&format!("302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n", secret_place.url()));
    ada.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.created();
    receiver.has(2).await;
    until("the redirection is noted", async || deliveries(&ada, &id).await[0]["status"] == 302).await;
    assert!(deliveries(&ada, &id).await[0]["answer"].as_str().unwrap().contains("not followed"));
    let token = ada.token.clone();
    let data = open.kill().unwrap();
    let closed = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let ada = closed.with_token(&token);
    let sent = ada.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.created();
    let it = async || deliveries(&ada, &id).await.into_iter().find(|one| one["id"] == sent["id"]).unwrap();
    until("it was refused", async || it().await["attempts"].as_u64() > Some(0)).await;
    assert!(it().await["answer"].as_str().unwrap().contains("no address that webhooks may be sent to"), "{:?}", it().await);
    assert_eq!((receiver.got().len(), secret_place.got().len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_between_leaves_nothing_untold() {
    let (first, receiver) = (server(), Receiver::start("127.0.0.1:0").await);
    let ada = first.user("ada").await;
    let (id, secret) = add(&ada, json!({ "url": receiver.url(), "events": ["version.published"] })).await;
    create_repo(&ada, "model", "ada/net").await;
    // It is told, and dies before it hears an answer.
    receiver.says(SILENCE);
    publish(&ada, "models/ada/net", None, &[("README.md", b"# 1")]).await.created();
    receiver.has(1).await;
    publish(&ada, "models/ada/net", Some(1), &[("README.md", b"# 2")]).await.created();
    let token = ada.token.clone();
    let data = first.kill().unwrap();
    let again = Server::start_on(data.path(), &["--workers", "0"], &[("HUB_WEBHOOK_NETWORKS", "127.0.0.0/8")]);
    let got = receiver.has(3).await;
    let versions: Vec<u64> = got.iter().map(|message| message.json()["data"]["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 1, 2], "at least once, in order");
    assert_eq!(got[0].headers["webhook-id"], got[1].headers["webhook-id"]);
    assert!(got.iter().all(|message| message.is_signed_with(&secret)));
    let ada = again.with_token(&token);
    until("both are noted", async || deliveries(&ada, &id).await.iter().all(|one| one["state"] == "delivered")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_know_it_any_more_is_not_told() {
    let (server, receiver) = (server(), Receiver::start("127.0.0.1:0").await);
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    create_repo(&ada, "model", "ada/net").await;
    let (id, _) = add(&bob, json!({ "url": receiver.url(), "repo": "ada/net" })).await;
    receiver.says(SILENCE);
    bob.post(&format!("/api/v1/webhooks/{id}/test"), &json!({})).await.created();
    receiver.has(1).await;
    // While it waits for that answer, something is published, and then turned private.
    publish(&ada, "models/ada/net", None, &[("README.md", b"# 1")]).await.created();
    ada.patch("/api/v1/models/ada/net", &json!({ "private": true })).await.ok();
    until("it is dropped", async || deliveries(&bob, &id).await[0]["state"] == "dropped").await;
    let shown = bob.get("/api/v1/webhooks").await.ok()["items"][0].clone();
    assert_eq!((&shown["repo"], &shown["one_repo"]), (&Value::Null, &json!(true)), "not even its name");

    // A hook ends with the token that made it, and one that nobody wants any more with 410.
    let (hers, _) = add(&ada, json!({ "url": receiver.url() })).await;
    receiver.says("410 Gone\r\ncontent-length: 0\r\n");
    ada.post(&format!("/api/v1/webhooks/{hers}/test"), &json!({})).await.created();
    let state = async |api: &Api, id: &str| {
        let all = api.get("/api/v1/webhooks").await.ok();
        all["items"].as_array().unwrap().iter().find(|hook| hook["id"] == id).unwrap()["disabled"].as_str().unwrap_or_default().to_owned()
    };
    until("it is switched off", async || state(&ada, &hers).await.contains("410")).await;
    ada.post(&format!("/api/v1/webhooks/{hers}/test"), &json!({})).await.problem(409, "webhook_disabled");
    let made = ada.post("/api/v1/tokens", &json!({ "name": "w", "scope": "write" })).await.created();
    let writes = server.with_token(made["secret"].as_str().unwrap());
    writes.post(&format!("/api/v1/webhooks/{hers}/enable"), &json!({})).await.ok();
    assert_eq!(state(&ada, &hers).await, "");
    ada.delete(&format!("/api/v1/tokens/{}", made["id"].as_str().unwrap())).await.done();
    ada.post(&format!("/api/v1/webhooks/{hers}/test"), &json!({})).await.created();
    until("it ended with its token", async || state(&ada, &hers).await.contains("revoked")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_on_the_page_and_on_the_command_line() {
    let (server, receiver) = (server(), Receiver::start("127.0.0.1:0").await);
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let form = csrf(&browser.page("/settings/webhooks").await);
    let refused = browser.send("/settings/webhooks", &[("csrf", &form), ("url", "http://10.0.0.1/<b>"), ("events", "job.failed")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("no address that webhooks may be sent to") && !refused.text().contains("<b>"), "{}", refused.text());
    let made = browser.send("/settings/webhooks", &[("csrf", &form), ("url", &receiver.url()), ("events", "job.failed")]).await;
    assert_eq!(made.status, 303, "{}", made.text());
    assert!(browser.page("/settings/webhooks").await.contains("whsec_"), "the secret is on the page it leads to");
    assert!(!browser.page("/settings/webhooks").await.contains("whsec_"));
    assert_eq!(browser.send("/settings/webhooks", &[("url", &receiver.url())]).await.status, 403, "without the page's own word");

    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let done = server.hub(home.path()).arg("webhooks").args(args).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let added = tokio::task::block_in_place(|| run(&["add", &receiver.url(), "--event", "job.succeeded", "--quiet"]));
    assert!(added.starts_with("whsec_"), "{added}");
    let ids = tokio::task::block_in_place(|| run(&["list", "--quiet"]));
    let id = ids.lines().next().unwrap();
    assert!(tokio::task::block_in_place(|| run(&["test", id])).contains("204"));
    assert!(tokio::task::block_in_place(|| run(&["deliveries", id])).contains("webhook.test"));
    let page = browser.page(&format!("/settings/webhooks/{id}")).await;
    assert!(page.contains("webhook.test") && page.contains("delivered"), "{page}");
    tokio::task::block_in_place(|| run(&["remove", id]));
    assert_eq!(tokio::task::block_in_place(|| run(&["list", "--quiet"])).lines().count(), 1);
}
