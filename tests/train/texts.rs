//! Fine-tunes of a small text encoder on a few words: every strategy learns, kept tokens and tokens worked out anew come to the same,
//! a killed run ends with the same bits, pairs are compared, and what belongs to pictures is refused.

use hub::domain::modality::Modality;
use serde_json::json;

use super::*;

const WORDS: [&str; 16] =
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "fine", "poor", "film", "the", "a", "was", "plot", "very", "and", "."];
pub const ARCHITECTURE: &str = "bert_l2_d16_h2_f24_v16_p24_t2_e12";

/// A tokenizer of whole words.
fn tokenizer() -> String {
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let token = |id: usize| json!({"id": WORDS[id], "ids": [id], "tokens": [WORDS[id]]});
    let piece = |word: &str| json!({"SpecialToken": {"id": word, "type_id": 0}});
    let text = |which: &str, kind: usize| json!({"Sequence": {"id": which, "type_id": kind}});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]"), text("A", 0), piece("[SEP]")],
            "pair": [piece("[CLS]"), text("A", 0), piece("[SEP]"), text("B", 1), piece("[SEP]")],
            "special_tokens": {"[CLS]": token(2), "[SEP]": token(3)}
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary}
    })
    .to_string()
}

/// A base of random weights with its tokenizer, and texts.
pub struct Texts {
    pub bench: Bench,
    pub beside: Vec<(&'static str, PathBuf)>,
}

/// Words of no meaning, so many of them.
fn filling(count: usize, random: &mut impl Rng) -> String {
    (0..count).map(|_| WORDS[random.random_range(8..15)]).collect::<Vec<_>>().join(" ")
}

impl Texts {
    pub fn new(architecture: &str, write: impl FnOnce(&Path)) -> Texts {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        write(&data);
        Weights::random(architecture, 0, 3).unwrap().save(&folder.path().join("base.safetensors"), &[]).unwrap();
        let beside = vec![("tokenizer.json", folder.path().join("tokenizer.json"))];
        std::fs::write(&beside[0].1, tokenizer()).unwrap();
        let config = ModelConfig::read(&json!({"architecture": architecture, "num_classes": 0}).to_string()).unwrap();
        let dataset = Arc::new(Dataset::open(&Source::Folder(data), &Limits::default()).unwrap());
        assert_eq!(dataset.modality.name(), Modality::Text);
        Texts { bench: Bench { folder, config, dataset }, beside }
    }

    /// Two classes that words tell, in texts of unequal length.
    pub fn of_two_classes(splits: &[(&str, usize)]) -> Texts {
        Texts::new(ARCHITECTURE, |data| {
            let mut random = ChaCha8Rng::seed_from_u64(5);
            for (split, count) in splits {
                for (class, own) in [("neg", ["bad", "poor"]), ("pos", ["good", "fine"])] {
                    let folder = data.join(split).join(class);
                    std::fs::create_dir_all(&folder).unwrap();
                    for n in 0..*count {
                        let said = (0..random.random_range(2..7)).map(|at| format!("{} {}", own[(n + at) % 2], filling(1, &mut random)));
                        let said = said.collect::<Vec<_>>().join(" ");
                        std::fs::write(folder.join(format!("{n}.txt")), format!("{said} {n}.")).unwrap();
                    }
                }
            }
        })
    }

    pub fn run(&self, recipe: &Recipe, name: &str, keep: Keep, sink: &mut dyn FnMut(Event) -> Control) -> Result<Report, Error> {
        let scratch = self.bench.scratch(name);
        let checkpoint = scratch.join("checkpoint.safetensors");
        let (weights, resume) = (self.bench.weights(), checkpoint.exists().then_some(checkpoint.as_path()));
        let training = Training {
            recipe,
            config: &self.bench.config,
            weights: &weights,
            beside: &self.beside,
            dataset: &self.bench.dataset,
            device: &Device::Cpu,
            scratch: &scratch,
            keep,
            resume,
        };
        fit(&training, sink)
    }

    pub fn fit(&self, recipe: &Recipe, name: &str) -> Result<Report, Error> {
        self.run(recipe, name, Keep::Scratch, &mut |_| Control::Continue)
    }

