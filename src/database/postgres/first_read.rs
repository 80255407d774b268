//! The one message that a start sends behind the login: it asks for the properties of the session, and reads the history
//! if there is one.
//!
//! What is there to be read, only the server knows: the schema of the history, its columns, its journal. A statement on a table
//! that does not exist would be an error in the server's log at each first start, so a block of PL/pgSQL decides, and
//! opens a cursor. Where that fails, or finds what this message does not read, the history is read with a second message,
//! whose errors are the ones to report.

use super::facts::{HISTORY_OID, SessionFacts, TRUSTED_ROLES, question};
use super::message::{Label, Message, MessagePart};
use super::{Postgres, texts};
use crate::database::{DatabaseError, HistoryName};
use crate::dialect::Dialect;
use crate::revision::Applied;
use crate::revision::history::{ExistingHistory, JournalUse};
use crate::revision::journal;
use crate::revision::render::trust::is_trusted_by_name;
use crate::sql::literal;

/// The name of the cursor.
const CURSOR: &str = "lockkeeper_history_rows";
/// The text in place of the name of the history in the query.
const TABLE: &str = "\"lockkeeper: the history\"";
/// The text in place of the name of the journal.
const JOURNAL: &str = "\"lockkeeper: its journal\"";

/// The question that a new session is asked first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstQuestion {
    /// The properties of the server and the session.
    Facts,
    /// The properties, and the rows of the history.
    FactsAndHistory,
}

impl Postgres {
    /// Asks the first question of a session. The rows of the history are `None` if they were not asked for, or if they
    /// have to be read with a message of their own.
    ///
    /// # Errors
    /// Fails when the session is lost, or when the server is not usable.
    pub(super) async fn first_answers(
        &mut self,
        name: &HistoryName,
        asked: FirstQuestion,
    ) -> Result<(SessionFacts, Option<Vec<Applied>>), DatabaseError> {
        if asked == FirstQuestion::Facts {
            return Ok((self.facts(name).await?, None));
        }
        let message = Message::new([
            MessagePart::new(Label::Facts, question(name) + ";\n"),
            MessagePart::new(Label::OpenHistory, open_history(name)),
            MessagePart::new(Label::Question, format!("FETCH ALL FROM {CURSOR}")),
        ]);
        let (mut answers, mut rows, mut is_readable) = (Vec::new(), Vec::new(), true);
        let sent = self.ask_all(&message, |label, row| {
            match label {
                Label::Facts => answers.push(row),
                _ => match name.format.decode(&texts(&row)?) {
                    Ok(row) => rows.extend(row),
                    Err(_) => is_readable = false,
                },
            }
            Ok(())
        });
        match sent.await {
            Err(fault) if answers.len() < 2 => return Err(fault),
            sent => is_readable &= sent.is_ok(),
        }
        let facts = SessionFacts::from_answers(name, &answers)?;
        is_readable &= facts.history_lacks.is_empty();
        Ok((facts, is_readable.then_some(rows)))
    }
}

/// Returns a statement that opens the cursor: with the rows of the history, or with none if there is no history or if its
/// table is one of an earlier release. It locks the history, and the journal that is read with it, and then fails
/// (division by zero) if they are not trusted, as `trust::before_reading` does.
fn open_history(name: &HistoryName) -> String {
    let trusted_roles = format!("pg_catalog.current_setting('{TRUSTED_ROLES}')::pg_catalog.oid[]");
    let later: Vec<String> = name.format.later_columns().iter().map(|column| literal(column)).collect();
    let block = format!(
        "DECLARE
    history_rows pg_catalog.refcursor := '{CURSOR}';
    history_place text;
    journal_place text;
    locked_place text;
BEGIN
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), CASE WHEN j.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, j.relname) END
    INTO history_place, journal_place
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_class j ON {reads_journal} AND j.relnamespace = c.relnamespace AND j.relname = {journal}
    WHERE c.oid = {HISTORY_OID} AND {count} = (SELECT count(*) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attname = ANY (ARRAY[{later}]::text[]));
    IF history_place IS NULL THEN
        OPEN history_rows FOR SELECT NULL WHERE false;
        RETURN;
    END IF;
    FOREACH locked_place IN ARRAY array_remove(ARRAY[history_place, journal_place], NULL) LOOP
        EXECUTE 'LOCK TABLE ' || locked_place || ' IN ACCESS SHARE MODE';
        PERFORM 1 / CASE WHEN {is_trusted} THEN 1 ELSE 0 END;
    END LOOP;
    OPEN history_rows FOR EXECUTE replace(replace(
        CASE WHEN journal_place IS NULL THEN {alone} ELSE {joined} END,
        {table_mark}, history_place), {journal_mark}, coalesce(journal_place, ''));
END",
        reads_journal = name.format.journal_use() == JournalUse::WhenPresent,
        journal = literal(&journal::name(Dialect::Postgres, &name.table)),
        count = later.len(),
        later = later.join(", "),
        is_trusted = is_trusted_by_name("locked_place", &trusted_roles),
        alone = literal(&row_query(name, None)),
        joined = literal(&row_query(name, Some(JOURNAL))),
        table_mark = literal(TABLE),
        journal_mark = literal(JOURNAL),
    );
    format!("SET LOCAL row_security = off;\nDO {};\n", literal(&block))
}

/// Returns the query for the rows of the history, joined with its journal if the history is read with one.
fn row_query(name: &HistoryName, journal: Option<&str>) -> String {
    let journal = journal.filter(|_| name.format.journal_use() == JournalUse::WhenPresent);
    name.format.select(&ExistingHistory { dialect: Dialect::Postgres, table: TABLE, lacks: &[], journal })
}
