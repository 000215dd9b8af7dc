//! The crate `hf-hub` against the hub: metadata, files from their first byte, what is not there. Told where by HF_ENDPOINT,
//! HF_TOKEN and HF_HOME, as its users tell it.

#[cfg(feature = "newest")]
use std::path::Path;

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Repo, RepoType};

/// A word of the JSON in `KNOWN`, without a parser.
fn known(key: &str) -> String {
    let text = std::env::var("KNOWN").expect("run.py says what is known");
    let (_, rest) = text.split_once(&format!("\"{key}\": \"")).expect("the key is there");
    rest.split('"').next().expect("a text").to_owned()
}

fn old() {
    let api = ApiBuilder::from_env().with_token(std::env::var("HF_TOKEN").ok()).with_progress(false).build().expect("a client");
    let repo = api.model("ada/net".to_owned());
    let info = repo.info().expect("the repo is described");
    assert_eq!(info.sha, known("commit"));
    assert_eq!(info.siblings.len(), 6);
    for file in ["config.json", "model.safetensors", "large.bin2", "README.md"] {
        let path = repo.get(file).expect(file);
        // The cache names blobs by their ETag, which is the sha256.
        let blob = std::fs::canonicalize(&path).expect("the blob is there");
        assert_eq!(blob.file_name().and_then(|name| name.to_str()), Some(known(file).as_str()), "{file}");
    }
    let large = std::fs::metadata(repo.get("large.bin2").expect("it is cached")).expect("a file");
    assert_eq!(large.len(), 256 * 50_000);
    let tagged = api.repo(Repo::with_revision("ada/net".into(), RepoType::Model, "v1.0".into()));
    assert_ne!(tagged.info().expect("a tag").sha, known("commit"));
    let table = api.dataset("ada/table".to_owned()).get("data/train.csv").expect("a file of a data set");
    assert!(std::fs::read_to_string(table).expect("a text").starts_with("text,label"));
    assert!(matches!(repo.get("none.json"), Err(ApiError::RequestError(_))));
    assert!(api.model("ada/none".to_owned()).info().is_err());
    println!("  hf-hub 0.5.0 (Rust): info, files, tags, data sets");
}

#[cfg(feature = "newest")]
fn newest() {
    let client = hf_hub_1::HFClientSync::new().expect("a client");
    let repo = client.model("ada", "net");
    let info = repo.info().send().expect("the repo is described");
    assert_eq!(info.id, "ada/net");
    let folder = repo.snapshot_download().send().expect("all of it");
    assert_eq!(std::fs::metadata(folder.join("large.bin2")).expect("a file").len(), 256 * 50_000);
    assert!(Path::new(&folder).ends_with(known("commit")));
    assert!(repo.download_file().filename("none.json").send().is_err());
    assert!(client.model("ada", "none").info().send().is_err());
    assert_eq!(client.whoami().send().expect("a token").username, "ada");
    println!("  hf-hub 1.0.0 (Rust): info, snapshot, whoami");
}

fn main() {
    old();
    #[cfg(feature = "newest")]
    newest();
}