    /// The published folder, opened.
    pub fn opened(&self, report: &Report) -> Predictor {
        let folder = tempfile::tempdir().unwrap();
        write_folder(report, &Lineage { name: "ada/words".into(), base: "ada/tiny@1".into(), ..Lineage::default() }, folder.path())
            .unwrap();
        std::fs::copy(&self.beside[0].1, folder.path().join("tokenizer.json")).unwrap();
        Predictor::load(folder.path(), &Device::Cpu).unwrap()
    }
}

/// Rates for a network so small and so new.
pub fn quick(strategy: Strategy) -> Recipe {
    let frozen_stages = usize::from(strategy == Strategy::Freeze) * 2;
    Recipe {
        strategy,
        frozen_stages,
        epochs: 4,
        batch_size: 8,
        lr: 2e-3,
        head_lr: 2e-2,
        compare_probe: false,
        ..Recipe::usual(Modality::Text)
    }
}

#[test]
fn every_strategy_learns_and_its_folder_answers() {
    let texts = Texts::of_two_classes(&[("train", 32), ("val", 12)]);
    for strategy in Strategy::ALL {
        let report = texts.fit(&quick(strategy), strategy.as_str()).unwrap();
        let top1 = report.outcome.validation.get("top1");
        let least = if strategy == Strategy::Scratch { 0.5 } else { 0.8 };
        assert!(top1 >= least, "{strategy}: {top1}");
        let told = texts.opened(&report).predict(b"good film fine plot good the", 1).unwrap();
        if top1 > 0.95 {
            assert_eq!(told.answer.classes()[0].label, "pos", "{strategy}");
        }
        if strategy == Strategy::Contrast {
            assert!(report.rounds.contrast.is_some_and(|contrast| contrast.epochs >= 8));
        }
    }
}

#[test]
fn tokens_that_were_kept_teach_what_tokens_worked_out_anew_do() {
    let sets = [(Texts::of_two_classes(&[("train", 24), ("val", 6)]), "classes"), (pairs(24), "pairs"), (words::tagged(), "words")];
    for (texts, of) in sets {
        kept_as_anew(&texts, of);
    }
}

fn kept_as_anew(texts: &Texts, of: &str) {
    let recipe = quick(Strategy::Freeze);
    let store = FeatureStore::new(texts.bench.folder.path().join("store"), 1 << 30);
    let kept = texts.run(&recipe, "kept", Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    let again = texts.run(&recipe, "again", Keep::Store(&store), &mut |_| Control::Continue).unwrap();
    let anew = texts.run(&recipe, "anew", Keep::Nowhere, &mut |_| Control::Continue).unwrap();
    assert_eq!((kept.frozen, again.frozen, anew.frozen), (Frozen::Once, Frozen::Reused, Frozen::EachEpoch), "{of}");
    assert_eq!(kept.digest, again.digest, "{of}");
    for (a, b) in kept.epochs.iter().zip(&anew.epochs) {
        assert!((a.train_loss - b.train_loss).abs() < 5e-3, "{of}: {} {}", a.train_loss, b.train_loss);
    }
}

#[test]
fn a_killed_run_on_texts_ends_with_the_same_weights() {
    let texts = Texts::of_two_classes(&[("train", 20), ("val", 6)]);
    for strategy in [Strategy::Full, Strategy::Freeze, Strategy::Lora] {
        let recipe = quick(strategy);
        let whole = texts.fit(&recipe, &format!("{strategy} whole")).unwrap();
        for kill in [1, 3] {
            let name = format!("{strategy} {kill}");
            let cut = texts.run(&recipe, &name, Keep::Scratch, &mut stop_after_epoch(kill));
            assert!(matches!(cut, Err(Error::Cancelled)), "{strategy} {kill}");
            assert_eq!(texts.fit(&recipe, &name).unwrap().digest, whole.digest, "{strategy} killed after epoch {kill}");
        }
    }
}

/// Pairs of which those with a word in common are alike.
fn pairs(count: usize) -> Texts {
    Texts::new(ARCHITECTURE, |data| {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        for (split, count) in [("train", count), ("val", count / 2)] {
            let mut table = "sentence1,sentence2,score\n".to_owned();
            for n in 0..count {
                let (first, second) = (["good", "bad"][n % 2], ["good", "bad"][n / 2 % 2]);
                let score = if first == second { 4.5 } else { 0.25 };
                let of = |word: &str, random: &mut ChaCha8Rng| format!("{word} {} {n}", filling(2 + n % 3, random));
                table += &format!("{},{},{score}\n", of(first, &mut random), of(second, &mut random));
            }
            std::fs::write(data.join(format!("{split}.csv")), table).unwrap();
        }
    })
}

#[test]
fn a_killed_run_on_pairs_and_of_other_strategies_ends_with_the_same_weights() {
    let (classes, pairs) = (Texts::of_two_classes(&[("train", 16), ("val", 6)]), pairs(24));
    let ranking = Recipe { loss: Some(Loss::Ranking), task: Some(Task::Similarity), ..quick(Strategy::Full) };
    let runs = [
        ("by layers", &classes, quick(Strategy::Gradual)),
        ("from the probe", &classes, quick(Strategy::LpFt)),
        ("from nothing", &classes, quick(Strategy::Scratch)),
        ("compared", &pairs, quick(Strategy::Full)),
        ("ranked", &pairs, ranking),
        ("read as one", &pairs, Recipe { task: Some(Task::Regression), ..quick(Strategy::Full) }),
    ];
    for (what, texts, recipe) in &runs {
        let whole = texts.fit(recipe, &format!("{what} whole")).unwrap();
        let name = format!("{what} cut");
        let cut = texts.run(recipe, &name, Keep::Scratch, &mut stop_after_epoch(2));
        let resumed = if cut.is_err() { texts.fit(recipe, &name) } else { cut };
        assert_eq!(resumed.unwrap().digest, whole.digest, "{what} killed after epoch 2");
    }
}

#[test]
fn pairs_with_a_score_are_compared_and_those_who_ask_are_told() {
    let texts = pairs(48);
    let report = texts.fit(&Recipe { epochs: 8, ..quick(Strategy::Auto) }, "pairs").unwrap();
    assert_eq!(report.outcome.task(), Task::Similarity);
    assert!(report.outcome.validation.get("spearman") > 0.5, "{:?}", report.outcome.validation);
    assert_eq!((report.config.num_classes, report.published_probe()), (Some(0), false));
    let model = texts.opened(&report);
    let told = |first: &str, second: &str| {
        let Answer::Values(values) = model.predict(&hub::data::text::pair(first.as_bytes(), second.as_bytes()), 1).unwrap().answer else {
            panic!("no value")
        };
        values[0].value
    };
    assert!(told("good film", "the good plot") > told("good film", "the bad plot"));
    let single = model.predict(b"good film", 1).unwrap_err().to_string();
    assert!(single.contains("two texts are compared"), "{single}");
    assert!(model.embed(b"good film").is_ok(), "and it still has features of one");
    let refused = texts.fit(&quick(Strategy::Head), "head").unwrap_err().to_string();
    assert!(refused.contains("strategy") && refused.contains("compared"), "{refused}");
}

#[test]
fn pairs_are_told_from_those_of_others_or_read_as_one() {
    let texts = pairs(32);
    let ranked = texts.fit(&Recipe { loss: Some(Loss::Ranking), task: Some(Task::Similarity), ..quick(Strategy::Full) }, "ranked").unwrap();
    let losses: Vec<f64> = ranked.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses.iter().all(|loss| loss.is_finite()) && losses[3] < losses[0] + 0.05, "{losses:?}");
    let one = texts.fit(&Recipe { task: Some(Task::Regression), ..quick(Strategy::Full) }, "one").unwrap();
    assert_eq!((one.outcome.task(), one.config.num_classes), (Task::Regression, Some(1)));
    let model = texts.opened(&one);
    assert!(model.predict(&hub::data::text::pair(b"good", b"bad"), 1).is_ok());
}

#[test]
fn what_belongs_to_pictures_is_refused_by_name() {
    let texts = Texts::of_two_classes(&[("train", 12)]);
    let refused = |recipe: Recipe| texts.fit(&recipe, "refused").unwrap_err().to_string();
    let usual = Recipe::usual(Modality::Text);
    let mut flipped = usual.clone();
    flipped.augment.horizontal_flip = true;
    assert!(refused(flipped).contains("horizontal_flip"));
    assert!(refused(Recipe { tta_flip: true, ..usual.clone() }).contains("tta_flip"));
    assert!(refused(Recipe::default()).contains("settings are those for images"));
    let without = Texts { beside: Vec::new(), ..texts };
    assert!(without.fit(&usual, "bare").unwrap_err().to_string().contains("tokenizer.json"));
}

#[test]
fn a_sequence_classifier_stays_one() {
    let architecture = format!("{ARCHITECTURE}_c1");
    let texts = Texts::of_two_classes(&[("train", 16), ("val", 4)]);
    Weights::random(&architecture, 3, 3).unwrap().save(&texts.bench.weights(), &[]).unwrap();
    let config = ModelConfig::read(&json!({"architecture": architecture, "num_classes": 3}).to_string()).unwrap();
    let texts = Texts { bench: Bench { config, ..texts.bench }, ..texts };
    let report = texts.fit(&quick(Strategy::Full), "classifier").unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_folder(&report, &Lineage::default(), folder.path()).unwrap();
    let weights = Weights::load(&folder.path().join("model.safetensors")).unwrap();
    for name in ["bert.embeddings.word_embeddings.weight", "bert.pooler.dense.bias", "classifier.weight"] {
        assert!(weights.get(name).is_some(), "{name} is not under transformers' name");
    }
    let config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["id2label"], &config["label2id"]["pos"]), (&json!({"0": "neg", "1": "pos"}), &json!(1)));
    let card = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(card.contains("AutoModelForSequenceClassification") && card.contains("texts") && !card.contains("photo.jpg"), "{card}");
    assert!(texts.opened(&report).predict(b"good film", 1).is_ok());
}

