//! A plan as a script for a person to read and for psql or sqlite3 to run. It is made of the statements that a run sends.

use std::io::{self, Write};
use std::time::Duration;

use super::guard::{ORPHANS, no_new_orphans};
use super::session::{Session, SettingScope, synchronous_commit};
use super::unprinted::Unprinted;
use super::{COMMIT, History, Progress, Row, Took, begin, plain, timeouts};
use crate::revision::objection::{is_ordinary, runs_alone};
use crate::revision::plan::{Applied, Outcome, Resume, named};
use crate::revision::statements::Window;
use crate::revision::{Batch, Batches, Checksum, Cut, Dialect, Direction, Id, Mode, Script, Step, Way};

/// Bytes of a script that are read at once.
const PIECE: usize = 64 * 1024;

/// Prints a script, part by part.
pub struct Printer<'a, W> {
    pub out: W,
    pub history: &'a History,
    pub session: Session,
    /// The history table's schema, when it is known.
    pub schema: Option<&'a str>,
    /// The history table's name, not quoted.
    pub table: &'a str,
    /// SQLite: how long another writer is waited for.
    pub busy: Duration,
}

/// What the script as a whole does.
pub struct Summary<'a> {
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
    pub fn opening(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let verb = summary.direction.verb();
        let [from, to] = [summary.from, summary.to].map(named);
        let (dialect, how) = match self.history.dialect {
            Dialect::Postgres => (
                "PostgreSQL",
                "psql -v ON_ERROR_STOP=1 -f FILE, as the user of the runs, without -1: it has its own transactions",
            ),
            Dialect::Sqlite => {
                ("SQLite", "sqlite3 DATABASE < FILE, while no application and no other run writes")
            }
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
                let busy = self.busy.as_millis();
                write!(self.out, ".bail on\n.timeout {busy}\nPRAGMA foreign_keys = OFF;\n")?;
            }
        }
        if summary.direction == Direction::Up {
            self.out.write_all(self.history.create().as_bytes())?;
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
        way: &Way<'_>,
        mut batches: Batches,
    ) -> Result<(), Unprinted> {
        let revision = Revision { id: step.id(script), description: &script.description, way };
        let resume = step.resume.as_deref().copied();
        writeln!(self.out, "\n-- ======== {} {}: {}", way.direction.verb(), script.id, plain(way.file))?;
        match way.header.mode {
            Mode::Transaction => self.in_transaction(&revision, &mut batches),
            Mode::NoTransaction => self.one_by_one(&revision, &mut batches, resume),
        }?;
        match self.history.dialect {
            Dialect::Postgres => {
                writeln!(self.out, "-- Nothing that this file has set reaches the next.")?;
                self.restore()?;
            }
            Dialect::Sqlite => self.out.write_all(b"PRAGMA foreign_keys = OFF;\n")?,
        }
        Ok(())
    }

    fn in_transaction(&mut self, revision: &Revision<'_>, batches: &mut Batches) -> Result<(), Unprinted> {
        let (dialect, way) = (self.history.dialect, revision.way);
        self.out.write_all(begin(dialect, way).concat().as_bytes())?;
        if dialect == Dialect::Sqlite {
            writeln!(self.out, "CREATE TEMP TABLE lockkeeper_orphans AS {ORPHANS};")?;
        }
        let mut end = "\n";
        while let Some(batch) = batches.next(Cut::Bytes(PIECE))? {
            let is_last = batch.window == Window::Last;
            let text = if is_last { batch.text.trim_end() } else { &batch.text };
            self.out.write_all(text.as_bytes())?;
            end = if text.trim().is_empty() { end } else { ending(text) };
        }
        unchanged(batches, way)?;
        self.out.write_all(end.as_bytes())?;
        match dialect {
            Dialect::Postgres => self.out.write_all(ourselves(dialect).as_bytes())?,
            Dialect::Sqlite => self.out.write_all(no_new_orphans().as_bytes())?,
        }
        let row = row(revision, way.checksum, Progress::Whole { statements: way.statements }, dialect);
        Ok(write!(self.out, "{}{COMMIT}", self.history.record(&row))?)
    }

    /// Each statement with the row that says so: a script that stops part way can be finished by a run.
    fn one_by_one(
        &mut self,
        revision: &Revision<'_>,
        batches: &mut Batches,
        resume: Option<Resume>,
    ) -> Result<(), Unprinted> {
        let (dialect, way) = (self.history.dialect, revision.way);
        let (mut done, total) = (0, way.statements);
        if dialect == Dialect::Postgres {
            self.out.write_all(timeouts(way.header, "SET").concat().as_bytes())?;
        }
        if let Some(earlier) = resume {
            self.resumed(earlier, total, batches)?;
            done = earlier.done;
        }
        if done == 0 {
            let begun = row(revision, batches.checksum(), Progress::Part { done, total }, dialect);
            self.out.write_all(self.history.record(&begun).as_bytes())?;
        }
        while let Some(batch) = batches.next(Cut::Statement)? {
            done += batch.starts.len();
            let progress = match batch.window {
                Window::Partial => Progress::Part { done, total },
                Window::Last => {
                    unchanged(batches, way)?;
                    Progress::Whole { statements: done }
                }
            };
            let row = row(revision, batches.checksum(), progress, dialect);
            let mut record = self.history.record(&row);
            if !batch.starts.is_empty() {
                record.insert_str(0, &format!("-- Statements done: {done} of {total}.\n"));
            }
            self.statement(&batch, way, &record)?;
        }
        Ok(())
    }

    /// What an earlier run has done is not done again, but for the settings of its session.
    fn resumed(&mut self, earlier: Resume, total: usize, batches: &mut Batches) -> Result<(), Unprinted> {
        let Resume { done, checksum, outcome } = earlier;
        let settings = batches.skip(done, checksum)?.ok_or(Unprinted::ResumeEdited { done })?;
        writeln!(self.out, "-- An earlier run has done {done} of its {total} statements.")?;
        if outcome == Outcome::Open {
            writeln!(self.out, "-- It ended while the next one ran: see whether that is done.")?;
        }
        for batch in settings {
            let text = batch.statement(0);
            write!(self.out, "{text}{}", ending(text))?;
        }
        Ok(())
    }

    fn statement(&mut self, batch: &Batch, way: &Way<'_>, record: &str) -> io::Result<()> {
        let (dialect, text) = (self.history.dialect, batch.text.trim());
        writeln!(self.out)?;
        let own = ourselves(dialect);
        if is_ordinary(batch.statement(0), dialect) {
            let begin = if dialect == Dialect::Postgres { "BEGIN;\n" } else { "BEGIN IMMEDIATE;\n" };
            return write!(self.out, "{begin}{text}{}{own}{record}{COMMIT}", ending(text));
        }
        let patient = dialect == Dialect::Postgres
            && way.header.lock_timeout.is_none()
            && runs_alone(batch.statement(0));
        if patient {
            // A concurrent build that gives up leaves an invalid index behind.
            self.out.write_all(b"SET lock_timeout = 0;\n")?;
        }
        if !text.is_empty() {
            write!(self.out, "{text}{}", ending(text))?;
        }
        if patient {
            writeln!(self.out, "SET lock_timeout = {};", self.session.lock.as_millis())?;
        }
        match dialect {
            Dialect::Postgres => write!(self.out, "BEGIN;\n{own}{record}{COMMIT}"),
            Dialect::Sqlite => self.out.write_all(record.as_bytes()),
        }
    }

    /// What comes after the last revision: a script that lacks it is not whole.
    ///
    /// # Errors
    /// The output's.
    pub fn closing(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        let end = format!("the database is at {}", named(summary.to));
        match self.history.dialect {
            Dialect::Postgres => {
                writeln!(self.out, "\nSELECT pg_catalog.pg_advisory_unlock_all();\n\\echo '{end}'")?
            }
            Dialect::Sqlite => writeln!(self.out, "\n.print '{end}'")?,
        }
        self.out.flush()
    }

    fn restore(&mut self) -> io::Result<()> {
        self.out.write_all(self.session.restore_lines().as_bytes())
    }
}

