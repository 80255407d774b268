"""Creates DevOps Hub's SQLite database after some years of use: the same bytes for the same seed and size."""

import json
import os
import random
import sqlite3
import sys
from datetime import datetime, timedelta
from pathlib import Path

from measure import run

ROOT = Path(__file__).resolve().parent.parent
SEED = 20240229
# A file of another version of this script is created again.
VERSION = 1

START = datetime(2021, 1, 1)
ENVIRONMENTS = ["production", "staging", "development", "preview"]
REGIONS = ["eu-central-1", "eu-west-1", "us-east-1", "ap-southeast-2"]
STEPS = ["checkout", "build", "unit tests", "image", "scan", "deploy", "smoke test", "notify"]
TYPES = [f"{what}.{how}" for what in ("deploy", "build", "alert", "scan", "backup") for how in ("started", "succeeded", "failed")]
SERVICES = [f"{what}-{kind}" for what in ("billing", "search", "catalog", "identity", "report") for kind in ("api", "worker", "web", "cron")]
MESSAGES = [
    "Rolled out 3 of 3 replicas",
    "Image pushed, digest verified",
    "Readiness probe failed: HTTP 503\n  retrying in 10 s",
    'Condition "disk pressure" on node, 91 % used',
    "Zeitüberschreitung beim Abruf von https://registry.example.com/v2/",
    "OOMKilled: exit code 137 (memory limit 512Mi)",
]


def database(binary, directory, events):
    """Returns the file, which is created if missing: about 1 GB for 2,000,000 events."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"devops-hub-{VERSION}-{SEED}-{events}.db"
    if not path.exists():
        print(f"(making {path}: a minute for each million of events)", file=sys.stderr, flush=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        migrations = {"DATABASE_URL": f"sqlite:///{new}", "LOCKKEEPER_DIR": str(ROOT / "migrations" / "sqlite")}
        run([binary, "upgrade"], migrations, directory)
        fill(new, events)
        os.rename(new, path)
    return path


def fill(path, events):
    chance = random.Random(SEED)
    connection = sqlite3.connect(path, isolation_level=None)
    # There is no other connection, and it is faster to build indexes at the end than to update them.
    for setting in ("journal_mode = OFF", "synchronous = OFF", "ignore_check_constraints = ON", "cache_size = -200000"):
        connection.execute(f"PRAGMA {setting}")
    indexes = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute("BEGIN")
    executions = max(events // 10, 1)
    agents, guides, keys = max(events // 5000, 20), max(events // 4000, 10), max(events // 2000, 10)
    workflows = max(events // 10_000, 5)
    insert(connection, "agents", (agent(chance, at) for at in range(1, agents + 1)))
    insert(connection, "workflows", (workflow(chance, at) for at in range(1, workflows + 1)))
    insert(connection, "workflow_executions", (execution(chance, at, workflows, agents) for at in range(1, executions + 1)))
    insert(connection, "events", (event(chance, at, events, agents, executions) for at in range(1, events + 1)))
    insert(connection, "api_keys", (api_key(chance, at, agents) for at in range(1, keys + 1)))
    insert(connection, "documentation_guides", (guide(chance, at) for at in range(1, guides + 1)))
    insert(connection, "documentation_examples", (example(chance, at, guides) for at in range(1, 4 * guides + 1)))
    connection.execute("COMMIT")
    for _, sql in indexes:
        connection.execute(sql)
    connection.close()


def insert(connection, table, rows):
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    places = ", ".join("?" for _ in columns)
    connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def moment(seconds):
    """Returns the time in the format of the database's own default."""
    return (START + timedelta(milliseconds=int(seconds * 1000))).isoformat(timespec="milliseconds") + "Z"


def words(chance, count):
    return " ".join(chance.choices(SERVICES + STEPS + REGIONS, k=count))


def digits(chance, count):
    return f"{chance.getrandbits(4 * count):0{count}x}"


