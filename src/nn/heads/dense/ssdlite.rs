//! A head that finds objects from anchors, for small networks (SSD, Liu et al. 2016; its depthwise separable form, Sandler et al. 2018): maps at
//! strides 8, 16 and 32 are the backbone's own, coarser ones are made of the last of them, and over each map two layers of its own say about
//! every anchor of every place which class it shows, and by how much the object's box differs from it.
//!
//! There is no pyramid: what maps say is not exchanged between scales, which costs little and finds small objects less well. Each pixel is
//! normalised over its channels where the paper normalises the finest map so and later forms the batch: maps down to one pixel, and batches of
//! any size, learn alike. What anchors are is known to whoever reads the rows.
//!
//! ```text
//! row = classes x logit | 4 x offset (middle across, down, width, height) | logit of nothing
//! ```

use candle_core::Tensor;

use super::{Conv, DenseHead, Design, Layer, Parts, PixelNorm, Running, Shape};
use crate::nn::architectures::Init;
use crate::nn::error::{Error, Result};
use crate::nn::kernels::{Activation, Maps};

/// Strides of the maps that are answered about, from fine to coarse, and anchors at each of their places.
pub const LEVELS: [(usize, usize); 5] = [(8, 4), (16, 6), (32, 6), (64, 6), (128, 6)];
/// Numbers beside those of the classes.
const BESIDE: usize = 5;
/// Numbers of a box.
const SIDES: usize = 4;
/// Channels of the maps that the backbone does not have, and of what they are squeezed to in between (half, as in the paper).
const WIDTH: usize = 256;
/// What an anchor is thought to show any object by before anything is learned, as in the head without anchors.
const PRIOR: f64 = 0.01;
/// Deviation of the weights that answers are first made by (torchvision's, of MobileNetV3's authors).
const DEVIATION: f64 = 0.03;

/// A map that is half as large: channels squeezed, then a depthwise layer at stride 2.
struct Coarser {
    squeeze: Conv,
    layer: Layer,
}

impl Coarser {
    fn build(parts: &mut Parts<'_>, name: &str, width: usize) -> Result<Coarser> {
        Ok(Coarser {
            squeeze: parts.conv_bias(&format!("{name}.squeeze"), Shape::new(width, WIDTH / 2, 1), Activation::Relu)?,
            layer: Layer::build(parts, name, Shape::new(WIDTH / 2, WIDTH, 3).strided(2))?,
        })
    }

    fn forward(&self, x: &Maps, run: &Running) -> Result<Maps> {
        self.layer.forward(&self.squeeze.forward(x, run)?, run)
    }
}

/// A depthwise layer and what it says about each anchor.
struct Says {
    depthwise: Conv,
    norm: PixelNorm,
    last: Conv,
    anchors: usize,
    numbers: usize,
}

impl Says {
    /// So many numbers about each of so many anchors of a map's places; the last of each starts at a bias.
    fn build(parts: &mut Parts<'_>, name: &str, (width, anchors): (usize, usize), (numbers, bias): (usize, f32)) -> Result<Says> {
        let each = Shape { groups: width, ..Shape::new(width, width, 3) };
        let last = Shape::new(width, anchors * numbers, 1);
        let says = Says {
            depthwise: parts.conv_bias(&format!("{name}.depthwise"), each, Activation::None)?,
            norm: PixelNorm::build(parts, &format!("{name}.norm"), width)?,
            last: parts.conv_drawn(&format!("{name}.last"), last, Activation::None, (Init::Normal(DEVIATION), 0.0))?,
            anchors,
            numbers,
        };
        if bias != 0.0 {
            parts.start(
                &format!("{name}.last.bias"),
                (0..anchors * numbers).map(|at| if (at + 1).is_multiple_of(numbers) { bias } else { 0.0 }),
            )?;
        }
        Ok(says)
    }

