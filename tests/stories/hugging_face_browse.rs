//! How clients of the Hugging Face Hub look around: lists with their filters, histories, who one is; and the cache
//! they share with `hub pull`.

use crate::support::publishing::{create_repo, publish, safetensors, sha256};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// A model with a card of these lines.
async fn model(api: &Api, id: &str, card: &str) {
    create_repo(api, "model", id).await;
    let card = format!("---\n{card}\n---\n# {id}\n");
    let weights = safetensors(&[("a", &[2, id.len()])]);
    publish(api, &format!("models/{id}"), None, &[("README.md", card.as_bytes()), ("model.safetensors", &weights)]).await.created();
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|repo| repo["id"].as_str().unwrap()).collect()
}

/// Where `Link` leads.
fn next(server: &Server, reply: &Reply) -> Option<String> {
    let (address, relation) = reply.header("link").strip_prefix('<')?.split_once('>')?;
    assert_eq!(relation, "; rel=\"next\"");
    Some(address.strip_prefix(&server.url).expect("clients follow absolute links only").to_owned())
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_paged() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    model(&ada, "ada/one", "license: mit\nlibrary_name: timm\ndatasets: [imagenet-1k]\ntags: [small, Vision]").await;
    model(&ada, "ada/two", "license: apache-2.0\nlibrary_name: timm\nbase_model: ada/one\npipeline_tag: image-classification").await;
    model(&bob, "bob/three", "license: mit\ndatasets: [acme/cats]\ntags: [small]").await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/hidden", "private": true })).await.created();
    create_repo(&ada, "dataset", "ada/data").await;
    let stranger = server.anonymous();
    for (query, expected) in [
        ("author=ada&sort=createdAt", vec!["ada/two", "ada/one"]),
        ("sort=createdAt&direction=1", vec!["ada/one", "ada/two", "bob/three"]),
        ("filter=timm&filter=license:mit", vec!["ada/one"]),
        ("filter=small,license%3AMIT&sort=createdAt", vec!["bob/three", "ada/one"]),
        ("filter=vision", vec!["ada/one"]),
        ("filter=dataset:imagenet-1k", vec!["ada/one"]),
        ("filter=dataset:acme/cats", vec!["bob/three"]),
        ("filter=base_model:finetune:ada/one", vec!["ada/two"]),
        ("pipeline_tag=image-classification", vec!["ada/two"]),
        ("filter=image-classification&library=timm", vec!["ada/two"]),
        ("search=thr", vec!["bob/three"]),
        ("num_parameters=min:17", vec!["bob/three"]),
        ("filter=nobody", vec![]),
        ("gated=true", vec![]),
        ("apps=vllm", vec![]),
    ] {
        assert_eq!(ids(&stranger.get(&format!("/api/models?{query}")).await.ok()), expected, "{query}");
    }
    assert_eq!(ids(&stranger.get("/api/datasets?full=True").await.ok()), ["ada/data"]);
    assert!(ids(&ada.get("/api/models?author=ada").await.ok()).contains(&"ada/hidden"));
    assert_eq!(stranger.get("/api/models?sort=beauty").await.status, 400);
    assert_eq!(stranger.get("/api/models?cursor=nonsense").await.status, 422);

    let first = stranger.get("/api/models?limit=2&sort=createdAt&full=true&cardData=true").await;
    let second = stranger.get(&next(&server, &first).unwrap()).await;
    assert_eq!((ids(&first.ok()), ids(&second.ok())), (vec!["bob/three", "ada/two"], vec!["ada/one"]));
    assert_eq!(next(&server, &second), None);
    let one = &second.ok()[0];
    assert_eq!((&one["siblings"][0]["rfilename"], &one["cardData"]["license"]), (&json!("README.md"), &json!("mit")));
    assert_eq!(one["tags"], json!(["small", "vision", "timm", "dataset:imagenet-1k", "license:mit"]));
    let narrow = stranger.get("/api/models?author=bob&expand=downloads&expand=safetensors").await.ok();
    let mut keys: Vec<_> = narrow[0].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["_id", "downloads", "id", "modelId", "safetensors"]);
    assert_eq!(narrow[0]["safetensors"]["total"], 18);
    let info = stranger.get("/api/models/ada/one?securityStatus=True").await.ok();
    assert_eq!((&info["securityRepoStatus"]["scansDone"], info["sha"].as_str().unwrap().len()), (&json!(true), 40));
}

