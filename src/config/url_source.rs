//! The source of the database URL and its password, which is read again at each attempt.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::DatabaseNeed;
use super::environment::RawEnvironment;
use crate::cli::Flags;
use crate::database::DatabaseIdentity;
use crate::database::url::{self, DatabaseTarget as Url, Secret, SqliteLocation, SqliteTarget};
use crate::dialect::Dialect;
use crate::error::Cause;
use crate::masking;
use crate::safe_file;

/// The source of the database URL. Files are read again at each attempt, because secrets rotate.
#[derive(Clone, Debug)]
pub struct DatabaseUrlSource {
    /// The location of the URL.
    url: UrlLocation,
    /// The location of the password, if it is not in the URL.
    password: Option<UrlLocation>,
    /// The variables of libpq, by name.
    libpq: HashMap<String, String>,
    /// The dialect for which the run is planned; `None` until the URL was read for the first time.
    planned_dialect: Option<Dialect>,
}

/// The size of the largest file with a password or URL, or password file, in bytes.
const SECRET_BYTES: u64 = 1 << 20;

/// The location of a URL or password.
#[derive(Clone, Debug)]
enum UrlLocation {
    /// The value itself.
    Text {
        /// The flag or variable that has set the value.
        name: &'static str,
        /// The value.
        value: Secret,
    },
    /// A file that contains the value.
    File {
        /// The variable that names the file.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
    },
    /// No location; the text is the error message.
    Missing(String),
}

impl DatabaseUrlSource {
    /// Chooses the location of the URL and the password: a flag has precedence over the direct URL, and that over the
    /// usual one.
    pub(super) fn new(
        flags: &Flags,
        raw: &RawEnvironment,
        libpq: HashMap<String, String>,
        hint: String,
    ) -> Result<DatabaseUrlSource, Cause> {
        let direct = UrlLocation::new(
            ("LOCKKEEPER_DIRECT_URL", &raw.lockkeeper_direct_url),
            ("LOCKKEEPER_DIRECT_URL_FILE", &raw.lockkeeper_direct_url_file),
        )?;
        let database_url =
            UrlLocation::new(("DATABASE_URL", &raw.database_url), ("DATABASE_URL_FILE", &raw.database_url_file))?;
        let flag = flags.url.clone().map(|url| UrlLocation::Text { name: "--url", value: Secret::new(url) });
        Ok(DatabaseUrlSource {
            url: flag.or(direct).or(database_url).unwrap_or(UrlLocation::Missing(hint)),
            password: UrlLocation::new(
                ("DATABASE_PASSWORD", &raw.database_password),
                ("DATABASE_PASSWORD_FILE", &raw.database_password_file),
            )?,
            libpq,
            planned_dialect: None,
        })
    }

    /// Refuses from now on every URL of another dialect. The settings are checked and the migrations are read for one
    /// dialect, long before the database is opened, and the file with the URL may be replaced meanwhile.
    pub(super) fn plan_for(&mut self, dialect: Dialect) {
        self.planned_dialect = Some(dialect);
    }

    /// Reports whether a URL was given.
    pub(super) fn is_given(&self) -> bool {
        !matches!(self.url, UrlLocation::Missing(_))
    }

    /// Returns the database's identity as far as the settings determine it.
    ///
    /// # Errors
    /// Fails as [`DatabaseUrlSource::resolve`] does.
    pub fn identity(&self) -> Result<DatabaseIdentity, Cause> {
        let (dialect, name) = match self.resolve()? {
            Url::Postgres(target) => (Dialect::Postgres, target.database_name().to_owned()),
            Url::Sqlite(url::SqliteTarget { location: SqliteLocation::File(path) }) => {
                // Links are resolved, because the database is opened and named by the real path.
                let path = path.canonicalize().unwrap_or(path);
                let name = path.file_name().unwrap_or(path.as_os_str());
                (Dialect::Sqlite, name.to_string_lossy().into_owned())
            }
            Url::Sqlite(_) => (Dialect::Sqlite, ":memory:".into()),
        };
        Ok(DatabaseIdentity { dialect, name })
    }

    /// Reads the URL as [`DatabaseUrlSource::resolve`] does. Returns a database in memory for a command that needs no
    /// URL, if none was given.
    ///
    /// # Errors
    /// Fails as [`DatabaseUrlSource::resolve`] does.
    pub(super) fn resolve_for(&self, need: DatabaseNeed, dir: &Path) -> Result<Url, Cause> {
        // A missing directory counts here, because it has an error of its own later.
        let has_dialect = || !dir.is_dir() || ["postgres", "sqlite"].iter().any(|dialect| dir.join(dialect).is_dir());
        let is_needed = match need {
            DatabaseNeed::Url => true,
            DatabaseNeed::Dialect => !has_dialect(),
            DatabaseNeed::Nothing => false,
        };
        match is_needed || self.is_given() {
            true => self.resolve(),
            false => Ok(Url::Sqlite(SqliteTarget { location: SqliteLocation::Memory })),
        }
    }

