//! What a convolutional backbone is made of, as data: families describe themselves with it, and
//! `executors::convolutional` runs it. (Transformers are plainer: see `vit`.)

use super::tensor::{Expected, Init, norm};
use crate::nn::kernels::{Activation, Average, Clip, Gate, Padding, Spec, Window};

/// A convolution, with a bias or a batch norm or both, then perhaps an activation.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// timm's module names.
    pub conv: String,
    pub norm: Option<String>,
    /// Whether the convolution has a bias, which starts at zero.
    pub bias: bool,
    pub input: usize,
    pub output: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    pub stride: usize,
    /// How it moves along the frames of clips; absent over images.
    pub time: Option<Time>,
    /// Whether it looks at whole windows of the image alone, without padding.
    pub valid: bool,
    /// 1, a number that divides the channels or, for depthwise, the number of channels.
    pub groups: usize,
    pub activation: Activation,
    /// After the activation.
    pub squeeze: Option<Squeeze>,
    /// After the squeeze.
    pub finally: Activation,
    /// How timm would draw the convolution.
    pub init: Init,
    /// Whether the norm's scale starts at zero instead of one.
    pub silent: bool,
}

/// How a kernel moves along the frames of clips, padded by half of those that it sees, or as TensorFlow does where the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Frames that it sees at a time.
    pub kernel: usize,
    pub stride: usize,
}

/// Batch norm by itself, then perhaps an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchNorm {
    /// timm's module name.
    pub name: String,
    pub channels: usize,
    pub activation: Activation,
}

/// Squeeze-and-excite over a unit's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Squeeze {
    /// timm's module name, such as `blocks.2.0.se`, and its names for the layers on the way in and out.
    pub name: String,
    pub layers: [&'static str; 2],
    pub channels: usize,
    /// Channels in between.
    pub reduced: usize,
    /// Whether its layers are convolutions over clips, `(O, I, 1, 1, 1)`.
    pub clips: bool,
    pub activation: Activation,
    pub gate: Gate,
}

/// What is added to a block's output.
#[derive(Debug, Clone, PartialEq)]
pub enum Shortcut {
    None,
    /// The block's input.
    Identity,
    /// The block's input, brought to the output's shape: perhaps pooled, then through a unit.
    Projection(Option<Average>, Box<Unit>),
}

/// Where a shortcut meets the block's own output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sum {
    /// Between the last unit's norm and its activation.
    Inside,
    /// After all of the last unit, squeeze included; then this activation.
    After(Activation),
}

/// Units one after the other, around a shortcut.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub units: Vec<Unit>,
    pub shortcut: Shortcut,
    pub sum: Sum,
}

/// What happens to a map.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Block(Block),
    Norm(BatchNorm),
    MaxPool(Window),
    AveragePool(Average),
    /// Every branch is given the map, and what they make of it is joined, channels behind channels. A branch without parts hands the
    /// map on.
    Branches(Vec<Vec<Part>>),
}

/// Parts that are frozen or trained together.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    pub name: String,
    pub parts: Vec<Part>,
}

/// A whole backbone.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub stages: Vec<StagePlan>,
    /// Channels after the last stage.
    pub num_features: usize,
    /// Every convolution pads by half its kernel, or as TensorFlow does.
    pub same_padding: bool,
    /// Whether it takes clips `(B, 3, T, H, W)` instead of images.
    pub clips: bool,
    /// Added to variances in batch norm.
    pub norm_eps: f64,
}

impl Unit {
    /// A convolution without bias and its norm; kernel and stride. Drawn by fan-out, and nothing follows.
    pub fn new(conv: impl Into<String>, norm: impl Into<String>, (input, output): (usize, usize), kernel: usize, stride: usize) -> Unit {
        let init = Init::fan_out(output, kernel);
        let norm = Some(norm.into());
        Unit { norm, bias: false, ..Unit::plain(conv, (input, output), kernel, stride, init) }
    }

    /// A convolution with a bias and no norm.
    pub fn biased(conv: impl Into<String>, (input, output): (usize, usize), kernel: usize, stride: usize) -> Unit {
        Unit { bias: true, ..Unit::plain(conv, (input, output), kernel, stride, Init::fan_out(output, kernel)) }
    }

    /// A convolution alone.
    pub fn plain(conv: impl Into<String>, (input, output): (usize, usize), kernel: usize, stride: usize, init: Init) -> Unit {
        Unit {
            conv: conv.into(),
            norm: None,
            bias: false,
            input,
            output,
            kernel: [kernel; 2],
            stride,
            time: None,
            valid: false,
            groups: 1,
            activation: Activation::None,
            squeeze: None,
            finally: Activation::None,
            init,
            silent: false,
        }
    }

    /// Over clips: the kernel's frames and the stride from frame to frame.
    pub fn over(self, kernel: usize, stride: usize) -> Unit {
        Unit { time: Some(Time { kernel, stride }), ..self }
    }

    /// The weight's shape `(O, I, kh, kw)`, over clips `(O, I, kt, kh, kw)`.
    pub fn shape(&self) -> Vec<usize> {
        let channels = [self.output, self.input / self.groups];
        channels.into_iter().chain(self.time.map(|time| time.kernel)).chain(self.kernel).collect()
    }

    /// Followed by an activation.
    pub fn then(self, activation: Activation) -> Unit {
        Unit { activation, ..self }
    }

