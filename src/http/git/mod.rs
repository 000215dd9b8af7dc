//! Git at its door: what is published here can be cloned and fetched, in the smart form of HTTP and in both versions of the protocol
//! that git speaks (gitprotocol-http, gitprotocol-v2). Nothing is pushed: whoever tries is told what to use instead.

mod fetch;
mod first;
mod second;

use std::io::Read as _;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use flate2::read::GzDecoder;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::body::Body;
use super::caller::Caller;
use super::error::{Answer, HttpError};
use super::extract::{Query, RepoAt};
use crate::domain::git::packet::{self, Band, FLUSH};
use crate::domain::name::RepoKind;
use crate::domain::repo::RepoSummary;
use crate::domain::user::Actor;
use crate::service::repos::git::{GitRepo, Piece};
use crate::service::{self, Service};

/// A question, as it is once unpacked: some ten thousand names of commits.
const MOST_BYTES: usize = 2 << 20;
/// The end of the only address whose bodies may come packed: git packs all but the shortest.
const UPLOAD_PACK: &str = "/git-upload-pack";

/// An answer: some packets, and behind them a pack where one was asked for.
struct Reply {
    head: Vec<u8>,
    fetch: Option<fetch::Ready>,
}

/// Why nothing is answered; git shows a person these words.
type Told<T> = Result<T, String>;

pub fn may_be_packed(path: &str) -> bool {
    path.ends_with(UPLOAD_PACK)
}

/// What there is.
pub async fn refs(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: RepoAt, query: Query) -> Answer {
    let summary = enter(&service, &caller.0, &at).await?;
    let asked = query.find("service").unwrap_or_default().to_owned();
    let told = match asked.as_str() {
        "git-upload-pack" if speaks_second(&request) => Ok(second::capabilities()),
        "git-upload-pack" => match service.git_repo(&caller.0, at.kind, &at.id).await {
            Ok(repo) => Ok(first::advertise(&repo)),
            Err(error) => Err(words(error)?),
        },
        "git-receive-pack" => Err(not_pushed(&summary)),
        _ => return Err(HttpError::bad_request("bad_query", "this is for git alone", "use the API or 'hub pull'")),
    };
    let mut body = Vec::new();
    packet::line(&mut body, &format!("# service={asked}\n"));
    body.extend_from_slice(FLUSH);
    body.extend(told.unwrap_or_else(|words| error_packet(&words)));
    Ok(response(&format!("application/x-{asked}-advertisement")).body(body))
}

/// What of it somebody wants.
pub async fn upload_pack(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: RepoAt, body: Body) -> Answer {
    let packed = request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    let body = body.gather(MOST_BYTES).await?;
    enter(&service, &caller.0, &at).await?;
    let repo = match service.git_repo(&caller.0, at.kind, &at.id).await {
        Ok(repo) => repo,
        Err(error) => return Ok(result().body(error_packet(&words(error)?))),
    };
    let second = speaks_second(&request);
    let answered = web::block(move || {
        let body = if packed { unpack(&body)? } else { body.to_vec() };
        let reply = if second { second::answer(&repo, &body)? } else { first::answer(&repo, &body)? };
        Ok::<_, String>((repo, reply))
    });
    let answered = answered.await.map_err(|e| HttpError::internal(format!("answering git was stopped: {e}")))?;
    match answered {
        Ok((repo, reply)) => send(&service, &caller.0, repo, reply).await,
        Err(words) => Ok(result().body(error_packet(&words))),
    }
}

async fn send(service: &Service, actor: &Actor, repo: GitRepo, reply: Reply) -> Answer {
    let Some(ready) = reply.fetch else { return Ok(result().body(reply.head)) };
    if ready.begins {
        service.count_download(&repo.key);
    }
    match service.git_pack(actor, repo, ready.selection).await {
        Ok(pieces) => Ok(result().streaming(pack(reply.head, pieces, ready.banded, ready.progress))),
        Err(error) => Ok(result().body(error_packet(&words(error)?))),
    }
}

