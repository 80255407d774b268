//! Projects of migration tools whose migrations are programs: Alembic and Django, from `tests/tools/install`.

use std::path::PathBuf;

use super::binary::Run;
use super::tools::migrations;

/// A tool, with a project of three migrations that make tables and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationTool {
    Alembic,
    Django,
}

/// The environment of Alembic. SQLAlchemy's SQLite dialect leaves the transaction to the driver, which begins none before
/// DDL: with these events, as SQLAlchemy's manual has them, a migration is one transaction there, too.
const ALEMBIC_ENVIRONMENT: &str = r#"
import os
from alembic import context
from sqlalchemy import create_engine, event

engine = create_engine(os.environ["DATABASE_URL"])
if engine.dialect.name == "sqlite":
    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection, record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
"#;

/// The settings of Django, which takes its database from DATABASE_URL.
const DJANGO_SETTINGS: &str = r#"
import os
from urllib.parse import unquote, urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
if url.scheme == "sqlite":
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": url.path[1:], "OPTIONS": {"timeout": 60}}}
else:
    DATABASES = {"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": url.path[1:], "USER": url.username,
        "PASSWORD": unquote(url.password or ""), "HOST": url.hostname, "PORT": url.port,
    }}
SECRET_KEY = os.environ.get("SECRET_KEY", "none")
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"#;

impl MigrationTool {
    /// Returns the words of the command that migrates.
    pub fn command(self) -> Vec<String> {
        let program = |name: &str| migrations(name).display().to_string();
        match self {
            MigrationTool::Alembic => vec![program("alembic"), "upgrade".into(), "head".into()],
            MigrationTool::Django => vec![program("python"), "manage.py".into(), "migrate".into(), "--noinput".into()],
        }
    }

    /// Returns the name by which messages show the command.
    pub fn shown(self) -> &'static str {
        match self {
            MigrationTool::Alembic => "alembic upgrade head",
            MigrationTool::Django => "python manage.py migrate",
        }
    }

    /// Returns the revision of a database after all migrations of the project.
    pub fn head(self) -> &'static str {
        match self {
            MigrationTool::Alembic => "c3",
            MigrationTool::Django => "shop.0003_labels",
        }
    }

    /// Writes the project into the working directory of a run.
    pub fn project(self, run: Run) -> Run {
        match self {
            MigrationTool::Alembic => alembic(run),
            MigrationTool::Django => django(run),
        }
    }

    /// Returns a run of `guard` with this project, and the directory of its backups.
    pub fn guard(self, url: &str, arguments: &[&str]) -> (Run, PathBuf) {
        let run = self.project(Run::new()).url(url).arg("guard").args(arguments.iter().copied());
        let backups = run.dir().join("backups");
        let run = run.env("LOCKKEEPER_BACKUP_DIR", backups.display().to_string()).arg("--").args(self.command());
        (run, backups)
    }
}

fn alembic(run: Run) -> Run {
    let revision = |id: &str, parent: &str, body: &str| {
        format!(
            "from alembic import op\nimport sqlalchemy as sa\nrevision = '{id}'\ndown_revision = {parent}\n\ndef upgrade():\n{body}"
        )
    };
    run.file("alembic.ini", "[alembic]\nscript_location = alembic\npath_separator = os\n")
        .file("alembic/env.py", ALEMBIC_ENVIRONMENT)
        .file(
            "alembic/versions/a1.py",
            revision("a1", "None", "    op.create_table('item', sa.Column('id', sa.Integer, primary_key=True))\n"),
        )
        .file(
            "alembic/versions/b2.py",
            revision(
                "b2",
                "'a1'",
                "    for i in range(300):\n        op.execute(f'INSERT INTO item (id) VALUES ({i})')\n",
            ),
        )
        .file(
            "alembic/versions/c3.py",
            revision("c3", "'b2'", "    op.create_table('label', sa.Column('id', sa.Integer, primary_key=True))\n"),
        )
}

fn django(run: Run) -> Run {
    let migration = |parent: &str, operation: &str| {
        format!(
            "from django.db import migrations, models\n\n\ndef fill(apps, schema):\n    for i in range(300):\n        \
             schema.execute(f'INSERT INTO item (id) VALUES ({{i}})')\n\n\nclass Migration(migrations.Migration):\n    \
             dependencies = [{parent}]\n    operations = [{operation}]\n"
        )
    };
    let table = |name: &str| {
        format!(
            "migrations.CreateModel('{name}', [('id', models.AutoField(primary_key=True))], {{'db_table': '{}'}})",
            name.to_lowercase()
        )
    };
    let manage = "import os, sys\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\n\
                  from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n";
    let models = "from django.db import models\n\n\nclass Item(models.Model):\n    class Meta:\n        db_table = 'item'\n\n\n\
                  class Label(models.Model):\n    class Meta:\n        db_table = 'label'\n";
    run.file("manage.py", manage)
        .file("settings.py", DJANGO_SETTINGS)
        .file("shop/__init__.py", "")
        .file("shop/models.py", models)
        .file("shop/migrations/__init__.py", "")
        .file("shop/migrations/0001_items.py", migration("", &table("Item")))
        .file("shop/migrations/0002_fill.py", migration("('shop', '0001_items')", "migrations.RunPython(fill)"))
        .file("shop/migrations/0003_labels.py", migration("('shop', '0002_fill')", &table("Label")))
}
