//! Heads over maps: what is trained on top of a backbone where something is said about each place of an image. They take the maps of all
//! scales ([`Backbone::scales`]) and learn by gradient, with the stages under them where those learn, too.
//!
//! To add one: a file here (or beside, for another kind of answers) that implements `DenseHead`, and a line in `build`.

mod centernet;
mod deeplab;
mod fcos;
mod gated;
mod lr_aspp;
mod parts;
mod pixelwise;
mod pyramid;
mod segment;
mod ssdlite;
mod unet;

use candle_core::{Device, Tensor, Var};

pub use self::parts::MODULE;
pub(crate) use self::parts::{Conv, Parts, Running, Separable, Shape};
pub(crate) use self::pixelwise::{Layer, PixelNorm};
pub use self::segment::start_from;
pub use self::ssdlite::LEVELS as ANCHORED;
pub use crate::nn::backbone::Scale;

use crate::domain::recipe::Precision;
use crate::nn::architectures::CELL;
use crate::nn::backbone::{Backbone, Mode};
use crate::nn::error::{Error, Result};
use crate::nn::input::Input;
use crate::nn::kernels::ops::Settings;
use crate::nn::kernels::{Between, Maps};
use crate::nn::weights::Weights;

/// What a head is to be made for.
#[derive(Debug, Clone, Copy)]
pub struct Design<'a> {
    /// Rising in stride.
    pub scales: &'a [Scale],
    /// Numbers that are said about each place.
    pub outputs: usize,
    /// Height and width of the image that the network sees, in pixels.
    pub view: (usize, usize),
    /// Whether a linear head on the maps stands beside it, from which a new one starts. A published one says it by its tensors.
    pub shortcut: bool,
}

/// The layers of a head over maps.
pub(crate) trait DenseHead: Send + Sync {
    /// Maps of all scales that the design names, `(B, h, w, width)` each, to `(B, places, outputs)`: places in whatever order the head has
    /// them, the same for each image. Gradients flow to parameters and maps.
    ///
    /// # Errors
    /// Shapes do not fit.
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor>;

    /// Which of the design's scales is the last that is looked at; the last there is unless a head says otherwise. What is above it is not run.
    fn coarsest(&self) -> Option<usize> {
        None
    }

    /// Pixels of the image along a side of a place, of heads that say a class about each.
    fn cell(&self) -> usize {
        CELL
    }

    /// The same answers, `(B, places, outputs)`, as they would be of the images turned around; `None` where that is not known of them.
    fn mirrored(&self, _answers: &Tensor) -> Option<Result<Tensor>> {
        None
    }
}

/// Makes a head's layers.
type Build = fn(&mut Parts<'_>, &Design<'_>) -> Result<Box<dyn DenseHead>>;

/// Every head there is, by its name in a recipe and in `config.json`.
static HEADS: [(&str, Build); 8] = [
    ("lr-aspp", lr_aspp::build),
    ("deeplabv3+", deeplab::build),
    ("unet", unet::build),
    ("fpn", pyramid::build),
    ("fcos", fcos::build),
    ("ssdlite", ssdlite::build),
    ("centernet", centernet::build),
    ("gated", gated::build),
];

/// Names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    HEADS.iter().map(|(name, _)| *name)
}

fn build(name: &str, parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let unknown = || Error::Invalid(format!("no head is called `{name}`; known are {}", names().collect::<Vec<_>>().join(", ")));
    let (_, build) = HEADS.iter().find(|(known, _)| *known == name).ok_or_else(unknown)?;
    if design.scales.is_empty() || design.outputs == 0 {
        return Err(Error::Invalid(format!("a head `{name}` needs maps and something to say about their places")));
    }
    build(parts, design)
}

/// A head over maps with its tensors.
pub struct Dense {
    name: &'static str,
    head: Box<dyn DenseHead>,
    weights: Weights,
    outputs: usize,
    /// Of the maps of each scale.
    strides: Vec<usize>,
    view: (usize, usize),
    settings: Settings,
}

