//! The rules of the architecture, checked in the source: imports, knowledge of codes, the length of files and
//! functions, and the words of names and comments.
//!
//! Unit tests at the end of a file (`#[cfg(test)]`) are left out everywhere.

mod import_cycles;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 320;
const FUNCTION_LINES: usize = 45;

/// A source file without its unit tests.
struct Source {
    /// Below `src`, with slashes.
    name: String,
    text: String,
}

impl Source {
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Returns the lines that are code.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(directory) => self.name.starts_with(&format!("{directory}/")),
            None => self.name == *place,
        })
    }

    /// Returns the modules of this crate that it names: the word after each `crate::`.
    fn modules(&self) -> BTreeSet<String> {
        let code: Vec<&str> = self.code().map(|(_, line)| line).collect();
        let code = code.join("\n");
        let mut modules = BTreeSet::new();
        for (at, found) in code.match_indices("crate::") {
            let after = &code[at + found.len()..];
            // `pub(crate)` and a macro's `$crate::` are not there; a braced list would hide its modules.
            assert!(!after.starts_with('{'), "{}: write one `use crate::module` for each module", self.name);
            modules.insert(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
        modules
    }
}

/// Collects every file below a directory.
fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the repository").flatten() {
        match entry.path() {
            path if path.is_dir() => walk(&path, found),
            path => found.push(path),
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let sources: Vec<Source> = paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file");
            let end = text.find("#[cfg(test)]").unwrap_or(text.len());
            let name = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
            Source { name, text: text[..end].to_owned() }
        })
        .collect();
    assert!(sources.len() > 30, "only {} source files were found", sources.len());
    sources
}

/// Fails with every line that breaks a rule.
#[track_caller]
fn expect_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

/// Returns `file:line: text` for every line of code that `breaks` the rule.
fn lines_that(breaks: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.code().filter(|(_, line)| breaks(&source, line)) {
            broken.push(format!("src/{}:{number}: {}", source.name, line.trim()));
        }
    }
    broken
}

#[test]
fn modules_are_imported_in_one_direction_only() {
    // (whose files, the modules they must not name)
    let rules: &[(&[&str], &[&str])] = &[
        (
            &["database/"],
            &["layout", "stage", "config", "command", "entrypoint", "request", "cli", "report", "error", "exit"],
        ),
        (&["stage/"], &["command", "cli", "entrypoint", "request"]),
        (&["request.rs"], &["command", "cli", "entrypoint", "database"]),
        (&["entrypoint.rs"], &["command", "cli"]),
        (&["directory/"], &["database", "stage", "config", "command", "entrypoint", "request", "cli"]),
        (
            &["signal/", "cli.rs", "cli/"],
            &["database", "stage", "config", "command", "entrypoint", "request", "report"],
        ),
        (
            &["safe_file.rs"],
            &["stage", "config", "command", "entrypoint", "request", "cli", "report", "error", "exit", "database"],
        ),
        (&["config/"], &["stage", "command", "entrypoint", "request"]),
        (
            &["guarded_command/"],
            &["database", "stage", "config", "command", "entrypoint", "request", "cli", "report", "error", "exit"],
        ),
        (&["dialect.rs", "duration.rs", "clock.rs"], &["revision", "database", "transfer"]),
        (&["sql.rs"], &["revision", "database", "transfer", "duration"]),
    ];
    // (whose files, the only modules of ours that they may name): a layout knows revisions, and no revision knows a layout
    let closed: &[(&[&str], &[&str])] = &[
        (&["revision/"], &["revision", "dialect", "duration", "sql"]),
        (&["layout/"], &["layout", "revision", "dialect", "duration", "sql"]),
        (&["transfer/"], &["transfer", "revision", "dialect", "sql"]),
        (&["escape.rs"], &[]),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        let modules = source.modules();
        for (_, forbidden) in rules.iter().filter(|(whose, _)| source.is_in(whose)) {
            let met = forbidden.iter().filter(|module| modules.contains(**module));
            broken.extend(met.map(|module| format!("src/{} imports crate::{module}", source.name)));
        }
        for (_, allowed) in closed.iter().filter(|(whose, _)| source.is_in(whose)) {
            let others = modules.iter().filter(|module| !allowed.contains(&module.as_str()));
            broken.extend(others.map(|module| format!("src/{} imports crate::{module}", source.name)));
        }
    }
    expect_none("the direction is main -> command, entrypoint -> stage -> database -> driver", &broken);
}

