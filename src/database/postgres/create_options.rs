//! What makes a database like another one: the words for its properties, settings and name.

use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;

use super::column;
use crate::database::DatabaseError;
use crate::revision::render::{identifier, literal};

/// What PostgreSQL takes for a name (manual, 4.1.1); it cuts off longer ones without an error.
const LONGEST_NAME: usize = 63;
/// Settings whose stored value is a list of quoted names already (`GUC_LIST_QUOTE`, as pg_dumpall knows them).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The options of CREATE DATABASE that make one like the model: owner, encoding, collation, character type, tablespace,
/// and who provides them, as the row has them.
///
/// # Errors
/// A row that cannot be read.
pub fn alike(row: &PgRow) -> Result<String, DatabaseError> {
    let text = |index| column::<String>(row, index);
    let mut options = format!(
        "TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        identifier(&text(0)?),
        literal(&text(1)?),
        literal(&text(2)?),
        literal(&text(3)?)
    );
    // The default is the template's: naming it would need a privilege.
    if text(4)? != "pg_default" {
        options += &format!(" TABLESPACE {}", identifier(&text(4)?));
    }
    let (provider, locale): (Option<String>, Option<String>) = (column(row, 5)?, column(row, 6)?);
    match (provider.as_deref(), locale) {
        (Some("i"), Some(locale)) => options += &format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(&locale)),
        (Some("b"), Some(locale)) => {
            options += &format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(&locale));
        }
        (Some("c"), _) => options += " LOCALE_PROVIDER libc",
        _ => {}
    }
    if let Some(rules) = column::<Option<String>>(row, 7)? {
        options += &format!(" ICU_RULES {}", literal(&rules));
    }
    Ok(options)
}

/// A setting's stored value as SET takes it: a list name by name.
pub fn given(variable: &str, value: &str) -> String {
    if !LISTS.contains(&variable.to_ascii_lowercase().as_str()) {
        return literal(value);
    }
    let mut names = vec![String::new()];
    let mut quoted = false;
    let mut characters = value.chars().peekable();
    while let Some(character) = characters.next() {
        let name = names.last_mut().expect("there is always one");
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(String::new()),
            ' ' if !quoted => {}
            other => name.push(other),
        }
    }
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

/// A name that PostgreSQL takes whole: of a long one the beginning and a sum.
pub fn name_beside(model: &str, suffix: &str) -> String {
    if model.len() + suffix.len() <= LONGEST_NAME {
        return format!("{model}{suffix}");
    }
    let sum = Sha256::digest(model);
    let sum = format!("_{:02x}{:02x}{:02x}{:02x}", sum[0], sum[1], sum[2], sum[3]);
    let room = LONGEST_NAME - suffix.len() - sum.len();
    let end = (0..=room).rev().find(|&end| model.is_char_boundary(end)).unwrap_or(0);
    format!("{}{sum}{suffix}", &model[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_whole_and_apart() {
        assert_eq!(name_beside("app", "_x"), "app_x");
        let [one, two] = ["é".repeat(31) + "a", "é".repeat(31) + "b"].map(|name| name_beside(&name, "_x"));
        assert!(one.len() <= LONGEST_NAME && one.ends_with("_x") && one != two, "{one} {two}");
    }

    #[test]
    fn lists_of_names_are_given_name_by_name() {
        for (variable, value, set) in [
            ("search_path", r#""$user", public"#, "'$user', 'public'"),
            ("search_path", r#""a, b", "c""d""#, r#"'a, b', 'c"d'"#),
            ("search_path", r#""""#, "''"),
            ("work_mem", "4MB", "'4MB'"),
            ("DateStyle", "ISO, DMY", "'ISO, DMY'"),
        ] {
            assert_eq!(given(variable, value), set);
        }
    }
}
