"""The tools that a transfer from SQLite to PostgreSQL is compared with: the server's own COPY, pgloader, and two shells."""

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import chinook
import devops_hub
from measure import Command, high_water, run

HERE = Path(__file__).resolve().parent
MIGRATIONS = HERE.parent / "migrations" / "postgres"
# The history table and its journal are not transferred.
HISTORY = "^lockkeeper_history"


@dataclass
class Taken:
    """The cost of one run; times are in seconds."""

    wall: float
    client: float
    server: float
    peak: int
    program: str
    output: str

    @property
    def processor(self):
        return self.client + self.server


def measured(command, server):
    """Runs a command. The server's time is that of all its processes, including those that have ended."""
    before = processor(server)
    name = os.path.basename(command.arguments[0])[:15]
    began = time.perf_counter()
    pid = command.start()
    peak = 0
    while True:
        peak = max(peak, high_water(pid, name))
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(0.02 if peak else 0.001)
    wall = time.perf_counter() - began
    if status:
        # Another tool may fail with a table of this size: that is a result, too.
        last = [line for line in command.output.read_text(errors="replace").splitlines() if line.strip()][-1:]
        say(f"{name} ended with {os.waitstatus_to_exitcode(status)}: {' '.join(last)[:200]}")
        return None
    return Taken(wall, usage.ru_utime + usage.ru_stime, processor(server) - before, peak, name, command.output.read_text())


def processor(server):
    """Returns the CPU time of a server and its children: those that run, and those that it has waited for."""
    ticks = sum(stat(server)[11:15])
    for child in Path(f"/proc/{server}/task/{server}/children").read_text().split():
        try:
            ticks += sum(stat(child)[11:15])
        except FileNotFoundError:
            # It has ended since its directory was listed, and is counted by its parent a moment later.
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def stat(pid):
    """Returns the numbers of proc(5) from the third one on."""
    return [int(word) if word.lstrip("-").isdigit() else 0 for word in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()]


def phases(output):
    """Returns the duration of the phases of our own run from its log, in seconds: copying, building, comparing."""
    took = {"copied": 0.0, "built": 0.0, "compared": 0.0}
    for line in output.splitlines():
        if line.startswith("{") and (entry := json.loads(line)).get("duration_ms") is not None:
            first = entry["message"].split(" ", 1)[0]
            if first in took:
                took[first] += entry["duration_ms"] / 1000
    return took


