//! Steps beside those of PyTorch.

use candle_core::Device;
use candle_core::backprop::GradStore;

use super::*;
use crate::train::error::Error;

/// Loss sum(c * p), so that the gradient of p is c.
fn gradients(vars: &[(&Var, [f32; 2])]) -> GradStore {
    let terms = vars.iter().map(|(var, c)| (var.as_tensor() * Tensor::new(c, &Device::Cpu).unwrap()).unwrap().sum_all().unwrap());
    terms.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap()
}

fn recipe(kind: Kind) -> Recipe {
    Recipe { optimizer: kind, ..Recipe::default() }
}

fn step(optimizer: &mut Optimizer, vars: &[(&Var, [f32; 2])], factor: f64) -> Result<()> {
    let gradients = Gradients::gather(optimizer, &gradients(vars), 1)?;
    optimizer.step(&gradients, factor)
}

/// By our own kernels, or by candle's ops as on other devices.
fn two_steps(recipe: &Recipe, composed: bool) -> Vec<f32> {
    let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
    let group = Group { rate: 0.1, decay: 0.01, parameters: vec![("p".into(), var.clone())] };
    let mut optimizer = Optimizer::new(recipe, vec![group]).unwrap();
    for memory in optimizer.memory.values_mut().filter(|_| composed) {
        *memory = Memory::Tensors(memory.tensors(&var).unwrap());
    }
    step(&mut optimizer, &[(&var, [0.5, 0.25])], 1.0).unwrap();
    step(&mut optimizer, &[(&var, [-1.0, 0.75])], 0.5).unwrap();
    var.to_vec1().unwrap()
}

fn close(found: &[f32], wanted: &[f32]) {
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 2e-6), "{found:?} is not {wanted:?}");
}

// The numbers come from torch.optim with the same two steps (second at half the rate).
#[test]
fn sgd_steps_as_pytorch_does() {
    close(&two_steps(&recipe(Kind::Sgd), false), &[0.976_587_06, -2.122_323_5]);
    close(&two_steps(&recipe(Kind::Sgd), true), &[0.976_587_06, -2.122_323_5]);
}

#[test]
fn adamw_steps_as_pytorch_does() {
    close(&two_steps(&recipe(Kind::Adamw), false), &[0.916_855_7, -2.142_840_1]);
    close(&two_steps(&recipe(Kind::Adamw), true), &[0.916_855_7, -2.142_840_1]);
}

#[test]
fn a_parameter_without_gradient_is_named_and_nothing_moves() {
    let used = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
    let unused = Var::new(&[1.0f32, 1.0], &Device::Cpu).unwrap();
    let parameters = vec![("used".to_owned(), used.clone()), ("layer4.1.bn2.weight".to_owned(), unused)];
    let mut optimizer = Optimizer::new(&recipe(Kind::Sgd), Group::split(0.1, 0.0, parameters, |_, _| true).into()).unwrap();
    match step(&mut optimizer, &[(&used, [1.0, 1.0])], 1.0) {
        Err(Error::NoGradient { name }) => assert_eq!(name, "layer4.1.bn2.weight"),
        other => panic!("{other:?}"),
    }
    assert_eq!(used.to_vec1::<f32>().unwrap(), [1.0, 1.0]);
}

