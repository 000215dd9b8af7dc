//! Lists find what looking at every row finds, nearly always; and files of lists are not trusted.

use super::super::Dtype;
use super::super::store::Store;
use super::super::train::Random;
use super::*;

const WORDS: usize = 3_000;
const WIDTH: usize = 16;

/// Words around a hundred directions, as words of one topic lie.
fn clustered(folder: &Path) -> WordVectors {
    let mut random = Random::of(5, 0, 0);
    let mut number = || (0..4).map(|_| f64::from(random.below(1 << 20)) / f64::from(1 << 20) - 0.5).sum::<f64>() as f32;
    let topics: Vec<Vec<f32>> = (0..100).map(|_| (0..WIDTH).map(|_| number()).collect()).collect();
    let mut store = Store::begin(folder, Path::new("test"), Dtype::F32, WIDTH).unwrap();
    for index in 0..WORDS {
        let row: Vec<f32> = topics[index * 7 % 100].iter().map(|value| value + 0.5 * number()).collect();
        store.push(format!("w{index}").as_bytes(), None, &row, 0).unwrap();
    }
    let stored = store.finish("word2vec", serde_json::Map::new(), None).unwrap();
    std::fs::write(folder.join("config.json"), stored.config.to_json()).unwrap();
    WordVectors::open(folder).unwrap()
}

#[test]
fn lists_find_what_looking_at_every_row_finds() {
    let (model, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exact = clustered(model.path());
    let mut told = Vec::new();
    let open = || WordVectors::open(model.path()).unwrap();
    let quick = open().with_lists(kept.path(), 1_000, &mut |done, all| told.push((done, all)));
    assert!(quick.has_lists() && !exact.has_lists());
    assert_eq!(told.last(), Some(&(WORDS, WORDS)));
    let (mut right, mut looked) = (0, 0);
    let asked: Vec<String> = (0..100).map(|index| format!("w{}", index * 29)).collect();
    for word in &asked {
        let (truth, _) = exact.neighbors(word, 10).unwrap();
        let (found, _) = quick.neighbors(word, 10).unwrap();
        assert_eq!(found.len(), 10);
        right += truth.iter().filter(|one| found.contains(one)).count();
        looked += quick.lists.as_ref().unwrap().near(&exact.vector(word).unwrap().0, 11).len();
    }
    let (recall, share) = (right as f64 / 1000.0, looked as f64 / (100 * WORDS) as f64);
    assert!(recall >= 0.95, "recall@10 is {recall}, of {share} of the rows");
    assert!(share < 0.6, "{share} of the rows were looked at");
    // The second time they are read, and say the same.
    let again = open().with_lists(kept.path(), 1_000, &mut |_, _| panic!("they are found once"));
    assert_eq!(again.neighbors("w0", 10).unwrap(), quick.neighbors("w0", 10).unwrap());
    assert!(!open().with_lists(kept.path(), WORDS + 1, &mut |_, _| ()).has_lists(), "a small vocabulary needs none");
    // More answers than the nearest lists hold: others are looked at, too.
    assert_eq!(quick.neighbors("w0", WORDS).unwrap().0.len(), WORDS - 1);
}

#[test]
fn a_file_of_lists_that_does_not_fit_is_made_anew() {
    let (model, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let exact = clustered(model.path());
    let lists = Lists::of(&exact, &mut |_, _| ());
    let path = kept.path().join("x.safetensors");
    lists.save(&path).unwrap();
    assert!(Lists::load(&path, (WORDS, WIDTH)).is_ok());
    for size in [(WORDS + 1, WIDTH), (WORDS, WIDTH + 1)] {
        assert!(matches!(Lists::load(&path, size), Err(Error::Corrupt { .. })));
    }
    let twice = Lists { rows: vec![7; WORDS], ..lists };
    twice.save(&path).unwrap();
    assert!(Lists::load(&path, (WORDS, WIDTH)).err().unwrap().to_string().contains("in two lists"));
    std::fs::write(Lists::path(kept.path(), &exact), "no lists").unwrap();
    assert!(exact.with_lists(kept.path(), 1, &mut |_, _| ()).has_lists());
}
