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
            Coverage::OneRevision | Coverage::Earlier => up.changed_from(self.checksum),
        }
    }
}

/// Returns a history with a row for each revision of the directory that is applied.
pub(crate) fn each_revision<'a>(migrations: &[Migration], applied: &'a [Applied]) -> Cow<'a, [Applied]> {
    if applied.iter().any(|row| row.id.is_repeatable()) {
        let revisions: Vec<Applied> = applied.iter().filter(|row| !row.id.is_repeatable()).cloned().collect();
        return Cow::Owned(each_revision(migrations, &revisions).into_owned());
    }
    let covering = applied.iter().filter(|row| row.coverage != Coverage::OneRevision);
    let Some(covering) = covering.max_by_key(|row| &row.id) else {
        return Cow::Borrowed(applied);
    };
    let known: HashSet<&Version> = applied.iter().map(|row| &row.id).collect();
    let files: HashSet<&Version> = migrations.iter().map(|migration| &migration.version).collect();
    let earlier = migrations.iter().map(|migration| &migration.version);
    let earlier = earlier.filter(|version| **version < covering.id && !known.contains(version));
    let coverage = match covering.coverage {
        Coverage::Baseline => Coverage::Baseline,
        Coverage::OneRevision | Coverage::Earlier => Coverage::OneRevision,
    };
    let earlier = earlier.map(|version| Applied { coverage, ..Applied::new(version.clone()) });
    let counts = |row: &&Applied| row.coverage != Coverage::Baseline || files.contains(&row.id);
    Cow::Owned(earlier.chain(applied.iter().filter(counts).cloned()).collect())
}
