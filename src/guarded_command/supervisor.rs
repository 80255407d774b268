//! The supervisor: a process between Lockkeeper and a guarded command.
//!
//! It is the subreaper of the command's descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`): a process that detaches itself
//! becomes its child, and it ends only when none is left. Its standard input is a socket to Lockkeeper. The end of that
//! connection means that Lockkeeper is gone, and it kills whatever there is. It kills its own children only, which no
//! other process can have the ids of as long as it has not waited for them; what they leave becomes its children in turn.
//!
//! It holds the lock file of a SQLite database open, so that the lock outlives a Lockkeeper that was killed for the
//! moment in which the command is killed, too.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, wait, waitid,
};

use super::input::NO_FILE;
use super::processes::children;
use super::protocol::{CommandEnd, KILL, SupervisorReport, TERMINATE};
use crate::signal;

/// The first argument of a supervisor.
pub(super) const ARGUMENT: &str = "supervise-guarded-command";

/// The task of a supervisor: its command line.
#[derive(Debug)]
pub struct SupervisorRequest {
    /// The descriptor of the lock file, if there is one.
    lock: Option<RawFd>,
    /// The descriptor of the standard input of the program, if it has one.
    input: Option<RawFd>,
    /// The program and its arguments.
    command: Vec<OsString>,
}

impl SupervisorRequest {
    /// Returns the task if the arguments of the process, its name first, are those of a supervisor.
    pub fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Option<SupervisorRequest> {
        arguments.nth(1).filter(|word| word == ARGUMENT)?;
        let mut descriptor = || {
            let word = arguments.next()?;
            if word == NO_FILE { Some(None) } else { word.to_str()?.parse().ok().map(Some) }
        };
        let (lock, input) = (descriptor()?, descriptor()?);
        let command: Vec<OsString> = arguments.collect();
        (!command.is_empty()).then_some(SupervisorRequest { lock, input, command })
    }
}

/// The state of the command that both threads of a supervisor share.
#[derive(Default)]
struct Supervised {
    /// The process group of the command, as long as the command has not been waited for: then no other process can have
    /// its id.
    group: Option<Pid>,
    /// True when everything is to be killed.
    is_ending: bool,
}

/// Runs the command until neither it nor any of its descendants is left.
///
/// # Errors
/// Fails when Lockkeeper's end of the socket is gone already, or the system refuses what it needs for a supervisor.
pub fn supervise(request: SupervisorRequest) -> io::Result<()> {
    let _lock = request.lock.map(close_on_exec).transpose()?;
    let input = request.input.map(close_on_exec).transpose()?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    set_child_subreaper(Some(getpid()))?;
    let pid = match start(&request.command, input) {
        Ok(pid) => pid,
        Err(error) => {
            let number = error.raw_os_error().unwrap_or_default();
            return control.write_all(SupervisorReport::NotStarted(number).line().as_bytes());
        }
    };
    let supervised = Arc::new(Mutex::new(Supervised { group: Some(pid), is_ending: false }));
    control.write_all(SupervisorReport::Started(pid.as_raw_nonzero().get()).line().as_bytes())?;
    let (requests, listener) = (control.try_clone()?, Arc::clone(&supervised));
    thread::Builder::new().name("requests".into()).spawn(move || obey(requests, &listener))?;
    reap(pid, &mut control, &supervised)
}

/// Takes over a file, which the command must not inherit under this descriptor.
fn close_on_exec(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the parent process has opened this descriptor for this process, and nothing else here uses it.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    fcntl_setfd(&file, FdFlags::CLOEXEC)?;
    Ok(file)
}

/// Starts the command, in a process group of its own, with an empty standard input if it has none. The supervisor is in a
/// session without a terminal, and so is the command: a program that asks a question on the terminal fails and does not wait.
fn start(words: &[OsString], input: Option<OwnedFd>) -> io::Result<Pid> {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(input.map_or_else(Stdio::null, Stdio::from)).process_group(0);
    signal::keep_ignored(&mut command);
    // SAFETY: prctl is async-signal-safe; nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| set_parent_process_death_signal(Some(Signal::KILL)).map_err(Into::into));
    }
    // The child is waited for below, together with all others.
    let child = command.spawn()?;
    Pid::from_raw(child.id().cast_signed()).ok_or_else(|| io::Error::other("a process has no id"))
}

/// Waits for every child, and reports the end of the command. Returns when no child is left.
fn reap(command: Pid, control: &mut UnixStream, supervised: &Mutex<Supervised>) -> io::Result<()> {
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        // A child keeps its id until it is waited for, and that happens under this lock, as every kill does.
        let mut state = lock(supervised);
        let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) else { continue };
        if pid == command {
            state.group = None;
            let end = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => CommandEnd::Exited(code),
                (None, signal) => CommandEnd::Killed(signal.unwrap_or_default()),
            };
            // Without a Lockkeeper that reads it, `obey` ends everything.
            let _ = control.write_all(SupervisorReport::Ended(end).line().as_bytes());
        }
        if state.is_ending {
            kill_all(&state);
        }
    }
}

/// Does what Lockkeeper asks for, until the connection ends.
fn obey(requests: UnixStream, supervised: &Mutex<Supervised>) {
    for line in BufReader::new(requests).lines().map_while(Result::ok) {
        match line.as_str() {
            TERMINATE => {
                if let Some(group) = lock(supervised).group {
                    let _ = kill_process_group(group, Signal::TERM);
                }
            }
            KILL => end_all(supervised),
            _ => {}
        }
    }
    end_all(supervised);
}

/// Kills everything now, and lets the other thread kill whatever becomes a child after that.
fn end_all(supervised: &Mutex<Supervised>) {
    let mut state = lock(supervised);
    state.is_ending = true;
    kill_all(&state);
}

/// Kills the process group of the command and every child.
fn kill_all(state: &Supervised) {
    if let Some(group) = state.group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    for child in children(getpid()) {
        let _ = kill_process(child, Signal::KILL);
    }
}

/// Locks the state. A poisoned mutex is accepted: a panic leaves nothing half done in it.
fn lock(supervised: &Mutex<Supervised>) -> MutexGuard<'_, Supervised> {
    supervised.lock().unwrap_or_else(PoisonError::into_inner)
}
