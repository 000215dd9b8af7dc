//! The audit log: what is in it, who reads it, and what it cannot be filled with.

use crate::support::publishing::{create_repo, publish};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Server, hub, until};
use serde_json::{Value, json};

/// All lines of an action, newest first.
async fn lines(server: &Server, action: &str) -> Vec<Value> {
    let page = server.admin().get(&format!("/api/v1/admin/audit?limit=100&action={action}")).await.ok();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_written_down_with_token_address_and_request() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", b"# x")]).await.created();
    let published = &lines(&server, "publish").await[0];
    let of = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    assert_eq!(
        ["account", "subject", "detail", "address"].map(|key| of(published, key)),
        ["ada", "model ada/net", "version 1", "127.0.0.1"]
    );
    let tokens = ada.get("/api/v1/tokens").await.ok();
    assert_eq!(published["token"], tokens["items"][0]["id"]);
    assert!(server.log().contains(&of(published, "request_id")), "the server's log has the same request");

    // Refusals, by whom and why.
    let refused = ada.get("/api/v1/users").await;
    assert_eq!(refused.status, 403);
    server.with_token("hub_mistyped").get("/api/v1/whoami").await.problem(401, "bad_token");
    let refusals = lines(&server, "refused").await;
    let mine = refusals.iter().find(|line| line["account"] == "ada").unwrap();
    assert_eq!(
        ["subject", "detail", "request_id"].map(|key| of(mine, key)),
        ["GET /api/v1/users", "403 site_admin_only", refused.header("x-request-id")]
    );
    assert!(refusals.iter().any(|line| line["account"] == "anonymous" && line["detail"] == "401 bad_token"), "{refusals:?}");

    // Log-ins, right and wrong; out again.
    let mut browser = Browser::logged_in(&server, &ada.token).await;
    let form = csrf(&browser.page("/settings/tokens").await);
    browser.send("/logout", &[("csrf", &form)]).await;
    let mut guesser = Browser::new(&server);
    let form = csrf(&guesser.page("/login").await);
    assert_eq!(guesser.send("/login", &[("csrf", &form), ("token", "wrong"), ("next", "/")]).await.status, 401);
    assert_eq!((of(&lines(&server, "login").await[0], "account"), lines(&server, "logout").await.len()), ("ada".to_owned(), 1));
    assert_eq!(of(&lines(&server, "login.failed").await[0], "detail"), "bad_token");

    // A token's first use at an address on a day, and no other.
    for _ in 0..5 {
        ada.get("/api/v1/whoami").await.ok();
    }
    let uses = lines(&server, "token.use").await;
    assert_eq!(uses.iter().filter(|line| line["account"] == "ada").count(), 1, "{uses:?}");

    // People, roles, visibility, tokens.
    ada.patch("/api/v1/models/ada/net", &json!({ "private": true })).await.ok();
    server.admin().patch("/api/v1/users/ada", &json!({ "disabled": true })).await.ok();
    for (action, account) in [("patch_repo", "ada"), ("account.change", "admin"), ("account.create", "admin"), ("create_repo", "ada")] {
        assert_eq!(of(&lines(&server, action).await[0], "account"), account, "{action}");
    }
    let all = server.admin().get("/api/v1/admin/audit?limit=100").await.ok().to_string();
    assert!(!all.contains(&ada.token) && !all.contains(&server.admin_token));
    // Lines of the access log name the account, too.
    assert!(server.log().contains(r#""account":"ada""#), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_by_administrators_in_pages_and_elsewhere() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.get("/api/v1/admin/audit").await.problem(403, "site_admin_only");
    server.anonymous().get("/api/v1/admin/audit").await.problem(401, "login_required");
    let reads = server.admin().post("/api/v1/tokens", &json!({ "name": "r", "scope": "read" })).await.created();
    server.with_token(reads["secret"].as_str().unwrap()).get("/api/v1/admin/audit").await.problem(403, "token_scope");
    for n in 0..5 {
        create_repo(&ada, "model", &format!("ada/net{n}")).await;
    }
    let (mut subjects, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.admin().get(&format!("/api/v1/admin/audit?limit=2&action=create_repo&account=ada&cursor={cursor}")).await.ok();
        subjects.extend(page["items"].as_array().unwrap().iter().map(|line| line["subject"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(subjects, ["ada/net4", "ada/net3", "ada/net2", "ada/net1", "ada/net0"].map(|id| format!("model {id}")));
    let since = server.admin().get("/api/v1/admin/audit?since=1h&action=create_repo").await.ok();
    assert_eq!(since["items"].as_array().unwrap().len(), 5);
    server.admin().get("/api/v1/admin/audit?since=yesterday").await.problem(400, "bad_query");

    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let page = browser.page("/system/audit?account=ada&action=create_repo").await;
    assert!(page.contains("model ada/net4") && !page.contains("account.create"), "{page}");
    let mut hers = Browser::logged_in(&server, &ada.token).await;
    assert_eq!(hers.get("/system/audit").await.status, 403);
    assert_eq!(Browser::new(&server).get("/system/audit").await.status, 303);

    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let done =
            hub(home.path()).envs(server.database()).args(["admin", "audit", "--data"]).arg(server.data()).args(args).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    };
    let lines: Vec<Value> = run(&["--since", "1h", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["action"] == "create_repo").count(), 5);
    assert!(run(&["--action", "create_repo"]).contains("model ada/net0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_fill_the_log() {
    let server = Server::start();
    for _ in 0..150 {
        assert_eq!(server.anonymous().get("/api/v1/whoami").await.status, 401);
    }
    let refused = lines(&server, "refused").await;
    // They may have come in two minutes.
    assert!((20..=40).contains(&refused.len()), "{}", refused.len());
    let more = async || lines(&server, "audit.more").await.iter().any(|line| line["detail"].as_str().unwrap().contains("more refusals"));
    until("the rest is counted", more).await;
}
