//! ResNet (He et al. 2015, with the stride in the 3x3 convolution of a bottleneck) and ResNeXt (Xie et al. 2017, where that
//! convolution has groups), under timm's names.
//!
//! ```text
//! stem            conv1 7x7/2, bn1, max pooling 3x3/2
//! stages 1..4     layer1 .. layer4
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Block, Plan, Shortcut, StagePlan, Unit};
use super::tensor::Init;
use crate::nn::kernels::Activation;

/// The family.
pub(super) static MEMBERS: [Architecture; 6] = [
    member("resnet18", 512, &ResNet::basic([2, 2, 2, 2])),
    member("resnet34", 512, &ResNet::basic([3, 4, 6, 3])),
    member("resnet50", 2048, &ResNet::bottleneck([3, 4, 6, 3])),
    member("resnet101", 2048, &ResNet::bottleneck([3, 4, 23, 3])),
    member("resnet152", 2048, &ResNet::bottleneck([3, 8, 36, 3])),
    member("resnext50_32x4d", 2048, &ResNet::grouped([3, 4, 6, 3], 32, 4)),
];

/// The input is what torchvision trained its weights with, since those are the files that come without a config.
const fn member(name: &'static str, num_features: usize, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bilinear"));
    Architecture { name, family: "resnet", num_features, first_conv: "conv1", classifier: "fc", input, member }
}

/// One member of the family.
#[derive(Debug, Clone, Copy)]
struct ResNet {
    /// Blocks per stage.
    repeats: [usize; 4],
    /// Bottleneck blocks (1x1, 3x3, 1x1 to four times the width) instead of two 3x3.
    bottleneck: bool,
    /// Of a bottleneck's 3x3 convolution, and channels of each in the first stage.
    groups: usize,
    group_width: usize,
}

impl ResNet {
    const fn basic(repeats: [usize; 4]) -> ResNet {
        ResNet { repeats, bottleneck: false, groups: 1, group_width: 64 }
    }

    const fn bottleneck(repeats: [usize; 4]) -> ResNet {
        ResNet { repeats, bottleneck: true, groups: 1, group_width: 64 }
    }

    const fn grouped(repeats: [usize; 4], groups: usize, group_width: usize) -> ResNet {
        ResNet { repeats, bottleneck: true, groups, group_width }
    }

    fn block(&self, prefix: &str, input: usize, width: usize, output: usize, stride: usize) -> Block {
        let relu = Activation::Relu;
        let layer = |index: usize, channels: (usize, usize), kernel: usize, stride: usize| {
            unit(&format!("{prefix}.conv{index}"), &format!("{prefix}.bn{index}"), channels, kernel, stride, relu)
        };
        let mut units = if self.bottleneck {
            let inside = width * self.group_width / 64 * self.groups;
            let middle = Unit { groups: self.groups, ..layer(2, (inside, inside), 3, stride) };
            vec![layer(1, (input, inside), 1, 1), middle, layer(3, (inside, output), 1, 1)]
        } else {
            vec![layer(1, (input, width), 3, stride), layer(2, (width, output), 3, 1)]
        };
        // The network starts as its shortcuts.
        if let Some(last) = units.last_mut() {
            last.silent = true;
        }
        let shortcut = if input == output && stride == 1 {
            Shortcut::Identity
        } else {
            let names = (format!("{prefix}.downsample.0"), format!("{prefix}.downsample.1"));
            Shortcut::Projection(unit(&names.0, &names.1, (input, output), 1, stride, Activation::None))
        };
        Block { units, shortcut }
    }
}

impl Planned for ResNet {
    fn plan(&self) -> Plan {
        let stem = unit("conv1", "bn1", (3, 64), 7, 2, Activation::Relu);
        let mut stages = vec![StagePlan { name: "stem".into(), blocks: vec![Block::chain(vec![stem])], max_pool: true, pooled: None }];
        let expansion = if self.bottleneck { 4 } else { 1 };
        let mut channels = 64;
        for (index, &repeats) in self.repeats.iter().enumerate() {
            let width = 64 << index;
            let mut blocks = Vec::new();
            for block in 0..repeats {
                let stride = if block == 0 && index > 0 { 2 } else { 1 };
                blocks.push(self.block(&format!("layer{}.{block}", index + 1), channels, width, width * expansion, stride));
                channels = width * expansion;
            }
            stages.push(StagePlan { name: format!("layer{}", index + 1), blocks, max_pool: false, pooled: None });
        }
        Plan { stages, num_features: channels, same_padding: false, norm_eps: 1e-5 }
    }

    /// PyTorch's own linear layer.
    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features); 2]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("output_stride", "32"),
            ("stem_type", "\"\""),
            ("replace_stem_pool", "false"),
            ("avg_down", "false"),
            ("norm_layer", "\"batchnorm2d\""),
        ]
    }
}

fn unit(conv: &str, norm: &str, (input, output): (usize, usize), kernel: usize, stride: usize, activation: Activation) -> Unit {
    let init = Init::fan_out(output, kernel);
    Unit { conv: conv.into(), norm: norm.into(), input, output, kernel, stride, groups: 1, activation, squeeze: None, init, silent: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bottleneck_strides_in_the_middle_and_projects_its_input() {
        let plan = ResNet::bottleneck([3, 4, 6, 3]).plan();
        let first = &plan.stages[2].blocks[0];
        assert_eq!(first.units.iter().map(|unit| unit.stride).collect::<Vec<_>>(), [1, 2, 1]);
        assert!(matches!(&first.shortcut, Shortcut::Projection(unit) if (unit.input, unit.output, unit.stride) == (256, 512, 2)));
        assert_eq!(plan.num_features, 2048);
    }

    #[test]
    fn groups_widen_the_middle_of_a_bottleneck() {
        let plan = ResNet::grouped([3, 4, 6, 3], 32, 4).plan();
        let middle = |stage: usize| &plan.stages[stage].blocks[0].units[1];
        assert_eq!((middle(1).input, middle(1).output, middle(1).groups), (128, 128, 32));
        assert_eq!(middle(4).tensors()[0].shape, [1024, 32, 3, 3]);
    }
}
