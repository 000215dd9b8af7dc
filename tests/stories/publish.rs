//! Publishing, told against the real server: what arrives, what is refused, and that nothing is half-published.

use crate::support::publishing::{announce, commit, create_repo, file, png, publish, safetensors, send, sha256, upload, with_header, zip};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

const CARD: &str =
    "---\nlicense: apache-2.0\ntags: [tiny]\ndatasets: [imagenet-1k]\n---\n# Net\n\nA net for tests. <script>alert(1)</script>\n";
const CONFIG: &str = r#"{"architecture": "mobilenetv2_100", "num_classes": 2, "num_features": 4, "label_names": ["cat", "dog"]}"#;

async fn ada(server: &Server) -> Api {
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    ada
}

#[tokio::test]
async fn a_published_model_is_read_searched_and_listed() {
    let server = Server::start();
    let ada = ada(&server).await;
    let weights = safetensors(&[("conv_stem.weight", &[2, 3]), ("classifier.weight", &[2, 4])]);
    let files: &[(&str, &[u8])] = &[("README.md", CARD.as_bytes()), ("config.json", CONFIG.as_bytes()), ("model.safetensors", &weights)];
    let done = publish(&ada, "models/ada/net", None, files).await.created();
    assert_eq!((&done["created"], &done["version"]["number"], &done["warnings"]), (&json!(true), &json!(1), &json!([])));

    let stranger = server.anonymous();
    let repo = stranger.get("/api/v1/models/Ada/NET").await.ok();
    assert_eq!(repo["id"], "ada/net", "found however it is typed, named as it was made");
    assert_eq!(repo["summary"], "A net for tests. alert(1)", "words without marks");
    let facts = &repo["facts"];
    for (fact, value) in [
        ("license", json!("apache-2.0")),
        ("architecture", json!("mobilenetv2_100")),
        ("task", json!("image-classification")),
        ("modality", json!("image")),
        ("parameters", json!(14)),
        ("labels", json!(["cat", "dog"])),
        ("source_datasets", json!(["imagenet-1k"])),
    ] {
        assert_eq!(facts[fact], value, "{fact}");
    }
    let tensors = stranger.get("/api/v1/models/ada/net/versions/main/tensors").await.ok();
    assert_eq!(tensors["items"][0]["name"], "conv_stem.weight");
    assert_eq!(tensors["items"][1]["shape"], json!([2, 4]));
    let found = stranger.get("/api/v1/search?q=net&architecture=mobilenetv2_100&source_dataset=imagenet-1k").await.ok();
    assert_eq!((&found["total"], &found["items"][0]["id"]), (&json!(1), &json!("ada/net")));
    assert_eq!(stranger.get("/api/v1/datasets").await.ok()["total"], 0);

    // The same again makes nothing new; a change upon the wrong parent is a conflict that says where main stands.
    assert_eq!(publish(&ada, "models/ada/net", None, files).await.ok()["created"], false);
    let moved = commit(&ada, "models/ada/net", None, vec![file("README.md", CARD.as_bytes())]).await;
    let moved = moved.problem(409, "head_moved");
    assert!(moved["message"].as_str().unwrap().contains("version 1"), "{moved}");
    assert_eq!(commit(&ada, "models/ada/net", Some(1), vec![file("README.md", CARD.as_bytes())]).await.created()["version"]["number"], 2);
}

#[tokio::test]
async fn uploads_resume_at_the_byte_they_stand_at() {
    let server = Server::start();
    let ada = ada(&server).await;
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    let announced = announce(&ada, &bytes).await;
    assert_eq!((&announced["offset"], &announced["complete"]), (&json!(0), &json!(false)));
    assert_eq!(send(&ada, &announced, 0, &bytes[..500_000]).await.ok()["offset"], 500_000);
    let again = announce(&ada, &bytes).await;
    assert_eq!((&again["id"], &again["offset"]), (&announced["id"], &json!(500_000)), "announcing again continues");
    send(&ada, &announced, 400_000, &bytes[400_000..]).await.problem(409, "wrong_offset");
    send(&ada, &announced, 600_000, &bytes[600_000..]).await.problem(409, "wrong_offset");
    let path = format!("/api/v1/uploads/{}", announced["id"].as_str().unwrap());
    assert_eq!(ada.get(&path).await.ok()["offset"], 500_000);
    let done = send(&ada, &announced, 500_000, &bytes[500_000..]).await.ok();
    assert_eq!((&done["complete"], &done["offset"]), (&json!(true), &json!(1_200_000)));
    assert_eq!(ada.get(&path).await.ok()["complete"], true);
    let missing = ada.post("/api/v1/blobs/missing", &json!({"sha256": [sha256(&bytes), sha256(b"other")]})).await.ok();
    assert_eq!(missing["missing"], json!([sha256(b"other")]));
    assert_eq!(announce(&ada, b"").await["complete"], true, "nothing is complete at once");
}

