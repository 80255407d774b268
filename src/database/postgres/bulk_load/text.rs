//! The text of a column's value, without a cast that the owner of its type may have defined: such a cast would run a
//! function of another role with our privileges.

use crate::transfer::target::{TargetColumn, TargetType};

/// The first OID that the server gives to user-created objects (`FirstNormalObjectId` in its source). Only superusers
/// can define casts between the types below it.
const FIRST_USER_OID: u32 = 16384;

impl TargetType {
    fn is_user_defined(&self) -> bool {
        self.oid >= FIRST_USER_OID
    }
}

impl TargetColumn {
    /// Returns an SQL expression for a value's text, or NULL. `field` is an SQL expression for the value.
    pub(crate) fn text(&self, field: &str) -> String {
        match self.base.is_user_defined() {
            // `format` calls the type's output function, which only a superuser can define. A row value of
            // NULLs is also `IS NULL`, so the NULLs are counted.
            true => {
                format!("CASE pg_catalog.num_nulls({field}) WHEN 0 THEN pg_catalog.format('%s', {field}) END")
            }
            false => format!("{field}::pg_catalog.text"),
        }
    }
}
