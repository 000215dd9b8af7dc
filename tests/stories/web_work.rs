//! The working pages, as a person without scripts meets them: uploads, settings, cards, profiles, organisations, administration,
//! reports; and what the upload page's script asks for.

use crate::support::publishing::{create_repo, file, png, publish, sha256, upload, zip};
use crate::support::training::{Person, Worker, pictures_zip};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::json;

/// What nobody may write on a page of ours.
const EVIL: &str = "\"><img src=x onerror=alert(1)><script>alert(2)</script>";

#[track_caller]
fn harmless(page: &str) {
    for sign in ["<img src=x", "<script>alert", "javascript:alert"] {
        assert!(!page.contains(sign), "{sign} in {page}");
    }
}

/// A form with files, as a browser without scripts sends it.
fn multipart(browser: &Browser, path: &str, fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> reqwest::RequestBuilder {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes());
    }
    for (name, bytes) in files {
        let head = format!("--edge\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\n");
        body.extend(format!("{head}Content-Type: application/octet-stream\r\n\r\n").into_bytes());
        body.extend_from_slice(bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    browser.request(Method::POST, path).header("content-type", "multipart/form-data; boundary=edge").body(body)
}

/// A script wants no pages.
fn programs() -> reqwest::header::HeaderMap {
    [(reqwest::header::ACCEPT, reqwest::header::HeaderValue::from_static("application/json"))].into_iter().collect()
}

async fn inside(server: &Server, api: &Api) -> (Browser, String) {
    let mut browser = Browser::logged_in(server, &api.token).await;
    let form = csrf(&browser.page("/settings/tokens").await);
    (browser, form)
}

#[tokio::test]
async fn a_data_set_is_uploaded_without_a_script() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let (mut browser, form) = inside(&server, &ada).await;
    assert_eq!(Browser::new(&server).get("/new/dataset").await.header("location"), "/login?next=/new/dataset");
    let page = browser.page("/new/dataset").await;
    assert!(page.contains("enctype=\"multipart/form-data\"") && page.contains("value=\"ada\""), "{page}");
    let (pictures, fields) = (pictures_zip(3, 4), [("csrf", form.as_str()), ("owner", "ada"), ("name", "flowers"), ("private", "1")]);

    // A form that is not ours stores nothing, wherever its word stands.
    for wrong in [&fields[1..], &[("csrf", "guessed"), ("owner", "ada"), ("name", "flowers")][..]] {
        let refused = browser.answer(multipart(&browser, "/new/dataset", wrong, &[("flowers.zip", &pictures)])).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
    for (header, value) in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
        let sent = multipart(&browser, "/new/dataset", &fields, &[("flowers.zip", &pictures)]).header(header, value);
        assert_eq!(Reply::of(sent).await.status, 403, "{header}");
    }
    // A refused one leaves no empty repo behind, and its name free.
    let broken = browser.answer(multipart(&browser, "/new/dataset", &fields, &[("flowers.zip", b"PK\x03\x04 no zip")])).await;
    assert_eq!(broken.status, 422, "{}", broken.text());
    assert!(broken.text().contains("role=\"alert\"") && broken.text().contains("value=\"flowers\""), "what was typed stays");
    ada.get("/api/v1/datasets/ada/flowers").await.problem(404, "repo_not_found");
    let nothing = browser.answer(multipart(&browser, "/new/dataset", &fields, &[("", b"")])).await;
    assert_eq!(nothing.status, 400, "{}", nothing.text());
    let elsewhere = [("csrf", form.as_str()), ("owner", "library"), ("name", "flowers")];
    let refused = browser.answer(multipart(&browser, "/new/dataset", &elsewhere, &[("flowers.zip", &pictures)])).await;
    assert_eq!(refused.status, 403, "nobody publishes where they have no right");
    let climbing = browser.answer(multipart(&browser, "/new/dataset", &fields, &[("../../etc/x.zip", &pictures)])).await;
    assert_eq!(climbing.status, 422, "{}", climbing.text());

    let made = browser.answer(multipart(&browser, "/new/dataset", &fields, &[("flowers.zip", &pictures)])).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, "/datasets/ada/flowers"), "{}", made.text());
    let found = ada.get("/api/v1/datasets/ada/flowers").await.ok();
    assert_eq!(
        (&found["private"], &found["facts"]["classes"], &found["version"]["number"]),
        (&json!(true), &json!(3), &json!(1)),
        "{found}"
    );

    // Files of a folder, beside what is there; then in its place, where the card stays.
    let (licence, card) = (b"CC0".to_vec(), b"# Flowers\n".to_vec());
    let beside = [("csrf", form.as_str()), ("place", "beside"), ("message", "More")];
    let files: [(&str, &[u8]); 2] = [("pets/LICENSE", &licence), ("pets/README.md", &card)];
    let more = browser.answer(multipart(&browser, "/datasets/ada/flowers/upload", &beside, &files)).await;
    assert_eq!(more.status, 303, "{}", more.text());
    let paths = async || {
        let files = ada.get("/api/v1/datasets/ada/flowers/versions/main/files").await.ok();
        files["items"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(paths().await, ["LICENSE", "README.md", "flowers.zip"]);
    let instead = [("csrf", form.as_str()), ("place", "instead")];
    let other = zip(&[("red/a.png", &png(1)), ("blue/b.png", &png(2))]);
    let sent = browser.answer(multipart(&browser, "/datasets/ada/flowers/upload", &instead, &[("data.zip", &other)])).await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    assert_eq!(paths().await, ["LICENSE", "README.md", "data.zip"]);
    let bob = server.user("bob").await;
    let mut stranger = Browser::logged_in(&server, &bob.token).await;
    assert_eq!(stranger.get("/datasets/ada/flowers/upload").await.status, 404, "a private one does not exist for others");
}

#[tokio::test]
async fn the_upload_page_s_script_sends_in_parts_behind_the_cookie() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let (mut browser, form) = inside(&server, &ada).await;
    let pictures = pictures_zip(2, 6);
    let digest = sha256(&pictures);
    let ask = |browser: &Browser, method: Method, path: &str| browser.request(method, path).headers(programs());
    let known = |request: reqwest::RequestBuilder| request.header("x-form-token", form.clone());

    // Without the page's word nothing is taken, and a cookie alone is none.
    let naked = ask(&browser, Method::POST, "/new/blobs/missing").json(&json!({ "sha256": [digest] }));
    assert_eq!(browser.answer(naked).await.status, 403);
    let missing = known(ask(&browser, Method::POST, "/new/blobs/missing")).json(&json!({ "sha256": [digest] }));
    assert_eq!(browser.answer(missing).await.ok()["missing"], json!([digest]));

    let announce = known(ask(&browser, Method::POST, "/new/uploads")).json(&json!({ "sha256": digest, "size_bytes": pictures.len() }));
    let upload = browser.answer(announce).await.created();
    let at = format!("/new/uploads/{}", upload["id"].as_str().unwrap());
    let half = pictures.len() / 2;
    // The second half comes first; the page is left, and asks what is there.
    let range = |from: usize, to: usize| format!("bytes {from}-{}/{}", to - 1, pictures.len());
    let second =
        known(ask(&browser, Method::PUT, &at)).header("content-range", range(half, pictures.len())).body(pictures[half..].to_vec());
    assert_eq!(browser.answer(second).await.ok()["complete"], false);
    let seen = browser.answer(ask(&browser, Method::GET, &at)).await.ok();
    assert_eq!(seen["received"], json!([[half, pictures.len()]]));
    let first = known(ask(&browser, Method::PUT, &at)).header("content-range", range(0, half)).body(pictures[..half].to_vec());
    assert_eq!(browser.answer(first).await.ok()["complete"], true);

    let check = async |browser: &mut Browser, id: &str| {
        let path = format!("/new/check?kind=dataset&id={}", url::form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>());
        browser.answer(ask(browser, Method::GET, &path)).await.ok()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(check(&mut browser, "ada/colours").await, "free");
    assert_eq!(check(&mut browser, "library/colours").await, "refused");
    assert_eq!(check(&mut browser, EVIL).await, "refused");
    let body = json!({ "message": EVIL, "new": true, "private": false, "summary": EVIL, "place": "instead",
        "files": [{ "path": "data.zip", "sha256": digest, "size_bytes": pictures.len() }] });
    let published = known(ask(&browser, Method::POST, "/new/publish/datasets/ada/colours")).json(&body);
    let done = browser.answer(published).await.ok();
    assert_eq!((&done["href"], &done["version"]), (&json!("/datasets/ada/colours"), &json!(1)), "{done}");
    assert_eq!(check(&mut browser, "ada/colours").await, "taken");
    let again = known(ask(&browser, Method::POST, "/new/publish/datasets/ada/colours")).json(&body);
    browser.answer(again).await.problem(409, "repo_exists");
    for path in ["/datasets/ada/colours", "/datasets/ada/colours/settings", "/datasets/ada/colours/upload"] {
        harmless(&browser.page(path).await);
    }
    let page = browser.page("/datasets/ada/colours").await;
    assert!(page.contains("class=\"hist-row\"") && page.contains("Recommend a backbone"), "{page}");
}

#[tokio::test]
async fn an_owner_changes_a_repo_on_its_settings_page() {
    let server = Server::start();
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    create_repo(&ada, "model", "ada/net").await;
    for (parent, text) in [(None, "# One\n"), (Some(1), "# Two\n")] {
        publish(&ada, "models/ada/net", parent, &[("README.md", text.as_bytes())]).await.created();
    }
    let (mut browser, form) = inside(&server, &ada).await;
    let (mut stranger, theirs) = inside(&server, &bob).await;
    let page = browser.page("/ada/net").await;
    assert!(page.contains("href=\"/ada/net/settings\""), "{page}");
    assert!(!stranger.page("/ada/net").await.contains("/ada/net/settings"), "whoever may change nothing is offered nothing");
    assert_eq!(stranger.get("/ada/net/settings").await.status, 403);
    assert_eq!(stranger.send("/ada/net/settings/summary", &[("csrf", &theirs), ("summary", "mine")]).await.status, 403);
    assert_eq!(browser.send("/ada/net/settings/summary", &[("summary", "x")]).await.status, 403, "without the page's own word");
    assert_eq!(Browser::new(&server).get("/ada/net/settings").await.header("location"), "/login?next=%2Fada%2Fnet%2Fsettings");

    let send = async |browser: &mut Browser, act: &str, fields: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("csrf", form.as_str())].into_iter().chain(fields.iter().copied()).collect();
        browser.send(&format!("/ada/net/settings/{act}"), &all).await
    };
    assert_eq!(send(&mut browser, "summary", &[("summary", EVIL)]).await.status, 303);
    harmless(&browser.page("/ada/net/settings").await);
    assert_eq!(send(&mut browser, "summary", &[("summary", "A net")]).await.status, 303);
    assert_eq!(send(&mut browser, "visibility", &[("visibility", "private")]).await.status, 303);
    assert_eq!(stranger.get("/ada/net").await.status, 404);
    assert_eq!(send(&mut browser, "visibility", &[("visibility", "public")]).await.status, 303);
    assert_eq!(send(&mut browser, "tag", &[("tag", "v1.0"), ("version", "1")]).await.status, 303);
    assert_eq!(ada.get("/api/v1/models/ada/net/versions/v1.0").await.ok()["version"]["number"], 1);
    let refused = send(&mut browser, "tag", &[("tag", EVIL), ("version", "1")]).await;
    assert!(refused.status.is_client_error() && refused.text().contains("role=\"alert\""), "{}", refused.text());
    harmless(&refused.text());
    assert_eq!(send(&mut browser, "untag", &[("tag", "v1.0")]).await.status, 303);
    assert_eq!(send(&mut browser, "yank", &[("version", "2")]).await.status, 303);
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 1, "main leaves it");
    assert_eq!(send(&mut browser, "unyank", &[("version", "2")]).await.status, 303);
    assert_eq!(send(&mut browser, "delete-version", &[("version", "2"), ("confirm", "")]).await.status, 422, "it is typed");
    assert_eq!(send(&mut browser, "delete-version", &[("version", "2"), ("confirm", "2")]).await.status, 303);
    let moved = send(&mut browser, "move", &[("owner", "ada"), ("name", "better-net")]).await;
    assert_eq!(moved.header("location"), "/ada/better-net/settings", "{}", moved.text());
    let gone = browser.send("/ada/better-net/settings/delete", &[("csrf", &form), ("confirm", "ada/net")]).await;
    assert_eq!(gone.status, 422);
    let gone = browser.send("/ada/better-net/settings/delete", &[("csrf", &form), ("confirm", "ada/better-net")]).await;
    assert_eq!((gone.status.as_u16(), gone.header("location")), (303, "/ada"));
    ada.get("/api/v1/models/ada/better-net").await.problem(404, "repo_not_found");
}

