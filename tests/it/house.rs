//! The house's own rules, read from its source: who may import whom, who may know which numbers, how long things get.
//!
//! Unit tests at the end of a file (`#[cfg(test)]`) are left out everywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 300;
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

    /// Lines that say something to the compiler.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(folder) => self.name.starts_with(&format!("{folder}/")),
            None => self.name == *place,
        })
    }

    /// The rooms of ours that it names: the word after each `crate::`, and those of its braces.
    fn rooms(&self) -> BTreeSet<String> {
        let code: Vec<&str> = self.code().map(|(_, line)| line).collect();
        let code = code.join("\n");
        let mut rooms = BTreeSet::new();
        for (at, found) in code.match_indices("crate::") {
            let after = &code[at + found.len()..];
            // `pub(crate)` and a macro's `$crate::` are not there; a braced list would hide its rooms.
            assert!(!after.starts_with('{'), "{}: write one `use crate::room` for each room", self.name);
            rooms.insert(after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
        rooms
    }
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the source").flatten() {
            match entry.path() {
                path if path.is_dir() => walk(&path, found),
                path => found.push(path),
            }
        }
    }
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

/// `file:line: text` of every line of code that `breaks` the rule.
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
fn rooms_are_imported_in_one_direction_only() {
    // (whose files, the rooms they must not name)
    let rules: &[(&[&str], &[&str])] = &[
        (
            &["database/"],
            &["stage", "config", "command", "entrypoint", "errand", "cli", "report", "error", "exit"],
        ),
        (
            &["transfer/"],
            &["stage", "config", "command", "entrypoint", "errand", "cli", "report", "error", "exit"],
        ),
        (&["stage/"], &["command", "cli", "entrypoint", "errand"]),
        (&["errand.rs"], &["command", "cli", "entrypoint", "database"]),
        (&["entrypoint.rs"], &["command", "cli"]),
        (&["directory/"], &["database", "stage", "config", "command", "entrypoint", "errand", "cli"]),
        (
            &["signal/", "cli.rs", "cli/"],
            &["database", "stage", "config", "command", "entrypoint", "errand", "report"],
        ),
        (
            &["safe_file.rs"],
            &[
                "stage",
                "config",
                "command",
                "entrypoint",
                "errand",
                "cli",
                "report",
                "error",
                "exit",
                "database",
            ],
        ),
        (&["config/"], &["stage", "command", "entrypoint", "errand"]),
    ];
    let mut broken = Vec::new();
    for source in sources() {
        let rooms = source.rooms();
        for (_, forbidden) in rules.iter().filter(|(whose, _)| source.is_in(whose)) {
            let met = forbidden.iter().filter(|room| rooms.contains(**room));
            broken.extend(met.map(|room| format!("src/{} imports crate::{room}", source.name)));
        }
        if source.is_in(&["revision/"]) {
            let others = rooms.iter().filter(|room| *room != "revision");
            broken.extend(others.map(|room| format!("src/{} imports crate::{room}", source.name)));
        }
    }
    expect_none("the direction is main -> command, entrypoint -> stage -> database -> driver", &broken);
}

/// A stage takes values such as `Patience` and `BackupPolicy`; only entrypoint and commands see all of `Config`.
#[test]
fn stages_take_plain_values_not_the_whole_configuration() {
    let word = |line: &str| {
        line.split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| matches!(word, "Config" | "Environment"))
    };
    let broken = lines_that(|source, line| source.is_in(&["stage/"]) && word(line));
    expect_none("stages do not know Config", &broken);
}

