//! People who publish, read and delete until the server is gone, and note what they were told.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{File, content};
use crate::support::publishing::sha256;
use crate::support::{Api, HUB, Reply};

/// The server is gone.
#[derive(Debug)]
pub struct Gone;

/// Sends; only a connection that breaks is allowed to go wrong.
pub async fn ask(request: reqwest::RequestBuilder) -> Result<Reply, Gone> {
    let response = request.send().await.map_err(|_| Gone)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.bytes().await.map_err(|_| Gone)?.to_vec();
    let reply = Reply { status, headers, bytes };
    assert!(!status.is_server_error(), "a server that lives answers: {status} {}", reply.text());
    Ok(reply)
}

/// Somebody with repos of their own and one they share.
pub struct Person {
    pub api: Api,
    pub ledger: Arc<Ledger>,
    pub repos: Vec<String>,
    pub random: ChaCha8Rng,
}

impl Person {
    /// Publishes again and again, and sometimes deletes, until the server is gone.
    pub async fn publish_on(mut self) {
        loop {
            let repo = self.repos[self.random.random_range(0..self.repos.len())].clone();
            let files = content(&mut self.random, &repo);
            if self.publish(&repo, &files).await.is_err() {
                self.ledger.notes().cut.push((repo, files));
                return;
            }
            if self.random.random_bool(0.3) && self.delete_one(&repo).await.is_err() {
                return;
            }
        }
    }

    /// Publishes these files, whatever of it was done before.
    pub async fn publish(&mut self, repo: &str, files: &[File]) -> Result<(), Gone> {
        for file in files {
            self.send(file).await?;
        }
        loop {
            let shown = ask(self.api.request(Method::GET, &format!("/api/v1/{repo}"))).await?.ok();
            let parent = shown["version"]["number"].as_u64();
            let listed: Vec<Value> = files.iter().map(File::listed).collect();
            let body = json!({ "message": "a story", "parent": parent, "files": listed });
            let reply = ask(self.api.request(Method::POST, &format!("/api/v1/{repo}/commits")).json(&body)).await?;
            if reply.status == 409 {
                reply.problem(409, "head_moved");
                continue;
            }
            assert!(reply.status.is_success(), "{repo}: {}", reply.text());
            let version = &reply.json()["version"];
            self.ledger.published(repo, version["number"].as_u64().unwrap(), version["commit"].as_str().unwrap(), files);
            return Ok(());
        }
    }

    /// Sends a file by the way and in the pieces that chance decides.
    async fn send(&mut self, file: &File) -> Result<(), Gone> {
        self.ledger.notes().sending.push(file.sha256.clone());
        if self.random.random_bool(0.2) {
            let request = self.api.request(Method::PUT, &format!("/api/v1/blobs/{}", file.sha256));
            let sent = ask(request.body(file.bytes.clone())).await?.ok();
            assert_eq!(sent["complete"], true, "{sent}");
            return Ok(());
        }
        let body = json!({ "sha256": file.sha256, "size_bytes": file.bytes.len(), "tensors": file.tensors });
        let upload = ask(self.api.request(Method::POST, "/api/v1/uploads").json(&body)).await?.created();
        if upload["complete"] == true {
            return Ok(());
        }
        if self.random.random_bool(0.5) { self.send_in_order(file, upload).await } else { self.send_parts(file, upload).await }
    }

    async fn send_in_order(&mut self, file: &File, mut upload: Value) -> Result<(), Gone> {
        let id = upload["id"].as_str().unwrap().to_owned();
        while upload["complete"] != true {
            let offset = upload["offset"].as_u64().unwrap() as usize;
            let left = file.bytes.len() - offset;
            let piece = if self.random.random_bool(0.5) { left } else { self.random.random_range(1..=left) };
            let request = self.api.request(Method::PATCH, &format!("/api/v1/uploads/{id}")).header("Upload-Offset", offset.to_string());
            let reply = ask(request.body(file.bytes.slice(offset..offset + piece))).await?;
            if reply.status == 409 {
                // Somebody else of this account sends the same file.
                reply.problem(409, "wrong_offset");
                upload = ask(self.api.request(Method::GET, &format!("/api/v1/uploads/{id}"))).await?.ok();
                continue;
            }
            upload = reply.ok();
            self.ledger.received(&id, &upload);
        }
        Ok(())
    }

