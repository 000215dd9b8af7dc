//! The solver on small problems: optimal, choosy about its penalty, and the same however many threads there are.

use super::*;

/// Numbers in no order, in [-1, 1].
fn drawn(count: usize, from: usize) -> Vec<f32> {
    (from..from + count).map(|at| ((at * 2_654_435_761 % 1_000_003) as f64 * 0.7).sin() as f32).collect()
}

/// Classes by the largest of three features, the last of them noise; a fifth of the labels are wrong where `noisy`.
fn classes(items: usize, noisy: bool, held_from: usize) -> Problem {
    let width = 12;
    let rows = drawn(items * width, 17);
    let label = |(item, row): (usize, &[f32])| {
        let true_label = if row[0] > row[1] { 0 } else { 1 };
        Some(if noisy && item % 5 == 0 { 1 - true_label } else { true_label })
    };
    let labels = rows.chunks_exact(width).enumerate().map(label).collect();
    let parts = vec![Part { outputs: 2, wanted: Wanted::Class { labels, smoothing: 0.0 } }];
    Problem { width, rows, parts, weights: Vec::new(), held_from, folds: Vec::new(), distinct: true }
}

fn solved(problem: &Problem) -> Solved {
    solve(problem, &mut || Ok(())).unwrap()
}

#[test]
fn no_direction_leads_further_down() {
    let problem = classes(300, true, 200);
    let found = solved(&problem);
    let all = problem.split(|item| item < 200, |_| false);
    let mut tick = || Ok(());
    let mut objective = Objective { problem: &problem, weights: &all, l2: found.l2, tick: &mut tick, sums: Sums::default() };
    let point: Vec<f64> = found.head.weight.iter().chain(&found.head.bias).copied().collect();
    let mut slopes = vec![0.0; point.len()];
    lbfgs::Function::at(&mut objective, &point, &mut slopes).unwrap();
    assert!(slopes.iter().all(|slope| slope.abs() < 1e-4), "{slopes:?}");
    assert_eq!(found.chosen_by, "the items held out");
}

#[test]
fn noise_asks_for_a_stronger_penalty() {
    let clean = solved(&classes(300, false, 200));
    let noisy = solved(&classes(300, true, 200));
    assert!(noisy.l2 > 3.0 * clean.l2, "{} {}", noisy.l2, clean.l2);
    assert!(clean.tried.iter().all(|tried| (1e-7..1e6).contains(&tried.l2)));
    let right = |solved: &Solved, problem: &Problem| {
        let Wanted::Class { labels, .. } = &problem.parts[0].wanted else { unreachable!() };
        let rows = problem.rows.chunks_exact(problem.width).zip(labels).skip(problem.held_from);
        let score = |row: &[f32], output: usize| -> f64 {
            let weight = &solved.head.weight[output * problem.width..(output + 1) * problem.width];
            solved.head.bias[output] + row.iter().zip(weight).map(|(x, w)| f64::from(*x) * w).sum::<f64>()
        };
        rows.filter(|(row, label)| (score(row, 1) > score(row, 0)) == (**label == Some(1))).count()
    };
    let problem = classes(300, false, 200);
    assert!(right(&clean, &problem) >= 95, "{}", right(&clean, &problem));
}

#[test]
fn folds_choose_where_nothing_is_held_out() {
    let mut problem = classes(100, true, 100);
    problem.folds = (0..100).map(|item| (item % 5) as u8).collect();
    let found = solved(&problem);
    assert_eq!(found.chosen_by, "folds of the training items");
    assert!(found.l2 > 0.1, "{found:?}");
}

#[test]
fn weights_count_as_copies_do() {
    let mut weighted = classes(60, true, 60);
    weighted.folds = (0..60).map(|item| (item % 5) as u8).collect();
    let mut doubled = classes(60, true, 60);
    weighted.weights = (0..60).map(|item| if item < 20 { 2.0 } else { 1.0 }).collect();
    doubled.rows.extend_from_within(..20 * 12);
    let Wanted::Class { labels, .. } = &mut doubled.parts[0].wanted else { unreachable!() };
    labels.extend_from_within(..20);
    doubled.held_from = 80;
    doubled.folds = (0..80).map(|item| (item % 20 % 5) as u8).collect();
    let (a, b) = (solved(&weighted), solved(&doubled));
    assert_eq!(a.l2, b.l2);
    for (a, b) in a.head.weight.iter().zip(&b.head.weight) {
        assert!((a - b).abs() < 2e-3, "{a} {b}");
    }
}

#[test]
fn the_bits_do_not_hang_on_the_threads() {
    let problem = classes(1_500, true, 1_000);
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| solved(&problem));
    assert_eq!(with(1), with(3));
}

#[test]
fn numbers_are_solved_in_closed_form_and_by_descent_alike() {
    let (width, items) = (5, 40);
    let rows = drawn(items * width, 3);
    let values: Vec<f32> =
        rows.chunks_exact(width).zip(drawn(items, 900)).map(|(row, noise)| row[0] - 2.0 * row[3] + 0.3 + 0.2 * noise).collect();
    let parts = vec![Part { outputs: 1, wanted: Wanted::Values { values, huber: None } }];
    let mut problem = Problem { width, rows, parts, weights: Vec::new(), held_from: items, folds: Vec::new(), distinct: true };
    let closed = solved(&problem);
    assert_eq!(closed.chosen_by, "leaving each item out in turn");
    problem.distinct = false;
    problem.folds = (0..items).map(|item| (item % 5) as u8).collect();
    let descended = solved(&problem);
    for (a, b) in closed.head.weight.iter().zip(&descended.head.weight) {
        assert!((a - b).abs() < 0.05, "{closed:?} {descended:?}");
    }
    assert!((closed.head.weight[0] - 1.0).abs() < 0.15 && (closed.head.weight[3] + 2.0).abs() < 0.15, "{closed:?}");
}

#[test]
fn whoever_says_stop_is_heard() {
    let mut asked = 0;
    let stopped = solve(&classes(300, true, 200), &mut || {
        asked += 1;
        if asked < 3 { Ok(()) } else { Err(crate::train::Error::Cancelled) }
    });
    assert!(matches!(stopped, Err(crate::train::Error::Cancelled)) && asked == 3);
}
