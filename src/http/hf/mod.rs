//! The Hugging Face Hub's dialect: `huggingface_hub`, `hf`, timm and others read from here with `HF_ENDPOINT`
//! set, unchanged. Our versions are its commits; every file is described as a large one (LFS), because the
//! sha256 it then shows is the digest we keep.

mod batch;
pub mod commit;
pub mod info;
pub mod lfs;
pub mod marks;
pub mod preupload;
mod refusal;
pub mod repos;
pub mod resolve;
pub mod tree;
pub mod xet;

use super::error::HttpError;
use crate::domain::digest::Digest;
use crate::service;

/// A refusal in the words this dialect's clients sort errors by: `X-Error-Code`.
fn refuse(error: service::Error) -> HttpError {
    let error = HttpError::from(error);
    let code = match error.problem.code.as_str() {
        "repo_not_found" => Some("RepoNotFound"),
        "revision_not_found" | "version_deleted" | "nothing_published" | "ambiguous_revision" => Some("RevisionNotFound"),
        "file_not_found" => Some("EntryNotFound"),
        _ => None,
    };
    error.for_hugging_face(code)
}

/// Git's name for a file: clients use it as an opaque key. Ours is the beginning of the sha256.
fn oid(digest: &Digest) -> String {
    digest.to_hex()[..40].to_owned()
}

/// Bytes of the text git-lfs keeps in a file's place.
fn pointer_bytes(size_bytes: u64) -> u64 {
    let fixed = "version https://git-lfs.github.com/spec/v1\noid sha256:\nsize \n".len() + 64;
    fixed as u64 + size_bytes.to_string().len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_as_long_as_git_lfs_writes_it() {
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "a".repeat(64));
        assert_eq!(pointer_bytes(12_345), pointer.len() as u64);
    }
}
