//! What a convolutional backbone is made of, as data: families describe themselves with it, and
//! `executors::convolutional` runs it. (Transformers are plainer: see `vit`.)

use super::tensor::{Expected, Init, norm};
use crate::nn::kernels::{Activation, Gate, Padding};

/// A convolution without bias, then batch norm, then perhaps an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// timm's module names.
    pub conv: String,
    pub norm: String,
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    /// 1 or, for depthwise, the number of channels.
    pub groups: usize,
    pub activation: Activation,
    /// After the activation.
    pub squeeze: Option<Squeeze>,
    /// How timm would draw the convolution.
    pub init: Init,
    /// Whether the norm's scale starts at zero instead of one.
    pub silent: bool,
}

/// Squeeze-and-excite over a unit's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squeeze {
    /// timm's module name, such as `blocks.2.0.se`.
    pub name: String,
    pub channels: usize,
    /// Channels in between.
    pub reduced: usize,
    pub activation: Activation,
    pub gate: Gate,
}

/// The mean over all pixels, then a 1x1 convolution with bias, then an activation: MobileNetV3's last layer, which
/// works on a single pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooled {
    /// timm's module name.
    pub name: String,
    pub input: usize,
    pub output: usize,
    pub activation: Activation,
}

/// What is added to a block's output (before its last unit's activation).
#[derive(Debug, Clone, PartialEq)]
pub enum Shortcut {
    None,
    /// The block's input.
    Identity,
    /// The block's input, brought to the output's shape.
    Projection(Unit),
}

/// Units one after the other, around a shortcut.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub units: Vec<Unit>,
    pub shortcut: Shortcut,
}

/// Blocks that are frozen or trained together.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    pub name: String,
    pub blocks: Vec<Block>,
    /// ResNet's stem ends in a 3x3 max pooling of stride 2.
    pub max_pool: bool,
    /// The stage ends in a single pixel.
    pub pooled: Option<Pooled>,
}

/// A whole backbone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub stages: Vec<StagePlan>,
    /// Channels after the last stage.
    pub num_features: usize,
    /// Every convolution pads by half its kernel, or as TensorFlow does.
    pub same_padding: bool,
    /// Added to variances in batch norm.
    pub norm_eps: f64,
}

impl Unit {
    /// Its five tensors: weight, scale, shift, running mean, running variance.
    pub fn tensors(&self) -> [Expected; 5] {
        let weight = [self.output, self.input / self.groups, self.kernel, self.kernel];
        let [mut scale, shift] = norm(&self.norm, self.output);
        scale.init = if self.silent { Init::ZEROS } else { Init::ONES };
        let running = |field: &str, init: Init| Expected::new(format!("{}.{field}", self.norm), [self.output], init);
        [
            Expected::new(format!("{}.weight", self.conv), weight, self.init),
            scale,
            shift,
            running("running_mean", Init::ZEROS),
            running("running_var", Init::ONES),
        ]
    }
}

impl Squeeze {
    /// Its four tensors: weight and bias on the way in, weight and bias on the way out.
    pub fn tensors(&self) -> [Expected; 4] {
        let [weight, bias] = pointwise(&format!("{}.conv_reduce", self.name), self.channels, self.reduced);
        let [back, back_bias] = pointwise(&format!("{}.conv_expand", self.name), self.reduced, self.channels);
        [weight, bias, back, back_bias]
    }
}

impl Pooled {
    /// Its weight and bias.
    pub fn tensors(&self) -> [Expected; 2] {
        pointwise(&self.name, self.input, self.output)
    }
}

/// Weight and bias of a 1x1 convolution.
fn pointwise(module: &str, input: usize, output: usize) -> [Expected; 2] {
    [
        Expected::new(format!("{module}.weight"), [output, input, 1, 1], Init::fan_out(output, 1)),
        Expected::new(format!("{module}.bias"), [output], Init::ZEROS),
    ]
}

impl Plan {
    /// The padding of a unit.
    pub fn padding(&self, unit: &Unit) -> Padding {
        if self.same_padding { Padding::Same } else { Padding::Symmetric(unit.kernel / 2) }
    }
}

impl StagePlan {
    /// Every unit in the order of computation.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.blocks.iter().flat_map(|block| {
            let projection = match &block.shortcut {
                Shortcut::Projection(unit) => Some(unit),
                _ => None,
            };
            block.units.iter().chain(projection)
        })
    }

    /// Every tensor in the order of computation.
    pub fn tensors(&self) -> Vec<Expected> {
        let mut tensors = Vec::new();
        for unit in self.units() {
            tensors.extend(unit.tensors());
            if let Some(squeeze) = &unit.squeeze {
                tensors.extend(squeeze.tensors());
            }
        }
        if let Some(pooled) = &self.pooled {
            tensors.extend(pooled.tensors());
        }
        tensors
    }
}

impl Block {
    /// Units without a shortcut.
    pub fn chain(units: Vec<Unit>) -> Block {
        Block { units, shortcut: Shortcut::None }
    }
}
