//! Text encoders at work: published as a folder of Hugging Face's libraries, asked in our words, in OpenAI's and in
//! text-embeddings-inference's, by well-meaning and by hostile callers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub::nn::Weights;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::publishing::{create_repo, publish};
use crate::support::training::Person;
use crate::support::visitor::Browser;
use crate::support::{Api, Reply, Server, http};

const WORDS: [&str; 12] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "sat", "on", "the", "##s", "."];
pub const NAME: &str = "bert_l2_d16_h2_f24_v12_p24_t2_e12";

/// A small tokenizer of whole words, as the `tokenizers` library writes one.
fn tokenizer() -> Value {
    let vocabulary: serde_json::Map<String, Value> = WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: usize| json!({"id": id, "content": WORDS[id], "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let token = |id: usize| json!({"id": WORDS[id], "ids": [id], "tokens": [WORDS[id]]});
    let piece = |word: &str, kind: usize| json!({"SpecialToken": {"id": word, "type_id": kind}});
    let text = |which: &str, kind: usize| json!({"Sequence": {"id": which, "type_id": kind}});
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {"[CLS]": token(2), "[SEP]": token(3)}
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary}
    })
}

fn config(class: &str) -> Value {
    json!({
        "architectures": [class], "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 24, "vocab_size": 12, "max_position_embeddings": 24, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "hidden_act": "gelu", "id2label": {"0": "LABEL_0"}
    })
}

fn weights(architecture: &str, classes: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Weights::random(architecture, classes, 7).unwrap().save(&path, &[]).unwrap();
    std::fs::read(path).unwrap()
}

fn paper(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// What sentence-transformers saves: vectors are means at length one, texts have 8 tokens at most, and a prompt goes before each.
pub fn sentence_encoder() -> Vec<(&'static str, Vec<u8>)> {
    let part = |index: usize, path: &str, kind: &str| json!({"idx": index, "name": index.to_string(), "path": path, "type": format!("sentence_transformers.models.{kind}")});
    vec![
        ("README.md", b"---\nlicense: apache-2.0\n---\n# Sentences\n".to_vec()),
        ("config.json", paper(&config("BertModel"))),
        ("model.safetensors", weights(NAME, 0)),
        ("tokenizer.json", paper(&tokenizer())),
        ("modules.json", paper(&json!([part(0, "", "Transformer"), part(1, "1_Pooling", "Pooling"), part(2, "2_Normalize", "Normalize")]))),
        ("1_Pooling/config.json", paper(&json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}))),
        ("sentence_bert_config.json", paper(&json!({"max_seq_length": 8, "do_lower_case": false}))),
    ]
}

fn cross_encoder() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", paper(&config("BertForSequenceClassification"))),
        ("model.safetensors", weights(&format!("{NAME}_c1"), 1)),
        ("tokenizer.json", paper(&tokenizer())),
    ]
}

