//! The names of scratch databases.
//!
//! A name ends with the key of the lock under which the database was created. A run that holds that lock may drop every
//! database with its suffix, because only a killed run can have left it. A run with another history table has another
//! lock and may work at the same time: its databases have another suffix.

use sha2::{Digest, Sha256};

use super::Postgres;

/// The longest name that PostgreSQL accepts, in bytes (manual, 4.1.1); it truncates longer ones without an error.
const LONGEST_NAME: usize = 63;

/// Returns the suffix of the names of databases that are created for a purpose under our lock.
pub(super) fn scratch_suffix(server: &Postgres, purpose: &str) -> String {
    format!("{purpose}_{:016x}", server.key().cast_unsigned())
}

/// Returns a name with a suffix that PostgreSQL does not truncate: a long name is shortened to its beginning and a
/// hash.
pub(super) fn scratch_name(model: &str, suffix: &str) -> String {
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
        assert_eq!(scratch_name("app", "_x"), "app_x");
        let [one, two] = ["é".repeat(31) + "a", "é".repeat(31) + "b"].map(|name| scratch_name(&name, "_x"));
        assert!(one.len() <= LONGEST_NAME && one.ends_with("_x") && one != two, "{one} {two}");
    }
}
