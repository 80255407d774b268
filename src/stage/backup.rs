//! Backs up before the first change: a verified file, or a reason why there is none. Never silently nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::{BackupMode, BackupPolicy};
use crate::database::postgres::{Postgres, dump};
use crate::database::sqlite::copy;
use crate::database::{Database, Identity, Kind, Locked, Source, beside};
use crate::error::{BackupError, Cause, Failure, Stage};
use crate::progress::Progress;
use crate::report;
use crate::revision::{Checksum, Dialect};
use crate::signal::Cancel;

/// Proof that the backup stage was passed; migrating asks for it.
#[derive(Debug)]
pub struct Safety(Kept);

#[derive(Debug)]
enum Kept {
    /// The verified backup.
    Backup(PathBuf),
    /// Switched off by the user.
    Waived,
    /// The database is empty.
    NothingToSave,
}

impl Safety {
    /// The backup's file.
    pub fn file(&self) -> Option<&Path> {
        match &self.0 {
            Kept::Backup(file) => Some(file),
            Kept::Waived | Kept::NothingToSave => None,
        }
    }

    /// The backup's file name, for the history.
    pub fn name(&self) -> Option<&str> {
        self.file().and_then(Path::file_name).and_then(|name| name.to_str())
    }
}

/// What lies beside a backup, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
    /// `postgresql` or `sqlite`.
    pub kind: String,
    pub database: String,
    pub server_version: String,
    pub tool_version: String,
    pub lockkeeper_version: String,
    /// The newest revision that the backup holds.
    pub from_revision: Option<String>,
    /// Where the run was going.
    pub to_revision: Option<String>,
    pub started_at: String,
    pub verified_at: String,
}

/// The revisions between which a backup is taken.
#[derive(Clone, Debug, Default)]
pub struct Span {
    pub from: Option<String>,
    pub to: Option<String>,
}

/// Backs up a locked database before it is changed.
///
/// # Errors
/// Anything that keeps a required backup from being taken and verified; no file stays under the final name then.
pub async fn backup(
    locked: &mut Locked,
    policy: &BackupPolicy,
    span: &Span,
    cancel: &Cancel,
) -> Result<Safety, Failure> {
    if policy.mode == BackupMode::Off {
        tracing::warn!("no backup: LOCKKEEPER_BACKUP is off");
        return Ok(Safety(Kept::Waived));
    }
    let failed = |fault| Failure::new(Stage::Backup, Cause::Database(fault));
    if locked.database().is_empty().await.map_err(failed)? {
        tracing::info!("no backup: the database is empty");
        return Ok(Safety(Kept::NothingToSave));
    }
    take(locked.database(), policy, span, cancel).await
}

