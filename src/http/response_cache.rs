//! Answers to strangers, given again for a moment to whoever asks the same. Lists and pages that everybody asks for then cost what it takes to send them.
//!
//! An answer is good while nothing has been written to the catalog by this process, and for [`LASTS`] at most: what others have written, a
//! command or another node, is seen that much later. Whoever is somebody never has an answer of another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, SET_COOKIE};
use actix_web::http::{Method, StatusCode};
use bytes::Bytes;
use parking_lot::Mutex;

use super::address::IsPage;
use crate::domain::user::Actor;

/// By others a publish is found within a second.
const LASTS: Duration = Duration::from_secs(1);
/// Bytes of all bodies, and of the largest one.
const MOST_BYTES: usize = 16 << 20;
const LARGEST: usize = 256 << 10;

/// The answers there are.
#[derive(Default)]
pub struct ResponseCache(Mutex<Stored>);

#[derive(Default)]
struct Stored {
    answers: HashMap<String, Kept>,
    bytes: usize,
}

struct Kept {
    made: Instant,
    /// What had been written when it was begun.
    written: u64,
    headers: HeaderMap,
    is_page: bool,
    body: Bytes,
}

/// What a stranger asks, and what had been written by then.
pub struct Question {
    /// The name this server was called by, which stands in its answers, and the address.
    key: String,
    written: u64,
}

impl Question {
    /// `None` of a request whose answer is its own.
    pub fn of(request: &ServiceRequest, actor: &Actor, written: u64) -> Option<Question> {
        let is_plain = *actor == Actor::Anonymous && *request.method() == Method::GET && !request.headers().contains_key(AUTHORIZATION);
        let host = request.headers().get(HOST).map_or(Some(""), |host| host.to_str().ok())?;
        is_plain.then(|| Question { key: format!("{host} {}", request.uri()), written })
    }
}

impl Kept {
    fn is_good(&self, written: u64, now: Instant) -> bool {
        self.written == written && now.duration_since(self.made) < LASTS
    }

    fn answer(&self) -> HttpResponse {
        let mut answer = HttpResponse::Ok().finish();
        *answer.headers_mut() = self.headers.clone();
        if self.is_page {
            answer.extensions_mut().insert(IsPage);
        }
        answer.set_body(BoxBody::new(self.body.clone()))
    }
}

impl ResponseCache {
    /// The answer to a question, if it is still good.
    pub fn find(&self, question: &Question) -> Option<HttpResponse> {
        let stored = self.0.lock();
        stored.answers.get(&question.key).filter(|kept| kept.is_good(question.written, Instant::now())).map(Kept::answer)
    }

    /// Takes down the answer to a question, unless it is a refusal, long or one caller's own.
    pub fn put(&self, question: Question, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
        if response.status() != StatusCode::OK || response.headers().contains_key(SET_COOKIE) {
            return response;
        }
        let is_page = response.response().extensions().get::<IsPage>().is_some();
        response.map_body(|head, body| match body.try_into_bytes() {
            Ok(bytes) => {
                if bytes.len() <= LARGEST {
                    let (made, headers) = (Instant::now(), head.headers().clone());
                    let kept = Kept { made, written: question.written, headers, is_page, body: bytes.clone() };
                    self.0.lock().put(question.key, kept);
                }
                BoxBody::new(bytes)
            }
            Err(body) => body,
        })
    }
}

impl Stored {
    fn put(&mut self, question: String, kept: Kept) {
        if self.bytes + kept.body.len() > MOST_BYTES {
            self.answers.retain(|_, other| other.is_good(kept.written, kept.made));
            self.bytes = self.answers.values().map(|other| other.body.len()).sum();
        }
        // All are good: a second holds no more.
        if self.bytes + kept.body.len() > MOST_BYTES {
            return;
        }
        self.bytes += kept.body.len();
        if let Some(before) = self.answers.insert(question, kept) {
            self.bytes -= before.body.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: u64 = 7;

    fn kept(bytes: usize, made: Instant) -> Kept {
        Kept { made, written: WRITTEN, headers: HeaderMap::new(), is_page: false, body: Bytes::from(vec![0; bytes]) }
    }

    fn question(key: &str, written: u64) -> Question {
        Question { key: key.to_owned(), written }
    }

    #[test]
    fn an_answer_is_good_until_something_is_written_or_a_moment_has_passed() {
        let cache = ResponseCache::default();
        let now = Instant::now();
        cache.0.lock().put("a".into(), kept(3, now));
        assert!(cache.find(&question("a", WRITTEN)).is_some());
        assert!(cache.find(&question("a", WRITTEN + 1)).is_none() && cache.find(&question("b", WRITTEN)).is_none());
        let old = kept(3, now);
        assert!(old.is_good(WRITTEN, now + LASTS / 2) && !old.is_good(WRITTEN, now + LASTS));
    }

    #[test]
    fn it_holds_so_much_and_lets_go_what_is_old() {
        let (mut stored, now) = (Stored::default(), Instant::now());
        let later = now + LASTS;
        let most = MOST_BYTES / LARGEST;
        for at in 0..most {
            stored.put(at.to_string(), kept(LARGEST, now));
        }
        stored.put("one more".into(), kept(1, now));
        stored.put("0".into(), kept(LARGEST, now));
        assert_eq!((stored.answers.len(), stored.bytes), (most, MOST_BYTES));
        stored.put("later".into(), kept(5, later));
        assert_eq!((stored.answers.len(), stored.bytes), (1, 5));
        stored.put("later".into(), kept(2, later));
        assert_eq!((stored.answers.len(), stored.bytes), (1, 2), "in its place");
    }
}
