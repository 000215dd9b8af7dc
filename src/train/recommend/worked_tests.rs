//! Scores beside values that numpy gave: singular values by LAPACK, each item left out by a fit of its own.

use super::*;

const ITEMS: usize = 12;
const CLASSES: usize = 3;

fn features(width: usize) -> Vec<f32> {
    let of = |item: usize, at: usize| (0.7 * ((item + 1) * (at + 1)) as f64).sin() + if item % CLASSES == at { 0.8 } else { 0.0 };
    (0..ITEMS).flat_map(|item| (0..width).map(move |at| of(item, at) as f32)).collect()
}

fn classes() -> Truth {
    Truth::Classes((0..ITEMS).map(|item| (item % CLASSES) as u32).collect(), CLASSES)
}

fn values(rows: &[f32], width: usize) -> Truth {
    let of = |(item, row): (usize, &[f32])| 2.0 * f64::from(row[0]) - f64::from(row[3]) + 0.3 * (item as f64).cos();
    Truth::Values(rows.chunks_exact(width).enumerate().map(of).collect(), 1)
}

#[track_caller]
fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 1e-6, "{found} is not {wanted}");
}

#[test]
fn classes_are_scored_as_numpy_scores_them_with_fewer_and_with_more_features_than_items() {
    let tall = score(&features(5), 5, &classes()).unwrap();
    close(tall.logme, 0.095_352_296_8);
    close(tall.ridge, 0.5);
    close(tall.knn, 8.0 / 12.0);
    let wide = score(&features(20), 20, &classes()).unwrap();
    close(wide.logme, 0.290_859_203_9);
    close(wide.ridge, 11.0 / 12.0);
    close(wide.knn, 8.0 / 12.0);
    assert_eq!(wide.merits.iter().sum::<f64>(), 11.0);
}

#[test]
fn numbers_are_scored_as_numpy_scores_them() {
    for (width, [ridge, knn, logme]) in
        [(5, [0.943_417_814_4, -0.052_326_508_4, -0.372_467_142_8]), (20, [0.887_535_056_4, 0.283_626_209_7, -0.646_658_740_4])]
    {
        let rows = features(width);
        let scores = score(&rows, width, &values(&rows, width)).unwrap();
        close(scores.ridge, ridge);
        close(scores.knn, knn);
        close(scores.logme, logme);
    }
}

#[test]
fn evidence_is_the_papers_where_there_are_more_items_than_features() {
    let targets = classes().columns().0;
    let of = |width: usize| {
        let rows: Vec<f64> = features(width).into_iter().map(f64::from).collect();
        logme::log_evidence(&Spectrum::of(&rows, ITEMS, width).unwrap(), &targets, CLASSES).unwrap()
    };
    close(of(5), -0.819_123_234_9);
    close(of(20), -0.475_434_774_5);
}

#[test]
fn a_ridge_fit_left_out_is_the_fit_that_never_saw_the_item() {
    let (targets, columns) = classes().columns();
    let fit = |width: usize| ridge::leave_one_out(&Spectrum::of_centred(&features(width), width).unwrap(), &targets, columns).unwrap();
    let (tall, wide) = (fit(5), fit(20));
    close(tall.squared_error, 0.210_589_244_1);
    [0.422_494_74, 0.227_232_49, 0.350_272_77].into_iter().zip(&tall.predictions).for_each(|(wanted, found)| close(*found, wanted));
    close(wide.squared_error, 0.045_570_498_4);
    [1.004_953_43, -0.015_269_64, 0.010_316_21].into_iter().zip(&wide.predictions).for_each(|(wanted, found)| close(*found, wanted));
}

#[test]
fn neighbours_are_the_nearest_by_cosine_and_never_the_item_itself() {
    let rows = Directions::of(&[1.0, 0.0, 2.0, 0.1, 0.0, 3.0, 0.0, 0.0], 2).unwrap();
    let near = rows.nearest(&rows, 2, true).unwrap();
    let order: Vec<Vec<usize>> = near.iter().map(|near| near.iter().map(|neighbor| neighbor.row).collect()).collect();
    assert_eq!(order, [vec![1, 2], vec![0, 2], vec![1, 0], vec![0, 1]], "a row of zeros is near to none");
    let asked = Directions::of(&[0.0, 9.0], 2).unwrap();
    assert_eq!(rows.nearest(&asked, 1, false).unwrap(), [[knn::Neighbor { row: 2, cosine: 1.0 }]]);
    assert_eq!(knn::vote(&near[0], &[0, 1, 1, 0], 2), Some(1));
    assert_eq!(knn::vote(&[], &[], 2), None);
    assert_eq!((knn::voters(0), knn::voters(7), knn::voters(900)), (1, 7, 20));
    let many: Vec<f32> = (0..600).map(|at| (at as f32).cos()).collect();
    let many = Directions::of(&many, 2).unwrap();
    assert!(many.nearest(&many, 3, true).unwrap().iter().enumerate().all(|(at, near)| near.len() == 3 && near.iter().all(|n| n.row != at)));
}

#[test]
fn features_that_say_nothing_or_are_no_numbers_end_in_scores_and_not_in_a_crash() {
    let flat = score(&[1.0; 12 * 4], 4, &classes()).unwrap();
    assert!(flat.ridge <= 1.0 / 3.0 && flat.logme.is_finite(), "{flat:?}");
    let nan = score(&[f32::NAN; 12 * 4], 4, &classes()).unwrap();
    assert!(nan.knn <= 1.0 && nan.ridge <= 1.0);
    let one = score(&[1.0, 2.0], 2, &Truth::Values(vec![3.0], 1)).unwrap();
    assert!(one.merits.len() == 1);
    let same = score(&features(5), 5, &Truth::Values(vec![2.0; ITEMS], 1)).unwrap();
    assert!(same.ridge.is_finite() && same.logme.is_finite());
}

#[test]
fn two_backbones_are_compared_item_by_item() {
    let (mean, error) = ahead(&[1.0, 1.0, 1.0, 0.0], &[1.0, 0.0, 1.0, 0.0]);
    assert_eq!(mean, 0.25);
    close(error, 0.25);
}
