//! What a stranger may not see does not exist: on every route about a repo, a private one answers as an unknown
//! one does, whatever the method, with a token and without.

use crate::support::publishing::{create_repo, publish};
use crate::support::{Api, Reply, Server, fill};
use hub::http::routes::routes;
use reqwest::Method;
use serde_json::{Value, json};

/// A body that each method of each route takes, so that the answer is about the repo and not about the body.
fn body(path: &str) -> Value {
    if path.ends_with("/commits") {
        // No version has no files; but who may not write here is not told so.
        return json!({ "message": "m", "files": [] });
    }
    if path.contains("/refs/") {
        return json!({ "revision": "1", "expected": null });
    }
    if path.contains("/versions/") {
        return json!({ "state": "yanked" });
    }
    if path.contains("/tei/") {
        let compared = json!({ "source_sentence": "a", "sentences": ["b"] });
        let inputs = if path.ends_with("/similarity") { compared } else { json!("a") };
        return if path.ends_with("/rerank") { json!({ "query": "a", "texts": ["b"] }) } else { json!({ "inputs": inputs }) };
    }
    if path.ends_with("/embed") || path.ends_with("/predict") || path.ends_with("/neighbors") {
        return json!({ "items": [{ "name": "a", "data": "aGk=" }] });
    }
    if path.starts_with("/api/v1/library/") && path.ends_with("/files") {
        return json!({ "origin": "a bundle", "files": [] });
    }
    if path.ends_with("/doctor") || path.ends_with("/fetch") {
        return json!({});
    }
    if path.ends_with("/relabel") {
        return json!({ "table": "path,label\n" });
    }
    json!({ "summary": "x" })
}

async fn ask(api: &Api, method: &Method, path: &str) -> Reply {
    let asked = match path.rsplit_once('/') {
        Some((of, _)) if of.ends_with("/words") => format!("{path}?word=a&other=b&a=a&b=b&c=c"),
        Some((_, "neighbors")) => format!("{path}?dataset=ada/none"),
        _ => path.to_owned(),
    };
    let request = api.request(method.clone(), &asked);
    let takes_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    Reply::of(if takes_body { request.json(&body(path)) } else { request }).await
}

/// Every route about a repo, for the repo of this name.
fn about(name: &str) -> Vec<(Method, String)> {
    let value = |parameter: &str| match parameter {
        "ns" => Some("ada".to_owned()),
        "name" => Some(name.to_owned()),
        "rev" => Some("1".to_owned()),
        "path" => Some("README.md".to_owned()),
        "ref" => Some("v1".to_owned()),
        "number" | "comment" => Some("1".to_owned()),
        _ => None,
    };
    let mut asked = Vec::new();
    for entry in routes().iter().filter(|entry| entry.path.starts_with("/api/") && entry.path.contains("{ns}")) {
        let path = fill(entry.path, value);
        for method in &entry.methods {
            asked.push((Method::from_bytes(method.as_str().as_bytes()).unwrap(), path.clone()));
        }
    }
    assert!(asked.len() >= 15, "the routes were not found: {asked:?}");
    asked
}

/// What an answer says, without the name that was asked for and the request's own id.
fn said(reply: &Reply, name: &str) -> (u16, Vec<String>, Value) {
    // Whether the line stays open depends on how much of the body had come.
    let said = reply.headers.keys().map(|key| key.as_str().to_owned());
    let mut headers: Vec<String> = said.filter(|key| key != "connection").collect();
    headers.sort();
    let mut body: Value = serde_json::from_str(&reply.text().replace(name, "NAME")).unwrap_or(Value::Null);
    if let Some(object) = body.as_object_mut() {
        object.remove("request_id");
    }
    (reply.status.as_u16(), headers, body)
}

#[tokio::test]
async fn a_private_repo_answers_a_stranger_as_an_unknown_one_does() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/hidden", "private": true })).await.created();
    publish(&ada, "models/ada/hidden", None, &[("README.md", b"# Hidden\n")]).await.created();
    for stranger in [server.anonymous(), eve] {
        for ((method, hidden), (_, absent)) in about("hidden").into_iter().zip(about("absent")) {
            let private = ask(&stranger, &method, &hidden).await;
            let unknown = ask(&stranger, &method, &absent).await;
            assert_eq!(said(&private, "hidden"), said(&unknown, "absent"), "{method} {hidden}");
            assert_eq!(private.status, 404, "{method} {hidden}: {}", private.text());
        }
        for list in ["/api/v1/models", "/api/v1/search", "/api/v1/search?q=hidden", "/api/v1/models?author=ada"] {
            let answer = stranger.get(list).await.ok();
            assert!(!answer.to_string().contains("hidden") && answer["total"] == 0, "{list}: {answer}");
        }
    }
    for list in ["/api/v1/models", "/api/v1/search?q=hidden"] {
        assert_eq!(ada.get(list).await.ok()["total"], 1, "{list}");
    }
    let file = ada.get("/api/v1/models/ada/hidden/versions/1/files/README.md").await;
    assert_eq!((file.status.as_u16(), file.text().as_str()), (200, "# Hidden\n"));
}

#[tokio::test]
async fn a_public_repo_is_read_by_all_and_written_by_few() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    create_repo(&ada, "model", "ada/open").await;
    publish(&ada, "models/ada/open", None, &[("README.md", b"# Open\n")]).await.created();
    let reads = ada.post("/api/v1/tokens", &json!({ "name": "r", "scope": "read" })).await.created();
    let reads = server.with_token(reads["secret"].as_str().unwrap());
    for (method, path) in about("open") {
        let asks_to_write = path.contains("/xet-write-token/");
        let reading = (method == Method::GET && !asks_to_write)
            || path.ends_with("/embed")
            || path.contains("/tei/")
            || path.contains("/predict")
            || path.ends_with("/neighbors")
            || path.ends_with("/fetch")
            || path.contains("/paths-info/");
        if reading {
            let status = ask(&server.anonymous(), &method, &path).await.status.as_u16();
            assert_eq!([401, 403].contains(&status), path.ends_with("/auth-check/write"), "{method} {path}: {status}");
            continue;
        }
        if path.starts_with("/api/v1/datasets/ada/open/")
            && !path.contains("/versions")
            && !path.contains("/refs")
            && !path.contains("/commits")
        {
            // The model has this name, no data set.
            ask(&server.anonymous(), &method, &path).await.problem(404, "repo_not_found");
            continue;
        }
        if !path.starts_with("/api/v1/") {
            // Another dialect: its statuses are the same, its bodies are not.
            // Whoever may read may speak, and ask for a change: but not merge it.
            let speaks = path.contains("/discussions") && !path.ends_with("/merge");
            for (api, status) in [(&server.anonymous(), 401), (&eve, 403), (&reads, 403)] {
                let answer = ask(api, &method, &path).await;
                let heard = speaks && std::ptr::eq(api, &eve) && [400, 404].contains(&answer.status.as_u16());
                assert!(heard || answer.status == status, "{method} {path}: {} {}", answer.status, answer.text());
            }
            continue;
        }
        ask(&server.anonymous(), &method, &path).await.problem(401, "login_required");
        ask(&eve, &method, &path).await.problem(403, "no_right");
        ask(&reads, &method, &path).await.problem(403, "token_scope");
    }
    assert_eq!(ada.get("/api/v1/models/ada/open").await.ok()["id"], "ada/open");
}
