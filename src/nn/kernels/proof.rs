//! Whether the library multiplies bf16 as it should on this processor: tried on a few small shapes before anybody relies
//! on it, since nobody can test every version of it on every processor.

use std::sync::OnceLock;

use candle_core::{Device, Result};

use super::backend::{self, Arithmetic, Backend, Choice};
use super::conv;
use super::conv::geometry::{Geometry, Padding, Spec};
use super::rounding::rounded;
use crate::domain::recipe::Precision;

/// Largest distance from the right result, as a share of its largest value: sums in another order, no more. A factor
/// that is not the rounded one shows as 1e-3.
const TOLERANCE: f32 = 1e-4;

/// Images, height, width, channels in and out, kernel, stride, groups. Odd channels and pixels that fill no vector are
/// what a kernel's remainders get wrong; thirty pixels are one piece of oneDNN 2.6's pointwise kernel.
const SHAPES: [[usize; 8]; 8] = [
    [2, 5, 6, 8, 9, 1, 1, 1],
    [1, 9, 10, 33, 16, 1, 1, 1],
    [3, 7, 7, 64, 48, 1, 1, 1],
    [1, 1, 13, 24, 72, 1, 1, 1],
    [2, 8, 8, 16, 40, 1, 2, 1],
    [2, 6, 7, 9, 13, 3, 1, 1],
    [2, 9, 8, 16, 32, 3, 2, 1],
    [1, 7, 6, 24, 16, 3, 1, 2],
];

const ROLES: [&str; 3] = ["output", "input gradient", "weight gradient"];

/// Whether products of bf16 numbers would be quicker on this device, and are right, or why not.
pub fn has_bf16(device: &Device) -> std::result::Result<(), String> {
    if !device.is_cpu() {
        return if device.supports_bf16() { Ok(()) } else { Err("the device does not multiply bf16".into()) };
    }
    cpu_has_bf16(backend::choice())
}

/// The same for a CPU with that backend.
pub(super) fn cpu_has_bf16(choice: Choice) -> std::result::Result<(), String> {
    match choice.backend() {
        Backend::Rust { .. } => Err("the backend is Rust, which multiplies f32; install oneDNN".into()),
        Backend::OneDnn { .. } if !backend::multiplies_bf16() => Err("the processor does not multiply bf16".into()),
        library => {
            static PROOF: OnceLock<std::result::Result<(), String>> = OnceLock::new();
            let proof = PROOF.get_or_init(|| on_one_thread(|| prove(|g, factors| all(BF16, g, factors))));
            proof.clone().map_err(|wrong| format!("{library} failed its proof on this processor: {wrong}"))
        }
    }
}

/// The library's products, which are to be proved, and our own.
const BF16: Arithmetic = Arithmetic { backend: Choice::OneDnn, precision: Precision::Bf16 };
const OURS: Arithmetic = Arithmetic { backend: Choice::Rust, precision: Precision::F32 };

/// The library's own threads would wait for each other longer than they work.
fn on_one_thread<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(body),
        Err(_) => body(),
    }
}

/// What is multiplied: input, weight and the output's gradient.
type Factors<'a> = [&'a [f32]; 3];

/// The convolution and its gradients to input and weight.
fn all(arithmetic: Arithmetic, g: &Geometry, [x, weight, dy]: Factors<'_>) -> Result<[Vec<f32>; 3]> {
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    conv::forward(arithmetic, x, weight, g, &|_, _| {}, &mut y)?;
    conv::input_gradient(arithmetic, &mut dy.to_vec(), &|_, _| {}, weight, g, &mut dx)?;
    Ok([y, dx, conv::weight_gradient(arithmetic, x, dy, g)])
}

