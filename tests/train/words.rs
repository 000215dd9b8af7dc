//! Fine-tunes that answer about each word: every strategy finds entities, what is published is transformers' form and says where in a text
//! they stand, and what cannot be learned from is named.

use std::fmt::Write as _;

use hub::domain::prediction::Entity;
use hub::train::evaluate;

use super::texts::{ARCHITECTURE, Texts, quick};
use super::*;

/// Words without a tag, and those that have one.
const PLAIN: [&str; 6] = ["the", "a", "was", "plot", "very", "and"];

/// So many sentences as CoNLL has them: `good`, and `fine` behind it, are a person, `bad` is a place.
fn conll(count: usize, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut text = "-DOCSTART- -X- O O\n\n".to_owned();
    for n in 0..count {
        let mut plain = |text: &mut String| writeln!(text, "{} DT O", PLAIN[random.random_range(0..PLAIN.len())]).unwrap();
        (0..1 + n % 3).for_each(|_| plain(&mut text));
        if n % 3 < 2 {
            text += "good NN B-PER\n";
            text += if n % 2 == 0 { "fine NN I-PER\n" } else { "" };
        }
        plain(&mut text);
        if n % 3 > 0 {
            text += "bad NN B-LOC\n";
        }
        text += ". . O\n\n";
    }
    text
}

pub fn tagged() -> Texts {
    Texts::new(ARCHITECTURE, |data| {
        for (name, count, seed) in [("train", 96, 1), ("valid", 24, 2)] {
            std::fs::write(data.join(format!("{name}.txt")), conll(count, seed)).unwrap();
        }
    })
}

fn entities(model: &Predictor, text: &str) -> Vec<Entity> {
    model.predict(text.as_bytes(), 1).unwrap().answer.entities().unwrap().to_vec()
}

fn told(found: &[Entity]) -> Vec<(&str, &str, usize, usize)> {
    found.iter().map(|entity| (entity.text.as_str(), entity.label.as_str(), entity.start, entity.end)).collect()
}

#[test]
fn every_strategy_finds_entities_and_says_where() {
    let texts = tagged();
    let strategies = [Strategy::Auto, Strategy::Head, Strategy::Full, Strategy::Freeze, Strategy::LpFt, Strategy::Gradual, Strategy::Lora];
    for strategy in strategies {
        let report = texts.fit(&Recipe { epochs: 12, ..quick(strategy) }, strategy.as_str()).unwrap();
        let f1 = report.outcome.validation.get("entity_f1");
        assert!(f1 >= 0.7, "{strategy}: {f1}");
        assert_eq!(report.outcome.task(), Task::TokenClassification);
        let model = texts.opened(&report);
        let found = entities(&model, "the good fine was bad.");
        if f1 > 0.99 {
            assert_eq!(told(&found), [("good fine", "PER", 4, 13), ("bad", "LOC", 18, 21)], "{strategy}");
            assert!(found.iter().all(|entity| entity.score > 0.3 && entity.score <= 1.0), "{found:?}");
            // Longer than the network: read in pieces, and nothing is lost.
            let long = "the good fine was bad. ".repeat(12);
            let found = entities(&model, &long);
            assert!(found.iter().all(|entity| long[entity.start..entity.end] == entity.text), "{strategy}: {found:?}");
            assert!(found.iter().any(|entity| entity.start > long.len() * 3 / 4), "{strategy}: {found:?}");
            assert!(entities(&model, "the plot was very").is_empty());
        }
    }
}

#[test]
fn a_head_that_learns_by_descent_learns_from_kept_words() {
    let texts = tagged();
    let recipe = Recipe { head_solver: HeadSolver::Sgd, epochs: 12, ..quick(Strategy::Head) };
    let store = FeatureStore::new(texts.bench.folder.path().join("store"), 1 << 30);
    let once = texts.run(&recipe, "once", Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    let again = texts.run(&recipe, "again", Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    assert_eq!((once.frozen, again.frozen), (Frozen::Once, Frozen::Reused));
    assert_eq!(once.digest, again.digest);
    let (f1, losses) = (once.outcome.validation.get("entity_f1"), once.epochs.iter().map(|epoch| epoch.train_loss).collect::<Vec<_>>());
    assert!(f1 >= 0.5 && losses[11] < losses[0], "{f1} {losses:?}");
}

#[test]
fn a_killed_run_on_words_ends_with_the_same_weights() {
    let texts = tagged();
    for strategy in [Strategy::Full, Strategy::LpFt] {
        let recipe = quick(strategy);
        let whole = texts.fit(&recipe, &format!("{strategy} whole")).unwrap();
        let name = format!("{strategy} cut");
        let cut = texts.run(&recipe, &name, Keep::Scratch, &mut stop_after_epoch(2));
        assert!(matches!(cut, Err(Error::Cancelled)), "{strategy}");
        assert_eq!(texts.fit(&recipe, &name).unwrap().digest, whole.digest, "{strategy}");
    }
}

#[test]
fn a_result_is_a_token_classifier_of_transformers_and_measures_again() {
    let texts = tagged();
    let report = texts.fit(&Recipe { epochs: 10, ..quick(Strategy::Full) }, "full").unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_folder(&report, &Lineage { name: "ada/names".into(), ..Lineage::default() }, folder.path()).unwrap();
    let weights = Weights::load(&folder.path().join("model.safetensors")).unwrap();
    for name in ["bert.embeddings.word_embeddings.weight", "classifier.weight", "classifier.bias"] {
        assert!(weights.get(name).is_some(), "{name} is not under transformers' name");
    }
    assert!(weights.iter().all(|(name, _)| !name.contains("pooler")));
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], serde_json::json!(["BertForTokenClassification"]));
    assert_eq!((&config["id2label"]["0"], &config["label2id"]["I-PER"]), (&serde_json::json!("O"), &serde_json::json!(3)));
    let card = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(card.contains("token-classification") && card.contains("AutoModelForTokenClassification"), "{card}");
    assert!(card.contains("| PER |") && card.contains("entity F1"), "{card}");
    let model = texts.opened(&report);
    let measured = evaluate(&model, &report.config, &texts.bench.dataset, None, &mut |_| Control::Continue).unwrap();
    let (again, own) = (measured.evaluation, &report.outcome.validation);
    assert!((again.get("entity_f1") - own.get("entity_f1")).abs() < 0.02 && again.per_class.len() == own.per_class.len(), "{again:?}");
    let refused = model.embed(b"good").unwrap_err().to_string();
    assert!(refused.contains("no vector of a whole text"), "{refused}");
}

