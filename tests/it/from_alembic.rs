//! Tests of the migration of an Alembic project with Alembic itself: the commands of `docs/from-alembic.md` run as they
//! are printed.

use std::fs;
use std::path::Path;

use crate::support::guide::{Workspace, lines};
use crate::support::postgres::Postgres;
use crate::support::sqlite;
use crate::support::tools::migrations;

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

/// A project of two revisions in a directory of its own, with `lockkeeper` and `alembic` on its PATH.
struct Project {
    workspace: Workspace,
    url: String,
}

impl Project {
    fn new(url: impl Fn(&Path) -> String) -> Project {
        let workspace = Workspace::new();
        for (name, text) in [
            ("alembic.ini", "[alembic]\nscript_location = alembic\n"),
            ("alembic/env.py", ENVIRONMENT),
            ("alembic/versions/a1_agents.py", AGENTS),
            ("alembic/versions/b2_events.py", EVENTS),
        ] {
            let path = workspace.path().join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file of the project");
        }
        workspace.program("alembic", &migrations("alembic"));
        let url = url(workspace.path());
        Project { workspace, url }
    }

    #[track_caller]
    fn expect(&self, line: &str, url: &str, code: i32) -> String {
        let (ended, out, log) = self.workspace.shell(line, Some(url));
        assert_eq!(ended, code, "{line}\n{out}{log}");
        log
    }
}

/// Follows the guide on a database that Alembic has migrated, then brings a new one to the same state.
fn follow_the_guide(project: &Project, fresh: &str) {
    project.expect("alembic upgrade head", &project.url, 0);
    for line in lines("from-alembic.md") {
        let log = project.expect(&line.command, &project.url, line.code);
        if line.code == 78 {
            assert!(log.contains("Alembic") && log.contains("b2c3d4e5f6a7"), "{log}");
            assert!(log.contains("lockkeeper stamp 0001"), "{log}");
        }
    }
    let log = project.expect("lockkeeper upgrade", fresh, 0);
    assert!(log.contains("up to date at 0002"), "{log}");
}

#[test]
fn an_alembic_project_on_sqlite_can_continue_with_lockkeeper() {
    let project = Project::new(|root| format!("sqlite:///{}", root.join("app.db").display()));
    let fresh = project.workspace.path().join("fresh.db");
    follow_the_guide(&project, &format!("sqlite:///{}", fresh.display()));
    let live = project.workspace.path().join("app.db");
    // Alembic indents executed statements with tabs and printed ones with spaces.
    let schema = |path: &Path| sqlite::schema(path).replace('\t', "    ");
    assert_eq!(schema(&live), schema(&fresh));
    for path in [&live, &fresh] {
        assert_eq!(sqlite::value(path, "select name from agents;"), "it's: first");
    }
}

#[test]
fn an_alembic_project_on_postgresql_can_continue_with_lockkeeper() {
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
