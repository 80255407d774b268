//! Tests of the source of a transfer: the schema of a SQLite file, and its rows.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lockkeeper::database::DatabaseErrorKind;
use lockkeeper::database::sqlite::source::{SourceRow, SqliteSource};
use lockkeeper::transfer::source::{
    ColumnVisibility, RowKey, SkipReason, SourceContents, SourceForeignKey, SourceTable,
};
use lockkeeper::transfer::value::Value;
use tempfile::TempDir;

use crate::support::{sqlite, temporary_directory};

static NEVER_CANCELLED: AtomicBool = AtomicBool::new(false);

/// A file in a directory of its own, created by the sqlite3 program.
pub struct File {
    pub directory: TempDir,
    pub path: PathBuf,
}

impl File {
    pub fn new(sql: &str) -> Self {
        let directory = temporary_directory("source");
        let path = directory.path().join("source.db");
        sqlite::query(&path, sql);
        Self { directory, path }
    }

    #[track_caller]
    pub fn open(&self) -> SqliteSource {
        open(&self.path)
    }
}

#[track_caller]
pub fn open(path: &Path) -> SqliteSource {
    SqliteSource::open(path, Duration::from_secs(20), &NEVER_CANCELLED).unwrap_or_else(|fault| panic!("{fault}"))
}

#[track_caller]
fn contents(source: &SqliteSource) -> SourceContents {
    source.tables().unwrap_or_else(|fault| panic!("{fault}"))
}

#[track_caller]
fn table(source: &SqliteSource, name: &str) -> SourceTable {
    let contents = contents(source);
    let found = contents.tables.iter().find(|table| table.name == name).cloned();
    found.unwrap_or_else(|| panic!("no table {name:?} in {contents:#?}"))
}

/// Returns a value with its storage class, and with its bytes escaped.
fn displayed(value: Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => format!("i {number}"),
        Value::Real(number) => format!("r {number:?}"),
        Value::Text(text) => format!("t {}", text.escape_ascii()),
        Value::Blob(bytes) => format!("b {}", bytes.escape_ascii()),
    }
}

/// Reads all rows with these columns.
#[track_caller]
fn rows_with<T>(
    source: &SqliteSource,
    table: &SourceTable,
    columns: &[usize],
    mut read: impl FnMut(&SourceRow<'_>) -> T,
) -> Vec<T> {
    let mut rows = Vec::new();
    let ended = source
        .rows(table, columns, &NEVER_CANCELLED, |row| {
            rows.push(read(row));
            ControlFlow::<()>::Continue(())
        })
        .unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(ended, ControlFlow::Continue(rows.len() as u64));
    rows
}

/// Returns all rows with all columns: one text each, values separated by commas.
#[track_caller]
pub fn rows(source: &SqliteSource, name: &str) -> Vec<String> {
    let table = table(source, name);
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    rows_with(source, &table, &columns, |row| row.values().map(displayed).collect::<Vec<_>>().join(", "))
}

/// Returns the identities of all rows, read without a column.
#[track_caller]
fn identities(source: &SqliteSource, name: &str) -> Vec<String> {
    rows_with(source, &table(source, name), &[], |row| row.identity())
}

#[test]
fn every_storage_class_is_read_as_it_is_stored() {
    let file = File::new(
        "create table t (id integer primary key, v);
         insert into t (v) values (null), (9223372036854775807), (-9223372036854775808), (0),
             (1.0), (0.1), (-0.0), (5e-324), (1e308), (9e999), (-9e999),
             (''), ('x'), (x''), (x'00ff');",
    );
    let found = rows(&file.open(), "t");
    let values = [
        "null",
        "i 9223372036854775807",
        "i -9223372036854775808",
        "i 0",
        "r 1.0",
        "r 0.1",
        "r -0.0",
        "r 5e-324",
        "r 1e308",
        "r inf",
        "r -inf",
        "t ",
        "t x",
        "b ",
        r"b \x00\xff",
    ];
    let expected: Vec<String> = values.iter().enumerate().map(|(at, value)| format!("i {}, {value}", at + 1)).collect();
    assert_eq!(found, expected);
}

#[test]
fn text_keeps_its_true_length_and_bytes_that_are_no_utf_8() {
    let file = File::new(
        "create table t (v text);
         insert into t values ('a' || char(0) || 'b'), (char(0)), (cast(x'61ff62' as text)), (cast(x'eda080' as text)),
             ('žluť 😀');",
    );
    let expected = [
        r"t a\x00b".to_owned(),
        r"t \x00".to_owned(),
        r"t a\xffb".to_owned(),
        r"t \xed\xa0\x80".to_owned(),
        format!("t {}", "žluť 😀".as_bytes().escape_ascii()),
    ];
    assert_eq!(rows(&file.open(), "t"), expected);
}

#[test]
fn utf_16_is_read_as_utf_8() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let file = File::new(&format!(
            "pragma encoding = '{encoding}';
             create table \"žluť\" (\"ď\" text default 'ň');
             insert into \"žluť\" values ('a' || char(0) || '😀'), ('');"
        ));
        let source = file.open();
        let found = table(&source, "žluť");
        assert_eq!((found.columns[0].name.as_str(), found.columns[0].default.as_deref()), ("ď", Some("'ň'")));
        let expected = [format!(r"t a\x00{}", "😀".as_bytes().escape_ascii()), "t ".to_owned()];
        assert_eq!(rows(&source, "žluť"), expected, "{encoding}");
    }
}

