//! Answers in every form they are handed over in.

use super::*;
use crate::domain::prediction::{Class, Value};

fn class(index: usize, label: &str, probability: f32) -> Class {
    Class { index, label: label.into(), probability, ..Class::default() }
}

/// Two answers and a file that is no item between them.
fn of(first: Content, last: Content) -> Answers {
    let said = |name: &str, content: Content| Said { name: name.into(), content };
    let bad = Said::unanswered("b,\"x\".png", "image_unreadable", "it is no image");
    Answers { model: "ada/net@3".into(), items: vec![said("a.png", first), bad, said("c.png", last)] }
}

fn classes() -> Answers {
    let answer = |classes: Vec<Class>| Content::Answer(Answer::Classes(classes).into());
    of(
        answer(vec![class(2, "blue", 0.75), class(0, "red", 0.25), class(1, "green", 0.0)]),
        answer(vec![class(0, "red", 0.5), class(1, "green", 0.375), class(2, "blue", 0.125)]),
    )
}

fn features() -> Answers {
    of(Content::features_of(vec![1.0, -2.5]), Content::features_of(vec![0.0, 3.0]))
}

fn text(answers: &Answers, format: Format) -> String {
    String::from_utf8(answers.write(format).unwrap()).unwrap()
}

#[test]
fn json_says_all_and_is_read_back() {
    for answers in [classes(), features()] {
        let written = answers.write(Format::Json).unwrap();
        assert_eq!(serde_json::from_slice::<Answers>(&written).unwrap(), answers);
    }
    let json: serde_json::Value = serde_json::from_str(&text(&classes(), Format::Json)).unwrap();
    assert_eq!(json["items"][0]["classes"][0], serde_json::json!({"index": 2, "label": "blue", "probability": 0.75}));
    assert_eq!(
        json["items"][1],
        serde_json::json!({"name": "b,\"x\".png", "error": {"code": "image_unreadable", "message": "it is no image"}})
    );
    assert_eq!(classes().failed(), 1);
}

#[test]
fn csv_has_a_line_an_item() {
    let lines = "name,label,probability,label_2,probability_2,label_3,probability_3,error\n\
                 a.png,blue,0.75,red,0.25,green,0,\n\
                 \"b,\"\"x\"\".png\",,,,,,,it is no image\n\
                 c.png,red,0.5,green,0.375,blue,0.125,\n";
    assert_eq!(text(&classes(), Format::Csv), lines);
    assert_eq!(text(&features(), Format::Csv), "name,f0,f1,error\na.png,1,-2.5,\n\"b,\"\"x\"\".png\",,,it is no image\nc.png,0,3,\n");
    let number = |value: f32| Content::Answer(Answer::Values(vec![Value { name: "age".into(), value }]).into());
    assert_eq!(text(&of(number(7.5), number(1.0)), Format::Csv).lines().nth(1), Some("a.png,7.5,"));
}

