//! Rows as JSON objects: one a line, or all in one list.

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::super::error::Result;
use super::super::metadata::column_name;
use super::super::targets::{self, Form};
use super::columns::{self, Chosen};
use super::delimited::join;
use super::rows::Rows;
use super::stream::{Lines, MOST_ROW, Stream};
use crate::domain::dataset_layout::Declared;

/// Objects whose keys are looked at before any row is read.
const LOOKED_AT: usize = 20;

/// Which keys are read.
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub chosen: Chosen,
}

/// What is wrong with one row, in words that follow "they", and the byte of the row it is wrong at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault(String, Option<usize>);

type Row = std::result::Result<Map<String, Value>, Fault>;

/// Of a row its texts, its target as it is written, and its split.
type Fields = (Vec<String>, Option<String>, Option<String>);

/// Of a row its words, their tags where it has some, and its split.
type Tagged = (Vec<String>, Option<Vec<String>>, Option<String>);

impl Plan {
    /// By the keys of the first objects.
    pub fn of(stream: Stream<'_>, declared: &Declared) -> std::result::Result<Plan, String> {
        let damaged = |error: io::Error| format!("cannot be read: {error}");
        let mut objects = Objects::of(stream).ok_or("is neither a list nor lines of JSON objects")?;
        let (mut names, mut fault): (Vec<String>, _) = (Vec::new(), None);
        for _ in 0..LOOKED_AT {
            match objects.next().map_err(damaged)? {
                None => break,
                Some(Ok(object)) => {
                    for name in object.keys().map(|key| column_name(key)) {
                        if !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
                Some(Err(Fault(reason, _))) => fault = fault.or(Some(reason)),
            }
        }
        match fault {
            Some(reason) if names.is_empty() => Err(format!("has no rows at its beginning that can be read: they {reason}")),
            _ => Ok(Plan { chosen: columns::choose(&names, declared)? }),
        }
    }

    /// Hands every row on.
    ///
    /// # Errors
    /// The file is damaged; the data set is larger than it may be.
    pub fn read(&self, stream: Stream<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let entry = stream.entry;
        let Some(mut objects) = Objects::of(stream) else { return Ok(()) };
        while let Some(row) = objects.next().map_err(|error| entry.broken(&error))? {
            if self.chosen.is_of_words() {
                match row.and_then(|object| self.words(&object)) {
                    Ok((words, tags, split)) => rows.add_words(&words, tags.as_deref(), split.as_deref())?,
                    Err(Fault(reason, at)) => rows.leave_at(reason, at)?,
                }
                continue;
            }
            match row.and_then(|object| self.fields(&object)) {
                Ok((texts, target, split)) => {
                    let texts: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
                    rows.add(&texts, target, split.as_deref())?;
                }
                Err(Fault(reason, at)) => rows.leave_at(reason, at)?,
            }
        }
        Ok(())
    }

    /// Words and a tag for each, where a row has them.
    fn words(&self, object: &Map<String, Value>) -> std::result::Result<Tagged, Fault> {
        let list = |name: &String, one: fn(&Value) -> Option<String>| match field(object, name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(all)) => {
                let words: Option<Vec<String>> = all.iter().map(one).collect();
                words.map(Some).ok_or_else(|| Fault(format!("have something else than words in `{name}`"), None))
            }
            Some(_) => Err(Fault(format!("have no list in `{name}`"), None)),
        };
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let tag =
            |value: &Value| value.as_str().map(|tag| tag.trim().to_owned()).or_else(|| value.as_i64().map(|number| number.to_string()));
        let ([words], [tags]) = (self.chosen.texts.as_slice(), self.chosen.targets.as_slice()) else { return Ok(Tagged::default()) };
        let split =
            self.chosen.split.as_ref().and_then(|name| field(object, name)).and_then(Value::as_str).map(|word| word.trim().to_owned());
        Ok((list(words, word)?.unwrap_or_default(), list(tags, tag)?, split))
    }

    fn fields(&self, object: &Map<String, Value>) -> std::result::Result<Fields, Fault> {
        let field = |name: &String| field(object, name);
        let text = |name: &String| match field(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(Fault(format!("have no string in `{name}`"), None)),
        };
        let word = |name: &String| {
            word(field(name)).ok_or_else(|| Fault(format!("have neither a word, a number nor a list of them in `{name}`"), None))
        };
        let texts = self.chosen.texts.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?;
        let targets = self.chosen.targets.iter().map(word).collect::<std::result::Result<Vec<_>, _>>()?;
        let split = self.chosen.split.as_ref().and_then(field).and_then(Value::as_str).map(|word| word.trim().to_owned());
        Ok((texts, join(&self.chosen, targets), split))
    }
}

/// A value by the name of its column.
fn field<'a>(object: &'a Map<String, Value>, name: &String) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| column_name(key) == *name).map(|(_, value)| value))
}

