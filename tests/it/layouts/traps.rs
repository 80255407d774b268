//! Forty migrations with what real directories contain.

/// A migration.
#[derive(Clone, Debug)]
pub struct Trap {
    pub number: usize,
    pub name: &'static str,
    pub up: String,
    pub down: String,
    /// True if the script refuses to run in a transaction.
    pub refuses_transactions: bool,
    /// True if the script has its own BEGIN and COMMIT.
    pub has_brackets: bool,
}

/// Returns the migrations for a dialect.
pub fn traps(dialect: &str) -> Vec<Trap> {
    let special = if dialect == "postgres" { POSTGRES } else { SQLITE };
    let all = COMMON.iter().chain(special);
    let mut found: Vec<Trap> = all
        .map(|&(name, up, down)| Trap {
            number: 0,
            name,
            up: up.into(),
            down: down.into(),
            refuses_transactions: ["concurrently", "vacuum"].iter().any(|word| up.to_lowercase().contains(word)),
            has_brackets: up.to_lowercase().contains("commit;"),
        })
        .collect();
    for number in found.len()..40 {
        found.push(Trap {
            number: 0,
            name: "plain",
            up: format!("create table plain_{number} (id integer primary key, name varchar(20));\n"),
            down: format!("drop table plain_{number};\n"),
            refuses_transactions: false,
            has_brackets: false,
        });
    }
    found.iter_mut().enumerate().for_each(|(at, trap)| trap.number = at + 1);
    found
}

const COMMON: &[(&str, &str, &str)] = &[
    ("first", "create table item (id integer primary key, name varchar(40) not null);\n", "drop table item;\n"),
    ("no_line_end", "insert into item values (1, 'one');", "delete from item where id = 1;"),
    ("comment_at_the_end", "insert into item values (2, 'two') -- the end", "delete from item where id = 2"),
    ("only_a_comment", "-- nothing to do\n", "-- nothing to undo\n"),
    (
        "two_on_a_line",
        "insert into item values (3, 'a;b');insert into item values (4, 'it''s');\n",
        "delete from item where id in (3, 4);\n",
    ),
    (
        "line_ends",
        "create table line_ends (id integer);\r\ninsert into line_ends values (1);\r\n",
        "drop table line_ends;\r\n",
    ),
    (
        "letters",
        "create table \"größe\" (\"Maß\" integer);\ninsert into item values (5, '表 😀');\n",
        "drop table \"größe\";\ndelete from item where id = 5;\n",
    ),
    ("a_view", "create view item_names as select name from item;\n", "drop view item_names;\n"),
    ("block_comment", "/* a; comment -- with\n   lines */ create table block (id integer);\n", "drop table block;\n"),
    ("an_index", "create index item_name on item (name);\n", "drop index item_name;\n"),
    ("many_rows", "insert into item select id + 100, name from item;\n", "delete from item where id > 100;\n"),
    ("quotes_in_a_name", "create table \"semi;colon\" (id integer);\n", "drop table \"semi;colon\";\n"),
];

const POSTGRES: &[(&str, &str, &str)] = &[
    (
        "a_function",
        "create function f() returns integer language plpgsql as $$\nbegin\n  return 1; -- a ;\nend;\n$$;\n",
        "drop function f();\n",
    ),
    (
        "tagged_quotes",
        "do $body$ begin execute 'create table made_by_do (id int)'; end $body$;\n",
        "drop table made_by_do;\n",
    ),
    ("an_enum", "create type mood as enum ('sad', 'ok');\n", "drop type mood;\n"),
    ("an_enum_value", "alter type mood add value 'happy';\n", "select 1;\n"),
    ("its_use", "create table person (mood mood default 'happy');\n", "drop table person;\n"),
    (
        "concurrently",
        "create index concurrently item_id_name on item (id, name);\n",
        "drop index concurrently item_id_name;\n",
    ),
    ("brackets", "BEGIN;\ncreate table in_brackets (id int);\nCOMMIT;\n", "drop table in_brackets;\n"),
    ("a_setting", "set statement_timeout = '1h';\ncreate table with_setting (id int);\n", "drop table with_setting;\n"),
    (
        "a_trigger",
        "create function t() returns trigger language plpgsql as 'begin return new; end';\ncreate trigger touch before insert on item for each row execute function t();\n",
        "drop trigger touch on item;\ndrop function t();\n",
    ),
    ("a_grant", "grant select on item to public;\n", "revoke select on item from public;\n"),
    (
        "savepoints",
        "savepoint a;\ncreate table after_savepoint (id int);\nrelease savepoint a;\n",
        "drop table after_savepoint;\n",
    ),
    ("escapes", "insert into item values (7, E'it\\'s');\n", "delete from item where id = 7;\n"),
];

const SQLITE: &[(&str, &str, &str)] = &[
    (
        "a_trigger",
        "create trigger touch after insert on item begin\n  update item set name = name where id = new.id;\n  select case when 1 then 2 end;\nend;\n",
        "drop trigger touch;\n",
    ),
    (
        "parent_and_child",
        "create table parent (id integer primary key);\ncreate table child (id integer primary key, parent integer references parent (id) on delete cascade);\ninsert into parent values (1);\ninsert into child values (1, 1);\n",
        "drop table child;\ndrop table parent;\n",
    ),
    ("a_column", "alter table item add column size integer default 1;\n", "alter table item drop column size;\n"),
    ("rename", "alter table line_ends rename to endings;\n", "alter table endings rename to line_ends;\n"),
    ("without_rowid", "create table pair (a text, b text, primary key (a, b)) without rowid;\n", "drop table pair;\n"),
    ("blobs", "create table bytes (data blob);\ninsert into bytes values (x'00ff');\n", "drop table bytes;\n"),
];
