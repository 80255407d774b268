//! Spells out a history that records the newest revision only, and leaves the records of repeatable scripts out.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Applied, RecordedState, StatementOutcome};
use crate::revision::{Migration, Version};

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
            covers_earlier: false,
        }
    }
}

/// Returns a history with a row for each revision of the directory that is applied.
pub(crate) fn each_revision<'a>(migrations: &[Migration], applied: &'a [Applied]) -> Cow<'a, [Applied]> {
    if applied.iter().any(|row| row.id.is_repeatable()) {
        let revisions: Vec<Applied> = applied.iter().filter(|row| !row.id.is_repeatable()).cloned().collect();
        return Cow::Owned(each_revision(migrations, &revisions).into_owned());
    }
    let Some(covering) = applied.iter().filter(|row| row.covers_earlier).max_by_key(|row| &row.id) else {
        return Cow::Borrowed(applied);
    };
    let known: HashSet<&Version> = applied.iter().map(|row| &row.id).collect();
    let earlier = migrations.iter().map(|migration| &migration.version);
    let earlier = earlier.filter(|version| **version < covering.id && !known.contains(version));
    Cow::Owned(earlier.cloned().map(Applied::new).chain(applied.iter().cloned()).collect())
}
