//! The notation of the values of a key. If all values have the same notation, different texts are different values.

use std::collections::BTreeSet;

use crate::transfer::cast::WritableType;
use crate::transfer::json::{JsonScanner, JsonToken, unescape};
use crate::transfer::value::Value;

/// The notation of a column's values so far.
#[derive(Debug, Default)]
pub(super) struct Shape(Option<Vec<u8>>);

impl Shape {
    /// Checks another value of a key.
    ///
    /// # Errors
    /// Fails when the value has a different notation: it might then equal another value in PostgreSQL, but not in
    /// SQLite.
    pub(crate) fn take(&mut self, ty: &WritableType, value: Value<'_>) -> Result<(), String> {
        let shape = match (ty, value) {
            (WritableType::TimestampTz(_) | WritableType::Date | WritableType::Time(_), Value::Text(text)) => {
                time_shape(text)
            }
            (WritableType::Uuid, Value::Text(text)) => uuid_shape(text),
            (WritableType::Uuid, _) => Some(b"blob".to_vec()),
            (WritableType::Jsonb, _) => None,
            _ => return Ok(()),
        };
        let error = || "it is part of a key, and written in another way than others".to_owned();
        let shape = shape.ok_or_else(error)?;
        if *self.0.get_or_insert_with(|| shape.clone()) == shape { Ok(()) } else { Err(error()) }
    }
}

/// Returns the notation of a time: all digits before the time zone become 0, and the time zone is kept. Returns `None`
/// for the hour 24 and the second 60, which equal the beginning of the next day or minute.
fn time_shape(text: &[u8]) -> Option<Vec<u8>> {
    let is_zone = |at: usize, byte: u8| matches!(byte, b'Z' | b'z' | b'+') || (byte == b'-' && at > 10);
    let zone = (0..text.len()).find(|&at| is_zone(at, text[at])).unwrap_or(text.len());
    let clock = text[..zone].iter().position(|byte| *byte == b':').unwrap_or(zone);
    let is_last_hour = text[..clock].ends_with(b"24") && clock < zone;
    if is_last_hour || text[clock..zone].windows(3).any(|part| part == b":60") {
        return None;
    }
    let masked = text[..zone].iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte });
    Some(masked.chain(text[zone..].iter().copied()).collect())
}

/// Returns the notation of a UUID, which is its length. Returns `None` for a UUID with capital letters.
fn uuid_shape(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    Some(text.len().to_string().into_bytes())
}

/// Reports whether a JSON object has the same key twice: jsonb keeps only the last one. The result is `false` for a
/// text that is not JSON.
pub(super) fn repeats_a_key(text: &[u8]) -> bool {
    let mut scanner = JsonScanner::new(text);
    let mut open: Vec<BTreeSet<Vec<u8>>> = Vec::new();
    while let Ok(Some(token)) = scanner.token() {
        match token {
            JsonToken::OpenObject => open.push(BTreeSet::new()),
            JsonToken::CloseObject => drop(open.pop()),
            JsonToken::Key(raw) => {
                let mut key = Vec::new();
                unescape(raw, &mut key);
                if open.last_mut().is_some_and(|keys| !keys.insert(key)) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_key_are_all_written_in_one_way() {
        let have_same_shape = |ty: &WritableType, texts: [&str; 2]| {
            let mut shape = Shape::default();
            texts.iter().all(|text| shape.take(ty, Value::Text(text.as_bytes())).is_ok())
        };
        let instant = WritableType::TimestampTz(6);
        for (ty, texts, expected) in [
            (&instant, ["2024-01-01 00:00:00", "2024-12-31 23:59:59"], true),
            (&instant, ["2024-01-01 00:00:00", "2024-01-01T00:00:00"], false),
            (&instant, ["2024-01-01 00:00:00", "2024-01-01 00:00:00.0"], false),
            (&instant, ["2024-01-01 00:00:00+01:00", "2024-01-01 00:00:00+01:00"], true),
            (&instant, ["2024-01-01 00:00:00+01:00", "2024-01-01 00:00:00+02:00"], false),
            (&instant, ["2024-01-01 00:00:00-01:00", "2024-01-01 00:00:00-02:00"], false),
            (&instant, ["2024-01-01 23:59:60", "2024-01-02 00:00:00"], false),
            (&instant, ["2024-01-24 24:00:00", "2024-01-25 00:00:00"], false),
            (&instant, ["2024-01-24", "2024-01-25"], true),
            (&WritableType::Time(6), ["24:00:00", "00:00:00"], false),
            (&WritableType::Date, ["2024-01-24", "2024-02-24"], true),
            (&WritableType::Uuid, ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"], false),
            (&WritableType::Uuid, ["A0EEBC999C0B4EF8BB6D6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"], false),
            (&WritableType::Jsonb, ["1", "1.0"], false),
            (&WritableType::Text, ["a", "b"], true),
        ] {
            assert_eq!(have_same_shape(ty, texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn keys_that_are_there_twice_are_found() {
        for (text, expected) in [
            (r#"{"a": 1, "b": {"a": 2}, "c": [{"a": 1}, {"a": 2}]}"#, false),
            (r#"[{"a": 1, "\u0061": 2}]"#, true),
            (r#"{"a": {"b": 1}, "a": 1}"#, true),
            ("{", false),
        ] {
            assert_eq!(repeats_a_key(text.as_bytes()), expected, "{text}");
        }
    }
}
