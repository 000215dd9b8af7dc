//! The whole answer of a request that is gone: its handler panicked, or was stopped because its caller's right has ended.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{HttpResponse, ResponseError};
use bytes::Bytes;
use futures_util::Stream as _;
use tokio::time::Sleep;

use super::body::{DRAINED_BYTES, LeftBehind};

/// How long somebody may go on sending what nobody reads any more. To close at once would lose the answer on its way.
const LINGERS: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Broken {
    pub status: StatusCode,
    pub body: String,
    pub headers: HeaderMap,
    pub left: LeftBehind,
}

impl Broken {
    /// The same, for a request whose body may still be on its way.
    pub fn after(self, left: LeftBehind) -> Broken {
        Broken { left, ..self }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the request was given up")
    }
}

impl ResponseError for Broken {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status).body(self.body.clone());
        for (name, value) in &self.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        let Some(payload) = self.left.take() else { return response };
        let sleep = Box::pin(tokio::time::sleep(LINGERS));
        response.map_body(|_, inner| BoxBody::new(Lingering { inner, payload, sleep, room: DRAINED_BYTES }))
    }
}

/// An answer that is sent whole at once, and ends when what the caller is still sending does.
struct Lingering {
    inner: BoxBody,
    payload: Payload,
    sleep: Pin<Box<Sleep>>,
    room: usize,
}

impl MessageBody for Lingering {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if let answer @ (Poll::Pending | Poll::Ready(Some(_))) = Pin::new(&mut self.inner).poll_next(context) {
            return answer;
        }
        while let Poll::Ready(part) = Pin::new(&mut self.payload).poll_next(context) {
            match part {
                Some(Ok(bytes)) if bytes.len() <= self.room => self.room -= bytes.len(),
                _ => return Poll::Ready(None),
            }
        }
        self.sleep.as_mut().poll(context).map(|()| None)
    }
}
