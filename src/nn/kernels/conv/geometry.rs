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
    pub clip: Clip,
}

/// How a kernel moves along the frames of clips, whose maps are those of all their frames one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clip {
    /// Of each clip that comes in.
    pub frames: usize,
    pub stride: usize,
    /// Frames of zeros before the first and after the last, unless the padding is [`Padding::Same`], which then holds for frames too.
    pub padding: usize,
}

impl Clip {
    /// Images: clips of one frame.
    pub const STILL: Clip = Clip { frames: 1, stride: 1, padding: 0 };
}

impl Spec {
    /// Stride 1, no padding, dense.
    pub const POINTWISE: Spec = Spec { stride: 1, padding: Padding::Symmetric(0), groups: 1, clip: Clip::STILL };

    /// The same over clips of so many frames.
    pub fn over(self, frames: usize) -> Spec {
        Spec { clip: Clip { frames, ..self.clip }, ..self }
    }

    /// Frames of what a kernel of so many frames makes of a clip, and those of zeros that it sees before the first.
    fn along(&self, kernel: usize) -> Result<(usize, isize)> {
        let padding = if self.padding == Padding::Same { Padding::Same } else { Padding::Symmetric(self.clip.padding) };
        extent(self.clip.frames, kernel, self.clip.stride, padding)
    }

    /// Frames of what a kernel of so many frames makes of a clip; 0 where that is too short for it.
    pub fn frames(&self, kernel: usize) -> usize {
        self.along(kernel).map_or(0, |(frames, _)| frames)
    }
}

/// Sizes of one application. Padding may be negative in gradients (a crop).
///
/// Of a kernel that sees single frames and leaves none out, each frame is an image of the batch; else the batch counts clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    pub batch: usize,
    pub in_t: usize,
    pub in_h: usize,
    pub in_w: usize,
    pub in_c: usize,
    pub out_t: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub out_c: usize,
    pub kernel_t: usize,
    pub kernel_h: usize,
    pub kernel_w: usize,
    /// From frame to frame.
    pub stride_t: usize,
    pub stride: usize,
    pub pad_front: isize,
    pub pad_top: isize,
    pub pad_left: isize,
    pub groups: usize,
}

impl Geometry {
    /// Input `(B, H, W, C)`, weight `(O, C / groups, kh, kw)`; of clips `(B * T, H, W, C)` and `(O, C / groups, kt, kh, kw)`.
    pub fn of(input: &[usize], weight: &[usize], spec: &Spec) -> Result<Geometry> {
        let [maps, in_h, in_w, in_c] = quad(input)?;
        let (kernel_t, [out_c, group_in, kernel_h, kernel_w]) = match *weight {
            [outputs, inputs, frames, height, width] => (frames, [outputs, inputs, height, width]),
            _ => (1, quad(weight)?),
        };
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
        let (out_t, pad_front) = spec.along(kernel_t)?;
        let (batch, in_t, out_t) = parted(maps, spec.clip, kernel_t, out_t, pad_front)?;
        if batch == 0 || in_c == 0 || out_c == 0 {
            bail!("empty input {input:?} or weight {weight:?}")
        }
        let (stride_t, stride) = (if in_t * out_t == 1 { 1 } else { spec.clip.stride }, spec.stride);
        let sizes = Geometry { batch, in_t, in_h, in_w, in_c, out_t, out_h, out_w, out_c, kernel_t, kernel_h, kernel_w, ..Geometry::EMPTY };
        Ok(Geometry { stride_t, stride, pad_front, pad_top, pad_left, groups, ..sizes })
    }

    /// Nothing, of images.
    pub(super) const EMPTY: Geometry = Geometry {
        batch: 0,
        in_t: 1,
        in_h: 0,
        in_w: 0,
        in_c: 0,
        out_t: 1,
        out_h: 0,
        out_w: 0,
        out_c: 0,
        kernel_t: 1,
        kernel_h: 1,
        kernel_w: 1,
        stride_t: 1,
        stride: 1,
        pad_front: 0,
        pad_top: 0,
        pad_left: 0,
        groups: 1,
    };

    /// Output pixels over the whole batch.
    pub fn rows(&self) -> usize {
        self.batch * self.output_pixels()
    }

    /// Those of one image or clip.
    pub fn output_pixels(&self) -> usize {
        self.out_t * self.out_h * self.out_w
    }

    /// Of one image or clip.
    pub fn input_pixels(&self) -> usize {
        self.in_t * self.in_h * self.in_w
    }

