//! Items of one class are to be alike, and unlike those of others: a backbone learns it from all pairs of a step, and a head is found on
//! what comes of it. The cosines of pairs are held against 1 and 0, both kinds of pairs counting alike (Tunstall et al. 2022, SetFit, whose
//! pairs are drawn one by one).

use candle_core::{Device, Tensor};

use super::sums::mean;
use super::{Partition, Tally, Task, nothing};
use crate::data::Target;
use crate::domain::config::ModelConfig;
use crate::domain::evaluation::Evaluation;
use crate::domain::recipe::Recipe;
use crate::domain::task::Task as Name;
use crate::nn::Head;
use crate::train::error::Result;
use crate::train::measures;

/// Items of which all pairs are measured.
const MOST_ITEMS: usize = 400;

pub struct Contrast {
    width: usize,
}

impl Contrast {
    /// Of features of this width.
    pub fn new(width: usize) -> Contrast {
        Contrast { width }
    }
}

impl Task for Contrast {
    fn name(&self) -> Name {
        Name::Similarity
    }

    fn outputs(&self) -> usize {
        self.width
    }

    fn head(&self, width: usize) -> Option<Head> {
        Some(Head::Unit(width))
    }

    fn loss(&self, outputs: &Tensor, targets: &[Target], _recipe: &Recipe) -> Result<Tensor> {
        let count = targets.len();
        let cosines = outputs.matmul(&outputs.t()?.contiguous()?)?;
        let same = |at: usize| targets[at / count].class() == targets[at % count].class();
        let own = |at: usize| at / count == at % count;
        let pairs = || (0..count * count).filter(|at| !own(*at));
        let (alike, unlike) = (pairs().filter(|at| same(*at)).count(), pairs().filter(|at| !same(*at)).count());
        let kinds = f32::from(u8::from(alike > 0)) + f32::from(u8::from(unlike > 0));
        let weight = |at: usize| match (own(at), same(at)) {
            (true, _) => 0.0,
            (false, true) => 1.0 / (kinds * alike as f32),
            (false, false) => 1.0 / (kinds * unlike as f32),
        };
        let square = |of: &dyn Fn(usize) -> f32| -> Result<Tensor> {
            let values: Vec<f32> = (0..count * count).map(of).collect();
            Ok(Tensor::from_vec(values, (count, count), &Device::Cpu)?.to_device(outputs.device())?)
        };
        let (wanted, weights) = (square(&|at| f32::from(u8::from(same(at))))?, square(&weight)?);
        Ok(((cosines - wanted)?.sqr()? * weights)?.sum_all()?)
    }

    fn tally(&self, _settled: bool) -> Box<dyn Tally + '_> {
        Box::new(Features { width: self.width, rows: Vec::new(), classes: Vec::new(), samples: 0 })
    }

    fn check(&self, partition: &Partition) -> Result<()> {
        let first = partition.train.first().and_then(|sample| sample.target.class());
        if partition.train.iter().all(|sample| sample.target.class() == first) {
            return Err(nothing("the training items belong to fewer than two classes; add some of other classes to `train`"));
        }
        Ok(())
    }

    fn baseline(&self, _partition: &Partition) -> f64 {
        0.0
    }

    fn configure(&self, config: &mut ModelConfig) {
        super::without_classes(config);
    }

    fn scores_items(&self) -> bool {
        false
    }
}

/// Features of length one, of the first items there are.
struct Features {
    width: usize,
    rows: Vec<f32>,
    classes: Vec<Option<u32>>,
    samples: u64,
}

impl Features {
    /// Of each pair whether both are of one class, and their cosine.
    fn pairs(&self) -> Vec<(f64, f64)> {
        let rows: Vec<&[f32]> = self.rows.chunks_exact(self.width.max(1)).collect();
        let cosine = |a: usize, b: usize| rows[a].iter().zip(rows[b]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let same = |a: usize, b: usize| f64::from(u8::from(self.classes[a] == self.classes[b]));
        (0..rows.len()).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| (same(a, b), cosine(a, b))).collect()
    }
}

impl Tally for Features {
    fn add(&mut self, outputs: &[f32], targets: &[Target]) {
        self.samples += targets.len() as u64;
        let room = MOST_ITEMS.saturating_sub(self.classes.len()).min(targets.len());
        self.rows.extend(&outputs[..(room * self.width).min(outputs.len())]);
        self.classes.extend(targets[..room].iter().map(Target::class));
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn loss(&self) -> f64 {
        mean(self.pairs().into_iter().map(|(same, cosine)| (same - cosine).powi(2)))
    }

    fn primary(&self) -> f64 {
        let pairs = self.pairs();
        measures::spearman(&pairs, &measures::even(pairs.len()))
    }

    fn finish(self: Box<Self>) -> Evaluation {
        let pairs = self.pairs();
        let even = measures::even(pairs.len());
        let values = vec![measures::spearman(&pairs, &even), measures::pearson(&pairs, &even)];
        Evaluation { task: Name::Similarity, samples: self.samples, loss: self.loss(), values, ..Evaluation::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_one_class_and_of_two_count_alike() {
        let task = Contrast::new(2);
        let outputs = Tensor::new(&[[1f32, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], &Device::Cpu).unwrap();
        let targets = [0, 0, 1, 1].map(Target::Class);
        // Alike: 0-1 misses by 1, 2-3 not; unlike: 0-2 and 0-3 miss by 1, 1-2 and 1-3 not.
        let loss = task.loss(&outputs, &targets, &Recipe::default()).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - (0.5 * 0.5 + 0.5 * 0.5)).abs() < 1e-6, "{loss}");
        let mut tally = task.tally(false);
        tally.add(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0], &[0, 0, 1].map(Target::Class));
        assert!((tally.primary() - 1.0).abs() < 1e-9 && tally.loss() == 0.0 && tally.samples() == 3);
    }

    #[test]
    fn one_kind_of_pairs_is_enough_and_one_item_is_none() {
        let task = Contrast::new(2);
        let loss = |rows: &[[f32; 2]], classes: &[u32]| {
            let outputs = Tensor::from_vec(rows.concat(), (rows.len(), 2), &Device::Cpu).unwrap();
            let targets: Vec<Target> = classes.iter().copied().map(Target::Class).collect();
            task.loss(&outputs, &targets, &Recipe::default()).unwrap().to_scalar::<f32>().unwrap()
        };
        assert!((loss(&[[1.0, 0.0], [0.0, 1.0]], &[3, 3]) - 1.0).abs() < 1e-6);
        assert_eq!(loss(&[[1.0, 0.0]], &[3]), 0.0);
    }
}
