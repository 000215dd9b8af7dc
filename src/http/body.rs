//! A request's body, read with bounded patience and bounded memory; the framework has no limit for either.

use std::cell::RefCell;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{Instant, timeout};

use super::Site;
use super::error::HttpError;
use super::limits::{LEAST_BYTES, MAX_GATHERED_BYTES};
use super::rights::Rights;
use crate::service;
use crate::service::storage::parts::MAX_PART_BYTES;

/// As much of a body nobody wants is read and thrown away: a part.
pub(super) const DRAINED_BYTES: usize = MAX_PART_BYTES as usize;

/// A body as a service reads it.
pub type Poured<'a> = &'a mut (dyn Stream<Item = service::Result<Bytes>> + Unpin + 'a);

/// The bytes of a body as they arrive. Only the time spent waiting for the sender counts against it.
pub struct Body {
    payload: Payload,
    patience: Duration,
    gathered: Arc<Gathered>,
    waited: Duration,
    /// Arrived within `waited`.
    arrived: u64,
    left: LeftBehind,
}

/// What of a body was not read when its request ended, for the frame: a line that is closed upon it loses the answer.
#[derive(Clone, Default)]
pub struct LeftBehind(Rc<RefCell<Option<Payload>>>);

impl LeftBehind {
    pub fn take(&self) -> Option<Payload> {
        self.0.borrow_mut().take()
    }
}

impl std::fmt::Debug for LeftBehind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LeftBehind").field(&self.0.borrow().is_some()).finish()
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        *self.left.0.borrow_mut() = Some(std::mem::replace(&mut self.payload, Payload::None));
    }
}

/// Bytes of unfinished bodies that lie in memory, over all requests.
#[derive(Debug, Default)]
pub struct Gathered(AtomicUsize);

impl FromRequest for Body {
    type Error = HttpError;
    type Future = Ready<Result<Body, HttpError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Body::of(request, payload.take()))
    }
}

impl Body {
    pub fn of(request: &HttpRequest, payload: Payload) -> Result<Body, HttpError> {
        let site = Site::of(request)?;
        let mut body = Body::new(payload, site.limits.patience, site.gathered.clone());
        body.left = request.extensions().get::<Rights>().map(Rights::left_behind).unwrap_or_default();
        Ok(body)
    }

    fn new(payload: Payload, patience: Duration, gathered: Arc<Gathered>) -> Body {
        Body { payload, patience, gathered, waited: Duration::ZERO, arrived: 0, left: LeftBehind::default() }
    }

