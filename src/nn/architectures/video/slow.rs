//! ResNet-50 over clips, under pytorchvideo's names: the slow pathway of SlowFast by itself (Feichtenhofer et al. 2019), and I3D on a
//! ResNet (Carreira & Zisserman 2017; Wang et al. 2018).
//!
//! ```text
//! stem      blocks.0: 1x7x7/1x2x2 (i3d_r50: 5x7x7), max pooling 1x3x3/1x2x2
//! layer1-4  bottlenecks 1x1x1, 1x3x3, 1x1x1, some of whose first convolutions see three frames
//! ```
//!
//! i3d_r50 halves the frames behind layer1, which takes a number in `blocks`.

use super::super::architecture::{Architecture, Member};
use super::super::convolutional::Planned;
use super::super::plan::{Block, Part, Plan, Shortcut, StagePlan, Sum, Unit};
use super::super::tensor::Init;
use super::grey;
use crate::nn::kernels::{Activation, Average, Window};

/// The family.
pub(in super::super) static MEMBERS: [Architecture; 2] = [
    member("slow_r50", "blocks.5.proj", &Slow { stem: 1, along: [&[1], &[1], &[3], &[3]], halves: false, mean: 8 }),
    member("i3d_r50", "blocks.6.proj", &Slow { stem: 5, along: [&[3], &[3, 1], &[3, 1], &[1, 3]], halves: true, mean: 4 }),
];

const fn member(name: &'static str, classifier: &'static str, member: &'static dyn Member) -> Architecture {
    let input = grey(8, 8, 224, 0.875);
    Architecture { name, family: "slow", num_features: 2048, first_conv: "blocks.0.conv", classifier, input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct Slow {
    /// Frames of the stem's kernel.
    stem: usize,
    /// Frames that the first convolutions of a layer's blocks see, in turns.
    along: [&'static [usize]; 4],
    /// Whether frames are halved behind the first layer.
    halves: bool,
    /// Frames of the means that it ends in, with 7x7 pixels.
    mean: usize,
}

const RELU: Activation = Activation::Relu;
const REPEATS: [usize; 4] = [3, 4, 6, 3];

/// A convolution and its norm: height and width, then frames, each a kernel and a stride.
fn unit(conv: String, norm: String, channels: (usize, usize), (kernel, stride): (usize, usize), frames: usize) -> Unit {
    let init = Init::fan_out(channels.1 * frames, kernel);
    Unit { init, ..Unit::new(conv, norm, channels, kernel, stride) }.over(frames, 1)
}

fn block(prefix: &str, input: usize, width: usize, stride: usize, frames: usize) -> Block {
    let part = |letter: char, channels: (usize, usize), pixels: (usize, usize), frames: usize| {
        unit(format!("{prefix}.branch2.conv_{letter}"), format!("{prefix}.branch2.norm_{letter}"), channels, pixels, frames).then(RELU)
    };
    let output = 4 * width;
    let last = Unit { silent: true, ..part('c', (width, output), (1, 1), 1) };
    let units = vec![part('a', (input, width), (1, 1), frames), part('b', (width, width), (3, stride), 1), last];
    let project = || unit(format!("{prefix}.branch1_conv"), format!("{prefix}.branch1_norm"), (input, output), (1, stride), 1);
    let is_same = input == output && stride == 1;
    let shortcut = if is_same { Shortcut::Identity } else { Shortcut::Projection(None, Box::new(project())) };
    Block { units, shortcut, sum: Sum::Inside }
}

impl Planned for Slow {
    fn plan(&self) -> Plan {
        let stem = unit("blocks.0.conv".into(), "blocks.0.norm".into(), (3, 64), (7, 2), self.stem).then(RELU);
        let stem = vec![Part::chain([stem]), Part::MaxPool(Window::new(3, 2, 1))];
        let mut stages = vec![StagePlan { name: "stem".into(), parts: stem }];
        let (mut channels, mut place) = (64, 1);
        for (layer, (repeats, along)) in REPEATS.into_iter().zip(self.along).enumerate() {
            let width = 64 << layer;
            let mut blocks = Vec::new();
            for (at, frames) in along.iter().cycle().take(repeats).enumerate() {
                let stride = if at == 0 && layer > 0 { 2 } else { 1 };
                blocks.push(block(&format!("blocks.{place}.res_blocks.{at}"), channels, width, stride, *frames));
                channels = 4 * width;
            }
            let mut stage = StagePlan::of_blocks(format!("layer{}", layer + 1), blocks);
            place += 1;
            if self.halves && layer == 0 {
                stage.parts.push(Part::MaxPool(Window::new(1, 1, 0).over(2, 2, 0)));
                place += 1;
            }
            stages.push(stage);
        }
        if let Some(last) = stages.last_mut() {
            last.parts.push(Part::AveragePool(Average::Sliding { frames: self.mean, side: 7 }));
        }
        Plan { stages, num_features: channels, same_padding: false, clips: true, norm_eps: 1e-5 }
    }

    /// pytorchvideo draws it so.
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
