//! All that knows pixels: bytes to RGB, RGB to network input, RGB to a small picture.

pub mod decode;
pub mod thumbnail;
pub mod transform;
