//! The Hugging Face Hub's dialect: `huggingface_hub`, `hf`, timm and others read from here with `HF_ENDPOINT`
//! set, unchanged. Our versions are its commits; every file is described as a large one (LFS), because the
//! sha256 it then shows is the digest we keep.

mod batch;
pub mod card;
pub mod commit;
pub mod commits;
mod describe;
pub mod discussions;
mod error_headers;
mod first_files;
pub mod info;
mod job_command;
pub mod jobs;
pub mod leaderboard;
pub mod lfs;
pub mod list;
pub mod paths;
pub mod people;
pub mod preupload;
pub mod probes;
pub mod refs;
mod refusal;
pub mod repos;
pub mod resolve;
pub mod tags;
pub mod tree;
pub mod unoffered;
pub mod whoami;
pub mod xet;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderValue, LINK};

use super::Site;
use super::error::HttpError;
use super::extract::Query;
use crate::domain::digest::Digest;
use crate::service;
pub use error_headers::{code_of, headers, problem_body};

/// How many there are in all, beside a page of a list.
const TOTAL_COUNT: &str = "x-total-count";

/// A refusal in the words this dialect's clients sort errors by: `X-Error-Code`.
fn refuse(error: service::Error) -> HttpError {
    let error = HttpError::from(error);
    let code = code_of(&error.problem.code);
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

/// Python writes `True`, others `true` or `1`.
fn truth(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text == "1"
}

fn asks(query: &Query, key: &str) -> bool {
    query.find(key).is_some_and(truth)
}

/// The header that leads to the next page: the same question with another cursor. Clients follow only absolute
/// addresses.
fn next_page(request: &HttpRequest, cursor: &str) -> Result<(actix_web::http::header::HeaderName, HeaderValue), HttpError> {
    let asked = url::form_urlencoded::parse(request.query_string().as_bytes()).filter(|(key, _)| key != "cursor");
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(asked).append_pair("cursor", cursor).finish();
    let address = Site::of(request)?.address(request);
    let link = format!("<{address}{}?{query}>; rel=\"next\"", request.uri().path());
    let link = HeaderValue::from_str(&link).map_err(|_| HttpError::internal("the link to the next page is no header"))?;
    Ok((LINK, link))
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
