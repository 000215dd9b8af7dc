//! A base and its fine-tunes: what is the same in them is stored once, sent once and fetched once; nobody learns
//! anything by it, and nothing is lost with it.

use std::path::Path;

use crate::sharing_kit::{Line, base, bytes_below, bytes_of, fine_tune, places, tensors_of, write_model};
use crate::support::publishing::{commit, create_repo, file, upload};
use crate::support::training::{self, Person};
use crate::support::{Api, Reply, Server, until};
use hub::domain::digest::Digest;
use reqwest::Method;
use serde_json::{Value, json};

/// Runs the command line over a line; its JSON answer.
fn hub(server: &Server, line: &Line, home: &Path, args: &[&str]) -> Value {
    let output = server.hub(home).env("HUB_SERVER", &line.url).args(args).arg("--json").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a pull brought: the weights.
fn weights_of(pulled: &Value) -> Vec<u8> {
    std::fs::read(Path::new(pulled["path"].as_str().unwrap()).join("model.safetensors")).unwrap()
}

#[test]
fn a_fine_tune_costs_its_head_wherever_it_goes() {
    let server = Server::start();
    let line = Line::to(server.authority());
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let weights = base();
    let mut bytes = vec![write_model(&at("base"), &weights, 10)];
    for (number, classes) in [(1, 5), (2, 7)] {
        bytes.push(write_model(&at(&format!("tune{number}")), &fine_tune(&weights, classes, number), classes));
    }
    let whole = bytes[0].len() as u64;

    // Published: only the new head travels and lies on the disk.
    let publish = |name: &str| hub(&server, &line, home.path(), &["publish", at(name).to_str().unwrap(), &format!("library/{name}")]);
    assert!(publish("base")["sent_bytes"].as_u64().unwrap() >= whole);
    line.counted();
    let stored = bytes_below(&server.data().join("blobs"));
    let tune = publish("tune1");
    let (up, _) = line.counted();
    let grown = bytes_below(&server.data().join("blobs")) - stored;
    println!("head-only: sent {up}, reported {}, stored {grown} of {whole}", tune["sent_bytes"]);
    assert!(up < whole / 25, "{up} bytes were sent for a fine-tune of {whole}");
    assert!(tune["sent_bytes"].as_u64().unwrap() < whole / 50);
    assert!(grown < whole / 50, "{grown} bytes were stored for a fine-tune of {whole}");
    publish("tune2");
    let (file, list) = places(server.data(), &bytes[1]);
    assert!(!file.exists() && list.is_file());
    assert_eq!(std::fs::read_dir(server.data().join("staging")).unwrap().count(), 0, "nothing stays in staging");

    // Pulled beside the base, or beside a sibling, or before the base: only the rest travels, and the bytes are true.
    for order in [["base", "tune1", "tune2"], ["tune1", "tune2", "base"]] {
        let elsewhere = tempfile::tempdir().unwrap();
        for (nth, name) in order.iter().enumerate() {
            line.counted();
            let pulled = hub(&server, &line, elsewhere.path(), &["pull", &format!("library/{name}")]);
            let (_, down) = line.counted();
            let expected = &bytes[["base", "tune1", "tune2"].iter().position(|n| n == name).unwrap()];
            assert_eq!(&weights_of(&pulled), expected, "{name}");
            println!("{order:?}: {name} fetched {down}");
            match nth {
                0 => assert!(down >= expected.len() as u64),
                _ => assert!(down < whole / 40, "{down} bytes were fetched for {name} after {:?}", &order[..nth]),
            }
        }
    }
}

#[tokio::test]
async fn a_composed_file_is_served_as_if_it_were_whole() {
    let server = Server::start();
    let admin = server.admin();
    let (weights, name) = (base(), "models/library/net");
    let (first, second) = (bytes_of(&weights), bytes_of(&fine_tune(&weights, 3, 9)));
    create_repo(&admin, "model", "library/net").await;
    for (bytes, parent) in [(&first, None), (&second, Some(1))] {
        upload(&admin, bytes).await;
        commit(&admin, name, parent, vec![file("model.safetensors", bytes)]).await.created();
    }
    assert!(places(server.data(), &second).1.is_file());
    let path = format!("/api/v1/{name}/versions/2/files/model.safetensors");
    let got = server.anonymous().get(&path).await;
    assert_eq!((got.status.as_u16(), got.header("etag")), (200, format!("\"{}\"", Digest::of(&second)).as_str()));
    assert!(got.bytes == second);
    let edge = segment_edge(&server, name).await;
    for (from, to) in [(0, 8), (edge - 5, edge + 5), (edge, edge + 1), (second.len() - 9, second.len())] {
        let range = server.anonymous().request(Method::GET, &path).header("Range", format!("bytes={from}-{}", to - 1));
        let part = Reply::of(range).await;
        assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &second[from..to]), "{from}..{to}");
    }
    let head = Reply::of(server.anonymous().request(Method::HEAD, &path)).await;
    assert_eq!(head.header("content-length"), second.len().to_string());
    let tensors = server.anonymous().get(&format!("/api/v1/{name}/versions/2/tensors")).await.ok();
    assert!(
        tensors["items"].as_array().unwrap().iter().any(|t| t["name"] == "classifier.weight" && t["shape"] == json!([3, 1280])),
        "{tensors}"
    );

    // The base's repo goes; what shares with it stays whole. (Here both are versions of one repo, so one goes.)
    admin.delete(&format!("/api/v1/{name}/versions/1")).await;
    assert!(server.anonymous().get(&path).await.bytes == second);
}

