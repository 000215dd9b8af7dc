//! Rows divided by commas, tabs, semicolons or bars, with a header or without one.

use std::collections::BTreeSet;
use std::str::from_utf8;

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::super::error::Result;
use super::super::metadata::column_name;
use super::super::name;
use super::super::targets::Form;
use super::columns::{self, Chosen, Wanted};
use super::rows::Rows;
use super::stream::{Stream, is_too_long};
use crate::domain::dataset_layout::Declared;

const DIVIDERS: [u8; 4] = [b',', b'\t', b';', b'|'];
/// What is written of a pair that has no score.
const TOGETHER: &str = "1";
/// Rows that are looked at before any is read.
const LOOKED_AT: usize = 200;
/// A table without a header has so many rows at least, and so many columns at most.
const FEWEST: usize = 4;
const WIDEST: usize = 4;
/// Most classes of a table without a header, and the longest name of one, in bytes.
const CLASSES: usize = 20;
const LONGEST_CLASS: usize = 40;

/// How a table is divided and which of its columns are read, by their places.
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub chosen: Chosen,
    divider: u8,
    /// Whether a field in quotes may hold dividers and line ends.
    is_quoted: bool,
    has_header: bool,
    width: usize,
    texts: Vec<usize>,
    targets: Vec<usize>,
    split: Option<usize>,
}

/// How the beginning of a table reads by one divider.
struct Look {
    divider: u8,
    is_quoted: bool,
    rows: Vec<Vec<String>>,
}

impl Look {
    fn of(stream: &Stream<'_>, divider: u8) -> Look {
        let is_quoted = is_quoted(&stream.head, stream.is_whole, divider);
        let mut reader = reader(divider, is_quoted, false).from_reader(stream.head.as_slice());
        // What is read from memory has no errors.
        let records = reader.byte_records().take(LOOKED_AT + 1).filter_map(std::result::Result::ok);
        let text = |field: &[u8]| String::from_utf8_lossy(&plain(field, is_quoted)).into_owned();
        let mut rows: Vec<Vec<String>> = records.map(|record| record.iter().map(text).collect()).collect();
        if !stream.is_whole || rows.len() > LOOKED_AT {
            rows.pop();
        }
        Look { divider, is_quoted, rows }
    }

    /// Whether nearly all rows have as many fields as the first, and it has several.
    fn is_even(&self) -> bool {
        let width = self.width();
        let alike = self.rows.iter().filter(|row| row.len() == width).count();
        width >= 2 && 20 * alike >= 19 * self.rows.len()
    }

    fn width(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    fn plan(&self, names: &[String], has_header: bool, chosen: Chosen) -> Plan {
        let place = |name: &String| names.iter().position(|found| found == name).unwrap_or_default();
        Plan {
            divider: self.divider,
            is_quoted: self.is_quoted,
            has_header,
            width: self.width(),
            texts: chosen.texts.iter().map(place).collect(),
            targets: chosen.targets.iter().map(place).collect(),
            split: chosen.split.as_ref().map(place),
            chosen,
        }
    }
}

fn reader(divider: u8, is_quoted: bool, has_header: bool) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(divider).quoting(is_quoted).flexible(true).has_headers(has_header);
    builder
}

/// Whether quotes mean something. Tables divided by tabs are often written without a thought of quotes, and their texts begin with
/// them: where each line by itself has as many fields as the others, a quote is a sign like any other.
fn is_quoted(head: &[u8], is_whole: bool, divider: u8) -> bool {
    if divider != b'\t' {
        return true;
    }
    let mut lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
    let end = lines.pop();
    lines.extend(end.filter(|end| is_whole && !end.is_empty()));
    let mut fields =
        lines.iter().filter(|line| !line.trim_ascii().is_empty()).map(|line| line.iter().filter(|byte| **byte == divider).count());
    let first = fields.next();
    fields.any(|count| Some(count) != first)
}

