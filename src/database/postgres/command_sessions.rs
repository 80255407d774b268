//! Finds and ends the sessions of a guarded command, from the monitor session: the working session may be lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::monitor::{MonitorSession, ProbeReply};
use super::{Postgres, column};
use crate::database::DatabaseError;
use crate::masking::mask_query;
use crate::revision::render::OWN_PATH;
use crate::sql::literal;

/// The pause between two looks at sessions that are ending.
const INTERVAL: Duration = Duration::from_millis(50);
/// The states of a session in which it executes a statement or is in a transaction (manual, 27.2.3).
const RUNNING: &str = "a.state IN ('active', 'idle in transaction', 'idle in transaction (aborted)', \
     'fastpath function call')";

/// The marks by which the sessions of a guarded command are recognised on PostgreSQL.
///
/// Every program that uses libpq, and most other drivers, take the application name from the variable PGAPPNAME. The
/// sessions of others are found by the address and port of their connections, as long as the processes exist, and nothing
/// between them and the server translates addresses.
#[derive(Clone, Debug)]
pub(crate) struct CommandMark {
    /// The application name of the command's sessions: that of the lock, and a random number for this run.
    pub(crate) name: String,
    /// The part of the name that the commands of all runs with the same lock have in common.
    pub(crate) lock_name: String,
    /// The server's time before the command was started, as `YYYYMMDDHH24MISSUS` in UTC.
    pub(crate) since: String,
}

/// A choice among the sessions of commands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CommandSessions<'a> {
    /// All sessions of the command, which had connections from these local addresses.
    All(&'a BTreeSet<SocketAddr>),
    /// The sessions of the command that execute a statement or are in a transaction.
    Running(&'a BTreeSet<SocketAddr>),
    /// The sessions that commands of killed runs with the same lock have left. Whoever holds the lock knows that no such
    /// run is alive.
    OfDeadRuns,
}

/// The end of sessions.
#[derive(Debug, Default)]
pub(crate) struct EndedSessions {
    /// A description of each session that there was.
    pub(crate) found: Vec<String>,
    /// A description of each session that is still there.
    pub(crate) left: Vec<String>,
}

/// The treatment of the sessions that are found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SessionAction {
    /// They are described.
    Describe,
    /// They are described and ended.
    Terminate,
}

/// Returns new marks for the sessions of a command.
pub(crate) async fn mark(session: &mut Postgres) -> Result<CommandMark, DatabaseError> {
    let sql = "SELECT pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS')";
    let since = column(&session.row(sql.into()).await?, 0)?;
    let lock_name = format!("lockkeeper guard {:016x} ", session.key().cast_unsigned());
    Ok(CommandMark { name: format!("{lock_name}{:08x}", fastrand::u32(..)), lock_name, since })
}

impl MonitorSession {
    /// Ends sessions and waits at most `limit` until they are gone.
    pub(crate) async fn end_command_sessions(
        &mut self,
        mark: &CommandMark,
        sessions: CommandSessions<'_>,
        limit: Duration,
    ) -> EndedSessions {
        let start = Instant::now();
        let mut found: Option<Vec<String>> = None;
        loop {
            let left = self.command_sessions(mark, sessions, SessionAction::Terminate).await;
            let found = found.get_or_insert_with(|| left.clone());
            if left.is_empty() || start.elapsed() >= limit {
                return EndedSessions { found: std::mem::take(found), left };
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Returns a description of each session of the command that executes a statement or is in a transaction.
    pub(crate) async fn running_command_sessions(
        &mut self,
        mark: &CommandMark,
        addresses: &BTreeSet<SocketAddr>,
    ) -> Vec<String> {
        self.command_sessions(mark, CommandSessions::Running(addresses), SessionAction::Describe).await
    }

    /// Looks for sessions. A role that the current one is no member of keeps its sessions: they are described only.
    async fn command_sessions(
        &mut self,
        mark: &CommandMark,
        sessions: CommandSessions<'_>,
        action: SessionAction,
    ) -> Vec<String> {
        let terminate = match action {
            SessionAction::Describe => "NULL",
            SessionAction::Terminate => {
                "CASE WHEN pg_catalog.pg_has_role(a.usesysid, 'MEMBER') THEN pg_catalog.pg_terminate_backend(a.pid) END"
            }
        };
        let sql = format!(
            "{OWN_PATH}SELECT pg_catalog.format('session %s of %s in %s (%s)', a.pid, a.usename, a.datname, \
             coalesce(a.state, 'state unknown')), \
             coalesce(pg_catalog.left(pg_catalog.split_part(a.query, E'\\n', 1), 80), ''), {terminate} \
             FROM pg_catalog.pg_stat_activity a WHERE a.backend_type = 'client backend' \
             AND a.pid <> pg_catalog.pg_backend_pid() AND {}",
            condition(mark, sessions)
        );
        let rows = match self.query(sql).await {
            ProbeReply::Rows(rows) => rows,
            ProbeReply::Failed(fault) => {
                tracing::warn!("sessions of the command could not be looked for: {fault}");
                return Vec::new();
            }
            ProbeReply::Silence => {
                tracing::warn!("sessions of the command could not be looked for: no answer");
                return Vec::new();
            }
        };
        let describe = |row| Ok::<_, DatabaseError>((column::<String>(row, 0)?, column::<String>(row, 1)?));
        let described = rows.iter().filter_map(|row| describe(row).ok());
        described.map(|(session, query)| format!("{session}: {}", mask_query(&query))).collect()
    }
}

/// Returns the condition that selects the sessions.
fn condition(mark: &CommandMark, sessions: CommandSessions<'_>) -> String {
    let is_named = |name: &str| format!("pg_catalog.starts_with(a.application_name, {})", literal(name));
    let (addresses, running) = match sessions {
        CommandSessions::OfDeadRuns => {
            let own = literal(&mark.name);
            return format!(
                "{} AND NOT pg_catalog.starts_with(a.application_name, {own}) \
                 AND a.datname = pg_catalog.current_database() AND pg_catalog.pg_has_role(a.usesysid, 'MEMBER')",
                is_named(&mark.lock_name)
            );
        }
        CommandSessions::All(addresses) => (addresses, ""),
        CommandSessions::Running(addresses) => (addresses, RUNNING),
    };
    let mut ways = vec![is_named(&mark.name)];
    let pairs: Vec<String> = (addresses.iter())
        .map(|address| format!("({}::inet, {})", literal(&address.ip().to_string()), address.port()))
        .collect();
    if !pairs.is_empty() {
        // The ports of connections are used again: an older session is not the command's.
        ways.push(format!(
            "(a.client_addr, a.client_port) IN ({}) AND pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', \
             'YYYYMMDDHH24MISSUS') >= {}",
            pairs.join(", "),
            literal(&mark.since)
        ));
    }
    let all = format!("({})", ways.join(" OR "));
    if running.is_empty() { all } else { format!("{all} AND {running}") }
}
