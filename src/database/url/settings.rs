//! libpq's settings: their key words (manual, 34.1.2), environment variables (34.15) and values.

use std::collections::BTreeMap;

use super::text::{parse_query, suggest_name};
use super::{RESERVED, UrlError, fail};

/// The values that a setting may have. `Only` has the allowed words, separated by spaces, and the end of the error
/// message; a setting without words is refused.
pub(super) enum AllowedValues {
    Any,
    Only(&'static str, &'static str),
}
use AllowedValues::{Any, Only};

const SSL_MODES: &str = "disable allow prefer require verify-ca verify-full";
const SSL_MODES_ERROR: &str = "is not disable, allow, prefer, require, verify-ca or verify-full";
const SESSION_ATTRS: &str = "any read-write primary";
const SESSION_ATTRS_ERROR: &str = "must be any, read-write or primary: a migration needs a writable server";
const OPTIONAL_MODES: &str = "disable prefer";
const OPTIONAL_MODES_ERROR: &str = "must be disable or prefer: the driver cannot do it";
const NO_DRIVER_ERROR: &str = "is not supported: the driver cannot honour it";

/// The supported and the refused key words, with their environment variables (empty if there is none) and allowed
/// values.
pub(super) const SETTINGS: &[(&str, &str, AllowedValues)] = &[
    ("host", "PGHOST", Any),
    ("hostaddr", "PGHOSTADDR", Any),
    ("port", "PGPORT", Any),
    ("dbname", "PGDATABASE", Any),
    ("user", "PGUSER", Any),
    ("password", "PGPASSWORD", Any),
    ("passfile", "PGPASSFILE", Any),
    ("sslmode", "PGSSLMODE", Only(SSL_MODES, SSL_MODES_ERROR)),
    ("sslrootcert", "PGSSLROOTCERT", Any),
    ("sslcert", "PGSSLCERT", Any),
    ("sslkey", "PGSSLKEY", Any),
    ("options", "PGOPTIONS", Any),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Only(SESSION_ATTRS, SESSION_ATTRS_ERROR)),
    ("gssencmode", "PGGSSENCMODE", Only(OPTIONAL_MODES, OPTIONAL_MODES_ERROR)),
    ("channel_binding", "PGCHANNELBINDING", Only(OPTIONAL_MODES, OPTIONAL_MODES_ERROR)),
    ("require_auth", "PGREQUIREAUTH", Only("", NO_DRIVER_ERROR)),
    ("sslcrl", "PGSSLCRL", Only("", NO_DRIVER_ERROR)),
    ("sslcrldir", "PGSSLCRLDIR", Only("", NO_DRIVER_ERROR)),
    ("sslpassword", "", Only("", "is not supported: use a key without a pass phrase")),
    ("sslnegotiation", "PGSSLNEGOTIATION", Only("postgres", NO_DRIVER_ERROR)),
    ("replication", "", Only("", "is not supported: migrations need an ordinary session")),
    ("service", "PGSERVICE", Only("", "is not supported: name host and database instead")),
];
/// Settings that are accepted and ignored: Lockkeeper sets its own values, or no action is needed.
pub(super) const IGNORED: &str = "application_name fallback_application_name connect_timeout \
    client_encoding keepalives keepalives_idle keepalives_interval keepalives_count \
    tcp_user_timeout krbsrvname sslcompression sslsni requirepeer load_balance_hosts \
    ssl_min_protocol_version ssl_max_protocol_version";

