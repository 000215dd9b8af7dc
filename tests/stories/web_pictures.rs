//! Pictures of items stand at addresses of their own: kept by browsers for ever, shown to whoever may see the data set or the job, and made where the
//! items lie, in a zip too. Pages stay small by them, and are packed on their way.

use crate::support::publishing::{create_repo, png, publish};
use crate::support::training::{Person, Worker};
use crate::support::visitor::Browser;
use crate::support::{Reply, Server};
use serde_json::json;

/// The addresses of pictures on a page, in order.
fn pictures(page: &str) -> Vec<String> {
    let sources = page.split("<img src=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    sources.filter(|source| !source.starts_with("data:")).collect()
}

#[tokio::test]
async fn a_cell_of_a_packed_data_set_opens_its_pictures() {
    let server = Server::start();
    let admin = Person::admin(&server);
    let (ada, eve) = (admin.invite("ada").await, admin.invite("eve").await);
    ada.publish_both("ada/tiny", "ada/colours", 40).await;
    let recipe = json!({ "strategy": "head", "head_solver": "sgd", "epochs": 1, "batch_size": 6, "threads": 1 });
    let id = ada.finetune(json!({ "base": "ada/tiny", "dataset": "ada/colours", "name": "ada/net", "recipe": recipe })).await;
    let _worker = Worker::start(&server);
    assert_eq!(ada.end(&id).await["state"], "succeeded", "{}", ada.log(&id).await);

    let mut browser = Browser::logged_in(&server, &ada.token).await;
    let report = browser.page(&format!("/jobs/{id}")).await;
    assert!(!report.contains("data:image/") && report.len() < 100_000, "{} bytes", report.len());
    for cell in
        report.split("/items?truth=").skip(1).map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&"))
    {
        let page = browser.page(&format!("/jobs/{id}/items?truth={cell}")).await;
        let shown = pictures(&page);
        assert!(!shown.is_empty() && page.matches("<li><img").count() == shown.len() && !page.contains("no-picture"), "{cell}: {page}");
        for address in shown {
            let reply = browser.get(&address).await;
            assert_eq!(reply.status, 200, "{address}: {}", reply.text());
            assert!(reply.header("content-type").starts_with("image/") && reply.header("cache-control").contains("immutable"), "{address}");
        }
    }
    for address in pictures(&report) {
        assert!(address.starts_with(&format!("/jobs/{id}/pictures/")), "{address}");
        assert_eq!(browser.get(&address).await.status, 200, "{address}");
        let mut other = Browser::logged_in(&server, &eve.token).await;
        assert_eq!(other.get(&address).await.status, 404, "a job is its owner's business");
    }
    assert_eq!(browser.get(&format!("/jobs/{id}/pictures/9999")).await.status, 404);
}

#[tokio::test]
async fn pictures_are_shown_to_those_who_see_the_data_set() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let (ada, eve) = (server.user("ada").await, server.user("eve").await);
    create_repo(&ada, "dataset", "ada/shapes").await;
    let of = |n: u8| [(format!("dark/a b {n}.png"), png(9 * n)), (format!("bright/{n}.png"), png(150 + 9 * n))];
    let files: Vec<(String, Vec<u8>)> = (0..6).flat_map(of).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
    publish(&ada, "datasets/ada/shapes", None, &files).await.created();
    let mut stranger = Browser::new(&server);
    let page = stranger.page("/datasets/ada/shapes").await;
    let shown = pictures(&page);
    assert!(shown.len() >= 2 && shown.iter().all(|address| address.starts_with("/datasets/ada/shapes/items/")), "{page}");
    for address in &shown {
        assert_eq!(stranger.get(address).await.status, 200, "{address}");
    }
    // By a name that may move it is asked for anew; what is no item has no picture.
    let moving = stranger.get("/datasets/ada/shapes/items/main/dark/a%20b%203.png").await;
    assert_eq!((moving.status.as_u16(), moving.header("cache-control")), (200, "private, no-cache"));
    for none in ["main/dark/none.png", "main/README.md", "9/dark/a%20b%203.png", "main/../../etc/passwd"] {
        assert_eq!(stranger.get(&format!("/datasets/ada/shapes/items/{none}")).await.status, 404, "{none}");
    }
    ada.patch("/api/v1/datasets/ada/shapes", &json!({ "private": true })).await.ok();
    assert_eq!(stranger.get(&shown[0]).await.status, 404, "kept in memory, and not for everybody");
    assert_eq!(Browser::logged_in(&server, &eve.token).await.get(&shown[0]).await.status, 404);
    assert_eq!(Browser::logged_in(&server, &ada.token).await.get(&shown[0]).await.status, 200);
}

