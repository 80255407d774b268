//! Adopting an Alembic project, with Alembic itself: the commands of `docs/from-alembic.md`, run as they are printed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::postgres::Postgres;
use crate::support::{sqlite, temporary_folder};

const ENVIRONMENT: &str = r#"
import os
from alembic import context
from sqlalchemy import create_engine

url = os.environ["DATABASE_URL"]
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"#;

const AGENTS: &str = r#"
import sqlalchemy as sa
from alembic import op

revision = "a1b2c3d4e5f6"
down_revision = None


def upgrade():
    op.create_table(
        "agents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("active", sa.Boolean, nullable=False, server_default=sa.true()),
    )


def downgrade():
    op.drop_table("agents")
"#;

const EVENTS: &str = r#"
import sqlalchemy as sa
from alembic import op

revision = "b2c3d4e5f6a7"
down_revision = "a1b2c3d4e5f6"


def upgrade():
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("agent_id", sa.Integer, sa.ForeignKey("agents.id"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
    )
    op.create_index("events_agent_id_idx", "events", ["agent_id"])
    op.execute("INSERT INTO agents (name) VALUES ('it''s: first')")


def downgrade():
    op.drop_table("events")
"#;

/// The folder of the programs of a virtual environment with Alembic and a driver for PostgreSQL in it, made once.
fn alembic() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alembic");
        let bin = home.join("bin");
        if !bin.join("complete").exists() {
            let _ = fs::remove_dir_all(&home);
            let mut venv = Command::new("python3");
            must_run(venv.args(["-m", "venv"]).arg(&home));
            let mut pip = Command::new(bin.join("pip"));
            must_run(pip.args(["install", "--quiet", "alembic<2", "psycopg2-binary<3"]));
            fs::write(bin.join("complete"), "").expect("a mark");
        }
        bin
    })
}

/// Python and pip see the machine's own environment: it knows where packages come from.
fn must_run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A project of two revisions in a folder of its own, with `lockkeeper` and `alembic` on its PATH.
struct Project {
    folder: tempfile::TempDir,
    url: String,
}

impl Project {
    fn new(url: impl Fn(&Path) -> String) -> Project {
        let folder = temporary_folder("alembic");
        let root = folder.path();
        for (name, text) in [
            ("alembic.ini", "[alembic]\nscript_location = alembic\n"),
            ("alembic/env.py", ENVIRONMENT),
            ("alembic/versions/a1_agents.py", AGENTS),
            ("alembic/versions/b2_events.py", EVENTS),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file of the project");
        }
        fs::create_dir(root.join("bin")).expect("a folder");
        symlink(env!("CARGO_BIN_EXE_lockkeeper"), root.join("bin/lockkeeper")).expect("a link");
        symlink(alembic().join("alembic"), root.join("bin/alembic")).expect("a link");
        let url = url(root);
        Project { folder, url }
    }

    /// Runs a line of the guide in bash; returns its code and all that it said.
    fn shell(&self, line: &str, url: &str) -> (i32, String) {
        let root = self.folder.path();
        let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", line]).current_dir(root).env_clear();
        command
            .env("PATH", path)
            .env("HOME", root)
            .env("DATABASE_URL", url)
            .env("LOCKKEEPER_LOG_FORMAT", "text");
        let output = command.output().expect("bash");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }

    #[track_caller]
    fn expect(&self, line: &str, code: i32) -> String {
        let (ended, said) = self.shell(line, &self.url);
        assert_eq!(ended, code, "{line}\n{said}");
        said
    }
}

/// The lines behind `$ ` in the guide, each with the code that it ends with.
fn commands() -> Vec<(String, i32)> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-alembic.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let lines = guide.lines().filter_map(|line| line.strip_prefix("$ "));
    let commands: Vec<_> = lines
        .map(|line| match line.split_once("  # ends ") {
            Some((line, code)) => (line.to_owned(), code.parse().expect("a code")),
            None => (line.to_owned(), 0),
        })
        .collect();
    assert!(commands.len() > 10, "the guide has lost its commands: {commands:?}");
    commands
}

/// Does what the guide says on a database that Alembic has migrated, then brings a new one to the same state.
fn follow_the_guide(project: &Project, fresh: &str) {
    project.expect("alembic upgrade head", 0);
    for (line, code) in commands() {
        let said = project.expect(&line, code);
        if code == 78 {
            assert!(said.contains("Alembic") && said.contains("b2c3d4e5f6a7"), "{said}");
            assert!(said.contains("lockkeeper stamp 0001"), "{said}");
        }
    }
    let (code, said) = project.shell("lockkeeper upgrade", fresh);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("settled at 0002"), "{said}");
}

#[test]
fn an_alembic_project_on_sqlite_goes_on_with_lockkeeper() {
    let project = Project::new(|root| format!("sqlite:///{}", root.join("app.db").display()));
    let fresh = project.folder.path().join("fresh.db");
    follow_the_guide(&project, &format!("sqlite:///{}", fresh.display()));
    let live = project.folder.path().join("app.db");
    assert_eq!(sqlite::schema(&live), sqlite::schema(&fresh));
    for path in [&live, &fresh] {
        assert_eq!(sqlite::value(path, "select name from agents;"), "it's: first");
    }
}

#[test]
fn an_alembic_project_on_postgresql_goes_on_with_lockkeeper() {
    let live = Postgres::shared().database("alembic");
    let fresh = Postgres::shared().database("alembic_fresh");
    let with_driver = |url: &str| url.replacen("postgresql://", "postgresql+psycopg2://", 1);
    let project = Project::new(|_| with_driver(&live.url()));
    assert!(project.url.starts_with("postgresql+psycopg2://"), "{}", project.url);
    follow_the_guide(&project, &with_driver(&fresh.url()));
    assert_eq!(live.dump_schema(), fresh.dump_schema());
    for database in [&live, &fresh] {
        assert_eq!(database.value("select name from agents"), "it's: first");
    }
}