/// A hub with both, and a way in for their owner.
async fn with_models() -> (Server, Api) {
    let server = Server::start_with(&["--workers", "0"], &[("HUB_MAX_ITEM_BYTES", "3000000")]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    ada.publish("model", "ada/reranker", false, cross_encoder()).await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    (server, api)
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

const EMBED: &str = "/api/v1/models/ada/sentences/embed";

pub async fn send(api: &Api, path: &str, body: &[u8]) -> Reply {
    Reply::of(api.request(Method::POST, path).header("Content-Type", "text/plain").body(body.to_vec())).await
}

/// The catalog knows it for what it is, and each text is answered as if it had come alone, with how much of it was read.
#[tokio::test]
async fn a_sentence_encoder_is_known_and_answers() {
    let (_server, api) = with_models().await;
    let model = api.get("/api/v1/models/ada/sentences").await.ok().to_string();
    for word in ["\"text\"", "sentence-similarity", NAME, "sentence-transformers"] {
        assert!(model.contains(word), "{word} is not in {model}");
    }
    let alone = send(&api, EMBED, b"The cat sat on the dog.").await.ok();
    let features = floats(&alone["features"]);
    let length = features.iter().map(|value| value * value).sum::<f32>();
    assert!(features.len() == 16 && (length - 1.0).abs() < 1e-4, "{alone}");
    assert_eq!(alone["tokens"], json!({"read": 8, "of": 9}), "what was cut off is told");
    let many = api.post(EMBED, &json!({"texts": ["a dog", "The cat sat on the dog.", "\u{0}", " "]})).await.ok();
    assert_eq!((&many["answered"], &many["failed"]), (&json!(2), &json!(2)), "{many}");
    assert!(close(&floats(&many["items"][1]["features"]), &features), "alone and in company");
    assert_eq!(many["items"][0]["tokens"], json!({"read": 4, "of": 4}));
    for (at, why) in [(2, "NUL"), (3, "empty")] {
        let error = &many["items"][at]["error"];
        assert!(error["code"] == "text_unreadable" && error["message"].as_str().unwrap().contains(why), "{error}");
    }
    let latin = send(&api, EMBED, b"Gr\xfc\xdfe").await;
    latin.problem(422, "text_unreadable");
    assert!(latin.text().contains("Latin-1"), "{}", latin.text());
    // A line of a megabyte is a text like another, and loses its end.
    let long = send(&api, EMBED, "cat ".repeat(250_000).as_bytes()).await.ok();
    assert_eq!(long["tokens"]["read"], 8);
    send(&api, EMBED, &vec![b'a'; 4_000_000]).await.problem(413, "too_large");
}

#[tokio::test]
async fn other_servers_clients_are_understood() {
    let (_server, api) = with_models().await;
    let own = floats(&send(&api, EMBED, b"a cat").await.ok()["features"]);
    let ask = |input: Value| json!({"model": "ada/sentences", "input": input, "user": "someone"});
    let said = api.post("/v1/embeddings", &ask(json!(["a cat", "the dogs"]))).await.ok();
    assert_eq!((&said["object"], &said["model"], &said["usage"]["total_tokens"]), (&json!("list"), &json!("ada/sentences@1"), &json!(9)));
    assert!(close(&floats(&said["data"][0]["embedding"]), &own) && said["data"][1]["index"] == 1, "{said}");
    let mut packed = ask(json!("a cat"));
    packed["encoding_format"] = json!("base64");
    let said = api.post("/v1/embeddings", &packed).await.ok();
    let bytes = STANDARD.decode(said["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    assert!(close(&numbers, &own));
    let mut fewer = ask(json!("a cat"));
    fewer["dimensions"] = json!(4);
    let said = floats(&api.post("/v1/embeddings", &fewer).await.ok()["data"][0]["embedding"]);
    assert!(said.len() == 4 && (said.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-4);
    fewer["dimensions"] = json!(17);
    by_openai(&api.post("/v1/embeddings", &fewer).await, 400, ("bad_dimensions", "dimensions"));

    let tei = "/api/v1/models/ada/sentences/tei";
    let said = api.post(&format!("{tei}/embed"), &json!({"inputs": "a cat"})).await.ok();
    assert!(close(&floats(&said[0]), &own), "{said}");
    let long = json!({"inputs": ["a", "the cat sat on the dog."]});
    by_tei(&api.post(&format!("{tei}/embed"), &long).await, 413, "Validation");
    let said = api.post(&format!("{tei}/embed"), &json!({"inputs": long["inputs"], "truncate": true})).await.ok();
    assert_eq!(said.as_array().unwrap().len(), 2);
    let compared = json!({"inputs": {"source_sentence": "a cat", "sentences": ["a cat", "the dogs sat"]}});
    let cosines = floats(&api.post(&format!("{tei}/similarity"), &compared).await.ok());
    assert!(cosines.len() == 2 && (cosines[0] - 1.0).abs() < 1e-4 && cosines[1] < cosines[0], "{cosines:?}");
}

/// A refusal as OpenAI's clients read it; about which key of the question, empty of none.
#[track_caller]
fn by_openai(reply: &Reply, status: u16, (code, param): (&str, &str)) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let (said, kind) = (reply.json(), if status < 500 { "invalid_request_error" } else { "server_error" });
    let error = &said["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(kind)), "{said}");
    assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{said}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("; ")), "what is wrong, and what to do: {said}");
    assert!(reply.header("content-type").starts_with("application/json") && !reply.header("x-request-id").is_empty());
}

/// The same as clients of text-embeddings-inference read it.
#[track_caller]
fn by_tei(reply: &Reply, status: u16, kind: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let said = reply.json();
    assert_eq!((said["error_type"].as_str(), said.as_object().unwrap().len()), (Some(kind), 2), "{said}");
    assert!(said["error"].as_str().is_some_and(|text| text.contains("; ")), "{said}");
}

/// Whatever refuses: the handler, the model, the door, the reader of the body, the router.
#[tokio::test]
async fn other_servers_clients_are_refused_in_their_own_words() {
    let (server, api) = with_models().await;
    let wrong = Api { url: api.url.clone(), token: "hub_0000000000000000000000000000000000000000".into(), http: http() };
    let raw = async |path: &str, kind: &str, body: &str| {
        Reply::of(api.request(Method::POST, path).header("Content-Type", kind).body(body.to_owned())).await
    };
    let ask = |input: Value| json!({"model": "ada/sentences", "input": input});
    let cases = [
        (ask(json!([[5, 6]])), 400, ("token_ids", "input")),
        (ask(json!([5, 6])), 400, ("token_ids", "input")),
        (ask(json!([])), 400, ("nothing_asked", "input")),
        (ask(json!(["a cat", ""])), 400, ("text_unreadable", "input")),
        (ask(json!(vec!["a"; 5_000])), 400, ("too_many_items", "input")),
        (json!({"model": "ada/nothing", "input": "a"}), 404, ("model_not_found", "model")),
        (json!({"model": "text-embedding-3-small", "input": "a"}), 404, ("model_not_found", "model")),
        (json!({"model": "../x", "input": "a"}), 404, ("model_not_found", "model")),
        (json!({"model": "ada/sentences@9", "input": "a"}), 404, ("model_not_found", "model")),
        (json!({"input": "a"}), 400, ("bad_json", "")),
        (json!({"model": "ada/sentences", "input": {"a": 1}}), 400, ("bad_json", "")),
    ];
    for (body, status, said) in &cases {
        by_openai(&api.post("/v1/embeddings", body).await, *status, *said);
    }
    by_openai(&raw("/v1/embeddings", "application/json", "{no json").await, 400, ("bad_json", ""));
    by_openai(&raw("/v1/embeddings", "text/plain", "a cat").await, 415, ("not_json", ""));
    by_openai(&api.get("/v1/embeddings").await, 405, ("method_not_allowed", ""));
    by_openai(&wrong.post("/v1/embeddings", &ask(json!("a cat"))).await, 401, ("invalid_api_key", ""));

    let tei = "/api/v1/models/ada/sentences/tei";
    let embed = format!("{tei}/embed");
    let cases = [
        (embed.clone(), json!({"inputs": []}), 400, "Empty"),
        (embed.clone(), json!({"inputs": ["a", ""]}), 422, "Tokenizer"),
        (embed.clone(), json!({"inputs": vec!["a"; 5_000]}), 413, "Validation"),
        (embed.clone(), json!({"inputs": "a", "prompt_name": "none"}), 422, "Validation"),
        (embed.clone(), json!({"input": "a"}), 400, "Validation"),
        ("/api/v1/models/ada/nothing/tei/embed".into(), json!({"inputs": "a"}), 404, "Validation"),
        (format!("{tei}/rerank"), json!({"query": "a", "texts": ["cat"]}), 422, "Validation"),
        ("/api/v1/models/ada/reranker/tei/rerank".into(), json!({"query": "a", "texts": []}), 400, "Empty"),
        (format!("{tei}/similarity"), json!({"inputs": {"source_sentence": "a cat", "sentences": []}}), 400, "Empty"),
    ];
    for (path, body, status, kind) in &cases {
        by_tei(&api.post(path, body).await, *status, kind);
    }
    by_tei(&raw(&embed, "application/json", "[").await, 400, "Validation");
    by_tei(&raw(&embed, "text/plain", "a cat").await, 415, "Validation");
    by_tei(&wrong.post(&embed, &json!({"inputs": "a"})).await, 401, "Validation");
    // Our own road keeps our own words.
    api.post(EMBED, &json!({"texts": []})).await.problem(400, "nothing_asked");
    drop(server);
}

#[tokio::test]
async fn a_cross_encoder_ranks_texts() {
    let (_server, api) = with_models().await;
    let path = "/api/v1/models/ada/reranker/tei/rerank";
    let texts = json!(["the cat", "a dog sat on the cats", "dogs"]);
    let ranked = api.post(path, &json!({"query": "a cat", "texts": texts, "return_text": true})).await.ok();
    let ranked = ranked.as_array().unwrap();
    let scores: Vec<f64> = ranked.iter().map(|one| one["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b) && scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
    let raw = api.post(path, &json!({"query": "a cat", "texts": texts, "raw_scores": true})).await.ok();
    for (one, raw) in ranked.iter().zip(raw.as_array().unwrap()) {
        assert_eq!((&one["index"], one["text"].as_str()), (&raw["index"], texts[one["index"].as_u64().unwrap() as usize].as_str()));
        let logit = raw["score"].as_f64().unwrap();
        assert!((1.0 / (1.0 + (-logit).exp()) - one["score"].as_f64().unwrap()).abs() < 1e-5);
    }
    by_tei(&api.post(path, &json!({"query": "", "texts": ["cat"]})).await, 422, "Tokenizer");
}

/// What asks for more than is built here is kept, and says by name why it does not answer.
#[tokio::test]
async fn what_is_not_obeyed_is_refused_by_name() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    let api = Api { url: server.url.clone(), token: ada.token.clone(), http: http() };
    let with = |path: &'static str, value: Option<Value>| -> Vec<(&'static str, Vec<u8>)> {
        let mut files: Vec<_> = sentence_encoder().into_iter().filter(|(name, _)| *name != path).collect();
        files.extend(value.map(|value| (path, paper(&value))));
        files
    };
    let mut relu = config("BertModel");
    relu["hidden_act"] = json!("relu");
    let mut strange = tokenizer();
    strange["pre_tokenizer"] = json!({"type": "Quantum"});
    let mut newer = tokenizer();
    newer["model"]["type"] = json!("WordPiece2");
    // A word more than the network has rows for: it answers until somebody says it.
    let mut wider = tokenizer();
    wider["model"]["vocab"]["mouse"] = json!(12);
    for (name, files, word) in [
        ("relu", with("config.json", Some(relu)), "hidden_act"),
        ("dense", with("modules.json", Some(json!([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]))), "models.Dense"),
        ("bare", with("tokenizer.json", None), "tokenizer.json"),
        ("strange", with("tokenizer.json", Some(strange)), "Quantum"),
        ("newer", with("tokenizer.json", Some(newer)), "WordPiece2"),
        ("list", with("tokenizer.json", Some(json!(["a", "cat"]))), "tokenizer.json"),
        ("wider", with("tokenizer.json", Some(wider)), "the tokenizer is that of another model"),
    ] {
        ada.publish("model", &format!("ada/{name}"), false, files).await;
        let refused = send(&api, &format!("/api/v1/models/ada/{name}/embed"), b"a mouse").await;
        assert!(refused.status == 422 && refused.text().contains(word), "{name}: {}", refused.text());
    }
    let mut torn: Vec<_> = sentence_encoder().into_iter().filter(|(name, _)| *name != "tokenizer.json").collect();
    torn.push(("tokenizer.json", tokenizer().to_string().into_bytes()[..200].to_vec()));
    ada.publish("model", "ada/torn", false, torn).await;
    let refused = send(&api, "/api/v1/models/ada/torn/embed", b"a cat").await;
    assert!(refused.status == 422 && refused.text().contains("is no JSON"), "{}", refused.text());
}

/// Here as there: a model that was pulled answers what the server answers.
#[tokio::test]
async fn a_pulled_encoder_answers_the_same() {
    let (server, api) = with_models().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("note.txt");
    std::fs::write(&file, "the cats sat").unwrap();
    let ask = |more: &[&str]| {
        let output = server
            .hub(home.path())
            .env("HUB_TOKEN", &api.token)
            .args(["embed", "ada/sentences"])
            .arg(&file)
            .arg("--json")
            .args(more)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        floats(&said[0]["features"])
    };
    let (here, there) = (ask(&["--local"]), ask(&[]));
    assert!(here.len() == 16 && close(&here, &there));
}

/// A table of texts without a header, as people send them: of one that a stranger wrote into.
fn messages() -> String {
    let places = ["station", "market", "harbour", "school", "museum", "garden", "office", "stadium"];
    let ham = |at: usize| format!("ham\tI will be at the {} by {at} and wait for you with the others\n", places[at % places.len()]);
    let spam = |at: usize| format!("spam\tYou have won {at} tickets to the {}, call now or lose them\n", places[at % places.len()]);
    let evil = "spam\t\"<script>alert(1)</script>\" said nobody, {{7*7}} \u{202e}\n";
    (0..24).map(|at| if at % 3 == 0 { spam(at) } else { ham(at) }).fold(evil.to_owned(), |all, row| all + &row)
}

/// Texts are published as they are, looked into, and shown as what they are: texts.
#[tokio::test]
async fn a_data_set_of_texts_is_read_and_shown() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "dataset", "ada/messages").await;
    let train = messages();
    let test: String = train
        .lines()
        .skip(1)
        .take(2)
        .map(|line| line.to_uppercase().replacen("HAM\t", "ham\t", 1).replacen("SPAM\t", "spam\t", 1) + "!\n")
        .collect::<String>()
        + "ham\tSee you tomorrow at the usual place\nspam\tFree entry in a weekly competition\nham\tdone, \u{1f44d} and thanks for all of it\n";
    let files: [(&str, &[u8]); 3] = [("train.tsv", train.as_bytes()), ("test.tsv", test.as_bytes()), ("notes.txt", b"some words")];
    let made = publish(&ada, "datasets/ada/messages", None, &files).await.created();
    let warnings = made["warnings"].to_string();
    for part in ["has no header", "2 of 5 test texts are also in train (the same but for a few words", "notes.txt"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let facts = ada.get("/api/v1/datasets/ada/messages").await.ok()["facts"].clone();
    assert_eq!((&facts["modality"], &facts["task"]), (&json!("text"), &json!("text-classification")));
    assert_eq!((&facts["labels"], &facts["samples"]), (&json!(["ham", "spam"]), &json!(30)));
    let found = ada.get("/api/v1/datasets/ada/messages/doctor").await.ok();
    assert!(found["report"]["languages"]["English"].as_u64().is_some_and(|count| count > 20), "{found}");
    let previews = ada.get("/api/v1/datasets/ada/messages/previews").await.ok()["previews"].clone();
    let previews = previews.as_array().unwrap();
    assert!(previews.iter().all(|one| one["text"].is_string() && one.get("data").is_none()), "{previews:?}");
    assert!(previews.iter().any(|one| one["class"] == "spam" && one["path"].as_str().unwrap().starts_with("train.tsv:")));

    let page = server.anonymous().get("/datasets/ada/messages").await.text();
    for part in ["You have won 0 tickets", "train: 25 texts", "English (guess)", "Texts to look at", "alert(1)"] {
        assert!(page.contains(part), "no {part} on the page");
    }
    assert!(!page.contains("<script>alert(1)") && !page.contains("/items/"), "what strangers wrote is text, and there are no pictures");

    // Columns that say nothing by their names are named; the same files mean the same after that.
    create_repo(&ada, "dataset", "ada/named").await;
    let table = b"v1,v2\nham,I will be there\nspam,You have won\nham,See you then\nspam,Call this number\n";
    let kept = publish(&ada, "datasets/ada/named", None, &[("all.csv", table)]).await.created();
    assert!(kept["warnings"].to_string().contains("no column of texts"), "{kept}");
    let card = b"---\nlicense: mit\ntexts: v2\ntargets: [v1]\n---\n# Named\n";
    publish(&ada, "datasets/ada/named", Some(1), &[("README.md", card), ("all.csv", table)]).await.created();
    assert_eq!(ada.get("/api/v1/datasets/ada/named").await.ok()["facts"]["labels"], json!(["ham", "spam"]));
}

/// The folder of the sentence encoder with prompts, of which one is put before every text.
fn prompted() -> Vec<(&'static str, Vec<u8>)> {
    let prompts = json!({"prompts": {"query": "the cat ", "bare": ""}, "default_prompt_name": "query"});
    let mut files = sentence_encoder();
    files.push(("config_sentence_transformers.json", paper(&prompts)));
    files
}

/// A prompt that is named stands in the place of the usual one, here and there; one that is not there is refused with those that are.
#[tokio::test]
async fn prompts_of_the_config_are_named() {
    let (server, api) = with_models().await;
    let ada = Person::new(&server, &api.token);
    ada.publish("model", "ada/prompted", false, prompted()).await;
    let of = async |path: &str, text: &str| floats(&api.post(path, &json!({"texts": [text]})).await.ok()["items"][0]["features"]);
    let prompted = "/api/v1/models/ada/prompted/embed";
    let (bare, with_prompt) = (of(EMBED, "a dog").await, of(EMBED, "the cat a dog").await);
    assert!(!close(&bare, &with_prompt));
    assert!(close(&of(prompted, "a dog").await, &with_prompt), "the usual one");
    assert!(close(&of(&format!("{prompted}?prompt=query"), "a dog").await, &with_prompt));
    assert!(close(&of(&format!("{prompted}?prompt=bare"), "a dog").await, &bare));
    let refused = api.post(&format!("{prompted}?prompt=passage"), &json!({"texts": ["a"]})).await.problem(422, "unknown_prompt");
    assert!(["bare", "query"].iter().all(|name| refused["message"].as_str().unwrap().contains(name)), "{refused}");
    api.post(&format!("{EMBED}?prompt=query"), &json!({"texts": ["a"]})).await.problem(422, "unknown_prompt");
    api.post(&format!("{EMBED}?pooling=sif"), &json!({"texts": ["a"]})).await.problem(422, "bad_pooling");
    let tei = json!({"inputs": "a dog", "prompt_name": "bare"});
    assert!(close(&floats(&api.post("/api/v1/models/ada/prompted/tei/embed", &tei).await.ok()[0]), &bare));
    let home = tempfile::tempdir().unwrap();
    for more in [&[][..], &["--local"]] {
        let args = [&["embed", "ada/prompted", "--text", "a dog", "--prompt", "bare", "--json"][..], more].concat();
        let output = server.hub(home.path()).env("HUB_TOKEN", &api.token).args(&args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(close(&floats(&said[0]["features"]), &bare), "{more:?}: {said}");
    }
}

/// Strings, files, lines and standard input, here and there: the same answers in the same order.
#[tokio::test]
async fn the_command_line_takes_texts_in_every_form() {
    let (server, api) = with_models().await;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lines.txt");
    std::fs::write(&file, "\u{feff}the dogs\r\n\u{fc}\n").unwrap();
    let path = file.to_str().unwrap();
    let run = |args: &[&str], input: &str| {
        server.hub(home.path()).env("HUB_TOKEN", &api.token).args(args).write_stdin(input.to_owned()).output().unwrap()
    };
    let ask = |args: &[&str], input: &str| {
        let output = run(args, input);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let own = floats(&send(&api, EMBED, b"a cat").await.ok()["features"]);
    for more in [&["--json"][..], &["--json", "--local"]] {
        let args = [&["embed", "ada/sentences", "--text", "a cat", "--lines", path, "-"][..], more].concat();
        let said = ask(&args, "the cat sat on the dog.\n");
        let texts: Vec<&str> = said.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["a cat", "the dogs", "\u{fc}", "the cat sat on the dog."]);
        assert!(close(&floats(&said[0]["features"]), &own));
        assert_eq!(said[3]["tokens"], json!({"read": 8, "of": 9}));
        let whole = ask(&[&["embed", "--model", "ada/sentences", "-"][..], more].concat(), "a cat");
        assert!(close(&floats(&whole[0]["features"]), &own), "standard input as one text");
        let query = ["rerank", "ada/reranker", "--query", "a cat", "the cat", "dogs", "--lines", "-"];
        let ranked = ask(&[&query[..], more].concat(), "a dog sat on the cats\n");
        let ranked = ranked["texts"].as_array().unwrap();
        let scores: Vec<f64> = ranked.iter().map(|one| one["score"].as_f64().unwrap()).collect();
        assert!(ranked.len() == 3 && scores.is_sorted_by(|a, b| a >= b), "{ranked:?}");
    }
    // A text without an answer takes none from the others, and the command says so.
    let output = run(&["embed", "ada/sentences", "--text", "a cat", "--text", " ", "--json"], "");
    let (said, told) = (serde_json::from_slice::<Value>(&output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.code() == Some(1) && said.as_array().unwrap().len() == 1 && told.contains("empty"), "{told}");
    std::fs::write(&file, b"Gr\xfc").unwrap();
    let output = run(&["embed", "ada/sentences", path, "--lines"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("at byte 2: this is not UTF-8"));
    let output = run(&["embed", "ada/sentences"], "");
    assert_eq!(output.status.code(), Some(2), "nothing is asked");
}

/// The model's page takes texts without scripts, and shows what strangers wrote as text.
#[tokio::test]
async fn texts_are_tried_on_the_models_page() {
    let (server, _api) = with_models().await;
    let mut browser = Browser::new(&server);
    assert!(browser.page("/ada/sentences").await.contains("Make vectors"));
    assert!(browser.page("/ada/reranker").await.contains("Rank them"));
    let one = browser.page("/ada/sentences/try?text=the+cat+sat+on+the+dog.").await;
    assert!(one.contains("16 numbers") && one.contains("8 of 9 tokens") && !one.contains("Cosines"), "{one}");
    let two = browser.page("/ada/sentences/try?text=a+cat%0A%0D%0Aa+cat%0A%3Ci%3Edogs").await;
    assert!(two.contains("Cosines") && two.contains("1.000") && !two.contains("<i>dogs"), "{two}");
    let ranked = browser.page("/ada/reranker/try?query=a+cat&text=the+cat%0Adogs").await;
    assert!(ranked.contains("Ranked") && ranked.contains("tokens"), "{ranked}");
    let many = "a%0A".repeat(17);
    assert_eq!(browser.get(&format!("/ada/sentences/try?text={many}")).await.status, 413);
    assert_eq!(browser.get("/ada/reranker/try?text=a").await.status, 400);
}

/// Texts that are near to one are found on the pages of both, by writing it.
#[tokio::test]
async fn near_texts_are_found_by_writing_one() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/sentences", false, sentence_encoder()).await;
    let table = b"label,text\nanimal,a cat\nanimal,the dogs\nplace,sat on the\nplace,on the cat sat\n".to_vec();
    ada.publish("dataset", "ada/phrases", false, vec![("train.csv", table)]).await;
    let (status, job) = ada.post("/embeddings", json!({ "model": "ada/sentences", "dataset": "ada/phrases" })).await;
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);
    let mut browser = Browser::logged_in(&server, &ada.token).await;
    for (path, key, other) in
        [("/ada/sentences/neighbors", "in", "ada/phrases@1"), ("/datasets/ada/phrases/neighbors", "by", "ada/sentences@1")]
    {
        let page = browser.page(path).await;
        assert!(page.contains("<textarea") && page.contains(other) && !page.contains("image/*"), "{page}");
        let token = crate::support::visitor::csrf(&page);
        let part = |name: &str, value: &str| format!("--f\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        let form = part("csrf", &token) + &part(key, other) + &part("text", "a cat") + "--f--\r\n";
        let request = browser.request(Method::POST, path).header("Content-Type", "multipart/form-data; boundary=f").body(form);
        let page = browser.answer(request).await.text();
        assert!(page.contains("Nearest to a cat") && page.contains("distance 0.000"), "{page}");
    }
}

/// Classes of texts are answered by their names, without training and without examples.
#[tokio::test]
async fn classes_are_known_by_their_names_alone() {
    let (server, api) = with_models().await;
    let path = "/api/v1/models/ada/sentences/predict";
    let asked = send(&api, &format!("{path}?classes=sat%20on%20the,a%20cat"), b"a cat").await.ok();
    let classes = asked["classes"].as_array().unwrap_or_else(|| panic!("{asked}"));
    assert_eq!((&classes[0]["label"], classes.len()), (&json!("a cat"), 2), "{asked}");
    assert!(classes[0]["probability"].as_f64().unwrap() > 0.5, "{asked}");
    let many = api.post(&format!("{path}?classes=a%20cat,sat%20on%20the"), &json!({"texts": ["sat on the", " "]})).await.ok();
    assert_eq!(many["items"][0]["classes"][0]["label"], "sat on the", "{many}");
    assert!(many["items"][1]["error"].is_object(), "one without an answer takes none from the others: {many}");
    for (query, status, code) in [
        ("classes=one", 422, "bad_classes"),
        ("classes=a,,b", 422, "bad_classes"),
        ("classes=a,b,a", 422, "bad_classes"),
        ("classes=a,b&support=ada/none", 400, "bad_query"),
    ] {
        send(&api, &format!("{path}?{query}"), b"a cat").await.problem(status, code);
    }
    let body = json!({"dataset": "ada/none"});
    assert_eq!(api.post(&format!("{path}?classes=a,b"), &body).await.status, 404, "a data set that is not there");
    let images = Person::new(&server, &api.token);
    images.publish("model", "ada/tiny", false, crate::support::training::base_files()).await;
    send(&api, "/api/v1/models/ada/tiny/predict?classes=a,b", b"a cat").await.problem(422, "no_words");
    let home = tempfile::tempdir().unwrap();
    let args = ["predict", "ada/sentences", "--text", "a cat", "--classes", "sat on the,a cat", "--top", "1", "--json"];
    let output = server.hub(home.path()).env("HUB_TOKEN", &api.token).args(args).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said[0]["classes"][0]["label"], "a cat", "{said}");
}
