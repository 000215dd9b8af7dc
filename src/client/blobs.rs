//! The calls that carry bytes to the server, and the commit that makes a version of them.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderName;

use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::wire::files::{CheckBlobs, Committed, CreateCommit, CreateUpload, MissingBlobs, Upload};

/// A piece of 8 MiB over a slow line.
const PIECE_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The server reads what it was given: headers of weights, every image of a data set.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60 * 60);

impl Client {
    /// Which of these must be sent? At most a few thousand a call.
    pub async fn missing_blobs(&self, digests: &[Digest]) -> Result<MissingBlobs> {
        let body = CheckBlobs { sha256: digests.iter().map(Digest::to_hex).collect() };
        self.json(Call::with(Method::POST, self.address.api(&["blobs", "missing"]), Repeat::Always, &body)?).await
    }

    /// Announcing the same bytes again gives the same upload, so this may be repeated.
    pub async fn create_upload(&self, digest: &Digest, size_bytes: u64) -> Result<Upload> {
        let body = CreateUpload { sha256: digest.to_hex(), size_bytes };
        self.json(Call::with(Method::POST, self.address.api(&["uploads"]), Repeat::Always, &body)?.patient(PIECE_PATIENCE)).await
    }

    pub async fn upload(&self, id: &str) -> Result<Upload> {
        self.json(Call::get(self.address.api(&["uploads", id]))).await
    }

    /// Sends the bytes at `offset`. A repeat is harmless for the data, but the server would answer it with
    /// "wrong offset", so the caller asks for the offset instead.
    pub async fn append_upload(&self, id: &str, offset: u64, bytes: Bytes) -> Result<Upload> {
        let call = Call::new(Method::PATCH, self.address.api(&["uploads", id]), Repeat::IfRefused)
            .bytes(bytes, "application/octet-stream")
            .header(HeaderName::from_static("upload-offset"), &offset.to_string())
            .patient(PIECE_PATIENCE);
        self.json(call).await
    }

    pub async fn cancel_upload(&self, id: &str) -> Result<()> {
        self.done(Call::delete(self.address.api(&["uploads", id]))).await
    }

    pub async fn commit(&self, kind: RepoKind, id: &RepoId, body: &CreateCommit) -> Result<Committed> {
        let url = self.address.repo(kind, id, &["commits"]);
        self.json(Call::with(Method::POST, url, Repeat::IfRefused, body)?.patient(COMMIT_PATIENCE)).await
    }
}
