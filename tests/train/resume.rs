//! Whatever is trained for and however: a run that is killed after any epoch ends with the weights of one that was left alone.

use std::fmt::Write as _;

use hub::domain::recipe::Unlabelled;

use super::*;

/// Colours by the bits of a number, in a table with this header and a line for each picture.
fn told_by_a_table(count: usize, header: &str, line: impl Fn(usize) -> String) -> Bench {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 1)]);
    let data = bench.folder.path().join("table");
    std::fs::create_dir_all(&data).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut table = format!("file_name,{header}\n");
    for n in 0..count {
        let on = [0, 1, 2].map(|bit| if n >> bit & 1 == 1 { 190 } else { 10 });
        let image = RgbImage::from_fn(SIDE, SIDE, |_, _| Rgb(on.map(|value| value + random.random_range(0..50u8))));
        image.save(data.join(format!("{n:03}.png"))).unwrap();
        writeln!(table, "{n:03}.png,{}", line(n)).unwrap();
    }
    std::fs::write(data.join("metadata.csv"), table).unwrap();
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

/// Three classes, and as many pictures again without one.
fn partly_unlabelled(architecture: &str) -> Bench {
    let bench = Bench::new(architecture, &[("train", 20), ("val", 4)]);
    let data = bench.folder.path().join("data");
    let mut random = ChaCha8Rng::seed_from_u64(21);
    std::fs::create_dir_all(data.join("unlabeled")).unwrap();
    for n in 0..24 {
        picture(n % 3, &mut random).save(data.join("unlabeled").join(format!("{n}.png"))).unwrap();
    }
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

/// Killed after each of these epochs, taken up again, and held against the run that was left alone.
fn survives(bench: &Bench, recipe: &Recipe, what: &str, kills: &[u32]) -> Report {
    let whole = bench.fit(recipe, &format!("{what} whole")).unwrap();
    for kill in kills {
        let name = format!("{what} {kill}");
        let cut = bench.run(recipe, &name, &mut stop_after_epoch(*kill));
        let resumed = if cut.is_err() { bench.fit(recipe, &name) } else { cut };
        let resumed = resumed.unwrap();
        assert_eq!(resumed.digest, whole.digest, "{what} killed after epoch {kill}");
        assert_eq!(resumed.found.verdict, whole.found.verdict, "{what} killed after epoch {kill}");
    }
    whole
}

fn quick(strategy: Strategy) -> Recipe {
    let frozen_stages = usize::from(strategy == Strategy::Freeze) * 2;
    Recipe { strategy, frozen_stages, epochs: 3, batch_size: 12, lr: 5e-3, ..Recipe::default() }
}

#[test]
fn a_killed_run_for_any_task_ends_with_the_same_weights_and_verdict() {
    let bit = |n: usize, bit: usize| n >> bit & 1 == 1;
    let named = move |n: usize| {
        ["red", "green", "blue"].into_iter().enumerate().filter(|(at, _)| bit(n, *at)).map(|(_, name)| name).collect::<Vec<_>>()
    };
    let benches = [
        ("labels", told_by_a_table(48, "labels", move |n| named(n).join(";"))),
        ("ranks", told_by_a_table(48, "label", |n| (n & 3).to_string())),
        ("numbers", told_by_a_table(48, "target_red,target_blue", |n| format!("{},{}", n & 1, 10 * (n >> 2 & 1) + n % 3))),
        (
            "heads",
            told_by_a_table(48, "label_red,target_blue", |n| {
                format!("{},{}", if n & 1 == 1 { "on" } else { "off" }, if n % 5 == 0 { String::new() } else { (n >> 2 & 1).to_string() })
            }),
        ),
    ];
    for (what, bench) in &benches {
        let task = (*what == "ranks").then_some(Task::Ordinal);
        for (strategy, kill) in [(Strategy::Full, 1), (Strategy::LpFt, 2)] {
            // Features of random weights hardly vary, so that the probe's weights are large and so are the gradients behind them.
            let recipe = Recipe { task, lr: 1e-4, clip_norm: 0.5, ..quick(strategy) };
            let report = survives(bench, &recipe, &format!("{what} {strategy}"), &[kill]);
            // Always the same answer, and the best head on the base's features.
            assert_eq!(report.found.verdict.len(), 2, "{what} {strategy}: {:?}", report.found.verdict);
            let probe = &report.found.verdict[1];
            let own = report.outcome.validation.primary();
            assert!((probe.own - own).abs() < 1e-12 && probe.other.is_finite() && !probe.sentence.is_empty(), "{probe:?}");
            assert_eq!(probe.sentence.contains("the probe is published"), report.published_probe(), "{what} {strategy}");
        }
    }
}

/// Of several labels and of numbers, what the test above leaves out: some stages, one after the other, and no base at all.
#[test]
fn a_killed_run_of_other_strategies_for_other_tasks_ends_with_the_same_weights() {
    let named = |n: usize| ["red", "green", "blue"].into_iter().enumerate().filter(move |(at, _)| n >> at & 1 == 1).map(|(_, name)| name);
    let benches = [
        ("labels", told_by_a_table(32, "labels", move |n| named(n).collect::<Vec<_>>().join(";"))),
        ("number", told_by_a_table(32, "target", |n| (10 * (n >> 2 & 1) + n % 3).to_string())),
    ];
    for (what, bench) in &benches {
        for (strategy, epochs, kill) in [(Strategy::Freeze, 2, 1), (Strategy::Gradual, 6, 2), (Strategy::Scratch, 2, 1)] {
            let recipe = Recipe { epochs, lr: 1e-4, head_lr: 1e-4, clip_norm: 0.5, ..quick(strategy) };
            survives(bench, &recipe, &format!("{what} {strategy}"), &[kill]);
        }
    }
}

#[test]
fn a_killed_run_of_strategies_that_start_from_a_new_head_ends_with_the_same_weights_and_verdict() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 14), ("val", 6)]);
    let still = Augment { crop_min_area: 1.0, horizontal_flip: false, ..Augment::default() };
    let recipes = [
        ("full", Recipe { optimizer: Optimizer::Adamw, lr: 1e-3, ema: 0.5, ..quick(Strategy::Full) }),
        ("freeze", quick(Strategy::Freeze)),
        ("freeze on kept features", Recipe { augment: still, ..quick(Strategy::Freeze) }),
        ("mirrored", Recipe { tta_flip: true, ..quick(Strategy::Full) }),
    ];
    for ((what, recipe), kill) in recipes.iter().zip([1, 2].into_iter().cycle()) {
        let report = survives(&bench, recipe, what, &[kill]);
        assert_eq!(report.found.verdict.len(), 2, "{what}");
        // What is only compared with changes nothing.
        let alone = bench.fit(&Recipe { compare_probe: false, ..recipe.clone() }, &format!("{what} alone")).unwrap();
        assert_eq!((alone.digest, alone.found.verdict.len(), alone.probe.is_none()), (report.digest, 1, true), "{what}");
    }
}

