"""Prints what is measured: a line for each value as it comes, and a table in Markdown for each area at the end."""

import sys
from dataclasses import dataclass, field

from measure import MIB

PENDING = "Nothing pending"
MANY = "Many small revisions"
LARGE = "One large file"
TWENTY = "Twenty at once"
READINESS = "First migration after readiness"
GROWTH = "Growth"
MEMORY = "Peak memory"
SIZE = "Size of the program"
TRANSFER = "Transfer"
BACKUP = "Backup and restore"
AREAS = [PENDING, MANY, LARGE, TWENTY, READINESS, GROWTH, MEMORY, SIZE, TRANSFER, BACKUP]

OURS = "Lockkeeper"
SHELL = "psql, sqlite3"
LINE = "{:<62} {:>10} {:>10} {:>6}  {:<11} {}"


@dataclass
class Row:
    """A line of a table: what was measured, its goal, and the texts of its other cells by column."""

    what: str
    goal: str
    reached: str
    cells: dict


@dataclass
class Area:
    """The table of an area and the notes under it."""

    rows: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    # The rows in which a tool has no value, by the tool and the reason.
    missing: dict = field(default_factory=dict)


class Report:
    """All tables. In Markdown, the lines go to the standard error, and the tables to the standard output."""

    def __init__(self, markdown):
        self.markdown = markdown
        self.areas = {area: Area() for area in AREAS}
        self.lines = sys.stderr if markdown else sys.stdout

    def line(self, *cells):
        print(LINE.format(*cells).rstrip(), file=self.lines, flush=True)

    def say(self, text):
        """Prints a line for people between the others."""
        print(f"  ({text})", file=self.lines, flush=True)

    def note(self, area, text):
        """Adds a line under the table of an area."""
        if text not in self.areas[area].notes:
            self.areas[area].notes.append(text)
            self.say(text)

    def times(self, area, what, outcomes, goal=None):
        """Adds the times of tools, each as a ratio to the shell's."""
        base = outcomes[SHELL].seconds
        cells = {}
        for tool, outcome in outcomes.items():
            seconds = outcome.seconds
            cells[tool] = self.missing(area, tool, what, outcome) if seconds is None else duration(seconds)
            ratio = "" if seconds is None or tool == SHELL else f"{seconds / base:.2f}"
            marks = goal_marks(seconds / base, goal) if tool == OURS else ("", "")
            self.line(f"{what}: {tool}", cells[tool], "", ratio, *marks)
            cells[tool] = f"{ratio} ({cells[tool]})" if ratio else cells[tool]
        self.add(area, what, cells, *goal_marks(outcomes[OURS].seconds / base, goal))

    def sizes(self, area, what, sizes, goal=None):
        """Adds numbers of bytes by tool; one that is missing is left out. The goal is in MiB."""
        cells = {tool: f"{size / MIB:.1f} MiB" for tool, size in sizes.items() if size is not None}
        marks = goal_marks(sizes[OURS] / MIB, goal, " MiB")
        for tool, cell in cells.items():
            self.line(f"{area.lower()}: {what}: {tool}", cell, "", "", *(marks if tool == OURS else ("", "")))
        self.add(area, what, cells, *marks)

    def pair(self, area, what, ours, theirs, goal=None):
        """Adds two times, and the ratio between them."""
        ratio = f"{ours / theirs:.2f}"
        marks = goal_marks(ours / theirs, goal)
        self.line(what, duration(ours), duration(theirs), ratio, *marks)
        self.add(area, what, {"ours": duration(ours), "compared with": duration(theirs), "ratio": ratio}, *marks)

    def value(self, area, what, seconds, goal=None):
        """Adds a time that is compared with nothing but its goal, which is in milliseconds."""
        marks = goal_marks(seconds * 1000, goal, " ms")
        self.line(what, duration(seconds), "", "", *marks)
        self.add(area, what, {"ours": duration(seconds)}, *marks)

    def add(self, area, what, cells, goal="", reached=""):
        self.areas[area].rows.append(Row(what, goal, reached, cells))

    def missing(self, area, tool, what, outcome):
        self.areas[area].missing.setdefault(f"{tool}: {outcome.reason}", []).append(what)
        self.say(f"{tool}: {outcome.reason}")
        return f"> {outcome.reason.split()[-2]} s" if outcome.too_slow else "-"

    def tables(self):
        """Prints the tables, when they are wanted."""
        if not self.markdown:
            return
        for name, area in self.areas.items():
            if area.rows:
                missing = [f"{reason} ({'; '.join(rows)})" for reason, rows in area.missing.items()]
                notes = [f"- {note}" for note in area.notes + missing]
                print("\n".join([f"### {name}", "", table(area.rows), "", *notes, *([""] if notes else [])]))


def table(rows):
    """Returns the rows as Markdown, with the columns that one of them has."""
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    head = ["what", *columns, "goal", "reached"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        reached = "**no**" if row.reached == "NO" else row.reached
        lines.append([row.what, *(row.cells.get(column, "") for column in columns), row.goal, reached])
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def goal_marks(value, goal, unit=""):
    """Returns the goal and the answer to whether it is reached."""
    if goal is None:
        return "", ""
    return f"<= {goal}{unit}", "yes" if value <= goal else "NO"


def duration(seconds):
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
