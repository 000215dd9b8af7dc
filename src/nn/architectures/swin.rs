//! Swin transformers (Liu et al. 2021) as data, under timm's names: attention within windows that shift, over maps that are halved
//! between stages.
//!
//! ```text
//! stem            patch_embed.proj 4x4/4, patch_embed.norm
//! stages 1..4     layers.0 .. layers.3; all but the first begin with downsample (norm over four neighbours, reduction); norm belongs
//!                 to the last
//! ```
//!
//! The index of relative positions and the masks are made, not stored: timm's state dicts have none (older ones do, which an import
//! leaves out).

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::cost::{ConvolutionCost, StageCost};
use super::tensor::{Expected, Init, norm};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::windowed::{Sizes, Windowed};
use crate::nn::weights::Weights;

/// The family.
pub(super) static MEMBERS: [Architecture; 6] = [
    member("swin_tiny_patch4_window7_224", 768, &Swin::new(96, [2, 2, 6, 2]), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("swin_small_patch4_window7_224", 768, &Swin::new(96, [2, 2, 18, 2]), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("swin_base_patch4_window7_224", 1024, &Swin::new(128, [2, 2, 18, 2]), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("swin_large_patch4_window7_224", 1536, &Swin::new(192, [2, 2, 18, 2]), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("swin_base_patch4_window12_384", 1024, &Swin::new(128, [2, 2, 18, 2]).wide(), ImageInput::imagenet(384, 1.0, "bicubic")),
    member("swin_large_patch4_window12_384", 1536, &Swin::new(192, [2, 2, 18, 2]).wide(), ImageInput::imagenet(384, 1.0, "bicubic")),
];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member, input: ImageInput) -> Architecture {
    let input = UsualInput::Image(input);
    Architecture { name, family: "swin", num_features, first_conv: "patch_embed.proj", classifier: "head.fc", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct Swin {
    /// Channels of the first stage; each later one has twice as many. A head has 32 of them.
    width: usize,
    /// Blocks per stage.
    depths: [usize; 4],
    /// Side of an image in pixels, and of a window in patches.
    side: usize,
    window: usize,
}

/// Side of a patch in pixels.
const PATCH: usize = 4;
/// Channels of a head.
const HEAD: usize = 32;
/// timm's deviation of linear layers and of the tables of biases.
const NARROW: Init = Init::Normal(0.02);
/// What the tables of biases are called.
const TABLE: &str = "relative_position_bias_table";

impl Swin {
    /// Windows of 7 patches over images of 224 pixels.
    const fn new(width: usize, depths: [usize; 4]) -> Swin {
        Swin { width, depths, side: 224, window: 7 }
    }

    /// Windows of 12 patches over images of 384 pixels.
    const fn wide(self) -> Swin {
        Swin { side: 384, window: 12, ..self }
    }

    fn sizes(&self) -> Sizes {
        let widths = [1, 2, 4, 8].map(|times| times * self.width);
        let heads = widths.map(|width| width / HEAD);
        Sizes { widths, depths: self.depths, heads, side: self.side, patch: PATCH, window: self.window, eps: 1e-5 }
    }

    fn block(&self, prefix: &str, width: usize, heads: usize) -> Vec<Expected> {
        let linear = |module: &str, outputs: usize, inputs: usize| {
            let name = |field: &str| format!("{prefix}.{module}.{field}");
            [Expected::new(name("weight"), [outputs, inputs], NARROW), Expected::new(name("bias"), [outputs], Init::ZEROS)]
        };
        let reach = 2 * self.window - 1;
        let mut tensors = Vec::from(norm(&format!("{prefix}.norm1"), width));
        tensors.push(Expected::new(format!("{prefix}.attn.{TABLE}"), [reach * reach, heads], NARROW));
        tensors.extend(linear("attn.qkv", 3 * width, width));
        tensors.extend(linear("attn.proj", width, width));
        tensors.extend(norm(&format!("{prefix}.norm2"), width));
        tensors.extend(linear("mlp.fc1", 4 * width, width));
        tensors.extend(linear("mlp.fc2", width, 4 * width));
        tensors
    }
}

impl Member for Swin {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        // PyTorch's own convolution.
        let patches = Init::fan_in(3 * PATCH * PATCH);
        let mut stem = vec![
            Expected::new("patch_embed.proj.weight", [self.width, 3, PATCH, PATCH], patches),
            Expected::new("patch_embed.proj.bias", [self.width], patches),
        ];
        stem.extend(norm("patch_embed.norm", self.width));
        let mut stages = vec![("stem".to_owned(), stem)];
        let sizes = self.sizes();
        for (stage, (&width, &heads)) in sizes.widths.iter().zip(&sizes.heads).enumerate() {
            let (name, mut tensors) = (format!("layers.{stage}"), Vec::new());
            if stage > 0 {
                tensors.extend(norm(&format!("{name}.downsample.norm"), 2 * width));
                tensors.push(Expected::new(format!("{name}.downsample.reduction.weight"), [width, 2 * width], NARROW));
            }
            let blocks = 0..self.depths[stage];
            tensors.extend(blocks.flat_map(|block| self.block(&format!("{name}.blocks.{block}"), width, heads)));
            if stage == 3 {
                tensors.extend(norm("norm", width));
            }
            stages.push((name, tensors));
        }
        stages
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [NARROW, Init::ZEROS]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(Windowed::build(architecture, self.sizes(), self.stages(), weights)?))
    }

    fn costs(&self, _item: &[usize]) -> Vec<StageCost> {
        let (sizes, pointwise) = (self.sizes(), ConvolutionCost { kernel: 1, stride: 1, groups: 1 });
        let mut stem = StageCost::default();
        stem.convolution([self.side; 2], (3, self.width), ConvolutionCost { kernel: PATCH, stride: PATCH, groups: 1 });
        let mut costs = vec![stem];
        for (stage, &width) in sizes.widths.iter().enumerate() {
            let (sides, mut cost) = ([sizes.grid(stage); 2], StageCost::default());
            if stage > 0 {
                cost.convolution(sides, (2 * width, width), pointwise);
            }
            for _ in 0..self.depths[stage] {
                for (input, output) in [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)] {
                    cost.convolution(sides, (input, output), pointwise);
                }
                // Scores and what they weigh, of each token with those of its window.
                let tokens = (sides[0] * sides[1]) as f64;
                cost.multiply_adds += 2.0 * tokens * (self.window * self.window * width) as f64;
                cost.outputs += tokens * width as f64;
            }
            costs.push(cost);
        }
        costs
    }

    /// Each token is normalised by itself.
    fn fewest_items(&self) -> usize {
        1
    }

    fn decays(&self, name: &str, rank: usize) -> bool {
        rank > 1 && !name.ends_with(TABLE)
    }

    fn fixed_side(&self) -> Option<usize> {
        Some(self.side)
    }

    fn made(&self) -> &'static [&'static str] {
        &[".attn.relative_position_index", ".attn_mask"]
    }

    fn takes_adapters(&self) -> bool {
        true
    }

    fn pools(&self) -> &'static [&'static str] {
        &["avg", "max", "avgmax", "catavgmax"]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["gelu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        if self.window == 12 { &OF_12 } else { &OF_7 }
    }
}

static OF_7: [(&str, &str); 7] = arguments("7");
static OF_12: [(&str, &str); 7] = arguments("12");

const fn arguments(window_size: &'static str) -> [(&'static str, &'static str); 7] {
    [
        ("patch_size", "4"),
        ("window_size", window_size),
        ("mlp_ratio", "4.0"),
        ("qkv_bias", "true"),
        ("always_partition", "false"),
        ("strict_img_size", "true"),
        ("dynamic_img_size", "false"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_begin_by_merging_and_the_norm_belongs_to_the_last() {
        let stages = MEMBERS[0].member.stages();
        let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["stem", "layers.0", "layers.1", "layers.2", "layers.3"]);
        assert_eq!(stages[2].1[2].shape, [192, 384]);
        assert_eq!(stages[1].1[2].shape, [169, 3]);
        assert!(stages[4].1.iter().any(|tensor| tensor.name == "norm.weight"));
        // What the paper counts for Swin-T at 224 pixels: 4.5 billion.
        let all: f64 = MEMBERS[0].costs(&[3, 224, 224]).iter().map(|cost| cost.multiply_adds).sum();
        assert!((4.3e9..4.6e9).contains(&all), "{all}");
    }
}
