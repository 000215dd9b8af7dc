//! Plain tables and numbers as people read them.

use console::measure_text_width;

pub use crate::domain::human::{bytes, count, duration, minute, percent};
use crate::domain::path::invisible;

/// Names and messages come from servers and other people: nothing in them may steer the terminal.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if invisible(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// Columns as wide as their widest cell, two spaces apart; `>` before a heading aligns its column right.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let right: Vec<bool> = headings.iter().map(|heading| heading.starts_with('>')).collect();
    let first = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let clean = |row: &Vec<String>| row.iter().map(|cell| visible(cell).replace(['\n', '\t'], " ")).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = std::iter::once(first).chain(rows.iter().map(clean)).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let gap = " ".repeat(widths[column].saturating_sub(measure_text_width(cell)));
            let padded = if right[column] { format!("{gap}{cell}") } else { format!("{cell}{gap}") };
            row.push_str(if column == 0 { "" } else { "  " });
            row.push_str(&padded);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text.trim_end_matches('\n').to_owned()
}

/// `name  value` lines; empty values are left out.
pub fn facts(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {}", visible(value))).collect::<Vec<_>>().join("\n")
}

/// `1 file`, `2 files`
pub fn plural(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let sizes = [0, 999, 1_000, 17_856_134, 999_949, 999_999, 10u64.pow(12)].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.00 kB", "17.9 MB", "1.00 MB", "1.00 MB", "1.00 TB"]);
        assert_eq!([9_999, 10_000, 4_652_008].map(count), ["9999", "10.0 k", "4.65 M"]);
        assert_eq!([3.4, 200.0, 7_500.0, f64::NAN].map(duration), ["3 s", "3 min 20 s", "2 h 5 min", "?"]);
        assert_eq!(minute("2026-11-23T22:00:59.123Z"), "2026-11-23 22:00");
    }

    #[test]
    fn nothing_from_a_server_steers_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\tc\nd\u{202e}"), "a\u{fffd}[2Jb\tc\nd\u{fffd}");
    }

    #[test]
    fn columns_line_up_and_cells_stay_on_their_line() {
        let text = table(&["name", ">size"], &[vec!["ü".into(), "1 B".into()], vec!["a\nb".into(), "20 MB".into()]]);
        assert_eq!(text, "name   size\nü       1 B\na b   20 MB");
        assert_eq!(facts(&[("a", "1".into()), ("none", String::new()), ("long", "2".into())]), "a     1\nlong  2");
    }
}
