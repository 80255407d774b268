//! The definition of the command line: commands, arguments and help texts. It parses, and decides nothing else.

mod adopt;
mod export_import;
mod flags;
mod guard;
mod parse;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub(crate) use adopt::Adopt;
pub(crate) use export_import::{Export, Import};
pub(crate) use flags::Flags;
pub(crate) use guard::{Guard, PresetArg};
pub use parse::parse;

/// Waits for the database, locks it, backs it up, applies the pending migrations, verifies, and exits with a code
/// that Compose, Kubernetes or Helm can act on. Without a command: upgrade head.
#[derive(Debug, Parser)]
#[command(name = "lockkeeper", version, after_help = exit_codes())]
#[command(override_usage = "lockkeeper [OPTIONS] [COMMAND] [-- PROGRAM ARG...]")]
pub struct Cli {
    /// The flags of every command.
    #[command(flatten)]
    pub flags: Flags,
    /// The command; `None` is `upgrade`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What comes after `--`.
    #[arg(skip)]
    pub program: Vec<OsString>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Apply pending migrations (wait, lock, back up, verify)
    #[command(after_help = "Example: lockkeeper upgrade head -- ./server --port 8080")]
    Upgrade {
        /// head, heads, a revision or the beginning of one, +N, REV+N, REV-N [default: head, or LOCKKEEPER_TARGET]
        #[arg(allow_negative_numbers = true)]
        target: Option<String>,
        /// The flags that print what would run.
        #[command(flatten)]
        look: PreviewFlags,
    },
    /// Undo revisions, newest first, after a backup
    #[command(after_help = "Example: lockkeeper downgrade -1")]
    Downgrade {
        /// base, a revision or the beginning of one, -N, REV-N
        #[arg(allow_negative_numbers = true)]
        target: String,
        /// The flags that print what would run.
        #[command(flatten)]
        look: PreviewFlags,
    },
    /// Show where the database is
    #[command(after_help = "Example: lockkeeper current --json")]
    Current,
    /// Show all revisions with their state
    #[command(after_help = "Example: lockkeeper history")]
    History,
    /// Show the heads of the directory, without a database
    #[command(after_help = "Example: lockkeeper heads")]
    Heads,
    /// Exit 0 when the database is at the target, 2 when revisions are pending
    #[command(after_help = "Example: lockkeeper check && echo up to date")]
    Check {
        /// Check the files alone, without a database: for CI
        #[arg(long)]
        offline: bool,
    },
    /// Run the command of another migration tool behind the lock, after a verified backup
    #[command(after_help = guard::GUARD)]
    Guard(Box<Guard>),
    /// Only wait until the database is ready
    #[command(after_help = "Example: lockkeeper wait --migrated")]
    Wait {
        /// Wait until every revision of this image is applied, too
        #[arg(long)]
        migrated: bool,
    },
    /// Write the files of a new revision
    #[command(after_help = "Example: lockkeeper revision -m \"add widgets\"")]
    Revision {
        /// What it does, in a few words
        #[arg(short, long, value_name = "TEXT")]
        message: String,
    },
    /// Write the files of a revision that joins the heads
    #[command(after_help = "Example: lockkeeper merge -m \"join widgets and gadgets\"")]
    Merge {
        /// What it joins, in a few words [default: the heads' numbers]
        #[arg(short, long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Record revisions as applied without running them
    #[command(after_help = "Example: lockkeeper stamp 0001")]
    Stamp {
        /// head, heads, base, a revision or the beginning of one, REV+N, REV-N
        #[arg(allow_negative_numbers = true)]
        target: String,
    },
    /// Record the history of another migration tool in that of a layout, row by row, without running anything
    #[command(after_help = adopt::ADOPT)]
    Adopt(Adopt),
    /// Accept edited files, showing each old and new checksum; give up what only another image has begun; or decide on
    /// a statement left open (81)
    #[command(after_help = "Example: lockkeeper repair --yes")]
    Repair {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Instead: a run ended while a statement ran outside of a transaction, and it did take effect: go on behind it
        #[arg(long, conflicts_with_all = ["yes", "again"])]
        done: bool,
        /// Instead: it did not take effect, run it again
        #[arg(long, conflicts_with = "yes")]
        again: bool,
    },
    /// Take a verified backup now
    #[command(after_help = "Example: lockkeeper backup --backup-dir /backups")]
    Backup,
    /// Restore a backup over the current database, which is backed up and kept
    #[command(after_help = RESTORE_HELP)]
    Restore {
        /// A path, or the name of a file in the backup directory
        file: String,
        /// PostgreSQL: replace what is in the database in one transaction, instead of making a new database that
        /// changes places with the old one. Nobody can write until it has ended. A database with objects that are
        /// newer than the backup is refused
        #[arg(long)]
        in_place: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Copy every row of a SQLite file into PostgreSQL: all of them, typed and compared, or none
    #[command(after_help = TRANSFER_HELP)]
    Transfer(Box<Transfer>),
    /// Compare every row of a SQLite file with PostgreSQL, and change nothing: exit 0 when they are equal
    #[command(after_help = COMPARE_HELP)]
    Compare(Box<RowArgs>),
    /// Write every row of the database into a file of JSON, and change nothing
    #[command(after_help = export_import::EXPORT)]
    Export(Box<Export>),
    /// Load a file that export, or a script of yours, has written: all of its rows, compared, or none
    #[command(after_help = export_import::IMPORT)]
    Import(Box<Import>),
    /// List the backups of this database
    #[command(after_help = "Example: lockkeeper backups --json")]
    Backups,
    /// Print a completion script for a shell
    #[command(after_help = "Example: lockkeeper completions bash > /etc/bash_completion.d/lockkeeper")]
    Completions {
        /// The shell
        #[arg(value_enum, hide_possible_values = false)]
        shell: Shell,
    },
}

// The help text of `restore`, below its options.
const RESTORE_HELP: &str =
    "The backup is compared with its manifest before and after. PostgreSQL: the sessions of the application are ended
when the databases change places. SQLite, and --in-place: stop the application first. What was there is kept: as a
database or a file of another name, with --in-place as a backup.

Example: lockkeeper restore app-20260112T093000Z-from-0004.dump";

// The help text of `transfer`, below its options.
const TRANSFER_HELP: &str = "The schema is brought to head first. Tables and columns are matched by name. A value that does not fit its column is
named, all of them in one run, and nothing is committed then, unless --on-error skip leaves such rows out.

Example: DATABASE_URL=postgresql://app@db/app lockkeeper transfer --from sqlite:///./data/app.db";

// The help text of `compare`, below its options.
const COMPARE_HELP: &str = "Both sides are read as of one moment, and nothing is locked: what is written meanwhile is not seen. A row that is on one
side only, there twice or with another value is named by its key, ten of each table at most; the exit code says mismatch then.
It takes a role that may read the tables.

Example: DATABASE_URL=postgresql://app@db/app lockkeeper compare --from sqlite:///./data/app.db";

/// The arguments of `transfer`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Transfer {
    /// The rows.
    #[command(flatten)]
    pub(crate) rows: RowArgs,
    /// Show what would go where, and change nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Write a first PostgreSQL revision for these tables into the migrations directory instead; no server is asked
    #[arg(long, conflicts_with_all = ["plan", "max_errors", "on_error", "rejects"])]
    pub write_revision: bool,
    /// The number of bad values to name; --on-error stop gives up after so many
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_errors: u32,
    /// stop; report: stop, and keep every row with a bad value in a file; skip: leave such rows out, with those that
    /// lead to them, keep them in a file, and transfer the others (exit 87)
    #[arg(long, value_enum, value_name = "ACTION", default_value = "stop", hide_possible_values = true)]
    pub(crate) on_error: BadValueArg,
    /// Where report and skip keep such rows, a line of JSON each; the file must not be there yet [default: a new one in
    /// LOCKKEEPER_BACKUP_DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
}

/// The treatment of rows with bad values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BadValueArg {
    /// Nothing is transferred
    Stop,
    /// Nothing is transferred, and such rows are kept in a file
    Report,
    /// They are left out and kept in a file, with the rows that lead to them; all others are transferred (exit 87)
    Skip,
}

