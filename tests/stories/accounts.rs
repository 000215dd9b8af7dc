//! People and what their tokens may do, through the API and on the server's own machine.

use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Server, hub};
use serde_json::{Value, json};

async fn token(api: &Api, server: &Server, body: Value) -> (String, Api) {
    let made = api.post("/api/v1/tokens", &body).await.created();
    (made["id"].as_str().unwrap().to_owned(), server.with_token(made["secret"].as_str().unwrap()))
}

#[tokio::test]
async fn a_token_reaches_no_further_than_its_scope() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let (_, reads) = token(&ada, &server, json!({ "name": "ci" })).await;
    let me = reads.get("/api/v1/whoami").await.ok();
    assert_eq!((me["name"].as_str(), me["scope"].as_str()), (Some("ada"), Some("read")));
    assert_eq!(me["namespaces"], json!([{ "name": "ada", "role": "admin" }]));
    reads.post("/api/v1/tokens", &json!({ "name": "more", "scope": "write" })).await.problem(403, "token_scope");
    reads.post("/api/v1/users", &json!({ "name": "org", "kind": "organisation" })).await.problem(403, "token_scope");
    reads.patch("/api/v1/users/ada", &json!({ "full_name": "Ada" })).await.problem(403, "token_scope");
    assert_eq!(ada.patch("/api/v1/users/ada", &json!({ "full_name": "Ada" })).await.ok()["full_name"], "Ada");
    let body = json!({ "name": "x", "scope": "everything" });
    ada.post("/api/v1/tokens", &body).await.problem(400, "bad_json");
    ada.post("/api/v1/tokens", &json!({ "name": "x", "expires_in_days": 0 })).await.problem(422, "bad_expiry");
}

#[tokio::test]
async fn revoking_works_at_once_and_a_foreign_token_does_not_exist() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let (id, other) = token(&ada, &server, json!({ "name": "laptop", "scope": "write", "expires_in_days": 30 })).await;
    let listed = ada.get("/api/v1/tokens").await.ok();
    assert_eq!(listed["items"][0]["name"], "laptop");
    assert!(!listed.to_string().contains(&other.token), "the secret is in no other answer");
    bob.delete(&format!("/api/v1/tokens/{id}")).await.problem(404, "token_not_found");
    other.get("/api/v1/whoami").await.ok();
    ada.delete(&format!("/api/v1/tokens/{id}")).await.done();
    let refused = other.get("/api/v1/whoami").await;
    refused.problem(401, "bad_token");
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    ada.delete(&format!("/api/v1/tokens/{id}")).await.problem(404, "token_not_found");
}

#[tokio::test]
async fn tokens_come_by_header_only() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let anonymous = server.anonymous();
    anonymous.get(&format!("/api/v1/whoami?token={}", ada.token)).await.problem(401, "login_required");
    let with = |name: &'static str, value: String| anonymous.request(reqwest::Method::GET, "/api/v1/whoami").header(name, value);
    let cookie = crate::support::Reply::of(with("cookie", format!("hub={}", ada.token))).await;
    cookie.problem(401, "login_required");
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anything:{}", ada.token));
    assert_eq!(crate::support::Reply::of(with("authorization", format!("Basic {basic}"))).await.ok()["name"], "ada");
    for odd in ["Bearer", "Basic !!!", "Digest x", "Basic aHVi"] {
        crate::support::Reply::of(with("authorization", odd.into())).await.problem(401, "bad_authorization");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_but_known_tokens_go_on() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.get("/api/v1/whoami").await.ok();
    for n in 0..10 {
        server.with_token(&guess(n)).get("/api/v1/whoami").await.problem(401, "bad_token");
    }
    let refused = server.with_token(&guess(10)).get("/api/v1/whoami").await;
    refused.problem(429, "too_many_logins");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 800);
    server.with_token(&guess(3)).get("/api/v1/whoami").await.problem(401, "bad_token");
    ada.get("/api/v1/whoami").await.ok();
    let bob = server.user("bob").await;
    assert_eq!(bob.get("/api/v1/whoami").await.ok()["name"], "bob", "a token nobody has used before is not refused for its neighbours");
    let browser = Browser::logged_in(&server, &server.user("carl").await.token).await;
    assert!(!browser.cookies.is_empty(), "nor in the log-in form");
    assert_eq!(try_login(&server, &guess(11)).await, 429);
    assert_eq!(try_login(&server, "my password").await, 401, "what cannot be a token is a mistake");
    assert_eq!(server.anonymous().get("/healthz").await.status, 200);
}

