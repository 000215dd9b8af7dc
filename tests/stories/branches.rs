//! Branches beside `main`, and pull requests, in our own words and in those of the Hugging Face Hub's clients.

use crate::support::publishing::{create_repo, file, publish, upload};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Reply, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

const NET: &str = "/api/models/ada/net";
const OURS: &str = "/api/v1/models/ada/net";

fn header(summary: &str, parent: Option<&str>) -> Value {
    json!({ "key": "header", "value": { "summary": summary, "description": "why so", "parentCommit": parent } })
}

fn put(path: &str, bytes: &[u8]) -> Value {
    json!({ "key": "file", "value": { "content": STANDARD.encode(bytes), "path": path, "encoding": "base64" } })
}

fn gone(path: &str) -> Value {
    json!({ "key": "deletedFile", "value": { "path": path } })
}

/// Commits to a branch as clients of the Hugging Face Hub do; `to` is such as `dev` or `main?create_pr=1`.
async fn commit(api: &Api, to: &str, lines: &[Value]) -> Reply {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = api.request(Method::POST, &format!("{NET}/commit/{to}")).header("content-type", "application/x-ndjson");
    Reply::of(request.body(body)).await
}

async fn paths(api: &Api, revision: &str) -> Vec<String> {
    let tree = api.get(&format!("{NET}/tree/{revision}?recursive=true")).await.ok();
    tree.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

async fn text(api: &Api, revision: &str, path: &str) -> String {
    let reply = api.get(&format!("/ada/net/resolve/{revision}/{path}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

async fn titles(api: &Api, revision: &str) -> Vec<String> {
    let commits = api.get(&format!("{NET}/commits/{revision}")).await.ok();
    commits.as_array().unwrap().iter().map(|commit| commit["title"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn refused(reply: &Reply, status: u16, says: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(reply.text().contains(says), "'{says}' is not in {}", reply.text());
}

/// A hub with `ada/net`, whose `main` has README.md and a.txt.
async fn begun() -> (Server, Api, Api) {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", b"# Net\n"), ("a.txt", b"one")]).await.created();
    (server, ada, eve)
}

#[tokio::test]
async fn a_branch_is_made_committed_to_listed_and_deleted() {
    let (server, ada, eve) = begun().await;
    let main = ada.get(NET).await.ok()["sha"].clone();
    ada.post(&format!("{NET}/branch/dev%2Fx"), &json!({})).await.ok();
    refused(&ada.post(&format!("{NET}/branch/dev%2Fx"), &json!({})).await, 409, "dev/x");
    refused(&eve.post(&format!("{NET}/branch/mine"), &json!({})).await, 403, "right");
    let answer = ada.post(&format!("{NET}/preupload/dev%2Fx"), &json!({ "files": [{ "path": "b", "size": 1, "sample": "" }] })).await.ok();
    assert_eq!(answer["commitOid"], main, "it stands where main does");
    let made = commit(&ada, "dev%2Fx", &[header("on dev", None), put("b.txt", b"two"), gone("a.txt")]).await.ok();
    assert_eq!(paths(&ada, "dev%2Fx").await, ["README.md", "b.txt"]);
    assert_eq!(paths(&ada, "main").await, ["README.md", "a.txt"], "main stands where it stood");
    assert_eq!(ada.get(NET).await.ok()["sha"], main, "what lists show is main's");
    assert_eq!(ada.get(&format!("{NET}/revision/dev%2Fx")).await.ok()["sha"], made["commitOid"]);
    assert_eq!(text(&ada, "dev%2Fx", "b.txt").await, "two");
    assert_eq!(
        (titles(&ada, "dev%2Fx").await, titles(&ada, "main").await),
        (vec!["on dev".into(), "a story".into()], vec!["a story".into()])
    );

    let parent = made["commitOid"].as_str().unwrap();
    refused(&commit(&ada, "main", &[header("stale", Some(parent)), put("c", b"c")]).await, 412, "main");
    commit(&ada, "dev%2Fx", &[header("again", Some(parent)), put("c.txt", b"c")]).await.ok();
    commit(&ada, "main", &[header("on main", None), put("a.txt", b"three")]).await.ok();
    assert_eq!(titles(&ada, "dev%2Fx").await, ["again", "on dev", "a story"]);
    assert_eq!(titles(&ada, "main").await, ["on main", "a story"], "each line has its own history");
    let expanded = ada.get(&format!("{NET}/tree/dev%2Fx?expand=true")).await.ok();
    assert_eq!(expanded[1]["lastCommit"]["title"], "on dev", "{expanded}");

    let refs = ada.get(&format!("{NET}/refs")).await.ok();
    let names: Vec<_> = refs["branches"].as_array().unwrap().iter().map(|found| found["ref"].as_str().unwrap()).collect();
    assert_eq!((names, refs["tags"].as_array().unwrap().len()), (vec!["refs/heads/main", "refs/heads/dev/x"], 0));
    for taken in ["refs%2Fpr%2F5", "refs%2Ffoo%2Fbar", "12", "deadbeef", "HEAD", "dev.lock", "a..b"] {
        assert_eq!(ada.post(&format!("{NET}/branch/{taken}"), &json!({})).await.status, 400, "{taken}");
    }
    refused(&ada.post(&format!("{NET}/branch/dev"), &json!({})).await, 409, "dev/x");
    refused(&ada.post(&format!("{NET}/branch/old"), &json!({ "startingPoint": "nowhere" })).await, 404, "nowhere");
    ada.post(&format!("{NET}/branch/old"), &json!({ "startingPoint": main })).await.ok();
    assert_eq!(text(&ada, "old", "a.txt").await, "one");
    refused(&commit(&ada, "nowhere", &[header("m", None), put("x", b"x")]).await, 404, "nowhere");
    refused(&ada.post(&format!("{NET}/super-squash/dev%2Fx"), &json!({ "message": "m" })).await, 501, "squash");
    let told = server.log().contains("a request failed");
    assert!(!told, "what is not offered is no failure of the server's: {}", server.log());

    refused(&ada.delete(&format!("{NET}/branch/main")).await, 400, "main");
    refused(&ada.delete(&format!("{NET}/tag/dev%2Fx")).await, 404, "dev/x");
    ada.delete(&format!("{NET}/branch/dev%2Fx")).await.ok();
    refused(&ada.get(&format!("{NET}/tree/dev%2Fx")).await, 404, "dev/x");
    assert_eq!(paths(&ada, "3").await, ["README.md", "b.txt", "c.txt"], "its versions stay, found by number");
}

#[tokio::test]
async fn our_own_words_for_branches() {
    let (server, ada, _) = begun().await;
    ada.put(&format!("{OURS}/refs/dev"), &json!({ "revision": "main", "branch": true })).await.ok();
    ada.put(&format!("{OURS}/refs/v1"), &json!({ "revision": "main" })).await.ok();
    upload(&ada, b"two").await;
    let files = json!([file("b.txt", b"two")]);
    let body = |branch: &str, parent: u32| json!({ "message": "m", "branch": branch, "parent": parent, "files": files });
    let made = ada.post(&format!("{OURS}/commits"), &body("dev", 1)).await.created();
    assert_eq!((&made["version"]["branch"], &made["version"]["parent"]), (&json!("dev"), &json!(1)));
    let stale = json!({ "message": "m", "branch": "dev", "parent": 1, "files": [file("c.txt", b"two")] });
    ada.post(&format!("{OURS}/commits"), &stale).await.problem(409, "head_moved");
    ada.post(&format!("{OURS}/commits"), &body("v1", 1)).await.problem(404, "revision_not_found");
    ada.post(&format!("{OURS}/commits"), &body("refs/x/y", 1)).await.problem(422, "bad_branch");
    ada.post(&format!("{OURS}/commits"), &body("fresh", 1)).await.created();
    ada.post(&format!("{OURS}/commits"), &body("other", 9)).await.problem(404, "revision_not_found");
    let refs = ada.get(&format!("{OURS}/refs")).await.ok();
    let told: Vec<_> = refs["items"].as_array().unwrap().iter().map(|r| format!("{} {} {}", r["name"], r["kind"], r["number"])).collect();
    assert_eq!(told, [r#""main" "branch" 1"#, r#""dev" "branch" 2"#, r#""fresh" "branch" 3"#, r#""v1" "tag" 1"#]);
    ada.put(&format!("{OURS}/refs/v1"), &json!({ "revision": "2", "expected": 1, "branch": true })).await.problem(422, "ref_is_other");

    // A yanked version is no branch's; a live one again is.
    ada.request(Method::PATCH, &format!("{OURS}/versions/2"))
        .json(&json!({ "state": "yanked" }))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert_eq!(paths(&ada, "dev").await, ["README.md", "a.txt"]);
    ada.request(Method::PATCH, &format!("{OURS}/versions/2"))
        .json(&json!({ "state": "live" }))
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    assert_eq!(paths(&ada, "dev").await, ["b.txt"]);
    assert_eq!(paths(&ada, "main").await, ["README.md", "a.txt"], "and never moves main");

    // The command line.
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("net")).unwrap();
    std::fs::write(home.path().join("net/c.txt"), "from a folder").unwrap();
    let publish = |branch: &str| {
        let mut command = server.hub(home.path());
        command.args(["publish", "net", "ada/net", "--branch", branch]).current_dir(home.path());
        command
    };
    publish("cli/new").assert().success();
    publish("cli/new").assert().success();
    publish("12").assert().code(2);
    assert_eq!(paths(&ada, "cli%2Fnew").await, ["c.txt"]);
    assert_eq!(paths(&ada, "main").await, ["README.md", "a.txt"]);
    let out = home.path().join("pulled");
    server.hub(home.path()).args(["pull", "ada/net@cli/new", "--to"]).arg(&out).assert().success();
    assert_eq!(std::fs::read_to_string(out.join("c.txt")).unwrap(), "from a folder");
}

#[tokio::test]
async fn whoever_may_read_asks_and_whoever_may_write_merges() {
    let (server, ada, eve) = begun().await;
    let to_pr = "main?create_pr=1";
    refused(&server.anonymous().get(&format!("{NET}/discussions/1")).await, 404, "discussion");
    refused(&commit(&server.anonymous(), to_pr, &[header("x", None), put("b.txt", b"b")]).await, 401, "token");
    refused(&commit(&eve, "main", &[header("x", None), put("b.txt", b"b")]).await, 403, "right");
    let made = commit(&eve, to_pr, &[header("Better", None), put("b.txt", b"theirs"), put("a.txt", b"changed")]).await.ok();
    assert_eq!(made["pullRequestUrl"], format!("{}/ada/net/discussions/1", server.url));
    commit(&eve, "refs%2Fpr%2F1", &[header("More", None), put("c.txt", b"more")]).await.ok();
    assert_eq!(text(&eve, "refs%2Fpr%2F1", "c.txt").await, "more");
    assert_eq!(paths(&ada, "main").await, ["README.md", "a.txt"]);

    // What is not taken in is not the repo's: no number, no list, no object of it.
    refused(&ada.get(&format!("{OURS}/versions/2")).await, 404, "2");
    let versions = ada.get(&format!("{OURS}/versions")).await.ok();
    assert_eq!(versions["items"].as_array().unwrap().len(), 1, "{versions}");
    let object = json!({ "operation": "download", "objects": [{ "oid": crate::support::publishing::sha256(b"theirs"), "size": 6 }] });
    let batch = ada.post("/ada/net.git/info/lfs/objects/batch", &object).await.ok();
    assert_eq!(batch["objects"][0]["error"]["code"], 404, "{batch}");
    let commit_id = made["commitOid"].as_str().unwrap();
    assert_eq!(text(&ada, commit_id, "b.txt").await, "theirs", "by its whole commit id");
    refused(&ada.get(&format!("{NET}/tree/{}", &commit_id[..9])).await, 404, &commit_id[..9]);

    let refs = ada.get(&format!("{NET}/refs?include_prs=1")).await.ok();
    assert_eq!(refs["pullRequests"][0]["ref"], "refs/pr/1");
    let list = ada.get(&format!("{NET}/discussions?type=pull_request&status=open&author=eve&p=0")).await.ok();
    assert_eq!(
        (&list["count"], &list["discussions"][0]["title"], &list["discussions"][0]["status"]),
        (&json!(1), &json!("Better"), &json!("open"))
    );
    let details = ada.get(&format!("{NET}/discussions/1?diff=1")).await.ok();
    assert_eq!((&details["changes"]["base"], &details["filesWithConflicts"]), (&json!("refs/heads/main"), &json!(false)));
    let happened: Vec<_> = details["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(happened, ["comment", "commit", "commit"]);
    assert!(details["diff"].as_str().unwrap().contains("b/c.txt"), "{details}");

    let act = |what: &str| format!("{NET}/discussions/1/{what}");
    assert_eq!(ada.post(&act("comment"), &json!({ "comment": "Good" })).await.ok()["newMessage"]["data"]["latest"]["raw"], "Good");
    refused(&eve.post(&act("comment/3/edit"), &json!({ "content": "Bad" })).await, 403, "author");
    assert_eq!(ada.post(&act("comment/3/edit"), &json!({ "content": "Very good" })).await.ok()["updatedComment"]["data"]["edited"], true);
    let renamed = eve.post(&act("title"), &json!({ "title": "Much better" })).await.ok();
    assert_eq!((&renamed["newTitle"]["data"]["from"], &renamed["newTitle"]["data"]["to"]), (&json!("Better"), &json!("Much better")));
    refused(&eve.post(&act("merge"), &json!(null)).await, 403, "right");
    eve.post(&act("status"), &json!({ "status": "closed", "comment": "later" })).await.ok();
    refused(&ada.post(&act("merge"), &json!(null)).await, 409, "closed");
    refused(&commit(&eve, "refs%2Fpr%2F1", &[header("x", None), put("d", b"d")]).await, 409, "closed");
    ada.post(&act("status"), &json!({ "status": "open" })).await.ok();

    // Another file of main changed meanwhile: no conflict, and it stays.
    commit(&ada, "main", &[header("hers", None), put("README.md", b"# Mine\n")]).await.ok();
    let merged = Reply::of(ada.request(Method::POST, &act("merge"))).await.ok();
    assert_eq!(merged["mergeCommitId"], ada.get(NET).await.ok()["sha"]);
    assert_eq!(paths(&ada, "main").await, ["README.md", "a.txt", "b.txt", "c.txt"]);
    assert_eq!((text(&ada, "main", "README.md").await.as_str(), text(&ada, "main", "a.txt").await.as_str()), ("# Mine\n", "changed"));
    assert_eq!(titles(&ada, "main").await, ["Much better (#1)", "hers", "a story"]);
    assert_eq!(ada.get(&act("")[..act("").len() - 1]).await.ok()["status"], "merged");
    refused(&ada.post(&act("merge"), &json!(null)).await, 409, "merged");
    let batch = ada.post("/ada/net.git/info/lfs/objects/batch", &object).await.ok();
    assert!(batch["objects"][0]["actions"]["download"].is_object(), "what was taken in is the repo's: {batch}");
}

#[tokio::test]
async fn changes_that_meet_are_named_and_private_ones_stay_private() {
    let (server, ada, eve) = begun().await;
    let made = commit(&eve, "main?create_pr=1", &[header("Theirs", None), put("a.txt", b"theirs"), gone("README.md")]).await;
    made.ok();
    commit(&ada, "main", &[header("hers", None), put("a.txt", b"hers")]).await.ok();
    let details = ada.get(&format!("{NET}/discussions/1")).await.ok();
    assert_eq!(details["filesWithConflicts"], json!(["a.txt"]));
    refused(&ada.post(&format!("{NET}/discussions/1/merge"), &json!(null)).await, 409, "a.txt");
    assert_eq!(text(&ada, "main", "a.txt").await, "hers", "nothing was done");
    // It is brought up to date upon the pull request itself, and taken in.
    commit(&eve, "refs%2Fpr%2F1", &[header("As on main", None), put("a.txt", b"hers")]).await.ok();
    ada.post(&format!("{NET}/discussions/1/merge"), &json!(null)).await.ok();
    assert_eq!(paths(&ada, "main").await, ["a.txt"]);
    // A draft, filled and merged; and talk alone.
    let draft = eve.post(&format!("{NET}/discussions"), &json!({ "title": "Draft", "description": "d", "pullRequest": true })).await.ok();
    assert_eq!((&draft["num"], &draft["pullRequest"]), (&json!(2), &json!(true)));
    refused(&ada.post(&format!("{NET}/discussions/2/merge"), &json!(null)).await, 409, "nothing");
    commit(&eve, "refs%2Fpr%2F2", &[header("Fill", None), put("new.txt", b"n")]).await.ok();
    ada.post(&format!("{NET}/discussions/2/merge"), &json!({ "comment": "thanks" })).await.ok();
    assert_eq!(paths(&ada, "main").await, ["a.txt", "new.txt"]);
    eve.post(&format!("{NET}/discussions"), &json!({ "title": "Talk", "description": "d" })).await.ok();
    refused(&ada.post(&format!("{NET}/discussions/3/merge"), &json!(null)).await, 404, "pull request");
    refused(&eve.post(&format!("{NET}/discussions"), &json!({ "title": " ", "pullRequest": true })).await, 400, "title");

    ada.put(&format!("{NET}/settings"), &json!({ "private": true })).await.ok();
    for path in ["/discussions", "/discussions/1", "/tree/refs%2Fpr%2F1"] {
        refused(&eve.get(&format!("{NET}{path}")).await, 404, "no model");
    }
    refused(&commit(&eve, "refs%2Fpr%2F1", &[header("x", None), put("d", b"d")]).await, 404, "no model");
    refused(&server.anonymous().get("/ada/net/resolve/refs%2Fpr%2F1/a.txt").await, 404, "no model");
}

#[tokio::test]
async fn people_see_and_decide_pull_requests_on_pages() {
    let (server, ada, eve) = begun().await;
    assert!(Browser::new(&server).page("/ada/net/discussions").await.contains("Nobody has asked"));
    commit(&eve, "main?create_pr=1", &[header("<b>Better</b>", None), put("b.txt", b"b"), gone("a.txt")]).await.ok();
    let (mut hers, mut theirs) = (Browser::logged_in(&server, &ada.token).await, Browser::logged_in(&server, &eve.token).await);
    let list = Browser::new(&server).page("/ada/net/discussions").await;
    assert!(list.contains("href=\"/ada/net/discussions/1\"") && !list.contains("<b>Better"), "{list}");
    let page = theirs.page("/ada/net/discussions/1").await;
    assert!(page.contains("b.txt") && page.contains("/discussions/1/close") && !page.contains("/discussions/1/merge"), "{page}");
    assert!(!page.contains("<b>Better"), "what strangers wrote is text");
    assert!(!Browser::new(&server).page("/ada/net/discussions/1").await.contains("<form method=\"post\""), "strangers decide nothing");
    let files = theirs.page("/ada/net/files?rev=refs%2Fpr%2F1").await;
    let link = files
        .split("href=\"")
        .find(|rest| rest.contains("/files/b%2Etxt") || rest.contains("/files/b.txt"))
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    assert_eq!(server.anonymous().get(link).await.text(), "b");

    let form = csrf(&page);
    let merge = "/ada/net/discussions/1/merge";
    assert_eq!(theirs.send(merge, &[("csrf", &form)]).await.status, 403);
    assert_eq!(hers.send(merge, &[("csrf", "guessed")]).await.status, 403);
    let form = csrf(&hers.page("/ada/net/discussions/1").await);
    let said = hers.send("/ada/net/discussions/1/comment", &[("csrf", &form), ("comment", "Thank <i>you</i>\nvery much")]).await;
    assert_eq!((said.status.as_u16(), said.header("location")), (303, "/ada/net/discussions/1"));
    assert_eq!(hers.send(merge, &[("csrf", &form)]).await.status, 303);
    let page = hers.page("/ada/net/discussions/1").await;
    assert!(page.contains("merged") && page.contains("Thank &#60;i") || page.contains("Thank &lt;i"), "{page}");
    assert_eq!(paths(&ada, "main").await, ["README.md", "b.txt"]);
    assert_eq!(hers.send(merge, &[("csrf", &form)]).await.status, 409, "and says so on the page");
    assert_eq!(Browser::new(&server).get("/ada/net/discussions/7").await.status, 404);
}
