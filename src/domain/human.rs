//! Numbers and times as people read them, the same on pages and on a terminal.

/// `17.9 MB`
pub fn bytes(count: u64) -> String {
    if count < 1_000 { format!("{count} B") } else { format!("{}B", scaled(count, &["k", "M", "G", "T", "P"])) }
}

/// `4.65 M`; below ten thousand every digit counts.
pub fn count(count: u64) -> String {
    if count < 10_000 { count.to_string() } else { scaled(count, &["k", "M", "B", "T", "P"]) }
}

/// Three digits that count, and the unit.
fn scaled(count: u64, units: &[&str]) -> String {
    let mut value = count as f64;
    let mut unit = "";
    for next in units {
        // 999.5 and more would be shown as 1000 of the smaller unit.
        if value < 999.5 {
            break;
        }
        value /= 1_000.0;
        unit = next;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

/// `1 file`, `2 files`, `3 classes`, `4 entries`: a number and a word, which has a regular plural.
pub fn plural(number: u64, word: &str) -> String {
    counted(number, &number.to_string(), word)
}

/// The same with the number as it is to be written.
pub fn counted(count: u64, written: &str, word: &str) -> String {
    let (stem, ending) = match word.strip_suffix('y') {
        _ if count == 1 => (word, ""),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => (stem, "ies"),
        _ if word.ends_with(['s', 'x']) || word.ends_with("ch") => (word, "es"),
        _ => (word, "s"),
    };
    format!("{written} {stem}{ending}")
}

/// A number before what is said of one, or of any other number: `1 row has`, `2 rows have`.
pub fn of_one_or_many(count: usize, of_one: &str, of_many: &str) -> String {
    format!("{count} {}", if count == 1 { of_one } else { of_many })
}

/// A share as per cent: `83.8 %`.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `45 s`, `3 min 20 s`, `2 h 5 min`; `?` of what is no number yet.
pub fn duration(seconds: f64) -> String {
    let whole = if seconds.is_finite() { seconds.max(0.0).round() as u64 } else { return "?".into() };
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
    }
}

/// `2026-11-23 22:00` of an RFC 3339 time in UTC.
pub fn minute(time: &str) -> String {
    time.chars().take(16).map(|c| if c == 'T' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        let told =
            [(1, "class"), (2, "class"), (1, "entry"), (0, "entry"), (3, "day"), (5, "file")].map(|(count, word)| plural(count, word));
        assert_eq!(told, ["1 class", "2 classes", "1 entry", "0 entries", "3 days", "5 files"]);
        assert_eq!([1, 2].map(|count| of_one_or_many(count, "row has", "rows have")), ["1 row has", "2 rows have"]);
    }

    #[test]
    fn no_unit_counts_to_a_thousand() {
        let sizes = [999, 999_499, 999_500, 999_999, 9_996, 999_950_000, 10u64.pow(15), u64::MAX].map(bytes);
        assert_eq!(sizes, ["999 B", "999 kB", "1.00 MB", "1.00 MB", "10.0 kB", "1.00 GB", "1.00 PB", "18447 PB"]);
        assert_eq!(
            [12, 9_999, 10_000, 999_999, 4_652_008, 1_200_000_000].map(count),
            ["12", "9999", "10.0 k", "1.00 M", "4.65 M", "1.20 B"]
        );
    }

    #[test]
    fn times_and_shares() {
        assert_eq!(
            [3.4, 59.6, 80.2, 3_700.0, -1.0, f64::INFINITY].map(duration),
            ["3 s", "1 min 0 s", "1 min 20 s", "1 h 1 min", "0 s", "?"]
        );
        assert_eq!(minute("2026-11-23T22:00:59.123Z"), "2026-11-23 22:00");
        assert_eq!(percent(0.838), "83.8 %");
    }
}
