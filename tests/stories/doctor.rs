//! What the doctor says of a data set when it is published and when its labels are examined, and labels put right.

use crate::support::publishing::{create_repo, publish, zip};
use crate::support::training::{COLOURS, Person, Random, base_files, picture};
use crate::support::{Server, hub};
use serde_json::{Value, json};

/// Noise in soft blobs, no two alike.
fn blobs(seed: u64, width: u32, height: u32) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(7_919).wrapping_add(3));
    let cells: Vec<u8> = (0..192).map(|_| random.below(256) as u8).collect();
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        let at = 3 * ((x * 8 / width + 8 * (y * 8 / height)) as usize);
        image::Rgb([cells[at], cells[at + 1], cells[at + 2]])
    });
    encoded(&image)
}

fn encoded(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect()
}

fn said(found: &Value) -> String {
    found["findings"].as_array().unwrap().iter().map(|finding| finding.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_published_data_set_tells_its_health() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let mut files: Vec<(String, Vec<u8>)> = (0..60).map(|n| (format!("train/cat/{n}.png"), blobs(n, 40, 40))).collect();
    files.extend((60..63).map(|n| (format!("train/dog/{n}.png"), blobs(n, 40, 40))));
    files.push(("train/cat/blank.png".into(), encoded(&image::RgbImage::from_pixel(40, 40, image::Rgb([9, 9, 9])))));
    files.push(("train/cat/banner.png".into(), blobs(70, 400, 40)));
    files.extend((0..2).map(|n| (format!("val/cat/{n}.png"), blobs(80 + n, 40, 40))));
    for (owner, exam, private) in [(&ada, "ada/exam", false), (&bob, "bob/secret", true)] {
        let card = b"---\nlicense: mit\ntags: [evaluation]\n---\n# Exam\n".to_vec();
        let copies = if private { 0..5 } else { 10..12 };
        let mut held: Vec<(String, Vec<u8>)> = copies.map(|n| (format!("test/cat/{n}.png"), blobs(n, 40, 40))).collect();
        held.extend((90..94).map(|n| (format!("test/dog/{n}.png"), blobs(n, 40, 40))));
        held.push(("README.md".into(), card));
        let made = json!({ "kind": "dataset", "id": exam, "private": private });
        owner.post("/api/v1/repos", &made).await.created();
        publish(owner, &format!("datasets/{exam}"), None, &borrowed(&held)).await.created();
    }
    create_repo(&ada, "dataset", "ada/pets").await;
    let published = publish(&ada, "datasets/ada/pets", None, &borrowed(&files)).await.created();
    assert!(published["warnings"].to_string().contains("the classes are uneven, 21 to 1"), "{published}");

    let found = ada.get("/api/v1/datasets/ada/pets/doctor").await.ok();
    let balance = &found["report"]["health"]["balance"];
    assert_eq!((&balance["largest"], &balance["smallest"]), (&json!(["cat", 62]), &json!(["dog", 3])));
    assert_eq!(balance["tiny"], json!([["dog", 3]]));
    let told = said(&found);
    for part in
        ["`train/cat/blank.png`): leave it out", "`train/cat/banner.png`: aspect 10, where 1 is usual", "val has no images of `dog`"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains("2 of 67 images looked at are also in the evaluation set ada/exam@1"), "{told}");
    assert!(!told.contains("secret") && !found.to_string().contains("secret"), "what she may not read is not told");
    assert_eq!(found["elsewhere"][0]["pairs"][0], json!(["train/cat/10.png", "test/cat/10.png"]));
    let bars = found["report"]["health"]["histograms"].as_array().unwrap();
    let of = |name: &str| bars.iter().find(|bars| bars["name"] == name).unwrap()["counts"].as_array().unwrap().clone();
    for name in ["width", "brightness", "red", "aspect"] {
        assert_eq!(of(name).iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 67, "{name}");
    }
    let bobs = said(&bob.get("/api/v1/datasets/ada/pets/doctor").await.ok());
    assert!(bobs.contains("5 of 67 images looked at are also in the evaluation set bob/secret@1"), "{bobs}");

    let home = tempfile::tempdir().unwrap();
    let shown = server.hub(home.path()).args(["doctor", "ada/pets"]).output().unwrap();
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("20.7 to 1") && text.contains("leave it out"), "{text}{}", String::from_utf8_lossy(&shown.stderr));
    let page = server.anonymous().get("/datasets/ada/pets/doctor").await;
    let page = page.text();
    assert!(page.contains("How even the classes are") && page.contains("banner.png") && !page.contains("secret"), "{page}");
    bob.get("/api/v1/datasets/ada/none/doctor").await.problem(404, "repo_not_found");
    let text_only: &[(&str, &[u8])] = &[("notes.jsonl", b"{}\n")];
    create_repo(&ada, "dataset", "ada/notes").await;
    publish(&ada, "datasets/ada/notes", None, text_only).await.created();
    ada.get("/api/v1/datasets/ada/notes/doctor").await.problem(422, "dataset_unchecked");
}

