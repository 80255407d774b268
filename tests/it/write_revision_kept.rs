//! Tests of the schema that `lockkeeper transfer --write-revision` writes: the type of each column, and the keys,
//! checks and defaults that are kept.

use crate::write_revision::{source, transfer_with_revision, write_revision};

#[test]
fn a_type_is_chosen_by_name_then_affinity_then_stored_values() {
    // The declared type, values, the type in PostgreSQL, and one value read back.
    const ROWS: &[(&str, &str, &str, &str)] = &[
        ("INTEGER", "9223372036854775807, -9223372036854775808", "bigint", "9223372036854775807"),
        ("INT", "1, 1.5", "double precision", "1"),
        ("INT", "9007199254740993, 0.5", "numeric", "9007199254740993"),
        ("INT", "'x', 'y'", "text", "x"),
        ("INT", "x'00'", "bytea", "\\x00"),
        ("UNSIGNED BIG INT", "1", "bigint", "1"),
        ("SMALLINT", "32767, -32768", "smallint", "32767"),
        ("SMALLINT", "32768", "bigint", "32768"),
        ("BOOLEAN", "1, 0, NULL", "boolean", "t"),
        ("BOOL", "2", "bigint", "2"),
        ("TINYINT(1)", "0", "boolean", "f"),
        ("BOOLEAN", "'t'", "text", "t"),
        ("REAL", "1, 0.1, 5e-324, 9e999", "double precision", "1"),
        ("DECIMAL(10,2)", "1.25, 3", "numeric(10,2)", "1.25"),
        ("DECIMAL(10,2)", "1.255", "numeric", "1.255"),
        ("MONEY", "1e300", "numeric", "1e300"),
        ("NUMERIC", "9e999, 1", "double precision", "Infinity"),
        ("NUMERIC", "-0.0", "numeric", "0"),
        ("VARCHAR(3)", "'éé🚀'", "character varying(3)", "éé🚀"),
        ("VARCHAR(3)", "'abcd'", "text", "abcd"),
        ("STRING", "'a'", "text", "a"),
        ("STRING", "12", "bigint", "12"),
        ("CLOB", "' x '", "text", " x "),
        ("JSON", "'{\"a\": 1.50}'", "jsonb", "{\"a\": 1.50}"),
        ("JSON", "'{\"a\": 1, \"a\": 2}'", "json", "{\"a\": 1, \"a\": 2}"),
        ("JSON", "'{a: 1}'", "text", "{a: 1}"),
        (
            "DATETIME",
            "'2024-01-01T00:00:00Z', '2024-01-01 01:00+01:00', '2024-01-01'",
            "timestamp with time zone",
            "2024-01-01 00:00:00+00",
        ),
        ("DATETIME", "1700000000", "bigint", "1700000000"),
        ("DATETIME", "1700000000.5", "double precision", "1700000000.5"),
        ("DATETIME", "'now'", "text", "now"),
        ("TIMESTAMP", "'2024-01-01 00:00:00.1234567'", "text", "2024-01-01 00:00:00.1234567"),
        ("DATE", "'2024-02-29'", "date", "2024-02-29"),
        ("DATE", "'0000-00-00'", "text", "0000-00-00"),
        ("DATE", "'2024-02-29 00:00:00'", "text", "2024-02-29 00:00:00"),
        ("TIME", "'23:59:59.5'", "time without time zone", "23:59:59.5"),
        ("UUID", "x'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("UUID", "'nothing'", "text", "nothing"),
        (
            "CHAR(36)",
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "character varying(36)",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
        ),
        ("CHAR(36)", "NULL", "character varying(36)", ""),
        ("BLOB", "x'616263', x''", "bytea", "\\x616263"),
        ("BLOB", "'YWJj'", "text", "YWJj"),
        ("", "1, 2", "bigint", "1"),
        ("", "'a'", "text", "a"),
        ("", "NULL", "text", ""),
        ("POINT", "x'01'", "bytea", "\\x01"),
        ("ENUM", "'a'", "text", "a"),
    ];
    let mut sql = String::new();
    for (number, (declared, values, ..)) in ROWS.iter().enumerate() {
        let rows: Vec<String> = values.split(", ").map(|value| format!("({value})")).collect();
        // JSON contains commas.
        let rows = if declared.contains("JSON") { format!("({values})") } else { rows.join(", ") };
        sql += &format!("CREATE TABLE t{number} (v {declared}); INSERT INTO t{number} VALUES {rows};\n");
    }
    let transfer_with_revision = transfer_with_revision(&sql, &[]);
    transfer_with_revision
        .database
        .execute(&format!("alter database {} set timezone to 'UTC'", transfer_with_revision.database.name()));
    for (number, (declared, values, expected, first)) in ROWS.iter().enumerate() {
        let of = format!(
            "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 't{number}'::regclass and attname = 'v'"
        );
        assert_eq!(transfer_with_revision.database.value(&of), *expected, "{declared} of {values}");
        let first = if *first == "1e300" { format!("1{}", "0".repeat(300)) } else { (*first).to_owned() };
        assert_eq!(
            transfer_with_revision.database.value(&format!("select v from t{number} limit 1")),
            first,
            "{declared} of {values}"
        );
    }
}

#[test]
fn constraints_that_can_be_translated_are_written_and_others_are_comments() {
    transfer_with_revision(
        r#"CREATE TABLE t (id INTEGER PRIMARY KEY, flag BOOLEAN DEFAULT 0 CHECK (flag IN (0, 1)), n INT CHECK (n BETWEEN 1 AND 9 OR n IS NULL),
             code TEXT NOT NULL DEFAULT 'it''s' CHECK (length(code) > 1 AND code <> 'x'), low TEXT CHECK (low >= 'a'), big INT CHECK (big + 1 > 0),
             made TEXT DEFAULT CURRENT_TIMESTAMP, seen DATETIME DEFAULT (datetime('now')), r TEXT DEFAULT (hex(randomblob(4))), b BLOB DEFAULT x'0aff',
             broken INT CHECK (broken > 5), total INT GENERATED ALWAYS AS (n * 2) STORED, lazy TEXT AS (code || '!') VIRTUAL, odd TEXT AS (printf('%d', n)));
           PRAGMA ignore_check_constraints = 1;
           INSERT INTO t (id, flag, n, code, low, big, broken) VALUES (1, 1, 2, 'ab', 'b', 9223372036854775807, 1), (-5, 0, NULL, 'cd', NULL, 1, 9);"#,
        &[],
    )
    .has("flag boolean DEFAULT false,")
    .has("CHECK (flag IN (false, true))")
    .has("CHECK (n BETWEEN 1 AND 9 OR n IS NULL)")
    .has("CHECK (length(code) > 1 AND code <> 'x')")
    .has("CHECK (low COLLATE \"C\" >= 'a')")
    .has("-- Not carried of t: CHECK (big + 1 > 0): rowid 1 breaks it.")
    .has("-- Not carried of t: CHECK (broken > 5): rowid 1 breaks it.")
    .has("made text DEFAULT to_char(CURRENT_TIMESTAMP AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')")
    .has("seen timestamptz DEFAULT CURRENT_TIMESTAMP")
    .has("-- DEFAULT hex(randomblob(4)) is not carried.")
    .has("b bytea DEFAULT '\\x0aff'")
    .has("total bigint GENERATED ALWAYS AS (n * 2) STORED")
    .has("lazy text GENERATED ALWAYS AS (code || '!') STORED")
    .has("-- generated in SQLite as (printf('%d', n)): an ordinary column here, its values are copied.\n    odd text")
    .value("select total || lazy || odd from t where id = 1", "4ab!2")
    .value("insert into t (n, code) values (3, 'zz') returning id", "2")
    .value("select made ~ '^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d$' and b = '\\x0aff' from t where id = 2", "t")
    .expect_refused("insert into t (code) values ('x')");
}

