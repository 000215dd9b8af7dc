//! The words of the house as types. No I/O, no clock but the one it is given; everything may use it.

pub mod config;
pub mod recipe;
