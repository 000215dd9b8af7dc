//! Name mappings: how other projects call the tensors that timm calls something else. The tables are data
//! (`mappings/*.toml`); this file reads them and applies them. What timm calls them, the architectures say themselves.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::{Error, Result};
use super::mappings::TABLES;
use super::pattern;
use super::state_dict::Found;
use crate::nn::architectures::{self, VideoInput};

/// One project's way of naming, for one or more architectures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// In words, for cards and messages.
    pub title: String,
    /// Names are timm's already.
    #[serde(skip)]
    identity: bool,
    /// What stands between the parts of names, where that is no dot. Below they are written with dots all the same.
    separator: Option<char>,
    /// Whether kernels are stored as TensorFlow has them, `(..., I, O)` in the place of `(O, I, ...)`, and vectors with as many axes.
    #[serde(default)]
    outputs_last: bool,
    /// How timm's names end of tensors that the project does without, since all their numbers are one.
    ones: Option<String>,
    /// Whole module names.
    #[serde(default)]
    modules: BTreeMap<String, String>,
    blocks: Option<Blocks>,
    /// Whole names, with `{}` for a number (`{-1}`: one less) and `*` for any part, as `pattern` reads them.
    #[serde(default)]
    patterns: BTreeMap<String, String>,
    /// What its epsilon of batch norm is larger by than timm's: a variance that is larger by as much gives the same values.
    #[serde(default)]
    pub add_to_variances: f32,
    /// Preprocessing shared by the architectures.
    pub input: Input,
    pub architectures: Vec<Target>,
}

/// Blocks numbered through, to be numbered by stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Blocks {
    from: String,
    to: String,
    /// Number of the first block.
    first: usize,
    first_stage: BTreeMap<String, String>,
    other_stages: BTreeMap<String, String>,
    /// The same of blocks with a squeeze, where they are numbered otherwise.
    #[serde(default)]
    first_stage_squeezed: BTreeMap<String, String>,
    #[serde(default)]
    other_stages_squeezed: BTreeMap<String, String>,
}

/// An architecture a mapping leads to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// timm's name.
    pub name: String,
    /// Blocks per stage.
    #[serde(default)]
    repeats: Vec<usize>,
    /// Which blocks have a squeeze, counted from zero through all stages, where that makes a difference.
    #[serde(default)]
    squeezed: Vec<usize>,
    pub input: Input,
}

/// How images become input; what an architecture leaves out, its mapping says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Side in pixels.
    pub size: Option<usize>,
    pub crop_pct: Option<f64>,
    pub interpolation: Option<String>,
    pub mean: Option<[f32; 3]>,
    pub std: Option<[f32; 3]>,
    pub first_conv: Option<String>,
    /// Module of the classifier in timm's names.
    pub classifier: Option<String>,
}

/// All mappings, timm's own names first.
pub fn mappings() -> Result<Vec<Mapping>> {
    let read = |(name, text): &(&str, &str)| {
        toml::from_str(text).map_err(|error| Error::Corrupt(format!("the built-in mapping `{name}` does not read: {error}")))
    };
    std::iter::once(Ok(of_timm())).chain(TABLES.iter().map(read)).collect()
}

/// timm's own names, kept as they are; torchvision's ResNets use the same ones. A config.json beside the weights wins
/// over the input numbers.
fn of_timm() -> Mapping {
    own("names of timm", architectures::all())
}

/// Those of a network that is called so and that no list holds: of a text encoder transformers' own, of an inflated network those of the one
/// that it was made from. None where it is another network.
pub fn of_unlisted(architecture: &str) -> Option<Mapping> {
    let known = architectures::find(architecture)?;
    let title = match (known.is_encoder(), known.frames()) {
        (true, _) => "names of transformers",
        (false, Some(_)) if architectures::all().all(|listed| listed.name != known.name) => "names of timm, over clips",
        _ => return None,
    };
    Some(own(title, std::iter::once(known)))
}

/// Names as they are here.
fn own(title: &str, known: impl Iterator<Item = &'static architectures::Architecture>) -> Mapping {
    let target = |known: &architectures::Architecture| Target {
        name: known.name.into(),
        repeats: Vec::new(),
        squeezed: Vec::new(),
        input: Input::of(known),
    };
    Mapping {
        title: title.into(),
        identity: true,
        separator: None,
        outputs_last: false,
        ones: None,
        modules: BTreeMap::new(),
        blocks: None,
        patterns: BTreeMap::new(),
        add_to_variances: 0.0,
        input: Input::default(),
        architectures: known.map(target).collect(),
    }
}

