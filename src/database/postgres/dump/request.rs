//! The execution of `pg_dump`: what it writes, into which open file or directory, and with how many sessions.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::time::Duration;

use super::compression::{CompressionMethod, DumpCompression};
use super::{DumpTools, KEEPALIVES, ToolError, connection};
use crate::database::postgres::tool::{command, run};
use crate::database::postgres::{Postgres, grant};
use crate::sql::identifier;

/// The first version of `pg_dump` that knows zstd.
const ZSTD_SINCE: u32 = 16;

/// The form of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpForm {
    /// One file in the custom format, which one session writes.
    File,
    /// A directory with a file for each table, which this number of sessions write at the same time. With more than
    /// one, `pg_dump` opens a further session that leads them.
    Directory(NonZero<usize>),
}

/// The archive that `pg_dump` is to write.
#[derive(Debug)]
pub(crate) struct DumpRequest<'a> {
    /// The name of the snapshot whose contents are dumped.
    pub(crate) snapshot: &'a str,
    /// The longest wait for the lock of a table.
    pub(crate) lock_wait: Duration,
    /// The form of the archive.
    pub(crate) form: DumpForm,
    /// The compression that is configured, if one is.
    pub(crate) compression: Option<DumpCompression>,
    /// The open new file or empty directory into which the archive is written. The tool gets it, and not the name,
    /// which could lead to another one by now.
    pub(crate) output: &'a fs::File,
    /// The name of that file or directory, which the tool gets where there is no `/proc`.
    pub(crate) path: &'a Path,
}

impl DumpTools {
    /// Dumps the contents of a snapshot. A directory is compressed with zstd if the tool can do that.
    ///
    /// # Errors
    /// Fails when the tool cannot be run, is too old for the configured compression, or ends with an error, which is
    /// returned.
    pub(crate) async fn dump(&self, server: &Postgres, request: &DumpRequest<'_>) -> Result<(), ToolError> {
        let is_zstd = |compression: DumpCompression| compression.method == CompressionMethod::Zstd;
        if request.compression.is_some_and(is_zstd) && self.major < ZSTD_SINCE {
            return Err(ToolError::TooOld {
                tool: self.dump.display().to_string(),
                version: self.major,
                than: format!("the {ZSTD_SINCE} that the compression with zstd needs"),
            });
        }
        let compression = self.compression(request.compression, request.form);
        match self.run_dump(server, request, compression).await {
            // The tool finds that before it connects.
            Err(error) if request.compression.is_none() && is_without_zstd(&error) => {
                tracing::info!("{} was built without zstd: the backup is compressed with gzip", self.dump.display());
                self.run_dump(server, request, Some(DumpCompression::FAST_GZIP)).await
            }
            result => result,
        }
    }

    /// Returns the compression that is configured or chosen for a form; `None` for the tool's own.
    pub(crate) fn compression(&self, configured: Option<DumpCompression>, form: DumpForm) -> Option<DumpCompression> {
        let chosen = match form {
            DumpForm::File => None,
            DumpForm::Directory(_) if self.major >= ZSTD_SINCE => Some(DumpCompression::ZSTD),
            DumpForm::Directory(_) => Some(DumpCompression::FAST_GZIP),
        };
        configured.or(chosen)
    }

    /// Runs `pg_dump` with this compression. A single file is the standard output of the tool: it is a regular one, so
    /// the tool can seek in it, and the archive contains the offsets of its data, as with a name (`checkSeek` in the
    /// source of pg_dump); a pipe gets an archive without them. A directory is its standard input, which all its processes inherit and reach by `/proc`.
    async fn run_dump(
        &self,
        server: &Postgres,
        request: &DumpRequest<'_>,
        compression: Option<DumpCompression>,
    ) -> Result<(), ToolError> {
        let not_run = |error| ToolError::NotRun { tool: self.dump.display().to_string(), error };
        let mut command = command(&self.dump);
        command.args(compression.map(DumpCompression::argument));
        command.arg("--no-password").arg(format!("--snapshot={}", request.snapshot));
        command.arg(format!("--lock-wait-timeout={}", request.lock_wait.as_millis())).arg(KEEPALIVES);
        let output = request.output.try_clone().map_err(not_run)?;
        match request.form {
            DumpForm::File => command.arg("--format=custom").stdout(output),
            DumpForm::Directory(jobs) => {
                // The files are written to the disk when they are read back, several at a time.
                command.args(["--format=directory", "--no-sync"]).arg(format!("--jobs={jobs}"));
                command.arg("--file").arg(directory_argument(request.path)).stdin(output)
            }
        };
        connection(&mut command, server, &server.facts.database, self.major);
        command.env("PGAPPNAME", "lockkeeper pg_dump");
        run(command, "pg_dump").await.map_err(|error| with_grant(error, server))
    }
}

/// Returns the name by which a tool reaches the directory that is its standard input.
pub(super) fn directory_argument(path: &Path) -> &Path {
    let standard_input = Path::new("/proc/self/fd/0");
    if Path::new("/proc/self/fd").is_dir() { standard_input } else { path }
}

/// Reports whether a tool was built without zstd. The message is one of version 16 and newer.
fn is_without_zstd(error: &ToolError) -> bool {
    matches!(error, ToolError::Failed { output, .. } if output.to_lowercase().contains("does not support compression with zstd"))
}

/// Adds the GRANT statement that the refused tool needs to the error.
fn with_grant(error: ToolError, server: &Postgres) -> ToolError {
    let ToolError::Failed { tool, code, output, reason } = error else {
        return error;
    };
    let role = &server.facts.role;
    // pg_dump 18 reads all sequences of a database at once; its message then names the sequence that it did not get.
    let complaint = match (output.split_once("ERROR:  "), output.split_once("error: failed to get data for ")) {
        (Some((_, complaint)), _) | (None, Some((_, complaint))) => complaint,
        (None, None) => "",
    };
    let message = complaint.split(" / ").next().unwrap_or_default();
    let (_, query) = complaint.split_once("Query was: ").unwrap_or_default();
    let output = match grant::grant(message, &[query], role) {
        // The role pg_read_all_data exists since version 14.
        Some(grant) if server.major() >= 14 && message.starts_with("permission denied for table") => {
            format!("{output}; hint: {grant}, or all at once GRANT pg_read_all_data TO {}", identifier(role))
        }
        Some(grant) => format!("{output}; hint: {grant}"),
        None => output,
    };
    ToolError::Failed { tool, code, output, reason }
}
