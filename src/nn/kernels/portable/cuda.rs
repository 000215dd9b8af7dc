//! Kernels of our own on an NVIDIA GPU, where candle's ops would lay out or read again what need not be: depthwise
//! convolution, and what batch norm does to each channel. The composed road says what they mean, and is what runs
//! where there is no GPU.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaView, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

const SOURCE: &str = include_str!("cuda.cu");
const THREADS: u32 = 256;
/// Threads that add up columns, at most.
const ADDERS: usize = 1 << 18;
/// Rows that one thread of a sum takes, if that leaves enough threads.
const ROWS: usize = 64;
const PIECES: usize = 1024;

/// Whether these kernels take it: a GPU's tensors, of no more elements than they count.
pub(super) fn takes(x: &Tensor) -> bool {
    x.device().is_cuda() && u32::try_from(x.elem_count()).is_ok()
}

/// `(B, from, C)` to `(B * to, C)`: what a table of `(to, taps)` positions shows, each tap times its weight, `(taps * C)`.
pub(super) fn weigh(x: &Tensor, table: &Tensor, weights: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(table, weights, &Weigh)
}

/// The gradient to those weights, from `dy (B * to, C)`: pieces `(pieces, taps * C)` that add up to it.
pub(super) fn correlate(x: &Tensor, table: &Tensor, dy: &Tensor, taps: usize) -> Result<Tensor> {
    x.apply_op3_no_bwd(table, dy, &Correlate { taps })
}

/// `x * a + y * b + d` for `x` and `y (rows, C)`; `factors` holds a, b and d, `(3 * C)`.
pub(super) fn blend(x: &Tensor, y: &Tensor, factors: &Tensor) -> Result<Tensor> {
    x.apply_op3_no_bwd(y, factors, &Blend)
}

/// Sums of `x (rows, C)`, or of its products with `y`, in pieces `(pieces, C)` that add up to them.
pub(super) fn columns(x: &Tensor, y: Option<&Tensor>) -> Result<Tensor> {
    x.apply_op2_no_bwd(y.unwrap_or(x), &Columns { has_factor: y.is_some() })
}

/// `(B, from, C)` to `(B * to, taps * C)`: what a table of `(to, taps)` positions shows; C is a multiple of four.
pub(super) fn gather(x: &Tensor, table: &Tensor, taps: usize) -> Result<Tensor> {
    x.apply_op2_no_bwd(table, &Gather { taps })
}

struct Columns {
    has_factor: bool,
}
struct Gather {
    taps: usize,
}
struct Weigh;
struct Correlate {
    taps: usize,
}
struct Blend;

type Argument<'a> = (&'a CudaStorage, &'a Layout);

/// The values of a contiguous argument.
fn view<'a, T: CudaDType>((storage, layout): Argument<'a>) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(storage.as_cuda_slice::<T>()?.slice(from..to)),
        None => bail!("a kernel on the GPU needs a contiguous tensor, got strides {:?}", layout.stride()),
    }
}

fn function(device: &CudaDevice, name: &str) -> Result<CudaFunction> {
    static COMPILED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    match COMPILED.get_or_init(|| compile_ptx(SOURCE).map(|ptx| ptx.to_src()).map_err(|error| format!("{error:?}"))) {
        Ok(ptx) => Ok(device.get_or_load_custom_func(name, "hub", ptx)?.into_cuda_function()),
        Err(error) => bail!("CUDA's run-time compiler (libnvrtc) refused our kernels: {error}"),
    }
}

fn launch(threads: usize, pieces: usize) -> LaunchConfig {
    LaunchConfig { grid_dim: ((threads as u32).div_ceil(THREADS), pieces as u32, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 }
}

fn only_on_a_gpu() -> Result<(CpuStorage, Shape)> {
    bail!("this kernel runs on a GPU only")
}

impl CustomOp3 for Weigh {
    fn name(&self) -> &'static str {
        "weigh"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        table: &CudaStorage,
        tl: &Layout,
        weights: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (batch, from, channels) = xl.shape().dims3()?;
        let taps = wl.shape().elem_count() / channels;
        let to = tl.shape().elem_count() / taps;
        let total = batch * to * channels;
        let device = x.device.clone();
        let (x, table, weights) = (view::<f32>((x, xl))?, view::<u32>((table, tl))?, view::<f32>((weights, wl))?);
        // SAFETY: the kernel writes every element.
        let mut y = unsafe { device.alloc::<f32>(total)? };
        let (weigh, stream) = (function(&device, "weigh")?, device.cuda_stream());
        let [from, out, taps, width, count] = [from, to, taps, channels, total].map(|size| size as u32);
        let mut call = stream.launch_builder(&weigh);
        call.arg(&x).arg(&table).arg(&weights).arg(&mut y).arg(&from).arg(&out).arg(&taps).arg(&width).arg(&count);
        // SAFETY: the arguments are those the kernel declares, and it stays below `count` and the table's positions.
        unsafe { call.launch(launch(total, 1)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(y, device), Shape::from((batch * to, channels))))
    }
}