#[tokio::test]
async fn a_card_is_edited_with_a_look_at_it_first() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    publish(&ada, "models/ada/net", None, &[("README.md", b"# One\n\nA first net.\n"), ("notes.txt", b"kept")]).await.created();
    let (mut browser, form) = inside(&server, &ada).await;
    let page = browser.page("/ada/net/edit").await;
    assert!(page.contains("A first net."), "{page}");
    let parent = page.split("name=\"parent\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let text = format!("---\nlicense: mit\n---\r\n# Two\r\n\r\nA **second** net. {EVIL}\r\n");
    let fields = [("csrf", form.as_str()), ("parent", parent.as_str()), ("text", text.as_str()), ("message", "Say more")];
    let shown = browser.send("/ada/net/edit", &[fields.as_slice(), &[("preview", "1")]].concat()).await;
    assert!(shown.status == 200 && shown.text().contains("<strong>second</strong>"), "{}", shown.text());
    harmless(&shown.text());
    assert_eq!(ada.get("/api/v1/models/ada/net").await.ok()["version"]["number"], 1, "a look changes nothing");
    assert_eq!(browser.send("/ada/net/edit", &fields[1..]).await.status, 403);

    let saved = browser.send("/ada/net/edit", &fields).await;
    assert_eq!((saved.status.as_u16(), saved.header("location")), (303, "/ada/net"), "{}", saved.text());
    let found = ada.get("/api/v1/models/ada/net").await.ok();
    assert_eq!((&found["version"]["number"], &found["version"]["message"]), (&json!(2), &json!("Say more")), "{found}");
    let files = ada.get("/api/v1/models/ada/net/versions/2/files").await.ok();
    assert_eq!(files["items"].as_array().unwrap().len(), 2, "the other files stay: {files}");
    // Somebody else saved meanwhile: what was written is not lost, and theirs not overwritten.
    let late = browser.send("/ada/net/edit", &[("csrf", &form), ("parent", &parent), ("text", "# Late\n\nMine."), ("message", "")]).await;
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Mine.") && late.text().contains("role=\"alert\""), "{}", late.text());
}