#[test]
fn a_prompt_of_the_config_stands_before_what_is_predicted() {
    let texts = Texts::of_two_classes(&[("train", 16), ("val", 4)]);
    let config = json!({
        "architecture": ARCHITECTURE, "num_classes": 0,
        "sentence_transformers": {"pooling": "mean", "prompts": {"bad": "bad poor ", "none": ""}}
    });
    let bench = Bench { config: ModelConfig::read(&config.to_string()).unwrap(), ..texts.bench };
    let texts = Texts { bench, ..texts };
    let report = texts.fit(&quick(Strategy::Head), "prompted").unwrap();
    let model = texts.opened(&report);
    let plain = |text: &str| model.predict(text.as_bytes(), 2).unwrap();
    let with = |name: &str| model.predict_prompted(&["good film"], 2, model.prompt_of(name).unwrap()).unwrap().remove(0).unwrap();
    assert_eq!(with("bad").answer, plain("bad poor good film").answer);
    assert_eq!(with("none").answer, plain("good film").answer);
    assert_ne!(with("bad").answer, with("none").answer);
}

#[test]
fn pairs_without_a_score_belong_together() {
    let texts = Texts::new(ARCHITECTURE, |data| {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        for (split, count) in [("train", 48), ("val", 16)] {
            let mut table = "anchor\tpositive\n".to_owned();
            for n in 0..count {
                let word = ["good", "bad", "fine", "poor"][n % 4];
                table += &format!("{word} {} {n}\t{word} {} {n}\n", filling(2, &mut random), filling(3, &mut random));
            }
            std::fs::write(data.join(format!("{split}.tsv")), table).unwrap();
        }
    });
    assert!(texts.bench.dataset.warnings.iter().any(|warning| warning.contains("are pairs without a score")));
    let report = texts.fit(&Recipe { epochs: 6, ..quick(Strategy::Full) }, "partners").unwrap();
    assert_eq!(report.outcome.task(), Task::Similarity);
    let losses: Vec<f64> = report.epochs.iter().map(|epoch| epoch.train_loss).collect();
    assert!(losses.iter().all(|loss| loss.is_finite()) && losses[5] < losses[0] + 0.05, "{losses:?}");
    let refused = texts.fit(&Recipe { loss: Some(Loss::Cosine), ..quick(Strategy::Full) }, "cosine").unwrap_err().to_string();
    assert!(refused.contains("set loss to ranking"), "{refused}");
}