#[test]
fn columns_are_described() {
    let file = File::new(
        "create table t (
             b VARCHAR(10) not null default 'x''y', a, c DECIMAL(10, 2),
             v int generated always as (c + 1), s text as (b || 'z') stored,
             primary key (a, b));",
    );
    let columns = table(&file.open(), "t").columns;
    let facts: Vec<_> = (columns.iter())
        .map(|it| (it.name.as_str(), it.declared.as_str(), it.not_null, it.default.as_deref(), it.primary, it.hidden))
        .collect();
    let expected = [
        ("b", "VARCHAR(10)", true, Some("'x''y'"), Some(2), ColumnVisibility::No),
        ("a", "", false, None, Some(1), ColumnVisibility::No),
        ("c", "DECIMAL(10, 2)", false, None, None, ColumnVisibility::No),
        ("v", "INT", false, None, None, ColumnVisibility::GeneratedVirtual),
        ("s", "TEXT", false, None, None, ColumnVisibility::GeneratedStored),
    ];
    assert_eq!(facts, expected);
}

#[test]
fn generated_columns_can_be_read_and_excluded() {
    let file = File::new(
        "create table t (a int, twice int as (a * 2), text text as ('<' || a || '>') stored); insert into t values (3);",
    );
    let source = file.open();
    assert_eq!(rows(&source, "t"), ["i 3, i 6, t <3>"]);
    let found = rows_with(&source, &table(&source, "t"), &[0], |row| row.values().map(displayed).collect::<Vec<_>>());
    assert_eq!(found, [["i 3"]]);
}

/// A table, the key that identifies its rows, and its declared primary key.
#[test]
fn the_key_of_rows_is_found_for_every_kind_of_table() {
    let rowid = |column| RowKey::Rowid { name: "rowid", column };
    let cases = [
        ("a, id integer primary key", "", rowid(Some(1)), vec![1]),
        ("id INTEGER primary key autoincrement, a", "", rowid(Some(0)), vec![0]),
        ("id int primary key, a", "", rowid(None), vec![0]),
        ("id integer primary key desc, a", "", rowid(None), vec![0]),
        ("a, b, c, primary key (c, a)", "", rowid(None), vec![2, 0]),
        ("a, b", "", rowid(None), vec![]),
        ("a, b, c, primary key (c, a)", "without rowid", RowKey::Columns(vec![2, 0]), vec![2, 0]),
        ("id integer primary key, a", "without rowid", RowKey::Columns(vec![0]), vec![0]),
        ("RowId text, b", "", RowKey::Rowid { name: "_rowid_", column: None }, vec![]),
        ("rowid, _rowid_, b", "", RowKey::Rowid { name: "oid", column: None }, vec![]),
        ("rowid, _rowid_, oid", "", RowKey::Unnamed, vec![]),
        ("rowid, _rowid_, oid integer primary key", "", RowKey::Columns(vec![2]), vec![2]),
    ];
    for (columns, options, key, primary) in cases {
        let file = File::new(&format!("create table t ({columns}) {options};"));
        let found = table(&file.open(), "t");
        assert_eq!((&found.key, found.primary_key()), (&key, primary), "{columns} {options}");
    }
}