impl CustomOp3 for Correlate {
    fn name(&self) -> &'static str {
        "correlate"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        table: &CudaStorage,
        tl: &Layout,
        dy: &CudaStorage,
        dl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (_, from, channels) = xl.shape().dims3()?;
        let (taps, rows) = (self.taps, dl.shape().elem_count() / channels);
        let to = tl.shape().elem_count() / taps;
        let per_piece = rows.div_ceil((rows / ROWS).clamp(1, PIECES));
        let pieces = rows.div_ceil(per_piece);
        let device = x.device.clone();
        let (x, table, dy) = (view::<f32>((x, xl))?, view::<u32>((table, tl))?, view::<f32>((dy, dl))?);
        // SAFETY: the kernel writes every element.
        let mut sums = unsafe { device.alloc::<f32>(pieces * taps * channels)? };
        let (correlate, stream) = (function(&device, "correlate")?, device.cuda_stream());
        let [from, out, depth, width, count, piece] = [from, to, taps, channels, rows, per_piece].map(|size| size as u32);
        let mut call = stream.launch_builder(&correlate);
        call.arg(&x).arg(&table).arg(&dy).arg(&mut sums).arg(&from).arg(&out).arg(&depth).arg(&width).arg(&count).arg(&piece);
        // SAFETY: as above; the second dimension of the grid counts the pieces.
        unsafe { call.launch(launch(taps * channels, pieces)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(sums, device), Shape::from((pieces, taps * channels))))
    }
}

impl CustomOp3 for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        y: &CudaStorage,
        yl: &Layout,
        factors: &CudaStorage,
        fl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (rows, channels) = xl.shape().dims2()?;
        if yl.shape() != xl.shape() || fl.shape().elem_count() != 3 * channels {
            bail!("{:?} and {:?} do not blend by {:?}", xl.shape(), yl.shape(), fl.shape())
        }
        let device = x.device.clone();
        let (x, y, factors) = (view::<f32>((x, xl))?, view::<f32>((y, yl))?, view::<f32>((factors, fl))?);
        // SAFETY: the kernel writes every element.
        let mut z = unsafe { device.alloc::<f32>(rows * channels)? };
        let (blend, stream) = (function(&device, "blend")?, device.cuda_stream());
        let [width, count] = [channels, rows * channels].map(|size| size as u32);
        let mut call = stream.launch_builder(&blend);
        call.arg(&x).arg(&y).arg(&factors).arg(&mut z).arg(&width).arg(&count);
        // SAFETY: as above.
        unsafe { call.launch(launch(rows * channels, 1)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(z, device), Shape::from((rows, channels))))
    }
}

impl CustomOp2 for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, y: &CudaStorage, yl: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, channels) = xl.shape().dims2()?;
        if yl.shape() != xl.shape() {
            bail!("{:?} and {:?} have no products", xl.shape(), yl.shape())
        }
        let per_piece = rows.div_ceil((ADDERS / channels).min(rows / ROWS).max(1));
        let pieces = rows.div_ceil(per_piece);
        let device = x.device.clone();
        let (x, y) = (view::<f32>((x, xl))?, view::<f32>((y, yl))?);
        // SAFETY: the kernel writes every element.
        let mut sums = unsafe { device.alloc::<f32>(pieces * channels)? };
        let (columns, stream) = (function(&device, "columns")?, device.cuda_stream());
        let [width, count, piece, total] = [channels, rows, per_piece, pieces * channels].map(|size| size as u32);
        let has_factor = u32::from(self.has_factor);
        let mut call = stream.launch_builder(&columns);
        call.arg(&x).arg(&y).arg(&mut sums).arg(&width).arg(&count).arg(&piece).arg(&total).arg(&has_factor);
        // SAFETY: as above.
        unsafe { call.launch(launch(pieces * channels, 1)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(sums, device), Shape::from((pieces, channels))))
    }
}

impl CustomOp2 for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        only_on_a_gpu()
    }

    fn cuda_fwd(&self, x: &CudaStorage, xl: &Layout, table: &CudaStorage, tl: &Layout) -> Result<(CudaStorage, Shape)> {
        let (batch, from, channels) = xl.shape().dims3()?;
        let positions = tl.shape().elem_count();
        if !channels.is_multiple_of(4) || !xl.start_offset().is_multiple_of(4) {
            bail!("{channels} channels are not gathered in fours")
        }
        let device = x.device.clone();
        let (x, table) = (view::<f32>((x, xl))?, view::<u32>((table, tl))?);
        let total = batch * positions * channels;
        // SAFETY: the kernel writes every element.
        let mut y = unsafe { device.alloc::<f32>(total)? };
        let (gather, stream) = (function(&device, "gather4")?, device.cuda_stream());
        let [from, to_taps, fours, count] = [from, positions, channels / 4, total / 4].map(|size| size as u32);
        let mut call = stream.launch_builder(&gather);
        call.arg(&x).arg(&table).arg(&mut y).arg(&from).arg(&to_taps).arg(&fours).arg(&count);
        // SAFETY: as above; vectors of four floats are aligned, because allocations are and offsets are multiples of four.
        unsafe { call.launch(launch(total / 4, 1)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(y, device), Shape::from((batch * positions / self.taps, self.taps * channels))))
    }
}
