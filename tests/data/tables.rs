//! Parquet tables of images: as `datasets` writes them, and as nobody should.

use std::path::PathBuf;
use std::sync::Arc;

use hub::data::{Dataset, Error, Limits, Source, Target, Targets, check};
use hub::domain::task::Task;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use crate::support::png;

/// Written by datasets 5.2: six rows in one shard of `train`, four in another, three in `test` of which one has no label. The
/// class with number 0 is `zebra`, number 1 is `ant`.
const TRAIN: [&[u8]; 2] =
    [include_bytes!("fixtures/tables/train-00000-of-00002.parquet"), include_bytes!("fixtures/tables/train-00001-of-00002.parquet")];
const TEST: &[u8] = include_bytes!("fixtures/tables/test-00000-of-00001.parquet");

/// The files of a version.
struct Version {
    folder: TempDir,
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
    Version { folder, files }
}

impl Version {
    fn check(&self, limits: &Limits) -> Result<hub::domain::dataset_report::DatasetReport, Error> {
        check(&Source::Files(self.files.clone()), limits, &mut |_, _| {})
    }
}

/// What a table is refused with.
fn refusal(bytes: &[u8], limits: &Limits) -> Error {
    let version = version(&[("data/train-00000-of-00001.parquet", bytes)]);
    let error = version.check(limits).unwrap_err();
    assert_eq!(std::fs::read_dir(version.folder.path()).unwrap().count(), 1, "something was left beside the table");
    error
}

fn as_pushed() -> Version {
    version(&[
        ("README.md", b"# Animals\n"),
        ("data/train-00000-of-00002.parquet", TRAIN[0]),
        ("data/train-00001-of-00002.parquet", TRAIN[1]),
        ("data/test-00000-of-00001.parquet", TEST),
    ])
}

#[test]
fn what_datasets_pushes_is_a_data_set_of_images() {
    let version = as_pushed();
    let report = version.check(&Limits::default()).unwrap();
    assert_eq!((report.classes, report.samples), (vec!["ant".to_owned(), "zebra".into()], 12));
    let splits: Vec<_> = report.splits.iter().map(|split| (split.name.as_str(), split.per_class.clone())).collect();
    assert_eq!(splits, [("train", vec![5, 5]), ("test", vec![1, 1])]);
    assert_eq!((report.formats["png"], report.previews.len() > 3), (12, true));
    assert!(report.warnings.contains(&"1 row has no label and is left out".to_owned()), "{:?}", report.warnings);
    // Rows keep their images and their labels: zebras are red, and the first pixel tells the row.
    let dataset = Dataset::open(&Source::Files(version.files.clone()), &Limits::default()).unwrap();
    for sample in dataset.samples() {
        let image = hub::data::decode::decode(&dataset.encoded(sample).unwrap(), &Limits::default()).unwrap();
        let red = image.get_pixel(1, 1).0 == [200, 0, 0];
        assert_eq!(sample.target, Target::Class(u32::from(red)), "{}", sample.path);
        let (shard, row) = sample.path.rsplit_once(':').unwrap();
        let first = if shard.contains("test") { 20 } else { 10 * u8::from(shard.contains("00001-of")) };
        assert_eq!(image.get_pixel(0, 0).0[0], first + row.parse::<u8>().unwrap(), "{}", sample.path);
    }
}

/// Of `List(ClassLabel)` and `List(Value("float32"))`, by `Dataset.to_parquet` of datasets 5.2.
#[test]
fn lists_of_classes_are_labels_and_lists_of_numbers_values() {
    let open = |bytes: &[u8]| {
        let version = version(&[("data/train-00000-of-00001.parquet", bytes)]);
        let dataset = Dataset::open(&Source::Files(version.files.clone()), &Limits::default()).unwrap();
        (dataset.targets.clone(), dataset.samples().iter().map(|sample| sample.target.clone()).collect::<Vec<_>>(), dataset.warnings)
    };
    let (targets, found, warnings) = open(include_bytes!("fixtures/tables/labels.parquet"));
    assert_eq!(targets, Targets::Labels(["blue", "green", "red"].map(String::from).into()));
    let labels = |of: &[u32]| Target::Labels(of.into());
    assert_eq!(found, [labels(&[0, 2]), labels(&[1]), labels(&[]), labels(&[0, 1, 2]), labels(&[2])]);
    assert!(warnings.contains(&"1 row has no label and is left out".to_owned()), "a missing list is not an empty one: {warnings:?}");
    let (targets, found, _) = open(include_bytes!("fixtures/tables/values.parquet"));
    assert_eq!(targets, Targets::Values(["target_0", "target_1"].map(String::from).into()));
    assert_eq!(found[3], Target::Values([4.5, 5.0].into()));
}