/// Where the first long run from the base begins.
async fn segment_edge(server: &Server, repo: &str) -> usize {
    let list = server.anonymous().get(&format!("/api/v1/{repo}/versions/2/segments/model.safetensors")).await.ok();
    let segments = list["segments"].as_array().unwrap();
    let long = segments.iter().find(|s| s["size_bytes"].as_u64().unwrap() > 1_000_000).unwrap();
    long["offset_bytes"].as_u64().unwrap() as usize
}

/// Announces a file with its tensors; what the server says it has received.
async fn offer(api: &Api, sha256: &str, size: usize, tensors: Vec<Value>) -> Value {
    let mut upload = api.post("/api/v1/uploads", &json!({"sha256": sha256, "size_bytes": size, "tensors": tensors})).await.created();
    for changing in ["id", "expires", "sha256"] {
        upload.as_object_mut().unwrap().remove(changing);
    }
    upload
}

#[tokio::test]
async fn knowing_a_hash_yields_nothing() {
    let server = Server::start();
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    let weights = base();
    let secret = bytes_of(&weights);
    ada.post("/api/v1/repos", &json!({"kind": "model", "id": "ada/secret", "private": true})).await.created();
    upload(&ada, &secret).await;
    commit(&ada, "models/ada/secret", None, vec![file("model.safetensors", &secret)]).await.created();

    // A stranger who knows every hash is answered as one who invents them.
    let (size, mut invented) = (secret.len(), tensors_of(&secret));
    invented.iter_mut().enumerate().for_each(|(at, tensor)| tensor["sha256"] = json!(Digest::of(&at.to_be_bytes()).to_hex()));
    let known = offer(&eve, &Digest::of(b"eve's").to_hex(), size, tensors_of(&secret)).await;
    assert_eq!(known["received"], json!([]));
    assert_eq!(known, offer(&eve, &Digest::of(b"eve's, too").to_hex(), size, invented).await);
    let whole = offer(&eve, &Digest::of(&secret).to_hex(), size, tensors_of(&secret)).await;
    assert_eq!(whole, known, "nor does the hash of the whole help");
    let own = offer(&ada, &Digest::of(b"ada's").to_hex(), size, tensors_of(&secret)).await;
    assert!(own["offset"] == 0 && own["received"][0][1].as_u64().unwrap() as usize == size, "{own}");

    // What ada makes public of it may be shared, and nothing else of it: not the head, not the base's name.
    let public = bytes_of(&fine_tune(&weights, 3, 1));
    create_repo(&ada, "model", "ada/public").await;
    upload(&ada, &public).await;
    commit(&ada, "models/ada/public", None, vec![file("model.safetensors", &public)]).await.created();
    assert!(places(server.data(), &public).1.is_file());
    let list = eve.get("/api/v1/models/ada/public/versions/1/segments/model.safetensors").await;
    let itself = json!([{"offset_bytes": 0, "size_bytes": public.len(), "source": Digest::of(&public).to_hex(), "source_offset": 0}]);
    assert_eq!(list.ok()["segments"], itself, "the sources are not eve's to know, nor that there are any");
    assert!(!list.text().contains(&Digest::of(&secret).to_hex()));
    let shared = offer(&eve, &Digest::of(b"eve's third").to_hex(), size, tensors_of(&secret)).await;
    let received: u64 = shared["received"].as_array().unwrap().iter().map(|r| r[1].as_u64().unwrap() - r[0].as_u64().unwrap()).sum();
    let (_, head) = weights.clone().split("classifier");
    let head: usize = head.iter().map(|(_, var)| var.elem_count() * 4).sum();
    assert!(received > 0 && received as usize <= size - head, "{received} of {size}, of which the head is {head}");
    assert_eq!(eve.get("/api/v1/models/ada/secret/versions/1/segments/model.safetensors").await.status, 404);
}

