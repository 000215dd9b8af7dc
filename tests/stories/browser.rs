//! The pages in a real browser: nothing complains, nothing sticks out of a telephone's screen, dark is dark, a
//! stranger's text runs nowhere, and a job's page follows the job without being loaded again.
//!
//! With `HUB_PICTURES=DIR` every page that is looked at is also written there as PNG, for people to look at.

use crate::support::Server;
use crate::support::browser::Chromium;
use crate::support::saved_model::{saved_model_of, signature};
use crate::support::training::{self, Person, Worker};
use serde_json::json;

/// Keeps a picture where somebody asked for it.
#[allow(clippy::disallowed_methods)] // a test may look at its own environment
fn keep_picture(browser: &mut Chromium, name: &str) {
    if let Some(folder) = std::env::var_os("HUB_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), browser.picture()).unwrap();
    }
}

fn log_in(browser: &mut Chromium, server: &Server) {
    browser.open(&format!("{}/login", server.url));
    browser.submit(&[("token", &server.admin_token)]);
    assert!(browser.text().contains("admin"), "{}", browser.text());
}

const CARD: &str = "---\nlicense: apache-2.0\npipeline_tag: image-classification\ndatasets: [library/colours]\n---\n# A net of three colours\n\n\
    | shade | count |\n| --- | --- |\n| red | 8 |\n\n```python\nmodel = timm.create_model('hf-hub:library/tiny')\n```\n\n\
    <script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 1\"><a href=\"javascript:window.pwned = 1\">x</a>\n";

#[tokio::test]
async fn pages_are_sound_on_every_screen() {
    let server = Server::start_with(&["--workers", "1"], &[]);
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let (_, job) = admin.post("/embeddings", json!({ "model": "library/tiny", "dataset": "library/colours" })).await;
    assert_eq!(admin.end(job["id"].as_str().unwrap()).await["state"], "succeeded");
    let mut files = training::base_files();
    files[0].1 = CARD.as_bytes().to_vec();
    admin.publish("model", "library/a-model-with-quite-a-long-name-for-a-telephone", false, files).await;
    let model = "/library/a-model-with-quite-a-long-name-for-a-telephone";
    let image: &[i64] = &[-1, 224, 224, 3];
    let signatures = [
        signature(
            "serving_default",
            &[("input_image_of_the_served_signature", Some(image))],
            &[("logits", Some(&[-1, 1000])), ("pooled", None)],
        ),
        signature(
            "image_feature_vector_with_intermediate_activations",
            &[("x", Some(image))],
            &[("block4/unit_3/bottleneck_v2", Some(&[-1, 7, 7, 2048]))],
        ),
    ];
    let graph = saved_model_of(&["serve", "gpu"], &signatures, 1_000);
    let files =
        vec![("README.md", CARD.as_bytes().to_vec()), ("inner/saved_model.pb", graph), ("inner/variables/variables.index", b"i".to_vec())];
    admin.publish("model", "library/saved", false, files).await;
    let tabs = ["", "/files", "/tensors", "/versions", "/datasets"].map(|tab| format!("{model}{tab}"));
    let others = [
        "/",
        "/models",
        "/models?license=Apache-2.0",
        "/datasets",
        "/datasets/library/colours",
        "/datasets/library/colours/neighbors",
        "/datasets/library/colours/neighbors?by=library/tiny@1&item=red/3.png",
        "/library/tiny/neighbors",
        "/library/saved",
        "/api",
        "/login",
        "/nothing/here",
    ];
    let signed_in = [
        "/jobs",
        "/jobs/compare",
        "/finetune?base=library/tiny&dataset=library/colours",
        "/settings/tokens",
        "/settings/webhooks",
        "/settings/profile",
        "/compare",
        "/new/dataset",
        "/datasets/library/colours/upload",
        "/datasets/library/colours/settings",
        "/library/tiny/settings",
        "/library/tiny/edit",
        "/library",
        "/admin",
        "/system",
        "/system/people",
        "/system/storage",
        "/system/queue",
        "/system/workers",
        "/system/audit",
        "/system/settings",
    ];

    let mut browser = Chromium::start();
    log_in(&mut browser, &server);
    for path in others.into_iter().chain(signed_in).map(String::from).chain(tabs) {
        for (width, scheme) in [(1280, "light"), (400, "dark")] {
            browser.size(width, 900);
            browser.scheme(scheme);
            browser.open(&format!("{}{path}", server.url));
            let mut complaints = browser.complaints();
            // The browser reports every answer of status 404 as an error, also the page that was asked for.
            complaints.retain(|text| !(path == "/nothing/here" && text.contains("404")));
            assert!(complaints.is_empty(), "{path}: {complaints:?}");
            let wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(wide, 0, "{path} sticks out at {width} px");
            let brightness = "(() => { const c = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number); \
                return (c[0] + c[1] + c[2]) / 3; })()";
            let brightness = browser.evaluate(brightness).as_f64().unwrap();
            assert_eq!(brightness < 128.0, scheme == "dark", "{path}: {scheme} has brightness {brightness}");
            assert_eq!(browser.evaluate("document.querySelectorAll('h1').length"), 1, "{path}");
            let unnamed = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')].filter(e => !e.labels?.length && !e.ariaLabel).length";
            assert_eq!(browser.evaluate(unnamed), 0, "{path}: every field has a label");
            let name = path.trim_matches('/').replace(['/', '?', '&', '='], "-");
            keep_picture(&mut browser, &format!("{name}-{width}"));
        }
    }
    browser.open(&format!("{}{model}", server.url));
    assert_eq!(browser.evaluate("window.pwned ?? null"), json!(null), "a stranger's card ran a script");
    assert!(browser.text().contains("A net of three colours"));
}