#[tokio::test]
async fn the_first_administrator_has_a_namespace_of_their_own() {
    let server = Server::start();
    let admin = server.admin();
    assert_eq!(admin.get("/api/v1/whoami").await.ok()["namespaces"][0], json!({ "name": "admin", "role": "admin" }));
    // As `huggingface_hub.create_repo("x")` asks: without an organisation, in the caller's own namespace.
    let made = admin.post("/api/repos/create", &json!({ "name": "x", "type": "model" })).await;
    assert!(made.status.is_success(), "{}", made.text());
    publish(&admin, "models/admin/x", Some(1), &[("README.md", b"# X\n")]).await.created();
    let mut browser = Browser::new(&server);
    assert!(browser.page("/admin/x").await.contains("admin/x"));
    assert!(browser.page("/admin").await.contains("href=\"/admin/x\""));
    server.anonymous().post("/api/v1/users", &json!({ "name": "Admin" })).await.problem(403, "signup_closed");
}

#[tokio::test]
async fn organisations_have_pages_and_their_jobs_are_their_members_business() {
    let server = Server::start();
    let (ada, bob, eve) = (server.user("ada").await, server.user("bob").await, server.user("eve").await);
    let (mut browser, form) = inside(&server, &ada).await;
    let made = browser.send("/settings/organisations", &[("csrf", &form), ("name", "garden-lab"), ("full_name", EVIL)]).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, "/garden-lab"), "{}", made.text());
    harmless(&browser.page("/garden-lab").await);
    let refused = browser.send("/settings/organisations", &[("csrf", &form), ("name", "api"), ("full_name", "")]).await;
    assert!(refused.status == 422 && refused.text().contains("reserved"), "{}", refused.text());
    let added = browser.send("/settings/organisations/garden-lab", &[("csrf", &form), ("user", "bob"), ("role", "read")]).await;
    assert_eq!(added.status, 303, "{}", added.text());
    assert!(browser.page("/garden-lab").await.contains("href=\"/bob\""));
    let (mut bobs, bobs_form) = inside(&server, &bob).await;
    let grabbed = bobs.send("/settings/organisations/garden-lab", &[("csrf", &bobs_form), ("user", "bob"), ("role", "admin")]).await;
    assert_eq!(grabbed.status, 403);
    let (mut eves, _) = inside(&server, &eve).await;
    assert!(!eves.page("/garden-lab").await.contains("href=\"/bob\""), "members are the members' business");
    let named = browser.send("/settings/profile", &[("csrf", &form), ("full_name", "Ada L.")]).await;
    assert_eq!(named.status, 303, "{}", named.text());
    assert!(browser.page("/ada").await.contains("Ada L."));
    assert_eq!(browser.get("/nobody-here").await.status, 404);

    // A job that publishes for the organisation: its members see it, others do not; and not where they may not see its data.
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let pictures = pictures_zip(2, 6);
    upload(&ada, &pictures).await;
    ada.post("/api/v1/repos", &json!({ "kind": "dataset", "id": "ada/secret", "private": true })).await.created();
    let list = json!({ "message": "", "files": [file("data.zip", &pictures)] });
    ada.post("/api/v1/datasets/ada/secret/commits", &list).await.created();
    let ask = async |dataset: &str, name: &str| {
        let body = json!({ "base": "library/tiny", "dataset": dataset, "name": name, "recipe": { "strategy": "head", "threads": 1 } });
        ada.post("/api/v1/finetunes", &body).await.created()["id"].as_str().unwrap().to_owned()
    };
    let (open, closed, own) = (
        ask("library/colours", "garden-lab/open").await,
        ask("ada/secret", "garden-lab/closed").await,
        ask("library/colours", "ada/own").await,
    );
    for (id, of_bob) in [(&open, 200), (&closed, 404), (&own, 404)] {
        assert_eq!(bobs.get(&format!("/jobs/{id}")).await.status.as_u16(), of_bob, "{id}");
        assert_eq!(eves.get(&format!("/jobs/{id}")).await.status, 404);
    }
    let list = bobs.page("/jobs?in=garden-lab").await;
    assert!(list.contains(&open) && !list.contains(&closed) && !list.contains(&own), "{list}");
    assert!(!eves.page("/jobs?in=garden-lab").await.contains(&open));
    let cancel = format!("/jobs/{open}/cancel");
    assert_eq!(bobs.send(&cancel, &[("csrf", &bobs_form)]).await.status, 403, "who may only read cancels nothing");
    bob.post(&format!("/api/v1/jobs/{open}/cancel"), &json!({})).await.problem(403, "no_right");
    browser.send("/settings/organisations/garden-lab", &[("csrf", &form), ("user", "bob"), ("role", "write")]).await;
    assert_eq!(bobs.send(&cancel, &[("csrf", &bobs_form)]).await.status, 303);
}

