//! Opens all files of the program. No other module opens one (an architecture test checks that).
//!
//! A name can lead to a named pipe, which blocks a process that opens it until another process writes to it, to a
//! device, or through a symbolic link that another user has made so that one of our writes changes another file. So
//! every file is opened without waiting (`O_NONBLOCK`), its type is checked on the descriptor that was opened (the name
//! may lead to another file by then), and nothing is truncated before that check. Where a file is created or written, a
//! symbolic link is refused (`O_NOFOLLOW`). Where a user's file is read, a link is followed, because a mounted
//! ConfigMap or Secret of Kubernetes consists of links.

mod directory;

use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

pub(crate) use directory::{create_directory, names_in, open_in};

/// The longest wait for a lease of another process on a file (fcntl(2), `F_SETLEASE`). The kernel ends a lease after 45
/// s at the latest.
const LEASE_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause between two attempts to open a file on which there is a lease.
const LEASE_PAUSE: Duration = Duration::from_millis(20);

/// The error for a name that leads to something else than a regular file.
#[derive(Debug, thiserror::Error)]
enum FileTypeError {
    #[error("it is {0}, not a regular file")]
    NotRegular(&'static str),
    #[error("it is a symbolic link, which is not followed here")]
    SymbolicLink,
    #[error("it has {0} names (hard links) and may be somebody else's file")]
    HardLinks(u64),
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
}

/// Opens an existing regular file for reading. Symbolic links are followed.
///
/// # Errors
/// Fails when the name leads to something else than a regular file, or with the error of the file system.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_regular(path, OFlags::RDONLY, 0)
}

/// An existing regular file that is read once from its beginning.
pub(crate) struct SourceFile {
    file: File,
    /// The size of the file when it was opened.
    pub(crate) size: u64,
}

impl SourceFile {
    /// Opens a file for reading, by its name in a directory. Symbolic links are followed.
    ///
    /// # Errors
    /// Fails as [`open`] does.
    pub(crate) fn open_in(directory: &SourceDir<'_>, name: &str) -> io::Result<SourceFile> {
        let opened = match &directory.descriptor {
            Some(descriptor) => open_without_waiting(descriptor.as_fd(), Path::new(name), OFlags::RDONLY, 0),
            None => open_without_waiting(CWD, &directory.path.join(name), OFlags::RDONLY, 0),
        };
        let (file, size) = opened.map_err(|error| describe_error(&directory.path.join(name), error))?;
        Ok(SourceFile { file, size })
    }
}

/// A directory of which many files are read: the way to it is looked up once.
pub(crate) struct SourceDir<'a> {
    path: &'a Path,
    /// `None` if the directory cannot be opened: its files may be readable nevertheless.
    descriptor: Option<File>,
}

impl<'a> SourceDir<'a> {
    /// Opens a directory.
    pub(crate) fn open(path: &'a Path) -> SourceDir<'a> {
        SourceDir { path, descriptor: open_directory(path).ok() }
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &'a Path {
        self.path
    }
}

impl Read for SourceFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.file.read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                wait_for_reads(&self.file)?;
                self.file.read(into)
            }
            result => result,
        }
    }
}

/// Opens an existing regular file that Lockkeeper has written before, for reading. A symbolic link is refused.
///
/// # Errors
/// Fails as [`open`] does.
pub(crate) fn open_ours(path: &Path) -> io::Result<File> {
    open_regular(path, OFlags::RDONLY | OFlags::NOFOLLOW, 0)
}

/// Opens an existing regular file for writing and keeps its content. A symbolic link is refused.
///
/// # Errors
/// Fails as [`open`] does.
pub(crate) fn open_for_writing(path: &Path) -> io::Result<File> {
    open_regular(path, OFlags::WRONLY | OFlags::NOFOLLOW, 0)
}

/// Opens a regular file for reading and writing and keeps its content, or creates it with `mode`. A symbolic link is
/// refused.
///
/// # Errors
/// Fails as [`open`] does.
pub(crate) fn open_or_create(path: &Path, mode: u32) -> io::Result<File> {
    open_regular(path, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW, mode)
}

