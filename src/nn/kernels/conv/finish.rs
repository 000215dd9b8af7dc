//! What is done to a piece of a convolution's output, or of the gradient to it, while it is in the cache.

/// The piece, and where in the map it starts.
pub type Finish<'a> = dyn Fn(&mut [f32], usize) + Sync + 'a;