#[tokio::test]
async fn what_others_keep_private_changes_no_answer() {
    let weights = base();
    let (first, second) = (bytes_of(&fine_tune(&weights, 3, 1)), bytes_of(&fine_tune(&weights, 4, 2)));
    // Nothing; the base; the very file that is published last.
    let mut answers = Vec::new();
    for hidden in [None, Some(bytes_of(&weights)), Some(second.clone())] {
        let server = Server::start();
        let (ada, eve) = (server.user("ada").await, server.user("eve").await);
        if let Some(hidden) = &hidden {
            ada.post("/api/v1/repos", &json!({"kind": "model", "id": "ada/secret", "private": true})).await.created();
            upload(&ada, hidden).await;
            commit(&ada, "models/ada/secret", None, vec![file("model.safetensors", hidden)]).await.created();
        }
        create_repo(&eve, "model", "eve/net").await;
        let (mut told, mut own) = (Vec::new(), Vec::new());
        for (bytes, parent) in [(&first, None), (&second, Some(1))] {
            told.push(offer(&eve, &Digest::of(bytes).to_hex(), bytes.len(), tensors_of(bytes)).await);
            upload(&eve, bytes).await;
            commit(&eve, "models/eve/net", parent, vec![file("model.safetensors", bytes)]).await.created();
        }
        for version in [1, 2] {
            let path = format!("/api/v1/models/eve/net/versions/{version}/segments/model.safetensors");
            told.push(eve.get(&path).await.ok());
            assert_eq!(told.last(), Some(&server.anonymous().get(&path).await.ok()), "nor is a stranger told more");
            own.push(server.admin().get(&path).await.ok());
        }
        answers.push(told);
        if hidden.is_some() {
            assert_ne!(own[0], answers[0][2], "whoever may read all of it is told where it lies");
        }
    }
    let runs = answers[0][3]["segments"].as_array().unwrap();
    assert!(runs.iter().any(|run| run["source"] == json!(Digest::of(&first).to_hex())), "the second lies in the first");
    let covered: u64 = runs.iter().map(|run| run["size_bytes"].as_u64().unwrap()).sum();
    assert_eq!(covered, second.len() as u64, "and the rest of it in itself");
    assert_eq!(answers[1], answers[0], "a base that is private");
    assert_eq!(answers[2], answers[0], "the same file, in private");
}

#[tokio::test]
async fn offers_that_make_no_sense_are_refused() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let bytes = bytes_of(&base());
    upload(&ada, &bytes).await;
    let sha256 = Digest::of(b"x").to_hex();
    let tensor = |offset: u64, size: u64| json!({"offset_bytes": offset, "size_bytes": size, "sha256": sha256});
    let announce = async |tensors: Vec<Value>| {
        let body = json!({"sha256": Digest::of(b"another").to_hex(), "size_bytes": bytes.len(), "tensors": tensors});
        ada.post("/api/v1/uploads", &body).await
    };
    let size = bytes.len() as u64;
    for tensors in [
        vec![tensor(0, 0)],
        vec![tensor(10, 5), tensor(14, 5)],
        vec![tensor(10, 5), tensor(0, 5)],
        vec![tensor(size, 1)],
        vec![tensor(u64::MAX, 2)],
    ] {
        announce(tensors).await.problem(422, "bad_tensors");
    }
    announce(vec![json!({"offset_bytes": 0, "size_bytes": 1, "sha256": "../x"})]).await.problem(400, "bad_digest");
    announce(vec![tensor(0, 1); 20_000]).await.problem(422, "bad_tensors");

    // True tensors in the wrong places make a file that is not what was announced.
    let mut moved = tensors_of(&bytes);
    moved.truncate(1);
    moved[0]["offset_bytes"] = json!(moved[0]["offset_bytes"].as_u64().unwrap() + 4);
    let answer = announce(moved).await.created();
    let _ = answer["received"].as_array().unwrap();
}

