//! Models at work: asked about one item or many, in every form there is, by well-meaning and by hostile callers.

use std::io::{Cursor, Write as _};

use crate::support::training::{self, Person, base_files, picture};
use crate::support::{Api, Reply, Server, http};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

fn zip_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A hub with a model of ten classes, and a way in for its owner.
async fn with_model(environment: &[(&str, &str)]) -> (Server, Api) {
    let server = Server::start_with(&["--workers", "0"], environment);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let api = Api { url: format!("{}/api/v1/models/ada/tiny", server.url), token: ada.token.clone(), http: http() };
    (server, api)
}

async fn send(api: &Api, path: &str, kind: &str, body: Vec<u8>) -> Reply {
    Reply::of(api.request(Method::POST, path).header("Content-Type", kind).body(body)).await
}

fn form_of(files: &[(&str, Vec<u8>)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in files {
        body.extend(format!("--frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").into_bytes());
        body.extend(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--frontier--\r\n");
    ("multipart/form-data; boundary=frontier".into(), body)
}

fn json_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<Value> = files.iter().map(|(name, bytes)| json!({"name": name, "data": STANDARD.encode(bytes)})).collect();
    json!({ "items": items }).to_string().into_bytes()
}

/// However several items are sent, each is answered as if it had come alone, and one that is no image takes no answer from the others.
#[tokio::test]
async fn many_items_come_in_many_forms() {
    let (_server, api) = with_model(&[]).await;
    let files = [("a.png", picture([200, 9, 9], 1)), ("b.png", b"no image at all".to_vec()), ("c.png", picture([9, 9, 200], 2))];
    let alone = send(&api, "/predict?top=3", "application/octet-stream", files[0].1.clone()).await.ok();
    let (form, body) = form_of(&files);
    for (how, kind, body) in [
        ("a form", form.as_str(), body),
        ("JSON", "application/json", json_of(&files)),
        ("a zip", "application/zip", zip_of(&files)),
        ("a zip of no type", "application/octet-stream", zip_of(&files)),
    ] {
        let answer = send(&api, "/predict?top=3", kind, body).await.ok();
        assert_eq!((&answer["answered"], &answer["failed"], &answer["model"]), (&json!(2), &json!(1), &json!("ada/tiny@1")), "{how}");
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.iter().map(|item| item["name"].as_str().unwrap()).collect::<Vec<_>>(), ["a.png", "b.png", "c.png"], "{how}");
        let (own, first) = (&items[0]["classes"], &alone["classes"]);
        assert_eq!((own.as_array().unwrap().len(), &own[0]["label"]), (3, &first[0]["label"]), "{how}");
        let off = own[0]["probability"].as_f64().unwrap() - first[0]["probability"].as_f64().unwrap();
        assert!(off.abs() < 1e-5, "{how}: alone and in company by {off}");
        assert_eq!(items[1]["error"]["code"], "image_unreadable", "{how}: {}", items[1]);
        assert!(items[1].get("classes").is_none());
    }
    let answer = send(&api, "/embed", "application/zip", zip_of(&files)).await.ok();
    assert_eq!(answer["items"][2]["features"].as_array().unwrap().len(), 1280);
    // What a browser reads a file as.
    let data = format!("data:image/png;base64,{}", STANDARD.encode(&files[0].1));
    let answer = api.post("/predict", &json!({"items": [{"data": data}, {"data": "%%%"}]})).await.ok();
    assert_eq!((&answer["items"][0]["name"], &answer["items"][1]["error"]["code"]), (&json!("item 1"), &json!("bad_base64")));
}

#[tokio::test]
async fn answers_come_in_the_form_that_is_asked_for() {
    let (_server, api) = with_model(&[]).await;
    let files = [("a.png", picture([200, 9, 9], 1)), ("b.png", b"none".to_vec())];
    let ask = async |verb: &str, accept: &str| {
        let request = api.request(Method::POST, verb).header("Content-Type", "application/zip").header("Accept", accept);
        Reply::of(request.body(zip_of(&files))).await
    };
    let csv = ask("/predict?top=1", "text/csv").await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<String> = csv.text().lines().map(String::from).collect();
    assert_eq!((lines.len(), lines[0].as_str()), (3, "name,label,probability,error"));
    assert!(lines[1].starts_with("a.png,class ") && lines[2].starts_with("b.png,,,\"it cannot be read"), "{lines:?}");
    let npy = ask("/predict?format=npy", "text/csv").await;
    assert!(npy.bytes.starts_with(b"\x93NUMPY") && npy.text().contains("(2, 10)"), "all classes, whatever the top; the query goes first");
    let tensors = ask("/embed?format=safetensors", "*/*").await;
    let read = safetensors::SafeTensors::deserialize(&tensors.bytes).unwrap();
    assert_eq!(read.tensor("features").unwrap().shape(), [2, 1280]);
    assert!(ask("/embed?format=parquet", "*/*").await.bytes.starts_with(b"PAR1"));
    ask("/embed?format=xls", "*/*").await.problem(400, "bad_format");
    // One file as the body has these forms too.
    let one = send(&api, "/predict?format=csv&top=1", "application/octet-stream", files[0].1.clone()).await;
    assert!(one.text().lines().nth(1).unwrap().starts_with("item 1,class "), "{}", one.text());
}

/// Bombs, floods and nonsense end in a sentence, and the hub answers on.
#[tokio::test]
async fn hostile_questions_end_in_a_sentence() {
    let (_server, api) = with_model(&[("HUB_MAX_ITEM_BYTES", "3000000")]).await;
    let good = picture([1, 2, 3], 4);
    // Ten thousand tiny items, in each form.
    let names: Vec<String> = (0..10_000).map(|n| format!("{n}.png")).collect();
    let tiny: Vec<(&str, Vec<u8>)> = names.iter().map(|name| (name.as_str(), vec![7])).collect();
    let (form, body) = form_of(&tiny);
    for (kind, body) in [(form.as_str(), body), ("application/json", json_of(&tiny)), ("application/zip", zip_of(&tiny))] {
        let problem = send(&api, "/predict", kind, body).await.problem(413, "too_many_items");
        assert!(problem["hint"].as_str().unwrap().contains("data set"), "{problem}");
    }
    // A zip that unpacks to more than may lie in memory; one whose entry lies about its size; one that is cut off.
    let zeros = zip_of(&[("a.png", vec![0; 70 << 20])]);
    assert!(zeros.len() < 200_000);
    send(&api, "/embed", "application/zip", zeros).await.problem(413, "too_many_items");
    let whole = zip_of(&[("a.png", good.clone()), ("b.png", vec![3; 5_000])]);
    let refused = send(&api, "/embed", "application/zip", whole[..whole.len() / 2].to_vec()).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let mut damaged = whole.clone();
    let at = 60 + good.len() / 2;
    damaged[at] ^= 0xff;
    let answer = send(&api, "/embed", "application/zip", damaged).await;
    assert!(answer.status == 422 || answer.json()["failed"] != json!(0), "{}", answer.text());
    // An image of many pixels, one larger than an item may be, and a sound one between them.
    let mixed = [("huge.png", training::huge_png()), ("good.png", good.clone()), ("fat.png", vec![1; 3_000_001]), ("empty.png", vec![])];
    let items = send(&api, "/predict", "application/json", json_of(&mixed)).await.ok()["items"].clone();
    let codes: Vec<&str> = items.as_array().unwrap().iter().map(|item| item["error"]["code"].as_str().unwrap_or("answered")).collect();
    assert_eq!(codes, ["image_unreadable", "answered", "image_too_large", "image_unreadable"], "{items}");
    // Base64 beyond all bounds, forms without an end, JSON of another shape.
    let flood = format!(r#"{{"items":[{{"data":"{}"}}]}}"#, "A".repeat(100 << 20)).into_bytes();
    assert_eq!(send(&api, "/predict", "application/json", flood).await.status, 413);
    for (kind, body) in [
        ("multipart/form-data", b"--x\r\n\r\n".to_vec()),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nnever ends".to_vec()),
        ("multipart/form-data; boundary=x", b"--x--\r\n".to_vec()),
        ("application/json", b"{\"items\":{}}".to_vec()),
        ("application/json", b"{\"items\":[]}".to_vec()),
        ("application/json", b"[[[[[[[[[".to_vec()),
        ("application/json", b"{\"items\":[{\"data\":\"\",\"path\":\"/etc/passwd\"}]}".to_vec()),
    ] {
        let refused = send(&api, "/predict", kind, body).await;
        assert_eq!(refused.status, 400, "{kind}: {}", refused.text());
        assert!(!refused.json()["hint"].as_str().unwrap().is_empty());
    }
    assert_eq!(send(&api, "/predict?top=1", "application/zip", zip_of(&[("a.png", good)])).await.ok()["answered"], 1);
}

/// Strangers learn nothing of a private model, and a model without a head says what it can do instead.
#[tokio::test]
async fn rights_are_those_of_the_model() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish("model", "ada/secret", true, base_files()).await;
    let eve = admin.invite("eve").await;
    let body = zip_of(&[("a.png", picture([1, 2, 3], 4))]);
    assert_eq!(ada.send("/models/ada/secret/embed", body.clone()).await.0, 200);
    for verb in ["embed", "predict"] {
        let (status, problem) = eve.send(&format!("/models/ada/secret/{verb}"), body.clone()).await;
        assert_eq!((status, &problem["code"]), (404, &json!("repo_not_found")));
    }
}

/// Asks for a job and waits for its end, which has to be a good one.
async fn done(ada: &Person<'_>, path: &str, body: Value) -> Value {
    let (status, job) = ada.post(path, body).await;
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().unwrap();
    let job = ada.end(id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(id).await);
    job
}

/// Is this said by whoever has the key, and what?
fn checked(signed: &str, keys: &Value) -> Value {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (said, signature) = signed.rsplit_once('.').unwrap();
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let key = decode(keys["keys"][0]["x"].as_str().unwrap());
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, key);
    key.verify(said.as_bytes(), &decode(signature)).expect("the signature holds");
    assert!(key.verify(said.replacen('a', "b", 1).as_bytes(), &decode(signature)).is_err());
    serde_json::from_slice(&decode(said.split('.').nth(1).unwrap())).unwrap()
}

