//! Plain tables and numbers as people read them.

use console::{Term, measure_text_width, truncate_str};

pub use crate::domain::human::{bytes, count, duration, minute, percent, plural};
use crate::domain::path::invisible;

/// Names and messages come from servers and other people: nothing in them may steer the terminal.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if invisible(c) && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// A column is not made narrower than this.
const NARROWEST: usize = 12;
/// Between two columns.
const GAP: usize = 2;

/// Columns as wide as their widest cell, two spaces apart; `>` before a heading aligns its column right. On a terminal lines that
/// would be longer than it is wide have their widest texts cut; elsewhere all of them are whole.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let terminal = Term::stdout();
    let most = terminal.is_term().then(|| usize::from(terminal.size().1)).filter(|columns| *columns > 0);
    table_within(headings, rows, most.unwrap_or(usize::MAX))
}

/// Takes from the widest columns of texts until all fit, as far as that goes. The first column, which names things, stays.
fn fit(widths: &mut [usize], right: &[bool], most: usize) {
    loop {
        let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let widest = (1..widths.len()).filter(|at| !right[*at] && widths[*at] > NARROWEST).max_by_key(|at| widths[*at]);
        match widest {
            Some(at) if total > most => widths[at] = NARROWEST.max(widths[at].saturating_sub(total - most).max(widths[at] / 2)),
            _ => return,
        }
    }
}

fn table_within(headings: &[&str], rows: &[Vec<String>], most: usize) -> String {
    let right: Vec<bool> = headings.iter().map(|heading| heading.starts_with('>')).collect();
    let first = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let clean = |row: &Vec<String>| row.iter().map(|cell| visible(cell).replace(['\n', '\t'], " ")).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = std::iter::once(first).chain(rows.iter().map(clean)).collect();
    let mut widths: Vec<usize> = (0..headings.len())
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0))
        .collect();
    fit(&mut widths, &right, most);
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let cell = truncate_str(cell, widths[column], "…");
            let gap = " ".repeat(widths[column].saturating_sub(measure_text_width(&cell)));
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
    fn lines_fit_the_terminal_where_that_can_be() {
        let row =
            vec!["library/resnet50".to_owned(), "imagenet-1k, imagenet-21k, laion-2b".to_owned(), "25.6 M".into(), "apache-2.0".into()];
        let headings = ["model", "trained on", ">parameters", "license"];
        let text = table_within(&headings, std::slice::from_ref(&row), 64);
        assert!(text.lines().all(|line| measure_text_width(line) <= 64), "{text}");
        assert!(text.contains("library/resnet50") && text.contains("25.6 M") && text.contains('…'), "{text}");
        let narrow = table_within(&headings, std::slice::from_ref(&row), 10);
        assert!(narrow.contains("library/resnet50"), "names stay, however narrow it is: {narrow}");
        assert!(!table_within(&headings, &[row], usize::MAX).contains('…'));
    }

    #[test]
    fn columns_line_up_and_cells_stay_on_their_line() {
        let text = table(&["name", ">size"], &[vec!["ü".into(), "1 B".into()], vec!["a\nb".into(), "20 MB".into()]]);
        assert_eq!(text, "name   size\nü       1 B\na b   20 MB");
        assert_eq!(facts(&[("a", "1".into()), ("none", String::new()), ("long", "2".into())]), "a     1\nlong  2");
    }
}