/// What an answer says, unpacked by what it names.
fn unpacked(reply: &Reply) -> String {
    let mut read = Vec::new();
    match reply.header("content-encoding") {
        "br" => brotli::BrotliDecompress(&mut &reply.bytes[..], &mut read).unwrap(),
        "gzip" => assert!(std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&reply.bytes[..]), &mut read).is_ok()),
        other => panic!("it is packed by {other:?}"),
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn pages_are_packed_for_whoever_takes_it_and_bytes_never_are() {
    let server = Server::start_with(&["--workers", "0"], &[]);
    let ada = server.user("ada").await;
    create_repo(&ada, "model", "ada/net").await;
    let text = b"the same words again and again\n".repeat(200);
    publish(&ada, "models/ada/net", None, &[("README.md", &text)]).await.created();
    let mut browser = Browser::new(&server);
    let plain = browser.page("/ada/net").await;
    let sheet = plain.split('"').find(|word| word.starts_with("/static/style-")).expect("a page has a style sheet").to_owned();
    let plain_sheet = browser.get(&sheet).await.text();
    let packed = |path: &str| browser.request(reqwest::Method::GET, path).header("accept-encoding", "gzip, deflate, br");
    let by_gzip = |path: &str| browser.request(reqwest::Method::GET, path).header("accept-encoding", "br;q=0.1, gzip");
    let (page, gzipped, list) = (packed("/ada/net"), by_gzip("/ada/net"), packed("/api/v1/openapi.json"));
    let sheets = [packed(&sheet), by_gzip(&sheet)];
    let (file, part) =
        (packed("/ada/net/resolve/main/README.md"), packed("/ada/net/resolve/main/README.md").header("range", "bytes=10-19"));
    let reply = browser.answer(page).await;
    assert_eq!((reply.header("content-encoding"), reply.header("vary").contains("Accept-Encoding")), ("br", true));
    assert!(unpacked(&reply) == plain && reply.bytes.len() * 2 < plain.len(), "{} of {}", reply.bytes.len(), plain.len());
    let gzipped = browser.answer(gzipped).await;
    assert_eq!(gzipped.header("content-encoding"), "gzip", "it is taken more gladly");
    assert!(unpacked(&gzipped) == plain && reply.bytes.len() < gzipped.bytes.len(), "{}", gzipped.bytes.len());
    for (sheet, encoding) in sheets.into_iter().zip(["br", "gzip"]) {
        let reply = browser.answer(sheet).await;
        assert_eq!((reply.header("content-encoding"), reply.header("vary")), (encoding, "Accept-Encoding"));
        assert!(unpacked(&reply) == plain_sheet && reply.header("cache-control").contains("immutable"));
    }
    assert_eq!(browser.answer(list).await.header("content-encoding"), "br");
    let (file, part) = (browser.answer(file).await, browser.answer(part).await);
    assert!(!file.headers.contains_key("content-encoding") && file.bytes[..] == text[..]);
    assert!(!part.headers.contains_key("content-encoding") && part.status == 206 && part.bytes[..] == text[10..20]);

    // What another site makes a browser ask for with its cookies is not packed: the length of what is packed tells of what is in it.
    let mut inside = Browser::logged_in(&server, &ada.token).await;
    for (site, encoding) in [("same-origin", "br"), ("none", "br"), ("cross-site", ""), ("same-site", "")] {
        let request =
            inside.request(reqwest::Method::GET, "/settings/tokens").header("accept-encoding", "gzip, br").header("sec-fetch-site", site);
        let reply = inside.answer(request).await;
        let found = reply.headers.get("content-encoding").map_or("", |value| value.to_str().unwrap());
        assert_eq!((reply.status.as_u16(), found), (200, encoding), "{site}");
    }
}
