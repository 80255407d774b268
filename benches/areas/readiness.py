"""The time from the server's first accepted login to the start of the first migration, when the server comes up late."""

import os
import random
import statistics
import time

import revisions
from report import READINESS

# In milliseconds.
GOAL = 30
ALONE = "psql and the other tools do not wait for a server"


def measure(bench, kind):
    database = bench.on(kind)
    migrations = revisions.one(bench.directory / "clock", "CREATE TABLE started AS SELECT clock_timestamp() AS at;\n")
    names = [database.fresh() for _ in range(bench.rounds(15))]
    delays = [delay(database, name, migrations) for name in names]
    what = f"first login to first migration, {database.name}"
    bench.report.value(READINESS, what, statistics.median(delays), GOAL)
    spread = f"{min(delays) * 1000:.0f} to {max(delays) * 1000:.0f} ms"
    bench.report.note(READINESS, f"{ALONE}; from {spread} (number of starts: {len(delays)})")
    for name in names:
        database.remove(name)


def delay(database, name, migrations):
    database.stop()
    waiting = database.ours(name, migrations)
    pid = waiting.start()
    time.sleep(random.uniform(1, 3))
    database.launch()
    accepted = database.first_login(name)
    _, status = os.waitpid(pid, 0)
    waiting.check(status)
    return float(database.sql("SELECT extract(epoch FROM at) FROM started", name)) - accepted