/// Takes and verifies a backup whatever the policy's mode says.
///
/// # Errors
/// As [`backup`].
pub async fn take(
    database: &mut Database,
    policy: &BackupPolicy,
    span: &Span,
    cancel: &Cancel,
) -> Result<Safety, Failure> {
    let size = database.size().await.map_err(|fault| Failure::new(Stage::Backup, Cause::Database(fault)))?;
    let limit = async {
        match policy.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let result = tokio::select! {
        result = write(database, policy, span, size) => result.map_err(Cause::Backup),
        reason = cancel.cancelled() => Err(Cause::Stopped(reason)),
        () = limit => Err(Cause::Backup(BackupError::TimedOut(policy.timeout.unwrap_or_default()))),
    };
    result.map_err(|cause| Failure::new(Stage::Backup, cause))
}

/// The steps; dropping the future ends the tool and removes the partial file.
async fn write(
    database: &Database,
    policy: &BackupPolicy,
    span: &Span,
    size: u64,
) -> Result<Safety, BackupError> {
    let started_at = report::now();
    let identity = database.identity();
    make_folder(&policy.dir)?;
    remove_partials(&policy.dir, &identity);
    check_room(&policy.dir, needed(database.dialect(), size))?;
    let file = free_name(&policy.dir, &identity, span);
    let partial = Partial::create(&file)?;
    let progress = Progress::start(format!("backing up {}", identity.name), &partial.path, size);
    let tool_version = match database.source() {
        Source::Postgres(server) => from_postgres(server, policy, &partial.path).await?,
        Source::Sqlite(path) => from_sqlite(path, &partial.path).await?,
    };
    let (sha256, bytes) = digest(&partial.path).map_err(|error| folder_error(&partial.path, &error))?;
    progress.finish();
    let manifest = Manifest {
        file: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256: sha256.to_string(),
        bytes,
        kind: kind(identity.dialect).into(),
        database: identity.name.clone(),
        server_version: identity.version.clone(),
        tool_version,
        lockkeeper_version: env!("CARGO_PKG_VERSION").into(),
        from_revision: span.from.clone(),
        to_revision: span.to.clone(),
        started_at,
        verified_at: report::now(),
    };
    publish(partial, &file, &manifest).map_err(|error| folder_error(&file, &error))?;
    tracing::info!(bytes, "backup taken and verified: {}", file.display());
    retire(&policy.dir, &identity, policy.keep, &manifest.file);
    Ok(Safety(Kept::Backup(file)))
}

async fn from_postgres(server: &Postgres, policy: &BackupPolicy, file: &Path) -> Result<String, BackupError> {
    let lock_wait = Duration::from_secs(60);
    let tools =
        dump::Tools::find(policy.pg_dump.as_deref(), server.major()).await.map_err(BackupError::Tool)?;
    tools.dump(server, lock_wait, file).await.map_err(BackupError::Tool)?;
    if fs::metadata(file).map_err(|error| folder_error(file, &error))?.len() == 0 {
        return Err(BackupError::Empty("pg_dump"));
    }
    tools.read_back(file).await.map_err(|error| BackupError::Unverified(error.to_string()))?;
    Ok(tools.version)
}

async fn from_sqlite(source: &Path, file: &Path) -> Result<String, BackupError> {
    let cancelled = Arc::new(AtomicBool::new(false));
    // Set when this future is dropped: the copying thread then stops by itself.
    let _stop = SetOnDrop(Arc::clone(&cancelled));
    let (source, copy) = (source.to_owned(), file.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        copy::copy(&source, &copy, &cancelled)?;
        copy::check(&copy)
    });
    let result = copied.await.map_err(|error| BackupError::Unverified(error.to_string()))?;
    result.map_err(|fault| match fault.kind {
        Kind::Corrupt => BackupError::Unverified(fault.to_string()),
        _ => BackupError::Copy(fault),
    })?;
    Ok(format!("SQLite {}", rusqlite::version()))
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A file that is gone when it is dropped before it got its name.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn create(file: &Path) -> Result<Partial, BackupError> {
        let path = beside(file, ".partial");
        let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        created.map(|_| Partial { path: path.clone() }).map_err(|error| folder_error(&path, &error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
    }
}

/// Makes everything durable before the final name appears: file, manifest, then the name, then the folder.
fn publish(partial: Partial, file: &Path, manifest: &Manifest) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let manifest_file = manifest_of(file);
    let manifest_partial = beside(&manifest_file, ".partial");
    let json = serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?;
    let write_manifest = || {
        let mut written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&manifest_partial)?;
        written.write_all(&json)?;
        written.sync_all()?;
        fs::rename(&manifest_partial, &manifest_file)?;
        File::open(&partial.path)?.sync_all()?;
        fs::rename(&partial.path, file)?;
        File::open(folder)?.sync_all()
    };
    write_manifest().inspect_err(|_| {
        let _ = fs::remove_file(&manifest_partial);
        let _ = fs::remove_file(&manifest_file);
    })
}

/// The manifest beside a backup.
pub fn manifest_of(file: &Path) -> PathBuf {
    beside(file, ".json")
}

/// What a dialect is called in manifests.
pub fn kind(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "postgresql",
        Dialect::Sqlite => "sqlite",
    }
}

fn make_folder(dir: &Path) -> Result<(), BackupError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| folder_error(dir, &error))
}

fn folder_error(path: &Path, error: &io::Error) -> BackupError {
    let uid = rustix::process::geteuid().as_raw();
    BackupError::Folder(format!("{} cannot be written by uid {uid}: {error}", path.display()))
}

/// A copy of SQLite has its size; a dump is compressed: an eighth of the tables is the least that it has come to.
fn needed(dialect: Dialect, size: u64) -> u64 {
    match dialect {
        Dialect::Postgres => size / 8,
        Dialect::Sqlite => size,
    }
}