#[tokio::test]
async fn administrators_see_how_the_site_fares() {
    let server = Server::start();
    let ada = server.user("ada").await;
    let (mut browser, form) = inside(&server, &server.admin()).await;
    let (mut hers, her_form) = inside(&server, &ada).await;
    let pages = [
        "/system",
        "/system/people",
        "/system/storage",
        "/system/queue",
        "/system/results",
        "/system/workers",
        "/system/audit",
        "/system/settings",
        "/system/audit.csv",
    ];
    for path in pages {
        assert_eq!(browser.get(path).await.status, 200, "{path}");
        assert_eq!(hers.get(path).await.status, 403, "{path}");
    }
    assert!(browser.page("/system/settings").await.contains("max_file_bytes"));
    assert!(!browser.page("/system/settings").await.contains(&server.admin_token));
    let invited = browser.send("/system/people/invite", &[("csrf", &form), ("name", "carol"), ("full_name", EVIL)]).await;
    assert_eq!((invited.status.as_u16(), invited.header("location")), (303, "/system/people"), "{}", invited.text());
    let page = browser.page("/system/people").await;
    harmless(&page);
    let token = page.split("/login\n").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!(server.with_token(&token).get("/api/v1/whoami").await.ok()["name"], "carol");
    assert!(!browser.page("/system/people").await.contains(&token), "it is shown once, and a reload makes no other account");

    let made = browser.send("/system/workers", &[("csrf", &form), ("name", "gpu7"), ("days", "")]).await;
    assert_eq!((made.status.as_u16(), made.header("location")), (303, "/system/workers"), "{}", made.text());
    let page = browser.page("/system/workers").await;
    let secret = page.split("<code class=\"secret\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    server.with_token(&secret).get("/api/v1/whoami").await.problem(403, "worker_token");
    let again = browser.page("/system/workers").await;
    assert!(!again.contains(&secret) && again.contains(">gpu7<"), "it is shown once");
    let twice = browser.send("/system/workers", &[("csrf", &form), ("name", "gpu7"), ("days", "")]).await;
    assert!(twice.status == 409 && twice.text().contains("there is a worker token called"), "{}", twice.text());
    let revoke =
        again.split("action=\"").find(|part| part.starts_with("/system/workers/tokens/")).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(browser.send(&revoke, &[("csrf", &form)]).await.status, 303);
    // The form names it as an example.
    assert!(!browser.page("/system/workers").await.contains(">gpu7<"));

    let act = async |browser: &mut Browser, form: &str, act: &str, further: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = [("csrf", form), ("name", "carol")].into_iter().chain(further.iter().copied()).collect();
        browser.send(&format!("/system/people/{act}"), &all).await.status.as_u16()
    };
    assert_eq!(act(&mut hers, &her_form, "disable", &[]).await, 403);
    assert_eq!(act(&mut browser, "guessed", "disable", &[]).await, 403);
    assert_eq!(act(&mut browser, &form, "disable", &[]).await, 303);
    server.with_token(&token).get("/api/v1/whoami").await.problem(401, "bad_token");
    assert_eq!(act(&mut browser, &form, "enable", &[]).await, 303);
    assert_eq!(act(&mut browser, &form, "quota", &[("gigabytes", "1.5")]).await, 303);
    assert_eq!(server.admin().get("/api/v1/users/carol/usage").await.ok()["quota_bytes"], 1_500_000_000u64);
    assert_eq!(act(&mut browser, &form, "quota", &[("gigabytes", "much")]).await, 400);
    tables(&server, &mut browser, &form).await;
    let log = browser.get("/system/audit.csv?action=account.create").await;
    assert!(log.header("content-type").starts_with("text/csv") && log.text().contains("carol"), "{}", log.text());
    assert!(browser.page("/system/audit?since=1h&action=account.create").await.contains("carol"));
}

