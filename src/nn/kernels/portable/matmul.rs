//! Matrix products, of factors rounded to bf16 where a recipe asks for it.

use std::cell::Cell;

use candle_core::{DType, Result, Tensor};

use super::op::op;
use crate::domain::recipe::Precision;
use crate::nn::kernels::scoped::scoped;

thread_local! {
    static PRECISION: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `body`, whose convolutions and linear layers of blocks, and their gradients, multiply numbers of that precision.
pub fn at<R>(precision: Precision, body: impl FnOnce() -> R) -> R {
    scoped(&PRECISION, precision, body)
}

/// What products of this thread are asked to round to.
pub(super) fn precision() -> Precision {
    PRECISION.get()
}

/// `a (rows, depth) * b (depth, columns)` in f32, without a gradient.
pub(super) fn product(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision == Precision::F32 {
        return a.matmul(b);
    }
    let (a, b) = (a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?);
    match a.device().is_cpu() {
        // candle does not multiply bf16 here; products of rounded numbers are the same in f32.
        true => a.to_dtype(DType::F32)?.matmul(&b.to_dtype(DType::F32)?),
        // Sums are f32 on a card, too; what leaves it is rounded once more.
        false => a.matmul(&b)?.to_dtype(DType::F32),
    }
}

/// `x (rows, I) * weight (O, I)^T`. Gradients flow to both.
pub(super) fn linear_product(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    let (values, factors) = (x.detach(), weight.detach());
    let y = product(&values, &factors.t()?, precision)?;
    let (wants_x, wants_weight) = (x.track_op(), weight.track_op());
    op("product", &[x, weight], y, move |dy| {
        let dx = wants_x.then(|| product(dy, &factors, precision)).transpose()?;
        let dweight = wants_weight.then(|| product(&dy.t()?, &values, precision)).transpose()?;
        Ok(vec![dx, dweight])
    })
}