fn colours(per_class: u64) -> Vec<(String, Vec<u8>)> {
    let of_class = |(name, colour): &(&str, [u8; 3])| {
        let (name, colour) = ((*name).to_owned(), *colour);
        (0..per_class).map(move |n| (format!("{name}/{n}.png"), picture(colour, n * 31 + 7)))
    };
    COLOURS.iter().flat_map(of_class).collect()
}

#[tokio::test]
async fn labels_put_right_make_the_next_version() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    create_repo(&ada, "dataset", "ada/loose").await;
    publish(&ada, "datasets/ada/loose", None, &borrowed(&colours(4))).await.created();
    let files = async |repo: &str| -> Vec<(String, String)> {
        let list = ada.get(&format!("/api/v1/datasets/{repo}/versions/main/manifest")).await.ok();
        let line = |file: &Value| (file["path"].as_str().unwrap().to_owned(), file["sha256"].as_str().unwrap().to_owned());
        list["files"].as_array().unwrap().iter().map(line).collect()
    };
    let before = files("ada/loose").await;
    let table =
        "path,label,given,suggested,score\nred/0.png,green,red,green,0.9\nblue/1.png,blue,blue,red,0.99\nblue/2.png,blue,blue,red,0.2\n";
    let ask = json!({ "table": table, "accept": 0.5, "message": "Two were wrong" });
    bob.post("/api/v1/datasets/ada/loose/relabel", &ask).await.problem(403, "no_right");
    let done = ada.post("/api/v1/datasets/ada/loose/relabel", &ask).await.created();
    assert_eq!((&done["version"]["number"], &done["moved"], &done["listed"]), (&json!(2), &json!(2), &json!(0)), "{done}");
    assert_eq!(done["version"]["message"], "Two were wrong");
    let after = files("ada/loose").await;
    let digest = |list: &[(String, String)], path: &str| list.iter().find(|(found, _)| found == path).map(|(_, digest)| digest.clone());
    // That name is taken in the other folder.
    assert_eq!(digest(&after, "green/0-2.png"), digest(&before, "red/0.png"));
    assert_eq!(digest(&after, "red/1-2.png"), digest(&before, "blue/1.png"));
    assert_eq!((digest(&after, "red/0.png"), after.len()), (None, 12));

    let entries = colours(4);
    let packed = zip(&borrowed(&entries));
    create_repo(&ada, "dataset", "ada/packed").await;
    publish(&ada, "datasets/ada/packed", None, &[("data.zip", &packed)]).await.created();
    let home = tempfile::tempdir().unwrap();
    let fixes = home.path().join("fixes.csv");
    std::fs::write(&fixes, "path,label\nred/0.png,violet\nred/1.png,green\n").unwrap();
    let token = ada.token.clone();
    let run = |path: &std::path::Path| {
        let mut command = hub(home.path());
        command.env("HUB_SERVER", &ada.url).env("HUB_TOKEN", &token).args(["relabel", "ada/packed", "--from"]).arg(path);
        command.output().unwrap()
    };
    let said = run(&fixes);
    assert!(String::from_utf8_lossy(&said.stdout).contains("Made ada/packed@2"), "{}", String::from_utf8_lossy(&said.stderr));
    let facts = ada.get("/api/v1/datasets/ada/packed").await.ok()["facts"].clone();
    assert_eq!(facts["labels"], json!(["blue", "green", "red", "violet"]));
    assert_eq!(facts["dataset_report"]["splits"][0]["per_class"], json!([4, 5, 2, 1]), "{facts}");
    assert!(facts["warnings"].to_string().contains("2 labels are those of `corrections.csv`"), "{facts}");
    let listed = files("ada/packed").await;
    assert_eq!(listed.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["corrections.csv", "data.zip"]);
    // A split that is written down is everybody's from then on.
    let split = "path,split,target,group,sha256\nblue/0.png,val,blue,0,00\nred/1.png,val,green,5,00\n";
    let fixed = ada.post("/api/v1/datasets/ada/packed/relabel", &json!({ "table": split })).await.created();
    assert_eq!((&fixed["version"]["number"], &fixed["listed"]), (&json!(3), &json!(2)), "{fixed}");
    let facts = ada.get("/api/v1/datasets/ada/packed").await.ok()["facts"].clone();
    assert_eq!(facts["dataset_report"]["splits"][1], json!({ "name": "val", "images": 2, "per_class": [1, 1, 0, 0] }), "{facts}");
    // What is wrong is told, and nothing is made.
    std::fs::write(&fixes, "file,class\na,b\n").unwrap();
    assert!(String::from_utf8_lossy(&run(&fixes).stderr).contains("the columns `path` and `label`"));
    let same = json!({ "table": "path,label\nred/1.png,green\n" });
    ada.post("/api/v1/datasets/ada/packed/relabel", &same).await.problem(422, "nothing_to_relabel");
    let odd = json!({ "table": "path,label\nred/1.png,a\u{202e}b\n" });
    let refused = ada.post("/api/v1/datasets/ada/packed/relabel", &odd).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(ada.get("/api/v1/datasets/ada/packed").await.ok()["version"]["number"], 3);
}

