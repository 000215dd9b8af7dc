//! The layers that heads over maps are made of. A head is written once: [`Parts`] draws its tensors where they are new and looks them up
//! where they were published.

use candle_core::{DType, Device, Tensor, Var};

use crate::nn::architectures::{Expected, Init};
use crate::nn::backbone::Mode;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::ops::Pass;
use crate::nn::kernels::{Activation, Maps, Norm, Padding, Spec};
use crate::nn::random::Draw;
use crate::nn::weights::Weights;

/// The module that all tensors of a head over maps belong to.
pub const MODULE: &str = "decode_head";

/// Tells their random numbers from those of other heads.
const STREAM: u64 = 1 << 32;

/// Of batch norms, as in torchvision's heads.
const EPS: f64 = 1e-5;

/// Where a head's tensors come from, and those that it has taken so far.
pub(crate) struct Parts<'a> {
    given: Option<&'a Weights>,
    device: &'a Device,
    seed: u64,
    made: Weights,
}

impl<'a> Parts<'a> {
    /// Drawn anew by a seed, the same on every machine.
    pub fn fresh(seed: u64, device: &'a Device) -> Parts<'a> {
        Parts { given: None, device, seed, made: Weights::default() }
    }

    /// Those of a model, with the names they have there.
    pub fn given(weights: &'a Weights, device: &'a Device) -> Parts<'a> {
        Parts { given: Some(weights), device, seed: 0, made: Weights::default() }
    }

    /// All tensors that were taken.
    pub fn into_weights(self) -> Weights {
        self.made
    }

    /// Whether a published head has a tensor of this name, without [`MODULE`]; a new one has none yet.
    pub fn has(&self, name: &str) -> bool {
        self.given.is_some_and(|given| given.get(&format!("{MODULE}.{name}")).is_some())
    }

    /// One tensor, called so within [`MODULE`].
    ///
    /// # Errors
    /// The model lacks it, or has it in another shape.
    pub fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Var> {
        let expected = Expected::new(format!("{MODULE}.{name}"), shape, init);
        let var = match self.given {
            Some(given) => given_as(given, &expected)?,
            None => self.drawn(&expected)?,
        };
        self.made.insert(expected.name, var.clone());
        Ok(var)
    }

    /// Has a new tensor start at these values; a published one has its own.
    ///
    /// # Errors
    /// It was not taken before, or has another size.
    pub fn start(&self, name: &str, values: impl Iterator<Item = f32>) -> Result<()> {
        if self.given.is_some() {
            return Ok(());
        }
        let missing = || Error::Invalid(format!("no tensor `{name}` was made that could start anywhere"));
        let var = self.made.get(&format!("{MODULE}.{name}")).ok_or_else(missing)?;
        Ok(var.set(&Tensor::from_vec(values.collect::<Vec<f32>>(), var.shape(), &Device::Cpu)?.to_device(self.device)?)?)
    }

    fn drawn(&self, expected: &Expected) -> Result<Var> {
        let (mut draw, count) = (Draw::new(self.seed, STREAM + self.made.len() as u64), expected.count());
        let values = match expected.init {
            Init::Constant(value) => vec![value; count],
            Init::Uniform(bound) => draw.uniform(count, bound),
            Init::Normal(deviation) => draw.normals(count, deviation),
        };
        Ok(Var::from_tensor(&Tensor::from_vec(values, expected.shape.clone(), &Device::Cpu)?.to_device(self.device)?)?)
    }

    /// A convolution that keeps sides at stride 1, with a batch norm and an activation behind it.
    pub fn conv_norm(&mut self, name: &str, shape: Shape, activation: Activation) -> Result<Conv> {
        let weight = self.tensor(&format!("{name}.weight"), &shape.dims(), Init::fan_out(shape.output / shape.groups, shape.kernel))?;
        let norm = BatchNorm::build(self, &format!("{name}.bn"), shape.output)?;
        Ok(Conv { weight, with: With::Norm(norm), shape, activation })
    }

    /// The same with a bias in the place of the norm.
    pub fn conv_bias(&mut self, name: &str, shape: Shape, activation: Activation) -> Result<Conv> {
        let init = Init::fan_out(shape.output / shape.groups, shape.kernel);
        self.conv_drawn(name, shape, activation, (init, 0.0))
    }

    /// The same whose weight is drawn so and whose bias starts at this value: of layers that say what is asked.
    pub fn conv_drawn(&mut self, name: &str, shape: Shape, activation: Activation, (init, bias): (Init, f32)) -> Result<Conv> {
        let weight = self.tensor(&format!("{name}.weight"), &shape.dims(), init)?;
        let bias = self.tensor(&format!("{name}.bias"), &[shape.output], Init::Constant(bias))?;
        Ok(Conv { weight, with: With::Bias(bias), shape, activation })
    }

    /// The same with nothing added.
    pub fn conv_plain(&mut self, name: &str, shape: Shape, activation: Activation) -> Result<Conv> {
        let init = Init::fan_out(shape.output / shape.groups, shape.kernel);
        let weight = self.tensor(&format!("{name}.weight"), &shape.dims(), init)?;
        let zeros = Tensor::zeros(shape.output, DType::F32, weight.device())?;
        Ok(Conv { weight, with: With::Zeros(zeros), shape, activation })
    }

    /// A depthwise convolution and a pointwise one, each with a norm and an activation. Taps of the first are `shape.rate` apart.
    pub fn separable(&mut self, name: &str, shape: Shape, activation: Activation) -> Result<Separable> {
        let depthwise = Shape { output: shape.input, groups: shape.input, ..shape };
        let pointwise = Shape { kernel: 1, groups: 1, rate: 1, stride: 1, ..shape };
        Ok(Separable {
            depthwise: self.conv_norm(&format!("{name}.depthwise"), depthwise, activation)?,
            pointwise: self.conv_norm(&format!("{name}.pointwise"), pointwise, activation)?,
        })
    }
}