/// A field without the quotes around it, where those were read as signs and are written as quotes are.
fn plain(field: &[u8], is_quoted: bool) -> std::borrow::Cow<'_, [u8]> {
    let inner = field.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).filter(|_| !is_quoted);
    let Some(inner) = inner else { return field.into() };
    let (mut out, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while let Some(at) = rest.iter().position(|byte| *byte == b'"') {
        if rest.get(at + 1) != Some(&b'"') {
            return field.into();
        }
        out.extend_from_slice(&rest[..=at]);
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    out.into()
}

impl Plan {
    /// By the divider at which the header has the columns that are needed; else, of a table without a header, by what stands in its
    /// columns.
    pub fn of(stream: &Stream<'_>, declared: &Declared) -> std::result::Result<Plan, String> {
        let mut widest: Option<(usize, String)> = None;
        let looks = DIVIDERS.map(|divider| Look::of(stream, divider));
        let by_number = !declared.texts.is_empty() && declared.texts.iter().all(|name| name.parse::<usize>().is_ok());
        for look in &looks {
            let names: Vec<String> = match by_number {
                true => (0..look.width()).map(|at| at.to_string()).collect(),
                false => look.rows.first().map(|row| row.iter().map(|name| column_name(name)).collect()).unwrap_or_default(),
            };
            match columns::choose(&names, declared) {
                Ok(chosen) => return Ok(look.plan(&names, !by_number, chosen)),
                Err(reason) if widest.as_ref().is_none_or(|(width, _)| names.len() > *width) => widest = Some((names.len(), reason)),
                Err(_) => {}
            }
        }
        let guess = |look: &Look| without_header(&look.rows).filter(|_| look.is_even());
        if let Some((look, chosen)) = looks.iter().filter(|_| declared.texts.is_empty()).find_map(|look| Some((look, guess(look)?))) {
            let names: Vec<String> = (0..look.width()).map(|at| at.to_string()).collect();
            return Ok(look.plan(&names, false, chosen));
        }
        Err(widest.map_or_else(|| "is empty".into(), |(_, reason)| reason))
    }

    /// Hands every row on.
    ///
    /// # Errors
    /// The file is damaged; the data set is larger than it may be.
    pub fn read(&self, stream: Stream<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let entry = stream.entry;
        let (bytes, leash) = stream.bounded();
        let mut reader = reader(self.divider, self.is_quoted, self.has_header).from_reader(bytes);
        let mut record = ByteRecord::new();
        loop {
            leash.renew();
            match reader.read_byte_record(&mut record) {
                Ok(true) => self.add(&record, rows)?,
                Ok(false) => return Ok(()),
                Err(error) => match error.kind() {
                    ErrorKind::Io(error) if !is_too_long(error) => return Err(entry.broken(error)),
                    _ => return rows.stop(&error.to_string()),
                },
            }
        }
    }

    fn add(&self, record: &ByteRecord, rows: &mut Rows<'_>) -> Result<()> {
        let needed = self.texts.iter().chain(&self.targets).max().map_or(0, |at| at + 1);
        if record.len() > self.width || record.len() < needed {
            let hint = "quote a text that holds what divides the fields";
            return rows.leave(format!("have {} fields, where {} belong; {hint}", record.len(), self.width));
        }
        let field = |at: &usize| plain(record.get(*at).unwrap_or_default(), self.is_quoted);
        let word = |at: &usize| from_utf8(&field(at)).map(|word| word.trim().to_owned());
        let targets: std::result::Result<Vec<String>, _> = self.targets.iter().map(word).collect();
        let (Ok(targets), Ok(split)) = (targets, self.split.as_ref().map(word).transpose()) else {
            return rows.leave("have labels that are not UTF-8; save the table as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8`)");
        };
        if self.chosen.is_of_words() {
            let Ok(words) = self.texts.iter().map(word).collect::<std::result::Result<String, _>>() else {
                return rows.leave("have words that are not UTF-8; save the table as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8`)");
            };
            let tags = targets.concat();
            let tags = (!tags.is_empty()).then(|| listed(&tags));
            return rows.add_words(&listed(&words), tags.as_deref(), split.as_deref());
        }
        let targets: Vec<Option<String>> = targets.into_iter().map(|text| Some(text).filter(|text| !text.is_empty())).collect();
        let texts: Vec<_> = self.texts.iter().map(field).collect();
        let texts: Vec<&[u8]> = texts.iter().map(AsRef::as_ref).collect();
        rows.add(&texts, join(&self.chosen, targets), split.as_deref())
    }
}

/// A list in a field: of JSON, as Python writes it, or with spaces between.
fn listed(text: &str) -> Vec<String> {
    let parse = |text: &str| serde_json::from_str::<Vec<String>>(text).ok();
    let list = text.starts_with('[').then(|| parse(text).or_else(|| parse(&text.replace('\'', "\"")))).flatten();
    list.unwrap_or_else(|| text.split_whitespace().map(str::to_owned).collect())
}

/// The fields of a row's targets as one text; of several columns a JSON list, and nothing where all are empty. No labels are an answer
/// too.
pub fn join(chosen: &Chosen, mut targets: Vec<Option<String>>) -> Option<String> {
    match chosen.wanted {
        Wanted::Form(Form::Columns(_)) => targets.iter().any(Option::is_some).then(|| serde_json::json!(targets).to_string()),
        Wanted::Form(Form::Together) => Some(TOGETHER.into()),
        Wanted::Form(Form::Labels) => Some(targets.pop().flatten().unwrap_or_default()),
        _ => targets.pop().flatten(),
    }
}

/// What a column without a name holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Few short words, of which the first comes again: were it a name of the column, it would not.
    Labels,
    Texts,
    Numbers,
    /// Something else in each row.
    Ids,
    Other,
}

