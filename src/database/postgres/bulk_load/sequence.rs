//! Setting of sequences, so that they continue after the loaded rows.

use super::{execute, fetch};
use crate::database::postgres::{Postgres, column};
use crate::database::{DatabaseError, DatabaseErrorKind};
use crate::sql::{identifier, literal};
use crate::transfer::target::{OwnedSequence, TargetTable};

/// The highest value that the source has ever given to a column, though the row may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceFloor<'a> {
    /// The unquoted schema of the table.
    pub schema: &'a str,
    /// The unquoted name of the table.
    pub table: &'a str,
    /// The unquoted name of the column.
    pub column: &'a str,
    /// The highest value.
    pub value: i64,
}

/// Sets the sequences of a table.
///
/// # Errors
/// Fails when a value is past the end of its sequence.
pub(super) async fn set(
    session: &mut Postgres,
    table: &TargetTable,
    floors: &[SequenceFloor<'_>],
) -> Result<(), DatabaseError> {
    for sequence in &table.sequences {
        let is_integer = table
            .columns
            .iter()
            .any(|column| column.name == sequence.column && INTEGER_TYPES.contains(&column.base.name.as_str()));
        if !is_integer {
            continue;
        }
        let floor = floors
            .iter()
            .find(|floor| floor.schema == table.schema && floor.table == table.name && floor.column == sequence.column);
        let extreme = highest_value(session, table, sequence).await?;
        let last_used = match sequence.increment > 0 {
            true => extreme.max(floor.map(|floor| floor.value)),
            // The source has floors only for rising sequences.
            false => extreme,
        };
        if !sequence.is_shared || is_past_current(session, sequence, last_used).await? {
            execute(session, restart_statement(sequence, last_used)?).await?;
        }
    }
    Ok(())
}

/// Reports whether a shared sequence has not reached the value yet. No session can take a number meanwhile: ALTER locks
/// it.
async fn is_past_current(
    session: &mut Postgres,
    sequence: &OwnedSequence,
    last_used: Option<i64>,
) -> Result<bool, DatabaseError> {
    let Some(last_used) = last_used else { return Ok(false) };
    let OwnedSequence { name, increment, .. } = sequence;
    execute(session, format!("ALTER SEQUENCE {name} INCREMENT {increment}")).await?;
    let rows = fetch(session, format!("SELECT last_value, is_called FROM {name}")).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let (last_value, is_called): (i64, bool) = (column(row, 0)?, column(row, 1)?);
    Ok(match *increment > 0 {
        _ if last_used == last_value => !is_called,
        true => last_used > last_value,
        false => last_used < last_value,
    })
}

/// The types of the columns that a sequence can fill.
const INTEGER_TYPES: [&str; 3] = ["smallint", "integer", "bigint"];

/// Returns the value of the column that is furthest in the sequence's direction; `None` when there are no rows.
async fn highest_value(
    session: &mut Postgres,
    table: &TargetTable,
    sequence: &OwnedSequence,
) -> Result<Option<i64>, DatabaseError> {
    let aggregate = if sequence.increment > 0 { "max" } else { "min" };
    let sql = format!("SELECT pg_catalog.{aggregate}({})::bigint FROM {}", identifier(&sequence.column), table.rows());
    match fetch(session, sql).await?.first() {
        Some(row) => column(row, 0),
        None => Ok(None),
    }
}

/// Returns the statements that set a sequence. `setval` alone would outlast a rollback. RESTART gives the sequence a
/// new file in this transaction (manual, ALTER SEQUENCE, Notes), and `setval` then writes into that file.
fn restart_statement(sequence: &OwnedSequence, last_used: Option<i64>) -> Result<String, DatabaseError> {
    let OwnedSequence { name, minimum, maximum, start, increment, .. } = sequence;
    let restart = format!("ALTER SEQUENCE {name} RESTART;\n");
    let is_before = |value: &i64| if *increment > 0 { value < start } else { value > start };
    let Some(value) = last_used.filter(|value| !is_before(value)) else {
        return Ok(restart);
    };
    if value > *maximum || value < *minimum {
        let message = format!(
            "the sequence {name} of the column {} ends at {}, but {value} was given out already",
            identifier(&sequence.column),
            if *increment > 0 { maximum } else { minimum }
        );
        return Err(DatabaseError::new(DatabaseErrorKind::Statement, message));
    }
    Ok(format!("{restart}SELECT pg_catalog.setval({}, {value}, true)", literal(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(start: i64, increment: i64) -> OwnedSequence {
        OwnedSequence {
            name: "public.s".into(),
            column: "id".into(),
            type_name: "smallint".into(),
            minimum: if increment > 0 { 1 } else { -100 },
            maximum: if increment > 0 { 100 } else { -1 },
            start,
            increment,
            is_shared: false,
        }
    }

    #[test]
    fn the_next_value_comes_behind_the_last_one_and_not_before_the_start() {
        for (start, increment, last_used, value) in [
            (1, 1, None, Ok(None)),
            (1, 1, Some(-5), Ok(None)),
            (1, 1, Some(0), Ok(None)),
            (1, 1, Some(1), Ok(Some(1))),
            (1, 1, Some(100), Ok(Some(100))),
            (1, 1, Some(101), Err(())),
            (50, 1, Some(7), Ok(None)),
            (50, 10, Some(63), Ok(Some(63))),
            (-1, -1, Some(5), Ok(None)),
            (-1, -1, Some(-7), Ok(Some(-7))),
            (-1, -1, Some(-101), Err(())),
        ] {
            let sql = restart_statement(&sequence(start, increment), last_used).map_err(drop);
            let expected = value.map(|value: Option<i64>| match value {
                None => "ALTER SEQUENCE public.s RESTART;\n".to_owned(),
                Some(value) => {
                    format!("ALTER SEQUENCE public.s RESTART;\nSELECT pg_catalog.setval('public.s', {value}, true)")
                }
            });
            assert_eq!(sql, expected, "start {start}, increment {increment}, given {last_used:?}");
        }
    }
}