/// How a version is written and ordered, and how a file is named, differs between layouts.
#[test]
fn versions_and_file_names_are_known_in_layouts_alone() {
    // The advice of these names the files that Lockkeeper's own layout has.
    const ADVICE: [&str; 2] = ["revision/sections.rs", "revision/plan/error.rs"];
    let broken = lines_that(|source, line| {
        let is_known = source.is_in(&["layout/"]) || source.is_in(&ADVICE);
        !is_known && ["Version::new(", ".up.sql", ".down.sql", "NNNN"].iter().any(|word| line.contains(word))
    });
    expect_none("versions and names of files are made and read by src/layout only", &broken);
}

/// The descriptions of a transfer's tables and values are its own. Only what reads the source or writes the target of one
/// depends on them.
#[test]
fn databases_import_transfer_only_in_their_adapters() {
    let adapters = [
        "database/sqlite/source/",
        "database/sqlite/staging.rs",
        "database/sqlite/bulk_load/",
        "database/postgres/bulk_load/",
        "database/transfer_target.rs",
    ];
    let broken: Vec<String> = (sources().iter())
        .filter(|source| source.is_in(&["database/"]) && !source.is_in(&adapters))
        .filter(|source| source.modules().contains("transfer"))
        .map(|source| format!("src/{} imports crate::transfer", source.name))
        .collect();
    expect_none("a database imports transfer in its adapters only", &broken);
}

/// Each tool has columns of its own: the database layer runs what a format of the history gives it.
#[test]
fn columns_of_the_history_are_known_in_its_format_alone() {
    const COLUMNS: [&str; 5] = ["catalog_before", "down_checksum", "duration_ms", "lockkeeper_version", "statements_"];
    let strings = |line: &str| line.split('"').skip(1).step_by(2).collect::<String>();
    let broken = lines_that(|source, line| {
        // A table of a source is recognised by its columns, whatever its name is. The journal is Lockkeeper's in every
        // layout.
        let is_known = source.is_in(&["database/sqlite/source/tool_tables.rs", "revision/journal.rs"]);
        let is_bound = source.is_in(&["database/", "revision/"]) && !is_known;
        is_bound && COLUMNS.iter().any(|column| strings(line).contains(column))
    });
    expect_none("columns of the history are named in src/layout only", &broken);
}

/// A stage takes values such as `WaitPolicy` and `BackupPolicy`; only entrypoint and commands see all of `DatabaseConfig`.
#[test]
fn stages_take_plain_values_not_the_whole_configuration() {
    let word = |line: &str| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| matches!(word, "DatabaseConfig" | "ProcessConfig" | "Environment"))
    };
    let broken = lines_that(|source, line| source.is_in(&["stage/"]) && word(line));
    expect_none("stages do not know DatabaseConfig", &broken);
}

/// Several databases can be worked on in one process: what belongs to a run is passed down.
#[test]
fn state_of_the_process_is_declared_in_few_files() {
    let process = ["masking/known.rs", "signal/inherited.rs"];
    let shared =
        ["Mutex<", "RwLock<", "Atomic", "OnceLock<", "OnceCell<", "LazyLock<", "LazyCell<", "Cell<", "static mut"];
    let is_state = |line: &str| {
        let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
        let is_static = words.next() == Some("static");
        ["thread_local!", "task_local!"].iter().any(|name| line.contains(name))
            || is_static && shared.iter().any(|kind| line.contains(kind))
    };
    assert!(is_state("    static SEEN: AtomicBool = AtomicBool::new(false);") && is_state("pub static X: Mutex<u8> ="));
    assert!(is_state("pub(super) static X: OnceLock<u8> =") && !is_state("static TOOLS: [Tool; 17] = ["));
    let broken = lines_that(|source, line| is_state(line) && !source.is_in(&process));
    expect_none("state is passed down, or belongs to the process for a reason that its comment gives", &broken);
}

