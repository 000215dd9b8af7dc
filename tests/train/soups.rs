//! Averages of results of one base: two that went astray in opposite directions are better together.

use super::*;
use hub::train::soup::{Ingredient, of_trials};

/// A copy whose head is moved by so many times the numbers.
fn moved(weights: &Weights, by: &[f32], times: f32) -> Weights {
    let mut copy = Weights::default();
    for (name, var) in weights.iter() {
        let tensor = var.as_tensor();
        let tensor = match name {
            "classifier.bias" => {
                (tensor + Tensor::from_slice(by, by.len(), &Device::Cpu).unwrap().affine(f64::from(times), 0.0).unwrap()).unwrap()
            }
            _ => tensor.copy().unwrap(),
        };
        copy.insert(name.to_owned(), candle_core::Var::from_tensor(&tensor).unwrap());
    }
    copy
}

#[test]
fn an_average_that_is_better_is_measured_anew_and_reported() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 20), ("val", 10)]);
    let recipe = Recipe { head_solver: HeadSolver::Convex, ..head(1) };
    let good = bench.fit(&recipe, "good").unwrap();
    let merit = good.outcome.validation.primary();
    assert!(merit > 0.5, "{merit}");
    // One says always the first class, one always the last; their average is what they were made of.
    let far = [1e3, 0.0, -1e3];
    let alone = 1.0 / 3.0;
    let ingredient = |name: &str, times| Ingredient { name: name.into(), weights: moved(&good.weights, &far, times), merit: alone };
    let weights = bench.weights();
    let training = Training {
        recipe: &recipe,
        config: &bench.config,
        weights: &weights,
        beside: &[],
        dataset: &bench.dataset,
        device: &Device::Cpu,
        scratch: &bench.scratch("soup"),
        keep: Keep::Scratch,
        resume: None,
    };
    let both = vec![ingredient("one", 1.0), ingredient("other", -1.0)];
    let (averaged, report) = of_trials(&training, both, good.epochs.clone(), &mut |_| Control::Continue).unwrap();
    assert_eq!((averaged.members.len(), averaged.alone), (2, alone));
    assert!((averaged.reached - merit).abs() < 1e-9, "{averaged:?} {merit}");
    let report = report.expect("the average is better");
    assert!((report.outcome.validation.primary() - merit).abs() < 1e-9);
    assert_eq!(report.rounds.soup.as_ref(), Some(&averaged));
    assert_eq!(report.kept_stages, report.stages, "only heads differ from the base");
    let lineage = Lineage { name: "a/b".into(), base: "library/tiny@1".into(), dataset: "a/d@1".into(), ..Lineage::default() };
    let out = bench.folder.path().join("out");
    write_folder(&report, &lineage, &out).unwrap();
    assert!(std::fs::read_to_string(out.join("README.md")).unwrap().contains("The weights are the average of"));
    assert!(Predictor::load(&out, &Device::Cpu).is_ok());

    // The same trial twice: no better than alone.
    let twice = vec![ingredient("one", 1.0), ingredient("again", 1.0)];
    let (averaged, report) = of_trials(&training, twice, good.epochs, &mut |_| Control::Continue).unwrap();
    assert!(report.is_none() && averaged.reached == averaged.alone, "{averaged:?}");
}
