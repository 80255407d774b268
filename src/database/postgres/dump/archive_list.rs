//! The table of contents of an archive that is a directory, as `pg_restore --list` prints it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::request::directory_argument;
use super::{DumpTools, ToolError};
use crate::database::postgres::tool::{ChildGroup, check_status, command, log_lines};

/// The entries of an archive that have files of their own.
#[derive(Debug, Default)]
pub(crate) struct ArchiveList {
    /// The OIDs of the tables whose rows the archive has, by the number of the entry. The file of the rows has that
    /// number as its name.
    pub(crate) tables: BTreeMap<u32, i64>,
    /// The number of entries with large objects. Each of them has a list of its large objects as a file.
    pub(crate) large_objects: usize,
}

impl ArchiveList {
    /// Adds the entry of a line: `3358; 0 16385 TABLE DATA public orders app`. Only the first words count, because the
    /// names are not quoted. Lines of other entries, and comments, are left out.
    fn add(&mut self, line: &str) {
        let Some((number, entry)) = line.split_once("; ") else {
            return;
        };
        let mut words = entry.splitn(3, ' ');
        let (Ok(number), Some(_), Some(oid), Some(kind)) =
            (number.parse(), words.next(), words.next().and_then(|oid| oid.parse().ok()), words.next())
        else {
            return;
        };
        if kind.starts_with("TABLE DATA ") {
            self.tables.insert(number, oid);
        } else if kind.starts_with("BLOBS ") {
            self.large_objects += 1;
        }
    }
}

impl DumpTools {
    /// Reads the table of contents of an open directory with an archive. `path` is the name of the directory, which the
    /// tool gets where there is no `/proc`.
    ///
    /// # Errors
    /// Fails when the tool cannot be run or ends with an error, which is returned.
    pub(crate) async fn list(&self, directory: &fs::File, path: &Path) -> Result<ArchiveList, ToolError> {
        let not_run = |error| ToolError::NotRun { tool: self.restore.display().to_string(), error };
        let mut command = command(&self.restore);
        command.arg("--list").arg(directory_argument(path)).stdout(Stdio::piped());
        command.stdin(directory.try_clone().map_err(not_run)?);
        let mut child = ChildGroup(command.spawn().map_err(not_run)?);
        let (stdout, stderr) = (child.0.stdout.take(), child.0.stderr.take());
        let mut lines = BufReader::new(stdout.expect("the standard output is a pipe")).split(b'\n');
        let reading = async {
            let mut list = ArchiveList::default();
            while let Some(line) = lines.next_segment().await? {
                list.add(&String::from_utf8_lossy(&line));
            }
            Ok(list)
        };
        let (list, complaints) = tokio::join!(reading, log_lines(stderr, "pg_restore"));
        let status = child.0.wait().await.map_err(not_run)?;
        check_status(status, "pg_restore", &complaints)?;
        list.map_err(not_run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_by_their_oids_whatever_their_names_are() {
        let mut list = ArchiveList::default();
        for line in [
            ";     Dbname: app",
            "215; 1259 16390 TABLE public TABLE DATA app",
            "3358; 0 16385 TABLE DATA public orders app",
            "3359; 0 16390 TABLE DATA public TABLE DATA 1; 0 5 TABLE DATA  app",
            "3360; 0 0 BLOBS - BLOBS ",
            "3361; 0 0 SEQUENCE SET public orders_id_seq app",
            "x; 0 1 TABLE DATA public y app",
        ] {
            list.add(line);
        }
        assert_eq!(list.tables.into_iter().collect::<Vec<_>>(), [(3358, 16385), (3359, 16390)]);
        assert_eq!(list.large_objects, 1);
    }
}
