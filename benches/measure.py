"""Runs commands and measures their time and memory."""

import os
import resource
import statistics
import subprocess
import sys
import time

MIB = 1024 * 1024


class Command:
    """A program with its arguments and nothing inherited but PATH; its output goes to a file."""

    def __init__(self, arguments, environment, directory):
        self.arguments = [str(argument) for argument in arguments]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8", **environment}
        self.directory = directory
        self.output = directory / f"output-{os.path.basename(self.arguments[0])}"

    def start(self):
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
        return os.posix_spawn(
            self.arguments[0],
            self.arguments,
            self.environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.output), flags, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )

    def check(self, status):
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            said = self.output.read_text(errors="replace")[-2000:]
            sys.exit(f"{' '.join(self.arguments)} ended with {code}:\n{said}")

    def seconds(self):
        """Runs the command and returns the wall time."""
        return together([self])

    def peak(self):
        """Runs the command and returns its maximal resident memory, in bytes."""
        name = os.path.basename(self.arguments[0])[:15]
        pid = self.start()
        began = time.perf_counter()
        sampled = 0
        while True:
            sampled = max(sampled, high_water(pid, name))
            ended, status, usage = os.wait4(pid, os.WNOHANG)
            if ended:
                break
            # A run of two milliseconds leaves no time to sleep, a long one must not be slowed down.
            if time.perf_counter() - began > 0.1:
                time.sleep(0.001)
        self.check(status)
        # Between fork and exec the child is a copy of this process, which ru_maxrss counts: it is more exact than the
        # samples only above our own peak.
        exact = usage.ru_maxrss * 1024
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return exact if exact > ours else sampled


def together(commands):
    """Starts all commands at once and returns the wall time until the last one has ended."""
    began = time.perf_counter()
    running = {command.start(): command for command in commands}
    ended = {}
    while len(ended) < len(commands):
        pid, status = os.wait()
        if pid in running:
            ended[pid] = status
    took = time.perf_counter() - began
    for pid, status in ended.items():
        running[pid].check(status)
    return took


def high_water(pid, name):
    """VmHWM, the maximal memory of a running program; 0 before exec, when the process is still a copy of this one, and after its end."""
    try:
        with open(f"/proc/{pid}/status") as status:
            values = dict(line.split(":", 1) for line in status)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    if values["Name"].strip() != name or "VmHWM" not in values:
        return 0
    return int(values["VmHWM"].split()[0]) * 1024


def run(arguments, environment=None, directory=None, text=""):
    """Runs a tool that is not measured and returns what it printed."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(environment or {})}
    arguments = [str(argument) for argument in arguments]
    done = subprocess.run(arguments, env=environment, cwd=directory, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def alternately(rounds, *sides):
    """Returns the medians of functions that are called in turn; the first call of each only warms up."""
    for side in sides:
        side()
    taken = [[] for _ in sides]
    for number in range(rounds):
        # The second one has warmer caches: the order alternates.
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for at in order:
            taken[at].append(sides[at]())
    return [statistics.median(times) for times in taken]


class Median:
    """Returns the median of each measurement of several runs, and all measurements."""

    def __init__(self, taken):
        self.all = taken

    def __bool__(self):
        return bool(self.all)

    def __getattr__(self, name):
        return statistics.median(getattr(taken, name) for taken in self.all)


def median_of(rounds, *sides):
    """Returns the results of functions that are called in turn. There is no warm-up: such runs are long."""
    taken = [[] for _ in sides]
    for number in range(rounds):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for at in order:
            taken[at].append(sides[at]())
    return [Median([run for run in runs if run]) for runs in taken]