impl Input {
    /// What an architecture's usual weights want.
    fn of(known: &architectures::Architecture) -> Input {
        let ends = Input { first_conv: Some(known.first_conv.into()), classifier: Some(known.classifier.into()), ..Input::default() };
        match &known.input {
            architectures::UsualInput::Image(image) | architectures::UsualInput::Video(VideoInput { image, .. }) => Input {
                size: Some(image.size),
                crop_pct: Some(image.crop_pct),
                interpolation: Some(image.interpolation.into()),
                mean: Some(image.mean),
                std: Some(image.std),
                ..ends
            },
            architectures::UsualInput::Text(_) => ends,
        }
    }
}

impl Mapping {
    /// timm's name of a tensor in architecture `target`; None when the mapping does not know it.
    pub fn rename(&self, target: &Target, name: &str) -> Option<String> {
        if self.identity {
            return Some(name.to_owned());
        }
        let name = &*self.dotted(name)?;
        let by_module = || {
            let (module, leaf) = name.rsplit_once('.')?;
            let module = match self.modules.get(module) {
                Some(module) => module.clone(),
                None => self.blocks.as_ref()?.rename(target, module)?,
            };
            Some(format!("{module}.{leaf}"))
        };
        by_module().or_else(|| self.patterns.iter().find_map(|(from, to)| pattern::translate(from, to, name)))
    }

    /// A name of the project with dots between its parts; none of its own has one inside of a part.
    fn dotted<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        match self.separator {
            None => Some(Cow::Borrowed(name)),
            Some(_) if name.contains('.') => None,
            Some(separator) => Some(Cow::Owned(name.replace(separator, "."))),
        }
    }

    /// A tensor with its axes in PyTorch's order.
    pub fn laid_out<'a>(&self, found: &'a Found) -> Cow<'a, Found> {
        match found.shape.len() {
            axes @ 2.. if self.outputs_last => Cow::Owned(found.transposed([axes - 1, axes - 2].into_iter().chain(0..axes - 2).collect())),
            _ => Cow::Borrowed(found),
        }
    }

    /// What stands for a tensor that the project does without, by timm's name.
    pub fn implied(&self, name: &str, shape: &[usize]) -> Option<Found> {
        self.ones.as_ref().filter(|end| name.ends_with(end.as_str())).map(|_| Found::ones(shape))
    }

    /// Preprocessing of one architecture, with the mapping's where it says nothing.
    pub fn input_of(&self, target: &Target) -> Input {
        let (own, shared) = (&target.input, &self.input);
        Input {
            size: own.size.or(shared.size),
            crop_pct: own.crop_pct.or(shared.crop_pct),
            interpolation: own.interpolation.clone().or_else(|| shared.interpolation.clone()),
            mean: own.mean.or(shared.mean),
            std: own.std.or(shared.std),
            first_conv: own.first_conv.clone().or_else(|| shared.first_conv.clone()),
            classifier: own.classifier.clone().or_else(|| shared.classifier.clone()),
        }
    }
}

impl Blocks {
    fn parts(&self, stage: usize, squeezed: bool) -> &BTreeMap<String, String> {
        match (stage, squeezed) {
            (0, true) => &self.first_stage_squeezed,
            (0, false) => &self.first_stage,
            (_, true) => &self.other_stages_squeezed,
            (_, false) => &self.other_stages,
        }
    }

    fn rename(&self, target: &Target, module: &str) -> Option<String> {
        let (number, part) = module.strip_prefix(&self.from)?.strip_prefix('.')?.split_once('.')?;
        let number = number.parse::<usize>().ok()?.checked_sub(self.first)?;
        let mut block = number;
        for (stage, &count) in target.repeats.iter().enumerate() {
            if block < count {
                let parts = self.parts(stage, target.squeezed.contains(&number));
                return Some(format!("{}.{stage}.{block}.{}", self.to, parts.get(part)?));
            }
            block -= count;
        }
        None
    }
}

impl Mapping {
    /// The way back: what the project calls the tensor that timm calls `name`.
    pub fn original(&self, target: &Target, name: &str) -> Option<String> {
        if self.identity {
            return Some(name.to_owned());
        }
        let by_module = || {
            let (module, leaf) = name.rsplit_once('.')?;
            let module = original_in(&self.modules, module).or_else(|| self.blocks.as_ref()?.original(target, module))?;
            Some(format!("{module}.{leaf}"))
        };
        let original = by_module().or_else(|| self.patterns.iter().find_map(|(from, to)| pattern::translate(to, from, name)))?;
        Some(self.separator.map_or(original.clone(), |separator| original.replace('.', separator.encode_utf8(&mut [0; 4]))))
    }
}