#[tokio::test]
async fn copies_of_noise_teach_nothing_and_do_not_seem_to() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    // Twenty pictures of noise in each of two classes, each five times: nothing can be learned from them.
    let mut files = Vec::new();
    for (class, from) in [("cat", 0), ("dog", 500)] {
        for n in 0..100u64 {
            files.push((format!("{class}/{n}.png"), blobs(from + n / 5, 32, 32)));
        }
    }
    ada.publish("model", "ada/base", false, base_files()).await;
    ada.publish("dataset", "ada/noise", false, vec![("data.zip", zip(&borrowed(&files)))]).await;
    let recipe = json!({ "strategy": "head", "epochs": 8, "augment": { "views": 1 } });
    let id = ada.finetune(json!({ "base": "ada/base", "dataset": "ada/noise", "name": "ada/net", "recipe": recipe })).await;
    let job = ada.end(&id).await;
    let log = ada.log(&id).await;
    assert_eq!(job["state"], "succeeded", "{log}");
    assert!(log.contains("copies were kept together when images were held out"), "{log}");
    let events = ada.events(&id).await;
    let result = events.iter().find(|event| event["kind"] == "result").unwrap();
    let top1 = result["body"]["metrics"]["top1"].as_f64().unwrap();
    assert!(top1 < 0.9, "with copies on both sides of the hold-out it was 1.0: {result}");
}

#[tokio::test]
async fn suspects_are_named_put_right_and_learned_from_again() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    // Six green pictures lie in the folder of the red ones.
    let mut files = colours(40);
    let wrong: Vec<String> = (0..6).map(|n| format!("red/wrong-{n}.png")).collect();
    files.extend(wrong.iter().zip(900..).map(|(path, seed)| (path.clone(), picture(COLOURS[1].1, seed))));
    let loose: Vec<(&str, Vec<u8>)> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.clone())).collect();
    ada.publish("model", "ada/base", false, base_files()).await;
    ada.publish("dataset", "ada/colours", false, loose).await;
    let (status, refused) = ada.post("/datasets/ada/colours/doctor", json!({})).await;
    assert_eq!((status, refused["code"].as_str()), (201, None), "the one base here was trained on something: {refused}");
    ada.end(refused["id"].as_str().unwrap()).await;
    let (status, job) = ada.post("/datasets/ada/colours/doctor", json!({ "base": "ada/base" })).await;
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);

    let suspects = ada.stream(&format!("/jobs/{id}/files/suspects.csv")).send().await.unwrap().text().await.unwrap();
    let lines: Vec<&str> = suspects.lines().collect();
    assert_eq!(lines[0], "path,label,given,suggested,score");
    let named = lines[1..7].iter().filter(|line| line.starts_with("red/wrong-") && line.contains(",red,red,green,")).count();
    assert!(named >= 5, "{suspects}");
    let (_, found) = ada.get("/datasets/ada/colours/doctor").await;
    let examination = &found["examination"];
    assert_eq!((examination["items"].as_u64(), examination["base"].as_str()), (Some(126), Some("ada/base@1")));
    assert!((2..=9).contains(&examination["wrong"].as_u64().unwrap()), "{examination}");
    assert!(examination["suspects"][0]["preview"].as_str().unwrap().starts_with("data:image/"));
    assert!(examination["seconds"].as_f64().unwrap() < 60.0 && said(&found).contains("labels are probably wrong"), "{found}");
    let page = server.anonymous().get("/datasets/ada/colours/doctor").await.text();
    assert!(
        page.contains("Labels that may be wrong")
            && page.contains("red/wrong-0.png")
            && page.contains("<img src=\"/datasets/ada/colours/items/"),
        "{page}"
    );

    let (status, done) = ada.post("/datasets/ada/colours/relabel", json!({ "table": suspects, "accept": 0.95 })).await;
    assert_eq!(status, 201, "{done}");
    assert!((2..=9).contains(&done["moved"].as_u64().unwrap()), "{done}");
    // The next version's items are the same bytes: their features are there, and only the head is fitted.
    let recipe = json!({ "strategy": "head", "epochs": 6, "augment": { "views": 0 } });
    let id = ada.finetune(json!({ "base": "ada/base", "dataset": "ada/colours@2", "name": "ada/net", "recipe": recipe })).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    assert!(ada.log(&id).await.contains("the features of 126 views are there from an earlier run"), "{}", ada.log(&id).await);
    // The split of the run is a file of the job, and can be written down for those to come.
    let split = ada.stream(&format!("/jobs/{id}/files/split.csv")).send().await.unwrap().text().await.unwrap();
    assert!(split.starts_with("path,split,target,group,sha256\n") && split.lines().count() == 127, "{split}");
    let held: Vec<&str> = split.lines().filter(|line| line.contains(",val,")).collect();
    assert!(held.len() > 10, "{split}");
    let (status, fixed) = ada.post("/datasets/ada/colours/relabel", json!({ "table": split })).await;
    assert_eq!(status, 201, "{fixed}");
    let (_, repo) = ada.get("/datasets/ada/colours").await;
    assert_eq!(repo["facts"]["dataset_report"]["splits"][1]["images"], held.len(), "{repo}");
}
