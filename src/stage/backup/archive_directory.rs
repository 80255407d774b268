//! A backup that is a directory: its files are read by several threads at a time, and compared with the table of
//! contents and the rows of the snapshot, or with the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sha2::{Digest, Sha256};

use super::archive_file::{ArchiveFile, BackupFile, FileContent, name_without_compression};
use crate::database::postgres::dump::archive_list::ArchiveList;
use crate::database::postgres::rows::SnapshotRows;
use crate::revision::Fingerprint;
use crate::safe_file;

/// The reason why a directory is not verified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// A file cannot be read, or its content is not what it has to be.
    #[error("{0}: {1}")]
    File(String, io::Error),
    /// The file system cannot make this file or the directory durable.
    #[error("{0}: {1}")]
    Sync(String, io::Error),
    /// The directory has not the right files, or a table has not the right rows.
    #[error("{0}")]
    Content(String),
}

/// Returns the SHA-256 and the size of all files together. The checksum is that of the lines that `sha256sum` prints for
/// the files in the order of their names: the checksum of the file, two spaces, the name, and a line end.
pub(crate) fn sum(files: &[BackupFile]) -> (Fingerprint, u64) {
    let mut hasher = Sha256::new();
    for BackupFile { name, sha256, .. } in files {
        hasher.update(format!("{sha256}  {name}\n"));
    }
    (Fingerprint(hasher.finalize().into()), files.iter().map(|file| file.bytes).sum())
}