async fn try_login(server: &Server, token: &str) -> u16 {
    let mut browser = Browser::new(server);
    let form = csrf(&browser.page("/login").await);
    browser.send("/login", &[("csrf", &form), ("token", token), ("next", "/")]).await.status.as_u16()
}

/// What has the shape of a token here and is none.
fn guess(number: u8) -> String {
    hub::domain::secret::Secret::new([number; 32]).reveal().to_owned()
}

#[tokio::test]
async fn one_wrong_token_locks_nobody_out_however_often_it_is_sent() {
    let server = Server::start();
    let (stale, foreign) = (server.user("ada").await, "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH");
    let id = stale.get("/api/v1/tokens").await.ok()["items"][0]["id"].as_str().unwrap().to_owned();
    let other = server.user("bob").await;
    stale.delete(&format!("/api/v1/tokens/{id}")).await.done();
    for _ in 0..15 {
        stale.get("/api/v1/whoami").await.problem(401, "bad_token");
        server.with_token(foreign).get("/api/v1/whoami").await.problem(401, "bad_token");
    }
    for n in 0..30 {
        let told = server.with_token(&format!("hf_anotherHubs{n}")).get("/api/whoami-v2").await;
        assert_eq!((told.status.as_u16(), told.header("x-error-message")), (401, "Invalid credentials in Authorization header"));
        assert!(told.json()["error"].as_str().unwrap().contains("this is no token of a hub"), "{}", told.text());
        server.with_token(&format!("hub_mistyped{n}")).get("/api/v1/whoami").await.problem(401, "bad_token");
    }
    assert_eq!(other.get("/api/v1/whoami").await.ok()["name"], "bob");
}

#[tokio::test]
async fn a_token_works_in_the_form_other_clients_want() {
    let server = Server::start();
    let made = server.admin().post("/api/v1/tokens", &json!({ "name": "js", "scope": "write" })).await.created();
    let (secret, alias) = (made["secret"].as_str().unwrap(), made["alias"].as_str().unwrap());
    assert_eq!(alias, format!("hf_{secret}"));
    for path in ["/api/v1/whoami", "/api/whoami-v2"] {
        assert_eq!(server.with_token(alias).get(path).await.ok()["name"], "admin", "{path}");
    }
    use base64::Engine as _;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("git:{alias}"));
    let request = server.anonymous().request(reqwest::Method::GET, "/api/v1/whoami").header("authorization", format!("Basic {basic}"));
    assert_eq!(crate::support::Reply::of(request).await.ok()["name"], "admin");
    assert_eq!(try_login(&server, alias).await, 303);
    let user = server.admin().post("/api/v1/users", &json!({ "name": "eve" })).await.created();
    assert_eq!(user["alias"], format!("hf_{}", user["token"].as_str().unwrap()));
}

#[tokio::test]
async fn sign_up_is_closed_by_default_and_can_be_opened() {
    let server = Server::start();
    server.anonymous().post("/api/v1/users", &json!({ "name": "eve" })).await.problem(403, "signup_closed");
    let open = Server::start_with(&["--workers", "0", "--open-signup"], &[]);
    let made = open.anonymous().post("/api/v1/users", &json!({ "name": "eve" })).await.created();
    assert_eq!(made["account"]["is_admin"], false);
    let eve = open.with_token(made["token"].as_str().unwrap());
    assert_eq!(eve.get("/api/v1/whoami").await.ok()["name"], "eve");
    open.anonymous().post("/api/v1/users", &json!({ "name": "Eve" })).await.problem(409, "name_taken");
    open.anonymous().post("/api/v1/users", &json!({ "name": "api" })).await.problem(422, "bad_name");
    open.anonymous().post("/api/v1/users", &json!({ "name": "mal", "is_admin": true })).await.problem(400, "bad_json");
    open.anonymous().post("/api/v1/users", &json!({ "name": "o", "kind": "organisation" })).await.problem(401, "login_required");
}