#[test]
fn npy_is_numpys_and_rows_without_an_answer_are_nan() {
    let written = features().write(Format::Npy).unwrap();
    assert_eq!(&written[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let header = std::str::from_utf8(&written[10..128]).unwrap();
    assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
    let numbers: Vec<f32> = written[128..].chunks_exact(4).map(|n| f32::from_le_bytes(n.try_into().unwrap())).collect();
    assert_eq!((&numbers[..2], &numbers[4..]), (&[1.0, -2.5][..], &[0.0, 3.0][..]));
    assert!(numbers[2].is_nan() && numbers[3].is_nan());
    // Classes stand in the order of the head's rows, whichever is the likeliest.
    let written = classes().write(Format::Npy).unwrap();
    let numbers: Vec<f32> = written[128..].chunks_exact(4).map(|n| f32::from_le_bytes(n.try_into().unwrap())).collect();
    assert_eq!((&numbers[..3], &numbers[6..]), (&[0.25, 0.0, 0.75][..], &[0.5, 0.375, 0.125][..]));
}

#[test]
fn rows_written_as_they_come_are_those_written_at_once() {
    // A shape that was known beforehand, from an answer with every class.
    for answers in [classes(), features()] {
        let shape = Shape::of(std::iter::once(&answers.items[0].content));
        for format in Format::ALL.into_iter().filter(|format| *format != Format::Coco) {
            let mut bytes = Vec::new();
            let room = || Ok(Box::new(std::io::Cursor::new(Vec::new())) as Box<dyn Spool>);
            let mut writer = Writer::begin(format, &answers.model, (shape.clone(), answers.items.len()), &mut bytes, room).unwrap();
            answers.items.iter().for_each(|item| writer.add(item.clone()).unwrap());
            writer.finish().unwrap();
            assert_eq!(bytes, answers.write(format).unwrap(), "{}", format.as_str());
        }
    }
    let few = Shape::of(std::iter::once(&classes().items[0].content)).told(1);
    assert_eq!((few.ranks, few.width), (1, 3), "fewer are told, and the columns of a matrix stay");
}

#[test]
fn anomalies_are_numbers_in_every_form() {
    use crate::domain::prediction::Anomaly;
    let judged = |score: f32| Content::Answer(Answer::Anomaly(Anomaly { score, threshold: 0.5, is_anomaly: score > 0.5 }).into());
    let answers = of(judged(0.25), judged(0.75));
    let lines = "name,score,threshold,is_anomaly,error\na.png,0.25,0.5,0,\n\"b,\"\"x\"\".png\",,,,it is no image\nc.png,0.75,0.5,1,\n";
    assert_eq!(text(&answers, Format::Csv), lines);
    let json: serde_json::Value = serde_json::from_str(&text(&answers, Format::Json)).unwrap();
    assert_eq!(json["items"][2]["anomaly"], serde_json::json!({"score": 0.75, "threshold": 0.5, "is_anomaly": true}));
}

#[test]
fn safetensors_names_rows_and_columns() {
    let written = classes().write(Format::Safetensors).unwrap();
    let (_, header) = ::safetensors::SafeTensors::read_metadata(&written).unwrap();
    let about = header.metadata().as_ref().unwrap();
    assert_eq!(about["columns"], r#"["red","green","blue"]"#);
    assert_eq!(about["errors"], r#"{"1":"it is no image"}"#);
    let tensors = ::safetensors::SafeTensors::deserialize(&written).unwrap();
    assert_eq!(tensors.tensor("probabilities").unwrap().shape(), [3, 3]);
}

#[test]
fn parquet_has_a_row_an_item() {
    use std::collections::BTreeMap;

    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    let rows = |answers: Answers| -> Vec<BTreeMap<String, String>> {
        let reader = SerializedFileReader::new(bytes::Bytes::from(answers.write(Format::Parquet).unwrap())).unwrap();
        let cells = |row: ::parquet::record::Row| row.get_column_iter().map(|(name, cell)| (name.clone(), cell.to_string())).collect();
        reader.get_row_iter(None).unwrap().map(|row| cells(row.unwrap())).collect()
    };
    let found = rows(classes());
    assert_eq!(found.len(), 3);
    let cell = |row: usize, name: &str| found[row][name].as_str();
    assert_eq!((cell(0, "label"), cell(0, "labels")), ("\"blue\"", "[\"blue\", \"red\", \"green\"]"));
    assert_eq!((cell(0, "probability"), cell(0, "probabilities"), cell(0, "error")), ("0.75", "[0.75, 0.25, 0E0]", "null"));
    assert_eq!((cell(1, "error"), cell(1, "label"), cell(1, "labels")), ("\"it is no image\"", "null", "null"));
    assert_eq!(rows(features())[2]["features"], "[0E0, 3.0]");
    // Names of targets are other people's.
    let value = |name: &str, value: f32| Value { name: name.into(), value };
    let odd =
        || Content::Answer(Answer::Values(vec![value("a b", 1.0), value("a-b", 2.0), value("error", 3.0), value("; drop", 4.0)]).into());
    let row = &rows(of(odd(), odd()))[0];
    assert_eq!([&row["a_b"], &row["value_1"], &row["value_2"], &row["__drop"]], ["1.0", "2.0", "3.0", "4.0"]);
}

#[test]
fn nothing_asked_is_nothing_said_in_every_form() {
    let none = Answers { model: "ada/net@1".into(), items: vec![] };
    let bad = Answers { model: "ada/net@1".into(), items: vec![Said::unanswered("x", "image_unreadable", "no image")] };
    for format in Format::ALL {
        assert!(!none.write(format).unwrap().is_empty() && !bad.write(format).unwrap().is_empty(), "{}", format.as_str());
    }
}

#[test]
fn the_first_form_that_is_known_is_taken() {
    assert_eq!(Format::accepted("text/html, text/csv;q=0.9, application/json"), Some(Format::Csv));
    assert_eq!(Format::accepted("Application/Vnd.Apache.Parquet"), Some(Format::Parquet));
    assert_eq!(Format::accepted("*/*"), None);
    assert!(Format::ALL.into_iter().all(|format| Format::accepted(format.media_type()) == Some(format)));
}
