//! Names of files as hubs really hold them: taken byte for byte in every way in, found again in every way out, and said
//! where some systems cannot store them. Only what is unsafe is refused.

use crate::support::publishing::{commit, create_repo, file, publish, upload};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

const NFC: &str = "caf\u{e9}/\u{e1}.txt";
const NFD: &str = "cafe\u{301}/a\u{301}.txt";
const ODD: &[&str] = &[
    "README.md",
    "audio/2021-03-01T12:00:00.txt",
    "Notes.txt",
    "notes.txt",
    NFD,
    "nul.txt",
    "a ",
    "b.",
    "می\u{200c}خواهم.txt",
    "pay\u{200d}pal.txt",
    "q?.txt",
];

fn encoded(path: &str) -> String {
    path.split('/')
        .map(|part| url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20"))
        .collect::<Vec<_>>()
        .join("/")
}

async fn paths(api: &Api, id: &str) -> Vec<String> {
    let tree = api.get(&format!("/api/models/{id}/tree/main?recursive=true")).await.ok();
    let files = tree.as_array().unwrap().iter().filter(|entry| entry["type"] == "file");
    let mut paths: Vec<String> = files.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect();
    paths.sort();
    paths
}

fn sorted(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn odd_names_are_taken_by_every_way_in_and_said() {
    let server = Server::start();
    let admin = server.admin();
    for id in ["library/api", "library/hf"] {
        create_repo(&admin, "model", id).await;
    }
    let files: Vec<(&str, &[u8])> = ODD.iter().map(|name| (*name, name.as_bytes())).collect();
    let said = publish(&admin, "models/library/api", None, &files).await.created()["warnings"].to_string();
    let line = |name: &str, value: Value| json!({ "key": name, "value": value }).to_string();
    let mut lines = vec![line("header", json!({ "summary": "s" }))];
    for (at, name) in ODD.iter().enumerate() {
        use base64::Engine as _;
        upload(&admin, name.as_bytes()).await;
        let content = base64::engine::general_purpose::STANDARD.encode(name);
        lines.push(match at % 2 {
            0 => line("file", json!({ "path": name, "content": content, "encoding": "base64" })),
            _ => line(
                "lfsFile",
                json!({ "path": name, "algo": "sha256", "oid": crate::support::publishing::sha256(name.as_bytes()), "size": name.len() }),
            ),
        });
    }
    let sent = admin.request(Method::POST, "/api/models/library/hf/commit/main").header("content-type", "application/x-ndjson");
    Reply::of(sent.body(lines.join("\n"))).await.ok();
    let home = tempfile::tempdir().unwrap();
    for name in ODD {
        let path = home.path().join("m").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    let folder = home.path().join("m");
    let done = server.hub(home.path()).args(["publish", folder.to_str().unwrap(), "library/cli"]).output().unwrap();
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{told}");
    for expected in [
        "'a ', 'audio/2021-03-01T12:00:00.txt', 'b.' and 2 more cannot be written on Windows",
        "'Notes.txt', 'notes.txt' differs",
        "nobody sees",
    ] {
        assert!(said.contains(expected) && told.contains(expected), "{expected}: {said} {told}");
    }
    for id in ["library/api", "library/hf", "library/cli"] {
        assert_eq!(paths(&admin, id).await, sorted(ODD), "{id}");
        for name in ODD {
            for at in
                [format!("/{id}/resolve/main/{}", encoded(name)), format!("/api/v1/models/{id}/versions/main/files/{}", encoded(name))]
            {
                let found = admin.get(&at).await;
                assert_eq!((found.status.as_u16(), found.text().as_str()), (200, *name), "{at}");
            }
        }
        let page = admin.http.get(format!("{}/{id}", server.url)).header("accept", "text/html").send().await.unwrap().text().await.unwrap();
        assert!(page.contains("cannot be written on Windows"), "{page}");
        let to = home.path().join(id.replace('/', "-"));
        server.hub(home.path()).args(["pull", id, "--to", to.to_str().unwrap()]).assert().success();
        assert!(ODD.iter().all(|name| std::fs::read_to_string(to.join(name)).unwrap() == *name), "{id}");
    }
}

#[tokio::test]
async fn both_forms_of_a_name_find_it_in_every_way_out() {
    let server = Server::start();
    let admin = server.admin();
    for (id, held, other) in [("library/nfd", NFD, NFC), ("library/nfc", NFC, NFD)] {
        create_repo(&admin, "model", id).await;
        publish(&admin, &format!("models/{id}"), None, &[("README.md", b"# x\n"), (held, b"here")]).await.created();
        for name in [held, other] {
            for at in [format!("/{id}/resolve/main/{}", encoded(name)), format!("/api/v1/models/{id}/versions/1/files/{}", encoded(name))] {
                assert_eq!(admin.get(&at).await.text(), "here", "{at}");
            }
            let (folder, _) = name.split_once('/').unwrap();
            let tree = admin.get(&format!("/api/models/{id}/tree/main/{}", encoded(folder))).await.ok();
            assert_eq!(tree[0]["path"], held, "{tree}");
            let infos = admin.post(&format!("/api/models/{id}/paths-info/main"), &json!({ "paths": [name, folder] })).await.ok();
            assert_eq!(
                (infos.as_array().unwrap().len(), &infos[0]["path"], &infos[1]["type"]),
                (2, &json!(held), &json!("directory")),
                "{infos}"
            );
        }
        let absent = admin.get(&format!("/{id}/resolve/main/{}", encoded("cafe/a.txt"))).await;
        assert_eq!(absent.status, 404);
    }
}

#[tokio::test]
async fn unsafe_names_are_refused_by_every_way_in() {
    let server = Server::start();
    let admin = server.admin();
    create_repo(&admin, "model", "library/net").await;
    upload(&admin, b"x").await;
    for name in
        ["../x", "/x", "a\\..\\..\\x", "C:\\x", "c:x", ".git/config", "x/.Git ./config", "a\nb", "a\u{0}b", "a\u{202e}b", "..", "a//b"]
    {
        commit(&admin, "models/library/net", None, vec![file(name, b"x")]).await.problem(422, "bad_path");
        let lines = format!(
            "{}\n{}",
            json!({ "key": "header", "value": { "summary": "s" } }),
            json!({ "key": "file", "value": { "path": name, "content": "eA==" } })
        );
        let sent =
            admin.request(Method::POST, "/api/models/library/net/commit/main").header("content-type", "application/x-ndjson").body(lines);
        let refused = Reply::of(sent).await;
        assert!(refused.status == 400 && refused.text().contains("rename the file"), "{name:?}: {}", refused.text());
    }
    commit(&admin, "models/library/net", None, vec![file("a", b"x"), file("a", b"x")]).await.problem(422, "bad_manifest");
    commit(&admin, "models/library/net", None, vec![file("a", b"x"), file("a/b", b"x")]).await.problem(422, "bad_manifest");
}