/// Creates a file with `mode` for writing and reading. The name must not exist, not even as a symbolic link.
///
/// # Errors
/// Fails when the name exists, or with the error of the file system.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    open_regular(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
}

/// Opens or creates a file and removes its content. A symbolic link and a file with several hard links are refused
/// before anything is removed.
///
/// # Errors
/// Fails as [`open`] does.
pub(crate) fn overwrite(path: &Path) -> io::Result<File> {
    let file = open_regular(path, OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW, 0o666)?;
    match file.metadata()?.nlink() {
        0 | 1 => file.set_len(0).map(|()| file),
        links => Err(invalid_input(FileTypeError::HardLinks(links))),
    }
}

/// Opens a source of bytes that a user names: a regular file, or a pipe or terminal, for which this function waits. So
/// it has to be called on a thread of its own.
///
/// # Errors
/// Fails when the name leads to a directory, or with the error of the file system.
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(ErrorKind::IsADirectory.into()),
        false => Ok(file),
    }
}

/// Opens a directory, to lock it or to write its names to the disk.
///
/// # Errors
/// Fails when the name does not lead to a directory, or with the error of the file system.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Opens a directory that Lockkeeper has made. A symbolic link is refused.
///
/// # Errors
/// Fails when the name does not lead to a directory, or with the error of the file system.
pub(crate) fn open_our_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Writes the names in the directory of `path` to the disk (fsync).
///
/// # Errors
/// Fails with the error of the file system.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    open_directory(path.parent().unwrap_or(Path::new("")))?.sync_all()
}

/// Renames a file or a directory without replacing another one.
///
/// # Errors
/// Fails when the new name exists, or with the error of the file system.
pub(crate) fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system supports `RENAME_NOREPLACE`.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        result => Ok(result?),
    }
}

/// Reads a regular file of at most `limit` bytes. Symbolic links are followed.
///
/// # Errors
/// Fails as [`open`] does, and when the file is larger.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_limited(open(path)?, limit)
}

/// Reads a file of at most `limit` bytes that Lockkeeper has written before. A symbolic link is refused.
///
/// # Errors
/// Fails as [`read`] does.
pub(crate) fn read_ours(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_limited(open_ours(path)?, limit)
}

/// Reads a text file of at most `limit` bytes. Symbolic links are followed.
///
/// # Errors
/// Fails as [`read`] does, and when the text is not UTF-8.
pub(crate) fn read_to_string(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, limit)?);
    text.map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Checks that a name leads to a regular file or to nothing, for files that a library opens by their names. A symbolic
/// link is followed.
///
/// # Errors
/// Fails when the name leads to something else, or with the error of the file system.
pub(crate) fn check_regular_if_any(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(metadata) => Err(not_regular(metadata.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads an open file of at most `limit` bytes.
fn read_limited(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(invalid_input(FileTypeError::TooLarge(limit))),
        false => Ok(bytes),
    }
}

/// Opens a file without blocking, and fails unless it is a regular file. A lease of another process is waited for.
fn open_regular(path: &Path, flags: OFlags, mode: u32) -> io::Result<File> {
    let (file, _) = open_without_waiting(CWD, path, flags, mode).map_err(|error| describe_error(path, error))?;
    wait_for_reads(&file)?;
    Ok(file)
}

/// Lets reads and writes of a file that was opened with `O_NONBLOCK` wait: on some file systems they would fail with "try
/// again".
fn wait_for_reads(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(file, OFlags::empty())?)
}

/// Opens a file as [`open_regular`] does, but leaves it in the mode in which reads may not wait. Returns its size as well.
fn open_without_waiting(directory: BorrowedFd<'_>, name: &Path, flags: OFlags, mode: u32) -> io::Result<(File, u64)> {
    let deadline = Instant::now() + LEASE_TIMEOUT;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let descriptor = loop {
        match rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode)) {
            Ok(descriptor) => break descriptor,
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LEASE_PAUSE),
            Err(error) => return Err(error.into()),
        }
    };
    let file = File::from(descriptor);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular(metadata.file_type()));
    }
    Ok((file, metadata.len()))
}

