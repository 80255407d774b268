//! The check of the texts of json columns: it accepts exactly the JSON of RFC 8259, except for what PostgreSQL cannot
//! store.

use lockkeeper::transfer::cast::{JsonbWriter, NumberStyle};

/// Escapes that PostgreSQL refuses although they are JSON.
const REFUSED: [&str; 5] = [
    "it is nested more than 1,000 levels deep",
    "PostgreSQL cannot store \\u0000",
    "half of a surrogate pair",
    "a number has more digits than any numeric",
    "a text is longer than 256 MiB",
];

/// Checks the text of a value.
pub fn check(data: &[u8]) {
    if std::str::from_utf8(data).is_err() {
        return;
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    let mut written = Vec::new();
    match JsonbWriter::default().append(data, NumberStyle::Written, &mut written) {
        Ok(()) => {
            assert!(is_json, "another reader of JSON refuses what was accepted");
            let mut again = Vec::new();
            let ended = JsonbWriter::default().append(&written, NumberStyle::Written, &mut again);
            assert!(ended.is_ok() && written == again, "{}", String::from_utf8_lossy(&written));
        }
        Err(broken) => {
            assert!(broken.at <= data.len());
            assert!(!is_json || REFUSED.contains(&broken.reason), "refused: {}", broken.reason);
        }
    }
}