    /// `(B, places x anchors, numbers)`.
    fn forward(&self, x: &Maps, run: &Running) -> Result<Tensor> {
        let x = self.norm.forward(&self.depthwise.forward(x, run)?, run)?;
        let said = self.last.forward(&x, run)?.leave()?;
        let (batch, rows, columns, _) = said.dims4()?;
        Ok(said.reshape((batch, rows * columns * self.anchors, self.numbers))?)
    }
}

struct SsdLite {
    /// Place of the first of the scales that are looked at, and how many are the backbone's own.
    first: usize,
    own: usize,
    coarser: Vec<Coarser>,
    classes: Vec<Says>,
    boxes: Vec<Says>,
    outputs: usize,
    /// Height and width of each map of the view that it was designed for.
    sides: [[usize; 2]; LEVELS.len()],
}

/// Makes it.
///
/// # Errors
/// The network has no maps at stride 8.
pub(super) fn build(parts: &mut Parts<'_>, design: &Design<'_>) -> Result<Box<dyn DenseHead>> {
    let classes = design.outputs.checked_sub(BESIDE).filter(|classes| *classes > 0);
    let classes = classes.ok_or_else(|| Error::Invalid("a head that finds objects needs classes to tell them apart".into()))?;
    let first = design.scales.iter().position(|scale| scale.stride == LEVELS[0].0);
    let first = first.ok_or_else(|| Error::Invalid("a head that finds objects needs maps at stride 8; choose another network".into()))?;
    let scales = &design.scales[first..(first + LEVELS.len()).min(design.scales.len())];
    if scales.iter().zip(LEVELS).any(|(scale, (stride, _))| scale.stride != stride) {
        return Err(Error::Invalid("a head that finds objects needs maps at strides 8, 16 and 32; choose another network".into()));
    }
    let mut widths: Vec<usize> = scales.iter().map(|scale| scale.width).collect();
    let (own, mut coarser) = (widths.len(), Vec::new());
    for at in own..LEVELS.len() {
        coarser.push(Coarser::build(parts, &format!("coarser.{at}"), widths[at - 1])?);
        widths.push(WIDTH);
    }
    // All classes together are as probable as that, and alike.
    let nothing = ((1.0 - PRIOR) / PRIOR * classes as f64).ln() as f32;
    let (mut of_classes, mut of_boxes) = (Vec::new(), Vec::new());
    for (at, (width, (_, anchors))) in widths.iter().zip(LEVELS).enumerate() {
        of_classes.push(Says::build(parts, &format!("class.{at}"), (*width, anchors), (classes + 1, nothing))?);
        of_boxes.push(Says::build(parts, &format!("box.{at}"), (*width, anchors), (SIDES, 0.0))?);
    }
    let (height, width) = design.view;
    let sides = LEVELS.map(|(stride, _)| [height.div_ceil(stride), width.div_ceil(stride)]);
    Ok(Box::new(SsdLite { first, own, coarser, classes: of_classes, boxes: of_boxes, outputs: design.outputs, sides }))
}

impl DenseHead for SsdLite {
    /// Of all maps one behind the other, each row by row, the anchors of a place one behind the other.
    fn forward(&self, maps: &[Maps], run: &Running) -> Result<Tensor> {
        let own = maps.get(self.first..self.first + self.own);
        let mut all = own.ok_or_else(|| Error::Invalid("maps of a scale are missing".into()))?.to_vec();
        for coarser in &self.coarser {
            let Some(last) = all.last() else { break };
            all.push(coarser.forward(last, run)?);
        }
        let classes = self.outputs - BESIDE;
        let mut rows = Vec::with_capacity(all.len());
        for (map, (class, boxes)) in all.iter().zip(self.classes.iter().zip(&self.boxes)) {
            let (class, boxes) = (class.forward(map, run)?, boxes.forward(map, run)?);
            rows.push(Tensor::cat(&[class.narrow(2, 0, classes)?, boxes, class.narrow(2, classes, 1)?], 2)?);
        }
        Ok(Tensor::cat(&rows, 1)?)
    }

