//! `/preupload/{branch}`: which way each file should come, and what need not come because it is there: clients leave
//! out what has the name they computed themselves.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::http::header::USER_AGENT;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusal::{bad, proposes, refused};
use crate::domain::attributes::Attributes;
use crate::domain::digest::Digest;
use crate::domain::glob::{Steps, TooMuchWork};
use crate::domain::ignore::IgnoreRules;
use crate::domain::path::RepoPath;
use crate::domain::repo::FileEntry;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Json, Query, VersionAt};
use crate::http::rates::share;
use crate::service::Service;
use crate::service::repos::edit::MAX_RULES_BYTES;
use crate::service::storage::parts::MAX_PART_BYTES;
use crate::wire::hf_write::{Preupload, PreuploadAnswer, PreuploadFile, PreuploadMode};

/// What `.gitattributes` names goes by LFS at every size but none, as at the Hugging Face Hub. Other text up to this size, and anything else up to the other, comes inside the commit: one request instead of several.
const INLINE_TEXT_BYTES: u64 = 1 << 20;
const INLINE_BYTES: u64 = 64 << 10;
/// The same without Xet, for all files: newer clients have no other way. What is larger goes by LFS, which they use
/// where they are told to do without Xet (`HF_HUB_DISABLE_XET=1`).
const INLINE_WITHOUT_XET: u64 = MAX_PART_BYTES;
/// Clients show it once; what the refusal of a Xet token says, they keep to themselves.
const XET_IS_OFF: &str = "xet; this hub takes no files by Xet: where the upload fails, set HF_HUB_DISABLE_XET=1 and send again";
/// Clients ask about 256 files at a time.
const MOST_FILES: usize = 10_000;
const LONGEST_SAMPLE: usize = 4_096;

pub async fn ask(
    request: HttpRequest,
    service: web::Data<Service>,
    caller: Caller,
    at: VersionAt,
    query: Query,
    body: Json<Preupload>,
) -> Answer {
    let proposes = proposes(&query);
    let line = service.may_commit_to(&caller.0, at.kind, &at.id, &at.revision, proposes).await.map_err(refused)?;
    check(&service, &body.0)?;
    let whose = share(&request, &caller.0)?;
    let (files, git_ignore) = (body.0.files, body.0.git_ignore);
    let paths = files.iter().map(|file| file.path.clone()).collect();
    let turn = service.work().turn(&whose).await.map_err(refused)?;
    let held = service.look_at_line(&caller.0, (at.kind, &at.id), &line, proposes, paths).await.map_err(refused)?;
    let rules = match git_ignore {
        Some(text) => text,
        None => service.rules_in(held.ignore.as_ref()).await.map_err(refused)?,
    };
    let attributes = service.rules_in(held.attributes.as_ref()).await.map_err(refused)?;
    drop(turn);
    let (xet, by_name) = (service.policy().xet, service.policy().xet || forgets_files(&request));
    let sort = move || sort(&files, &rules, by_name.then_some(&attributes), xet);
    let ways = service.work().run(&whose, sort).await.map_err(refused)??;
    let there: HashMap<&str, &FileEntry> = held.files.iter().map(|file| (file.path.as_str(), file)).collect();
    let held_by = |way: &Way| there.get(way.path.as_str()).copied();
    // Of another size it is another file, whatever it is called.
    let same_size: Vec<&FileEntry> =
        ways.iter().filter_map(|way| held_by(way).filter(|file| way.inline && file.size_bytes == way.size_bytes)).collect();
    let turn = service.work().turn(&whose).await.map_err(refused)?;
    let names = service.git_names(&same_size).await;
    drop(turn);
    let files = ways.iter().map(|way| way.answer(held_by(way), &names)).collect();
    let mut response = HttpResponse::Ok();
    if !service.policy().xet && !forgets_files(&request) && ways.iter().any(|way| !way.inline) {
        response.insert_header(("x-hf-warning", XET_IS_OFF));
    }
    Ok(response.json(PreuploadAnswer { files, commit_oid: held.head.map(|head| head.commit.to_string()) }))
}

/// Which way each file goes, in bounded steps: the files, the rules for them and those of the repo are all somebody's to choose.
fn sort(files: &[PreuploadFile], rules: &str, attributes: Option<&String>, xet: bool) -> Result<Vec<Way>, HttpError> {
    let (rules, attributes) = (IgnoreRules::parse(rules), attributes.map(|text| Attributes::parse(text)));
    let (mut asked, mut steps) = (rules.ask(), Steps::new(Steps::OF_A_REQUEST));
    let how = How { xet, attributes: attributes.as_ref() };
    let way = |file| {
        let mut way = Way::of(file, how, &mut steps)?;
        way.ignored = asked.ignores(&file.path, &mut steps).map_err(too_much)?;
        Ok(way)
    };
    files.iter().map(way).collect()
}

fn too_much(error: TooMuchWork) -> HttpError {
    let hint = "ask about fewer files at once, or write simpler patterns";
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_much_work", error.to_string(), hint).for_hugging_face(None)
}

/// `datasets` writes each shard to a file that is gone when the commit comes: it must go at once, and it does by Xet or LFS only.
pub(super) fn forgets_files(request: &HttpRequest) -> bool {
    let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    agent.split([';', ' ']).any(|part| part.trim().starts_with("datasets/"))
}