/// Whoever a script has made us, the history is written as who we are, and where it is looked for by default.
const OURSELVES: &str = "SET LOCAL SESSION AUTHORIZATION DEFAULT;\nSET LOCAL role TO DEFAULT;\nSET LOCAL search_path TO DEFAULT;\n";

/// The statements that come before a history row of this dialect.
fn ourselves(dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => [OURSELVES, &synchronous_commit(SettingScope::Transaction)].concat(),
        Dialect::Sqlite => String::new(),
    }
}

/// What a text needs behind it to be whole: a semicolon of its own, unless its last line is seen to end in one.
fn ending(text: &str) -> &'static str {
    let last = text.lines().last().unwrap_or_default();
    if last.trim_end().ends_with(';') && !last.contains("--") { "\n" } else { "\n;\n" }
}

/// Nothing is recorded, and nothing committed, of a text that is not the one whose checksum is known.
fn unchanged(batches: &Batches, way: &Way<'_>) -> Result<(), Unprinted> {
    match batches.checksum() == way.checksum {
        true => Ok(()),
        false => Err(Unprinted::Changed),
    }
}

/// A revision that is being printed.
struct Revision<'a> {
    id: &'a Id,
    description: &'a str,
    way: &'a Way<'a>,
}

fn row<'a>(revision: &Revision<'a>, checksum: Checksum, progress: Progress, dialect: Dialect) -> Row<'a> {
    let took = match dialect {
        Dialect::Postgres => Took::SinceBegin,
        Dialect::Sqlite => Took::Known(Duration::ZERO),
    };
    let Revision { id, description, way } = *revision;
    Row {
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
