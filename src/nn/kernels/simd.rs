//! Runs a loop with the widest vectors this CPU has, chosen at run time: one portable binary, no `-C target-cpu`.

use pulp::{Arch, Simd, WithSimd};

/// Compiles the expression for each instruction set and runs the best. Loops in it vectorise only if what they call is
/// `#[inline(always)]`; a macro, because the closure that it makes must be, too.
macro_rules! vectorised {
    ($body:expr) => {
        $crate::nn::kernels::simd::dispatch(
            #[inline(always)]
            || $body,
        )
    };
}
pub(crate) use vectorised;

/// What [`vectorised`] calls.
#[inline(always)]
pub(crate) fn dispatch<R>(body: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Body(body))
}

/// Called as `FnMut`: the compiler calls closures that are not used up through a shim where `FnOnce` is asked for,
/// which is compiled once, for the oldest processors, and called from all.
struct Body<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Body<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// Holds `value` between `low` and `high`, and lets NaN through (`f32::max` would hide it).
#[inline(always)]
pub(crate) fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let above = if value < low { low } else { value };
    if above > high { high } else { above }
}