#[tokio::test]
async fn an_upload_survives_a_killed_server() {
    let server = Server::start();
    let ada = ada(&server).await;
    let bytes = vec![7u8; 2_000_000];
    let announced = announce(&ada, &bytes).await;
    send(&ada, &announced, 0, &bytes[..1_500_000]).await.ok();
    let data = server.kill().unwrap();
    let server = Server::start_on(data.path(), &["--workers", "0"], &[]);
    let ada = server.with_token(&ada.token);
    assert_eq!(announce(&ada, &bytes).await["offset"], 1_500_000);
    assert_eq!(send(&ada, &announced, 1_500_000, &bytes[1_500_000..]).await.ok()["complete"], true);
}

#[tokio::test]
async fn wrong_uploads_get_no_name() {
    let server = Server::start();
    let ada = ada(&server).await;
    let wrong = announce(&ada, b"what was announced").await;
    send(&ada, &wrong, 0, b"What was announced").await.problem(422, "digest_mismatch");
    let wrong = announce(&ada, b"what was announced").await;
    assert_eq!(wrong["offset"], 0, "it starts again");
    send(&ada, &wrong, 0, b"what was announced and more").await.problem(422, "too_many_bytes");
    commit(&ada, "models/ada/net", None, vec![file("a.txt", b"what was announced")]).await.problem(422, "blob_unknown");
    let path = format!("/api/v1/uploads/{}", wrong["id"].as_str().unwrap());
    for offset in ["", "-1", "+0", "0x0", "1e3", "18446744073709551616"] {
        let request = ada.request(Method::PATCH, &path).header("Upload-Offset", offset).body("x");
        Reply::of(request).await.problem(400, "bad_offset");
    }
    for digest in ["sha256:../../etc/passwd", &"A".repeat(64), &"a".repeat(63), &"٣".repeat(32)] {
        ada.post("/api/v1/uploads", &json!({"sha256": digest, "size_bytes": 1})).await.problem(400, "bad_digest");
    }
    let huge = json!({"sha256": sha256(b"x"), "size_bytes": u64::MAX});
    ada.post("/api/v1/uploads", &huge).await.problem(413, "file_too_large");
    ada.delete(&path).await.done();
    ada.get(&path).await.problem(404, "upload_not_found");
    assert_eq!(std::fs::read_dir(server.data().join("staging")).unwrap().count(), 0, "nothing stays behind");
}

#[tokio::test]
async fn a_digest_is_no_key_to_bytes() {
    let server = Server::start();
    let (ada, eve) = (ada(&server).await, server.user("eve").await);
    ada.patch("/api/v1/models/ada/net", &json!({"private": true})).await.ok();
    let secret = b"the weights of ada".as_slice();
    publish(&ada, "models/ada/net", None, &[("secret.txt", secret)]).await.created();

    create_repo(&eve, "model", "eve/net").await;
    let missing = eve.post("/api/v1/blobs/missing", &json!({"sha256": [sha256(secret)]})).await.ok();
    assert_eq!(missing["missing"], json!([sha256(secret)]), "what eve may not read does not exist for her");
    let announced = announce(&eve, secret).await;
    assert_eq!((&announced["complete"], &announced["offset"]), (&json!(false), &json!(0)), "she must send all of it");
    commit(&eve, "models/eve/net", None, vec![file("secret.txt", secret)]).await.problem(422, "blob_unknown");
    send(&ada, &announced, 0, secret).await.problem(404, "upload_not_found");
    server.anonymous().post("/api/v1/uploads", &json!({"sha256": sha256(secret), "size_bytes": 1})).await.problem(401, "login_required");
    for path in ["", "/versions", "/versions/1/manifest", "/versions/1/files/secret.txt", "/versions/1/SHA256SUMS", "/refs", "/datasets"] {
        let hidden = eve.get(&format!("/api/v1/models/ada/net{path}")).await.problem(404, "repo_not_found");
        let unknown = eve.get(&format!("/api/v1/models/ada/nothing{path}")).await.problem(404, "repo_not_found");
        let text = |body: &Value| body["message"].as_str().unwrap().replace("ada/nothing", "ada/net");
        assert_eq!(text(&hidden), text(&unknown));
    }
    // Once she has proved that she holds the bytes they are hers to publish.
    send(&eve, &announced, 0, secret).await.ok();
    commit(&eve, "models/eve/net", None, vec![file("secret.txt", secret)]).await.created();
}

