//! `/{id}.git/info/lfs/objects`: large files as git-lfs sends and fetches them, and older Python clients. Addresses
//! carry a pass, since those who follow them send no token along.

use std::collections::{HashMap, HashSet};

use actix_web::http::header::{ETAG, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse, web};

use super::batch::{Place, Transfer, answer, refusal};
use super::refusal::{bad, refused, told, with_login};
use super::repos::address_of;
use crate::domain::digest::Digest;
use crate::domain::user::Actor;
use crate::http::api::uploads::content_length;
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{ObjectAt, ObjectPartAt, Query, RepoAt, read_json};
use crate::http::{rights, stream};
use crate::service::people::passes::Purpose;
use crate::service::storage::parts::MAX_PART_BYTES;
use crate::service::{self, Service};
use crate::wire::hf_write::{Batch, BatchAnswer, Object, ObjectAnswer};

const CONTENT_TYPE: &str = "application/vnd.git-lfs+json";
/// As git-lfs writes it, and as the JavaScript client does.
const SHA256: &[&str] = &["sha256", "sha_256"];
const MOST_JSON_BYTES: usize = 2 << 20;
const MOST_OBJECTS: usize = 1_000;

pub async fn batch(request: HttpRequest, body: Body, service: web::Data<Service>, caller: Caller, at: RepoAt) -> Answer {
    let purpose = enter(&service, &caller.0, &at).await?;
    let asked: Batch = json(&request, body).await?;
    let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let transfer = Transfer::choose(&asked, user_agent, service.policy().xet);
    let objects = match asked.operation.as_str() {
        _ if asked.objects.len() > MOST_OBJECTS => return Err(bad("too_many_objects", "too many objects at once", "ask for fewer")),
        _ if asked.hash_algo.as_ref().is_some_and(|algo| !SHA256.contains(&algo.as_str())) => {
            return Err(bad("bad_digest", "objects are named by their sha256 here", "use sha256"));
        }
        "upload" => uploads(&request, &service, &caller.0, &at, &asked.objects, transfer).await?,
        "download" => downloads(&request, &service, &caller.0, &at, &asked.objects, purpose).await?,
        _ => return Err(bad("bad_operation", "an operation is 'upload' or 'download'", "use one of them")),
    };
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).json(BatchAnswer { transfer: transfer.as_str(), objects, hash_algo: "sha256" }))
}

/// Takes an object whole.
pub async fn store(request: HttpRequest, body: Body, service: web::Data<Service>, at: ObjectAt, query: Query) -> Answer {
    let actor = sender(&request, &service, &query, &at).await?;
    let size = size_of(&query)?;
    if content_length(&request)? != Some(size) {
        return Err(bad("bad_length", format!("the body must have the announced {size} bytes, and say so"), "send Content-Length"));
    }
    body.pour(async |body| service.store_object(&actor, at.digest, size, body).await.map(drop)).await.map_err(told)?;
    Ok(HttpResponse::Ok().finish())
}

/// Takes a part of an object.
pub async fn store_part(request: HttpRequest, body: Body, service: web::Data<Service>, at: ObjectPartAt, query: Query) -> Answer {
    let actor = sender(&request, &service, &query, &at.object).await?;
    let size = size_of(&query)?;
    let first = at.number.checked_sub(1).and_then(|before| before.checked_mul(MAX_PART_BYTES)).filter(|first| *first < size.max(1));
    let first = first.ok_or_else(|| bad("bad_part", format!("the object has no part {}", at.number), "count from 1"))?;
    let run = first..size.min(first + MAX_PART_BYTES);
    body.pour(async |body| service.store_object_part(&actor, at.object.digest, (run, size), body).await.map(drop)).await.map_err(told)?;
    Ok(HttpResponse::Ok().insert_header((ETAG, format!("\"{}\"", at.number))).finish())
}

/// Says whether an object has arrived; also the end of one that came in parts.
pub async fn verify(request: HttpRequest, body: Body, service: web::Data<Service>, at: ObjectAt, query: Query) -> Answer {
    let actor = sender(&request, &service, &query, &at).await?;
    let said: Object = json(&request, body).await?;
    if said.oid != at.digest.to_hex() {
        return Err(bad("bad_digest", "the body names another object than the address", "verify the object that was sent"));
    }
    service.verify_object(&actor, at.digest, size_of(&query)?).await.map_err(refused)?;
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body("{}"))
}

pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: ObjectAt, query: Query) -> Answer {
    let actor = match query.find("pass") {
        Some(pass) => service.redeem_pass_at(pass, Purpose::LfsDownload, at.kind, &at.id).await.map_err(refused)?,
        None => caller.0,
    };
    rights::claim(&request, &actor, None);
    let file = service.open_object(&actor, at.kind, &at.id, at.digest).await.map_err(refused)?;
    let (response, begins) = stream::serve(&request, &service, &file).await?;
    if begins {
        service.count_download(&file.repo);
    }
    Ok(response)
}

