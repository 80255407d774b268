//! Arrays, which SQLite databases store as JSON lists, in the format of `array_send` in
//! `src/backend/utils/adt/arrayfuncs.c`.

use super::text::utf8;
use super::{CastError, CastTarget, WritableType, encode};
use crate::transfer::json::{JsonError, JsonScanner, JsonToken, unescape};
use crate::transfer::value::Value;

/// Converts a JSON list of strings, integers and nulls to an array with one dimension. `oid` is the OID of the element
/// type.
pub(super) fn array(
    target: CastTarget<'_>,
    element: &WritableType,
    oid: u32,
    text: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CastError> {
    utf8(text)?;
    let mut scanner = JsonScanner::new(text);
    if scanner.token().map_err(json_error)? != Some(JsonToken::OpenList) {
        return Err(CastError::new("is not a JSON list"));
    }
    let start = out.len();
    out.extend_from_slice(&[0; 20]);
    let target = CastTarget { ty: element, rules: super::ColumnRules::default(), zone: target.zone };
    let (mut count, mut nulls) = (0_u32, 0_u32);
    let mut unescaped = Vec::new();
    loop {
        let token = scanner.token().map_err(json_error)?;
        if token == Some(JsonToken::CloseList) {
            break;
        }
        let value = value(token, element, &mut unescaped)?;
        nulls |= u32::from(value == Value::Null);
        count += 1;
        encode(target, value, out)
            .map_err(|error| CastError::new(format!("has an element {count} that {}", error.reason())))?;
    }
    // The next token is an error when something follows the list.
    scanner.token().map_err(json_error)?;
    if count == 0 {
        // An empty array has no dimension.
        out.truncate(start + 12);
    } else {
        out[start + 12..start + 16].copy_from_slice(&count.to_be_bytes());
        // The index of the first element.
        out[start + 16..start + 20].copy_from_slice(&1_u32.to_be_bytes());
    }
    out[start..start + 4].copy_from_slice(&u32::from(count > 0).to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&nulls.to_be_bytes());
    out[start + 8..start + 12].copy_from_slice(&oid.to_be_bytes());
    Ok(())
}

/// Returns the value of a list element.
fn value<'a>(
    token: Option<JsonToken<'a>>,
    element: &WritableType,
    unescaped: &'a mut Vec<u8>,
) -> Result<Value<'a>, CastError> {
    match token {
        Some(JsonToken::Null) => Ok(Value::Null),
        Some(JsonToken::Text(raw)) => {
            unescaped.clear();
            unescape(raw, unescaped);
            Ok(Value::Text(unescaped))
        }
        Some(JsonToken::Number(digits)) => {
            let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            number.map(Value::Integer).ok_or_else(|| CastError::new(format!("has a number that is no {element}")))
        }
        _ => Err(CastError::new(format!("has an element that is no {element}"))),
    }
}

fn json_error(error: JsonError) -> CastError {
    CastError::new(format!("is not JSON: {}, at byte {}", error.reason, error.at))
}
