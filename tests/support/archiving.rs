//! A server that archives its write-ahead log into a directory, and servers that are recovered from it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::postgres::{Postgres, Setup};
use super::process::{give_to_server_user, must_run, postgres_program, server_command};
use super::server_directory;
use super::template::copy_command;

/// A server with an archive.
pub struct ArchivingServer {
    pub server: Postgres,
    directory: TempDir,
}

impl ArchivingServer {
    /// Starts a server that copies each segment into the archive.
    pub fn start() -> Self {
        Self::start_with(|archive| format!("archive_command = '{}'", copy_to(archive)))
    }

    /// Starts a server with `archive_mode` on and the settings that are returned for the directory of the archive.
    pub fn start_with(settings: impl FnOnce(&Path) -> String) -> Self {
        let directory = server_directory("archive");
        give_to_server_user(directory.path());
        let archive = directory.path().join("wal");
        fs::create_dir(&archive).expect("a directory");
        give_to_server_user(&archive);
        let setup = Setup::default().conf("archive_mode = on").conf(&settings(&archive));
        Self { server: Postgres::start(setup), directory }
    }

    /// Returns the directory of the archived segments.
    pub fn archive(&self) -> PathBuf {
        self.directory.path().join("wal")
    }

    /// Returns a directory of the server's user, for the files of a tool.
    pub fn tools(&self) -> &Path {
        self.directory.path()
    }

    /// Sets `archive_command` in the running server.
    pub fn set_archive_command(&self, command: &str) {
        self.server.execute(&format!("alter system set archive_command = '{command}'"));
        self.server.execute("select pg_reload_conf()");
    }

    /// Takes a base backup with `pg_basebackup`, which waits until its log is archived. Returns its directory.
    pub fn base_backup(&self) -> PathBuf {
        self.base_backup_with("--wal-method=none")
    }

    /// Takes a base backup that has its log itself.
    pub fn base_backup_without_archive(&self) {
        self.base_backup_with("--wal-method=stream");
    }

    fn base_backup_with(&self, wal_method: &str) -> PathBuf {
        let base = self.directory.path().join("base");
        let mut command = server_command(postgres_program("pg_basebackup"), &[]);
        self.server.set_connection(&mut command, "postgres");
        command.args(["--no-sync", "--checkpoint=fast", wal_method, "--pgdata"]).arg(&base);
        must_run(command);
        base
    }

    /// Starts a server on a copy of the base backup, which recovers to the restore point of this name.
    pub fn recover_to(&self, base: &Path, point: &str) -> Postgres {
        let settings = [
            format!("restore_command = 'cp {}/%f %p'", self.archive().display()),
            format!("recovery_target_name = '{point}'"),
            "recovery_target_action = 'promote'".into(),
        ];
        Postgres::recovered(&settings.each_ref().map(String::as_str), |data| {
            must_run(copy_command(base, data));
            let signal = data.join("recovery.signal");
            fs::write(&signal, "").expect("a file");
            give_to_server_user(&signal);
        })
    }
}

/// Returns an `archive_command` that copies into a directory.
pub fn copy_to(archive: &Path) -> String {
    format!("cp %p {}/%f", archive.display())
}