#[cfg(test)]
impl Mapping {
    /// The shape in which the project stores a tensor of this one.
    pub fn stored(&self, shape: &[usize]) -> Vec<usize> {
        match shape {
            [outputs, inputs, kernel @ ..] if self.outputs_last => kernel.iter().chain([inputs, outputs]).copied().collect(),
            _ => shape.to_vec(),
        }
    }
}

fn original_in(table: &BTreeMap<String, String>, wanted: &str) -> Option<String> {
    table.iter().find(|(_, timm)| *timm == wanted).map(|(original, _)| original.clone())
}

impl Blocks {
    fn original(&self, target: &Target, module: &str) -> Option<String> {
        let mut parts = module.strip_prefix(&self.to)?.strip_prefix('.')?.splitn(3, '.');
        let (stage, block) = (parts.next()?.parse::<usize>().ok()?, parts.next()?.parse::<usize>().ok()?);
        let through = target.repeats.get(..stage)?.iter().sum::<usize>() + block;
        let table = self.parts(stage, target.squeezed.contains(&through));
        Some(format!("{}.{}.{}", self.from, self.first + through, original_in(table, parts.next()?)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(mapping: usize, architecture: &str, name: &str) -> Option<String> {
        let mappings = mappings().unwrap();
        let mapping = &mappings[mapping];
        mapping.rename(mapping.architectures.iter().find(|target| target.name == architecture).unwrap(), name)
    }

    #[test]
    fn every_table_is_complete() {
        for mapping in mappings().unwrap() {
            for target in &mapping.architectures {
                let input = mapping.input_of(target);
                assert!(input.size.is_some() && input.crop_pct.is_some() && input.mean.is_some() && input.std.is_some(), "{}", target.name);
                assert!(input.interpolation.is_some() && input.first_conv.is_some() && input.classifier.is_some(), "{}", target.name);
                assert_eq!(target.repeats.is_empty(), mapping.blocks.is_none(), "{}", target.name);
            }
        }
    }

    #[test]
    fn efficientnet_lite_blocks_fall_into_their_stages() {
        let name = |old: &str| renamed(1, "tf_efficientnet_lite0", old);
        assert_eq!(name("_conv_stem.weight").as_deref(), Some("conv_stem.weight"));
        assert_eq!(name("_bn1.running_var").as_deref(), Some("bn2.running_var"));
        assert_eq!(name("_fc.bias").as_deref(), Some("classifier.bias"));
        assert_eq!(name("_blocks.0._project_conv.weight").as_deref(), Some("blocks.0.0.conv_pw.weight"));
        assert_eq!(name("_blocks.1._expand_conv.weight").as_deref(), Some("blocks.1.0.conv_pw.weight"));
        assert_eq!(name("_blocks.2._bn2.bias").as_deref(), Some("blocks.1.1.bn3.bias"));
        assert_eq!(name("_blocks.15._project_conv.weight").as_deref(), Some("blocks.6.0.conv_pwl.weight"));
        assert_eq!(name("_blocks.16._project_conv.weight"), None, "lite0 has sixteen blocks");
        assert_eq!(name("_blocks.0._expand_conv.weight"), None, "the first stage does not expand");
        assert_eq!(name("_blocks.x._bn2.bias"), None);
        assert_eq!(name("weight"), None);
        assert_eq!(renamed(1, "tf_efficientnet_lite4", "_blocks.29._bn0.bias").as_deref(), Some("blocks.6.0.bn1.bias"));
    }

    #[test]
    fn both_mobilenets_meet() {
        let tonylins = |old: &str| renamed(2, "mobilenetv2_100", old);
        let torchvision = |old: &str| renamed(3, "mobilenetv2_100", old);
        assert_eq!(tonylins("features.1.conv.3.weight"), torchvision("features.1.conv.1.weight"));
        assert_eq!(tonylins("features.17.conv.6.weight"), torchvision("features.17.conv.2.weight"));
        assert_eq!(tonylins("features.17.conv.6.weight").as_deref(), Some("blocks.6.0.conv_pwl.weight"));
        assert_eq!(tonylins("features.4.conv.4.bias").as_deref(), Some("blocks.2.0.bn2.bias"));
        assert_eq!(torchvision("features.4.conv.1.1.bias").as_deref(), Some("blocks.2.0.bn2.bias"));
        assert_eq!(tonylins("features.18.0.weight").as_deref(), Some("conv_head.weight"));
        assert_eq!(torchvision("classifier.1.weight").as_deref(), Some("classifier.weight"));
    }
}
