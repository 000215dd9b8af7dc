//! Between candle's tensors and the plain slices the kernels work on.

use std::cell::Cell;
use std::ops::Deref;

use candle_core::{CpuStorage, DType, Device, Layout, Result, Storage, StorageRef, Tensor, bail};
use rayon::prelude::*;

/// Floats one thread copies or adds at a time.
pub(super) const CHUNK: usize = 1 << 15;

/// The floats behind a contiguous f32 layout.
pub(crate) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let all = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => bail!("this kernel needs a contiguous tensor, shape {:?} strides {:?}", layout.shape(), layout.stride()),
    }
}

/// A tensor's floats, borrowed for as long as this lives.
pub(crate) struct Floats<'a> {
    storage: StorageRef<'a>,
    range: (usize, usize),
}

/// Borrows the values of a contiguous f32 tensor on the CPU.
pub(crate) fn read(tensor: &Tensor) -> Result<Floats<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some(range) = layout.contiguous_offsets() else {
        bail!("this kernel needs a contiguous tensor, got strides {:?}", layout.stride())
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => {}
        _ => bail!("this kernel needs f32 values on the CPU, got {:?} on {:?}", tensor.dtype(), tensor.device()),
    }
    Ok(Floats { storage, range })
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.0..self.range.1],
            // `read` lets nothing else in.
            _ => &[],
        }
    }
}

/// Maps `(B, H, W, C)` that lie in memory in that order; no copy where they do.
pub(crate) fn laid_out(maps: &Tensor) -> Result<Tensor> {
    if maps.is_contiguous() || maps.track_op() || !maps.device().is_cpu() || maps.dtype() != DType::F32 {
        return maps.contiguous();
    }
    let mut values = vec![0.0; maps.elem_count()];
    write_channels_last(maps, &mut values)?;
    tensor(values, maps.dims())
}

/// Writes f32 maps `(B, H, W, C)` on the CPU in that order, whatever theirs is in memory.
pub(crate) fn write_channels_last(maps: &Tensor, to: &mut [f32]) -> Result<()> {
    let (_, height, width, channels) = maps.dims4()?;
    let (image, planes) = (height * width * channels, maps.permute((0, 3, 1, 2))?);
    if maps.is_contiguous() || image == 0 || !planes.is_contiguous() {
        let values = maps.contiguous()?;
        let values = read(&values)?;
        to.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(to, from)| to.copy_from_slice(from));
        return Ok(());
    }
    to.par_chunks_mut(image).zip(read(&planes)?.par_chunks(image)).for_each(|(to, planes)| {
        for (channel, plane) in planes.chunks_exact(height * width).enumerate() {
            to[channel..].iter_mut().step_by(channels).zip(plane).for_each(|(to, from)| *to = *from);
        }
    });
    Ok(())
}

/// A new CPU tensor around `values`; no copy.
pub(crate) fn tensor(values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

thread_local! {
    static SCRATCH: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `body` a buffer of `length` floats with arbitrary content. The buffer is taken out of its place meanwhile,
/// so a task that this thread picks up in between (work stealing) gets its own.
pub(crate) fn with_scratch<R>(length: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = SCRATCH.take();
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    let result = body(&mut buffer[..length]);
    SCRATCH.set(buffer);
    result
}
