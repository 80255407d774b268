//! The name of a row in messages.

use std::fmt::{self, Write};

use crate::transfer::value::Value;

/// The maximum number of characters of a text that a message shows.
const CHARACTERS: usize = 60;
/// The maximum number of bytes of a blob that a message shows.
const BYTES: usize = 20;

/// Returns `(a, b) = (1, 'x')`, or without parentheses if there is one column.
pub(super) fn describe_columns<'a>(parts: impl Iterator<Item = (&'a str, Value<'a>)>) -> String {
    let (names, values): (Vec<&str>, Vec<String>) =
        parts.map(|(name, value)| (name, ShortLiteral(value).to_string())).unzip();
    match names.len() {
        1 => format!("{} = {}", names[0], values[0]),
        _ => format!("({}) = ({})", names.join(", "), values.join(", ")),
    }
}

/// A value as SQL writes it, shortened.
struct ShortLiteral<'a>(Value<'a>);

impl fmt::Display for ShortLiteral<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("NULL"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Real(number) => write!(f, "{number:?}"),
            Value::Text(text) => {
                // A character has at most four bytes; one more character shows that the text is longer.
                let head = String::from_utf8_lossy(&text[..text.len().min(4 * (CHARACTERS + 1))]);
                f.write_char('\'')?;
                for character in head.chars().take(CHARACTERS) {
                    match character {
                        '\'' => f.write_str("''")?,
                        control if control.is_control() => write!(f, "{}", control.escape_default())?,
                        other => f.write_char(other)?,
                    }
                }
                f.write_str(if head.chars().nth(CHARACTERS).is_some() { "...'" } else { "'" })
            }
            Value::Blob(bytes) => {
                f.write_str("x'")?;
                bytes.iter().take(BYTES).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if bytes.len() > BYTES { "...'" } else { "'" })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_named_with_their_values() {
        let parts = [("a", Value::Integer(-1)), ("b", Value::Text(b"x'y\0"))];
        assert_eq!(describe_columns(parts.into_iter()), "(a, b) = (-1, 'x''y\\u{0}')");
        assert_eq!(describe_columns([("a b", Value::Blob(b"\x01\xff"))].into_iter()), "a b = x'01ff'");
        assert_eq!(describe_columns([("r", Value::Real(2.0))].into_iter()), "r = 2.0");
        assert_eq!(describe_columns([("n", Value::Null)].into_iter()), "n = NULL");
        assert_eq!(describe_columns([("t", Value::Text(b"a\xffb"))].into_iter()), "t = 'a\u{fffd}b'");
    }

    #[test]
    fn long_keys_are_cut() {
        let exact = "é".repeat(CHARACTERS);
        let whole = describe_columns([("t", Value::Text(exact.as_bytes()))].into_iter());
        assert_eq!(whole, format!("t = '{exact}'"));
        let longer = format!("{exact}é");
        let cut = describe_columns([("t", Value::Text(longer.as_bytes()))].into_iter());
        assert_eq!(cut, format!("t = '{exact}...'"));
        let emoji = "😀".repeat(CHARACTERS + 1);
        let cut = describe_columns([("t", Value::Text(emoji.as_bytes()))].into_iter());
        assert_eq!(cut, format!("t = '{}...'", "😀".repeat(CHARACTERS)));
        assert!(describe_columns([("b", Value::Blob(&[0; BYTES + 1]))].into_iter()).ends_with("00...'"));
    }
}
