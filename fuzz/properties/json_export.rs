//! The reader of export files: whatever it accepts is JSON, and is read the same after it was written again.

use lockkeeper::transfer::json_export::{Datum, Reader, text, value};
use lockkeeper::transfer::value::Value;

type Table = (String, Vec<String>, Vec<Vec<Datum>>);

/// Checks the bytes of a file.
pub fn check(data: &[u8]) {
    let Some(tables) = read(data) else { return };
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    assert!(is_json, "another reader of JSON refuses what was accepted");
    let written = write(&tables);
    let again = read(&written);
    assert_eq!(Some(tables), again, "{}", String::from_utf8_lossy(&written));
}

fn read(data: &[u8]) -> Option<Vec<Table>> {
    let mut reader = Reader::new(data);
    let mut tables = Vec::new();
    while let Some(name) = reader.table().ok()? {
        let name = name.to_owned();
        let mut rows = Vec::new();
        while reader.next_row().ok()? {
            rows.push(reader.values().map(datum).collect());
        }
        tables.push((name, reader.columns().to_vec(), rows));
    }
    Some(tables)
}

fn datum(value: Value<'_>) -> Datum {
    match value {
        Value::Null => Datum::Null,
        Value::Integer(number) => Datum::Integer(number),
        Value::Real(number) => Datum::Real(number),
        Value::Text(text) => Datum::Text(text.to_vec()),
        Value::Blob(bytes) => Datum::Blob(bytes.to_vec()),
    }
}

fn write(tables: &[Table]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (at, (name, columns, rows)) in tables.iter().enumerate() {
        comma(at, &mut out);
        text(name, &mut out);
        out.extend_from_slice(b":[");
        for (at, row) in rows.iter().enumerate() {
            comma(at, &mut out);
            out.push(b'{');
            for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
                comma(at, &mut out);
                text(column, &mut out);
                out.push(b':');
                value(cell.value(), &mut out);
            }
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    out
}

fn comma(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}
