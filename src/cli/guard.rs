//! The arguments of `guard`.

use std::ffi::OsString;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

// The help text of `guard`, below its options.
pub(crate) const GUARD: &str = "The command runs while the lock is held, after a verified backup, and its output is logged. Its exit code 0 is success
only if the lock was held to the end and nothing that it has started is left; else that is ended. A second -- is
followed by the program that replaces this process then. A command that has a -- of its own needs sh -c '...'.

Example: lockkeeper guard -- alembic upgrade head -- ./server --port 8080";

/// The arguments of `guard`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(override_usage = "lockkeeper guard [OPTIONS] -- COMMAND [ARG...] [-- PROGRAM ARG...]")]
pub struct Guard {
    /// A line for the shell that ends with 0 when nothing is pending, and with 1 when something is: then neither lock
    /// nor backup is needed, and no command
    #[arg(long, value_name = "LINE", conflicts_with = "preset")]
    pub(crate) pending_command: Option<String>,
    /// How to find out whether something is pending without --pending-command: by alembic current and heads, by django's
    /// migrate --check, auto by the words of the command, or none
    #[arg(long, value_enum, value_name = "TOOL", default_value = "auto", hide_possible_values = true)]
    pub(crate) preset: PresetArg,
    /// The variable from which the command takes the URL of its database: --rehearse sets it to that of the copy
    #[arg(long, value_name = "NAME", default_value = "DATABASE_URL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url_env: String,
    /// The command and its arguments: what comes after the first `--`.
    #[arg(skip)]
    pub(crate) command: Vec<OsString>,
}

/// The tool that is asked what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresetArg {
    /// By the words of the command
    Auto,
    /// Alembic: current against heads
    Alembic,
    /// Django: migrate --check
    Django,
    /// Nothing is asked
    None,
}
