//! Text, bytes, and what is written with hexadecimal digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::rule::ColumnRules;
use super::{CastError, CastRule, CastTarget, WritableType};

/// NAMEDATALEN less the byte that ends a name.
const NAME: usize = 63;

/// Checks what PostgreSQL would check, with a reason that names the place.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, CastError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        CastError::new(format!("is not UTF-8: byte {at} is 0x{:02x}", bytes[at]))
    })?;
    match bytes.contains(&0) {
        true => {
            let at = bytes.iter().take_while(|byte| **byte != 0).count();
            Err(CastError::new(format!("has a NUL at byte {at}, which PostgreSQL cannot store in text")))
        }
        false => Ok(text),
    }
}

pub(super) fn text(ty: &WritableType, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    let text = utf8(bytes)?;
    let (WritableType::Varchar(Some(most)) | WritableType::Char(Some(most))) = *ty else {
        if matches!(ty, WritableType::Name) && bytes.len() > NAME {
            return Err(CastError::new(format!("has {} bytes, and a name {NAME} at most", bytes.len())));
        }
        out.extend_from_slice(bytes);
        return Ok(());
    };
    // A text has at most as many characters as bytes; most are so short that nothing has to be counted.
    if bytes.len() > most || matches!(ty, WritableType::Char(_)) {
        let characters = text.chars().count();
        if characters > most {
            return Err(CastError::new(format!("has {characters} characters, and {ty} {most} at most")));
        }
        out.extend_from_slice(bytes);
        // The server fills up to the length, and sends the blanks back.
        let blanks = if matches!(ty, WritableType::Char(_)) { most - characters } else { 0 };
        out.resize(out.len() + blanks, b' ');
    } else {
        out.extend_from_slice(bytes);
    }
    Ok(())
}

fn number_as_text(target: CastTarget<'_>, number: &str, out: &mut Vec<u8>) -> Result<(), CastError> {
    if !target.rules.has(CastRule::AsText) {
        return Err(
            CastError::new("is a number, not a text").rule(CastRule::AsText, format!("writes it as '{number}'"))
        );
    }
    text(target.ty, number.as_bytes(), out)
}

pub(super) fn from_integer(target: CastTarget<'_>, number: i64, out: &mut Vec<u8>) -> Result<(), CastError> {
    number_as_text(target, &number.to_string(), out)
}

/// The shortest digits that read back as the same number; always with a point or an exponent, so that it stays visible
/// that it was a REAL: 2.0, 0.1, 1e16, 1e-7, inf.
pub(super) fn from_real(target: CastTarget<'_>, number: f64, out: &mut Vec<u8>) -> Result<(), CastError> {
    number_as_text(target, &format!("{number:?}"), out)
}

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

pub(super) fn bytea(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    out.extend_from_slice(bytes);
    Ok(())
}

pub(super) fn bytea_from_text(rules: ColumnRules, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if rules.has(CastRule::Utf8) {
        return bytea(bytes, out);
    }
    let start = out.len();
    if rules.has(CastRule::Hex) {
        // \x is how PostgreSQL begins such digits.
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

/// 32 hexadecimal digits, alone or with hyphens in their places.
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
        _ => return Err(not_uuid()),
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| not_uuid())?;
    bytea(&bytes, out)
}

fn not_uuid() -> CastError {
    CastError::new("is not a UUID: 32 hexadecimal digits, alone or as 8-4-4-4-12")
}

pub(super) fn uuid_from_blob(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    match bytes.len() {
        16 => bytea(bytes, out),
        other => Err(CastError::new(format!("is a blob of {other} bytes, and a UUID has 16"))),
    }
}
