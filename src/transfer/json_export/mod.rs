//! The file format of an export: `{"table": [{"column": value, ...}, ...], ...}`, written and read value by value.
//!
//! A value that JSON cannot express is an object with one of the keys `BASE64`, `TEXT_BASE64` and `NUMBER`.

mod input;
mod number;
mod read;
mod values;
mod write;

pub(crate) use input::ReadError;
pub(crate) use number::is_worth;
pub use read::{Datum, Reader};
pub use write::{text, value, write_text, write_value};

/// The key of an object that contains the bytes of a blob.
const BASE64: &str = "$base64";
/// The key of an object that contains the bytes of a text that is not UTF-8.
const TEXT_BASE64: &str = "$text-base64";
/// The key of an object that contains a number that JSON cannot express: an infinity.
const NUMBER: &str = "$number";
