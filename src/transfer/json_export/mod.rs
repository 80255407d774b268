//! The file of an export: `{"table": [{"column": value, ...}, ...], ...}`, written and read value by value.
//!
//! What JSON has no value for is an object of one key: `BASE64`, `TEXT_BASE64`, `NUMBER`.

mod input;
mod number;
mod read;
mod values;
mod write;

pub use input::ReadError;
pub use number::is_worth;
pub use read::{Datum, Reader};
pub use write::{text, value, write_text, write_value};

/// The bytes of a blob.
const BASE64: &str = "$base64";
/// The bytes of a text that is not UTF-8.
const TEXT_BASE64: &str = "$text-base64";
/// A number that JSON cannot write: an infinity.
const NUMBER: &str = "$number";
