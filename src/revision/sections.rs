//! Finds the comment lines with which other migration tools divide one file into sections.
//!
//! dbmate, goose, sql-migrate and others keep the statements that apply a revision and those that undo it in one file,
//! and mark the beginning of each part with such a line. A reader that ignores these lines as comments takes both parts
//! for one script.

use super::lexer::Lexer;
use crate::dialect::Dialect;

/// A comment line that is a directive of another migration tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SectionMarker {
    /// The comment as the file has it.
    pub(crate) line: String,
    /// The name of the tool.
    pub(crate) tool: &'static str,
}

impl SectionMarker {
    /// Returns a sentence that describes the problem and its remedy.
    pub(crate) fn advice(&self) -> String {
        let SectionMarker { line, tool } = self;
        format!(
            "\"{line}\" is a directive of {tool}, which Lockkeeper does not read: it would run every statement of the \
             file; keep those that apply the revision in NNNN_description.up.sql, move those that undo it to \
             NNNN_description.down.sql, and remove such lines"
        )
    }
}

/// The meaning of a comment line for another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MarkerMeaning {
    /// A line that nobody writes for a human reader, with the name of the tool.
    Directive(&'static str),
    /// A line that may be an ordinary heading unless the file has a section for each direction, with the name of the
    /// tool.
    Heading(Section, &'static str),
}

/// The direction of the statements below a heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Up,
    Down,
}

/// Searches a file for its first marker. The text of the file is passed part by part.
#[derive(Debug, Default)]
pub(super) struct SectionMarkers {
    has_statements: bool,
    has_up: bool,
    has_down: bool,
    is_done: bool,
    /// The file is a down script: a heading that says so does not divide it.
    undoes: bool,
}

/// One part of a file, which begins outside of every literal and comment.
pub(super) struct TextPart<'t> {
    /// The text of the part.
    pub(crate) text: &'t str,
    /// The dialect of the file.
    pub(crate) dialect: Dialect,
    /// The column at which the part begins, counted in characters from 1.
    pub(crate) column: usize,
    /// The bytes at which the statements of the part begin.
    pub(crate) starts: &'t [usize],
}

impl SectionMarkers {
    /// Returns the search for a down script.
    pub(super) fn for_down_script(self) -> SectionMarkers {
        SectionMarkers { undoes: true, ..self }
    }

    /// Creates a search that finds nothing: such lines are comments, or the layout of the directory has read them.
    pub(super) fn ignored() -> SectionMarkers {
        SectionMarkers { is_done: true, ..SectionMarkers::default() }
    }

    /// Returns the byte of the part at which the first marker of the file begins, and the marker. Returns `None` for
    /// every later part.
    pub(super) fn find(&mut self, part: &TextPart<'_>) -> Option<(usize, SectionMarker)> {
        let found = if self.is_done { None } else { self.first(part) };
        self.is_done |= found.is_some();
        self.has_statements |= !part.starts.is_empty();
        found
    }

    fn first(&mut self, part: &TextPart<'_>) -> Option<(usize, SectionMarker)> {
        let text = part.text;
        let comment = |at: usize| text[at..].lines().next().unwrap_or_default().trim_end();
        let begins_line = |at: usize| {
            let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
            // The Play framework writes `# --- !Ups`.
            let is_first = text[start..at].trim_start_matches('#').trim().is_empty();
            is_first && (start > 0 || part.column == 1)
        };
        // Each line is examined only once: one line may have a million dashes.
        if !text.split('\n').any(may_be_marker) {
            return None;
        }
        let mut lexer = Lexer::new(text, part.dialect);
        while let Some(at) = lexer.next_line_comment() {
            if !begins_line(at) {
                continue;
            }
            self.has_statements |= part.starts.first().is_some_and(|&start| start < at);
            let line = comment(at);
            if let Some(tool) = meaning(line).and_then(|meaning| self.dividing(meaning)) {
                return Some((at, SectionMarker { line: line.to_owned(), tool }));
            }
        }
        None
    }

