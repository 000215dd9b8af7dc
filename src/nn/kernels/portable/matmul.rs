//! Matrix products, of factors rounded to bf16 where a recipe asks for it.

use candle_core::{DType, Result, Tensor};

use super::op::op;
use crate::domain::recipe::Precision;

/// `a (rows, depth) * b (depth, columns)` in f32, without a gradient.
pub(super) fn matmul(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    if precision == Precision::F32 {
        return a.matmul(b);
    }
    let (a, b) = (a.to_dtype(DType::BF16)?, b.to_dtype(DType::BF16)?);
    match a.device().is_cpu() {
        // candle does not multiply bf16 here; products of rounded numbers are the same in f32.
        true => a.to_dtype(DType::F32)?.matmul(&b.to_dtype(DType::F32)?),
        // Sums are f32 on a GPU, too; what leaves it is rounded once more.
        false => a.matmul(&b)?.to_dtype(DType::F32),
    }
}

/// `x (rows, I) * weight (O, I)^T`. Gradients flow to both.
pub(super) fn linear_matmul(x: &Tensor, weight: &Tensor, precision: Precision) -> Result<Tensor> {
    let (values, factors) = (x.detach(), weight.detach());
    let y = matmul(&values, &factors.t()?, precision)?;
    let (wants_x, wants_weight) = (x.track_op(), weight.track_op());
    op("matmul", &[x, weight], y, move |dy| {
        let dx = wants_x.then(|| matmul(dy, &factors, precision)).transpose()?;
        let dweight = wants_weight.then(|| matmul(&dy.t()?, &values, precision)).transpose()?;
        Ok(vec![dx, dweight])
    })
}
