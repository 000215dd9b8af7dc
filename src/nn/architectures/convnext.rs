//! ConvNeXt (Liu et al. 2022) and ConvNeXtV2 (Woo et al. 2023), under timm's names: depthwise convolutions and perceptrons over channels,
//! with layer norms; V2's perceptrons let channels respond to each other (`grn`).
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
pub(super) static MEMBERS: [Architecture; 7] = [
    member("convnext_atto", 320, 0.875, &ConvNext::light([2, 2, 6, 2], [40, 80, 160, 320])),
    member("convnext_femto", 384, 0.875, &ConvNext::light([2, 2, 6, 2], [48, 96, 192, 384])),
    member("convnext_pico", 512, 0.875, &ConvNext::light([2, 2, 6, 2], [64, 128, 256, 512])),
    member("convnext_nano", 640, 0.95, &ConvNext::light([2, 2, 8, 2], [80, 160, 320, 640])),
    member("convnext_tiny", 768, 0.95, &ConvNext::of_paper([3, 3, 9, 3], [96, 192, 384, 768])),
    member("convnext_small", 768, 0.95, &ConvNext::of_paper([3, 3, 27, 3], [96, 192, 384, 768])),
    member("convnext_base", 1024, 0.875, &ConvNext::of_paper([3, 3, 27, 3], [128, 256, 512, 1024])),
];

/// V2.
pub(super) static V2: [Architecture; 7] = [
    second("convnextv2_atto", 320, &ConvNext::light([2, 2, 6, 2], [40, 80, 160, 320]).responding()),
    second("convnextv2_femto", 384, &ConvNext::light([2, 2, 6, 2], [48, 96, 192, 384]).responding()),
    second("convnextv2_pico", 512, &ConvNext::light([2, 2, 6, 2], [64, 128, 256, 512]).responding()),
    second("convnextv2_nano", 640, &ConvNext::light([2, 2, 8, 2], [80, 160, 320, 640]).responding()),
    second("convnextv2_tiny", 768, &ConvNext::of_paper([3, 3, 9, 3], [96, 192, 384, 768]).responding()),
    second("convnextv2_small", 768, &ConvNext::of_paper([3, 3, 27, 3], [96, 192, 384, 768]).responding()),
    second("convnextv2_base", 1024, &ConvNext::of_paper([3, 3, 27, 3], [128, 256, 512, 1024]).responding()),
];

const fn member(name: &'static str, num_features: usize, crop_pct: f64, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, crop_pct, "bicubic"));
    Architecture { name, family: "convnext", num_features, first_conv: "stem.0", classifier: "head.fc", input, member }
}

const fn second(name: &'static str, num_features: usize, of_family: &'static dyn Member) -> Architecture {
    Architecture { family: "convnextv2", ..member(name, num_features, 0.875, of_family) }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct ConvNext {
    /// Blocks per stage.
    depths: [usize; 4],
    /// Channels per stage.
    widths: [usize; 4],
    /// Whether a block's perceptron is stored as 1x1 convolutions, as timm does where it chose the sizes, or as linear layers.
    convolutions: bool,
    /// V2: a global response norm in each perceptron, and no layer scale after it.
    responds: bool,
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
    /// timm's smaller ones.
    const fn light(depths: [usize; 4], widths: [usize; 4]) -> ConvNext {
        ConvNext { depths, widths, convolutions: true, responds: false }
    }

    /// Those of the paper.
    const fn of_paper(depths: [usize; 4], widths: [usize; 4]) -> ConvNext {
        ConvNext { depths, widths, convolutions: false, responds: false }
    }

    const fn responding(self) -> ConvNext {
        ConvNext { responds: true, ..self }
    }

    fn block(&self, prefix: &str, width: usize) -> Vec<Expected> {
        let name = |module: &str| format!("{prefix}.{module}");
        let mut tensors = Vec::new();
        if !self.responds {
            tensors.push(Expected::new(name("gamma"), [width], LAYER_SCALE));
        }
        tensors.extend(convolution(&name("conv_dw"), [width, 1, FILTER]));
        tensors.extend(norm(&name("norm"), width));
        for (module, outputs, inputs) in [("mlp.fc1", 4 * width, width), ("mlp.fc2", width, 4 * width)] {
            let [mut weight, bias] = convolution(&name(module), [outputs, inputs, 1]);
            if !self.convolutions {
                weight.shape.truncate(2);
            }
            tensors.extend([weight, bias]);
            if self.responds && outputs > inputs {
                tensors.extend(["weight", "bias"].map(|field| Expected::new(name(&format!("mlp.grn.{field}")), [outputs], Init::ZEROS)));
            }
        }
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
        let sizes =
            Sizes { depths: self.depths.to_vec(), num_features: self.widths[3], stem: STEM, between: BETWEEN, responds: self.responds };
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
                if self.responds {
                    cost.outputs += (sides[0] * sides[1] * 4 * width) as f64;
                }
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
        const BOTH: [(&str, &str); 3] = [("output_stride", "32"), ("patch_size", "4"), ("head_norm_first", "false")];
        const fn with(convolutions: &'static str, responds: &'static str) -> [(&'static str, &'static str); 5] {
            let [stride, patch, norm] = BOTH;
            [stride, patch, norm, ("conv_mlp", convolutions), ("use_grn", responds)]
        }
        match (self.convolutions, self.responds) {
            (true, false) => const { &with("true", "false") },
            (false, false) => const { &with("false", "false") },
            (true, true) => const { &with("true", "true") },
            (false, true) => const { &with("false", "true") },
        }
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