/// The body of an answer. Without bands there is no way to say what went wrong: the line is cut.
fn pack(
    head: Vec<u8>,
    pieces: mpsc::Receiver<service::Result<Piece>>,
    banded: bool,
    progress: bool,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    stream::unfold(Some((head, pieces)), move |state| async move {
        let (mut out, mut pieces) = state?;
        while out.is_empty() {
            match pieces.recv().await {
                Some(Ok(Piece::Pack(bytes))) if banded => packet::band(&mut out, Band::Pack, &bytes),
                Some(Ok(Piece::Pack(bytes))) => return Some((Ok(bytes), Some((out, pieces)))),
                Some(Ok(Piece::Progress(text))) if banded && progress => packet::band(&mut out, Band::Progress, text.as_bytes()),
                Some(Ok(Piece::Progress(_))) => {}
                Some(Err(error)) => {
                    tracing::error!(%error, "a pack broke off while it was sent");
                    let words = words(error).unwrap_or_else(|_| "something went wrong on the server".into());
                    packet::band(&mut out, Band::Error, words.as_bytes());
                    let end = if banded { Ok(out.into()) } else { Err(std::io::Error::other(words)) };
                    return Some((end, None));
                }
                None => return banded.then(|| (Ok(Bytes::from_static(FLUSH)), None)),
            }
        }
        Some((Ok(std::mem::take(&mut out).into()), Some((out, pieces))))
    })
}

/// Git tries without a token first, and asks a person for one where it is told to.
async fn enter(service: &Service, actor: &Actor, at: &RepoAt) -> Result<RepoSummary, HttpError> {
    match service.get_repo(actor, at.kind, &at.id).await {
        Err(service::Error::NotFound(problem)) if *actor == Actor::Anonymous && problem.moved_to.is_none() => {
            let hint = "give your name and, as the password, a token";
            let error = HttpError::new(StatusCode::UNAUTHORIZED, "login_required", "this needs a token", hint);
            Err(error.with_header(WWW_AUTHENTICATE, "Basic realm=\"hub\""))
        }
        seen => Ok(seen?),
    }
}

fn not_pushed(summary: &RepoSummary) -> String {
    let id = &summary.repo.id;
    let (ours, theirs) = match summary.repo.kind {
        RepoKind::Dataset => (" --dataset", " --repo-type dataset"),
        RepoKind::Model => ("", ""),
    };
    format!("this hub takes no git push: use 'hub publish FOLDER {id}{ours}' or 'hf upload {id} FOLDER{theirs}'")
}

/// What git can tell a person. What it must act upon, and what is our own fault, is an answer of HTTP.
fn words(error: service::Error) -> Result<String, HttpError> {
    use service::Error as E;
    match error {
        E::Busy(problem) | E::Invalid(problem) | E::TooLarge(problem) | E::Conflict(problem) | E::Corrupt(problem) => {
            Ok(format!("{}; {}", problem.message, problem.hint))
        }
        E::NotFound(_) | E::Unauthorized(_) | E::Forbidden(_) | E::Internal(_) => Err(error.into()),
    }
}

fn error_packet(words: &str) -> Vec<u8> {
    let mut body = Vec::new();
    packet::line(&mut body, &format!("ERR {words}\n"));
    body
}

fn response(content_type: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.content_type(content_type).insert_header((CACHE_CONTROL, "no-cache"));
    response
}

fn result() -> HttpResponseBuilder {
    response("application/x-git-upload-pack-result")
}

/// `Git-Protocol: version=2`, among other words.
fn speaks_second(request: &HttpRequest) -> bool {
    let header = request.headers().get("git-protocol").and_then(|value| value.to_str().ok()).unwrap_or_default();
    header.split(':').any(|word| word == "version=2")
}

fn unpack(body: &[u8]) -> Told<Vec<u8>> {
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(body).take(MOST_BYTES as u64 + 1).read_to_end(&mut unpacked);
    match read {
        Ok(bytes) if bytes <= MOST_BYTES => Ok(unpacked),
        Ok(_) => Err("the request is too long; fetch fewer refs at once".into()),
        Err(_) => Err("the packed request could not be read".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_packed_question_is_bounded() {
        let pack = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(unpack(&pack(b"0000")).unwrap(), b"0000");
        assert!(unpack(&pack(&vec![b'0'; MOST_BYTES + 1])).is_err());
        assert!(unpack(b"no gzip").is_err());
    }

    #[test]
    fn only_gits_own_questions_may_be_packed() {
        assert!(may_be_packed("/ada/net.git/git-upload-pack") && !may_be_packed("/ada/net.git/info/refs"));
    }
}
