//! Every strategy learns, says what it did, keeps below its boundary every bit, and ends with the same weights over a kill.

use hub::domain::recipe::{ClassWeights, HeadSolver, Norm, Sampling};
use hub::train::strategy::ENOUGH_ITEMS;

use super::*;

fn with(strategy: Strategy, epochs: u32) -> Recipe {
    let frozen_stages = usize::from(strategy == Strategy::Freeze) * 2;
    Recipe { strategy, frozen_stages, epochs, batch_size: 16, lr: 5e-3, head_lr: 1e-2, ..Recipe::default() }
}

fn values(weights: &Weights, name: &str) -> Vec<f32> {
    weights.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Features of random weights hardly vary, so that the probe's weights are large and so are the gradients behind them.
fn gentle(strategy: Strategy, epochs: u32) -> Recipe {
    Recipe { lr: 1e-4, clip_norm: 0.5, ..with(strategy, epochs) }
}

/// Names of a stage's tensors begin with one of these.
fn changed(bench: &Bench, report: &Report, stage: &str) -> bool {
    let base = Weights::load(&bench.weights()).unwrap();
    let names: Vec<String> = base.iter().map(|(name, _)| name.to_owned()).filter(|name| name.starts_with(stage)).collect();
    assert!(!names.is_empty(), "{stage}");
    names.iter().any(|name| values(&base, name) != values(&report.weights, name))
}

#[test]
fn the_probe_is_the_best_head_and_needs_no_epochs() {
    let bench = Bench::new("mobilenetv2_100", &[("train", 40), ("val", 20), ("test", 10)]);
    let probe = bench.fit(&with(Strategy::Head, 10), "probe").unwrap();
    let descended = bench.fit(&head(15), "descended").unwrap();
    assert_eq!((probe.epochs.len(), probe.outcome.best_epoch, probe.frozen), (1, 1, Frozen::Once));
    let (best, sgd) = (&probe.outcome.validation, &descended.outcome.validation);
    assert!(best.get("top1") >= sgd.get("top1") - 0.05 && best.loss < sgd.loss + 0.05, "{best:?} {sgd:?}");
    let probed = probe.probe.as_ref().unwrap();
    // What is published works on features as they are and answers as the probe did.
    assert!((probed.evaluation.loss - best.loss).abs() < 1e-4 && probed.evaluation.get("top1") == best.get("top1"));
    assert_eq!(probed.chosen_by, "folds of the training items");
    assert!(probe.published_probe() && probed.choice.is_none() && !changed(&bench, &probe, "conv_stem"));
    assert!(descended.probe.is_none());
}

#[test]
fn every_strategy_learns_above_its_boundary_and_nothing_below() {
    let bench = Bench::new(SMALL, &[("train", 24), ("val", 12)]);
    let tops = [Strategy::Full, Strategy::Freeze, Strategy::LpFt, Strategy::Gradual, Strategy::Scratch];
    for strategy in tops {
        let report = bench.fit(&gentle(strategy, 5), strategy.as_str()).unwrap();
        let kept = if strategy == Strategy::Freeze { 2 } else { 0 };
        assert_eq!((report.epochs.len(), report.kept_stages, report.stages), (5, kept, 8), "{strategy}");
        let from_probe = matches!(strategy, Strategy::LpFt | Strategy::Gradual);
        // What does not start from the probe is compared with it; random weights have none.
        assert_eq!(report.probe.is_some(), strategy != Strategy::Scratch, "{strategy}");
        let published = !report.published_probe();
        assert_eq!(changed(&bench, &report, "conv_head"), published, "{strategy}");
        // The best epoch of `gradual` may be one before the stem joined in.
        let all = matches!(strategy, Strategy::Full | Strategy::LpFt | Strategy::Scratch);
        assert!(changed(&bench, &report, "conv_stem") == (published && all) || strategy == Strategy::Gradual, "{strategy}");
        if let Some(probed) = report.probe.as_ref().filter(|_| from_probe) {
            let merit = |found: &hub::domain::evaluation::Evaluation| found.get("top1");
            assert!(merit(&report.outcome.validation) >= merit(&probed.evaluation), "{strategy} ends below the probe");
        }
    }
}

#[test]
fn a_killed_run_of_any_strategy_ends_with_the_same_weights() {
    let bench = Bench::new(SMALL, &[("train", 16), ("val", 8)]);
    let balanced = Recipe { sampling: Sampling::Balanced, layer_decay: 0.7, ..gentle(Strategy::LpFt, 4) };
    let frozen = Recipe { norm: Norm::Frozen, optimizer: Optimizer::Adamw, ..gentle(Strategy::Gradual, 6) };
    let by_descent = Recipe { head_solver: HeadSolver::Sgd, ..with(Strategy::Gradual, 7) };
    let recipes = [with(Strategy::Head, 3), balanced, gentle(Strategy::Gradual, 6), frozen, by_descent, with(Strategy::Scratch, 3)];
    // Before the first epoch, after it, in a later phase: each for two of them.
    for ((number, recipe), kill) in recipes.iter().enumerate().zip([0, 1, 3].into_iter().cycle()) {
        let whole = bench.fit(recipe, &format!("whole{number}")).unwrap();
        let name = format!("cut{number}-{kill}");
        let cut = bench.run(recipe, &name, &mut stop_after_epoch(kill));
        let resumed = if cut.is_err() { bench.fit(recipe, &name) } else { cut };
        assert_eq!(resumed.unwrap().digest, whole.digest, "{} killed after epoch {kill}", recipe.strategy);
    }
}

#[test]
fn auto_stays_at_the_probe_with_little_data_and_goes_on_with_more() {
    let bench = Bench::new("resnet18", &[("train", 20), ("val", 10)]);
    let mut words = Vec::new();
    let little = bench.run(&with(Strategy::Auto, 3), "little", &mut told(&mut words)).unwrap();
    let choice = little.probe.as_ref().unwrap().choice.clone().unwrap();
    assert!(choice.strategy == Strategy::Head && choice.why.contains("60 training items"), "{choice:?}");
    let words = words.join("\n");
    assert!(words.contains("auto chose `head`") && words.contains("the probe, the best head"), "{words}");

    let bench = Bench::new(SMALL, &[("train", ENOUGH_ITEMS.div_ceil(3)), ("val", 20)]);
    let quick = Recipe { batch_size: 64, ..gentle(Strategy::Auto, 2) };
    let folder = bench.scratch("folder");
    let more = bench.fit(&quick, "more").unwrap();
    let probed = more.probe.as_ref().unwrap();
    let choice = probed.choice.clone().unwrap();
    let (found, probe) = (more.outcome.validation.get("top1"), probed.evaluation.get("top1"));
    assert!(found >= probe, "auto ends at {found}, below its probe's {probe}");
    assert_eq!(more.epochs.len(), if choice.strategy == Strategy::LpFt { 2 } else { 1 }, "{choice:?}");
    let cut = bench.run(&quick, "cut", &mut stop_after_epoch(1));
    let again = if cut.is_err() { bench.fit(&quick, "cut") } else { cut };
    assert_eq!(again.unwrap().digest, more.digest);
    write_folder(&more, &Lineage { name: "a/b".into(), base: "a/c@1".into(), dataset: "a/d@1".into(), ..Lineage::default() }, &folder)
        .unwrap();
    let metrics: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["choice"]["strategy"], choice.strategy.as_str());
    assert!((metrics["probe"]["top1"].as_f64().unwrap() - probe).abs() < 1e-12, "{}", metrics["probe"]);
    let card = std::fs::read_to_string(folder.join("README.md")).unwrap();
    assert!(card.contains("the probe") && card.contains("The strategy `auto` chose"), "{card}");
}

