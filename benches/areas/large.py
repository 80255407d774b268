"""One large file of small statements."""

import revisions
from bench import peaks
from report import LARGE, MEMORY

# In MiB.
PEAK = 64


def measure(bench, kind, statements, goal=None):
    database = bench.on(kind)
    count = statements // 10 if bench.options.quick else statements
    migrations = revisions.large(bench.directory / f"large-{count}", count)
    script = migrations / "0001_large.up.sql"
    outcomes, _ = bench.from_empty(bench.rounds(1), migrations, script)
    what = f"{count:,} statements ({script.stat().st_size / 1e6:.0f} MB), {database.name}"
    bench.report.times(LARGE, what, outcomes, goal)
    bench.report.sizes(MEMORY, what, peaks(outcomes), PEAK)
