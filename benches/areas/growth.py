"""How the cost of a start grows with what was applied before."""

import revisions
from report import GROWTH
from rounds import alternately

# The time of 100,000 rows is at most so many times that of 1,000.
ROWS_GOAL = 2


def pending(bench, kind, goals):
    """Measures a start with nothing pending, in comparison with the shell. Only the goals of the last two counts exist."""
    database = bench.on(kind)
    for count, goal in zip((10, bench.many, 10 * bench.many), (None, *goals)):
        migrations = revisions.small(bench.directory / str(count), count)
        name = database.fresh()
        database.ours(name, migrations, "stamp", "head").seconds()
        ours, shell = database.ours(name, migrations), database.select_one(name)
        times = alternately(bench.rounds(21), ours.seconds, shell.seconds)
        bench.report.pair(GROWTH, f"nothing pending, {count:,} applied, {database.name} / select 1", *times, goal)
        database.remove(name)


def rows(bench, kind):
    """Measures commands that read the history of many runs of a repeatable script, which has a row for each."""
    database = bench.on(kind)
    migrations = repeatable(bench)
    few, many = bench.many, 100 * bench.many
    names = [settled(database, migrations, count) for count in (few, many)]
    for verb in ("current", "check"):
        sides = [database.ours(name, migrations, verb, "--layout", "flyway") for name in names]
        fewer, more = alternately(bench.rounds(9), *[side.seconds for side in sides])
        bench.report.pair(GROWTH, f"{verb}, history of {many:,} rows / {few:,}, {database.name}", more, fewer, ROWS_GOAL)
    for name in names:
        database.remove(name)


def repeatable(bench):
    """Returns a directory in the layout of Flyway with versions, and a script that runs whenever it changes."""
    directory = bench.directory / "repeatable"
    if not directory.exists():
        directory.mkdir()
        for at, file in enumerate(sorted(revisions.small(bench.directory / "ten", 10).iterdir()), 1):
            (directory / f"V{at}__step.sql").symlink_to(file)
        (directory / "R__view.sql").write_text("DROP VIEW IF EXISTS always;\nCREATE VIEW always AS SELECT 1 AS one;\n")
    return directory


def settled(database, migrations, count):
    """Returns a database at the head whose history has so many rows: the script has run again and again."""
    name = database.fresh()
    database.ours(name, migrations, "--layout", "flyway").seconds()
    columns = "version, description, type, script, checksum, installed_by, installed_on, execution_time, success"
    database.sql(
        "WITH RECURSIVE number (n) AS (SELECT max(installed_rank) + 1 FROM flyway_schema_history UNION ALL "
        f"SELECT n + 1 FROM number WHERE n < {count}) INSERT INTO flyway_schema_history (installed_rank, {columns}) "
        f"SELECT n, {columns} FROM number, flyway_schema_history WHERE version IS NULL;",
        name,
    )
    return name
