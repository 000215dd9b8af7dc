//! Which arithmetic convolutions use on a CPU: oneDNN where it is installed, or our own, which is always there.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use super::conv::geometry::Geometry;
use super::onednn::{self, Library};
use crate::domain::recipe::Precision;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// oneDNN where it is installed.
    #[default]
    Auto,
    /// oneDNN; where it is missing our own all the same, and [`backend`] says so.
    OneDnn,
    /// Our own, in Rust.
    Rust,
}

impl FromStr for Choice {
    type Err = ();

    fn from_str(text: &str) -> Result<Choice, ()> {
        match text {
            "auto" => Ok(Choice::Auto),
            "onednn" => Ok(Choice::OneDnn),
            "rust" => Ok(Choice::Rust),
            _ => Err(()),
        }
    }
}

/// What is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    OneDnn {
        version: (i32, i32, i32),
    },
    Rust {
        /// Why it is not oneDNN, unless it was not wanted.
        because: Option<String>,
    },
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::OneDnn { version: (major, minor, patch) } => write!(f, "oneDNN {major}.{minor}.{patch}"),
            Backend::Rust { because: None } => write!(f, "Rust"),
            Backend::Rust { because: Some(reason) } => write!(f, "Rust ({reason})"),
        }
    }
}

/// In one group: with fewer, bf16 does not pay.
pub(super) const FEW_CHANNELS: usize = 8;

static CHOICE: AtomicU8 = AtomicU8::new(Choice::Auto as u8);

/// Sets the choice for the whole process.
pub fn choose(choice: Choice) {
    CHOICE.store(choice as u8, Ordering::Relaxed);
}

/// What is asked for.
pub fn choice() -> Choice {
    match CHOICE.load(Ordering::Relaxed) {
        value if value == Choice::OneDnn as u8 => Choice::OneDnn,
        value if value == Choice::Rust as u8 => Choice::Rust,
        _ => Choice::Auto,
    }
}

/// What convolutions use now.
pub fn backend() -> Backend {
    choice().backend()
}

impl Choice {
    /// What is used where this is asked for.
    pub fn backend(self) -> Backend {
        match self {
            Choice::Rust => Backend::Rust { because: None },
            Choice::Auto | Choice::OneDnn => match onednn::library() {
                Ok(library) => Backend::OneDnn { version: library.version },
                Err(reason) => Backend::Rust { because: Some(reason.into()) },
            },
        }
    }
}

/// How the products of a pass are made on a CPU: by which backend, of numbers of which precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    pub backend: Choice,
    pub precision: Precision,
}

impl Arithmetic {
    pub const fn new(backend: Choice, precision: Precision) -> Arithmetic {
        Arithmetic { backend, precision }
    }

    /// The library, if it is wanted and there.
    pub(crate) fn library(self) -> Option<&'static Library> {
        if self.backend == Choice::Rust { None } else { onednn::library().ok() }
    }

    /// The precision that a convolution gets from the library. Few channels (filters of single ones above all) wait for
    /// memory, not for products. Of bf16, oneDNN (2.6 to 3.12) gives taps that see nothing but padding a gradient of
    /// garbage, and 3.7 to 3.12 gets rows of a single pixel wrong where the kernel strides (all but the first, with AMX). Kernels as large
    /// as the image are ours to multiply, whose products are f32; so are, for want of proof, those of kernels that see several frames.
    pub(crate) fn precision_for(self, g: &Geometry) -> Precision {
        let right = g.is_still() && g.flattened().is_none() && g.uses_all_taps() && (g.out_w > 1 || g.stride == 1);
        let pays = g.group_in().min(g.group_out()) >= FEW_CHANNELS;
        if right && pays && multiplies_bf16() { self.precision } else { Precision::F32 }
    }
}

/// Whether the processor does.
#[cfg(target_arch = "x86_64")]
pub(super) fn multiplies_bf16() -> bool {
    std::arch::is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn multiplies_bf16() -> bool {
    false
}

/// Whether the library may work out that gradient of bf16 numbers. Where oneDNN 2.6 has AVX-512 BF16 but no AMX, its
/// pointwise kernel gets the last pixels of a piece wrong (of 30, 59, 60 and others) if outputs are odd in number.
pub(crate) fn has_right_bf16_input_gradient(g: &Geometry) -> bool {
    let is_pointwise = g.groups == 1 && g.taps() == 1;
    !is_pointwise || g.out_c.is_multiple_of(2)
}