#[test]
fn a_killed_run_that_learns_from_pictures_without_a_class_ends_with_the_same_weights() {
    let bench = partly_unlabelled("resnet18");
    // Sure enough to learn from after an epoch or two.
    let supervised = Recipe { lr: 2e-2, head_lr: 2e-2, epochs: 4, ..quick(Strategy::Full) };
    let fixmatch = Recipe { unlabelled: Unlabelled::Fixmatch, confidence: 0.5, ..supervised.clone() };
    let whole = survives(&bench, &fixmatch, "fixmatch", &[2]);
    let without = bench.fit(&supervised, "without").unwrap();
    assert_ne!(whole.digest, without.digest);
    let pseudo = Recipe { unlabelled: Unlabelled::Pseudo, confidence: 0.5, lr: 1e-4, clip_norm: 0.5, ..quick(Strategy::LpFt) };
    survives(&partly_unlabelled(SMALL), &pseudo, "pseudo", &[1]);
}

#[test]
fn rates_are_looked_for_once_and_the_same_over_a_kill() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 20), ("val", 6)]);
    let recipe = Recipe { find_lr: true, epochs: 6, ..quick(Strategy::Full) };
    let whole = survives(&bench, &recipe, "found", &[0, 4]);
    let rate = whole.found.rate.clone().unwrap();
    assert!(rate.found && rate.curve.len() >= 10 && rate.curve.windows(2).all(|pair| pair[0].0 < pair[1].0), "{rate:?}");
    assert!((rate.head_lr / rate.lr - recipe.head_lr / recipe.lr).abs() < 1e-6, "{rate:?}");
    assert!(whole.epochs.iter().all(|epoch| epoch.lr <= rate.head_lr * 1.000_001), "{:?}", whole.epochs);
    // The same rates by hand give the same weights.
    let by_hand = bench.fit(&Recipe { find_lr: false, lr: rate.lr, head_lr: rate.head_lr, ..recipe.clone() }, "by hand").unwrap();
    assert!(
        (by_hand.epochs[0].train_loss - whole.epochs[0].train_loss).abs() < 1e-4 * whole.epochs[0].train_loss,
        "the test left the weights alone"
    );
    let head = Recipe { strategy: Strategy::Head, head_solver: HeadSolver::Sgd, ..recipe.clone() };
    let report = survives(&bench, &head, "head", &[1]);
    let rate = report.found.rate.unwrap();
    assert!(rate.found && rate.head_lr > 1e-4, "the range is that of the head where nothing else learns: {rate:?}");
    let solved = bench.fit(&Recipe { strategy: Strategy::Auto, ..recipe }, "solved").unwrap();
    assert!(solved.found.rate.is_none(), "a head that is solved for takes no rate");
}

