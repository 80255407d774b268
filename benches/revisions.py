"""Writes migrations, and the scripts that make psql and sqlite3 run the same files."""

import hashlib

# Ten revisions in a row; {n} counts the tens. A table is dropped when there are twenty newer ones, because the running of
# revisions is measured, and not how each database handles thousands of tables (an ALTER TABLE of SQLite's reads them all).
KEPT = 20
SHAPES = [
    ("create_table", "CREATE TABLE t{n} (\n    id bigint PRIMARY KEY,\n    name text NOT NULL,\n    created text\n);\n"),
    ("index_name", "CREATE INDEX t{n}_name ON t{n} (name);\n"),
    ("add_rows", "INSERT INTO t{n} VALUES (1, 'one', '2026-01-01'), (2, 'two', '2026-01-02');\n"),
    ("add_state", "ALTER TABLE t{n} ADD COLUMN state text NOT NULL DEFAULT 'new';\n"),
    ("set_state", "UPDATE t{n} SET state = 'old' WHERE id < 2;\n"),
    ("add_more_rows", "INSERT INTO t{n} VALUES (3, 'three', '2026-01-03', 'new');\nINSERT INTO t{n} VALUES (4, 'it''s; four', NULL, 'new');\n"),
    ("add_note", "ALTER TABLE t{n} ADD COLUMN note text;\n"),
    ("set_note", "UPDATE t{n} SET note = name || ' (' || state || ')';\n"),
    ("index_state", "CREATE INDEX t{n}_state ON t{n} (state, created);\n"),
    ("drop_old_table", "DROP TABLE IF EXISTS \"t{old}\";\n"),
]

HISTORY = (
    "CREATE TABLE history (revision text PRIMARY KEY, description text NOT NULL, "
    "checksum text NOT NULL, applied_at text NOT NULL);\n"
)


def small(directory, count):
    """Writes `count` small revisions, unless they exist."""
    if directory.exists():
        return directory
    directory.mkdir(parents=True)
    for at in range(count):
        number, shape = divmod(at, len(SHAPES))
        name, sql = SHAPES[shape]
        comment = f"-- Revision {at + 1}: {name.replace('_', ' ')}.\n-- Nothing here needs a lock for long.\n"
        (directory / f"{at + 1:05}_{name}.up.sql").write_text(comment + sql.format(n=number, old=number - KEPT))
    return directory


def one(directory, sql):
    """Writes a single revision."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "0001_only.up.sql").write_text(sql)
    return directory


def large(directory, statements):
    """Writes one revision of `count` INSERT statements, 250 bytes each, unless it exists."""
    file = directory / "0001_large.up.sql"
    if file.exists():
        return directory
    directory.mkdir(parents=True)
    filler = "x" * 190
    with file.open("w") as out:
        out.write("CREATE TABLE large (id bigint, name text);\n")
        for at in range(statements - 1):
            out.write(f"INSERT INTO large (id, name) VALUES ({at:8}, '{filler} {at:8}');\n")
    return directory


def script(directory, include):
    """Returns a script for psql or sqlite3 that runs the files of a directory, each in a transaction with a history row."""
    lines = [HISTORY]
    for file in sorted(directory.glob("*.up.sql")):
        revision, _, description = file.name.removesuffix(".up.sql").partition("_")
        checksum = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(
            f"BEGIN;\n{include} {file}\nINSERT INTO history VALUES ('{revision}', '{description}', '{checksum}', "
            "CURRENT_TIMESTAMP);\nCOMMIT;\n"
        )
    path = directory.parent / f"{directory.name}.{include.strip(chr(92) + '.')}.sql"
    path.write_text("".join(lines))
    return path
