//! Names in PostgreSQL: quoting, names that are used already, and impossible names.

use std::collections::BTreeSet;

use crate::sql::identifier;

/// The maximum length of a name in bytes: NAMEDATALEN less the byte that ends the name.
const MAX_BYTES: usize = 63;

/// The words that have to be quoted as names: reserved words, and words that may only name functions or types
/// (PostgreSQL manual, appendix C).
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization binary both case cast \
    check collate collation column concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end except \
    false fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull \
    join lateral leading left like limit localtime localtimestamp natural not notnull null offset on only or order \
    outer overlaps placing primary references returning right select session_user similar some symmetric \
    system_user table tablesample then to trailing true union unique user using variadic verbose when where window with \
    between bigint bit boolean char character coalesce dec decimal exists extract float greatest grouping inout int \
    integer interval least national nchar none normalize nullif numeric out overlay position precision real row setof \
    smallint substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest \
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// The names of the system columns, which every table of PostgreSQL has.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// Returns a name as SQL, in double quotes if it needs them.
pub(super) fn quoted(name: &str) -> String {
    let is_plain_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let has_plain_start = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_plain = has_plain_start && name.bytes().all(is_plain_byte) && !RESERVED.contains(&format!(" {name} "));
    if is_plain { name.to_owned() } else { identifier(name) }
}

/// Returns several names as SQL, with commas between them.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quoted).collect::<Vec<_>>().join(", ")
}

/// Returns the reason why no table or column can have this name, or `None`.
pub(super) fn impossible(name: &str) -> Option<String> {
    match name.len() {
        0 => Some("its name is empty, and PostgreSQL knows no such name".into()),
        1..=MAX_BYTES => None,
        length => Some(format!("its name has {length} bytes, and PostgreSQL keeps {MAX_BYTES} of them")),
    }
}

/// Returns the reason why no column can have this name, or `None`.
pub(super) fn impossible_column(name: &str) -> Option<String> {
    let is_system_column = SYSTEM_COLUMNS.contains(&name);
    let reason = || "every table of PostgreSQL has a column of this name of its own".to_owned();
    impossible(name).or_else(|| is_system_column.then(reason))
}

/// The names of tables, indexes and sequences that are used. All of them share one namespace.
#[derive(Debug, Default)]
pub(super) struct UsedNames(BTreeSet<String>);

impl UsedNames {
    /// Marks a name as used.
    pub(crate) fn take(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }

    /// Returns the wanted name, or a similar one that is unused and short enough, and marks it as used. An empty name,
    /// which PostgreSQL does not allow, is replaced.
    pub(crate) fn unused(&mut self, preferred: &str) -> String {
        let preferred = if preferred.is_empty() { "unnamed" } else { preferred };
        let mut name = truncate(preferred, MAX_BYTES).to_owned();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            let suffix = format!("_{number}");
            name = format!("{}{suffix}", truncate(preferred, MAX_BYTES - suffix.len()));
            number += 1;
        }
        name
    }
}

/// Cuts a name to at most `bytes` bytes, at the end of a character.
fn truncate(name: &str, bytes: usize) -> &str {
    &name[..name.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_when_they_have_to_be() {
        for (name, expected) in [
            ("agents", "agents"),
            ("_a1", "_a1"),
            ("Order Details", "\"Order Details\""),
            ("order", "\"order\""),
            ("offset", "\"offset\""),
            ("values", "\"values\""),
            ("1a", "\"1a\""),
            ("a\"b", "\"a\"\"b\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(quoted(name), expected);
        }
    }

    #[test]
    fn names_that_are_taken_or_too_long_get_another() {
        let mut taken = UsedNames::default();
        taken.take("t");
        assert_eq!(taken.unused("i"), "i");
        assert_eq!(taken.unused("i"), "i_2");
        assert_eq!(taken.unused("t"), "t_2");
        assert_eq!(taken.unused(""), "unnamed");
        assert_eq!(taken.unused(""), "unnamed_2");
        let long = "é".repeat(40);
        assert_eq!(taken.unused(&long), "é".repeat(31));
        assert_eq!(taken.unused(&long), format!("{}_2", "é".repeat(30)));
    }

    #[test]
    fn some_names_cannot_be() {
        assert!(impossible("").is_some() && impossible(&"x".repeat(64)).is_some());
        assert!(impossible(&"x".repeat(63)).is_none() && impossible_column("xmin").is_some());
        assert!(impossible_column("XMIN").is_none());
    }
}
