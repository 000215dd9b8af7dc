//! Views of few pixels and cells, worked out by hand.

use super::*;

fn task() -> Segmentation {
    Segmentation::new(&["ground".to_owned(), "cell".to_owned()], &[])
}

/// Left half ground, right half cell; the first pixel is not said.
fn target() -> Target {
    let mut values: Vec<u8> = (0..16 * 16).map(|at| u8::from(at % 16 >= 8)).collect();
    values[0] = UNSAID;
    Target::Cells(Cells::of(&Labels { width: 16, height: 16, values }, (16, 16), 8))
}

#[test]
fn a_worked_example() {
    let (task, target) = (task(), target());
    assert_eq!((task.rows(&target), target.labels()), (4, &[0, 1][..]));
    // Each cell is answered rightly; between their middles it is decided half way, which is where the classes meet.
    let right = [2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0];
    let mut tally = task.tally(true);
    tally.add(&right, std::slice::from_ref(&target));
    assert!((tally.loss() - (1.0 + (-2.0f64).exp()).ln()).abs() < 1e-6);
    let evaluation = tally.finish();
    assert_eq!(evaluation.values, [1.0, 1.0, 1.0]);
    assert_eq!((evaluation.get("boundary_f1"), evaluation.per_class[0].support), (1.0, 127));
    // Always ground: half of the union of one class, none of the other.
    let mut tally = task.tally(false);
    tally.add(&[1.0, 0.0].repeat(4), std::slice::from_ref(&target));
    let accuracy = 127.0 / 255.0;
    let evaluation = tally.finish();
    assert!((evaluation.values[0] - accuracy / 2.0).abs() < 1e-12 && (evaluation.values[2] - accuracy).abs() < 1e-12);
    let told = task.told(&right, &target).unwrap();
    assert_eq!((told.score, told.right, told.answer.as_str()), (1.0, Some(true), "ground 50 %, cell 50 %"));
}

#[test]
fn counts_are_held_against_each_other() {
    assert_eq!(explained(&[(2.0, 2.0), (4.0, 4.0)]), Some(1.0));
    assert_eq!(explained(&[(2.0, 3.0), (4.0, 3.0)]), Some(0.0));
    assert_eq!((explained(&[(2.0, 1.0)]), explained(&[])), (None, None));
}

#[test]
fn what_is_not_said_has_no_part_in_the_loss() {
    let task = Segmentation::new(&["a".to_owned(), "b".to_owned()], &[]);
    let labels = Labels { width: 16, height: 8, values: (0..128).map(|at| if at % 16 >= 8 { UNSAID } else { 1 }).collect() };
    let target = Target::Cells(Cells::of(&labels, (16, 8), 8));
    let outputs = Tensor::from_vec(vec![0f32, 0.0, 9.0, -9.0], (2, 2), &Device::Cpu).unwrap();
    let linear = Recipe { strategy: crate::domain::recipe::Strategy::Head, ..Recipe::default() };
    let loss = task.loss(&outputs, std::slice::from_ref(&target), &linear).unwrap().to_scalar::<f32>().unwrap();
    assert!((loss - std::f32::consts::LN_2).abs() < 1e-6);
    let parts = task.convex(&[target], &Recipe::default()).unwrap();
    assert!(matches!(&parts[0].wanted, Wanted::Class { labels, .. } if *labels == [Some(1), None]));
}

#[test]
fn outputs_are_interpolated_between_the_middles_of_cells() {
    let outputs = [1.0, 0.0, 0.0, 3.0];
    // At a quarter of the way from one middle to the other both are alike.
    let answer = upsampled(&outputs, 2, (1, 2), (16, 1));
    assert_eq!(answer, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(upsampled(&[1.0, 0.0], 2, (1, 1), (3, 2)), [0; 6]);
}

#[test]
fn draws_weigh_images() {
    let (task, target) = (task(), target());
    let (right, ground) = ([2.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 2.0], [1.0f32, 0.0].repeat(4));
    let weighed = task.weighed(&[&right, &ground], &[&target, &target]).unwrap();
    assert_eq!((weighed(&[2.0, 0.0]), weighed(&[0.0, 0.0])), (1.0, 0.0));
    assert!((weighed(&[0.0, 1.0]) - 127.0 / 255.0 / 2.0).abs() < 1e-12);
    // Of 254 pixels of the ground all are found and 128 are taken for it; half of the cells' 256 are found.
    assert!((weighed(&[1.0, 1.0]) - (254.0 / 382.0 + 0.5) / 2.0).abs() < 1e-12);
}
