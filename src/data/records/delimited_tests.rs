//! Tables as people write them, by what is made of their rows.

use super::super::super::labelled::{Layout, Split};
use super::super::super::limits::Limits;
use super::super::super::place::{Entry, Place};
use super::super::rows::Kept;
use super::*;

/// (path, text, target) of every row that is read, and what was said of the others.
fn read(table: &[u8], declared: &Declared) -> (Vec<(String, String, String)>, String) {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("t");
    std::fs::write(&local, table).unwrap();
    let entry = Entry { path: "t.csv".into(), size: table.len() as u64, place: Place::Path(local) };
    let limits = Limits::default();
    let plan = Plan::of(&Stream::open(&entry, &limits).unwrap(), declared).unwrap();
    let (mut kept, mut layout) = (Kept::new().unwrap(), Layout::default());
    plan.read(Stream::open(&entry, &limits).unwrap(), &mut Rows::new(&mut kept, "t.csv", Split::Train, &limits)).unwrap();
    let listing = kept.finish(&mut layout).unwrap();
    let row = |sample: &crate::data::labelled::Labelled| {
        let entry = &listing.entries[sample.entry];
        (entry.path.clone(), String::from_utf8_lossy(&entry.read(&limits).unwrap()).into_owned(), sample.text.clone())
    };
    (layout.samples.iter().map(row).collect(), layout.warnings.join("\n"))
}

fn rows(table: &[u8]) -> Vec<(String, String)> {
    read(table, &Declared::default()).0.into_iter().map(|(_, text, target)| (text, target)).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(text, target)| ((*text).to_owned(), (*target).to_owned())).collect()
}

#[test]
fn dividers_quotes_and_line_ends_are_those_that_are_there() {
    let wanted = pairs(&[("one, two", "a"), ("three \"3\"\nfour", "b")]);
    assert_eq!(rows(b"text,label\r\n\"one, two\",a\r\n\"three \"\"3\"\"\nfour\",b\r\n"), wanted);
    assert_eq!(rows(b"\xef\xbb\xbfLabel;Text\na;one, two\nb;\"three \"\"3\"\"\nfour\""), wanted);
    assert_eq!(rows(b"text\tlabel\none, two\ta\n\"three \"\"3\"\"\nfour\"\tb\n"), wanted, "a line end in quotes");
    // A quote that nobody closes, as in texts of people.
    let tabs = rows(b"label\ttext\na\t\"Oh no\na\t\"well\" he said\nb\t\"quoted \"\"once\"\"\"\n");
    assert_eq!(tabs, pairs(&[("\"Oh no", "a"), ("\"well\" he said", "a"), ("quoted \"once\"", "b")]));
}

#[test]
fn a_table_without_a_header_is_told_by_what_stands_in_it() {
    let spam = b"ham\tI will be there at \"ten\nspam\tFree entry, win now\nham\tOk lar\nham\tWhere are you\nspam\tCall this number\n";
    let (found, _) = read(spam, &Declared::default());
    assert_eq!(found.len(), 5, "the first line is a row");
    assert_eq!(found[0], ("t.csv:0".into(), "I will be there at \"ten".into(), "ham".into()));
    let scores = b"A man runs.,A man is running.,4.75\nA dog barks.,\"A cat, asleep.\",0.0\nA girl sings.,A girl sang.,4.2\nTwo men.,A few men.,3.1\n";
    let (found, _) = read(scores, &Declared::default());
    assert_eq!((found.len(), found[3].2.as_str()), (4, "3.1"));
    assert!(found[1].1.ends_with("A dog barks.A cat, asleep."), "{:?}", found[1]);
    // Names that say nothing are names all the same.
    let named = b"v1,v2\nham,I will be there\nspam,Free entry now\nham,Where are you\nham,Ok lar then\nspam,Call me now\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t"), named).unwrap();
    let entry = Entry { path: "t.csv".into(), size: 1, place: Place::Path(folder.path().join("t")) };
    let refused = Plan::of(&Stream::open(&entry, &Limits::default()).unwrap(), &Declared::default()).unwrap_err();
    assert!(refused.contains("no column of texts") && refused.contains("`v1`, `v2`"), "{refused}");
    let declared = Declared { texts: vec!["v2".into()], targets: vec!["v1".into()], ..Declared::default() };
    assert_eq!(read(named, &declared).0[0].1, "I will be there");
    let by_number = Declared { texts: vec!["1".into()], targets: vec!["0=class".into()], ..Declared::default() };
    assert_eq!(read(named, &by_number).0[0].1, "v2", "a table is said to have no header");
}

#[test]
fn numbers_alone_are_no_table_of_texts() {
    let folder = tempfile::tempdir().unwrap();
    for table in [&b"1,2.5\n2,3.5\n3,1.5\n4,2.0\n"[..], b"a,b\nx,y\nx,z\nx,y\nx,y\n", b"", b"\n\n", b"one line of prose\nand another\n"] {
        std::fs::write(folder.path().join("t"), table).unwrap();
        let entry = Entry { path: "t.csv".into(), size: 1, place: Place::Path(folder.path().join("t")) };
        assert!(Plan::of(&Stream::open(&entry, &Limits::default()).unwrap(), &Declared::default()).is_err());
    }
}

#[test]
fn rows_with_faults_are_left_out_and_named() {
    let table = b"text,label\none,a\ntwo,too,many\nthree\nfour,\nfive,b\nsix,\xe4\n";
    let (found, said) = read(table, &Declared::default());
    assert_eq!(found.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["t.csv:0", "t.csv:4"]);
    for needle in [
        "have 3 fields, where 2 belong",
        "`t.csv:1`",
        "have 1 fields",
        "rows of train without a label are left out: 1 (",
        "`t.csv:3`",
        "not UTF-8",
        "`t.csv:5`",
    ] {
        assert!(said.contains(needle), "{needle}: {said}");
    }
    // A quote that is never closed ends the table, and costs no more memory than a row may have.
    let mut endless = b"text,label\none,a\n\"two".to_vec();
    endless.extend(std::iter::repeat_n(b"words and\n", 2 << 20).flatten());
    let (found, said) = read(&endless, &Declared::default());
    assert!(found.len() == 1 && said.contains("a quote is not closed") && said.contains("`t.csv:1`"), "{said}");
}
