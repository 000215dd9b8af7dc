//! Xet, the way newer clients send large files: a token for it, xorbs, shards. They have no other way to fall back to.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::sync::mpsc;

use super::refusal::{bad, proposes, refused, told};
use crate::domain::user::Actor;
use crate::domain::xet::shard::{self, MOST_SHARD_BYTES};
use crate::http::body::Body;
use crate::http::caller::Caller;
use crate::http::error::{Answer, HttpError};
use crate::http::extract::{Query, VersionAt, XorbAt};
use crate::http::{Site, rights};
use crate::service::people::passes::Purpose;
use crate::service::work::Whose;
use crate::service::xet::Assembly;
use crate::service::{Error, Service};
use crate::wire::hf_write::{ShardEvent, ShardStored, XetToken, XorbStored};

/// Clients give up on an answer that is silent for longer than some of these.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Where to send to, and a token for it. The address holds an epoch, because clients remember by address what they have
/// sent, and an account, because what one has sent is not another's to name.
pub async fn token(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: VersionAt, query: Query) -> Answer {
    // Upon what a pull request will be opened, clients say later: here they write 'None'.
    match proposes(&query) {
        true => service.may_propose(&caller.0, at.kind, &at.id).await.map_err(refused)?,
        false => drop(service.may_commit_to(&caller.0, at.kind, &at.id, &at.revision, false).await.map_err(refused)?),
    }
    let no_other_way = super::preupload::forgets_files(&request);
    let access = service.open_xet(&caller.0, at.kind, &at.id, no_other_way).await.map_err(refused)?;
    let cas_url = format!("{}/xet/e{}-{}", Site::of(&request)?.address(&request), access.epoch, access.account);
    let (access_token, exp) = (access.pass.secret, access.pass.expires.unix_ms() / 1_000);
    let mut response = HttpResponse::Ok();
    for (name, value) in [("cas-url", &cas_url), ("access-token", &access_token), ("token-expiration", &exp.to_string())] {
        response.insert_header((format!("x-xet-{name}"), value.as_str()));
    }
    Ok(response.json(XetToken { cas_url, access_token, exp }))
}

/// Nobody is told which chunks others have sent; and xorbs come here, not to a store behind this server.
pub async fn not_offered() -> Answer {
    Err(HttpError::of_status(StatusCode::NOT_FOUND).for_hugging_face(None))
}

/// Figures clients send about themselves; they are not kept.
pub async fn telemetry(body: Body) -> Answer {
    body.gather(1 << 20).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

pub async fn xorb(request: HttpRequest, body: Body, service: web::Data<Service>, at: XorbAt) -> Answer {
    let actor = sender(&request, &service).await?;
    let was_inserted = body.pour(async |body| service.store_xorb(&actor, at.0, body).await).await.map_err(told)?;
    Ok(HttpResponse::Ok().json(XorbStored { was_inserted }))
}

/// Answers when all is done, however long that takes.
pub async fn shard_v1(request: HttpRequest, body: Body, service: web::Data<Service>) -> Answer {
    let actor = sender(&request, &service).await?;
    for file in planned(&service, &actor, body).await? {
        service.assemble(&actor, file).await.map_err(refused)?;
    }
    Ok(HttpResponse::Ok().json(ShardStored { result: 1 }))
}

/// Tells line by line how far it is. What can be refused without reading files is refused before.
pub async fn shard_v2(request: HttpRequest, body: Body, service: web::Data<Service>) -> Answer {
    let actor = sender(&request, &service).await?;
    let files = planned(&service, &actor, body).await?;
    let (events, told) = mpsc::channel(4);
    // On its own: a client that hangs up and asks again finds the files there.
    tokio::spawn(async move { assemble(&service, &actor, files, &events).await });
    let lines = stream::unfold(told, |mut told| async { told.recv().await.map(|event| (line(&event), told)) });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines))
}

async fn planned(service: &Service, actor: &Actor, body: Body) -> Result<Vec<Assembly>, HttpError> {
    let body = body.gather(MOST_SHARD_BYTES).await?;
    let files = service.work().run(&Whose::of(actor), move || shard::parse(&body)).await.map_err(refused)?;
    let files = files.map_err(|e| bad("bad_shard", e.to_string(), "use a newer client"))?;
    service.plan_shard(actor, files).await.map_err(refused)
}

async fn assemble(service: &Service, actor: &Actor, files: Vec<Assembly>, events: &mpsc::Sender<ShardEvent>) {
    let total = files.len();
    // Nobody may be listening any more, which changes nothing.
    for (verified, file) in files.into_iter().enumerate() {
        let mut work = std::pin::pin!(service.assemble(actor, file));
        loop {
            let _ = events.send(ShardEvent::Validating { verified, total }).await;
            match tokio::time::timeout(HEARTBEAT, &mut work).await {
                Err(_) => {}
                Ok(Ok(())) => break,
                Ok(Err(error)) => return drop(events.send(failed(error)).await),
            }
        }
    }
    let _ = events.send(ShardEvent::Result).await;
}

fn failed(error: Error) -> ShardEvent {
    let retryable = matches!(error, Error::Busy(_));
    let error = refused(error);
    if error.status.is_server_error() {
        tracing::error!(status = error.status.as_u16(), detail = ?error.detail, "a file was not put together");
    }
    ShardEvent::Error { message: error.problem.message, retryable }
}

fn line(event: &ShardEvent) -> std::io::Result<Bytes> {
    Ok(Bytes::from(serde_json::to_string(event)? + "\n"))
}

/// Who holds the token of this request.
async fn sender(request: &HttpRequest, service: &Service) -> Result<Actor, HttpError> {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = value.and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let secret = secret.map_or("", |(_, secret)| secret.trim());
    let (actor, _) = service.redeem_pass(secret, Purpose::Xet).await.map_err(refused)?;
    rights::claim(request, &actor, None);
    Ok(actor)
}
