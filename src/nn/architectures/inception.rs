//! Inception-v3 (Szegedy et al. 2016), under timm's names: maps go through several branches at once, some of which take a filter's
//! height and width apart.
//!
//! ```text
//! stem            Conv2d_1a_3x3 .. Conv2d_4a_3x3, with two max poolings
//! Mixed_5..7      the modules of that number: Mixed_5b .. Mixed_7c
//! ```
//!
//! The second classifier that helped to train it (`AuxLogits`) is left aside, as timm leaves it.

use super::architecture::{Architecture, ImageInput, UsualInput};
use super::convolutional::Planned;
use super::plan::{Part, Plan, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average, Window};

/// The family.
pub(super) static MEMBERS: [Architecture; 1] = [Architecture {
    name: "inception_v3",
    family: "inception",
    num_features: 2048,
    first_conv: "Conv2d_1a_3x3.conv",
    classifier: "fc",
    input: UsualInput::Image(ImageInput::inception(299, 0.875, "bicubic")),
    member: &InceptionV3,
}];

/// The only member of the family.
#[derive(Debug, Clone, Copy)]
struct InceptionV3;

/// How timm draws all of it.
const DRAWN: Init = Init::Normal(0.1);
const SHRINK: Window = Window::new(3, 2, 0);
const POOL: Part = Part::MaxPool(SHRINK);
const MEAN: Part = Part::AveragePool(Average::Padded(Window::new(3, 1, 1)));

/// A convolution, its norm and its activation.
fn unit(module: &str, channels: (usize, usize), kernel: [usize; 2]) -> Unit {
    let unit = Unit::new(format!("{module}.conv"), format!("{module}.bn"), channels, 1, 1).then(Activation::Relu);
    Unit { kernel, init: DRAWN, ..unit }
}

/// One that looks at whole windows alone, with a stride.
fn valid(module: &str, channels: (usize, usize), stride: usize) -> Unit {
    Unit { valid: true, stride, ..unit(module, channels, [3, 3]) }
}

/// Units one after the other from so many channels on: each one's name, channels and kernel.
fn chain(prefix: &str, input: usize, units: &[(&str, usize, [usize; 2])]) -> Vec<Part> {
    let mut channels = input;
    let units = units.iter().map(|&(name, output, kernel)| {
        let unit = unit(&format!("{prefix}.{name}"), (channels, output), kernel);
        channels = output;
        unit
    });
    vec![Part::chain(units.collect::<Vec<_>>())]
}

/// The mean around each pixel, then a 1x1 convolution.
fn averaged(prefix: &str, input: usize, output: usize) -> Vec<Part> {
    [vec![MEAN], chain(prefix, input, &[("branch_pool", output, [1, 1])])].concat()
}

/// A branch that ends in a convolution with a stride.
fn shrinking(prefix: &str, input: usize, units: &[(&str, usize, [usize; 2])], last: (&str, usize)) -> Vec<Part> {
    let before = units.last().map_or(input, |unit| unit.1);
    let last = valid(&format!("{prefix}.{}", last.0), (before, last.1), 2);
    [chain(prefix, input, units), vec![Part::chain([last])]].concat()
}

/// 5x5 filters beside two 3x3.
fn a(prefix: &str, input: usize, pooled: usize) -> Part {
    Part::Branches(vec![
        chain(prefix, input, &[("branch1x1", 64, [1, 1])]),
        chain(prefix, input, &[("branch5x5_1", 48, [1, 1]), ("branch5x5_2", 64, [5, 5])]),
        chain(prefix, input, &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3]), ("branch3x3dbl_3", 96, [3, 3])]),
        averaged(prefix, input, pooled),
    ])
}

/// To half the sides.
fn b(prefix: &str, input: usize) -> Part {
    Part::Branches(vec![
        shrinking(prefix, input, &[], ("branch3x3", 384)),
        shrinking(prefix, input, &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3])], ("branch3x3dbl_3", 96)),
        vec![POOL],
    ])
}

