//! Networks of images made into networks of clips: any family that a [`Plan`] describes, by its name and `_3d`.
//!
//! The first dense convolution of each block sees three frames instead of one, as the bottlenecks of I3D on a ResNet do; everything else goes
//! over the frames one by one, squeezes and the mean at the end over all of them. Carreira & Zisserman (2017) repeat a kernel along the
//! frames and divide it by their number. With zeros around a clip that makes its first and last frames darker, so that a clip of one repeated
//! frame no longer gets the answer of the image. Here the kernel of the image stands in the middle and zeros before and behind it: the answer is
//! the same on any clip of one repeated frame, and what is learned is what other frames add.

use std::collections::HashMap;

use candle_core::Var;
use parking_lot::Mutex;

use super::super::architecture::Architecture;
use super::super::convolutional::Planned;
use super::super::plan::{Block, Part, Plan, Shortcut, Squeeze, Unit};
use super::super::tensor::Init;
use super::{UsualInput, VideoInput};
use crate::nn::architectures;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::Average;
use crate::nn::weights::Weights;

/// How the name of an inflated network ends.
const ENDS: &str = "_3d";
/// Frames that the first convolution of a block sees.
const KERNEL: usize = 3;
/// Of its usual clip, and how far they are apart, as for networks of this cost elsewhere (`slow_r50`), but for shorter videos.
const FRAMES: usize = 8;
const EVERY: usize = 4;

/// A network of images over clips.
#[derive(Debug)]
struct Inflated {
    base: &'static Architecture,
    plan: Plan,
}

/// The inflated network of that name. One that is asked for is kept, since architectures live as long as the program; there are no more than
/// networks of images.
pub(in super::super) fn find(name: &str) -> Option<&'static Architecture> {
    static KNOWN: Mutex<Option<HashMap<&'static str, &'static Architecture>>> = Mutex::new(None);
    let base = architectures::all().find(|known| Some(known.name) == name.strip_suffix(ENDS))?;
    let UsualInput::Image(image) = base.input else { return None };
    let plan = over_clips(base.member.described()?);
    let mut known = KNOWN.lock();
    let made = known.get_or_insert_default().entry(base.name).or_insert_with(|| {
        Box::leak(Box::new(Architecture {
            name: Box::leak(name.to_owned().into_boxed_str()),
            family: "inflated",
            num_features: plan.num_features,
            input: UsualInput::Video(VideoInput { frames: FRAMES, every: EVERY, image }),
            member: Box::leak(Box::new(Inflated { base, plan })),
            ..*base
        }))
    });
    Some(*made)
}

/// What [`inflate`] makes.
pub struct Inflation {
    pub architecture: &'static Architecture,
    /// All of them, with the classifier where the base had one.
    pub weights: Weights,
}

/// A network of images, by the name of its architecture and all its weights, as one of clips that answers the same of a clip of one repeated
/// frame.
///
/// # Errors
/// The architecture is not known or is none of convolutions over images, or the weights are not its own.
pub fn inflate(base: &str, weights: &Weights) -> Result<Inflation> {
    let known = architectures::get(base)?;
    let architecture = find(&format!("{}{ENDS}", known.name)).ok_or_else(|| {
        Error::Invalid(format!(
            "{base} is no network of convolutions over images, and only those can see several frames with their own weights; choose one such as \
             resnet50, or fine-tune {base} itself on videos, frame by frame"
        ))
    })?;
    let weights = known.used(&known.adopted(weights.clone()));
    let classes = architectures::num_classes(base, &weights)?;
    architectures::check(base, classes, &weights)?;
    let mut inflated = Weights::default();
    for tensor in architecture.expected(classes) {
        let missing = || Error::Missing { architecture: base.into(), name: tensor.name.clone(), shape: tensor.shape.clone() };
        let var = weights.get(&tensor.name).ok_or_else(missing)?;
        let var = if var.rank() == tensor.shape.len() { var.clone() } else { centred(var, tensor.shape[2])? };
        inflated.insert(tensor.name, var);
    }
    Ok(Inflation { architecture, weights: inflated })
}

/// A kernel `(O, I, h, w)` in the middle of so many frames `(O, I, t, h, w)`, with zeros around.
fn centred(kernel: &Var, frames: usize) -> Result<Var> {
    let before = (frames - 1) / 2;
    let kernel = kernel.as_tensor().detach().unsqueeze(2)?.pad_with_zeros(2, before, frames - 1 - before)?;
    Ok(Var::from_tensor(&kernel.contiguous()?)?)
}

fn unit(unit: Unit, frames: usize) -> Unit {
    let squeeze = unit.squeeze.clone().map(|squeeze| Squeeze { clips: true, ..squeeze });
    Unit { squeeze, ..unit }.over(frames, 1)
}

/// `kernel` is how many frames its first convolution is to see.
fn block(block: Block, kernel: usize) -> Block {
    let sees = block.units.iter().position(|unit| unit.groups == 1 && !unit.valid);
    let each = |(at, own): (usize, Unit)| unit(own, if Some(at) == sees { kernel } else { 1 });
    let shortcut = match block.shortcut {
        Shortcut::Projection(pool, own) => Shortcut::Projection(pool, Box::new(unit(*own, 1))),
        other => other,
    };
    Block { units: block.units.into_iter().enumerate().map(each).collect(), shortcut, ..block }
}

fn part(own: Part, kernel: usize) -> Part {
    match own {
        Part::Block(own) => Part::Block(block(own, kernel)),
        Part::Branches(branches) => {
            let along = |parts: Vec<Part>| parts.into_iter().map(|own| part(own, kernel)).collect();
            Part::Branches(branches.into_iter().map(along).collect())
        }
        other => other,
    }
}

fn over_clips(mut plan: Plan) -> Plan {
    let mut kernel = KERNEL;
    for own in plan.stages.iter_mut().flat_map(|stage| &mut stage.parts) {
        if *own == Part::AveragePool(Average::All) {
            // A single frame is left.
            kernel = 1;
        }
        *own = part(own.clone(), kernel);
    }
    Plan { clips: true, ..plan }
}

impl Planned for Inflated {
    fn plan(&self) -> Plan {
        self.plan.clone()
    }

    fn classifier(&self, num_features: usize, num_classes: usize) -> [Init; 2] {
        self.base.member.classifier(num_features, num_classes)
    }

    fn activations(&self) -> &'static [&'static str] {
        self.base.member.activations()
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        self.base.member.arguments()
    }

    fn unused(&self) -> &'static [&'static str] {
        self.base.member.unused()
    }
}
