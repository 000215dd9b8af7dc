//! ConvNeXt (Liu et al. 2022), under timm's names: depthwise convolutions and perceptrons over channels, with layer norms.
//!
//! ```text
//! stem            stem.0 4x4/4, stem.1 (norm)
//! stages 1..4     stages.0 .. stages.3; all but the first begin with downsample.0 (norm) and downsample.1 2x2/2
//! head            mean over all pixels, head.norm
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::cost::{ConvolutionCost, StageCost};
use super::tensor::{Expected, Init, norm};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::channel_norm::{ChannelNorm, Sizes};
use crate::nn::weights::Weights;

/// The family.
pub(super) static MEMBERS: [Architecture; 1] =
    [member("convnext_atto", 320, &ConvNext { depths: [2, 2, 6, 2], widths: [40, 80, 160, 320] })];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bicubic"));
    Architecture { name, family: "convnext", num_features, first_conv: "stem.0", classifier: "head.fc", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct ConvNext {
    /// Blocks per stage.
    depths: [usize; 4],
    /// Channels per stage.
    widths: [usize; 4],
}

/// Sides of the kernels: of the stem, between stages, and of a block's filters.
const STEM: usize = 4;
const BETWEEN: usize = 2;
const FILTER: usize = 7;
/// timm's deviation of convolutions and linear layers.
const NARROW: Init = Init::Normal(0.02);
/// What each block adds at first.
const LAYER_SCALE: Init = Init::Constant(1e-6);

impl ConvNext {
    fn block(&self, prefix: &str, width: usize) -> Vec<Expected> {
        let name = |module: &str| format!("{prefix}.{module}");
        let mut tensors = vec![Expected::new(name("gamma"), [width], LAYER_SCALE)];
        tensors.extend(convolution(&name("conv_dw"), [width, 1, FILTER]));
        tensors.extend(norm(&name("norm"), width));
        tensors.extend(convolution(&name("mlp.fc1"), [4 * width, width, 1]));
        tensors.extend(convolution(&name("mlp.fc2"), [width, 4 * width, 1]));
        tensors
    }
}

/// Weight and bias; outputs, inputs per group and the kernel's side.
fn convolution(module: &str, [outputs, inputs, kernel]: [usize; 3]) -> [Expected; 2] {
    [
        Expected::new(format!("{module}.weight"), [outputs, inputs, kernel, kernel], NARROW),
        Expected::new(format!("{module}.bias"), [outputs], Init::ZEROS),
    ]
}

impl Member for ConvNext {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let stem = convolution("stem.0", [self.widths[0], 3, STEM]).into_iter().chain(norm("stem.1", self.widths[0]));
        let mut stages = vec![("stem".to_owned(), stem.collect())];
        for (stage, (&depth, &width)) in self.depths.iter().zip(&self.widths).enumerate() {
            let (name, mut tensors) = (format!("stages.{stage}"), Vec::new());
            if let Some(&below) = stage.checked_sub(1).and_then(|below| self.widths.get(below)) {
                tensors.extend(norm(&format!("{name}.downsample.0"), below));
                tensors.extend(convolution(&format!("{name}.downsample.1"), [width, below, BETWEEN]));
            }
            tensors.extend((0..depth).flat_map(|block| self.block(&format!("{name}.blocks.{block}"), width)));
            stages.push((name, tensors));
        }
        stages.push(("head".to_owned(), norm("head.norm", self.widths[3]).into()));
        stages
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [NARROW, Init::ZEROS]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        let sizes = Sizes { depths: self.depths.to_vec(), num_features: self.widths[3], stem: STEM, between: BETWEEN };
        Ok(Box::new(ChannelNorm::build(architecture, sizes, self.stages(), weights)?))
    }

    fn costs(&self, item: &[usize]) -> Vec<StageCost> {
        let mut sides = [1, 2].map(|axis| item.get(axis).copied().unwrap_or(0) / STEM * STEM);
        let mut cost = StageCost::default();
        sides = cost.convolution(sides, (3, self.widths[0]), ConvolutionCost { kernel: STEM, stride: STEM, groups: 1 });
        let mut costs = vec![cost];
        for (stage, (&depth, &width)) in self.depths.iter().zip(&self.widths).enumerate() {
            let mut cost = StageCost::default();
            if let Some(&below) = stage.checked_sub(1).and_then(|below| self.widths.get(below)) {
                sides = sides.map(|side| side / BETWEEN * BETWEEN);
                sides = cost.convolution(sides, (below, width), ConvolutionCost { kernel: BETWEEN, stride: BETWEEN, groups: 1 });
            }
            for _ in 0..depth {
                cost.convolution(sides, (width, width), ConvolutionCost { kernel: FILTER, stride: 1, groups: width });
                cost.convolution(sides, (width, 4 * width), ConvolutionCost { kernel: 1, stride: 1, groups: 1 });
                cost.convolution(sides, (4 * width, width), ConvolutionCost { kernel: 1, stride: 1, groups: 1 });
            }
            costs.push(cost);
        }
        costs.push(StageCost::default());
        costs
    }

    /// Each pixel is normalised by itself.
    fn fewest_items(&self) -> usize {
        1
    }

    fn activations(&self) -> &'static [&'static str] {
        &["gelu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[("output_stride", "32"), ("conv_mlp", "true"), ("use_grn", "false"), ("patch_size", "4"), ("head_norm_first", "false")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_by_halving_the_map_and_end_with_the_norm_of_the_mean() {
        let stages = MEMBERS[0].member.stages();
        let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]);
        assert_eq!(stages[1].1[0].name, "stages.0.blocks.0.gamma");
        assert_eq!((stages[2].1[0].name.as_str(), stages[2].1[2].shape.as_slice()), ("stages.1.downsample.0.weight", &[80, 40, 2, 2][..]));
    }
}
