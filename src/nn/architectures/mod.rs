//! Which architectures there are, which tensors each has, and building them from weights, strictly.

pub mod mobile;
pub mod mobilenetv3;
pub mod plan;
pub mod resnet;
pub mod vit;

use std::collections::HashSet;
use std::sync::LazyLock;

use self::mobile::Mobile;
use self::mobilenetv3::MobileNetV3;
use self::plan::{Expected, Plan};
use self::resnet::ResNet;
use self::vit::Vit;
use super::executors::convolutional::Convolutional;
use super::executors::transformer::Transformer;
use super::heads::Head;
use super::weights::Weights;
use super::{Backbone, Classifier, Error, Result};

pub use self::plan::Kind;

/// One architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Architecture {
    /// timm's name, without a tag.
    pub name: &'static str,
    /// `efficientnet`, `efficientnet-lite`, `mobilenetv2`, `mobilenetv3`, `resnet` or `vit`.
    pub family: &'static str,
    /// Width of the pooled features.
    pub num_features: usize,
    /// The classifier module's name in timm.
    pub classifier: &'static str,
    /// How its usual weights want images.
    pub input: Input,
    description: Description,
}

/// timm's default input of an architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// Height and width in pixels.
    pub size: usize,
    /// `bicubic` or `bilinear`.
    pub interpolation: &'static str,
    /// The share of the resized image's side that the centre crop takes.
    pub crop_pct: f64,
    /// Per channel, of pixels in `[0, 1]`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Description {
    Mobile(Mobile),
    MobileNetV3(MobileNetV3),
    ResNet(ResNet),
    Vit(Vit),
}

/// What an architecture is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Convolutions, batch norms, shortcuts.
    Convolutional(Plan),
    /// Attention and perceptrons over tokens.
    Transformer(Vit),
}

const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

const fn input(size: usize, crop_pct: f64, interpolation: &'static str, inception: bool) -> Input {
    let (mean, std) = if inception { ([0.5; 3], [0.5; 3]) } else { (IMAGENET_MEAN, IMAGENET_STD) };
    Input { size, interpolation, crop_pct, mean, std }
}

const fn lite(name: &'static str, width: f64, depth: f64, tensorflow: bool, input: Input) -> Architecture {
    let description = Description::Mobile(Mobile::lite(width, depth, tensorflow));
    Architecture { name, family: "efficientnet-lite", num_features: 1280, classifier: "classifier", input, description }
}

const fn mobilenet(name: &'static str, width: f64, num_features: usize) -> Architecture {
    let description = Description::Mobile(Mobile::v2(width));
    let input = input(224, 0.875, "bicubic", false);
    Architecture { name, family: "mobilenetv2", num_features, classifier: "classifier", input, description }
}

const fn mobilenetv3(name: &'static str, network: MobileNetV3, num_features: usize) -> Architecture {
    let (description, input) = (Description::MobileNetV3(network), input(224, 0.875, "bicubic", false));
    Architecture { name, family: "mobilenetv3", num_features, classifier: "classifier", input, description }
}

const fn efficientnet(name: &'static str) -> Architecture {
    let (description, input) = (Description::Mobile(Mobile::efficientnet()), input(224, 0.875, "bicubic", false));
    Architecture { name, family: "efficientnet", num_features: 1280, classifier: "classifier", input, description }
}

/// `inception` tells how the weights want pixels: from -1 to 1, or by ImageNet's mean.
const fn vit(name: &'static str, width: usize, heads: usize, inception: bool) -> Architecture {
    let (description, input) = (Description::Vit(Vit::patch16_224(width, heads)), input(224, 0.9, "bicubic", inception));
    Architecture { name, family: "vit", num_features: width, classifier: "head", input, description }
}

const fn resnet(name: &'static str, num_features: usize, network: ResNet) -> Architecture {
    let input = input(224, 0.875, "bilinear", false);
    Architecture { name, family: "resnet", num_features, classifier: "fc", input, description: Description::ResNet(network) }
}

