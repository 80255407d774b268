//! Prints a plan as a script for a person to read and for psql or sqlite3 to run. The script consists of the statements
//! that a run sends.

use std::io::{self, Write};
use std::time::Duration;

use super::foreign_keys::{CountLocation, compare_missing, note_missing};
use super::print_error::PrintError;
use super::session::{SessionSettings, SettingScope, synchronous_commit};
use super::sqlite_session::{self, SessionState};
use super::{COMMIT, begin};
use crate::dialect::Dialect;
use crate::revision::history::{Elapsed, HistoryRow, HistoryTable};
use crate::revision::journal::RecordedProgress;
use crate::revision::lexer::ends_in_comment;
use crate::revision::plan::{Applied, describe_heads};
use crate::revision::policy::{ForeignKeyPolicy, SessionPolicy};
use crate::revision::statements::Window;
use crate::revision::{
    BatchLimit, Batches, DirectedScript, Direction, Fingerprint, Migration, Policy, Step, TransactionMode, Version,
};
use crate::sql::comment_text;

/// The number of bytes of a script that are read at once.
const PIECE: usize = 64 * 1024;

/// A printer of a script, part by part.
pub(crate) struct Printer<'a, W> {
    /// The output.
    pub(crate) out: W,
    /// The rules of the layout.
    pub(crate) policy: &'a Policy,
    /// The history table.
    pub(crate) history: &'a HistoryTable,
    /// The settings of a PostgreSQL session.
    pub(crate) session: SessionSettings,
    /// The schema of the history table, if it is known.
    pub(crate) schema: Option<&'a str>,
    /// The name of the history table, without quotes.
    pub(crate) table: &'a str,
    /// For SQLite: the time to wait for another writer.
    pub(crate) busy: Duration,
    /// True once the script creates the journal.
    pub(crate) has_journal: bool,
}

/// The effect of the script as a whole.
pub(crate) struct ScriptSummary<'a> {
    /// The direction of all steps.
    pub(crate) direction: Direction,
    /// The heads of the applied revisions that the script expects.
    pub(crate) from: &'a [Version],
    /// All rows of the history that the script expects.
    pub(crate) applied: &'a [Applied],
    /// The heads of the applied revisions after the script.
    pub(crate) to: &'a [Version],
    /// The number of revisions that the script runs.
    pub(crate) steps: usize,
    /// The revisions whose rows the script removes.
    pub(crate) undone: Vec<&'a Version>,
}