/// Whom the repo is there for. Others are asked to log in whether it is there or not: git-lfs tries without a token
/// first, and gives up where it reads that nothing is there.
async fn enter(service: &Service, actor: &Actor, at: &RepoAt) -> Result<Option<Purpose>, HttpError> {
    let known = *actor != Actor::Anonymous;
    match service.get_repo(actor, at.kind, &at.id).await {
        Err(service::Error::NotFound(problem)) if !known && problem.moved_to.is_none() => {
            Err(with_login(refused(service::Error::unauthorized("login_required", "this needs a token", "log in with a token"))))
        }
        seen => seen.map(|_| known.then_some(Purpose::LfsDownload)).map_err(refused),
    }
}

async fn uploads(
    request: &HttpRequest,
    service: &Service,
    actor: &Actor,
    at: &RepoAt,
    objects: &[Object],
    transfer: Transfer,
) -> Result<Vec<ObjectAnswer>, HttpError> {
    let digests = objects.iter().filter_map(|object| Digest::parse(&object.oid).ok()).collect();
    let lacking = service.lacking_objects(actor, at.kind, &at.id, digests).await.map_err(|error| with_login(refused(error)))?;
    let lacking: HashSet<Digest> = lacking.into_iter().collect();
    // A client that sends first and commits then would learn it too late.
    let sizes: HashMap<Digest, u64> = objects.iter().filter_map(|object| Some((Digest::parse(&object.oid).ok()?, object.size))).collect();
    let more = sizes.iter().filter(|(digest, _)| lacking.contains(digest)).fold(0u64, |sum, (_, size)| sum.saturating_add(*size));
    service.check_room(actor, at.id.namespace(), more).await.map_err(refused)?;
    let pass = match lacking.is_empty() {
        true => None,
        false => Some(service.create_pass(actor, at.kind, &at.id, Purpose::LfsUpload).await.map_err(refused)?.secret),
    };
    let (place, most) = (place(request, at, pass)?, service.policy().max_file_bytes);
    let told = |object: &Object| match Digest::parse(&object.oid) {
        Err(e) => refusal(object, 422, e.to_string()),
        Ok(_) if object.size > most => refusal(object, 413, format!("one file may have {most} bytes here")),
        Ok(digest) if lacking.contains(&digest) => answer(object, place.upload(object, &digest, transfer)),
        Ok(_) => answer(object, Default::default()),
    };
    Ok(objects.iter().map(told).collect())
}

async fn downloads(
    request: &HttpRequest,
    service: &Service,
    actor: &Actor,
    at: &RepoAt,
    objects: &[Object],
    purpose: Option<Purpose>,
) -> Result<Vec<ObjectAnswer>, HttpError> {
    let digests = objects.iter().filter_map(|object| Digest::parse(&object.oid).ok()).collect();
    let held = service.held_objects(actor, at.kind, &at.id, digests).await.map_err(refused)?;
    let held: HashSet<Digest> = held.into_iter().map(|(digest, _)| digest).collect();
    let pass = match purpose {
        Some(purpose) => Some(service.create_pass(actor, at.kind, &at.id, purpose).await.map_err(refused)?.secret),
        None => None,
    };
    let place = place(request, at, pass)?;
    let told = |object: &Object| match Digest::parse(&object.oid).ok().filter(|digest| held.contains(digest)) {
        Some(digest) => answer(object, place.download(object, &digest)),
        None => refusal(object, 404, "this repo has no such object"),
    };
    Ok(objects.iter().map(told).collect())
}

fn place(request: &HttpRequest, at: &RepoAt, pass: Option<String>) -> Result<Place, HttpError> {
    Ok(Place { objects: format!("{}.git/info/lfs/objects", address_of(request, at.kind, &at.id)?), pass })
}

/// Who follows an address that was given out for sending.
async fn sender(request: &HttpRequest, service: &Service, query: &Query, at: &ObjectAt) -> Result<Actor, HttpError> {
    let actor = service.redeem_pass_at(&query.text("pass"), Purpose::LfsUpload, at.kind, &at.id).await.map_err(refused)?;
    rights::claim(request, &actor, None);
    Ok(actor)
}

fn size_of(query: &Query) -> Result<u64, HttpError> {
    query.number("size")?.ok_or_else(|| bad("bad_query", "the address says no size", "follow the address as it was given out"))
}

async fn json<T: serde::de::DeserializeOwned + Send + 'static>(request: &HttpRequest, body: Body) -> Result<T, HttpError> {
    let body = body.gather(MOST_JSON_BYTES).await?;
    read_json(request, body).await?.map_err(|e| bad("bad_json", format!("the body: {e}"), "send what git-lfs sends"))
}