fn holds(rows: &[Vec<String>], at: usize) -> Holds {
    let values: Vec<&str> = rows.iter().filter_map(|row| row.get(at)).map(|value| value.trim()).collect();
    let different: BTreeSet<&str> = values.iter().copied().collect();
    let words = |value: &&&str| value.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count() >= 2;
    let again = values.iter().skip(1).any(|value| *value == values[0]);
    let short = values.iter().all(|value| !value.is_empty() && value.len() <= LONGEST_CLASS);
    let is_number = |value: &&str| value.parse::<f64>().is_ok_and(f64::is_finite);
    let fraction = |value: &&str| value.contains('.');
    match () {
        () if values.iter().all(is_number) && values.iter().any(fraction) => Holds::Numbers,
        () if short && again && different.len() >= 2 && different.len() <= CLASSES && 2 * different.len() <= values.len() => Holds::Labels,
        () if 2 * values.iter().filter(words).count() >= values.len() && 4 * different.len() > values.len() => Holds::Texts,
        () if different.len() == values.len() && !values.iter().any(|value| value.contains(' ')) => Holds::Ids,
        () => Holds::Other,
    }
}

/// The columns of a table whose first line is a row like the others: a text or two, and one column of what is said about them.
fn without_header(rows: &[Vec<String>]) -> Option<Chosen> {
    let width = rows.first()?.len();
    if rows.len() < FEWEST || !(2..=WIDEST).contains(&width) {
        return None;
    }
    let all: Vec<Holds> = (0..width).map(|at| holds(rows, at)).collect();
    let of = |kind: Holds| (0..width).filter(|at| all[*at] == kind).map(|at| at.to_string()).collect::<Vec<String>>();
    let (texts, labels, numbers) = (of(Holds::Texts), of(Holds::Labels), of(Holds::Numbers));
    let targets = match (texts.len(), labels.len(), numbers.len()) {
        (1 | 2, 1, 0) => labels,
        (2, 0, 1) => numbers,
        _ => return None,
    };
    if all.contains(&Holds::Other) {
        return None;
    }
    let note = format!(
        "the table has no header: by what stands in them, column {} was read as text and column {} as what is said about it (columns count \
         from 0; `texts` and `targets` in the card name others)",
        texts.join(" and "),
        name::shown(targets[0].as_bytes())
    );
    Some(Chosen { texts, targets, split: None, wanted: Wanted::Either, note: Some(note) })
}

#[cfg(test)]
#[path = "delimited_tests.rs"]
mod tests;
