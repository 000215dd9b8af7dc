//! Runs a loop with the widest vectors this CPU has, chosen at run time: one portable binary, no `-C target-cpu`.

/// Compiles `body` for the best instruction set and calls it. Loops in `body` vectorise only if what they call is
/// `#[inline(always)]`.
#[inline(always)]
pub(crate) fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Holds `value` between `low` and `high`, and lets NaN through (`f32::max` would hide it).
#[inline(always)]
pub(crate) fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let above = if value < low { low } else { value };
    if above > high { high } else { above }
}