/// From a fine-tune to a signed number on the leaderboard of a data set it has not seen, and to the nearest images there.
#[tokio::test]
async fn models_are_measured_signed_ranked_and_neighbours_found() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 12).await;
    let recipe = json!({ "epochs": 6, "batch_size": 6, "seed": 3, "threads": 1, "strategy": "head" });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/net", "recipe": recipe })).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    // Other pictures, and a class that the head has never heard of.
    let picture_of =
        |name: &str, n: u64| (format!("test/{name}/{n}.png"), picture(training::COLOURS.iter().find(|c| c.0 == name).unwrap().1, 900 + n));
    let mut files: Vec<(String, Vec<u8>)> = ["red", "green", "blue"].iter().flat_map(|name| (0..4).map(|n| picture_of(name, n))).collect();
    files.extend((0..3).map(|n| (format!("test/newt/{n}.png"), picture([90, 90, 0], 70 + n))));
    let listed: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    ada.publish("dataset", "ada/others", false, vec![("data.zip", zip_of(&listed))]).await;

    done(&ada, "/evaluations", json!({ "model": "ada/net", "dataset": "ada/colours" })).await;
    done(&ada, "/evaluations", json!({ "model": "ada/net@1", "dataset": "ada/others@1", "split": "test" })).await;
    let (_, keys) = ada.get("/signing-keys").await;
    let (status, board) = ada.get("/datasets/ada/others/leaderboard").await;
    let row = &board["measured"][0];
    assert_eq!(
        (status, &row["model"], &row["model_version"], &row["verified"]),
        (200, &json!("ada/net"), &json!(1), &json!(true)),
        "{board}"
    );
    let said = checked(row["signed"].as_str().unwrap(), &keys);
    assert_eq!(said, row["statement"]);
    assert_eq!((&said["items"], &said["left_out"], &said["unknown_labels"]), (&json!(12), &json!(3), &json!({"newt": 3})), "{said}");
    assert!(
        said["measures"]["top1"].as_f64().unwrap() > 0.8
            && said["interval_95"][0].as_f64().unwrap() < said["measures"]["top1"].as_f64().unwrap()
    );
    assert_eq!((&said["asked_by"], &said["split"], said["data_sha256"].as_str().unwrap().len()), (&json!("ada"), &json!("test"), 64));
    // What the card says of itself is a claim, beside what was measured.
    let (_, board) = ada.get("/datasets/ada/colours/leaderboard").await;
    assert_eq!((board["measured"].as_array().unwrap().len(), &board["claimed"][0]["verified"]), (1, &json!(false)), "{board}");
    let (_, of_model) = ada.get("/models/ada/net/evaluations").await;
    assert_eq!(of_model["items"].as_array().unwrap().len(), 2);
    leaderboards_of_the_other_dialect(&server, &ada).await;
    nearest(&server, &ada).await;
    refusals(&admin, &ada).await;
}