#[test]
fn rows_are_named_by_their_key() {
    let file = File::new(
        "create table plain (a); insert into plain (rowid, a) values (-7, 1), (0, 2), (1797657063271174144, 3);
         create table keyed (x, b text, a int, primary key (a, b)) without rowid;
         insert into keyed values (1, 'it''s', 2), (1, 'x', 1);
         create table taken (rowid, _rowid_, oid); insert into taken values (9, 9, 9), (8, 8, 8);",
    );
    let source = file.open();
    assert_eq!(identities(&source, "plain"), ["rowid -7", "rowid 0", "rowid 1797657063271174144"]);
    assert_eq!(identities(&source, "keyed"), ["(a, b) = (1, 'x')", "(a, b) = (2, 'it''s')"]);
    assert_eq!(identities(&source, "taken"), ["row 1", "row 2"]);
    // The key's columns may be among the selected columns, or not.
    let keyed = table(&source, "keyed");
    let row_names = rows_with(&source, &keyed, &[1, 0], |row| {
        (row.number(), row.identity(), displayed(row.value(0)), displayed(row.value(1)))
    });
    assert_eq!(row_names[1], (2, "(a, b) = (2, 'it''s')".to_owned(), r"t it\'s".to_owned(), "i 1".to_owned()));
}

/// An index with all columns would be faster to read, but in another order.
#[test]
fn rows_come_in_the_order_of_their_key_whatever_indexes_there_are() {
    let wide = "hex(zeroblob(200))";
    let file = File::new(&format!(
        "create table r (id integer primary key, b, wide default ({wide}));
         create index rb on r (b, id); insert into r (id, b) values (3, 1), (1, 3), (2, 2);
         create table w (a text, n int, b, wide default ({wide}), primary key (a collate nocase, n desc)) without rowid;
         create index wb on w (b, a, n); insert into w (a, n, b) values ('B', 1, 1), ('a', 2, 2), ('a', 3, 3), ('c', 1, 0);"
    ));
    let source = file.open();
    assert_eq!(identities(&source, "r"), ["rowid 1", "rowid 2", "rowid 3"]);
    assert_eq!(
        identities(&source, "w"),
        ["(a, n) = ('a', 3)", "(a, n) = ('a', 2)", "(a, n) = ('B', 1)", "(a, n) = ('c', 1)"]
    );
}

#[test]
fn foreign_keys_name_their_parents_columns_also_where_the_declaration_does_not() {
    let file = File::new(
        "create table Parent (a, b, c, primary key (b, a));
         create table child (
             x references PARENT (c), y, z, up references child, gone references nowhere,
             foreign key (y, z) references parent);
         create table child2 (id integer primary key, x references child2 (id));",
    );
    let source = file.open();
    let key = |columns: &[&str], parent: &str, of: &[&str]| SourceForeignKey {
        columns: columns.iter().map(|&it| it.to_owned()).collect(),
        parent: parent.to_owned(),
        parent_columns: of.iter().map(|&it| it.to_owned()).collect(),
    };
    let expected = [
        key(&["x"], "Parent", &["c"]),
        key(&["up"], "child", &[]),
        key(&["gone"], "nowhere", &[]),
        key(&["y", "z"], "Parent", &["b", "a"]),
    ];
    assert_eq!(table(&source, "child").foreign_keys, expected);
    assert_eq!(table(&source, "child2").foreign_keys, [key(&["x"], "child2", &["id"])]);
    assert_eq!(table(&source, "Parent").foreign_keys, []);
}

#[test]
fn autoincrement_values_are_found_for_empty_tables_as_well() {
    let file = File::new(
        "create table emptied (id integer primary key autoincrement);
         insert into emptied values (41); delete from emptied;
         create table raised (id integer primary key autoincrement); insert into raised values (1);
         update sqlite_sequence set seq = 9007199254740993 where name = 'raised';
         create table untouched (id integer primary key autoincrement);
         create table odd (id integer primary key autoincrement); insert into odd values (1);
         update sqlite_sequence set seq = 'many' where name = 'odd';
         insert into sqlite_sequence values (null, 1), (cast(x'ff' as text), 2), ('dropped', 3);
         create table plain (id integer primary key); insert into plain values (1);",
    );
    let marks: Vec<_> = contents(&file.open()).tables.into_iter().map(|table| (table.name, table.sequence)).collect();
    let expected = [
        ("emptied", Some(41)),
        ("odd", None),
        ("plain", None),
        ("raised", Some(9007199254740993)),
        ("untouched", None),
    ];
    assert_eq!(marks, expected.map(|(name, mark)| (name.to_owned(), mark)));
}

