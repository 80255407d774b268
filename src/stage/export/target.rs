//! Reads the rows of PostgreSQL for an export: most values in the server's binary form, some as the server's text.

use std::cell::RefCell;
use std::ops::ControlFlow;

use super::lines::LineFormat;
use super::{ExportSink, ExportSummary};
use crate::database::postgres::bulk_load::{CopyRow, Snapshot};
use crate::error::Cause;
use crate::sql::identifier;
use crate::transfer::cast::WritableType;
use crate::transfer::json_export::{text, value};
use crate::transfer::plan::type_of;
use crate::transfer::target::{TargetColumn, TargetTable};
use crate::transfer::value::Value;

/// The number of bytes that are collected before they are written.
const CHUNK_BYTES: usize = 128 * 1024;

/// The form of a column's field.
#[derive(Clone, Copy)]
enum FieldFormat {
    Boolean,
    /// An integer of two, four or eight bytes.
    Integer,
    Real,
    Blob,
    Text,
    /// A time as the server writes it in UTC: ISO 8601 without the T and the Z.
    Time,
}

/// A column, the SQL expression that reads it, and the form of its field.
struct ExportColumn {
    name: String,
    sql: String,
    format: FieldFormat,
}

/// Writes these tables, in this order.
pub(crate) async fn write(
    snapshot: &mut Snapshot<'_>,
    tables: &[TargetTable],
    sink: &mut ExportSink<'_>,
) -> Result<ExportSummary, Cause> {
    let out = RefCell::new(Vec::new());
    let mut lines = LineFormat::new(&mut out.borrow_mut());
    let mut summary = ExportSummary::default();
    for table in tables {
        let own_columns = table.columns.iter().filter(|column| !column.generated);
        let columns: Vec<ExportColumn> = own_columns.map(|column| from_target(table, column)).collect();
        warn_of_names(table, &columns);
        lines.begin(&table.name, columns.iter().map(|column| &*column.name), &mut out.borrow_mut());
        copy(snapshot, table, &columns, &mut lines, &out, sink).await?;
        let rows = lines.end(&mut out.borrow_mut());
        tracing::info!(rows, "exported {}", table.quoted());
        summary.tables += 1;
        summary.rows += rows;
    }
    let mut out = out.into_inner();
    LineFormat::finish(&mut out);
    sink.write(&out).await?;
    Ok(summary)
}

/// Warns of columns that an import could not distinguish, and of rows in which it would find no value.
fn warn_of_names(table: &TargetTable, columns: &[ExportColumn]) {
    let name = &table.name;
    for (index, column) in columns.iter().enumerate() {
        let other = columns[..index].iter().find(|other| other.name.eq_ignore_ascii_case(&column.name));
        if let Some(other) = other {
            let (first, second) = (&other.name, &column.name);
            tracing::warn!("{name}: the columns {first} and {second} differ in case alone, which no import takes back");
        }
    }
    if columns.is_empty() {
        tracing::warn!("{name}: no column has values of its own, and no import takes back rows without any");
    }
}

/// Writes one table. While bytes are written, nothing is read, so that memory stays bounded.
async fn copy(
    snapshot: &mut Snapshot<'_>,
    table: &TargetTable,
    columns: &[ExportColumn],
    lines: &mut LineFormat,
    out: &RefCell<Vec<u8>>,
    sink: &mut ExportSink<'_>,
) -> Result<(), Cause> {
    let mut write_error = None;
    let each = |row: CopyRow<'_>| {
        let mut fields = row.fields();
        lines.row(&mut out.borrow_mut(), |index, out| append(columns[index].format, fields.next().flatten(), out));
    };
    let pause = async || {
        if out.borrow().len() < CHUNK_BYTES {
            return ControlFlow::Continue(());
        }
        let bytes = out.take();
        match sink.write(&bytes).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(cause) => {
                write_error = Some(cause);
                ControlFlow::Break(())
            }
        }
    };
    let read = snapshot.copy_out_pausing(&select(table, columns), each, pause).await;
    match write_error {
        Some(cause) => Err(cause),
        None => read.map(drop).map_err(Cause::Database),
    }
}