/// A target as it is written; `Some(None)` where there is none, `None` of what is no target.
fn word(value: Option<&Value>) -> Option<Option<String>> {
    let written = match value {
        None | Some(Value::Null) => return Some(None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Object(_)) => return None,
        Some(list @ Value::Array(_)) => targets::text(&Form::Labels, list).or_else(|_| targets::text(&Form::number(), list)).ok()?,
        Some(other) => other.to_string(),
    };
    Some(Some(written).filter(|text| !text.is_empty()))
}

/// The objects of a table.
enum Objects<'a> {
    Lines { lines: Lines<'a>, line: Vec<u8> },
    List { bytes: Box<dyn BufRead + 'a>, has_ended: bool },
}

impl<'a> Objects<'a> {
    /// By its first sign; `None` of what begins otherwise.
    fn of(stream: Stream<'a>) -> Option<Objects<'a>> {
        let first = stream.head.iter().find(|byte| !byte.is_ascii_whitespace())?;
        match first {
            b'[' => Some(Objects::List { bytes: stream.lines().into_inner(), has_ended: false }),
            b'{' => Some(Objects::Lines { lines: stream.lines(), line: Vec::new() }),
            _ => None,
        }
    }

    fn next(&mut self) -> io::Result<Option<Row>> {
        match self {
            Objects::Lines { lines, line } => loop {
                match lines.next_into(line)? {
                    None => return Ok(None),
                    Some(true) => return Ok(Some(Err(too_long()))),
                    Some(false) if line.trim_ascii().is_empty() => {}
                    Some(false) => return Ok(Some(parse(line))),
                }
            },
            Objects::List { has_ended: true, .. } => Ok(None),
            Objects::List { bytes, has_ended } => {
                let next = object(bytes)?;
                *has_ended = !matches!(next, Some(Ok(_)) | Some(Err(Fault(_, Some(_)))));
                Ok(match next {
                    Some(Ok(object)) => Some(parse(&object)),
                    Some(Err(fault)) => Some(Err(fault)),
                    None => None,
                })
            }
        }
    }
}

fn too_long() -> Fault {
    Fault(format!("have more than {MOST_ROW} bytes"), Some(MOST_ROW))
}

fn parse(bytes: &[u8]) -> Row {
    if let Err(error) = std::str::from_utf8(bytes) {
        let reason = "hold bytes that are not UTF-8, in Latin-1 perhaps; `iconv -f WINDOWS-1252 -t UTF-8` makes it so";
        return Err(Fault(reason.into(), Some(error.valid_up_to())));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault("are no JSON objects".into(), None)),
        Err(error) => Err(Fault("are no JSON that can be read".into(), Some(error.column()))),
    }
}

/// The bytes of the next object of a list, cut out by its braces; what is wrong ends the list, but for an object that is too long.
fn object(bytes: &mut Box<dyn BufRead + '_>) -> io::Result<Option<std::result::Result<Vec<u8>, Fault>>> {
    let (mut found, mut length) = (Vec::new(), 0usize);
    let (mut depth, mut in_text, mut is_escaped) = (0usize, false, false);
    loop {
        let seen = match bytes.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            seen => seen?,
        };
        if seen.is_empty() {
            let cut = Fault("end before their object does".into(), None);
            return Ok((depth > 0).then_some(Err(cut)));
        }
        for (at, byte) in seen.iter().enumerate() {
            match (depth, *byte) {
                (0, b'[' | b',') => continue,
                (0, byte) if byte.is_ascii_whitespace() => continue,
                (0, b']') => return Ok(None),
                (0, b'{') => depth = 1,
                (0, _) => return Ok(Some(Err(Fault("are no JSON objects, as a list of rows has them".into(), None)))),
                (_, _) if is_escaped => is_escaped = false,
                (_, b'\\') if in_text => is_escaped = true,
                (_, b'"') => in_text = !in_text,
                (_, b'{') if !in_text => depth += 1,
                (_, b'}') if !in_text => depth -= 1,
                _ => {}
            }
            length += 1;
            if length <= MOST_ROW {
                found.push(*byte);
            }
            if depth == 0 {
                bytes.consume(at + 1);
                return Ok(Some(if length > MOST_ROW { Err(too_long()) } else { Ok(found) }));
            }
        }
        let used = seen.len();
        bytes.consume(used);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::labelled::{Layout, Split};
    use super::super::super::limits::Limits;
    use super::super::super::place::{Entry, Place};
    use super::super::rows::Kept;
    use super::*;

    /// Path, text and target of a row.
    type Found = (String, String, String);

    /// Every row that is read, and what was said of the others.
    fn read(table: &str) -> std::result::Result<(Vec<Found>, String), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), table).unwrap();
        let entry = Entry { path: "t.jsonl".into(), size: 1, place: Place::Path(folder.path().join("t")) };
        let limits = Limits::default();
        let open = || Stream::open(&entry, &limits).unwrap();
        let plan = Plan::of(open(), &Declared::default())?;
        let (mut kept, mut layout) = (Kept::new().unwrap(), Layout::default());
        plan.read(open(), &mut Rows::new(&mut kept, "t.jsonl", Split::Train, &limits)).unwrap();
        let listing = kept.finish(&mut layout).unwrap();
        let row = |sample: &crate::data::labelled::Labelled| {
            let entry = &listing.entries[sample.entry];
            let text = String::from_utf8_lossy(&entry.read(&limits).unwrap()).into_owned();
            (entry.path.clone(), text, format!("{} {}", sample.split, sample.text))
        };
        Ok((layout.samples.iter().map(row).collect(), layout.warnings.join("\n")))
    }

    #[test]
    fn lines_and_lists_are_read_alike() {
        let lines = "{\"text\": \"one\", \"label\": 1}\n\n{\"label\": \"x\", \"Text\": \"t}w\\\"o{\", \"split\": \"test\"}\r\n{\"text\": null, \"label\": [\"a\", \"b\"]}";
        let list = format!("[{}]", lines.replace("\r\n", "\n").replace("}\n", "},\n"));
        for table in [lines, &list] {
            let (found, said) = read(table).unwrap();
            let row = |at: u8, text: &str, target: &str| (format!("t.jsonl:{at}"), text.to_owned(), target.to_owned());
            assert_eq!(found, [row(0, "one", "train 1"), row(1, "t}w\"o{", "test x"), row(2, "", "train [\"a\",\"b\"]")], "{table}");
            assert_eq!(said, "");
        }
    }

    #[test]
    fn a_bad_row_costs_that_row() {
        let long = format!("{{\"text\": \"{}\", \"label\": 2}}", "word ".repeat(200_000));
        let table = format!(
            "{long}\n{{\"text\": \"one\", \"label\": 1}}\n{{\"text\": \"two\", \"label\"\n[1]\n{{\"text\": {{}}, \"label\": 1}}\n{{\"text\": \"x\"}}\n"
        );
        let (found, said) = read(&table).unwrap();
        assert_eq!(found.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["t.jsonl:0", "t.jsonl:1"]);
        assert_eq!(found[0].1.len(), 1_000_000, "a line of a megabyte is one like another");
        for needle in [
            "no JSON that can be read (`t.jsonl:2, byte",
            "no JSON objects (`t.jsonl:3`)",
            "no string in `text`",
            "rows of train without a label are left out: 1 (",
        ] {
            assert!(said.contains(needle), "{needle}: {said}");
        }
        let (found, said) = read("[{\"text\": \"one\", \"label\": 1}, {\"text\": \"tw").unwrap();
        assert!(found.len() == 1 && said.contains("end before their object does"), "{said}");
        assert_eq!(read("[{\"text\": \"one\", \"label\": 1}, 7, {\"text\": \"two\", \"label\": 1}]").unwrap().0.len(), 1);
    }

    #[test]
    fn what_is_no_table_says_so() {
        for (table, why) in [
            ("", "neither a list"),
            ("words", "neither a list"),
            ("{\n  \"text\": \"pretty\"\n}", "no rows at its beginning"),
            ("[1, 2]", "no JSON objects"),
            ("{\"a\": 1}", "no column of texts"),
        ] {
            let refused = read(table).unwrap_err();
            assert!(refused.contains(why), "{table}: {refused}");
        }
    }
}
