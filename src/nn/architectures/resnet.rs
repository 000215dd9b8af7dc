//! ResNet (He et al. 2015, with the stride in the 3x3 convolution of a bottleneck), Wide ResNet (Zagoruyko and Komodakis 2016, where
//! that convolution is wider), ResNeXt (Xie et al. 2017, where it has groups) and SE-ResNet (Hu et al. 2017, where a squeeze-and-excite
//! comes before the sum), and ResNet-D (He et al. 2018, "bag of tricks": a stem of three convolutions, and shortcuts that pool before
//! they project), under timm's names.
//!
//! ```text
//! stem            conv1 7x7/2, bn1, max pooling 3x3/2; of ResNet-D three 3x3: conv1.0 and conv1.1, conv1.3 and conv1.4, conv1.6 and bn1
//! stages 1..4     layer1 .. layer4
//! ```

use super::architecture::{Architecture, ImageInput, Member, UsualInput};
use super::convolutional::Planned;
use super::plan::{Block, Part, Plan, Shortcut, Squeeze, StagePlan, Sum, Unit};
use super::tensor::Init;
use crate::nn::kernels::{Activation, Average, Gate, Window};

/// The family.
pub(super) static MEMBERS: [Architecture; 33] = [
    member("resnet18", 512, &ResNet::basic([2, 2, 2, 2])),
    member("resnet34", 512, &ResNet::basic([3, 4, 6, 3])),
    member("resnet50", 2048, &ResNet::bottleneck([3, 4, 6, 3])),
    member("resnet101", 2048, &ResNet::bottleneck([3, 4, 23, 3])),
    member("resnet152", 2048, &ResNet::bottleneck([3, 8, 36, 3])),
    member("resnext50_32x4d", 2048, &ResNet::grouped([3, 4, 6, 3], 32, 4)),
    member("resnext101_32x4d", 2048, &ResNet::grouped([3, 4, 23, 3], 32, 4)),
    member("resnext101_32x8d", 2048, &ResNet::grouped([3, 4, 23, 3], 32, 8)),
    member("resnext101_64x4d", 2048, &ResNet::grouped([3, 4, 23, 3], 64, 4)),
    member("wide_resnet50_2", 2048, &ResNet::grouped([3, 4, 6, 3], 1, 128)),
    member("wide_resnet101_2", 2048, &ResNet::grouped([3, 4, 23, 3], 1, 128)),
    member("seresnet18", 512, &ResNet::basic([2, 2, 2, 2]).squeezed()),
    member("seresnet34", 512, &ResNet::basic([3, 4, 6, 3]).squeezed()),
    member("seresnet50", 2048, &ResNet::bottleneck([3, 4, 6, 3]).squeezed()),
    member("seresnet101", 2048, &ResNet::bottleneck([3, 4, 23, 3]).squeezed()),
    member("seresnet152", 2048, &ResNet::bottleneck([3, 8, 36, 3]).squeezed()),
    member("seresnext50_32x4d", 2048, &ResNet::grouped([3, 4, 6, 3], 32, 4).squeezed()),
    member("seresnext101_32x4d", 2048, &ResNet::grouped([3, 4, 23, 3], 32, 4).squeezed()),
    member("resnet26", 2048, &ResNet::bottleneck([2, 2, 2, 2])),
    deep("resnet10t", 512, (176, 0.875), &ResNet::basic([1, 1, 1, 1]).tiered()),
    deep("resnet14t", 2048, (176, 0.875), &ResNet::bottleneck([1, 1, 1, 1]).tiered()),
    deep("resnet26t", 2048, (256, 0.94), &ResNet::bottleneck([2, 2, 2, 2]).tiered()),
    deep("resnet50t", 2048, (224, 0.875), &ResNet::bottleneck([3, 4, 6, 3]).tiered()),
    deep("resnet18d", 512, (224, 0.875), &ResNet::basic([2, 2, 2, 2]).deep()),
    deep("resnet26d", 2048, (224, 0.875), &ResNet::bottleneck([2, 2, 2, 2]).deep()),
    deep("resnet34d", 512, (224, 0.875), &ResNet::basic([3, 4, 6, 3]).deep()),
    deep("resnet50d", 2048, (224, 0.875), &ResNet::bottleneck([3, 4, 6, 3]).deep()),
    deep("resnet101d", 2048, (256, 0.95), &ResNet::bottleneck([3, 4, 23, 3]).deep()),
    deep("resnet152d", 2048, (256, 0.95), &ResNet::bottleneck([3, 8, 36, 3]).deep()),
    deep("resnet200d", 2048, (256, 0.95), &ResNet::bottleneck([3, 24, 36, 3]).deep()),
    deep("resnext50d_32x4d", 2048, (224, 0.875), &ResNet::grouped([3, 4, 6, 3], 32, 4).deep()),
    deep("seresnet50t", 2048, (224, 0.875), &ResNet::bottleneck([3, 4, 6, 3]).squeezed().tiered()),
    deep("seresnet152d", 2048, (256, 0.95), &ResNet::bottleneck([3, 8, 36, 3]).squeezed().deep()),
];

