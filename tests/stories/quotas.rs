//! How much one account may hold: bytes, repos, organisations, tokens, uploads; and that bytes sent by Xet do not swell.

use crate::support::publishing::{announce, commit, create_repo, file, publish, random, sha256, upload};
use crate::support::xet::{frame, packed, shard};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

fn server(settings: &[(&str, &str)]) -> Server {
    Server::start_with(&["--workers", "0"], settings)
}

async fn usage(api: &Api, name: &str) -> Value {
    api.get(&format!("/api/v1/users/{name}/usage")).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_holds_no_more_bytes_than_its_quota() {
    let server = server(&[("HUB_QUOTA_BYTES", "100000")]);
    let ada = server.user("ada").await;
    for id in ["ada/one", "ada/two"] {
        create_repo(&ada, "model", id).await;
    }
    let (first, second) = (random(1, 60_000), random(2, 60_000));
    publish(&ada, "models/ada/one", None, &[("a.bin", &first), ("again.bin", &first)]).await.created();
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 60_000, "the same bytes count once in a repo");
    let refused = publish(&ada, "models/ada/two", None, &[("b.bin", &second)]).await.problem(413, "quota_exceeded");
    let (message, hint) = (refused["message"].as_str().unwrap(), refused["hint"].as_str().unwrap());
    assert!(message.contains("60.0 kB") && message.contains("100 kB") && hint.contains("hub admin quota"), "{message}; {hint}");
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 60_000);
    // A version with the bytes of the one before and a little more.
    let more = random(3, 10_000);
    publish(&ada, "models/ada/one", Some(1), &[("a.bin", &first), ("c.bin", &more)]).await.created();
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 70_000);

    // Clients of git-lfs learn it before they send.
    let object = json!({"oid": sha256(b"never sent"), "size": 40_000});
    let batch = json!({"operation": "upload", "transfers": ["basic"], "objects": [object], "hash_algo": "sha256"});
    let refused = ada.post("/ada/two.git/info/lfs/objects/batch", &batch).await;
    assert!(refused.status == 413 && refused.text().contains("would exceed"), "{}", refused.text());

    // What goes makes room; what an administrator says counts.
    ada.delete("/api/v1/models/ada/one/versions/2").await.done();
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 60_000);
    ada.put("/api/v1/users/ada/quota", &json!({"quota_bytes": 0})).await.problem(403, "site_admin_only");
    let told = server.admin().put("/api/v1/users/ada/quota", &json!({"quota_bytes": 120_000})).await.ok();
    assert_eq!((told["quota_bytes"].as_u64(), told["quota_is_own"].as_bool()), (Some(120_000), Some(true)));
    commit(&ada, "models/ada/two", None, vec![file("b.bin", &second)]).await.created();
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 120_000);
    ada.delete("/api/v1/models/ada/one").await.done();
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 60_000);
    server.user("bob").await.get("/api/v1/users/ada/usage").await.problem(404, "account_not_found");

    let home = tempfile::tempdir().unwrap();
    let mut quota = server.hub(home.path());
    quota.envs(server.database());
    quota.args(["admin", "quota", "ada", "--default", "--json", "--data"]).arg(server.data()).env("HUB_QUOTA_BYTES", "100000");
    let shown: Value = serde_json::from_slice(&quota.assert().success().get_output().stdout).unwrap();
    assert_eq!((shown["quota_bytes"].as_u64(), shown["quota_is_own"].as_bool()), (Some(100_000), Some(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_only_what_fits_is_published() {
    let server = server(&[("HUB_QUOTA_BYTES", "100000")]);
    let ada = server.user("ada").await;
    let files: Vec<Vec<u8>> = (0..6).map(|seed| random(seed, 30_000)).collect();
    for (at, bytes) in files.iter().enumerate() {
        create_repo(&ada, "model", &format!("ada/net{at}")).await;
        upload(&ada, bytes).await;
    }
    let at_once = files.iter().enumerate().map(|(at, bytes)| {
        let ada = ada.clone();
        async move { commit(&ada, &format!("models/ada/net{at}"), None, vec![file("a.bin", bytes)]).await.status.as_u16() }
    });
    let mut answers = futures_util::future::join_all(at_once).await;
    answers.sort_unstable();
    assert_eq!(answers, [201, 201, 201, 413, 413, 413]);
    assert_eq!(usage(&ada, "ada").await["stored_bytes"], 90_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_and_not_published_is_bounded_too() {
    let server = server(&[("HUB_QUOTA_BYTES", "100000"), ("HUB_MAX_UPLOADS_PER_ACCOUNT", "3")]);
    let ada = server.user("ada").await;
    for seed in 0..3 {
        upload(&ada, &random(seed, 60_000)).await;
    }
    assert_eq!(usage(&ada, "ada").await["sent_bytes"], 180_000);
    let announced = |size: u64| json!({"sha256": sha256(&size.to_le_bytes()), "size_bytes": size});
    let refused = ada.post("/api/v1/uploads", &announced(20_001)).await.problem(413, "quota_exceeded");
    assert!(refused["message"].as_str().unwrap().contains("200 kB"), "{refused}");
    announce(&ada, &random(9, 5_000)).await;
    announce(&ada, &random(10, 5_000)).await;
    ada.post("/api/v1/uploads", &announced(10_001)).await.problem(413, "quota_exceeded");
    announce(&ada, &random(11, 5_000)).await;
    ada.post("/api/v1/uploads", &announced(1)).await.problem(429, "too_many_uploads");
    announce(&ada, &random(9, 5_000)).await;
    let (eve, bytes) = (server.user("eve").await, random(0, 60_000));
    upload(&eve, &bytes).await;
    assert_eq!(usage(&eve, "eve").await["sent_bytes"], 60_000, "each has sent it");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_tokens_and_organisations_are_bounded() {
    let limits = [("HUB_MAX_REPOS_PER_NAMESPACE", "2"), ("HUB_MAX_ORGANISATIONS_PER_USER", "1"), ("HUB_MAX_TOKENS_PER_USER", "3")];
    let server = server(&limits);
    let bob = server.user("bob").await;
    for id in ["bob/a", "bob/b"] {
        create_repo(&bob, "model", id).await;
    }
    let refused = bob.post("/api/v1/repos", &json!({"kind": "dataset", "id": "bob/c"})).await.problem(429, "too_many_repos");
    assert!(refused["message"].as_str().unwrap().contains("2 are there, and 2 are allowed"), "{refused}");
    let organisation = |name: &str| json!({"name": name, "kind": "organisation"});
    bob.post("/api/v1/users", &organisation("acme")).await.created();
    bob.post("/api/v1/users", &organisation("acme2")).await.problem(429, "too_many_organisations");
    create_repo(&bob, "model", "acme/a").await;
    create_repo(&bob, "model", "acme/b").await;
    let moved = json!({"fromRepo": "bob/a", "toRepo": "acme/c"});
    let refused = bob.post("/api/repos/move", &moved).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    bob.delete("/api/v1/models/bob/b").await.done();
    create_repo(&bob, "model", "bob/c").await;
    // The first token was made with the account.
    let token = json!({"name": "x", "scope": "read"});
    let made = bob.post("/api/v1/tokens", &token).await.created();
    bob.post("/api/v1/tokens", &token).await.created();
    bob.post("/api/v1/tokens", &token).await.problem(429, "too_many_tokens");
    bob.delete(&format!("/api/v1/tokens/{}", made["id"].as_str().unwrap())).await.done();
    bob.post("/api/v1/tokens", &token).await.created();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_sent_by_xet_do_not_swell() {
    const CHUNK: usize = 128 << 10;
    let server = server(&[]);
    let eve = server.user("eve").await;
    create_repo(&eve, "model", "eve/net").await;
    let told = eve.get("/api/models/eve/net/xet-write-token/main").await.ok();
    let cas = server.with_token(told["accessToken"].as_str().unwrap());
    let at = told["casUrl"].as_str().unwrap().strip_prefix(&server.url).unwrap().to_owned();
    let post = async |path: String, body: Vec<u8>| Reply::of(cas.request(Method::POST, &format!("{at}{path}")).body(body)).await;
    let zeros = |count: usize| {
        let chunk = hub::domain::xet::XetHash::of_chunk(&[0; CHUNK]);
        let hash = hub::domain::xet::XetHash::of_xorb(&vec![(chunk, CHUNK as u64); count]).to_string();
        (hash, packed(1, &frame(&[0; CHUNK]), CHUNK).repeat(count))
    };
    let (hash, body) = zeros(512);
    assert!(body.len() < 1 << 20, "64 MiB in {} bytes", body.len());
    let refused = post(format!("/v1/xorbs/default/{hash}"), body).await;
    assert!(refused.status == 413 && refused.text().contains("more than 64 for each"), "{}", refused.text());

    // One chunk, said again and again.
    let (hash, body) = zeros(1);
    assert_eq!(post(format!("/v1/xorbs/default/{hash}"), body).await.status, 200);
    let said = |times: usize| vec![(hash.as_str(), CHUNK as u32, 0, 1); times];
    let whole = vec![0; 600 * CHUNK];
    let refused = post("/v2/shards".into(), shard(&[(&whole, &said(600))])).await;
    assert!(refused.status == 413 && refused.text().contains("HF_HUB_DISABLE_XET"), "{}", refused.text());
    let some = vec![0; 32 * CHUNK];
    let taken = post("/v2/shards".into(), shard(&[(&some, &said(32))])).await;
    assert!(taken.status == 200 && taken.text().contains("result"), "{}", taken.text());

    // And what they hold counts.
    server.admin().put("/api/v1/users/eve/quota", &json!({"quota_bytes": 3 << 20})).await.ok();
    let more = vec![0; 40 * CHUNK];
    let refused = post("/v2/shards".into(), shard(&[(&more, &said(40))])).await.text();
    assert!(refused.contains("would exceed"), "{refused}");
}