/// A table of results is taken over in the browser, said by whom it is of, and taken away again.
async fn tables(server: &Server, browser: &mut Browser, form: &str) {
    create_repo(&server.admin(), "model", "admin/net").await;
    let table = "model,top1\nadmin/net,71.5\nadmin/unknown,3\n";
    let part =
        |name: &str, file: &str, text: &str| format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{text}\r\n");
    let send = async |browser: &mut Browser, csrf: &str, file: &str, text: &str| {
        let file = format!("; filename=\"{file}\"");
        let body = [part("csrf", "", csrf), part("on", "", ""), part("table", &file, text), "--edge--\r\n".into()].concat();
        let request = browser.request(Method::POST, "/system/results").header("content-type", "multipart/form-data; boundary=edge");
        browser.answer(request.body(body)).await
    };
    assert_eq!(send(browser, "guessed", "results-imagenet.csv", table).await.status, 403);
    let refused = send(browser, form, "ours.csv", table).await;
    assert!(refused.status == 422 && refused.text().contains("role=\"alert\""), "{}", refused.text());
    let done = send(browser, form, "results-imagenet.csv", table).await.text();
    assert!(done.contains("1 numbers of 1 models") && done.contains("admin/unknown"), "{done}");
    let known = async || server.admin().get("/api/v1/models/admin/net/results").await.ok()["items"].as_array().unwrap().len();
    assert_eq!(known().await, 1);
    let remove = [("csrf", form), ("name", "results-imagenet.csv")];
    assert_eq!(browser.send("/system/results/remove", &remove).await.header("location"), "/system/results");
    assert_eq!((known().await, browser.send("/system/results/remove", &remove).await.status.as_u16()), (0, 404));
}

