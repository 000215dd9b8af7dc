//! Publishing in stories: small real files, sent and committed as a client would.

use std::io::Write as _;

use hub::domain::digest::Digest;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, Reply};

/// Bytes drawn from a seed.
pub fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

pub fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_hex()
}

pub async fn create_repo(api: &Api, kind: &str, id: &str) -> Value {
    api.post("/api/v1/repos", &json!({"kind": kind, "id": id})).await.created()
}

/// Announces these bytes.
pub async fn announce(api: &Api, bytes: &[u8]) -> Value {
    api.post("/api/v1/uploads", &json!({"sha256": sha256(bytes), "size_bytes": bytes.len()})).await.created()
}

/// Sends some bytes of an upload.
pub async fn send(api: &Api, upload: &Value, offset: usize, bytes: &[u8]) -> Reply {
    let path = format!("/api/v1/uploads/{}", upload["id"].as_str().unwrap());
    let request = api.request(Method::PATCH, &path).header("Upload-Offset", offset.to_string()).body(bytes.to_vec());
    Reply::of(request).await
}

/// Sends a whole file; the answered upload is complete.
pub async fn upload(api: &Api, bytes: &[u8]) {
    let announced = announce(api, bytes).await;
    if announced["complete"] != true {
        // What arrived before the line broke, or the disk was full, need not come again.
        let offset = announced["offset"].as_u64().unwrap() as usize;
        let sent = send(api, &announced, offset, &bytes[offset..]).await.ok();
        assert_eq!(sent["complete"], true, "{sent}");
    }
}

pub fn file(path: &str, bytes: &[u8]) -> Value {
    json!({"path": path, "size_bytes": bytes.len(), "sha256": sha256(bytes)})
}

/// Sends all files and commits them; `repo` is such as `models/ada/net`.
pub async fn publish(api: &Api, repo: &str, parent: Option<u32>, files: &[(&str, &[u8])]) -> Reply {
    for (_, bytes) in files {
        upload(api, bytes).await;
    }
    commit(api, repo, parent, files.iter().map(|(path, bytes)| file(path, bytes)).collect()).await
}

pub async fn commit(api: &Api, repo: &str, parent: Option<u32>, files: Vec<Value>) -> Reply {
    api.post(&format!("/api/v1/{repo}/commits"), &json!({"message": "a story", "parent": parent, "files": files})).await
}

/// A safetensors file of zeros.
pub fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<usize>() * 4;
        header.insert((*name).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}));
    }
    with_header(&serde_json::to_string(&header).unwrap(), end)
}

/// A file that begins like safetensors, with this header and so many bytes behind it.
pub fn with_header(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

/// A small picture of one colour.
pub fn png(shade: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(24, 24, |x, y| image::Rgb([shade, (x * 9) as u8, (y * 9) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
