//! What a column's values were, for words about it.

use crate::transfer::value::{Class, Value};

/// What was seen of a column.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Why the first candidate is not the type.
    pub first: Option<String>,
    /// Why the last one is not.
    pub last: Option<String>,
    numbers: bool,
    texts: bool,
    blobs: bool,
    /// A text that PostgreSQL knows no text for: a NUL in it, or not UTF-8.
    broken: bool,
    /// Not every blob is UTF-8.
    binary: bool,
}

impl Notes {
    pub fn class(&mut self, value: Value<'_>) {
        let is_text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        match value {
            Value::Null => {}
            Value::Integer(_) | Value::Real(_) => self.numbers = true,
            // What is broken stays so: it need not be looked for again.
            Value::Text(bytes) => {
                self.texts = true;
                self.broken = self.broken || !is_text(bytes);
            }
            Value::Blob(bytes) => {
                self.blobs = true;
                self.binary = self.binary || !is_text(bytes);
            }
        }
        debug_assert!(value.class() == Class::Null || self.seen());
    }

    pub fn seen(&self) -> bool {
        self.numbers || self.texts || self.blobs
    }
}

/// The rules that would make one type of what was seen.
pub(super) fn advice(notes: &Notes, place: &str, rules: &[String]) -> String {
    let wanted: &[&str] = match (notes.numbers, notes.texts, notes.blobs) {
        (true, _, _) if notes.broken => &[],
        (true, _, true) if notes.binary => &["as-text", "hex"],
        (true, _, true) => &["as-text", "utf8"],
        (true, _, false) => &["as-text"],
        (false, ..) => &["utf8"],
    };
    let table = place.split_once('.').map_or(place, |(table, _)| table);
    let without = format!("--exclude {table} leaves the table out");
    match rules.is_empty() && !wanted.is_empty() {
        true => {
            let casts: Vec<String> = wanted.iter().map(|rule| format!("--cast {place}={rule}")).collect();
            format!(" ({} makes one of them; {without})", casts.join(" "))
        }
        false => format!(" ({without})"),
    }
}
