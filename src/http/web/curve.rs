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
/// More points than this have no marks of their own.
const MOST_MARKS: usize = 60;

/// The classes of lines in the style sheet.
pub const LINES: [&str; 6] = ["s1", "s2", "s3", "s4", "s5", "s6"];

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
    grid(&mut svg, (low, high));
    for epoch in [1, last.div_ceil(2), last] {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{epoch}</text>", x(epoch), HEIGHT - 8.0);
    }
    if let Some(best) = epochs.iter().rfind(|epoch| epoch.best).filter(|_| epochs.len() > 1) {
        let (at, end) = (x(best.epoch), HEIGHT - BOTTOM);
        let _ = write!(
            svg,
            "<line class=\"best\" x1=\"{at:.1}\" y1=\"{TOP:.1}\" x2=\"{at:.1}\" y2=\"{end:.1}\"><title>the best epoch, {}</title></line>",
            best.epoch
        );
    }
    for line in series {
        let known = epochs.iter().zip(&line.values).filter(|(_, value)| value.is_finite());
        let points: Vec<(u32, f64, String)> =
            known.map(|(epoch, value)| (epoch.epoch, *value, format!("{:.1},{:.1}", x(epoch.epoch), y(value.clamp(low, high))))).collect();
        let joined = points.iter().map(|(.., at)| at.as_str()).collect::<Vec<_>>().join(" ");
        let _ = write!(svg, "<polyline class=\"line {}\" points=\"{joined}\"/>", line.class);
        marks(&mut svg, line.class, &points);
    }
    svg + "</svg>"
}

/// A mark for each point, which says its number where it is pointed at.
fn marks(svg: &mut String, class: &str, points: &[(u32, f64, String)]) {
    if points.len() > MOST_MARKS {
        return;
    }
    // A line of one point would not be seen.
    let (kind, radius) = if points.len() == 1 { ("dot", 5.0) } else { ("mark", 3.0) };
    for (epoch, value, at) in points {
        let (x, y) = at.split_once(',').unwrap_or_default();
        let digits = if value.abs() >= 10.0 { 1 } else { 4 };
        let _ = write!(
            svg,
            "<circle class=\"{kind} {class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"><title>epoch {epoch}: {value:.digits$}</title></circle>"
        );
    }
}

/// The first measure of several runs on their validation items, each in its colour.
pub fn overlaid(task: Task, runs: &[Vec<EpochNumbers>]) -> String {
    let share = task.primary().unit == Unit::Share;
    let scale = if share { 100.0 } else { 1.0 };
    let longest = runs.iter().max_by_key(|run| run.last().map_or(0, |last| last.epoch));
    let Some(longest) = longest.filter(|run| !run.is_empty()) else { return String::new() };
    let line = |(run, class): (&Vec<EpochNumbers>, &'static str)| {
        let of = |epoch: u32| run.iter().find(|numbers| numbers.epoch == epoch).map_or(f64::NAN, |numbers| numbers.val_primary() * scale);
        Series { class, values: longest.iter().map(|numbers| of(numbers.epoch)).collect() }
    };
    let series: Vec<Series> = runs.iter().zip(LINES).map(line).collect();
    chart(&title(task, " in per cent"), longest, &series, share.then_some((0.0, 100.0)))
}

/// The loss before each step of a test of rates, the rates from left to right by powers of ten; what is far above the first loss is cut off.
pub fn rates(curve: &[(f64, f64)]) -> String {
    let Some((first, last)) = curve.first().zip(curve.last()) else { return String::new() };
    let (from, to) = (first.0.log10(), last.0.log10().max(first.0.log10() + 1.0));
    let high = curve.iter().map(|(_, loss)| *loss).filter(|loss| loss.is_finite()).fold(0.1, f64::max).min(2.0 * first.1.max(0.1));
    let x = |rate: f64| LEFT + (WIDTH - LEFT - RIGHT) * (rate.log10() - from) / (to - from);
    let mut svg = format!("<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Loss by learning rate\">");
    grid(&mut svg, (0.0, high));
    for power in (from.ceil() as i32)..=(to.floor() as i32) {
        let at = x(10f64.powi(power));
        let _ = write!(svg, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1e{power}</text>", HEIGHT - 8.0);
    }
    let y = |loss: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - loss.clamp(0.0, high) / high);
    let points: Vec<String> =
        curve.iter().filter(|(_, loss)| loss.is_finite()).map(|(rate, loss)| format!("{:.1},{:.1}", x(*rate), y(*loss))).collect();
    let _ = write!(svg, "<polyline class=\"line s1\" points=\"{}\"/>", points.join(" "));
    svg + "</svg>"
}

/// The precision at each of some recalls from 0 to 1, a line for each class, in the colours of [`LINES`].
pub fn precisions(curves: &[&[f64]]) -> String {
    let mut svg = format!("<svg class=\"curve\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Precision by recall\">");
    grid(&mut svg, (0.0, 1.0));
    let x = |recall: f64| LEFT + (WIDTH - LEFT - RIGHT) * recall;
    for recall in [0.0, 0.5, 1.0] {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{recall}</text>", x(recall), HEIGHT - 8.0);
    }
    for (curve, class) in curves.iter().zip(LINES) {
        let place = |(at, value): (usize, &f64)| {
            let down = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value.clamp(0.0, 1.0));
            format!("{:.1},{down:.1}", x(at as f64 / (curve.len() - 1).max(1) as f64))
        };
        let points: Vec<String> = curve.iter().enumerate().map(place).collect();
        let _ = write!(svg, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
    }
    svg + "</svg>"
}

/// Five lines across, each with its value.
fn grid(svg: &mut String, (low, high): (f64, f64)) {
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value - low) / (high - low));
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
        assert_eq!(
            primary(Task::Classification, &[epoch(1, 0.9)], &[]).matches("<circle class=\"dot s").count(),
            2,
            "one epoch is two dots"
        );
    }

    #[test]
    fn rates_stand_by_their_powers_of_ten() {
        let svg = rates(&[(1e-7, 1.0), (1e-3, 0.5), (1e1, 50.0)]);
        assert!(svg.contains(">1e-7</text>") && svg.contains(">1e1</text>"), "{svg}");
        let points = svg.split("line s1\" points=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(points, "44.0,103.0 336.0,148.5 628.0,12.0", "half way, and cut off at twice the first loss");
        assert!(rates(&[]).is_empty() && rates(&[(1e-3, 1.0)]).starts_with("<svg"));
    }
}
