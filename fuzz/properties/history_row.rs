//! The parser of rows of the history table: a row of ours is read as it was written, any other is refused.

use lockkeeper::database::DatabaseErrorKind;
use lockkeeper::database::record::applied;
use lockkeeper::revision::RecordedState;

/// Checks a row whose columns are lines: revision, checksum, state, statements done, checksum of the down file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (revision, checksum, state) = (next(), next(), next());
    let done = next().parse().unwrap_or_default();
    let down = Some(next()).filter(|down| !down.is_empty());
    match applied(revision, checksum, state, done, down) {
        Ok(row) => {
            assert_eq!(row.id.as_str(), revision);
            if let Some(sum) = row.checksum {
                assert!(sum.to_string().eq_ignore_ascii_case(checksum));
            }
            let written = match row.state {
                RecordedState::Applied => "applied",
                RecordedState::Partial { .. } => "partial",
                RecordedState::Undoing { .. } => "undoing",
            };
            assert_eq!(state, written);
        }
        Err(fault) => assert_eq!(fault.kind, DatabaseErrorKind::Setting),
    }
}
