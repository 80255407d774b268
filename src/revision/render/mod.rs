//! The SQL around a script: transaction, timeouts, history rows. The text that is executed is also the one that is
//! printed.

pub(crate) mod foreign_keys;
mod guard;
mod journal;
mod non_transactional;
mod print;
mod print_error;
pub(crate) mod session;
mod sqlite_session;
pub(crate) mod trust;

use std::time::Duration;

pub(crate) use print::{Printer, ScriptSummary};
pub(crate) use print_error::PrintError;
pub(crate) use session::{
    OWN_PATH, OWN_PATH_SETTING, SessionSettings, SettingScope, own_role, set, synchronous_commit,
};
pub(crate) use sqlite_session::{leaves_session_state, mentions};

use super::{DirectedScript, SectionOptions};
use crate::dialect::Dialect;
use crate::sql::comment_text;

/// Returns the statements that begin a file's transaction. `pg_stat_activity` shows the first line while the
/// transaction runs; the timeouts of the file hold until its end.
pub(crate) fn begin(dialect: Dialect, way: &DirectedScript<'_>) -> Vec<String> {
    if dialect == Dialect::Sqlite {
        return vec!["BEGIN IMMEDIATE;\n".into()];
    }
    let begin = format!("-- {}\nBEGIN;\n", comment_text(&way.section.file));
    [vec![begin], timeouts(&way.section.options, "SET LOCAL")].concat()
}

/// Returns the statements that set the timeouts of the file on PostgreSQL.
fn timeouts(options: &SectionOptions, set: &str) -> Vec<String> {
    let named = [("lock_timeout", options.lock_timeout), ("statement_timeout", options.statement_timeout)];
    let statement = |(name, timeout): (&str, Option<Duration>)| {
        timeout.map(|timeout| format!("{set} {name} = {};\n", timeout.as_millis()))
    };
    named.into_iter().filter_map(statement).collect()
}

/// The statement that ends a transaction.
pub(crate) const COMMIT: &str = "COMMIT;\n";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::revision::{Checksum, Direction, Fingerprint, Section};

    #[test]
    fn a_transaction_begins_with_its_name_and_its_timeouts() {
        let options = SectionOptions { lock_timeout: Some(Duration::from_secs(2)), ..SectionOptions::default() };
        let section = Section {
            file: "1_a\nb.sql".into(),
            options: Arc::new(options),
            fingerprint: Fingerprint([0; 32]),
            checksum: Some(Checksum::new([0; 32])),
            part: None,
        };
        let way = DirectedScript { direction: Direction::Up, section: &section, statements: 1, down: None };
        let begun = begin(Dialect::Postgres, &way);
        assert_eq!(begun, ["-- 1_a?b.sql\nBEGIN;\n", "SET LOCAL lock_timeout = 2000;\n"]);
        assert_eq!(begin(Dialect::Sqlite, &way), ["BEGIN IMMEDIATE;\n"]);
    }
}
