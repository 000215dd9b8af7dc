//! The thin executor between `catalog` and a database engine: one SQL text, `$1` parameters bound by name,
//! every call off the async threads. SQLite is the embedded default; PostgreSQL fits behind the same types.

pub mod error;
pub mod value;

pub use error::{Error, Result};
pub use value::{Row, Value};

/// Builds the parameter list of a statement: `params![key, number, None::<i64>]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Value::from($value)),*] };
}