static ARCHITECTURES: [Architecture; 26] = [
    lite("tf_efficientnet_lite0", 1.0, 1.0, true, input(224, 0.875, "bicubic", true)),
    lite("tf_efficientnet_lite1", 1.0, 1.1, true, input(240, 0.882, "bicubic", true)),
    lite("tf_efficientnet_lite2", 1.1, 1.2, true, input(260, 0.890, "bicubic", true)),
    lite("tf_efficientnet_lite3", 1.2, 1.4, true, input(300, 0.904, "bilinear", true)),
    lite("tf_efficientnet_lite4", 1.4, 1.8, true, input(380, 0.920, "bilinear", true)),
    lite("efficientnet_lite0", 1.0, 1.0, false, input(224, 0.875, "bicubic", false)),
    lite("efficientnet_lite1", 1.0, 1.1, false, input(240, 0.882, "bicubic", false)),
    lite("efficientnet_lite2", 1.1, 1.2, false, input(260, 0.890, "bicubic", false)),
    lite("efficientnet_lite3", 1.2, 1.4, false, input(300, 0.904, "bicubic", false)),
    lite("efficientnet_lite4", 1.4, 1.8, false, input(380, 0.922, "bicubic", false)),
    mobilenet("mobilenetv2_100", 1.0, 1280),
    mobilenet("mobilenetv2_140", 1.4, 1792),
    mobilenetv3("mobilenetv3_small_050", MobileNetV3::small(0.5), 1024),
    mobilenetv3("mobilenetv3_small_075", MobileNetV3::small(0.75), 1024),
    mobilenetv3("mobilenetv3_small_100", MobileNetV3::small(1.0), 1024),
    mobilenetv3("mobilenetv3_large_100", MobileNetV3::large(), 1280),
    efficientnet("efficientnet_b0"),
    resnet("resnet18", 512, ResNet::basic([2, 2, 2, 2])),
    resnet("resnet34", 512, ResNet::basic([3, 4, 6, 3])),
    resnet("resnet50", 2048, ResNet::bottleneck([3, 4, 6, 3])),
    resnet("resnet101", 2048, ResNet::bottleneck([3, 4, 23, 3])),
    resnet("resnet152", 2048, ResNet::bottleneck([3, 8, 36, 3])),
    vit("vit_tiny_patch16_224", 192, 3, true),
    vit("vit_small_patch16_224", 384, 6, true),
    vit("deit_tiny_patch16_224", 192, 3, false),
    vit("deit_small_patch16_224", 384, 6, false),
];

/// Every architecture this build can run.
pub fn all() -> &'static [Architecture] {
    &ARCHITECTURES
}

/// By timm's name, with or without a tag (`resnet50` or `resnet50.a1_in1k`).
pub fn find(name: &str) -> Option<&'static Architecture> {
    let plain = name.split_once('.').map_or(name, |(architecture, _tag)| architecture);
    ARCHITECTURES.iter().find(|architecture| architecture.name == plain)
}

/// Like [`find`], with an error that lists what there is.
pub fn get(name: &str) -> Result<&'static Architecture> {
    find(name).ok_or_else(|| Error::UnknownArchitecture(name.into()))
}

pub(crate) fn names() -> &'static str {
    static NAMES: LazyLock<String> = LazyLock::new(|| ARCHITECTURES.map(|architecture| architecture.name).join(", "));
    &NAMES
}

impl Architecture {
    /// Its layers.
    pub fn body(&self) -> Body {
        match self.description {
            Description::Mobile(mobile) => Body::Convolutional(mobile.plan()),
            Description::MobileNetV3(mobile) => Body::Convolutional(mobile.plan()),
            Description::ResNet(resnet) => Body::Convolutional(resnet.plan()),
            Description::Vit(vit) => Body::Transformer(vit),
        }
    }

    /// The only side of images it takes, in pixels, where it does not take any.
    pub fn fixed_side(&self) -> Option<usize> {
        match self.description {
            Description::Vit(vit) => Some(vit.side),
            _ => None,
        }
    }
}

impl Body {
    /// Every tensor but the classifier's, stage by stage from the input upwards.
    pub fn stages(&self) -> Vec<(String, Vec<Expected>)> {
        match self {
            Body::Convolutional(plan) => plan.stages.iter().map(|stage| (stage.name.clone(), stage.tensors())).collect(),
            Body::Transformer(vit) => vit.stages(),
        }
    }

    fn build(self, architecture: &str, weights: Weights) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            Body::Convolutional(plan) => Box::new(Convolutional::build(architecture, &plan, weights)?),
            Body::Transformer(vit) => Box::new(Transformer::build(architecture, vit, weights)?),
        })
    }
}