async fn leaderboards_of_the_other_dialect(server: &Server, ada: &Person<'_>) {
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    assert_eq!(api.get("/api/datasets/ada/others/leaderboard").await.ok(), json!([]), "a fine-tune has a base");
    let rows = api.get("/api/datasets/ada/others/leaderboard?base_model=False").await.ok();
    assert_eq!((&rows[0]["rank"], &rows[0]["modelId"], &rows[0]["verified"]), (&json!(1), &json!("ada/net"), &json!(true)), "{rows}");
    assert_eq!(rows[0]["author"], json!({ "type": "user", "name": "ada", "fullname": "ada", "avatarUrl": "" }));
    // What an organisation's card claims is the organisation's, for this client, for ours and on the page.
    let acme = json!({ "name": "acme", "kind": "organisation", "full_name": "Acme Limited" });
    api.post("/api/v1/users", &acme).await.created();
    let claim = "model-index: [{name: net, results: [{task: {type: image-classification}, dataset: {name: ada/others, type: ada/others}, \
        metrics: [{type: accuracy, value: 0.5}]}]}]";
    let card = format!("---\ndatasets: [ada/others]\n{claim}\n---\n# Net\n");
    ada.publish("model", "acme/net", false, vec![("README.md", card.into_bytes())]).await;
    let rows = api.get("/api/datasets/ada/others/leaderboard?base_model=False").await.ok();
    let author = json!({ "type": "org", "name": "acme", "fullname": "Acme Limited", "avatarUrl": "" });
    assert_eq!((&rows[1]["modelId"], &rows[1]["author"]), (&json!("acme/net"), &author), "{rows}");
    let board = api.get("/api/v1/datasets/ada/others/leaderboard").await.ok();
    assert_eq!(board["measured"][0]["author"]["kind"], "user");
    let author = json!({ "name": "acme", "full_name": "Acme Limited", "kind": "organisation" });
    assert_eq!((&board["claimed"][0]["model"], &board["claimed"][0]["author"]), (&json!("acme/net"), &author), "{board}");
    assert!(api.get("/datasets/ada/others").await.text().contains("by acme, an organisation"));
    let info = api.get("/api/models/ada/net?expand=evalResults").await.ok();
    let result = &info["evalResults"][0]["data"];
    assert!(result["verifyToken"].as_str().unwrap().split('.').count() == 3 && result["dataset"]["id"].is_string(), "{info}");
    let page = api.get("/datasets/ada/others").await.text();
    assert!(page.contains("measured here") && page.contains("whose labels the head does not know (newt)"), "{page}");
}