#[test]
fn objects_without_user_rows_are_listed_separately() {
    let file = File::new(
        "create table t (a); create index i on t (a); create view v as select * from t;
         create view broken as select * from nowhere;
         create trigger log after insert on t begin select 1; end;
         create virtual table words using fts5 (w); create virtual table spots using rtree (id, x, y);
         create table words_of_ours (a); create table auto (id integer primary key autoincrement);
         analyze;",
    );
    let found = contents(&file.open());
    let names: Vec<&str> = found.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["auto", "t", "words_of_ours"]);
    assert!(found.tables.iter().all(|table| table.possible_owner.is_none()), "{found:#?}");
    let of = |reason: SkipReason| -> Vec<&str> {
        found.others.iter().filter(|it| it.reason == reason).map(|it| it.name.as_str()).collect()
    };
    assert_eq!(of(SkipReason::View), ["broken", "v"]);
    assert_eq!(of(SkipReason::Trigger { table: "t".to_owned() }), ["log"]);
    assert_eq!(of(SkipReason::Virtual { complaint: None }), ["spots", "words"]);
    let shadows = ["spots_node", "spots_parent", "spots_rowid"];
    let shadows = [&shadows[..], &["words_config", "words_content", "words_data", "words_docsize", "words_idx"]];
    assert_eq!(of(SkipReason::Shadow), shadows.concat());
    let internal = of(SkipReason::Internal);
    for name in ["sqlite_schema", "sqlite_sequence", "sqlite_stat1"] {
        assert!(internal.contains(&name), "{internal:?}");
    }
}

/// Only the module itself knows which tables are its shadow tables.
#[test]
fn the_tables_of_a_module_that_is_not_built_in_are_marked() {
    let file = File::new(
        "create table Spell_vocab (a); create table spelling (a); insert into spell_vocab values (1);
         pragma writable_schema = on;
         insert into sqlite_schema values ('table', 'spell', 'spell', 0, 'CREATE VIRTUAL TABLE spell USING spellfix1');",
    );
    let source = file.open();
    let found = contents(&source);
    let marks: Vec<_> =
        found.tables.iter().map(|table| (table.name.as_str(), table.possible_owner.as_deref())).collect();
    assert_eq!(marks, [("Spell_vocab", Some("spell")), ("spelling", None)]);
    let reason = &found.others.iter().find(|it| it.name == "spell").expect("it is listed").reason;
    assert_eq!(reason.to_string(), "a virtual table (no such module: spellfix1)");
    assert_eq!(rows(&source, "Spell_vocab"), ["i 1"]);
}

#[test]
fn history_tables_of_migration_tools_are_marked() {
    let file = File::new(
        "create table alembic_version (version_num);
         create table Schema_Migrations (version primary key); create table ar_internal_metadata (key, value);
         create table goose_db_version (mine);
         create table our_history (revision, checksum, statements_done, lockkeeper_version);",
    );
    let marks: Vec<_> =
        contents(&file.open()).tables.into_iter().map(|table| (table.name, table.bookkeeping)).collect();
    let expected = [
        ("Schema_Migrations", Some("dbmate or Rails")),
        ("alembic_version", Some("Alembic")),
        ("ar_internal_metadata", Some("Rails")),
        ("goose_db_version", None),
        ("our_history", Some("Lockkeeper")),
    ];
    assert_eq!(marks, expected.map(|(name, tool)| (name.to_owned(), tool)));
}

#[test]
fn names_may_have_any_character() {
    let names =
        ["", "a.b", "select", "Order \"Details\"", "it's", "back`tick", "[x]", "two\nlines", "ž", "a;--", "%", "?1"];
    let mut sql = String::new();
    for name in names {
        let quoted = name.replace('"', "\"\"");
        sql +=
            &format!("create table \"{quoted}\" (\"{quoted}\" text, \"x {quoted}\" int, primary key (\"{quoted}\")) ");
        sql += &format!("without rowid; insert into \"{quoted}\" values ('v', 1);");
    }
    let source = File::new(&sql);
    let source = source.open();
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let found: Vec<String> = contents(&source).tables.into_iter().map(|table| table.name).collect();
    assert_eq!(found, sorted);
    for name in names {
        assert_eq!(rows(&source, name), ["t v, i 1"], "{name:?}");
        assert_eq!(identities(&source, name), [format!("{name} = 'v'")]);
    }
}

