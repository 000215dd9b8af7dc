//! Numbers and times as people read them.

use crate::domain::time::Timestamp;

/// `13.6 MB`
pub fn bytes(count: u64) -> String {
    scaled(count as f64, &[" B", " kB", " MB", " GB", " TB"])
}

/// `4,000` while that is short, then `4.65 M`.
pub fn count(number: u64) -> String {
    match number {
        0..1_000 => return number.to_string(),
        1_000..100_000 => return format!("{},{:03}", number / 1_000, number % 1_000),
        _ => {}
    }
    scaled(number as f64, &["", " k", " M", " G"])
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 || value >= 100.0 => 0,
        _ if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}{}", units[unit])
}

/// `2026-11-23`
pub fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// `2026-11-23 14:05`
pub fn minute(time: Timestamp) -> String {
    time.to_string().chars().take(16).collect::<String>().replace('T', " ")
}

/// A share as per cent: `83.8 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `1 min 20 s`
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(13_600_000), "13.6 MB");
        assert_eq!(count(4_652_008), "4.65 M");
        assert_eq!(count(12), "12");
        assert_eq!(count(4_005), "4,005");
        assert_eq!(percent(0.838), "83.8 %");
        assert_eq!(duration(80.2), "1 min 20 s");
        assert_eq!(duration(3_700.0), "1 h 1 min");
        assert_eq!(minute(Timestamp::from_unix_ms(0)), "1970-01-01 00:00");
    }
}