fn check(service: &Service, asked: &Preupload) -> Result<(), HttpError> {
    let too_large =
        |message: String, hint: &str| Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, hint).for_hugging_face(None));
    if asked.files.len() > MOST_FILES {
        return too_large(
            format!("{} files were asked about, at most {MOST_FILES} at a time", asked.files.len()),
            "ask in several requests",
        );
    }
    if asked.git_ignore.as_ref().is_some_and(|text| text.len() as u64 > MAX_RULES_BYTES || IgnoreRules::has_too_many(text)) {
        return too_large(
            format!("gitIgnore has more than 1,000 rules or {MAX_RULES_BYTES} bytes"),
            "leave out rules that fit none of the files",
        );
    }
    let most = service.policy().max_file_bytes;
    match asked.files.iter().find(|file| file.size > most) {
        Some(file) => too_large(format!("'{}' has more than the {most} bytes one file may have here", file.path), "split the file"),
        None => Ok(()),
    }
}

/// What decides the way.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    xet: bool,
    /// Where names count.
    attributes: Option<&'a Attributes>,
}

/// Which way a file comes.
#[derive(Debug)]
struct Way {
    path: RepoPath,
    /// As the client wrote it.
    written: String,
    size_bytes: u64,
    /// Inside the commit.
    inline: bool,
    /// The rules say that it stays home.
    ignored: bool,
}

impl Way {
    fn of(file: &PreuploadFile, how: How, steps: &mut Steps) -> Result<Way, HttpError> {
        let path = RepoPath::parse(&file.path).map_err(|e| bad("bad_path", e.to_string(), "rename the file"))?;
        let sample = Some(&file.sample).filter(|text| text.len() <= LONGEST_SAMPLE).and_then(|text| STANDARD.decode(text).ok());
        let sample =
            sample.ok_or_else(|| bad("bad_sample", format!("the sample of '{path}' is not base64"), "send its first 512 bytes"))?;
        let says_lfs = how.attributes.map(|attributes| attributes.says_lfs(path.as_str(), steps)).transpose().map_err(too_much)?;
        let most = match is_text(&sample) {
            _ if says_lfs == Some(true) => 0,
            _ if !how.xet => INLINE_WITHOUT_XET,
            true => INLINE_TEXT_BYTES,
            false => INLINE_BYTES,
        };
        Ok(Way { path, written: file.path.clone(), size_bytes: file.size, inline: file.size <= most, ignored: false })
    }

    /// Clients compare the sha256 of what goes by LFS, and git's name of the rest.
    fn answer(&self, held: Option<&FileEntry>, names: &HashMap<Digest, String>) -> PreuploadMode {
        let name = |file: &FileEntry| if self.inline { names.get(&file.digest).cloned() } else { Some(file.digest.to_hex()) };
        PreuploadMode {
            path: self.written.clone(),
            upload_mode: if self.inline { "regular" } else { "lfs" },
            should_ignore: self.ignored,
            oid: held.and_then(name),
        }
    }
}

/// A character may be cut in two by the sample's end.
fn is_text(sample: &[u8]) -> bool {
    let cut = |e: std::str::Utf8Error| e.error_len().is_none();
    !sample.contains(&0) && std::str::from_utf8(sample).err().is_none_or(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(path: &str, size: u64, sample: &[u8], xet: bool, names_count: bool) -> Result<Way, HttpError> {
        let attributes = Attributes::parse("");
        let file = PreuploadFile { path: path.into(), size, sample: STANDARD.encode(sample) };
        Way::of(&file, How { xet, attributes: names_count.then_some(&attributes) }, &mut Steps::new(10_000))
    }

    #[test]
    fn large_and_binary_files_go_their_own_way() {
        let told = |size, sample: &[u8]| way("a", size, sample, true, true).unwrap().answer(None, &HashMap::new()).upload_mode;
        assert_eq!((told(1 << 20, b"text"), told((1 << 20) + 1, b"text")), ("regular", "lfs"));
        assert_eq!((told(64 << 10, b"\0"), told((64 << 10) + 1, b"\0"), told(100_000, b"\xff\xfe")), ("regular", "lfs", "lfs"));
        assert_eq!(told(100_000, &"é".as_bytes()[..1]), "regular");
        for path in ["../x", "/etc/passwd"] {
            assert_eq!(way(path, 1, b"", true, true).unwrap_err().status, 400, "{path}");
        }
        let file = PreuploadFile { path: "a".into(), size: 1, sample: "no base64!".into() };
        assert_eq!(Way::of(&file, How { xet: true, attributes: None }, &mut Steps::new(10_000)).unwrap_err().status, 400);
        let inline = |size| way("a", size, b"\0", false, false).unwrap().inline;
        assert_eq!((inline(64 << 20), inline((64 << 20) + 1)), (true, false), "without Xet");
    }

    #[test]
    fn what_gitattributes_names_goes_by_lfs_at_every_size() {
        let inline = |path, size, xet, names_count| way(path, size, b"", xet, names_count).unwrap().inline;
        for xet in [true, false] {
            assert!(!inline("data/train-00000-of-00001.parquet", 1, xet, true));
            assert!(inline("data/empty.parquet", 0, xet, true), "nothing has no object");
            assert!(inline("README.md", 1, xet, true));
        }
        assert!(inline("model.safetensors", 1_000, false, false), "newer clients would have no way");
    }
}
