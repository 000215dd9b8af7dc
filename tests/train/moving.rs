//! How weights move: schedules, accumulation, clipping, moving averages.

use super::*;

/// All weights of two results, beside each other: the largest difference.
fn apart(a: &Report, b: &Report) -> f32 {
    let values = |report: &Report, name: &str| report.weights.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let differences = |name: &str| values(a, name).into_iter().zip(values(b, name)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    a.weights.iter().map(|(name, _)| differences(name)).fold(0.0, f32::max)
}

#[test]
fn batches_that_make_one_step_are_as_good_as_one_larger_batch() {
    let bench = Bench::sized("convnext_atto", &[("train", 8), ("val", 2)], 32);
    let large = Recipe { batch_size: 8, warmup: 0.4, ..full(2) };
    let small = Recipe { batch_size: 4, accumulate: 2, ..large.clone() };
    let (large, small) = (bench.fit(&large, "large").unwrap(), bench.fit(&small, "small").unwrap());
    let without = bench.fit(&Recipe { batch_size: 4, warmup: 0.4, ..full(2) }, "without").unwrap();
    assert!(apart(&large, &small) < 1e-4, "{}", apart(&large, &small));
    assert!(apart(&large, &without) > 1e-3, "{}", apart(&large, &without));
    // Five batches of three and of two: the last step is made of one.
    let odd = Recipe { batch_size: 5, accumulate: 2, ..full(1) };
    assert_eq!(bench.fit(&odd, "odd").unwrap().epochs.len(), 1);
}

#[test]
fn averaged_weights_are_what_is_measured_and_published_also_over_a_resume() {
    let bench = Bench::new(SMALL, &[("train", 24), ("val", 8)]);
    let recipe = Recipe { ema: 0.8, clip_norm: 0.5, accumulate: 2, schedule: Schedule::OneCycle, ..full(4) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    let best = &whole.epochs[whole.outcome.best_epoch as usize - 1];
    assert!((whole.outcome.validation.loss - best.val_loss).abs() < 1e-6, "what was measured is what is published");
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(2)), Err(Error::Cancelled)));
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
    let without = bench.fit(&Recipe { ema: 0.0, ..recipe }, "without").unwrap();
    // The same weights moved in the first epoch; only what is measured differs.
    assert_eq!(without.epochs[0].train_loss, whole.epochs[0].train_loss);
    assert_eq!(without.epochs[3].train_loss, whole.epochs[3].train_loss);
    assert_ne!(without.epochs[0].val_loss, whole.epochs[0].val_loss);
    let variance = "blocks.5.0.bn1.running_var";
    let values = |report: &Report| report.weights.get(variance).unwrap().to_vec1::<f32>().unwrap();
    assert_ne!(values(&without), values(&whole), "buffers are averaged, too");
}

#[test]
fn each_schedule_tells_its_rates() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 4), ("val", 2)]);
    let rates = |schedule| -> Vec<f64> {
        let recipe = Recipe { schedule, batch_size: 12, warmup: 0.0, head_lr: 1.0, ..head(10) };
        bench.fit(&recipe, &format!("{schedule:?}")).unwrap().epochs.iter().map(|epoch| epoch.lr).collect()
    };
    assert_eq!(rates(Schedule::Constant), [1.0; 10]);
    let steps = rates(Schedule::Step);
    assert!((steps[2] - 1.0).abs() < 1e-12 && (steps[3] - 0.1).abs() < 1e-12 && (steps[9] - 1e-3).abs() < 1e-12, "{steps:?}");
    let cycle = rates(Schedule::OneCycle);
    assert!((cycle[2] - 1.0).abs() < 1e-12 && cycle[0] < 0.05 && cycle[9] < 1e-5, "{cycle:?}");
}
