//! The parser of rows of the history table: a row of ours is read as it was written, any other is refused.

use lockkeeper::layout::NATIVE;
use lockkeeper::revision::RecordedState;
use lockkeeper::revision::history::HistoryRowError;

/// Checks a row whose columns are lines: revision, checksum, state, statements done, checksum of the down file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (revision, checksum, state) = (next(), next(), next());
    let done = next();
    let down = Some(next()).filter(|down| !down.is_empty());
    match NATIVE.history().decode(&[Some(revision), Some(checksum), Some(state), Some(done), down]) {
        Ok(None) => unreachable!("each row of this layout is one of a revision"),
        Ok(Some(row)) => {
            assert_eq!(row.id.as_str(), revision);
            let sums = [row.checksum.map(|sum| sum.to_string()), row.executed.map(|sum| sum.to_string())];
            assert!(sums.iter().flatten().all(|sum| sum.eq_ignore_ascii_case(checksum)));
            let written = match row.state {
                RecordedState::Applied => "applied",
                RecordedState::Partial { .. } => "partial",
                RecordedState::Undoing { .. } => "undoing",
                RecordedState::Failed => unreachable!("this layout has no such rows"),
            };
            assert_eq!(state, written);
        }
        Err(HistoryRowError::Foreign(reason)) => assert!(reason.contains("a row that is not ours")),
        Err(HistoryRowError::InJournal) => assert!(state.ends_with(", see the journal")),
    }
}