/// Returns the query for a table, in the order of the primary key, if there is one.
fn select(table: &TargetTable, columns: &[ExportColumn]) -> String {
    let list: Vec<&str> = columns.iter().map(|column| &*column.sql).collect();
    let key: Vec<String> = table.key.iter().map(|name| format!("t.{}", identifier(name))).collect();
    let order = if key.is_empty() { "" } else { " ORDER BY " };
    format!("SELECT {} FROM {} AS t{order}{}", list.join(", "), table.rows(), key.join(", "))
}

/// Returns the expression and the form for a column of PostgreSQL.
fn from_target(table: &TargetTable, column: &TargetColumn) -> ExportColumn {
    let name = column.name.clone();
    let field = format!("t.{}", identifier(&name));
    let text = column.text(&field);
    let (sql, format) = match type_of(column) {
        Some(WritableType::Boolean) => (field, FieldFormat::Boolean),
        Some(WritableType::SmallInt | WritableType::Integer | WritableType::BigInt) => (field, FieldFormat::Integer),
        Some(WritableType::Real | WritableType::Double) => (field, FieldFormat::Real),
        Some(WritableType::Bytea) => (field, FieldFormat::Blob),
        // The binary form of these types is their text, including trailing blanks.
        Some(
            WritableType::Text
            | WritableType::Varchar(_)
            | WritableType::Char(_)
            | WritableType::Name
            | WritableType::Json
            | WritableType::Enum(_),
        ) => (field, FieldFormat::Text),
        Some(WritableType::TimestampTz(_) | WritableType::Timestamp(_)) => (text, FieldFormat::Time),
        // An array that a JSON list cannot describe is written in the server's form: no import mistakes it for another.
        Some(WritableType::Array(..)) => {
            let is_list = format!(
                "coalesce(pg_catalog.array_ndims({field}) = 1 AND pg_catalog.array_lower({field}, 1) = 1, true)"
            );
            let json = format!("pg_catalog.to_json({field})::pg_catalog.text");
            (format!("CASE WHEN {is_list} THEN {json} ELSE {text} END"), FieldFormat::Text)
        }
        Some(
            WritableType::Numeric(_)
            | WritableType::Jsonb
            | WritableType::Date
            | WritableType::Time(_)
            | WritableType::Uuid
            | WritableType::Inet
            | WritableType::Cidr,
        ) => (text, FieldFormat::Text),
        None => {
            let kind = &column.type_name;
            let full_name = format!("{}.{name}", table.name);
            tracing::warn!("{full_name}: values of the type {kind} are written as text, which no import takes back");
            (text, FieldFormat::Text)
        }
    };
    ExportColumn { name, sql, format }
}

/// Appends a field as JSON. The server sends only the lengths that belong to the types.
fn append(format: FieldFormat, field: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(field) = field else { return value(Value::Null, out) };
    match format {
        FieldFormat::Boolean if field == [0] => out.extend_from_slice(b"false"),
        FieldFormat::Boolean => out.extend_from_slice(b"true"),
        FieldFormat::Integer => {
            let first = if field.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
            value(Value::Integer(field.iter().fold(first, |sum, byte| sum << 8 | i64::from(*byte))), out);
        }
        // Every real is exactly representable as a double.
        FieldFormat::Real => match (<[u8; 4]>::try_from(field), <[u8; 8]>::try_from(field)) {
            (Ok(bytes), _) => value(Value::Real(f64::from(f32::from_be_bytes(bytes))), out),
            (_, Ok(bytes)) => value(Value::Real(f64::from_be_bytes(bytes)), out),
            _ => value(Value::Blob(field), out),
        },
        FieldFormat::Blob => value(Value::Blob(field), out),
        FieldFormat::Text => value(Value::Text(field), out),
        FieldFormat::Time => match std::str::from_utf8(field).ok().and_then(iso) {
            Some(time) => text(&time, out),
            // Infinities, and years before Christ, remain in the server's form.
            None => value(Value::Text(field), out),
        },
    }
}

/// Returns `2026-01-02 03:04:05+00` as `2026-01-02T03:04:05Z`; `None` if the text has another form.
fn iso(text: &str) -> Option<String> {
    let (date, time) = text.split_once(' ').filter(|(_, time)| !time.contains(' '))?;
    Some(match time.strip_suffix("+00") {
        Some(utc) => format!("{date}T{utc}Z"),
        None => format!("{date}T{time}"),
    })
}