#[tokio::test]
async fn histories_refs_and_paths() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    assert_eq!(ada.get("/api/models/ada/net").await.ok()["siblings"], json!([]), "an empty repo has its page");
    let files = |text: &'static [u8]| [("README.md", text), ("sub/same.txt", b"same".as_slice())];
    let first = publish(&ada, "models/ada/net", None, &files(b"# One\n")).await.created();
    let second = publish(&ada, "models/ada/net", Some(1), &files(b"# Two\n")).await.created();
    let commit = |made: &Value| made["version"]["commit"].as_str().unwrap().to_owned();
    let (first, second) = (commit(&first), commit(&second));
    ada.put("/api/v1/models/ada/net/refs/v1.0", &json!({ "revision": "1" })).await;
    let stranger = server.anonymous();
    let refs = stranger.get("/api/models/ada/net/refs?include_prs=1").await.ok();
    assert_eq!(refs["branches"], json!([{ "name": "main", "ref": "refs/heads/main", "targetCommit": second }]));
    assert_eq!(refs["tags"], json!([{ "name": "v1.0", "ref": "refs/tags/v1.0", "targetCommit": first }]));
    assert_eq!((&refs["converts"], &refs["pullRequests"]), (&json!([]), &json!([])));

    let page = stranger.get("/api/models/ada/net/commits/main?limit=1").await;
    let rest = stranger.get(&next(&server, &page).unwrap()).await;
    assert_eq!((&page.ok()[0]["id"], &rest.ok()[0]["id"]), (&json!(second), &json!(first)));
    assert_eq!((&page.ok()[0]["title"], &page.ok()[0]["authors"][0]["user"]), (&json!("a story"), &json!("ada")));
    assert_eq!(stranger.get("/api/models/ada/net/commits/v1.0").await.ok().as_array().unwrap().len(), 1);

    let tree = stranger.get("/api/models/ada/net/tree/main?recursive=true&expand=true").await.ok();
    let changed: Vec<_> = tree.as_array().unwrap().iter().map(|entry| entry["lastCommit"]["id"].as_str().unwrap_or("-")).collect();
    assert_eq!(changed, [&second, "-", &first]);
    assert_eq!(tree[0]["securityFileStatus"]["status"], "safe");

    let address = "/api/models/ada/net/paths-info/main";
    let form = stranger.request(Method::POST, address).header("content-type", "application/x-www-form-urlencoded");
    let asked = Reply::of(form.body("paths=README.md&paths=sub&paths=nothing&expand=True")).await.ok();
    let found: Vec<_> = asked.as_array().unwrap().iter().map(|e| (e["type"].as_str().unwrap(), e["path"].as_str().unwrap())).collect();
    assert_eq!(found, [("file", "README.md"), ("directory", "sub")]);
    assert_eq!((&asked[0]["lastCommit"]["id"], &asked[0]["lfs"]["oid"]), (&json!(second), &json!(sha256(b"# Two\n"))));
    assert_eq!(stranger.post(address, &json!({ "paths": ["none"] })).await.ok(), json!([]));
    let broken = Reply::of(stranger.request(Method::POST, address).body("{")).await;
    assert_eq!((broken.status.as_u16(), broken.json()["error"].is_string()), (400, true));

    // That a version lacks a file is remembered with the version.
    let absent = stranger.get("/ada/net/resolve/v1.0/config.json").await;
    assert_eq!((absent.header("x-error-code"), absent.header("x-repo-commit")), ("EntryNotFound", first.as_str()));
    assert_eq!(stranger.get("/api/models/ada/net/discussions").await.ok()["count"], 0);
}

