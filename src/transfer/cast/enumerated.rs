//! Enums: their labels, to the letter.

use super::{CastError, CastRule};

/// As many labels are named when a value is none of them.
const NAMED: usize = 8;

/// `labels` are sorted.
pub(super) fn label(labels: &[String], text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if labels.binary_search_by(|label| label.as_bytes().cmp(text)).is_ok() {
        out.extend_from_slice(text);
        return Ok(());
    }
    let named: Vec<&str> = labels.iter().take(NAMED).map(String::as_str).collect();
    let more = if labels.len() > NAMED { ", ..." } else { "" };
    let bad = CastError::new(format!("is none of the enum's labels: {}{more}", named.join(", ")));
    Err(match text {
        b"" => bad.rule(CastRule::EmptyAsNull, "makes '' NULL"),
        _ => bad,
    })
}