/// Log lines name the database by the span, which other threads and tasks do not have by themselves.
#[test]
fn work_on_other_threads_and_tasks_keeps_the_span_of_the_run() {
    let broken = lines_that(|source, line| {
        let is_thread = line.contains("spawn_blocking(") && !source.is_in(&["stage/blocking.rs"]);
        let is_task = line.contains("tokio::spawn(") && !line.contains(".in_current_span()");
        is_thread || is_task && !source.is_in(&["signal/"])
    });
    expect_none("threads are started by stage/blocking.rs, tasks with in_current_span", &broken);
}

/// Every command that takes the lock waits again for a server that was not ready after all.
#[test]
fn the_way_to_the_lock_is_written_once() {
    let broken = lines_that(|source, line| line.contains(".is_unready()") && !source.is_in(&["stage/with_lock.rs"]));
    expect_none("stage/with_lock.rs waits again, and nobody else", &broken);
    let locks = |line: &str| line.contains(" lock(database, ");
    let broken = lines_that(|source, line| {
        locks(line) && !source.is_in(&["stage/with_lock.rs", "stage/lock.rs", "entrypoint.rs"])
    });
    expect_none("commands take the lock by stage/with_lock.rs", &broken);
}

#[test]
fn crates_are_used_only_in_the_modules_that_wrap_them() {
    let doors: &[(&str, &[&str])] = &[
        ("backoff::", &["stage/wait.rs"]),
        ("envy::", &["config/"]),
        ("dotenvy::", &["config/"]),
        ("clap::", &["cli.rs", "cli/"]),
        ("clap_complete::", &["command/completions.rs"]),
        ("tempfile::", &["directory/write.rs", "stage/temporary_directory.rs"]),
        ("object_store::", &["bucket/"]),
        ("reqwest::", &["bucket/"]),
        ("signal_hook::", &["signal/"]),
        ("sqlx::", &["database/"]),
        ("rusqlite::", &["database/sqlite/"]),
        ("libc::", &["signal/inherited.rs"]),
        ("tracing_subscriber::", &["report.rs", "report/"]),
        ("indicatif::", &["progress.rs"]),
        ("OffsetDateTime", &["clock.rs"]),
    ];
    for (krate, places) in doors {
        let used = |line: &str| {
            line.match_indices(krate)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_:\"".contains(c)))
        };
        expect_none(
            &format!("{krate} belongs in {places:?}"),
            &lines_that(|source, line| used(line) && !source.is_in(places)),
        );
    }
}

/// Work on another thread has to end when the run ends: `stage/blocking.rs` sees to that.
#[test]
fn work_for_other_threads_is_started_only_in_blocking() {
    let broken = lines_that(|source, line| !source.is_in(&["stage/blocking.rs"]) && line.contains("spawn_blocking"));
    expect_none("use stage::blocking", &broken);
}

/// A file may be a named pipe, a device or a symbolic link: only `safe_file.rs` handles that.
#[test]
fn files_are_opened_only_in_safe_file() {
    let calls = [
        "File::open",
        "File::create",
        "File::options",
        "OpenOptions",
        "fs::read(",
        "fs::read_to_string(",
        "fs::write(",
        "fs::copy(",
        "rustix::fs::open(",
        "openat(",
    ];
    // `RejectFile::create` belongs to another file.
    let is_called =
        |line: &str, call: &str| line.match_indices(call).any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric));
    let broken =
        lines_that(|source, line| !source.is_in(&["safe_file.rs"]) && calls.iter().any(|call| is_called(line, call)));
    expect_none("files are opened by safe_file.rs only", &broken);
}

/// Returns whether a string literal on the line looks like an SQLSTATE: five digits and capitals, a digit among them.
fn names_sqlstate(line: &str) -> bool {
    let strings = line.split('"').skip(1).step_by(2);
    let mut words = strings.flat_map(|string| string.split(|c: char| !c.is_ascii_alphanumeric()));
    words.any(|word| {
        word.len() == 5
            && word != "65535"
            && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().take(2).any(|byte| byte.is_ascii_digit())
    })
}

