//! One view of two classes, worked out by hand, for each head that finds objects.

use candle_core::{Device, Var};

use super::*;

fn task() -> Detection {
    of_head("fcos")
}

fn of_head(head: &str) -> Detection {
    Detection::new(&["cat".to_owned(), "dog".to_owned()], Some(head))
}

/// A dog on a view of 32 pixels, of an image twice as large.
fn target() -> Target {
    let object = Boxed { class: 1, bbox: [4.0, 4.0, 16.0, 16.0], area: 1024.0, crowd: false };
    Target::Boxes(Boxes::new(vec![object], [32, 32], [64, 64]))
}

/// Rows that say there is a dog around the middle of the sixth place, one stride each way.
fn rows() -> Vec<f32> {
    let mut rows = [-6.0, -6.0, 0.0, 0.0, 0.0, 0.0, 4.0].repeat(16 + 4 + 1);
    rows[5 * 7 + 1] = 5.0;
    rows
}

#[test]
fn a_worked_example() {
    let (task, target) = (task(), target());
    assert_eq!((task.outputs(), task.rows(&target), target.labels()), (7, 21, &[1][..]));
    let mut tally = task.tally(true);
    tally.add(&rows(), std::slice::from_ref(&target));
    // The place answers (4, 4) to (20, 20) of the view, which is the dog.
    let whole = |value: f64| (value - 1.0).abs() < 1e-9;
    assert!(tally.samples() == 1 && whole(tally.primary()));
    let found = tally.finish();
    assert!(found.values.len() == 3 && found.values.iter().all(|value| whole(*value)), "{:?}", found.values);
    assert!(found.more.labels[1].average_precision_50.is_some_and(whole));
    assert_eq!((found.per_class[1].support, found.per_class[1].f1, found.confusion.as_slice()), (1, 1.0, &[(1, 1, 1)][..]));
    assert_eq!((found.more.curves[0].len(), found.more.curves[1].len()), (0, 101));
    assert!(found.more.measures.contains_key("box_map_medium") && !found.more.measures.contains_key("box_map_large"));
    let told = task.told(&rows(), &target).unwrap();
    assert_eq!((told.score, told.right, told.answer.as_str()), (1.0, Some(true), "1 dog"));
    let calibrated = task.calibrated(&found).unwrap();
    let mut config = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
    calibrated.configure(&mut config);
    let said = said(&rows(), &config, 7, ([64, 64], [32, 32]));
    assert_eq!((said.counted(), said.found[0].bbox), (vec![("dog", 1)], [8.0, 8.0, 32.0, 32.0]));
    assert!(task.published(&config).is_some());
}

#[test]
fn nothing_found_is_wrong_where_something_is() {
    let (task, target) = (task(), target());
    let silent = [-9.0, -9.0, 0.0, 0.0, 0.0, 0.0, 0.0].repeat(21);
    let told = task.told(&silent, &target).unwrap();
    assert_eq!((told.score, told.right, told.answer.as_str()), (0.0, Some(false), "nothing"));
    let empty = Target::Boxes(Boxes::new(vec![], [32, 32], [64, 64]));
    assert_eq!(task.told(&silent, &empty).map(|told| (told.score, told.right)), Some((1.0, Some(true))));
    let mut tally = task.tally(true);
    tally.add(&silent, &[target]);
    let found = tally.finish();
    assert_eq!((found.primary(), found.confusion.as_slice()), (0.0, &[(1, 2, 1)][..]));
    assert_eq!(found.confused(), ["cat", "dog", "nothing"]);
}

#[test]
fn anchors_are_answered_about_by_the_head_that_has_them() {
    let (task, target) = (of_head("ssdlite"), target());
    assert_eq!((task.outputs(), task.rows(&target)), (7, 16 * 4 + (4 + 1 + 1 + 1) * 6));
    // The dog is [4, 4, 16, 16]; the first anchor of the sixth place has 24 pixels around (12, 12): two thirds of it, at no distance.
    let mut rows = task.simplest(&Partition::default()).unwrap().repeat(task.rows(&target));
    let log = (16f32 / 24.0).ln() / 0.2;
    rows[20 * 7..21 * 7].copy_from_slice(&[0.0, 9.0, 0.0, 0.0, log, log, 0.0]);
    let mut tally = task.tally(true);
    tally.add(&rows, std::slice::from_ref(&target));
    let found = tally.finish();
    assert!((found.primary() - 1.0).abs() < 1e-9, "{:?}", found.values);
    let mut config = ModelConfig::read(r#"{"architecture": "resnet18"}"#).unwrap();
    task.configure(&mut config);
    config.set_decoder(Some(("ssdlite", 7)));
    assert_eq!(said(&rows, &config, 7, ([64, 64], [32, 32])).counted(), [("dog", 1)]);
    let again = of_head("fcos").published(&config).unwrap();
    assert_eq!(again.rows(&target), task.rows(&target), "a published head says what its rows are");
}

#[test]
fn draws_weigh_images_and_never_a_box_is_the_simplest_answer() {
    let (task, target) = (task(), target());
    let (right, silent) = (rows(), task.simplest(&Partition::default()).unwrap().repeat(21));
    let weighed = task.weighed(&[&right, &silent], &[&target, &target]).unwrap();
    assert!((weighed(&[2.0, 0.0]) - 1.0).abs() < 1e-9 && weighed(&[0.0, 2.0]) == 0.0 && weighed(&[0.0, 0.0]) == 0.0);
    let half = weighed(&[1.0, 1.0]);
    assert!(half > 0.4 && half < 0.6, "{half}");
    let told = task.told(&silent, &target).unwrap();
    assert_eq!((told.score, told.answer.as_str()), (0.0, "nothing"));
}

#[test]
fn the_loss_has_the_gradient_that_was_worked_out() {
    let (task, target) = (task(), target());
    let outputs = Var::from_vec(rows(), (21, 7), &Device::Cpu).unwrap();
    let loss = task.loss(&outputs, std::slice::from_ref(&target), &Recipe::default()).unwrap();
    let wanted = task.losses(&rows(), &boxes(&[target]));
    assert!((f64::from(loss.to_scalar::<f32>().unwrap()) - wanted.sum()).abs() < 1e-6);
    let gradient = loss.backward().unwrap().get(&outputs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(gradient, wanted.gradient);
}
