//! Vision transformers (Dosovitskiy et al. 2020; DeiT is the same network) as data, under timm's names.
//!
//! ```text
//! stem            patch_embed.proj 16x16/16, cls_token, pos_embed
//! stages 1..12    blocks.0 .. blocks.11; norm belongs to the last (as in timm's group_matcher)
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::cost::StageCost;
use super::tensor::{Expected, Init, norm};
use crate::nn::backbone::Backbone;
use crate::nn::error::Result;
use crate::nn::executors::transformer::{Sizes, Transformer};
use crate::nn::weights::Weights;

/// The family. The weights called `vit` want pixels from -1 to 1, DeiT's by ImageNet's mean.
pub(super) static MEMBERS: [Architecture; 4] = [
    member("vit_tiny_patch16_224", 192, &Vit::patch16_224(192, 3), ImageInput::inception(224, 0.9, "bicubic")),
    member("vit_small_patch16_224", 384, &Vit::patch16_224(384, 6), ImageInput::inception(224, 0.9, "bicubic")),
    member("deit_tiny_patch16_224", 192, &Vit::patch16_224(192, 3), ImageInput::imagenet(224, 0.9, "bicubic")),
    member("deit_small_patch16_224", 384, &Vit::patch16_224(384, 6), ImageInput::imagenet(224, 0.9, "bicubic")),
];

const fn member(name: &'static str, num_features: usize, member: &'static dyn Member, input: ImageInput) -> Architecture {
    let input = UsualInput::Image(input);
    Architecture { name, family: "vit", num_features, first_conv: "patch_embed.proj", classifier: "head", input, member }
}

/// One member of the family. Images have one size, since each patch's position is learnt.
#[derive(Debug, Clone, Copy)]
struct Vit {
    /// Numbers per token.
    width: usize,
    heads: usize,
    /// Blocks.
    depth: usize,
    /// Side of a patch, and of an image, in pixels.
    patch: usize,
    side: usize,
}

/// timm's names of the embeddings.
const CLASS_TOKEN: &str = "cls_token";
const POSITION: &str = "pos_embed";
/// timm's deviation of linear layers and positions.
const NARROW: Init = Init::Normal(0.02);

impl Vit {
    /// Twelve blocks over 16-pixel patches of 224-pixel images.
    const fn patch16_224(width: usize, heads: usize) -> Vit {
        Vit { width, heads, depth: 12, patch: 16, side: 224 }
    }

    /// Patches and the class token.
    fn tokens(&self) -> usize {
        (self.side / self.patch).pow(2) + 1
    }

    /// Numbers between a block's two linear layers.
    fn hidden(&self) -> usize {
        4 * self.width
    }

    fn block(&self, prefix: &str) -> Vec<Expected> {
        let width = self.width;
        let linear = |module: &str, outputs: usize, inputs: usize| {
            let name = |field: &str| format!("{prefix}.{module}.{field}");
            [Expected::new(name("weight"), [outputs, inputs], NARROW), Expected::new(name("bias"), [outputs], Init::ZEROS)]
        };
        let mut tensors = Vec::from(norm(&format!("{prefix}.norm1"), width));
        tensors.extend(linear("attn.qkv", 3 * width, width));
        tensors.extend(linear("attn.proj", width, width));
        tensors.extend(norm(&format!("{prefix}.norm2"), width));
        tensors.extend(linear("mlp.fc1", self.hidden(), width));
        tensors.extend(linear("mlp.fc2", width, self.hidden()));
        tensors
    }
}

impl Member for Vit {
    fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        let width = self.width;
        // PyTorch's own convolution.
        let patches = Init::fan_in(3 * self.patch * self.patch);
        let stem = vec![
            Expected::new("patch_embed.proj.weight", [width, 3, self.patch, self.patch], patches),
            Expected::new("patch_embed.proj.bias", [width], patches),
            Expected::new(CLASS_TOKEN, [1, 1, width], Init::Normal(1e-6)),
            Expected::new(POSITION, [1, self.tokens(), width], NARROW),
        ];
        let mut stages = vec![("stem".to_owned(), stem)];
        for block in 0..self.depth {
            let mut tensors = self.block(&format!("blocks.{block}"));
            if block + 1 == self.depth {
                tensors.extend(norm("norm", width));
            }
            stages.push((format!("blocks.{block}"), tensors));
        }
        stages
    }

    fn classifier(&self, _num_features: usize, _num_classes: usize) -> [Init; 2] {
        [NARROW, Init::ZEROS]
    }

    fn build(&self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        let sizes = Sizes { width: self.width, heads: self.heads, depth: self.depth, side: self.side };
        Ok(Box::new(Transformer::build(architecture, sizes, self.stages(), weights)?))
    }

    /// The last block is counted whole, though the class token alone is worked out where nobody asks for the others.
    fn costs(&self, _item: &[usize]) -> Vec<StageCost> {
        let (tokens, width, hidden) = (self.tokens() as f64, self.width as f64, self.hidden() as f64);
        let patches = (tokens - 1.0) * width;
        let stem = StageCost { multiply_adds: patches * (3 * self.patch * self.patch) as f64, outputs: patches, widest: tokens * width };
        let block = StageCost {
            multiply_adds: tokens * width * (4.0 * width + 2.0 * hidden) + 2.0 * tokens * tokens * width,
            outputs: tokens * (6.0 * width + hidden),
            widest: tokens * hidden,
        };
        std::iter::once(stem).chain(std::iter::repeat_n(block, self.depth)).collect()
    }

    fn fewest_items(&self) -> usize {
        1
    }

    fn decays(&self, name: &str, rank: usize) -> bool {
        rank > 1 && !matches!(name, CLASS_TOKEN | POSITION)
    }

    fn fixed_side(&self) -> Option<usize> {
        Some(self.side)
    }

    fn pools(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["gelu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("dynamic_img_size", "false"),
            ("strict_img_size", "true"),
            ("class_token", "true"),
            ("qkv_bias", "true"),
            ("qk_norm", "false"),
            ("no_embed_class", "false"),
            ("reg_tokens", "0"),
            ("pre_norm", "false"),
            ("final_norm", "true"),
            ("fc_norm", "false"),
            ("patch_size", "16"),
            ("dynamic_img_pad", "false"),
        ]
    }
}
