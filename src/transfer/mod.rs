//! The part of the transfer from SQLite to PostgreSQL that is pure: it uses no database, no disk and no clock.
//!
//! [`cast`] converts a value of the source to the binary field that PostgreSQL itself would send for this value.
//! Comparing the rows that were sent with the rows that the target has is therefore comparing sums of hashes
//! ([`digest`]) of equal bytes. Where one value has several forms and other programs have written it, [`canonical`]
//! converts both sides to one form.

pub(crate) mod bucketed;
pub mod canonical;
pub mod cast;
mod decimal;
pub mod digest;
mod flag;
pub(crate) mod import;
mod json;
pub mod json_export;
pub(crate) mod plan;
pub(crate) mod rejected_value;
pub(crate) mod schema_conversion;
pub mod source;
pub mod target;
pub mod value;

pub(crate) use flag::flag;
