//! Text, bytes, UUIDs, and their notation in hexadecimal digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::rule::ColumnRules;
use super::{CastError, CastRule, CastTarget, WritableType};

/// The maximum length of a name in bytes: NAMEDATALEN less the byte that ends the name.
const MAX_NAME_BYTES: usize = 63;

/// Checks the encoding of a text. The error names the byte offset.
pub(super) fn encoding(bytes: &[u8]) -> Result<&str, CastError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        CastError::new(format!("is not UTF-8: byte {at} is 0x{:02x}", bytes[at]))
    })
}

/// Checks a text as PostgreSQL does. The error names the byte offset.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, CastError> {
    let text = encoding(bytes)?;
    match bytes.contains(&0) {
        true => {
            let at = bytes.iter().take_while(|byte| **byte != 0).count();
            Err(CastError::new(format!("has a NUL at byte {at}, which PostgreSQL cannot store in text")))
        }
        false => Ok(text),
    }
}

/// Converts a text for a column of a text type.
pub(super) fn text(ty: &WritableType, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let text = utf8(bytes)?;
    let (WritableType::Varchar(Some(max_length)) | WritableType::Char(Some(max_length))) = *ty else {
        if matches!(ty, WritableType::Name) && bytes.len() > MAX_NAME_BYTES {
            return Err(CastError::new(format!("has {} bytes, and a name {MAX_NAME_BYTES} at most", bytes.len())));
        }
        out.extend_from_slice(bytes);
        return Ok(());
    };
    // A text has at most as many characters as bytes. Most texts are so short that their characters need not be
    // counted.
    if bytes.len() > max_length || matches!(ty, WritableType::Char(_)) {
        let characters = text.chars().count();
        if characters > max_length {
            return Err(CastError::new(format!("has {characters} characters, and {ty} {max_length} at most")));
        }
        out.extend_from_slice(bytes);
        // The server pads the text with blanks to the length of the column, and returns it padded.
        let padding = if matches!(ty, WritableType::Char(_)) { max_length - characters } else { 0 };
        out.resize(out.len() + padding, b' ');
    } else {
        out.extend_from_slice(bytes);
    }
    Ok(())
}

/// Converts the text of a number, if a rule permits numbers.
fn number_as_text(target: CastTarget<'_>, number: &str, out: &mut Vec<u8>) -> Result<(), CastError> {
    if !target.rules.has(CastRule::AsText) {
        return Err(
            CastError::new("is a number, not a text").rule(CastRule::AsText, format!("writes it as '{number}'"))
        );
    }
    text(target.ty, number.as_bytes(), out)
}

/// Converts an integer to text, if a rule permits numbers.
pub(super) fn from_integer(target: CastTarget<'_>, number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    number_as_text(target, &number.to_string(), out)
}

/// Converts a REAL to the shortest digits that are read back as the same number. The digits always contain a decimal
/// point or an exponent, so that the type of the number stays visible: 2.0, 0.1, 1e16, 1e-7, inf.
pub(super) fn from_real(target: CastTarget<'_>, number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    number_as_text(target, &format!("{number:?}"), out)
}

/// Converts a blob to text, if a rule states how.
pub(super) fn from_blob(target: CastTarget<'_>, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if target.rules.has(CastRule::Hex) {
        return text(target.ty, hex::encode(bytes).as_bytes(), out);
    }
    if target.rules.has(CastRule::Base64) {
        return text(target.ty, STANDARD.encode(bytes).as_bytes(), out);
    }
    if target.rules.has(CastRule::Utf8) {
        return text(target.ty, bytes, out);
    }
    Err(match utf8(bytes) {
        Ok(_) => CastError::new("is a blob, not a text").rule(CastRule::Utf8, "takes its bytes as text"),
        Err(_) => CastError::new("is a blob, not a text").rule(CastRule::Hex, "writes it as hexadecimal digits"),
    })
}

/// Appends the bytes of a blob.
pub(super) fn bytea(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    out.extend_from_slice(bytes);
    Ok(())
}

/// Converts a text to bytes, if a rule states how.
pub(super) fn bytea_from_text(rules: ColumnRules, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if rules.has(CastRule::Utf8) {
        return bytea(bytes, out);
    }
    let start = out.len();
    if rules.has(CastRule::Hex) {
        // PostgreSQL writes `\x` before hexadecimal digits.
        let digits = bytes.strip_prefix(b"\\x").unwrap_or(bytes);
        out.resize(start + digits.len() / 2, 0);
        return hex::decode_to_slice(digits, &mut out[start..])
            .map_err(|_| CastError::new("is a text that is not pairs of hexadecimal digits"));
    }
    if rules.has(CastRule::Base64) {
        return STANDARD.decode_vec(bytes, out).map_err(|_| CastError::new("is a text that is not Base64"));
    }
    Err(CastError::new("is a text, not a blob").rule(CastRule::Utf8, "takes its bytes; hex and base64 decode it"))
}

/// Converts a UUID of 32 hexadecimal digits, without hyphens or with all four hyphens.
pub(super) fn uuid(text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let mut digits = [0; 32];
    match text.len() {
        32 => digits.copy_from_slice(text),
        36 if [8, 13, 18, 23].iter().all(|at| text[*at] == b'-') => {
            let parts = [&text[..8], &text[9..13], &text[14..18], &text[19..23], &text[24..]];
            let mut at = 0;
            for part in parts {
                digits[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        }
        _ => return Err(uuid_error()),
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| uuid_error())?;
    bytea(&bytes, out)
}

/// Returns the error of a text that is not a UUID.
fn uuid_error() -> CastError {
    CastError::new("is not a UUID: 32 hexadecimal digits, alone or as 8-4-4-4-12")
}

/// Converts a blob of 16 bytes to a UUID.
pub(super) fn uuid_from_blob(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    match bytes.len() {
        16 => bytea(bytes, out),
        length => Err(CastError::new(format!("is a blob of {length} bytes, and a UUID has 16"))),
    }
}