#[tokio::test]
async fn a_filter_means_the_same_on_the_page_and_in_the_api() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish("model", "library/tiny", false, training::base_files()).await;
    let mut browser = Chromium::start();
    for query in ["license=Apache-2.0", "tag=&license=apache-2.0", "sort=nonsense"] {
        browser.open(&format!("{}/models?{query}", server.url));
        let found = browser.evaluate("document.querySelectorAll('a[href=\"/library/tiny\"]').length");
        assert_eq!(found, 1, "{query}: {}", browser.text());
    }
}

#[tokio::test]
async fn a_job_s_page_follows_the_job() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let mut browser = Chromium::start();
    log_in(&mut browser, &server);
    browser.open(&format!("{}/finetune?base=library/tiny&dataset=library/colours", server.url));
    browser.submit(&[("effort", "custom"), ("strategy", "full"), ("epochs", "3"), ("batch_size", "6"), ("name", "library/painted")]);
    let page = browser.evaluate("location.pathname").as_str().unwrap().to_owned();
    assert!(page.starts_with("/jobs/"), "{page}: {}", browser.text());
    assert!(browser.text().contains("queued"), "{}", browser.text());
    browser.evaluate("window.same = true");

    let worker = Worker::start(&server);
    let seen = "new Promise(done => { const look = () => document.getElementById('job-report').dataset.live === 'false' \
        || /Published as/.test(document.body.innerText) ? done(true) : setTimeout(look, 100); look(); })";
    browser.evaluate(seen);
    assert_eq!(browser.evaluate("window.same"), true, "the page was loaded again");
    let text = browser.text();
    assert!(text.contains("succeeded") && text.contains("library/painted@1"), "{text}");
    assert!(
        browser.evaluate("document.querySelectorAll('#job-report svg path, #job-report svg polyline').length").as_u64().unwrap() > 0,
        "no curve"
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    keep_picture(&mut browser, "job");
    drop(worker);

    // The same page without a script.
    browser.scripts(false);
    browser.open(&format!("{}{page}", server.url));
    browser.scripts(true);
    assert!(browser.text().contains("library/painted@1"));
}

/// Gives files of this machine to the page's input, as a person does in the system's own window.
fn choose(browser: &mut Chromium, selector: &str, files: &[&std::path::Path]) {
    let found = browser.call("Runtime.evaluate", json!({ "expression": format!("document.querySelector({})", json!(selector)) }));
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    browser.call("DOM.setFileInputFiles", json!({ "files": files, "objectId": found["result"]["objectId"] }));
}

/// Waits until a script says yes.
fn wait_for(browser: &mut Chromium, what: &str) {
    while !browser.holds(&format!("Boolean({what})")) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_data_set_is_uploaded_from_the_page_and_taken_up_again() {
    let server = Server::start();
    let work = tempfile::tempdir().unwrap();
    let zip = work.path().join("colours.zip");
    std::fs::write(&zip, training::pictures_zip(3, 8)).unwrap();
    let mut browser = Chromium::start();
    log_in(&mut browser, &server);
    browser.open(&format!("{}/new/dataset", server.url));
    assert_eq!(browser.evaluate("document.getElementById('plain')"), json!(null), "the plain form is for browsers without scripts");
    choose(&mut browser, "#upload input[type=file]", &[&zip]);
    wait_for(&mut browser, "document.querySelectorAll('.class-row').length === 3");
    wait_for(&mut browser, "document.querySelectorAll('.strip canvas').length > 0");
    let text = browser.text();
    assert!(text.contains("24 pictures") && text.contains("3 classes") && text.contains("fewer than 10 pictures"), "{text}");
    keep_picture(&mut browser, "upload-found");
    browser.evaluate("document.getElementById('name').value = 'colours'; document.getElementById('upload').requestSubmit()");
    wait_for(&mut browser, "location.pathname === '/datasets/admin/colours' && document.readyState === 'complete'");
    assert!(browser.text().contains("red") && browser.text().contains("A look inside"), "{}", browser.text());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    keep_picture(&mut browser, "uploaded");

    // The next version goes beside what is there: what the server has is not sent again.
    let more = work.path().join("more.zip");
    std::fs::write(&more, training::pictures_zip(2, 3)).unwrap();
    browser.open(&format!("{}/datasets/admin/colours/upload", server.url));
    choose(&mut browser, "#upload input[type=file]", &[&more]);
    wait_for(&mut browser, "document.querySelectorAll('.class-row').length === 2");
    browser.evaluate("document.getElementById('upload').requestSubmit()");
    wait_for(&mut browser, "location.pathname === '/datasets/admin/colours' && document.readyState === 'complete'");
    assert!(browser.text().contains("version 2"), "{}", browser.text());
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
