//! Migration tools whose migrations are SQL files, run as their users run them. `tests/tools/install` installs them.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::process::{clean_command, run_with_input};
use super::temporary_directory;
use super::tools::{binary, crate_program, node_modules, sql_migrate as sql_migrate_program};

/// The command of a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Applies everything that is pending.
    Up,
    /// Applies the first migrations, numbered from 1, of a database without any.
    UpTo(u32),
    /// Reverts the newest migration.
    Down,
}

/// A run of a tool that has ended.
#[derive(Debug)]
pub struct ToolRun {
    command: String,
    pub code: Option<i32>,
    /// The standard output, and the standard error after it.
    pub output: String,
}

impl ToolRun {
    fn of(command: Command) -> Self {
        let shown = format!("{command:?}");
        let ended = run_with_input(command, "");
        let mut output = String::from_utf8_lossy(&ended.stdout).into_owned();
        output.push_str(&String::from_utf8_lossy(&ended.stderr));
        Self { command: shown, code: ended.status.code(), output }
    }

    /// Panics unless the tool has ended with 0.
    #[track_caller]
    pub fn expect_success(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.command, self.output);
        self
    }

    /// Panics unless the output contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.output.contains(text), "{} does not say {text:?}:\n{}", self.command, self.output);
        self
    }
}

/// The database of a run, from the URL that Lockkeeper takes.
enum Target<'a> {
    Postgres(&'a str),
    /// The absolute path of a file, which exists.
    Sqlite(&'a str),
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Self {
        let Some(path) = url.strip_prefix("sqlite:///") else { return Self::Postgres(url) };
        // Some tools do not make the file.
        File::options().create(true).append(true).open(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::Sqlite(path)
    }

    /// Returns the URL, for SQLite with this prefix before the path.
    fn url(&self, sqlite: &str) -> String {
        match self {
            Self::Postgres(url) => (*url).into(),
            Self::Sqlite(path) => format!("{sqlite}{path}"),
        }
    }

    /// Returns the URL for Go's driver of PostgreSQL, which insists on TLS unless it is told otherwise.
    fn go_url(&self, sqlite: &str) -> String {
        match self {
            Self::Postgres(url) => format!("{url}{}sslmode=disable", if url.contains('?') { '&' } else { '?' }),
            Self::Sqlite(_) => self.url(sqlite),
        }
    }
}

/// Builds a command that runs in an empty directory of its own, which has to outlive it.
fn command(program: impl AsRef<Path>) -> (Command, TempDir) {
    let directory = temporary_directory("tool");
    let mut command = clean_command(program);
    command.current_dir(directory.path()).env("HOME", directory.path());
    (command, directory)
}

/// Runs sqlx's tool.
pub fn sqlx(migrations: &Path, url: &str, step: Step) -> ToolRun {
    let (mut command, _directory) = command(crate_program("sqlx"));
    command.arg("migrate").arg(if step == Step::Down { "revert" } else { "run" });
    command.arg("--source").arg(migrations).args(["--database-url", &Target::parse(url).url("sqlite://")]);
    if let Step::UpTo(version) = step {
        command.args(["--target-version", &version.to_string()]);
    }
    ToolRun::of(command)
}

/// Runs dbmate, which applies everything or reverts one.
pub fn dbmate(migrations: &Path, url: &str, step: Step) -> ToolRun {
    let (mut command, _directory) = command(binary("dbmate"));
    command.args(["--no-dump-schema", "--url", &Target::parse(url).go_url("sqlite:")]);
    command.arg("--migrations-dir").arg(migrations).arg(match step {
        Step::Up => "up",
        Step::Down => "down",
        Step::UpTo(_) => panic!("dbmate applies everything"),
    });
    ToolRun::of(command)
}

/// Runs sql-migrate.
pub fn sql_migrate(migrations: &Path, url: &str, step: Step) -> ToolRun {
    let (mut command, directory) = command(sql_migrate_program());
    let target = Target::parse(url);
    let dialect = if matches!(target, Target::Sqlite(_)) { "sqlite3" } else { "postgres" };
    let settings = format!("dialect: {dialect}\n  datasource: {}\n  dir: {}", target.go_url(""), migrations.display());
    fs::write(directory.path().join("dbconfig.yml"), format!("development:\n  {settings}\n")).expect("the settings");
    match step {
        Step::Up => command.arg("up"),
        Step::UpTo(count) => command.args(["up", &format!("-limit={count}")]),
        Step::Down => command.arg("down"),
    };
    ToolRun::of(command)
}

/// Runs refinery's tool, which only applies.
pub fn refinery(migrations: &Path, url: &str, step: Step) -> ToolRun {
    let (mut command, _directory) = command(crate_program("refinery"));
    command.env("DATABASE_URL", Target::parse(url).url("sqlite://"));
    command.args(["migrate", "-e", "DATABASE_URL", "-p"]).arg(migrations);
    match step {
        Step::Up => {}
        Step::UpTo(version) => {
            command.args(["-t", &version.to_string()]);
        }
        Step::Down => panic!("refinery reverts nothing"),
    }
    ToolRun::of(command)
}

/// Runs diesel's tool, which applies everything or reverts one.
pub fn diesel(migrations: &Path, url: &str, step: Step) -> ToolRun {
    let (mut command, _directory) = command(crate_program("diesel"));
    command.args(["migration", "--database-url", &Target::parse(url).url("")]);
    command.arg("--migration-dir").arg(migrations).arg(match step {
        Step::Up => "run",
        Step::Down => "revert",
        Step::UpTo(_) => panic!("diesel's tool applies everything"),
    });
    ToolRun::of(command)
}

/// The settings of Prisma. Its engine runs as the WebAssembly in its package: the native program is no part of a package. It
/// then reaches the database by a driver of Node.js, and two habits of these drivers are changed to the native program's:
/// a file goes to PostgreSQL as one query, and times in SQLite are milliseconds.
const PRISMA_SETTINGS: &str = r#"
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaLibSQL } from "@prisma/adapter-libsql";

const url = process.env.DATABASE_URL;

class OneQuery extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    adapter.executeScript = (script) => adapter.client.query(script).then(() => {}, (error) => adapter.onError(error));
    return adapter;
  }
}

