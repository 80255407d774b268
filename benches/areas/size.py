"""The size of the programs."""

import peers
from report import OURS, SIZE

# In MiB.
GOAL = 10


def measure(bench):
    sizes = {OURS: bench.binary.stat().st_size}
    if bench.options.peers:
        sizes |= {peer.name: peer.size() for peer in peers.PEERS}
        bench.report.note(SIZE, "Alembic: its packages and a driver of PostgreSQL, without Python")
    bench.report.sizes(SIZE, "program", sizes, GOAL)