/// The settings known so far: each key word with its value.
#[derive(Default)]
pub(super) struct UrlSettings(BTreeMap<&'static str, GivenValue>);

/// A value, and the name that an error gives it, such as `the port`, `port in the query` or `PGPORT`.
pub(super) struct GivenValue {
    pub(crate) value: String,
    pub(crate) origin: String,
}

impl UrlSettings {
    /// Parses a query; `host` may still be a list of hosts with ports.
    pub(crate) fn from_query(query: &str) -> Result<UrlSettings, UrlError> {
        let mut settings = UrlSettings::default();
        for (key, value) in parse_query(query)? {
            // The manual, 34.1.1.2, translates ssl=true for compatibility with JDBC.
            let (key_word, value) = match (key.as_str(), value.as_str()) {
                ("ssl", "true") => ("sslmode", "require".to_owned()),
                ("ssl", _) => ("sslmode", value),
                _ => (key.as_str(), value),
            };
            if IGNORED.split(' ').any(|name| name == key_word) {
                continue;
            }
            let Some((name, ..)) = SETTINGS.iter().find(|(name, ..)| *name == key_word) else {
                return fail(settings.unknown(key_word));
            };
            // SQLAlchemy repeats the key for several hosts; every other key counts in its last place, as in libpq.
            let value = match settings.0.get(name) {
                Some(first) if matches!(*name, "host" | "port") => format!("{},{value}", first.value),
                _ => value,
            };
            settings.put(name, value, &format!("{key} in the query"));
        }
        Ok(settings)
    }

    fn unknown(&self, key: &str) -> String {
        let known = SETTINGS.iter().map(|(name, ..)| *name).chain(IGNORED.split(' '));
        // Behind a password the name may be the rest of it, however it is spelled.
        let suggestion = suggest_name(key, known).filter(|_| !self.0.contains_key("password"));
        suggestion.unwrap_or_else(|| {
            format!(
                "the query has a setting that is not known: if it is the rest of a password, {RESERVED}; \
                 else take it out, only libpq's settings are read (a schema is options=-csearch_path%3Dname)"
            )
        })
    }

    /// Sets the settings that are still open from environment variables.
    pub(crate) fn fill(&mut self, variable: &dyn Fn(&str) -> Option<String>) {
        for (name, key, _) in SETTINGS {
            if !key.is_empty()
                && !self.0.contains_key(name)
                && let Some(value) = variable(key)
            {
                self.put(name, value, key);
            }
        }
    }

    /// Refuses values that the table of settings does not allow.
    pub(crate) fn check(&self) -> Result<(), UrlError> {
        for (name, _, rule) in SETTINGS {
            if let Only(words, error) = rule
                && let Some(setting) = self.0.get(name)
                && !words.split(' ').any(|word| word == setting.value)
            {
                return fail(format!("{} {error}", setting.origin));
            }
        }
        Ok(())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns the value of a setting, or an empty text if it is not given.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |setting| &setting.value)
    }

    pub(crate) fn optional(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|setting| setting.value.clone())
    }

    /// Sets a value; an empty one leaves the setting open.
    pub(crate) fn put(&mut self, name: &'static str, value: String, origin: &str) {
        if !value.is_empty() {
            let origin = origin.to_owned();
            self.0.insert(name, GivenValue { value, origin });
        }
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<GivenValue> {
        self.0.remove(name)
    }

    /// Adds settings, which override those that are set already.
    pub(crate) fn extend(&mut self, others: UrlSettings) {
        self.0.extend(others.0);
    }

    /// Returns an error that names the place where the value was given.
    pub(crate) fn invalid<T>(&self, name: &str, what: &str) -> Result<T, UrlError> {
        fail(format!("{} {what}", self.0.get(name).map_or(name, |setting| &setting.origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{error, postgres};
    use super::super::{Secret, SslMode, Tls};
    use super::*;

    #[test]
    fn every_setting_is_read() {
        let found = postgres(
            "postgres://h?sslrootcert=/a%20b&sslcert=c&sslkey=k&passfile=/p&options=-c%20a=b\
             &target_session_attrs=read-write&&channel_binding=prefer&sslnegotiation=postgres",
            &[],
        );
        assert_eq!(found.tls.root_cert, Some("/a b".into()));
        assert_eq!((found.tls.cert, found.tls.key), (Some("c".into()), Some("k".into())));
        assert_eq!((found.passfile, found.options), (Some("/p".into()), Some("-c a=b".into())));
        for name in IGNORED.split(' ') {
            postgres(&format!("postgres://h?{name}=whatever"), &[]);
        }
        for word in ["any", "primary"] {
            postgres(&format!("postgres://h?target_session_attrs={word}"), &[]);
        }
    }

    #[test]
    fn variables_fill_what_is_open() {
        let all = [
            ("PGHOST", "e1,e2"),
            ("PGPORT", "7"),
            ("PGDATABASE", "ed"),
            ("PGUSER", "eu"),
            ("PGPASSWORD", "@:/?#%&=+"),
            ("PGPASSFILE", "/ep"),
            ("PGSSLMODE", "verify-ca"),
            ("PGSSLROOTCERT", "/er"),
            ("PGSSLCERT", "/ec"),
            ("PGSSLKEY", "/ek"),
            ("PGOPTIONS", "-c x=y"),
            ("PGTARGETSESSIONATTRS", "primary"),
            ("PG_PORT", "tcp://10.0.0.1:5432"),
        ];
        let found = postgres("postgres://", &all);
        assert_eq!(found.display(), "postgresql://eu@e1:7,e2:7/ed");
        assert_eq!(found.password, Some(Secret::new("@:/?#%&=+".into())));
        assert_eq!(found.passfile, Some("/ep".into()));
        let [root_cert, cert, key] = ["/er", "/ec", "/ek"].map(|path| Some(path.into()));
        assert_eq!(found.tls, Tls { mode: SslMode::VerifyCa, root_cert, cert, key });
        assert_eq!(found.options, Some("-c x=y".into()));
        let found = postgres("postgres://u:p@h:1/d?sslmode=disable&options=o", &all);
        assert_eq!(found.display(), "postgresql://u@h:1/d");
        assert_eq!(found.password, Some(Secret::new("p".into())));
        assert_eq!((found.tls.mode, found.options), (SslMode::Disable, Some("o".into())));
        let found = postgres("postgres://h", &[("PGHOSTADDR", "::1"), ("PGUSER", "")]);
        assert_eq!((found.hosts[0].hostaddr.as_deref(), found.user), (Some("::1"), None));
        for (name, value, part) in [
            ("PGPORT", "tcp://10.0.0.1:5432", "PGPORT is not a number between 1 and 65535"),
            ("PGPORT", "1,2", "one port"),
            ("PGSSLMODE", "yes", "PGSSLMODE is not disable, allow"),
            ("PGTARGETSESSIONATTRS", "standby", "PGTARGETSESSIONATTRS must be any"),
            ("PGHOSTADDR", "name", "PGHOSTADDR is not a numeric IP address"),
            ("PGSERVICE", "s", "PGSERVICE is not supported"),
            ("PGREQUIREAUTH", "scram-sha-256", "PGREQUIREAUTH is not supported"),
            ("PGCHANNELBINDING", "require", "PGCHANNELBINDING must be disable or prefer"),
        ] {
            let error = error("postgres://h", &[(name, value)]);
            assert!(error.contains(part), "{name}: {error}");
        }
    }

    #[test]
    fn refusals() {
        for (url, part) in [
            ("postgres://h?sslmode=on", "sslmode in the query is not disable, allow"),
            ("postgres://h?ssl=false", "ssl in the query is not disable, allow"),
            ("postgres://h?sslmod=require", "\"sslmod\" in the query (did you mean sslmode?)"),
            ("postgres://h?SSLMode=require", "(did you mean sslmode?)"),
            ("postgres://h?ssl_mode=require", "(did you mean sslmode?)"),
            ("postgres://h?connect_timeot=1", "(did you mean connect_timeout?)"),
            ("postgres://h?pgbouncer=true", "that is not known: if it is the rest of a password, percent-encode"),
            ("postgres://h?schema=s", "options=-csearch_path%3Dname"),
            ("postgres://h?prepared_statement_cache_size=0", "take it out"),
            ("postgres://h?pool_timeout=0", "take it out"),
            ("postgres://h?a-b=1", "has a setting that is not known"),
            ("postgres://h?password=a&S3cr3t=1", "has a setting that is not known"),
            ("postgres://h?target_session_attrs=read-only", "needs a writable server"),
            ("postgres://h?target_session_attrs=standby", "needs a writable server"),
            ("postgres://h?target_session_attrs=prefer-standby", "needs a writable server"),
            ("postgres://h?channel_binding=require", "channel_binding in the query must be"),
            ("postgres://h?gssencmode=require", "gssencmode in the query must be"),
            ("postgres://h?sslnegotiation=direct", "sslnegotiation in the query is not supp"),
            ("postgres://h?require_auth=none", "require_auth in the query is not supported"),
            ("postgres://h?replication=1", "replication in the query is not supported"),
            ("postgres://h?service=s", "service in the query is not supported"),
            ("postgres://h?sslcrl=f", "sslcrl in the query is not supported"),
            ("postgres://h?sslcrldir=f", "sslcrldir in the query is not supported"),
            ("postgres://h?sslpassword=f", "sslpassword in the query is not supported"),
            ("postgres://u:1?S3cr3t=a", "or give the password apart in DATABASE_PASSWORD"),
        ] {
            let error = error(url, &[]);
            assert!(error.contains(part), "{url}: {error}");
            assert!(!error.contains("S3cr3t"), "{url}: {error}");
        }
    }
}
