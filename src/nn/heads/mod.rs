//! What is trained on top of a backbone, a file for each kind of head.

mod linear;

pub use linear::Head;
