//! What a finished fine-tune achieved, from the `metrics.json` of the version it published: numbers, a line per
//! class, and which classes were taken for which.

use futures_util::TryStreamExt as _;
use serde::Deserialize;

use super::format;
use crate::domain::job::Job;
use crate::domain::name::RepoKind;
use crate::domain::path::RepoPath;
use crate::domain::revision::Revision;
use crate::domain::user::Actor;
use crate::service::Service;

/// A larger file is not read into a page.
const MAX_BYTES: u64 = 4 << 20;
/// More classes than this are left to the file itself.
const MOST_CLASSES: usize = 200;
/// A wider matrix cannot be read on a screen.
const WIDEST_MATRIX: usize = 30;

/// The part of `metrics.json` a page shows.
#[derive(Deserialize)]
struct Metrics {
    #[serde(default)]
    majority_top1: f64,
    #[serde(default)]
    best_epoch: u32,
    #[serde(default)]
    seconds: f64,
    validation: Evaluation,
    #[serde(default)]
    test: Option<Evaluation>,
}

#[derive(Deserialize)]
struct Evaluation {
    images: u64,
    loss: f64,
    top1: f64,
    top5: f64,
    macro_f1: f64,
    #[serde(default)]
    per_class: Vec<ClassScore>,
    /// Images of the class of the row that were taken for the class of the column.
    #[serde(default)]
    confusion: Vec<Vec<u64>>,
}

#[derive(Deserialize)]
struct ClassScore {
    class: String,
    support: u64,
    precision: f64,
    recall: f64,
    f1: f64,
}

pub struct Outcome {
    /// Label and value, the most important first.
    pub numbers: Vec<(&'static str, String)>,
    pub classes: Vec<ClassLine>,
    pub names: Vec<String>,
    pub matrix: Vec<MatrixRow>,
}

pub struct ClassLine {
    pub class: String,
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
    /// Tenths of the row's images, 0 to 9: the shade.
    pub shade: u64,
    /// On the diagonal, where the answer was right.
    pub right: bool,
}

/// The outcome of a job that published; nothing where the numbers are gone or are not ours.
pub async fn find(service: &Service, actor: &Actor, job: &Job) -> Option<Outcome> {
    let revision = Revision::Number(job.result_version?);
    let path = RepoPath::parse("metrics.json").ok()?;
    let file = service.open_file(actor, RepoKind::Model, &job.fine_tune.name, &revision, &path).await.ok()?;
    if file.entry.size_bytes > MAX_BYTES {
        return None;
    }
    let parts: Vec<_> = file.reader.stream(0..file.entry.size_bytes).try_collect().await.ok()?;
    read(&parts.concat())
}

fn read(json: &[u8]) -> Option<Outcome> {
    let metrics: Metrics = serde_json::from_slice(json).ok()?;
    let (split, best) = metrics.test.as_ref().map_or(("validation", &metrics.validation), |test| ("test", test));
    let numbers = vec![
        ("Top-1", format::percent(best.top1)),
        ("Always the largest class", format::percent(metrics.majority_top1)),
        ("Top-5", format::percent(best.top5)),
        ("Macro F1", format!("{:.3}", best.macro_f1)),
        ("Loss", format!("{:.4}", best.loss)),
        ("Measured on", format!("{} images of {split}", best.images)),
        ("Best epoch", metrics.best_epoch.to_string()),
        ("Took", format::duration(metrics.seconds)),
    ];
    let fits = (2..=WIDEST_MATRIX).contains(&best.confusion.len());
    Some(Outcome {
        numbers,
        classes: best.per_class.iter().take(MOST_CLASSES).map(ClassLine::from).collect(),
        names: best.per_class.iter().map(|score| score.class.clone()).collect(),
        matrix: if fits { matrix(best) } else { vec![] },
    })
}

impl From<&ClassScore> for ClassLine {
    fn from(score: &ClassScore) -> ClassLine {
        ClassLine {
            class: score.class.clone(),
            support: score.support,
            precision: format::percent(score.precision),
            recall: format::percent(score.recall),
            f1: format!("{:.3}", score.f1),
        }
    }
}

fn matrix(evaluation: &Evaluation) -> Vec<MatrixRow> {
    let row = |(at, (counts, score)): (usize, (&Vec<u64>, &ClassScore))| {
        let total = counts.iter().sum::<u64>().max(1);
        let cell = |(column, count): (usize, &u64)| Cell { count: *count, shade: (count * 9).div_ceil(total), right: column == at };
        MatrixRow { class: score.class.clone(), cells: counts.iter().enumerate().map(cell).collect() }
    };
    evaluation.confusion.iter().zip(&evaluation.per_class).enumerate().map(row).collect()
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
        let json = serde_json::json!({ "validation": evaluation(0.5), "test": evaluation(0.9), "majority_top1": 0.5, "best_epoch": 2 });
        let outcome = read(json.to_string().as_bytes()).unwrap();
        assert_eq!(outcome.numbers[0], ("Top-1", "90.0 %".to_owned()));
        assert_eq!(outcome.classes[0].recall, "80.0 %");
        let cell = &outcome.matrix[0].cells[1];
        assert_eq!((cell.count, cell.shade, cell.right), (1, 2, false));
        assert!(outcome.matrix[1].cells[1].right);
        assert!(read(b"{\"validation\": 3}").is_none());
    }
}
