//! The calls that carry bytes to the server, and the commit that makes a version of them.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_RANGE;

use super::parts::FileRun;
use super::retry::Repeat;
use super::send::Call;
use super::{Client, Result};
use crate::domain::digest::Digest;
use crate::domain::name::{RepoId, RepoKind};
use crate::domain::pieces::Piece;
use crate::wire::files::{CheckBlobs, Committed, CreateCommit, CreateUpload, MissingBlobs, OfferedTensor, Upload};

/// After its last byte a large file is proved, and perhaps copied to a store elsewhere.
const PROOF_PATIENCE: Duration = Duration::from_secs(30 * 60);
/// The server reads what it was given: headers of weights, every image of a data set.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60 * 60);

impl Client {
    /// Which of these must be sent? At most a few thousand a call.
    pub async fn missing_blobs(&self, digests: &[Digest]) -> Result<MissingBlobs> {
        let body = CheckBlobs { sha256: digests.iter().map(Digest::to_hex).collect() };
        self.json(Call::with(Method::POST, self.bytes_at(&["blobs", "missing"]), Repeat::Always, &body)?).await
    }

    /// Announcing the same bytes again gives the same upload, so this may be repeated.
    pub async fn create_upload(&self, digest: &Digest, size_bytes: u64) -> Result<Upload> {
        self.create_upload_of(digest, size_bytes, &[]).await
    }

    /// The same, with what the file's tensors are: the server takes those it has from its own blobs.
    pub(super) async fn create_upload_of(&self, digest: &Digest, size_bytes: u64, pieces: &[Piece]) -> Result<Upload> {
        let offered =
            |piece: &Piece| OfferedTensor { offset_bytes: piece.offset, size_bytes: piece.size_bytes, sha256: piece.sha256.to_hex() };
        let body = CreateUpload { sha256: digest.to_hex(), size_bytes, tensors: pieces.iter().map(offered).collect() };
        self.json(Call::with(Method::POST, self.bytes_at(&["uploads"]), Repeat::Always, &body)?.patient(PROOF_PATIENCE)).await
    }

    pub async fn upload(&self, id: &str) -> Result<Upload> {
        self.json(Call::get(self.bytes_at(&["uploads", id]))).await
    }

    /// Sends a part of a file of `size_bytes`. A repeat is harmless, but may send what has arrived; so the caller asks
    /// what that is instead.
    pub(super) async fn put_part(&self, id: &str, run: FileRun, size_bytes: u64) -> Result<Upload> {
        let range = format!("bytes {}-{}/{size_bytes}", run.run.start, run.run.end.saturating_sub(1));
        let call = Call::new(Method::PUT, self.bytes_at(&["uploads", id]), Repeat::IfRefused).file(run);
        self.json(call.header(CONTENT_RANGE, &range).patient(PROOF_PATIENCE)).await
    }

    /// Sends a small file whole.
    pub(super) async fn put_blob(&self, digest: &Digest, run: FileRun) -> Result<Upload> {
        let call = Call::new(Method::PUT, self.bytes_at(&["blobs", &digest.to_hex()]), Repeat::Always).file(run);
        self.json(call.patient(PROOF_PATIENCE)).await
    }

    pub async fn cancel_upload(&self, id: &str) -> Result<()> {
        self.done(Call::delete(self.bytes_at(&["uploads", id]))).await
    }

    pub async fn commit(&self, kind: RepoKind, id: &RepoId, body: &CreateCommit) -> Result<Committed> {
        let url = self.address.repo(kind, id, &["commits"]);
        self.json(Call::with(Method::POST, url, Repeat::IfRefused, body)?.patient(COMMIT_PATIENCE)).await
    }
}