impl<W: Write> Printer<'_, W> {
    /// Prints the part before the first revision: a description of the script, and the setting that it stops at the
    /// first error.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub(crate) fn opening(&mut self, summary: &ScriptSummary<'_>) -> io::Result<()> {
        let verb = summary.direction.verb();
        let [from, to] = [summary.from, summary.to].map(describe_heads);
        let dialect = self.history.dialect;
        let how = match dialect {
            Dialect::Postgres => {
                "psql -v ON_ERROR_STOP=1 -f FILE, as the user of the runs, without -1: it has its own transactions"
            }
            Dialect::Sqlite => "sqlite3 DATABASE < FILE, while no application and no other run writes",
        };
        writeln!(
            self.out,
            "-- Lockkeeper {}, {dialect}: {verb} from {from} to {to}, revisions: {}\n-- Run it with: {how}\n-- It takes no backup; lockkeeper {verb} does.",
            env!("CARGO_PKG_VERSION"),
            summary.steps
        )?;
        match self.history.dialect {
            Dialect::Postgres => {
                write!(self.out, "\\set ON_ERROR_STOP on\n-- The session that runs have.\n")?;
                self.restore()?;
                self.out.write_all(self.lock().as_bytes())?;
            }
            Dialect::Sqlite => {
                self.out.write_all(sqlite_session::opening(self.busy.as_millis()).as_bytes())?;
                self.out.write_all(note_missing().as_bytes())?;
                if self.policy.foreign_keys == ForeignKeyPolicy::On {
                    writeln!(self.out, "{};", ForeignKeyPolicy::On.pragma())?;
                }
            }
        }
        if summary.direction == Direction::Up {
            self.out.write_all(self.history.create().as_bytes())?;
        }
        if self.history.dialect == Dialect::Postgres {
            self.out.write_all(self.trust(&self.history.table).as_bytes())?;
        }
        self.out.write_all(self.guard(summary, &from).as_bytes())
    }

    /// Prints one revision with its transaction and its row.
    ///
    /// # Errors
    /// Fails if the output cannot be written, or if the file cannot be read or has changed.
    pub(crate) fn step(
        &mut self,
        (step, migration, previous): (&Step, &Migration, Option<&Version>),
        way: &DirectedScript<'_>,
        mut batches: Batches,
    ) -> Result<(), PrintError> {
        let revision = PrintedRevision { id: step.id(migration), previous, migration, way };
        let resume = step.resume.as_deref().copied();
        writeln!(
            self.out,
            "\n-- ======== {} {}: {}",
            way.direction.verb(),
            migration.version,
            comment_text(&way.section.file)
        )?;
        if self.history.writes_journal_alone(revision.id) {
            self.create_journal()?;
        }
        let mut session = SessionState::default();
        let (usual, foreign_keys) = (self.policy.foreign_keys, way.section.foreign_keys(self.policy.foreign_keys));
        if foreign_keys != usual {
            writeln!(self.out, "{};", foreign_keys.pragma())?;
        }
        match way.section.options.mode {
            TransactionMode::Transaction => self.in_transaction(&revision, &mut batches, &mut session),
            TransactionMode::NoTransaction => {
                self.print_non_transactional(&revision, &mut batches, resume, &mut session)
            }
        }?;
        if foreign_keys != usual {
            writeln!(self.out, "{};", usual.pragma())?;
        }
        match self.history.dialect {
            _ if self.policy.session == SessionPolicy::Kept => {}
            Dialect::Postgres => {
                writeln!(self.out, "-- Nothing that this file has set reaches the next.")?;
                self.restore()?;
            }
            Dialect::Sqlite => self.out.write_all(session.reset(self.busy.as_millis()).as_bytes())?,
        }
        Ok(())
    }

    fn in_transaction(
        &mut self,
        revision: &PrintedRevision<'_>,
        batches: &mut Batches,
        session: &mut SessionState,
    ) -> Result<(), PrintError> {
        let (dialect, way) = (self.history.dialect, revision.way);
        self.out.write_all(begin(dialect, way).concat().as_bytes())?;
        if dialect == Dialect::Sqlite {
            self.out.write_all(CountLocation::Temporary.note().as_bytes())?;
        }
        let mut end = "\n";
        while let Some(batch) = batches.next(BatchLimit::Bytes(PIECE))? {
            session.note(&batch);
            let is_last = batch.window == Window::Last;
            let text = if is_last { batch.text.trim_ascii_end() } else { &batch.text };
            self.out.write_all(text.as_bytes())?;
            end = if text.trim_ascii().is_empty() { end } else { ending(text, dialect) };
        }
        unchanged(batches, way)?;
        self.out.write_all(end.as_bytes())?;
        match dialect {
            Dialect::Postgres => self.out.write_all(own_role_statements(dialect).as_bytes())?,
            Dialect::Sqlite => self.out.write_all(CountLocation::Temporary.compare().as_bytes())?,
        }
        let row =
            row(revision, way.section.fingerprint, RecordedProgress::Whole { statements: way.statements }, dialect);
        Ok(write!(self.out, "{}{COMMIT}", self.history.record(&row))?)
    }

    /// Prints the part behind the last revision. A script without it is incomplete.
    ///
    /// # Errors
    /// Fails if the output cannot be written.
    pub(crate) fn closing(&mut self, summary: &ScriptSummary<'_>) -> io::Result<()> {
        let end = format!("the database is at {}", describe_heads(summary.to));
        match self.history.dialect {
            Dialect::Postgres => writeln!(self.out, "\nSELECT pg_catalog.pg_advisory_unlock_all();\n\\echo '{end}'")?,
            Dialect::Sqlite => write!(self.out, "{}\n.print '{end}'\n", compare_missing())?,
        }
        self.out.flush()
    }

    fn restore(&mut self) -> io::Result<()> {
        self.out.write_all(self.session.restore_lines().as_bytes())
    }
}

/// Statements that restore the login role and the default search path, which a script may have changed, for the history
/// row.
const OURSELVES: &str =
    "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL role TO DEFAULT;\nSET LOCAL search_path TO DEFAULT;\n";

/// Returns the statements that come before a history row of this dialect.
pub(super) fn own_role_statements(dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => [OURSELVES, &synchronous_commit(SettingScope::Transaction)].concat(),
        Dialect::Sqlite => String::new(),
    }
}

/// Returns the text that completes a statement: a semicolon of its own, unless the last line obviously ends with one.
pub(super) fn ending(text: &str, dialect: Dialect) -> &'static str {
    if ends_in_comment(text, dialect) {
        return "\n*/\n;\n";
    }
    let last = text.lines().last().unwrap_or_default();
    if last.trim_ascii_end().ends_with(';') && !last.contains("--") { "\n" } else { "\n;\n" }
}

/// Fails if the fingerprint of the text is not the known one, so that nothing of such a text is recorded or committed.
pub(super) fn unchanged(batches: &Batches, way: &DirectedScript<'_>) -> Result<(), PrintError> {
    match batches.fingerprint() == way.section.fingerprint {
        true => Ok(()),
        false => Err(PrintError::Changed),
    }
}

/// A revision that is being printed.
pub(super) struct PrintedRevision<'a> {
    pub(super) id: &'a Version,
    pub(super) previous: Option<&'a Version>,
    pub(super) migration: &'a Migration,
    pub(super) way: &'a DirectedScript<'a>,
}

pub(super) fn row<'a>(
    revision: &PrintedRevision<'a>,
    executed: Fingerprint,
    progress: RecordedProgress,
    dialect: Dialect,
) -> HistoryRow<'a> {
    let took = match dialect {
        Dialect::Postgres => Elapsed::SinceBegin,
        Dialect::Sqlite => Elapsed::Known(Duration::ZERO),
    };
    let PrintedRevision { id, previous, migration, way } = *revision;
    HistoryRow {
        direction: way.direction,
        id,
        previous,
        migration,
        checksum: way.section.checksum,
        executed,
        down: way.down,
        progress,
        mode: way.section.options.mode,
        backup: None,
        elapsed: took,
    }
}