#[test]
fn vectors_and_embeddings_do_not_decay() {
    let matrix = Var::zeros((2, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    let vector = Var::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
    let position = Var::zeros((1, 4, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    let parameters = vec![("m".into(), matrix), ("v".into(), vector), ("pos_embed".into(), position)];
    let known = crate::nn::architectures::get("vit_tiny_patch16_224").unwrap();
    let [with, without] = Group::split(0.1, 0.5, parameters, |name, rank| known.decays(name, rank));
    let names = |group: &Group| group.parameters.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!((with.decay, names(&with)), (0.5, vec!["m".to_owned()]));
    assert_eq!((without.decay, names(&without)), (0.0, vec!["v".to_owned(), "pos_embed".to_owned()]));
}

#[test]
fn a_restored_optimiser_takes_the_step_that_would_have_come() {
    for kind in [Kind::Sgd, Kind::Adamw] {
        let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
        let group = |var: &Var| vec![Group { rate: 0.1, decay: 0.01, parameters: vec![("p".into(), var.clone())] }];
        let mut first = Optimizer::new(&recipe(kind), group(&var)).unwrap();
        step(&mut first, &[(&var, [0.5, 0.25])], 1.0).unwrap();
        let (saved, steps) = first.state().unwrap();
        let saved: HashMap<String, Tensor> = saved.into_iter().map(|(name, t)| (name, t.copy().unwrap())).collect();
        let twin = Var::from_tensor(&var.as_tensor().copy().unwrap()).unwrap();
        let mut second = Optimizer::new(&recipe(kind), group(&twin)).unwrap();
        second.restore(|name| saved.get(name).cloned(), steps).unwrap();
        step(&mut first, &[(&var, [-1.0, 0.75])], 0.5).unwrap();
        step(&mut second, &[(&twin, [-1.0, 0.75])], 0.5).unwrap();
        assert_eq!(var.to_vec1::<f32>().unwrap(), twin.to_vec1::<f32>().unwrap());
        assert!(second.restore(|_| None, 0).is_err());
    }
}

#[test]
fn other_betas_are_those_of_pytorch() {
    let recipe = Recipe { betas: [0.8, 0.95], ..recipe(Kind::Adamw) };
    close(&two_steps(&recipe, false), &[0.919_472, -2.143_68]);
    close(&two_steps(&recipe, true), &[0.919_472, -2.143_68]);
}

// torch.nn.utils.clip_grad_norm_(max_norm=1) before each of two steps of SGD with momentum 0.8: norms of 13 and 0.26.
#[test]
fn gradients_are_clipped_together_as_pytorch_does() {
    let (p, q) = (Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap(), Var::new(&[0.5f32, 0.5], &Device::Cpu).unwrap());
    let group = Group { rate: 0.1, decay: 0.0, parameters: vec![("p".into(), p.clone()), ("q".into(), q.clone())] };
    let recipe = Recipe { momentum: 0.8, clip_norm: 1.0, ..recipe(Kind::Sgd) };
    let mut optimizer = Optimizer::new(&recipe, vec![group]).unwrap();
    let long = gradients(&[(&p, [3.0, 4.0]), (&q, [0.0, 12.0])]);
    assert!((Gradients::gather(&optimizer, &long, 1).unwrap().norm().unwrap() - 13.0).abs() < 1e-9);
    step(&mut optimizer, &[(&p, [3.0, 4.0]), (&q, [0.0, 12.0])], 1.0).unwrap();
    step(&mut optimizer, &[(&p, [0.1, 0.2]), (&q, [0.1, -0.1])], 1.0).unwrap();
    close(&p.to_vec1::<f32>().unwrap(), &[0.925_692_3, -2.111_076_8]);
    close(&q.to_vec1::<f32>().unwrap(), &[0.482, 0.292_769_22]);
}

#[test]
fn gradients_of_two_batches_are_those_of_one_with_the_items_of_both() {
    let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
    let group = Group { rate: 0.1, decay: 0.0, parameters: vec![("p".into(), var.clone())] };
    let optimizer = Optimizer::new(&recipe(Kind::Sgd), vec![group]).unwrap();
    let mut sum = Gradients::gather(&optimizer, &gradients(&[(&var, [1.0, 4.0])]), 3).unwrap();
    sum.add(&Gradients::gather(&optimizer, &gradients(&[(&var, [5.0, 0.0])]), 1).unwrap()).unwrap();
    assert_eq!(sum.get("p").unwrap().to_vec1::<f32>().unwrap(), [2.0, 3.0]);
}

#[test]
fn an_average_follows_its_formula_and_goes_on_where_it_was() {
    let var = Var::new(&[1.0f32, -2.0], &Device::Cpu).unwrap();
    let of = [("p".to_owned(), var.clone())];
    let mut average = Average::new(0.25, &of).unwrap();
    let values = |average: &Average| average.tensors().unwrap()[0].1.to_vec1::<f32>().unwrap();
    var.set(&Tensor::new(&[3.0f32, 0.0], &Device::Cpu).unwrap()).unwrap();
    average.follow(&of).unwrap();
    // 2 / 11 is less than 0.25.
    close(&values(&average), &[1.0 + 9.0 / 11.0 * 2.0, -2.0 + 9.0 / 11.0 * 2.0]);
    let mut twin = Average::new(0.25, &of).unwrap();
    let saved: HashMap<String, Tensor> = average.tensors().unwrap().into_iter().collect();
    twin.restore(|name| saved.get(name).cloned(), 1).unwrap();
    average.follow(&of).unwrap();
    twin.follow(&of).unwrap();
    // 3 / 12 is 0.25.
    let before = 1.0 + 18.0 / 11.0;
    assert!((values(&average)[0] - (0.25 * before + 0.75 * 3.0)).abs() < 1e-6);
    assert_eq!(values(&average), values(&twin));
}
