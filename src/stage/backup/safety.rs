//! The result of the backup stage: the proof that it was passed, which the migrate stage requires.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::external::ExternalBackup;
use crate::config::BackupWay;
use crate::error::BackupDisposition;

/// A way to back up that was named and not used, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PassedOver {
    /// The name of the way.
    pub(crate) way: String,
    /// The reason, as a part of a sentence.
    pub(crate) reason: String,
}

impl PassedOver {
    pub(super) fn new(way: BackupWay, reason: String) -> PassedOver {
        PassedOver { way: way.name().into(), reason }
    }
}

/// Returns the ways that were passed over as an addition to a text: `; dump passed over: REASON`.
pub(super) fn describe_passed_over(passed_over: &[PassedOver]) -> String {
    passed_over.iter().map(|PassedOver { way, reason }| format!("; {way} passed over: {reason}")).collect()
}

/// Proof that the run has passed the backup stage; the migrate stage requires it.
#[derive(Debug)]
pub(crate) struct Safety {
    result: BackupResult,
    /// The text in the history's rows of this run; `None` if there is nothing to say.
    recorded: Option<String>,
}

/// The result of the backup stage.
#[derive(Debug)]
enum BackupResult {
    /// The path of the verified file.
    File(PathBuf),
    /// A backup that does not lie in the directory of the backups.
    External(ExternalBackup),
    /// The user goes without a backup.
    Waived,
    /// The database is empty.
    NothingToSave,
}

impl Safety {
    pub(super) fn dumped(file: PathBuf, passed_over: &[PassedOver]) -> Safety {
        let name = file.file_name().and_then(|name| name.to_str());
        let recorded = name.map(|name| format!("{name}{}", describe_passed_over(passed_over)));
        Safety { result: BackupResult::File(file), recorded }
    }

    pub(super) fn external(backup: ExternalBackup, passed_over: &[PassedOver]) -> Safety {
        let recorded = Some(format!("{backup}{}", describe_passed_over(passed_over)));
        Safety { result: BackupResult::External(backup), recorded }
    }

    pub(super) fn waived(passed_over: &[PassedOver]) -> Safety {
        let recorded = (!passed_over.is_empty()).then(|| format!("off{}", describe_passed_over(passed_over)));
        Safety { result: BackupResult::Waived, recorded }
    }

    pub(super) fn nothing_to_save() -> Safety {
        Safety { result: BackupResult::NothingToSave, recorded: None }
    }

    /// Returns the path of the backup; `None` if there is none, or it is no file.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.result {
            BackupResult::File(file) => Some(file),
            BackupResult::External(_) | BackupResult::Waived | BackupResult::NothingToSave => None,
        }
    }

    /// Returns the backup for the last line of the run: the path of the file, or what identifies the backup elsewhere.
    pub(crate) fn shown(&self) -> Option<String> {
        match &self.result {
            BackupResult::File(file) => Some(file.display().to_string()),
            BackupResult::External(backup) => Some(backup.to_string()),
            BackupResult::Waived | BackupResult::NothingToSave => None,
        }
    }

    /// Returns the text for the history: the file name of the backup or what identifies it elsewhere, and the ways that
    /// were passed over; `None` if there is nothing to say.
    pub(crate) fn recorded(&self) -> Option<&str> {
        self.recorded.as_deref()
    }

    /// Returns the use of the backup after a failure that leaves changes.
    pub(crate) fn kept(&self) -> BackupDisposition {
        match &self.result {
            BackupResult::File(file) => BackupDisposition::Kept(file.clone()),
            BackupResult::External(backup) => BackupDisposition::External(backup.way_back()),
            BackupResult::Waived | BackupResult::NothingToSave => BackupDisposition::Nothing,
        }
    }
}