#[tokio::test]
async fn a_report_says_what_it_comes_to_and_runs_are_laid_over_each_other() {
    let server = Server::start();
    let admin = Person::admin(&server);
    admin.publish_both("library/tiny", "library/colours", 8).await;
    let ask = async |name: &str, epochs: u32| {
        let recipe =
            json!({ "strategy": "head", "head_solver": "sgd", "epochs": epochs, "batch_size": 6, "threads": 1, "publish_anyway": true });
        admin.finetune(json!({ "base": "tiny", "dataset": "colours", "name": name, "recipe": recipe })).await
    };
    let (one, two) = (ask("library/one", 2).await, ask("library/two", 3).await);
    let _worker = Worker::start(&server);
    for job in [&one, &two] {
        assert_eq!(admin.end(job).await["state"], "succeeded", "{}", admin.log(job).await);
    }
    let mut browser = Browser::logged_in(&server, &server.admin_token).await;
    let report = browser.page(&format!("/jobs/{one}")).await;
    assert!(report.contains("class=\"verdict ") && report.contains("always answering"), "{report}");
    assert!(report.contains("class=\"mark s1\"") && report.contains("Changed settings"), "{report}");
    let cell = report.split("/items?truth=").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
    let items = browser.page(&format!("/jobs/{one}/items?truth={cell}")).await;
    assert!(items.contains(".png"), "{items}");
    harmless(
        &browser
            .page(&format!("/jobs/{one}/items?truth={}", url::form_urlencoded::byte_serialize(EVIL.as_bytes()).collect::<String>()))
            .await,
    );

    let compared = browser.page(&format!("/jobs/compare?job={one}&job={two}")).await;
    for part in ["<svg class=\"curve\"", "line s2\"", "epochs", "Class by class", "chance?"] {
        assert!(compared.contains(part), "no {part}: {compared}");
    }
    assert!(browser.page(&format!("/jobs/compare?job={one}")).await.contains("choose two jobs"));
    assert!(browser.get("/jobs/compare?job=nonsense&job=more").await.status.is_client_error());
    // The same again, with other settings: all that was asked for stands in the form.
    let form = browser.page(&format!("/finetune?from={one}")).await;
    assert!(form.contains("value=\"library/one\"") && form.contains("value=\"library/tiny@1\""), "{form}");
    let taken = [
        ("csrf", csrf(&form)),
        ("effort", "quick".into()),
        ("base", "tiny".into()),
        ("dataset", "colours".into()),
        ("name", "library/one".into()),
    ];
    let taken: Vec<(&str, &str)> = taken.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let refused = browser.send("/finetune", &taken).await;
    assert!(refused.status == 422 && refused.text().contains("is there already"), "{}", refused.text());
}

#[tokio::test]
async fn a_repo_s_line_follows_its_card_unless_its_owner_wrote_another() {
    let server = Server::start();
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let line = async || ada.get("/api/v1/models/ada/net").await.ok()["summary"].as_str().unwrap().to_owned();
    let card = async |parent: Option<u32>, text: &str| {
        publish(&ada, "models/ada/net", parent, &[("README.md", format!("# Net\n\n{text}\n").as_bytes())]).await.created();
    };
    card(None, "A first net.").await;
    assert_eq!(line().await, "A first net.");
    card(Some(1), "A second net.").await;
    assert_eq!(line().await, "A second net.", "a new card says it anew");
    ada.patch("/api/v1/models/ada/net", &json!({ "summary": "My net" })).await.ok();
    card(Some(2), "A third net.").await;
    assert_eq!(line().await, "My net", "what its owner wrote stays");
}
