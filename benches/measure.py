"""Runs commands and measures their time and memory."""

import os
import re
import resource
import signal
import subprocess
import sys
import time

MIB = 1024 * 1024


class CommandError(Exception):
    """A measured command has failed."""


class TooSlowError(CommandError):
    """A measured command has taken more than its limit."""


class Command:
    """A program with its arguments and nothing inherited but PATH; its output goes to a file."""

    def __init__(self, arguments, environment, directory, limit=0):
        self.arguments = [str(argument) for argument in arguments]
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "LANG": "C.UTF-8", **environment}
        self.directory = directory
        self.output = directory / f"output-{self.name()}"
        # In seconds; 0 is none.
        self.limit = limit

    def name(self):
        return os.path.basename(self.arguments[0])

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
            raise CommandError(f"{self.name()} ended with {code}:\n{said}")

    def seconds(self):
        """Runs the command and returns the wall time."""
        return together([self])

    def peak(self):
        """Runs the command and returns its maximal resident memory, in bytes."""
        # A run of two milliseconds leaves no time to sleep, a long one must not be slowed down.
        return self.watched(lambda elapsed: 0.001 if elapsed > 0.1 else 0)[1]

    def costs(self):
        """Runs the command and returns its wall time and its maximal resident memory: less exact than one at a time."""
        return self.watched(lambda elapsed: 0.002)

    def watched(self, pause):
        began = time.perf_counter()
        pid = self.start()
        sampled = 0
        with ended_on_error([pid]):
            while True:
                sampled = max(sampled, high_water(pid, self.name()[:15]))
                ended, status, usage = os.wait4(pid, os.WNOHANG)
                elapsed = time.perf_counter() - began
                if ended:
                    break
                if self.limit and elapsed > self.limit:
                    raise TooSlowError(f"{self.name()} took more than {self.limit} s")
                time.sleep(pause(elapsed))
        self.check(status)
        # Between fork and exec the child is a copy of this process, which ru_maxrss counts: it is more exact than the
        # samples only above our own peak.
        exact = usage.ru_maxrss * 1024
        ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return elapsed, exact if exact > ours else sampled


class ended_on_error:
    """Kills processes when the waiting for them fails, and reaps them."""

    def __init__(self, pids):
        self.pids = pids

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for pid in self.pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue


class time_limit:
    """Interrupts what takes longer than so many seconds."""

    def __init__(self, limit):
        self.limit = limit

    def __enter__(self):
        self.before = signal.signal(signal.SIGALRM, self.expire)
        signal.setitimer(signal.ITIMER_REAL, self.limit)

    def __exit__(self, *_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)

    def expire(self, *_):
        raise TooSlowError(f"it took more than {self.limit} s")


def together(commands):
    """Starts all commands at once and returns the wall time until the last one has ended."""
    ended = {}
    with time_limit(commands[0].limit):
        began = time.perf_counter()
        running = {command.start(): command for command in commands}
        alive = set(running)
        with ended_on_error(alive):
            while alive:
                pid, status = os.wait()
                if pid in alive:
                    alive.remove(pid)
                    ended[pid] = status
        took = time.perf_counter() - began
    failed = [pid for pid, status in ended.items() if status]
    if len(failed) > 1 or failed and len(commands) > 1:
        said = " ".join(last_line(running[failed[0]].output.read_text(errors="replace")).split())
        raise CommandError(f"{len(failed)} of {len(commands)} failed, the first one with: {said}")
    for pid in failed:
        running[pid].check(ended[pid])
    return took


def last_line(text):
    """Returns the last line that names an error or a failure, or else the last one that says something."""
    lines = [line for line in re.sub("\x1b[^m]*m", "", text).splitlines() if any(char.isalpha() for char in line)]
    # SQLAlchemy ends with an address for more about its errors.
    errors = [line for line in lines if re.search("error|failed", line, re.IGNORECASE) and "Background on this" not in line]
    return (errors or lines or [""])[-1]


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
