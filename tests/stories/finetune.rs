//! A fine-tune from the form to the prediction, on the real server with its own worker; and everything that is
//! refused before it could waste anybody's time.

use crate::support::Server;
use crate::support::training::{self, COLOURS, Person, base_files, picture, pictures_zip};
use crate::support::visitor::Browser;
use serde_json::{Value, json};

/// The events of a stream that ended by itself, as (id, kind, data).
fn read_stream(text: &str) -> Vec<(u64, String, Value)> {
    let field = |message: &str, key: &str| message.lines().find_map(|line| Some(line.strip_prefix(key)?.to_owned()));
    let messages = text.split("\n\n").filter(|message| !message.is_empty() && !message.starts_with(':'));
    messages
        .map(|message| {
            let id = field(message, "id: ").unwrap().parse().unwrap();
            let data: Value = serde_json::from_str(&field(message, "data: ").unwrap()).unwrap();
            (id, field(message, "event: ").unwrap(), data)
        })
        .collect()
}

#[tokio::test]
async fn from_a_base_and_pictures_to_a_model_that_knows_them() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish_both("ada/tiny", "ada/colours", 12).await;
    let recipe = json!({ "strategy": "head", "head_solver": "sgd", "epochs": 6, "batch_size": 8, "seed": 3, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours@1", "name": "ada/colour-net", "recipe": recipe })).await;

    // The stream begins before the job does and ends with it.
    let response = ada.stream(&format!("/finetunes/{id}/events")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let events = read_stream(&response.text().await.unwrap());
    let job = ada.job(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    assert!(events.windows(2).all(|pair| pair[0].0 < pair[1].0), "numbers rise");
    let states: Vec<_> = events.iter().filter(|e| e.1 == "state").map(|e| e.2["body"]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["queued", "running", "succeeded"]);
    let epochs: Vec<_> = events.iter().filter(|e| e.1 == "epoch").map(|e| e.2["body"]["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
    let result = &events.iter().find(|e| e.1 == "result").unwrap().2["body"];
    assert_eq!((&result["name"], &result["version"]), (&json!("ada/colour-net"), &json!(1)));
    assert!(result["metrics"]["top1"].as_f64().unwrap() > 0.9, "three colours are easy even on random features: {result}");

    // Coming back later with the last number seen gives only what is new.
    let last = events.last().unwrap().0;
    let rest = ada.stream(&format!("/finetunes/{id}/events")).header("Last-Event-ID", last - 1).send().await.unwrap();
    let rest = read_stream(&rest.text().await.unwrap());
    assert_eq!(rest.iter().map(|e| e.0).collect::<Vec<_>>(), [last]);

    check_result(&ada).await;
    let log = ada.log(&id).await;
    assert!(log.contains("epoch 6/6: train loss") && log.contains("published ada/colour-net@1"), "{log}");
}

/// The version is there with its lineage, and it answers.
async fn check_result(ada: &Person<'_>) {
    let (_, model) = ada.get("/models/ada/colour-net").await;
    let facts = &model["facts"];
    assert_eq!(facts["base_models"], json!(["ada/tiny@1"]));
    assert_eq!(facts["source_datasets"], json!(["ada/colours@1"]));
    assert_eq!((&facts["num_classes"], &facts["labels"]), (&json!(3), &json!(["blue", "green", "red"])));
    assert_eq!(facts["license"], "apache-2.0");
    assert!(facts["metrics"].as_array().unwrap().iter().any(|m| m["name"] == "accuracy"), "{facts}");
    assert_eq!(model["version"]["author"], "ada");
    let (_, related) = ada.get("/datasets/ada/colours/models").await;
    assert_eq!(related["fine_tuned"][0]["id"], "ada/colour-net", "{related}");

    for (name, colour) in COLOURS {
        let (status, answer) = ada.send("/models/ada/colour-net/predict?top=2", picture(colour, 999)).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["model"], "ada/colour-net@1");
        assert_eq!((answer["classes"].as_array().unwrap().len(), &answer["classes"][0]["label"]), (2, &json!(name)), "{answer}");
    }
    let (status, answer) = ada.send("/models/ada/colour-net/embed?revision=1", picture([9, 9, 9], 1)).await;
    assert_eq!((status, answer["features"].as_array().unwrap().len()), (200, 1280));
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_it_waits() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let (ada, eve) = (admin.invite("ada").await, admin.invite("eve").await);
    ada.publish_both("ada/tiny", "ada/colours", 3).await;
    ada.publish("dataset", "ada/secret", true, vec![("data.zip", pictures_zip(2, 2))]).await;
    ada.publish("dataset", "ada/card-only", false, vec![("README.md", b"# nothing yet\n".to_vec())]).await;
    let mut strange = base_files();
    strange[1].1 = br#"{"architecture": "nfnet_l0"}"#.to_vec();
    ada.publish("model", "ada/strange", false, strange).await;
    ada.publish("model", "ada/papers", false, vec![("README.md", b"# only words\n".to_vec())]).await;
    let good = json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/out" });
    let with = |changes: Value| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        body
    };
    let cases = [
        (404, "repo_not_found", json!({ "base": "ada/none" })),
        (404, "revision_not_found", json!({ "base": "ada/tiny@7" })),
        (404, "repo_not_found", json!({ "dataset": "ada/none" })),
        (422, "model", json!({ "base": "ada/strange" })),
        (422, "model_unusable", json!({ "base": "ada/papers" })),
        (422, "dataset_unusable", json!({ "dataset": "ada/card-only" })),
        (422, "bad_recipe", json!({ "recipe": { "epochs": 1_000_000_000 } })),
        (422, "bad_recipe", json!({ "recipe": { "epochs": 0 } })),
        (422, "bad_recipe", json!({ "recipe": { "lr": -1 } })),
        (422, "bad_recipe", json!({ "recipe": { "lr": 1e300 } })),
        (422, "bad_recipe", json!({ "recipe": { "batch_size": 1_000_000 } })),
        (400, "bad_json", json!({ "recipe": { "epochs": -3 } })),
        (400, "bad_json", json!({ "recipe": { "lr": "NaN" } })),
        (400, "bad_json", json!({ "recipe": { "learning_rate": 1 } })),
        (400, "bad_json", json!({ "surprise": 1 })),
        (400, "bad_name", json!({ "base": "../etc" })),
        (400, "bad_name", json!({ "name": "ada/../x" })),
        (400, "bad_name", json!({ "dataset": "ada/colours@" })),
        (422, "result_is_base", json!({ "name": "ada/tiny" })),
        (422, "result_is_base", json!({ "name": "ada/Tiny", "sweep": { "settings": { "lr": [1e-3, 1e-4] } } })),
        (422, "no_backbones", json!({ "base": "auto", "name": "ada/tiny" })),
        (403, "no_right", json!({ "name": "eve/out" })),
        (403, "no_right", json!({ "name": "library/out" })),
    ];
    for (status, code, changes) in cases {
        let (got, problem) = ada.post("/finetunes", with(changes.clone())).await;
        assert_eq!((got, problem["code"].as_str().unwrap_or("")), (status, code), "{changes}: {problem}");
        assert!(!problem["hint"].as_str().unwrap().is_empty(), "{problem}");
    }
    // NaN has no place in JSON, but some programs write it.
    let nan = r#"{"base":"ada/tiny","dataset":"ada/colours","name":"ada/out","recipe":{"lr":NaN}}"#;
    let response = ada.raw_post("/finetunes", nan).await;
    assert_eq!((response.0, &response.1["code"]), (400, &json!("bad_json")));
    // Another's private data set does not exist; nor do jobs for nobody.
    let (status, problem) = eve.post("/finetunes", with(json!({ "dataset": "ada/secret", "name": "eve/out" }))).await;
    assert_eq!((status, &problem["code"]), (404, &json!("repo_not_found")));
    let nobody = Person::new(&server, "");
    assert_eq!(nobody.post("/finetunes", good.clone()).await.0, 401);
    let (_, list) = ada.get("/finetunes").await;
    assert_eq!(list["items"], json!([]), "nothing of all this was queued");
}

#[tokio::test]
async fn a_job_is_its_owners_business() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let (ada, eve) = (admin.invite("ada").await, admin.invite("eve").await);
    ada.publish_both("ada/tiny", "ada/colours", 3).await;
    let body = json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/out" });
    let id = ada.finetune(body.clone()).await;
    let unknown = "0".repeat(26);
    for path in ["", "/events", "/logs"] {
        let (status, mut theirs) = eve.get(&format!("/finetunes/{id}{path}")).await;
        let (_, mut none) = eve.get(&format!("/finetunes/{unknown}{path}")).await;
        assert_eq!(status, 404, "{path}");
        for problem in [&mut theirs, &mut none] {
            problem["request_id"] = json!("");
            problem["message"] = json!(problem["message"].as_str().unwrap().replace(&id, "ID").replace(&unknown, "ID"));
        }
        assert_eq!(theirs, none, "another's job reads as none");
    }
    assert_eq!(eve.post(&format!("/finetunes/{id}/cancel"), json!({})).await.0, 404);
    assert_eq!(eve.get("/finetunes").await.1["items"], json!([]));
    assert_eq!(admin.get("/finetunes").await.1["items"][0]["id"], json!(id));
    assert_eq!(Person::new(&server, "").get("/finetunes").await.0, 401);
    for bad in ["x", "..%2F..%2Fetc", &"A".repeat(26), "%00"] {
        assert_eq!(ada.get(&format!("/finetunes/{bad}")).await.0, 400, "{bad}");
    }

    // A waiting job is cancelled at once, and a second time nothing changes.
    let (status, job) = ada.post(&format!("/finetunes/{id}/cancel"), json!({})).await;
    assert_eq!((status, &job["state"]), (200, &json!("cancelled")));
    assert_eq!(ada.post(&format!("/finetunes/{id}/cancel"), json!({})).await.1["finished"], job["finished"]);
    assert_eq!(ada.get("/finetunes?state=cancelled").await.1["items"].as_array().unwrap().len(), 1);
    assert_eq!(ada.get("/finetunes?state=sleeping").await.0, 400);

    // Twenty may wait, no more.
    for _ in 0..20 {
        ada.finetune(body.clone()).await;
    }
    let (status, problem) = ada.post("/finetunes", body).await;
    assert_eq!((status, &problem["code"]), (429, &json!("too_many_jobs")), "{problem}");
    let page = ada.get("/finetunes?limit=15").await.1;
    let rest = ada.get(&format!("/finetunes?cursor={}&limit=100", page["next"].as_str().unwrap())).await.1;
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (15, 6));
}

#[tokio::test]
async fn what_a_model_folder_asks_for_is_obeyed_or_refused_with_its_key() {
    let server = Server::start();
    let ada = Person::admin(&server).invite("ada").await;
    let publish = async |name: &str, edit: &dyn Fn(&mut Value)| {
        let mut files = base_files();
        let config = files.iter_mut().find(|(path, _)| *path == "config.json").unwrap();
        let mut value: Value = serde_json::from_slice(&config.1).unwrap();
        // A map of more than one pixel, so that poolings differ.
        value["pretrained_cfg"]["input_size"] = json!([3, 64, 64]);
        edit(&mut value);
        config.1 = value.to_string().into_bytes();
        ada.publish("model", &format!("ada/{name}"), true, files).await;
        let facts = ada.get(&format!("/models/ada/{name}")).await.1["facts"].clone();
        let answer = ada.send(&format!("/models/ada/{name}/embed"), picture([200, 30, 90], 4)).await;
        (facts["warnings"].to_string(), answer)
    };
    let unobeyed = "not run or fine-tuned here";
    let (warnings, (status, plain)) = publish("plain", &|_| ()).await;
    assert!(status == 200 && !warnings.contains(unobeyed), "{warnings}");
    for (name, key, edit) in [
        ("silu", "`model_args.act_layer`", json!({"model_args": {"act_layer": "silu"}})),
        ("grey", "`model_args.in_chans`", json!({"model_args": {"in_chans": 1}})),
        ("rows", "`num_classes`", json!({"num_classes": 7})),
        ("open", "`model_args.global_pool`", json!({"model_args": {"global_pool": ""}})),
    ] {
        let (warnings, (status, problem)) = publish(name, &|config| {
            edit.as_object().unwrap().iter().for_each(|(key, value)| config[key] = value.clone());
        })
        .await;
        assert!(warnings.contains(key) && warnings.contains(unobeyed), "{name}: {warnings}");
        assert!(status == 422 && problem["message"].as_str().unwrap().contains(key), "{name}: {problem}");
        // What would fail in the queue is not let into it; that comes before the data set is asked for.
        let asked = json!({"base": format!("ada/{name}"), "dataset": "ada/none", "name": "ada/tuned"});
        let (status, problem) = ada.post("/finetunes", asked).await;
        assert_eq!((status, &problem["code"]), (422, &json!("model_unusable")), "{name}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains(key), "{name}: {problem}");
    }
    // Another pooling is obeyed.
    let width = |answer: &Value| answer["features"].as_array().unwrap().len();
    let (warnings, (status, largest)) = publish("max", &|config| config["global_pool"] = json!("max")).await;
    assert!(status == 200 && !warnings.contains(unobeyed) && largest["features"] != plain["features"], "{warnings}");
    let (_, (status, _)) = publish("harmless", &|config| config["model_args"] = json!({"drop_rate": 0.2})).await;
    assert_eq!((status, width(&largest)), (200, width(&plain)));
}

#[tokio::test]
async fn questions_a_model_cannot_answer_are_refused() {
    let server = Server::start_with(&[], &[("HUB_MAX_ITEM_BYTES", "1000000"), ("HUB_MAX_IMAGE_PIXELS", "1100")]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish("model", "ada/tiny", true, base_files()).await;
    let good = picture([1, 2, 3], 4);
    assert_eq!(ada.send("/models/ada/tiny/embed", good.clone()).await.0, 200);
    let (status, problem) = admin.invite("eve").await.send("/models/ada/tiny/embed", good.clone()).await;
    assert_eq!((status, &problem["code"]), (404, &json!("repo_not_found")));
    for bytes in [Vec::new(), b"<svg/>".to_vec(), good[..good.len() / 2].to_vec(), training::huge_png()] {
        let (status, problem) = ada.send("/models/ada/tiny/predict", bytes).await;
        assert_eq!(status, 422, "{problem}");
        assert!(!problem["hint"].as_str().unwrap().is_empty());
    }
    assert_eq!(ada.send("/models/ada/tiny/embed", vec![0; 1_000_001]).await.0, 413);
    let (_, problem) = ada.send("/models/ada/tiny/embed", training::huge_png()).await;
    assert!(problem["message"].as_str().unwrap().contains("max_image_pixels"), "{problem}");
    for query in ["top=x", "top=-1", "revision=.."] {
        assert_eq!(ada.send(&format!("/models/ada/tiny/predict?{query}"), good.clone()).await.0, 400, "{query}");
    }
    let (_, answer) = ada.send("/models/ada/tiny/predict?top=99999999", good).await;
    assert_eq!(answer["classes"].as_array().unwrap().len(), 10);
}

/// A data set as the Hugging Face libraries push it: tables of images in shards, with names of classes in their metadata.
#[tokio::test]
async fn tables_of_images_are_checked_shown_and_trained_on() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    ada.publish("model", "ada/tiny", true, base_files()).await;
    let tables = [
        ("data/train-00000-of-00002.parquet", include_bytes!("../data/fixtures/tables/train-00000-of-00002.parquet").to_vec()),
        ("data/train-00001-of-00002.parquet", include_bytes!("../data/fixtures/tables/train-00001-of-00002.parquet").to_vec()),
        ("data/test-00000-of-00001.parquet", include_bytes!("../data/fixtures/tables/test-00000-of-00001.parquet").to_vec()),
    ];
    ada.publish("dataset", "ada/animals", true, tables.to_vec()).await;
    let facts = ada.get("/datasets/ada/animals").await.1["facts"].clone();
    assert_eq!((&facts["samples"], &facts["labels"]), (&json!(12), &json!(["ant", "zebra"])));
    let recipe = json!({ "epochs": 6, "batch_size": 4, "seed": 3, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/animals@1", "name": "ada/animal-net", "recipe": recipe })).await;
    ada.stream(&format!("/finetunes/{id}/events")).send().await.unwrap().text().await.unwrap();
    assert_eq!(ada.job(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    for (class, colour) in [("zebra", [200, 0, 0]), ("ant", [0, 0, 200])] {
        let mut out = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(8, 8, image::Rgb(colour)).write_to(&mut out, image::ImageFormat::Png).unwrap();
        let (_, answer) = ada.send("/models/ada/animal-net/predict", out.into_inner()).await;
        assert_eq!(answer["classes"][0]["label"], class, "{answer}");
    }
    // Tables of texts are data of another kind.
    let texts = include_bytes!("../data/fixtures/tables/texts.parquet").to_vec();
    ada.publish("dataset", "ada/texts", true, vec![("data/train-00000-of-00001.parquet", texts)]).await;
    let facts = ada.get("/datasets/ada/texts").await.1["facts"].clone();
    assert_eq!((&facts["modality"], &facts["samples"]), (&json!("text"), &json!(2)), "{facts}");
}

/// Whoever asks about many images gets an answer for each that can be read, and the name of each that cannot.
#[tokio::test]
async fn one_bad_image_takes_no_answer_from_the_others() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(home.path().join(name), bytes).unwrap();
    write("1.png", picture([200, 0, 0], 1));
    write("2.png", picture([0, 0, 200], 2));
    write("bad.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec());
    for how in [&["predict"][..], &["embed"], &["predict", "--local"], &["embed", "--local"]] {
        let asked = |images: &[&str]| {
            let mut command = server.hub(home.path());
            let output = command.current_dir(home.path()).args(how).args(images).args(["--model", "ada/tiny", "--json"]).output().unwrap();
            let answers: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let answered: Vec<String> = answers.as_array().into_iter().flatten().map(|a| a["image"].as_str().unwrap().into()).collect();
            (output.status.code(), answered, String::from_utf8(output.stderr).unwrap())
        };
        let (code, answered, errors) = asked(&["1.png", "bad.heic", "2.png", "none.png"]);
        assert_eq!((code, answered), (Some(1), vec!["1.png".to_owned(), "2.png".to_owned()]), "{how:?}: {errors}");
        assert!(errors.contains("2 of 4 items") && errors.contains("bad.heic: ") && errors.contains("HEIC"), "{errors}");
        assert!(errors.contains("none.png: it cannot be read"), "{errors}");
        let (code, answered, errors) = asked(&["bad.heic"]);
        assert_eq!((code, answered), (Some(1), Vec::new()), "{errors}");
        assert!(errors.contains("bad.heic: "), "{errors}");
        assert_eq!(asked(&["2.png"]).0, Some(0));
    }
}

/// A zip of pictures and a table of numbers: how bright they are.
fn brightness_zip(count: u32) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut table = "file_name,target\n".to_owned();
    for n in 0..count {
        let grey = (n * 180 / count) as u8;
        zip.start_file(format!("{n}.png"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &picture([grey; 3], u64::from(n) * 17 + 3)).unwrap();
        table += &format!("{n}.png,{}\n", f64::from(grey) / 10.0);
    }
    zip.start_file("metadata.csv", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut zip, table.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn from_pictures_with_numbers_to_a_model_that_answers_numbers() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    let ada = admin.invite("ada").await;
    ada.publish("model", "ada/tiny", false, base_files()).await;
    ada.publish("dataset", "ada/greys", false, vec![("data.zip", brightness_zip(60))]).await;
    let (_, dataset) = ada.get("/datasets/ada/greys").await;
    let facts = &dataset["facts"];
    assert_eq!((&facts["task"], &facts["modality"], &facts["samples"]), (&json!("image-regression"), &json!("image"), &json!(60)));
    assert!((facts["dataset_report"]["values"]["max"].as_f64().unwrap() - 17.7).abs() < 1e-5, "{facts}");

    // What belongs to classes is refused before it waits.
    let ask = |recipe: Value| json!({ "base": "ada/tiny", "dataset": "ada/greys", "name": "ada/grey-net", "recipe": recipe });
    for wrong in [json!({ "task": "classification" }), json!({ "loss": "cross-entropy" }), json!({ "label_smoothing": 0.1 })] {
        let (status, problem) = ada.post("/finetunes", ask(wrong.clone())).await;
        assert_eq!((status, &problem["code"]), (422, &json!("bad_recipe")), "{wrong}: {problem}");
    }
    let sgd = json!({ "strategy": "head", "head_solver": "sgd" });
    let mut recipe = json!({ "epochs": 60, "batch_size": 8, "seed": 3, "threads": 1, "loss": "huber" });
    recipe.as_object_mut().unwrap().extend(sgd.as_object().unwrap().clone());
    let id = ada.finetune(ask(recipe)).await;
    let job = ada.end(&id).await;
    assert_eq!(job["state"], "succeeded", "{job:#}\n{}", ada.log(&id).await);
    assert_eq!(job["recipe"]["task"], "regression", "the job says what it is");
    let events = ada.events(&id).await;
    let epoch = &events.iter().rfind(|event| event["kind"] == "epoch").unwrap()["body"];
    assert!(["train_rmse", "val_rmse", "val_mae", "val_r2"].iter().all(|key| epoch[key].is_number()), "{epoch}");
    let result = &events.iter().find(|event| event["kind"] == "result").unwrap()["body"]["metrics"];
    let (rmse, mean) = (result["rmse"].as_f64().unwrap(), result["mean_rmse"].as_f64().unwrap());
    assert!(rmse < 0.7 * mean && mean > 3.0, "{result}");
    let log = ada.log(&id).await;
    assert!(log.contains("epoch 60/60: train loss") && log.contains(" RMSE "), "{log}");

    let (_, model) = ada.get("/models/ada/grey-net").await;
    assert_eq!((&model["facts"]["task"], &model["facts"]["num_classes"]), (&json!("image-regression"), &json!(1)));
    assert!(model["facts"]["metrics"].as_array().unwrap().iter().any(|m| m["name"] == "rmse"), "{model}");
    for grey in [20u8, 160] {
        let (status, answer) = ada.send("/models/ada/grey-net/predict", picture([grey; 3], 999)).await;
        let value = answer["values"][0]["value"].as_f64().unwrap_or(f64::NAN);
        assert!(status == 200 && (value - f64::from(grey) / 10.0).abs() < 3.0, "{grey}: {answer}");
        assert_eq!((&answer["classes"], &answer["values"][0]["name"]), (&json!([]), &json!("target")));
    }
    pages_tell_numbers(&server, &ada, &id).await;
}

/// The data set's, the job's and the model's page.
async fn pages_tell_numbers(server: &Server, ada: &Person<'_>, job: &str) {
    let mut visitor = Browser::logged_in(server, &ada.token).await;
    let page = visitor.page(&format!("/jobs/{job}")).await;
    for words in ["RMSE", "Always the mean", "Validation RMSE", "aria-label=\"RMSE by epoch\""] {
        assert!(page.contains(words), "the job's page lacks {words}");
    }
    assert!(!page.contains("Top-1") && !page.contains("By class"), "nothing of classes");
    let page = visitor.page("/datasets/ada/greys").await;
    assert!(page.contains("0 to 17.70") && page.contains("An image of target"), "{page}");
    let page = visitor.page("/ada/grey-net").await;
    assert!(page.contains("image-regression") && page.contains("RMSE"), "{page}");
}
