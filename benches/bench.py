"""What all measurements share: the options, the databases, the other tools, and the report."""

import shutil
import tempfile
from pathlib import Path

import delays
import peers
from databases import Postgres, Sqlite
from report import OURS, SHELL
from rounds import Side, compared

# The number of small revisions of a goal; --quick uses a fifth.
MANY = 1000


class Bench:
    def __init__(self, options, binary, directory, report):
        self.options = options
        self.binary = binary
        self.directory = directory
        self.report = report
        self.many = MANY // 5 if options.quick else MANY
        self.database = None

    def rounds(self, usual):
        """Returns the number of rounds: `usual`, or that of the command line."""
        return self.options.rounds or (max(3, usual // 5) if self.options.quick else usual)

    def on(self, kind):
        """Returns the database of a kind; only one server runs at a time."""
        if self.database and self.database.kind == kind:
            return self.database
        self.close()
        self.database = self.opened(kind)
        self.database.kind = kind
        return self.database

    def opened(self, kind):
        match kind:
            case "postgres":
                return Postgres(self.binary, self.directory / "postgres", "PostgreSQL")
            case "postgres-nosync":
                return Postgres(self.binary, self.directory / "nosync", "PostgreSQL, fsync off", fsync=False)
            case "postgres-flushes":
                return delays.with_slow_flushes(self.binary, self.directory)
            case "postgres-network":
                return delays.Distant(self.binary, self.directory)
            case "sqlite":
                return Sqlite(self.binary, self.directory, "SQLite")
            case "sqlite-memory":
                memory = Path(tempfile.mkdtemp(prefix="lockkeeper-bench-", dir="/dev/shm"))
                return Sqlite(self.binary, memory, "SQLite in memory")

    def close(self):
        if self.database:
            self.database.stop()
            if self.database.directory != self.directory:
                shutil.rmtree(self.database.directory)
            self.database = None

    def compared(self, rounds, ours, shell, peer_measure):
        """Returns the outcomes of all tools. `peer_measure` returns the function that measures a peer."""
        sides = {OURS: Side(ours), SHELL: Side(shell)}
        if self.options.peers:
            for peer in peers.all_of(self.database.engine):
                sides[peer.name] = Side(peer_measure(peer), peer=True)
        return compared(rounds, sides)

    def from_empty(self, rounds, migrations, script):
        """Returns the outcomes and peaks of all tools that apply the same revisions to an empty database."""
        database = self.database
        ours = OnFresh(database, lambda name: database.ours(name, migrations))
        shell = OnFresh(database, lambda name: database.run_script(name, script))
        fresh = lambda peer: OnFresh(database, lambda name: peer.command(database, name, migrations)).costs
        outcomes = self.compared(rounds, ours.seconds, shell.seconds, fresh)
        outcomes[OURS].peak, outcomes[SHELL].peak = ours.peak(), shell.peak()
        return outcomes, ours


class OnFresh:
    """Measures a command on a new database each time; creating and removing it is not measured."""

    def __init__(self, database, command):
        self.database = database
        self.command = command

    def measured(self, how):
        name = self.database.fresh()
        try:
            return how(self.command(name))
        finally:
            self.database.remove(name)

    def seconds(self):
        return self.measured(lambda command: command.seconds())

    def peak(self):
        return self.measured(lambda command: command.peak())

    def costs(self):
        return self.measured(lambda command: command.costs())


def peaks(outcomes):
    """Returns the peaks of outcomes, by tool."""
    return {tool: outcome.peak for tool, outcome in outcomes.items()}
