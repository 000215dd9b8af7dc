//! Greedy soups (Wortsman et al. 2022): the average of the weights of several fine-tunes of one base, which costs no more to use than
//! one of them and is often better than the best. From the best on, each joins if the average with it is no worse on the
//! validation items.

mod measured;

use std::path::Path;

use candle_core::{Tensor, Var};

pub use self::measured::{Averaged, of_trials};
use super::error::{Error, Result};
use crate::nn::Weights;

/// A result that may go into a soup.
pub struct Ingredient {
    /// For people: which one it is.
    pub name: String,
    /// Backbone and head as they were published.
    pub weights: Weights,
    /// Its first measure on the validation items, turned so that more is better.
    pub merit: f64,
}

impl Ingredient {
    /// From a model's file.
    ///
    /// # Errors
    /// The file is no model's, or cannot be read.
    pub fn load(name: String, file: &Path, merit: f64) -> Result<Ingredient> {
        Ok(Ingredient { name, weights: Weights::load(file)?, merit })
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Soup {
    pub weights: Weights,
    /// Names of those that are in it, the best first.
    pub members: Vec<String>,
    /// Of the soup, as `evaluate` said, or of the best alone.
    pub merit: f64,
}

/// Averages greedily. `evaluate` says how good weights are on the items that the merits are from, in the same measure; it is asked
/// once for each ingredient but the best. Running means and variances are averaged as everything else is.
///
/// # Errors
/// There is nothing to average, an ingredient has other tensors than the best, and whatever `evaluate` meets.
pub fn greedy(mut ingredients: Vec<Ingredient>, evaluate: &mut dyn FnMut(&Weights) -> Result<f64>) -> Result<Soup> {
    // Among equals the first one given stays first; no number comes last.
    let merit = |merit: f64| if merit.is_nan() { f64::NEG_INFINITY } else { merit };
    ingredients.sort_by(|a, b| merit(b.merit).total_cmp(&merit(a.merit)));
    let mut rest = ingredients.into_iter();
    let Some(best) = rest.next() else { return Err(Error::Unsupported("there are no results to average".into())) };
    let mut soup = Soup { weights: best.weights.deep_copy()?, members: vec![best.name], merit: best.merit };
    for next in rest {
        let tried = joined(&soup, &next)?;
        let found = evaluate(&tried)?;
        if found >= soup.merit {
            soup.weights = tried;
            soup.members.push(next.name);
            soup.merit = found;
        }
    }
    Ok(soup)
}

/// The average of the soup's members and one more.
fn joined(soup: &Soup, next: &Ingredient) -> Result<Weights> {
    let share = 1.0 / (soup.members.len() + 1) as f64;
    let differs = |name: &str| {
        let first = &soup.members[0];
        Error::Unsupported(format!("{} and {first} cannot be averaged: `{name}` is not in both in one shape", next.name))
    };
    if let Some((name, _)) = next.weights.iter().find(|(name, _)| soup.weights.get(name).is_none()) {
        return Err(differs(name));
    }
    let mut weights = Weights::default();
    for (name, own) in soup.weights.iter() {
        let other = next.weights.get(name).filter(|other| other.shape() == own.shape()).ok_or_else(|| differs(name))?;
        let (own, other): (Tensor, Tensor) = (own.as_tensor().detach(), other.as_tensor().detach());
        weights.insert(name.to_owned(), Var::from_tensor(&(&own + ((other - &own)? * share)?)?)?);
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device;

    use super::*;

    fn of(name: &str, values: [f32; 2], merit: f64) -> Ingredient {
        let tensors = HashMap::from([("w".to_owned(), Tensor::new(&values, &Device::Cpu).unwrap())]);
        Ingredient { name: name.into(), weights: Weights::from_tensors(tensors).unwrap(), merit }
    }

    fn values(weights: &Weights) -> Vec<f32> {
        weights.get("w").unwrap().to_vec1().unwrap()
    }

    /// The nearer to (1, 1), the better.
    fn nearness(weights: &Weights) -> f64 {
        -values(weights).iter().map(|value| f64::from(value - 1.0).powi(2)).sum::<f64>()
    }

    #[test]
    fn who_makes_the_average_no_worse_joins_and_others_do_not() {
        let given = [("far", [9.0, 9.0]), ("right", [2.0, 1.0]), ("left", [0.0, 1.0]), ("none", [f32::NAN; 2])];
        let given = given.map(|(name, values)| {
            let ingredient = of(name, values, 0.0);
            Ingredient { merit: nearness(&ingredient.weights), ..ingredient }
        });
        let mut asked = 0;
        let soup = greedy(given.into(), &mut |weights| {
            asked += 1;
            Ok(nearness(weights))
        })
        .unwrap();
        assert_eq!((soup.members, asked), (vec!["right".to_owned(), "left".to_owned()], 3));
        assert_eq!((values(&soup.weights), soup.merit), (vec![1.0, 1.0], 0.0));
    }

    #[test]
    fn three_count_alike_and_the_ingredients_stay_as_they_were() {
        let given = vec![of("a", [0.0, 3.0], 3.0), of("b", [3.0, 0.0], 2.0), of("c", [6.0, 0.0], 1.0)];
        let first = given[0].weights.clone();
        let soup = greedy(given, &mut |_| Ok(5.0)).unwrap();
        assert_eq!(soup.members, ["a", "b", "c"]);
        assert!(values(&soup.weights).iter().zip([3.0, 1.0]).all(|(found, wanted)| (found - wanted).abs() < 1e-6));
        assert_eq!(values(&first), [0.0, 3.0]);
    }

    #[test]
    fn one_alone_is_the_soup_and_what_does_not_fit_is_named() {
        let soup = greedy(vec![of("a", [1.0, 2.0], 0.5)], &mut |_| panic!("nothing to ask")).unwrap();
        assert_eq!((soup.members, soup.merit, values(&soup.weights)), (vec!["a".to_owned()], 0.5, vec![1.0, 2.0]));
        assert!(greedy(Vec::new(), &mut |_| Ok(0.0)).is_err());
        let mut other = of("b", [1.0, 1.0], 0.1);
        other.weights.insert("more".into(), Var::new(&[1f32], &Device::Cpu).unwrap());
        let error = greedy(vec![of("a", [1.0, 2.0], 0.5), other], &mut |_| Ok(0.0)).unwrap_err();
        assert!(error.to_string().contains("`more`"), "{error}");
    }
}