    fn mirrored(&self, answers: &Tensor) -> Option<Result<Tensor>> {
        Some(self.turned(answers))
    }
}

impl SsdLite {
    /// Anchors in the order they have in a mirror, and their offsets across turned around. Exact where sides are multiples of the coarsest stride.
    fn turned(&self, answers: &Tensor) -> Result<Tensor> {
        let (mut places, mut first) = (Vec::new(), 0);
        for ([rows, columns], (_, anchors)) in self.sides.into_iter().zip(LEVELS) {
            for row in 0..rows {
                for column in (0..columns).rev() {
                    let place = first + (row * columns + column) * anchors;
                    places.extend((place..place + anchors).map(|at| at as u32));
                }
            }
            first += rows * columns * anchors;
        }
        let across = self.outputs - BESIDE;
        let signs: Vec<f32> = (0..self.outputs).map(|at| if at == across { -1.0 } else { 1.0 }).collect();
        let turned = answers.index_select(&Tensor::new(places, answers.device())?, 1)?;
        Ok(turned.broadcast_mul(&Tensor::new(signs, answers.device())?)?)
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

    fn design(scales: &[Scale]) -> Design<'_> {
        Design { scales, outputs: 3 + BESIDE, view: (40, 72), shortcut: false }
    }

    #[test]
    fn every_anchor_of_five_maps_has_a_row_and_nothing_is_thought_probable() {
        let scales = [(4, 8), (8, 12), (16, 16), (32, 24)].map(|(stride, width)| Scale { stage: 0, stride, width });
        let design = design(&scales);
        let head = Dense::fresh("ssdlite", &design, 1, &Device::Cpu).unwrap();
        // The coarsest map lacks a row and a column, as after a pooling that leaves edges out.
        let sides = [(10, 18), (5, 9), (3, 5), (1, 2)];
        let map = |(scale, (height, width)): (&Scale, (usize, usize))| {
            let count = 2 * scale.width * height * width;
            let values: Vec<f32> = (0..count).map(|at| ((at * 7_919 % 997) as f32 / 498.5) - 1.0).collect();
            Tensor::from_vec(values, (2, scale.width, height, width), &Device::Cpu).unwrap()
        };
        let maps: Vec<Tensor> = scales.iter().zip(sides).map(map).collect();
        let rows = head.forward(&maps, Mode::Train, false).unwrap();
        let anchors = 5 * 9 * 4 + (3 * 5 + 2 * 3 + 2 + 1) * 6;
        assert_eq!((rows.dims(), rows.dtype()), (&[2 * anchors, 8][..], DType::F32));
        let first = rows.get(0).unwrap().to_vec1::<f32>().unwrap();
        assert!(first[..3].iter().all(|logit| first[7] - logit > 3.0), "{first:?}");
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
        let turned = head.forward(&maps, Mode::Eval, true).unwrap().get(1).unwrap().to_vec1::<f32>().unwrap();
        let plain = head.forward(&maps, Mode::Eval, false).unwrap().get(8 * 4 + 1).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(
            (turned[0], turned[3], turned[4], turned[7]),
            (plain[0], -plain[3], plain[4], plain[7]),
            "the last place of the first row"
        );
        let again = Dense::given("ssdlite", &design, head.weights()).unwrap();
        let (own, other) = (head.forward(&maps, Mode::Eval, false).unwrap(), again.forward(&maps, Mode::Eval, false).unwrap());
        assert_eq!(own.to_vec2::<f32>().unwrap(), other.to_vec2::<f32>().unwrap());
        assert!(Dense::fresh("ssdlite", &Design { scales: &scales[2..], ..design }, 1, &Device::Cpu).is_err(), "no map at stride 8");
        assert!(Dense::fresh("ssdlite", &Design { outputs: BESIDE, ..design }, 1, &Device::Cpu).is_err(), "no class");
    }
}
