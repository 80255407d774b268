"""Writes the same revisions as the directories of other tools."""

from pathlib import Path

# Larger files are read by the revision of Alembic that runs them.
INLINE = 100_000
ALEMBIC = '''from pathlib import Path

from alembic import op

revision = {revision!r}
down_revision = {before!r}


def upgrade():
{body}
'''
ALEMBIC_ENVIRONMENT = '''import os

from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
'''


def written(source, layout, write):
    """Returns the directory of a layout beside that of the revisions, written by a function unless it exists."""
    target = source.parent / f"{source.name}-{layout}"
    if not target.exists():
        target.mkdir()
        for at, file in enumerate(sorted(source.glob("*.up.sql")), 1):
            write(target, at, file)
    return target


def same(source, _kind):
    return source


def flyway(source, _kind):
    """Returns files such as V12__add_name.sql, which refinery knows as well."""
    return written(source, "flyway", lambda target, at, file: (target / f"V{at}__{described(file)}.sql").symlink_to(file))


def dbmate(source, _kind):
    def write(target, at, file):
        (target / f"{at:05}_{described(file)}.sql").write_text(f"-- migrate:up\n{file.read_text()}\n-- migrate:down\n")

    return written(source, "dbmate", write)


def diesel(source, _kind):
    def write(target, at, file):
        folder = target / f"{at:05}_{described(file)}"
        folder.mkdir()
        (folder / "up.sql").symlink_to(file)

    return written(source, "diesel", write)


def alembic(source, kind):
    """Returns a project of Alembic's. The driver of SQLite takes one statement at a time, that of PostgreSQL a whole file."""

    def write(target, at, file):
        versions = target / "versions"
        versions.mkdir(exist_ok=True)
        text = ALEMBIC.format(revision=f"{at:05}", before=f"{at - 1:05}" if at > 1 else None, body=alembic_body(file, kind))
        (versions / f"{at:05}_{described(file)}.py").write_text(text)

    target = written(source, f"alembic-{kind}", write)
    (target / "env.py").write_text(ALEMBIC_ENVIRONMENT)
    (target / "alembic.ini").write_text(f"[alembic]\nscript_location = {target}\n")
    return target


def alembic_body(file, kind):
    if kind == "postgres":
        sql = f"Path({str(file)!r}).read_text()" if file.stat().st_size > INLINE else repr(file.read_text())
        return f"    op.execute({sql})"
    if file.stat().st_size > INLINE:
        return f"    with open({str(file)!r}) as statements:\n        for statement in statements:\n            op.execute(statement)"
    statements = [part for part in file.read_text().split(";\n") if part.strip()]
    return "\n".join(f"    op.execute({statement!r})" for statement in statements)


def described(file):
    return Path(file).name.removesuffix(".up.sql").partition("_")[2]
