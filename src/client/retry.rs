//! Which failures are worth another try, and how long to wait before it: doubling pauses with jitter, or
//! what the server asked for.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// May a request be sent twice?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is the same as once.
    Always,
    /// Only when it surely did nothing: the connection failed, or the server was too busy to look at it.
    IfRefused,
}

/// Tries of one request.
pub(super) const TRIES: u32 = 5;
/// Tries of a connection: nobody wants to wait long for a server that is not running.
pub(super) const CONNECT_TRIES: u32 = 3;
/// A server that asks for a longer pause is believed, and the command ends instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause before try `next` (2, 3, ...): 0.3 s doubled each time, at most 8 s, half of it at random, so
/// that many clients do not come back at once.
pub(super) fn pause(next: u32) -> Duration {
    let full = Duration::from_millis(300).saturating_mul(1 << next.saturating_sub(2).min(5)).min(Duration::from_secs(8));
    let mut random = [0; 2];
    // Without randomness the pause is merely regular.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u16::from_be_bytes(random)) / f64::from(u16::MAX);
    full.mul_f64(0.5 + 0.5 * share)
}

/// None: this answer is final.
pub(super) fn pause_after(status: StatusCode, headers: &HeaderMap, next: u32, repeat: Repeat) -> Option<Duration> {
    let refused = matches!(status.as_u16(), 429 | 503);
    let passing = matches!(status.as_u16(), 408 | 500 | 502 | 504);
    if !(refused || passing && repeat == Repeat::Always) {
        return None;
    }
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| asked_for(text.trim(), SystemTime::now()));
    let pause = asked.unwrap_or_else(|| pause(next));
    (pause <= LONGEST_PAUSE).then_some(pause)
}

/// `Retry-After` is a number of seconds, or a date. One that has passed asks for no pause.
fn asked_for(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok().map(|date| date.duration_since(now).unwrap_or_default()),
    }
}

/// Failures in a row without one new byte before a download is given up.
const CUTS: u32 = 8;

/// The line of one download: how often it broke since bytes last came.
#[derive(Debug, Default)]
pub(super) struct Line {
    cuts: u32,
    furthest: u64,
}

impl Line {
    /// It broke with so many bytes here. None: it is not worth another try.
    pub fn broke(&mut self, arrived: u64) -> Option<Duration> {
        self.cuts = if arrived > self.furthest { 1 } else { self.cuts + 1 };
        self.furthest = self.furthest.max(arrived);
        (self.cuts <= CUTS).then(|| pause(self.cuts + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        for (next, full) in [(2, 300), (3, 600), (4, 1_200), (20, 8_000)] {
            let pause = pause(next).as_millis();
            assert!((full / 2..=full).contains(&pause), "try {next}: {pause} ms");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [("0", Some(0)), ("17", Some(17)), ("Sun, 06 Nov 1994 08:49:42 GMT", Some(5))] {
            assert_eq!(asked_for(text, now), seconds.map(Duration::from_secs), "{text}");
        }
        assert_eq!(asked_for("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO), "it has passed");
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(asked_for(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_line_that_brings_bytes_is_tried_again() {
        let mut line = Line::default();
        for arrived in 1..100 {
            assert!(line.broke(arrived).is_some_and(|pause| pause < Duration::from_secs(1)));
        }
        let tries = (0..100).take_while(|_| line.broke(50).is_some()).count();
        assert_eq!(tries, CUTS as usize - 1, "what a server that ignores ranges sends again is nothing new");
    }

    #[test]
    fn the_server_s_wish_counts_and_writes_are_not_doubled() {
        let mut headers = HeaderMap::new();
        assert!(pause_after(StatusCode::INTERNAL_SERVER_ERROR, &headers, 2, Repeat::IfRefused).is_none());
        assert!(pause_after(StatusCode::INTERNAL_SERVER_ERROR, &headers, 2, Repeat::Always).is_some());
        assert!(pause_after(StatusCode::NOT_FOUND, &headers, 2, Repeat::Always).is_none());
        headers.insert(RETRY_AFTER, "3".parse().unwrap());
        assert_eq!(pause_after(StatusCode::TOO_MANY_REQUESTS, &headers, 2, Repeat::IfRefused), Some(Duration::from_secs(3)));
        headers.insert(RETRY_AFTER, "900".parse().unwrap());
        assert_eq!(pause_after(StatusCode::TOO_MANY_REQUESTS, &headers, 2, Repeat::IfRefused), None);
    }
}
