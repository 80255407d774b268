//! Values of the source database, and their text in messages.

use std::fmt::{self, Write};

/// A value as SQLite stores it. A text is a slice of bytes, since SQLite does not check its encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed integer of 64 bits.
    Integer(i64),
    /// A floating point number of 64 bits.
    Real(f64),
    /// The bytes of a text, usually UTF-8.
    Text(&'a [u8]),
    /// The bytes of a blob.
    Blob(&'a [u8]),
}

/// SQLite's storage classes: <https://sqlite.org/datatype3.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageClass {
    /// The class of NULL.
    Null,
    /// The class of integers.
    Integer,
    /// The class of floating point numbers.
    Real,
    /// The class of texts.
    Text,
    /// The class of blobs.
    Blob,
}

impl Value<'_> {
    /// Returns the storage class of the value.
    pub(crate) fn class(self) -> StorageClass {
        match self {
            Self::Null => StorageClass::Null,
            Self::Integer(_) => StorageClass::Integer,
            Self::Real(_) => StorageClass::Real,
            Self::Text(_) => StorageClass::Text,
            Self::Blob(_) => StorageClass::Blob,
        }
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Null => "null",
            Self::Integer => "integer",
            Self::Real => "real",
            Self::Text => "text",
            Self::Blob => "blob",
        })
    }
}

/// The number of characters that are shown of a text, counted after escaping.
const MAX_CHARACTERS: usize = 48;
/// The number of bytes that are shown of a blob, two hexadecimal digits each.
const MAX_BYTES: usize = 20;

/// Returns a value as text on one line, of about 60 characters at most: a text in single quotes, with characters that
/// do not print escaped; a blob, or a text that is not UTF-8, as hexadecimal digits in `x'...'`. A value that is cut is
/// followed by its length in bytes.
pub(crate) fn shown(value: Value<'_>) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(bytes) => shown_text(bytes),
        Value::Blob(bytes) => shown_bytes(bytes),
    }
}

fn shown_text(bytes: &[u8]) -> String {
    // A long text is cut before it is decoded: a character has at most four bytes, and one extra character shows the
    // cut.
    let start = &bytes[..bytes.len().min(4 * (MAX_CHARACTERS + 1))];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The cut was inside of a character.
        Err(error) if error.error_len().is_none() && start.len() < bytes.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return shown_bytes(bytes),
    };
    let mut shown = "'".to_owned();
    let mut width = 0;
    for character in text.chars() {
        let length = shown.len();
        match character {
            '\'' => shown.push_str("''"),
            '\\' => shown.push_str("\\\\"),
            // Marks for writing direction and joiners would rearrange the line that contains them.
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}') =>
            {
                shown.extend(c.escape_default());
            }
            c => shown.push(c),
        }
        width += shown[length..].chars().count();
        if width > MAX_CHARACTERS {
            shown.truncate(length);
            return format!("{shown}'... ({} bytes)", bytes.len());
        }
    }
    shown.push('\'');
    shown
}

fn shown_bytes(bytes: &[u8]) -> String {
    let mut shown = "x'".to_owned();
    for byte in bytes.iter().take(MAX_BYTES) {
        // Writing to a `String` cannot fail.
        let _ = write!(shown, "{byte:02x}");
    }
    match bytes.len() > MAX_BYTES {
        true => format!("{shown}'... ({} bytes)", bytes.len()),
        false => shown + "'",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_short_and_on_one_line() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Real(-0.0), "-0.0"),
            (Value::Real(5e-324), "5e-324"),
            (Value::Real(f64::INFINITY), "inf"),
            (Value::Text(b""), "''"),
            (Value::Text(b"it's"), "'it''s'"),
            (Value::Text(b"a\0b\nc\x1b[2J\\"), r"'a\u{0}b\nc\u{1b}[2J\\'"),
            (Value::Text("a\u{202e}b".as_bytes()), r"'a\u{202e}b'"),
            (Value::Text("Zoë 🚀".as_bytes()), "'Zoë 🚀'"),
            (Value::Text(b"abc\xff"), "x'616263ff'"),
            (Value::Blob(b""), "x''"),
            (Value::Blob(&[0, 255]), "x'00ff'"),
        ] {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn long_values_are_cut_and_their_length_is_told() {
        let x = "x".repeat(1000);
        assert_eq!(shown(Value::Text(x.as_bytes())), format!("'{}'... (1000 bytes)", &x[..48]));
        assert_eq!(shown(Value::Text(&x.as_bytes()[..48])), format!("'{}'", &x[..48]));
        let rockets = "a".to_owned() + &"🚀".repeat(100);
        assert_eq!(shown(Value::Text(rockets.as_bytes())), format!("'a{}'... (401 bytes)", "🚀".repeat(47)));
        assert_eq!(shown(Value::Blob(&[7; 21])), format!("x'{}'... (21 bytes)", "07".repeat(20)));
        let zeros = [0; 500];
        assert_eq!(shown(Value::Text(&zeros)), format!("'{}'... (500 bytes)", r"\u{0}".repeat(9)));
    }
}