/// Stops at the so many-th thing that is told, whatever it is.
fn stop_at(last: usize) -> impl FnMut(Event) -> Control {
    let mut told = 0;
    move |_| {
        told += 1;
        if told >= last { Control::Stop } else { Control::Continue }
    }
}

/// Good pictures to learn, and others to test on.
fn parts() -> Bench {
    let bench = Bench::new(SMALL, &[("train", 1)]);
    let data = bench.folder.path().join("parts");
    let mut random = ChaCha8Rng::seed_from_u64(17);
    for (folder, class, count) in [("train/good", 0, 24), ("test/good", 0, 6), ("test/striped", 1, 6)] {
        std::fs::create_dir_all(data.join(folder)).unwrap();
        for n in 0..count {
            picture(class, &mut random).save(data.join(folder).join(format!("{n}.png"))).unwrap();
        }
    }
    let dataset = Dataset::open(&Source::Folder(data), &Limits::default()).unwrap();
    Bench { dataset: Arc::new(dataset), ..bench }
}

#[test]
fn a_run_that_is_killed_anywhere_ends_as_one_that_was_left_alone() {
    let (shapes, parts) = (Bench::new(SMALL, &[("train", 14), ("val", 6)]), parts());
    let probe = Recipe { batch_size: 12, ..Recipe::default() };
    let runs = [
        ("auto", &shapes, probe.clone()),
        ("draws", &shapes, Recipe { shots: 5, draws: 3, epochs: 2, batch_size: 5, ..quick(Strategy::Full) }),
        ("means", &shapes, Recipe { head_solver: HeadSolver::NearestMean, ..probe.clone() }),
        // Three runs one after the other: the head on the base's features, the backbone, the head on what became of them.
        ("contrast", &shapes, Recipe { shots: 5, ..quick(Strategy::Contrast) }),
        ("anomalies", &parts, Recipe { false_alarms: 0.2, ..probe }),
    ];
    let mut random = ChaCha8Rng::seed_from_u64(31);
    for (what, bench, recipe) in &runs {
        let mut events = 0;
        let mut count = |_| {
            events += 1;
            Control::Continue
        };
        let whole = bench.run(recipe, &format!("{what} whole"), &mut count).unwrap();
        for round in 0..3 {
            let (name, at) = (format!("{what} {round}"), random.random_range(1..=events));
            let cut = bench.run(recipe, &name, &mut stop_at(at));
            // How often progress is told hangs on the clock, so that it may have come to its end.
            assert!(matches!(cut, Ok(_) | Err(Error::Cancelled)), "{what} killed at event {at} of {events}: {:?}", cut.err());
            let resumed = if cut.is_err() { bench.fit(recipe, &name) } else { cut };
            let resumed = resumed.unwrap();
            let said = format!("{what} killed at event {at} of {events}");
            assert_eq!(resumed.digest, whole.digest, "{said}");
            assert_eq!(resumed.rounds, whole.rounds, "{said}");
            assert_eq!(resumed.found.verdict, whole.found.verdict, "{said}");
            let tested = |report: &Report| report.outcome.test.as_ref().map(|test| test.primary());
            assert_eq!(tested(&resumed), tested(&whole), "{said}");
        }
    }
}

/// Whatever is taught before its head is found is taken up where it was left: in the first run, in the second, in the third, and more
/// than once.
#[test]
fn a_run_of_pairs_that_is_killed_again_and_again_ends_with_the_same_weights() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 8), ("val", 4)]);
    let recipe = Recipe { shots: 4, epochs: 2, batch_size: 6, ..quick(Strategy::Contrast) };
    let mut events = 0;
    let mut count = |_| {
        events += 1;
        Control::Continue
    };
    let whole = bench.run(&recipe, "pairs whole", &mut count).unwrap();
    assert!(whole.rounds.contrast.as_ref().is_some_and(|contrast| contrast.epochs > 2), "{:?}", whole.rounds);
    let mut random = ChaCha8Rng::seed_from_u64(53);
    for round in 0..3 {
        let name = format!("pairs {round}");
        let cuts: Vec<usize> = (0..3).map(|_| random.random_range(1..=events)).collect();
        let mut ended = None;
        for at in &cuts {
            match bench.run(&recipe, &name, &mut stop_at(*at)) {
                Ok(report) => ended = Some(report),
                Err(Error::Cancelled) => {}
                Err(error) => panic!("pairs killed at {cuts:?} of {events}: {error}"),
            }
        }
        let ended = ended.unwrap_or_else(|| bench.fit(&recipe, &name).unwrap());
        assert_eq!(ended.digest, whole.digest, "pairs killed at {cuts:?} of {events}");
        assert_eq!(ended.rounds, whole.rounds, "pairs killed at {cuts:?} of {events}");
        assert_eq!(ended.found.verdict, whole.found.verdict, "pairs killed at {cuts:?} of {events}");
    }
}
