//! The comparison of the history with the migration directory: the list of all revisions with their states, which
//! `current` and `history` print.

mod entry;

use std::collections::HashMap;

use entry::StatusDocument;
pub(crate) use entry::{RevisionEntry, RevisionState};

use crate::clock::to_seconds;
use crate::config::DatabaseConfig;
use crate::database::DatabaseIdentity;
use crate::directory::MigrationDir;
use crate::duration::describe_milliseconds;
use crate::error::{Cause, Failure, Stage};
use crate::report::{self, Colour};
use crate::revision::history::HistoryRecord;
use crate::revision::plan::{self, Applied};
use crate::revision::{Migration, Version};
use crate::signal::Cancel;
use crate::stage::backup::kind;
use crate::stage::wait::wait;
use crate::table::{Cell, TextTable};

/// Returns a row for each applied revision of the directory, also where the history records the newest one only.
fn each_record(migrations: &[Migration], records: Vec<HistoryRecord>) -> Vec<HistoryRecord> {
    let rows: Vec<Applied> = records.iter().map(|record| record.row.clone()).collect();
    let mut known: HashMap<Version, HistoryRecord> =
        records.into_iter().map(|record| (record.row.id.clone(), record)).collect();
    let all = plan::each_revision(migrations, &rows).into_owned();
    all.into_iter().map(|row| known.remove(&row.id).unwrap_or_else(|| HistoryRecord::new(row))).collect()
}

/// The migration directory and the history of the database.
pub(crate) struct StatusReport {
    /// The migration directory.
    pub(crate) directory: MigrationDir,
    /// The kind and the name of the database.
    identity: DatabaseIdentity,
    /// The rows of the history table.
    records: Vec<HistoryRecord>,
    /// The records of the repeatable scripts.
    repeatables: Vec<HistoryRecord>,
}

impl StatusReport {
    /// Reads the directory and the history, and closes the session: the reader of the answer may be slow, and must not
    /// keep it open.
    ///
    /// # Errors
    /// Fails as [`MigrationDir::load`] and the wait stage do, or when the session is lost.
    pub(crate) async fn take(config: &DatabaseConfig, cancel: &Cancel) -> Result<StatusReport, Failure> {
        let directory = config.load_migrations().map_err(|cause| Failure::new(Stage::Load, cause))?;
        let (mut database, _) = wait(&config.database, &config.history, &config.wait_policy, cancel).await?;
        let records = tokio::select! {
            records = database.records() => records.map_err(Cause::Database),
            reason = cancel.cancelled() => Err(Cause::Stopped(reason)),
        };
        let records = records.map_err(|cause| Failure::new(Stage::Plan, cause))?;
        let (repeatables, records) = records.into_iter().partition(|record| record.row.id.is_repeatable());
        let records = each_record(&directory.migrations, records);
        Ok(StatusReport { directory, identity: database.identity(), records, repeatables })
    }

