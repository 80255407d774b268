//! Enums: a text has to be one of the labels, byte by byte.

use super::{CastError, CastRule};

/// The maximum number of labels that an error names.
const MAX_LABELS: usize = 8;

/// Converts a label of an enum. `labels` have to be sorted by their bytes.
pub(super) fn label(labels: &[String], text: &[u8], out: &mut Vec<u8>) -> Result<(), CastError> {
    if labels.binary_search_by(|label| label.as_bytes().cmp(text)).is_ok() {
        out.extend_from_slice(text);
        return Ok(());
    }
    let listed: Vec<&str> = labels.iter().take(MAX_LABELS).map(String::as_str).collect();
    let more = if labels.len() > MAX_LABELS { ", ..." } else { "" };
    let error = CastError::new(format!("is none of the enum's labels: {}{more}", listed.join(", ")));
    Err(match text {
        b"" => error.rule(CastRule::EmptyAsNull, "makes '' NULL"),
        _ => error,
    })
}