    /// Returns the name of the tool if the line divides the file.
    fn dividing(&mut self, meaning: MarkerMeaning) -> Option<&'static str> {
        let (section, tool) = match meaning {
            MarkerMeaning::Directive(tool) => return Some(tool),
            MarkerMeaning::Heading(section, tool) => (section, tool),
        };
        let divides = match section {
            Section::Up => self.has_down,
            Section::Down => self.has_up || (self.has_statements && !self.undoes),
        };
        self.has_up |= section == Section::Up;
        self.has_down |= section == Section::Down;
        divides.then_some(tool)
    }
}

/// Returns whether a line looks like a marker. The line need not be a comment: it may be part of a literal.
fn may_be_marker(line: &str) -> bool {
    let line = line.trim_start_matches('#').trim();
    line.starts_with("--") && meaning(line).is_some()
}

/// Returns the meaning of a comment line (with its dashes), which is read as the parser of each tool reads it. Upper
/// and lower case are the same.
fn meaning(line: &str) -> Option<MarkerMeaning> {
    let comment = line.trim_start_matches('-').trim().to_ascii_lowercase();
    let (first, rest) = comment.split_once(char::is_whitespace).unwrap_or((&comment, ""));
    let tool = match (first, rest.trim()) {
        ("migrate:up" | "migrate:down", _) => "dbmate",
        ("+goose", _) => "goose",
        ("+migrate", _) => "sql-migrate",
        ("+micrate", _) => "micrate",
        ("rambler", "up" | "down") => "rambler",
        ("liquibase", rest) if rest.starts_with("formatted") => "Liquibase",
        ("!ups" | "!downs", "") => "Play",
        ("atlas:txtar", _) => "Atlas",
        ("create", rest) if rest.trim_end_matches(['-', ' ']) == "above / drop below" => "tern",
        (word, "up" | "down") if word.starts_with('+') => "a tool in the form of goose",
        _ if comment.trim_start_matches('/').trim_start() == "@undo" => "MyBatis Migrations",
        _ => return heading(&comment),
    };
    Some(MarkerMeaning::Directive(tool))
}

