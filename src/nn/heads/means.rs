//! Classes by the mean features of a few examples of each: an item's features, less the mean of all examples and brought to length one,
//! are held against each class's. What SimpleShot (Wang et al. 2019) calls CL2N; nothing in it learns by descent.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::nn::error::{Error, Result};

/// `(B, num_features)` to `(B, classes)`: `w . u + b` of `u = (x - centre) / |x - centre|`.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    centre: Vec<f32>,
    /// `(classes, width)`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Means {
    /// # Errors
    /// The sizes do not fit each other.
    pub fn new(centre: Vec<f32>, weight: Vec<f32>, bias: Vec<f32>) -> Result<Means> {
        if centre.is_empty() || bias.is_empty() || weight.len() != centre.len() * bias.len() {
            let sizes = (centre.len(), weight.len(), bias.len());
            return Err(Error::Invalid(format!("means of {} features, {} weights and {} classes do not fit", sizes.0, sizes.1, sizes.2)));
        }
        Ok(Means { centre, weight, bias })
    }

    pub fn width(&self) -> usize {
        self.centre.len()
    }

    pub fn classes(&self) -> usize {
        self.bias.len()
    }

    /// Features as they are compared: less the centre, of length one. What has no direction stays at the centre.
    pub fn placed(centre: &[f32], features: &[f32]) -> Vec<f32> {
        let moved: Vec<f32> = features.iter().zip(centre).map(|(value, centre)| value - centre).collect();
        let length = moved.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt() as f32;
        if length > 0.0 && length.is_finite() { moved.iter().map(|value| value / length).collect() } else { vec![0.0; centre.len()] }
    }

    /// An output for each class, of the features of one item.
    pub fn of(&self, features: &[f32]) -> Vec<f32> {
        let placed = Means::placed(&self.centre, features);
        let one = |(row, bias): (&[f32], &f32)| bias + row.iter().zip(&placed).map(|(weight, value)| weight * value).sum::<f32>();
        self.weight.chunks_exact(self.centre.len()).zip(&self.bias).map(one).collect()
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.detach().to_vec2::<f32>()?;
        let outputs: Vec<f32> = rows.par_iter().flat_map_iter(|row| self.of(row)).collect();
        Ok(Tensor::from_vec(outputs, (rows.len(), self.classes()), &Device::Cpu)?.to_device(x.device())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_of_directions_from_the_centre() {
        let head = Means::new(vec![1.0, 1.0], vec![2.0, 0.0, 0.0, 2.0], vec![0.0, 0.5]).unwrap();
        assert_eq!(head.of(&[6.0, 1.0]), [2.0, 0.5], "however far");
        assert_eq!(head.of(&[1.0, 1.0]), [0.0, 0.5], "nothing is said of the centre itself");
        let x = Tensor::new(&[[6f32, 1.0], [1.0, 4.0]], &Device::Cpu).unwrap();
        assert_eq!(head.forward(&x).unwrap().to_vec2::<f32>().unwrap(), [[2.0, 0.5], [0.0, 2.5]]);
        assert!(Means::new(vec![1.0], vec![2.0], vec![0.0, 0.5]).is_err() && Means::new(vec![], vec![], vec![]).is_err());
    }
}
