//! Word vectors at work: asked over the API, on the model's page and on the command line, by well-meaning and by hostile callers; and trained
//! as a job that is paused, cancelled and done again.

use std::path::Path;

use hub::vectors::Dtype;
use hub::vectors::store::Store;
use serde_json::{Value, json};

use crate::support::training::Person;
use crate::support::visitor::Browser;
use crate::support::{Api, Server, http, until};

/// Words at angles of a circle, in degrees, as a model folder's files.
fn circle() -> Vec<(&'static str, Vec<u8>)> {
    circle_of(&[("man", 0.0), ("king", 40.0), ("woman", 60.0), ("queen", 100.0), ("<b>tree</b>", 250.0)])
}

fn circle_of(words: &[(&str, f64)]) -> Vec<(&'static str, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::begin(folder.path(), Path::new("test"), Dtype::F32, 2).unwrap();
    for (word, angle) in words {
        store.push(word.as_bytes(), None, &[angle.to_radians().cos() as f32, angle.to_radians().sin() as f32], 0).unwrap();
    }
    let stored = store.finish("glove", serde_json::Map::new(), None).unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    vec![
        ("README.md", b"---\nlicense: mit\npipeline_tag: feature-extraction\n---\n# Circle\n".to_vec()),
        ("config.json", stored.config.to_json().into_bytes()),
        ("model.safetensors", read("model.safetensors")),
        ("vocabulary.safetensors", read("vocabulary.safetensors")),
    ]
}

async fn with_words(private: bool) -> (Server, Api) {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/circle", private, circle()).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    (server, api)
}

