//! A head that finds objects without anchors (FCOS, Tian et al. 2019): a pyramid over the scales from 8 on, and over each of its maps the same
//! two towers, one for classes and one for boxes. Each place says a logit for each class, the logarithms of the four distances to the sides
//! of a box, in strides, and a logit of how near it is to the middle.
//!
//! Lighter than the paper's, for backbones of few millions of parameters and data of some hundred images: layers are depthwise and pointwise
//! (as in NanoDet and SSDlite) and fewer, and each pixel is normalised over its channels (as ViTDet's heads, Li et al. 2022), which knows
//! neither the batch nor the map, so that one tower serves all maps in batches of any size.

use candle_core::Tensor;

use super::{Conv, DenseHead, Design, Layer, Parts, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::heads::fpn::Fpn;
use crate::nn::kernels::{Activation, Between, Maps};

/// Strides of the maps that are answered about, from fine to coarse.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Numbers beside those of the classes.
const BESIDE: usize = 5;
/// Channels of the pyramid and of the towers, and layers of each.
const WIDTH: usize = 96;
const LAYERS: usize = 2;
/// What a class is thought to be probable before anything is learned (Lin et al. 2017): the many places where nothing is would drown the rest.
const PRIOR: f64 = 0.01;
/// Strides to the sides of a box before anything is learned.
const USUAL: f64 = 4.0;
/// Deviation of the weights that answers are first made by.
const DEVIATION: f64 = 0.01;

struct Fcos {
    fpn: Fpn,
    /// Places of the scales that the pyramid is over.
    first: usize,
    smooths: Vec<Layer>,
    classes: Vec<Layer>,
    boxes: Vec<Layer>,
    class: Conv,
    distances: Conv,
    /// Height and width of each map of the view that it was designed for.
    sides: [[usize; 2]; STRIDES.len()],
    outputs: usize,
}

/// Makes it.
///
/// # Errors
/// The network has no maps at stride 8.
pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let classes = design.outputs.checked_sub(BESIDE).filter(|classes| *classes > 0);
    let classes = classes.ok_or_else(|| Error::Invalid("a head that finds objects needs classes to tell them apart".into()))?;
    let first = design.scales.iter().position(|scale| scale.stride == STRIDES[0]);
    let first = first.ok_or_else(|| Error::Invalid("a head that finds objects needs maps at stride 8; choose another network".into()))?;
    let scales = &design.scales[first..(first + STRIDES.len()).min(design.scales.len())];
    if scales.iter().zip(STRIDES).any(|(scale, stride)| scale.stride != stride) {
        return Err(Error::Invalid("a head that finds objects needs maps at strides 8, 16 and 32; choose another network".into()));
    }
    let fpn = Fpn::build(parts, scales, WIDTH, STRIDES.len() - scales.len())?;
    let tower = |parts: &mut Parts<'_>, name: &str, layers: usize| -> Result<Vec<Layer>> {
        (0..layers).map(|at| Layer::build(parts, &format!("{name}.{at}"), Shape::new(WIDTH, WIDTH, 3))).collect()
    };
    let smooths = tower(parts, "smooth", STRIDES.len())?;
    let (of_classes, of_boxes) = (tower(parts, "class_tower", LAYERS)?, tower(parts, "box_tower", LAYERS)?);
    let last = |outputs| Shape::new(WIDTH, outputs, 3);
    let small = Init::Normal(DEVIATION);
    let prior = -((1.0 - PRIOR) / PRIOR).ln() as f32;
    let class = parts.conv_drawn("class", last(classes), Activation::None, (small, prior))?;
    let distances = parts.conv_drawn("box", last(BESIDE), Activation::None, (small, USUAL.ln() as f32))?;
    let (height, width) = design.view;
    let sides = STRIDES.map(|stride| [height.div_ceil(stride), width.div_ceil(stride)]);
    Ok(Box::new(Fcos { fpn, first, smooths, classes: of_classes, boxes: of_boxes, class, distances, sides, outputs: design.outputs }))
}

impl DenseHead for Fcos {
    /// Of the maps at strides 8, 16 and 32 one behind the other, each row by row.
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let scales = maps.len().saturating_sub(self.first).min(STRIDES.len());
        let mut rows = Vec::with_capacity(STRIDES.len());
        let made = self.fpn.forward(maps.get(self.first..self.first + scales).unwrap_or_default(), run)?;
        for ((map, smooth), sides) in made.iter().zip(&self.smooths).zip(STRIDES.map(|stride| run.sides(stride))) {
            // Networks whose poolings leave edges out have a row or a column less.
            let map = smooth.forward(&map.resized(sides, Between::Nearest)?, run)?;
            let tower = |layers: &[Layer]| layers.iter().try_fold(map.clone(), |x, layer| layer.forward(&x, run));
            let class = self.class.forward(&tower(&self.classes)?, run)?;
            let distances = self.distances.forward(&tower(&self.boxes)?, run)?;
            let both = Maps::joined(&[class, distances])?.leave()?;
            rows.push(both.reshape((both.dim(0)?, sides[0] * sides[1], self.outputs))?);
        }
        Ok(Tensor::cat(&rows, 1)?)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.turned(answers))
    }
}