/// The input is what torchvision trained its weights with, since those are the files that come without a config.
const fn member(name: &'static str, num_features: usize, member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(224, 0.875, "bilinear"));
    Architecture { name, family: "resnet", num_features, first_conv: "conv1", classifier: "fc", input, member }
}

/// ResNet-D, with the side of its usual images and the share of them that the crop takes: all as timm trained it.
const fn deep(name: &'static str, num_features: usize, (size, crop_pct): (usize, f64), member: &'static dyn Member) -> Architecture {
    let input = UsualInput::Image(ImageInput::imagenet(size, crop_pct, "bicubic"));
    Architecture { name, family: "resnet", num_features, first_conv: "conv1.0", classifier: "fc", input, member }
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
    /// A squeeze-and-excite to a sixteenth of the block's output, before the sum.
    squeeze: bool,
    stem: Stem,
}

/// How a network begins, and with it how its shortcuts shrink maps.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stem {
    /// One 7x7 convolution; shortcuts project with a stride.
    Plain,
    /// Three 3x3 convolutions, the first two to 32 channels; shortcuts pool, then project.
    Deep,
    /// The same with 24, then 32 channels.
    Tiered,
}

impl ResNet {
    const fn basic(repeats: [usize; 4]) -> ResNet {
        ResNet { bottleneck: false, ..ResNet::bottleneck(repeats) }
    }

    const fn bottleneck(repeats: [usize; 4]) -> ResNet {
        ResNet::grouped(repeats, 1, 64)
    }

    const fn grouped(repeats: [usize; 4], groups: usize, group_width: usize) -> ResNet {
        ResNet { repeats, bottleneck: true, groups, group_width, squeeze: false, stem: Stem::Plain }
    }

    const fn squeezed(self) -> ResNet {
        ResNet { squeeze: true, ..self }
    }

    const fn deep(self) -> ResNet {
        ResNet { stem: Stem::Deep, ..self }
    }

    const fn tiered(self) -> ResNet {
        ResNet { stem: Stem::Tiered, ..self }
    }

    fn stem(&self) -> Vec<Unit> {
        let widths = match self.stem {
            Stem::Plain => return vec![Unit::new("conv1", "bn1", (3, 64), 7, 2).then(Activation::Relu)],
            Stem::Deep => (32, 32),
            Stem::Tiered => (24, 32),
        };
        let unit = |conv: &str, norm: &str, channels: (usize, usize), stride: usize| {
            Unit::new(conv, norm, channels, 3, stride).then(Activation::Relu)
        };
        let first = unit("conv1.0", "conv1.1", (3, widths.0), 2);
        vec![first, unit("conv1.3", "conv1.4", widths, 1), unit("conv1.6", "bn1", (widths.1, 64), 1)]
    }

    /// Brings a block's input to the shape of its output.
    fn projection(&self, prefix: &str, channels: (usize, usize), stride: usize) -> Shortcut {
        let layer = |conv: usize, stride: usize| {
            Unit::new(format!("{prefix}.downsample.{conv}"), format!("{prefix}.downsample.{}", conv + 1), channels, 1, stride)
        };
        match self.stem {
            Stem::Plain => Shortcut::Projection(None, Box::new(layer(0, stride))),
            Stem::Deep | Stem::Tiered => {
                let pool = Average::Windows(Window::new(2, stride, 0).overhanging());
                Shortcut::Projection((stride > 1).then_some(pool), Box::new(layer(1, 1)))
            }
        }
    }

