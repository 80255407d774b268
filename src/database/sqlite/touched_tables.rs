//! The tables that the statements of a script can write, as SQLite names them when it compiles the statements (manual,
//! "Compile-Time Authorization Callbacks"). In a database whose foreign keys take long to check, only those tables and
//! the ones that refer to them are checked behind a script.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// The record of a connection. All clones share it.
#[derive(Clone, Default)]
pub(super) struct TouchedTables(Arc<Mutex<Touched>>);

/// The tables that statements can have changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// The tables of these names, in lower case (ASCII), and those that refer to them.
    Tables(BTreeSet<String>),
    /// Any table.
    All,
}

impl Default for Touched {
    fn default() -> Touched {
        Touched::Tables(BTreeSet::new())
    }
}

impl TouchedTables {
    /// Records what the statements of a connection write from now on.
    ///
    /// # Errors
    /// Fails when the connection is not ours.
    pub(super) fn watch(&self, connection: &Connection) -> rusqlite::Result<()> {
        let touched = self.clone();
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            touched.lock(|touched| touched.note(&context.action));
            Authorization::Allow
        }))
    }

    /// Returns the record, and begins a new one.
    pub(super) fn take(&self) -> Touched {
        self.lock(std::mem::take)
    }

    fn lock<T>(&self, work: impl FnOnce(&mut Touched) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Touched {
    fn note(&mut self, action: &AuthAction<'_>) {
        let table = match *action {
            AuthAction::Insert { table_name }
            | AuthAction::Update { table_name, .. }
            | AuthAction::Delete { table_name }
            | AuthAction::CreateTable { table_name }
            | AuthAction::CreateIndex { table_name, .. }
            | AuthAction::DropIndex { table_name, .. } => table_name,
            AuthAction::Read { .. }
            | AuthAction::Select
            | AuthAction::Function { .. }
            | AuthAction::Recursive
            | AuthAction::Transaction { .. }
            | AuthAction::Savepoint { .. }
            | AuthAction::Analyze { .. }
            | AuthAction::CreateView { .. }
            | AuthAction::DropView { .. }
            | AuthAction::CreateTrigger { .. }
            | AuthAction::DropTrigger { .. } => return,
            // DROP TABLE and ALTER TABLE change what other tables refer to; a pragma may be about the schema.
            _ => {
                *self = Touched::All;
                return;
            }
        };
        if let Touched::Tables(tables) = self {
            tables.insert(table.to_ascii_lowercase());
        }
    }
}
