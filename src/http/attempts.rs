//! Counts guesses: what has the shape of a token of this hub and is none. An address has ten of them in a quarter of an
//! hour; beyond, each further one is told to wait. The same wrong text again is no further guess, and a right token is
//! never asked how many wrong ones came from its address: people behind one proxy share it.
//!
//! Kept in memory on purpose: it is no state of a request, a restart forgives, and nodes guard for themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::connection::network;

const WINDOW: Duration = Duration::from_secs(15 * 60);
const MAX_GUESSES: usize = 10;
/// Beyond this many addresses the oldest are forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// The guesses of the last quarter of an hour, by address, each by the hash of its text.
#[derive(Default)]
pub struct Attempts {
    guesses: Mutex<HashMap<IpAddr, Vec<(String, Instant)>>>,
}

impl Attempts {
    /// Notes a wrong token. Where its address has guessed too often: seconds until it may guess again.
    pub fn guessed(&self, peer: IpAddr, token_hash: &str, now: Instant) -> Result<(), u64> {
        let mut all = self.guesses.lock();
        let recent = |at: &Instant| now.duration_since(*at) < WINDOW;
        if all.len() >= MAX_REMEMBERED {
            all.retain(|_, guesses| guesses.iter().any(|(_, at)| recent(at)));
        }
        if all.len() >= MAX_REMEMBERED {
            all.clear();
        }
        let guesses = all.entry(network(peer)).or_default();
        guesses.retain(|(_, at)| recent(at));
        if guesses.iter().any(|(hash, _)| hash == token_hash) {
            return Ok(());
        }
        match guesses.first() {
            Some((_, first)) if guesses.len() >= MAX_GUESSES => Err((WINDOW - now.duration_since(*first)).as_secs().max(1)),
            _ => {
                guesses.push((token_hash.to_owned(), now));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_ten_guesses_in_a_quarter_of_an_hour() {
        let attempts = Attempts::default();
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let start = Instant::now();
        for number in 0..MAX_GUESSES {
            assert!(attempts.guessed(here, &number.to_string(), start).is_ok());
        }
        let later = start + Duration::from_secs(60);
        assert_eq!(attempts.guessed(here, "another", later), Err(14 * 60));
        assert!(attempts.guessed(here, "3", later).is_ok(), "the same text again is no guess");
        assert!(attempts.guessed(there, "another", later).is_ok(), "others are free to go");
        assert!(attempts.guessed(here, "another", start + WINDOW).is_ok(), "and so is this one after a while");
    }

    #[test]
    fn repeats_are_one_guess_and_neighbours_in_a_network_are_one_address() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..1_000 {
            assert!(attempts.guessed(ip("2001:db8::1"), "stale", start).is_ok());
        }
        for number in 1..MAX_GUESSES {
            assert!(attempts.guessed(ip(&format!("2001:db8::{number}")), &number.to_string(), start).is_ok());
        }
        assert!(attempts.guessed(ip("2001:db8::ffff"), "one more", start).is_err());
    }

    #[test]
    fn many_addresses_need_bounded_memory() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for number in 0..=MAX_REMEMBERED as u32 {
            attempts.guessed(IpAddr::V4(number.into()), "x", start).unwrap();
        }
        assert!(attempts.guesses.lock().len() <= MAX_REMEMBERED);
    }
}
