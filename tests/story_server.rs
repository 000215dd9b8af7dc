//! The server as a process and as an HTTP peer: first start, headers, refusals at the door, how it ends.

mod support;

use support::Server;

#[tokio::test]
async fn a_first_start_makes_the_administrator_and_says_so_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let file = data.path().join("admin-token");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(server.log().contains(&server.admin_token));
    let me = server.admin().get("/api/v1/whoami").await.ok();
    assert_eq!((me["name"].as_str(), me["is_admin"].as_bool(), me["scope"].as_str()), (Some("admin"), Some(true), Some("admin")));
    assert!(me["namespaces"].to_string().contains("library"));
    let token = server.admin_token.clone();
    assert_eq!(server.stop(), Some(0));
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    assert!(!server.log().contains("hub_"), "the token is shown once");
    assert_eq!(server.with_token(&token).get("/api/v1/whoami").await.ok()["name"], "admin");
}

#[tokio::test]
async fn it_is_alive_ready_and_counts() {
    let server = Server::start();
    let api = server.anonymous();
    assert_eq!(api.get("/healthz").await.text(), "ok\n");
    assert_eq!(api.get("/readyz").await.text(), "ok\n");
    api.get("/api/v1/whoami").await.problem(401, "login_required");
    let metrics = api.get("/metrics").await.text();
    assert!(metrics.contains(r#"hub_http_requests_total{method="GET",route="/api/v1/whoami",status="401"} 1"#), "{metrics}");
}