    /// Two halves at once, in pieces and in any order, until all is there.
    async fn send_parts(&mut self, file: &File, upload: Value) -> Result<(), Gone> {
        let id = upload["id"].as_str().unwrap();
        let size = file.bytes.len();
        let mut cuts: Vec<usize> = (0..3).map(|_| self.random.random_range(0..=size)).chain([0, size]).collect();
        cuts.sort_unstable();
        let mut parts: Vec<_> = cuts.windows(2).map(|cut| cut[0]..cut[1]).filter(|part| !part.is_empty()).collect();
        let first = self.random.random_range(0..parts.len());
        parts.rotate_left(first);
        let put = |part: std::ops::Range<usize>| {
            let range = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            let request = self.api.request(Method::PUT, &format!("/api/v1/uploads/{id}")).header("Content-Range", range);
            let sent = ask(request.body(file.bytes.slice(part)));
            async { sent.await.map(|reply| self.ledger.received(id, &reply.ok())) }
        };
        let (first, second) = parts.split_at(parts.len() / 2);
        let one_by_one = |parts: Vec<std::ops::Range<usize>>| async {
            for part in parts {
                put(part).await?;
            }
            Ok::<_, Gone>(())
        };
        let (first, second) = tokio::join!(one_by_one(first.to_vec()), one_by_one(second.to_vec()));
        first.and(second)?;
        let upload = ask(self.api.request(Method::GET, &format!("/api/v1/uploads/{id}"))).await?.ok();
        assert_eq!(upload["complete"], true, "every part was acknowledged: {upload}");
        Ok(())
    }

    /// Deletes a version that is not the newest, if there is one.
    async fn delete_one(&mut self, repo: &str) -> Result<(), Gone> {
        let place = {
            let notes = self.ledger.notes();
            let known: Vec<_> = notes.versions.keys().filter(|place| place.0 == repo).cloned().collect();
            let old = &known[..known.len().saturating_sub(1)];
            let open: Vec<_> = old.iter().filter(|place| !notes.deleted.contains(place) && !notes.doubtful.contains(place)).collect();
            if open.is_empty() {
                return Ok(());
            }
            open[self.random.random_range(0..open.len())].clone()
        };
        self.ledger.notes().doubtful.insert(place.clone());
        let reply = ask(self.api.request(Method::DELETE, &format!("/api/v1/{}/versions/{}", place.0, place.1))).await?;
        // Two who share a repo may have chosen the same.
        assert!([204, 404].contains(&reply.status.as_u16()), "{}", reply.text());
        let mut notes = self.ledger.notes();
        notes.doubtful.remove(&place);
        notes.deleted.insert(place);
        Ok(())
    }
}

/// Reads acknowledged files until the server is gone; what arrives whole must be right.
pub async fn read_on(api: Api, ledger: Arc<Ledger>, mut random: ChaCha8Rng) {
    loop {
        let chosen = {
            let notes = ledger.notes();
            let places: Vec<_> = notes.versions.iter().filter(|(place, _)| !notes.deleted.contains(place)).collect();
            (!places.is_empty()).then(|| {
                let (place, version) = places[random.random_range(0..places.len())];
                let files: Vec<_> = version.files.iter().collect();
                let (path, sha256) = files[random.random_range(0..files.len())];
                (place.clone(), path.clone(), sha256.clone())
            })
        };
        let Some((place, path, wanted)) = chosen else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if ask(api.request(Method::GET, "/healthz")).await.is_err() {
                return;
            }
            continue;
        };
        let Ok(reply) = ask(api.request(Method::GET, &format!("/api/v1/{}/versions/{}/files/{path}", place.0, place.1))).await else {
            return;
        };
        let may_be_gone = {
            let notes = ledger.notes();
            notes.deleted.contains(&place) || notes.doubtful.contains(&place)
        };
        if reply.status == 404 && may_be_gone {
            continue;
        }
        assert_eq!(reply.status, 200, "{place:?} {path}: {}", reply.text());
        assert_eq!(sha256(&reply.bytes), wanted, "{place:?} {path}");
    }
}

/// Collects garbage again and again, in processes of its own, until told to stop; the last one is killed in the midst.
pub async fn collect_on(data: &Path, mut random: ChaCha8Rng, mut stop: tokio::sync::oneshot::Receiver<()>) {
    loop {
        let mut command = tokio::process::Command::new(HUB);
        command.args(["admin", "gc", "--grace", "0s", "--json", "--data"]).arg(data).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = command.spawn().unwrap().wait_with_output();
        let ended = tokio::select! {
            ended = running => ended.unwrap(),
            _ = &mut stop => return,
        };
        assert!(ended.status.success(), "gc failed: {}", String::from_utf8_lossy(&ended.stderr));
        let pause = Duration::from_millis(random.random_range(0..50));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = &mut stop => return,
        }
    }
}
