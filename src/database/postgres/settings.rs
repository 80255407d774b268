//! Settings of a role, a database or the server under which a migration or backup could report a success that is not
//! real.

use super::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::identifier;

/// A setting that must have its default value, with the consequence of another value.
struct RequiredSetting {
    name: &'static str,
    value: &'static str,
    otherwise: &'static str,
}

const REQUIRED: [RequiredSetting; 3] = [
    RequiredSetting {
        name: "session_replication_role",
        value: "origin",
        otherwise: "migrations would change rows without checking foreign keys and without running triggers",
    },
    RequiredSetting {
        name: "zero_damaged_pages",
        value: "off",
        otherwise: "a backup would lack the rows of damaged pages, and nothing would say so",
    },
    RequiredSetting {
        name: "ignore_checksum_failure",
        value: "off",
        otherwise: "a backup could hold rows of damaged pages, and nothing would say so",
    },
];

impl Postgres {
    /// Checks that neither the role, the database nor the server changes one of these settings. Only a superuser could
    /// reset them in a session, and the session of `pg_dump` would have them as well, so an administrator must do so.
    pub(super) async fn check_settings(&mut self) -> Result<(), DatabaseError> {
        let values = REQUIRED.map(|RequiredSetting { name, .. }| format!("pg_catalog.current_setting('{name}')"));
        let row = self.row(format!("SELECT {}", values.join(", "))).await?;
        for (index, RequiredSetting { name, value, otherwise }) in REQUIRED.iter().enumerate() {
            let found: String = column(&row, index)?;
            if found != *value {
                let (user, database) = (identifier(self.user()), identifier(&self.facts.database));
                let message = format!("the setting {name} is {found} in our sessions: {otherwise}");
                let hint = format!("ALTER ROLE {user} IN DATABASE {database} SET {name} = {value}");
                return Err(DatabaseError::new(DatabaseErrorKind::Setting, message).with_hint(hint));
            }
        }
        Ok(())
    }
}