#[test]
fn sqlstates_are_known_only_in_error_modules() {
    assert!(names_sqlstate(r#"x == "57P03""#) && names_sqlstate(r#"Some("SQLSTATE 42P04")"#));
    assert!(!names_sqlstate(r#""LEVEL" "ABORT" "0003 4""#));
    let error_files = ["database/postgres/error.rs", "database/postgres/sqlstate.rs", "database/sqlite/error.rs"];
    let broken = lines_that(|source, line| names_sqlstate(line) && !source.is_in(&error_files));
    expect_none("SQLSTATEs are in database/postgres/{error,sqlstate}.rs only", &broken);
    // Other files compare kinds of errors; code that compares an SQLSTATE would have to name its field.
    let broken = lines_that(|source, line| {
        !source.is_in(&error_files)
            && ["extended_code ==", "extended_code =>", "ErrorCode::", "SQLITE_BUSY", "SQLITE_LOCKED"]
                .iter()
                .any(|word| line.contains(word))
    });
    expect_none("SQLite's result codes are in database/sqlite/error.rs only", &broken);
}

/// A statement that is classified anew wherever it is run costs the lexer's time again, and may be judged otherwise. Our
/// own statements are classified where they are made.
#[test]
fn statements_are_classified_where_they_are_found() {
    let files = [
        "revision/classify.rs",
        "revision/batch.rs",
        "revision/variables.rs",
        "database/postgres/non_transactional.rs",
    ];
    let broken = lines_that(|source, line| line.contains("Classified::new(") && !source.is_in(&files));
    expect_none("ask Batch::classes", &broken);
}

/// What is done with a session borrows it, so that a reader sees what each part needs.
#[test]
fn the_session_of_postgres_has_no_methods_of_its_parts() {
    const SESSION: [&str; 16] = [
        "connect",
        "facts",
        "first_read",
        "history",
        "identity",
        "index_state",
        "lock",
        "maintenance",
        "mod",
        "monitor",
        "probe",
        "rehearsal",
        "send",
        "settings",
        "stall",
        "trust",
    ];
    let files = SESSION.map(|name| format!("database/postgres/{name}.rs"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let broken = lines_that(|source, line| line.starts_with("impl Postgres {") && !source.is_in(&files));
    expect_none("a part is a value that borrows the session", &broken);
}

/// An answer that is counted anywhere else would belong to another statement as soon as one is inserted before it.
#[test]
fn answers_are_counted_in_one_file_alone() {
    let (all, file) = (["database/postgres/"], ["database/postgres/send.rs"]);
    let broken = lines_that(|source, line| line.contains("fetch_many(") && source.is_in(&all) && !source.is_in(&file));
    expect_none("database/postgres/send.rs looks up which part of a message failed", &broken);
}

/// PostgreSQL's literals with a backslash are `E'...'`, which SQLite does not know.
#[test]
fn sqlite_statements_are_made_of_sqlite_literals() {
    let sqlites = ["database/sqlite/", "revision/render/foreign_keys.rs"];
    let word = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "literal");
    let broken = lines_that(|source, line| source.is_in(&sqlites) && word(line));
    expect_none("SQLite's files use sql::sqlite_literal", &broken);
}

/// Returns the whole numbers on a line, outside of strings.
fn numbers(line: &str) -> Vec<u64> {
    let outside: Vec<&str> = line.split('"').step_by(2).collect();
    outside
        .join(" ")
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .filter_map(|word| word.trim_end_matches("u8").trim_end_matches("i32").parse().ok())
        .collect()
}

#[test]
fn exit_codes_are_known_only_in_the_exit_module() {
    let codes: Vec<u64> = lockkeeper::exit::TABLE.iter().map(|row| u64::from(row.code)).collect();
    let is_code = |number: &u64| *number > 2 && codes.contains(number);
    // Sizes that are equal to exit codes.
    let sizes = ["VARCHAR(64)", "* 1024", "text.len() != 64", "step_by(2)", "pg_catalog.left("];
    // A second signal ends the process inside of the signal handler, where only a number can be.
    let forced = |source: &Source, line: &str| {
        source.is_in(&["signal/mod.rs"]) && ["(SIGTERM, ", "(SIGINT, "].iter().any(|signal| line.contains(signal))
    };
    let broken = lines_that(|source, line| {
        let is_allowed = source.is_in(&["exit/mod.rs"]) || forced(source, line);
        let is_allowed = is_allowed || sizes.iter().any(|size| line.contains(size));
        !is_allowed && numbers(line).iter().any(is_code)
    });
    expect_none("exit codes are numbers in exit/mod.rs only", &broken);
}

#[test]
fn only_main_ends_the_process() {
    let words = ["process::exit", "ExitCode", "process::abort", "low_level::exit", "libc::_exit"];
    let broken = lines_that(|source, line| !source.is_in(&["main.rs"]) && words.iter().any(|word| line.contains(word)));
    expect_none("only main.rs ends the process", &broken);
}

#[test]
fn nothing_is_unwrapped_and_no_todo_is_left() {
    let words = [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "println!(", "eprintln!(", "TODO", "FIXME"];
    let broken = lines_that(|_, line| words.iter().any(|word| line.contains(word)));
    expect_none("an expect states its invariant, report.rs is what speaks", &broken);
}

#[test]
fn no_function_has_bool_parameters() {
    let mut broken = Vec::new();
    for source in sources() {
        let code: String = source.code().flat_map(|(_, line)| [line, "\n"]).collect();
        for (at, _) in code.match_indices("fn ") {
            let signature = code[at..].split(['{', ';']).next().unwrap_or_default();
            let parameters = signature.split(") ->").next().unwrap_or_default();
            let flags = ["bool,", "bool)", "bool\n"].iter().any(|end| parameters.contains(&format!(": {end}")))
                || parameters.ends_with(": bool");
            if flags {
                broken.push(format!("src/{}: {}", source.name, parameters.lines().next().unwrap_or_default()));
            }
        }
    }
    expect_none("a bool says nothing where it is passed: give it a name", &broken);
}

#[test]
fn files_stay_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            broken.push(format!("src/{}: {lines} lines", source.name));
        }
    }
    expect_none("a file has 320 lines at most, unit tests apart", &broken);
}

#[test]
fn functions_stay_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let body = line.trim_start();
            let begins = function_name(body).is_some();
            if !begins || line.ends_with(';') || line.ends_with('}') {
                continue;
            }
            // rustfmt puts the closing brace where the function's line begins.
            let end = format!("{}}}", &line[..line.len() - body.len()]);
            let length = lines[start..].iter().take_while(|line| **line != end).count() + 1;
            if length > FUNCTION_LINES {
                broken.push(format!("src/{}:{}: {length} lines: {body}", source.name, start + 1));
            }
        }
    }
    expect_none("a function has 45 lines at most", &broken);
}

