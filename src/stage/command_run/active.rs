//! A command that runs, and the lock that it runs under.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::CommandRun;
use crate::database::command_sessions::{CommandMark, CommandSessions, EndedSessions};
use crate::database::{Canceller, DatabaseError, Locked};
use crate::error::GuardError;
use crate::guarded_command::{CommandEnd, CommandEnvironment, OutputLines, ProcessTree, RunningCommand};
use crate::progress::with_progress;
use crate::signal::CancelReason;

/// The grace period of a process that has none yet.
const DEFAULT_GRACE: Duration = Duration::from_secs(8);
/// The pause between two checks of the lock.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The time in which the server has to end sessions.
const SESSION_END: Duration = Duration::from_secs(2);
/// The pause between two looks at sessions that may be about to end.
const SESSION_INTERVAL: Duration = Duration::from_millis(50);
/// The variable from which libpq and most other drivers take the name of a session.
const APPLICATION_NAME: &str = "PGAPPNAME";

/// The lock under which a command runs.
pub(crate) struct LockHold<'a> {
    /// The locked database.
    pub(crate) locked: &'a mut Locked,
    /// The handle that ends sessions of the command.
    pub(crate) canceller: &'a mut Canceller,
}

impl LockHold<'_> {
    /// Returns the lock for one of several commands.
    pub(crate) fn again(&mut self) -> LockHold<'_> {
        LockHold { locked: self.locked, canceller: self.canceller }
    }
}

/// The reason why a command is ended.
enum Interruption {
    /// A signal or the deadline.
    Signal(CancelReason),
    /// The lock is lost.
    LockLost(DatabaseError),
}

/// A command that runs.
pub(super) struct ActiveRun<'a> {
    run: &'a CommandRun<'a>,
    hold: Option<LockHold<'a>>,
    mark: Option<CommandMark>,
    /// The local addresses of the connections that its processes were seen to have.
    addresses: BTreeSet<SocketAddr>,
    grace: Duration,
}

/// Returns the environment with the name by which the command's sessions are recognised, before the one they had.
pub(super) fn with_session_name(environment: &CommandEnvironment, mark: Option<&CommandMark>) -> CommandEnvironment {
    let Some(mark) = mark else { return environment.clone() };
    let own = std::env::var(APPLICATION_NAME).ok().filter(|name| !name.is_empty());
    let own = own.map_or(String::new(), |name| format!(" {name}"));
    environment.clone().with(APPLICATION_NAME, mark.name.clone() + &own)
}

fn warn_of_sessions(ended: &EndedSessions) {
    if !ended.left.is_empty() {
        tracing::warn!("these sessions of the command could not be ended: {}", ended.left.join("; "));
    }
}

impl<'a> ActiveRun<'a> {
    pub(super) fn new(run: &'a CommandRun<'a>, hold: Option<LockHold<'a>>, mark: Option<CommandMark>) -> Self {
        let grace = run.cancel.grace().unwrap_or(DEFAULT_GRACE);
        ActiveRun { run, hold, mark, addresses: BTreeSet::new(), grace }
    }

    /// Waits for the end of the command and of what it has started.
    ///
    /// # Errors
    /// Fails when a signal or a lost lock has ended the command, and when it has ended with 0 and left something running.
    pub(super) async fn finish(mut self, mut running: RunningCommand) -> Result<(CommandEnd, OutputLines), GuardError> {
        let tree = running.tree();
        let end = match self.watch(tree, running.ended()).await {
            Ok(end) => end,
            Err(interruption) => return Err(self.interrupt(running, interruption).await),
        };
        // Processes that the command has started may need a moment longer: one that reports the use of the tool, for example.
        let patience = if end == CommandEnd::Exited(0) { self.grace } else { Duration::ZERO };
        let mut left = match self.watch(tree, timeout(patience, running.all_ended())).await {
            Ok(Ok(_)) => self.running_sessions().await,
            Ok(Err(_)) => self.kill(&mut running).await,
            Err(interruption) => return Err(self.interrupt(running, interruption).await),
        };
        let output = running.output().await;
        if end != CommandEnd::Exited(0) {
            left.clear();
        }
        if let Some(LockHold { locked, .. }) = &mut self.hold {
            locked.check_lock().await.map_err(GuardError::LockLost)?;
        }
        if left.is_empty() { Ok((end, output)) } else { Err(GuardError::LeftRunning(left)) }
    }

