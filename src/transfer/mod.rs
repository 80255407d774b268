//! The transfer from SQLite to PostgreSQL, as far as it is pure: it knows neither database, disk nor clock.
//!
//! A value of the source becomes the binary field that PostgreSQL would send back itself ([`cast`]), so that comparing
//! both sides is comparing sums of hashes ([`digest`]) of the same bytes; where one value has several forms, both
//! sides are brought to one ([`canonical`]).

pub mod canonical;
pub mod cast;
mod decimal;
pub mod digest;
pub mod draft;
mod json;
pub mod keyed;
pub mod plan;
pub mod value;
