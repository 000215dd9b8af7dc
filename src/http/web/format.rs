//! Numbers and times as pages write them.

use crate::domain::human;
pub use crate::domain::human::{bytes, duration, percent};
use crate::domain::time::Timestamp;

/// `4,000` while that is short, then `4.65 M`.
pub fn count(number: u64) -> String {
    match number {
        0..1_000 => return number.to_string(),
        1_000..100_000 => return format!("{},{:03}", number / 1_000, number % 1_000),
        _ => {}
    }
    human::count(number)
}

/// `2026-11-23`
pub fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// `2026-11-23 14:05`
pub fn minute(time: Timestamp) -> String {
    human::minute(&time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(13_600_000), "13.6 MB");
        assert_eq!(bytes(999_999), "1.00 MB");
        assert_eq!(count(4_652_008), "4.65 M");
        assert_eq!(count(12), "12");
        assert_eq!(count(4_005), "4,005");
        assert_eq!(percent(0.838), "83.8 %");
        assert_eq!(duration(80.2), "1 min 20 s");
        assert_eq!(duration(3_700.0), "1 h 1 min");
        assert_eq!(minute(Timestamp::from_unix_ms(0)), "1970-01-01 00:00");
    }
}
