//! Callers who come from elsewhere: with another hub's token, through a proxy, from the page of another site.

use crate::support::publishing::{create_repo, publish};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::json;

const FOREIGN: &str = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH";
const STALE: &str = "hub_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn with(api: &Api, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let request = headers.iter().fold(api.request(method, path), |request, (name, value)| request.header(*name, *value));
    Reply::of(request).await
}

/// A public model with one file.
async fn net(ada: &Api) {
    create_repo(ada, "model", "ada/net").await;
    publish(ada, "models/ada/net", None, &[("a.txt", b"public")]).await.created();
}

#[tokio::test]
async fn what_is_public_is_read_with_a_token_we_do_not_know() {
    let server = Server::start();
    let ada = server.user("ada").await;
    net(&ada).await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/hidden", "private": true })).await.created();
    publish(&ada, "models/ada/hidden", None, &[("a.txt", b"private")]).await.created();
    let mistyped = format!("{}x", ada.token);
    for wrong in [FOREIGN, STALE, "None", mistyped.as_str()] {
        let stranger = server.with_token(wrong);
        assert_eq!(stranger.get("/ada/net/resolve/main/a.txt").await.bytes, b"public", "{wrong}");
        for path in ["/api/models/ada/net", "/api/models/ada/net/tree/main", "/api/v1/models/ada/net", "/api/models/ada/net/refs"] {
            assert_eq!(stranger.get(path).await.status, 200, "{wrong} {path}");
        }
        stranger.post("/api/models/ada/net/paths-info/main", &json!({ "paths": ["a.txt"] })).await.ok();
        let absent = stranger.get("/ada/net/resolve/main/none.txt").await;
        assert_eq!((absent.status.as_u16(), absent.header("x-error-code")), (404, "EntryNotFound"), "{wrong}");
        for path in ["/ada/hidden/resolve/main/a.txt", "/api/models/ada/hidden", "/api/whoami-v2", "/api/models/ada/never"] {
            let refused = stranger.get(path).await;
            let told = (refused.status.as_u16(), refused.header("x-error-message"));
            assert_eq!(told, (401, "Invalid credentials in Authorization header"), "{wrong} {path}");
            assert!(refused.header("www-authenticate").starts_with("Bearer"), "{path}");
            assert!(!refused.text().contains("private"), "{path}");
        }
        let body = json!({ "kind": "model", "id": "ada/new" });
        assert_eq!(stranger.post("/api/v1/repos", &body).await.status, 401, "{wrong} writes nothing");
        let batch = json!({ "operation": "upload", "objects": [] });
        let refused = Reply::of(stranger.request(Method::POST, "/ada/hidden.git/info/lfs/objects/batch").json(&batch)).await;
        assert_eq!((refused.status.as_u16(), refused.header("lfs-authenticate")), (401, "Basic realm=\"hub\""), "{wrong}");
    }
    // Another hub's token makes a stranger; one of ours that is stale would make a list shorter in silence.
    assert_eq!(server.with_token(FOREIGN).get("/api/models").await.ok().as_array().unwrap().len(), 1);
    assert_eq!(server.with_token(STALE).get("/api/models").await.status, 401);
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_caller_has_an_allowance_of_their_own() {
    let settings = [("HUB_TRUSTED_PROXIES", "127.0.0.0/8"), ("HUB_MAX_REQUESTS_PER_MINUTE", "5")];
    let server = Server::start_with(&["--workers", "0", "--log", "info", "--log-format", "json"], &settings);
    let anonymous = server.anonymous();
    let ask = async |headers: &[(&str, &str)]| with(&anonymous, Method::GET, "/api/v1/models", headers).await.status.as_u16();
    for _ in 0..5 {
        assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1")]).await, 200);
    }
    assert_eq!(ask(&[("x-forwarded-for", "192.0.2.1")]).await, 429);
    assert_eq!(ask(&[("x-forwarded-for", "198.51.100.7, 192.0.2.1:4711")]).await, 429, "what the caller wrote before is nothing");
    assert_eq!(ask(&[("forwarded", "for=\"192.0.2.1:80\";proto=https")]).await, 429);
    assert_eq!(ask(&[("x-forwarded-for", "192.0.2.2")]).await, 200, "a neighbour is another caller");
    assert_eq!(ask(&[("forwarded", "for=\"[2001:db8::1]:4711\"")]).await, 200);
    for guess in 0..12 {
        let secret = hub::domain::secret::Secret::new([guess; 32]);
        let status =
            with(&server.with_token(secret.reveal()), Method::GET, "/api/v1/whoami", &[("x-forwarded-for", "192.0.2.77")]).await.status;
        assert_eq!(status, if guess < 5 { 401 } else { 429 });
    }
    assert_eq!(with(&server.admin(), Method::GET, "/api/v1/whoami", &[("x-forwarded-for", "192.0.2.77")]).await.status, 200);
    crate::support::eventually("the log names callers", || server.log().contains("\"peer\":\"192.0.2.77\"").then_some(()));

    let plain = Server::start_with(&["--workers", "0", "--log-format", "json"], &[]);
    with(&plain.anonymous(), Method::GET, "/api/v1/models", &[("x-forwarded-for", "192.0.2.1")]).await.ok();
    crate::support::eventually("the request is logged", || plain.log().contains("/api/v1/models").then_some(()));
    assert!(!plain.log().contains("192.0.2.1"), "nobody is believed by default");
}

#[tokio::test]
async fn pages_of_named_sites_read_public_files_and_no_others_do() {
    let server = Server::start_with(&["--workers", "0"], &[("HUB_CORS_ORIGINS", "https://app.example,http://localhost:3000")]);
    let ada = server.user("ada").await;
    net(&ada).await;
    let anonymous = server.anonymous();
    let (ours, file) = (("origin", "https://app.example"), "/ada/net/resolve/main/a.txt");
    let told = with(&anonymous, Method::GET, file, &[ours, ("range", "bytes=0-2")]).await;
    assert_eq!((told.bytes.as_slice(), told.header("access-control-allow-origin")), (b"pub".as_slice(), "https://app.example"));
    assert!(told.headers.get("access-control-allow-credentials").is_none());
    assert_eq!(told.header("cross-origin-resource-policy"), "cross-origin");
    assert!(told.header("vary").contains("Origin") && told.header("vary").contains("Authorization"), "{}", told.header("vary"));
    for name in [
        "ETag",
        "X-Repo-Commit",
        "X-Linked-Size",
        "X-Linked-Etag",
        "Content-Range",
        "Accept-Ranges",
        "Link",
        "X-Total-Count",
        "X-Error-Code",
    ] {
        assert!(told.header("access-control-expose-headers").contains(name), "{name}");
    }
    assert_eq!(with(&anonymous, Method::GET, "/ada/net/resolve/main/no", &[ours]).await.header("access-control-allow-origin"), ours.1);
    assert!(with(&anonymous, Method::GET, file, &[]).await.header("vary").contains("Origin"), "caches keep them apart");

    let asks = ("access-control-request-method", "GET");
    let before = with(&anonymous, Method::OPTIONS, file, &[ours, asks, ("access-control-request-headers", "authorization,range")]).await;
    assert_eq!((before.status.as_u16(), before.header("access-control-allow-origin")), (204, ours.1));
    assert!(
        before.header("access-control-allow-headers").contains("Range") && before.header("access-control-allow-methods").contains("GET")
    );

    let no_page = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let reply = with(&anonymous, method, path, headers).await;
        assert!(reply.headers.get("access-control-allow-origin").is_none(), "{path} {headers:?}");
    };
    for origin in ["https://evil.example", "http://app.example", "https://app.example.evil", "null", "https://app.example:8443"] {
        no_page(Method::GET, file, &[("origin", origin)]).await;
        no_page(Method::OPTIONS, file, &[("origin", origin), asks]).await;
    }
    for page in ["/", "/ada/net", "/ada/net/files", "/login", "/metrics"] {
        no_page(Method::GET, page, &[ours]).await;
    }
    no_page(Method::OPTIONS, "/api/repos/create", &[ours, ("access-control-request-method", "POST")]).await;
    no_page(Method::OPTIONS, "/api/v1/models/ada/net", &[ours, ("access-control-request-method", "DELETE")]).await;

    let closed = Server::start();
    net(&closed.user("ada").await).await;
    let reply = with(&closed.anonymous(), Method::GET, file, &[ours]).await;
    assert!(reply.status == 200 && reply.headers.get("access-control-allow-origin").is_none(), "off by default");
    assert_eq!(with(&closed.anonymous(), Method::OPTIONS, file, &[ours, asks]).await.status, 405);
}