#[test]
fn keys_that_postgresql_compares_differently_lose_no_row() {
    transfer_with_revision(
        "CREATE TABLE nulls (k TEXT PRIMARY KEY, v INT);
         INSERT INTO nulls VALUES (NULL, 1), (NULL, 2), ('a', 3);
         CREATE TABLE times (at DATETIME PRIMARY KEY);
         INSERT INTO times VALUES ('2024-01-01 00:00:00'), ('2024-01-01T00:00:00Z'), ('2024-01-01');
         CREATE TABLE regular (at DATETIME UNIQUE);
         INSERT INTO regular VALUES ('2024-01-24 10:00:00'), ('2024-01-24 11:00:00');
         CREATE TABLE ids (u UUID UNIQUE);
         INSERT INTO ids VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11');
         CREATE TABLE cased (name TEXT PRIMARY KEY COLLATE NOCASE);
         INSERT INTO cased VALUES ('a'), ('É'), ('é');
         CREATE TABLE of_cased (name TEXT REFERENCES cased(name), strict_name TEXT REFERENCES cased(name));
         INSERT INTO of_cased VALUES ('A', 'a');
         CREATE TABLE trimmed (name TEXT UNIQUE COLLATE RTRIM);
         INSERT INTO trimmed VALUES ('a'), ('b ');
         CREATE TABLE long (k TEXT PRIMARY KEY);
         INSERT INTO long VALUES (hex(randomblob(4000)));
         CREATE TABLE orphans (p INT REFERENCES nulls(v), q INT REFERENCES gone(id), r TEXT REFERENCES nulls(k), s INT REFERENCES nulls(k));
         INSERT INTO orphans VALUES (9, 9, 'zzz', 1);
         CREATE TABLE missing (v INT NOT NULL);
         PRAGMA writable_schema = 1; INSERT INTO missing VALUES (1);",
        &[],
    )
    .has("k text UNIQUE")
    .has("at text PRIMARY KEY")
    .has("at timestamptz UNIQUE")
    .has("u text UNIQUE")
    .has("name text PRIMARY KEY\n);\nCREATE UNIQUE INDEX cased_name_nocase ON cased (lower(name COLLATE \"C\"));")
    .has("ALTER TABLE of_cased ADD FOREIGN KEY (strict_name) REFERENCES cased (name);")
    .has("-- Not carried of of_cased: rowid 1 has no parent.\n--     FOREIGN KEY (name) REFERENCES cased (name)")
    .has("-- name is unique by its bytes: PostgreSQL has no collation RTRIM, which holds more to be equal.")
    .has("-- Not carried of long: its values have up to 8000 bytes")
    .has("-- Not carried of orphans: nulls has no such primary key or unique constraint.")
    .has("-- Not carried of orphans: there is no table gone here.")
    .has("-- Not carried of orphans: rowid 1 has no parent.\n--     FOREIGN KEY (r) REFERENCES nulls (k)")
    .has("-- Not carried of orphans: s is bigint, its parent text.")
    .value("select count(*) from nulls where k is null", "2")
    .value("select count(*) from times", "3")
    .value("select count(*) from ids", "2")
    .expect_refused("insert into cased values ('A')")
    .expect_refused("insert into of_cased (strict_name) values ('b')");
}