impl Dense {
    /// A new head of this name.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn fresh(name: &str, design: &Design<'_>, seed: u64, device: &Device) -> Result<Dense> {
        Dense::of(name, Parts::fresh(seed, device), design)
    }

    /// The head in a model's tensors, sharing their handles.
    ///
    /// # Errors
    /// There is none of this name, or tensors are missing or misshaped.
    pub fn given(name: &str, design: &Design<'_>, weights: &Weights) -> Result<Dense> {
        Dense::of(name, Parts::given(weights, &weights.device()), design)
    }

    fn of(name: &str, mut parts: Parts<'_>, design: &Design<'_>) -> Result<Dense> {
        let head = build(name, &mut parts, design)?;
        let name = names().find(|known| *known == name).unwrap_or_default();
        let strides = design.scales.iter().map(|scale| scale.stride).collect();
        Ok(Dense {
            name,
            head,
            weights: parts.into_weights(),
            outputs: design.outputs,
            strides,
            view: design.view,
            settings: Settings::new(),
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Numbers that are said about each place.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Pixels of the image along a side of a place, of heads that say a class about each.
    pub fn cell(&self) -> usize {
        self.head.cell()
    }

    /// All its tensors, parameters and running statistics, under their full names.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    pub fn parameters(&self) -> Vec<(String, &Var)> {
        self.weights.parameters().map(|(name, var)| (name.to_owned(), var)).collect()
    }

    /// Stages that its answers hang on: as far as it looks at maps.
    pub fn top(&self, backbone: &dyn Backbone) -> usize {
        let looked_at = self.head.coarsest().and_then(|at| backbone.scales().get(at));
        looked_at.map_or_else(|| top(backbone), |scale| scale.stage + 1)
    }

    /// See [`Backbone::set_norm_momentum`].
    pub fn set_norm_momentum(&self, momentum: f64) {
        self.settings.set_momentum(momentum);
    }

    /// See [`Backbone::set_precision`].
    ///
    /// # Errors
    /// Why f32 stays.
    pub fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
        self.settings.set_precision(precision, &self.weights.device())
    }

    /// Maps of all scales, `(B, C, h, w)` each, to `(B x places, outputs)`; of images that were turned around, the answers are turned
    /// back.
    ///
    /// # Errors
    /// Shapes do not fit; answers of this head cannot be turned around.
    pub fn forward(&self, maps: &[Tensor], mode: Mode, mirrored: bool) -> Result<Tensor> {
        self.forward_at(maps, self.view, mode, mirrored)
    }

    /// The same of images of another height and width than it was designed for, where it is one that says as much about any.
    fn forward_at(&self, maps: &[Tensor], view: (usize, usize), mode: Mode, mirrored: bool) -> Result<Tensor> {
        let Some(first) = maps.first() else { return Err(Error::Invalid("a head over maps was given none".into())) };
        let run = Running { mode, pass: self.settings.pass(first, mode == Mode::Train), view };
        // What a network makes at other sides, because its poolings leave edges out, is brought to those of its strides.
        let enter = |(map, stride): (&Tensor, &usize)| -> Result<Maps> {
            let sides = run.sides(*stride);
            Ok(run.enter(&map.permute((0, 2, 3, 1))?)?.resized(sides, Between::Bilinear)?)
        };
        let maps = maps.iter().zip(&self.strides).map(enter).collect::<Result<Vec<_>>>()?;
        let answers = self.head.forward(&maps, &run)?;
        let answers = match mirrored {
            false => answers,
            true => self.head.mirrored(&answers).unwrap_or_else(|| {
                Err(Error::Invalid(format!("answers of a head `{}` cannot be turned around; set tta_flip to false", self.name)))
            })?,
        };
        let (batch, places, outputs) = answers.dims3()?;
        Ok(answers.reshape((batch * places, outputs))?)
    }
}

/// Maps of a backbone's scales, some of which may be there already: those of the stages below `from`, rising, and what stage `from - 1` made.
#[derive(Debug, Clone)]
pub struct Below {
    pub from: usize,
    pub maps: Vec<Tensor>,
    pub x: Tensor,
    /// Height and width of the images, where they are at hand.
    pub view: Option<(usize, usize)>,
}

impl Below {
    /// Nothing but the input.
    pub fn nothing(input: &Input) -> Below {
        let view = input.tensor().dims4().ok().map(|(_, _, height, width)| (height, width));
        Below { from: 0, maps: Vec::new(), x: input.tensor().clone(), view }
    }

    /// Runs the stages up to `to` (not with it), or as far as maps are looked at; the first `frozen` as constants in eval mode.
    ///
    /// # Errors
    /// Shapes do not fit.
    pub fn up_to(mut self, backbone: &dyn Backbone, to: usize, frozen: usize, mode: Mode) -> Result<Below> {
        for stage in self.from..to.min(top(backbone)) {
            let (mode, constant) = if stage < frozen { (Mode::Eval, true) } else { (mode, false) };
            let made = |x: Tensor| if constant { x.detach() } else { x };
            self.x = made(backbone.forward_stage(stage, &self.x, mode)?);
            if backbone.scales().iter().any(|scale| scale.stage == stage) {
                self.maps.push(made(backbone.shown(stage, &self.x, mode)?));
            }
            self.from = stage + 1;
        }
        Ok(self)
    }
}

/// What a head over maps says, `(B x places, outputs)`, on a backbone whose first `frozen` stages are constants.
///
/// # Errors
/// As [`Dense::forward`].
pub fn answers(backbone: &dyn Backbone, head: &Dense, below: Below, frozen: usize, mode: Mode, mirrored: bool) -> Result<Tensor> {
    let all = below.up_to(backbone, head.top(backbone), frozen, mode)?;
    head.forward_at(&all.maps, all.view.unwrap_or(head.view), mode, mirrored)
}

/// Stages that heads over maps look at: what is above the last of them says nothing new, and is not run.
pub fn top(backbone: &dyn Backbone) -> usize {
    backbone.scales().last().map_or(backbone.stages().len(), |scale| scale.stage + 1)
}

#[cfg(test)]
mod dense_tests;
