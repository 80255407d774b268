"""Servers that are slower to reach or to write than one on the same machine: a slow disk, and a network between."""

import shutil
import subprocess
import sys
from pathlib import Path

from databases import Postgres, free_port
from measure import run
from rounds import alternately

HERE = Path(__file__).resolve().parent
ROUND_TRIPS = 200


def compiled(name, directory, *options):
    """Compiles a C file of this directory and returns the result."""
    compiler = shutil.which("cc") or sys.exit("no C compiler on PATH: apt-get install gcc libc6-dev")
    target = directory / name
    run([compiler, "-O2", "-Wall", *options, "-o", target, HERE / f"{name}.c"])
    return target


def with_slow_flushes(binary, directory):
    """Returns a server whose flushes to the disk take two milliseconds longer."""
    library = compiled("delay_flushes", directory, "-shared", "-fPIC")
    return Postgres(binary, directory / "slow-flushes", "PostgreSQL, each flush 2 ms slower", preload=library)


class Distant(Postgres):
    """A server behind a proxy that delays everything by a millisecond in each direction."""

    def __init__(self, binary, directory):
        super().__init__(binary, directory / "distant", "PostgreSQL, 1 ms away each way")
        self.client_port = free_port()
        program = compiled("delay_network", directory)
        arguments = [str(part) for part in (program, self.client_port, self.port)]
        self.proxy = subprocess.Popen(arguments, stdout=subprocess.PIPE)
        self.proxy.stdout.readline()

    def stop(self):
        super().stop()
        if self.proxy:
            self.proxy.kill()
            self.proxy.wait()
            self.proxy = None

    def round_trip(self):
        """Returns how long a query of one psql session takes, in seconds."""
        scripts = []
        for count in (1, 1 + ROUND_TRIPS):
            script = self.directory / f"queries-{count}.sql"
            script.write_text("SELECT 1;\n" * count)
            scripts.append(self.run_script("postgres", script))
        once, often = alternately(3, *[script.seconds for script in scripts])
        return (often - once) / ROUND_TRIPS