#[tokio::test]
async fn hostile_paths_and_messages_are_refused_whole() {
    let server = Server::start();
    let ada = ada(&server).await;
    upload(&ada, b"x").await;
    for path in
        ["../x", "/etc/passwd", "a/../b", "C:\\x", "a\\..\\..\\b", "a\0b", "a\nb", "a\u{202e}b", ".git/config", ".git ", "...", "", "a//b"]
    {
        let refused = commit(&ada, "models/ada/net", None, vec![file("good.txt", b"x"), file(path, b"x")]).await;
        refused.problem(422, "bad_path");
    }
    for (one, other) in [("a.txt", "a.txt"), ("a", "a/b"), ("été", "été/x")] {
        commit(&ada, "models/ada/net", None, vec![file(one, b"x"), file(other, b"x")]).await.problem(422, "bad_manifest");
    }
    commit(&ada, "models/ada/net", Some(1), vec![]).await.problem(422, "bad_manifest");
    let mut lying = file("a.txt", b"x");
    lying["size_bytes"] = json!(2);
    commit(&ada, "models/ada/net", Some(1), vec![lying]).await.problem(422, "size_mismatch");
    let body = json!({"message": "a\u{1b}[31m", "parent": 1, "files": [file("a.txt", b"x")]});
    ada.post("/api/v1/models/ada/net/commits", &body).await.problem(422, "bad_message");
    let body = json!({"message": "", "parent": 1, "files": [file("b.txt", b"x")], "tags": ["12"]});
    ada.post("/api/v1/models/ada/net/commits", &body).await.problem(422, "bad_tag");
}

/// A pickle that calls a name.
fn pickle_of(module: &str, name: &str) -> Vec<u8> {
    format!("\u{0}\u{2}c{module}\n{name}\nq\0)Rq\u{1}.")
        .into_bytes()
        .into_iter()
        .enumerate()
        .map(|(at, b)| if at == 0 { 0x80 } else { b })
        .collect()
}

#[tokio::test]
async fn pickles_are_judged_by_what_they_name() {
    let server = Server::start();
    let ada = ada(&server).await;
    let (evil, args) = (pickle_of("os", "system"), pickle_of("transformers.training_args", "TrainingArguments"));
    let second = zip(&[("archive/version", b"3"), ("archive/data.pkl", &evil)]);
    for (path, bytes) in [("model.pt", &evil), ("notes.txt", &evil), ("weights.dat", &second), ("images.zip", &second)] {
        let refused = publish(&ada, "models/ada/net", None, &[(path, bytes)]).await.problem(422, "pickle_refused");
        assert!(refused["message"].as_str().unwrap().contains("`os.system`"), "{refused}");
    }
    ada.get("/api/v1/models/ada/net/versions/main").await.problem(404, "nothing_published");
    let arguments = zip(&[("archive/data.pkl", &args), ("archive/version", b"3")]);
    let files: &[(&str, &[u8])] =
        &[("model.bin", b"\x06\0\0\0"), ("training_args.bin", &arguments), ("weights.h5", b"\x89HDF\r\n\x1a\n\0\0"), ("old.pkl", &args)];
    let done = publish(&ada, "models/ada/net", None, files).await.created();
    assert!(done["warnings"].to_string().contains("2 files, such as old.pkl"), "{done}");
    let marks = ["clean", "pickle", "pickle", "unscanned"];
    let marked = |list: &Value| list.as_array().unwrap().iter().map(|file| file["mark"].clone()).collect::<Vec<_>>();
    assert_eq!(marked(&ada.get("/api/v1/models/ada/net/versions/1/files").await.ok()["items"]), [marks[0], marks[1], marks[2], marks[3]]);
    assert_eq!(
        marked(&ada.get("/api/v1/models/ada/net/versions/1/manifest").await.ok()["files"]),
        [marks[0], marks[1], marks[2], marks[3]]
    );
    let page = server.anonymous().get("/ada/net/files").await.text();
    assert!(page.contains("pickle of harmless names") && page.contains("not scanned"));
    assert!(done["warnings"].to_string().contains("weights.h5 could not be looked into"), "{done}");
    let asked = json!({ "paths": ["weights.h5"], "expand": true });
    let told = ada.post("/api/models/ada/net/paths-info/main", &asked).await.ok();
    assert_eq!(told[0]["securityFileStatus"]["status"], "unscanned", "{told}");
    let told = ada.get("/api/models/ada/net?securityStatus=true").await.ok()["securityRepoStatus"].clone();
    let issues = json!([{ "path": "old.pkl", "level": "caution" }, { "path": "training_args.bin", "level": "caution" }]);
    assert_eq!(told, json!({ "scansDone": false, "filesWithIssues": issues }));
    let tree = ada.get("/api/models/ada/net/tree/main?expand=true").await.ok();
    let told: Vec<_> = tree.as_array().unwrap().iter().map(|file| file["securityFileStatus"]["status"].clone()).collect();
    assert_eq!(told, ["safe", "caution", "caution", "unscanned"]);
}