#[tokio::test]
async fn who_one_is_and_what_one_may() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    create_repo(&ada, "model", "ada/net").await;
    let me = ada.get("/api/whoami-v2").await.ok();
    assert_eq!((&me["name"], &me["type"], &me["orgs"]), (&json!("ada"), &json!("user"), &json!([])));
    assert_eq!(me["auth"]["accessToken"]["displayName"], "first token");
    assert_eq!(me["auth"]["accessToken"]["role"], "write");
    assert!(server.admin().get("/api/whoami-v2").await.ok()["orgs"].as_array().unwrap().iter().any(|org| org["name"] == "library"));
    let anonymous = server.anonymous().get("/api/whoami-v2").await;
    assert_eq!((anonymous.status.as_u16(), anonymous.header("x-error-code")), (401, ""));
    for path in ["/api/whoami-v2", "/api/models/ada/none", "/ada/none/resolve/main/x"] {
        let wrong = server.with_token("hf_nonsense").get(path).await;
        let told = "Invalid credentials in Authorization header";
        assert_eq!((wrong.status.as_u16(), wrong.header("x-error-message")), (401, told), "{path}");
        assert!(wrong.json()["error"].is_string());
    }
    assert_eq!(bob.get("/api/models/ada/net/auth-check").await.ok(), json!({}));
    assert_eq!(ada.get("/api/models/ada/net/auth-check/write").await.ok(), json!({}));
    assert_eq!(bob.get("/api/models/ada/net/auth-check/write").await.status, 403);
    assert_eq!(bob.get("/api/models/ada/none/auth-check").await.header("x-error-code"), "RepoNotFound");

    let check = async |content: &str| ada.post("/api/validate-yaml", &json!({ "content": content, "repoType": "model" })).await;
    assert_eq!(check("---\nlicense: mit\n---\n").await.ok(), json!({ "errors": [], "warnings": [] }));
    assert_eq!(check("# No front matter\n").await.ok()["warnings"].as_array().unwrap().len(), 1);
    // With an error the client would not send the card; here it may be what it is.
    let told = check("---\nlicense: [a, b]\nclasses: [a]\nx: [\n---\n").await.ok();
    assert!(told["errors"] == json!([]) && told["warnings"][0]["message"].as_str().unwrap().contains("line"), "{told}");
    assert_eq!(ada.get("/api/agent-harnesses").await.ok()["harnesses"], json!({}));
    for method in [Method::HEAD, Method::POST] {
        assert_eq!(Reply::of(ada.request(method, "/api/telemetry/a/b")).await.status, 200);
    }
    // An unknown method is refused in the dialect's form too.
    let put = ada.put("/api/models/ada/net/refs", &json!({})).await;
    assert!(put.status == 405 && put.json()["error"].is_string(), "{}", put.text());
}

#[tokio::test]
async fn names_alone_lead_to_the_library() {
    let server = Server::start();
    model(&server.admin(), "library/resnet18", "license: mit").await;
    let stranger = server.anonymous();
    for (path, leads) in [
        ("/api/models/resnet18", "/api/models/library/resnet18"),
        ("/api/models/resnet18/revision/main?blobs=true", "/api/models/library/resnet18/revision/main?blobs=true"),
        ("/api/models/resnet18/tree/rel%2F1.0", "/api/models/library/resnet18/tree/rel%2F1.0"),
        ("/resnet18/resolve/main/README.md", "/library/resnet18/resolve/main/README.md"),
        ("/datasets/flowers/resolve/main/README.md", "/datasets/library/flowers/resolve/main/README.md"),
    ] {
        let reply = stranger.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (307, leads));
    }
    assert_eq!(stranger.get("/api/models/library/resnet18/revision/main?blobs=true").await.ok()["id"], "library/resnet18");
    for bad in ["/..%2Fx/resolve/main/f", "/api/models/%2F%2Fevil.example"] {
        let status = stranger.get(bad).await.status.as_u16();
        assert!([400, 404].contains(&status), "{bad}: {status}");
    }
}