/// The rows of a SQLite file, and the casts of their values.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RowArgs {
    /// The SQLite file: sqlite:///relative.db, sqlite:////absolute.db
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,
    /// The casts.
    #[command(flatten)]
    pub(crate) casts: CastArgs,
}

/// The selection of rows, and the casts of their values.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct CastArgs {
    /// The tables.
    #[command(flatten)]
    pub(crate) tables: TableFilter,
    /// How the values of a column are meant: events.at=unix-ms (may be given again)
    #[arg(long, value_name = "TABLE.COLUMN=RULE")]
    pub(crate) cast: Vec<String>,
    /// The time zone of times that name none: UTC, +02:00
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) timezone: String,
}

/// The selection of tables.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct TableFilter {
    /// Only this table (may be given again)
    #[arg(long, value_name = "TABLE")]
    pub(crate) only: Vec<String>,
    /// Without this table (may be given again)
    #[arg(long, value_name = "TABLE")]
    pub(crate) exclude: Vec<String>,
}

/// A shell for which there is a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

impl Command {
    /// The command of a call that names none: `upgrade`, to the configured target.
    pub(crate) const PLAIN: Command = Command::Upgrade { target: None, look: PreviewFlags { sql: false, plan: false } };
}

/// The flags that print what would run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct PreviewFlags {
    /// Print the whole SQL script instead; with FROM:TO as the target, without a database
    #[arg(long, conflicts_with = "plan")]
    pub(crate) sql: bool,
    /// Show what would run instead
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Returns the definition of the whole command line, from which completions are generated.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Returns the table of exit codes for `--help`.
fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for row in &crate::exit::TABLE {
        text.push_str(&format!("  {:>3}  {:<17} {}\n", row.code, row.name, row.when));
    }
    text
}