    /// Returns every revision, oldest first in the order in which they are applied; revisions without a file are placed
    /// by their number. The repeatable scripts of the directory come last.
    pub(crate) fn entries(&self) -> Vec<RevisionEntry<'_>> {
        let migrations = &self.directory.migrations;
        let mut heads = vec![false; migrations.len()];
        self.directory.graph.heads().into_iter().for_each(|index| heads[index] = true);
        let mut rows: HashMap<&Version, &HistoryRecord> =
            self.records.iter().map(|record| (&record.row.id, record)).collect();
        let recorded: Vec<Option<&HistoryRecord>> =
            migrations.iter().map(|migration| rows.remove(&migration.version)).collect();
        let mut unknown_records: Vec<&HistoryRecord> = rows.into_values().collect();
        unknown_records.sort_unstable_by_key(|record| &record.row.id);
        let mut unknown_records = unknown_records.into_iter().peekable();
        let mut entries = Vec::with_capacity(self.records.len().max(migrations.len()));
        for &index in self.directory.graph.order() {
            let id = &migrations[index].version;
            while let Some(record) = unknown_records.next_if(|record| record.row.id < *id) {
                entries.push(self.without_file(record));
            }
            entries.push(RevisionEntry { head: heads[index], ..self.with_file(index, recorded[index]) });
        }
        entries.extend(unknown_records.map(|record| self.without_file(record)));
        entries.extend(self.directory.repeatables.iter().map(|script| self.repeatable(script)));
        entries
    }

    /// Returns the entry of a repeatable script, which is pending if its text is not the one that was applied.
    fn repeatable<'a>(&'a self, script: &'a Migration) -> RevisionEntry<'a> {
        let entry = RevisionEntry {
            revision: script.version.as_str(),
            description: &script.description,
            file: Some(&script.up.file),
            ..RevisionEntry::default()
        };
        let is_current = |record: &&HistoryRecord| {
            record.row.id == script.version && script.up.changed_from(record.row.checksum).is_none()
        };
        match self.repeatables.iter().find(is_current) {
            Some(record) => {
                RevisionEntry { description: &script.description, ..entry.recorded(record, RevisionState::Applied) }
            }
            None => entry,
        }
    }

    /// Returns the entry of a revision of the directory; `record` is its row, if it has one.
    fn with_file<'a>(&'a self, index: usize, record: Option<&'a HistoryRecord>) -> RevisionEntry<'a> {
        let MigrationDir { graph, migrations, .. } = &self.directory;
        let migration = &migrations[index];
        let entry = RevisionEntry {
            revision: migration.version.as_str(),
            description: &migration.description,
            parents: Some(graph.parents(index).iter().map(|&parent| migrations[parent].version.as_str()).collect()),
            file: Some(&migration.up.file),
            at: Some(index),
            ..RevisionEntry::default()
        };
        let Some(record) = record else { return entry };
        let is_edited = migration.up.changed_from(record.row.checksum).is_some();
        entry.recorded(record, if is_edited { RevisionState::Edited } else { RevisionState::Applied })
    }

    /// Returns the entry of a revision that the directory does not have.
    fn without_file<'a>(&self, record: &'a HistoryRecord) -> RevisionEntry<'a> {
        let is_newer = self.directory.migrations.last().is_none_or(|newest| record.row.id > newest.version);
        let entry = RevisionEntry {
            revision: record.row.id.as_str(),
            description: &record.description,
            ..RevisionEntry::default()
        };
        entry.recorded(record, if is_newer { RevisionState::Ahead } else { RevisionState::Missing })
    }

    /// Selects the entries at which the database is: those on which no other applied revision depends, as far as the
    /// directory knows.
    pub(crate) fn current<'a>(&self, entries: Vec<RevisionEntry<'a>>) -> Vec<RevisionEntry<'a>> {
        let heads = self.heads(&entries);
        let last = entries.iter().rposition(|entry| entry.at.is_some() && entry.state != RevisionState::Pending);
        let is_current = |(index, entry): &(usize, RevisionEntry<'_>)| match entry.state {
            RevisionState::Pending => false,
            RevisionState::Applied | RevisionState::Edited => entry.at.is_some_and(|at| heads.contains(&at)),
            RevisionState::Partial | RevisionState::Undoing | RevisionState::Failed | RevisionState::Ahead => true,
            // Without its file, every recorded revision that follows may depend on it.
            RevisionState::Missing => last.is_none_or(|last| *index > last),
        };
        entries.into_iter().enumerate().filter(is_current).map(|(_, entry)| entry).collect()
    }

    /// Returns the positions of the directory's applied revisions on which no other applied revision depends.
    fn heads(&self, entries: &[RevisionEntry<'_>]) -> Vec<usize> {
        let mut is_applied = vec![false; self.directory.migrations.len()];
        let applied = entries.iter().filter(|entry| entry.state.is_applied());
        applied.filter_map(|entry| entry.at).for_each(|index| is_applied[index] = true);
        self.directory.graph.heads_among(&is_applied)
    }

    /// Returns a sentence that says at which revision the database is, and how many revisions are applied.
    pub(crate) fn summary(&self, entries: &[RevisionEntry<'_>]) -> String {
        let count = |state: RevisionState| entries.iter().filter(|entry| entry.state == state).count();
        let newest = entries.iter().rfind(|entry| entry.state == RevisionState::Ahead);
        let ids = self.heads(entries).into_iter().map(|position| self.directory.migrations[position].version.as_str());
        let position: Vec<&str> = newest.map_or_else(|| ids.collect(), |entry| vec![entry.revision]);
        let position = if position.is_empty() { "base".to_owned() } else { position.join(", ") };
        let applied = entries.iter().filter(|entry| entry.at.is_some() && entry.state.is_applied()).count();
        let total = self.directory.migrations.len();
        let mut summary = match total {
            1 => format!("the database is at {position}: {applied} of 1 revision is applied"),
            _ => format!("the database is at {position}: {applied} of {total} revisions are applied"),
        };
        let is_pending = |entry: &&RevisionEntry<'_>| entry.at.is_none() && entry.state == RevisionState::Pending;
        match entries.iter().filter(is_pending).count() {
            0 => {}
            1 => summary += ", 1 repeatable script is pending",
            count => summary += &format!(", {count} repeatable scripts are pending"),
        }
        use RevisionState::{Ahead, Edited, Failed, Missing, Partial, Undoing};
        for state in [Partial, Undoing, Failed, Edited, Missing, Ahead] {
            match count(state) {
                0 => {}
                count => summary += &format!(", {count} {}", state.word()),
            }
        }
        summary
    }

    /// Returns the answer as JSON.
    pub(crate) fn document(&self, revisions: &[RevisionEntry<'_>]) -> String {
        let (database, dialect) = (&*self.identity.name, kind(self.identity.dialect));
        report::document(&StatusDocument { database, dialect, revisions })
    }

    /// Returns the answer as a table. The column for the revisions on which each depends is left out if that is always
    /// the previous one.
    pub(crate) fn table(&self, entries: &[RevisionEntry<'_>], colour: Colour) -> String {
        let is_line = self.directory.graph.is_line();
        let titles = ["STATE", "REVISION", "DESCRIPTION", "DEPENDS ON", "APPLIED AT", "DURATION", "BY"];
        let is_shown = |title: &&str| !is_line || *title != "DEPENDS ON";
        let mut table = TextTable::new(titles.into_iter().filter(is_shown).collect());
        for entry in entries {
            let parents = (!is_line).then(|| Cell::from(&*entry.parents.as_deref().unwrap_or_default().join(", ")));
            let mut row = vec![
                Cell::new(&entry.describe_state(), entry.state.tone()),
                Cell::from(&*format!("{}{}", entry.revision, if entry.head { " (head)" } else { "" })),
                entry.description.into(),
            ];
            row.extend(parents);
            row.push(Cell::from(&*entry.applied_at.map_or(String::new(), to_seconds)));
            row.push(Cell::from(&*entry.duration_ms.map_or(String::new(), describe_milliseconds)));
            row.push(entry.applied_by.unwrap_or_default().into());
            table.add(row);
        }
        table.text(colour)
    }
}