    /// Waits for work, as long as neither a signal arrives nor the lock is lost.
    async fn watch<T>(&mut self, tree: ProcessTree, work: impl Future<Output = T>) -> Result<T, Interruption> {
        let ActiveRun { run, hold, mark, addresses, .. } = self;
        let watch_lock = async {
            loop {
                sleep(CHECK_INTERVAL).await;
                if let Some(LockHold { locked, .. }) = hold
                    && let Err(fault) = locked.check_lock().await
                {
                    return fault;
                }
                if mark.is_some() {
                    addresses.extend(tree.local_addresses());
                }
            }
        };
        let activity = format!("running {}", run.command);
        tokio::select! {
            biased;
            result = with_progress(&activity, work) => Ok(result),
            reason = run.cancel.cancelled() => Err(Interruption::Signal(reason)),
            fault = watch_lock => Err(Interruption::LockLost(fault)),
        }
    }

    /// Ends the command: by SIGTERM first, which gives it half of the grace period, unless the lock is lost. Then nobody
    /// else is kept out, and every moment counts.
    async fn interrupt(&mut self, mut running: RunningCommand, interruption: Interruption) -> GuardError {
        self.addresses.extend(running.tree().local_addresses());
        if let Interruption::Signal(_) = interruption {
            running.terminate().await;
            if timeout(self.grace / 2, running.ended()).await.is_err() {
                tracing::warn!("{} does not end by SIGTERM, and is killed", self.run.command);
            }
        }
        self.kill(&mut running).await;
        running.output().await;
        match interruption {
            Interruption::Signal(reason) => GuardError::Stopped(reason),
            Interruption::LockLost(fault) => GuardError::LockLost(fault),
        }
    }

    /// Kills what is left of the command, and ends its sessions. Returns a description of what there was.
    async fn kill(&mut self, running: &mut RunningCommand) -> Vec<String> {
        let tree = running.tree();
        self.addresses.extend(tree.local_addresses());
        let processes = tree.processes();
        running.kill().await;
        if timeout(self.grace / 8, running.all_ended()).await.is_err() {
            tracing::warn!("processes of {} have not ended after SIGKILL", self.run.command);
        }
        let mut left: Vec<String> =
            processes.iter().map(|process| format!("process {} ({})", process.pid, process.name)).collect();
        if let Some(LockHold { canceller, .. }) = &mut self.hold {
            let sessions = CommandSessions::All(&self.addresses);
            let ended = canceller.end_command_sessions(self.mark.as_ref(), sessions, self.grace / 4).await;
            warn_of_sessions(&ended);
            left.extend(ended.found);
        }
        left
    }

    /// Ends the sessions that still execute something after all processes have ended by themselves, and describes them.
    /// The server needs a moment to notice that a client is gone.
    async fn running_sessions(&mut self) -> Vec<String> {
        let (Some(LockHold { canceller, .. }), mark) = (&mut self.hold, self.mark.as_ref()) else {
            return Vec::new();
        };
        let start = Instant::now();
        while !canceller.running_command_sessions(mark, &self.addresses).await.is_empty() {
            if start.elapsed() >= SESSION_END {
                let sessions = CommandSessions::Running(&self.addresses);
                let ended = canceller.end_command_sessions(mark, sessions, SESSION_END).await;
                warn_of_sessions(&ended);
                return ended.found;
            }
            sleep(SESSION_INTERVAL).await;
        }
        Vec::new()
    }
}
