//! What a column's values were, for words about it.

use super::names::flag;
use super::textual::NumberSpellings;
use crate::transfer::value::{StorageClass, Value};

/// Why a column has no type.
#[derive(Debug, Default)]
pub struct TypeRefusal {
    pub words: String,
    /// What `--cast` takes to make one type of its values.
    pub casts: Vec<String>,
}

/// What was seen of a column.
#[derive(Debug, Default)]
pub(super) struct ColumnNotes {
    /// Why the first candidate is not the type.
    pub first: Option<String>,
    /// Why the last one is not.
    pub last: Option<String>,
    /// How numbers and texts are written, where there is a rule.
    pub spelled: NumberSpellings,
    numbers: bool,
    texts: bool,
    blobs: bool,
    /// A text that PostgreSQL knows no text for: a NUL in it, or not UTF-8.
    broken: bool,
    /// Not every blob is UTF-8.
    binary: bool,
}

impl ColumnNotes {
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
        debug_assert!(value.class() == StorageClass::Null || self.has_values());
    }

    pub fn has_values(&self) -> bool {
        self.numbers || self.texts || self.blobs
    }
}

impl ColumnNotes {
    /// Why there is no type: the row after which none was left, what the others hold, and what may help.
    pub fn refusal(&self, place: &str, rules: &[String]) -> TypeRefusal {
        let seen = [(self.numbers, "numbers"), (self.texts, "texts"), (self.blobs, "blobs")];
        let seen: Vec<&str> = seen.iter().filter(|(is, _)| *is).map(|(_, what)| *what).collect();
        let broken = if self.broken { ", and texts that have a NUL or are not UTF-8" } else { "" };
        let what = format!("the column holds {}{broken}", seen.join(" and "));
        let row = self.last.as_deref().unwrap_or_default();
        let casts = if rules.is_empty() { self.casts(place) } else { Vec::new() };
        let table = place.split_once('.').map_or(place, |(table, _)| table);
        let without = format!("{} leaves the table out", flag("--exclude", table));
        let flags: Vec<String> = casts.iter().map(|cast| flag("--cast", cast)).collect();
        let advice = if flags.is_empty() { without } else { format!("{} makes them one, {without}", flags.join(" ")) };
        let words = format!("{place}, {row}: no type takes it and all before it exactly ({what}; {advice})");
        TypeRefusal { words, casts }
    }

    /// The rules that would make one type of what was seen.
    fn casts(&self, place: &str) -> Vec<String> {
        let wanted: &[&str] = match (self.numbers, self.texts, self.blobs) {
            (true, _, _) if self.broken => &[],
            (true, _, true) if self.binary => &["as-text", "hex"],
            (true, _, true) => &["as-text", "utf8"],
            (true, _, false) => &["as-text"],
            (false, ..) => &["utf8"],
        };
        wanted.iter().map(|rule| format!("{place}={rule}")).collect()
    }
}