impl Fcos {
    /// Places in the order they have in a mirror, left for right. Exact where sides are multiples of the coarsest stride.
    fn turned(&self, answers: &Tensor) -> Result<Tensor> {
        let (mut places, mut first) = (Vec::new(), 0);
        for [rows, columns] in self.sides {
            for row in 0..rows {
                places.extend((0..columns).rev().map(|column| (first + row * columns + column) as u32));
            }
            first += rows * columns;
        }
        let mut numbers: Vec<u32> = (0..self.outputs as u32).collect();
        let left = self.outputs - BESIDE;
        numbers.swap(left, left + 2);
        let index = |list: Vec<u32>| Tensor::new(list, answers.device());
        Ok(answers.index_select(&index(places)?, 1)?.index_select(&index(numbers)?, 2)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::{Dense, Scale};
    use super::*;
    use crate::nn::backbone::Mode;
    use crate::nn::kernels;
    use crate::nn::kernels::ops::{Forced, Road};

    #[test]
    fn every_place_of_three_maps_has_a_row_and_nothing_is_thought_probable() {
        let scales = [(4, 8), (8, 12), (16, 16), (32, 24)].map(|(stride, width)| Scale { stage: 0, stride, width });
        let design = Design { scales: &scales, outputs: 3 + BESIDE, view: (40, 72), shortcut: false };
        let head = Dense::fresh("fcos", &design, 1, &Device::Cpu).unwrap();
        // The coarsest map lacks a row and a column, as after a pooling that leaves edges out.
        let sides = [(10, 18), (5, 9), (3, 5), (1, 2)];
        let map = |(scale, (height, width)): (&Scale, (usize, usize))| {
            Tensor::ones((2, scale.width, height, width), DType::F32, &Device::Cpu).unwrap()
        };
        let maps: Vec<Tensor> = scales.iter().zip(sides).map(map).collect();
        let rows = head.forward(&maps, Mode::Train, false).unwrap();
        let places = 5 * 9 + 3 * 5 + 2 * 3;
        assert_eq!(rows.dims(), [2 * places, 8]);
        let first = rows.get(0).unwrap().to_vec1::<f32>().unwrap();
        assert!(first[..3].iter().all(|logit| *logit < -3.0), "{first:?}");
        assert!(first[3..7].iter().all(|log| (log - 4f32.ln()).abs() < 1.2), "{first:?}");
        let gradients = kernels::backward(&rows.sqr().unwrap().sum_all().unwrap()).unwrap();
        let (name, _) = head.parameters().into_iter().find(|(_, var)| gradients.get(var).is_none()).unzip();
        assert_eq!(name, None, "every parameter learns");
        let on = |road: Road| {
            head.settings.force(Forced { road: Some(road), ..Forced::default() });
            head.forward(&maps, Mode::Train, false).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let (tape, portable) = (on(Road::Tape), on(Road::Portable));
        assert!(tape.iter().zip(&portable).all(|(a, b)| (a - b).abs() < 1e-3), "both roads agree");
        head.settings.force(Forced::default());
        let turned = head.forward(&maps, Mode::Eval, true).unwrap().get(0).unwrap().to_vec1::<f32>().unwrap();
        let plain = head.forward(&maps, Mode::Eval, false).unwrap().get(8).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((turned[0], turned[3], turned[5], turned[4]), (plain[0], plain[5], plain[3], plain[4]), "the last of the first row");
        let again = Dense::given("fcos", &design, head.weights()).unwrap();
        let (own, other) = (head.forward(&maps, Mode::Eval, false).unwrap(), again.forward(&maps, Mode::Eval, false).unwrap());
        assert_eq!(own.to_vec2::<f32>().unwrap(), other.to_vec2::<f32>().unwrap());
        assert!(Dense::fresh("fcos", &Design { scales: &scales[2..], ..design }, 1, &Device::Cpu).is_err(), "no map at stride 8");
        assert!(Dense::fresh("fcos", &Design { outputs: BESIDE, ..design }, 1, &Device::Cpu).is_err(), "no class");
    }
}
