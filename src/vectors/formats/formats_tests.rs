//! Each form of vectors in files made here: what is imported is what was written, and what lies is refused by its byte.

use std::io::Write as _;

use super::super::subwords::hash;
use super::super::{Found, WordVectors};
use super::*;

/// Writes `bytes` as a file, imports it, and opens what was made.
fn imported(name: &str, bytes: &[u8], dtype: Dtype) -> Result<(WordVectors, Stored, tempfile::TempDir)> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    let source = Source::open(&path)?.ok_or_else(|| Error::Unsupported { path: path.clone(), problem: "no vectors".into() })?;
    let out = place.path().join("model");
    std::fs::create_dir(&out).unwrap();
    let stored = source.store(None, dtype, &out, &mut |_, _| ())?;
    std::fs::write(out.join("config.json"), stored.config.to_json()).unwrap();
    Ok((WordVectors::open(&out)?, stored, place))
}

/// The byte and the words of an error.
fn refused(name: &str, bytes: &[u8]) -> (u64, String) {
    match imported(name, bytes, Dtype::F32).map(|(_, stored, _)| stored) {
        Err(Error::Corrupt { offset, problem, .. }) => (offset, problem),
        other => panic!("{name}: {other:?}"),
    }
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// word2vec's binary form.
fn binary(header: &str, rows: &[(&[u8], &[f32])]) -> Vec<u8> {
    let rows = rows.iter().map(|(word, values)| [word, &b" "[..], &floats(values), b"\n"].concat());
    [header.as_bytes().to_vec(), rows.collect::<Vec<_>>().concat()].concat()
}

#[test]
fn both_forms_of_word2vec_and_glove_say_the_same() {
    let rows: [(&[u8], &[f32]); 3] = [(b"the", &[0.5, -1.0, 2.0]), ("né".as_bytes(), &[1.0, 0.0, -0.25]), (b"a_b", &[0.0, 3.5, 0.125])];
    let text = "the 0.5 -1.0 2.0\nné 1 0 -.25\na_b 0 3.5 1.25e-1\n";
    let gzip = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    for (bytes, architecture) in [
        (binary("3 3\n", &rows), "word2vec"),
        (format!("3 3\n{text}").into_bytes(), "word2vec"),
        (text.as_bytes().to_vec(), "glove"),
        (text.replace(' ', "\t").replace('\n', " \r\n").into_bytes(), "glove"),
        (gzip, "glove"),
    ] {
        let (model, stored, _place) = imported("x.bin", &bytes, Dtype::F32).unwrap();
        assert_eq!((stored.architecture.as_str(), stored.words, stored.width), (architecture, 3, 3));
        for (row, (word, values)) in rows.iter().enumerate() {
            let word = std::str::from_utf8(word).unwrap();
            assert_eq!(model.vector(word).unwrap(), (values.to_vec(), Found::Word(row)));
            assert_eq!(model.vocabulary.word(row).unwrap(), word);
        }
        assert!(matches!(model.vector("The"), Err(Error::UnknownWord { .. })));
    }
}

#[test]
fn packed_files_that_break_off_are_refused() {
    let text: String = (0..5000).map(|row| format!("word{row} {} {}\n", row * 7919 % 1009, row * 104_729 % 997)).collect();
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(text.as_bytes()).unwrap();
    let gzip = out.finish().unwrap();
    assert_eq!(imported("x.gz", &gzip, Dtype::F32).unwrap().1.words, 5000);
    assert!(refused("x.gz", &gzip[..gzip.len() / 2]).1.contains("breaks off"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"\x1f\x8b\x08\0 no gzip").unwrap();
    assert!(Source::open(file.path()).unwrap().is_none(), "others say what it is");
}

#[test]
fn words_may_have_spaces_and_be_numbers() {
    let (model, _, _place) = imported("x.txt", b". . . 0.5 1\n3 0.25 2\n4 5 6\n", Dtype::F32).unwrap();
    assert_eq!(model.vector(". . .").unwrap().0, [0.5, 1.0]);
    assert_eq!(model.vector("4").unwrap().0, [5.0, 6.0]);
}

#[test]
fn what_comes_again_or_is_no_word_is_left_out_and_said() {
    let text = b"a 1 2\nb 3 4\na 5 6\n 7 8\n\xff\xfe 1 1\n";
    let (model, stored, _place) = imported("x.txt", text, Dtype::F32).unwrap();
    assert_eq!(model.vector("a").unwrap().0, [1.0, 2.0], "the first stays");
    assert_eq!(stored.words, 3);
    assert_eq!(stored.notes.len(), 3, "{:?}", stored.notes);
    assert!(stored.notes[0].contains("`a` at byte 12"), "{:?}", stored.notes);
    assert!(stored.notes[1].contains("at byte 18"), "{:?}", stored.notes);
    assert!(stored.notes[2].contains("at byte 23"), "{:?}", stored.notes);
}

#[test]
fn files_that_lie_or_end_early_are_refused_with_the_byte() {
    let row: (&[u8], &[f32]) = (b"the", &[0.5, -1.0]);
    let whole = binary("2 2\n", &[row, (b"of", &[1.0, 2.0])]);
    assert_eq!(refused("cut.bin", &whole[..whole.len() - 3]).0, whole.len() as u64 - 3);
    for length in 5..whole.len() - 1 {
        assert!(imported("cut.bin", &whole[..length], Dtype::F32).is_err(), "cut at {length}");
    }
    let (at, said) = refused("more.bin", &binary("1 2\n", &[row, (b"of", &[1.0, 2.0])]));
    assert_eq!((at, said.contains("that the header names")), (17, true), "{said}");
    let (at, said) = refused("fewer.txt", b"3 2\nthe 1 2\nof 3 4\n");
    assert_eq!((at, said.as_str()), (19, "the file ends after 2 of the 3 words that its header names"));
    let (at, said) = refused("more.txt", b"1 2\nthe 1 2\nof 3 4\n");
    assert_eq!((at, said.contains("follow the 1 words")), (12, true), "{said}");
    let (at, said) = refused("narrow.txt", b"the 1 2 3\nof 3 4\n");
    assert_eq!((at, said.contains("2 numbers, where 3 are wanted")), (10, true), "{said}");
    let (at, said) = refused("words.txt", b"the 1 2 3\nof 3 x 4\n");
    assert_eq!((at, said.contains("`x` is no number")), (15, true), "{said}");
    let (at, said) = refused("nan.txt", b"the 1 2\nof 3 nan\n");
    assert_eq!((at, said.contains("number 2 of the vector of `of` is NaN")), (8, true), "{said}");
    let (at, said) = refused("nul.txt", b"the 1 2\no\0f 3 4\n");
    assert_eq!((at, said.contains("NUL")), (8, true), "{said}");
    assert!(refused("nul.bin", &binary("1 2\n", &[(b"t\0he", &[1.0, 2.0])])).1.contains("NUL"));
    assert!(refused("width.bin", &binary("1 3\n", &[(b"the", &[1.0, 2.0])])).1.contains("ends"));
    let long = [b"the 1 2\n".to_vec(), vec![b'x'; 4 << 20]].concat();
    assert_eq!(refused("long.txt", &long).0, 8);
    let many = format!("{} 2\nthe 1 2\n", 1u64 << 40);
    assert!(
        !matches!(imported("many.txt", many.as_bytes(), Dtype::F32), Ok((_, stored, _)) if stored.words > 2),
        "a header asks for no memory"
    );
}

#[test]
fn other_files_are_left_to_others() {
    let others: [&[u8]; 6] = [b"{\"a\": 1}", b"hello world\n", b"PK\x03\x04", b"\x80\x02\x8a\x0a", b"12 34", b"\x00\x01\x02 1 2\n"];
    for bytes in others {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        assert!(Source::open(file.path()).unwrap().is_none(), "{bytes:?}");
    }
}

#[test]
fn smaller_numbers_stay_near() {
    let values: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.5) / 40.0).collect();
    let line = values.iter().map(f32::to_string).collect::<Vec<_>>().join(" ");
    let text = format!("a {line}\nzero {}\n", ["0"; 64].join(" "));
    for (dtype, tolerance) in [(Dtype::F32, 0.0), (Dtype::F16, 5e-4), (Dtype::I8, 0.81 / 254.0)] {
        let (model, _, _place) = imported("x.txt", text.as_bytes(), dtype).unwrap();
        let (read, _) = model.vector("a").unwrap();
        assert!(read.iter().zip(&values).all(|(a, b)| (a - b).abs() <= tolerance), "{dtype:?}");
        let norm = read.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!((model.vocabulary.norm(0) - norm).abs() < 1e-5, "{dtype:?}: the length is that of what is stored");
        let (nearest, _) = model.neighbors("zero", 1).unwrap();
        assert!(nearest.is_empty(), "a vector of zeros points nowhere");
    }
}