    /// The next bytes; 408 when too few come for too long, 400 when the body breaks off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let asked = Instant::now();
        let next = timeout(self.patience.saturating_sub(self.waited), self.payload.next()).await;
        self.waited += asked.elapsed();
        match next {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => {
                self.arrived += chunk.len() as u64;
                if self.arrived >= LEAST_BYTES {
                    (self.arrived, self.waited) = (0, Duration::ZERO);
                }
                Ok(Some(chunk))
            }
            Ok(Some(Err(e))) => Err(HttpError::bad_request("body_broke_off", format!("the body broke off: {e}"), "send it again")),
            Err(_) => Err(HttpError::of_status(StatusCode::REQUEST_TIMEOUT)),
        }
    }

    /// Room for what of this body must lie in memory.
    pub(super) fn room(&self) -> Room {
        Room { gathered: self.gathered.clone(), bytes: 0 }
    }

    /// Hands the body to a service as it arrives.
    pub async fn pour<T>(self, story: impl AsyncFnOnce(Poured<'_>) -> service::Result<T>) -> Result<T, HttpError> {
        // The body's own trouble (a stall, a broken line) keeps its status on its way through the service.
        let trouble = RefCell::new(None);
        let body = stream::unfold(self, |mut body| async {
            let part = body.next().await.map_err(|error| {
                *trouble.borrow_mut() = Some(error);
                let hint = "ask the upload what it has received and go on from there";
                service::Error::invalid("body_broke_off", "the body broke off", hint)
            });
            part.transpose().map(|part| (part, body))
        });
        // Fused: what was read to its end may be asked once more.
        let mut body: Poured<'_> = &mut Box::pin(body.fuse());
        let told = story(&mut body).await;
        if trouble.borrow().is_none() {
            drain(body).await;
        }
        match (trouble.take(), told) {
            (Some(error), Err(service::Error::Invalid(_))) => Err(error),
            (_, told) => Ok(told?),
        }
    }

    /// All of a body that fits in memory: 413 beyond `limit` bytes.
    pub async fn gather(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut body = BytesMut::new();
        let mut room = self.room();
        while let Some(chunk) = self.next().await? {
            if body.len() + chunk.len() > limit {
                let message = format!("the body is larger than {limit} bytes");
                return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message, "send less at once"));
            }
            room.take(chunk.len())?;
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Reads on for a while after a body was refused, or was not needed: closing upon unread bytes would lose the answer
/// on its way.
async fn drain(mut body: impl Stream<Item = service::Result<Bytes>> + Unpin) {
    let mut left = DRAINED_BYTES;
    while let (1.., Some(Ok(part))) = (left, body.next().await) {
        left = left.saturating_sub(part.len());
    }
}

/// A part of the memory for unfinished bodies; given back when dropped.
pub(super) struct Room {
    gathered: Arc<Gathered>,
    bytes: usize,
}

impl Room {
    pub(super) fn give(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.gathered.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), HttpError> {
        self.bytes += bytes;
        if self.gathered.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_GATHERED_BYTES {
            return Ok(());
        }
        Err(service::Error::busy("too_busy", "the server is reading too much at once", "try again in a moment").into())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.gathered.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::error::PayloadError;

    /// A body that sends `size` bytes after each pause, for a server with this patience.
    fn dripping(patience_ms: u64, size: usize, pause_ms: u64, count: usize) -> Body {
        let parts = stream::iter(0..count).then(move |_| async move {
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            Ok::<_, PayloadError>(Bytes::from(vec![7; size]))
        });
        Body::new(Payload::Stream { payload: Box::pin(parts) }, Duration::from_millis(patience_ms), Arc::default())
    }

    #[tokio::test]
    async fn a_body_that_moves_is_read_and_one_that_drips_is_not() {
        let moves = dripping(4_000, LEAST_BYTES as usize / 4, 30, 200).gather(usize::MAX).await;
        assert_eq!(moves.unwrap().len(), 50 * LEAST_BYTES as usize, "longer than the patience, but it moves");
        let error = dripping(200, 100, 20, 100_000).gather(usize::MAX).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.problem.code.as_str()), (408, "too_slow"));
        let error = dripping(50, 1 << 20, 3_600_000, 1).gather(usize::MAX).await.unwrap_err();
        assert_eq!(error.status, 408);
        // The server's own pauses are nobody's fault.
        let mut body = dripping(2_000, 100, 1, 3);
        while body.next().await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
    }

    #[tokio::test]
    async fn bodies_share_bounded_memory() {
        let gathered = Arc::<Gathered>::default();
        let mut first = Room { gathered: gathered.clone(), bytes: 0 };
        let mut second = Room { gathered: gathered.clone(), bytes: 0 };
        first.take(MAX_GATHERED_BYTES - 10).unwrap();
        second.take(10).unwrap();
        let error = second.take(1).unwrap_err();
        assert_eq!((error.status.as_u16(), error.problem.code.as_str()), (503, "too_busy"));
        drop(first);
        second.take(1).unwrap();
        drop(second);
        assert_eq!(gathered.0.load(Ordering::Relaxed), 0);
        let error = dripping(10_000, 10, 0, 3).gather(29).await.unwrap_err();
        assert_eq!(error.status, 413);
    }
}
