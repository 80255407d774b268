//! The settings that every command takes on the command line.

use clap::Args;

/// Flags of every command; each stands for a variable and goes before it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Database [env: DATABASE_URL]; a password belongs into DATABASE_PASSWORD
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// File with variables, in which DATABASE_URL and the others may stand; the environment goes before it [default:
    /// .env, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<String>,
    /// Directory of the migrations [env: LOCKKEEPER_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<String>,
    /// How long to wait for readiness [env: LOCKKEEPER_WAIT_TIMEOUT] [default: 60s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) wait_timeout: Option<String>,
    /// How long one attempt may take [env: LOCKKEEPER_CONNECT_TIMEOUT] [default: 5s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) connect_timeout: Option<String>,
    /// How long a refused login is retried [env: LOCKKEEPER_AUTH_GRACE] [default: 10s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) auth_grace: Option<String>,
    /// How long to wait for the advisory lock [env: LOCKKEEPER_LOCK_TIMEOUT] [default: 5m]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) lock_timeout: Option<String>,
    /// How long a migration may wait for a table [env: LOCKKEEPER_DDL_LOCK_TIMEOUT] [default: 5s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) ddl_lock_timeout: Option<String>,
    /// How often such a migration is tried again [env: LOCKKEEPER_DDL_RETRIES] [default: 8]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) ddl_retries: Option<String>,
    /// Limit for each statement [env: LOCKKEEPER_STATEMENT_TIMEOUT] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) statement_timeout: Option<String>,
    /// Limit for the whole run [env: LOCKKEEPER_DEADLINE] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    /// From SIGTERM to the end at most [env: LOCKKEEPER_SHUTDOWN_GRACE] [default: 8s]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) shutdown_grace: Option<String>,
    /// dump, point, command, off or several such as dump,point: the first that fits [env: LOCKKEEPER_BACKUP] [default: dump]
    #[arg(long, global = true, value_name = "WAYS")]
    pub(crate) backup: Option<String>,
    /// keep or, for SQLite, restore: what becomes of the database after a failed migration [env: LOCKKEEPER_ON_FAILURE]
    /// [default: keep]
    #[arg(long, global = true, value_name = "ACTION")]
    pub(crate) on_failure: Option<String>,
    /// Directory of the backups, or a bucket such as s3://BUCKET/PREFIX [env: LOCKKEEPER_BACKUP_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) backup_dir: Option<String>,
    /// Verified backups to keep: a number, an age or both, such as 5,30d [env: LOCKKEEPER_BACKUP_KEEP] [default: 5]
    #[arg(long, global = true, value_name = "N,AGE")]
    pub(crate) backup_keep: Option<String>,
    /// Sessions that dump or restore a PostgreSQL database at the same time; 1 writes a single file
    /// [env: LOCKKEEPER_BACKUP_JOBS] [default: the processors, at most 4]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) backup_jobs: Option<String>,
    /// zstd, gzip or none, with a level as in zstd:3: the compression of PostgreSQL backups [env: LOCKKEEPER_BACKUP_COMPRESS]
    #[arg(long, global = true, value_name = "METHOD")]
    pub(crate) backup_compress: Option<String>,
    /// Limit for the backup [env: LOCKKEEPER_BACKUP_TIMEOUT] [default: off]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) backup_timeout: Option<String>,
    /// The largest file that may be written, as estimated [env: LOCKKEEPER_BACKUP_MAX_SIZE]
    #[arg(long, global = true, value_name = "SIZE")]
    pub(crate) backup_max_size: Option<String>,
    /// The longest time that writing and verifying it may take, as estimated [env: LOCKKEEPER_BACKUP_MAX_TIME]
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) backup_max_time: Option<String>,
    /// The program with its arguments that takes the backup of the way command [env: LOCKKEEPER_BACKUP_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) backup_command: Option<String>,
    /// A program that ends with 0 if there is a base backup for a restore point [env: LOCKKEEPER_BACKUP_BASE_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) backup_base_command: Option<String>,
    /// The pg_dump to use [env: LOCKKEEPER_PG_DUMP]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) pg_dump: Option<String>,
    /// The history table, may be schema.table [env: LOCKKEEPER_HISTORY_TABLE] [default: that of the layout, lockkeeper_history]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) history_table: Option<String>,
    /// Layout of the migrations and of the history: auto or the name of a tool [env: LOCKKEEPER_LAYOUT] [default: auto]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) layout: Option<String>,
    /// Run the plan on a copy made of the backup first, and say what each step does there [env: LOCKKEEPER_REHEARSE]
    #[arg(long, global = true)]
    pub(crate) rehearse: bool,
    /// Fail when the database has revisions that this image does not know [env: LOCKKEEPER_STRICT]
    #[arg(long, global = true)]
    pub(crate) strict: bool,
    /// Create the PostgreSQL database when it does not exist
    #[arg(long, global = true)]
    pub(crate) create_database: bool,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// error, warn, info, debug or off [env: LOCKKEEPER_LOG] [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// auto, text or json [env: LOCKKEEPER_LOG_FORMAT] [default: auto: text on a terminal, else JSON]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}
