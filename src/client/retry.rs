//! Which failures are worth another try, and how long to wait before it: doubling pauses with jitter, or
//! what the server asked for.

use std::time::Duration;

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
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
    let pause = asked.map_or_else(|| pause(next), Duration::from_secs);
    (pause <= LONGEST_PAUSE).then_some(pause)
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
