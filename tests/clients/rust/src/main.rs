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

/// Bytes that are no text and do not shrink.
#[cfg(feature = "newest")]
fn noise(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|n| ((n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect()
}

/// Repos, files large and small, whole folders: what is large goes by Xet.
#[cfg(feature = "newest")]
fn upload() {
    use hf_hub_1::RepoTypeModel;
    use hf_hub_1::repository::AddSource;

    let client = hf_hub_1::HFClientSync::new().expect("a client");
    let create = |exist_ok| client.create_repository().repo_id("ada/by-rust").repo_type(RepoTypeModel).private(true).exist_ok(exist_ok).send();
    create(false).expect("a new repo");
    create(true).expect("it is there");
    assert!(create(false).is_err());
    let repo = client.model("ada", "by-rust");
    let large = noise(5 << 20, 1);
    let done = repo.upload_file().source(AddSource::bytes(large.clone())).path_in_repo("large.raw").commit_message("large").send();
    let first = done.expect("a large file goes by Xet").commit_oid.expect("the commit");
    let back = |path: &str| repo.download_file_to_bytes().filename(path).send().expect(path);
    assert_eq!(back("large.raw"), large);
    // Most of it is known by now, and is not sent again.
    let longer = [large.as_slice(), b"and more"].concat();
    repo.upload_file().source(AddSource::bytes(longer.clone())).path_in_repo("longer.raw").send().expect("known chunks");
    assert_eq!(back("longer.raw"), longer);

    let folder = std::path::PathBuf::from(std::env::var("HOME").expect("a home")).join("by-rust");
    std::fs::create_dir_all(folder.join("deep/er")).expect("a folder");
    let files = [("README.md", b"# By Rust\n".to_vec()), ("deep/er/a b.txt", b"a".to_vec()), ("deep/er/empty", vec![]), ("deep/big.raw", noise(3 << 20, 2))];
    for (path, bytes) in &files {
        std::fs::write(folder.join(path), bytes).expect("a file");
    }
    let send = || repo.upload_folder().folder_path(folder.clone()).path_in_repo("folder").send().expect("a folder").commit_oid;
    let sent = send();
    for (path, bytes) in &files {
        assert_eq!(back(&format!("folder/{path}")), bytes.as_slice(), "{path}");
    }
    assert_ne!(sent.as_deref(), Some(first.as_str()));
    assert_eq!(send(), sent, "the same again is no new version");
    repo.delete_file().path_in_repo("longer.raw").send().expect("it is there");
    repo.delete_folder().path_in_repo("folder/deep").send().expect("it is there");
    assert!(!repo.file_exists().filename("folder/deep/big.raw").send().expect("an answer"));
    assert!(repo.file_exists().filename("folder/README.md").send().expect("an answer"));
    assert!(repo.upload_file().source(AddSource::bytes("x")).path_in_repo("x").parent_commit(first).send().is_err(), "main has moved on");
    client.delete_repository().repo_id("ada/by-rust").repo_type(RepoTypeModel).send().expect("it is there");
    println!("  hf-hub 1.0.0 (Rust): create, upload of files and folders by Xet, deletes");
}

fn main() {
    old();
    #[cfg(feature = "newest")]
    {
        newest();
        upload();
    }
}