/// Returns the name of the function that begins on a line.
fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub").map_or(line, |line| match line.strip_prefix('(') {
        Some(line) => line.split_once(')').map_or(line, |(_, line)| line),
        None => line,
    });
    let mut words = line.split_whitespace().skip_while(|word| ["async", "const", "unsafe"].contains(word));
    (words.next() == Some("fn")).then_some(())?;
    words.next()?.split(['(', '<']).next()
}

#[test]
fn a_function_is_recognized_after_any_modifiers() {
    for line in ["fn x(", "pub fn x<T>(", "pub(super) async fn x(self)", "pub(in crate::a) const fn x() {"] {
        assert_eq!(function_name(line), Some("x"), "{line}");
    }
    assert_eq!(function_name("let fn_x = 1;"), None);
}

/// Returns the type that a line declares, whatever its visibility.
fn type_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    ["struct", "enum", "trait", "union", "type"].contains(&words.next()?).then_some(())?;
    words.next()?.split(|c: char| !c.is_alphanumeric()).next()
}

/// A function is named by a verb, and a module by a noun: these names are neither, or do not describe anything.
#[test]
fn names_are_words_of_the_field() {
    const UNCLEAR_NAMES: [&str; 18] = [
        "alone", "aside", "back", "beside", "dress", "errand", "held", "here", "house", "named", "of", "room", "said",
        "surely", "there", "told", "whose", "words",
    ];
    let module = |line: &str| {
        let name = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
        let mut name = name.skip_while(|word| *word != "mod").skip(1);
        name.next().map(|name| name.trim_end_matches([';', '{']).to_owned())
    };
    let broken = lines_that(|_, line| {
        let line = line.trim_start();
        let is_neither = |name: &str| UNCLEAR_NAMES.contains(&name);
        function_name(line).is_some_and(is_neither) || module(line).is_some_and(|name| is_neither(&name))
    });
    expect_none("a function is named after what it does, a module after what is in it", &broken);
    let broken = lines_that(|_, line| {
        type_name(line.trim_start()).is_some_and(|name| {
            let participle = name.strip_prefix("Un").and_then(|rest| rest.chars().next());
            participle.is_some_and(char::is_lowercase) && !["UnlockResult", "UniqueRule"].contains(&name)
        })
    });
    expect_none("an error's name ends with Error", &broken);
}