#[tokio::test]
async fn archives_that_two_programs_would_read_as_two_are_refused() {
    let (server, allows) = (Server::start(), Server::start_with(&["--workers", "0"], &[("HUB_PICKLE", "allow")]));
    let (one, two) = (zip(&[("a.txt", b"one")]), zip(&[("b.txt", b"two")]));
    let both = [&one[..], &two].concat();
    let stub = [b"#!/bin/sh\nexit\n", &one[..]].concat();
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"a.txt");
    tar[124..135].copy_from_slice(b"00000000001");
    tar[156] = b'0';
    let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
    tar[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar[155] = b' ';
    tar[512] = b'x';
    let ended = [&tar[..], &[0; 1024]].concat();
    let tars = [&ended[..], &ended].concat();
    let person = ada(&server).await;
    for (path, bytes) in [("both.zip", &both), ("run", &stub), ("both.tar", &tars)] {
        let refused = publish(&person, "models/ada/net", None, &[(path, bytes)]).await.problem(422, "archive_ambiguous");
        assert!(refused["hint"].as_str().unwrap().contains("pack"), "{refused}");
    }
    publish(&person, "models/ada/net", None, &[("one.zip", &one), ("a.tar", &ended), ("notes.txt", b"cat\ndog\n.")]).await.created();
    let files = person.get("/api/v1/models/ada/net/versions/1/files").await.ok();
    assert!(files["items"].as_array().unwrap().iter().all(|file| file["mark"] == "clean"), "{files}");
    let person = ada(&allows).await;
    publish(&person, "models/ada/net", None, &[("both.zip", &both)]).await.created();
    assert_eq!(person.get("/api/v1/models/ada/net/versions/1/files").await.ok()["items"][0]["mark"], "unsafe");
}

#[tokio::test]
async fn the_administrator_decides_about_pickles() {
    let (evil, args) = (pickle_of("os", "system"), pickle_of("argparse", "Namespace"));
    for (setting, takes_evil, takes_args) in
        [(("HUB_PICKLE", "refuse"), false, false), (("HUB_PICKLE", "allow"), true, true), (("HUB_ALLOW_PICKLE", "true"), true, true)]
    {
        let server = Server::start_with(&["--workers", "0"], &[setting]);
        let ada = ada(&server).await;
        let mut head = None;
        for (path, bytes, taken, mark) in [("a.pt", &evil, takes_evil, "unsafe"), ("b.pt", &args, takes_args, "pickle")] {
            let answer = publish(&ada, "models/ada/net", head, &[(path, bytes)]).await;
            assert_eq!(answer.status == 201, taken, "{setting:?}: {}", answer.text());
            if taken {
                head = answer.json()["version"]["number"].as_u64().map(|number| number as u32);
                let files = ada.get("/api/v1/models/ada/net/versions/main/files").await.ok();
                assert_eq!(files["items"][0]["mark"], mark);
            }
        }
    }
}