/// 7x7 filters, taken apart, through so many channels.
fn c(prefix: &str, input: usize, inside: usize) -> Part {
    let (wide, tall) = ([1, 7], [7, 1]);
    Part::Branches(vec![
        chain(prefix, input, &[("branch1x1", 192, [1, 1])]),
        chain(prefix, input, &[("branch7x7_1", inside, [1, 1]), ("branch7x7_2", inside, wide), ("branch7x7_3", 192, tall)]),
        chain(
            prefix,
            input,
            &[
                ("branch7x7dbl_1", inside, [1, 1]),
                ("branch7x7dbl_2", inside, tall),
                ("branch7x7dbl_3", inside, wide),
                ("branch7x7dbl_4", inside, tall),
                ("branch7x7dbl_5", 192, wide),
            ],
        ),
        averaged(prefix, input, 192),
    ])
}

/// To half the sides again.
fn d(prefix: &str, input: usize) -> Part {
    let seven = [("branch7x7x3_1", 192, [1, 1]), ("branch7x7x3_2", 192, [1, 7]), ("branch7x7x3_3", 192, [7, 1])];
    Part::Branches(vec![
        shrinking(prefix, input, &[("branch3x3_1", 192, [1, 1])], ("branch3x3_2", 320)),
        shrinking(prefix, input, &seven, ("branch7x7x3_4", 192)),
        vec![POOL],
    ])
}

/// 3x3 filters whose two halves stand side by side.
fn e(prefix: &str, input: usize) -> Part {
    let halves = |name: &str, input: usize| {
        Part::Branches(vec![
            chain(prefix, input, &[(&format!("{name}a"), 384, [1, 3])]),
            chain(prefix, input, &[(&format!("{name}b"), 384, [3, 1])]),
        ])
    };
    let twice = chain(prefix, input, &[("branch3x3dbl_1", 448, [1, 1]), ("branch3x3dbl_2", 384, [3, 3])]);
    Part::Branches(vec![
        chain(prefix, input, &[("branch1x1", 320, [1, 1])]),
        [chain(prefix, input, &[("branch3x3_1", 384, [1, 1])]), vec![halves("branch3x3_2", 384)]].concat(),
        [twice, vec![halves("branch3x3dbl_3", 384)]].concat(),
        averaged(prefix, input, 192),
    ])
}

impl Planned for InceptionV3 {
    fn plan(&self) -> Plan {
        let first = [valid("Conv2d_1a_3x3", (3, 32), 2), valid("Conv2d_2a_3x3", (32, 32), 1), unit("Conv2d_2b_3x3", (32, 64), [3, 3])];
        let second = [unit("Conv2d_3b_1x1", (64, 80), [1, 1]), valid("Conv2d_4a_3x3", (80, 192), 1)];
        let stage = |name: &str, parts: Vec<Part>| StagePlan { name: name.into(), parts };
        let stages = vec![
            stage("stem", vec![Part::chain(first), POOL, Part::chain(second), POOL]),
            stage("Mixed_5", vec![a("Mixed_5b", 192, 32), a("Mixed_5c", 256, 64), a("Mixed_5d", 288, 64)]),
            stage(
                "Mixed_6",
                vec![
                    b("Mixed_6a", 288),
                    c("Mixed_6b", 768, 128),
                    c("Mixed_6c", 768, 160),
                    c("Mixed_6d", 768, 160),
                    c("Mixed_6e", 768, 192),
                ],
            ),
            stage("Mixed_7", vec![d("Mixed_7a", 768), e("Mixed_7b", 1280), e("Mixed_7c", 2048)]),
        ];
        Plan { stages, num_features: 2048, same_padding: false, clips: false, norm_eps: 1e-3 }
    }

    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [DRAWN, Init::fan_in(num_features)]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("aux_logits", "false"), ("norm_layer", "\"batchnorm2d\""), ("norm_eps", "0.001")]
    }

    fn unused(&self) -> &'static [&'static str] {
        &["AuxLogits"]
    }
}
