//! The pages, told as a person with a browser meets them: every link leads somewhere, nothing strangers wrote is
//! anything but text, forms come from our own pages only, and all of it without a script.

use std::collections::{BTreeSet, VecDeque};

use crate::support::publishing::{create_repo, file, publish, safetensors, upload};
use crate::support::training::{Person, Worker};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Reply, Server};
use reqwest::Method;
use serde_json::json;

/// What the page's links and pictures point to on this site.
fn links(page: &str) -> Vec<String> {
    let values = ["href=\"", "src=\""].into_iter().flat_map(|attribute| page.split(attribute).skip(1));
    let values = values.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&"));
    let local = values.filter(|link| link.starts_with('/') && !link.starts_with("//"));
    local.map(|link| link.split('#').next().unwrap().to_owned()).collect()
}

/// What every page keeps to, whatever it shows.
#[track_caller]
fn well_made(path: &str, reply: &Reply) {
    let page = reply.text();
    let head = page.split("</head>").next().unwrap();
    // Marks of charts have titles of their own.
    assert_eq!(head.matches("<title>").count(), 1, "the title of {path}");
    for (part, count) in [("<h1", 1), ("<main", 1), ("<html lang=\"en\">", 1), ("href=\"#main\"", 1)] {
        assert_eq!(page.matches(part).count(), count, "{part} on {path}");
    }
    assert!(page.len() < 100_000, "{path} has {} bytes", page.len());
    for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let names: String = tag.split('"').step_by(2).collect::<Vec<_>>().join(" ");
        assert!(!names.contains(" on") && !names.contains(" style"), "<{tag}> on {path}");
        assert!(!tag.contains("=\"javascript:") && !tag.starts_with("style"), "<{tag}> on {path}");
    }
    for script in page.split("<script").skip(1) {
        assert!(script.starts_with(" src=\"/static/"), "a script of its own on {path}");
    }
    for image in page.split("<img").skip(1) {
        assert!(image.split('>').next().unwrap().contains("alt="), "a picture without a text on {path}");
    }
    assert!(reply.header("content-security-policy").contains("default-src 'none'"), "{path}");
    assert!(reply.header("cache-control").contains("no-store"), "{path}");
    assert!(reply.header("vary").contains("Cookie"), "{path}");
}

#[tokio::test]
async fn every_link_leads_somewhere() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let sgd = json!({ "strategy": "head", "head_solver": "sgd", "epochs": 2, "batch_size": 6, "threads": 1, "publish_anyway": true });
    let job = admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": "library/painted", "recipe": sgd })).await;
    let _worker = Worker::start(&server);
    assert_eq!(admin.end(&job).await["state"], "succeeded", "{}", admin.log(&job).await);

    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let mut seen = BTreeSet::from(["/".to_owned()]);
    let mut waiting = VecDeque::from([("/".to_owned(), "the start".to_owned())]);
    while let Some((path, from)) = waiting.pop_front() {
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, 200, "{path}, linked from {from}");
        if !reply.header("content-type").starts_with("text/html") {
            continue;
        }
        well_made(&path, &reply);
        // Filters combine without end: what they lead to is looked at, and not followed further.
        if path.contains('?') && !path.contains("?rev=") {
            continue;
        }
        for link in links(&reply.text()) {
            if seen.insert(link.clone()) {
                waiting.push_back((link, path.clone()));
            }
        }
        assert!(seen.len() < 1_000, "the links do not end");
    }
    let expected = ["/models", "/datasets", "/jobs", "/api", "/library/tiny", "/library/painted", "/datasets/library/colours"];
    for path in expected.iter().map(|path| path.to_string()).chain([format!("/jobs/{job}"), "/library/tiny/tensors".into()]) {
        assert!(seen.contains(&path), "{path} is linked nowhere");
    }
    assert!(
        seen.iter().any(|path| path.starts_with("/datasets/library/colours/items/")),
        "no picture of the data set, at an address of its version"
    );

    let painted = browser.page("/library/painted").await;
    assert!(painted.contains("href=\"/library/tiny") && painted.contains("href=\"/datasets/library/colours"), "its lineage is linked");
    assert!(browser.page("/library/tiny").await.contains("Fine-tuned from this"), "and told on the base's page");
    assert!(painted.contains(&format!("href=\"/jobs/{job}\"")), "and so is the job that made it");
    assert!(!Browser::new(&server).page("/library/painted").await.contains("/jobs/"), "which is nobody else's business");
    let done = browser.page(&format!("/jobs/{job}")).await;
    for part in ["<svg class=\"curve\"", "Outcome", "class=\"matrix\"", "By class", "/library/painted?rev=1", "data-live=\"false\""] {
        assert!(done.contains(part), "no {part} on the job's page");
    }
    assert!(!done.contains("http-equiv=\"refresh\""), "a page that cannot change does not reload");
}