class Rival:
    """One source, and every tool that transfers it into a new database with the tables."""

    def __init__(self, bench, database, source, migrations):
        self.bench = bench
        self.database = database
        self.source = source
        self.migrations = migrations
        self.files = bench.directory / "csv"
        self.state = None
        # Nothing else runs meanwhile, such as autovacuum.
        database.sql("ALTER SYSTEM SET autovacuum = off")
        database.sql("SELECT pg_reload_conf()")

    def on_fresh(self, command):
        """Runs a command on a database of its own; creating and removing it is not measured."""
        name = self.prepared()
        taken = measured(command(name), self.server())
        left = self.left(name)
        if taken and left != self.state:
            say(f"{taken.program} has left {left}, and a transfer {self.state}")
        self.database.remove(name)
        return taken

    def left(self, name):
        """Returns the result: the numbers of rows, indexes and constraints. A tool that does less is faster."""
        rows = " + ".join(f"(SELECT count(*) FROM {table})" for table in self.tables(name))
        return self.database.sql(
            f"SELECT {rows} || ' rows, ' || (SELECT count(*) FROM pg_index WHERE indisvalid AND indrelid >= 16384) || ' indexes, ' || "
            "(SELECT count(*) FROM pg_constraint WHERE convalidated AND conrelid >= 16384) || ' constraints'",
            name,
        )

    def server(self):
        """Returns the process that setpriv has executed."""
        return self.database.server.pid

    def prepared(self):
        name = self.database.fresh()
        self.database.ours(name, self.migrations, "upgrade").seconds()
        self.database.sql("CHECKPOINT")
        return name

    def ours(self, name, verb="transfer"):
        return self.database.ours(name, self.migrations, verb, "--from", f"sqlite:///{self.source}", "--log-format", "json")

    def pgloader(self, name):
        target = f"postgresql://postgres:bench@127.0.0.1:{self.database.port}/{name}"
        text = (HERE / "pgloader.load").read_text().replace("{{SOURCE}}", str(self.source)).replace("{{TARGET}}", target)
        load = self.bench.directory / "pgloader.load"
        load.write_text(text)
        program = [shutil.which("pgloader"), "--on-error-stop", "--root-dir", self.bench.directory / "pgloader", load]
        return Command(program, {}, self.bench.directory)

    def copy(self, name):
        """The server reads the rows from files of its own: they were converted before."""
        return self.script(name, lambda table, columns: f"COPY {table} ({columns}) FROM '{self.files}/{table}.csv' (FORMAT csv);")

    def shell(self, name):
        """psql reads what sqlite3 prints. The result is not compared."""

        def copy(table, columns):
            query = f"sqlite3 -readonly -csv {self.source} 'SELECT {columns} FROM {table}'"
            return "\\copy {} ({}) FROM PROGRAM '{}' (FORMAT csv)".format(table, columns, query.replace("'", "''"))

        return self.script(name, copy)

    def script(self, name, copy):
        """Drops constraints and indexes, loads the rows and builds all again in one transaction, as a transfer does."""
        ask = lambda sql: self.database.sql(sql, name).splitlines()
        tables = self.tables(name)
        away, back = [], []
        for kinds in ("f", "pu"):
            constraints = ask(
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I|ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, "
                "conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint "
                f"WHERE strpos('{kinds}', contype::text) > 0 AND conrelid::regclass::text = ANY ('{{{','.join(tables)}}}') ORDER BY oid"
            )
            away += [line.split("|")[0] for line in constraints]
            back = [line.split("|", 1)[1] for line in constraints] + back
        indexes = ask(
            "SELECT format('DROP INDEX %s|%s', i.indexrelid::regclass, pg_get_indexdef(i.indexrelid)) FROM pg_index i "
            f"WHERE i.indrelid::regclass::text = ANY ('{{{','.join(tables)}}}') AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)"
        )
        away += [line.split("|")[0] for line in indexes]
        back = [line.split("|", 1)[1] for line in indexes] + back
        # Foreign keys are added last, after the statistics.
        foreign = [line for line in back if "FOREIGN KEY" in line]
        back = [line for line in back if line not in foreign]
        rows = [copy(table, columns) for table, columns in tables.items()]
        marks = ask(
            "SELECT format('SELECT setval(%L, coalesce((SELECT max(%I) FROM %s), 1))', pg_get_serial_sequence(attrelid::regclass::text, attname), attname, "
            f"attrelid::regclass) FROM pg_attribute WHERE attidentity <> '' AND attrelid::regclass::text = ANY ('{{{','.join(tables)}}}')"
        )
        steps = ["BEGIN"] + away + ["LF"] + back + [f"ANALYZE {table}" for table in tables] + foreign + marks + ["COMMIT"]
        lines = "".join("\n".join(rows) + "\n" if step == "LF" else f"{step};\n" for step in steps)
        script = self.bench.directory / f"{name}.sql"
        script.write_text(lines)
        return self.database.theirs(name, "-o", "/dev/null", "-f", script)

    def tables(self, name):
        """Returns the columns that are written, by table."""
        rows = self.database.sql(
            "SELECT c.oid::regclass, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            f"WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname !~ '{HISTORY}' AND a.attnum > 0 AND NOT a.attisdropped "
            "GROUP BY c.oid ORDER BY c.oid",
            name,
        )
        return dict(line.split("|") for line in rows.splitlines())

    def convert(self):
        """Writes the files that `copy` reads, from a transferred database, whose name it returns."""
        name = self.prepared()
        self.ours(name).seconds()
        self.state = self.left(name)
        shutil.rmtree(self.files, ignore_errors=True)
        self.files.mkdir()
        self.files.chmod(0o777)
        for table, columns in self.tables(name).items():
            self.database.sql(f"COPY (SELECT {columns} FROM {table}) TO '{self.files}/{table}.csv' (FORMAT csv)", name)
        return name


def large(bench, database, events):
    """Returns DevOps Hub's database, by default of 1 GB."""
    source = devops_hub.database(bench.binary, HERE.parent / "target" / "benches", events)
    return Rival(bench, database, source, MIGRATIONS)


def small(bench, database):
    """Returns a file in WAL mode that was not checkpointed."""
    source = bench.directory / "chinook.db"
    if not source.exists():
        chinook.database(source)
        migrations = bench.directory / "chinook"
        migrations.mkdir()
        (migrations / "0001_create.up.sql").write_text(chinook.schema())
    return Rival(bench, database, source, bench.directory / "chinook")


def say(text):
    """Prints a line for people between the rows."""
    print(f"  ({text})", file=sys.stderr, flush=True)


def version(program):
    return run([program, "--version"]).splitlines()[0]
