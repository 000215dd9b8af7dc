//! ResNets of clips (Tran et al. 2018), under torchvision's names.
//!
//! ```text
//! stem      3x7x7/1x2x2, of r2plus1d_18 1x7x7/1x2x2 and 3x1x1
//! layer1-4  two basic blocks each; layers 2 to 4 halve height and width, and but for mc3_18 the frames
//! ```
//!
//! Convolutions see three frames (`r3d_18`), three in the stem and layer1 and single ones above (`mc3_18`), or are taken apart into one over
//! pixels and one over frames, with as many channels between as keep the number of weights (`r2plus1d_18`).

use super::super::architecture::{Architecture, Member};
use super::super::convolutional::Planned;
use super::super::plan::{Block, Part, Plan, Shortcut, StagePlan, Sum, Unit};
use super::super::tensor::Init;
use super::kinetics;
use crate::nn::kernels::Activation;

/// The family.
pub(in super::super) static MEMBERS: [Architecture; 3] =
    [member("r3d_18", &Kind::Whole), member("mc3_18", &Kind::Mixed), member("r2plus1d_18", &Kind::Apart)];

const fn member(name: &'static str, member: &'static dyn Member) -> Architecture {
    Architecture { name, family: "r3d", num_features: 512, first_conv: "stem.0", classifier: "fc", input: kinetics(16, 1, 112), member }
}

/// How convolutions see frames.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    Mixed,
    Apart,
}

const RELU: Activation = Activation::Relu;

/// A convolution and its norm, drawn by fan-out; height and width, then frames, each a kernel and a stride.
fn unit(conv: String, norm: String, channels: (usize, usize), (kernel, stride): (usize, usize), (frames, step): (usize, usize)) -> Unit {
    let init = Init::fan_out(channels.1 * frames, kernel);
    Unit { init, ..Unit::new(conv, norm, channels, kernel, stride) }.over(frames, step)
}

impl Kind {
    fn stem(self) -> Vec<Unit> {
        let (conv, norm) = ("stem.0".to_owned(), "stem.1".to_owned());
        match self {
            Kind::Whole | Kind::Mixed => vec![unit(conv, norm, (3, 64), (7, 2), (3, 1)).then(RELU)],
            Kind::Apart => vec![
                unit(conv, norm, (3, 45), (7, 2), (1, 1)).then(RELU),
                unit("stem.3".into(), "stem.4".into(), (45, 64), (1, 1), (3, 1)).then(RELU),
            ],
        }
    }

    /// Whether a layer looks along the frames.
    fn sees_frames(self, layer: usize) -> bool {
        self != Kind::Mixed || layer == 1
    }

    /// One of a block's two convolutions, `between` being the channels between its halves.
    fn convolution(self, layer: usize, prefix: &str, channels: (usize, usize), stride: usize, between: usize) -> Vec<Unit> {
        let (conv, norm) = (format!("{prefix}.0"), format!("{prefix}.1"));
        match self {
            Kind::Apart => vec![
                unit(format!("{conv}.0"), format!("{conv}.1"), (channels.0, between), (3, stride), (1, 1)).then(RELU),
                unit(format!("{conv}.3"), norm, (between, channels.1), (1, 1), (3, stride)),
            ],
            _ if self.sees_frames(layer) => vec![unit(conv, norm, channels, (3, stride), (3, stride))],
            _ => vec![unit(conv, norm, channels, (3, stride), (1, 1))],
        }
    }

    fn block(self, layer: usize, prefix: &str, (input, output): (usize, usize), stride: usize) -> Block {
        // As many weights as one convolution over all of them would have (section 3.5).
        let between = input * output * 27 / (input * 9 + 3 * output);
        let mut units = self.convolution(layer, &format!("{prefix}.conv1"), (input, output), stride, between);
        if let Some(last) = units.last_mut() {
            last.activation = RELU;
        }
        units.extend(self.convolution(layer, &format!("{prefix}.conv2"), (output, output), 1, between));
        if let Some(last) = units.last_mut() {
            last.activation = RELU;
        }
        let step = if self.sees_frames(layer) { stride } else { 1 };
        let project = || unit(format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"), (input, output), (1, stride), (1, step));
        let is_same = stride == 1 && input == output;
        let shortcut = if is_same { Shortcut::Identity } else { Shortcut::Projection(None, Box::new(project())) };
        Block { units, shortcut, sum: Sum::Inside }
    }
}

impl Planned for Kind {
    fn plan(&self) -> Plan {
        let mut stages = vec![StagePlan { name: "stem".into(), parts: vec![Part::chain(self.stem())] }];
        let mut channels = 64;
        for layer in 1..5 {
            let width = 32 << layer;
            let stride = |block: usize| if block == 0 && layer > 1 { 2 } else { 1 };
            let mut blocks = Vec::new();
            for block in 0..2 {
                blocks.push(self.block(layer, &format!("layer{layer}.{block}"), (channels, width), stride(block)));
                channels = width;
            }
            stages.push(StagePlan::of_blocks(format!("layer{layer}"), blocks));
        }
        Plan { stages, num_features: channels, same_padding: false, clips: true, norm_eps: 1e-5 }
    }

    /// torchvision draws it so.
    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::Normal(0.01), Init::ZEROS]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }
}
