//! The words of the command line. Decides nothing.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// Waits for the database, locks it, backs it up, applies the pending migrations, verifies, and exits with a code
/// that Compose, Kubernetes or Helm can act on. Without a command: upgrade head.
#[derive(Debug, Parser)]
#[command(name = "lockkeeper", version, after_help = exit_codes())]
#[command(override_usage = "lockkeeper [OPTIONS] [COMMAND] [-- PROGRAM ARG...]")]
pub struct Cli {
    #[command(flatten)]
    pub flags: Flags,
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What comes after `--`.
    #[arg(skip)]
    pub program: Vec<OsString>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// The whole story: wait, lock, back up, migrate, verify
    #[command(after_help = "Example: lockkeeper upgrade head -- ./server --port 8080")]
    Upgrade {
        /// head, heads, a revision or the beginning of one, +N, REV+N, REV-N [default: head, or LOCKKEEPER_TARGET]
        #[arg(allow_negative_numbers = true)]
        target: Option<String>,
        #[command(flatten)]
        look: Look,
    },
    /// Undo revisions, newest first, after a backup
    #[command(after_help = "Example: lockkeeper downgrade -1")]
    Downgrade {
        /// base, a revision or the beginning of one, -N, REV-N
        #[arg(allow_negative_numbers = true)]
        target: String,
        #[command(flatten)]
        look: Look,
    },
    /// Show where the database is
    #[command(after_help = "Example: lockkeeper current --json")]
    Current,
    /// Show all revisions with their state
    #[command(after_help = "Example: lockkeeper history")]
    History,
    /// Show the heads of the folder, without a database
    #[command(after_help = "Example: lockkeeper heads")]
    Heads,
    /// Exit 0 when the database is at the target, 2 when revisions are pending
    #[command(after_help = "Example: lockkeeper check && echo settled")]
    Check {
        /// Check the files alone, without a database: for CI
        #[arg(long)]
        offline: bool,
    },
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
    /// Accept edited files, showing each old and new checksum; or decide on a statement left open (81)
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
    /// Put a backup in the place of what is there, which is backed up and kept
    #[command(after_help = RESTORE)]
    Restore {
        /// A path, or the name of a file in the backup folder
        file: String,
        /// PostgreSQL: replace what is in the database in one transaction, instead of making a new database that
        /// changes places with the old one. Views and functions that are newer than the backup stay; newer tables
        /// are refused
        #[arg(long)]
        in_place: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Copy every row of a SQLite file into PostgreSQL: all of them, typed and compared, or none
    #[command(after_help = TRANSFER)]
    Transfer(Box<Transfer>),
    /// List the backups of this database
    #[command(after_help = "Example: lockkeeper backups --json")]
    Backups,
    /// Print a completion script for a shell
    #[command(after_help = "Example: lockkeeper completions bash > /etc/bash_completion.d/lockkeeper")]
    Completions {
        #[arg(value_enum)]
        shell: Shell,
    },
}

const RESTORE: &str = "The backup is compared with its manifest before and after. PostgreSQL: the sessions of the application are ended
when the databases change places. SQLite, and --in-place: stop the application first.

Example: lockkeeper restore app-20260112T093000Z-from-0004.dump";

const TRANSFER: &str = "The schema is brought to head first. Tables and columns are matched by name. A value that does not fit its column is
named, all of them in one run, and nothing is committed then.

Example: DATABASE_URL=postgresql://app@db/app lockkeeper transfer --from sqlite:///./data/app.db";

/// What is to be transferred, and how.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Transfer {
    /// The SQLite file: sqlite:///relative.db, sqlite:////absolute.db
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// Show what would go where, and change nothing
    #[arg(long)]
    pub plan: bool,
    /// Only this table (may be given again)
    #[arg(long, value_name = "TABLE")]
    pub only: Vec<String>,
    /// Without this table (may be given again)
    #[arg(long, value_name = "TABLE")]
    pub exclude: Vec<String>,
    /// How the values of a column are meant: events.at=unix-ms (may be given again)
    #[arg(long, value_name = "TABLE.COLUMN=RULE")]
    pub cast: Vec<String>,
    /// Of times that name none: UTC, +02:00
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub timezone: String,
    /// Bad values that are looked for before it gives up
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_errors: u32,
}

/// The shells that we have completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Command {
    /// Without a command.
    pub const PLAIN: Command = Command::Upgrade { target: None, look: Look { sql: false, plan: false } };
}

/// Looking before leaping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Look {
    /// Print the whole SQL script instead; with FROM:TO as the target, without a database
    #[arg(long, conflicts_with = "plan")]
    pub sql: bool,
    /// Show what would run instead
    #[arg(long)]
    pub plan: bool,
}

