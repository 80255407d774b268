"""The other tools that run the same revisions, called as their users call them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import install
import layouts
from measure import Command, CommandError

# In seconds, for one run.
LIMIT = 120


@dataclass(frozen=True)
class Peer:
    """A tool: its program, its directory of the revisions, its arguments and environment, and the kinds of databases it knows."""

    name: str
    program: Path
    layout: Callable
    arguments: Callable
    kinds: tuple = ("postgres", "sqlite")

    def size(self):
        """Returns the bytes of the program, or of the packages that it is."""
        if self.name == "Alembic":
            return install.packages_size()
        return self.program.stat().st_size if self.program.exists() else None

    def command(self, database, name, source):
        """Returns the command that applies the revisions in `source` to a database."""
        if not self.program.exists():
            raise CommandError("it is not installed")
        # Some tools do not make the file.
        database.touch(name)
        directory = self.layout(source, database.engine)
        arguments, environment = self.arguments(database.engine, database.url(name), directory)
        return Command([self.program, *arguments], environment, database.directory, LIMIT)


def all_of(engine):
    """Returns the tools that know a kind of database."""
    return [peer for peer in PEERS if engine in peer.kinds]


def dbmate(engine, url, directory):
    # Go's driver of PostgreSQL insists on TLS unless it is told otherwise.
    url = f"{url}?sslmode=disable" if engine == "postgres" else f"sqlite:{url}"
    return ["--no-dump-schema", "--url", url, "--migrations-dir", directory, "migrate"], {}


def sqlx(engine, url, directory):
    url = url if engine == "postgres" else f"sqlite://{url}"
    return ["migrate", "run", "--source", directory, "--database-url", url], {}


def diesel(_engine, url, directory):
    return ["migration", "run", "--database-url", url, "--migration-dir", directory], {}


def refinery(engine, url, directory):
    environment = {"DATABASE_URL": url if engine == "postgres" else f"sqlite://{url}"}
    return ["migrate", "-e", "DATABASE_URL", "-p", directory], environment


def waypoint(_engine, url, directory):
    return ["--url", url, "--locations", directory, "migrate"], {}


def alembic(engine, url, directory):
    url = url.replace("postgresql:", "postgresql+psycopg2:") if engine == "postgres" else f"sqlite:///{url}"
    environment = {"DATABASE_URL": url}
    return ["-c", directory / "alembic.ini", "upgrade", "head"], environment


PEERS = [
    Peer("dbmate", install.PYTHON / "bin" / "dbmate", layouts.dbmate, dbmate),
    Peer("sqlx", install.CRATES / "bin" / "sqlx", layouts.same, sqlx),
    Peer("diesel", install.CRATES / "bin" / "diesel", layouts.diesel, diesel),
    Peer("refinery", install.CRATES / "bin" / "refinery", layouts.flyway, refinery),
    Peer("waypoint", install.CRATES / "bin" / "waypoint", layouts.flyway, waypoint, ("postgres",)),
    Peer("Alembic", install.PYTHON / "bin" / "alembic", layouts.alembic, alembic),
]
