//! The transfer from SQLite to PostgreSQL, as far as it is pure: it knows neither database, disk nor clock.
//!
//! A value of the source becomes the binary field that PostgreSQL would send back itself ([`cast`]), so that comparing
//! what was sent with what is there is comparing sums of hashes ([`digest`]) of the same bytes. Where one value has several
//! forms and others have written it, both sides are brought to one ([`canonical`]).

pub mod bucketed;
pub mod canonical;
pub mod cast;
mod decimal;
pub mod digest;
mod json;
pub mod json_export;
pub mod plan;
pub mod rejected_value;
pub mod schema_conversion;
pub mod value;
