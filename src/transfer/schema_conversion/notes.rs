//! Notes on the values of a column, for messages about its type.

use super::textual::NumberSpellings;
use crate::transfer::flag;
use crate::transfer::value::{StorageClass, Value};

/// The reason why no type fits a column.
#[derive(Debug, Default)]
pub struct TypeRefusal {
    /// The message for the user.
    pub words: String,
    /// Arguments of `--cast` with which one type fits all values of the column.
    pub casts: Vec<String>,
}

/// Notes on the values of a column.
#[derive(Debug, Default)]
pub(super) struct ColumnNotes {
    /// The reason why the first candidate is not the type.
    pub first: Option<String>,
    /// The value that no remaining candidate accepted.
    pub last: Option<String>,
    /// The notation of the numbers and texts, which is recorded only for columns with a rule.
    pub spelled: NumberSpellings,
    numbers: bool,
    texts: bool,
    blobs: bool,
    /// True if a text contains a NUL or is not UTF-8, so that PostgreSQL cannot store it as text.
    broken: bool,
    /// True if a blob is not UTF-8 text.
    binary: bool,
}

impl ColumnNotes {
    /// Records the storage class of a value.
    pub fn class(&mut self, value: Value<'_>) {
        let is_text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
        match value {
            Value::Null => {}
            Value::Integer(_) | Value::Real(_) => self.numbers = true,
            // One broken text is enough: after it no text is examined again.
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

    /// Reports whether the column has a value other than NULL.
    pub fn has_values(&self) -> bool {
        self.numbers || self.texts || self.blobs
    }
}

impl ColumnNotes {
    /// Returns the reason why no type fits: the row after which no candidate was left, the storage classes of all
    /// values, and options that may help.
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

    /// Returns the rules with which one type fits the values.
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
