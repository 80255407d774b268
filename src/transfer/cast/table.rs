//! The table of casts, by the type of the target and the storage class of the value. A combination without a row of its
//! own is an error: the last row catches it.

use super::{CastError, CastOutput, CastRule, CastTarget, WritableType, Zone};
use super::{array, enumerated, epoch, float, integer, json, network, nonfinite, numeric, text, time};
use crate::transfer::value::Value;
use crate::transfer::value::Value::{Blob, Integer, Null, Real, Text};

/// Converts a value and appends the bytes of the field, without its length.
pub(super) fn convert(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<CastOutput, CastError> {
    use WritableType as T;
    match (target.ty, value) {
        (_, Null) => return Ok(CastOutput::Null),
        (_, Text(b"")) if target.rules.has(CastRule::EmptyAsNull) => return Ok(CastOutput::Null),
        (ty, Text(word)) if target.rules.has(CastRule::NonFinite) && nonfinite::word(ty, word, out) => Ok(()),

        // Texts, bytea and labels of enums may be empty.
        (T::Text | T::Varchar(_) | T::Char(_) | T::Name, _) => to_text(target, value, out),
        (T::Bytea | T::Enum(_), _) => to_others(target, value, out),
        (ty, Text(b"")) => {
            let error = CastError::new(format!("is an empty text, which is no {ty}"));
            Err(error.rule(CastRule::EmptyAsNull, "makes '' NULL"))
        }

        (T::Boolean | T::SmallInt | T::Integer | T::BigInt, _) => to_number(target, value, out),
        (T::Real | T::Double | T::Numeric(_), _) => to_number(target, value, out),
        (T::TimestampTz(_) | T::Timestamp(_) | T::Date | T::Time(_), _) => to_time(target, value, out),
        (T::Json | T::Jsonb | T::Uuid | T::Inet | T::Cidr | T::Array(..), _) => to_others(target, value, out),
    }
    .map(|()| CastOutput::Field)
}

#[rustfmt::skip]
fn to_number(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    use WritableType as T;
    let CastTarget { ty, rules, .. } = target;
    match (ty, value) {
        (T::Boolean, Integer(number)) => integer::boolean(number, out),
        (T::Boolean, Real(number)) => integer::boolean_from_real(number, out),
        (T::Boolean, Text(word)) => integer::boolean_from_text(rules, word, out),

        (T::SmallInt | T::Integer | T::BigInt, Integer(number)) => integer::integer(ty, number, out),
        (T::SmallInt | T::Integer | T::BigInt, Real(number)) => integer::from_real(ty, number, out),
        (T::SmallInt | T::Integer | T::BigInt, Text(digits)) => integer::from_text(target, digits, out),

        (T::Real | T::Double, Integer(number)) => float::from_integer(target, number, out),
        (T::Real | T::Double, Real(number)) => float::from_real(target, number, out),
        (T::Real | T::Double, Text(digits)) => float::from_text(target, digits, out),

        (T::Numeric(limits), Integer(number)) => numeric::from_integer(*limits, rules, number, out),
        (T::Numeric(limits), Real(number)) => numeric::from_real(*limits, rules, number, out),
        (T::Numeric(limits), Text(digits)) => numeric::from_text(*limits, rules, digits, out),

        _ => no_meaning(ty, value),
    }
}

#[rustfmt::skip]
fn to_time(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    use WritableType as T;
    match (target.ty, value) {
        (T::TimestampTz(_) | T::Timestamp(_) | T::Date, Integer(number)) => epoch::from_integer(target, number, out),
        (T::TimestampTz(_) | T::Timestamp(_) | T::Date, Real(number)) => epoch::from_real(target, number, out),
        (T::TimestampTz(_) | T::Timestamp(_) | T::Date, Text(bytes)) => time::instant(target, bytes, out),
        (T::Time(_), Text(bytes)) => time::time_of_day(target, bytes, out),

        (ty, _) => no_meaning(ty, value),
    }
}

fn to_text(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    match value {
        Integer(number) => text::from_integer(target, number, out),
        Real(number) => text::from_real(target, number, out),
        Text(bytes) => text::text(target.ty, bytes, out),
        Blob(bytes) => text::from_blob(target, bytes, out),
        Null => no_meaning(target.ty, value),
    }
}

#[rustfmt::skip]
fn to_others(target: CastTarget<'_>, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), CastError> {
    use WritableType as T;
    let CastTarget { ty, rules, .. } = target;
    match (ty, value) {
        (T::Json | T::Jsonb, Integer(number)) => json::from_integer(target, number, out),
        (T::Json | T::Jsonb, Real(number)) => json::from_real(target, number, out),
        (T::Json | T::Jsonb, Text(bytes)) => json::json(ty, bytes, out),
        (T::Json | T::Jsonb, Blob(bytes)) => json::from_blob(target, bytes, out),

        (T::Uuid, Text(bytes)) => text::uuid(bytes, out),
        (T::Uuid, Blob(bytes)) => text::uuid_from_blob(bytes, out),
        (T::Bytea, Blob(bytes)) => text::bytea(bytes, out),
        (T::Bytea, Text(bytes)) => text::bytea_from_text(rules, bytes, out),

        (T::Inet | T::Cidr, Text(bytes)) => network::address(ty, bytes, out),
        (T::Enum(labels), Text(bytes)) => enumerated::label(labels, bytes, out),
        (T::Array(element, oid), Text(bytes)) => array::array(target, element, *oid, bytes, out),

        _ => no_meaning(ty, value),
    }
}

/// Returns the error of the last row: without a row of its own, any meaning of the value would be a guess.
fn no_meaning(ty: &WritableType, value: Value<'_>) -> Result<(), CastError> {
    Err(CastError::new(format!("is stored as {}, which has no meaning for {ty}", value.class())))
}

/// Describes for the plan the values that a column accepts without rules.
pub(super) fn describe_accepted(ty: &WritableType, zone: Zone) -> String {
    let description = match ty {
        WritableType::Boolean => "0, 1, t, f, true, false",
        WritableType::SmallInt | WritableType::Integer | WritableType::BigInt => "whole numbers in range",
        WritableType::Real | WritableType::Double => "numbers that it holds exactly",
        WritableType::Numeric(_) => "numbers and decimal texts that it holds without rounding",
        WritableType::Text | WritableType::Varchar(None) | WritableType::Char(None) => "UTF-8 text without NUL bytes",
        WritableType::Varchar(Some(_)) | WritableType::Char(Some(_)) | WritableType::Name => {
            "UTF-8 text without NUL bytes that is not too long"
        }
        WritableType::Json | WritableType::Jsonb => "JSON texts",
        WritableType::TimestampTz(_) | WritableType::Timestamp(_) => {
            return format!("ISO 8601 texts, as {zone} when they have no zone");
        }
        WritableType::Date => "ISO 8601 dates",
        WritableType::Time(_) => "ISO 8601 times of day",
        WritableType::Uuid => "UUIDs of 32 digits or 16 bytes",
        WritableType::Bytea => "blobs",
        WritableType::Inet | WritableType::Cidr => "IP addresses",
        WritableType::Enum(_) => "its labels",
        WritableType::Array(..) => "JSON lists",
    };
    description.to_owned()
}