async fn nearest(server: &Server, ada: &Person<'_>) {
    let shown = picture([190, 10, 10], 12_345);
    let (status, problem) = ada.send("/models/ada/net/neighbors?dataset=ada/others&k=3", shown.clone()).await;
    assert_eq!((status, &problem["code"]), (409, &json!("not_embedded")), "{problem}");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("shown.png"), &shown).unwrap();
    let mut command = server.hub(home.path());
    let asked = ["neighbors", "ada/net", "shown.png", "--dataset", "ada/others", "-k", "3", "--json"];
    let output = command.env("HUB_TOKEN", &ada.token).current_dir(home.path()).args(asked).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let targets: Vec<&str> = told["neighbors"].as_array().unwrap().iter().map(|n| n["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["red", "red", "red"], "{told}");
    let (_, again) = ada.send("/models/ada/net/neighbors?dataset=ada/others@1&k=100", shown).await;
    let all = again["neighbors"].as_array().unwrap();
    assert!(all.len() == 15 && all.windows(2).all(|pair| pair[0]["similarity"].as_f64() >= pair[1]["similarity"].as_f64()), "{again}");
}

async fn refusals(admin: &Person<'_>, ada: &Person<'_>) {
    let ask = |model: &str, dataset: &str, split: Value| json!({ "model": model, "dataset": dataset, "split": split });
    assert_eq!(ada.post("/evaluations", ask("ada/net", "ada/others", json!("holdout"))).await.1["code"], "bad_split");
    assert_eq!(ada.post("/evaluations", ask("ada/none", "ada/others", Value::Null)).await.0, 404);
    ada.publish("dataset", "ada/secret", true, vec![("data.zip", training::pictures_zip(2, 4))]).await;
    let eve = admin.invite("eve").await;
    assert_eq!(eve.post("/evaluations", ask("ada/net", "ada/secret", Value::Null)).await.0, 404);
    assert_eq!(eve.get("/datasets/ada/secret/leaderboard").await.0, 404);
    // The base's head has other classes: nothing can be measured, and the job says so.
    let (_, job) = ada.post("/evaluations", ask("ada/tiny", "ada/colours", Value::Null)).await;
    let job = ada.end(job["id"].as_str().unwrap()).await;
    assert!(job["state"] == "failed" && job["error"].as_str().unwrap().contains("knows none of the labels"), "{job}");
}

/// Classes that nobody trained the base for, by a few examples of each: asked about one image, about a data set, and measured.
#[tokio::test]
async fn examples_name_the_classes_of_a_backbone_that_was_not_trained_on_them() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 10).await;
    ada.publish("dataset", "ada/examples", true, vec![("data.zip", training::pictures_zip(3, 3))]).await;
    let red = picture([190, 10, 10], 4_711);
    let (status, problem) = ada.send("/models/ada/tiny/predict?support=ada/examples", red.clone()).await;
    assert_eq!((status, &problem["code"]), (409, &json!("not_embedded")), "{problem}");

    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("shown.png"), &red).unwrap();
    std::fs::write(home.path().join("examples.zip"), training::pictures_zip(3, 3)).unwrap();
    let told = |arguments: &[&str]| -> Value {
        let mut command = server.hub(home.path());
        let output = command.env("HUB_TOKEN", &ada.token).current_dir(home.path()).args(arguments).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    };
    let remote = told(&["predict", "ada/tiny", "shown.png", "--support", "ada/examples", "--json"]);
    let here = told(&["predict", "ada/tiny", "shown.png", "--local", "--support", "examples.zip", "--json"]);
    for answer in [&remote, &here] {
        assert_eq!((&answer[0]["classes"][0]["label"], answer[0]["classes"].as_array().unwrap().len()), (&json!("red"), 3), "{answer}");
    }
    let probability = |answer: &Value| answer[0]["classes"][0]["probability"].as_f64().unwrap();
    assert!((probability(&remote) - probability(&here)).abs() < 1e-3 && probability(&here) > 0.5, "{remote} {here}");
    let (status, one) = ada.send("/models/ada/tiny/predict?support=ada/examples@1&top=1", red.clone()).await;
    assert_eq!((status, &one["classes"][0]["label"]), (200, &json!("red")), "{one}");
    let (status, problem) = ada.send("/models/ada/tiny/predict?support=ada/examples", b"no image".to_vec()).await;
    assert_eq!((status, &problem["code"]), (422, &json!("image_unreadable")), "{problem}");
    let eve = admin.invite("eve").await;
    assert_eq!(eve.send("/models/ada/tiny/predict?support=ada/examples", red).await.0, 404, "who may not see the examples");

    let body = json!({ "model": "ada/tiny", "dataset": "ada/colours", "support": "ada/examples" });
    done(&ada, "/evaluations", body).await;
    let (_, board) = ada.get("/datasets/ada/colours/leaderboard").await;
    let said = &board["measured"][0]["statement"];
    assert!(said["support"] == "ada/examples@1" && said["measures"]["top1"].as_f64().unwrap() > 0.8, "{board}");
    let about = json!({ "dataset": "ada/colours" });
    let (status, job) = ada.post("/models/ada/tiny/predict?support=ada/examples&format=csv&top=2", about).await;
    assert_eq!(status, 202, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);
    let (_, answers) = ada.get(&format!("/jobs/{id}/files/answers.csv")).await;
    let lines: Vec<&str> = answers.as_str().unwrap().lines().collect();
    assert_eq!((lines.len(), lines[0]), (31, "name,label,probability,label_2,probability_2,error"), "{answers}");
}