#[test]
fn a_table_with_names_that_sql_cannot_write_is_listed_separately() {
    let file = File::new(
        "create table t (a); create table good (a); create table u (b);
         pragma writable_schema = on;
         update sqlite_schema set name = cast(x'74ff' as text), tbl_name = cast(x'74ff' as text),
             sql = cast('CREATE TABLE \"t' || x'ff' || '\" (a)' as text) where name = 't';
         update sqlite_schema set sql = cast('CREATE TABLE u (\"b' || x'ff' || '\")' as text) where name = 'u';",
    );
    let found = contents(&file.open());
    assert_eq!(found.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["good"]);
    let unnameable: Vec<&str> =
        (found.others.iter()).filter(|it| it.reason == SkipReason::Unnameable).map(|it| it.name.as_str()).collect();
    assert_eq!(unnameable, ["t\u{fffd}", "u"]);
}

#[test]
fn a_database_without_tables_has_none() {
    let source = File::new("create table t (a); drop table t;");
    let found = contents(&source.open());
    assert!(found.tables.is_empty(), "{found:#?}");
}

#[test]
fn sizes_are_estimated_without_counting() {
    let file = File::new(
        "create table dense (id integer primary key, v text);
         with recursive n (i) as (select 1 union all select i + 1 from n where i < 1000)
         insert into dense select i, printf('%098d', i) from n;
         create table hashed (id integer primary key); insert into hashed values (1), (1797657063271174144);
         create table ends (id integer primary key);
         insert into ends values (-9223372036854775808), (9223372036854775807);
         create table counted (a text primary key) without rowid; insert into counted values ('a'), ('b');
         create table none (a text primary key) without rowid;
         create table empty (a);
         analyze counted;",
    );
    let source = file.open();
    let sizes = |name: &str| {
        let table = table(&source, name);
        (table.rows, table.bytes)
    };
    assert_eq!(sizes("dense"), (Some(1000), Some(99_000)));
    assert_eq!(sizes("hashed"), (None, None));
    assert_eq!(sizes("ends"), (None, None));
    assert_eq!(sizes("counted"), (Some(2), Some(2)));
    assert_eq!(sizes("none"), (None, None));
    assert_eq!(sizes("empty"), (Some(0), Some(0)));
    let length = fs::metadata(&file.path).expect("the file").len();
    assert!(source.bytes() > 99_000 && source.bytes() <= length, "{} of {length}", source.bytes());
}

const THOUSANDS: &str = "create table t (id integer primary key, v text);
     with recursive n (i) as (select 1 union all select i + 1 from n where i < 5000)
     insert into t select i, printf('%0100d', i) from n;";

#[test]
fn a_scan_ends_when_it_is_cancelled() {
    let file = File::new(THOUSANDS);
    let source = file.open();
    let table = table(&source, "t");
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    let fault = source
        .rows(&table, &[1], &stop, |_| {
            seen += 1;
            stop.store(true, Ordering::SeqCst);
            ControlFlow::<()>::Continue(())
        })
        .expect_err("it goes on");
    assert_eq!((fault.kind, seen), (DatabaseErrorKind::Cancelled, 1), "{fault}");
    let broken_off = source.rows(&table, &[0], &NEVER_CANCELLED, |row| match row.value(0) {
        Value::Integer(1234) => ControlFlow::Break("enough"),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(broken_off.expect("no fault"), ControlFlow::Break("enough"));
}

#[test]
fn a_damaged_page_is_an_error_that_names_the_table() {
    let file = File::new(THOUSANDS);
    let mut damaged = OpenOptions::new().write(true).open(&file.path).expect("open");
    damaged.seek(SeekFrom::Start(60 * 4096)).expect("seek");
    damaged.write_all(&[0x55; 4096]).expect("write");
    drop(damaged);
    let source = file.open();
    let mut seen = 0;
    let fault = source
        .rows(&table(&source, "t"), &[0, 1], &NEVER_CANCELLED, |_| {
            seen += 1;
            ControlFlow::<()>::Continue(())
        })
        .expect_err("garbage is read");
    assert_eq!(fault.kind, DatabaseErrorKind::Corrupt, "{fault}");
    assert!(seen > 1000 && seen < 5000, "{seen}");
    assert!(fault.message.contains(&format!("(in table t, after {seen} rows)")), "{fault}");
}