    /// Pixels that the kernel sees at a time.
    pub fn taps(&self) -> usize {
        self.kernel_t * self.kernel_h * self.kernel_w
    }

    /// Whether images, or frames one by one, are all it knows.
    pub fn is_still(&self) -> bool {
        self.in_t == 1 && self.out_t == 1 && self.kernel_t == 1
    }

    /// Whether it leaves out no pixel and no frame.
    pub fn moves_by_one(&self) -> bool {
        self.stride == 1 && self.stride_t == 1
    }

    pub fn group_in(&self) -> usize {
        self.in_c / self.groups
    }

    pub fn group_out(&self) -> usize {
        self.out_c / self.groups
    }

    /// Inputs that meet in one output of one group.
    pub fn depth(&self) -> usize {
        self.taps() * self.group_in()
    }

    /// Every output pixel sees exactly its own input pixel.
    pub fn is_pointwise(&self) -> bool {
        let is_one = self.taps() == 1 && self.moves_by_one() && [self.pad_front, self.pad_top, self.pad_left] == [0; 3];
        is_one && self.in_h == self.out_h && self.in_t == self.out_t
    }

    /// Of a dense kernel as large as the unpadded image, the linear layer over all of that: one pixel, with the values of the image channel
    /// after channel (PyTorch's order, in which the weight lies anyway).
    pub fn flattened(&self) -> Option<Geometry> {
        let is_whole = [self.kernel_h, self.kernel_w, 1, 1] == [self.in_h, self.in_w, self.out_h, self.out_w];
        let has_edges = self.pad_top != 0 || self.pad_left != 0;
        let one = Geometry { in_h: 1, in_w: 1, in_c: self.depth(), kernel_h: 1, kernel_w: 1, stride: 1, ..*self };
        (is_whole && !has_edges && self.is_still() && self.groups == 1 && self.taps() > 1).then_some(one)
    }

    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_c && self.groups == self.out_c
    }

    /// Of clips the maps of all frames.
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch * self.out_t, self.out_h, self.out_w, self.out_c]
    }

    pub fn input_shape(&self) -> [usize; 4] {
        [self.batch * self.in_t, self.in_h, self.in_w, self.in_c]
    }

    /// A kernel of several frames has their lines one behind the other.
    pub fn weight_shape(&self) -> [usize; 4] {
        [self.out_c, self.group_in(), self.kernel_t * self.kernel_h, self.kernel_w]
    }

    /// The stride-1 convolution that carries output gradients back to the input: the kernel rotated by half a turn, inputs
    /// and outputs swapped, padded by what the kernel reaches beyond the padding.
    pub fn transposed(&self) -> Geometry {
        Geometry {
            in_t: self.out_t,
            in_h: self.out_h,
            in_w: self.out_w,
            in_c: self.out_c,
            out_t: self.in_t,
            out_h: self.in_h,
            out_w: self.in_w,
            out_c: self.in_c,
            pad_front: self.kernel_t as isize - 1 - self.pad_front,
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
        meets(self.kernel_t, self.out_t, &|at| self.frames(at))
            && meets(self.kernel_h, self.out_h, &|at| self.lines(at))
            && meets(self.kernel_w, self.out_w, &|at| self.columns(at))
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

    /// The kernel's frames that fall inside the clip for output frame `t`.
    #[inline(always)]
    pub fn frames(&self, t: usize) -> (usize, usize, usize) {
        reach(t, self.stride_t, self.pad_front, self.kernel_t, self.in_t)
    }
}

/// Clips, and their frames before and after; or images, where the kernel sees each frame by itself.
pub(super) fn parted(maps: usize, clip: Clip, kernel: usize, out_t: usize, pad_front: isize) -> Result<(usize, usize, usize)> {
    let frames = clip.frames;
    if frames == 0 || !maps.is_multiple_of(frames) {
        bail!("{maps} maps are not clips of {frames} frames")
    }
    let is_still = kernel == 1 && pad_front == 0 && out_t == frames;
    Ok(if is_still { (maps, 1, 1) } else { (maps / frames, frames, out_t) })
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
pub(super) fn extent(input: usize, kernel: usize, stride: usize, padding: Padding) -> Result<(usize, isize)> {
    if stride == 0 || kernel == 0 {
        bail!("stride and kernel must be at least 1")
    }
    match padding {
        Padding::Symmetric(pad) | Padding::Each { lines: pad, .. } => {
            if input + 2 * pad < kernel {
                bail!(
                    "an image side of {input} pixels, or a clip of {input} frames, is too small for a kernel of {kernel} with padding {pad}"
                )
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
