//! What runs networks: convolutions in stages and blocks, transformers over patches and over text. A family of architectures chooses
//! the executor that fits it.

mod adapter;
mod attention_pool;
mod block;
pub mod channel_norm;
pub mod convolutional;
pub mod encoder;
mod inference;
mod layer;
mod normaliser;
mod order;
mod parameter;
pub mod pooling;
mod ready;
mod stage;
pub mod transformer;
pub mod windowed;
mod windows;

pub use adapter::LowRank;
