"""Many small revisions on an empty database, in comparison with one session of the shell that runs the same files."""

import revisions
from bench import OnFresh, peaks
from report import GROWTH, MANY, MEMORY
from rounds import alternately

# In MiB.
PEAK = 10
# Ten times as many revisions take at most so many times as long.
GROWTH_GOAL = 11


def measure(bench, kind, goal):
    """Measures the number of revisions of the goal."""
    apply(bench, bench.on(kind), bench.many, bench.rounds(7), goal)


def measure_away(bench, goal):
    """Measures the same behind a network, whose delay is said."""
    database = bench.on("postgres-network")
    trip = f"{database.round_trip() * 1000:.2f} ms"
    bench.report.note(MANY, f"{database.name}: a round trip of psql took {trip}")
    measure(bench, "postgres-network", goal)


def measure_more(bench, kind):
    """Measures ten times as many, and how the time grows."""
    database = bench.on(kind)
    more = 10 * bench.many
    ours = apply(bench, database, more, bench.rounds(3), None)
    migrations = revisions.small(bench.directory / str(bench.many), bench.many)
    fewer = OnFresh(database, lambda name: database.ours(name, migrations))
    took_more, took = alternately(bench.rounds(3), ours.seconds, fewer.seconds)
    bench.report.pair(GROWTH, f"{more:,} revisions / {bench.many:,}, {database.name}", took_more, took, GROWTH_GOAL)


def apply(bench, database, count, rounds, goal):
    migrations = revisions.small(bench.directory / str(count), count)
    script = revisions.script(migrations, database.include)
    outcomes, ours = bench.from_empty(rounds, migrations, script)
    what = f"{count:,} revisions, {database.name}"
    bench.report.times(MANY, what, outcomes, goal)
    bench.report.sizes(MEMORY, what, peaks(outcomes), PEAK)
    return ours