fn check_room(dir: &Path, needed: u64) -> Result<(), BackupError> {
    let Ok(room) = rustix::fs::statvfs(dir) else {
        return Ok(());
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    match free < needed {
        true => Err(BackupError::NoRoom { folder: dir.to_owned(), needed, free }),
        false => Ok(()),
    }
}

/// `app-20260112T093000Z-from-0004.dump`; with a number when that second has one already.
fn free_name(dir: &Path, identity: &Identity, span: &Span) -> PathBuf {
    let suffix = match identity.dialect {
        Dialect::Postgres => "dump",
        Dialect::Sqlite => "db",
    };
    let stamp: String = report::now().chars().filter(|character| !"-:".contains(*character)).collect();
    let from = span.from.as_deref().unwrap_or("unversioned");
    let stem = format!("{}-{stamp}-from-{from}", safe(&identity.name));
    let names = (1..).map(|number| match number {
        1 => dir.join(format!("{stem}.{suffix}")),
        _ => dir.join(format!("{stem}-{number}.{suffix}")),
    });
    let taken =
        |file: &PathBuf| file.exists() || manifest_of(file).exists() || beside(file, ".partial").exists();
    names.into_iter().find(|file| !taken(file)).expect("there are endless numbers")
}

/// A database's name as a part of a file name.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// Left-overs of runs that were killed. We hold the lock: nobody else is writing one for this database.
fn remove_partials(dir: &Path, identity: &Identity) {
    let prefix = format!("{}-", safe(&identity.name));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = [".partial", ".partial-wal", ".partial-shm", ".partial-journal"]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix));
        let ours = stem.is_some_and(|stem| {
            stem.starts_with(&prefix)
                && stem.contains("-from-")
                && [".dump", ".db", ".json"].iter().any(|end| stem.ends_with(end))
        });
        if ours && fs::remove_file(entry.path()).is_ok() {
            tracing::info!("removed what a stopped run left: {name}");
        }
    }
}

/// SHA-256 and size of a file.
pub fn digest(path: &Path) -> io::Result<(Checksum, u64)> {
    let mut file = File::open(path)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((Checksum(sum.finalize().into()), bytes));
        }
        sum.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// A backup in the folder, and whether its manifest vouches for it.
#[derive(Debug)]
pub struct Listed {
    pub path: PathBuf,
    pub manifest: Option<Manifest>,
}

/// The backups in a folder, oldest first. A manifest counts only when it names its file and its size.
///
/// # Errors
/// The folder cannot be read.
pub fn list(dir: &Path, identity: &Identity) -> io::Result<Vec<Listed>> {
    let mut found = Vec::new();
    let prefix = format!("{}-", safe(&identity.name));
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_backup = name.starts_with(&prefix)
            && name.contains("-from-")
            && (name.ends_with(".dump") || name.ends_with(".db"));
        if !is_backup {
            continue;
        }
        let manifest = read_manifest(&path).filter(|manifest| {
            manifest.file == name
                && manifest.bytes == fs::metadata(&path).map_or(0, |metadata| metadata.len())
        });
        match &manifest {
            Some(of) if of.database != identity.name || of.kind != kind(identity.dialect) => {}
            _ => found.push(Listed { path, manifest }),
        }
    }
    found.sort_by_key(|listed| {
        (listed.manifest.as_ref().map(|manifest| manifest.verified_at.clone()), listed.path.clone())
    });
    Ok(found)
}

fn read_manifest(file: &Path) -> Option<Manifest> {
    serde_json::from_slice(&fs::read(manifest_of(file)).ok()?).ok()
}

/// Deletes the oldest verified backups beyond `keep`; never the one just taken, whatever the clock says, and never a
/// file that has no manifest of ours.
fn retire(dir: &Path, identity: &Identity, keep: usize, newest: &str) {
    let Ok(listed) = list(dir, identity) else {
        return;
    };
    let older: Vec<Listed> = listed
        .into_iter()
        .filter(|listed| listed.manifest.as_ref().is_some_and(|manifest| manifest.file != newest))
        .collect();
    let surplus = (older.len() + 1).saturating_sub(keep.max(1));
    for old in &older[..surplus.min(older.len())] {
        // The file first: a manifest without its file is not listed, a file without its manifest would be.
        let removed: [OsString; 2] = [old.path.clone().into(), manifest_of(&old.path).into()];
        match removed.iter().try_for_each(fs::remove_file) {
            Ok(()) => tracing::info!("retired the backup {}", old.path.display()),
            Err(error) => tracing::warn!("{} could not be retired: {error}", old.path.display()),
        }
    }
}
