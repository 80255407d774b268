//! The files that a command gets from Lockkeeper: its standard input, and the lock file that its supervisor holds.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};

/// The word on the command line of a supervisor in the place of a descriptor that it does not get.
pub(super) const NO_FILE: &str = "-";

/// The open files that the supervisor of a command inherits.
#[derive(Default)]
pub(crate) struct InheritedFiles {
    /// A lock file that stays locked until the last descendant of the command has ended.
    pub(crate) lock: Option<File>,
    /// The standard input of the command.
    pub(crate) input: Option<File>,
}

impl InheritedFiles {
    /// Returns the files in the order in which they are on the command line of a supervisor.
    fn all(&self) -> [Option<&File>; 2] {
        [self.lock.as_ref(), self.input.as_ref()]
    }

    /// Returns the descriptors as words of the command line of a supervisor.
    pub(super) fn descriptors(&self) -> [String; 2] {
        self.all().map(|file| file.map_or(NO_FILE.to_owned(), |file| file.as_fd().as_raw_fd().to_string()))
    }

    /// Lets the next program that this process becomes have the files. It is async-signal-safe.
    ///
    /// # Errors
    /// Fails with the error of the system.
    pub(super) fn keep_on_exec(&self) -> io::Result<()> {
        let mut files = self.all().into_iter().flatten();
        files.try_for_each(|file| fcntl_setfd(file, FdFlags::empty()).map_err(Into::into))
    }
}

/// Returns a file in memory with a text, to be read from its beginning. Unlike a pipe, it needs nobody who writes while
/// the command reads, or who waits for a command that does not read.
///
/// # Errors
/// Fails with the error of the system.
pub(crate) fn input_file(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
