//! Bytes on their way in and out: uploads whole and in parts, objects by their digest, files lent to a job, and what
//! is asked of the store itself.

mod materialize;
pub mod objects;
pub mod parts;
mod store;
pub mod uploads;
