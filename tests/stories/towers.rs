//! A model of two towers at work: images and texts in one space, images named by texts without an example, over the API, the command line and
//! the page; measured on a data set by the names of its classes; fine-tuned as any backbone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::domain::config::ModelConfig;
use hub::nn::Weights;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::training::{COLOURS, Person, picture, pictures_zip};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Reply, Server, http};

/// Words that the model knows beside the first and the last token.
const WORDS: [&str; 8] = ["<unk>", "a", "photo", "of", "red", "green", "blue", "."];

fn config() -> Value {
    let sizes = json!({"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 24});
    let with = |more: Value| {
        let mut all = sizes.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        Value::Object(all)
    };
    json!({
        "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 8,
        "text_config": with(json!({"vocab_size": 10, "max_position_embeddings": 12, "eos_token_id": 9})),
        "vision_config": with(json!({"image_size": 32, "patch_size": 8}))
    })
}

fn tokenizer() -> Value {
    let words = WORDS.iter().chain(&["<first>", "<last>"]).enumerate().map(|(id, word)| ((*word).to_owned(), json!(id)));
    let special = |id: usize, word: &str| json!({"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let piece = |word: &str| json!({"SpecialToken": {"id": word, "type_id": 0}});
    let token = |id: usize, word: &str| json!({"id": word, "ids": [id], "tokens": [word]});
    let text = |which: &str| json!({"Sequence": {"id": which, "type_id": 0}});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special(8, "<first>"), special(9, "<last>")],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [piece("<first>"), text("A"), piece("<last>")], "pair": [text("A"), text("B")],
            "special_tokens": {"<first>": token(8, "<first>"), "<last>": token(9, "<last>")}
        },
        "decoder": null, "model": {"type": "WordLevel", "vocab": words.collect::<serde_json::Map<_, _>>(), "unk_token": "<unk>"}
    })
}

