//! Choosing a backbone in the browser: a list that is sorted, narrowed, drawn and compared by addresses alone, where a model's numbers come from, how it
//! came about, and what of it fits which tool. No script runs here.

use std::collections::BTreeSet;

use crate::support::publishing::{create_repo, publish, safetensors};
use crate::support::training::{Person, base_files};
use crate::support::visitor::Browser;
use crate::support::{Api, Server};
use reqwest::Method;
use serde_json::json;

/// A server with the library that came with the program, and nothing behind it.
fn with_library() -> Server {
    Server::start_with(&["--workers", "0"], &[("HUB_LIBRARY", "on"), ("HUB_LIBRARY_UPSTREAM", "http://127.0.0.1:9")])
}

/// Names of the models in a list, in order.
fn names(page: &str) -> Vec<String> {
    let rows = page.split("<a class=\"name\" href=\"").skip(1);
    rows.map(|row| row.split('>').nth(1).unwrap().split('<').next().unwrap().to_owned()).collect()
}

/// What a link with this text leads to.
#[track_caller]
fn link(page: &str, text: &str) -> String {
    let before = page.split(&format!(">{text}")).next().unwrap();
    assert!(before.len() < page.len(), "no link '{text}'");
    before.rsplit("href=\"").next().unwrap().split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

/// What the head of a column with this title leads to.
#[track_caller]
fn column(page: &str, title: &str) -> String {
    let head = page.split(&format!("title=\"{title}\"><a href=\"")).nth(1).unwrap_or_else(|| panic!("no column '{title}'"));
    head.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

const TOP1: &str = "The share of first answers that are right";
const GMACS: &str = "Billions of multiplications with an addition for one input";

async fn results(api: &Api, name: &str) -> Vec<(String, String, f64, String)> {
    let answer = api.get(&format!("/api/v1/models/{name}/results")).await.ok();
    let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let line =
        |item: &serde_json::Value| (text(item, "measure"), text(item, "dataset"), item["value"].as_f64().unwrap(), text(item, "origin"));
    answer["items"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test]
async fn a_list_is_sorted_narrowed_and_passed_on_by_its_address() {
    let server = with_library();
    let mut browser = Browser::new(&server);
    let page = browser.page("/models").await;
    assert!(page.contains("<table class=\"catalog\"") && page.len() < 100_000, "{} bytes", page.len());
    for column in ["Model", "Pretrained on", "Top-1", "Params", "GMACs", "Input", "Items/s", "Licence", "Age"] {
        assert!(page.contains(column), "no column {column}");
    }
    let best = browser.page(&column(&page, TOP1)).await;
    assert!(best.contains("aria-sort=\"descending\""), "the column says how the list is sorted");
    let worst = browser.page(&column(&best, TOP1)).await;
    assert!(worst.contains("aria-sort=\"ascending\""), "the same link turns it round");
    let light = browser.page(&column(&page, GMACS)).await;
    assert!(light.contains("aria-sort=\"ascending\"") && names(&light) != names(&best), "the lightest first");

    // Nobody has pulled anything yet: then what is known to be right is recommended.
    assert!(page.contains("Recommended") && names(&page) == names(&best), "{:?}", names(&page));
    let by_license = browser.page("/models?sort=license").await;
    let licenses: Vec<&str> = by_license.split("<td class=\"license\">").skip(1).map(|cell| cell.split('<').next().unwrap()).collect();
    assert!(by_license.contains("aria-sort=\"ascending\"") && licenses.len() > 10 && licenses.is_sorted(), "{licenses:?}");
    assert!(browser.page("/models?sort=dataset&reversed=true").await.contains("aria-sort=\"descending\""));

    // Several values of a facet, a range, and a chip for each that takes it away.
    let filtered = "/models?license=apache-2.0&license=mit&min_parameters=1000000&max_parameters=12000000&min_top1=0.7&sort=top1";
    let found = browser.page(filtered).await;
    assert!(!names(&found).is_empty() && names(&found).len() < names(&best).len(), "{:?}", names(&found));
    for chip in
        ["Licence: apache-2.0", "Licence: mit", "At least (parameters): 1.00 M", "At most (parameters): 12.0 M", "At least (top-1): 70.0 %"]
    {
        assert!(found.contains(chip), "no chip {chip}");
    }
    let without = browser.page(&link(&found, "Licence: mit")).await;
    assert!(!without.contains("Licence: mit") && without.contains("Licence: apache-2.0"));
    assert!(found.contains("<option value=\"12000000\" selected"), "the form says what is chosen");
    // A form sends its empty fields, too.
    assert_eq!(browser.get("/models?q=&min_parameters=&max_parameters=&min_top1=&runs=").await.status, 200);

    let elsewhere = browser.page("/models?sort=measure:top1@imagenet-real&on=imagenet-real").await;
    assert!(elsewhere.contains("Top-1 on imagenet-real") && elsewhere.contains("aria-sort=\"descending\""), "{elsewhere}");
    assert!(browser.page("/models?q=resnet5O").await.contains("Did you mean"), "a slip of the finger");
    assert!(browser.page("/models?runs=true").await.contains("Nothing matches"), "no file is here, so nothing runs");
}

#[tokio::test]
async fn models_are_drawn_as_points_that_are_links() {
    let server = with_library();
    let mut browser = Browser::new(&server);
    for (x, label) in [("parameters", "Parameters"), ("gmacs", "GMACs"), ("speed", "Items a second")] {
        let page = browser.page(&format!("/models?view=plot&x={x}&source_dataset=imagenet-1k")).await;
        assert!(page.len() < 100_000, "{} bytes", page.len());
        assert!(page.contains(&format!("Top-1 on imagenet-1k over {label}")), "{x}");
        if x == "speed" {
            assert!(page.contains("hub admin results import"), "nothing is known of speed, and it says what would change that");
            continue;
        }
        let svg = page.split("<figure").nth(1).unwrap().split("</figure>").next().unwrap();
        assert!(svg.matches("<title>").count() > 50 && svg.contains(" %, "), "{svg}");
        assert!(svg.contains("href=\"/library/") && svg.contains("class=\"front\""), "{svg}");
        let front = names(&page);
        assert!((2..40).contains(&front.len()), "those that nothing beats are listed: {front:?}");
    }
}

#[tokio::test]
async fn up_to_six_stand_side_by_side() {
    let server = with_library();
    let mut browser = Browser::new(&server);
    let picked: Vec<String> = names(&browser.page("/models?sort=top1").await).into_iter().take(7).collect();
    let query = |names: &[String]| names.iter().map(|name| format!("m=library/{name}")).collect::<Vec<_>>().join("&");
    let two = browser.page(&format!("/compare?{}", query(&picked[..2]))).await;
    assert!(picked[..2].iter().all(|name| two.contains(name.as_str())) && two.contains("class=\"number best\""), "{two}");
    for line in ["Parameters", "GMACs", "top1 on imagenet-1k", "Licence", "hub pull"] {
        assert!(two.contains(line), "no line {line}");
    }
    assert!(two.contains("/compare?a="), "two can be compared item by item");
    let seven = browser.page(&format!("/compare?{}", query(&picked))).await;
    assert!(seven.contains("is one more than 6") && seven.matches("scope=\"col\"").count() == 6, "{seven}");
    let odd = browser.page("/compare?m=library/none-of-these&m=a/b/c").await;
    assert!(odd.contains("No model is chosen") && odd.contains("is no name of a model"), "{odd}");
}

#[tokio::test]
async fn a_table_of_results_is_taken_over_and_marked() {
    let server = with_library();
    let (admin, ada) = (server.admin(), server.user("ada").await);
    let model = "library/resnet18.a1_in1k";
    let text = "model,img_size,top1,top5,param_count\nresnet18.a1_in1k,288,99.5,99.9,11.69\nno_such_net.tag,224,1,2,3\n";
    let body = json!({ "name": "results-imagenet.csv", "text": text });
    ada.post("/api/v1/admin/results", &body).await.problem(403, "site_admin_only");
    let done = admin.post("/api/v1/admin/results", &body).await.ok();
    assert_eq!((done["models"].as_u64(), done["numbers"].as_u64(), done["unknown"].as_u64()), (Some(1), Some(2), Some(1)), "{done}");
    assert_eq!(done["such_as"], json!(["no_such_net.tag"]));
    let bench = json!({ "name": "benchmark-infer.csv", "text": "model,infer_samples_per_sec,infer_gmacs\nresnet18,5123.4,1.9\n" });
    assert_eq!(admin.post("/api/v1/admin/results", &bench).await.ok()["models"], 1, "an alias names the same model");

    let found = results(&ada, model).await;
    assert!(found.contains(&("top1".into(), "imagenet-1k".into(), 0.995, "imported".into())), "{found:?}");
    assert!(
        found.iter().any(|(measure, _, value, origin)| (measure.as_str(), *value, origin.as_str()) == ("gmacs", 1.82, "claimed")),
        "{found:?}"
    );
    let mut browser = Browser::new(&server);
    let best = browser.page("/models?sort=top1").await;
    assert_eq!(names(&best)[0], "resnet18.a1_in1k", "what the administrator took over is believed before the card");
    assert!(best.contains("99.5 %<sup class=\"origin\"") && best.contains("from results-imagenet.csv"), "{best}");
    let quick = browser.page("/models?sort=measure:items_per_second").await;
    assert_eq!(names(&quick), ["resnet18.a1_in1k"], "lists by a number leave out what does not say it");
    let page = browser.page(&format!("/{model}")).await;
    assert!(page.contains("from benchmark-infer.csv") && page.contains("its card says so"), "each number says where it is from");

    // The same name again takes its place.
    let empty = json!({ "name": "results-imagenet.csv", "text": "model,top1\nnobody,1\n" });
    assert_eq!(admin.post("/api/v1/admin/results", &empty).await.ok()["models"], 0);
    assert!(results(&ada, model).await.iter().all(|(measure, _, _, origin)| measure != "top1" || origin == "claimed"));
    for (name, text, code) in
        [("x.csv", "model,top1\na,1\n", "no_dataset"), ("results-imagenet.csv", "a,b\n", "bad_table"), ("", "model,gmacs\n", "bad_name")]
    {
        admin.post("/api/v1/admin/results", &json!({ "name": name, "text": text })).await.problem(422, code);
    }
}

#[tokio::test]
async fn lineage_goes_through_any_number_of_bases() {
    let server = with_library();
    let ada = server.user("ada").await;
    let steps = [
        ("base", "datasets: [imagenet-1k]"),
        ("tuned", "base_model: ada/base\ndatasets: [flowers]"),
        ("again", "base_model: ada/tuned\ndatasets: [pets]"),
    ];
    for (name, front) in steps {
        create_repo(&ada, "model", &format!("ada/{name}")).await;
        let card = format!("---\nlicense: mit\n{front}\n---\n# {name}\n\nA net.\n");
        publish(&ada, &format!("models/ada/{name}"), None, &[("README.md", card.as_bytes())]).await.created();
    }
    let mut browser = Browser::new(&server);
    let listed: BTreeSet<String> = names(&browser.page("/models?source_dataset=imagenet-1k&author=ada").await).into_iter().collect();
    assert_eq!(listed, ["ada/again", "ada/base", "ada/tuned"].map(String::from).into());
    let page = browser.page("/ada/again").await;
    assert!(page.contains("Pretrained on, through its base") && page.contains("/datasets/library/imagenet-1k"), "{page}");
    let ribbon = page.split("class=\"ribbon\"").nth(1).unwrap().split("</ul>").next().unwrap();
    let places: Vec<usize> =
        ["imagenet-1k", "ada/base@1", "ada/tuned@1", "ada/again"].iter().map(|name| ribbon.find(name).unwrap_or(usize::MAX)).collect();
    assert!(places.is_sorted() && *places.last().unwrap() < usize::MAX, "{ribbon}");
    let graph = browser.page("/ada/again/graph").await;
    for part in ["<svg", "this model", "ada/base@1", "imagenet-1k", "from ada/tuned@1"] {
        assert!(graph.contains(part), "no {part} in {graph}");
    }
    assert!(browser.page("/ada/base/graph").await.contains("ada/tuned"), "what was made from it stands to the right");

    // A base that is nobody else's business is a name, and what is behind it stays untold.
    ada.patch("/api/v1/models/ada/base", &json!({ "private": true })).await.ok();
    let page = browser.page("/ada/again").await;
    assert!(!page.contains("imagenet-1k"), "{page}");
}

#[tokio::test]
async fn what_fits_a_tool_is_said_for_this_version() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let admin = Person::admin(&server);
    admin.publish("model", "library/tiny", false, base_files()).await;
    let api = server.admin();
    create_repo(&api, "model", "library/headless").await;
    let config =
        json!({ "architecture": "mobilenetv2_100", "num_classes": 0, "pretrained_cfg": { "input_size": [3, 32, 32] } }).to_string();
    let weights = safetensors(&[("x", &[2])]);
    let files: &[(&str, &[u8])] =
        &[("README.md", b"---\nlicense: mit\n---\n# One\n"), ("config.json", config.as_bytes()), ("model.safetensors", &weights)];
    publish(&api, "models/library/headless", None, files).await.created();
    let files: &[(&str, &[u8])] =
        &[("README.md", b"---\nlicense: mit\n---\n# Two\n"), ("config.json", config.as_bytes()), ("model.safetensors", &weights)];
    publish(&api, "models/library/headless", Some(1), files).await.created();

    let mut browser = Browser::new(&server);
    let page = browser.page("/library/headless").await;
    assert!(page.contains("hub pull headless") && !page.contains("hub predict"), "a model without a head has no classes to ask for");
    assert!(
        page.contains("hf-hub:library/headless&#34;, pretrained=True, num_classes=0")
            || page.contains("hf-hub:library/headless\", pretrained=True, num_classes=0"),
        "{page}"
    );
    let first = browser.page("/library/headless?rev=1").await;
    for part in ["hub pull headless@1", "hf-hub:library/headless@1", "--revision 1", "/versions/1/files/model.safetensors"] {
        assert!(first.contains(part), "no {part} in {first}");
    }
    assert!(first.contains("version 1") && first.contains("/library/headless?rev=2"), "other versions are offered");
    let tiny = browser.page("/library/tiny").await;
    assert!(tiny.contains("hub predict photo.jpg --model tiny") && tiny.contains("ADD --checksum=sha256:"), "{tiny}");
    for label in ["GMACs", "Parameters", "Features", "Input"] {
        assert!(tiny.split("class=\"strip\"").nth(1).unwrap().split("</dl>").next().unwrap().contains(label), "no {label}");
    }
    assert!(names(&browser.page("/models?runs=true").await).contains(&"tiny".to_owned()), "what can be fine-tuned here is a filter");

    let tensors = browser.page("/library/tiny/tensors").await;
    assert!(tensors.contains("/library/tiny/tensors?under=blocks") && tensors.len() < 100_000, "{tensors}");
    assert!(browser.page("/library/tiny/tensors?under=blocks.0").await.contains("blocks.0."), "one level down");
}

#[tokio::test]
async fn a_picture_is_tried_without_a_script() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    Person::admin(&server).publish("model", "library/tiny", false, base_files()).await;
    let mut browser = Browser::new(&server);
    let page = browser.page("/library/tiny/try").await;
    assert!(page.contains("enctype=\"multipart/form-data\"") && page.contains("action=\"/library/tiny/try\""), "{page}");
    let send = async |browser: &mut Browser, picture: &[u8], origin: &str| {
        let head = b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n";
        let body = [&head[..], picture, b"\r\n--b--\r\n"].concat();
        let request = browser.request(Method::POST, "/library/tiny/try").header("content-type", "multipart/form-data; boundary=b");
        browser.answer(request.header("origin", origin).body(body)).await
    };
    let answer = send(&mut browser, &crate::support::publishing::png(7), &server.url).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said = answer.text();
    assert!(said.matches("class=\"bar\"").count() == 8 && said.contains("of a.png") && said.contains("data:image/png;base64,"), "{said}");
    let refused = send(&mut browser, b"no picture", &server.url).await;
    assert!(refused.status == 422 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    assert_eq!(send(&mut browser, b"x", "http://evil.example").await.status, 403);
}

#[tokio::test]
async fn an_administrator_takes_a_table_over_on_the_machine() {
    let server = with_library();
    let home = tempfile::tempdir().unwrap();
    let table = home.path().join("results-imagenet-real.csv");
    std::fs::write(&table, "model,top1\nresnet50.a1_in1k,99.4\n").unwrap();
    let import = |args: &[&str]| {
        server.hub(home.path()).args(["admin", "--data"]).arg(server.data()).args(["results", "import"]).args(args).output().unwrap()
    };
    let done = import(&[table.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("1 numbers of 1 models"), "{said} {}", String::from_utf8_lossy(&done.stderr));
    let found = server.hub(home.path()).args(["search", "--sort", "measure:top1@imagenet-real", "--limit", "1"]).output().unwrap();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(found.contains("resnet50.a1_in1k") && found.contains("99.4 %"), "{found}");
    assert!(!import(&["/nothing/here.csv"]).status.success());
}

#[tokio::test]
async fn what_changed_between_two_versions_is_shown() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let card = |value: &str, text: &str| {
        let index = format!(
            "model-index:\n- name: net\n  results:\n  - task: {{type: image-classification}}\n    dataset: {{name: Pets, type: pets}}\n    metrics: [{{type: accuracy, value: {value}}}]\n"
        );
        format!("---\nlicense: mit\n{index}---\n# Net\n\n{text}\n")
    };
    publish(&ada, "models/ada/net", None, &[("README.md", card("0.5", "Old words.").as_bytes()), ("gone.txt", b"x")]).await.created();
    publish(&ada, "models/ada/net", Some(1), &[("README.md", card("0.75", "New words.").as_bytes()), ("new.txt", b"y")]).await.created();
    let mut browser = Browser::new(&server);
    let versions = browser.page("/ada/net/versions").await;
    let page = browser.page(&link(&versions, "since 1")).await;
    for part in ["From version 1 to version 2", "Old words.", "New words.", "gone.txt", "new.txt", "50.0 %", "75.0 %", "went", "came"] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    assert!(browser.page("/ada/net/changes?from=2&rev=2").await.contains("They hold the same files"));
    assert_eq!(browser.get("/ada/net/changes?rev=1").await.status, 404, "the first has nothing before it");
    // Only of another version than the newest it is said that there is a newer one.
    assert!(browser.page("/ada/net?rev=1").await.contains("You are looking at version 1."));
    for newest in ["/ada/net", "/ada/net?rev=2", "/ada/net?rev=main", "/ada/net/files?rev=2"] {
        assert!(!browser.page(newest).await.contains("You are looking at"), "{newest}");
    }
}

#[tokio::test]
async fn files_are_looked_at_before_they_are_fetched() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let weights = safetensors(&[("stem.weight", &[4, 3])]);
    let picture = crate::support::publishing::png(9);
    let files: &[(&str, &[u8])] = &[
        ("README.md", b"# Net\n"),
        ("notes/a b.txt", b"<script>alert(1)</script> words"),
        ("data.json", br#"{"a":[1,2]}"#),
        ("plot.png", &picture),
        ("model.safetensors", &weights),
        ("blob.bin", &[0xff, 0xfe, 0, 1]),
    ];
    publish(&ada, "models/ada/net", None, files).await.created();
    let mut browser = Browser::new(&server);
    let list = browser.page("/ada/net/files").await;
    for (path, part) in [
        ("notes/a%20b%2Etxt", "&#60;script&#62;alert(1)"),
        ("data%2Ejson", "  &#34;a&#34;: ["),
        ("plot%2Epng", "<img src=\"/ada/net/download/1/plot%2Epng\""),
        ("model%2Esafetensors", "4 × 3"),
        ("blob%2Ebin", "It is no text."),
    ] {
        let address = format!("/ada/net/view/1/{path}");
        assert!(list.contains(&address), "{address} in {list}");
        let page = browser.page(&address).await;
        assert!(page.contains(part) && !page.contains("<script>alert"), "no {part} in {page}");
    }
    assert_eq!(browser.get("/ada/net/view/1/none.txt").await.status, 404);
    assert_eq!(browser.get("/ada/net/view/7/data.json").await.status, 404);
    ada.patch("/api/v1/models/ada/net", &json!({ "private": true })).await.ok();
    assert_eq!(browser.get("/ada/net/view/1/data.json").await.status, 404, "what is private is not there");
}

#[tokio::test]
async fn summaries_follow_the_card_until_somebody_writes_one() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let summary = async || ada.get("/api/v1/models/ada/net").await.ok()["summary"].as_str().unwrap().to_owned();
    let card = async |parent: Option<u32>, text: &str| {
        publish(&ada, "models/ada/net", parent, &[("README.md", format!("# Net\n\n{text}\n").as_bytes())]).await.created();
    };
    card(None, "The first words.").await;
    assert_eq!(summary().await, "The first words.");
    card(Some(1), "Better words.").await;
    assert_eq!(summary().await, "Better words.");
    ada.patch("/api/v1/models/ada/net", &json!({ "summary": "My own." })).await.ok();
    card(Some(2), "Other words.").await;
    assert_eq!(summary().await, "My own.");
}

#[tokio::test]
async fn a_repo_without_versions_is_no_news() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/full").await;
    publish(&ada, "models/ada/full", None, &[("README.md", b"# Net\n")]).await.created();
    create_repo(&ada, "model", "ada/empty").await;
    let mut browser = Browser::new(&server);
    assert_eq!(names(&browser.page("/models?sort=newest").await), ["ada/full", "ada/empty"]);
    assert!(!browser.page("/").await.contains("ada/empty"), "the first page shows what there is");
}