    /// Reads the present URL and password, and hides every password in the log.
    ///
    /// # Errors
    /// Fails when the URL cannot be parsed or is of another dialect than the run was planned for, or when a file cannot
    /// be read.
    pub fn resolve(&self) -> Result<Url, Cause> {
        let text = self.url.read()?;
        let variable = |name: &str| self.libpq.get(name).cloned();
        let mut url = url::parse(text.expose(), &variable).map_err(|error| {
            let message = format!("{}: {error}", self.url.name());
            if self.url.name().starts_with('-') { Cause::Usage(message) } else { Cause::Config(message) }
        })?;
        if let Some(planned) = self.planned_dialect.filter(|planned| *planned != url.dialect()) {
            let (name, dialect) = (self.url.name(), url.dialect());
            let message = format!("{name}: it is a URL of {dialect} now, but the run was planned for {planned}");
            return Err(Cause::Config(message));
        }
        if let Url::Postgres(target) = &mut url {
            if let Some(password) = &self.password {
                target.password = Some(password.read()?);
            }
            target.user = target.user.take().or_else(|| variable("USER"));
            let home = variable("HOME").map(|home| Path::new(&home).join(".pgpass"));
            target.passfile = target.passfile.take().or(home);
            for password in url::written_passwords(text.expose()) {
                masking::hide(password, &[]);
            }
            hide_passwords(target)?;
        }
        Ok(url)
    }
}

/// Hides the given password, those of the password file, and secret settings from the log.
fn hide_passwords(target: &url::PostgresTarget) -> Result<(), Cause> {
    let user = target.user.as_deref().unwrap_or_default();
    let names = [user, target.database_name()];
    let text = target.passfile.as_deref().map(read_passfile).transpose()?.flatten();
    let passfile_passwords = target.hosts.iter().filter_map(|host| {
        url::PostgresTarget::password_from_passfile(text.as_deref()?, host, target.database_name(), user)
    });
    for password in passfile_passwords.chain(target.password.clone()) {
        masking::hide(password.expose(), &names);
    }
    for value in target.options.as_deref().map(secret_settings).unwrap_or_default() {
        masking::hide(value, &names);
    }
    Ok(())
}

/// Returns the values that `options` gives to settings of the application, such as `-c app.key=...`, because they may
/// be secret. Settings of the server have no period in their names, and are not secret.
fn secret_settings(options: &str) -> Vec<&str> {
    let arguments =
        options.split_whitespace().map(|argument| argument.trim_start_matches("--").trim_start_matches("-c"));
    arguments
        .filter_map(|argument| argument.split_once('='))
        .filter(|(name, _)| name.contains('.'))
        .map(|(_, value)| value)
        .collect()
}

/// Reads the text of a password file. A file that does not exist or is not readable counts as none, as with libpq, and
/// so does `/dev/null`.
fn read_passfile(file: &Path) -> Result<Option<String>, Cause> {
    match safe_file::read_to_string(file, SECRET_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(error)
            if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::IsADirectory)
                && file != Path::new("/dev/null") =>
        {
            Err(Cause::Secret(format!("the password file {} cannot be read: {error}", file.display())))
        }
        Err(_) => Ok(None),
    }
}

impl UrlLocation {
    /// Makes the location from a variable or its `_FILE` variant; `None` if neither is set. Both together are an error.
    fn new(
        text: (&'static str, &Option<String>),
        file: (&'static str, &Option<String>),
    ) -> Result<Option<UrlLocation>, Cause> {
        match (text.1, file.1) {
            (Some(_), Some(_)) => {
                Err(Cause::Config(format!("{} and {} are both set; set one of them", text.0, file.0)))
            }
            (Some(value), None) => Ok(Some(UrlLocation::Text { name: text.0, value: Secret::new(value.clone()) })),
            (None, Some(path)) => Ok(Some(UrlLocation::File { name: file.0, path: path.into() })),
            (None, None) => Ok(None),
        }
    }

    /// Returns the flag or variable, for messages.
    fn name(&self) -> &'static str {
        match self {
            UrlLocation::Text { name, .. } | UrlLocation::File { name, .. } => name,
            UrlLocation::Missing(_) => "DATABASE_URL",
        }
    }

    /// Reads the value. The line feeds at the end of a file are removed.
    fn read(&self) -> Result<Secret, Cause> {
        match self {
            UrlLocation::Text { value, .. } => Ok(value.clone()),
            UrlLocation::Missing(hint) => Err(Cause::Config(hint.clone())),
            UrlLocation::File { name, path } => {
                let uid = rustix::process::geteuid().as_raw();
                let text = safe_file::read_to_string(path, SECRET_BYTES).map_err(|error| {
                    Cause::Secret(format!("{name}: {} cannot be read by uid {uid}: {error}", path.display()))
                })?;
                let text = text.trim_end_matches(['\r', '\n']);
                // The server would report an empty password only as a wrong one.
                if text.is_empty() {
                    return Err(Cause::Secret(format!("{name}: {} is empty", path.display())));
                }
                Ok(Secret::new(text.to_owned()))
            }
        }
    }
}