/// Random weights of both, in one file.
fn towers() -> Vec<(&'static str, Vec<u8>)> {
    let read = ModelConfig::read(&config().to_string()).unwrap();
    let mut both = Weights::random(&read.architecture, 0, 7).unwrap();
    for (name, var) in Weights::random(&read.text_tower().unwrap(), 0, 8).unwrap().iter() {
        let prefix = if name.starts_with("text_projection") { "" } else { "text_model." };
        both.insert(format!("{prefix}{name}"), var.clone());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    both.save(&path, &[]).unwrap();
    vec![
        ("README.md", b"---\nlicense: mit\n---\n# Two towers\n".to_vec()),
        ("config.json", config().to_string().into_bytes()),
        ("model.safetensors", std::fs::read(path).unwrap()),
        ("tokenizer.json", tokenizer().to_string().into_bytes()),
    ]
}

fn photo(class: usize) -> Vec<u8> {
    picture(COLOURS[class].1, 77)
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap_or_else(|| panic!("{value}")).iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

const PREDICT: &str = "/api/v1/models/ada/towers/predict";

async fn send(api: &Api, path: &str, body: Vec<u8>) -> Reply {
    Reply::of(api.request(Method::POST, path).header("Content-Type", "application/octet-stream").body(body)).await
}

#[tokio::test]
async fn images_and_texts_are_in_one_space_and_texts_name_images() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/towers", false, towers()).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let model = api.get("/api/v1/models/ada/towers").await.ok().to_string();
    assert!(model.contains("clip_vision_model_l1_d16_h2_f24_i32_q8_e5_a2_o8") && model.contains("\"image\""), "{model}");

    // Both in one question, and each as it is alone.
    let data = STANDARD.encode(photo(0));
    let body = json!({"items": [{"name": "red.png", "data": data}], "texts": ["a photo of a red .", "blue"]});
    let both = api.post("/api/v1/models/ada/towers/embed", &body).await.ok();
    let rows: Vec<Vec<f32>> = both["items"].as_array().unwrap().iter().map(|item| floats(&item["features"])).collect();
    assert!(rows.len() == 3 && rows.iter().all(|row| row.len() == 8), "{both}");
    assert!(both["items"][0]["tokens"].is_null() && both["items"][2]["tokens"] == json!({"read": 3, "of": 3}), "{both}");
    let alone = send(&api, "/api/v1/models/ada/towers/embed", photo(0)).await.ok();
    assert!(floats(&alone["features"]).iter().zip(&rows[0]).all(|(a, b)| (a - b).abs() < 1e-5), "{alone}");

    // By the cosines with the texts, in whose words the names are read.
    let cosine = |a: &[f32], b: &[f32]| {
        let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        product(a, b) / (product(a, a) * product(b, b)).sqrt()
    };
    let named = send(&api, &format!("{PREDICT}?classes=red,blue"), photo(0)).await.ok();
    let classes = named["classes"].as_array().unwrap_or_else(|| panic!("{named}"));
    let total: f64 = classes.iter().map(|class| class["probability"].as_f64().unwrap()).sum();
    assert!(classes.len() == 2 && (total - 1.0).abs() < 1e-4, "{named}");
    let plain = send(&api, &format!("{PREDICT}?classes=a%20photo%20of%20a%20red%20.,blue&prompt=%7B%7D"), photo(0)).await.ok();
    let nearer = if cosine(&rows[0], &rows[1]) > cosine(&rows[0], &rows[2]) { "a photo of a red ." } else { "blue" };
    assert_eq!(plain["classes"][0]["label"], nearer, "{plain}");
    for (query, status, code) in [
        ("classes=red", 422, "bad_classes"),
        ("classes=red,blue&prompt=a%20photo", 422, "bad_prompt"),
        ("classes=red,blue&prompt=%7B%7D%20%7B%7D", 422, "bad_prompt"),
        ("classes=red,blue&support=ada/none", 400, "bad_query"),
    ] {
        send(&api, &format!("{PREDICT}?{query}"), photo(0)).await.problem(status, code);
    }
    send(&api, PREDICT, photo(0)).await.problem(422, "unsupported");

    // The command line, by the server and here, answers the same.
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("red.png");
    std::fs::write(&file, photo(0)).unwrap();
    let mut answers = Vec::new();
    for local in [false, true] {
        let mut hub = server.hub(home.path());
        hub.env("HUB_TOKEN", &api.token).args(["predict", "ada/towers"]).arg(&file);
        hub.args(["--classes", "red,green,blue", "--prompt", "a photo of {}", "--json"]);
        if local {
            hub.arg("--local");
        }
        let output = hub.output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        answers.push(said[0]["classes"].clone());
    }
    for (by_server, here) in answers[0].as_array().unwrap().iter().zip(answers[1].as_array().unwrap()) {
        let apart = by_server["probability"].as_f64().unwrap() - here["probability"].as_f64().unwrap();
        assert!(by_server["label"] == here["label"] && apart.abs() < 1e-4, "{answers:?}");
    }
    let output =
        server.hub(home.path()).env("HUB_TOKEN", &api.token).args(["embed", "ada/towers", "--text", "red", "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(floats(&said[0]["features"]).len(), 8, "{said}");
}

/// The form of the page, sent with a picture.
fn trying(browser: &Browser, token: &str, names: &str) -> reqwest::RequestBuilder {
    let part = |name: &str, value: &str| format!("--f\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let mut body = (part("csrf", token) + &part("names", names) + &part("prompt", "a photo of a {}")).into_bytes();
    body.extend(b"--f\r\nContent-Disposition: form-data; name=\"image\"; filename=\"red <1>.png\"\r\nContent-Type: image/png\r\n\r\n");
    body.extend(photo(0));
    body.extend(b"\r\n--f--\r\n");
    browser.request(Method::POST, "/ada/towers/try").header("Content-Type", "multipart/form-data; boundary=f").body(body)
}

#[tokio::test]
async fn a_picture_is_tried_on_the_page() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/towers", false, towers()).await;
    let mut browser = Browser::logged_in(&server, &ada.token).await;
    let page = browser.page("/ada/towers").await;
    assert!(page.contains("name=\"names\"") && page.contains("multipart/form-data"), "{page}");
    let token = csrf(&page);
    let request = trying(&browser, &token, "red, green, blue");
    let page = browser.answer(request).await.text();
    assert!(page.contains("What they show") && page.contains("green ") && page.contains('%') && !page.contains("red <1>"), "{page}");
    assert!(page.contains("value=\"red, green, blue\""), "what was typed stays");
    let request = trying(&browser, &token, "red");
    let refused = browser.answer(request).await.text();
    assert!(refused.contains("2 to 100") || refused.contains("names of classes"), "{refused}");
    let request = trying(&browser, "nothing", "red, green");
    let strange = browser.answer(request).await;
    assert!(strange.status.is_client_error(), "{}", strange.text());
}

#[tokio::test]
async fn it_is_measured_by_the_names_of_classes_and_is_a_base() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/towers", false, towers()).await;
    ada.publish("dataset", "ada/colours", false, vec![("data.zip", pictures_zip(3, 8))]).await;
    let (status, job) =
        ada.post("/evaluations", json!({"model": "ada/towers", "dataset": "ada/colours", "by_names": true, "prompt": "a {} photo"})).await;
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);
    let (_, found) = ada.get("/models/ada/towers/evaluations").await;
    let statement = &found["items"][0]["statement"];
    assert!(statement["names"] == "a {} photo" && statement["measures"]["top1"].is_number() && statement["left_out"] == 0, "{statement}");
    for (more, status) in [
        (json!({"by_names": true, "support": "ada/colours"}), 400),
        (json!({"prompt": "a {}"}), 400),
        (json!({"by_names": true, "prompt": "a photo"}), 422),
    ] {
        let mut body = json!({"model": "ada/towers", "dataset": "ada/colours"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(ada.post("/evaluations", body.clone()).await.0, status, "{body}");
    }
    let (status, job) =
        ada.post("/models/ada/towers/predict?classes=red,blue&format=csv", json!({"dataset": "ada/colours", "split": "train"})).await;
    assert_eq!(status, 202, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);

    // The tower for images is a backbone as any; what comes of it has that one alone.
    let recipe = json!({"strategy": "lp-ft", "optimizer": "adamw", "epochs": 2, "batch_size": 8, "seed": 3, "threads": 1});
    let id = ada.finetune(json!({"base": "ada/towers", "dataset": "ada/colours", "name": "ada/told", "recipe": recipe})).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    let (_, config) = ada.get("/models/ada/told/versions/1/files/config.json").await;
    assert!(config["num_classes"] == 3 && config["text_config"].is_null() && config["model_type"].is_null(), "{config}");
    let (status, answer) = ada.send("/models/ada/told/predict", photo(1)).await;
    assert_eq!((status, answer["classes"].as_array().map(Vec::len)), (200, Some(3)), "{answer}");
    let (status, refused) = ada.send("/models/ada/told/predict?classes=red,blue", photo(1)).await;
    assert_eq!((status, &refused["code"]), (422, &json!("no_words")), "{refused}");
}
