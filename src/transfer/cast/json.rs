//! json and jsonb: texts are checked here and sent unchanged, so that no number changes.

use super::jsonb::{JsonbWriter, NumberStyle, unfit};
use super::text::{encoding, utf8};
use super::{CastError, CastRule, CastTarget, WritableType};
use crate::transfer::json::{JsonError, JsonScanner};

/// The only version of the binary format of jsonb: `jsonb_send` in `src/backend/utils/adt/jsonb.c`.
const VERSION: u8 = 1;

/// Converts a JSON text for a column of json or jsonb.
pub(super) fn json(ty: &WritableType, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    encoding(bytes)?;
    check(ty, bytes).map_err(|error| json_error(bytes, error))?;
    if matches!(ty, WritableType::Jsonb) {
        out.push(VERSION);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Converts a JSON text for a column of jsonb, and appends to `canonical` the field that the server will send back.
/// Both are appended without their lengths.
pub(super) fn jsonb(
    bytes: &[u8],
    out: &mut Vec<u8>,
    writer: &mut JsonbWriter,
    canonical: &mut Vec<u8>,
) -> Result<(), CastError> {
    encoding(bytes)?;
    canonical.push(VERSION);
    writer.append(bytes, NumberStyle::Written, canonical).map_err(|error| json_error(bytes, error))?;
    out.push(VERSION);
    out.extend_from_slice(bytes);
    Ok(())
}

/// Returns the error of a text that is no JSON. A NUL, which JSON has nowhere, is named as in other texts.
fn json_error(bytes: &[u8], JsonError { at, reason: what }: JsonError) -> CastError {
    let error = || CastError::new(format!("is not JSON that PostgreSQL takes: {what}, at byte {at}"));
    utf8(bytes).err().unwrap_or_else(error)
}

/// Checks that PostgreSQL accepts a JSON text for this type.
fn check(ty: &WritableType, text: &[u8]) -> Result<(), JsonError> {
    let is_jsonb = matches!(ty, WritableType::Jsonb);
    let mut scanner = JsonScanner::new(text);
    while let Some(token) = scanner.token()? {
        if let Some(what) = unfit(token).filter(|_| is_jsonb) {
            // The error is at the end of the token that is too long.
            return Err(JsonError { at: scanner.at(), reason: what });
        }
    }
    Ok(())
}

fn number(target: CastTarget<'_>, number: &str, out: &mut Vec<u8>) -> Result<(), CastError> {
    if !target.rules.has(CastRule::AsText) {
        return Err(
            CastError::new("is a number, not a JSON text").rule(CastRule::AsText, format!("writes it as {number}"))
        );
    }
    json(target.ty, number.as_bytes(), out)
}

/// Converts an integer to JSON, if a rule permits numbers.
pub(super) fn from_integer(target: CastTarget<'_>, value: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    number(target, &value.to_string(), out)
}

/// Converts a REAL to JSON, if it is finite and a rule permits numbers.
pub(super) fn from_real(target: CastTarget<'_>, value: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    match value.is_finite() {
        true => number(target, &format!("{value:?}"), out),
        false => Err(CastError::new("is not a finite number, and JSON has no other")),
    }
}

/// Converts the bytes of a blob as a JSON text, if a rule permits it.
pub(super) fn from_blob(target: CastTarget<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if target.rules.has(CastRule::Utf8) {
        return json(target.ty, bytes, out);
    }
    let error = CastError::new("is a blob, not a JSON text");
    Err(match utf8(bytes).is_ok_and(|_| check(target.ty, bytes).is_ok()) {
        true => error.rule(CastRule::Utf8, "takes its bytes as text"),
        false => error.advice(
            "SQLite's own JSONB blobs become text by its function json(): UPDATE ... SET column = json(column)",
        ),
    })
}
