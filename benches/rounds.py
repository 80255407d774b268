"""Runs the sides of a comparison in turn, so that what disturbs the machine disturbs all of them."""

import statistics
from dataclasses import dataclass

from measure import CommandError, TooSlowError, last_line

# A peer that has taken so many seconds for a row runs no further rounds of it.
BUDGET = 20
# A first run of a peer that took so many seconds counts: it is not repeated as a warm-up.
LONG = 5


@dataclass
class Outcome:
    """The median of a side in seconds and its peak in bytes, or the reason why there is none."""

    seconds: float | None = None
    peak: int | None = None
    reason: str = ""
    too_slow: bool = False


class Side:
    """One tool of a row. `measure` returns seconds, or seconds and bytes; only a peer may fail."""

    def __init__(self, measure, peer=False):
        self.measure = measure
        self.peer = peer
        self.taken = []
        self.outcome = Outcome()

    def warm_up(self):
        self.again()
        if not (self.peer and sum(self.taken) > LONG):
            self.taken.clear()

    def again(self):
        if self.outcome.reason or (self.peer and sum(self.taken) > BUDGET):
            return
        try:
            measured = self.measure()
        except CommandError as error:
            if not self.peer:
                raise
            self.outcome.reason = " ".join(last_line(str(error)).split())[:200]
            self.outcome.too_slow = isinstance(error, TooSlowError)
            return
        seconds, peak = measured if isinstance(measured, tuple) else (measured, None)
        self.taken.append(seconds)
        self.outcome.peak = max(filter(None, (self.outcome.peak, peak)), default=None)


def compared(rounds, sides):
    """Returns the outcomes of sides by name, each measured so many times in turn; the first run of each warms up."""
    for side in sides.values():
        side.warm_up()
    for number in range(rounds):
        # The second one has warmer caches: the order alternates.
        order = list(sides.values()) if number % 2 == 0 else reversed(sides.values())
        for side in order:
            side.again()
    for side in sides.values():
        if not side.outcome.reason:
            side.outcome.seconds = statistics.median(side.taken)
    return {name: side.outcome for name, side in sides.items()}


def alternately(rounds, *measures):
    """Returns the medians of functions that are called in turn."""
    outcomes = compared(rounds, {at: Side(measure) for at, measure in enumerate(measures)})
    return [outcome.seconds for outcome in outcomes.values()]


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
