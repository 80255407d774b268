//! The ways to back up a database, in the order in which they are tried.

use std::fmt;

/// A way to back up a database before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackupWay {
    /// A verified file: an archive of `pg_dump`, or a copy of the SQLite file.
    Dump,
    /// A named restore point of PostgreSQL, up to which the write-ahead log is archived.
    Point,
    /// A program of the user's, such as one that takes a snapshot of the volume.
    Command,
    /// None: the change runs without a backup.
    Off,
}

impl BackupWay {
    const ALL: [BackupWay; 4] = [BackupWay::Dump, BackupWay::Point, BackupWay::Command, BackupWay::Off];

    /// Returns the name in the setting, in logs and in manifests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BackupWay::Dump => "dump",
            BackupWay::Point => "point",
            BackupWay::Command => "command",
            BackupWay::Off => "off",
        }
    }

    fn parse(name: &str) -> Option<BackupWay> {
        match name {
            // The only name before there were several ways.
            "required" => Some(BackupWay::Dump),
            _ => BackupWay::ALL.into_iter().find(|way| way.name() == name),
        }
    }
}

/// The ways that may be used, in the order in which they are tried; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupWays(Vec<BackupWay>);

impl Default for BackupWays {
    fn default() -> Self {
        BackupWays(vec![BackupWay::Dump])
    }
}

impl BackupWays {
    /// Parses a list such as `dump,point`.
    ///
    /// # Errors
    /// Fails with the reason when a name is unknown or given twice, or when a name follows `off`.
    pub(crate) fn parse(text: &str) -> Result<BackupWays, String> {
        let mut ways = Vec::new();
        for name in text.split(',').map(str::trim) {
            let way = BackupWay::parse(name).ok_or_else(|| {
                format!("\"{name}\" is no way to back up: write dump, point, command, off, or several")
            })?;
            if ways.contains(&way) {
                return Err(format!("{} is given twice", way.name()));
            }
            if ways.contains(&BackupWay::Off) {
                return Err(format!("{} is never tried after off: write off last", way.name()));
            }
            ways.push(way);
        }
        Ok(BackupWays(ways))
    }

    /// Returns the ways in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BackupWay> {
        self.0.iter().copied()
    }

    /// Returns whether backups are switched off.
    pub(crate) fn is_off(&self) -> bool {
        self.0 == [BackupWay::Off]
    }

    /// Returns whether every backup is a file, which can be restored and rehearsed on.
    pub(crate) fn is_dump(&self) -> bool {
        self.0 == [BackupWay::Dump]
    }
}

impl fmt::Display for BackupWays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(BackupWay::name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order() {
        for (text, expected) in [
            ("required", "dump"),
            ("dump", "dump"),
            ("dump,point,command,off", "dump,point,command,off"),
            ("point, dump", "point,dump"),
            ("off", "off"),
        ] {
            assert_eq!(BackupWays::parse(text).map(|ways| ways.to_string()), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn a_list_that_makes_no_sense_is_refused() {
        for (text, reason) in [
            ("", "\"\" is no way"),
            ("dump,", "\"\" is no way"),
            ("Dump", "\"Dump\" is no way"),
            ("yes", "\"yes\" is no way"),
            ("dump,required", "dump is given twice"),
            ("off,dump", "dump is never tried after off"),
        ] {
            let error = BackupWays::parse(text).expect_err(text);
            assert!(error.starts_with(reason), "{text}: {error}");
        }
    }
}
