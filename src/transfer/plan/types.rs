//! The types of the target's columns.

use crate::transfer::cast::{TypeFacts, WritableType};
use crate::transfer::target::TargetColumn;

/// Returns the type of a column's values, or `None` when such values cannot be written.
pub(crate) fn type_of(column: &TargetColumn) -> Option<WritableType> {
    WritableType::from_facts(&facts(column))
}

/// Returns the facts about a column's type from which its cast is chosen.
fn facts(column: &TargetColumn) -> TypeFacts<'_> {
    let base = &column.base;
    match &column.element {
        // The modifier and the labels are those of the array's elements; the element's OID is part of the binary form.
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
