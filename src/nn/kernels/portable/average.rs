//! Average over spans of pixels, as products with the spans' shares: first along the frames, then down the columns, then along the lines.

use candle_core::{Device, Result, Tensor};

use super::op::op;
use crate::nn::kernels::conv::window::{Average, Span};

/// The mean of the pixels under each span of `x (B, H, W, C)`, of clips of so many frames the maps of all of them. The gradient flows to x.
pub fn average_pool(x: &Tensor, frames: usize, average: Average) -> Result<Tensor> {
    let spans = average.spans_of_frames(frames);
    if spans.len() == frames {
        return in_frames(x, average);
    }
    let x = x.contiguous()?;
    let (maps, height, width, channels) = x.dims4()?;
    let (clips, values, outputs) = (maps / frames.max(1), height * width * channels, spans.len());
    let along = shares(&spans, frames, x.device())?;
    let y = spread(&along, &x.detach().reshape((clips, frames, values))?)?.reshape((clips * outputs, height, width, channels))?;
    let y = op("average-frames", &[&x], y, move |dy| {
        let dx = spread(&along.t()?, &dy.reshape((clips, outputs, values))?)?;
        Ok(vec![Some(dx.reshape((maps, height, width, channels))?)])
    })?;
    in_frames(&y, average)
}

/// Of each map by itself.
fn in_frames(x: &Tensor, average: Average) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (batch, height, width, channels) = x.dims4()?;
    let [lines, columns] = average.spans([height, width])?;
    let (out_h, out_w) = (lines.len(), columns.len());
    let down = shares(&lines, height, x.device())?;
    let across = shares(&columns, width, x.device())?;
    let values = x.detach().reshape((batch, height, width * channels))?;
    let narrow = spread(&down, &values)?.reshape((batch * out_h, width, channels))?;
    let y = spread(&across, &narrow)?.reshape((batch, out_h, out_w, channels))?;
    op("average-pool", &[&x], y, move |dy| {
        let dy = spread(&across.t()?, &dy.reshape((batch * out_h, out_w, channels))?)?;
        let dx = spread(&down.t()?, &dy.reshape((batch, out_h, width * channels))?)?;
        Ok(vec![Some(dx.reshape((batch, height, width, channels))?)])
    })
}

/// `(outputs, side)`.
fn shares(spans: &[Span], side: usize, device: &Device) -> Result<Tensor> {
    let share = |span: &Span, at: usize| if (span.first..span.end).contains(&at) { span.share } else { 0.0 };
    let values: Vec<f32> = spans.iter().flat_map(|span| (0..side).map(move |at| share(span, at))).collect();
    Tensor::from_vec(values, (spans.len(), side), device)
}

/// One matrix `(O, I)` times each of `x (N, I, C)`.
fn spread(matrix: &Tensor, x: &Tensor) -> Result<Tensor> {
    let (outputs, inputs) = matrix.dims2()?;
    matrix.contiguous()?.broadcast_as((x.dim(0)?, outputs, inputs))?.matmul(x)
}
