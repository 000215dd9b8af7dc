//! Requests and answers that outlive the right they began with: they end within a second of it, a request with 401, an
//! answer under way by breaking off, whether bytes move or not.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest};
use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, select};

use super::body::LeftBehind;
use super::error::HttpError;
use super::route::Traits;
use crate::domain::user::Actor;
use crate::service::people::standing::{Claim, Standing};
use crate::service::{Error, Service};

/// How often it is looked whether the right is still there.
const LOOK: Duration = Duration::from_millis(300);
/// Without such a look, nothing more is sent after so long.
const LONGEST_UNSEEN: Duration = Duration::from_millis(900);
/// What is sent at once anyway.
const SMALL: u64 = 64 << 10;

/// What a request claims, once it is known who asks. Shared between the frame and the handlers.
#[derive(Clone, Default)]
pub struct Rights(Rc<RefCell<Option<Claim>>>, LeftBehind);

/// Writes down who asks, and for what.
pub fn claim(request: &HttpRequest, actor: &Actor, cookie: Option<&str>) {
    let Some(rights) = request.extensions().get::<Rights>().cloned() else { return };
    let traits = Traits::of(request);
    let repo = traits.repo(|part| request.match_info().get(part));
    *rights.0.borrow_mut() = Some(Claim::new(actor.clone(), cookie, repo, !traits.reads(request.method())));
}

impl Rights {
    /// Whoever asked.
    pub fn actor(&self) -> Option<Actor> {
        self.0.borrow().as_ref().map(|claim| claim.actor.clone())
    }

    /// Where the request's body is put when its handler ends.
    pub fn left_behind(&self) -> LeftBehind {
        self.1.clone()
    }

    /// Did they show a token, and no cookie?
    pub fn is_by_token(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|claim| claim.actor != Actor::Anonymous && !claim.is_of_session())
    }

    /// Their name for the log; `-` for nobody.
    pub fn account(&self) -> String {
        self.actor().and_then(|actor| actor.name().map(ToString::to_string)).unwrap_or_else(|| "-".into())
    }

    /// Runs a handler as long as its caller may go on.
    pub async fn hold<T>(&self, service: Option<&Data<Service>>, handler: impl Future<Output = T>) -> Result<T, HttpError> {
        let Some(service) = service else { return Ok(handler.await) };
        let ended = pin!(ended(self.clone(), service.clone(), Rc::new(Cell::new(Instant::now()))));
        match select(pin!(handler), ended).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((ended, _)) => Err(ended.into()),
        }
    }

    /// Breaks a long answer off when its caller may no longer have it.
    pub fn watch(&self, service: Option<&Data<Service>>, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        let size = response.response().body().size();
        let is_small = matches!(size, BodySize::None) || matches!(size, BodySize::Sized(n) if n <= SMALL);
        let Some(service) = service.filter(|_| !is_small && self.0.borrow().is_some()) else { return response };
        let seen = Rc::new(Cell::new(Instant::now()));
        let ended = Box::pin(ended(self.clone(), service.clone(), seen.clone()));
        response.map_body(|_, inner| BoxBody::new(Watched { inner, ended, seen }))
    }
}

/// Comes to its end when the right does. `seen`: when it was last found to be there.
async fn ended(rights: Rights, service: Data<Service>, seen: Rc<Cell<Instant>>) -> Error {
    let mut standing = Standing::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let claim = rights.0.borrow().clone();
        if let Some(claim) = claim {
            match service.still_stands(&claim, standing.clone()).await {
                Ok(now) => standing = now,
                Err(ended @ (Error::Unauthorized(_) | Error::Forbidden(_) | Error::NotFound(_))) => return ended,
                // A catalog that does not answer says nothing about rights.
                Err(error) => tracing::debug!(%error, "it was not seen whether a caller may go on"),
            }
        }
        seen.set(Instant::now());
    }
}

/// An answer's bytes, as long as they may be had.
struct Watched {
    inner: BoxBody,
    ended: LocalBoxFuture<'static, Error>,
    seen: Rc<Cell<Instant>>,
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.inner.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the caller's right to this answer has ended".into())));
        }
        // A reader that stood still: the look that is under way decides first, and wakes us.
        if self.seen.get().elapsed() > LONGEST_UNSEEN {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_next(context)
    }
}