    fn block(&self, prefix: &str, input: usize, width: usize, output: usize, stride: usize) -> Block {
        let relu = Activation::Relu;
        let layer = |index: usize, channels: (usize, usize), kernel: usize, stride: usize| {
            Unit::new(format!("{prefix}.conv{index}"), format!("{prefix}.bn{index}"), channels, kernel, stride).then(relu)
        };
        let mut units = if self.bottleneck {
            let inside = width * self.group_width / 64 * self.groups;
            let middle = Unit { groups: self.groups, ..layer(2, (inside, inside), 3, stride) };
            vec![layer(1, (input, inside), 1, 1), middle, layer(3, (inside, output), 1, 1)]
        } else {
            vec![layer(1, (input, width), 3, stride), layer(2, (width, output), 3, 1)]
        };
        // The network starts as its shortcuts.
        let mut sum = Sum::Inside;
        if let Some(last) = units.last_mut() {
            last.silent = true;
            if self.squeeze {
                last.activation = Activation::None;
                last.squeeze = Some(squeeze(prefix, output));
                sum = Sum::After(relu);
            }
        }
        let shortcut = if input == output && stride == 1 { Shortcut::Identity } else { self.projection(prefix, (input, output), stride) };
        Block { units, shortcut, sum }
    }
}

/// To a sixteenth of the channels, a multiple of 8.
fn squeeze(prefix: &str, channels: usize) -> Squeeze {
    let reduced = ((channels / 16 + 4) / 8 * 8).max(8);
    Squeeze {
        name: format!("{prefix}.se"),
        layers: Squeeze::FC,
        channels,
        reduced,
        clips: false,
        activation: Activation::Relu,
        gate: Gate::Sigmoid,
    }
}

impl Planned for ResNet {
    fn plan(&self) -> Plan {
        let stem = vec![Part::chain(self.stem()), Part::MaxPool(Window::new(3, 2, 1))];
        let mut stages = vec![StagePlan { name: "stem".into(), parts: stem }];
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
            stages.push(StagePlan::of_blocks(format!("layer{}", index + 1), blocks));
        }
        Plan { stages, num_features: channels, same_padding: false, clips: false, norm_eps: 1e-5 }
    }

    /// PyTorch's own linear layer.
    fn classifier(&self, num_features: usize, _num_classes: usize) -> [Init; 2] {
        [Init::fan_in(num_features); 2]
    }

    fn activations(&self) -> &'static [&'static str] {
        &["relu"]
    }

    fn arguments(&self) -> &'static [(&'static str, &'static str)] {
        match self.stem {
            Stem::Plain => &[
                ("output_stride", "32"),
                ("stem_type", "\"\""),
                ("replace_stem_pool", "false"),
                ("avg_down", "false"),
                ("norm_layer", "\"batchnorm2d\""),
            ],
            Stem::Deep => &[
                ("output_stride", "32"),
                ("stem_type", "\"deep\""),
                ("stem_width", "32"),
                ("replace_stem_pool", "false"),
                ("avg_down", "true"),
                ("norm_layer", "\"batchnorm2d\""),
            ],
            Stem::Tiered => &[
                ("output_stride", "32"),
                ("stem_type", "\"deep_tiered\""),
                ("stem_width", "32"),
                ("replace_stem_pool", "false"),
                ("avg_down", "true"),
                ("norm_layer", "\"batchnorm2d\""),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bottleneck_strides_in_the_middle_and_projects_its_input() {
        let plan = ResNet::bottleneck([3, 4, 6, 3]).plan();
        let first = plan.stages[2].block(0);
        assert_eq!(first.units.iter().map(|unit| unit.stride).collect::<Vec<_>>(), [1, 2, 1]);
        assert!(matches!(&first.shortcut, Shortcut::Projection(None, unit) if (unit.input, unit.output, unit.stride) == (256, 512, 2)));
        assert_eq!(plan.num_features, 2048);
    }

    #[test]
    fn groups_widen_the_middle_of_a_bottleneck() {
        let plan = ResNet::grouped([3, 4, 6, 3], 32, 4).plan();
        let middle = |stage: usize| &plan.stages[stage].block(0).units[1];
        assert_eq!((middle(1).input, middle(1).output, middle(1).groups), (128, 128, 32));
        assert_eq!(middle(4).tensors()[0].shape, [1024, 32, 3, 3]);
    }
}