/// Converts an error of opening. The type of the file is named where it is the reason, because the system reports "no
/// such device" for a socket or a pipe without a reader, and "too many levels" for a symbolic link.
fn describe_error(path: &Path, error: io::Error) -> io::Error {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    let about_type = matches!(number, Some(Errno::NXIO | Errno::NODEV | Errno::LOOP | Errno::ISDIR));
    match fs::symlink_metadata(path) {
        Ok(metadata) if about_type && number == Some(Errno::LOOP) && metadata.is_symlink() => {
            invalid_input(FileTypeError::SymbolicLink)
        }
        Ok(metadata) if about_type && !metadata.is_file() && !metadata.is_symlink() => {
            not_regular(metadata.file_type())
        }
        _ => error,
    }
}

/// Makes the error for a file that is not a regular file.
fn not_regular(kind: FileType) -> io::Error {
    let name = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () if kind.is_char_device() || kind.is_block_device() => "a device",
        () => "something else",
    };
    let error = FileTypeError::NotRegular(name);
    if kind.is_dir() { io::Error::new(ErrorKind::IsADirectory, error) } else { invalid_input(error) }
}

/// Makes an error of the kind `InvalidInput`.
fn invalid_input(error: FileTypeError) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    type Open = fn(&Path) -> io::Result<File>;
    /// All functions that open a regular file, with their names.
    const OPEN: [(&str, Open); 6] = [
        ("open", open),
        ("open_ours", open_ours),
        ("open_for_writing", open_for_writing),
        ("open_or_create", |path| open_or_create(path, 0o600)),
        ("overwrite", overwrite),
        ("create_new", |path| create_new(path, 0o600)),
    ];

    #[test]
    fn nothing_but_a_regular_file_is_opened_and_nobody_waits() {
        let directory = directory();
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).expect("mkfifo");
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("a socket");
        let places = [
            (pipe.as_path(), "a named pipe"),
            (socket.as_path(), "a socket"),
            (directory.path(), "a directory"),
            (Path::new("/dev/null"), "a device"),
        ];
        for (path, name) in places {
            for (how, open) in &OPEN[..5] {
                let error = open(path).expect_err(how).to_string();
                assert_eq!(error, format!("it is {name}, not a regular file"), "{how} {}", path.display());
            }
            assert_eq!(create_new(path, 0o600).expect_err("taken").kind(), ErrorKind::AlreadyExists);
        }
    }

    #[test]
    fn only_reading_follows_a_symbolic_link() {
        let directory = directory();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "precious").expect("a file");
        symlink(&file, &link).expect("a link");
        for (how, open) in OPEN {
            let opened = open(&link).map(drop).map_err(|error| error.to_string());
            match how {
                "open" => assert_eq!(opened, Ok(())),
                "create_new" => assert!(opened.is_err()),
                _ => assert_eq!(opened, Err("it is a symbolic link, which is not followed here".into()), "{how}"),
            }
        }
        let dangling = directory.path().join("dangling");
        symlink(directory.path().join("new"), &dangling).expect("a link");
        for (how, open) in &OPEN[1..] {
            assert!(open(&dangling).is_err(), "{how}");
        }
        assert!(!directory.path().join("new").exists());
        assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
    }

    #[test]
    fn a_file_of_two_names_is_not_overwritten() {
        let directory = directory();
        let (file, other) = (directory.path().join("file"), directory.path().join("other"));
        fs::write(&file, "precious").expect("a file");
        fs::hard_link(&file, &other).expect("a link");
        let error = overwrite(&other).expect_err("refused").to_string();
        assert_eq!(error, "it has 2 names (hard links) and may be somebody else's file");
        assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
    }

    #[test]
    fn a_file_is_not_read_beyond_the_limit() {
        let directory = directory();
        let file = directory.path().join("file");
        fs::write(&file, "12345").expect("a file");
        assert_eq!(read(&file, 5).expect("five"), b"12345");
        assert_eq!(read_to_string(&file, 4).expect_err("too large").to_string(), "it has more than 4 bytes");
    }
}
