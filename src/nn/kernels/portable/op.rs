//! An op whose value and gradient are both written with candle's own tensor ops. candle would find most of the
//! gradients by itself, but by many more passes over memory, and it has none for some of the ops used here.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

/// Gradients to the inputs, in their order, from the gradient to the value.
pub(super) type Gradients = Vec<Option<Tensor>>;

struct Op<F> {
    name: &'static str,
    /// Taken by the forward pass, so that the graph holds the value once.
    value: Mutex<Option<Tensor>>,
    back: F,
}

/// Puts `value`, worked out from constants, into the graph as a function of one to three inputs; `back` answers their
/// gradients. What `back` holds must be detached.
pub(super) fn op<F>(name: &'static str, inputs: &[&Tensor], value: Tensor, back: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Gradients> + Send + Sync + 'static,
{
    if !inputs.iter().any(|input| input.track_op()) {
        return Ok(value);
    }
    let op = Op { name, value: Mutex::new(Some(value.contiguous()?)), back };
    match inputs {
        [a] => a.apply_op1(op),
        [a, b] => a.apply_op2(b, op),
        [a, b, c] => a.apply_op3(b, c, op),
        _ => bail!("{name} has {} inputs", inputs.len()),
    }
}

impl<F: Fn(&Tensor) -> Result<Gradients>> Op<F> {
    fn value(&self) -> Result<Tensor> {
        match self.value.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Ok(value),
            None => bail!("{} was applied twice", self.name),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!("{} was given values on two devices", self.name),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.value()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!("{} was given values on two devices", self.name),
        }
    }

    fn gradients<const N: usize>(&self, dy: &Tensor) -> Result<[Option<Tensor>; N]> {
        match (self.back)(&dy.contiguous()?)?.try_into() {
            Ok(gradients) => Ok(gradients),
            Err(_) => bail!("{} answers as many gradients as it has inputs", self.name),
        }
    }
}

impl<F: Fn(&Tensor) -> Result<Gradients>> CustomOp1 for Op<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let [a] = self.gradients(dy)?;
        Ok(a)
    }
}

impl<F: Fn(&Tensor) -> Result<Gradients>> CustomOp2 for Op<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [a, b] = self.gradients(dy)?;
        Ok((a, b))
    }
}

impl<F: Fn(&Tensor) -> Result<Gradients>> CustomOp3 for Op<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.on_cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.on_cuda()
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [a, b, c] = self.gradients(dy)?;
        Ok((a, b, c))
    }
}
