//! The parser of database URLs and of libpq's variables: nothing that is refused, displayed or debugged prints a
//! password.

use lockkeeper::database::url::{DatabaseTarget, parse};

/// Replaces the asterisk of the input.
const PLANTED: &str = "canary-S3cr3t";

/// The first line is the URL, each further one `NAME=value`.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.replace('*', PLANTED);
    let mut lines = text.split('\n');
    let url = lines.next().unwrap_or_default();
    let variables: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    let look_up = |name: &str| {
        let found = variables.iter().find(|(key, value)| *key == name && !value.is_empty());
        found.map(|(_, value)| (*value).to_owned())
    };
    match parse(url, &look_up) {
        Err(error) => {
            let printed = format!("{error} {error:?}");
            assert!(!printed.contains(PLANTED), "{printed}");
        }
        // Its only value is the name of a file.
        Ok(DatabaseTarget::Sqlite(_)) => {}
        Ok(DatabaseTarget::Postgres(target)) => {
            // The user, the host and the database may be printed, the password may not.
            let password = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
            let password = password.and_then(|(login, _)| login.split_once(':'));
            if let Some((user, password)) = password
                && password.contains(PLANTED)
                && url.matches(PLANTED).count() == 1
                && !user.contains(['/', '?', '#'])
                && variables.is_empty()
            {
                let printed = format!("{target:?} {}", target.display());
                assert!(!printed.contains(PLANTED), "{printed}");
            }
        }
    }
}
