//! A hub behind a proxy, at a root and below a path: what people see leads to `public_url`, what programs are told leads
//! back to the name they asked, and nothing leaves the path the hub stands at.

use std::collections::{BTreeSet, VecDeque};

use crate::support::nginx::{Nginx, free_port};
use crate::support::publishing::{create_repo, publish, random, safetensors, sha256};
use crate::support::visitor::{Browser, csrf};
use crate::support::{Api, Reply, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// A hub and an nginx before it; where both say it is.
struct Placed {
    server: Server,
    _nginx: Nginx,
    /// `http://127.0.0.1:port`
    origin: String,
    base: &'static str,
}

/// `stripped`: nginx takes the path away before it passes a request on.
fn place(base: &'static str, stripped: bool) -> Placed {
    let port = free_port();
    let origin = format!("http://127.0.0.1:{port}");
    let server = Server::start_with(&["--workers", "0"], &[("HUB_PUBLIC_URL", &format!("{origin}{base}/"))]);
    let end = if stripped { "/" } else { "" };
    let location = format!("location {base}/ {{ proxy_pass {}{end}; proxy_set_header Host $http_host; }}", server.url);
    Placed { _nginx: Nginx::start(port, &location), server, origin, base }
}

fn links(page: &str) -> Vec<String> {
    values_of(&["href=\"", "src=\"", "action=\"", "data-events=\""], page)
}

fn values_of(attributes: &[&str], page: &str) -> Vec<String> {
    let values = attributes.iter().flat_map(|attribute| page.split(attribute).skip(1));
    let values = values.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&"));
    values.filter(|link| link.starts_with('/')).map(|link| link.split('#').next().unwrap().to_owned()).collect()
}

impl Placed {
    fn all() -> Vec<Placed> {
        vec![place("/ml/hub", true), place("/ml/hub", false), place("", false)]
    }

    fn url(&self) -> String {
        format!("{}{}", self.origin, self.base)
    }

    fn admin(&self) -> Api {
        Api { url: self.url(), ..self.server.admin() }
    }

    async fn fill(&self) {
        let admin = self.admin();
        let card: &[u8] = b"---\nlicense: mit\ntags: [small]\ndatasets: [library/set]\n---\n# A net\n\n[the set](/datasets/library/set)\n";
        create_repo(&admin, "dataset", "library/set").await;
        publish(&admin, "datasets/library/set", None, &[("README.md", b"# Set\n"), ("a.csv", b"a,b\n1,2\n")]).await.created();
        create_repo(&admin, "model", "library/net").await;
        publish(&admin, "models/library/net", None, &[("README.md", card), ("model.safetensors", &safetensors(&[("w", &[8])]))])
            .await
            .created();
        create_repo(&admin, "model", "library/other").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_and_form_stays_below_the_path() {
    for placed in Placed::all() {
        placed.fill().await;
        let base = placed.base;
        let mut browser = Browser::at(&placed.origin);
        let form = browser.page(&format!("{base}/login?next=/jobs")).await;
        assert!(form.contains(&format!("action=\"{base}/login\"")), "{form}");
        let fields = [("csrf", &*csrf(&form)), ("token", &placed.server.admin_token), ("next", "/jobs")];
        let answer = browser.send(&format!("{base}/login"), &fields).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, &*format!("{base}/jobs")), "{}", answer.text());
        let path = format!("; Path={}", if base.is_empty() { "/" } else { base });
        assert!(answer.header("set-cookie").contains(&format!("{path};")), "{}", answer.header("set-cookie"));

        let start = format!("{base}/");
        let (mut linked, mut posted) = (BTreeSet::new(), BTreeSet::new());
        let (mut seen, mut waiting) = (BTreeSet::from([start.clone()]), VecDeque::from([start]));
        while let Some(path) = waiting.pop_front() {
            let reply = browser.get(&path).await;
            // Where forms go, and no link leads.
            if reply.status == 405 {
                posted.insert(path);
                continue;
            }
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            if !reply.header("content-type").starts_with("text/html") {
                continue;
            }
            linked.extend(values_of(&["href=\"", "src=\""], &reply.text()));
            for link in links(&reply.text()) {
                assert!(
                    link.starts_with(&format!("{base}/")) && !link.starts_with(&format!("{base}{base}/")) || base.is_empty(),
                    "{link} on {path}"
                );
                let posts = link.contains("/logout") || link.ends_with("/revoke");
                if !posts && seen.len() < 400 && seen.insert(link.clone()) {
                    waiting.push_back(link);
                }
            }
        }
        assert!(linked.is_disjoint(&posted), "{:?}", linked.intersection(&posted));
        for wanted in ["/library/net", "/datasets/library/set", "/settings/tokens", "/library/net/files"] {
            assert!(seen.contains(&format!("{base}{wanted}")), "{wanted} among {seen:?}");
        }
        let page = browser.page(&format!("{base}/library/net")).await;
        assert!(page.contains(&format!("HUB_SERVER={}", placed.url())), "{page}");
        let lost = browser.get(&format!("{base}/library/absent")).await;
        assert!(lost.status == 404 && lost.text().contains(&format!("href=\"{base}/\"")), "{}", lost.text());
        let mut stranger = Browser::at(&placed.origin);
        let sent = stranger.get(&format!("{base}/jobs")).await;
        assert_eq!(sent.header("location"), format!("{base}/login?next=/jobs"));
        // A form of another site's page is refused as before, ours is not.
        let foreign = browser.form(&format!("{base}/logout"), &[("csrf", "x")]).header("origin", "http://evil.example");
        assert_eq!(Reply::of(foreign).await.status, 403);
        let tokens = browser.page(&format!("{base}/settings/tokens")).await;
        let leave = browser.form(&format!("{base}/logout"), &[("csrf", &csrf(&tokens))]).header("origin", &placed.origin);
        let left = browser.answer(leave).await;
        assert_eq!((left.status.as_u16(), left.header("location")), (303, &*format!("{base}/")), "{}", left.text());
    }
}

/// Everything a program may be told to go on with.
async fn told(api: &Api) -> Vec<String> {
    let mut told = Vec::new();
    let list = api.get("/api/models?limit=1").await;
    told.push(list.header("link").trim_start_matches('<').to_owned());
    let xet = api.get("/api/models/library/net/xet-write-token/main").await.ok();
    told.push(xet["casUrl"].as_str().unwrap().to_owned());
    let object = json!({ "oid": sha256(api.url.as_bytes()), "size": api.url.len() });
    let batch = api.post("/library/net.git/info/lfs/objects/batch", &json!({ "operation": "upload", "objects": [object] })).await.ok();
    let actions = batch["objects"][0]["actions"].as_object().unwrap().values();
    told.extend(actions.map(|action| action["href"].as_str().unwrap().to_owned()));
    let wanted = json!({ "name": "net", "organization": "library" });
    let taken = api.post("/api/repos/create", &wanted).await;
    told.push(taken.json()["url"].as_str().unwrap().to_owned());
    let lines = "{\"key\":\"header\",\"value\":{\"summary\":\"s\"}}\n{\"key\":\"file\",\"value\":{\"path\":\"a\",\"content\":\"eA==\"}}\n";
    let commit =
        api.request(Method::POST, "/api/models/library/net/commit/main").header("content-type", "application/x-ndjson").body(lines);
    told.push(Reply::of(commit).await.ok()["commitUrl"].as_str().unwrap().to_owned());
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_stay_below_the_path_in_every_dialect() {
    for placed in Placed::all() {
        placed.fill().await;
        let (admin, base, url) = (placed.admin(), placed.base, placed.url());
        for address in told(&admin).await {
            assert!(address.starts_with(&format!("{url}/")), "{address} instead of {url}");
        }
        let next = admin.get("/api/models?limit=1").await.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
        let next: Value = admin.http.get(next).send().await.unwrap().json().await.unwrap();
        assert_eq!(next.as_array().unwrap().len(), 1);
        let bare = admin.get("/net/resolve/main/README.md").await;
        assert_eq!((bare.status.as_u16(), bare.header("location")), (307, &*format!("{base}/library/net/resolve/main/README.md")));
        let described = admin.get("/api/v1/openapi.json").await.ok();
        assert_eq!(described["servers"][0]["url"], if base.is_empty() { "/" } else { base });
        // The same as people with the command line do it.
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("m")).unwrap();
        std::fs::write(home.path().join("m/README.md"), "# x\n").unwrap();
        let run = |args: &[&str]| {
            let mut command = placed.server.hub(home.path());
            let done = command.env("HUB_SERVER", &url).args(args).output().unwrap();
            assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let said = run(&["publish", home.path().join("m").to_str().unwrap(), "library/m"]);
        assert!(said.contains(&format!("{url}/library/m")), "{said}");
        run(&["pull", "library/m"]);
        let moved = admin.post("/api/repos/move", &json!({ "fromRepo": "library/m", "toRepo": "library/n" })).await;
        assert_eq!(moved.status, 200, "{}", moved.text());
        let old = admin.get("/library/m/resolve/main/README.md").await;
        assert_eq!((old.status.as_u16(), old.header("location")), (307, &*format!("{base}/library/n/resolve/main/README.md")));

        // Asked without the proxy, by its own name: with the path and without, and led back to that name.
        let inside = placed.server.admin();
        for address in told(&inside).await {
            assert!(address.starts_with(&format!("{}{base}/", inside.url)), "{address}");
        }
        for path in ["/healthz", "/api/v1/models", "/library/net/resolve/main/README.md"] {
            assert_eq!(inside.get(path).await.status, 200, "{path}");
            assert_eq!(inside.get(&format!("{base}{path}")).await.status, 200, "{base}{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_led_back_to_the_trusted_name_it_asked() {
    let settings = [("HUB_PUBLIC_URL", "https://hub.example.test"), ("HUB_TRUSTED_HOSTS", "hub.lan")];
    let server = Server::start_with(&["--workers", "0"], &settings);
    let admin = server.admin();
    create_repo(&admin, "model", "library/net").await;
    create_repo(&admin, "model", "library/other").await;
    publish(&admin, "models/library/net", None, &[("README.md", b"# x\n")]).await.created();
    let port = server.url.rsplit(':').next().unwrap();
    for (host, address) in [
        (format!("hub.lan:{port}"), format!("http://hub.lan:{port}")),
        (format!("localhost:{port}"), format!("http://localhost:{port}")),
        ("hub.example.test".into(), "https://hub.example.test".into()),
        // Asked at the usual port of https, which something before us ends.
        ("hub.lan".into(), "https://hub.lan".into()),
    ] {
        let list = Reply::of(admin.request(Method::GET, "/api/models?limit=1").header("host", &host)).await;
        assert!(list.header("link").starts_with(&format!("<{address}/api/models?")), "{host}: {}", list.header("link"));
        let page =
            Reply::of(admin.http.get(format!("{}/library/net", server.url)).header("host", &host).header("accept", "text/html")).await;
        assert!(page.text().contains("HUB_SERVER=https://hub.example.test"), "people are shown the public address");
    }
    let forged = Reply::of(
        admin.request(Method::GET, "/api/models?limit=1").header("x-forwarded-host", "evil.test").header("x-forwarded-prefix", "/evil"),
    )
    .await;
    assert!(!forged.header("link").contains("evil"), "{}", forged.header("link"));
    assert_eq!(Reply::of(admin.request(Method::GET, "/api/models").header("host", "evil.test")).await.status, 421);
}

#[tokio::test]
async fn a_proxy_that_takes_small_bodies_only_is_given_smaller_parts() {
    let (server, home) = (Server::start(), tempfile::tempdir().unwrap());
    let small = |limit: &str| {
        let port = free_port();
        let location =
            format!("location / {{ client_max_body_size {limit}; proxy_pass {}; proxy_set_header Host $http_host; }}", server.url);
        (Nginx::start(port, &location), format!("http://127.0.0.1:{port}"))
    };
    let large = random(5, (20 << 20) + 7);
    std::fs::create_dir(home.path().join("net")).unwrap();
    std::fs::write(home.path().join("net/large.dat"), &large).unwrap();
    std::fs::write(home.path().join("net/middle.dat"), &large[..3 << 20]).unwrap();
    std::fs::write(home.path().join("net/README.md"), "# Net\n").unwrap();
    let publish = |url: &str, name: &str| {
        let mut command = server.hub(home.path());
        let done = command.current_dir(home.path()).env("HUB_SERVER", url).args(["publish", "net", name]).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    // As nginx is when nobody sets anything.
    let (_nginx, url) = small("1m");
    let (done, said) = publish(&url, "library/net");
    assert!(done && said.matches("smaller parts are tried").count() == 1 && said.contains("client_max_body_size"), "{said}");
    let got = server.admin().get("/api/v1/models/library/net/versions/1/files/large.dat").await;
    assert!(got.bytes == large, "{} bytes", got.bytes.len());
    let (_nginx, url) = small("20k");
    std::fs::write(home.path().join("net/other.dat"), &large[1..2 << 20]).unwrap();
    let (done, said) = publish(&url, "library/other");
    assert!(!done && said.contains("status 413") && said.contains("raise the limit on bodies"), "{said}");
    server.admin().get("/api/v1/models/library/other/versions/1").await.problem(404, "revision_not_found");
}