#[tokio::test]
async fn what_strangers_wrote_is_text() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let evil = "\"><img src=x onerror=alert(1)>{{7*7}}";
    let weights = safetensors(&[(evil, &[2, 3])]);
    let config = json!({ "architecture": "mobilenetv2_100", "num_classes": 2, "label_names": [evil, "<script>alert(2)</script>"] });
    let config = config.to_string().into_bytes();
    let card = format!(
        "---\nlicense: '{evil}'\ntags: ['{evil}']\ndatasets: ['{evil}']\n---\n# {evil}\n\n<script>alert(3)</script>\n\n[x](javascript:alert(4))\n"
    );
    let files: [(&str, &[u8]); 3] = [("README.md", card.as_bytes()), ("config.json", &config), ("model.safetensors", &weights)];
    for (_, bytes) in &files {
        upload(&ada, bytes).await;
    }
    let list: Vec<_> = files.iter().map(|(path, bytes)| file(path, bytes)).collect();
    let body = json!({ "message": evil, "files": list });
    ada.post("/api/v1/models/ada/net/commits", &body).await.created();

    let mut browser = Browser::new(&server);
    let query = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect::<String>();
    let searched = ["/search?q=", "/models?tag=", "/models?license=", "/models?sort=", "/login?next="].map(|path| format!("{path}{query}"));
    let pages = ["/", "/models", "/ada/net", "/ada/net/files", "/ada/net/tensors", "/ada/net/versions", "/ada/net/datasets"];
    for path in pages.into_iter().map(String::from).chain(searched) {
        let reply = browser.get(&path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        well_made(&path, &reply);
        let page = reply.text();
        for sign in ["<img src=x", "<script>alert", "javascript:alert", ">49<"] {
            assert!(!page.contains(sign), "{sign} on {path}");
        }
    }
    for path in [format!("/ada/{query}"), format!("/ada/net?rev={query}"), format!("/ada/net/{query}")] {
        let reply = browser.get(&path).await;
        assert!(reply.status.is_client_error(), "{path}");
        assert!(reply.text().contains("<h1") && !reply.text().contains("<img"), "{path}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_card_s_links_lead_to_the_repo_s_files() {
    let server = Server::start();
    let admin = server.admin();
    crate::support::publishing::create_repo(&admin, "model", "library/doc").await;
    let card = "# T\n\n[use](docs/use.md) [there](#usage) ![plot](plots/a.png)\n\n## Usage\n";
    let picture = crate::support::publishing::png(7);
    for (parent, text) in [(None, "one"), (Some(1), "two")] {
        let files: [(&str, &[u8]); 3] = [("README.md", card.as_bytes()), ("docs/use.md", text.as_bytes()), ("plots/a.png", &picture)];
        crate::support::publishing::publish(&admin, "models/library/doc", parent, &files).await.created();
    }
    let mut visitor = Browser::new(&server);
    let page = visitor.page("/library/doc?rev=1").await;
    assert!(page.contains(r#"href="/library/doc/blob/1/docs/use.md""#), "{page}");
    assert!(page.contains(r##"href="#card-usage""##) && page.contains(r#"id="card-usage""#), "{page}");
    let source = page.split_once("<img src=\"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(visitor.get(source).await.bytes, picture);
    assert!(visitor.page("/library/doc").await.contains("/blob/2/docs/use.md"));
}

#[tokio::test]
async fn a_browser_logs_in_and_out() {
    let server = Server::start();
    let token = server.admin_token.clone();
    let mut browser = Browser::new(&server);
    assert_eq!(browser.get("/jobs").await.header("location"), "/login?next=/jobs");
    let form = csrf(&browser.page("/login").await);

    // A form that is not ours, or not this browser's, changes nothing.
    assert_eq!(browser.send("/login", &[("token", &token)]).await.status, 403);
    assert_eq!(browser.send("/login", &[("csrf", "guessed"), ("token", &token)]).await.status, 403);
    assert_eq!(Browser::new(&server).send("/login", &[("csrf", &form), ("token", &token)]).await.status, 403);
    for (header, value) in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let sent = browser.form("/login", &[("csrf", &form), ("token", &token)]).header(header, value);
        assert_eq!(Reply::of(sent).await.status, 403, "{header}: {value}");
    }
    let wrong = browser.send("/login", &[("csrf", &form), ("token", "hub_wrong")]).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("role=\"alert\"") && !wrong.text().contains("hub_wrong"), "{}", wrong.text());

    // Wherever `next` points, one stays on this site.
    for (next, leads) in [("//evil.example", "/"), ("/\\evil", "/"), ("https://evil", "/"), ("/settings/tokens", "/settings/tokens")] {
        let form = csrf(&browser.page("/login").await);
        let inside = browser.send("/login", &[("csrf", &form), ("token", &token), ("next", next)]).await;
        assert_eq!((inside.status.as_u16(), inside.header("location")), (303, leads), "{next}");
        let cookie = inside.header("set-cookie");
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("Domain"), "{cookie}");
    }
    assert!(browser.page("/").await.contains("admin"), "the page says who is logged in");
    let whoami = Reply::of(browser.request(Method::GET, "/api/v1/whoami")).await;
    assert!(!whoami.text().contains("\"admin\""), "a cookie says nothing to the API: {}", whoami.text());

    let form = csrf(&browser.page("/settings/tokens").await);
    assert_eq!(browser.send("/logout", &[("csrf", "guessed")]).await.status, 403);
    let stolen = browser.cookies.clone();
    assert_eq!(browser.send("/logout", &[("csrf", &form)]).await.header("location"), "/");
    browser.cookies = stolen;
    assert_eq!(browser.get("/settings/tokens").await.status, 303, "a cookie ends with its session");
}

#[tokio::test]
async fn tokens_are_shown_once_and_revoked() {
    let server = Server::start();
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let form = csrf(&browser.page("/settings/tokens").await);
    let fields = [("csrf", form.as_str()), ("name", "lap<b>top"), ("scope", "read"), ("days", "30")];
    assert_eq!(browser.send("/settings/tokens", &fields[1..]).await.status, 403, "without the form's token");
    let refused = browser.send("/settings/tokens", &[("csrf", &form), ("name", "x"), ("scope", "read"), ("days", "9999")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("1 to 3660 days"), "{}", refused.text());

    let made = browser.send("/settings/tokens", &fields).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, "/settings/tokens"), "{}", made.text());
    let page = browser.page("/settings/tokens").await;
    let secret = page.split("class=\"secret\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(server.with_token(&secret).get("/api/v1/whoami").await.ok()["name"], "admin");
    let again = browser.page("/settings/tokens").await;
    assert!(!again.contains(&secret) && again.contains("lap") && !again.contains("<b>top"), "shown once, and as text");

    let line = again.split("<tr>").find(|line| line.contains("lap")).unwrap();
    let revoke = line.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(browser.send(&revoke, &[("csrf", "guessed")]).await.status, 403);
    assert_eq!(browser.send(&revoke, &[("csrf", &form)]).await.status, 303);
    server.with_token(&secret).get("/api/v1/whoami").await.problem(401, "bad_token");
}

#[tokio::test]
async fn a_fine_tune_is_asked_for_watched_and_cancelled() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let page = browser.page("/finetune?base=library/tiny&dataset=library/colours").await;
    assert!(page.contains("value=\"library/tiny\"") && page.contains("value=\"admin/tiny-colours\""), "{page}");
    let form = csrf(&page);
    let fields = |epochs: &'static str, base: &'static str| {
        let rates = [("lr", "0.001"), ("head_lr", "0.01"), ("batch_size", "6"), ("seed", "3"), ("frozen_stages", "0")];
        let what =
            [("csrf", form.clone()), ("base", base.into()), ("dataset", "library/colours".into()), ("name", "library/painted".into())];
        let mut all: Vec<(&str, String)> = what.into_iter().chain([("strategy", "head".into()), ("epochs", epochs.into())]).collect();
        all.extend(rates.map(|(name, value)| (name, value.to_owned())));
        all
    };
    let send = async |browser: &mut Browser, fields: Vec<(&str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.send("/finetune", &fields).await
    };
    for (epochs, base, field) in [("1000000000", "tiny", "epochs"), ("many", "tiny", "epochs"), ("2", "a/b/c", "base")] {
        let refused = send(&mut browser, fields(epochs, base)).await;
        assert_eq!(refused.status, 422, "{epochs} {base}");
        assert!(refused.text().contains(&format!("id=\"{field}-error\"")), "the problem stands beside the field");
        assert!(refused.text().contains("value=\"library/painted\""), "what was typed stays");
    }
    let unknown = send(&mut browser, fields("2", "library/nothing")).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("role=\"alert\""), "{}", unknown.text());
    let mut foreign = fields("2", "tiny");
    foreign[0].1 = "guessed".into();
    assert_eq!(send(&mut browser, foreign).await.status, 403);

    // What it would cost is said before it is sent, and settings of every kind are there, each error beside its field.
    let mut estimate = fields("2", "tiny");
    estimate.push(("estimate", "1".into()));
    let told = send(&mut browser, estimate).await;
    assert!(told.status == 200 && told.text().contains("of memory"), "{}", told.text());
    assert!(!browser.page("/jobs").await.contains("painted"), "nothing was started");
    for (name, value, field) in [("augment.hue", "0.9", "augment-hue"), ("schedule", "sinus", "schedule"), ("task", "regression", "task")] {
        let mut wrong = fields("2", "tiny");
        wrong.push((name, value.into()));
        let refused = send(&mut browser, wrong).await;
        assert_eq!(refused.status, 422, "{name}");
        assert!(refused.text().contains(&format!("id=\"{field}-error\"")), "{name}: {}", refused.text());
    }
    for name in ["head_solver", "layer_decay", "class_weights", "augment.policy", "ema", "clip_norm", "shots", "unlabelled", "compare"] {
        assert!(page.contains(&format!("name=\"{name}\"")), "{name}");
    }

    // The base may be left to the hub; what it costs is then not known yet.
    let mut unknown = fields("2", "auto");
    unknown.push(("estimate", "1".into()));
    let refused = send(&mut browser, unknown).await;
    assert!(refused.status == 422 && refused.text().contains("id=\"base-error\""), "{}", refused.text());
    let mut left = fields("2", "auto");
    left.push(("race", "1".into()));
    let chosen = send(&mut browser, left).await;
    assert_eq!(chosen.status, 303, "{}", chosen.text());
    let id = chosen.header("location").rsplit('/').next().unwrap().to_owned();
    let job = server.with_token(&server.admin_token).get(&format!("/api/v1/jobs/{id}")).await.ok();
    assert_eq!(job["kind"], "recommend", "{job}");

    let asked = send(&mut browser, fields("2", "tiny")).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let job = asked.header("location").to_owned();
    let live = browser.page(&job).await;
    assert!(live.contains("data-live=\"true\"") && live.contains("<noscript><meta http-equiv=\"refresh\""), "{live}");

    // Nobody else sees it, nor does it exist for them.
    assert_eq!(Browser::new(&server).get(&job).await.status, 303);
    let bob = server.user("bob").await;
    let mut other = Browser::logged_in(&server, &bob.token).await;
    assert_eq!(other.get(&job).await.status, 404);
    assert_eq!(other.get(&format!("{job}/events")).await.status, 404);
    assert!(!other.page("/jobs").await.contains(&job));
    let others = csrf(&other.page("/settings/tokens").await);
    assert_eq!(other.send(&format!("{job}/cancel"), &[("csrf", &others)]).await.status, 404);

    assert_eq!(browser.send(&format!("{job}/cancel"), &[("csrf", "guessed")]).await.status, 403);
    assert_eq!(browser.send(&format!("{job}/cancel"), &[("csrf", &form)]).await.status, 303);
    assert!(browser.page(&job).await.contains(">cancelled<"));
    let events = browser.get(&format!("{job}/events?after=0")).await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert!(events.text().contains("\"state\":\"cancelled\""), "{}", events.text());
}

#[tokio::test]
async fn private_repos_do_not_exist_for_strangers() {
    let server = Server::start();
    let ada = server.user("ada").await;
    ada.post("/api/v1/repos", &json!({ "kind": "model", "id": "ada/secret", "private": true })).await.created();
    publish(&ada, "models/ada/secret", None, &[("README.md", b"# Hidden\n\nA hidden thing.\n")]).await.created();
    let mut stranger = Browser::new(&server);
    let mut owner = Browser::logged_in(&server, &ada.token).await;
    assert!(owner.page("/ada/secret").await.contains("A hidden thing."));
    for tab in ["", "/files", "/versions", "/tensors", "/datasets", "/download/1/README.md"] {
        let (hidden, unknown) = (stranger.get(&format!("/ada/secret{tab}")).await, stranger.get(&format!("/ada/nothing{tab}")).await);
        assert_eq!((hidden.status.as_u16(), unknown.status.as_u16()), (404, 404), "{tab}");
        let plain = |reply: &Reply, name: &str| {
            let text = reply.text().replace(name, "NAME");
            text.split("Request ").next().unwrap().to_owned()
        };
        assert_eq!(plain(&hidden, "secret"), plain(&unknown, "nothing"), "{tab}");
    }
    for path in ["/", "/models", "/search?q=hidden"] {
        assert!(!stranger.page(path).await.contains("secret"), "{path}");
    }
    assert!(owner.page("/models").await.contains("/ada/secret"));
    let file = owner.page("/ada/secret/files").await;
    let link = links(&file).into_iter().find(|link| link.contains("/download/") && link.contains("README")).unwrap();
    let download = owner.get(&link).await;
    assert_eq!((download.status.as_u16(), download.text().as_str()), (200, "# Hidden\n\nA hidden thing.\n"));
    assert!(download.header("content-disposition").starts_with("attachment"), "a browser must not show strangers' files");
    assert!(owner.page("/login").await.contains("<span>ada</span>"), "the frame says who is there");
    // An empty repo has a page too.
    create_repo(&ada, "dataset", "ada/empty").await;
    assert_eq!(stranger.get("/datasets/ada/empty").await.status, 200);
}

#[tokio::test]
async fn files_of_the_site_are_kept_and_strays_are_told_what_to_do() {
    let server = Server::start();
    let mut browser = Browser::new(&server);
    let home = browser.page("/").await;
    let files: Vec<_> = links(&home).into_iter().filter(|link| link.starts_with("/static/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let reply = browser.get(&file).await;
        assert_eq!((reply.status.as_u16(), reply.header("cache-control")), (200, "public, max-age=31536000, immutable"), "{file}");
    }
    for path in ["/static/style.css", "/static/style-000000000000.css", "/static/..%2Fsrc%2Fmain.rs", "/nothing", "/a/b/c/d"] {
        let reply = browser.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("<h1") && reply.text().contains("Home"), "{path}: {}", reply.text());
    }
    let refused = browser.send("/models", &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET, HEAD"));
    assert_eq!(Reply::of(browser.request(Method::HEAD, "/models")).await.status, 200);
    assert!(server.anonymous().get("/nothing").await.json()["hint"].is_string(), "programs get the same as JSON");
}