export default {
  experimental: { adapter: true },
  engine: "js",
  schema: "schema.prisma",
  migrations: { path: process.env.MIGRATIONS },
  adapter: async () =>
    url.startsWith("file:")
      ? new PrismaLibSQL({ url }, { timestampFormat: "unixepoch-ms" })
      : new OneQuery({ connectionString: url }),
};
"#;

/// Runs `prisma migrate deploy`, which applies everything.
pub fn prisma(migrations: &Path, url: &str) -> ToolRun {
    prisma_migrate(migrations, url, &["deploy"])
}

/// Runs `prisma migrate resolve --applied`, which records a migration without running it.
pub fn prisma_resolve_applied(migrations: &Path, url: &str, name: &str) -> ToolRun {
    prisma_migrate(migrations, url, &["resolve", "--applied", name])
}

fn prisma_migrate(migrations: &Path, url: &str, arguments: &[&str]) -> ToolRun {
    let (mut command, directory) = command(binary("node"));
    let target = Target::parse(url);
    let provider = if matches!(target, Target::Sqlite(_)) { "sqlite" } else { "postgresql" };
    let write =
        |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file of Prisma's project");
    write("prisma.config.mjs", PRISMA_SETTINGS);
    write(
        "schema.prisma",
        &format!("datasource db {{\n  provider = \"{provider}\"\n  url = env(\"DATABASE_URL\")\n}}\n"),
    );
    symlink(node_modules(), directory.path().join("node_modules")).expect("a link to the packages");
    command.args(["node_modules/prisma/build/index.js", "migrate"]).args(arguments);
    command.env("DATABASE_URL", target.url("file:")).env("MIGRATIONS", migrations);
    // Prisma would look for news of itself, and download an engine for queries, which no migration uses: any file will do.
    command.env("CHECKPOINT_DISABLE", "1").env("PRISMA_QUERY_ENGINE_LIBRARY", binary("node"));
    ToolRun::of(command)
}