#[test]
fn words_behind_the_last_token_are_counted_and_told() {
    let texts = Texts::new(ARCHITECTURE, |data| {
        let mut text = conll(40, 3);
        text += &"the O\n".repeat(30);
        std::fs::write(data.join("train.conll"), text + "good B-PER\n").unwrap();
    });
    let mut said = String::new();
    let sink = &mut |event: Event| {
        if let Event::Log { message, .. } = event {
            said += &message;
        }
        Control::Continue
    };
    texts.run(&Recipe { epochs: 1, ..quick(Strategy::Head) }, "cut", Keep::Scratch, sink).unwrap();
    assert!(said.contains("9 words at the end of 1 text "), "{said}");
}

#[test]
fn a_tag_that_a_split_lacks_and_tags_of_no_scheme_are_named() {
    let lacks = Texts::new(ARCHITECTURE, |data| {
        std::fs::write(data.join("train.conll"), conll(30, 4).replace("bad NN B-LOC\n", "")).unwrap();
        std::fs::write(data.join("dev.conll"), conll(12, 5)).unwrap();
    });
    let report = lacks.fit(&Recipe { epochs: 1, ..quick(Strategy::Head) }, "lacks").unwrap();
    assert!(report.findings.iter().any(|finding| finding.contains("(B-LOC) have no training texts")), "{:?}", report.findings);

    let open = |rows: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.jsonl"), rows).unwrap();
        Dataset::open(&Source::Folder(folder.path().into()), &Limits::default())
    };
    let pos = open("{\"tokens\": [\"the\", \"plot\"], \"tags\": [\"DT\", \"NN\"]}\n").unwrap_err().to_string();
    assert!(pos.contains("`DT`, `NN` belong to no scheme"), "{pos}");
    let numbers = open("{\"tokens\": [\"the\", \"plot\"], \"ner_tags\": [0, 3]}\n").unwrap_err().to_string();
    assert!(numbers.contains("numbers without names"), "{numbers}");
    let uneven = "{\"tokens\": [\"good\"], \"labels\": [\"B-PER\"]}\n{\"tokens\": [\"the\", \"plot\"], \"labels\": [\"O\"]}\n{\"tokens\": [\"a\"], \"labels\": [\"O\"]}\n";
    let found = open(uneven).unwrap();
    assert_eq!((found.samples().len(), found.classes()), (2, &["O".to_owned(), "B-PER".to_owned()][..]));
    assert!(
        found.warnings.iter().any(|warning| warning.contains("have not as many tags as words (`train.jsonl:1`)")),
        "{:?}",
        found.warnings
    );
}

#[test]
fn what_belongs_to_classes_is_refused_and_a_tagger_is_a_base_of_others() {
    let texts = tagged();
    for (recipe, setting) in [
        (Recipe { label_smoothing: 0.1, ..quick(Strategy::Head) }, "label_smoothing"),
        (Recipe { shots: 4, ..quick(Strategy::Head) }, "shots"),
        (Recipe { strategy: Strategy::Contrast, ..quick(Strategy::Full) }, "strategy"),
    ] {
        let refused = texts.fit(&recipe, "refused").unwrap_err().to_string();
        assert!(refused.contains(setting), "{refused}");
    }
    let report = texts.fit(&Recipe { epochs: 2, ..quick(Strategy::Full) }, "tagger").unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_folder(&report, &Lineage::default(), folder.path()).unwrap();
    let classes = Texts::of_two_classes(&[("train", 12), ("val", 4)]);
    std::fs::copy(folder.path().join("model.safetensors"), classes.bench.weights()).unwrap();
    let classes = Texts { bench: Bench { config: report.config.clone(), ..classes.bench }, ..classes };
    let classified = classes.fit(&Recipe { epochs: 1, ..quick(Strategy::Head) }, "classified").unwrap();
    assert_eq!((classified.config.architecture.as_str(), classified.config.num_classes), (ARCHITECTURE, Some(2)));
    let again =
        Texts { bench: Bench { config: report.config, dataset: texts.bench.dataset.clone(), folder: classes.bench.folder }, ..classes };
    assert_eq!(again.fit(&Recipe { epochs: 1, ..quick(Strategy::Head) }, "again").unwrap().outcome.task(), Task::TokenClassification);
}
