//! What a convolutional backbone is made of, as data: families describe themselves with it, and
//! `executors::convolutional` runs it. (Transformers are plainer: see `vit`.)

use crate::nn::kernels::{Activation, Gate, Padding};

/// A convolution without bias, then batch norm, then perhaps an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Convolution,
    /// Few convolutions have one: those without a norm behind them.
    ConvolutionBias,
    NormScale,
    NormShift,
    RunningMean,
    RunningVariance,
    LinearWeight,
    LinearBias,
    ClassToken,
    Position,
    HeadWeight,
    HeadBias,
}

/// A tensor's name, shape and purpose.
pub type Expected = (String, Vec<usize>, Kind);

/// What is added to a block's output (before its last unit's activation).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shortcut {
    None,
    /// The block's input.
    Identity,
    /// The block's input, brought to the output's shape.
    Projection(Unit),
}

/// Units one after the other, around a shortcut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub units: Vec<Unit>,
    pub shortcut: Shortcut,
}

/// Blocks that are frozen or trained together.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// How timm would draw fresh weights.
    pub init: Init,
}

/// timm's ways of drawing fresh weights; they differ by family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Init {
    /// Normal convolutions by fan-out, uniform classifier by fan-out, zero bias.
    Mobile,
    /// Normal convolutions by fan-out, PyTorch's own linear layer, and the last norm of each residual branch
    /// silent, so that the network starts as its shortcuts.
    Residual,
    /// Normal linear layers of deviation 0.02, PyTorch's own convolution, zero biases.
    Transformer,
}

impl Unit {
    /// Its five tensors and their shapes: weight, scale, shift, running mean, running variance.
    pub fn tensors(&self) -> [(String, Vec<usize>); 5] {
        let norm = |field: &str| (format!("{}.{field}", self.norm), vec![self.output]);
        let weight = vec![self.output, self.input / self.groups, self.kernel, self.kernel];
        [(format!("{}.weight", self.conv), weight), norm("weight"), norm("bias"), norm("running_mean"), norm("running_var")]
    }
}

impl Squeeze {
    /// Its four tensors and their shapes: weight and bias on the way in, weight and bias on the way out.
    pub fn tensors(&self) -> [(String, Vec<usize>); 4] {
        let name = |field: &str| format!("{}.{field}", self.name);
        [
            (name("conv_reduce.weight"), vec![self.reduced, self.channels, 1, 1]),
            (name("conv_reduce.bias"), vec![self.reduced]),
            (name("conv_expand.weight"), vec![self.channels, self.reduced, 1, 1]),
            (name("conv_expand.bias"), vec![self.channels]),
        ]
    }
}

impl Pooled {
    /// Its weight and bias and their shapes.
    pub fn tensors(&self) -> [(String, Vec<usize>); 2] {
        [(format!("{}.weight", self.name), vec![self.output, self.input, 1, 1]), (format!("{}.bias", self.name), vec![self.output])]
    }
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
        const UNIT: [Kind; 5] = [Kind::Convolution, Kind::NormScale, Kind::NormShift, Kind::RunningMean, Kind::RunningVariance];
        const BIASED: [Kind; 4] = [Kind::Convolution, Kind::ConvolutionBias, Kind::Convolution, Kind::ConvolutionBias];
        let mut tensors = Vec::new();
        let mut add = |found: &mut dyn Iterator<Item = ((String, Vec<usize>), Kind)>| {
            tensors.extend(found.map(|((name, shape), kind)| (name, shape, kind)));
        };
        for unit in self.units() {
            add(&mut unit.tensors().into_iter().zip(UNIT));
            if let Some(squeeze) = &unit.squeeze {
                add(&mut squeeze.tensors().into_iter().zip(BIASED));
            }
        }
        if let Some(pooled) = &self.pooled {
            add(&mut pooled.tensors().into_iter().zip(BIASED));
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
