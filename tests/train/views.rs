//! Random views and mixtures: runs on them repeat themselves, and what cannot be mixed is refused.

use hub::domain::recipe::Policy;

use super::*;

#[test]
fn runs_on_changed_and_mixed_images_repeat_themselves_over_a_resume() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 16), ("val", 4)]);
    let augment =
        Augment { policy: Policy::TrivialAugment, brightness: 0.3, hue: 0.1, erase: 0.3, mixup: 0.4, cutmix: 1.0, ..Augment::default() };
    let recipe = Recipe { augment: augment.clone(), ..full(3) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(2)), Err(Error::Cancelled)));
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
    for without in [Augment { mixup: 0.0, cutmix: 0.0, ..augment.clone() }, Augment { policy: Policy::None, ..augment.clone() }] {
        let other = bench.fit(&Recipe { augment: without.clone(), ..recipe.clone() }, &format!("{without:?}")).unwrap();
        assert_ne!(other.digest, whole.digest);
    }
}

#[test]
fn a_head_learns_from_changed_views_and_refuses_mixtures() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 8), ("val", 4)]);
    let augment = Augment { policy: Policy::RandAugment, views: 2, ..Augment::default() };
    let changed = bench.fit(&Recipe { augment, ..head(4) }, "changed").unwrap();
    let plain = bench.fit(&Recipe { augment: Augment { views: 2, ..Augment::default() }, ..head(4) }, "plain").unwrap();
    assert_ne!(changed.digest, plain.digest);
    let augment = Augment { mixup: 0.2, ..Augment::default() };
    let refused = bench.fit(&Recipe { augment, ..head(1) }, "mixed").unwrap_err();
    assert!(refused.to_string().contains("mixup") && refused.code() == "recipe", "{refused}");
}

#[test]
fn frozen_stages_are_run_anew_where_images_are_mixed_and_numbers_are_mixed_too() {
    let bench = greys("mobilenetv3_small_050", 24);
    let augment = Augment { crop_min_area: 1.0, horizontal_flip: false, mixup: 0.4, ..Augment::default() };
    let recipe = Recipe { augment, frozen_stages: 2, ..full(3) };
    let mut said = Vec::new();
    let report = bench.run(&recipe, "mixed", &mut told(&mut said)).unwrap();
    assert_eq!(report.frozen, Frozen::EachEpoch);
    assert!(said.iter().any(|line| line.contains("mixed anew")), "{said:?}");
    assert!(report.epochs.iter().all(|epoch| epoch.train_loss.is_finite()));
}