#[tokio::test]
async fn administrators_manage_and_others_do_not() {
    let server = Server::start();
    let (admin, ada) = (server.admin(), server.user("ada").await);
    ada.get("/api/v1/users").await.problem(403, "site_admin_only");
    ada.patch("/api/v1/users/ada", &json!({ "is_admin": true })).await.problem(403, "site_admin_only");
    ada.patch("/api/v1/users/admin", &json!({ "full_name": "x" })).await.problem(403, "no_right");
    let page = admin.get("/api/v1/users?limit=2").await.ok();
    let names = |page: &Value| page["items"].as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&page), ["ada", "admin"]);
    let rest = admin.get(&format!("/api/v1/users?limit=2&cursor={}", page["next"].as_str().unwrap())).await.ok();
    assert_eq!((names(&rest), rest["next"].is_null()), (vec!["library".to_owned()], true));
    admin.patch("/api/v1/users/ada", &json!({ "disabled": true })).await.ok();
    ada.get("/api/v1/whoami").await.problem(401, "bad_token");
    admin.patch("/api/v1/users/ada", &json!({ "disabled": false })).await.ok();
    ada.get("/api/v1/whoami").await.ok();
    admin.patch("/api/v1/users/admin", &json!({ "is_admin": false })).await.problem(409, "last_admin");
    admin.get("/api/v1/users/nobody").await.problem(404, "account_not_found");
    server.anonymous().get("/api/v1/users/ada").await.problem(401, "login_required");
}