#[tokio::test]
async fn programs_read_what_is_new() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    for (name, private) in [("net", false), ("own", true)] {
        ada.post("/api/v1/repos", &json!({ "kind": "model", "id": format!("ada/{name}"), "private": private })).await.created();
        publish(&ada, &format!("models/ada/{name}"), None, &[("README.md", b"# Net\n\nSmall & <quick>.\n")]).await.created();
    }
    let mut browser = Browser::new(&server);
    let feed = browser.get("/models.atom").await;
    assert!(feed.header("content-type").starts_with("application/atom+xml"));
    let feed = feed.text();
    assert!(feed.contains("<title>ada/net, version 1</title>") && feed.contains("Small &amp;") && !feed.contains("ada/own"), "{feed}");
    ada.post("/api/v1/repos", &json!({ "kind": "dataset", "id": "ada/set" })).await.created();
    publish(&ada, "datasets/ada/set", None, &[("README.md", b"# Set\n\nFew.\n")]).await.created();
    let feed = browser.get("/datasets.atom").await.text();
    assert!(feed.contains("/datasets/ada/set?rev=1") && feed.contains("Newest data sets") && !feed.contains("ada/net"), "{feed}");
    let map = browser.get("/sitemap.xml").await.text();
    assert!(map.contains(&format!("<loc>{}/ada/net</loc>", server.url)) && !map.contains("ada/own"), "{map}");
    assert!(browser.get("/robots.txt").await.text().contains("Sitemap: "));
    let page = browser.page("/ada/net").await;
    assert!(page.contains("rel=\"canonical\" href=\"/ada/net\"") && page.contains("property=\"og:title\" content=\"ada/net\""), "{page}");
}

#[tokio::test]
async fn an_error_s_page_knows_who_looks() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    for path in ["/nothing/here", "/ada/net?rev=%00", "/static/none.css"] {
        let reply = browser.get(path).await;
        assert!(reply.status.is_client_error(), "{path}");
        let page = reply.text();
        assert!(page.contains("<span>admin</span>") && !page.contains(">Log in<"), "{path}: {page}");
    }
    assert!(Browser::new(&server).get("/nothing/here").await.text().contains(">Log in<"));
}

#[tokio::test]
async fn an_empty_hub_says_how_to_begin() {
    let server = with_library();
    let page = Browser::new(&server).page("/").await;
    for part in ["hub library add", "hub import weights.pth", "hub publish ./my-model", "hub login --server"] {
        assert!(page.contains(part), "no {part}");
    }
    assert!(!page.contains("hub pull"), "there is nothing to pull yet");
    let bare = Server::start_with(&["--workers", "0"], &[]);
    let page = Browser::new(&bare).page("/").await;
    assert!(!page.contains("hub library add") && page.contains("hub publish"), "without a library there is nothing to add");
}