    /// In groups, and drawn by what each of them spreads to, as timm does it in the families that it draws itself.
    pub fn grouped(self, groups: usize) -> Unit {
        let init = Init::fan_out(self.output / groups, self.kernel[0]);
        Unit { groups, init, ..self }
    }

    /// Its tensors: the weight, then bias, scale, shift, running mean and running variance where it has them.
    pub fn tensors(&self) -> Vec<Expected> {
        let mut tensors = vec![Expected::new(format!("{}.weight", self.conv), self.shape(), self.init)];
        if self.bias {
            tensors.push(Expected::new(format!("{}.bias", self.conv), [self.output], Init::ZEROS));
        }
        if let Some(norm) = &self.norm {
            tensors.extend(batch_norm(norm, self.output, if self.silent { Init::ZEROS } else { Init::ONES }));
        }
        tensors.extend(self.squeeze.iter().flat_map(Squeeze::tensors));
        tensors
    }
}

/// Scale, shift, running mean and running variance.
fn batch_norm(module: &str, channels: usize, scale: Init) -> [Expected; 4] {
    let [mut weight, bias] = norm(module, channels);
    weight.init = scale;
    let running = |field: &str, init: Init| Expected::new(format!("{module}.{field}"), [channels], init);
    [weight, bias, running("running_mean", Init::ZEROS), running("running_var", Init::ONES)]
}

impl Squeeze {
    /// The layers' names in EfficientNet and its kin, and in ResNet and its kin.
    pub const CONV: [&'static str; 2] = ["conv_reduce", "conv_expand"];
    pub const FC: [&'static str; 2] = ["fc1", "fc2"];

    /// Its four tensors: weight and bias on the way in, weight and bias on the way out.
    pub fn tensors(&self) -> [Expected; 4] {
        let rank = if self.clips { 5 } else { 4 };
        let [weight, bias] = pointwise(&format!("{}.{}", self.name, self.layers[0]), (self.channels, self.reduced), rank);
        let [back, back_bias] = pointwise(&format!("{}.{}", self.name, self.layers[1]), (self.reduced, self.channels), rank);
        [weight, bias, back, back_bias]
    }
}

/// Weight, of so many axes, and bias of a 1x1 convolution.
fn pointwise(module: &str, (input, output): (usize, usize), rank: usize) -> [Expected; 2] {
    let mut shape = vec![1; rank];
    (shape[0], shape[1]) = (output, input);
    [
        Expected::new(format!("{module}.weight"), shape, Init::fan_out(output, 1)),
        Expected::new(format!("{module}.bias"), [output], Init::ZEROS),
    ]
}

impl Plan {
    /// The padding of a unit.
    pub fn padding(&self, unit: &Unit) -> Padding {
        let [height, width] = unit.kernel;
        match (unit.valid, self.same_padding) {
            (true, _) => Padding::Symmetric(0),
            (false, true) => Padding::Same,
            (false, false) if height == width => Padding::Symmetric(height / 2),
            (false, false) => Padding::Each { lines: height / 2, columns: width / 2 },
        }
    }
}

impl Plan {
    /// How a unit's kernel moves, over clips of one frame until it is told of more.
    pub fn spec(&self, unit: &Unit) -> Spec {
        let clip = unit.time.map_or(Clip::STILL, |time| Clip { frames: 1, stride: time.stride, padding: time.kernel / 2 });
        Spec { stride: unit.stride, padding: self.padding(unit), groups: unit.groups, clip }
    }
}

impl StagePlan {
    /// A stage of blocks alone.
    pub fn of_blocks(name: impl Into<String>, blocks: Vec<Block>) -> StagePlan {
        StagePlan { name: name.into(), parts: blocks.into_iter().map(Part::Block).collect() }
    }

    /// Every tensor in the order of computation.
    pub fn tensors(&self) -> Vec<Expected> {
        self.parts.iter().flat_map(Part::tensors).collect()
    }

    #[cfg(test)]
    pub fn block(&self, index: usize) -> &Block {
        let Part::Block(block) = &self.parts[index] else { panic!("{} has no block {index}", self.name) };
        block
    }
}

impl Part {
    /// Units one after the other.
    pub fn chain(units: impl IntoIterator<Item = Unit>) -> Part {
        Part::Block(Block { units: units.into_iter().collect(), shortcut: Shortcut::None, sum: Sum::Inside })
    }

    fn tensors(&self) -> Vec<Expected> {
        match self {
            Part::Block(block) => block.units().flat_map(Unit::tensors).collect(),
            Part::Norm(norm) => batch_norm(&norm.name, norm.channels, Init::ONES).into(),
            Part::MaxPool(_) | Part::AveragePool(_) => Vec::new(),
            Part::Branches(branches) => branches.iter().flatten().flat_map(Part::tensors).collect(),
        }
    }

    /// Whether it or a part of it normalises over the batch.
    pub fn normalises(&self) -> bool {
        match self {
            Part::Block(block) => block.units().any(|unit| unit.norm.is_some()),
            Part::Norm(_) => true,
            Part::MaxPool(_) | Part::AveragePool(_) => false,
            Part::Branches(branches) => branches.iter().flatten().any(Part::normalises),
        }
    }
}

impl Block {
    /// Every unit, that of the shortcut last.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        let projection = match &self.shortcut {
            Shortcut::Projection(_, unit) => Some(&**unit),
            _ => None,
        };
        self.units.iter().chain(projection)
    }
}
