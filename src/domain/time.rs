//! Points in time as unix milliseconds, and the clock the house is given.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_unix_ms(ms: i64) -> Timestamp {
        Timestamp(ms)
    }

    pub fn unix_ms(self) -> i64 {
        self.0
    }

    pub fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Days since 1970-01-01 as (year, month, day), after Howard Hinnant's civil-from-days.
    fn civil(days: i64) -> (i64, i64, i64) {
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
    }
}

/// RFC 3339 in UTC with milliseconds, ending in `Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = Timestamp::civil(days);
        let (s, ms) = (ms / 1_000, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3_600, s / 60 % 60, s % 60)
    }
}

/// Where the time comes from; tests bring their own.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// The text was no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a whole number with s, m, h or d behind it, such as 90s or 24h; or 0")]
pub struct SpanError;

/// A length of time as people write it (`90s`, `15m`, `24h`, `30d`, `0`), in milliseconds.
pub fn parse_span_ms(text: &str) -> Result<i64, SpanError> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit_ms = match &text[digits.len()..] {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if digits == "0" => 0,
        _ => return Err(SpanError),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = if plain { digits.parse().map_err(|_| SpanError)? } else { return Err(SpanError) };
    number.checked_mul(unit_ms).ok_or(SpanError)
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since.as_millis() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_rfc_3339() {
        assert_eq!(Timestamp::from_unix_ms(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_unix_ms(1_709_210_096_789).to_string(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Timestamp::from_unix_ms(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn lengths_of_time_read_as_people_write_them() {
        let good = [("0", 0), ("0s", 0), ("90s", 90_000), ("15m", 900_000), ("24h", 86_400_000), (" 30d ", 2_592_000_000)];
        for (text, ms) in good {
            assert_eq!(parse_span_ms(text), Ok(ms), "{text}");
        }
        for text in ["", "24", "-1h", "1.5h", "h", "1 h", "24H", "1w", "9223372036854775807d", "٣h"] {
            assert_eq!(parse_span_ms(text), Err(SpanError), "{text}");
        }
    }
}