#[test]
fn frozen_norms_keep_their_statistics_and_let_a_batch_be_one_image() {
    let bench = Bench::new("resnet18", &[("train", 10), ("val", 10)]);
    let alone = Recipe { norm: Norm::Frozen, batch_size: 1, lr: 1e-3, ..with(Strategy::LpFt, 1) };
    let report = bench.fit(&alone, "alone").unwrap();
    assert_eq!(report.epochs.len(), 1);
    let base = Weights::load(&bench.weights()).unwrap();
    assert_eq!(values(&base, "layer4.1.bn2.running_mean"), values(&report.weights, "layer4.1.bn2.running_mean"));
    let refused = bench.fit(&Recipe { norm: Norm::Batch, ..alone }, "refused");
    assert!(refused.as_ref().unwrap_err().to_string().contains("batch_size"), "{refused:?}");
}

/// A class of 200 and one of ten that hardly differ.
fn lopsided() -> Bench {
    let bench = Bench::new("resnet18", &[("val", 1)]);
    let data = bench.folder.path().join("lopsided");
    let mut random = ChaCha8Rng::seed_from_u64(9);
    for (split, class, count) in [("train", "many", 300), ("train", "few", 12), ("val", "many", 60), ("val", "few", 60)] {
        let folder = data.join(split).join(class);
        std::fs::create_dir_all(&folder).unwrap();
        for i in 0..count {
            let grey = if class == "many" { 110 } else { 125 };
            let image = RgbImage::from_fn(SIDE, SIDE, |_, _| Rgb([grey + random.random_range(0..90u8); 3]));
            image.save(folder.join(format!("{i:03}.png"))).unwrap();
        }
    }
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

#[test]
fn a_small_class_is_not_lost_where_classes_count_alike() {
    let bench = lopsided();
    // The features are the same in all of them.
    let store = FeatureStore::new(bench.folder.path().join("store"), 1 << 30);
    let f1 = |recipe: Recipe, name: &str| {
        let report = bench.run_kept(&recipe, name, Keep::Store(&store), &mut |_| Control::Continue).unwrap();
        report.outcome.validation.get("macro_f1")
    };
    let descend = Recipe { head_lr: 1e-4, ..head(2) };
    let plain = f1(descend.clone(), "plain");
    assert!(plain < 0.65, "a small class is lost where nothing is done: {plain}");
    let weighed = f1(Recipe { class_weights: ClassWeights::Balanced, head_lr: 1e-3, ..head(10) }, "weighed");
    let drawn = f1(Recipe { sampling: Sampling::Balanced, head_lr: 1e-3, ..head(10) }, "drawn");
    let solved = f1(Recipe { class_weights: ClassWeights::Balanced, ..with(Strategy::Head, 1) }, "solved");
    assert!(weighed > 0.75 && drawn > 0.75 && solved > 0.75, "{plain} {weighed} {drawn} {solved}");
}

#[test]
fn numbers_have_a_probe_too() {
    let bench = greys("resnet18", 90);
    let report = bench.fit(&with(Strategy::Auto, 3), "numbers").unwrap();
    let probed = report.probe.as_ref().unwrap();
    assert_eq!(probed.chosen_by, "leaving each item out in turn");
    assert!(report.outcome.validation.get("r2") > 0.8, "{:?}", report.outcome.validation);
    let huber = bench.fit(&Recipe { loss: Some(Loss::Huber), ..with(Strategy::Head, 3) }, "huber").unwrap();
    assert!(huber.outcome.validation.get("r2") > 0.8 && huber.probe.as_ref().unwrap().chosen_by.contains("folds"));
}

#[test]
fn class_means_are_a_head_that_needs_no_learning() {
    let bench = Bench::new("mobilenetv2_100", &[("train", 20), ("val", 20)]);
    let means = Recipe { head_solver: HeadSolver::NearestMean, ..with(Strategy::Head, 3) };
    let mut words = Vec::new();
    let report = bench.run(&means, "means", &mut told(&mut words)).unwrap();
    assert!(report.outcome.validation.get("top1") > 0.6, "{:?}", report.outcome.validation);
    assert!(words.iter().any(|word| word.contains("whose mean features are nearest")), "{words:?}");
    assert!(report.published_probe() && report.epochs.len() == 1 && !changed(&bench, &report, "conv_stem"));
    // Five of each class, and no rate, penalty or epoch to choose.
    let few = bench.fit(&Recipe { shots: 5, draws: 2, ..means.clone() }, "few").unwrap();
    assert_eq!((few.train_samples, few.rounds.draws.as_ref().unwrap().values.len()), (15, 2));
    let (base, published) = (Weights::load(&bench.weights()).unwrap(), &few.weights);
    let shapes = |weights: &Weights, name: &str| weights.get(name).unwrap().dims().to_vec();
    assert_eq!(shapes(published, "classifier.weight"), [3, shapes(&base, "classifier.weight")[1]], "a linear head as any other");
    let onwards = bench.fit(&Recipe { head_solver: HeadSolver::NearestMean, ..with(Strategy::LpFt, 2) }, "onwards").unwrap();
    assert!(onwards.probe.is_some() && onwards.epochs.len() == 2);
    let numbers = greys("resnet18", 30);
    let refused = numbers.fit(&means, "numbers").unwrap_err().to_string();
    assert!(refused.contains("head_solver") && refused.contains("convex"), "{refused}");
}