#[tokio::test]
async fn pull_shares_its_bytes_with_the_other_cache() {
    let server = Server::start();
    let admin = server.admin();
    model(&admin, "library/net", "license: mit").await;
    let home = tempfile::tempdir().unwrap();
    let theirs = home.path().join("hf");
    let hub = |cache: &str, args: &[&str]| {
        let mut command = server.hub(home.path());
        command.env("HF_HUB_CACHE", &theirs).env("HUB_CACHE", home.path().join(cache)).args(["pull", "net", "--json"]).args(args);
        let output = command.assert().success().get_output().stdout.clone();
        serde_json::from_slice::<Value>(&output).unwrap()
    };
    let pulled = hub("one", &["--hf-cache"]);
    let commit = pulled["commit"].as_str().unwrap();
    let repo = theirs.join("models--library--net");
    let path = std::path::Path::new(pulled["path"].as_str().unwrap());
    assert_eq!(path, repo.join("snapshots").join(commit));
    assert_eq!(std::fs::read_to_string(repo.join("refs/main")).unwrap(), commit);
    assert!(std::fs::read_to_string(path.join("README.md")).unwrap().contains("# library/net"));

    // Another cache of ours takes the bytes from there; what is damaged there is fetched.
    let again = hub("two", &["--hf-cache"]);
    assert_eq!((&again["fetched_files"], &again["fetched_bytes"]), (&json!(0), &json!(0)));
    let blob = std::fs::read_link(path.join("model.safetensors")).unwrap();
    let blob = path.join(blob);
    let mut bytes = std::fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&blob).unwrap();
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(hub("three", &["--hf-cache"])["fetched_files"], 1);
    assert_eq!(hub("four", &[])["fetched_files"], 2, "nobody asked for the other cache");
    let stopped = server.url.clone();
    drop(server);
    let mut offline = crate::support::hub(home.path());
    offline.env("HUB_SERVER", stopped).env("HF_HUB_CACHE", home.path().join("new")).env("HUB_CACHE", home.path().join("one"));
    offline.args(["pull", "net", "--offline", "--hf-cache", "--quiet"]).assert().success();
    assert!(home.path().join("new/models--library--net/refs/main").is_file());
}

#[tokio::test]
async fn what_is_not_offered_is_said_in_a_sentence() {
    let server = Server::start();
    let ada = server.user("ada").await;
    model(&ada, "ada/net", "license: mit").await;
    for (method, path, words) in [
        (Method::GET, "/api/models/ada/net/lfs-files", "no list of large files"),
        (Method::POST, "/api/models/ada/net/duplicate", "copies no repos"),
        (Method::POST, "/api/datasets/ada/d/like", "no likes"),
        (Method::GET, "/api/models/ada/net/user-access-request/pending", "no gated repos"),
        (Method::GET, "/api/collections?owner=ada", "no collections"),
        (Method::GET, "/api/settings/webhooks", "no webhooks"),
        (Method::GET, "/api/spaces", "no Spaces"),
        (Method::PUT, "/api/spaces/ada/x/variables", "no Spaces"),
        (Method::GET, "/api/scheduled-jobs/ada", "no jobs of this kind"),
        (Method::DELETE, "/api/buckets/ada/x", "no buckets"),
        (Method::GET, "/api/papers/1706.03762", "no papers"),
        (Method::GET, "/api/something/of/tomorrow", "does not offer '/api/something/of/tomorrow'"),
        (Method::GET, "/.well-known/openid-configuration", "OAuth"),
    ] {
        for caller in [&ada, &server.anonymous()] {
            let told = Reply::of(caller.request(method.clone(), path)).await;
            assert_eq!((told.status.as_u16(), told.header("content-type")), (501, "application/json"), "{path}");
            assert!(told.header("x-error-message").contains(words), "{path}: {}", told.header("x-error-message"));
            let sentence = told.json()["error"].as_str().unwrap().to_owned();
            assert!(sentence.contains(words) && sentence.contains("; "), "{path}: {sentence}");
        }
    }
    // Our own API keeps its own words.
    ada.get("/api/v1/nothing").await.problem(404, "no_such_page");
}