/// A sentence that begins with one of these words has no subject, or its meaning is unclear.
#[test]
fn doc_comments_begin_with_what_they_are_about() {
    const UNCLEAR_BEGINNINGS: [&str; 8] = ["What", "Whether", "So", "The same", "As [", "How", "Why", "Which"];
    let mut broken = Vec::new();
    for source in sources() {
        let mut is_inside = false;
        for (number, line) in source.lines() {
            let comment = line.trim_start().strip_prefix("///");
            let text = comment.unwrap_or_default().trim_start();
            let begins = |riddle: &str| {
                text.strip_prefix(riddle).is_some_and(|rest| riddle.ends_with('[') || rest.starts_with([' ', ',']))
            };
            if !is_inside
                && UNCLEAR_BEGINNINGS.iter().any(|riddle| begins(riddle))
                && !source.is_in(&["cli.rs", "cli/"])
            {
                broken.push(format!("src/{}:{number}: {}", source.name, line.trim()));
            }
            is_inside = comment.is_some();
        }
    }
    expect_none("a doc comment says in a sentence what the item does or is", &broken);
}

#[test]
fn no_two_types_share_a_name() {
    let mut known = std::collections::BTreeMap::<String, String>::new();
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.code().filter(|(_, line)| line.trim_start().starts_with("pub")) {
            let Some(name) = type_name(line.trim_start()) else { continue };
            let place = format!("src/{}:{number}", source.name);
            if let Some(other) = known.insert(name.to_owned(), place.clone()) {
                broken.push(format!("{name}: {other} and {place}"));
            }
        }
    }
    expect_none("one name for one type", &broken);
}

/// Terms that only this project used, in code, messages, expectations of tests and documents.
#[test]
fn project_specific_terms_are_not_used() {
    const PROJECT_TERMS: [&str; 10] = [
        "settled\u{20}at",
        "stands\u{20}twice",
        "retired\u{20}the backup",
        "applied and\u{20}stand",
        "done before\u{20}and stay",
        "way\u{20}back",
        "The whole\u{20}story",
        "turn\u{20}good",
        "no form that is\u{20}known",
        "fight\u{20}for locks",
    ];
    let mut paths = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")];
    for directory in ["src", "tests/it", "tests/containers", "docs", "k8s"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut paths);
    }
    let mut broken = Vec::new();
    for path in paths {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(words) = PROJECT_TERMS.iter().find(|words| line.contains(**words)) {
                broken.push(format!("{}:{}: {words}", path.display(), number + 1));
            }
        }
    }
    expect_none("say it as the manuals of PostgreSQL and of other tools do", &broken);
}

/// The guide to the code leads through functions by name, and a function that was renamed would lead nowhere.
#[test]
fn the_walks_through_the_code_name_functions_that_exist() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let walks = guide.split("## Three walks").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the walks");
    let sources = sources();
    let mut steps = 0;
    let mut broken = Vec::new();
    for line in walks.split("```").skip(1).step_by(2).flat_map(str::lines).filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (file, function) = (words.next().expect("a file"), words.next().expect("a function"));
        let source = sources.iter().find(|source| source.name == file);
        let definitions = [format!("fn {function}("), format!("fn {function}<")];
        steps += 1;
        if !source.is_some_and(|source| definitions.iter().any(|definition| source.text.contains(definition))) {
            broken.push(format!("src/{file} has no function {function}"));
        }
    }
    assert!(steps > 20, "only {steps} steps were found");
    expect_none("docs/architecture.md names functions that exist", &broken);
}