#[tokio::test]
async fn broken_weights_are_refused() {
    let server = Server::start();
    let ada = ada(&server).await;
    let tensor = |offsets: &str| format!(r#"{{"dtype":"F32","shape":[1],"data_offsets":{offsets}}}"#);
    let length = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("length 2^63", length(1 << 63)),
        ("header over 16 MiB", length(17 << 20)),
        ("header longer than the file", length(1_000)),
        ("overlap", with_header(&format!(r#"{{"a":{},"b":{}}}"#, tensor("[0,4]"), tensor("[2,6]")), 6)),
        ("hole", with_header(&format!(r#"{{"a":{},"b":{}}}"#, tensor("[0,4]"), tensor("[8,12]")), 12)),
        ("past the end", with_header(&format!(r#"{{"a":{}}}"#, tensor("[0,4]")), 3)),
        ("trailing bytes", with_header(&format!(r#"{{"a":{}}}"#, tensor("[0,4]")), 5)),
        ("duplicate key", with_header(&format!(r#"{{"a":{0},"a":{0}}}"#, tensor("[0,4]")), 4)),
        ("shape overflow", with_header(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#, 4)),
        ("unknown dtype", with_header(r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#, 4)),
        ("leading space", with_header(&format!(r#" {{"a":{}}}"#, tensor("[0,4]")), 4)),
        ("no tensors", with_header("{}", 0)),
        ("empty file", Vec::new()),
        ("name with control characters", with_header(&format!(r#"{{"a\u0007":{}}}"#, tensor("[0,4]")), 4)),
    ];
    for (what, bytes) in &broken {
        let answer = publish(&ada, "models/ada/net", None, &[("model.safetensors", bytes)]).await;
        assert_eq!(answer.status, 422, "{what}: {}", answer.text());
        answer.problem(422, "safetensors_invalid");
    }
    ada.get("/api/v1/models/ada/net/versions/1").await.problem(404, "revision_not_found");
}

/// What is published of these papers, beside weights.
async fn papers(ada: &Api, name: &str, files: &[(&str, &[u8])]) -> Value {
    create_repo(ada, "model", name).await;
    let weights = with_header(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4);
    let all = [files, &[("model.safetensors", &weights[..])]].concat();
    let done = publish(ada, &format!("models/{name}"), None, &all).await.created();
    let repo = ada.get(&format!("/api/v1/models/{name}")).await.ok();
    assert_eq!(repo["facts"]["warnings"], done["warnings"], "{name}");
    repo["facts"].clone()
}

fn warned(facts: &Value, of: &str) -> bool {
    facts["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(of))
}

#[tokio::test]
async fn configs_that_cannot_be_read_are_published_and_named() {
    let server = Server::start();
    let ada = ada(&server).await;
    let long = format!("{{\"architecture\": \"resnet18\"{}}}", " ".repeat(5 << 20));
    let cases: &[(&[u8], &str, &str, u64)] = &[
        (b"{", "not valid JSON", "", 0),
        (b"[]", "not a JSON object", "", 0),
        (b"\"x\"", "not a JSON object", "", 0),
        (b"\0", "not valid JSON", "", 0),
        (b"", "not valid JSON", "", 0),
        (b"{\"architecture\": \"resnet18\", \"x\": \"caf\xe9\"}", "not UTF-8", "resnet18", 0),
        (long.as_bytes(), "not read", "", 0),
        (br#"{"architecture": 3}"#, "not what timm writes", "", 0),
        (br#"{"architecture": {"layers": [1, 2]}, "lr": 0.1}"#, "not what timm writes", "", 0),
        (br#"{"architecture": "My U-Net (v2)"}"#, "`architecture`", "", 0),
        (br#"{"architecture":"resnet18","num_classes":2,"pretrained_cfg":{"input_size":[1,28,28]}}"#, "input_size", "resnet18", 2),
        (br#"{"architecture":"resnet18","label_names":["a"],"num_classes":2}"#, "label_names", "resnet18", 2),
        (br#"{"model_type":"mamba2","time_step_limit":[0.0, Infinity]}"#, "names no timm `architecture`", "", 0),
    ];
    for (at, (config, warning, architecture, classes)) in cases.iter().enumerate() {
        let facts = papers(&ada, &format!("ada/config{at}"), &[("config.json", config)]).await;
        assert!(warned(&facts, warning), "{warning}: {facts}");
        assert_eq!((&facts["architecture"], &facts["num_classes"]), (&json!(architecture), &json!(classes)), "{facts}");
        // The page does not offer what would be refused, and asking for it is.
        let page = server.anonymous().get(&format!("/ada/config{at}")).await.text();
        assert!(page.contains("config.json") && !page.contains("/finetune?base="), "{page}");
    }
    for (at, config) in
        ["{\"architecture\":\"resnet18\",\"num_classes\":2,\"eps\":NaN}", "\u{feff}{\"architecture\":\"resnet18\",\"num_classes\":2}"]
            .iter()
            .enumerate()
    {
        let facts = papers(&ada, &format!("ada/fine{at}"), &[("config.json", config.as_bytes())]).await;
        assert_eq!((&facts["architecture"], warned(&facts, "config.json")), (&json!("resnet18"), false), "{facts}");
    }
    let named = br#"{"architecture":"resnet18","num_classes":2,"label_names":{"1":"b","0":"a"}}"#;
    let facts = papers(&ada, "ada/named", &[("config.json", named)]).await;
    assert_eq!((&facts["labels"], warned(&facts, "config.json")), (&json!(["a", "b"]), false));
}

#[tokio::test]
async fn cards_that_cannot_be_read_are_published_and_named() {
    let server = Server::start();
    let ada = ada(&server).await;
    let level = |n: usize| format!("k{n}: &k{n} [{}]\n", vec![format!("*k{}", n - 1); 9].join(", "));
    let bomb = format!("---\nlicense: mit\nk0: &k0 [x, x]\n{}---\n", (1..10).map(level).collect::<String>());
    let long = format!("---\nlicense: mit\n---\n{}", "words\n".repeat(100 << 10));
    let wide = format!("---\nlicense: mit\ntags: [{}]\n---\n", vec!["x"; 60_000].join(","));
    for (at, (card, warning, license)) in [
        ("---\nlicense: mit\ntags: [\n---\n", "line", "mit"),
        ("---\nlicense: mit\n", "begins with a rule", ""),
        ("---\n\nA rule.\n\n---\n", "begins with a rule", ""),
        ("---\nlicense: mit\nclasses: [cat, dog]\nsamples: many\n---\n", "`classes`", "mit"),
        ("---\nlicense: mit\nx: !!python/object/apply:os.system ['id']\n---\n", "line 3", "mit"),
        (&bomb, "line", "mit"),
        (&long, "only the first", "mit"),
        (&wide, "line", "mit"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("ada/card{at}");
        let facts = papers(&ada, &name, &[("README.md", card.as_bytes())]).await;
        assert!(warned(&facts, warning), "{warning}: {facts}");
        assert_eq!(facts["license"], license, "{facts}");
        let page = server.anonymous().get(&format!("/{name}")).await.text();
        assert!(page.contains("README.md"), "the page says it too: {page}");
    }
    for (at, card) in
        ["---\nlicense: mit\nloss: .nan\n---\n", "---\nlicense: mit\na: &a {x: 2024-01-01}\nb: {<<: *a}\n---\n"].iter().enumerate()
    {
        let facts = papers(&ada, &format!("ada/good{at}"), &[("README.md", card.as_bytes())]).await;
        assert_eq!((&facts["license"], warned(&facts, "README.md")), (&json!("mit"), false), "{facts}");
    }
    let facts = papers(&ada, "ada/several", &[("README.md", b"---\nlicense: [CC-BY-SA-3.0, gfdl]\n---\n")]).await;
    assert_eq!((&facts["license"], &facts["tags"]), (&json!("cc-by-sa-3.0, gfdl"), &json!(["license:cc-by-sa-3.0", "license:gfdl"])));
    let facts = papers(&ada, "ada/latin", &[("README.md", b"---\nlicense: mit\n---\ncaf\xe9")]).await;
    assert!(warned(&facts, "not UTF-8") && facts["license"] == "mit", "{facts}");
}

#[tokio::test]
async fn missing_shards_are_named() {
    let server = Server::start();
    let ada = ada(&server).await;
    let index = br#"{"weight_map":{"a":"model.safetensors","b":"model-2.safetensors","c":"../x"}}"#;
    let facts = papers(&ada, "ada/sharded", &[("model.safetensors.index.json", index)]).await;
    assert!(warned(&facts, "../x, model-2.safetensors") && !warned(&facts, "here: model.safetensors"), "{facts}");
    let facts = papers(&ada, "ada/odd", &[("sub/pytorch_model.bin.index.json", b"{")]).await;
    assert!(warned(&facts, "sub/pytorch_model.bin.index.json is not read"), "{facts}");
    let whole = br#"{"weight_map":{"a":"model.safetensors"}}"#;
    assert!(!warned(&papers(&ada, "ada/whole", &[("model.safetensors.index.json", whole)]).await, "index"));
}

#[tokio::test]
async fn data_sets_are_checked_when_they_are_published() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "dataset", "ada/pets").await;
    let (red, blue, green) = (png(200), png(20), png(90));
    let good = zip(&[("train/cat/1.png", &red), ("train/dog/1.png", &blue), ("val/cat/2.png", &green), ("val/dog/2.png", &png(50))]);
    let done = publish(&ada, "datasets/ada/pets", None, &[("README.md", CARD.as_bytes()), ("pets.zip", &good)]).await.created();
    assert_eq!(done["version"]["number"], 1);
    let facts = ada.get("/api/v1/datasets/ada/pets").await.ok()["facts"].clone();
    assert_eq!((&facts["classes"], &facts["samples"], &facts["labels"]), (&json!(2), &json!(4), &json!(["cat", "dog"])));
    assert_eq!(facts["dataset_report"]["splits"][0]["per_class"], json!([1, 1]));
    // Another card over the same images keeps what was found in them.
    let card = CARD.replace("A net", "Pets");
    publish(&ada, "datasets/ada/pets", Some(1), &[("README.md", card.as_bytes()), ("pets.zip", &good)]).await.created();
    assert_eq!(ada.get("/api/v1/datasets/ada/pets").await.ok()["facts"]["samples"], 4);

    let bomb = vec![0u8; 129 << 20];
    for (code, status, entries) in [
        ("one_class", 422, vec![("cat/1.png", red.as_slice()), ("cat/2.png", &blue)]),
        ("archive_path", 422, vec![("../cat/1.png", red.as_slice())]),
        ("layout_unclear", 422, vec![("notes.txt", b"none".as_slice()), ("flat.png", &red)]),
        ("too_many_unreadable", 422, vec![("cat/1.png", b"no png".as_slice()), ("dog/1.png", &red)]),
        ("too_large", 413, vec![("cat/1.png", bomb.as_slice()), ("dog/1.png", &red)]),
    ] {
        publish(&ada, "datasets/ada/pets", Some(2), &[("pets.zip", &zip(&entries))]).await.problem(status, code);
    }
    // Other data than images is kept as it is.
    let texts = zip(&[("a/1.txt", b"one".as_slice()), ("a/2.txt", b"two"), ("b.csv", b"x")]);
    create_repo(&ada, "dataset", "ada/texts").await;
    let kept = publish(&ada, "datasets/ada/texts", None, &[("texts.zip", &texts)]).await.created();
    assert!(kept["warnings"].to_string().contains("all items belong to one class, `a`"), "{kept}");
    create_repo(&ada, "dataset", "ada/numbers").await;
    let numbers = zip(&[("a.npy", b"one".as_slice()), ("b.npy", b"two")]);
    let kept = publish(&ada, "datasets/ada/numbers", None, &[("numbers.zip", &numbers)]).await.created();
    assert!(kept["warnings"].to_string().contains("none of its 2 files is an image (npy: 2)"), "{kept}");
    create_repo(&ada, "dataset", "ada/facts").await;
    publish(&ada, "datasets/ada/facts", None, &[("README.md", CARD.as_bytes())]).await.created();
}

#[tokio::test]
async fn thousands_of_files_are_listed_in_a_file() {
    let server = Server::start();
    let (ada, bob) = (ada(&server).await, server.user("bob").await);
    create_repo(&ada, "dataset", "ada/many").await;
    upload(&ada, b"x").await;
    let line = |path: &str| format!("{} 1 {path}\n", sha256(b"x"));
    let commit = async |list: &str, files: Value| {
        let body = json!({"message": "", "parent": null, "files": files, "manifest": sha256(list.as_bytes())});
        ada.post("/api/v1/datasets/ada/many/commits", &body).await
    };
    let list: String = (0..2_500).map(|n| line(&format!("data/{n:05}.txt"))).collect();
    commit(&list, json!([])).await.problem(422, "bad_manifest");
    upload(&bob, list.as_bytes()).await;
    commit(&list, json!([])).await.problem(422, "bad_manifest");
    upload(&ada, list.as_bytes()).await;
    commit(&list, json!([file("a.txt", b"x")])).await.problem(422, "bad_manifest");
    for odd in ["nonsense", &line("../a"), &format!("{}{}", line("a"), line("a/b"))] {
        upload(&ada, odd.as_bytes()).await;
        commit(odd, json!([])).await.problem(422, "bad_manifest");
    }
    let done = commit(&list, json!([])).await.created();
    assert_eq!((&done["version"]["files"], &done["version"]["manifest"]), (&json!(2_500), &json!(sha256(list.as_bytes()))));
    assert_eq!(bob.get("/api/v1/datasets/ada/many/versions/main/files/data/00042.txt").await.text(), "x");
}

#[tokio::test]
async fn models_and_data_sets_find_each_other() {
    let server = Server::start();
    let ada = ada(&server).await;
    let admin = server.admin();
    create_repo(&admin, "dataset", "library/ImageNet-1k").await;
    publish(&admin, "datasets/library/imagenet-1k", None, &[("README.md", b"# ImageNet\n\nPhotos.\n")]).await.created();
    publish(&ada, "models/ada/net", None, &[("README.md", CARD.as_bytes())]).await.created();
    create_repo(&ada, "model", "ada/tuned").await;
    let tuned = "---\nlicense: mit\ndatasets: [imagenet-1k, ada/unknown]\nbase_model: ada/net\n---\nTuned.\n";
    publish(&ada, "models/ada/tuned", None, &[("README.md", tuned.as_bytes())]).await.created();

    let models = server.anonymous().get("/api/v1/datasets/library/imagenet-1k/models").await.ok();
    assert_eq!((&models["pretrained"][0]["id"], models["pretrained"].as_array().unwrap().len()), (&json!("ada/net"), 1));
    assert_eq!((&models["fine_tuned"][0]["id"], models["fine_tuned"].as_array().unwrap().len()), (&json!("ada/tuned"), 1));
    let sources = ada.get("/api/v1/models/ada/tuned/datasets").await.ok();
    assert_eq!(sources["items"][0], json!({"written": "imagenet-1k", "repo": "library/ImageNet-1k", "trained_as": "fine-tuned"}));
    assert_eq!(sources["items"][1]["repo"], Value::Null);
    assert_eq!(ada.get("/api/v1/search?base_model=ada/net").await.ok()["items"][0]["id"], "ada/tuned");
    // A private model is in nobody else's list.
    ada.patch("/api/v1/models/ada/tuned", &json!({"private": true})).await.ok();
    let models = server.anonymous().get("/api/v1/datasets/library/imagenet-1k/models").await.ok();
    assert_eq!(models["fine_tuned"], json!([]));
    assert_eq!(server.anonymous().get("/api/v1/search?q=tuned").await.ok()["total"], 0);
}

#[tokio::test]
async fn names_are_kept_unique_and_reserved() {
    let server = Server::start();
    let ada = ada(&server).await;
    for id in ["ada/net", "ADA/NET", "ada/Net"] {
        ada.post("/api/v1/repos", &json!({"kind": "model", "id": id})).await.problem(409, "repo_exists");
    }
    create_repo(&ada, "model", "ada/a-b").await;
    ada.post("/api/v1/repos", &json!({"kind": "model", "id": "ada/a_b"})).await.problem(409, "repo_exists");
    create_repo(&ada, "dataset", "ada/net").await;
    for id in ["ada/..", "ada/x.git", "ada/a--b", "ada/mоdel", "api/x", "ada/x/y", "ada/"] {
        ada.post("/api/v1/repos", &json!({"kind": "model", "id": id})).await.problem(400, "bad_name");
    }
    ada.post("/api/v1/repos", &json!({"kind": "model", "id": "eve/net"})).await.problem(403, "no_right");
    ada.delete("/api/v1/models/ada/net").await.done();
    ada.get("/api/v1/models/ada/net").await.problem(404, "repo_not_found");
    ada.post("/api/v1/repos", &json!({"kind": "model", "id": "ada/net"})).await.problem(409, "name_reserved");
}