/// As two calls of `push_to_hub(config_name=...)` leave it.
#[test]
fn of_several_configs_the_default_is_read() {
    let card = |default: &str| {
        let config = |name: &str| {
            format!(
                "- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/train-*\n  - split: test\n    path: {name}/test-*\n"
            )
        };
        format!("---\nconfigs:\n{}{}{default}---\n# Animals\n", config("plain"), config("fancy"))
    };
    let of = |card: &str| {
        let files = [
            ("README.md", card.as_bytes()),
            ("plain/train-00000-of-00001.parquet", TRAIN[0]),
            ("plain/test-00000-of-00001.parquet", TEST),
            ("fancy/train-00000-of-00001.parquet", TRAIN[1]),
            ("fancy/test-00000-of-00001.parquet", TEST),
        ];
        version(&files).check(&Limits::default())
    };
    let samples = |card: &str| {
        let report = of(card).unwrap();
        (report.splits.iter().map(|split| (split.name.clone(), split.samples)).collect::<Vec<_>>(), report.warnings)
    };
    let counts = |train: usize| vec![("train".to_owned(), train), ("test".to_owned(), 2)];
    let (splits, warnings) = samples(&card("  default: true\n"));
    assert_eq!(splits, counts(4), "the second is the default");
    assert!(warnings.iter().any(|said| said.contains("plain/train-00000-of-00001.parquet")), "{warnings:?}");
    let (splits, warnings) = samples(&card(""));
    assert_eq!(splits, counts(6), "the first, where none is the default");
    assert!(warnings.iter().any(|said| said.contains("`plain`, the first")), "{warnings:?}");
    assert!(of("# Animals\n").unwrap_err().to_string().contains("2 folders"), "without a card nothing is guessed");
}

