//! Layers that normalise no batch, on the tape against the same composed of candle's ops: values and every gradient.

use candle_core::{Tensor, Var};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::backend::{Arithmetic, Choice};
use super::ops::{Pass, Road};
use super::reference_tests::{close, random, values};
use super::{Activation, Maps, Padding, Spec};
use crate::domain::recipe::Precision;

/// Patches, their norm, filters onto the patches, and a wide layer in between.
struct Net {
    x: Var,
    patches: [Var; 2],
    norm: [Var; 2],
    filters: [Var; 2],
    wide: [Var; 2],
    narrow: [Var; 2],
    side: usize,
    activation: Activation,
}

fn both([first, second]: &[Var; 2]) -> (&Tensor, &Tensor) {
    (first, second)
}

impl Net {
    fn new(seed: u64, [batch, height, width, inputs]: [usize; 4], [channels, side]: [usize; 2], activation: Activation) -> Net {
        let pair = |stream: u64, weight: &[usize], outputs: usize| [random(seed, stream, weight), random(seed, stream + 1, &[outputs])];
        Net {
            x: random(seed, 0, &[batch, height, width, inputs]),
            patches: pair(1, &[channels, inputs, side, side], channels),
            norm: pair(3, &[channels], channels),
            filters: pair(5, &[channels, 1, 5, 5], channels),
            wide: pair(7, &[3 * channels, channels, 1, 1], 3 * channels),
            narrow: pair(9, &[channels, 3 * channels, 1, 1], channels),
            side,
            activation,
        }
    }

    fn run(&self, road: Road, choice: Choice) -> candle_core::Result<Tensor> {
        let pass = Pass { road, arithmetic: Arithmetic::new(choice, Precision::F32), momentum: 0.1, fixed_norms: false };
        let spec =
            |stride: usize, padding: usize, groups: usize| Spec { stride, padding: Padding::Symmetric(padding), groups, ..Spec::POINTWISE };
        let filters = spec(1, 2, self.filters[1].elem_count());
        let x = Maps::enter(&self.x, &pass)?.conv_bias(both(&self.patches), &spec(self.side, 0, 1), Activation::None)?;
        let y = x.layer_norm(both(&self.norm), 1e-6)?.conv_bias(both(&self.filters), &filters, Activation::None)?;
        let y = y.layer_norm(both(&self.norm), 1e-6)?.conv_bias(both(&self.wide), &Spec::POINTWISE, self.activation)?;
        let y = y.conv_bias_onto(both(&self.narrow), &Spec::POINTWISE, &x)?;
        let mean = y.average()?;
        y.leave()?.sqr()?.sum_all()? + mean.sum_all()?
    }

    fn compare(&self, choice: Choice) -> Result<(), TestCaseError> {
        let (ours, theirs) = (self.run(Road::Tape, choice).unwrap(), self.run(Road::Portable, choice).unwrap());
        close(&values(&ours), &values(&theirs), 1e-5)?;
        let (ours, theirs) = (super::backward(&ours).unwrap(), theirs.backward().unwrap());
        let vars = [&self.patches, &self.norm, &self.filters, &self.wide, &self.narrow].into_iter().flatten().chain([&self.x]);
        let pairs: Vec<_> = vars.map(|var| (values(ours.get(var).unwrap()), values(theirs.get(var).unwrap()))).collect();
        let largest = |values: &[f64]| values.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        let usual = pairs.iter().map(|(_, theirs)| largest(theirs)).fold(0.0, f64::max);
        for (ours, theirs) in pairs {
            // Small ones are sums of large ones that cancel.
            let scale = largest(&theirs).max(0.01 * usual);
            for (index, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                prop_assert!((a - b).abs() <= 1e-3 * scale, "at {index}: {a} and {b}, scale {scale}");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_tape_learns_what_composed_ops_learn(
        shape in (1..4usize, 6..12usize, 6..12usize, 1..5usize),
        // A norm over few channels leaves little to learn.
        channels in 8..40usize,
        side in 1..5usize,
        smooth: bool,
        rust: bool,
        seed: u64,
    ) {
        let activation = if smooth { Activation::Gelu } else { Activation::None };
        let net = Net::new(seed, shape.into(), [channels, side], activation);
        net.compare(if rust { Choice::Rust } else { Choice::Auto })?;
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pass = Pass { road: Road::Tape, arithmetic: Arithmetic::new(Choice::Auto, Precision::F32), momentum: 0.1, fixed_norms: false };
    let maps = Maps::enter(&random(0, 0, &[1, 4, 4, 3]), &pass).unwrap();
    let (weight, bias) = (random(0, 1, &[5, 3, 1, 1]), random(0, 2, &[5]));
    assert!(maps.conv_bias((&weight, &weight), &Spec::POINTWISE, Activation::None).is_err());
    assert!(maps.conv_bias_onto((&weight, &bias), &Spec::POINTWISE, &maps).is_err(), "five channels onto three");
    assert!(maps.layer_norm((&bias, &bias), 1e-6).is_err());
    assert!(maps.conv_bias((&weight, &bias), &Spec::POINTWISE, Activation::Gelu).is_ok());
}