#[test]
fn keys_of_numbers_that_became_texts_are_kept_when_they_are_valid() {
    const KEYS: &str = "CREATE TABLE p (k STRING PRIMARY KEY, UNIQUE (k)); INSERT INTO p VALUES (12), ('abc'), (1.5);
        CREATE TABLE c (k STRING REFERENCES p(k), n INT REFERENCES p(k), f STRING REFERENCES p(k));
        INSERT INTO c VALUES (12, 12, 12), ('abc', 'abc', 'abc'), (1.5, NULL, NULL), (NULL, NULL, 7);
        CREATE TABLE texts (k TEXT PRIMARY KEY); INSERT INTO texts VALUES ('12'), ('x');
        CREATE TABLE of_texts (n INT REFERENCES texts(k), m REFERENCES texts(k)); INSERT INTO of_texts VALUES (12, 'x'), ('x', 12);
        CREATE TABLE bare (k UNIQUE, b INT, UNIQUE (k, b)); INSERT INTO bare VALUES (1, 1), ('2', 2), ('', 3), (3, 4);
        CREATE TABLE merged (k PRIMARY KEY, b INT, UNIQUE (k, b)); INSERT INTO merged VALUES (1, 1), ('1', 2), ('x', 3);
        CREATE TABLE reals (k UNIQUE); INSERT INTO reals VALUES (1.5), ('1.5');
        CREATE TABLE apart (k UNIQUE); INSERT INTO apart VALUES (1.5), ('2.5'), (2);
        CREATE TABLE small (n INT REFERENCES p(k)); INSERT INTO small VALUES (12);";
    let casts = ["p.k", "c.k", "c.n", "c.f", "of_texts.n", "of_texts.m", "bare.k", "merged.k", "reals.k", "apart.k"];
    let casts = casts.map(|place| format!("{place}=as-text"));
    let mut flags: Vec<&str> = casts.iter().flat_map(|cast| ["--cast", cast]).collect();
    flags.extend(["--cast", "bare.k=empty-as-null"]);
    transfer_with_revision(KEYS, &flags)
        .has("k text PRIMARY KEY")
        .has("ALTER TABLE c ADD FOREIGN KEY (k) REFERENCES p (k);")
        .has("ALTER TABLE c ADD FOREIGN KEY (n) REFERENCES p (k);")
        .has("-- Not carried of c: rowid 4 has no parent.\n--     FOREIGN KEY (f) REFERENCES p (k)")
        .has("ALTER TABLE of_texts ADD FOREIGN KEY (n) REFERENCES texts (k);")
        .has("ALTER TABLE of_texts ADD FOREIGN KEY (m) REFERENCES texts (k);")
        .has("k text UNIQUE,\n    b bigint,\n    UNIQUE (k, b)")
        .has("k text,\n    b bigint,\n    UNIQUE (k, b)")
        .has("-- Not carried of merged: as text, k of rowid 1 is equal to that of another row.\n--     PRIMARY KEY (k)")
        .has("CREATE TABLE apart (\n    k text UNIQUE\n);")
        .has("-- Not carried of reals: a --cast may make values equal that are not.")
        .has("-- Not carried of small: n is bigint, its parent text (--cast small.n=as-text makes it text, too).")
        .value("select count(*) from merged where k = '1'", "2")
        .expect_refused("insert into p values ('12')")
        .expect_refused("insert into c (n) values ('13')");
}

