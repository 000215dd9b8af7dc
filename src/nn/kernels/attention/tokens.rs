//! Layers between [nodes](Node) with more parameters than candle lets an op have: each pair of them gets a step of its own
//! in candle's graph, so that every gradient finds its way however the backward pass is asked for, and the topmost step,
//! which comes first, works out the gradients of all.
//!
//! A transformer's tokens `(B, N, D)` are a node of `(B, N, 1, D)`.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};

use crate::nn::kernels::backend::Arithmetic;
use crate::nn::kernels::buffer::Buffer;
use crate::nn::kernels::memory::{Floats, read, tensor};
use crate::nn::kernels::tape::{Gradient, Node, Pair, Step};

/// A layer's parameters, two by two.
pub(super) struct Parameters<const N: usize>([[Tensor; 2]; N]);

/// Their values.
pub(super) type Values<'a, const N: usize> = [[Floats<'a>; 2]; N];

/// Gradients to them.
pub(super) type Gradients<const N: usize> = [[Vec<f32>; 2]; N];

impl<const N: usize> Parameters<N> {
    /// The first pair stands on top of the graph.
    pub fn new(pairs: [(&Tensor, &Tensor); N]) -> Parameters<N> {
        Parameters(pairs.map(|(first, second)| [first.clone(), second.clone()]))
    }

    pub fn read(&self) -> Result<Values<'_, N>> {
        let mut values = Vec::with_capacity(N);
        for [first, second] in &self.0 {
            values.push([read(first)?, read(second)?]);
        }
        match values.try_into() {
            Ok(values) => Ok(values),
            Err(_) => bail!("a layer lost a parameter"),
        }
    }

    /// The node that a layer makes of `x`: `forward` gets the values of `x`, those of the parameters and whether anybody
    /// learns, and leaves for `backward` what that needs besides.
    pub fn learn<S: Send + 'static>(
        self,
        x: &Node,
        shape: [usize; 4],
        forward: impl FnOnce(&[f32], &Values<'_, N>, bool) -> Result<(Buffer, Option<S>)>,
        backward: impl FnOnce(&[f32], &Values<'_, N>, Buffer, &S) -> Result<(Buffer, Gradients<N>)> + Send + 'static,
    ) -> Result<Node> {
        let keep = x.is_tracked() || self.0.iter().flatten().any(Tensor::track_op);
        let (y, saved) = forward(&x.values, &self.read()?, keep)?;
        let values = x.values.clone();
        self.node(x, shape, y, move |dy, parameters| match saved {
            Some(saved) => backward(&values, &parameters.read()?, dy, &saved),
            None => bail!("a layer that nobody learns from was asked for a gradient"),
        })
    }

    /// `y` as the node that the layer makes of `x`. `back` gets the gradient to it and answers that to `x` and those to
    /// the parameters; nobody calls it if none of them is tracked.
    pub fn node(
        self,
        x: &Node,
        shape: [usize; 4],
        y: Buffer,
        back: impl FnOnce(Buffer, &Parameters<N>) -> Result<(Buffer, Gradients<N>)> + Send + 'static,
    ) -> Result<Node> {
        let (length, from, to) = (y.len(), Arc::new(Gradient::default()), x.is_tracked().then(|| x.gradient.clone()));
        let gradient = from.clone();
        let left: Arc<Mutex<Vec<Pair>>> = Arc::default();
        let mut link = x.link.clone();
        let pairs = self.0.clone();
        for [first, second] in pairs.iter().skip(1) {
            let left = left.clone();
            let next = move |_: &Tensor, _: &Tensor| Ok(left.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default());
            link = link.apply_op3(first, second, Step::new(next))?;
        }
        let all = move |_: &Tensor, _: &Tensor| {
            let (dx, gradients) = back(from.take(length), &self)?;
            if let Some(to) = to {
                to.add(dx);
            }
            let mut found = Vec::with_capacity(N);
            for ([first, second], [dfirst, dsecond]) in self.0.iter().zip(gradients) {
                let wanted = |of: &Tensor, gradient: Vec<f32>| of.track_op().then(|| tensor(gradient, of.dims())).transpose();
                found.push((wanted(first, dfirst)?, wanted(second, dsecond)?));
            }
            // The steps below ask from the top down, and get theirs from the end.
            let own = found.drain(..1).next().unwrap_or_default();
            *left.lock().unwrap_or_else(PoisonError::into_inner) = found;
            Ok(own)
        };
        let [first, second] = &pairs[0];
        let link = link.apply_op3(first, second, Step::new(all))?;
        Ok(Node { shape, values: Arc::new(y), link, gradient, arithmetic: x.arithmetic })
    }
}

impl Node {
    /// Takes in tokens `(B, N, D)`.
    pub fn enter_tokens(x: &Tensor, arithmetic: Arithmetic) -> Result<Node> {
        Node::enter(&x.contiguous()?.unsqueeze(2)?, arithmetic)
    }

    /// Tokens as `(B, N, D)`; gradients flow back.
    pub fn leave_tokens(&self) -> Result<Tensor> {
        self.leave()?.squeeze(2)
    }

    /// How many tokens an image has.
    pub fn tokens(&self) -> usize {
        self.shape[1]
    }

    /// The same values to which no gradient flows.
    pub fn detach(&self) -> Node {
        Node { link: self.link.detach(), gradient: Arc::default(), ..self.clone() }
    }

    /// The same node; what it goes through multiplies in that arithmetic.
    pub fn at(self, arithmetic: Arithmetic) -> Node {
        Node { arithmetic, ..self }
    }
}