/// Every tensor's name, shape and purpose, in the order of computation; `num_classes` 0 leaves out the classifier.
pub fn expected(architecture: &str, num_classes: usize) -> Result<Vec<Expected>> {
    let known = get(architecture)?;
    let mut tensors: Vec<_> = known.body().stages().into_iter().flat_map(|(_, tensors)| tensors).collect();
    if num_classes > 0 {
        tensors.push((format!("{}.weight", known.classifier), vec![num_classes, known.num_features], Kind::HeadWeight));
        tensors.push((format!("{}.bias", known.classifier), vec![num_classes], Kind::HeadBias));
    }
    Ok(tensors)
}

/// Compares `weights` with what the architecture needs. The first tensor that is missing, misshaped or a stranger
/// is an error that names it.
pub fn check(architecture: &str, num_classes: usize, weights: &Weights) -> Result<()> {
    let expected = expected(architecture, num_classes)?;
    for (name, shape, _) in &expected {
        match weights.get(name) {
            None => return Err(Error::Missing { architecture: architecture.into(), name: name.clone(), shape: shape.clone() }),
            Some(var) if var.dims() != shape => {
                return Err(Error::Shape {
                    architecture: architecture.into(),
                    name: name.clone(),
                    expected: shape.clone(),
                    found: var.dims().to_vec(),
                });
            }
            Some(_) => {}
        }
    }
    let known: HashSet<&str> = expected.iter().map(|(name, _, _)| name.as_str()).collect();
    match weights.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(Error::Unexpected { architecture: architecture.into(), name: name.into() }),
        None => Ok(()),
    }
}

/// Builds a backbone from exactly its tensors, sharing their handles. A classifier's tensors are strangers here:
/// take them off with [`Weights::without_head`], or use [`build_classifier`].
pub fn build(architecture: &str, weights: &Weights) -> Result<Box<dyn Backbone>> {
    let known = get(architecture)?;
    check(architecture, 0, weights)?;
    known.body().build(known.name, weights.clone())
}

/// Builds backbone and head from a whole state dict, sharing its handles.
pub fn build_classifier(architecture: &str, num_classes: usize, weights: &Weights) -> Result<Classifier> {
    let known = get(architecture)?;
    if num_classes == 0 {
        return Err(Error::Invalid("a classifier needs at least one class; build the backbone alone instead".into()));
    }
    check(architecture, num_classes, weights)?;
    let (backbone, head) = weights.clone().split(known.classifier);
    let backbone = known.body().build(known.name, backbone)?;
    Classifier::new(known, backbone, Head::from_weights(known.classifier, &head)?)
}

/// The number of classes of a state dict: the rows of its classifier, 0 without one.
pub fn num_classes(architecture: &str, weights: &Weights) -> Result<usize> {
    let name = format!("{}.weight", get(architecture)?.classifier);
    Ok(weights.get(&name).and_then(|var| var.dims().first().copied()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_in_the_table_are_those_of_the_plans() {
        for architecture in all() {
            let width = match architecture.body() {
                Body::Convolutional(plan) => plan.num_features,
                Body::Transformer(vit) => vit.width,
            };
            assert_eq!(width, architecture.num_features, "{}", architecture.name);
        }
    }

    #[test]
    fn names_are_found_with_and_without_a_tag() {
        assert_eq!(find("resnet50.a1_in1k").map(|found| found.name), Some("resnet50"));
        assert!(find("resnet51").is_none());
        assert!(get("resnet51").unwrap_err().to_string().contains("tf_efficientnet_lite0"));
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let count = |name: &str| -> usize {
            let tensors = expected(name, 1000).unwrap().into_iter();
            tensors
                .filter(|(name, ..)| !crate::domain::safetensors::is_buffer(name))
                .map(|(_, shape, _)| shape.iter().product::<usize>())
                .sum()
        };
        assert_eq!(count("resnet18"), 11_689_512);
        assert_eq!(count("resnet50"), 25_557_032);
        assert_eq!(count("mobilenetv2_100"), 3_504_872);
        assert_eq!(count("tf_efficientnet_lite0"), 4_652_008);
        assert_eq!(count("mobilenetv3_small_050"), 1_593_224);
        assert_eq!(count("mobilenetv3_small_075"), 2_041_872);
        assert_eq!(count("mobilenetv3_small_100"), 2_542_856);
        assert_eq!(count("mobilenetv3_large_100"), 5_483_032);
        assert_eq!(count("efficientnet_b0"), 5_288_548);
        assert_eq!(count("vit_tiny_patch16_224"), 5_717_416);
        assert_eq!(count("deit_small_patch16_224"), 22_050_664);
    }
}
