//! Answers as CSV: a line an item. Of classes `label` and `probability` of the likeliest, then `label_2`, `probability_2` and so on;
//! of numbers a column each; of features `f0`, `f1` ...; of models that can tell, `known` and `unknown_score`; what kept an item from an answer stands in `error`.

use csv::Writer;

use super::{Answers, Said};
use crate::domain::prediction::{Answer, Class};

pub(super) fn write(answers: &Answers) -> Result<Vec<u8>, String> {
    let matrix = answers.matrix();
    let classes = |item: &Said| item.content.answer().map_or(0, |answer| answer.classes().len());
    let most = answers.items.iter().map(classes).max().unwrap_or(0);
    let columns: Vec<String> = match matrix.name {
        "probabilities" => (1..=most).flat_map(|rank| ["label", "probability"].map(|what| ranked(what, rank))).collect(),
        "values" => matrix.columns.clone(),
        _ => (0..matrix.width).map(|at| format!("f{at}")).collect(),
    };
    let mut writer = Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| e.to_string();
    let judged = answers.items.iter().any(|item| item.content.familiarity().is_some());
    let familiar: &[&str] = if judged { &["known", "unknown_score"] } else { &[] };
    let header = std::iter::once("name").chain(columns.iter().map(String::as_str)).chain(familiar.iter().copied()).chain(["error"]);
    writer.write_record(header).map_err(failed)?;
    for (at, item) in answers.items.iter().enumerate() {
        let cells: Vec<String> = match matrix.name {
            "probabilities" => ranks(item.content.answer(), most),
            _ => matrix.values[at * matrix.width..][..matrix.width].iter().map(|value| number(*value)).collect(),
        };
        let error = item.reason().map_or("", |reason| reason.message.as_str());
        let familiarity = familiar.iter().zip(told(item)).map(|(_, cell)| cell).collect::<Vec<_>>();
        let cells = cells.iter().chain(&familiarity).map(String::as_str);
        let record = std::iter::once(item.name.as_str()).chain(cells).chain([error]);
        writer.write_record(record).map_err(failed)?;
    }
    writer.into_inner().map_err(|e| e.to_string())
}

fn ranked(what: &str, rank: usize) -> String {
    if rank == 1 { what.to_owned() } else { format!("{what}_{rank}") }
}

fn ranks(answer: Option<&Answer>, most: usize) -> Vec<String> {
    let classes = answer.map_or(&[][..], Answer::classes);
    let cells = |class: Option<&Class>| match class {
        Some(class) => [class.label.clone(), number(class.probability)],
        None => Default::default(),
    };
    (0..most).flat_map(|rank| cells(classes.get(rank))).collect()
}

/// Whether a model knows what the item is, and how unlike it is all it does; empty where it does not say.
fn told(item: &Said) -> [String; 2] {
    item.content
        .familiarity()
        .map_or(Default::default(), |familiarity| [familiarity.known.to_string(), familiarity.unknown_score.to_string()])
}

/// Nothing where there is no number.
fn number(value: f32) -> String {
    if value.is_nan() { String::new() } else { value.to_string() }
}
