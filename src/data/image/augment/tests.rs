//! Beside torchvision (`tests/golden/make_augment.py`).

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::*;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../../../tests/golden/augment.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::from_value(value.clone()).unwrap()
}

fn pixels(bytes: &mut [u8]) -> &mut [[u8; 3]] {
    bytes.as_chunks_mut::<3>().0
}

/// How many values differ, and by how much at most.
fn apart(a: &[u8], b: &[u8]) -> (usize, u8) {
    assert_eq!(a.len(), b.len());
    let differences: Vec<u8> = a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).filter(|difference| *difference > 0).collect();
    (differences.len(), differences.into_iter().max().unwrap_or(0))
}

#[test]
fn colours_change_as_in_torchvision() {
    let golden = golden();
    type Change = fn(&mut [[u8; 3]], f64);
    let changes: [(&str, Change); 4] =
        [("brightness", colour::brightness), ("contrast", colour::contrast), ("saturation", colour::saturation), ("hue", colour::hue)];
    for (name, change) in changes {
        for case in golden["colours"][name].as_array().unwrap() {
            let mut image = bytes(&golden["image"]);
            change(pixels(&mut image), case[0].as_f64().unwrap());
            let (count, most) = apart(&image, &bytes(&case[1]));
            assert!(count <= 4 && most <= 1, "{name} {}: {count} values differ by up to {most}", case[0]);
        }
    }
}

#[test]
fn operations_of_both_policies_are_those_of_torchvision() {
    let golden = golden();
    let width = golden["width"].as_u64().unwrap() as usize;
    for case in golden["operations"].as_array().unwrap() {
        let mut image = bytes(&golden["image"]);
        let height = image.len() / 3 / width;
        let (wide, kind) = (case["policy"] == "trivial-augment", case["kind"].as_u64().unwrap() as u32);
        let op = op(kind, wide, case["bin"].as_u64().unwrap() as u32, case["sign"].as_f64().unwrap(), (width, height));
        op.apply(pixels(&mut image), width);
        let wanted = bytes(&case["made"]);
        let (count, most) = apart(&image, &wanted);
        // A middle between two pixels may fall on either side of a tie.
        let moved = matches!(op, Op::ShearX(_) | Op::ShearY(_) | Op::Rotate(_));
        assert!(if moved { count <= 9 } else { count <= 4 && most <= 1 }, "{} {op:?}: {count} values differ by up to {most}", case["name"]);
    }
}

#[test]
fn a_view_follows_from_its_random_numbers_alone_and_every_setting_changes_it() {
    let golden = golden();
    let width = golden["width"].as_u64().unwrap() as usize;
    let made = |augment: &Augment, seed: u64| {
        let mut image = bytes(&golden["image"]);
        change(&mut image, width, augment, &mut ChaCha8Rng::seed_from_u64(seed));
        image
    };
    let plain = Augment::default();
    assert_eq!(made(&plain, 1), bytes(&golden["image"]));
    let all = [
        Augment { policy: Policy::RandAugment, ..plain.clone() },
        Augment { policy: Policy::TrivialAugment, ..plain.clone() },
        Augment { brightness: 0.4, ..plain.clone() },
        Augment { contrast: 0.4, ..plain.clone() },
        Augment { saturation: 0.4, ..plain.clone() },
        Augment { hue: 0.2, ..plain.clone() },
    ];
    for augment in all {
        assert_eq!(made(&augment, 1), made(&augment, 1));
        let others: std::collections::HashSet<Vec<u8>> = (0..8).map(|seed| made(&augment, seed)).collect();
        assert!(others.len() >= 5, "{augment:?}: {} of 8", others.len());
        assert!(augment.changes_views());
    }
}

#[test]
fn erased_is_a_box_of_a_bounded_share_and_as_often_as_asked() {
    let augment = Augment { erase: 0.5, ..Augment::default() };
    let (side, mut erased) = (40, 0);
    for seed in 0..400 {
        let mut values = vec![1.0f32; 3 * side * side];
        erase(&mut values, side, &augment, &mut ChaCha8Rng::seed_from_u64(seed));
        let gone: Vec<usize> = values.iter().step_by(3).enumerate().filter(|(_, value)| **value == 0.0).map(|(at, _)| at).collect();
        let Some(first) = gone.first() else { continue };
        erased += 1;
        let share = gone.len() as f64 / (side * side) as f64;
        assert!((0.01..0.36).contains(&share), "{share}");
        let across = gone.iter().map(|at| at % side).max().unwrap() - first % side + 1;
        let down = gone.iter().map(|at| at / side).max().unwrap() - first / side + 1;
        assert_eq!(across * down, gone.len(), "a whole box");
    }
    assert!((150..250).contains(&erased), "{erased} of 400");
}
