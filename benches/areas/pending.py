"""A start with nothing pending: what each restart of a container costs."""

import revisions
from report import MEMORY, OURS, PENDING, SHELL

# In MiB.
PEAK = 4.5
# A run is too short for many samples of its memory: the highest of several counts.
PEAK_RUNS = 20
PEER_PEAK_RUNS = 3


def measure(bench, kind, goal):
    database = bench.on(kind)
    migrations = revisions.small(bench.directory / "five", 5)
    names = []

    def settled(command):
        """Returns a command of a database of its own after its first run."""
        names.append(database.fresh())
        made = command(names[-1])
        made.seconds()
        return made

    ours = settled(lambda name: database.ours(name, migrations))
    shell = database.select_one(names[0])
    settled_peers = {}

    def peer_measure(peer):
        def seconds():
            if peer.name not in settled_peers:
                settled_peers[peer.name] = settled(lambda name: peer.command(database, name, migrations))
            return settled_peers[peer.name].seconds()

        return seconds

    outcomes = bench.compared(bench.rounds(41), ours.seconds, shell.seconds, peer_measure)
    what = f"nothing pending, {database.name}"
    bench.report.times(PENDING, what, outcomes, goal)
    peaks = {OURS: highest(ours, PEAK_RUNS), SHELL: highest(shell, PEAK_RUNS)}
    for name, command in settled_peers.items():
        if not outcomes[name].reason:
            peaks[name] = highest(command, PEER_PEAK_RUNS)
    bench.report.sizes(MEMORY, what, peaks, PEAK)
    for name in names:
        database.remove(name)


def highest(command, runs):
    return max(command.peak() for _ in range(runs))
