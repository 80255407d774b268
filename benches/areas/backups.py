"""Backups and restores of a large PostgreSQL database in comparison with pg_dump and pg_restore with one session."""

import shutil
import statistics

from measure import Command
from report import BACKUP, MEMORY, OURS

# In MiB.
PEAK = 64

# A gigabyte, of which a tenth is what no compression makes smaller; {n} is 100 for all of it.
ROWS = """
create table orders (id bigint primary key, customer int, note text, at timestamptz, amount numeric(12, 2));
insert into orders select i, i % 1000, md5(i::text) || repeat('order text ', 1 + i % 6), now() - i * interval '1 min', i * 1.01
  from generate_series(1, 25000 * {n}) i;
create table events (id bigint primary key, kind text, body jsonb);
insert into events select i, 'k' || i % 20, jsonb_build_object('a', i, 'b', md5(i::text), 'c', array[i, i + 1, i + 2])
  from generate_series(1, 20000 * {n}) i;
create table documents (id int primary key, data bytea);
insert into documents select i, decode(string_agg(md5((i * 64 + j)::text), ''), 'hex')
  from generate_series(1, 1000 * {n}) i, generate_series(1, 64) j group by i;
create table states (id int, state text);
insert into states select i, repeat('x', 50) from generate_series(1, 5000 * {n}) i;
create index on orders (customer); create index on events (kind);
vacuum analyze;
"""


class Rival:
    """A database with rows, and the commands on both sides."""

    def __init__(self, bench):
        self.database = bench.on("postgres-nosync")
        self.name = self.database.fresh()
        for statement in ROWS.format(n=10 if bench.options.quick else 100).split(";\n"):
            self.database.sql(statement, self.name)
        self.directory = self.database.directory / "backups"
        self.migrations = self.database.directory / "no-migrations"
        self.migrations.mkdir(exist_ok=True)
        self.archive = self.database.directory / "archive"

    def size(self):
        return int(self.database.sql("select pg_database_size(current_database())", self.name))

    def command(self, program, *arguments):
        return Command([self.database.programs / program, *arguments], self.database.environment(self.name), self.database.directory)

    def ours(self, *arguments):
        command = self.database.ours(self.name, self.migrations, *arguments)
        command.environment["LOCKKEEPER_BACKUP_DIR"] = str(self.directory)
        return command

    def dump(self, *arguments):
        """Returns the wall time of pg_dump into an archive, which is removed by the next one."""
        if self.archive.is_dir():
            shutil.rmtree(self.archive)
        self.archive.unlink(missing_ok=True)
        return self.command("pg_dump", *arguments, "-f", self.archive, self.name).seconds()

    def back_up(self, *arguments):
        """Returns the wall time and the peak of our backup."""
        shutil.rmtree(self.directory, ignore_errors=True)
        return self.ours("backup", *arguments).costs()

    def restore_theirs(self):
        """Returns the wall time of pg_restore into a new database."""
        name = self.database.fresh()
        seconds = self.command("pg_restore", "--exit-on-error", "-d", name, self.archive).seconds()
        self.database.remove(name)
        return seconds

    def restore_ours(self):
        """Returns the wall time and the peak of our restore, which verifies before and after, and gathers statistics."""
        backup = next(path for path in self.directory.iterdir() if path.suffix != ".json")
        command = self.ours("restore", backup, "--yes")
        command.environment["LOCKKEEPER_BACKUP"] = "off"
        costs = command.costs()
        kept = self.database.sql(f"select datname from pg_database where datname like '{self.name}_before_restore_%'")
        self.database.remove(f'"{kept}"')
        return costs


def in_turn(rounds, *sides):
    """Returns the results of each side."""
    taken = [[side() for side in sides] for _ in range(rounds)]
    return list(zip(*taken))


def median(costs):
    """Returns the median of the wall times, and the largest peak."""
    return statistics.median(seconds for seconds, _ in costs), max(peak for _, peak in costs)


def large_backup(bench):
    rival = Rival(bench)
    what = f"backup of {rival.size() / 1e6:,.0f} MB"
    single = ("--backup-jobs", "1")
    ours, file, theirs, parallel = in_turn(
        bench.rounds(3),
        rival.back_up,
        lambda: rival.back_up(*single),
        lambda: rival.dump("-Fc"),
        lambda: rival.dump("-Fd", "-j2", "-Z1"),
    )
    (seconds, peak), (seconds_of_file, _), theirs = median(ours), median(file), statistics.median(theirs)
    goal = 0.4 if int(rival.database.programs.parent.name) >= 16 else 0.6
    bench.report.pair(BACKUP, f"{what} / pg_dump -Fc", seconds, theirs, goal)
    bench.report.pair(BACKUP, f"{what} / pg_dump -Fd -j2 -Z1", seconds, statistics.median(parallel))
    bench.report.pair(BACKUP, f"{what}, one file / pg_dump -Fc", seconds_of_file, theirs)
    bench.report.sizes(MEMORY, what, {OURS: peak}, PEAK)
    rival.database.remove(rival.name)


def large_restore(bench):
    rival = Rival(bench)
    what = f"restore of {rival.size() / 1e6:,.0f} MB"
    rival.dump("-Fc")
    rival.back_up()
    ours, theirs = in_turn(bench.rounds(3), rival.restore_ours, rival.restore_theirs)
    seconds, peak = median(ours)
    bench.report.pair(BACKUP, f"{what} / pg_restore", seconds, statistics.median(theirs), 0.7)
    bench.report.sizes(MEMORY, what, {OURS: peak}, PEAK)
    rival.database.remove(rival.name)
