//! The histories of other tools before and after a command of theirs has run.

use super::{ForeignHistory, RecordedRow, RecordedVersions};

/// The readable histories of other tools in a database, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolHistories {
    histories: Vec<ForeignHistory>,
}

/// The change of histories between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HistoryMove {
    /// There is no history that can be read, or one that cannot.
    Unknown,
    /// All histories are where they were.
    None {
        /// The revision.
        at: String,
    },
    /// A history has moved.
    Moved {
        /// The revision before.
        from: String,
        /// The revision after.
        to: String,
    },
}

impl ToolHistories {
    /// Makes the value of the histories that a database has.
    pub(crate) fn new(histories: Vec<ForeignHistory>) -> ToolHistories {
        ToolHistories { histories }
    }

    /// Returns the revision of the database as its tool writes it, or of each tool with its name if there are several;
    /// `None` if no history can be read.
    pub(crate) fn revision(&self) -> Option<String> {
        let readable: Vec<&ForeignHistory> = self.readable().collect();
        describe(&readable)
    }

    /// Returns what has changed since `before`. A table that is new counts as a history that was at base.
    pub(crate) fn change_since(&self, before: &ToolHistories) -> HistoryMove {
        let has_moved = |history: &&ForeignHistory| before.rows_of(history) != Some(sorted(history));
        let moved: Vec<&ForeignHistory> = self.readable().filter(has_moved).collect();
        let earlier = |history: &&&ForeignHistory| before.find(history);
        let was_readable = |history: &ForeignHistory| before.find(history).is_none_or(is_readable);
        let moved: Vec<&ForeignHistory> = moved.into_iter().filter(|history| was_readable(history)).collect();
        if let Some(to) = describe(&moved) {
            let known: Vec<&ForeignHistory> = moved.iter().filter_map(|history| earlier(&history)).collect();
            return HistoryMove::Moved { from: describe(&known).unwrap_or_else(|| BASE.into()), to };
        }
        let is_known = self.histories.iter().all(|history| is_readable(history) && was_readable(history));
        match self.revision().filter(|_| is_known) {
            Some(at) => HistoryMove::None { at },
            None => HistoryMove::Unknown,
        }
    }

    fn readable(&self) -> impl Iterator<Item = &ForeignHistory> {
        self.histories.iter().filter(|history| is_readable(history))
    }

    fn find(&self, other: &ForeignHistory) -> Option<&ForeignHistory> {
        self.histories.iter().find(|history| history.table == other.table)
    }

    fn rows_of(&self, other: &ForeignHistory) -> Option<Vec<RecordedRow>> {
        self.find(other).map(sorted)
    }
}

/// The revision of a history without rows.
const BASE: &str = "base";

fn is_readable(history: &ForeignHistory) -> bool {
    matches!(history.recorded, RecordedVersions::Rows(_))
}

/// Returns the rows in an order that does not depend on that of the server.
fn sorted(history: &ForeignHistory) -> Vec<RecordedRow> {
    let mut rows = history.recorded.rows().to_vec();
    rows.sort_by(|a, b| (&a.version, &a.description).cmp(&(&b.version, &b.description)));
    rows
}

/// Returns the revision of one history, or those of several with the names of their tools; `None` for no history.
fn describe(histories: &[&ForeignHistory]) -> Option<String> {
    match histories {
        [] => None,
        [history] => Some(revision(history)),
        several => {
            let each = several.iter().map(|history| format!("{} {}", history.tool.name, revision(history)));
            Some(each.collect::<Vec<_>>().join(", "))
        }
    }
}

fn revision(history: &ForeignHistory) -> String {
    let rows = history.recorded.rows();
    let newest = history.tool.newest(rows).join(", ");
    match (rows.is_empty(), history.recorded.unfinished().is_empty()) {
        (true, _) => BASE.into(),
        (false, true) => newest,
        (false, false) => format!("{newest} (not finished)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::other_tools::recognise;

    fn histories(tables: &[(&str, &[&str], Option<&str>)]) -> ToolHistories {
        let history = |(table, columns, versions): &(&str, &[&str], Option<&str>)| ForeignHistory {
            tool: recognise(table, columns).expect("a tool"),
            table: (*table).into(),
            recorded: match versions {
                None => RecordedVersions::Unread,
                Some(versions) => RecordedVersions::from_answers(
                    versions.split_whitespace().map(|id| [id.into(), String::new(), "applied".into()]).collect(),
                ),
            },
        };
        ToolHistories::new(tables.iter().map(history).collect())
    }

    #[test]
    fn a_history_moves_when_its_rows_differ() {
        let alembic = |versions: Option<&'static str>| ("alembic_version", &["version_num"][..], versions);
        let rails = |versions: Option<&'static str>| ("schema_migrations", &["version"][..], versions);
        let moved = |from: &str, to: &str| HistoryMove::Moved { from: from.into(), to: to.into() };
        let none = |at: &str| HistoryMove::None { at: at.into() };
        for (before, after, expected) in [
            (vec![], vec![], HistoryMove::Unknown),
            (vec![], vec![alembic(Some("a1"))], moved("base", "a1")),
            (vec![alembic(Some(""))], vec![alembic(Some("a1"))], moved("base", "a1")),
            (vec![alembic(Some("a1"))], vec![alembic(Some("a1"))], none("a1")),
            (vec![rails(Some("1 2"))], vec![rails(Some("2 1"))], none("2")),
            (vec![rails(Some("1 3"))], vec![rails(Some("1 2 3"))], moved("3", "3")),
            (vec![alembic(None)], vec![alembic(Some("a1"))], HistoryMove::Unknown),
            (vec![alembic(Some("a1"))], vec![alembic(None)], HistoryMove::Unknown),
            (
                vec![alembic(Some("a1")), rails(Some("1"))],
                vec![alembic(Some("b2")), rails(Some("1"))],
                moved("a1", "b2"),
            ),
            (
                vec![alembic(Some("a1")), rails(Some("1"))],
                vec![alembic(Some("a1")), rails(Some("1"))],
                none("Alembic a1, dbmate or Rails 1"),
            ),
        ] {
            assert_eq!(histories(&after).change_since(&histories(&before)), expected, "{before:?} {after:?}");
        }
    }
}
