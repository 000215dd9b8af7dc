//! Measures beside those of the table: further ones with their intervals, and those of each value, label or head.

use std::fmt::Write;

use super::cell;
use crate::domain::evaluation::Evaluation;

/// Longer tables are left to metrics.json.
const LISTED: usize = 60;

pub fn of(measured: &Evaluation, items: &str) -> String {
    let mut text = further(measured);
    if !measured.more.labels.is_empty() {
        text += &labels(measured);
    }
    if !measured.more.parts.is_empty() {
        text += &parts(measured, items);
    }
    text
}

/// A sentence with the further measures.
fn further(measured: &Evaluation) -> String {
    let about = measured.task.about();
    let told = about.further.iter().filter_map(|measure| {
        let value = measured.more.measures.get(measure.key)?;
        let interval = measured.more.intervals.get(measure.key);
        let between = interval.map(|(low, high)| format!(" ({} to {})", measure.show(*low, 3), measure.show(*high, 3)));
        Some(format!("{} {}{}", measure.title, measure.show(*value, 3), between.unwrap_or_default()))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() {
        String::new()
    } else {
        format!("Also measured{}: {}.\n\n", if measured.more.intervals.is_empty() { "" } else { ", with 95 % intervals" }, told.join(", "))
    }
}

fn labels(measured: &Evaluation) -> String {
    let half = measured.more.labels.iter().any(|label| label.average_precision_50.is_some());
    let (title, line) = if half { (" at an overlap of half |", " --- |") } else { ("", "") };
    let mut text = format!("| label | average precision |{title} counts as there from |\n| --- | --- |{line} --- |\n");
    for (score, label) in measured.per_class.iter().zip(&measured.more.labels).take(LISTED) {
        let at_half = label.average_precision_50.map(|value| format!(" {value:.3} |")).unwrap_or_default();
        let _ = writeln!(text, "| {} | {:.3} |{at_half} {:.3} |", cell(&score.class), label.average_precision, label.threshold);
    }
    text + "\n"
}

fn parts(measured: &Evaluation, items: &str) -> String {
    let mut text = format!("| of | {items} | measures |\n| --- | --- | --- |\n");
    for (name, part) in measured.more.parts.iter().take(LISTED) {
        let told =
            part.task.measures().iter().zip(&part.values).map(|(measure, value)| format!("{} {}", measure.title, measure.show(*value, 4)));
        let _ = writeln!(text, "| {} | {} | {} |", cell(name), part.samples, told.collect::<Vec<_>>().join(", "));
    }
    text + "\n"
}
