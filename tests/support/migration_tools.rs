//! Projects of migration tools whose migrations are programs: Alembic and Django, from `tests/tools/install`, and
//! ActiveRecord, from `tests/install`.

use std::path::PathBuf;

use super::binary::Run;
use super::tools::migrations;

/// A tool, with a project of three migrations that make tables and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationTool {
    Alembic,
    Django,
    /// The library that is Rails' migrations.
    ActiveRecord,
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
            MigrationTool::ActiveRecord => vec!["ruby".into(), "migrate.rb".into()],
        }
    }

    /// Returns the name by which messages show the command.
    pub fn shown(self) -> &'static str {
        match self {
            MigrationTool::Alembic => "alembic upgrade head",
            MigrationTool::Django => "python manage.py migrate",
            MigrationTool::ActiveRecord => "ruby migrate.rb",
        }
    }

    /// Returns the revision of a database after all migrations of the project.
    pub fn head(self) -> &'static str {
        match self {
            MigrationTool::Alembic => "c3",
            MigrationTool::Django => "shop.0003_labels",
            MigrationTool::ActiveRecord => "3",
        }
    }

    /// Returns the files of the project: their names and texts.
    pub fn files(self) -> Vec<(&'static str, String)> {
        match self {
            MigrationTool::Alembic => alembic(),
            MigrationTool::Django => django(),
            MigrationTool::ActiveRecord => active_record(),
        }
    }

    /// Returns the arguments of `guard` that this tool needs to find out whether something is pending.
    fn check(self) -> Vec<String> {
        match self {
            MigrationTool::Alembic | MigrationTool::Django => Vec::new(),
            MigrationTool::ActiveRecord => vec!["--pending-command".into(), "ruby migrate.rb pending".into()],
        }
    }

    /// Returns a run of `guard` with this project, and the directory of its backups.
    pub fn guard(self, url: &str, arguments: &[&str]) -> (Run, PathBuf) {
        let run = self.files().into_iter().fold(Run::new(), |run, (name, text)| run.file(name, text));
        let run = run.url(url).arg("guard").args(self.check()).args(arguments.iter().copied());
        let backups = run.dir().join("backups");
        let run = run.env("LOCKKEEPER_BACKUP_DIR", backups.display().to_string()).arg("--").args(self.command());
        (run, backups)
    }
}

fn alembic() -> Vec<(&'static str, String)> {
    let revision = |id: &str, parent: &str, up: &str, down: &str| {
        format!(
            "from alembic import op\nimport sqlalchemy as sa\nrevision = '{id}'\ndown_revision = {parent}\n\n\
             def upgrade():\n    {up}\n\ndef downgrade():\n    {down}\n"
        )
    };
    let table = |name: &str| format!("op.create_table('{name}', sa.Column('id', sa.Integer, primary_key=True))");
    let fill = "for i in range(300):\n        op.execute(f'INSERT INTO item (id) VALUES ({i})')";
    vec![
        ("alembic.ini", "[alembic]\nscript_location = alembic\npath_separator = os\n".into()),
        ("alembic/env.py", ALEMBIC_ENVIRONMENT.into()),
        ("alembic/versions/a1.py", revision("a1", "None", &table("item"), "op.drop_table('item')")),
        ("alembic/versions/b2.py", revision("b2", "'a1'", fill, "op.execute('DELETE FROM item')")),
        ("alembic/versions/c3.py", revision("c3", "'b2'", &table("label"), "op.drop_table('label')")),
    ]
}

fn django() -> Vec<(&'static str, String)> {
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
    vec![
        ("manage.py", manage.into()),
        ("settings.py", DJANGO_SETTINGS.into()),
        ("shop/__init__.py", String::new()),
        ("shop/models.py", models.into()),
        ("shop/migrations/__init__.py", String::new()),
        ("shop/migrations/0001_items.py", migration("", &table("Item"))),
        ("shop/migrations/0002_fill.py", migration("('shop', '0001_items')", "migrations.RunPython(fill)")),
        ("shop/migrations/0003_labels.py", migration("('shop', '0002_fill')", &table("Label"))),
    ]
}

/// A program that migrates as `rails db:migrate` does, or ends as `rails db:abort_if_pending_migrations`.
const ACTIVE_RECORD_PROGRAM: &str = r#"
require "active_record"
ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL").sub(/\Asqlite:/, "sqlite3:"))
ActiveRecord::Base.connection.execute("PRAGMA busy_timeout = 60000") if ActiveRecord::Base.connection.adapter_name == "SQLite"
migrations = ActiveRecord::MigrationContext.new("db/migrate", ActiveRecord::SchemaMigration)
exit(migrations.needs_migration? ? 1 : 0) if ARGV == ["pending"]
migrations.migrate
"#;

fn active_record() -> Vec<(&'static str, String)> {
    let migration = |name: &str, body: &str| {
        format!("class {name} < ActiveRecord::Migration[6.1]\n  def up\n    {body}\n  end\nend\n")
    };
    vec![
        ("migrate.rb", ACTIVE_RECORD_PROGRAM.into()),
        ("db/migrate/1_items.rb", migration("Items", "create_table(:item)")),
        (
            "db/migrate/2_fill.rb",
            migration("Fill", "300.times { |i| execute(\"INSERT INTO item (id) VALUES (#{i})\") }"),
        ),
        ("db/migrate/3_labels.rb", migration("Labels", "create_table(:label)")),
    ]
}
