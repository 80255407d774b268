//! The text of the options and settings by which a new database is created like an existing one.

use crate::sql::{identifier, literal};
use sqlx::postgres::PgRow;

use super::column;
use crate::database::DatabaseError;

/// The settings whose stored value is already a list of quoted names (`GUC_LIST_QUOTE`, as pg_dumpall knows them).
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Returns the options of CREATE DATABASE that make a database like the model, of which `row` holds owner, encoding,
/// collation, character type, tablespace, and the provider and rules of the locale.
///
/// # Errors
/// Fails when the row cannot be decoded.
pub(crate) fn create_options(row: &PgRow) -> Result<String, DatabaseError> {
    let text = |index| column::<String>(row, index);
    let mut options = format!(
        "TEMPLATE template0 OWNER {} ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        identifier(&text(0)?),
        literal(&text(1)?),
        literal(&text(2)?),
        literal(&text(3)?)
    );
    // The default tablespace is the template's: to name it would require a privilege.
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

/// Returns a setting's stored value in the form that SET takes: a list is written name by name.
pub(crate) fn set_variable(variable: &str, value: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_names_are_given_name_by_name() {
        for (variable, value, set) in [
            ("search_path", r#""$user", public"#, "'$user', 'public'"),
            ("search_path", r#""a, b", "c""d""#, r#"'a, b', 'c"d'"#),
            ("search_path", r#""""#, "''"),
            ("work_mem", "4MB", "'4MB'"),
            ("DateStyle", "ISO, DMY", "'ISO, DMY'"),
        ] {
            assert_eq!(set_variable(variable, value), set);
        }
    }
}