#[tokio::test]
async fn nothing_is_shared_with_a_damaged_blob() {
    let server = Server::start();
    let admin = server.admin();
    let weights = base();
    let (first, second) = (bytes_of(&weights), bytes_of(&fine_tune(&weights, 3, 2)));
    create_repo(&admin, "model", "library/net").await;
    upload(&admin, &first).await;
    commit(&admin, "models/library/net", None, vec![file("model.safetensors", &first)]).await.created();
    let stored = places(server.data(), &first).0;
    let mut rotten = first.clone();
    let middle = rotten.len() / 2;
    rotten[middle] ^= 1;
    std::fs::remove_file(&stored).unwrap();
    std::fs::write(&stored, &rotten).unwrap();

    // Offered and announced: the tensor that changed is not among what is received, and the whole is proved.
    let offered = offer(&admin, &Digest::of(&second).to_hex(), second.len(), tensors_of(&second)).await;
    assert_eq!(offered["received"], json!([]), "one source, and it is damaged");
    upload(&admin, &second).await;
    commit(&admin, "models/library/net", Some(1), vec![file("model.safetensors", &second)]).await.created();
    let (whole, list) = places(server.data(), &second);
    assert!(whole.is_file() && !list.exists(), "it was shared with a blob that is damaged");
    assert!(server.anonymous().get("/api/v1/models/library/net/versions/2/files/model.safetensors").await.bytes == second);

    // Sent again, the damaged blob is mended by what shares with it now; both read true.
    until("it is put aside", async || !stored.exists()).await;
    upload(&admin, &first).await;
    assert!(server.anonymous().get("/api/v1/models/library/net/versions/1/files/model.safetensors").await.bytes == first);
}

#[tokio::test]
async fn what_a_job_makes_shares_with_its_base() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 4).await;
    let before = bytes_below(&server.data().join("blobs"));
    let recipe = json!({ "strategy": "head", "epochs": 1, "batch_size": 4, "seed": 3, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours@1", "name": "ada/net", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);

    let (status, manifest) = ada.get("/models/ada/net/versions/1/manifest").await;
    assert_eq!(status, 200);
    let weights = manifest["files"].as_array().unwrap().iter().find(|f| f["path"] == "model.safetensors").unwrap();
    let hex = weights["sha256"].as_str().unwrap();
    let list = server.data().join(format!("blobs/{}/{}/{hex}.segments", &hex[..2], &hex[2..4]));
    assert!(list.is_file(), "the result of a job is stored whole");
    let grown = bytes_below(&server.data().join("blobs")) - before;
    println!("a job's result of {} stored {grown}", weights["size_bytes"]);
    let bytes = ada.stream("/models/ada/net/versions/1/files/model.safetensors").send().await.unwrap().bytes().await.unwrap();
    assert_eq!(Digest::of(&bytes).to_hex(), hex);
    let (status, answer) = ada.send("/models/ada/net/predict", training::picture([190, 10, 10], 5)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn a_fine_tune_outlives_its_base() {
    let server = Server::start();
    let admin = server.admin();
    let weights = base();
    let (first, second) = (bytes_of(&weights), bytes_of(&fine_tune(&weights, 3, 2)));
    for (name, bytes) in [("library/base", &first), ("library/tune", &second)] {
        create_repo(&admin, "model", name).await;
        upload(&admin, bytes).await;
        commit(&admin, &format!("models/{name}"), None, vec![file("model.safetensors", bytes)]).await.created();
    }
    assert!(places(server.data(), &second).1.is_file());
    admin.delete("/api/v1/models/library/base").await.done();
    // Nothing keeps the base any more but what is made of it: not its senders' rights, which last for hours.
    let db = hub::db::Db::open(&server.data().join("hub.db")).await.unwrap();
    let forget_senders = async || {
        let forgotten = db.write(|tx| {
            tx.execute("delete from blob_grants", &[])?;
            tx.execute("delete from uploads", &[])
        });
        forgotten.await.unwrap();
    };
    let home = tempfile::tempdir().unwrap();
    let collect = || {
        for _ in 0..2 {
            server.hub(home.path()).args(["admin", "gc", "--grace", "0s", "--data"]).arg(server.data()).assert().success();
        }
    };
    forget_senders().await;
    collect();
    assert!(places(server.data(), &first).0.is_file(), "the collector took what a living blob is made of");
    assert!(server.anonymous().get("/api/v1/models/library/tune/versions/1/files/model.safetensors").await.bytes == second);

    admin.delete("/api/v1/models/library/tune").await.done();
    forget_senders().await;
    collect();
    assert_eq!(bytes_below(&server.data().join("blobs")), 0, "the fine-tune, what was left of it, and then the base");
}