const MODEL: &str = "/api/v1/models/ada/circle";

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|near| near["word"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn words_are_asked_over_the_api() {
    let (_server, api) = with_words(false).await;
    let near = api.get(&format!("{MODEL}/words/neighbors?word=man&limit=2")).await.ok();
    assert_eq!(words(&near["neighbors"]), ["king", "woman"]);
    assert!((near["neighbors"][0]["similarity"].as_f64().unwrap() - 40f64.to_radians().cos()).abs() < 1e-5, "{near}");
    assert_eq!((&near["model"], &near["exact"]), (&json!("ada/circle@1"), &json!(true)));
    let answers = api.get(&format!("{MODEL}/words/analogy?a=man&b=king&c=woman")).await.ok();
    assert_eq!(words(&answers["answers"])[0], "queen");
    let same = api.get(&format!("{MODEL}/words/similarity?a=man&b=woman")).await.ok();
    assert!((same["similarity"].as_f64().unwrap() - 0.5).abs() < 1e-5, "{same}");
    api.get(&format!("{MODEL}/words/neighbors?word=frog")).await.problem(404, "unknown_word");
    api.get(&format!("{MODEL}/words/neighbors")).await.problem(422, "bad_word");
    api.get(&format!("{MODEL}/words/analogy?a=man&b=king")).await.problem(422, "bad_word");
    api.get(&format!("{MODEL}/words/neighbors?word={}", "x".repeat(2_000))).await.problem(422, "bad_word");
    api.get(&format!("{MODEL}/words/neighbors?word=man&limit=many")).await.problem(400, "bad_query");
}

/// The same answers as encoders give; what has no vector is counted, and said.
#[tokio::test]
async fn texts_get_vectors_of_their_words() {
    let (_server, api) = with_words(false).await;
    let many = api.post(&format!("{MODEL}/embed"), &json!({"texts": ["Man, woman!", "a man of frogs", "frogs", ""]})).await.ok();
    assert_eq!((&many["answered"], &many["failed"]), (&json!(2), &json!(2)), "{many}");
    let features = many["items"][0]["features"].as_array().unwrap();
    assert!((features[0].as_f64().unwrap() - 0.75).abs() < 1e-5, "the mean of cos 0 and cos 60: {many}");
    assert_eq!(many["items"][1]["tokens"], json!({"read": 1, "of": 4}), "words with a vector, of all");
    assert_eq!(many["items"][2]["error"]["code"], "no_known_word");
    assert_eq!(many["items"][3]["error"]["code"], "text_unreadable");
    let texts = json!({"texts": ["man", "woman", "king man"]});
    let sif = api.post(&format!("{MODEL}/embed?pooling=sif"), &texts).await.ok();
    assert_ne!(sif["items"][0]["features"], api.post(&format!("{MODEL}/embed"), &texts).await.ok()["items"][0]["features"]);
    api.post(&format!("{MODEL}/embed?pooling=max"), &texts).await.problem(422, "bad_pooling");
    api.post(&format!("{MODEL}/embed?prompt=query"), &texts).await.problem(422, "unknown_prompt");
    api.post(&format!("{MODEL}/predict"), &texts).await.problem(422, "word_vectors");
    let said = api.post("/v1/embeddings", &json!({"model": "ada/circle", "input": "man"})).await.ok();
    assert_eq!(said["usage"]["total_tokens"], 1, "{said}");
}

/// What contradicts itself is kept as it is, and says so to whoever asks.
#[tokio::test]
async fn vectors_whose_files_disagree_are_refused_and_not_guessed_at() {
    let (server, api) = with_words(false).await;
    let mut fewer = circle();
    fewer[3].1 = circle_of(&[("man", 0.0), ("king", 40.0)])[3].1.clone();
    Person::new(&server, &api.token).publish("model", "ada/fewer", false, fewer).await;
    let refused = api.get("/api/v1/models/ada/fewer/words/neighbors?word=man").await;
    refused.problem(422, "model_unusable");
    assert!(refused.text().contains("the matrix has 5 rows, and the vocabulary 2 words"), "{}", refused.text());
    assert_eq!(api.post("/v1/embeddings", &json!({"model": "ada/fewer", "input": "man"})).await.status, 400);
}

/// A stranger learns nothing of a private model, whatever is asked.
#[tokio::test]
async fn private_vectors_are_private() {
    let (server, _api) = with_words(true).await;
    let stranger = Api { url: server.url.clone(), token: String::new(), http: http() };
    for path in ["words/neighbors?word=man", "words/analogy?a=man&b=king&c=woman", "words/similarity?a=man&b=king"] {
        stranger.get(&format!("{MODEL}/{path}")).await.problem(404, "repo_not_found");
    }
    assert_eq!(Browser::new(&server).get("/ada/circle/try?word=man").await.status, 404);
}

#[tokio::test]
async fn words_are_tried_on_the_models_page() {
    let (server, _api) = with_words(false).await;
    let mut browser = Browser::new(&server);
    let page = browser.page("/ada/circle").await;
    assert!(page.contains("Show the nearest words") && page.contains("Solve the analogy"), "{page}");
    let near = browser.page("/ada/circle/try?word=queen").await;
    assert!(near.contains("Nearest to queen") && near.contains("0.7660") && near.contains("woman"), "{near}");
    assert!(near.contains("&lt;b&gt;tree") || near.contains("&#60;b&#62;tree"), "a word is text: {near}");
    assert!(!near.contains("<b>tree"));
    let solved = browser.page("/ada/circle/try?a=man&b=king&c=woman").await;
    assert!(solved.contains("What is to woman as king is to man") && solved.contains("queen"), "{solved}");
    let unknown = browser.get("/ada/circle/try?word=%3Cscript%3E").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("not in the vocabulary") && !unknown.text().contains("`<script>`"), "{}", unknown.text());
}

/// Whether a model was pulled below a folder.
fn holds_weights(folder: &std::path::Path) -> bool {
    walkdir::WalkDir::new(folder).into_iter().flatten().any(|entry| entry.file_name() == "model.safetensors")
}

