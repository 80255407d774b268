"""Transfers from SQLite to PostgreSQL in comparison with COPY and the usual tools."""

import shutil
import statistics

import transfer
from report import MEMORY, OURS, TRANSFER
from rounds import median_of

# In MiB.
PEAK = 64
EVENTS = 2_000_000
QUICK_EVENTS = 100_000


def large(bench):
    """Measures the transfer of 1 GB in comparison with COPY of the same rows from files, and with the usual tools."""
    events = bench.options.events or (QUICK_EVENTS if bench.options.quick else EVENTS)
    rival = transfer.large(bench, bench.on("postgres-nosync"), events)
    what = f"{rival.source.stat().st_size / 1e6:,.0f} MB"
    full = rival.convert()
    compared = transfer.measured(rival.ours(full, "compare"), rival.server())
    rival.database.remove(full)
    sides = [rival.ours, rival.copy, rival.shell] + ([rival.pgloader] if shutil.which("pgloader") else [])
    ours, copy, shell, *loaded = median_of(bench.rounds(3), *[lambda side=side: rival.on_fresh(side) for side in sides])
    against_copy(bench.report, what, ours, copy)
    report = bench.report
    if shell:
        report.pair(TRANSFER, f"{what} / sqlite3 -csv and psql \\copy", ours.wall, shell.wall)
        report.pair(TRANSFER, f"{what} / the same, processor of both sides", ours.processor, shell.processor)
    memory = {OURS: ours.peak}
    for side in filter(None, loaded):
        report.pair(TRANSFER, f"{what} / pgloader", ours.wall, side.wall, 0.5)
        report.pair(TRANSFER, f"{what} / pgloader, processor of both sides", ours.processor, side.processor, 0.6)
        memory["pgloader"] = side.peak
    if not loaded:
        report.note(TRANSFER, "pgloader is not installed: apt-get install pgloader")
    report.value(TRANSFER, f"{what}, compare", compared.wall)
    report.sizes(MEMORY, f"transfer, {what}", memory, PEAK)
    report.sizes(MEMORY, f"compare, {what}", {OURS: compared.peak}, PEAK)


def against_copy(report, what, ours, copy):
    report.pair(TRANSFER, f"{what} / COPY from files", ours.wall, copy.wall, 1.3)
    phases = [transfer.phases(taken.output) for taken in ours.all]
    without = statistics.median(taken.wall - phase["compared"] for taken, phase in zip(ours.all, phases))
    report.pair(TRANSFER, f"{what} / COPY, without comparing", without, copy.wall, 1.0)
    report.pair(TRANSFER, f"{what} / COPY, processor of both sides", ours.processor, copy.processor)
    report.pair(TRANSFER, f"{what} / COPY, processor of the server", ours.server, copy.server)
    for phase in ("copied", "built", "compared"):
        report.value(TRANSFER, f"{what}, of it {phase}", statistics.median(taken[phase] for taken in phases))


def small(bench):
    """Measures the cost of each of eleven tables besides its rows."""
    rival = transfer.small(bench, bench.on("postgres-nosync"))
    rival.database.remove(rival.convert())
    ours, shell = median_of(bench.rounds(9), *[lambda side=side: rival.on_fresh(side) for side in (rival.ours, rival.shell)])
    what = "11 tables, 15,607 rows"
    bench.report.value(TRANSFER, f"{what}, from a file in WAL mode, over TCP", ours.wall, 500)
    bench.report.pair(TRANSFER, f"{what} / sqlite3 -csv and psql \\copy", ours.wall, shell.wall)
    bench.report.sizes(MEMORY, f"transfer, {what}", {OURS: ours.peak}, PEAK)