#[tokio::test]
async fn people_and_totals_are_told_where_they_are_known() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    model(&ada, "ada/net", "license: mit").await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/hidden", "private": true })).await.created();
    ada.post("/api/v1/users", &json!({ "name": "acme", "kind": "organisation", "full_name": "Acme" })).await.created();
    let me = ada.get("/api/users/ada/overview").await.ok();
    assert_eq!((me["user"].as_str(), me["numModels"].as_u64(), me["numDatasets"].as_u64()), (Some("ada"), Some(2), Some(0)));
    assert_eq!(bob.get("/api/users/ada/overview").await.ok()["numModels"], 1, "what they may see");
    assert_eq!(bob.get("/api/organizations/acme/overview").await.ok()["fullname"], "Acme");
    assert_eq!(ada.get("/api/organizations/acme/members").await.ok()[0]["user"], "ada");
    for path in ["/api/users/ada/likes", "/api/users/ada/followers", "/api/organizations/acme/followers", "/api/models/ada/net/likers"] {
        assert_eq!(bob.get(path).await.ok(), json!([]), "{path}");
    }
    for path in ["/api/users/nobody/overview", "/api/users/acme/overview", "/api/organizations/ada/overview", "/api/users/nobody/likes"] {
        assert_eq!(bob.get(path).await.status, 404, "{path}");
    }
    assert_eq!(server.anonymous().get("/api/users/ada/overview").await.status, 401);

    publish(&ada, "models/ada/net", Some(1), &[("a.txt", b"2")]).await.created();
    publish(&ada, "models/ada/net", Some(2), &[("a.txt", b"3")]).await.created();
    let total = async |path: &str| bob.get(path).await.header("x-total-count").to_owned();
    assert_eq!(total("/api/models/ada/net/commits/main?limit=1").await, "3");
    assert_eq!(total("/api/models/ada/net/commits/2?limit=1").await, "2");
    assert_eq!((total("/api/models").await, total("/api/datasets").await), ("1".into(), "0".into()));
    for path in ["/api/models/ada/net/revision/HEAD", "/api/models/ada/net/tree/HEAD", "/ada/net/resolve/HEAD/a.txt"] {
        assert_eq!(bob.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn addresses_that_clients_print_lead_to_pages() {
    let server = Server::start();
    let admin = server.admin();
    model(&admin, "library/net", "license: mit").await;
    let files: [(&str, &[u8]); 2] = [("README.md", b"# Net"), ("sub/b c.txt", b"bytes")];
    publish(&admin, "models/library/net", Some(1), &files).await.created();
    create_repo(&admin, "dataset", "library/table").await;
    publish(&admin, "datasets/library/table", None, &[("sub/b c.txt", b"bytes"), ("train.csv", b"text,label\na,0\n")]).await.created();
    let eve = server.user("eve").await;
    eve.post("/api/v1/repos", &json!({ "kind": "model", "id": "eve/hidden", "private": true })).await.created();
    let anonymous = server.anonymous();
    let leads = async |path: &str| {
        let reply = anonymous.get(path).await;
        assert!([302, 308].contains(&reply.status.as_u16()), "{path}: {}", reply.status);
        let to = reply.header("location").to_owned();
        let page = Reply::of(anonymous.request(Method::GET, &to).header("accept", "text/html")).await;
        assert_eq!(page.status, 200, "{path} leads to {to}");
        assert!(page.header("content-type").starts_with("text/html"), "{to}");
        to
    };
    for (kind, place) in [("models", "/library/net"), ("datasets", "/datasets/library/table")] {
        let sha =
            anonymous.get(&format!("/api/{kind}/{}", place.trim_start_matches("/datasets/").trim_start_matches('/'))).await.ok()["sha"]
                .clone();
        let sha = sha.as_str().unwrap();
        assert_eq!(leads(&format!("{place}/commit/{sha}")).await, format!("{place}?rev={sha}"));
        assert_eq!(leads(&format!("{place}/commits/main")).await, format!("{place}/versions"));
        assert_eq!(leads(&format!("{place}/tree/main")).await, format!("{place}/files"));
        assert_eq!(leads(&format!("{place}/tree/{sha}/sub")).await, format!("{place}/files?rev={sha}#sub/b%20c%2Etxt"));
        assert_eq!(leads(&format!("{place}/blob/main/sub/b%20c.txt")).await, format!("{place}/files#sub/b%20c%2Etxt"));
        assert_eq!(leads(&format!("{place}/?rev=1")).await, format!("{place}?rev=1"));
        assert_eq!(anonymous.get(&format!("{place}/tree/main/")).await.header("location"), format!("{place}/tree/main"));
        let raw = anonymous.get(&format!("{place}/raw/main/sub/b%20c.txt")).await;
        assert_eq!((raw.status.as_u16(), raw.bytes.as_slice()), (200, b"bytes".as_slice()));
        assert_eq!(
            Reply::of(anonymous.request(Method::HEAD, &format!("{place}/raw/main/none"))).await.header("x-error-code"),
            "EntryNotFound"
        );
        for absent in ["/commit/0123456", "/tree/never", "/tree/main/none", "/blob/main/none.txt", "/commits/never"] {
            assert_eq!(anonymous.get(&format!("{place}{absent}")).await.status, 404, "{place}{absent}");
        }
    }
    let owner = Reply::of(anonymous.request(Method::GET, "/library")).await;
    assert!(owner.status == 200 && owner.text().contains("/library/net"), "its owner's page: {}", owner.text());
    assert_eq!(leads("/datasets/library").await, "/datasets?author=library");
    assert_eq!((leads("/net").await, leads("/datasets/table").await), ("/library/net".into(), "/datasets/library/table".into()));
    assert_eq!(anonymous.get("/library/").await.header("location"), "/library");
    for absent in ["/nobody", "/datasets/nobody", "/eve", "/favicon.ico", "//", "//evil.example/", "/%2F%2Fevil.example/", "/a/b/c/d/e"] {
        let reply = anonymous.get(absent).await;
        assert!(
            reply.status == 404 || reply.header("location") == "/%2F%2Fevil.example",
            "{absent}: {} {}",
            reply.status,
            reply.header("location")
        );
    }
}

/// What `hf jobs run|ps|inspect|logs|cancel` sends and reads.
#[tokio::test]
async fn jobs_of_our_own_commands_are_run_by_their_client() {
    let server = Server::start();
    let admin = crate::support::training::Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 4).await;
    let ada = server.user("ada").await;
    let words = ["hub", "finetune", "--base", "tiny", "--dataset", "colours", "--name", "ada/net", "--epochs", "1", "--set", "threads=1"];
    let spec = json!({ "dockerImage": "python:3.12", "command": words, "arguments": [], "environment": {}, "flavor": "cpu-basic" });
    let job = ada.post("/api/jobs/ada", &spec).await.ok();
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!((&job["status"]["stage"], &job["owner"]["name"]), (&json!("SCHEDULING"), &json!("ada")), "{job}");
    assert_eq!(job["command"].as_array().unwrap()[..2], [json!("hub"), json!("finetune")]);
    assert_eq!(ada.get("/api/jobs/ada").await.ok().as_array().unwrap().len(), 1);
    assert_eq!(ada.get("/api/jobs/ada?stage=RUNNING").await.ok(), json!([]));
    let worker = crate::support::training::Worker::start(&server);
    let logs = ada.get(&format!("/api/jobs/ada/{id}/logs")).await;
    assert_eq!((logs.status.as_u16(), logs.header("content-type")), (200, "text/event-stream"));
    let lines: Vec<String> = logs.text().lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect();
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert!(lines.len() > 2 && last["data"].as_str().is_some() && last["timestamp"].as_str().is_some(), "{lines:?}");
    drop(worker);
    let ended = ada.get(&format!("/api/jobs/ada/{id}")).await.ok();
    assert!(["COMPLETED", "ERROR"].contains(&ended["status"]["stage"].as_str().unwrap()), "{ended}");
    let tail = ada.get(&format!("/api/jobs/ada/{id}/logs?tail=1")).await.text();
    assert_eq!(tail.matches("data: ").count(), 1, "{tail}");

    // Nothing but our own commands, and nobody else's name.
    for words in [json!(["python", "-c", "print(1)"]), json!([]), json!(["hub", "serve"]), json!(["hub", "finetune", "--base", "tiny"])] {
        let told = ada.post("/api/jobs/ada", &json!({ "dockerImage": "x", "command": words })).await;
        assert_eq!(told.status, 422, "{}", told.text());
        assert!(!told.header("x-error-message").is_empty());
    }
    let secret = ada.post("/api/jobs/ada", &json!({ "command": ["hub", "finetune"], "secrets": { "A": "b" } })).await;
    assert!(secret.header("x-error-message").contains("no secrets"), "{}", secret.text());
    assert_eq!(ada.post("/api/jobs/library", &spec).await.status, 404);
    assert_eq!(server.anonymous().post("/api/jobs/ada", &spec).await.status, 401);
    let bob = server.user("bob").await;
    assert_eq!(bob.get(&format!("/api/jobs/ada/{id}")).await.status, 404);
    let again = ada.post("/api/jobs/ada", &spec).await.ok();
    let path = format!("/api/jobs/ada/{}/cancel", again["id"].as_str().unwrap());
    assert_eq!(ada.post(&path, &json!({})).await.ok()["status"]["stage"], "CANCELED");
}
