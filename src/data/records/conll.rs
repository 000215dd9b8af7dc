//! Sentences as the shared tasks of CoNLL have them: a word a line, its tag at the end of the line, an empty line after each sentence.
//! Columns between the two (parts of speech, chunks) are passed over.

use super::super::error::Result;
use super::super::targets::{Form, is_tag};
use super::columns::{Chosen, Wanted};
use super::rows::Rows;
use super::stream::Stream;
use crate::domain::dataset_layout::Declared;

/// Endings of such files.
pub const ENDINGS: [&str; 6] = ["conll", "conll03", "iob", "iob2", "bio", "bioes"];
/// What stands where a document begins.
const DOCUMENT: &str = "-DOCSTART-";
/// Lines that are looked at before any is read, and how many of them must have a tag.
const LOOKED_AT: usize = 200;

/// There is nothing to choose in it.
#[derive(Debug, PartialEq)]
pub struct Plan {
    pub chosen: Chosen,
}

/// What a line is.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    /// Between sentences.
    Gap,
    /// Of a file's own remarks.
    Remark,
    Word(&'a str, &'a str),
    Bad,
}

fn read(line: &str) -> Line<'_> {
    let mut fields = line.split([' ', '\t']).filter(|field| !field.trim().is_empty());
    let (first, last) = (fields.next().map(str::trim), fields.next_back().map(str::trim));
    match (first, last) {
        (None, _) => Line::Gap,
        (Some(DOCUMENT), _) => Line::Gap,
        (Some(word), Some(tag)) if !word.starts_with('#') || is_tag(tag) => Line::Word(word, tag),
        (Some(word), _) if word.starts_with('#') => Line::Remark,
        _ => Line::Bad,
    }
}

/// Whether a file begins as such ones do: words, each with a tag of entities, in sentences.
pub fn begins(stream: &Stream<'_>) -> bool {
    let head = String::from_utf8_lossy(&stream.head);
    let mut lines: Vec<&str> = head.lines().take(LOOKED_AT).collect();
    if !stream.is_whole {
        lines.pop();
    }
    let (mut tagged, mut others, mut named) = (0, 0, false);
    for line in lines {
        match read(line) {
            Line::Word(_, tag) if is_tag(tag) => {
                tagged += 1;
                named |= tag.len() > 1;
            }
            Line::Word(..) | Line::Bad => others += 1,
            Line::Gap | Line::Remark => {}
        }
    }
    named && tagged >= 2 && 5 * others <= tagged
}

impl Plan {
    pub fn of(_stream: &Stream<'_>, declared: &Declared) -> std::result::Result<Plan, String> {
        if !declared.texts.is_empty() {
            return Err("has words and tags and no columns with names, and the card's `texts` names some".into());
        }
        let columns = |name: &str| vec![name.to_owned()];
        Ok(Plan {
            chosen: Chosen {
                texts: columns("tokens"),
                targets: columns("tags"),
                split: None,
                wanted: Wanted::Form(Form::Tags),
                note: None,
            },
        })
    }

    /// Hands every sentence on. A line without a tag costs its sentence, and is named by its number.
    ///
    /// # Errors
    /// The file is damaged; the data set is larger than it may be.
    pub fn read(&self, stream: Stream<'_>, rows: &mut Rows<'_>) -> Result<()> {
        let entry = stream.entry;
        let (mut lines, mut line, mut number) = (stream.lines(), Vec::new(), 0usize);
        let mut sentence = Sentence::default();
        while let Some(too_long) = lines.next_into(&mut line).map_err(|error| entry.broken(&error))? {
            number += 1;
            let text = std::str::from_utf8(&line).map_err(|_| "hold bytes that are not UTF-8, in Latin-1 perhaps");
            match text.map(|text| read(text.trim_end_matches('\r'))) {
                _ if too_long => sentence.bad("have a line without end", number),
                Ok(Line::Gap) => std::mem::take(&mut sentence).end(rows)?,
                Ok(Line::Remark) => {}
                Ok(Line::Word(word, tag)) => sentence.add(word, tag),
                Ok(Line::Bad) => sentence.bad("have a line with no tag behind its word", number),
                Err(why) => sentence.bad(why, number),
            }
        }
        sentence.end(rows)
    }
}

#[derive(Default)]
struct Sentence {
    words: Vec<String>,
    tags: Vec<String>,
    fault: Option<(&'static str, usize)>,
}

impl Sentence {
    fn add(&mut self, word: &str, tag: &str) {
        self.words.push(word.to_owned());
        self.tags.push(tag.to_owned());
    }

    fn bad(&mut self, why: &'static str, number: usize) {
        self.fault.get_or_insert((why, number));
    }

    fn end(self, rows: &mut Rows<'_>) -> Result<()> {
        match self.fault {
            Some((why, number)) => rows.leave_line(why, number),
            None if self.words.is_empty() => Ok(()),
            None => rows.add_words(&self.words, Some(&self.tags), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::labelled::{Labelled, Layout, Split};
    use super::super::super::limits::Limits;
    use super::super::super::place::{Entry, Place};
    use super::super::rows::Kept;
    use super::*;

    fn read_all(text: &[u8]) -> (Vec<(String, String)>, String, bool) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t"), text).unwrap();
        let entry = Entry { path: "t.conll".into(), size: text.len() as u64, place: Place::Path(folder.path().join("t")) };
        let limits = Limits::default();
        let open = || Stream::open(&entry, &limits).unwrap();
        let plan = Plan::of(&open(), &Declared::default()).unwrap();
        let (mut kept, mut layout) = (Kept::new().unwrap(), Layout::default());
        plan.read(open(), &mut Rows::new(&mut kept, "t.conll", Split::Train, &limits)).unwrap();
        let listing = kept.finish(&mut layout).unwrap();
        let row = |sample: &Labelled| {
            let item = listing.entries[sample.entry].read(&limits).unwrap();
            (String::from_utf8_lossy(&item).into_owned(), sample.text.clone())
        };
        (layout.samples.iter().map(row).collect(), layout.warnings.join("\n"), begins(&open()))
    }

    #[test]
    fn sentences_are_read_and_bad_lines_named_by_their_number() {
        let text = b"-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\r\nrejects VBZ I-VP O\n\n# id 7 of 9\nPeter B-PER\nBlackburn\tI-PER\n\nbad\nline O\n\n\n# O\nlast O";
        let (found, said, is_such) = read_all(text);
        let wanted = [("EU rejects", "B-ORG O"), ("Peter Blackburn", "B-PER I-PER"), ("# last", "O O")];
        assert_eq!(found, wanted.map(|(words, tags)| (words.to_owned(), tags.to_owned())));
        assert!(said.contains("have a line with no tag behind its word (`t.conll:2, line 10`)"), "{said}");
        assert!(is_such);
        let (_, said, _) = read_all(b"Z\xfcrich B-LOC\nO O\n\nx O\n");
        assert!(said.contains("not UTF-8") && said.contains("line 1"), "{said}");
    }

    #[test]
    fn prose_is_no_such_file() {
        for text in [&b"It was the best of times\nit was the worst O\n"[..], b"", b"a O\nb O\n", b"the DT\ndog NN\n"] {
            assert!(!read_all(text).2, "{}", String::from_utf8_lossy(text));
        }
    }
}
