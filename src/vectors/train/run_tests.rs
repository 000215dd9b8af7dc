//! Training on drawn sentences: words that stand together end up together, and a run that is killed goes on.

use super::super::Architecture;
use super::*;

/// Sentences of two worlds that never meet: words of one stand beside words of the same.
fn corpus(folder: &Path) -> PathBuf {
    let mut random = Random::of(3, 0, 0);
    let mut text = String::new();
    for index in 0..4000 {
        let world = if index % 2 == 0 { "a" } else { "b" };
        let words = (0..8).map(|_| format!("{world}{}", random.below(12)));
        text.push_str(&words.chain(["the".to_owned()]).collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    let path = folder.join("corpus.txt");
    std::fs::write(&path, text).unwrap();
    path
}

fn request(place: &Path, settings: Settings, threads: usize) -> Request {
    let (corpus, work) = (vec![corpus(place)], place.join("work"));
    Request { corpus, settings, from: None, resume: None, threads, work, dtype: Dtype::F32 }
}

fn settings() -> Settings {
    Settings { width: 24, window: 4, epochs: 5, sample: 0.0, rate: Some(0.05), ..Settings::default() }
}

fn trained(request: &Request, out: &Path) -> (WordVectors, Trained) {
    std::fs::create_dir_all(out).unwrap();
    let trained = train(request, out, &mut |_| GoOn::Yes).unwrap();
    std::fs::write(out.join("config.json"), trained.stored.config.to_json()).unwrap();
    (WordVectors::open(out).unwrap(), trained)
}

#[test]
fn words_of_one_world_come_together() {
    for architecture in [Architecture::SkipGram, Architecture::Cbow] {
        let place = tempfile::tempdir().unwrap();
        let request = request(place.path(), Settings { architecture, ..settings() }, 2);
        let (model, trained) = trained(&request, &place.path().join("model"));
        assert_eq!((trained.corpus_words, trained.known_words, trained.stored.words), (36_000, 36_000, 25));
        assert_eq!(model.vocabulary.word(0).unwrap(), "the", "the most frequent comes first");
        assert_eq!(model.vocabulary.count(0), Some(4000));
        let (mut right, mut all) = (0, 0);
        for index in 0..12 {
            for world in ["a", "b"] {
                let (found, _) = model.neighbors(&format!("{world}{index}"), 8).unwrap();
                all += 8;
                right += found.iter().filter(|neighbor| neighbor.word.starts_with(world)).count();
            }
        }
        assert!(right * 100 >= all * 95, "{architecture:?}: {right} of {all}");
    }
}

#[test]
fn a_run_that_was_ended_makes_the_same_vectors() {
    let place = tempfile::tempdir().unwrap();
    let whole = request(place.path(), settings(), 1);
    let (model, _) = trained(&whole, &place.path().join("whole"));
    let parts = Request { work: place.path().join("parts"), ..whole.clone() };
    let out = place.path().join("in parts");
    std::fs::create_dir(&out).unwrap();
    let mut ended = 0;
    loop {
        // Ended at the first report of each stretch, whenever that comes.
        let result = train(&parts, &out, &mut |progress| if matches!(progress, Progress::Training { .. }) { GoOn::No } else { GoOn::Yes });
        match result {
            Ok(trained) => {
                std::fs::write(out.join("config.json"), trained.stored.config.to_json()).unwrap();
                break;
            }
            Err(Error::Invalid { setting: "training", .. }) => ended += 1,
            Err(other) => panic!("{other}"),
        }
        assert!(ended < 1000);
    }
    assert!(ended > 2, "it was to be ended often");
    let other = WordVectors::open(&out).unwrap();
    for row in 0..model.vocabulary.len() {
        let word = model.vocabulary.word(row).unwrap();
        assert_eq!(model.vector(word).unwrap(), other.vector(word).unwrap(), "{word} after {ended} ends");
    }
    let changed = Request { settings: Settings { window: 3, ..settings() }, ..parts };
    let said = train(&changed, &out, &mut |_| GoOn::Yes).unwrap_err().to_string();
    assert!(said.contains("other settings"), "{said}");
}

/// Where the working folder is lost, the file of how far the run was is enough: the corpus is counted again.
#[test]
fn a_run_goes_on_elsewhere_from_its_state_alone() {
    let place = tempfile::tempdir().unwrap();
    let whole = request(place.path(), settings(), 1);
    let (model, _) = trained(&whole, &place.path().join("whole"));
    let first = Request { work: place.path().join("first"), ..whole.clone() };
    let out = place.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let end = |progress: Progress| if matches!(progress, Progress::Training { .. }) { GoOn::No } else { GoOn::Yes };
    assert!(matches!(train(&first, &out, &mut |progress| end(progress)), Err(Error::Invalid { setting: "training", .. })));
    let kept = place.path().join("kept.safetensors");
    std::fs::rename(checkpoint::state_file(&first.work), &kept).unwrap();
    let second = Request { work: place.path().join("second"), resume: Some(kept), ..whole };
    let (other, _) = trained(&second, &out);
    for row in 0..model.vocabulary.len() {
        let word = model.vocabulary.word(row).unwrap();
        assert_eq!(model.vector(word).unwrap(), other.vector(word).unwrap(), "{word}");
    }
    // A state of other matrices is refused by its name.
    let wide = Settings { width: 40, ..settings() };
    let unfit = Request { settings: wide, work: place.path().join("third"), ..second };
    assert!(matches!(train(&unfit, &out, &mut |_| GoOn::Yes), Err(Error::Corrupt { .. })));
}

#[test]
fn training_goes_on_from_published_vectors() {
    let place = tempfile::tempdir().unwrap();
    let first = request(place.path(), settings(), 1);
    let (before, _) = trained(&first, &place.path().join("first"));
    let more = place.path().join("more.txt");
    std::fs::write(&more, "a1 new a2 new a3 word\n".repeat(50)).unwrap();
    let second = Request {
        corpus: vec![more],
        from: Some(Files::of(&place.path().join("first"))),
        work: place.path().join("second work"),
        settings: Settings { epochs: 1, ..settings() },
        ..first
    };
    let (after, trained) = trained(&second, &place.path().join("second"));
    assert_eq!(trained.taken_over, (25, 3));
    assert_eq!(trained.stored.words, 27, "nothing is lost, and two words are new");
    assert_eq!(after.vector("b7").unwrap().0, before.vector("b7").unwrap().0, "what the corpus lacks stays as it was");
    assert_ne!(after.vector("a1").unwrap().0, before.vector("a1").unwrap().0);
    let wide = Request { settings: Settings { width: 25, ..settings() }, work: place.path().join("third"), ..second };
    assert!(matches!(train(&wide, place.path(), &mut |_| GoOn::Yes), Err(Error::Invalid { setting: "width", .. })));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let refused = |settings: Settings, text: &str| {
        let path = place.path().join("corpus.txt");
        std::fs::write(&path, text).unwrap();
        let work = tempfile::tempdir().unwrap();
        let request =
            Request { corpus: vec![path], settings, from: None, resume: None, threads: 1, work: work.path().into(), dtype: Dtype::F32 };
        train(&request, place.path(), &mut |_| GoOn::Yes).unwrap_err().to_string()
    };
    assert!(refused(settings(), " \n. , \n").contains("there are no words in it"));
    assert!(refused(settings(), "one two three").contains("no word of the corpus comes 5 times or more, of 3 words"));
    assert!(refused(Settings { width: 0, ..settings() }, "a").contains("width"));
    assert!(refused(Settings { rate: Some(f32::NAN), ..settings() }, "a").contains("rate"));
    // One word alone has nothing to be told from, and does no harm.
    let single = Settings { min_count: 1, ..settings() };
    let path = place.path().join("single.txt");
    std::fs::write(&path, "word word word").unwrap();
    let work = place.path().join("single work");
    let request = Request { corpus: vec![path], settings: single, from: None, resume: None, threads: 2, work, dtype: Dtype::F32 };
    let out = place.path().join("single");
    std::fs::create_dir(&out).unwrap();
    assert_eq!(train(&request, &out, &mut |_| GoOn::Yes).unwrap().stored.words, 1);
}

#[test]
fn rare_words_may_be_forgotten_while_counting() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("long.txt");
    let text: String = (0..6000).map(|index| format!("common other rare{index}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let settings = Settings { max_counted: 1000, epochs: 1, ..settings() };
    let request =
        Request { corpus: vec![path], settings, from: None, resume: None, threads: 1, work: place.path().join("w"), dtype: Dtype::F16 };
    let out = place.path().join("model");
    let (model, trained) = trained(&request, &out);
    assert_eq!(trained.stored.words, 2);
    assert_eq!(model.vocabulary.count(0), Some(6000));
}
