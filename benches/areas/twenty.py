"""Twenty replicas that start at once: with nothing pending, and on an empty database, of which one does the work."""

import revisions
from measure import together
from report import TWENTY

REPLICAS = 20


def measure(bench, kind, goal):
    database = bench.on(kind)
    migrations = revisions.small(bench.directory / "five", 5)
    twenty = Twenty(database)
    ours = lambda name: database.ours(name, migrations)
    theirs = lambda peer: lambda name: peer.command(database, name, migrations)
    shell = lambda: twenty.settled("shell", ours, database.select_one)
    outcomes = bench.compared(
        bench.rounds(9),
        lambda: twenty.settled("ours", ours, ours),
        shell,
        lambda peer: lambda: twenty.settled(peer.name, theirs(peer), theirs(peer)),
    )
    bench.report.times(TWENTY, f"nothing pending, {database.name} / twenty times select 1", outcomes, goal)
    outcomes = bench.compared(
        bench.rounds(9), lambda: twenty.empty(ours), shell, lambda peer: lambda: twenty.empty(theirs(peer))
    )
    bench.report.times(TWENTY, f"empty database, {database.name} / twenty times select 1", outcomes)
    twenty.close()


class Twenty:
    """Twenty processes at once on a database."""

    def __init__(self, database):
        self.database = database
        self.names = {}

    def settled(self, tool, first, command):
        """Returns the time on a database of the tool, on which another command has run first."""
        if tool not in self.names:
            self.names[tool] = self.database.fresh()
            first(self.names[tool]).seconds()
        return self.at_once(command, self.names[tool])

    def empty(self, command):
        """Returns the time on an empty database; creating and removing it is not measured."""
        name = self.database.fresh()
        try:
            return self.at_once(command, name)
        finally:
            self.database.remove(name)

    def at_once(self, command, name):
        commands = [command(name) for _ in range(REPLICAS)]
        for at, one in enumerate(commands):
            one.output = one.output.with_name(f"output-{at}")
        return together(commands)

    def close(self):
        for name in self.names.values():
            self.database.remove(name)