/// A fastText model (version 0: of the time before there were versions): two words, four buckets, n-grams of 2 to 3 characters.
struct Toy {
    version: i32,
    pruned: Option<Vec<(i32, i32)>>,
    rows: usize,
}

const BUCKETS: usize = 4;
const WORDS: [&str; 2] = ["ab", "é"];

fn value(row: usize, column: usize) -> f32 {
    (row * 10 + column) as f32 - 7.0
}

impl Toy {
    fn bytes(&self) -> Vec<u8> {
        let ints = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let head = if self.version == 0 { Vec::new() } else { ints(&[MAGIC_OF_FASTTEXT, self.version]) };
        let mut out = [head, ints(&[3, 5, 5, 1, 5, 1, 2, 2, BUCKETS as i32, 2, 3, 100])].concat();
        out.extend(1e-4f64.to_le_bytes());
        out.extend(ints(&[WORDS.len() as i32, WORDS.len() as i32, 0]));
        out.extend(9i64.to_le_bytes());
        if self.version > 0 {
            out.extend(self.pruned.as_ref().map_or(-1, |kept| kept.len() as i64).to_le_bytes());
        }
        for (index, word) in WORDS.iter().enumerate() {
            out.extend([word.as_bytes(), &[0], &(5 - index as i64).to_le_bytes(), &[0]].concat());
        }
        for (bucket, row) in self.pruned.iter().flatten() {
            out.extend(ints(&[*bucket, *row]));
        }
        if self.version > 0 {
            out.push(0);
        }
        out.extend([self.rows as i64, 3].iter().flat_map(|value| value.to_le_bytes()));
        out.extend((0..self.rows).flat_map(|row| (0..3).flat_map(move |column| value(row, column).to_le_bytes())));
        out
    }

