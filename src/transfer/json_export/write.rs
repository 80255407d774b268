//! Writing values as JSON.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::{BASE64, NUMBER, TEXT_BASE64};
use crate::transfer::json::plain;
use crate::transfer::value::Value;

/// Appends a value as JSON.
pub fn value(value: Value<'_>, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    drop(write_value(value, out));
}

/// Appends a text as a JSON string in double quotes.
pub fn text(text: &str, out: &mut Vec<u8>) {
    drop(write_text(text, out));
}

/// Writes a value as JSON. A value may have 1 GiB: it is not copied in memory.
///
/// # Errors
/// Fails when the writer fails.
pub fn write_value(value: Value<'_>, out: &mut dyn Write) -> io::Result<()> {
    match value {
        Value::Null => out.write_all(b"null"),
        Value::Integer(number) => write!(out, "{number}"),
        // Debug formatting gives the shortest digits that identify the number, with a decimal point or an exponent: no
        // reader takes them for an integer.
        Value::Real(number) if number.is_finite() => write!(out, "{number:?}"),
        // SQLite stores no NaN. Only PostgreSQL has this value, and other readers get a string.
        Value::Real(number) if number.is_nan() => write_text("NaN", out),
        Value::Real(number) => {
            let infinity = if number > 0.0 { "Infinity" } else { "-Infinity" };
            write!(out, "{{\"{NUMBER}\": \"{infinity}\"}}")
        }
        Value::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(found) => write_text(found, out),
            Err(_) => write_encoded(TEXT_BASE64, bytes, out),
        },
        Value::Blob(bytes) => write_encoded(BASE64, bytes, out),
    }
}

/// Writes bytes as an object with the key `name` and the bytes in Base64.
fn write_encoded(name: &str, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"{name}\": \"{}\"}}", Base64Display::new(bytes, &STANDARD))
}

/// Writes a text as a JSON string in double quotes. Only characters that need an escape are escaped.
///
/// # Errors
/// Fails when the writer fails.
pub fn write_text(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut remaining = text.as_bytes();
    out.write_all(b"\"")?;
    loop {
        let (plain_part, after) = remaining.split_at(plain(remaining));
        out.write_all(plain_part)?;
        let Some((special, after)) = after.split_first() else { break };
        remaining = after;
        match special {
            b'"' => out.write_all(b"\\\"")?,
            b'\\' => out.write_all(b"\\\\")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\t' => out.write_all(b"\\t")?,
            control => write!(out, "\\u{control:04x}")?,
        }
    }
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_form() {
        for (given, expected) in [
            (Value::Null, "null"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Real(2.0), "2.0"),
            (Value::Real(-0.0), "-0.0"),
            (Value::Real(1e300), "1e300"),
            (Value::Real(5e-324), "5e-324"),
            (Value::Real(0.1 + 0.2), "0.30000000000000004"),
            (Value::Real(f64::NEG_INFINITY), r#"{"$number": "-Infinity"}"#),
            (Value::Real(f64::NAN), r#""NaN""#),
            (Value::Text("Zoë \"🚀\"\\ \0\n\u{1b}\u{7f}".as_bytes()), "\"Zoë \\\"🚀\\\"\\\\ \\u0000\\n\\u001b\u{7f}\""),
            (Value::Text(b"a\xff"), r#"{"$text-base64": "Yf8="}"#),
            (Value::Blob(b""), r#"{"$base64": ""}"#),
            (Value::Blob(b"\0\xff"), r#"{"$base64": "AP8="}"#),
        ] {
            let mut out = Vec::new();
            value(given, &mut out);
            assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
        }
    }
}
