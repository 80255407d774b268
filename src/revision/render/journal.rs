//! Prints the statements that create the journal before the first script that needs it.

use std::io::{self, Write};

use super::print::{Printer, own_role_statements};
use super::{COMMIT, guard};
use crate::dialect::Dialect;
use crate::sql::{EQUALS, literal, sqlite_literal};

impl<W: Write> Printer<'_, W> {
    /// Prints, once, the statements that create the journal and make the history refer to it, as a run does.
    pub(super) fn create_journal(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.has_journal, true) {
            return Ok(());
        }
        self.out.write_all(b"-- The journal of scripts without a transaction and of repeatable ones.\n")?;
        match self.history.dialect {
            Dialect::Postgres => self.create_on_postgres(),
            Dialect::Sqlite => self.create_on_sqlite(),
        }
    }

    /// psql itself decides whether the history is the table of an earlier release.
    fn create_on_postgres(&mut self) -> io::Result<()> {
        let (history, own) = (self.history, own_role_statements(Dialect::Postgres));
        let refer = history.format.refer_to_journal(history, self.table, &[]);
        let (table, constraint) = (literal(&history.table), literal(history.format.journal_constraint()));
        write!(
            self.out,
            "BEGIN;\n{own}{create}LOCK TABLE {journal} IN ROW EXCLUSIVE MODE;\n{trust}SELECT NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint WHERE conrelid {EQUALS} pg_catalog.to_regclass({table}) AND conname {EQUALS} {constraint}) AS is_of_earlier_release \\gset\n\\if :is_of_earlier_release\n{refer}\\endif\n{COMMIT}\n",
            create = history.journal().create(),
            journal = history.journal,
            trust = self.trust(&history.journal),
        )
    }

    /// The shell of SQLite has no conditions, so a table of an earlier release stops the script.
    fn create_on_sqlite(&mut self) -> io::Result<()> {
        let history = self.history;
        let (table, constraint) = (sqlite_literal(self.table), history.format.journal_constraint());
        let is_current = format!(
            "EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = {table} COLLATE NOCASE AND instr(sql, '{constraint}'))"
        );
        let means = "an earlier release has made the history: run the migrations with Lockkeeper instead";
        writeln!(self.out, "{}{}", guard::stops_on_sqlite(means, &is_current), history.journal().create())
    }
}
