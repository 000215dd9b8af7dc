//! Answers as CSV: a line an item. Of classes `label` and `probability` of the likeliest, then `label_2`, `probability_2` and so on;
//! of numbers a column each; of entities and objects a JSON list of them in `entities` or `boxes`; of features `f0`, `f1` ...; of models that can tell, `known`
//! and `unknown_score`; what kept an item from an answer stands in `error`.

use std::io::{self, Write};

use super::shape::Kind;
use super::writer::Form;
use super::{Said, Shape};
use crate::domain::prediction::{Answer, Class};

pub(super) struct Csv<'a> {
    writer: csv::Writer<&'a mut (dyn Write + Send)>,
}

impl<'a> Csv<'a> {
    pub fn begin(shape: &Shape, out: &'a mut (dyn Write + Send)) -> io::Result<Csv<'a>> {
        let mut writer = csv::Writer::from_writer(out);
        let columns: Vec<String> = match shape.kind {
            Kind::Probabilities => (1..=shape.ranks).flat_map(|rank| ["label", "probability"].map(|what| ranked(what, rank))).collect(),
            Kind::Values => shape.columns.clone(),
            Kind::Entities | Kind::Boxes | Kind::Shots => vec![shape.kind.name().to_owned()],
            Kind::Features => (0..shape.width).map(|at| format!("f{at}")).collect(),
        };
        let familiar: &[&str] = if shape.judged { &["known", "unknown_score"] } else { &[] };
        let header = std::iter::once("name").chain(columns.iter().map(String::as_str)).chain(familiar.iter().copied()).chain(["error"]);
        writer.write_record(header)?;
        Ok(Csv { writer })
    }
}

impl Form for Csv<'_> {
    fn add(&mut self, shape: &Shape, item: Said) -> io::Result<()> {
        let mut cells: Vec<String> = match shape.kind {
            Kind::Probabilities => ranks(item.content.answer(), shape.ranks),
            Kind::Entities | Kind::Boxes | Kind::Shots => vec![item.content.answer().and_then(Answer::listed).unwrap_or_default()],
            _ => shape.row(&item).into_iter().map(number).collect(),
        };
        if shape.judged {
            cells.extend(told(&item));
        }
        let error = item.reason().map_or("", |reason| reason.message.as_str());
        let record = std::iter::once(item.name.as_str()).chain(cells.iter().map(String::as_str)).chain([error]);
        Ok(self.writer.write_record(record)?)
    }

    fn finish(mut self: Box<Self>, _shape: &Shape) -> io::Result<()> {
        self.writer.flush()
    }
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