#[tokio::test]
async fn the_command_line_asks_here_and_there_alike() {
    let (server, api) = with_words(false).await;
    let home = tempfile::tempdir().unwrap();
    let ask = |args: &[&str], input: &str| {
        let mut command = server.hub(home.path());
        let output = command.env("HUB_TOKEN", &api.token).args(args).arg("--json").write_stdin(input).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    for pooling in ["mean", "sif"] {
        let args = ["embed", "ada/circle", "--text", "a man", "-", "--lines", "--pooling", pooling];
        let (there, here) = (ask(&args, "woman\nking man\n"), ask(&[&args[..], &["--local"]].concat(), "woman\nking man\n"));
        assert_eq!(there, here);
        assert_eq!(there.as_array().unwrap().len(), 3);
        assert_eq!((&there[1]["text"], &there[1]["tokens"]), (&json!("woman"), &json!({"read": 1, "of": 1})));
    }
    let near = ask(&["neighbors", "man", "--model", "ada/circle", "-k", "1", "--exact"], "");
    assert_eq!(words(&near["words"][0]["neighbors"]), ["king"]);
    let solved = ask(&["analogy", "man", "king", "woman", "--model", "ada/circle"], "");
    assert_eq!(words(&solved["answers"])[0], "queen");
    let fresh = tempfile::tempdir().unwrap();
    let mut command = server.hub(fresh.path());
    let asked = command.env("HUB_TOKEN", &api.token).args(["neighbors", "man", "--model", "ada/circle", "--quiet"]).output().unwrap();
    assert!(asked.status.success() && String::from_utf8_lossy(&asked.stdout).starts_with("king\n"), "{asked:?}");
    assert!(!holds_weights(fresh.path()), "the server answers, and nothing is pulled");
    for args in [
        &["neighbors", "man", "king", "--model", "ada/circle", "-k", "2"][..],
        &["analogy", "man", "king", "woman", "--model", "ada/circle"],
        &["similarity", "man", "king", "--model", "ada/circle"],
    ] {
        let (there, here) = (ask(args, ""), ask(&[args, &["--local"]].concat(), ""));
        assert_eq!(there, here, "{args:?}");
    }
    assert!(ask(&["similarity", "man", "king", "--model", "ada/circle", "--offline"], "")["similarity"].as_f64().is_some());
    let unknown =
        server.hub(home.path()).env("HUB_TOKEN", &api.token).args(["neighbors", "frog", "--model", "ada/circle"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(3), "{}", String::from_utf8_lossy(&unknown.stderr));
}

/// Sentences of two worlds that never meet.
fn corpus() -> Vec<u8> {
    let sentence = |at: usize| {
        let world = if at.is_multiple_of(2) { 'a' } else { 'b' };
        (0..8).map(|word| format!("{world}{} ", (at / 2 + word * word * 5) % 11)).collect::<String>()
    };
    (0..1_500).map(|at| format!("{}\n", sentence(at))).collect::<String>().into_bytes()
}

fn asked(name: &str, epochs: u32) -> Value {
    let settings = json!({"width": 16, "window": 3, "epochs": epochs, "sample": 0.0, "rate": 0.05, "seed": 5});
    json!({"dataset": "ada/texts", "name": name, "settings": settings, "threads": 1, "license": "mit"})
}

async fn queue(person: &Person<'_>, body: Value) -> String {
    let (status, job) = person.post("/word2vec", body).await;
    assert_eq!(status, 201, "{job}");
    assert_eq!((&job["kind"], &job["state"]), (&json!("word2vec"), &json!("queued")));
    job["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn word_vectors_are_trained_as_a_job() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("dataset", "ada/texts", false, vec![("README.md", b"# not text of the corpus\n".to_vec()), ("corpus.txt", corpus())]).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    for (body, code) in [
        (json!({"dataset": "ada/nothing", "name": "ada/x"}), "repo_not_found"),
        (json!({"dataset": "ada/texts", "name": "ada/x", "settings": {"width": 0}}), "bad_settings"),
        (json!({"dataset": "ada/texts", "name": "ada/x", "dtype": "f64"}), "bad_settings"),
    ] {
        let (status, refused) = ada.post("/word2vec", body).await;
        assert!(status >= 400 && refused["code"] == code, "{status} {refused}");
    }
    let first = queue(&ada, asked("ada/first", 3)).await;
    let done = ada.end(&first).await;
    assert_eq!(done["state"], "succeeded", "{done:#}\n{}", ada.log(&first).await);
    let near = api.get("/api/v1/models/ada/first/words/neighbors?word=a1&limit=5").await.ok();
    assert!(words(&near["neighbors"]).iter().all(|word| word.starts_with('a')), "{near}");
    let model = api.get("/api/v1/models/ada/first").await.ok().to_string();
    for word in ["ada/texts@1", "word2vec", "\"mit\"", "\"text\""] {
        assert!(model.contains(word), "{word} is not in {model}");
    }
    // The same seed, one thread: the same bytes, so that the second model's vectors are those of the first.
    let second = queue(&ada, asked("ada/second", 3)).await;
    assert_eq!(ada.end(&second).await["state"], "succeeded");
    let digest = async |name: &str| {
        let sums = api.get(&format!("/api/v1/models/{name}/versions/1/SHA256SUMS")).await.text();
        sums.lines().find(|line| line.ends_with("model.safetensors")).unwrap().to_owned()
    };
    assert_eq!(digest("ada/first").await, digest("ada/second").await);
    // It goes on from published vectors, which are its base.
    let mut more = asked("ada/third", 1);
    more["from"] = json!("ada/first");
    let third = queue(&ada, more.clone()).await;
    assert_eq!(ada.end(&third).await["state"], "succeeded", "{}", ada.log(&third).await);
    assert!(api.get("/api/v1/models/ada/third").await.ok().to_string().contains("ada/first@1"));
    more["settings"]["width"] = json!(20);
    assert_eq!(ada.post("/word2vec", more).await.1["code"], "bad_settings");
}

#[tokio::test]
async fn a_training_is_paused_goes_on_and_is_cancelled() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("dataset", "ada/texts", false, vec![("corpus.txt", corpus())]).await;
    let id = queue(&ada, asked("ada/long", 10_000)).await;
    let told = async |after: usize| -> Vec<u64> {
        let events = ada.events(&id).await;
        let begun = events.iter().enumerate().filter(|(_, event)| event["kind"] == "state" && event["body"]["state"] == "running");
        let Some((at, _)) = begun.into_iter().nth(after) else { return Vec::new() };
        let epochs = events[at..].iter().filter(|event| event["kind"] == "progress");
        let epochs = epochs.filter(|event| event["body"]["stage"].as_str().is_some_and(|stage| stage.starts_with("epoch")));
        epochs.map(|event| event["body"]["step"].as_u64().unwrap()).collect()
    };
    until("it trains", async || told(0).await.iter().any(|step| *step > 0)).await;
    assert_eq!(ada.post(&format!("/jobs/{id}/pause"), json!({})).await.0, 200);
    ada.wait(&id, "given back", |job| job["state"] == "queued" && job["paused"] == true).await;
    let before = told(0).await.into_iter().max().unwrap();
    assert_eq!(ada.post(&format!("/jobs/{id}/resume"), json!({})).await.0, 200);
    until("it trains again", async || !told(1).await.is_empty()).await;
    let after = told(1).await[0];
    assert!(after >= before, "it goes on from where it was: {after}, {before}");
    assert_eq!(ada.post(&format!("/jobs/{id}/cancel"), json!({})).await.0, 200);
    let ended = ada.end(&id).await;
    assert_eq!(ended["state"], "cancelled", "{ended:#}");
    assert_eq!(ada.get("/models/ada/long").await.0, 404, "nothing was published");
}