    /// What fastText would answer: the mean of the word's row, if it has one, and of its n-grams' rows.
    fn expected(&self, word: &str, row: Option<usize>, parts: &[&str]) -> Vec<f32> {
        let kept = |bucket: usize| match &self.pruned {
            Some(kept) => kept.iter().find(|(of, _)| *of as usize == bucket).map(|(_, row)| *row as usize),
            None => Some(bucket),
        };
        let buckets = parts.iter().filter_map(|part| kept(hash(part.as_bytes()) as usize % BUCKETS));
        let rows: Vec<usize> = row.into_iter().chain(buckets.map(|bucket| WORDS.len() + bucket)).collect();
        assert!(!rows.is_empty(), "{word}");
        (0..3).map(|column| rows.iter().map(|row| value(*row, column)).sum::<f32>() / rows.len() as f32).collect()
    }
}

const MAGIC_OF_FASTTEXT: i32 = 793_712_314;

#[test]
fn fasttext_puts_words_together_of_ngrams() {
    let whole = |version| Toy { version, pruned: None, rows: WORDS.len() + BUCKETS };
    let pruned = Toy {
        version: 12,
        pruned: Some((0..BUCKETS as i32).filter(|bucket| bucket % 2 == 0).map(|bucket| (bucket, bucket / 2)).collect()),
        rows: WORDS.len() + 2,
    };
    for toy in [whole(0), whole(11), whole(12), pruned] {
        let (model, stored, _place) = imported("x.bin", &toy.bytes(), Dtype::F32).unwrap();
        assert_eq!((stored.architecture.as_str(), stored.words), ("fasttext", 2));
        assert_eq!((model.vocabulary.count(0), model.vocabulary.count(1)), (Some(5), Some(4)));
        let near = |word: &str, expected: &[f32]| {
            let (read, found) = model.vector(word).unwrap();
            assert!(read.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{word}: {read:?} {expected:?}");
            found
        };
        let parts = ["<a", "<ab", "ab", "ab>", "b>"];
        assert_eq!(near("ab", &toy.expected("ab", Some(0), &parts)), Found::Word(0));
        assert_eq!(near("é", &toy.expected("é", Some(1), &["<é", "<é>", "é>"])), Found::Word(1));
        let parts = ["<ü", "<üx", "üx", "üx>", "x>"];
        let known = parts.iter().filter(|part| toy.pruned.is_none() || (hash(part.as_bytes()) % BUCKETS as u32).is_multiple_of(2)).count();
        if known > 0 {
            assert_eq!(near("üx", &toy.expected("üx", None, &parts)), Found::Subwords(known));
        }
    }
}

#[test]
fn fasttext_files_that_lie_are_refused() {
    let toy = Toy { version: 12, pruned: None, rows: WORDS.len() + BUCKETS };
    let whole = toy.bytes();
    for length in 8..whole.len() {
        assert!(imported("cut.bin", &whole[..length], Dtype::F32).is_err(), "cut at {length}");
    }
    assert_eq!(refused("version.bin", &Toy { version: 13, ..toy }.bytes()).0, 4);
    let few = Toy { version: 12, pruned: None, rows: WORDS.len() + BUCKETS - 1 };
    assert!(refused("few.bin", &few.bytes()).1.contains("too few for 2 words and 4 buckets"));
    let far = Toy { version: 12, pruned: Some(vec![(1, 7)]), rows: WORDS.len() + 2 };
    assert!(refused("far.bin", &far.bytes()).1.contains("too few"));
    // Every byte may be wrong without harm.
    for at in 0..whole.len() {
        for byte in [0u8, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let _ = imported("wrong.bin", &bytes, Dtype::F32);
        }
    }
}

/// An array in NumPy's form, version 1.
fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(64 - (header.len() + 11) % 64));
    header.push('\n');
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn arrays_take_their_words_from_the_list_beside_them() {
    let place = tempfile::tempdir().unwrap();
    let (path, out) = (place.path().join("x.npy"), place.path().join("out"));
    std::fs::create_dir(&out).unwrap();
    let store = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let source = Source::open(&path).unwrap().unwrap();
        source.store(None, Dtype::F32, &out, &mut |_, _| ())
    };
    let bytes = npy("<f4", "(2, 2)", &floats(&[1.0, 2.0, 3.0, 4.0]));
    assert!(store(&bytes).unwrap_err().to_string().contains("--words"));
    std::fs::write(place.path().join("x.txt"), "one\r\ntwo words\n").unwrap();
    assert_eq!(store(&bytes).unwrap().words, 2);
    std::fs::write(place.path().join("x.txt"), "[\"one\", \"two\"]").unwrap();
    assert_eq!(store(&npy("<f8", "(2, 1)", &[1.0f64, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())).unwrap().width, 1);
    std::fs::write(place.path().join("x.txt"), "one\ntwo\nthree\n").unwrap();
    assert!(store(&bytes).unwrap_err().to_string().contains("3 words stand here"));
    for wrong in
        [npy(">f4", "(2, 2)", &[0; 16]), npy("<f4", "(2,)", &[0; 8]), npy("<f4", "(2, 2)", &[0; 15]), npy("|O", "(2, 2)", &[0; 16])]
    {
        assert!(matches!(store(&wrong), Err(Error::Corrupt { .. })));
    }
}
