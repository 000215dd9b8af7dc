//! Neighbours, analogies, similarities and texts of small vectors whose answers are known.

use super::super::formats::Source;
use super::super::{Dtype, Pooling};
use super::*;

fn made(text: &str, dtype: Dtype) -> (WordVectors, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    let (file, out) = (place.path().join("x.txt"), place.path().join("model"));
    std::fs::write(&file, text).unwrap();
    std::fs::create_dir(&out).unwrap();
    let stored = Source::open(&file).unwrap().unwrap().store(None, dtype, &out, &mut |_, _| ()).unwrap();
    std::fs::write(out.join("config.json"), stored.config.to_json()).unwrap();
    (WordVectors::open(&out).unwrap(), place)
}

/// Words at angles of a circle, in degrees.
fn circle(words: &[(&str, f64)]) -> String {
    let line = |(word, angle): &(&str, f64)| format!("{word} {} {}\n", 2.0 * angle.to_radians().cos(), 2.0 * angle.to_radians().sin());
    words.iter().map(line).collect()
}

#[test]
fn neighbors_stand_in_the_order_of_their_angles() {
    let mut words: Vec<(String, f64)> = (0..9000).map(|index| (format!("far{index}"), 90.0 + f64::from(index) / 100.0)).collect();
    words.extend([("a".into(), 0.0), ("b".into(), 10.0), ("c".into(), 25.0), ("d".into(), -60.0)]);
    let named: Vec<(&str, f64)> = words.iter().map(|(word, angle)| (word.as_str(), *angle)).collect();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::I8] {
        let (model, _place) = made(&circle(&named), dtype);
        let (found, _) = model.neighbors("a", 3).unwrap();
        assert_eq!(found.iter().map(|n| n.word.as_str()).collect::<Vec<_>>(), ["b", "c", "d"], "{dtype:?}");
        let cosines = [10.0f64, 25.0, 60.0].map(|angle| angle.to_radians().cos() as f32);
        let near = found.iter().zip(cosines).all(|(found, cosine)| (found.similarity - cosine).abs() < 0.01);
        assert!(near, "{dtype:?}: {found:?}");
        assert_eq!(model.nearest(&[1.0, 0.0], 1).unwrap()[0].word, "a");
        assert!((model.similarity("a", "b").unwrap() - cosines[0]).abs() < 0.01);
    }
}

#[test]
fn analogies_leave_their_own_words_out() {
    let (model, _place) = made(&circle(&[("man", 0.0), ("king", 40.0), ("woman", 60.0), ("queen", 100.0), ("tree", 250.0)]), Dtype::F32);
    let found = model.analogy(["man", "king", "woman"], 5).unwrap();
    assert_eq!(found[0].word, "queen");
    assert_eq!(found.len(), 2, "the words of the question are no answers");
    assert!(matches!(model.analogy(["man", "kong", "woman"], 1), Err(Error::UnknownWord { .. })));
}

#[test]
fn pairs_and_questions_are_measured() {
    let (model, place) = made(&circle(&[("a", 0.0), ("b", 10.0), ("c", 50.0), ("d", 170.0)]), Dtype::F32);
    let file = place.path().join("pairs.txt");
    std::fs::write(&file, "first\tsecond\tscore\na\tb\t9.5\nA c 4\na;d;1\nx y 3\n").unwrap();
    let found = model.agreement(&file).unwrap();
    assert_eq!((found.spearman, found.pairs, found.unknown), (1.0, 3, 1));
    std::fs::write(&file, "a b 9\na b\n").unwrap();
    assert!(matches!(model.agreement(&file), Err(Error::Corrupt { offset: 6, .. })));
    std::fs::write(&file, ": angles\na b c d\na c b x\n").unwrap();
    let sections = model.questions(&file, &mut |_| ()).unwrap();
    assert_eq!((sections[0].name.as_str(), sections[0].asked, sections[0].unknown, sections[0].right), ("angles", 1, 1, 1));
}

#[test]
fn texts_are_means_of_their_words() {
    let (model, _place) = made("the 1 0\ncat 0 2\ndog 2 2\n", Dtype::F32);
    let texts = ["The cat", "dog, DOG! zebra", "zebra", ""];
    let found = model.features(&texts, Pooling::Mean, None).unwrap();
    assert_eq!(found.rows, [[0.5, 1.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]);
    assert_eq!((found.words.known, found.words.unknown, found.words.empty_texts, found.common), (4, 2, 2, None));
}

#[test]
fn sif_takes_away_what_all_texts_share() {
    // A frequent word counts less, by Zipf's shares of the ranks, and all texts lose one direction.
    let (model, _place) = made("the 1 0 0\ncat 5 2 0\ndog 5 -2 1\nsun 5 0 -2\n", Dtype::F32);
    let texts = ["the cat", "the dog", "the sun", "cat dog"];
    let found = model.features(&texts, Pooling::Sif, None).unwrap();
    let common = found.common.unwrap();
    assert!((common.iter().map(|value| value * value).sum::<f32>() - 1.0).abs() < 1e-5);
    assert!(common[0].abs() > 0.95, "{common:?}");
    for row in &found.rows {
        assert!(row.iter().zip(&common).map(|(a, b)| a * b).sum::<f32>().abs() < 1e-5);
    }
    let alone = model.features(&["the cat"], Pooling::Sif, Some(&common)).unwrap();
    assert!(alone.rows[0].iter().zip(&found.rows[0]).all(|(a, b)| (a - b).abs() < 1e-6), "one text by what all shared");
    assert_eq!(model.features(&["the cat"], Pooling::Sif, None).unwrap().common, None);
    assert!(model.features(&["the cat"], Pooling::Sif, Some(&[1.0])).is_err());
}

#[test]
fn models_that_contradict_themselves_are_refused() {
    let (model, place) = made("the 1 0\ncat 0 2\n", Dtype::F32);
    drop(model);
    let (folder, file) = (place.path().join("model"), place.path().join("y.txt"));
    std::fs::write(&file, "one 1 0\n").unwrap();
    let other = place.path().join("other");
    std::fs::create_dir(&other).unwrap();
    Source::open(&file).unwrap().unwrap().store(None, Dtype::F32, &other, &mut |_, _| ()).unwrap();
    std::fs::copy(other.join(VOCABULARY_FILE), folder.join(VOCABULARY_FILE)).unwrap();
    let said = WordVectors::open(&folder).err().unwrap().to_string();
    assert!(said.contains("the matrix has 2 rows, and the vocabulary 1 words"), "{said}");
    std::fs::write(folder.join("config.json"), "{\"architecture\": \"resnet50\"}").unwrap();
    assert!(matches!(WordVectors::open(&folder), Err(Error::Unsupported { .. })));
}

#[test]
fn a_vocabulary_may_hold_anything() {
    let (model, place) = made("the 1 0\ncat 0 2\nmouse 1 1\n", Dtype::F32);
    drop(model);
    let folder = place.path().join("model");
    let whole = std::fs::read(folder.join(VOCABULARY_FILE)).unwrap();
    for at in (4096..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        std::fs::write(folder.join(VOCABULARY_FILE), &bytes).unwrap();
        let Ok(model) = WordVectors::open(&folder) else { continue };
        for word in ["the", "cat", "mouse", "dog"] {
            let _ = model.neighbors(word, 3);
        }
        (0..3).for_each(|row| drop(model.vocabulary.word(row)));
    }
}
