//! A file that does not answer: a process that opens it waits until the lease is released (fcntl(2), "Leases").

use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;

use super::{DEFAULT_TIMEOUT, wait_until};

/// Sets the signal that the holder of a lease is sent when another process opens the file.
const F_SETSIG: c_int = 10;

/// A lease on a file. The kernel ends it after `/proc/sys/fs/lease-break-time`, 45 s by default.
pub struct Lease(File);

impl Lease {
    /// Takes the lease on a file that no other process has open.
    pub fn take(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(path).expect("the file");
        let lease = Self(file);
        // The signal is ignored by default, unlike SIGIO.
        assert_eq!(lease.control(F_SETSIG, libc::SIGURG), 0, "{}", std::io::Error::last_os_error());
        assert_eq!(lease.control(libc::F_SETLEASE, libc::F_WRLCK), 0, "{}", std::io::Error::last_os_error());
        lease
    }

    /// Waits until another process tries to open the file.
    #[track_caller]
    pub fn wait_until_requested(&self) {
        wait_until("somebody opens the file", DEFAULT_TIMEOUT, || self.control(libc::F_GETLEASE, 0) != libc::F_WRLCK);
    }

    fn control(&self, command: c_int, argument: c_int) -> c_int {
        // SAFETY: the descriptor is open, and these commands take a number.
        unsafe { libc::fcntl(self.0.as_raw_fd(), command, argument) }
    }
}
