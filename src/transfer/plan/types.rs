//! The types of the target's columns.

use crate::database::postgres::bulk_load::TargetColumn;
use crate::transfer::cast::{TypeFacts, WritableType};

/// The type of a column's values; nothing when they cannot be written.
pub fn type_of(column: &TargetColumn) -> Option<WritableType> {
    WritableType::from_facts(&facts(column))
}

/// What the casts want to know of a column.
fn facts(column: &TargetColumn) -> TypeFacts<'_> {
    let base = &column.base;
    match &column.element {
        // The modifier and the labels of what it holds; the OID that the binary form names.
        Some(element) => TypeFacts {
            oid: base.oid,
            name: &base.name,
            typmod: element.base.typmod,
            labels: &element.base.labels,
            element: Some(element.oid),
        },
        None => TypeFacts { oid: base.oid, name: &base.name, typmod: base.typmod, labels: &base.labels, element: None },
    }
}
