//! The mark of a history, by which a poll sees that nothing has changed.

/// The mark of a history: as long as it is the same, so are the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryMark(pub(super) String);
