//! Data sets of texts: as people keep them, and as nobody should.

use std::path::PathBuf;
use std::sync::Arc;

use hub::data::{Dataset, Error, Limits, Source, Split, check, text};
use hub::domain::dataset_report::DatasetReport;
use hub::domain::modality::Modality;
use hub::domain::task::Task;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use crate::support::*;

const WORDS: [&str; 24] = [
    "the", "film", "was", "and", "of", "story", "with", "a", "long", "night", "people", "in", "city", "where", "nobody", "sleeps", "but",
    "every", "house", "has", "its", "own", "quiet", "end",
];

/// A sentence of its own for every `seed`.
fn sentence(seed: usize) -> String {
    let word = |at: usize| {
        let mut mixed = ((seed as u64) << 16 | at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        WORDS[(mixed >> 40) as usize % WORDS.len()]
    };
    format!("{} {seed}.", (0..14).map(word).collect::<Vec<_>>().join(" "))
}

/// The files of a version.
struct Version {
    _folder: TempDir,
    files: Vec<(String, PathBuf)>,
}

fn version(files: &[(&str, &[u8])]) -> Version {
    let folder = TempDir::new().unwrap();
    let keep = |(at, (path, bytes)): (usize, &(&str, &[u8]))| {
        let local = folder.path().join(at.to_string());
        std::fs::write(&local, bytes).unwrap();
        (path.to_string(), local)
    };
    let files = files.iter().enumerate().map(keep).collect();
    Version { _folder: folder, files }
}

impl Version {
    fn source(&self) -> Source {
        Source::Files(self.files.clone())
    }

    fn check(&self) -> Result<DatasetReport, Error> {
        check(&self.source(), &Limits::default(), &mut |_, _| {})
    }

    fn open(&self) -> Dataset {
        Dataset::open(&self.source(), &Limits::default()).unwrap()
    }
}

fn report(files: &[(&str, &[u8])]) -> DatasetReport {
    version(files).check().unwrap()
}

#[track_caller]
fn told(report: &DatasetReport, needles: &[&str]) {
    let all = report.warnings.join("\n");
    needles.iter().for_each(|needle| assert!(all.contains(needle), "{needle} is not in\n{all}"));
}

/// Forty texts, of which every fourth is spam.
fn rows() -> Vec<(String, &'static str)> {
    (0..40).map(|seed| (sentence(seed), if seed % 4 == 0 { "spam" } else { "ham" })).collect()
}

fn csv(rows: &[(String, &str)]) -> String {
    std::iter::once("text,label".to_owned())
        .chain(rows.iter().map(|(text, label)| format!("\"{text}\",{label}")))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn one_data_set_in_many_forms_is_one_data_set() {
    let rows = rows();
    let csv = csv(&rows);
    let tsv: String = rows.iter().map(|(text, label)| format!("{label}\t{text}\n")).collect();
    let objects: Vec<String> =
        rows.iter().map(|(text, label)| serde_json::json!({"id": 7, "content": text, "category": label}).to_string()).collect();
    let (lines, list) = (objects.join("\n"), format!("[{}]", objects.join(",\n")));
    let files: Vec<(String, Vec<u8>)> =
        rows.iter().enumerate().map(|(at, (text, label))| (format!("{label}/{at}.txt"), text.clone().into_bytes())).collect();
    let (zip, tar) = (zip_of(&[("in/train.csv".into(), csv.clone().into_bytes())]), gzip(&tar_of(&files)));
    let packed = gzip(csv.as_bytes());
    let folders: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let forms: Vec<(&str, Version)> = vec![
        ("csv", version(&[("spam.csv", csv.as_bytes()), ("README.md", b"# Spam\n"), ("LICENSE.txt", b"free")])),
        ("tsv without a header", version(&[("spam_collection.csv", tsv.as_bytes())])),
        ("json lines", version(&[("data/train.jsonl", lines.as_bytes())])),
        ("a json list", version(&[("all.json", list.as_bytes()), ("dataset_infos.json", b"{}")])),
        ("packed", version(&[("train.csv.gz", &packed)])),
        ("folders", version(&folders)),
        ("a zip of a table", version(&[("data.zip", &zip)])),
        ("a packed tar of folders", version(&[("data.tar.gz", &tar)])),
        ("parquet", version(&[("data/train-00000-of-00001.parquet", &table(&rows, &["ham", "spam"]))])),
    ];
    let mut digests = Vec::new();
    for (form, version) in &forms {
        let report = version.check().unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!((report.modality, report.task, report.samples), (Modality::Text, Task::Classification, 40), "{form}");
        assert_eq!(
            (report.classes.as_slice(), report.splits[0].per_class.as_slice()),
            (&["ham".to_owned(), "spam".into()][..], &[30, 10][..]),
            "{form}"
        );
        assert_eq!((report.language().as_str(), report.formats["text"]), ("English (guess)", 40), "{form}");
        digests.push(report.digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

/// As the reviews of IMDb are packed.
#[test]
fn folders_of_classes_within_splits_are_read_and_what_has_no_class_is_told() {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (at, folder) in ["train/pos", "train/neg", "train/unsup", "test/pos", "test/neg"].into_iter().enumerate() {
        files.extend((0..3).map(|n| (format!("aclImdb/{folder}/{n}_9.txt"), sentence(100 * at + n).into_bytes())));
    }
    for (path, text) in
        [("README", "what it is"), ("imdb.vocab", "the\nand"), ("train/urls_pos.txt", "http://x"), ("train/labeledBow.feat", "9 0:9")]
    {
        files.push((format!("aclImdb/{path}"), text.as_bytes().to_vec()));
    }
    let found = check_bytes(&gzip(&tar_of(&files)), &Limits::default()).unwrap();
    assert_eq!((found.modality, found.classes.as_slice(), found.samples), (Modality::Text, &["neg".to_owned(), "pos".into()][..], 12));
    told(
        &found,
        &["4 files were left out, since they lie in no class folder", "unsup/0_9.txt", "2 files were left out, which are not texts"],
    );
}

/// A table as `datasets` pushes it: numbers of classes with names, in the metadata.
fn table(rows: &[(String, &str)], classes: &[&str]) -> Vec<u8> {
    let features = serde_json::json!({"info": {"features": {"text": {"_type": "Value", "dtype": "string"}, "label": {"_type": "ClassLabel", "names": classes}}}});
    let pairs = Some(vec![KeyValue::new("huggingface".to_owned(), features.to_string())]);
    let properties = WriterProperties::builder().set_key_value_metadata(pairs).build();
    let schema = Arc::new(parse_message_type("message schema { optional binary text (UTF8); optional int64 label; }").unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let texts: Vec<ByteArray> = rows.iter().map(|(text, _)| ByteArray::from(text.as_str())).collect();
    let labels: Vec<i64> =
        rows.iter().map(|(_, label)| classes.iter().position(|class| class == label).map_or(-1, |at| at as i64)).collect();
    let there = vec![1; rows.len()];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&texts, Some(&there), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&there), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn splits_come_from_names_folders_columns_and_the_card() {
    let table = |from: usize| csv(&(from..from + 8).map(|seed| (sentence(seed), ["a", "b"][seed % 2])).collect::<Vec<_>>());
    let (one, two) = (table(0), table(100));
    let splits = |files: &[(&str, &[u8])]| report(files).splits.iter().map(|split| (split.name.clone(), split.samples)).collect::<Vec<_>>();
    let both = |first: &str, second: &str| vec![(first.to_owned(), 8), (second.to_owned(), 8)];
    assert_eq!(splits(&[("reviews-train.csv", one.as_bytes()), ("reviews-dev.csv", two.as_bytes())]), both("train", "val"));
    assert_eq!(splits(&[("train/0.csv", one.as_bytes()), ("test/0.csv", two.as_bytes())]), both("train", "test"));
    let column = format!("{},split\n", two.replace('\n', ",test\n").replace("label,test", "label,split")).replace("b,split\n", "b,test\n");
    assert_eq!(splits(&[("all.csv", column.as_bytes())]), [("test".to_owned(), 8)]);
    let card = b"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: x/one.csv\n  - split: test\n    path: x/two.csv\n---\n";
    assert_eq!(
        splits(&[("README.md", card), ("x/one.csv", one.as_bytes()), ("x/two.csv", two.as_bytes()), ("y/three.csv", two.as_bytes())]),
        both("train", "test")
    );
    // A split whose labels are kept back is told, and costs nothing else.
    let bare: String = two
        .lines()
        .map(|line| line.trim_end_matches(",a").trim_end_matches(",b").to_owned() + "\n")
        .collect::<String>()
        .replace("text,label", "text");
    let kept_back = report(&[("train.csv", one.as_bytes()), ("test.csv", bare.as_bytes())]);
    told(&kept_back, &["`test.csv` has texts in `text` and no column of labels"]);
    let untold = two.replace(",a\n", ",-1\n").replace(",b\n", ",-1\n").replace(",b", ",-1");
    let numbers = one.replace(",a\n", ",0\n").replace(",b\n", ",1\n").replace(",b", ",1");
    let report = report(&[("train.csv", numbers.as_bytes()), ("test.csv", untold.as_bytes())]);
    told(&report, &["none of the 8 rows of test has a label"]);
    assert_eq!(report.classes, ["0", "1"]);
}

#[test]
fn pairs_with_scores_are_a_regression_and_pairs_with_labels_a_classification() {
    let row = |seed: usize, score: &str| format!("\"{}\",\"{}\",{score}\n", sentence(seed), sentence(seed + 500));
    let scores: String = (0..12).map(|seed| row(seed, &format!("{:.2}", seed as f64 / 4.0))).collect();
    let set = version(&[("stsb-en-train.csv", scores.as_bytes())]);
    let dataset = set.open();
    assert_eq!((dataset.modality.name(), dataset.targets.task()), (Modality::Text, Task::Regression));
    let sample = dataset.find("stsb-en-train.csv:3").unwrap();
    assert_eq!(sample.target.value(), Some(0.75));
    assert_eq!(dataset.encoded(sample).unwrap(), text::pair(sentence(3).as_bytes(), sentence(503).as_bytes()));
    let told_of = set.check().unwrap();
    assert_eq!((told_of.formats["pair of texts"], told_of.samples), (12, 12));
    told(&told_of, &["has no header"]);
    let preview = &told_of.previews[0];
    assert_eq!(preview.media_type, "text/plain");
    let classes = format!("premise,hypothesis,label\n{}", (0..12).map(|seed| row(seed, ["yes", "no"][seed % 2])).collect::<String>());
    assert_eq!(report(&[("nli.csv", classes.as_bytes())]).classes, ["no", "yes"]);
    let missing = classes.replace("hypothesis", "other");
    let error = version(&[("nli.csv", missing.as_bytes())]).check().unwrap_err();
    assert!(matches!(&error, Error::NotTexts { reason } if reason.contains("`premise` of a pair, and no `hypothesis`")), "{error}");
    // The text of a pair that is missing is that row's fault alone.
    let mut with_gap = scores.repeat(2);
    with_gap += &format!("\"\",\"{}\",1.5\n", sentence(1));
    let gap = report(&[("stsb-en-train.csv", with_gap.as_bytes())]);
    assert_eq!((gap.samples, gap.unreadable.len()), (24, 1));
    assert!(
        gap.unreadable[0].path.ends_with(":24") && gap.unreadable[0].reason.contains("first text: the text is empty"),
        "{:?}",
        gap.unreadable
    );
}

/// In one split of several it costs that split alone, by its name.
#[test]
fn a_split_without_a_column_of_its_pairs_is_left_out_and_told() {
    let row = |seed: usize| format!("\"{}\",\"{}\",{}\n", sentence(seed), sentence(seed + 500), ["yes", "no"][seed % 2]);
    let table = |rows: std::ops::Range<usize>| format!("premise,hypothesis,label\n{}", rows.map(row).collect::<String>());
    let half = table(20..26).replace("hypothesis", "other");
    let found = report(&[("train.csv", table(0..12).as_bytes()), ("val.csv", half.as_bytes())]);
    told(&found, &["`val.csv` has the column `premise` of a pair, and no `hypothesis`"]);
    assert_eq!((found.samples, found.splits.len(), found.formats["pair of texts"]), (12, 1, 12));
    // Single texts beside pairs are no pairs.
    let single: String = "text,label\n".to_owned() + &(30..36).map(|seed| format!("\"{}\",yes\n", sentence(seed))).collect::<String>();
    let found = report(&[("train.csv", table(0..12).as_bytes()), ("val.csv", single.as_bytes())]);
    told(&found, &["it was left out"]);
    assert_eq!(found.splits.len(), 1, "{:?}", found.warnings);
    // A label that is missing in some rows of a split is those rows' fault alone.
    let gaps = table(40..48).replace(",no\n", ",\n");
    let found = report(&[("train.csv", table(0..12).as_bytes()), ("val.csv", gaps.as_bytes())]);
    told(&found, &["rows of val without a label are left out: 4"]);
    assert_eq!(found.samples, 16);
}

#[test]
fn several_labels_and_named_columns_are_read() {
    let lines: String = (0..9)
        .map(|seed| serde_json::json!({"text": sentence(seed), "labels": (["a", "b", "c"][..seed % 3 + 1]).to_vec()}).to_string() + "\n")
        .collect();
    let several = report(&[("train.jsonl", lines.as_bytes())]);
    assert_eq!((several.task, several.classes.as_slice()), (Task::MultiLabel, &["a".to_owned(), "b".into(), "c".into()][..]));
    let kaggle: String =
        "v1,v2,,,\n".to_owned() + &rows().iter().map(|(text, label)| format!("{label},\"{text}\",,,\n")).collect::<String>();
    let error = version(&[("spam.csv", kaggle.as_bytes())]).check().unwrap_err();
    assert!(error.hint().contains("--texts COLUMN"), "{}", error.hint());
    let card = b"---\ntexts: v2\ntargets: [v1]\n---\n";
    assert_eq!(report(&[("README.md", card), ("spam.csv", kaggle.as_bytes())]).classes, ["ham", "spam"]);
}

/// Each row with a fault is counted and named; the others are what they are.
#[test]
fn hostile_rows_cost_themselves_alone() {
    let mut table = csv(&(0..200).map(|seed| (sentence(seed), ["a", "b"][seed % 2])).collect::<Vec<_>>()).into_bytes();
    table.extend(b"\nGr\xfc\xdfe aus Wien,a\nnothing\0here,b\n,a\n\" \",b\ntoo,many,fields\nno label,\n");
    table.extend(format!("{},b\n", "word ".repeat(1_000_000)).into_bytes());
    table.extend(format!("{},a\n", "long ".repeat(200_000)).into_bytes());
    let found = report(&[("train.csv", &table)]);
    assert_eq!((found.samples, found.unreadable.len()), (201, 5), "{:?}", found.unreadable);
    let why = |row: usize| found.unreadable.iter().find(|problem| problem.path == format!("train.csv:{row}")).unwrap().reason.clone();
    for (row, needle) in [
        (200, "byte 0xfc at byte 2"),
        (200, "iconv -f LATIN1"),
        (201, "NUL byte at byte 7"),
        (202, "empty"),
        (203, "empty"),
        (206, "cut it into parts"),
    ] {
        assert!(why(row).contains(needle), "{row}: {}", why(row));
    }
    told(
        &found,
        &[
            "have 3 fields, where 2 belong",
            "`train.csv:204`",
            "rows of train without a label are left out: 1",
            "`train.csv:205`",
            "5 texts cannot be read",
        ],
    );
    assert_eq!(found.sizes["characters"].max, 1_000_000, "a line of a megabyte is a text like others");
}

#[test]
fn other_encodings_are_told_with_the_command_that_helps() {
    let plain = csv(&rows());
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(plain.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let refused = |bytes: &[u8]| version(&[("train.csv", bytes)]).check().unwrap_err().to_string();
    assert!(refused(&wide).contains("iconv -f UTF-16 -t UTF-8 train.csv"), "{}", refused(&wide));
    assert!(refused(&wide[2..]).contains("UTF-16LE"));
    let latin: Vec<u8> = plain.replace("film", "f\u{fc}lm").chars().map(|c| c as u8).collect();
    assert!(refused(&latin).contains("iconv -f LATIN1"), "{}", refused(&latin));
    let marked = [b"\xef\xbb\xbf", plain.as_bytes()].concat();
    assert_eq!(report(&[("train.csv", &marked)]).samples, 40);
    for damaged in [&gzip(plain.as_bytes())[..60], b"\x1f\x8b\x08\0garbage that is none"] {
        let error = version(&[("train.csv.gz", damaged)]).check().unwrap_err();
        assert_eq!(error.code(), "archive_broken", "{error}");
    }
}

#[test]
fn files_beside_pictures_and_notes_make_no_texts() {
    let images = with(&[
        ("README.txt", b"pictures".to_vec()),
        ("license.txt", b"free".to_vec()),
        ("cat/1.txt", b"0 0.5 0.5 0.1 0.1".to_vec()),
        ("dog/2.txt", b"1 0.5 0.5 0.1 0.1".to_vec()),
        ("train.csv", b"text,label\na b,c\nd e,f\n".to_vec()),
    ]);
    let found = check_folder(&images).unwrap();
    assert_eq!((found.modality, found.classes.as_slice(), found.samples), (Modality::Image, &["cat".to_owned(), "dog".into()][..], 4));
    for files in [
        vec![("README.txt", "words"), ("license.txt", "free")],
        vec![("notes.txt", "some words"), ("more.txt", "others")],
        vec![("a/notes.txt", "some words"), ("a/more.txt", "others")],
        vec![("iris.csv", "sepal,petal,species\n1.5,2.5,setosa\n1.0,2.0,virginica\n")],
        vec![("config.json", "{\"text\": \"one\", \"label\": 1}")],
    ] {
        let files: Vec<(&str, &[u8])> = files.into_iter().map(|(path, text)| (path, text.as_bytes())).collect();
        let error = version(&files).check().unwrap_err();
        assert!(
            matches!(error, Error::NotTexts { .. } | Error::NoItems { .. } | Error::NoImages { .. } | Error::LayoutUnclear { .. }),
            "{files:?}: {error}"
        );
        assert!(!error.hint().is_empty());
    }
}

/// The same texts on both sides of a division, word for word and nearly so, are told and never divided.
#[test]
fn copies_and_near_copies_are_told_and_stay_together() {
    let mut train: Vec<(String, &str)> = (0..60).map(|seed| (sentence(seed) + " " + &sentence(seed + 900), ["a", "b"][seed % 2])).collect();
    let nearly = |text: &str| text.to_uppercase() + " AGAIN!";
    train.push((train[4].0.clone(), "a"));
    let near: Vec<(String, &str)> = (10..20).map(|seed| (nearly(&train[seed].0), train[seed].1)).collect();
    train.extend(near.clone());
    let test: Vec<(String, &str)> =
        vec![(train[0].0.clone(), "a"), (nearly(&train[1].0), "a"), (sentence(7_000), "b"), (sentence(7_001), "a")];
    let set = version(&[("train.csv", csv(&train).as_bytes()), ("test.csv", csv(&test).as_bytes())]);
    let found = set.check().unwrap();
    let [leak] = found.copies.leaks.as_slice() else { panic!("{:?}", found.copies.leaks) };
    assert_eq!((leak.split.as_str(), leak.copies, leak.samples, leak.near), ("test", 2, 4, 1));
    assert_eq!((found.copies.equal, found.copies.relabelled), (1, 1), "{:?}", found.copies);
    assert_eq!(found.copies.near, 10);
    told(&found, &["2 of 4 test texts are also in train", "the same but for a few words"]);
    let histograms: Vec<&str> = found.health.histograms.iter().map(|bars| bars.name.as_str()).collect();
    assert_eq!(histograms, ["characters", "words"]);
    let dataset = set.open();
    let survey = hub::data::survey(&dataset, &hub::data::Looks::default(), &mut |_, _| Ok::<_, Error>(())).unwrap();
    for seed in 0..5 {
        let (kept, held) = dataset.split_train(&survey.copies, 0.3, seed);
        let groups = |samples: &[hub::data::Sample]| {
            samples.iter().map(|sample| survey.copies.group(sample.id)).collect::<std::collections::BTreeSet<_>>()
        };
        assert!(!held.is_empty() && groups(&kept).is_disjoint(&groups(&held)), "{seed}");
    }
}

#[test]
fn previews_are_beginnings_of_texts() {
    let mut rows = rows();
    rows[0].0 = format!("<script>alert(1)</script> {}", "and on ".repeat(100));
    let found = report(&[("train.csv", csv(&rows).as_bytes())]);
    let texts: Vec<String> = found
        .previews
        .iter()
        .map(|preview| {
            String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &preview.base64).unwrap()).unwrap()
        })
        .collect();
    assert!(texts.iter().all(|text| text.chars().count() <= 280), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("<script>") && text.ends_with('…')), "as it is: pages escape it");
    assert!(found.previews.iter().any(|preview| preview.class == "spam") && found.previews.iter().any(|preview| preview.class == "ham"));
}

#[test]
fn corrections_and_more_rows_than_may_be() {
    let table = csv(&rows());
    let set = version(&[("train.csv", table.as_bytes()), ("corrections.csv", b"path,label,split\ntrain.csv:0,ham,\ntrain.csv:1,,test\n")]);
    let dataset = set.open();
    let first = dataset.find("train.csv:0").unwrap();
    assert_eq!(dataset.targets.word(&first.target), "ham");
    assert_eq!(dataset.find("train.csv:1").unwrap().split, Split::Test);
    let few = Limits { entries: 10, ..Limits::default() };
    assert!(matches!(Dataset::open(&set.source(), &few), Err(Error::TooManyFiles { .. })));
    let small = Limits { total_bytes: 500, ..Limits::default() };
    assert_eq!(Dataset::open(&set.source(), &small).unwrap_err().code(), "too_large");
}