fn heading(comment: &str) -> Option<MarkerMeaning> {
    let is_ruled = comment.starts_with("====");
    let words = comment.trim_matches(|c: char| c.is_ascii_punctuation() || c.is_whitespace());
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let (direction, tool) = match words[..] {
        ["up" | "down"] if is_ruled => (words[0], "shmig"),
        ["up" | "down"] => (words[0], "sqlite of Node.js"),
        ["up" | "down", "migration", ..] => (words[0], "node-pg-migrate"),
        ["upgrade"] => ("up", "Aerich"),
        ["downgrade"] => ("down", "Aerich"),
        [number, direction @ ("up" | "down")] if is_number(number) => (direction, "Mojolicious"),
        _ => return None,
    };
    let section = if direction == "up" { Section::Up } else { Section::Down };
    Some(MarkerMeaning::Heading(section, tool))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the line (counted from 1) and the tool of the first marker of a text that is passed in one part.
    fn find(text: &str) -> Option<(usize, &'static str)> {
        let starts: Vec<usize> = text.find("create").into_iter().collect();
        let part = TextPart { text, dialect: Dialect::Postgres, column: 1, starts: &starts };
        let found = SectionMarkers::default().find(&part);
        found.map(|(at, marker)| (text[..at].matches('\n').count() + 1, marker.tool))
    }

    #[test]
    fn directives_of_each_tool_are_found() {
        for (line, tool) in [
            ("-- migrate:up", "dbmate"),
            ("--migrate:down transaction:false", "dbmate"),
            ("  -- +goose Up", "goose"),
            ("-- +goose StatementBegin", "goose"),
            ("-- +goose NO TRANSACTION", "goose"),
            ("-- +migrate Down notransaction", "sql-migrate"),
            ("-- +micrate Up", "micrate"),
            ("-- +other Down", "a tool in the form of goose"),
            ("-- rambler up", "rambler"),
            ("--liquibase formatted sql", "Liquibase"),
            ("# --- !Ups", "Play"),
            ("-- !Downs", "Play"),
            ("---- create above / drop below ----", "tern"),
            ("-- //@UNDO", "MyBatis Migrations"),
            ("--//@UNDO", "MyBatis Migrations"),
            ("-- @UNDO", "MyBatis Migrations"),
            ("-- atlas:txtar", "Atlas"),
        ] {
            assert_eq!(find(&format!("create table t ();\n{line}\n")), Some((2, tool)), "{line}");
        }
    }

    #[test]
    fn headings_count_where_they_divide_a_file() {
        let [up, down] = ["create table t ();", "drop table t;"];
        for (text, expected) in [
            (format!("-- Up\n{up}\n\n-- Down\n{down}"), Some((4, "sqlite of Node.js"))),
            (format!("-----\n-- Up\n-----\n-- Down\n{down}"), Some((4, "sqlite of Node.js"))),
            (format!("{up}\n-- Down Migration\n{down}"), Some((2, "node-pg-migrate"))),
            (format!("-- Down Migration\n{down}\n-- Up Migration\n"), Some((3, "node-pg-migrate"))),
            (format!("-- ====  UP  ====\n{up}\n-- ==== DOWN ====\n"), Some((3, "shmig"))),
            (format!("-- upgrade --\n{up}\n-- downgrade --\n"), Some((3, "Aerich"))),
            (format!("-- 1 up\n{up}\n-- 1 down\n{down}"), Some((3, "Mojolicious"))),
            (format!("-- Up Migration\n{up}"), None),
            (format!("-- down\n{down}"), None),
        ] {
            assert_eq!(find(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_heading_in_a_file_that_undoes_a_revision_divides_it_only_when_both_directions_have_one() {
        let find = |text: &str| {
            let part = TextPart { text, dialect: Dialect::Postgres, column: 1, starts: &[0] };
            SectionMarkers::default().for_down_script().find(&part).map(|(_, marker)| marker.line)
        };
        assert_eq!(find("drop table t;\n-- Down\ndrop table u;"), None);
        assert_eq!(find("drop table t;\n-- Down\ndrop table u;\n-- Up\n"), Some("-- Up".into()));
        assert_eq!(find("drop table t;\n-- migrate:down\n"), Some("-- migrate:down".into()));
    }

    #[test]
    fn what_only_looks_like_one_is_passed_over() {
        for text in [
            "create table t (); -- migrate:down",
            "create table t (a text default '\n-- +goose Down\n');",
            "create function f() as $$\n-- +goose Down\n$$;",
            "/*\n-- migrate:down\n*/\ncreate table t ();",
            "create table \"\n-- migrate:down\n\" ();",
            "-- migrate:update\n-- goose up\n-- undo\n-- create above\n-- lift the flag up\n-- 7 downs\ncreate table t ();",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    /// A search that goes back to the beginning of the line at each pair of dashes would take minutes.
    #[test]
    fn a_long_line_of_dashes_is_read_in_a_time_that_grows_with_its_length() {
        for line in [format!("insert into t values ('{}');", "|---|".repeat(1 << 20)), "-".repeat(1 << 22)] {
            assert_eq!(find(&line), None);
            assert_eq!(find(&format!("{line}\n-- +goose Down\n")), Some((2, "goose")));
        }
    }

    #[test]
    fn the_first_marker_is_found_across_parts() {
        let mut markers = SectionMarkers::default();
        let mut find = |text, column, starts: &[usize]| {
            let part = TextPart { text, dialect: Dialect::Sqlite, column, starts };
            markers.find(&part).map(|(at, marker)| (at, marker.line))
        };
        assert_eq!(find("create table t (a);", 1, &[0]), None);
        assert_eq!(find(" -- migrate:down\nselect 1;", 20, &[17]), None);
        assert_eq!(find("\n -- down\ndrop table t;", 10, &[10]), Some((2, "-- down".into())));
        assert_eq!(find("\n-- migrate:down\n", 14, &[]), None);
    }
}