/// Returns whether a directory has exactly these files, in these sizes.
pub(super) fn has_files(directory: &File, files: &[BackupFile]) -> io::Result<bool> {
    let names = safe_file::names_in(directory)?;
    if !names.iter().eq(files.iter().map(|file| &file.name)) {
        return Ok(false);
    }
    for file in files {
        if ArchiveFile::open(directory, &file.name)?.size()? != file.bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The facts that one file of a new backup has shown.
struct ReadFile {
    file: BackupFile,
    content: FileContent,
    /// The number of rows, in the file of a table.
    rows: u64,
    /// The names of the files in a list of large objects.
    listed: Vec<String>,
}

/// Reads all files of a new backup back to their ends, makes them and the directory durable, and compares them with the
/// table of contents and the rows that the snapshot has. Returns the files, sorted by their names.
///
/// # Errors
/// Fails when a file is missing, cannot be read, or does not belong to the backup, when a table has not the rows of the
/// snapshot, when a file cannot be made durable, or when `stop` is set.
pub(crate) fn read_back(
    directory: &File,
    (list, rows): (&ArchiveList, &SnapshotRows),
    jobs: NonZero<usize>,
    stop: &AtomicBool,
) -> Result<Vec<BackupFile>, ArchiveError> {
    let names = safe_file::names_in(directory).map_err(|error| ArchiveError::File("the directory".into(), error))?;
    let mut read = read_all(directory, names, jobs, stop, read_new)?;
    directory.sync_all().map_err(|error| ArchiveError::Sync("the directory".into(), error))?;
    compare(&read, list, rows)?;
    read.sort_by(|one, other| one.file.name.cmp(&other.file.name));
    Ok(read.into_iter().map(|read| read.file).collect())
}

/// Reads all files of a backup, and compares them with those of its manifest.
///
/// # Errors
/// Fails when a file is missing, differs or is not in the manifest, cannot be read, or when `stop` is set.
pub(crate) fn verify(
    directory: &File,
    files: &[BackupFile],
    jobs: NonZero<usize>,
    stop: &AtomicBool,
) -> Result<(), ArchiveError> {
    let names = safe_file::names_in(directory).map_err(|error| ArchiveError::File("the directory".into(), error))?;
    let expected: BTreeMap<&str, &BackupFile> = files.iter().map(|file| (file.name.as_str(), file)).collect();
    if let Some(missing) = files.iter().find(|file| names.binary_search(&file.name).is_err()) {
        return Err(ArchiveError::Content(format!("the file {} is missing", missing.name)));
    }
    if let Some(surplus) = names.iter().find(|name| !expected.contains_key(name.as_str())) {
        return Err(ArchiveError::Content(format!("the file {surplus} is not in its manifest")));
    }
    let read = read_all(directory, names, jobs, stop, |file, name, stop| {
        file.checksum(stop).map_err(|error| ArchiveError::File(name.to_owned(), error))
    })?;
    for file in read {
        let expected = expected[file.name.as_str()];
        if file.bytes != expected.bytes {
            let message = format!("{} has {} bytes, its manifest says {}", file.name, file.bytes, expected.bytes);
            return Err(ArchiveError::Content(message));
        }
        if file.sha256 != expected.sha256 {
            let message =
                format!("the SHA-256 of {} is {}, its manifest says {}", file.name, file.sha256, expected.sha256);
            return Err(ArchiveError::Content(message));
        }
    }
    Ok(())
}

/// Reads one file of a new backup, and makes it durable.
fn read_new(file: &ArchiveFile, name: &str, stop: &AtomicBool) -> Result<ReadFile, ArchiveError> {
    let read = read_content(file, name, stop).map_err(|error| ArchiveError::File(name.to_owned(), error))?;
    file.sync().map_err(|error| ArchiveError::Sync(name.to_owned(), error))?;
    Ok(read)
}

fn read_content(file: &ArchiveFile, name: &str, stop: &AtomicBool) -> io::Result<ReadFile> {
    let no_content = || io::Error::other("pg_dump writes no file of this name");
    let content = FileContent::from_name(name).ok_or_else(no_content)?;
    let (mut rows, mut listed) = (0, Vec::new());
    let read = match content {
        FileContent::Contents => file.checksum(stop)?,
        FileContent::Rows(_) => {
            let (read, found) = file.rows(stop)?;
            rows = found;
            read
        }
        FileContent::LargeObjectList => {
            let mut text = Vec::new();
            let read = file.content(stop, |bytes| {
                text.extend_from_slice(bytes);
                Ok(())
            })?;
            let names = |line: &str| line.split_once(' ').map(|(_, name)| name.to_owned());
            listed = String::from_utf8_lossy(&text).lines().filter_map(names).collect();
            read
        }
        FileContent::LargeObject => file.content(stop, |_| Ok(()))?,
    };
    Ok(ReadFile { file: read, content, rows, listed })
}

/// Reads files on several threads, the largest first, so that no thread ends long before another.
fn read_all<T: Send>(
    directory: &File,
    names: Vec<String>,
    jobs: NonZero<usize>,
    stop: &AtomicBool,
    read: impl Fn(&ArchiveFile, &str, &AtomicBool) -> Result<T, ArchiveError> + Sync,
) -> Result<Vec<T>, ArchiveError> {
    let mut queue = Vec::new();
    for name in names {
        let size = ArchiveFile::open(directory, &name).and_then(|file| file.size());
        queue.push((size.map_err(|error| ArchiveError::File(name.clone(), error))?, name));
    }
    queue.sort();
    let threads = jobs.get().min(queue.len());
    let queue = Mutex::new(queue);
    let next = || queue.lock().expect("no thread panics with the queue").pop();
    let has_failed = AtomicBool::new(false);
    let work = || {
        let mut done = Vec::new();
        while let Some((_, name)) = next() {
            if has_failed.load(Ordering::SeqCst) {
                break;
            }
            let file = ArchiveFile::open(directory, &name).map_err(|error| ArchiveError::File(name.clone(), error));
            match file.and_then(|file| read(&file, &name, stop)) {
                Ok(result) => done.push(result),
                Err(error) => {
                    has_failed.store(true, Ordering::SeqCst);
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    let results: Vec<Result<Vec<T>, ArchiveError>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that reads does not panic")).collect()
    });
    Ok(results.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Compares the files of a new backup with its table of contents, and the rows with those of the snapshot.
fn compare(read: &[ReadFile], list: &ArchiveList, rows: &SnapshotRows) -> Result<(), ArchiveError> {
    let failed = |message: String| Err(ArchiveError::Content(message));
    let mut entries = BTreeMap::new();
    for ReadFile { content, rows, file, .. } in read {
        let FileContent::Rows(number) = *content else { continue };
        match list.tables.get(&number) {
            Some(oid) if entries.insert(number, (*oid, *rows)).is_none() => {}
            Some(_) => return failed(format!("the file {} is there twice", file.name)),
            None => return failed(format!("the file {} is not in its table of contents", file.name)),
        }
    }
    if let Some(missing) = list.tables.keys().find(|number| !entries.contains_key(number)) {
        return failed(format!("the file of the entry {missing} of its table of contents is missing"));
    }
    let found: BTreeMap<i64, u64> = entries.into_values().collect();
    for (oid, table) in &rows.names {
        let expected = rows.counts.get(table).copied().unwrap_or_default();
        match found.get(oid) {
            Some(found) if *found == expected => {}
            Some(found) => return failed(format!("table {table} has {found} rows instead of {expected}")),
            None => return failed(format!("table {table} is missing")),
        }
    }
    compare_large_objects(read, list)
}

/// Compares the files of large objects with their lists.
fn compare_large_objects(read: &[ReadFile], list: &ArchiveList) -> Result<(), ArchiveError> {
    let failed = |message: String| Err(ArchiveError::Content(message));
    let lists = read.iter().filter(|read| read.content == FileContent::LargeObjectList).count();
    if lists != list.large_objects {
        return failed(format!("it has {lists} lists of large objects instead of {}", list.large_objects));
    }
    let listed: BTreeSet<&str> = read.iter().flat_map(|read| &read.listed).map(String::as_str).collect();
    let large_objects = read.iter().filter(|read| read.content == FileContent::LargeObject);
    // The lists have the names without the suffix of the compression.
    let found: BTreeSet<&str> = large_objects.map(|read| name_without_compression(&read.file.name)).collect();
    if let Some(missing) = listed.difference(&found).next() {
        return failed(format!("the file {missing} is missing"));
    }
    match found.difference(&listed).next() {
        Some(surplus) => failed(format!("the file {surplus} is in no list of large objects")),
        None => Ok(()),
    }
}
