//! The properties of a target that a plan depends on, for both kinds of targets.

use std::fmt::Debug;

use super::{PlanPurpose, TransferOptions, type_of};
use crate::transfer::cast::Cast;
use crate::transfer::import::{ImportColumn, ImportTable};
use crate::transfer::target::{TargetColumn, TargetTable};

/// A table into which rows can be copied.
pub(crate) trait PlanTarget: Clone + Debug {
    /// A column of the table.
    type Column: PlanColumn;

    /// Returns the unquoted name, without a schema.
    fn name(&self) -> &str;

    /// Returns the name, qualified and quoted.
    fn quoted(&self) -> String;

    /// Reports whether we may change the definition of the table.
    fn is_ours(&self) -> bool;

    /// Returns the columns in the order of the table.
    fn columns(&self) -> &[Self::Column];
}

/// A column of a table into which rows can be copied.
pub(crate) trait PlanColumn {
    /// The conversion of the values.
    type Cast: Debug;

    /// Returns the unquoted name.
    fn name(&self) -> &str;

    /// Reports whether the database generates the values, so that none can be written.
    fn is_generated(&self) -> bool;

    /// Reports whether a row cannot be inserted without a value for the column.
    fn needs_value(&self) -> bool;

    /// Returns the conversion of the values without rules.
    ///
    /// # Errors
    /// Fails when values of the column's type cannot be written. The error is a message for the user.
    fn cast(&self, options: &TransferOptions) -> Result<Self::Cast, String>;

    /// Adds the rule of that name to a conversion.
    ///
    /// # Errors
    /// Fails when the rule is not for this conversion. The error is a message for the user.
    fn with_rule(cast: Self::Cast, rule: &str) -> Result<Self::Cast, String>;
}

/// The conversion of the values that are copied into a column of the target `T`.
pub(crate) type CastOf<T> = <<T as PlanTarget>::Column as PlanColumn>::Cast;

impl PlanTarget for TargetTable {
    type Column = TargetColumn;

    fn name(&self) -> &str {
        &self.name
    }

    fn quoted(&self) -> String {
        TargetTable::quoted(self)
    }

    fn is_ours(&self) -> bool {
        self.is_ours
    }

    fn columns(&self) -> &[TargetColumn] {
        &self.columns
    }
}

impl PlanColumn for TargetColumn {
    type Cast = Cast;

    fn name(&self) -> &str {
        &self.name
    }

    fn is_generated(&self) -> bool {
        self.generated
    }

    fn needs_value(&self) -> bool {
        self.not_null && self.default.is_none() && self.identity.is_none() && !self.generated
    }

    fn cast(&self, options: &TransferOptions) -> Result<Cast, String> {
        let ty = type_of(self).ok_or_else(|| format!("values of the type {} cannot be written", self.type_name))?;
        let cast = Cast::new(ty, options.zone);
        Ok(if options.purpose == PlanPurpose::Import { cast.taking_words() } else { cast })
    }

    fn with_rule(cast: Cast, rule: &str) -> Result<Cast, String> {
        cast.with(rule)
    }
}

impl PlanTarget for ImportTable {
    type Column = ImportColumn;

    fn name(&self) -> &str {
        &self.name
    }

    fn quoted(&self) -> String {
        ImportTable::quoted(self)
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn columns(&self) -> &[ImportColumn] {
        &self.columns
    }
}

/// SQLite stores every value in every column, so that nothing is converted.
impl PlanColumn for ImportColumn {
    type Cast = ();

    fn name(&self) -> &str {
        &self.name
    }

    fn is_generated(&self) -> bool {
        self.generated
    }

    fn needs_value(&self) -> bool {
        self.needs_value
    }

    fn cast(&self, _options: &TransferOptions) -> Result<(), String> {
        Ok(())
    }

    fn with_rule((): (), _rule: &str) -> Result<(), String> {
        Err("a column of SQLite takes values as they are".into())
    }
}