def agent(chance, at):
    made = chance.uniform(0, 1e6)
    skills = chance.sample(STEPS, 4)
    metadata = {"owner": chance.choice(SERVICES), "region": chance.choice(REGIONS), "cpu": chance.randint(1, 16), "labels": {"tier": at % 3}}
    name = f"agent-{at:05}"
    return (at, name, "delivery", words(chance, 8), f"1.{at % 40}.0", "active", json.dumps(skills), json.dumps(metadata), moment(made), moment(made * 2))


def workflow(chance, at):
    steps = [{"name": step, "uses": f"actions/{at % 9}@v2", "with": {"timeout": chance.randint(1, 900), "retry": True}} for step in STEPS]
    definition = json.dumps({"on": {"push": {"branches": ["main"]}}, "steps": steps})
    return (at, f"workflow-{at}", 1, words(chance, 10), definition, at % 2, moment(at), moment(at + 1))


def execution(chance, at, workflows, agents):
    made = at * 500.0
    took = chance.uniform(1, 400)
    given = {"ref": digits(chance, 40), "environment": chance.choice(ENVIRONMENTS), "dry_run": False}
    state = {"step": chance.randint(1, 8), "steps": {step: "done" for step in STEPS[:4]}}
    output = {"image": f"registry.example.com/{chance.choice(SERVICES)}:{at}", "seconds": round(took, 3)}
    failed = at % 17 == 0
    return (
        at,
        chance.randint(1, workflows),
        chance.randint(1, agents),
        "failed" if failed else "succeeded",
        1,
        json.dumps(given),
        json.dumps(state),
        None if failed else json.dumps(output),
        chance.choice(MESSAGES) if failed else None,
        moment(made),
        moment(made + 1),
        moment(made + 1 + took),
        int(took * 1000),
    )


def event(chance, at, events, agents, executions):
    # All choices come from one random number: this is called two million times.
    pick = chance.getrandbits(60)
    service = SERVICES[pick % 20]
    payload = {
        "environment": ENVIRONMENTS[pick >> 5 & 3],
        "service": service,
        "region": REGIONS[pick >> 7 & 3],
        "host": f"{service}-{pick >> 9 & 0xFFFF:04x}.{pick >> 25 & 15}.internal",
        "commit": f"{chance.getrandbits(160):040x}",
        "duration_ms": pick >> 29 & 0x3FFF,
        "load": (pick >> 43 & 0x3FF) / 64,
        "attempt": 1 + (pick & 1),
        "ok": pick & 7 != 0,
        "tags": [STEPS[pick >> 3 & 7], STEPS[pick >> 6 & 7]],
        "actor": {"id": pick >> 12 & 0xFFF, "name": f"user{pick >> 12 & 0xFFF}@example.com"},
        "message": MESSAGES[pick % 6],
    }
    return (
        at,
        TYPES[pick % 15],
        service,
        1 + pick % agents if pick & 3 else None,
        1 + at * executions // (events + 1) if pick & 4 else None,
        json.dumps(payload),
        moment(at * 50.0 + (pick & 0xFFF) / 100),
    )


def api_key(chance, at, agents):
    used = moment(at * 9.0) if at % 3 else None
    return (at, f"key {at}", digits(chance, 8), digits(chance, 64), chance.randint(1, agents), json.dumps(STEPS[: at % 4]), 1, moment(at), None, used)


def guide(chance, at):
    content = "\n\n".join(words(chance, 60) for _ in range(20))
    return (at, f"guide-{at}", words(chance, 4), "general", content, json.dumps(STEPS[:3]), at, at % 2, moment(at), moment(at))


def example(chance, at, guides):
    code = "\n".join(f"run: {words(chance, 5)}" for _ in range(8))
    return (at, 1 + at % guides, f"Example {at}", words(chance, 12), "yaml", code, at, at % 2, moment(at), moment(at))