#[tokio::test]
async fn organisations_and_their_members() {
    let server = Server::start();
    let (ada, bob, eve) = (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let made = ada.post("/api/v1/users", &json!({ "name": "acme", "kind": "organisation" })).await.created();
    assert!(made.get("token").is_none());
    ada.put("/api/v1/orgs/acme/members/bob", &json!({ "user": "bob", "role": "write" })).await.ok();
    bob.put("/api/v1/orgs/acme/members/bob", &json!({ "user": "bob", "role": "admin" })).await.problem(403, "no_right");
    ada.put("/api/v1/orgs/acme/members/bob", &json!({ "user": "bob", "role": "king" })).await.problem(400, "bad_json");
    ada.put("/api/v1/orgs/acme/members/eve", &json!({ "user": "bob", "role": "read" })).await.problem(400, "bad_json");
    let members = bob.get("/api/v1/orgs/Acme/members").await.ok();
    assert_eq!(members["items"], json!([{ "user": "ada", "role": "admin" }, { "user": "bob", "role": "write" }]));
    eve.get("/api/v1/orgs/acme/members").await.problem(404, "account_not_found");
    assert!(bob.get("/api/v1/whoami").await.ok()["namespaces"].to_string().contains("acme"));
    bob.delete("/api/v1/orgs/acme/members/bob").await.done();
    bob.get("/api/v1/orgs/acme/members").await.problem(404, "account_not_found");
}

#[tokio::test]
async fn hub_admin_acts_on_the_directory_while_the_server_runs() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let done = hub(home.path()).envs(server.database()).args(["admin", "--data"]).arg(server.data()).args(args).assert();
        let output = done.get_output().clone();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, secret, _) = run(&["user", "add", "ada", "--quiet"]);
    assert_eq!(status, 0);
    let ada = server.with_token(&secret);
    assert_eq!(ada.get("/api/v1/whoami").await.ok()["name"], "ada");
    let (_, listed, _) = run(&["user", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let (_, made, _) = run(&["token", "create", "ada", "--scope", "read", "--days", "7", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let reads = server.with_token(made["secret"].as_str().unwrap());
    assert_eq!(reads.get("/api/v1/whoami").await.ok()["scope"], "read");
    assert_eq!(run(&["token", "revoke", made["id"].as_str().unwrap()]).0, 0);
    reads.get("/api/v1/whoami").await.problem(401, "bad_token");
    assert_eq!(run(&["org", "add", "acme"]).0, 0);
    assert_eq!(run(&["org", "member", "acme", "ada", "write"]).0, 0);
    assert!(ada.get("/api/v1/whoami").await.ok()["namespaces"].to_string().contains("acme"));
    assert_eq!(run(&["user", "disable", "ada"]).0, 0);
    ada.get("/api/v1/whoami").await.problem(401, "bad_token");
    let (status, _, complaint) = run(&["user", "disable", "nobody"]);
    assert_eq!(status, 3);
    assert!(complaint.contains("error: there is no 'nobody'") && complaint.contains("hint:"), "{complaint}");
    assert_eq!(run(&["token", "create", "ada", "--scope", "all"]).0, 2);
    let empty = hub(home.path()).args(["admin", "--data"]).arg(home.path()).args(["user", "list"]).assert().code(3);
    assert!(String::from_utf8_lossy(&empty.get_output().stderr).contains("there is no hub in"));
}

#[tokio::test]
async fn a_token_makes_none_that_lives_longer_or_without_it() {
    let server = Server::start();
    let ada = server.user("ada").await;
    for scope in ["read", "write"] {
        let (_, weak) = token(&ada, &server, json!({ "name": scope, "scope": scope, "expires_in_days": 1 })).await;
        weak.post("/api/v1/tokens", &json!({ "name": "child", "scope": "read" })).await.problem(403, "token_scope");
    }
    let short = ada.post("/api/v1/tokens", &json!({ "name": "short", "scope": "admin", "expires_in_days": 1 })).await.created();
    let made = server.with_token(short["secret"].as_str().unwrap());
    for days in [Value::Null, json!(3_660), json!(2)] {
        let child = made.post("/api/v1/tokens", &json!({ "name": "child", "scope": "admin", "expires_in_days": days })).await.created();
        assert_eq!((&child["expires"], &child["parent"]), (&short["expires"], &short["id"]), "{days}");
    }
    let (_, child) = token(&made, &server, json!({ "name": "child", "scope": "admin" })).await;
    let (_, grandchild) = token(&child, &server, json!({ "name": "grandchild", "scope": "write" })).await;
    let mut browser = Browser::logged_in(&server, &child.token).await;
    grandchild.get("/api/v1/whoami").await.ok();
    ada.delete(&format!("/api/v1/tokens/{}", short["id"].as_str().unwrap())).await.done();
    for ended in [&made, &child, &grandchild] {
        ended.get("/api/v1/whoami").await.problem(401, "bad_token");
    }
    assert!(browser.page("/").await.contains("Log in"), "so do the sessions of those it made");
    let left = ada.get("/api/v1/tokens").await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 3, "{left}");
    // What an administrator makes for others with a token of theirs ends with it, too.
    let (id, helper) = token(&server.admin(), &server, json!({ "name": "h", "scope": "admin", "expires_in_days": 1 })).await;
    let (_, given) = token(&helper, &server, json!({ "name": "g", "scope": "read", "user": "ada" })).await;
    assert_eq!(given.get("/api/v1/whoami").await.ok()["name"], "ada");
    server.admin().delete(&format!("/api/v1/tokens/{id}")).await.done();
    given.get("/api/v1/whoami").await.problem(401, "bad_token");
}

#[tokio::test]
async fn all_sessions_end_where_a_person_says_so() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let (mut here, mut there) = (Browser::logged_in(&server, &ada.token).await, Browser::logged_in(&server, &ada.token).await);
    let mut bobs = Browser::logged_in(&server, &server.user("bob").await.token).await;
    let form = csrf(&here.page("/settings/tokens").await);
    assert_eq!(here.send("/logout/everywhere", &[("csrf", "x")]).await.status, 403);
    assert_eq!(here.send("/logout/everywhere", &[("csrf", &form)]).await.status, 303);
    let inside = async |browser: &mut Browser| browser.get("/settings/tokens").await.status == 200;
    assert_eq!([inside(&mut here).await, inside(&mut there).await, inside(&mut bobs).await], [false, false, true]);
    ada.get("/api/v1/whoami").await.ok();
    let mut again = Browser::logged_in(&server, &ada.token).await;
    ada.delete("/api/v1/sessions").await.done();
    assert!(!inside(&mut again).await);
}

#[tokio::test]
async fn an_organisation_keeps_an_administrator() {
    let server = Server::start();
    let (ada, _bob) = (server.user("ada").await, server.user("bob").await);
    ada.post("/api/v1/users", &json!({ "name": "acme", "kind": "organisation" })).await.created();
    ada.delete("/api/v1/orgs/acme/members/ada").await.problem(409, "last_admin");
    ada.put("/api/v1/orgs/acme/members/ada", &json!({ "user": "ada", "role": "write" })).await.problem(409, "last_admin");
    ada.put("/api/v1/orgs/acme/members/bob", &json!({ "user": "bob", "role": "admin" })).await.ok();
    ada.delete("/api/v1/orgs/acme/members/ada").await.done();
    server.admin().delete("/api/v1/orgs/acme/members/bob").await.problem(409, "last_admin");
}
