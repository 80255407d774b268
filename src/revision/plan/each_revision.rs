//! Spells out a history that records the newest revision only, and leaves the records of repeatable scripts out.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Applied, RecordedState, StatementOutcome};
use crate::revision::{Checksum, Migration, Section, Version};

/// The meaning of a row for the earlier revisions of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// The row stands for its own revision.
    OneRevision,
    /// The row stands for all earlier revisions, too: the history records the newest only.
    Earlier,
    /// The row says that the schema was there up to its version, whatever the files of these versions have, and whether
    /// there are such files or not.
    Baseline,
    /// The row stands for its own revision, and means nothing once a directory with later files has no file of it: its
    /// tool ignores it then, because revisions may be squashed into one.
    FileMayBeGone,
}

impl Applied {
    /// Returns the row of a revision that is applied as a whole.
    pub(crate) fn new(id: Version) -> Applied {
        Applied {
            id,
            checksum: None,
            executed: None,
            down: None,
            state: RecordedState::Applied,
            outcome: StatementOutcome::Known,
            coverage: Coverage::OneRevision,
        }
    }

    /// Returns the checksum of the up script if it is not the one that was applied. Of the scripts up to a baseline, none
    /// was.
    pub(crate) fn changed(&self, up: &Section) -> Option<Checksum> {
        match self.coverage {
            Coverage::Baseline => None,
            Coverage::OneRevision | Coverage::Earlier | Coverage::FileMayBeGone => up.changed_from(self.checksum),
        }
    }
}

/// Returns a history with a row for each revision of the directory that is applied.
pub(crate) fn each_revision<'a>(migrations: &[Migration], applied: &'a [Applied]) -> Cow<'a, [Applied]> {
    if applied.iter().any(|row| row.id.is_repeatable()) {
        let revisions: Vec<Applied> = applied.iter().filter(|row| !row.id.is_repeatable()).cloned().collect();
        return Cow::Owned(each_revision(migrations, &revisions).into_owned());
    }
    if applied.iter().all(|row| row.coverage == Coverage::OneRevision) {
        return Cow::Borrowed(applied);
    }
    let files: HashSet<&Version> = migrations.iter().map(|migration| &migration.version).collect();
    let newest = migrations.last().map(|migration| &migration.version);
    let counts = |row: &&Applied| match row.coverage {
        Coverage::OneRevision | Coverage::Earlier => true,
        Coverage::Baseline => files.contains(&row.id),
        Coverage::FileMayBeGone => {
            row.state != RecordedState::Applied || files.contains(&row.id) || Some(&row.id) > newest
        }
    };
    Cow::Owned(covered(migrations, applied).into_iter().chain(applied.iter().filter(counts).cloned()).collect())
}

/// Returns rows for the revisions that have none of their own, because a later row stands for them.
fn covered(migrations: &[Migration], applied: &[Applied]) -> Vec<Applied> {
    let stands_for_earlier = |row: &&Applied| matches!(row.coverage, Coverage::Earlier | Coverage::Baseline);
    let Some(covering) = applied.iter().filter(stands_for_earlier).max_by_key(|row| &row.id) else {
        return Vec::new();
    };
    let coverage = match covering.coverage {
        Coverage::Baseline => Coverage::Baseline,
        Coverage::OneRevision | Coverage::Earlier | Coverage::FileMayBeGone => Coverage::OneRevision,
    };
    let known: HashSet<&Version> = applied.iter().map(|row| &row.id).collect();
    let earlier = migrations.iter().map(|migration| &migration.version);
    let earlier = earlier.filter(|version| **version < covering.id && !known.contains(version));
    earlier.map(|version| Applied { coverage, ..Applied::new(version.clone()) }).collect()
}