/// A table of four rows with these columns.
fn table(target: &str, compression: Compression, features: Option<&str>) -> Vec<u8> {
    let column = match target {
        "" => "",
        "target" => "optional double target;",
        "label" => "optional binary label (UTF8);",
        other => panic!("{other}"),
    };
    let message = format!("message schema {{ optional group image {{ optional binary bytes; optional binary path (UTF8); }} {column} }}");
    let pairs = features.map(|text| vec![KeyValue::new("huggingface".to_owned(), text.to_owned())]);
    let properties = WriterProperties::builder().set_compression(compression).set_key_value_metadata(pairs).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(parse_message_type(&message).unwrap()), Arc::new(properties)).unwrap();
    for half in 0..2u32 {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = (0..2).map(|row| ByteArray::from(png(half * 2 + row))).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&[2, 2]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&[1, 1]), None).unwrap();
        column.close().unwrap();
        if let Some(mut column) = group.next_column().unwrap() {
            match target {
                "target" => drop(column.typed::<DoubleType>().write_batch(&[f64::from(half), 2.5], Some(&[1, 1]), None).unwrap()),
                _ => drop(column.typed::<ByteArrayType>().write_batch(&["cat".into(), "dog".into()], Some(&[1, 1]), None).unwrap()),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn labels_may_be_text_or_numbers_and_pages_packed_in_many_ways() {
    let packings = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4_RAW,
    ];
    for packing in packings {
        let version = version(&[("train.parquet", &table("label", packing, None))]);
        let report = version.check(&Limits::default()).unwrap();
        assert_eq!((report.classes, report.samples), (vec!["cat".to_owned(), "dog".into()], 4), "{packing}");
    }
    let version = version(&[("numbers.parquet", &table("target", Compression::SNAPPY, None))]);
    let report = version.check(&Limits::default()).unwrap();
    assert_eq!((report.task, report.samples), (Task::Regression, 4));
}

#[test]
fn tables_of_something_else_are_told_apart_from_damaged_ones() {
    let sound = |bytes: &[u8], why: &str| {
        let error = refusal(bytes, &Limits::default());
        assert!(matches!(&error, Error::NotImages { reason } if reason.contains(why)), "{error}");
    };
    sound(&table("", Compression::SNAPPY, None), "no column of labels");
    let audio = r#"{"info": {"features": {"image": {"_type": "Audio"}, "label": {"_type": "Value"}}}}"#;
    sound(&table("label", Compression::SNAPPY, Some(audio)), "no column of images");
    let properties = Arc::new(WriterProperties::builder().build());
    let schema = Arc::new(parse_message_type("message schema { required int64 label; }").unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[1, 2], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    sound(&writer.into_inner().unwrap(), "no column of images");

    for (bytes, why) in [
        (b"PAR1".repeat(40), "footer claims"),
        ([&b"PAR1"[..], &[0; 600]].concat(), "begin and end"),
        (b"PAR1".to_vec(), "cut short"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec(), "git-lfs pointer"),
    ] {
        let error = refusal(&bytes, &Limits::default());
        assert!(matches!(&error, Error::BadTable { file, reason } if file.contains("train-00000") && reason.contains(why)), "{error}");
    }
}

#[test]
fn limits_hold_for_tables() {
    let of = |limits: Limits| refusal(TRAIN[0], &limits).code();
    assert_eq!(of(Limits { entries: 3, ..Limits::default() }), "too_many_files");
    assert_eq!(of(Limits { entry_bytes: 60, ..Limits::default() }), "too_large");
    assert_eq!(of(Limits { total_bytes: 300, ..Limits::default() }), "bad_table");
}

#[test]
fn pages_that_lie_about_their_size_are_refused_before_they_are_unpacked() {
    // The first page's header: its type, then what it unpacks to as a number of two bytes; here two gigabytes.
    assert_eq!(&TRAIN[0][4..7], &[0x15, 0x00, 0x15]);
    let mut huge = [&TRAIN[0][..7], &[0xfe, 0xff, 0xff, 0xff, 0x0f], &TRAIN[0][9..]].concat();
    // What it is packed in gives way for the three bytes that the larger number takes, so that the column ends where it did.
    assert!(huge[12] == 0x15 && huge[13] & 0x7f >= 6, "{:?}", &huge[..16]);
    huge[13] -= 6;
    let error = refusal(&huge, &Limits::default());
    assert!(error.to_string().contains("a page unpacks to 2147483647 bytes"), "{error}");
    // Packed by gzip, which would be unpacked to its end: one byte less than comes out.
    let mut bytes = table("label", Compression::GZIP(GzipLevel::default()), None);
    assert!(bytes[4] == 0x15 && bytes[6] == 0x15 && bytes[7] & 0x7f > 1, "{:?}", &bytes[4..9]);
    bytes[7] -= 2;
    let error = refusal(&bytes, &Limits::default());
    assert!(error.to_string().contains("unpacks to more than the"), "{error}");
}

#[test]
fn tables_cut_short_or_with_flipped_bytes_never_break_the_process() {
    for whole in
        [TRAIN[0].to_vec(), table("label", Compression::GZIP(GzipLevel::default()), None), table("label", Compression::SNAPPY, None)]
    {
        for share in [0, 1, 50, 99] {
            assert!(version(&[("train.parquet", &whole[..whole.len() * share / 100])]).check(&Limits::default()).is_err());
        }
        for round in 0..400usize {
            let mut bytes = whole.clone();
            for step in 0..2 {
                let at = (round * 7_919 + step * 104_729) % bytes.len();
                bytes[at] ^= (round * 31 + step * 17 + 1) as u8;
            }
            let _ = version(&[("train.parquet", &bytes)]).check(&Limits::default());
        }
    }
}

#[test]
fn shards_of_one_data_set_have_the_same_columns() {
    let other = table("label", Compression::SNAPPY, None);
    let version = version(&[("data/train-00000-of-00002.parquet", TRAIN[0]), ("data/train-00001-of-00002.parquet", &other)]);
    let error = version.check(&Limits::default()).unwrap_err();
    assert!(error.to_string().contains("its columns are not those of `data/train-00000"), "{error}");
}