/// Compares `library`'s products of bf16 with our own f32 products of factors rounded beforehand; says which is wrong.
fn prove(library: impl Fn(&Geometry, Factors<'_>) -> Result<[Vec<f32>; 3]>) -> std::result::Result<(), String> {
    for [batch, height, width, input, output, kernel, stride, groups] in SHAPES {
        let what = |role: &str| format!("{role} of {input} -> {output} channels, {kernel}x{kernel}/{stride}");
        let try_all = || -> Result<Option<&str>> {
            let spec = Spec { stride, padding: Padding::Same, groups, ..Spec::POINTWISE };
            let g = Geometry::of(&[batch, height, width, input], &[output, input / groups, kernel, kernel], &spec)?;
            let factors = [(1, g.input_shape()), (2, g.weight_shape()), (3, g.output_shape())].map(|(seed, shape)| noise(seed, shape));
            let [x, weight, dy] = &factors;
            let found = library(&g, [x, weight, dy])?;
            let [x, weight, dy] = factors.each_ref().map(|values| rounded(values));
            let right = all(OURS, &g, [&x, &weight, &dy])?;
            Ok(ROLES.into_iter().zip(found.iter().zip(&right)).find(|(_, (found, right))| !is_close(found, right)).map(|(role, _)| role))
        };
        match try_all() {
            Ok(None) => {}
            Ok(Some(role)) => return Err(what(role)),
            Err(error) => return Err(format!("{}: {error}", what("convolution"))),
        }
    }
    Ok(())
}

/// Not where one of them is NaN.
fn is_close(found: &[f32], right: &[f32]) -> bool {
    let largest = right.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    found.iter().zip(right).all(|(found, right)| (found - right).abs() <= TOLERANCE * largest)
}

/// Numbers between -1 and 1 that are the same in every proof.
fn noise(seed: u32, shape: [usize; 4]) -> Vec<f32> {
    let number = |index: u32| (index * 3 + seed).wrapping_mul(2_654_435_761) as f32 / (u32::MAX / 2) as f32 - 1.0;
    (0..shape.iter().product::<usize>() as u32).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right products of bf16 numbers.
    fn ours(g: &Geometry, factors: Factors<'_>) -> Result<[Vec<f32>; 3]> {
        let [x, weight, dy] = factors.map(rounded);
        all(OURS, g, [&x, &weight, &dy])
    }

    #[test]
    fn a_library_that_is_right_passes() {
        assert_eq!(prove(ours), Ok(()));
    }

    #[test]
    fn one_wrong_number_in_one_shape_is_found_and_named() {
        for (index, role) in ROLES.into_iter().enumerate() {
            let wrong = |g: &Geometry, factors: Factors<'_>| {
                let mut found = ours(g, factors)?;
                if g.out_c == 13 {
                    *found[index].last_mut().unwrap() += 0.1;
                }
                Ok(found)
            };
            assert_eq!(prove(wrong), Err(format!("{role} of 9 -> 13 channels, 3x3/1")));
        }
    }

    #[test]
    fn factors_that_are_not_rounded_are_found_and_so_is_nan() {
        let exact = prove(|g, factors| all(OURS, g, factors));
        assert_eq!(exact, Err("output of 8 -> 9 channels, 1x1/1".into()));
        let nothing = prove(|g, factors| {
            let mut found = ours(g, factors)?;
            found[2][0] = f32::NAN;
            Ok(found)
        });
        assert_eq!(nothing, Err("weight gradient of 8 -> 9 channels, 1x1/1".into()));
    }

    #[test]
    fn a_library_that_fails_altogether_says_how() {
        let failed = prove(|_, _| candle_core::bail!("no more memory"));
        assert!(failed.unwrap_err().starts_with("convolution of 8 -> 9 channels, 1x1/1: no more memory"));
    }

    #[test]
    #[allow(clippy::print_stderr)] // Whoever reads the tests' output should know that a library fails here.
    fn the_library_in_use_is_offered_only_if_it_passes() {
        if !matches!(Choice::OneDnn.backend(), Backend::OneDnn { .. }) || !backend::multiplies_bf16() {
            return;
        }
        let proof = on_one_thread(|| prove(|g, factors| all(BF16, g, factors)));
        if let Err(wrong) = &proof {
            eprintln!("BF16 IS NOT USED: {wrong}");
        }
        assert_eq!(cpu_has_bf16(Choice::OneDnn).is_ok(), proof.is_ok());
    }
}
