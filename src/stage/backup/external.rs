//! A backup that does not lie in the directory of the backups.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::BackupWay;

/// A backup that is kept by the server's archive, or by a program of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExternalBackup {
    /// A named restore point of PostgreSQL, up to which the write-ahead log is archived.
    Point(RestorePoint),
    /// A backup of the user's program.
    Command(CommandBackup),
}

/// A named restore point of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestorePoint {
    /// The name, for `recovery_target_name`.
    pub(crate) name: String,
    /// The time at which it was made.
    pub(crate) time: String,
    /// The position in the write-ahead log, such as `0/3000060`.
    pub(crate) lsn: String,
    /// The timeline on which the position lies.
    pub(crate) timeline: u32,
    /// The identifier of the server's data directory; `None` if the role may not read it.
    pub(crate) system_identifier: Option<String>,
    /// The name of the archived segment that contains the position.
    pub(crate) segment: String,
    /// True if a command has confirmed that a base backup exists.
    pub(crate) has_base_backup: bool,
}

/// A backup that a program of the user's has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommandBackup {
    /// The id that the program has given to the backup.
    pub(crate) id: String,
    /// Where the backup is, in the program's words.
    pub(crate) location: String,
}

impl ExternalBackup {
    /// Returns the name of the way by which it was taken.
    pub(crate) fn way(&self) -> &'static str {
        match self {
            ExternalBackup::Point(_) => BackupWay::Point.name(),
            ExternalBackup::Command(_) => BackupWay::Command.name(),
        }
    }

    /// Returns how to go back to the state of the backup, as a part of a sentence.
    pub(crate) fn way_back(&self) -> String {
        match self {
            ExternalBackup::Point(point) => {
                format!("recover a base backup with recovery_target_name = '{}'", point.name)
            }
            ExternalBackup::Command(backup) => format!("restore the backup {backup}"),
        }
    }
}

impl fmt::Display for ExternalBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExternalBackup::Point(point) => {
                write!(f, "restore point {} at {} of timeline {}", point.name, point.lsn, point.timeline)?;
                match point.has_base_backup {
                    true => Ok(()),
                    false => f.write_str(" (WAL only: no base backup was confirmed)"),
                }
            }
            ExternalBackup::Command(backup) => backup.fmt(f),
        }
    }
}

impl fmt::Display for CommandBackup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandBackup { id, location } = self;
        if location.is_empty() { f.write_str(id) } else { write!(f, "{id} at {location}") }
    }
}