fn given_as(given: &Weights, expected: &Expected) -> Result<Var> {
    let head = || "the head over maps".to_owned();
    let missing = || Error::Missing { architecture: head(), name: expected.name.clone(), shape: expected.shape.clone() };
    let var = given.get(&expected.name).ok_or_else(missing)?;
    if var.dims() != expected.shape {
        let (name, expected, found) = (expected.name.clone(), expected.shape.clone(), var.dims().to_vec());
        return Err(Error::Shape { architecture: head(), name, expected, found });
    }
    Ok(var.clone())
}

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub input: usize,
    pub output: usize,
    /// Taps of a side, odd.
    pub kernel: usize,
    pub stride: usize,
    /// 1 is dense; as many as channels is depthwise.
    pub groups: usize,
    /// Pixels between taps; other than 1 only of depthwise ones at stride 1.
    pub rate: usize,
}

impl Shape {
    /// Dense, at stride 1.
    pub const fn new(input: usize, output: usize, kernel: usize) -> Shape {
        Shape { input, output, kernel, stride: 1, groups: 1, rate: 1 }
    }

    /// The same at another stride.
    pub const fn strided(self, stride: usize) -> Shape {
        Shape { stride, ..self }
    }

    /// The same with taps so far apart.
    pub const fn dilated(self, rate: usize) -> Shape {
        Shape { rate, ..self }
    }

    fn dims(&self) -> [usize; 4] {
        [self.output, self.input / self.groups, self.kernel, self.kernel]
    }

    fn spec(&self) -> Spec {
        Spec { stride: self.stride, padding: Padding::Symmetric(self.kernel / 2), groups: self.groups, ..Spec::POINTWISE }
    }
}

/// How a head is run once.
pub(crate) struct Running {
    pub mode: Mode,
    pub pass: Pass,
    /// Height and width of the images, in pixels.
    pub view: (usize, usize),
}

impl Running {
    /// Height and width of the maps at a stride.
    pub fn sides(&self, stride: usize) -> [usize; 2] {
        [self.view.0.div_ceil(stride), self.view.1.div_ceil(stride)]
    }

    /// A parameter as a variable or, in eval mode, as a constant.
    pub fn parameter(&self, var: &Var) -> Tensor {
        match self.mode {
            Mode::Train => var.as_tensor().clone(),
            Mode::Eval => var.detach(),
        }
    }

    /// Takes in `(B, H, W, C)`.
    pub fn enter(&self, x: &Tensor) -> Result<Maps> {
        Ok(Maps::enter(x, &self.pass)?)
    }
}

struct BatchNorm {
    gamma: Var,
    beta: Var,
    mean: Var,
    variance: Var,
}

impl BatchNorm {
    fn build(parts: &mut Parts<'_>, name: &str, width: usize) -> Result<BatchNorm> {
        let mut get = |field: &str, value: f32| parts.tensor(&format!("{name}.{field}"), &[width], Init::Constant(value));
        Ok(BatchNorm {
            gamma: get("weight", 1.0)?,
            beta: get("bias", 0.0)?,
            mean: get("running_mean", 0.0)?,
            variance: get("running_var", 1.0)?,
        })
    }

    /// Moves the running statistics towards a batch's.
    fn follow(&self, batch: Option<&crate::nn::kernels::BatchStatistics>, momentum: f64) -> Result<()> {
        let Some(batch) = batch else { return Ok(()) };
        for (running, seen) in [(&self.mean, &batch.mean), (&self.variance, &batch.unbiased_variance)] {
            running.set(&((running.as_tensor() * (1.0 - momentum))? + (seen * momentum)?)?)?;
        }
        Ok(())
    }
}

enum With {
    Norm(BatchNorm),
    Bias(Var),
    Zeros(Tensor),
}

/// A convolution, what is added to it, and its activation.
pub(crate) struct Conv {
    weight: Var,
    with: With,
    shape: Shape,
    activation: Activation,
}

impl Conv {
    /// # Errors
    /// Shapes do not fit.
    pub fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        let (weight, spec) = (run.parameter(&self.weight), self.shape.spec());
        let norm = match &self.with {
            With::Bias(bias) => return Ok(x.conv_bias((&weight, &run.parameter(bias)), &spec, self.activation)?),
            With::Zeros(zeros) => return Ok(x.conv_bias((&weight, zeros), &spec, self.activation)?),
            With::Norm(norm) => norm,
        };
        let (gamma, beta) = (run.parameter(&norm.gamma), run.parameter(&norm.beta));
        let parts = Norm { gamma: &gamma, beta: &beta, eps: EPS, activation: self.activation };
        let fixed = (run.mode == Mode::Eval).then_some((norm.mean.as_tensor(), norm.variance.as_tensor()));
        let (y, batch) = match self.shape.rate {
            1 => x.conv_norm(&weight, &spec, &parts, fixed)?,
            rate => x.dilated(&weight, rate)?.norm(&parts, fixed)?,
        };
        norm.follow(batch.as_ref(), run.pass.momentum)?;
        Ok(y)
    }
}

/// See [`Parts::separable`].
pub(crate) struct Separable {
    depthwise: Conv,
    pointwise: Conv,
}

impl Separable {
    /// # Errors
    /// Shapes do not fit.
    pub fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        self.pointwise.forward(&self.depthwise.forward(x, run)?, run)
    }
}
