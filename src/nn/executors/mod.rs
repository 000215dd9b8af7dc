//! What runs networks: convolutions in stages and blocks, transformers over tokens. A family of architectures chooses
//! the executor that fits it.

mod adapter;
pub mod channel_norm;
pub mod convolutional;
mod inference;
mod layer;
mod order;
mod parameter;
pub mod pooling;
mod stage;
pub mod transformer;

pub use adapter::LowRank;
