//! The curves of a run as SVG, drawn on the server: the loss, and the task's first measure; an epoch a step to the right.

use std::fmt::Write as _;

use crate::domain::job_event::EpochNumbers;
use crate::domain::task::{Task, Unit};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

/// A line of a chart: its class in the style sheet (`s1` ...) and a value per epoch.
struct Series {
    class: &'static str,
    values: Vec<f64>,
}

/// Loss of training and validation over the epochs.
pub fn loss(epochs: &[EpochNumbers]) -> String {
    let train = Series { class: "s1", values: epochs.iter().map(|e| e.train_loss).collect() };
    let val = Series { class: "s2", values: epochs.iter().map(|e| e.val_loss).collect() };
    chart("Loss", epochs, &[train, val], None)
}

/// The task's first measure, of training and validation over the epochs; and on the same validation items of a run from random weights.
pub fn primary(task: Task, epochs: &[EpochNumbers], scratch: &[EpochNumbers]) -> String {
    let share = task.primary().unit == Unit::Share;
    let scale = if share { 100.0 } else { 1.0 };
    let train = Series { class: "s1", values: epochs.iter().map(|e| e.train_primary * scale).collect() };
    let val = Series { class: "s2", values: epochs.iter().map(|e| e.val_primary() * scale).collect() };
    let beside = Series { class: "s3", values: scratch.iter().map(|e| e.val_primary() * scale).collect() };
    chart(&title(task, " in per cent"), epochs, &[train, val, beside], share.then_some((0.0, 100.0)))
}

/// The name of the first measure; `unit` follows where it is a share.
pub fn title(task: Task, unit: &str) -> String {
    let primary = task.primary();
    primary.label() + if primary.unit == Unit::Share { unit } else { "" }
}

fn chart(name: &str, epochs: &[EpochNumbers], series: &[Series], bounds: Option<(f64, f64)>) -> String {
    let last = epochs.last().map_or(1, |e| e.epochs.max(e.epoch)).max(2);
    let values = || series.iter().flat_map(|s| s.values.iter().copied()).filter(|v| v.is_finite());
    let (low, high) = bounds.unwrap_or_else(|| (0.0, values().fold(0.1, f64::max) * 1.05));
    let x = |epoch: u32| LEFT + (WIDTH - LEFT - RIGHT) * f64::from(epoch - 1) / f64::from(last - 1);
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value - low) / (high - low));
    let mut svg = format!("<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name} by epoch\">");
    for step in 0..=4 {
        let value = low + (high - low) * f64::from(step) / 4.0;
        let at = y(value);
        let digits = if high > 10.0 { 0 } else { 2 };
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
        );
    }
    for epoch in [1, last.div_ceil(2), last] {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>", x(epoch), HEIGHT - 8.0);
    }
    for line in series {
        let points: Vec<String> = epochs
            .iter()
            .zip(&line.values)
            .filter(|(_, value)| value.is_finite())
            .map(|(epoch, value)| format!("{:.1},{:.1}", x(epoch.epoch), y(value.clamp(low, high))))
            .collect();
        let _ = write!(svg, "<polyline class=\"line {}\" points=\"{}\"/>", line.class, points.join(" "));
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32, val_top1: f64) -> EpochNumbers {
        EpochNumbers {
            task: Task::Classification,
            epoch: number,
            epochs: 5,
            train_loss: 1.0 / f64::from(number),
            train_primary: 0.5,
            val_loss: f64::NAN,
            val: vec![val_top1, 1.0, 0.5],
            lr: 0.01,
            samples_per_second: 100.0,
            seconds: 1.0,
            eta_seconds: 1.0,
            best: true,
        }
    }

    #[test]
    fn a_point_per_epoch_and_none_for_what_is_no_number() {
        let svg = primary(Task::Classification, &[epoch(1, 0.0), epoch(2, 1.0)], &[epoch(1, 0.5)]);
        let line = svg.split("line s2\" points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(line.split(' ').count(), 2);
        assert_eq!(svg.split("line s3\" points=\"").nth(1).unwrap().split('"').next().unwrap().split(' ').count(), 1);
        assert!(line.ends_with(&format!(",{TOP:.1}")), "{line}: 100 % is at the top");
        assert!(loss(&[epoch(1, 0.0), epoch(2, 1.0)]).contains("line s2\" points=\"\""));
        assert!(loss(&[]).starts_with("<svg"));
    }
}
