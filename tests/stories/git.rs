//! What is published here is cloned, fetched and pulled by the real git, and by git-lfs.

use crate::support::git::{Git, with_token};
use crate::support::publishing::{create_repo, publish, random, safetensors, sha256};
use crate::support::{Api, Reply, Server};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

const OURS: &str = "/api/v1/models/ada/net";
const THEIRS: &str = "/api/models/ada/net";
const RULES: &[u8] = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n";

async fn begun() -> (Server, Api) {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    (server, ada)
}

/// Publishes upon a version, with words of one's own.
async fn commit(ada: &Api, parent: u32, message: &str, files: &[(&str, &[u8])]) {
    for (_, bytes) in files {
        crate::support::publishing::upload(ada, bytes).await;
    }
    let files: Vec<Value> = files.iter().map(|(path, bytes)| crate::support::publishing::file(path, bytes)).collect();
    let parent = (parent > 0).then_some(parent);
    ada.post(&format!("{OURS}/commits"), &json!({ "message": message, "parent": parent, "files": files })).await.created();
}

fn owned(files: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_clone_holds_every_byte_and_the_whole_history() {
    let (server, ada) = begun().await;
    let large = random(1, 3 << 20);
    let first: Vec<(&str, &[u8])> = vec![("README.md", b"# Net\n"), ("a/b/c.txt", b"one"), ("a.txt", b"x"), ("a-b.txt", b"y")];
    commit(&ada, 0, "the first\n\nand why", &first).await;
    let mut second = first.clone();
    second.extend([("a/b/d e.txt", b"two".as_slice()), ("blob.dat", &large), ("empty", b""), ("\u{e9}t\u{e9}/\u{732b}.txt", b"neko")]);
    commit(&ada, 1, "the second", &second).await;
    ada.put(&format!("{OURS}/refs/v1.0"), &json!({ "revision": "1" })).await;
    ada.post(&format!("{THEIRS}/branch/dev%2Fx"), &json!({})).await.ok();
    for (version, address) in [(2, "ada/net"), (2, "ada/net.git"), (0, "ada/net.git"), (1, "ada/net")] {
        let git = Git::speaking(version);
        let said = git.clone(&format!("{}/{address}", server.url), "net", &[]);
        assert!(!said.contains("warning"), "{said}");
        assert_eq!(git.files("net"), owned(&second), "version {version} of the protocol, {address}");
        assert!(git.run("net", &["status", "--porcelain"]).is_empty());
        let log = git.run("net", &["log", "--format=%an|%s|%b|%cn", "--reverse"]);
        assert_eq!(log, "ada|the first|and why\n|ada\nada|the second||ada\n");
        let times = git.run("net", &["log", "--format=%ct"]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(times.lines().all(|time| now.abs_diff(time.parse().unwrap()) < 3_600), "{times}");
        assert!(git.run("net", &["cat-file", "-p", "HEAD"]).contains("\nhub-version 2\n"));
        assert_eq!(
            git.run("net", &["branch", "-a", "--format=%(refname)"]).lines().collect::<Vec<_>>(),
            ["refs/heads/main", "refs/remotes/origin/HEAD", "refs/remotes/origin/dev/x", "refs/remotes/origin/main"]
        );
        assert_eq!(git.run("net", &["tag"]), "v1.0\n");
        git.run("net", &["checkout", "-q", "v1.0"]);
        assert_eq!(git.files("net"), owned(&first));
    }
    // The same version is the same commit, on every day and to everybody.
    let heads = [Git::speaking(0), Git::speaking(2)].map(|git| git.run(".", &["ls-remote", &format!("{}/ada/net", server.url)]));
    assert_eq!(heads[0], heads[1]);
    assert!(heads[0].contains("\tHEAD\n") && heads[0].contains("\trefs/tags/v1.0\n") && heads[0].contains("\trefs/heads/dev/x\n"));
}

#[tokio::test]
async fn a_fetch_brings_what_is_new_and_nothing_else() {
    let (server, ada) = begun().await;
    let large = random(2, 2 << 20);
    commit(&ada, 0, "one", &[("README.md", b"# Net\n"), ("kept.dat", &large), ("sub/kept.txt", b"kept")]).await;
    for version in [0, 2] {
        let git = Git::speaking(version);
        git.clone(&format!("{}/ada/net", server.url), "net", &[]);
        let head = ada.get(OURS).await.ok()["version"]["number"].as_u64().unwrap() as u32;
        let text = format!("new in {head}");
        commit(&ada, head, "more", &[("README.md", text.as_bytes()), ("kept.dat", &large), ("sub/kept.txt", b"kept")]).await;
        let said = git.run("net", &["fetch", "--progress"]);
        // A commit, the tree of the whole, and one file.
        assert!(said.contains("Sending 3 objects of 1 versions"), "{said}");
        git.check("net");
        git.run("net", &["merge", "-q", "--ff-only", "origin/main"]);
        assert_eq!(std::fs::read_to_string(git.at("net/README.md")).unwrap(), text);
        let again = git.run("net", &["fetch", "--progress"]);
        assert!(!again.contains("Sending"), "{again}");
        assert!(git.run("net", &["pull", "--ff-only"]).contains("Already up to date"));
    }
}

#[tokio::test]
async fn a_fetch_into_a_clone_with_work_of_its_own_finds_what_both_have() {
    let (server, ada) = begun().await;
    commit(&ada, 0, "one", &[("README.md", b"# Net\n")]).await;
    for version in [0, 2] {
        let git = Git::speaking(version);
        git.clone(&format!("{}/ada/net", server.url), "net", &[]);
        // So many commits that git asks in several rounds, and packs its questions.
        let tree = git.run("net", &["rev-parse", "HEAD^{tree}"]);
        let mut stream = String::new();
        for at in 0..300 {
            let from = if at == 0 { "from refs/heads/main^0\n" } else { "" };
            stream += &format!(
                "commit refs/heads/main\ncommitter a <a@b> {} +0000\ndata 1\nx\n{from}M 100644 inline own.txt\ndata 3\n{at:03}\n",
                2_000_000_000 + at
            );
        }
        std::fs::write(git.at("stream"), stream).unwrap();
        git.run("net", &["config", "alias.take", "!git fast-import --quiet --force <../stream"]);
        git.run("net", &["take"]);
        assert!(!tree.is_empty() && git.run("net", &["rev-list", "--count", "main"]).trim().parse::<u32>().unwrap() > 300);
        let head = ada.get(OURS).await.ok()["version"]["number"].as_u64().unwrap() as u32;
        commit(&ada, head, "two", &[("README.md", format!("{version}").as_bytes())]).await;
        let said = git.run("net", &["fetch", "--progress"]);
        assert!(said.contains("Sending 3 objects of 1 versions"), "{said}");
        git.check("net");
    }
}

#[tokio::test]
async fn a_short_clone_is_deepened_as_far_as_asked() {
    for version in [0, 2] {
        let (server, ada) = begun().await;
        for number in 0..5_u32 {
            let text = number.to_string();
            commit(&ada, number, &format!("version {}", number + 1), &[("README.md", text.as_bytes()), ("same", b"same")]).await;
        }
        let git = Git::speaking(version);
        let count = |git: &Git| git.run("net", &["rev-list", "--count", "HEAD"]).trim().parse::<u32>().unwrap();
        git.clone(&format!("{}/ada/net", server.url), "net", &["--depth", "1"]);
        assert_eq!(count(&git), 1);
        assert_eq!(std::fs::read_to_string(git.at("net/README.md")).unwrap(), "4");
        git.run("net", &["fetch", "--depth", "2"]);
        assert_eq!(count(&git), 2);
        git.run("net", &["fetch", "--deepen", "1"]);
        assert_eq!(count(&git), 3);
        git.check("net");
        git.run("net", &["fetch", "--unshallow"]);
        assert_eq!(count(&git), 5);
        git.check("net");
        git.clone(&format!("{}/ada/net", server.url), "late", &["--shallow-since", "2001-01-01"]);
        assert_eq!(git.run("late", &["rev-list", "--count", "HEAD"]), "5\n");
        git.clone(&format!("{}/ada/net", server.url), "short", &["--depth", "2"]);
        commit(&ada, 5, "more", &[("README.md", b"more"), ("same", b"same")]).await;
        git.run("short", &["pull", "-q", "--ff-only"]);
        assert_eq!(git.run("short", &["rev-list", "--count", "HEAD"]), "3\n");
        git.check("short");
    }
}

#[tokio::test]
async fn private_repos_are_cloned_with_a_token_and_not_without() {
    let (server, ada) = begun().await;
    let eve = server.user("eve").await;
    commit(&ada, 0, "one", &[("README.md", b"# Secret\n")]).await;
    let git = Git::new();
    let public = git.run(".", &["ls-remote", &format!("{}/ada/net", server.url)]);
    let head = public.split_whitespace().next().unwrap();
    ada.patch(OURS, &json!({ "private": true })).await;
    let plain = format!("{}/ada/net.git", server.url);
    for (address, why) in [(plain.clone(), "a stranger"), (plain.replace("/net", "/none"), "what is not there")] {
        for args in [vec!["clone", &address, "no"], vec!["ls-remote", &address]] {
            let ended = git.try_run(".", &args);
            assert!(!ended.ok && ended.said.contains("could not read Username"), "{why}: {ended:?}");
        }
    }
    let ended = git.try_run(".", &["clone", &format!("{}/ada/net", with_token(&server, &eve)), "no"]);
    assert!(!ended.ok && ended.said.contains("not found"), "{ended:?}");
    git.clone(&format!("{}/ada/net", with_token(&server, &ada)), "net", &[]);
    assert_eq!(std::fs::read_to_string(git.at("net/README.md")).unwrap(), "# Secret\n");
    // Knowing a commit is not enough, at the repo itself or through another one.
    create_repo(&eve, "model", "eve/net").await;
    publish(&eve, "models/eve/net", None, &[("README.md", b"# Eve\n")]).await.created();
    let want = format!("0032want {head}\n00000009done\n");
    let asked = |api: &Api, path: &str| api.request(Method::POST, path).body(want.clone());
    assert_eq!(Reply::of(asked(&server.anonymous(), "/ada/net/git-upload-pack")).await.status, 401);
    assert_eq!(Reply::of(asked(&eve, "/ada/net/git-upload-pack")).await.status, 404);
    assert!(Reply::of(asked(&eve, "/eve/net/git-upload-pack")).await.text().contains("ERR upload-pack: not our ref"));
    assert!(Reply::of(asked(&ada, "/ada/net/git-upload-pack")).await.bytes.starts_with(b"0008NAK\nPACK"));
}

#[tokio::test]
async fn large_files_are_pointers_until_git_lfs_pulls_them() {
    let (server, ada) = begun().await;
    let weights = safetensors(&[("w", &[300, 300])]);
    let huge = random(3, (10 << 20) + 1);
    let files: Vec<(&str, &[u8])> =
        vec![("README.md", b"# Net\n"), (".gitattributes", RULES), ("model.safetensors", &weights), ("deep/er/x.safetensors", &weights)];
    commit(&ada, 0, "one", &files).await;
    let address = format!("{}/ada/net", server.url);
    let plain = Git::new();
    plain.clone(&address, "net", &[]);
    let text = std::fs::read_to_string(plain.at("net/model.safetensors")).unwrap();
    let (oid, size) = (sha256(&weights), weights.len());
    assert_eq!(text, format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"));
    assert_eq!(std::fs::read(plain.at("net/.gitattributes")).unwrap(), RULES, "what a repo says of itself is left as it is");
    plain.run("net", &["lfs", "install", "--local"]);
    plain.run("net", &["lfs", "pull"]);
    assert_eq!(plain.files("net"), owned(&files));
    plain.run("net", &["lfs", "fsck"]);
    // Where git-lfs is at home, a clone is whole at once; and the rules that lack are there.
    create_repo(&ada, "dataset", "ada/set").await;
    let data: Vec<(&str, &[u8])> = vec![("a b.txt", &huge), ("train.npy", &weights), ("notes.txt", b"small"), ("empty.bin", b"")];
    publish(&ada, "datasets/ada/set", None, &data).await.created();
    ada.patch("/api/v1/datasets/ada/set", &json!({ "private": true })).await;
    let git = Git::with_lfs();
    git.clone(&format!("{}/datasets/ada/set", with_token(&server, &ada)), "set", &[]);
    let mut found = git.files("set");
    found.retain(|(path, _)| path != ".gitattributes");
    assert_eq!(found, owned(&data));
    assert!(git.run("set", &["status", "--porcelain"]).is_empty(), "git finds nothing changed");
    let tracked = git.run("set", &["lfs", "ls-files", "--name-only"]);
    assert_eq!(tracked.lines().collect::<Vec<_>>(), ["a b.txt", "train.npy"]);
}

#[tokio::test]
async fn a_deleted_version_leaves_a_history_that_holds() {
    let (server, ada) = begun().await;
    for number in 0..4_u32 {
        commit(&ada, number, &format!("version {}", number + 1), &[("README.md", format!("{number}").as_bytes())]).await;
    }
    let git = Git::new();
    git.clone(&format!("{}/ada/net", server.url), "net", &[]);
    for gone in [2, 3] {
        assert!(ada.delete(&format!("{OURS}/versions/{gone}")).await.status.is_success());
    }
    let titles = |folder: &str| git.run(folder, &["log", "--format=%s", "origin/main"]);
    git.clone(&format!("{}/ada/net", server.url), "anew", &[]);
    assert_eq!(titles("anew"), "version 4\nversion 1\n");
    // An old clone is told that what it had was changed.
    assert!(git.run("net", &["fetch", "--progress"]).contains("forced update"));
    git.check("net");
    assert_eq!(titles("net"), "version 4\nversion 1\n");
    let heads = ["net", "anew"].map(|folder| git.run(folder, &["rev-parse", "origin/main"]));
    assert_eq!(heads[0], heads[1]);
}

#[tokio::test]
async fn pull_requests_are_refs_and_an_empty_repo_is_cloned_empty() {
    let (server, ada) = begun().await;
    let eve = server.user("eve").await;
    let git = Git::new();
    let address = format!("{}/ada/net", server.url);
    assert!(git.clone(&address, "empty", &[]).contains("empty repository"));
    assert!(Git::speaking(0).clone(&address, "empty", &[]).contains("empty repository"));
    assert_eq!(git.run("empty", &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    commit(&ada, 0, "one", &[("README.md", b"# Net\n")]).await;
    let lines = [
        json!({ "key": "header", "value": { "summary": "a better one", "description": "" } }),
        json!({ "key": "file", "value": { "content": STANDARD.encode("better"), "path": "README.md", "encoding": "base64" } }),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let request = eve.request(Method::POST, &format!("{THEIRS}/commit/main?create_pr=1")).header("content-type", "application/x-ndjson");
    Reply::of(request.body(body)).await.ok();
    git.run("empty", &["pull", "-q"]);
    git.run("empty", &["fetch", "-q", "origin", "refs/pr/1"]);
    assert_eq!(git.run("empty", &["show", "FETCH_HEAD:README.md"]), "better");
    assert_eq!(git.run("empty", &["log", "-1", "--format=%an %s", "FETCH_HEAD"]), "eve a better one\n");
    git.check("empty");
    ada.post("/api/repos/move", &json!({ "fromRepo": "ada/net", "toRepo": "ada/web", "type": "model" })).await;
    git.clone(&address, "moved", &[]);
    assert_eq!(std::fs::read_to_string(git.at("moved/README.md")).unwrap(), "# Net\n", "an old address leads to it");
}

#[tokio::test]
async fn a_push_is_refused_in_words() {
    let (server, ada) = begun().await;
    commit(&ada, 0, "one", &[("README.md", b"# Net\n")]).await;
    create_repo(&ada, "dataset", "ada/set").await;
    let git = Git::new();
    git.clone(&format!("{}/ada/net", server.url), "net", &[]);
    for (path, says) in [("ada/net", "hf upload ada/net FOLDER"), ("datasets/ada/set.git", "hub publish FOLDER ada/set --dataset")] {
        let ended = git.try_run("net", &["push", &format!("{}/{path}", with_token(&server, &ada)), "HEAD:refs/heads/main"]);
        assert!(!ended.ok && ended.said.contains(says), "{ended:?}");
    }
}

#[tokio::test]
async fn whatever_is_asked_is_answered_in_words_and_within_bounds() {
    let (server, ada) = begun().await;
    commit(&ada, 0, "one", &[("README.md", b"# Net\n")]).await;
    let ask = async |version: &str, body: Vec<u8>| {
        let request = server.anonymous().request(Method::POST, "/ada/net.git/git-upload-pack");
        Reply::of(request.header("git-protocol", version).body(body)).await
    };
    let lines = |lines: &[&str]| {
        let framed = lines.iter().map(|line| if line.len() == 4 { (*line).to_owned() } else { format!("{:04x}{line}\n", line.len() + 5) });
        framed.collect::<String>()
    };
    let none = format!("want {}", "0".repeat(40));
    for (body, says) in [
        ("zzzz".to_owned(), "could not be read"),
        ("fffe".to_owned(), "could not be read"),
        (lines(&["abcdef"]), "not known here"),
        (lines(&["want xxxxxxxxx"]), "40 hexadecimal digits"),
        (lines(&[&none, "0000"]), "not our ref"),
    ] {
        let reply = ask("version=0", body.clone().into()).await;
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("ERR ") && reply.text().contains(says), "{body}: {}", reply.text());
    }
    for (said, says) in [
        (&["command=x", "0000"][..], "not known here"),
        (&["command=fetch", "0001", "deepen many", "0000"], "is no number"),
        (&["command=fetch", "0001", "deepen-not x", "0000"], "no branch or tag 'x'"),
        (&["object-format=sha256", "0000"], "SHA-1"),
    ] {
        let reply = ask("version=2", lines(said).into()).await;
        assert!(reply.text().contains(says), "{said:?}: {}", reply.text());
    }
    assert!(ask("version=2", b"0000".to_vec()).await.bytes.is_empty());
    assert_eq!(ask("version=2", vec![b'0'; 3 << 20]).await.status, 413);
    let bomb = {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![b'0'; 64 << 20]).unwrap();
        encoder.finish().unwrap()
    };
    let packed = server.anonymous().request(Method::POST, "/ada/net.git/git-upload-pack").header("content-encoding", "gzip").body(bomb);
    assert!(Reply::of(packed).await.text().contains("too long"));
    let elsewhere = server.anonymous().request(Method::POST, "/api/v1/repos").header("content-encoding", "gzip").body("x");
    assert_eq!(Reply::of(elsewhere).await.status, 415);
    for path in ["/ada/net/info/refs", "/ada/net/info/refs?service=git-upload-archive"] {
        assert_eq!(server.anonymous().get(path).await.status, 400, "{path}");
    }
}
