//! Item by item: the table of what was said, and the worst mistakes with a small picture each. Both name and show what is in the data
//! set, so they belong to whoever may read that, and no published folder holds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::answers::Answers;
use crate::data::image::answered::{self, Overlay};
use crate::data::{Dataset, Sample};
use crate::train::tasks::{Task, Told};

/// Mistakes that are shown.
const SHOWN: usize = 24;
/// Lines of the table, and numbers of outputs in a line.
pub const MOST_LINES: usize = 100_000;
const MOST_COLUMNS: usize = 64;
/// Longer side of the truth and of the answer, in pixels.
const SIDE: u32 = 200;
/// A larger picture is left out.
const LARGEST_PICTURE: usize = 64 << 10;

/// An item that the model is wrong about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mistake {
    pub path: String,
    pub split: String,
    pub truth: String,
    pub answer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    pub loss: f64,
    /// A `data:` address of a small picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<String>,
}

/// The items with the greatest loss of those that were not answered rightly, the worst first.
pub fn mistakes(dataset: &Dataset, task: &dyn Task, answers: &Answers) -> Vec<Mistake> {
    let mut wrong: Vec<(usize, Told)> = Vec::new();
    for (at, (sample, row)) in answers.iter().enumerate() {
        match task.told(row, &sample.target) {
            Some(told) if told.right != Some(true) && told.loss > 0.0 => wrong.push((at, told)),
            _ => {}
        }
    }
    wrong.sort_by(|a, b| b.1.loss.total_cmp(&a.1.loss));
    wrong.truncate(SHOWN);
    let mistake = |(at, told): (usize, Told)| {
        let sample = &answers.samples[at];
        let (path, split) = (sample.path.clone(), sample.split.as_str().to_owned());
        let drawn = answers.row(at).and_then(|row| task.drawn(row, &sample.target));
        let thumbnail = dataset.encoded(sample).ok().and_then(|bytes| thumbnail(dataset, &bytes, drawn.as_ref()));
        let truth = dataset.targets.word(&sample.target);
        Mistake { path, split, truth, answer: told.answer, confidence: told.confidence, loss: told.loss, thumbnail }
    };
    wrong.into_iter().map(mistake).collect()
}

/// A small picture of an item; where something is said about its places the truth and the answer side by side.
fn thumbnail(dataset: &Dataset, bytes: &[u8], drawn: Option<&[Overlay; 2]>) -> Option<String> {
    let small = match drawn {
        Some([truth, answer]) => answered::beside(bytes, truth, answer, SIDE, dataset.limits())?,
        None => dataset.modality.inspect(bytes, dataset.limits(), true).ok()?.preview?,
    };
    (small.bytes.len() <= LARGEST_PICTURE).then(|| format!("data:{};base64,{}", small.media_type, STANDARD.encode(&small.bytes)))
}

/// A table with a line for each item that was measured on: what is true, what was said, and the outputs where they are few.
pub fn predictions(dataset: &Dataset, task: &dyn Task, answers: &[&Answers]) -> String {
    let width = answers.first().map_or(0, |answers| answers.width);
    // Words and places have a row each.
    let outputs = if width <= MOST_COLUMNS && !task.name().is_of_parts() { width } else { 0 };
    let mut text = head(outputs);
    for (sample, row) in answers.iter().flat_map(|answers| answers.iter()).take(MOST_LINES) {
        let told = task.told(row, &sample.target).unwrap_or_default();
        text += &line(dataset, sample, &told, &row[..outputs.min(row.len())]);
    }
    text
}

/// The first line of such a table.
pub fn head(outputs: usize) -> String {
    let columns: Vec<String> = (0..outputs).map(|output| format!(",output_{output}")).collect();
    format!("{}{}\n", ["path", "split", "truth", "answer", "confidence", "score", "loss"].join(","), columns.concat())
}

/// The line of an item.
pub fn line(dataset: &Dataset, sample: &Sample, told: &Told, outputs: &[f32]) -> String {
    let truth = dataset.targets.word(&sample.target);
    let confidence = told.confidence.map(|confidence| format!("{confidence:.6}")).unwrap_or_default();
    let mut cells = vec![quoted(&sample.path), sample.split.as_str().to_owned(), quoted(&truth), quoted(&told.answer), confidence];
    cells.extend([told.score, told.loss].map(|value| value.to_string()));
    cells.extend(outputs.iter().map(f32::to_string));
    format!("{}\n", cells.join(","))
}

/// A cell as RFC 4180 has it; what a spreadsheet would take for a formula begins with an apostrophe.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stay_cells() {
        assert_eq!(quoted("train/a b.png"), "train/a b.png");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=cmd()"), "'=cmd()");
        assert_eq!(quoted("-1.5"), "-1.5");
    }
}
