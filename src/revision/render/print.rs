//! A plan as a script for a person to read and for psql or sqlite3 to run. It is made of the statements that a run sends.

use std::io::{self, Write};
use std::time::Duration;

use super::foreign_keys::{CountLocation, compare_missing, note_missing};
use super::print_error::PrintError;
use super::session::{SessionSettings, SettingScope, synchronous_commit};
use super::sqlite_session::{self, SessionState};
use super::{COMMIT, Elapsed, HistoryRow, HistoryTable, RecordedProgress, begin, plain};
use crate::revision::lexer::ends_in_comment;
use crate::revision::plan::{Applied, describe_heads};
use crate::revision::statements::Window;
use crate::revision::{
    BatchLimit, Batches, CheckedMode, Checksum, Dialect, DirectedScript, Direction, Id, Script, Step,
};

/// Bytes of a script that are read at once.
const PIECE: usize = 64 * 1024;

/// Prints a script, part by part.
pub struct Printer<'a, W> {
    pub out: W,
    pub history: &'a HistoryTable,
    pub session: SessionSettings,
    /// The history table's schema, when it is known.
    pub schema: Option<&'a str>,
    /// The history table's name, not quoted.
    pub table: &'a str,
    /// SQLite: how long another writer is waited for.
    pub busy: Duration,
}

/// What the script as a whole does.
pub struct ScriptSummary<'a> {
    pub direction: Direction,
    /// The applied revisions that no other applied one rests on: what the script takes for granted.
    pub from: &'a [Id],
    /// The whole history, as it was taken to be.
    pub applied: &'a [Applied],
    pub to: &'a [Id],
    pub steps: usize,
    /// The rows that go.
    pub undone: Vec<&'a Id>,
}

impl<W: Write> Printer<'_, W> {
    /// What comes before the first revision: what the script is, and that it stops at the first error.
    ///
    /// # Errors
    /// The output's.
    pub fn opening(&mut self, summary: &ScriptSummary<'_>) -> io::Result<()> {
        let verb = summary.direction.verb();
        let [from, to] = [summary.from, summary.to].map(describe_heads);
        let (dialect, how) = match self.history.dialect {
            Dialect::Postgres => (
                "PostgreSQL",
                "psql -v ON_ERROR_STOP=1 -f FILE, as the user of the runs, without -1: it has its own transactions",
            ),
            Dialect::Sqlite => ("SQLite", "sqlite3 DATABASE < FILE, while no application and no other run writes"),
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
            }
        }
        if summary.direction == Direction::Up {
            self.out.write_all(self.history.create().as_bytes())?;
        }
        if self.history.dialect == Dialect::Postgres {
            self.out.write_all(self.trust().as_bytes())?;
        }
        self.out.write_all(self.guard(summary, &from).as_bytes())
    }

    /// One revision, with its transaction and its row.
    ///
    /// # Errors
    /// The output's, the file's.
    pub fn step(
        &mut self,
        (step, script): (&Step, &Script),
        way: &DirectedScript<'_>,
        mut batches: Batches,
    ) -> Result<(), PrintError> {
        let revision = PrintedRevision { id: step.id(script), description: &script.description, way };
        let resume = step.resume.as_deref().copied();
        writeln!(self.out, "\n-- ======== {} {}: {}", way.direction.verb(), script.id, plain(way.file))?;
        let mut session = SessionState::default();
        match way.header.mode {
            CheckedMode::Transaction => self.in_transaction(&revision, &mut batches, &mut session),
            CheckedMode::NoTransaction => self.print_non_transactional(&revision, &mut batches, resume, &mut session),
        }?;
        match self.history.dialect {
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
            Dialect::Postgres => self.out.write_all(ourselves(dialect).as_bytes())?,
            Dialect::Sqlite => self.out.write_all(CountLocation::Temporary.compare().as_bytes())?,
        }
        let row = row(revision, way.checksum, RecordedProgress::Whole { statements: way.statements }, dialect);
        Ok(write!(self.out, "{}{COMMIT}", self.history.record(&row))?)
    }

    /// What comes after the last revision: a script that lacks it is not whole.
    ///
    /// # Errors
    /// The output's.
    pub fn closing(&mut self, summary: &ScriptSummary<'_>) -> io::Result<()> {
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

/// Whoever a script has made us, the history is written as who we are, and where it is looked for by default.
const OURSELVES: &str =
    "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL role TO DEFAULT;\nSET LOCAL search_path TO DEFAULT;\n";

/// The statements that come before a history row of this dialect.
pub(super) fn ourselves(dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => [OURSELVES, &synchronous_commit(SettingScope::Transaction)].concat(),
        Dialect::Sqlite => String::new(),
    }
}

/// What a text needs behind it to be whole: a semicolon of its own, unless its last line is seen to end in one.
pub(super) fn ending(text: &str, dialect: Dialect) -> &'static str {
    if ends_in_comment(text, dialect) {
        return "\n*/\n;\n";
    }
    let last = text.lines().last().unwrap_or_default();
    if last.trim_ascii_end().ends_with(';') && !last.contains("--") { "\n" } else { "\n;\n" }
}

/// Nothing is recorded, and nothing committed, of a text that is not the one whose checksum is known.
pub(super) fn unchanged(batches: &Batches, way: &DirectedScript<'_>) -> Result<(), PrintError> {
    match batches.checksum() == way.checksum {
        true => Ok(()),
        false => Err(PrintError::Changed),
    }
}

/// A revision that is being printed.
pub(super) struct PrintedRevision<'a> {
    pub(super) id: &'a Id,
    pub(super) description: &'a str,
    pub(super) way: &'a DirectedScript<'a>,
}

pub(super) fn row<'a>(
    revision: &PrintedRevision<'a>,
    checksum: Checksum,
    progress: RecordedProgress,
    dialect: Dialect,
) -> HistoryRow<'a> {
    let took = match dialect {
        Dialect::Postgres => Elapsed::SinceBegin,
        Dialect::Sqlite => Elapsed::Known(Duration::ZERO),
    };
    let PrintedRevision { id, description, way } = *revision;
    HistoryRow {
        direction: way.direction,
        id,
        description,
        checksum,
        down: way.down,
        progress,
        mode: way.header.mode,
        backup: None,
        took,
    }
}
