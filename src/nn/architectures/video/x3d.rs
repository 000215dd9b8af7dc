//! X3D (Feichtenhofer 2020), under pytorchvideo's names: inverted bottlenecks over clips, of one width and depth for clips of three sizes.
//!
//! ```text
//! stem      blocks.0: 1x3x3/1x2x2, then 5x1x1 depthwise
//! layer1-4  blocks.1 to 4: 1x1x1 to 2.25 times the width, 3x3x3 depthwise, a squeeze in every other block, Swish, 1x1x1
//! head      blocks.5: 1x1x1, the mean of the whole clip, a layer over that
//! ```
//!
//! pytorchvideo's head takes means over windows as large as the maps of its usual clips; here they are as large as the map.

use super::super::architecture::{Architecture, Member};
use super::super::convolutional::Planned;
use super::super::plan::{Block, Part, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::super::tensor::Init;
use super::grey;
use crate::nn::kernels::{Activation, Average, Gate};

/// The family.
pub(in super::super) static MEMBERS: [Architecture; 3] =
    [member("x3d_xs", (4, 12, 182)), member("x3d_s", (13, 6, 182)), member("x3d_m", (16, 5, 256))];

const fn member(name: &'static str, (frames, every, size): (usize, usize, usize)) -> Architecture {
    let (input, member) = (grey(frames, every, size, 1.0), &X3d as &'static dyn Member);
    Architecture {
        name,
        family: "x3d",
        num_features: FEATURES,
        first_conv: "blocks.0.conv.conv_t",
        classifier: "blocks.5.proj",
        input,
        member,
    }
}

#[derive(Debug, Clone, Copy)]
struct X3d;

const RELU: Activation = Activation::Relu;
const SWISH: Activation = Activation::Silu;
const FEATURES: usize = 2048;
/// Of the stem and the layers: blocks, channels, and channels inside the blocks.
const STEM: usize = 24;
const LAYERS: [(usize, usize, usize); 4] = [(3, 24, 54), (5, 48, 108), (11, 96, 216), (7, 192, 432)];
/// Channels in the middle of a squeeze.
const REDUCED: [usize; 4] = [8, 8, 16, 32];

/// Height and width, then frames, each a kernel and a stride; frames are seen one after the other.
fn bare(conv: String, channels: (usize, usize), (kernel, stride): (usize, usize), frames: usize) -> Unit {
    Unit::plain(conv, channels, kernel, stride, Init::fan_out(channels.1 * frames, kernel)).over(frames, 1)
}

fn normed(conv: String, norm: String, channels: (usize, usize), pixels: (usize, usize), frames: usize) -> Unit {
    Unit { norm: Some(norm), ..bare(conv, channels, pixels, frames) }
}

fn depthwise(unit: Unit, kernel: usize) -> Unit {
    let frames = unit.time.map_or(1, |time| time.kernel);
    Unit { groups: unit.output, init: Init::fan_out(frames, kernel), ..unit }
}

fn block(layer: usize, at: usize, input: usize) -> Block {
    let (_, output, inside) = LAYERS[layer];
    let prefix = format!("blocks.{}.res_blocks.{at}", layer + 1);
    let stride = if at == 0 { 2 } else { 1 };
    let part = |conv: &str, norm: &str, channels: (usize, usize), pixels: (usize, usize), frames: usize| {
        normed(format!("{prefix}.branch2.{conv}"), format!("{prefix}.branch2.{norm}"), channels, pixels, frames)
    };
    let middle = depthwise(part("conv_b", "norm_b.0", (inside, inside), (3, stride), 3), 3);
    let squeeze = |reduced: usize| Squeeze {
        name: format!("{prefix}.branch2.norm_b.1.block"),
        layers: ["0", "2"],
        channels: inside,
        reduced,
        clips: true,
        activation: RELU,
        gate: Gate::Sigmoid,
    };
    let middle = match at % 2 {
        0 => Unit { squeeze: Some(squeeze(REDUCED[layer])), finally: SWISH, ..middle },
        _ => middle.then(SWISH),
    };
    let last = Unit { silent: true, ..part("conv_c", "norm_c", (inside, output), (1, 1), 1) }.then(RELU);
    let units = vec![part("conv_a", "norm_a", (input, inside), (1, 1), 1).then(RELU), middle, last];
    let shortcut = match (input == output, stride) {
        (true, 1) => Shortcut::Identity,
        (same, _) => {
            let project = bare(format!("{prefix}.branch1_conv"), (input, output), (1, stride), 1);
            // Where the width stays there is no norm.
            Shortcut::Projection(None, Box::new(Unit { norm: (!same).then(|| format!("{prefix}.branch1_norm")), ..project }))
        }
    };
    Block { units, shortcut, sum: Sum::Inside }
}

impl Planned for X3d {
    fn plan(&self) -> Plan {
        let pixels = bare("blocks.0.conv.conv_t".into(), (3, STEM), (3, 2), 1);
        let frames = depthwise(normed("blocks.0.conv.conv_xy".into(), "blocks.0.norm".into(), (STEM, STEM), (1, 1), 5), 1).then(RELU);
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain([pixels, frames])] }];
        let mut channels = STEM;
        for (layer, (repeats, output, _)) in LAYERS.into_iter().enumerate() {
            let mut blocks = Vec::new();
            for at in 0..repeats {
                blocks.push(block(layer, at, channels));
                channels = output;
            }
            stages.push(StagePlan::of_blocks(format!("layer{}", layer + 1), blocks));
        }
        let (_, output, inside) = LAYERS[3];
        let before = normed("blocks.5.pool.pre_conv".into(), "blocks.5.pool.pre_norm".into(), (output, inside), (1, 1), 1).then(RELU);
        let after = bare("blocks.5.pool.post_conv".into(), (inside, FEATURES), (1, 1), 1).then(RELU);
        let parts = vec![Part::chain([before]), Part::AveragePool(Average::All), Part::chain([after])];
        stages.push(StagePlan { name: "head".into(), parts });
        Plan { stages, num_features: FEATURES, same_padding: false, clips: true, norm_eps: 1e-5 }
    }

    /// pytorchvideo draws it so.
    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::Normal(0.01), Init::ZEROS]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["silu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}
