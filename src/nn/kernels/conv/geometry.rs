//! The numbers of one convolution or pooling, worked out once and checked.

use candle_core::{Result, bail};

/// What surrounds an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many zeros on each side (PyTorch).
    Symmetric(usize),
    /// This many zeros above and below, and this many left and right (PyTorch, of kernels that are not square).
    Each { lines: usize, columns: usize },
    /// As many as make the output `ceil(input / stride)` wide, the odd one at the end (TensorFlow's "same").
    Same,
}

/// How a kernel moves over an image. Both directions alike; no dilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    pub stride: usize,
    pub padding: Padding,
    /// 1 is dense; as many as channels is depthwise.
    pub groups: usize,
}

impl Spec {
    /// Stride 1, no padding, dense.
    pub const POINTWISE: Spec = Spec { stride: 1, padding: Padding::Symmetric(0), groups: 1 };
}

/// Sizes of one application. Padding may be negative in gradients (a crop).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    pub batch: usize,
    pub in_h: usize,
    pub in_w: usize,
    pub in_c: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub out_c: usize,
    pub kernel_h: usize,
    pub kernel_w: usize,
    pub stride: usize,
    pub pad_top: isize,
    pub pad_left: isize,
    pub groups: usize,
}

impl Geometry {
    /// Input `(B, H, W, C)`, weight `(O, C / groups, kh, kw)`.
    pub fn of(input: &[usize], weight: &[usize], spec: &Spec) -> Result<Geometry> {
        let ([batch, in_h, in_w, in_c], [out_c, group_in, kernel_h, kernel_w]) = (quad(input)?, quad(weight)?);
        let groups = spec.groups;
        if groups == 0 || in_c % groups != 0 || out_c % groups != 0 || in_c / groups != group_in {
            bail!("a weight of shape {weight:?} in {groups} groups does not fit {in_c} input channels")
        }
        let [down, across] = match spec.padding {
            Padding::Each { lines, columns } => [lines, columns].map(Padding::Symmetric),
            padding => [padding; 2],
        };
        let (out_h, pad_top) = extent(in_h, kernel_h, spec.stride, down)?;
        let (out_w, pad_left) = extent(in_w, kernel_w, spec.stride, across)?;
        if batch == 0 || in_c == 0 || out_c == 0 {
            bail!("empty input {input:?} or weight {weight:?}")
        }
        Ok(Geometry { batch, in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride: spec.stride, pad_top, pad_left, groups })
    }

    /// Output pixels over the whole batch.
    pub fn rows(&self) -> usize {
        self.batch * self.out_h * self.out_w
    }

    pub fn group_in(&self) -> usize {
        self.in_c / self.groups
    }

    pub fn group_out(&self) -> usize {
        self.out_c / self.groups
    }

    /// Inputs that meet in one output of one group.
    pub fn depth(&self) -> usize {
        self.kernel_h * self.kernel_w * self.group_in()
    }

    /// Every output pixel sees exactly its own input pixel.
    pub fn is_pointwise(&self) -> bool {
        self.kernel_h == 1 && self.kernel_w == 1 && self.stride == 1 && self.pad_top == 0 && self.pad_left == 0 && self.in_h == self.out_h
    }

    /// Of a dense kernel as large as the unpadded image, the linear layer over all of that: one pixel, with the values of the image channel
    /// after channel (PyTorch's order, in which the weight lies anyway).
    pub fn flattened(&self) -> Option<Geometry> {
        let is_whole = [self.kernel_h, self.kernel_w, 1, 1] == [self.in_h, self.in_w, self.out_h, self.out_w];
        let has_edges = self.pad_top != 0 || self.pad_left != 0;
        let one = Geometry { in_h: 1, in_w: 1, in_c: self.depth(), kernel_h: 1, kernel_w: 1, stride: 1, ..*self };
        (is_whole && !has_edges && self.groups == 1 && self.kernel_h * self.kernel_w > 1).then_some(one)
    }

    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_c && self.groups == self.out_c
    }

    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.out_h, self.out_w, self.out_c]
    }

    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch, self.in_h, self.in_w, self.in_c]
    }

    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_c, self.group_in(), self.kernel_h, self.kernel_w]
    }

    /// The stride-1 convolution that carries output gradients back to the input: the kernel rotated by half a turn, inputs
    /// and outputs swapped, padded by what the kernel reaches beyond the padding.
    pub fn transposed(&self) -> Geometry {
        Geometry {
            in_h: self.out_h,
            in_w: self.out_w,
            in_c: self.out_c,
            out_h: self.in_h,
            out_w: self.in_w,
            out_c: self.in_c,
            pad_top: self.kernel_h as isize - 1 - self.pad_top,
            pad_left: self.kernel_w as isize - 1 - self.pad_left,
            ..*self
        }
    }

    /// Whether each tap of the kernel meets the image somewhere: on small images some see nothing but padding.
    pub fn uses_all_taps(&self) -> bool {
        let meets = |taps: usize, outputs: usize, reach: &dyn Fn(usize) -> (usize, usize, usize)| {
            (0..taps).all(|tap| (0..outputs).any(|at| (reach(at).0..reach(at).1).contains(&tap)))
        };
        meets(self.kernel_h, self.out_h, &|at| self.lines(at)) && meets(self.kernel_w, self.out_w, &|at| self.columns(at))
    }

    /// The kernel columns that fall inside the image for output column `x`: `(first, end, input column of first)`.
    #[inline(always)]
    pub fn columns(&self, x: usize) -> (usize, usize, usize) {
        reach(x, self.stride, self.pad_left, self.kernel_w, self.in_w)
    }

    /// The kernel rows that fall inside the image for output row `y`.
    #[inline(always)]
    pub fn lines(&self, y: usize) -> (usize, usize, usize) {
        reach(y, self.stride, self.pad_top, self.kernel_h, self.in_h)
    }
}

#[inline(always)]
fn reach(at: usize, stride: usize, pad: isize, kernel: usize, size: usize) -> (usize, usize, usize) {
    let start = (at * stride) as isize - pad;
    let first = (-start).max(0).min(kernel as isize);
    let end = (size as isize - start).clamp(first, kernel as isize);
    (first as usize, end as usize, (start + first).max(0) as usize)
}

fn quad(shape: &[usize]) -> Result<[usize; 4]> {
    match shape {
        &[a, b, c, d] => Ok([a, b, c, d]),
        _ => bail!("expected four dimensions, got {shape:?}"),
    }
}

/// Output size and the padding before the first pixel.
fn extent(input: usize, kernel: usize, stride: usize, padding: Padding) -> Result<(usize, isize)> {
    if stride == 0 || kernel == 0 {
        bail!("stride and kernel must be at least 1")
    }
    match padding {
        Padding::Symmetric(pad) | Padding::Each { lines: pad, .. } => {
            if input + 2 * pad < kernel {
                bail!("an image side of {input} pixels is too small for a kernel of {kernel} with padding {pad}")
            }
            Ok(((input + 2 * pad - kernel) / stride + 1, pad as isize))
        }
        Padding::Same => {
            if input == 0 {
                bail!("empty image")
            }
            let output = input.div_ceil(stride);
            let total = ((output - 1) * stride + kernel).saturating_sub(input);
            Ok((output, (total / 2) as isize))
        }
    }
}