#[test]
fn lost_collations_and_on_conflict_clauses_are_reported() {
    const LOST: &str =
        "CREATE TABLE t (id INTEGER PRIMARY KEY ON CONFLICT REPLACE, name TEXT COLLATE NOCASE, cut TEXT COLLATE RTRIM,
          code TEXT COLLATE BINARY NOT NULL ON CONFLICT IGNORE UNIQUE ON CONFLICT ABORT, n INT COLLATE NOCASE,
          UNIQUE (name, code) ON CONFLICT ROLLBACK);
        INSERT INTO t VALUES (1, 'a', 'b', 'c', 1);";
    let warnings = [
        "COLLATE NOCASE is not carried: PostgreSQL tells upper and lower case apart where the column is compared",
        "COLLATE RTRIM is not carried: PostgreSQL compares the column by its own collation",
        "PRIMARY KEY ON CONFLICT REPLACE: its ON CONFLICT is not carried",
        "NOT NULL ON CONFLICT IGNORE: its ON CONFLICT is not carried",
        "UNIQUE (name, code) ON CONFLICT ROLLBACK: its ON CONFLICT is not carried",
    ];
    let finished = write_revision(&source(LOST), &[]);
    let transfer_with_revision = transfer_with_revision(LOST, &[]);
    for words in warnings {
        finished.says(words);
        transfer_with_revision.has(&format!("-- {words}"));
    }
    assert_eq!(transfer_with_revision.up.matches("COLLATE NOCASE is not").count(), 1, "{}", transfer_with_revision.up);
    assert!(!transfer_with_revision.up.contains("ABORT"), "{}", transfer_with_revision.up);
}

#[test]
fn names_are_kept_and_duplicate_index_names_are_changed() {
    let long = "i".repeat(80);
    let transfer_with_revision = transfer_with_revision(
        &format!(
            "CREATE TABLE \"Order Details\" (\"Group\" INTEGER PRIMARY KEY, \"a\"\"b\" TEXT, [select] INT, `x.y` INT, UNIQUE (\"select\", \"x.y\"));
             CREATE TABLE items (id INTEGER PRIMARY KEY, v INT); CREATE TABLE items_id_seq (v INT);
             CREATE INDEX items_pkey ON items (v); CREATE INDEX {long}1 ON items (v); CREATE INDEX {long}2 ON items (v DESC);
             INSERT INTO \"Order Details\" VALUES (1, 'x', 2, 3); INSERT INTO items VALUES (7, 1); INSERT INTO items_id_seq VALUES (5);"
        ),
        &[],
    );
    transfer_with_revision
        .has("\"Group\" bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,\n    \"a\"\"b\" text,\n    \"select\" bigint,\n    \"x.y\" bigint,\n    UNIQUE (\"select\", \"x.y\")")
        .has("IDENTITY (SEQUENCE NAME items_id_seq_2)")
        .has("CONSTRAINT items_pkey_2 PRIMARY KEY (id)")
        .value("select \"a\"\"b\" from \"Order Details\"", "x")
        .value("insert into items (v) values (1) returning id", "8")
        .value("select count(*) from pg_indexes where tablename = 'items'", "4");
}
