//! What a finished fine-tune achieved, from the `metrics.json` of the version it published: numbers, a line per
//! class, and which classes were taken for which.

use futures_util::TryStreamExt as _;

use super::{curve, format};
use crate::domain::evaluation::{self, ClassScore, Evaluation};
use crate::domain::human;
use crate::domain::job::Job;
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::task::{NOT_MEASURED, Unit, capitalised, significant};
use crate::domain::user::Actor;
use crate::service::Service;

/// A larger file is not read into a page.
const MAX_BYTES: u64 = 4 << 20;
/// More classes than this are left to the file itself.
const MOST_CLASSES: usize = 200;
/// A wider matrix cannot be read on a screen.
const WIDEST_MATRIX: usize = 30;

pub struct Outcome {
    /// What it comes to.
    pub said: Said,
    /// Label and value, the most important first.
    pub numbers: Vec<(String, String)>,
    pub classes: Vec<ClassLine>,
    pub names: Vec<String>,
    pub matrix: Vec<MatrixRow>,
    /// Whether something was said about places of images.
    pub of_places: bool,
    /// Whether items of a cell can be asked for.
    pub of_items: bool,
    /// What the classes are counted in.
    pub counted: &'static str,
    /// Of objects the precision by recall, drawn; and what each line is, with its class in the style sheet.
    pub curves: String,
    pub lines: Vec<(String, &'static str)>,
}

/// A run in a sentence: how good it is, and how much better than always the same answer.
pub struct Said {
    /// `good` where it is better than that, `warn` where nobody can tell, `bad` where it is worse.
    pub tone: &'static str,
    /// `89.8 % ± 4.3`
    pub value: String,
    /// `51 points above always answering mammal, on 180 items of test`
    pub sentence: String,
}

pub struct ClassLine {
    pub class: String,
    /// The recall as a number.
    pub share: f64,
    pub support: u64,
    pub precision: String,
    pub recall: String,
    pub f1: String,
}

pub struct MatrixRow {
    pub class: String,
    pub cells: Vec<Cell>,
}

pub struct Cell {
    pub count: u64,
    /// The class that was said.
    pub answer: String,
    /// Tenths of the row's images, 0 to 9: the shade.
    pub shade: u64,
    /// On the diagonal, where the answer was right.
    pub right: bool,
}

/// The outcome of a job that published; nothing where the numbers are gone or are not ours.
pub async fn find(service: &Service, actor: &Actor, job: &Job) -> Option<Outcome> {
    let revision = Revision::Number(job.result_version?);
    let path = RepoPath::parse("metrics.json").ok()?;
    let file = service.open_file(actor, RepoKind::Model, job.work.publishes()?, &revision, &path).await.ok()?;
    if file.entry.size_bytes > MAX_BYTES {
        return None;
    }
    let parts: Vec<_> = file.reader.stream(0..file.entry.size_bytes).try_collect().await.ok()?;
    read(&parts.concat())
}

/// A measure as tiles show it.
pub fn shown(unit: Unit, value: f64) -> String {
    match unit {
        _ if value.is_nan() => NOT_MEASURED.into(),
        Unit::Share => format::percent(value),
        Unit::Score => format!("{value:.3}"),
        Unit::OfTarget => significant(value),
    }
}

pub fn read(json: &[u8]) -> Option<Outcome> {
    let outcome = evaluation::Outcome::read(json)?;
    let (split, best) = outcome.measured();
    let task = outcome.task();
    let mut numbers: Vec<(String, String)> =
        task.measures().iter().zip(&best.values).map(|(measure, value)| (measure.label(), shown(measure.unit, *value))).collect();
    numbers.insert(1, (capitalised(task.about().baseline.1), shown(task.primary().unit, outcome.baseline)));
    numbers.extend(
        [("Loss", format!("{:.4}", best.loss)), ("Measured on", format!("{} items of {split}", best.samples))]
            .map(|(label, value)| (label.to_owned(), value)),
    );
    if let Some((low, high)) = best.interval() {
        let unit = task.primary().unit;
        numbers.push((format!("{}, 95 % interval", task.primary().label()), format!("{} to {}", shown(unit, low), shown(unit, high))));
    }
    numbers.extend(
        outcome.leaks.iter().map(|leak| (format!("Of {} also in {}", leak.split, leak.of), format!("{} of {}", leak.copies, leak.samples))),
    );
    numbers.extend(
        [("Best epoch", outcome.best_epoch.to_string()), ("Took", format::duration(outcome.seconds))]
            .map(|(label, value)| (label.to_owned(), value)),
    );
    let said = said(&outcome);
    let fits = (2..=WIDEST_MATRIX).contains(&best.confused().len()) && !best.confusion.is_empty();
    let (lines, curves) = lines(best);
    Some(Outcome {
        said,
        numbers,
        classes: best.per_class.iter().take(MOST_CLASSES).map(ClassLine::from).collect(),
        names: best.confused().into_iter().map(str::to_owned).collect(),
        matrix: if fits { matrix(best) } else { vec![] },
        of_places: task.is_of_places(),
        of_items: !task.is_of_places() && !task.is_of_words(),
        counted: task.counted().unwrap_or("images"),
        curves: if lines.is_empty() { String::new() } else { curve::precisions(&curves) },
        lines,
    })
}

fn said(outcome: &evaluation::Outcome) -> Said {
    let (split, best) = outcome.measured();
    let primary = outcome.task().primary();
    let (value, interval) = (best.primary(), best.interval());
    let largest = best.per_class.iter().max_by_key(|score| score.support).filter(|_| primary.key == "top1" && best.samples > 0);
    // Of the items it was measured on, where they say which class is the largest.
    let (baseline, always) = match largest {
        Some(score) => (score.support as f64 / best.samples as f64, format!("always answering {}", score.class)),
        None => (outcome.baseline, outcome.task().about().baseline.1.to_owned()),
    };
    let above = if primary.rises { value - baseline } else { baseline - value };
    let gain = above - outcome.task().least_gain();
    let surely = interval.map_or(gain > 0.0, |(low, high)| if primary.rises { low > baseline } else { high < baseline });
    let tone = match (gain > 0.0, surely) {
        (true, true) => "good",
        (true, false) => "warn",
        (false, _) => "bad",
    };
    let on = format!("on {} of {split}", human::plural(best.samples, "item"));
    let (shown_value, beside) = match primary.unit {
        Unit::Share => {
            let reach = interval.map(|(low, high)| format!(" ± {:.1}", 50.0 * (high - low))).unwrap_or_default();
            let points = 100.0 * (value - baseline);
            let beside = match points.abs() {
                small if small < 0.05 => format!("no better than {always}"),
                far if far < 10.0 => format!("{far:.1} points {} {always}", if points > 0.0 { "above" } else { "below" }),
                far => format!("{far:.0} points {} {always}", if points > 0.0 { "above" } else { "below" }),
            };
            (format!("{}{reach}", format::percent(value)), beside)
        }
        unit => {
            let reach = interval.map(|(low, high)| format!(" ({} to {})", shown(unit, low), shown(unit, high))).unwrap_or_default();
            (format!("{}{reach}", shown(unit, value)), format!("{always} gives {}", shown(unit, baseline)))
        }
    };
    let doubt = if tone == "warn" { "; so few items cannot tell that from chance" } else { "" };
    Said { tone, value: format!("{} {shown_value}", primary.label()), sentence: format!("{beside}, {on}{doubt}") }
}

impl From<&ClassScore> for ClassLine {
    fn from(score: &ClassScore) -> ClassLine {
        ClassLine {
            class: score.class.clone(),
            share: score.recall,
            support: score.support,
            precision: format::percent(score.precision),
            recall: format::percent(score.recall),
            f1: format!("{:.3}", score.f1),
        }
    }
}

/// Curves of the classes that most objects are of, each with its name and its line.
fn lines(evaluation: &Evaluation) -> (Vec<(String, &'static str)>, Vec<&[f64]>) {
    let mut there: Vec<(&ClassScore, &[f64])> =
        evaluation.per_class.iter().zip(&evaluation.more.curves).map(|(score, curve)| (score, curve.as_slice())).collect();
    there.retain(|(_, curve)| curve.len() > 1);
    there.sort_by_key(|(score, _)| std::cmp::Reverse(score.support));
    there.into_iter().zip(curve::COLOURS).map(|((score, curve), line)| ((score.class.clone(), line), curve)).unzip()
}

fn matrix(evaluation: &Evaluation) -> Vec<MatrixRow> {
    let names = evaluation.confused();
    let row = |(at, (counts, name)): (usize, (Vec<u64>, &&str))| {
        let total = counts.iter().sum::<u64>().max(1);
        let said = |column: usize| names.get(column).map(|name| (*name).to_owned()).unwrap_or_default();
        let cell = |(column, count): (usize, &u64)| Cell {
            count: *count,
            answer: said(column),
            shade: (count * 9).div_ceil(total),
            right: column == at,
        };
        MatrixRow { class: (*name).to_owned(), cells: counts.iter().enumerate().map(cell).collect() }
    };
    evaluation.confusion_matrix().into_iter().zip(&names).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_set_counts_where_there_is_one() {
        let evaluation = |top1: f64| {
            serde_json::json!({
                "images": 10, "loss": 0.5, "top1": top1, "top5": 1.0, "macro_f1": 0.8,
                "per_class": [
                    {"class": "cat", "support": 5, "precision": 1.0, "recall": 0.8, "f1": 0.89},
                    {"class": "dog", "support": 5, "precision": 0.8, "recall": 1.0, "f1": 0.89},
                ],
                "confusion": [[4, 1], [0, 5]],
            })
        };
        let json = serde_json::json!({ "validation": evaluation(0.5), "test": evaluation(0.9), "majority_top1": 0.5, "best_epoch": 2,
            "leaks": [{"split": "val", "of": "train", "copies": 3, "samples": 10, "near": 1}] });
        let outcome = read(json.to_string().as_bytes()).unwrap();
        let tiles: Vec<_> = outcome.numbers.iter().map(|(label, value)| (label.as_str(), value.as_str())).collect();
        assert_eq!(tiles[..3], [("Top-1", "90.0 %"), ("Always the largest class", "50.0 %"), ("Top-5", "100.0 %")]);
        assert_eq!(tiles[3..6], [("Macro F1", "0.800"), ("Loss", "0.5000"), ("Measured on", "10 items of test")]);
        assert_eq!(tiles[6..8], [("Top-1, 95 % interval", "59.6 % to 98.2 %"), ("Of val also in train", "3 of 10")]);
        assert_eq!(outcome.said.value, "Top-1 90.0 % ± 19.3");
        assert_eq!(
            (outcome.said.tone, outcome.said.sentence.as_str()),
            ("good", "40 points above always answering dog, on 10 items of test")
        );
        assert_eq!(outcome.classes[0].recall, "80.0 %");
        let cell = &outcome.matrix[0].cells[1];
        assert_eq!((cell.count, cell.shade, cell.right), (1, 2, false));
        assert!(outcome.matrix[1].cells[1].right);
        assert!(read(b"{\"validation\": 3}").is_none());
    }
}