#[test]
fn crates_that_are_kept_behind_one_door_stay_there() {
    let doors: &[(&str, &[&str])] = &[
        ("backoff::", &["stage/wait.rs"]),
        ("envy::", &["config/"]),
        ("dotenvy::", &["config/"]),
        ("clap::", &["cli.rs", "cli/"]),
        ("clap_complete::", &["command/completions.rs"]),
        ("tempfile::", &["directory/write.rs"]),
        ("signal_hook::", &["signal/"]),
        ("sqlx::", &["database/"]),
        ("rusqlite::", &["database/sqlite/"]),
        ("libc::", &["signal/inherited.rs"]),
        ("tracing_subscriber::", &["report.rs", "report/"]),
        ("indicatif::", &["progress.rs"]),
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

/// A file may be a named pipe, a device or a symbolic link: `safe_file.rs` knows what to do about that, and nobody else.
#[test]
fn files_are_opened_in_one_file_alone() {
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
    let broken = lines_that(|source, line| {
        !source.is_in(&["safe_file.rs"]) && calls.iter().any(|call| line.contains(call))
    });
    expect_none("files are opened by safe_file.rs only", &broken);
}

/// Whether a string literal on the line is like an SQLSTATE: five digits and capitals, a digit among them.
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
fn codes_of_databases_are_known_in_the_fault_files_alone() {
    assert!(names_sqlstate(r#"x == "57P03""#) && names_sqlstate(r#"Some("SQLSTATE 42P04")"#));
    assert!(!names_sqlstate(r#""LEVEL" "ABORT" "0003 4""#));
    let faults = ["database/postgres/fault.rs", "database/postgres/sqlstate.rs", "database/sqlite/fault.rs"];
    let broken = lines_that(|source, line| names_sqlstate(line) && !source.is_in(&faults));
    expect_none("SQLSTATEs are in database/postgres/{fault,sqlstate}.rs only", &broken);
    // Other files ask for kinds; who compares a code would have to name its field.
    let broken = lines_that(|source, line| {
        !source.is_in(&faults)
            && ["extended_code ==", "extended_code =>", "ErrorCode::", "SQLITE_BUSY", "SQLITE_LOCKED"]
                .iter()
                .any(|word| line.contains(word))
    });
    expect_none("SQLite's result codes are in database/sqlite/fault.rs only", &broken);
}

/// PostgreSQL's literals with a backslash are `E'...'`, which SQLite does not know.
#[test]
fn sqlite_statements_are_made_of_sqlite_literals() {
    let sqlites = ["database/sqlite/", "revision/render/foreign_keys.rs"];
    let word =
        |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "literal");
    let broken = lines_that(|source, line| source.is_in(&sqlites) && word(line));
    expect_none("SQLite's files use render::sqlite_literal", &broken);
}

/// Whole numbers on a line, outside of strings.
fn numbers(line: &str) -> Vec<u64> {
    let outside: Vec<&str> = line.split('"').step_by(2).collect();
    outside
        .join(" ")
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .filter_map(|word| word.trim_end_matches("u8").trim_end_matches("i32").parse().ok())
        .collect()
}

#[test]
fn exit_codes_are_known_in_one_file_alone() {
    let codes: Vec<u64> = lockkeeper::exit::TABLE.iter().map(|row| u64::from(row.code)).collect();
    let is_code = |number: &u64| *number > 2 && codes.contains(number);
    // Sizes that happen to be codes.
    let sizes = ["* 1024", "text.len() != 64", "step_by(2)", "pg_catalog.left("];
    // A second signal ends the process inside of the signal handler, where only a number can be.
    let forced = |source: &Source, line: &str| source.is_in(&["signal/mod.rs"]) && line.contains("SIGTERM, ");
    let broken = lines_that(|source, line| {
        let excused = source.is_in(&["exit/mod.rs"]) || forced(source, line);
        let excused = excused || sizes.iter().any(|size| line.contains(size));
        !excused && numbers(line).iter().any(is_code)
    });
    expect_none("exit codes are numbers in exit/mod.rs only", &broken);
}

#[test]
fn the_process_is_ended_by_main_alone() {
    let words = ["process::exit", "ExitCode", "process::abort", "low_level::exit", "libc::_exit"];
    let broken = lines_that(|source, line| {
        !source.is_in(&["main.rs"]) && words.iter().any(|word| line.contains(word))
    });
    expect_none("only main.rs ends the process", &broken);
}

#[test]
fn nothing_is_unwrapped_and_nothing_is_left_for_later() {
    let words =
        [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "println!(", "eprintln!(", "TODO", "FIXME"];
    let broken = lines_that(|_, line| words.iter().any(|word| line.contains(word)));
    expect_none("an expect states its invariant, report.rs is what speaks", &broken);
}

#[test]
fn no_bool_crosses_the_border_of_a_function() {
    let mut broken = Vec::new();
    for source in sources() {
        let code: String = source.code().flat_map(|(_, line)| [line, "\n"]).collect();
        for (at, _) in code.match_indices("fn ") {
            let signature = code[at..].split(['{', ';']).next().unwrap_or_default();
            let parameters = signature.split(") ->").next().unwrap_or_default();
            let flags =
                ["bool,", "bool)", "bool\n"].iter().any(|end| parameters.contains(&format!(": {end}")))
                    || parameters.ends_with(": bool");
            if flags {
                broken.push(format!(
                    "src/{}: {}",
                    source.name,
                    parameters.lines().next().unwrap_or_default()
                ));
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
    expect_none("a file has 300 lines at most, unit tests apart", &broken);
}

#[test]
fn functions_stay_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (start, line) in lines.iter().enumerate() {
            let body = line.trim_start();
            let begins = ["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn ", "const fn "]
                .iter()
                .any(|word| body.starts_with(word));
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
