"""The databases of the benchmarks: a PostgreSQL server, and SQLite files."""

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from measure import Command, run

PASSWORD = "bench"
# A role that may log in without a password: its handshake is one message.
PROBE = "probe"


class Postgres:
    """A server in a directory of its own. `preload` is a library for all of its processes."""

    engine = "postgres"
    include = "\\i"

    def __init__(self, binary, directory, name, fsync=True, preload=None):
        self.binary = binary
        self.directory = directory
        self.name = name
        self.fsync = fsync
        self.preload = preload
        self.port = free_port()
        # The port that clients use, which is another one behind a proxy.
        self.client_port = self.port
        self.programs = programs()
        self.server = None
        self.count = 0
        self.create()
        self.boot()

    def create(self):
        self.directory.mkdir()
        give_to_server(self.directory)
        password = self.directory / "password"
        password.write_text(PASSWORD)
        give_to_server(password)
        data = self.directory / "data"
        arguments = ["-A", "scram-sha-256", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        run(as_server([self.programs / "initdb", *arguments, "--pwfile", password, "-D", data]), directory=self.directory)
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(f"\nport = {self.port}\nlisten_addresses = '127.0.0.1'\nfsync = {'on' if self.fsync else 'off'}\n")
            conf.write(f"unix_socket_directories = '{self.directory}'\ndynamic_shared_memory_type = mmap\n")
        hba = data / "pg_hba.conf"
        hba.write_text(f"host all {PROBE} 127.0.0.1/32 trust\n{hba.read_text()}")

    def launch(self):
        environment = {**os.environ, "LD_PRELOAD": str(self.preload)} if self.preload else None
        with (self.directory / "log").open("a") as log:
            command = as_server([self.programs / "postgres", "-D", self.directory / "data"])
            self.server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def boot(self):
        self.launch()
        self.first_login("postgres", "postgres")
        self.sql(f"DO $$ BEGIN CREATE ROLE {PROBE} LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")

    def stop(self):
        if self.server:
            self.server.send_signal(signal.SIGINT)
            self.server.wait()
            self.server = None

    def first_login(self, database, user=PROBE):
        """Retries until a login is accepted, or a password is requested; returns the time of that."""
        give_up = time.time() + 60
        while time.time() < give_up:
            if answer(self.port, user, database) == b"R":
                return time.time()
            if self.server.poll() is not None:
                break
            time.sleep(0.001)
        sys.exit("PostgreSQL does not come up:\n" + (self.directory / "log").read_text()[-2000:])

    def environment(self, database="postgres"):
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": database,
        }

    def sql(self, sql, database="postgres"):
        arguments = [self.programs / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        return run(arguments, self.environment(database), text=sql).strip()

    def fresh(self):
        """Creates an empty database and connects to it: the first session builds the server's catalogue cache."""
        self.count += 1
        database = f"bench{self.count}"
        self.sql(f"CREATE DATABASE {database} TEMPLATE template0")
        self.sql("SELECT 1", database)
        return database

    def remove(self, database):
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def url(self, database):
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.client_port}/{database}"

    def touch(self, database):
        """Does nothing: the database exists."""

    def ours(self, database, migrations, *arguments):
        environment = {"DATABASE_URL": self.url(database), "LOCKKEEPER_DIR": str(migrations)}
        return Command([self.binary, *arguments], environment, self.directory)

    def theirs(self, database, *arguments):
        program = [self.programs / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments]
        environment = {**self.environment(database), "PGPORT": str(self.client_port)}
        return Command(program, environment, self.directory)

    def select_one(self, database):
        return self.theirs(database, "-c", "select 1")

    def run_script(self, database, script):
        return self.theirs(database, "-f", script)


class Sqlite:
    """SQLite files in one directory, on the disk or in memory, where the disk does not matter."""

    engine = "sqlite"
    include = ".read"

    def __init__(self, binary, directory, name):
        self.binary = binary
        self.directory = directory
        self.name = name
        self.shell = shutil.which("sqlite3") or sys.exit("no sqlite3 on PATH: run tests/install")
        self.count = 0

    def stop(self):
        pass

    def fresh(self):
        self.count += 1
        return f"bench{self.count}.db"

    def remove(self, database):
        for file in self.directory.glob(f"{database}*"):
            file.unlink()

    def url(self, database):
        return str(self.directory / database)

    def touch(self, database):
        (self.directory / database).touch()

    def sql(self, sql, database):
        return run([self.shell, "-bail", self.directory / database], text=sql).strip()

    def ours(self, database, migrations, *arguments):
        environment = {"DATABASE_URL": f"sqlite:///{self.directory / database}", "LOCKKEEPER_DIR": str(migrations)}
        return Command([self.binary, *arguments], environment, self.directory)

    def select_one(self, database):
        return Command([self.shell, self.directory / database, "select 1"], {}, self.directory)

    def run_script(self, database, script):
        return Command([self.shell, "-bail", self.directory / database, f".read {script}"], {}, self.directory)


def answer(port, user, database):
    """Returns the first byte of the server's answer to a login: R is success or a request, E is an error, empty is no server."""
    words = b"".join(word.encode() + b"\0" for word in ["user", user, "database", database]) + b"\0"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack("!ii", 8 + len(words), 3 << 16) + words)
            return connection.recv(1)
    except OSError:
        return b""


def programs():
    """Returns the directory of the newest PostgreSQL's programs. Debian's psql on PATH is a Perl script around the real one."""
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "postgres").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    found = shutil.which("postgres") or sys.exit("no PostgreSQL server is installed: run tests/install")
    return Path(found).resolve().parent


def as_server(command):
    """Drops root: PostgreSQL refuses to run as root. The server dies with the bench."""
    drop = ["--reuid", "postgres", "--regid", "postgres", "--init-groups"] if os.geteuid() == 0 else []
    return ["setpriv", "--pdeathsig", "QUIT", *drop, "--", *[str(part) for part in command]]


def give_to_server(path):
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(path, user.pw_uid, user.pw_gid)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
