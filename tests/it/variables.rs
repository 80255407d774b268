//! Variables in SQL: `${NAME}` in a file whose header declares `NAME` has the value of the environment variable.

use crate::contract::expect_end;
use crate::support::binary::Run;
use crate::support::either::Database;

on_either!(
    a_declared_variable_has_its_value_and_other_text_stays,
    a_missing_value_is_found_before_anything_runs,
    a_value_in_an_error_is_masked,
    another_value_does_not_edit_the_file,
    a_value_that_divides_a_statement_is_refused,
    several_lines_declare_variables,
    values_and_names_that_cannot_be_are_refused,
    a_printed_script_has_the_values,
    a_resumed_script_has_the_values,
);

const FILE: &str = "-- vars: TABLE_NAME GREETING
create table ${TABLE_NAME} (text varchar(40));
insert into ${TABLE_NAME} values ('${GREETING} ${OTHER}'), ('$${GREETING}');
";

fn run_on(database: &impl Database) -> Run {
    Run::new().url(&database.url()).env("LOCKKEEPER_BACKUP", "off")
}

fn a_declared_variable_has_its_value_and_other_text_stays<D: Database>() {
    let database = D::create("vars");
    let run = run_on(&database).file("migrations/1_a.sql", FILE);
    let run = run.env("TABLE_NAME", "greetings").env("GREETING", "Hello").env("OTHER", "not declared");
    expect_end(&run, 0, &["up to date at 1"]);
    assert_eq!(database.query("select text from greetings order by text").trim_end(), "$Hello\nHello ${OTHER}");
}

fn a_missing_value_is_found_before_anything_runs<D: Database>() {
    let database = D::create("missing");
    let run = run_on(&database).file("migrations/1_a.sql", "create table first (id integer);");
    let run = run.file("migrations/2_b.sql", FILE).env("GREETING", "Hello");
    expect_end(
        &run,
        65,
        &[
            "2_b.sql: the variable TABLE_NAME has no value: set the environment variable TABLE_NAME; nothing was changed",
        ],
    );
    assert!(!database.has_table("first"));
    expect_end(&run.clone().env("TABLE_NAME", "greetings"), 0, &["up to date at 2"]);
}

fn a_value_in_an_error_is_masked<D: Database>() {
    let database = D::create("masked");
    let file = "-- vars: SECRET\ncreate table t (id integer);\ninsert into missing values ('${SECRET}');\nselect * from ${SECRET};";
    let run = run_on(&database).file("migrations/1_a.sql", file).env("SECRET", "canary_of_variables");
    expect_end(&run, 80, &["1_a.sql:3:"]).does_not_say("canary");
    expect_end(&run.clone().env("LOCKKEEPER_LOG", "debug"), 80, &["1_a.sql:3:"]).does_not_say("canary");
    // A server folds names, and what follows a quotation mark is no part of a literal.
    let run = run_on(&database).file("migrations/1_a.sql", file).env("SECRET", "Canary_of_Variables");
    expect_end(&run, 80, &["1_a.sql:3:"]).does_not_say("canary").does_not_say("Canary");
    let run = run_on(&database).file("migrations/1_a.sql", "-- vars: SECRET\nselect '${SECRET}';");
    let run = run.env("SECRET", "prefix'canary 'suffix");
    expect_end(&run, 80, &["1_a.sql:2:"]).does_not_say("canary").does_not_say("suffix");
    assert!(!database.has_table("t"));
}

fn several_lines_declare_variables<D: Database>() {
    let database = D::create("lines");
    let file = FILE.replace("vars: TABLE_NAME GREETING", "vars: TABLE_NAME\n-- vars: GREETING");
    let run = run_on(&database).file("migrations/1_a.sql", file).env("TABLE_NAME", "greetings");
    expect_end(&run.clone(), 65, &["the variable GREETING has no value"]);
    expect_end(&run.env("GREETING", "Hello"), 0, &["up to date at 1"]);
    assert_eq!(database.query("select text from greetings order by text").trim_end(), "$Hello\nHello ${OTHER}");
}

fn another_value_does_not_edit_the_file<D: Database>() {
    let database = D::create("other");
    let run = run_on(&database).file("migrations/1_a.sql", FILE).env("TABLE_NAME", "greetings");
    expect_end(&run.clone().env("GREETING", "Hello"), 0, &["up to date at 1"]);
    expect_end(&run.clone().env("GREETING", "Good day"), 0, &["nothing pending"]);
    // What is applied needs no values.
    expect_end(&run, 0, &["nothing pending"]);
}

fn a_value_that_divides_a_statement_is_refused<D: Database>() {
    let database = D::create("divides");
    let run = run_on(&database).file("migrations/1_a.sql", FILE).env("GREETING", "Hello");
    let refused = "1_a.sql:2:1: the value of a variable here or below begins or ends a statement";
    expect_end(&run.clone().env("TABLE_NAME", "a (id integer); drop table b; create table c"), 65, &[refused]);
    let quoted = run_on(&database).file("migrations/1_a.sql", "-- vars: WORD\n\nselect '${WORD}';").env("WORD", "it's");
    expect_end(&quoted, 65, &["1_a.sql:3:1: the value of a variable"]).does_not_say("it's");
    let vacuum = run_on(&database).file("migrations/1_a.sql", "-- vars: VERB\n${VERB};").env("VERB", "vacuum");
    expect_end(&vacuum, 65, &["1_a.sql:2:1: this statement cannot run inside a transaction"]);
}

fn values_and_names_that_cannot_be_are_refused<D: Database>() {
    let database = D::create("refused");
    let run = run_on(&database).file("migrations/1_a.sql", FILE).env("GREETING", "Hello");
    for value in ["a\nb", "a\\b", "a\rb"] {
        expect_end(&run.clone().env("TABLE_NAME", value), 65, &["the variable TABLE_NAME has a value with a line end"]);
    }
    for (header, reason) in [
        ("-- vars:", "1_a.sql:1: vars needs names"),
        ("-- vars: 1A", "1_a.sql:1: \"1A\" is no name of a variable"),
        ("-- vars: A, B", "1_a.sql:1: \"A,\" is no name of a variable"),
    ] {
        let run = run_on(&database).file("migrations/1_a.sql", format!("{header}\nselect 1;"));
        expect_end(&run, 65, &[reason]);
    }
}

fn a_printed_script_has_the_values<D: Database>() {
    let database = D::create("printed");
    let run = run_on(&database).file("migrations/1_a.sql", FILE);
    let run = run.env("TABLE_NAME", "greetings").env("GREETING", "Hello").args(["upgrade", "base:head", "--sql"]);
    let printed = run.output();
    printed.expect_code(0);
    assert!(printed.stdout.contains("insert into greetings values ('Hello ${OTHER}')"), "{}", printed.stdout);
}

fn a_resumed_script_has_the_values<D: Database>() {
    let database = D::create("resumed");
    let file = |last: &str| {
        format!(
            "-- no-transaction\n-- vars: TABLE_NAME\ncreate table ${{TABLE_NAME}} (id integer);\ninsert into {last} values (1);"
        )
    };
    let run = run_on(&database).env("TABLE_NAME", "things");
    expect_end(&run.clone().file("migrations/1_a.sql", file("missing")), 81, &["1_a.sql:4:"]);
    expect_end(&run.clone().file("migrations/1_a.sql", file("${TABLE_NAME}")), 0, &["up to date at 1"]);
    assert_eq!(database.query("select id from things").trim_end(), "1");
}