/// Flags of every command; each stands for a variable and goes before it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Database [env: DATABASE_URL]; a password belongs into DATABASE_PASSWORD
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Folder of the migrations [env: LOCKKEEPER_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub dir: Option<String>,
    /// How long to wait for readiness [env: LOCKKEEPER_WAIT_TIMEOUT] [default: 60s]
    #[arg(long, global = true, value_name = "TIME")]
    pub wait_timeout: Option<String>,
    /// How long one attempt may take [env: LOCKKEEPER_CONNECT_TIMEOUT] [default: 5s]
    #[arg(long, global = true, value_name = "TIME")]
    pub connect_timeout: Option<String>,
    /// How long a refused login may still turn good [env: LOCKKEEPER_AUTH_GRACE] [default: 10s]
    #[arg(long, global = true, value_name = "TIME")]
    pub auth_grace: Option<String>,
    /// How long to wait for the advisory lock [env: LOCKKEEPER_LOCK_TIMEOUT] [default: 5m]
    #[arg(long, global = true, value_name = "TIME")]
    pub lock_timeout: Option<String>,
    /// How long a migration may wait for a table [env: LOCKKEEPER_DDL_LOCK_TIMEOUT] [default: 5s]
    #[arg(long, global = true, value_name = "TIME")]
    pub ddl_lock_timeout: Option<String>,
    /// How often such a migration is tried again [env: LOCKKEEPER_DDL_RETRIES] [default: 8]
    #[arg(long, global = true, value_name = "N")]
    pub ddl_retries: Option<String>,
    /// Limit for each statement [env: LOCKKEEPER_STATEMENT_TIMEOUT] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub statement_timeout: Option<String>,
    /// Limit for the whole run [env: LOCKKEEPER_DEADLINE] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub deadline: Option<String>,
    /// From SIGTERM to the end at most [env: LOCKKEEPER_SHUTDOWN_GRACE] [default: 8s]
    #[arg(long, global = true, value_name = "TIME")]
    pub shutdown_grace: Option<String>,
    /// required or off [env: LOCKKEEPER_BACKUP] [default: required]
    #[arg(long, global = true, value_name = "MODE")]
    pub backup: Option<String>,
    /// keep or, for SQLite, restore: what becomes of the database after a failed migration [env: LOCKKEEPER_ON_FAILURE] [default: keep]
    #[arg(long, global = true, value_name = "ACTION")]
    pub on_failure: Option<String>,
    /// Folder of the backups [env: LOCKKEEPER_BACKUP_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub backup_dir: Option<String>,
    /// Verified backups to keep [env: LOCKKEEPER_BACKUP_KEEP] [default: 5]
    #[arg(long, global = true, value_name = "N")]
    pub backup_keep: Option<String>,
    /// Limit for the backup [env: LOCKKEEPER_BACKUP_TIMEOUT] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub backup_timeout: Option<String>,
    /// The pg_dump to use [env: LOCKKEEPER_PG_DUMP]
    #[arg(long, global = true, value_name = "FILE")]
    pub pg_dump: Option<String>,
    /// The history table, may be schema.table [env: LOCKKEEPER_HISTORY_TABLE] [default: lockkeeper_history]
    #[arg(long, global = true, value_name = "NAME")]
    pub history_table: Option<String>,
    /// Run the plan on a copy made of the backup first, and say what each step does there [env: LOCKKEEPER_REHEARSE]
    #[arg(long, global = true)]
    pub rehearse: bool,
    /// Fail when the database has revisions that this image does not know [env: LOCKKEEPER_STRICT]
    #[arg(long, global = true)]
    pub strict: bool,
    /// Create the PostgreSQL database when it does not exist
    #[arg(long, global = true)]
    pub create_database: bool,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// error, warn, info, debug or off [env: LOCKKEEPER_LOG] [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log: Option<String>,
    /// auto, text or json [env: LOCKKEEPER_LOG_FORMAT] [default: auto: text on a terminal, else JSON]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// Reads the command line; what follows the first `--` is the program.
///
/// # Errors
/// clap's: a usage error, or the text of `--help` and `--version`.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut own: Vec<OsString> = arguments.collect();
    let program = match own.iter().position(|argument| argument == "--") {
        Some(at) => own.split_off(at).split_off(1),
        None => Vec::new(),
    };
    let cli = Cli::try_parse_from(own)?;
    Ok(Cli { program, ..cli })
}

/// All that there is to be typed, for completions.
pub fn words() -> clap::Command {
    Cli::command()
}

fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for row in &crate::exit::TABLE {
        text.push_str(&format!("  {:>3}  {:<17} {}\n", row.code, row.name, row.when));
    }
    text
}
