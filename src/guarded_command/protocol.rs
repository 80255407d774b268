//! The lines that Lockkeeper and the supervisor of a command send each other over a socket.

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    /// It has ended with this exit code.
    Exited(i32),
    /// This signal has ended it.
    Killed(i32),
    /// Its supervisor is gone, which somebody has killed; what it was supervising was killed then.
    Abandoned,
}

/// A line of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SupervisorReport {
    /// The command runs with this process id, which is that of its process group, too.
    Started(i32),
    /// The command could not be started, for the error of the system with this number.
    NotStarted(i32),
    /// The command has ended; processes that it has started may still run.
    Ended(CommandEnd),
}

impl SupervisorReport {
    /// Returns the line, with its line feed.
    pub(super) fn line(self) -> String {
        match self {
            SupervisorReport::Started(pid) => format!("started {pid}\n"),
            SupervisorReport::NotStarted(number) => format!("not-started {number}\n"),
            SupervisorReport::Ended(CommandEnd::Exited(code)) => format!("exited {code}\n"),
            SupervisorReport::Ended(CommandEnd::Killed(signal)) => format!("killed {signal}\n"),
            SupervisorReport::Ended(CommandEnd::Abandoned) => String::new(),
        }
    }

    /// Parses a line without its line feed; `None` if it is none of these.
    pub(super) fn parse(line: &str) -> Option<SupervisorReport> {
        let (word, number) = line.split_once(' ')?;
        let number = number.parse().ok()?;
        Some(match word {
            "started" => SupervisorReport::Started(number),
            "not-started" => SupervisorReport::NotStarted(number),
            "exited" => SupervisorReport::Ended(CommandEnd::Exited(number)),
            "killed" => SupervisorReport::Ended(CommandEnd::Killed(number)),
            _ => return None,
        })
    }
}

/// The line that asks for SIGTERM to the process group of the command.
pub(super) const TERMINATE: &str = "terminate";
/// The line that asks for SIGKILL to the command and all of its descendants. The end of the connection means the same.
pub(super) const KILL: &str = "kill";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_as_it_is_written() {
        for report in [
            SupervisorReport::Started(12),
            SupervisorReport::NotStarted(2),
            SupervisorReport::Ended(CommandEnd::Exited(255)),
            SupervisorReport::Ended(CommandEnd::Killed(9)),
        ] {
            assert_eq!(SupervisorReport::parse(report.line().trim_end()), Some(report));
        }
        assert_eq!(SupervisorReport::parse("exited"), None);
        assert_eq!(SupervisorReport::parse("exited well"), None);
    }
}
