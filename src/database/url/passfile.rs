//! libpq's password file (manual, 34.16).

use super::{Address, Host, PostgresTarget, Secret};

impl PostgresTarget {
    /// Returns the password for one host from the text of a password file (manual, 34.16): the first line that matches
    /// counts. `localhost` also matches a socket. `None` if no line matches or the password is empty.
    pub(crate) fn password_from_passfile(text: &str, host: &Host, database: &str, user: &str) -> Option<Secret> {
        let (name, alias) = match &host.address {
            Address::Tcp(name) => (name.clone(), name.as_str()),
            Address::Socket(directory) => (directory.display().to_string(), "localhost"),
        };
        let port = host.port.to_string();
        let fits = |field: &str, value: &str| field == "*" || unescape(field) == value;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let password = lines.map(fields).find_map(|fields| match fields[..] {
            [host_field, port_field, database_field, user_field, password, ..]
                if (fits(host_field, &name) || fits(host_field, alias))
                    && fits(port_field, &port)
                    && fits(database_field, database)
                    && fits(user_field, user) =>
            {
                Some(unescape(password))
            }
            _ => None,
        });
        password.filter(|password| !password.is_empty()).map(Secret::new)
    }
}

/// Splits a line of the password file at the colons that no backslash precedes.
fn fields(line: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in line.bytes().enumerate() {
        if byte == b':' && !escaped {
            fields.push(&line[start..at]);
            start = at + 1;
        }
        escaped = byte == b'\\' && !escaped;
    }
    fields.push(&line[start..]);
    fields
}

fn unescape(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or(character) } else { character });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_counts() {
        let text = "# comment\n\nh:5432:d:u\nh:5432:d:u:first\nh:5432:d:u:second\r\n\
            h:*:d:u:any port\n::1:5432:d:u:unescaped\n\\:\\:1:5432:d:u:v6\r\n\
            localhost:5432:*:*:local\n/run/pg:*:*:*:never\n#x:*:*:*:comment\n\
            e:*:d\\:1:u\\\\:a\\:b\\\\c:rest\nl:*:*:*:*\nt:*:*:*:tail\\\nn:*:*:\\*:star\nz:*:*:*:\n\
            z:*:*:*:late";
        let tcp = |name: &str| Address::Tcp(name.to_owned());
        for (address, port, database, user, wanted) in [
            (tcp("h"), 5432, "d", "u", Some("first")),
            (tcp("h"), 5433, "d", "u", Some("any port")),
            (tcp("h"), 5432, "x", "u", None),
            (tcp("h"), 5432, "d", "x", None),
            (tcp("::1"), 5432, "d", "u", Some("v6")),
            (tcp("localhost"), 5432, "d", "u", Some("local")),
            (Address::Socket("/tmp".into()), 5432, "d", "u", Some("local")),
            (Address::Socket("/run/pg".into()), 1, "d", "u", Some("never")),
            (tcp("#x"), 1, "d", "u", None),
            (tcp("e"), 1, "d:1", "u\\", Some("a:b\\c")),
            (tcp("l"), 1, "d", "u", Some("*")),
            (tcp("t"), 1, "d", "u", Some("tail\\")),
            (tcp("n"), 1, "d", "u", None),
            (tcp("n"), 1, "d", "*", Some("star")),
            (tcp("z"), 1, "d", "u", None),
        ] {
            let host = Host { address, port, hostaddr: None };
            let found = PostgresTarget::password_from_passfile(text, &host, database, user);
            assert_eq!(found.as_ref().map(Secret::expose), wanted, "{host:?} {database} {user}");
        }
    }
}
