"""A small database of the shape of Chinook, the usual example: eleven tables, about 15,000 rows, a file in WAL mode."""

import random
import sqlite3

SEED = 20240229
# The number of rows and the columns of each table.
TABLES = {
    "artist": (275, "id INTEGER PRIMARY KEY, name VARCHAR(120)"),
    "album": (347, "id INTEGER PRIMARY KEY, title VARCHAR(160) NOT NULL, artist_id INTEGER NOT NULL REFERENCES artist (id)"),
    "employee": (
        8,
        "id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, reports_to INTEGER REFERENCES employee (id), hired TIMESTAMP, email VARCHAR(60)",
    ),
    "customer": (
        59,
        "id INTEGER PRIMARY KEY, name VARCHAR(60) NOT NULL, country VARCHAR(40), email VARCHAR(60) NOT NULL, "
        "support_rep_id INTEGER REFERENCES employee (id)",
    ),
    "genre": (25, "id INTEGER PRIMARY KEY, name VARCHAR(120)"),
    "media_type": (5, "id INTEGER PRIMARY KEY, name VARCHAR(120)"),
    "track": (
        3503,
        "id INTEGER PRIMARY KEY, name VARCHAR(200) NOT NULL, album_id INTEGER REFERENCES album (id), "
        "media_type_id INTEGER NOT NULL REFERENCES media_type (id), genre_id INTEGER REFERENCES genre (id), composer VARCHAR(220), "
        "milliseconds INTEGER NOT NULL, bytes INTEGER, unit_price NUMERIC(10,2) NOT NULL",
    ),
    "playlist": (18, "id INTEGER PRIMARY KEY, name VARCHAR(120)"),
    "playlist_track": (
        8715,
        "playlist_id INTEGER NOT NULL REFERENCES playlist (id), track_id INTEGER NOT NULL REFERENCES track (id), PRIMARY KEY (playlist_id, track_id)",
    ),
    "invoice": (
        412,
        "id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customer (id), invoice_date TIMESTAMP NOT NULL, "
        "billing_country VARCHAR(40), total NUMERIC(10,2) NOT NULL",
    ),
    "invoice_line": (
        2240,
        "id INTEGER PRIMARY KEY, invoice_id INTEGER NOT NULL REFERENCES invoice (id), track_id INTEGER NOT NULL REFERENCES track (id), "
        "unit_price NUMERIC(10,2) NOT NULL, quantity INTEGER NOT NULL",
    ),
}
INDEXES = ["album (artist_id)", "customer (support_rep_id)", "employee (reports_to)", "track (album_id)", "track (genre_id)", "track (media_type_id)"]
INDEXES += ["playlist_track (track_id)", "invoice (customer_id)", "invoice_line (invoice_id)", "invoice_line (track_id)"]


def schema():
    """Returns the schema for PostgreSQL."""
    tables = [f"CREATE TABLE {name} ({columns});\n" for name, (_, columns) in TABLES.items()]
    return "".join(tables) + "".join(f"CREATE INDEX ON {on};\n" for on in INDEXES)


def database(path):
    """Creates the file."""
    chance = random.Random(SEED)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN")
    for name, (count, columns) in TABLES.items():
        connection.execute(f"CREATE TABLE {name} ({columns})")
        declared = connection.execute(f"PRAGMA table_info({name})").fetchall()
        places = ", ".join("?" for _ in declared)
        connection.executemany(f"INSERT INTO {name} VALUES ({places})", (row(chance, name, declared, at) for at in range(1, count + 1)))
    connection.execute("COMMIT")
    connection.close()


def row(chance, table, declared, at):
    if table == "playlist_track":
        return (1 + at % TABLES["playlist"][0], 1 + at // 18 * 7 % TABLES["track"][0])
    return tuple(value(chance, name, kind, at) for _, name, kind, *_ in declared)


def value(chance, name, kind, at):
    if name == "id":
        return at
    if name == "reports_to":
        return max(at // 2, 1)
    if name == "support_rep_id":
        return 3 + at % 3
    if name.endswith("_id"):
        return 1 + chance.randrange(TABLES[name.removesuffix("_id")][0])
    if kind == "TIMESTAMP":
        return f"20{9 + at % 16:02}-{1 + at % 12:02}-{1 + at % 28:02} 00:00:00"
    if kind == "NUMERIC(10,2)":
        return chance.choice([0.99, 1.99, 5.94, 13.86])
    if kind == "INTEGER":
        return chance.randrange(1, 10_000_000)
    return f"{at}: {chance.choice(['Für Elise', 'Água de Beber', 'For Those About To Rock', 'Balls to the Wall'])}"
