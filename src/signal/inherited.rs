//! Preserves the signals that this process was started to ignore. A shell starts background jobs of a script with
//! SIGINT and SIGQUIT ignored, `nohup` starts programs with SIGHUP ignored, systemd starts services with SIGPIPE
//! ignored. Such a signal has to stay ignored, here and in the program that this process becomes.

use std::ffi::c_int;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// True if SIGPIPE was ignored before Rust's library ignored it.
///
/// This is a static because it is set before `main`, when there is nothing that could own it.
static SIGPIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// A function that the C library calls before `main`, and so before Rust's library changes anything.
#[cfg(target_os = "linux")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn note_sigpipe() {
        SIGPIPE_IGNORED.store(is_ignored(libc::SIGPIPE), Ordering::Relaxed);
    }
    note_sigpipe
};

/// Reports whether the signal is ignored now.
pub(crate) fn is_ignored(signal: c_int) -> bool {
    // SAFETY: an all-zero sigaction is a valid value, and with a null pointer for the new action sigaction(2) only
    // writes the present one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Makes a program that is about to be executed ignore SIGPIPE if this process was started with SIGPIPE ignored.
/// Without this, Rust's library resets SIGPIPE to its default for every program.
pub fn keep_ignored(command: &mut Command) {
    if SIGPIPE_IGNORED.load(Ordering::Relaxed) {
        // SAFETY: signal(2) is async-signal-safe; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::signal(libc::SIGPIPE, libc::SIG_IGN) {
                libc::SIG_ERR => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
    }
}
