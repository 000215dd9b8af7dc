//! What runs networks: convolutions in stages and blocks, transformers over patches and over text. A family of architectures chooses
//! the executor that fits it.

/// What is a field in every executor, as [`Backbone`](super::backbone::Backbone) asks for it.
macro_rules! fields {
    () => {
        fn architecture(&self) -> &str {
            &self.architecture
        }

        fn stages(&self) -> &[Stage] {
            &self.stages
        }

        fn weights(&self) -> &Weights {
            &self.weights
        }

        fn set_precision(&self, precision: Precision) -> std::result::Result<(), String> {
            self.settings.set_precision(precision, &self.weights.device())
        }

        #[cfg(test)]
        fn settings(&self) -> &Settings {
            &self.settings
        }
    };
}

mod adapter;
mod attention_pool;
mod block;
pub mod channel_norm;
pub mod convolutional;
pub mod encoder;
pub mod frames;
mod inference;
mod layer;
mod normaliser;
mod order;
mod parameter;
pub mod places;
pub mod pooling;
mod ready;
pub mod shots;
mod stage;
pub mod tapped;
pub mod transformer;
pub mod windowed;
mod windows;

pub use adapter::LowRank;
