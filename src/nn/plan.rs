//! What a convolutional backbone is made of, as data: families describe themselves with it, `network` runs it, and
//! `registry` reads from it which tensors a set of weights must have.

use super::kernels::{Activation, Padding};

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
}

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
}

impl Unit {
    /// Its five tensors and their shapes: weight, scale, shift, running mean, running variance.
    pub fn tensors(&self) -> [(String, Vec<usize>); 5] {
        let norm = |field: &str| (format!("{}.{field}", self.norm), vec![self.output]);
        let weight = vec![self.output, self.input / self.groups, self.kernel, self.kernel];
        [(format!("{}.weight", self.conv), weight), norm("weight"), norm("bias"), norm("running_mean"), norm("running_var")]
    }

    /// Their names.
    pub fn tensor_names(&self) -> [String; 5] {
        self.tensors().map(|(name, _)| name)
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
}

impl Block {
    /// Units without a shortcut.
    pub fn chain(units: Vec<Unit>) -> Block {
        Block { units, shortcut: Shortcut::None }
    }
}