/// On the page, without a script: pick an item or send one, and see what lies near; or have a model look first.
#[tokio::test]
async fn neighbours_are_seen_on_the_pages_of_the_data_set_and_of_the_model() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let (ada, eve) = (admin.invite("ada").await, admin.invite("eve").await);
    ada.publish_both("ada/tiny", "ada/colours", 8).await;
    let mut browser = crate::support::visitor::Browser::logged_in(&server, &ada.token).await;
    let page = browser.page("/datasets/ada/colours/neighbors").await;
    assert!(page.contains("No model has looked at this version yet") && page.contains("Have a model look at it"), "{page}");
    let token = crate::support::visitor::csrf(&page);
    let reply = browser.send("/datasets/ada/colours/neighbors/start", &[("csrf", &token), ("by", "ada/tiny")]).await;
    let id = reply.header("location").rsplit('/').next().unwrap().to_owned();
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);

    let page = browser.page("/datasets/ada/colours/neighbors").await;
    assert!(page.contains("ada/tiny@1") && page.matches("/datasets/ada/colours/items/").count() >= 12, "items to pick are shown: {page}");
    let page = browser.page("/datasets/ada/colours/neighbors?by=ada/tiny@1&item=red/3.png").await;
    let shown = page.split("Nearest to").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(shown.contains("distance 0.000") && shown.matches("<strong>red</strong>").count() == 8, "{shown}");
    let address = shown.split("<img src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let seen = browser.get(&address).await;
    assert!(seen.status == 200 && seen.header("content-type").starts_with("image/"), "{address}: {}", seen.status);
    let first: Vec<&str> = shown.split("<strong>").skip(1).take(4).map(|rest| rest.split('<').next().unwrap()).collect();
    assert_eq!(first, ["red"; 4], "its kind comes first");

    let form_with = |key: &str, other: &str| {
        let mut form = Vec::new();
        for (name, file, bytes) in [
            ("csrf", "", token.clone().into_bytes()),
            (key, "", other.as_bytes().to_vec()),
            ("image", "mine.png", picture([10, 10, 190], 99)),
        ] {
            let file = if file.is_empty() { String::new() } else { format!("; filename=\"{file}\"") };
            form.extend(format!("--f\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
            form.extend(bytes);
            form.extend(b"\r\n");
        }
        form.extend(b"--f--\r\n");
        form
    };
    let sent = |browser: &crate::support::visitor::Browser, path: &str, body: Vec<u8>| {
        browser.request(Method::POST, path).header("Content-Type", "multipart/form-data; boundary=f").body(body)
    };
    let of_dataset = "/datasets/ada/colours/neighbors";
    let form = form_with("by", "ada/tiny@1");
    // The model's page asks the same the other way round.
    for (path, form) in [(of_dataset, form.clone()), ("/ada/tiny/neighbors", form_with("in", "ada/colours@1"))] {
        let request = sent(&browser, path, form);
        let page = browser.answer(request).await.text();
        assert!(
            page.contains("Nearest to mine.png")
                && page.split("Nearest to").nth(1).unwrap().split("<strong>").nth(1).unwrap().starts_with("blue"),
            "{path}: {page}"
        );
    }
    let text = String::from_utf8_lossy(&form).replace(&token, "stale");
    let request = sent(&browser, of_dataset, text.into_bytes());
    assert_eq!(browser.answer(request).await.status, 403, "a form of somebody else's");

    let refused = browser.get("/datasets/ada/colours/neighbors?by=ada/none&item=red/3.png").await;
    assert!(refused.status == 404 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    // A model that may not be seen is not named, and its features are not used.
    ada.publish("model", "ada/hidden", true, base_files()).await;
    done(&ada, "/embeddings", json!({ "model": "ada/hidden", "dataset": "ada/colours" })).await;
    let mut other = crate::support::visitor::Browser::logged_in(&server, &eve.token).await;
    let page = other.page("/datasets/ada/colours/neighbors").await;
    assert!(page.contains("ada/tiny@1") && !page.contains("ada/hidden"), "{page}");

    let page = browser.page("/ada/tiny").await;
    assert!(page.contains("href=\"/ada/tiny/neighbors\""), "{page}");
    let page = browser.page("/ada/tiny/neighbors").await;
    assert!(
        page.contains("ada/colours@1") && page.matches("/datasets/ada/colours/items/").count() >= 12,
        "items to pick are shown: {page}"
    );
    let page = browser.page("/ada/tiny/neighbors?in=ada/colours@1&item=blue/2.png").await;
    let shown = page.split("Nearest to").nth(1).unwrap().split("</section>").next().unwrap();
    assert!(shown.contains("distance 0.000") && shown.contains("/ada/tiny/neighbors?in=ada%2Fcolours%401"), "{shown}");
    let refused = browser.send("/ada/tiny/neighbors/start", &[("csrf", &token), ("in", "ada/none")]).await;
    assert!(refused.status == 404 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    // Nor is a data set that may not be seen.
    ada.publish("dataset", "ada/secret", true, vec![("data.zip", training::pictures_zip(2, 4))]).await;
    let page = browser.page("/ada/tiny/neighbors").await;
    assert!(!page.contains("ada/secret"), "it has not looked at that yet: {page}");
    let reply = browser.send("/ada/tiny/neighbors/start", &[("csrf", &token), ("in", "ada/secret")]).await;
    let id = reply.header("location").rsplit('/').next().unwrap().to_owned();
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    assert!(browser.page("/ada/tiny/neighbors").await.contains("ada/secret@1"));
    let page = other.page("/ada/tiny/neighbors").await;
    assert!(page.contains("ada/colours@1") && !page.contains("ada/secret"), "{page}");
}
